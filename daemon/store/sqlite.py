"""SQLite: WAL, ``synchronous=FULL``, one writer thread, readers that never block it.

A file is created only where that was asked for, mode 0600. Standings are read anew in every batch, because the command
line writes to the same file. After a failed commit the connection is closed and opened again before the next batch:
what the engine believes to be in its cache is no longer trusted.
"""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeVar

import aiosqlite
import msgspec

from daemon.charging.call import Call
from daemon.charging.cdr import RatedCdr
from daemon.charging.ports import Message, Reads, StoreError, StoreUnavailable
from daemon.kernel.ids import Direction
from daemon.kernel.instant import Instant
from daemon.ledger.account import Standing
from daemon.rating.bundle import Meter
from daemon.settings import StoreSettings, shown
from daemon.store import migrate
from daemon.store import statements as sql
from daemon.store.book import Working
from daemon.store.commit import IntegrityFault, Writer
from daemon.store.ledger_store import LedgerStore
from daemon.store.link import Link, never, while_open
from daemon.store.rows import MessageAge, keys_of, refuse_spent, written

T = TypeVar("T")
BUSY_SECONDS = 5.0  # seconds a writer waits for another process's transaction
STATEMENTS_CACHED = 256  # prepared statements: seven sizes of each write, and the queries
CHECKPOINT_PAGES = 8_192  # pages of 4 KiB in the log before it is copied into the file; read through after a crash
_PRAGMAS = (
    "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "cache_size = -65536",
    f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
)  # fmt: skip
LOCK_POLL_SECONDS = 0.001  # between two tries for the write lock, which another process holds for milliseconds

_calls = msgspec.json.Decoder(list[tuple[int, Call]])
_records = msgspec.json.Decoder(list[tuple[int, RatedCdr]])
_standings = msgspec.json.Decoder(list[Standing])
_meters = msgspec.json.Decoder(list[Meter])
_DIRECTIONS = tuple(direction.value for direction in Direction)


def connect(path: Path) -> sqlite3.Connection:
    """Return a writing connection with the durability that money needs. Raises sqlite3.Error."""
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS_CACHED
    )
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        # From here on waiting is our own: SQLite sleeps up to 100 ms between two tries, longer than a busy writer
        # in another process ever leaves the lock alone.
        connection.execute("PRAGMA busy_timeout = 0")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


class SqliteEngine:
    """Implements commit.Engine on one connection, which only the writer's thread uses."""

    def __init__(self, path: Path, open_connection: Callable[[Path], sqlite3.Connection] = connect) -> None:
        """Name the file; the connection is opened when it is first needed, and again after it may have broken."""
        self._path = path
        self._open = open_connection
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._age = MessageAge()

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, within a transaction."""
        assert self._connection is not None, "begin() comes first"
        return self._connection

    def begin(self) -> None:
        """Take the write lock, for which another process may make us wait. Raises sqlite3.Error."""
        self._check_file()
        if self._connection is None:
            self._connection = self._open(self._path)
        ends = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > ends:
                    raise
                time.sleep(LOCK_POLL_SECONDS)
            else:
                return

    def _check_file(self) -> None:
        """Refuse to write to a file that was removed or replaced under us: nobody would ever see it."""
        try:
            found = os.stat(self._path)
        except OSError as error:
            raise StoreUnavailable(f"the store at {self._path} is gone: {error.strerror}") from error
        identity = (found.st_dev, found.st_ino)
        if self._identity not in (None, identity):
            raise StoreUnavailable(f"the store at {self._path} was replaced by another file: start the daemon anew")
        self._identity = identity

    def load(self, reads: Sequence[Reads]) -> Working:
        """Load the union of what a batch reads, one query a table."""
        working = Working()
        working.add_loaded(call for _number, call in sorted(self._loaded_calls(reads).items()))
        keys = {key for read in reads for key in read.messages}
        if keys:
            rows = self.connection.execute(sql.MESSAGES, (sql.asked(keys),))
            working.messages = {row[0]: Message(*row) for row in rows}
        numbers = {number for read in reads for number in read.accounts}
        numbers.update(number for call in working.calls.values() for number in call.accounts)
        if numbers:
            loaded = _standings.decode(self._one(sql.STANDINGS, numbers))
            working.standings = {standing.account: standing for standing in loaded}
        names = {key for read in reads for key in read.meters}
        names.update(key for call in working.calls.values() for key in call.meters)
        if names:
            working.meters = {(each.account, each.name): each for each in _meters.decode(self._one(sql.METERS, names))}
        charged = [call.grant_id for call in working.calls.values() if call.revision]
        if charged:
            for _seq, record in sorted(_records.decode(f"[{self._one(sql.RECORDS, charged)}]"), key=itemgetter(0)):
                working.records.setdefault(record.grant_id, []).append(record)
        return working

    def _loaded_calls(self, reads: Sequence[Reads]) -> dict[int, Call]:
        found: dict[int, Call] = {}
        for query, keys in (
            (
                sql.CALLS_OF_KEYS,
                {(*key, direction) for read in reads for key in read.calls for direction in _DIRECTIONS},
            ),
            (sql.CALLS_OF_GRANTS, {key for read in reads for key in read.grants}),
            (sql.CALLS_OF_ALIASES, {key for read in reads for key in read.aliases}),
        ):
            if keys:
                found.update(_calls.decode(f"[{self._one(query, keys)}]"))
        return found

    def _one(self, query: str, keys: Iterable[object]) -> str:
        row = self.connection.execute(query, (sql.asked(keys),)).fetchone()
        return row[0] or ""

    def write_ahead(self, working: Working) -> None:
        """Do nothing: what writes here is the thread that decides."""

    def write(self, working: Working) -> None:
        """Write what a batch changed, a few statements a table, each account once."""
        try:
            self._write(working)
        except sqlite3.IntegrityError as error:
            raise IntegrityFault(str(error)) from error

    def _write(self, working: Working) -> None:
        connection = self.connection
        for table, rows in written(working):
            if table == "call":
                sql.write_calls(connection, rows, working.placed)
            elif rows:
                sql.WRITES[table].write(connection, rows)
        keys = keys_of(working)
        if keys:
            refuse_spent(connection.execute(sql.SPENT_KEY, (sql.asked(keys),)).fetchone())
        asked = self._age.due(working)
        if asked is not None:
            self._age.pruned(asked, connection.execute(sql.PRUNE_MESSAGES, asked).rowcount)

    def is_passing(self, error: Exception) -> bool:
        """Nobody else writes while a batch does: what failed would fail again."""
        del error
        return False

    def commit(self) -> None:
        """Commit; with ``synchronous=FULL`` the log is synced before this returns. Raises sqlite3.Error."""
        self.connection.execute("COMMIT")

    def rollback(self) -> None:
        """Forget the transaction."""
        with contextlib.suppress(sqlite3.Error):
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def failure(self, error: Exception) -> StoreError | None:
        """Return what an operator should read about a database error; the next transaction gets a new connection.

        What a failed sync left in the kernel's cache and in ours is not trusted (the kernel forgets such pages).
        """
        if not isinstance(error, sqlite3.Error):
            return None
        self.close()
        return explained(error, self._path)

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        with contextlib.suppress(sqlite3.Error):
            if connection is not None:
                connection.close()


_ADVICE = {
    sqlite3.SQLITE_BUSY: f"another process has held its lock for {BUSY_SECONDS:g} s",
    sqlite3.SQLITE_FULL: "the disk, or the store's page limit, is full: free space",
    sqlite3.SQLITE_IOERR: "the disk reported an error: look at the kernel's log before anything else",
    sqlite3.SQLITE_READONLY: "it is read-only: look at the rights of the file and its folder, and at the mount",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: look at the rights of the file and its folder",
    sqlite3.SQLITE_CORRUPT: "it is damaged: stop the daemon and restore the last backup",
    sqlite3.SQLITE_NOTADB: "it is no SQLite file",
}


def explained(error: sqlite3.Error, path: Path) -> StoreError:
    """Return the typed error of SQLite's, with what an operator should look at first."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    advice = _ADVICE.get(code, "it did not do what was asked")
    kind = StoreError if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) else StoreUnavailable
    return kind(f"the store at {path} cannot be used: {advice} ({name}: {error})")


class SqliteLink:
    """Implements link.Link over a connection of the driver: SQL and values pass as they are."""

    dialect: Final = "sqlite"
    locking: Final = ""

    def __init__(self, connection: sqlite3.Connection, is_closing: Callable[[], bool] = never) -> None:
        """Take the connection, whose closing stays with whoever opened it, and what ends the reading of many pages."""
        self._connection = connection
        self._is_closing = is_closing
        self.execute = connection.execute

    def executemany(self, query: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for each row of values."""
        self._connection.executemany(query, rows)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Insert rows; a prepared statement for each is as fast as the driver gets."""
        values = ", ".join("?" * len(columns))
        self._connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})", rows)

    def pages(self, query: str, parameters: Sequence[object], rows: int) -> Iterator[list[Any]]:
        """Yield the rows of a query some at a time. Raises StoreUnavailable where the store closes meanwhile."""
        cursor = self._connection.execute(query, parameters)
        return while_open(iter(lambda: cursor.fetchmany(rows), []), self._is_closing)

    def wait_for_writers(self, _table: str) -> None:
        """Do nothing: whoever may write is alone."""


class SqliteStore(LedgerStore):
    """The store in one file; commands write to the same file beside the daemon."""

    def __init__(
        self, path: Path, settings: StoreSettings, now: Callable[[], Instant],
        connection: Callable[[Path], sqlite3.Connection] = connect,
    ) -> None:  # fmt: skip
        """Take an existing, migrated file; use ``open_store``."""
        self._engine = SqliteEngine(path, connection)
        archive = Path(settings.archive).absolute() if settings.archive else path.with_name(f"{path.stem}.archive")
        super().__init__(now, Writer(self._engine, settings.batch_max, settings.queue_max), archive)
        self.path = path
        self._reader: aiosqlite.Connection | None = None
        self._opening = asyncio.Lock()

    @property
    def name(self) -> str:
        """The absolute path of the file."""
        return str(self.path)

    @property
    def _existing(self) -> str:
        """The file's URI for whoever only reads: a file that was moved away is not made anew, in another's place."""
        return f"{self.path.as_uri()}?mode=rw"

    async def administer(self, work: Callable[[Link], T]) -> T:
        """Run administrative work on the writing connection, in a transaction of its own. Raises StoreError."""
        return await self.writer.errand(lambda: work(SqliteLink(self._engine.connection)))

    async def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query that only reads. Raises StoreError."""
        try:
            reader = await self._read_connection()
            return list(await reader.execute_fetchall(query, tuple(parameters)))  # type: ignore[arg-type]
        except sqlite3.Error as error:
            raise explained(error, self.path) from error

    async def reading(self, work: Callable[[Link], T]) -> T:
        """Run work that reads much in a thread, on a connection of its own: it sees one snapshot. Raises StoreError."""
        return await asyncio.to_thread(self._read, work)

    def _read(self, work: Callable[[Link], T]) -> T:
        try:
            with contextlib.closing(
                sqlite3.connect(self._existing, BUSY_SECONDS, isolation_level=None, uri=True)
            ) as connection:
                connection.execute("PRAGMA query_only = ON")
                connection.execute("BEGIN")
                return work(SqliteLink(connection, self._closing.is_set))
        except sqlite3.Error as error:
            raise explained(error, self.path) from error

    @contextlib.asynccontextmanager
    async def alone_in_archiving(self) -> AsyncIterator[None]:
        """Hold a lock beside the file, which ends with the process. Raises StoreUnavailable where another has it."""
        beside = self.path.with_name(f"{self.path.name}.archiving")
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StoreUnavailable(f"another process archives from {self.path}: wait for it") from error
            yield
        finally:
            os.close(descriptor)

    async def _read_connection(self) -> aiosqlite.Connection:
        async with self._opening:
            if self._reader is None:
                self._reader = await aiosqlite.connect(
                    self._existing, timeout=BUSY_SECONDS, isolation_level=None, uri=True
                )
                await self._reader.execute("PRAGMA query_only = ON")
        return self._reader

    async def close(self) -> None:
        """Finish what is queued, then close; nothing can be asked of the store afterwards."""
        self._closing.set()
        await asyncio.to_thread(self.writer.close)
        if self._reader is not None:
            await self._reader.close()
            self._reader = None


def path_of(url: str) -> Path:
    """Return the absolute file of a ``sqlite:///`` URL; relative ones count from the working directory."""
    name = url.removeprefix("sqlite:///")
    if name in (url, "") or name.startswith(":") or "?" in name:
        raise StoreError(f"{shown(url)!r} names no file: write sqlite:///FILE, such as sqlite:///var/tollway.db")
    return Path(name).absolute()


async def opened(
    url: str, settings: StoreSettings, now: Callable[[], Instant], *, create: bool,
    connection: Callable[[Path], sqlite3.Connection] = connect,
) -> SqliteStore:  # fmt: skip
    """Return the store of a file; see ``opening.open_store``."""
    path = path_of(url)
    try:
        await asyncio.to_thread(_prepare, path, create)
    except sqlite3.Error as error:
        raise explained(error, path) from error
    except OSError as error:
        raise StoreUnavailable(f"the store at {path} cannot be opened: {error.strerror or error}") from error
    return SqliteStore(path, settings, now, connection)


def _prepare(path: Path, create: bool) -> None:
    if not path.exists():
        if not create:
            raise StoreUnavailable(
                f"there is no store at {path}: 'tollway apply FILE' or 'tollway db upgrade' makes one"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    migrate.check(path, upgrade=create)
