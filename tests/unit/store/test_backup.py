"""What a copy of the store never does: tell a password, replace a file, leave half of one behind."""

import sqlite3
from pathlib import Path

import pytest

from daemon.charging.ports import StoreError, StoreUnavailable
from daemon.store.backup import back_up, dump_command


def made(folder: Path) -> str:
    """Return the URL of a file with a row in it."""
    with sqlite3.connect(folder / "t.db") as connection:
        connection.execute("CREATE TABLE kept (name TEXT)")
        connection.execute("INSERT INTO kept VALUES ('here')")
    connection.close()
    return f"sqlite:///{folder}/t.db"


def test_the_password_of_a_database_is_in_no_list_of_processes() -> None:
    words, more = dump_command("postgresql://tollway:p%2Fw%40%25@db1:5433/tollway?sslmode=require")
    assert words == [
        "pg_dump", "--format=custom", "--no-password", "--lock-wait-timeout=60000",
        "--dbname=postgresql://tollway@db1:5433/tollway?sslmode=require",
    ]  # fmt: skip
    assert more == {"PGPASSWORD": "p/w@%"}
    words, more = dump_command("postgresql://tollway@/tollway?host=/run/postgresql")
    assert words[-1] == "--dbname=postgresql://tollway@/tollway?host=/run/postgresql"
    assert more == {}


def test_a_copy_is_whole_while_somebody_writes(tmp_path: Path) -> None:
    url = made(tmp_path)
    writer = sqlite3.connect(tmp_path / "t.db", isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO kept VALUES ('not committed')")
    back_up(url, tmp_path / "copy.db")
    writer.execute("COMMIT")
    writer.close()
    copy = sqlite3.connect(tmp_path / "copy.db")
    assert copy.execute("SELECT name FROM kept").fetchall() == [("here",)]
    assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    copy.close()
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir() if "copy" in path.name) == ["copy.db"]


def test_a_file_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    url = made(tmp_path)
    (tmp_path / "copy.db").write_text("the only other copy")
    with pytest.raises(StoreError, match="is there already"):
        back_up(url, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "the only other copy"


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="there is no store"):
        back_up(f"sqlite:///{tmp_path}/none.db", tmp_path / "copy.db")
    (tmp_path / "text.db").write_text("a text " * 1000)
    with pytest.raises(StoreError, match="no SQLite file"):
        back_up(f"sqlite:///{tmp_path}/text.db", tmp_path / "copy.db")
    with pytest.raises(StoreError, match="cannot be written"):
        back_up(made(tmp_path), tmp_path / "no" / "copy.db")
    assert not list(tmp_path.glob("copy*"))


def test_where_pg_dump_is_missing_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StoreError, match=r"pg_dump is not installed here.*postgresql://u@127\.0\.0\.1:1/x'") as refused:
        back_up("postgresql://u:secret-word@127.0.0.1:1/x", tmp_path / "copy")
    assert "secret-word" not in str(refused.value)
    assert not list(tmp_path.iterdir())
