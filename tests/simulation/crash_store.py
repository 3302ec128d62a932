"""A real SQLite store whose connection fails where a seed says, and whose process can be killed at any statement.

A kill is what a kill leaves behind: the store's files as the page cache holds them at that instant, copied aside; the
next life opens the copy. Faults are the engine's own wherever it can be made to have them: a lock that another
connection holds, a page limit, a read-only connection, a file that was moved away. Two are put in: a COMMIT that fails,
and a COMMIT that is done and fails all the same, so that nobody knows.
"""

import contextlib
import shutil
import sqlite3
import threading
from dataclasses import dataclass, field
from pathlib import Path

OUTAGES = ("locked", "gone")  # faults that may last for several steps
FAULTS = ("kill", "kill", "kill_committed", "commit_fails", "commit_unknown", "full", "read_only", "locked", "gone")
JOURNAL = "postpaid.jsonl"
FILES = ("tollway.db", "tollway.db-wal", JOURNAL)
PAGES_MAX = 1_073_741_823  # SQLite's own default
PRAGMAS = ("journal_mode = WAL", "synchronous = OFF", "foreign_keys = ON")  # the disk itself is tests/faults' part


@dataclass
class Disk:
    """The files of one life of the process, and the fault that waits for its ``countdown``-th statement."""

    folder: Path
    fault: str = ""
    countdown: int = 0
    killed: bool = False
    hit: bool = False
    gate: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)
    _limited: sqlite3.Connection | None = None
    _blocker: sqlite3.Connection | None = None

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def path(self) -> Path:
        """The store's file."""
        return self.folder / "tollway.db"

    @property
    def aside(self) -> Path:
        """Where the files of a killed process are kept for the next life."""
        return self.folder / "next"

    def wait_reached(self) -> None:
        """Wait until the writer stands before the gate, or where the file is gone cannot come so far."""
        self.reached.wait(30 if self.path.exists() else 0)

    def arm(self, fault: str, countdown: int) -> None:
        """Let a fault wait; those of the outside world begin at once."""
        self.fault, self.countdown, self.hit = fault, countdown, False
        if fault == "locked":
            self._blocker = sqlite3.connect(self.path, isolation_level=None)
            self._blocker.execute("BEGIN IMMEDIATE")
        elif fault == "gone":
            self.path.rename(self.folder / "moved.db")

    def disarm(self) -> None:
        """End the fault; the world is as before."""
        if self.fault == "locked" and self._blocker is not None:
            self._blocker.close()
            self._blocker = None
        elif self.fault == "gone":
            (self.folder / "moved.db").rename(self.path)
        if self._limited is not None:
            with contextlib.suppress(sqlite3.ProgrammingError):  # the engine has closed it: it failed, as it should
                for pragma in ("query_only = OFF", f"max_page_count = {PAGES_MAX}"):
                    sqlite3.Connection.execute(self._limited, f"PRAGMA {pragma}")
            self._limited = None
        self.fault = ""

    def kill(self) -> None:
        """Keep the files as they are at this instant; whatever the old life does later is nobody's."""
        if not self.killed:
            self.aside.mkdir()
            for name in FILES:
                if (self.folder / name).exists():
                    shutil.copyfile(self.folder / name, self.aside / name)
            self.killed = self.hit = True

    def connect(self, path: Path) -> sqlite3.Connection:
        """Open the writing connection as the daemon does, under this disk's faults."""
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False, factory=Shaky)
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.disk = self
        return connection

    def before(self, connection: sqlite3.Connection, statement: str) -> None:
        """Let a fault happen before a statement."""
        if statement.startswith("BEGIN"):
            self.reached.set()
            self.gate.wait(30)
        if not self.fault or self.hit:
            return
        self.countdown -= 1
        if self.fault == "kill" and self.countdown <= 0:
            self.kill()
        elif self.fault in ("full", "read_only") and statement.startswith("BEGIN"):
            self._limit(connection)
        elif self.fault == "commit_fails" and statement == "COMMIT":
            self.hit = True
            raise failed()

    def _limit(self, connection: sqlite3.Connection) -> None:
        self._limited = connection
        pragma = "query_only = ON"
        if self.fault == "full":
            (pages,) = sqlite3.Connection.execute(connection, "PRAGMA page_count").fetchone()
            pragma = f"max_page_count = {pages}"
        sqlite3.Connection.execute(connection, f"PRAGMA {pragma}")

    def after(self, statement: str) -> None:
        """Let a fault happen after a statement was done."""
        if statement != "COMMIT" or self.hit:
            return
        if self.fault == "kill_committed":
            self.kill()
        elif self.fault == "commit_unknown":
            self.hit = True
            raise failed()


class Shaky(sqlite3.Connection):
    """A connection that asks its disk before each statement."""

    disk: Disk | None = None

    def execute(self, statement: str, parameters: object = ()) -> sqlite3.Cursor:
        """Run a statement, or fail as the disk says."""
        if self.disk is not None:
            self.disk.before(self, statement)
        done = super().execute(statement, parameters)  # type: ignore[arg-type]
        if self.disk is not None:
            self.disk.after(statement)
        return done


def failed() -> sqlite3.OperationalError:
    """Return the error of a sync that failed, as the driver raises it."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC"
    return error
