"""SQLite: WAL, ``synchronous=FULL``, one writer thread, readers that never block it.

A file is created only where that was asked for, mode 0600. Standings are read anew in every batch, because the command
line writes to the same file. After a failed commit the connection is closed and opened again before the next batch:
what the engine believes to be in its cache is no longer trusted.
"""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
import msgspec
from sqlalchemy import Table
from sqlalchemy.dialects import sqlite as dialect

from daemon.charging.call import Call
from daemon.charging.cdr import RatedCdr
from daemon.charging.ports import (
    CALLS_LOADED_MAX,
    Book,
    Message,
    Reads,
    StoreError,
    StoreUnavailable,
)
from daemon.kernel.instant import DAY, SECOND, Instant
from daemon.ledger.account import Entry, Standing
from daemon.settings import StoreSettings
from daemon.store import migrate, schema
from daemon.store.administration import Administration
from daemon.store.commit import Engine, IntegrityFault, Job, Working, Writer

T = TypeVar("T")
BUSY_SECONDS = 5.0  # seconds a writer waits for another process's transaction
MESSAGE_KEPT = 2 * DAY  # microseconds; longer than any sender repeats
PRUNE_ROWS = 200  # rows removed in one batch; a bound, so that no call waits for a clean-up

_calls = msgspec.msgpack.Decoder(Call)
_records = msgspec.msgpack.Decoder(RatedCdr)
_encode = msgspec.msgpack.Encoder().encode

_STANDING = ", ".join(Standing._fields).replace("account", "number", 1)
_LOAD_STANDINGS = f"SELECT {_STANDING} FROM account WHERE number IN (SELECT value FROM json_each(?))"
_LOAD_CALLS = (
    "SELECT body FROM (SELECT body,"
    " row_number() OVER (PARTITION BY id_domain, call_id ORDER BY attempt DESC, part DESC) AS place FROM call"
    " WHERE (id_domain, call_id) IN"
    " (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)))"
    f" WHERE place <= {CALLS_LOADED_MAX}"
)
_LOAD_GRANTS = "SELECT body FROM call WHERE grant_id IN (SELECT value FROM json_each(?))"
_LOAD_ALIASES = (
    "SELECT body FROM (SELECT call.body AS body, row_number() OVER (PARTITION BY call_alias.id_domain, alias"
    " ORDER BY joined, requested_at DESC) AS place FROM call_alias JOIN call USING (grant_id)"
    " WHERE (call_alias.id_domain, alias) IN"
    " (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))) WHERE place <= 2"
)
_LOAD_MESSAGES = "SELECT key, body, reply, at, grant_id FROM message WHERE key IN (SELECT value FROM json_each(?))"
_LOAD_RECORDS = "SELECT body FROM record WHERE grant_id IN (SELECT value FROM json_each(?)) ORDER BY seq"
_WRITE_STANDING = (
    "UPDATE account SET " + ", ".join(f"{name} = ?" for name in Standing._fields[1:]) + " WHERE number = ?"
)
_PRUNE_MESSAGES = f"DELETE FROM message WHERE key IN (SELECT key FROM message WHERE at < ? LIMIT {PRUNE_ROWS})"


_PING = "INSERT INTO meta (name, value) VALUES ('ping', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1"


def insert(table: Table, columns: Iterable[str]) -> str:
    """Return the INSERT of some columns of a table, compiled from the schema once, with question marks in order."""
    compiled = table.insert().compile(dialect=dialect.dialect(paramstyle="qmark"), column_keys=list(columns))
    assert compiled.positiontup == [name for name in table.c.keys() if name in set(columns)], compiled.positiontup  # noqa: SIM118
    return str(compiled)


_ENTRY_COLUMNS = tuple(name for name in schema.entry.c.keys() if name != "number")  # noqa: SIM118
_CALL_COLUMNS = tuple(schema.call.c.keys())
_RECORD_COLUMNS = tuple(name for name in schema.record.c.keys() if name != "seq")  # noqa: SIM118
_EXCEPTION_COLUMNS = tuple(name for name in schema.exceptional.c.keys() if name != "number")  # noqa: SIM118
_WRITE_ENTRY = insert(schema.entry, _ENTRY_COLUMNS)
_WRITE_CALL = (
    insert(schema.call, _CALL_COLUMNS)
    + " ON CONFLICT (grant_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _CALL_COLUMNS[1:])
)
_WRITE_ALIAS = insert(schema.call_alias, ("id_domain", "alias", "grant_id")).replace("INSERT", "INSERT OR IGNORE", 1)
_WRITE_MESSAGE = insert(schema.message, ("key", "body", "reply", "at", "grant_id")).replace(
    "INSERT", "INSERT OR REPLACE", 1
)
_WRITE_RECORD = insert(schema.record, _RECORD_COLUMNS)
_WRITE_EXCEPTION = insert(schema.exceptional, _EXCEPTION_COLUMNS).replace("INSERT", "INSERT OR IGNORE", 1)


def connect(path: Path) -> sqlite3.Connection:
    """Return a writing connection with the durability that money needs."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cache_size = -65536")
    return connection


class SqliteEngine:
    """Implements commit.Engine on one connection."""

    def __init__(self, open_connection: Callable[[], sqlite3.Connection], now: Callable[[], Instant]) -> None:
        """Open the connection; ``now`` tells which messages are old."""
        self._open = open_connection
        self._now = now
        self.connection = open_connection()
        self._broken = False
        self._pruned_at = 0

    def begin(self) -> None:
        """Begin a transaction that may write."""
        if self._broken:
            self.connection.close()
            self.connection = self._open()
            self._broken = False
        self.connection.execute("BEGIN IMMEDIATE")

    def load(self, reads: Sequence[Reads]) -> Working:
        """Load the union of what a batch reads, one query a table."""
        working = Working()
        self._load_calls(working, reads)
        self._load_messages(working, reads)
        numbers = {number for read in reads for number in read.accounts}
        numbers.update(number for call in working.by_grant.values() for number in call.accounts)
        numbers.discard(0)
        for row in self.connection.execute(_LOAD_STANDINGS, (_json(numbers),)):
            working.standings[row[0]] = Standing._make(row)
        return working

    def _load_calls(self, working: Working, reads: Sequence[Reads]) -> None:
        for query, keys in (
            (_LOAD_CALLS, {key for read in reads for key in read.calls}),
            (_LOAD_GRANTS, {key for read in reads for key in read.grants}),
            (_LOAD_ALIASES, {key for read in reads for key in read.aliases}),
        ):
            if not keys:
                continue
            for (body,) in self.connection.execute(query, (_json(keys),)):
                working.place(_calls.decode(body))
        charged = [call.grant_id for call in working.by_grant.values() if call.revision]
        if charged:
            for (body,) in self.connection.execute(_LOAD_RECORDS, (_json(charged),)):
                record = _records.decode(body)
                working.records.setdefault(record.grant_id, []).append(record)

    def _load_messages(self, working: Working, reads: Sequence[Reads]) -> None:
        keys = {key for read in reads for key in read.messages}
        if keys:
            for row in self.connection.execute(_LOAD_MESSAGES, (_json(keys),)):
                working.messages[row[0]] = Message(*row)

    def write(self, working: Working) -> None:
        """Write what a batch changed, one statement a table."""
        try:
            self._write(working)
        except sqlite3.IntegrityError as error:
            raise IntegrityFault(str(error)) from error

    def _write(self, working: Working) -> None:
        run = self.connection.executemany
        standings = [working.standings[number] for number in working.touched]
        run(_WRITE_STANDING, [(*standing[1:], standing[0]) for standing in standings])
        run(_WRITE_ENTRY, [_entry_row(entry) for entry in working.entries])
        run(_WRITE_CALL, [_call_row(call) for call in working.saved.values()])
        aliases = [(call.id_domain, alias, call.grant_id) for call in working.saved.values() for alias in call.aliases]
        if aliases:
            run(_WRITE_ALIAS, aliases)
        if working.answered:
            run(_WRITE_MESSAGE, [(m.key, m.body, m.reply, m.at, m.grant_id) for m in working.answered.values()])
        if working.appended:
            run(_WRITE_RECORD, [_record_row(record) for record in working.appended])
        if working.exceptions:
            run(_WRITE_EXCEPTION, [_exception_row(item) for item in working.exceptions])
        self._prune()

    def _prune(self) -> None:
        now = self._now()
        if now - self._pruned_at > SECOND:
            self._pruned_at = now
            self.connection.execute(_PRUNE_MESSAGES, (now - MESSAGE_KEPT,))

    def commit(self) -> None:
        """Commit; with ``synchronous=FULL`` the WAL is synced before this returns."""
        self.connection.execute("COMMIT")

    def rollback(self) -> None:
        """Forget the transaction, and trust the connection no more."""
        with contextlib.suppress(sqlite3.Error):
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    def failure(self, error: BaseException) -> StoreError:
        """Return what an operator should read about a database error; the next batch gets a new connection."""
        if isinstance(error, StoreError):
            return error
        self._broken = True
        if isinstance(error, sqlite3.Error):
            return StoreUnavailable(f"the store cannot commit: {error}; see the disk, its space and its rights")
        return StoreError(f"the store failed: {type(error).__name__}: {error}")

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def _json(values: Iterable[object]) -> str:
    return msgspec.json.encode(list(values)).decode()


def _entry_row(entry: Entry) -> tuple[object, ...]:
    return (
        entry.account, entry.kind.value, entry.at, entry.grant_id, entry.amount, entry.pending, entry.uncollected,
        entry.channels_in, entry.channels_out, entry.balance_after, entry.reserved_after, entry.key or None, entry.who,
        entry.reason,
    )  # fmt: skip


def _call_row(call: Call) -> tuple[object, ...]:
    return (
        call.grant_id, call.id_domain, call.call_id, call.attempt, call.part, call.levels[0].account,
        call.direction.value, call.state.value, int(call.is_open), int(call.joined), call.due_at, call.requested_at,
        call.switch, _encode(call),
    )  # fmt: skip


def _record_row(record: RatedCdr) -> tuple[object, ...]:
    return (
        record.record_id, record.grant_id, record.tenant, record.account_number, record.currency, record.charge,
        record.uncollected, record.cost, record.settled_at, _encode(record),
    )  # fmt: skip


def _exception_row(item: object) -> tuple[object, ...]:
    values = {name: getattr(item, name) for name in _EXCEPTION_COLUMNS}
    values["key"] = values["key"] or None
    return tuple(values.values())


class SqliteStore(Administration):
    """Implements charging.ports.Store, and what commands, exports and the composition root need beside it."""

    def __init__(self, path: Path, settings: StoreSettings, now: Callable[[], Instant]) -> None:
        """Take an existing, migrated file; use ``open_store``."""
        super().__init__(now)
        self.path = path
        self._settings = settings
        self.writer = Writer(self._engine, settings.batch_max, settings.queue_max)
        self._reader: aiosqlite.Connection | None = None
        self._opening = asyncio.Lock()

    def _engine(self) -> Engine:
        return SqliteEngine(lambda: connect(self.path), self._now)

    async def transact(self, reads: Reads, decide: Callable[[Book], T]) -> T:
        """Run ``decide`` in the next batch and return its value after the commit. Raises StoreError."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.writer.submit(Job(reads, decide, future))
        return await future

    async def administer(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run administrative work on the writing connection, in a transaction of its own."""

        def errand(engine: Engine) -> T:
            assert isinstance(engine, SqliteEngine)
            return work(engine.connection)

        return await self.writer.errand(errand)

    async def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query that only reads."""
        reader = await self._read_connection()
        try:
            async with reader.execute(query, tuple(parameters)) as cursor:
                return [tuple(row) for row in await cursor.fetchall()]
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the store cannot be read: {error}") from error

    async def _read_connection(self) -> aiosqlite.Connection:
        async with self._opening:
            if self._reader is None:
                self._reader = await aiosqlite.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
                await self._reader.execute("PRAGMA query_only = ON")
        return self._reader

    async def due_calls(self, now: Instant, limit: int) -> Sequence[Call]:
        """Return at most ``limit`` open calls whose ``due_at`` has come, earliest first."""
        query = "SELECT body FROM call WHERE is_open = 1 AND due_at <= ? ORDER BY due_at LIMIT ?"
        return [_calls.decode(row[0]) for row in await self._bodies(query, (now, limit))]

    async def open_calls(self) -> Sequence[Call]:
        """Return every open call."""
        query = "SELECT body FROM call WHERE is_open = 1 ORDER BY requested_at"
        return [_calls.decode(row[0]) for row in await self._bodies(query)]

    async def find_calls(self, call_id: str) -> Sequence[Call]:
        """Return the calls of a call id or grant id, oldest first."""
        query = "SELECT body FROM call WHERE call_id = ? OR grant_id = ? ORDER BY requested_at LIMIT 100"
        return [_calls.decode(row[0]) for row in await self._bodies(query, (call_id, call_id))]

    async def _bodies(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[bytes]]:
        return await self.rows(query, parameters)

    async def records(self, tenant: str, after_seq: int, until_seq: int) -> AsyncIterator[tuple[int, RatedCdr]]:
        """Stream a tenant's records with their sequence, ``after_seq`` excluded, a thousand at a time."""
        query = "SELECT seq, body FROM record WHERE tenant = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT 1000"
        while True:
            page = await self.rows(query, (tenant, after_seq, until_seq))
            for seq, body in page:
                assert isinstance(seq, int)
                assert isinstance(body, bytes)
                yield seq, _records.decode(body)
                after_seq = seq
            if not page:
                return

    async def ping(self) -> None:
        """Write something, durably. Raises StoreError where the store cannot commit."""
        await self.administer(lambda connection: connection.execute(_PING))

    async def close(self) -> None:
        """Finish what is queued, then close; nothing can be asked of the store afterwards."""
        await asyncio.to_thread(self.writer.close)
        if self._reader is not None:
            await self._reader.close()


def path_of(url: str) -> Path:
    """Return the absolute file of a ``sqlite:///`` URL; relative ones count from the working directory."""
    if not url.startswith("sqlite:///"):
        raise StoreError(f"{url!r}: this release keeps its store in SQLite: sqlite:///var/tollway.db")
    return Path(url.removeprefix("sqlite:///")).absolute()


async def open_store(settings: StoreSettings, now: Callable[[], Instant], *, create: bool = False) -> SqliteStore:
    """Return the store of a URL, migrated where it is created.

    Raises StoreUnavailable where there is none (the absolute path is named) and StoreError where its schema is newer
    than this release or older than a release that has to be upgraded first.
    """
    path = path_of(settings.url)
    if not path.exists():
        if not create:
            raise StoreUnavailable(
                f"there is no store at {path}: 'tollway apply FILE' or 'tollway db upgrade' makes one"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    await asyncio.to_thread(_prepare, path, create)
    return SqliteStore(path, settings, now)


def _prepare(path: Path, create: bool) -> None:
    try:
        migrate.check(path, upgrade=create)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the store at {path} cannot be opened: {error}") from error
