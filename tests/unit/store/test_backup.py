"""What a copy of the store never does: tell a password, replace a file, leave half of one behind."""

import fcntl
import os
import sqlite3
from pathlib import Path

import pytest

from daemon.charging.ports import StoreError, StoreUnavailable
from daemon.store import backup
from daemon.store.backup import PAGES, REST, REST_SECONDS_MAX, Pace, back_up, dump_command
from daemon.store.restore import restore, restore_command


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


def test_a_copy_rests_for_several_times_as_long_as_each_piece_took(tmp_path: Path) -> None:
    url = made(tmp_path)
    with sqlite3.connect(tmp_path / "t.db") as connection:
        connection.execute("CREATE TABLE much AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n"
                           " WHERE x < 4000) SELECT randomblob(1000) AS octets FROM n")  # fmt: skip
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.close()
    clock = [0.0]
    rests: list[float] = []

    def now() -> float:
        clock[0] += 0.125  # that each piece takes
        return clock[0]

    back_up(url, tmp_path / "copy.db", Pace(now=now, sleep=rests.append))
    assert pages > 3 * PAGES
    assert len(rests) == -(-pages // PAGES)
    assert set(rests) == {REST * 0.125}
    slow = [0.0, 60.0, 60.0]
    Pace(now=lambda: slow.pop(0), sleep=rests.append).breathe()
    assert rests[-1] == REST_SECONDS_MAX, "a disk that stalled once does not stop the copy"


def test_what_a_killed_backup_left_is_filled_anew_and_what_another_fills_is_not(tmp_path: Path) -> None:
    url, part = made(tmp_path), tmp_path / "copy.db.part"
    part.write_text("half a copy of long ago, which is longer than this one is, because much has left since " * 999)
    part.chmod(0o644)
    with part.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="is being written by another command"):
            back_up(url, tmp_path / "copy.db")
        assert part.exists()
    back_up(url, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(tmp_path / "copy.db") as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    copy.close()
    assert not part.exists()


def test_a_copy_ends_before_the_log_fills_the_disk_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = os.statvfs(tmp_path)
    monkeypatch.setattr(backup, "ROOM_MIN", room.f_bavail * room.f_frsize * 2)
    with pytest.raises(StoreError, match="nothing was kept"):
        back_up(made(tmp_path), tmp_path / "copy.db")
    assert not list(tmp_path.glob("copy*"))


def test_a_link_in_the_place_of_the_part_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "copy.db.part").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="cannot be written"):
        back_up(made(tmp_path), tmp_path / "copy.db")
    assert not (tmp_path / "elsewhere").exists()


def test_a_restore_replaces_nothing_and_refuses_what_is_no_whole_store(tmp_path: Path) -> None:
    made(tmp_path)
    target = f"sqlite:///{tmp_path}/new/store.db"
    (tmp_path / "new").mkdir()
    for name, octets, why in (
        ("gone.db", None, "cannot be read"), ("text.db", b"a text " * 99, "is not a file of SQLite"),
        ("dump", b"PGDMP...", "is not a file of SQLite"),
        ("cut.db", (tmp_path / "t.db").read_bytes()[:5000], "is not whole"),
        ("t.db", (tmp_path / "t.db").read_bytes(), "is no copy of a store"),
    ):  # fmt: skip
        if octets is not None:
            (tmp_path / name).write_bytes(octets)
        with pytest.raises(StoreError, match=why):
            restore(tmp_path / name, target)
        assert not list((tmp_path / "new").iterdir()), name
    with sqlite3.connect(tmp_path / "t.db") as connection:
        connection.execute("CREATE VIEW seen AS SELECT 1")
    connection.close()
    with pytest.raises(StoreError, match="has the view seen, which no release makes"):
        restore(tmp_path / "t.db", target)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="is no regular file"):
        restore(tmp_path / "pipe", target)
    for there in ("store.db", "store.db-wal", "store.db-shm"):
        (tmp_path / "new" / there).write_text("the only other copy")
        with pytest.raises(StoreError, match="move the store away"):
            restore(tmp_path / "t.db", target)
        (tmp_path / "new" / there).unlink()
    with pytest.raises(StoreError, match=r"is not a dump of PostgreSQL.*postgresql://u@h/x"):
        restore(tmp_path / "t.db", "postgresql://u:secret@h/x")


def test_a_restore_tells_no_password_either() -> None:
    words, more = restore_command(Path("copy"), "postgresql://u:p%2Fw@db1/tollway")
    assert words[-2:] == ["--dbname=postgresql://u@db1/tollway", "copy"]
    assert "--single-transaction" in words
    assert more == {"PGPASSWORD": "p/w"}
