"""SQLite's log beside the writer: copied while others commit, begun anew, and nobody's concern where that fails."""

import sqlite3
from contextlib import closing
from pathlib import Path

from daemon.store.log_copy import CALLS_COPIED, LEFT_PAGES, LogCopy
from daemon.store.sqlite import connect

ROUNDS_MAX = 20_000  # commits within which a copy is done; it takes some hundred


def log_pages(connection: sqlite3.Connection) -> int:
    """Return the pages in the log, of which SQLite tells only while it copies some."""
    pages: int = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
    return pages


def added(connection: sqlite3.Connection, rows: int = 1) -> None:
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO kept VALUES (randomblob(3000))", [()] * rows)
    connection.execute("COMMIT")


def test_a_log_that_grew_is_copied_beside_commits_and_begins_anew(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "store.db")) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # nobody else copies
        connection.execute("CREATE TABLE kept (value BLOB)")
        log = LogCopy(tmp_path / "store.db")
        added(connection, 2_000)
        log.committed(connection)
        assert not log.is_copying  # nothing was counted
        log.wrote(CALLS_COPIED)
        rounds = 0
        log.committed(connection)
        while log.is_copying and rounds < ROUNDS_MAX:
            added(connection)
            log.committed(connection)
            rounds += 1
        added(connection)  # the first behind the end of the copy is where the log begins anew
        assert rounds < ROUNDS_MAX
        assert log_pages(connection) < LEFT_PAGES
        assert connection.execute("SELECT count(*) FROM kept").fetchone()[0] == 2_001 + rounds
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        log.close()


def test_a_file_that_is_gone_is_neither_an_error_nor_made_anew(tmp_path: Path) -> None:
    log = LogCopy(tmp_path / "gone.db")
    with closing(sqlite3.connect(":memory:")) as connection:
        log.wrote(CALLS_COPIED)
        log.committed(connection)
        assert log.is_copying
        log.close()
    assert not log.is_copying
    assert not (tmp_path / "gone.db").exists()
