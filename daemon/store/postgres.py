"""PostgreSQL: one connection charges calls in batches, one serves administration, a few read; several daemons share it.

Nothing is known from before: a batch locks what it reads (call ids and messages by name, then calls, accounts and
meters, each in the order of its number), so that batches of several daemons follow one another, never in a ring.
A connection that breaks in the middle of a COMMIT leaves a question, which the server is asked afterwards.
"""

import asyncio
import contextlib
import importlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg
import msgspec

from daemon.charging.call import Call
from daemon.charging.cdr import RatedCdr
from daemon.charging.ports import Message, Reads, StoreError, StoreUnavailable
from daemon.kernel.ids import Direction
from daemon.kernel.instant import Instant
from daemon.rating.bundle import Meter
from daemon.settings import StoreSettings, shown
from daemon.store import migrate
from daemon.store import postgres_statements as sql
from daemon.store.book import Working
from daemon.store.commit import IntegrityFault, Writer
from daemon.store.ledger_store import LedgerStore
from daemon.store.link import Link
from daemon.store.postgres_batch import Held, Named, Packed, packed
from daemon.store.postgres_claims import Claims
from daemon.store.postgres_lanes import LanedWriter
from daemon.store.postgres_link import (
    CHARGING,
    COMMAND_SECONDS,
    CONNECT_SECONDS,
    DRIVER_ERRORS,
    READING,
    WRITING,
    PostgresLink,
    Session,
    connected,
    explained,
    numbered,
    state_of,
    whole_numbers,
)
from daemon.store.rows import MessageAge, keys_of, refuse_spent
from daemon.store.standing_row import standing_of

T = TypeVar("T")
BATCH_MAX: Final = 256  # transactions of one batch: each locks some names, and a server keeps a few thousand locks
READERS_MAX: Final = 4  # connections that answer short questions
DOUBT_SECONDS: Final = 5.0  # to learn how a COMMIT ended whose answer was lost
DOUBT_PAUSE: Final = 0.05  # seconds between two questions
_AGAIN: Final = ("40001", "40P01")  # serialization failure, deadlock: the server forgot the transaction
# The server ended the connection; or knows another schema than the prepared statements of this one.
_NEW_CONNECTION: Final = ("57P", "08", "0A000")
_DIRECTIONS = tuple(direction.value for direction in Direction)
_calls = msgspec.json.Decoder(list[Call])
_records = msgspec.json.Decoder(list[RatedCdr])


class PostgresEngine:
    """Implements commit.Engine on one session, which only the writer's thread uses."""

    def __init__(self, url: str, settings: dict[str, str]) -> None:
        """Name the database; the connection is opened when it is first needed, and again after it may have broken."""
        self._url = url
        self._session = Session(url, settings)
        self._age = MessageAge()
        self._xact = ""  # the transaction's number, once a batch has written
        self._is_committing = False

    @property
    def link(self) -> PostgresLink:
        """The connection for administrative work, alone among all who administer: as on SQLite, one after the other."""
        self._session.simply(f"BEGIN; {sql.LOCK_ADMINISTRATION}")
        return PostgresLink(self._session)

    def begin(self) -> None:
        """Have a connection, on which the first command begins the transaction. Raises StoreError."""
        self._is_committing, self._xact = False, ""
        try:
            self._session.open()
        except DRIVER_ERRORS as error:
            self._session.drop()
            raise explained(error, self._url) from error

    def load(self, reads: Sequence[Reads]) -> Working:
        """Lock and load the union of what a batch reads, one query a table."""
        named = self.load_named(reads)
        return named.working(self.load_held(named))

    def load_named(self, reads: Sequence[Reads]) -> Named:
        """Lock and load all but accounts and meters, which other batches wait for most."""
        return self._session.run(self._named(reads))

    async def _named(self, reads: Sequence[Reads]) -> Named:
        await self._session.connection.execute(sql.begin_locking(reads))
        named = await self._found(reads)
        charged = [call.grant_id for call in named.calls if call.revision]
        if charged:
            named.records = _records.decode(_listed(await self._session.fetch(sql.RECORDS, charged)))
        named.meters.update(key for read in reads for key in read.meters)
        named.meters.update(key for call in named.calls for key in call.meters)
        named.accounts.update(number for read in reads for number in read.accounts)
        named.accounts.update(number for call in named.calls for number in call.accounts)
        named.accounts.update(number for number, _name in named.meters)  # one that is not there yet is locked by it
        return named

    async def _found(self, reads: Sequence[Reads]) -> Named:
        keys = {(*key, direction) for read in reads for key in read.calls for direction in _DIRECTIONS}
        grants = {key for read in reads for key in read.grants}
        aliases = {key for read in reads for key in read.aliases}
        messages = {key for read in reads for key in read.messages}
        if not (keys or grants or aliases or messages):
            return Named([])
        columns = (*_columns(keys, 3), sorted(grants), *_columns(aliases, 2), sorted(messages))
        rows = await self._session.fetch(sql.NAMED, *columns)
        calls = sorted((row[0], row[1]) for row in rows if row[0] is not None)  # oldest first
        found = Named(_calls.decode(f"[{','.join(body for _number, body in calls)}]"))
        found.messages = {row[2]: Message(*row[2:]) for row in rows if row[0] is None}
        return found

    def load_held(self, named: Named) -> Held:
        """Lock and load the accounts and meters that a batch reads, each in the order of its number."""
        return self._session.run(self._held(named))

    async def _held(self, named: Named) -> Held:
        held = Held({}, {})
        if named.accounts:
            rows = await self._session.fetch(sql.STANDINGS, sorted(named.accounts))
            held.standings.update((row[0], standing_of(row)) for row in rows)
        if named.meters:
            rows = await self._session.fetch(sql.METERS, *zip(*sorted(named.meters), strict=True))
            held.meters.update(((row[0], row[1]), Meter._make(row)) for row in rows)
        return held

    def write(self, working: Working) -> None:
        """Write what a batch changed, in one statement, each account once."""
        self.write_packed(working, packed(working))

    def write_packed(self, working: Working, made: Packed) -> None:
        """Write what was made ready before. Raises IntegrityFault."""
        try:
            self._session.run(self._write(working, made))
        except asyncpg.IntegrityConstraintViolationError as error:
            raise IntegrityFault(str(error)) from error

    async def _write(self, working: Working, made: Packed) -> None:
        self._xact = (await self._session.fetch(sql.writing(made.tables), *made.columns))[0][0]
        keys = keys_of(working)
        if keys:  # looked at behind the insert: it waits for an archiver that is taking the same key out
            refuse_spent(next(iter(await self._session.fetch(sql.SPENT_KEY, *_columns(keys, 2))), None))
        asked = self._age.due(working)
        if asked is not None:
            self._age.pruned(asked, await self._session.touched(sql.PRUNE_MESSAGES, *asked))

    def commit(self) -> None:
        """Commit; with ``synchronous_commit`` the server has synced its log before this returns."""
        self._is_committing = True
        try:
            said = self._session.simply("COMMIT")
        except DRIVER_ERRORS as error:
            if self._xact and not state_of(error).startswith(_AGAIN) and self._was_committed():
                return
            raise
        if said != "COMMIT":
            raise StoreUnavailable(f"the store at {shown(self._url)} did not commit: it said {said}")

    def _was_committed(self) -> bool:
        """Ask how a COMMIT ended whose answer was lost. False also where nobody can be asked in time."""
        ends = time.monotonic() + DOUBT_SECONDS
        while time.monotonic() < ends:
            try:
                self._session.drop()
                self._session.open()
                rows = self._session.run(self._session.fetch(sql.OUTCOME, self._xact))
            except (*DRIVER_ERRORS, StoreError):
                time.sleep(DOUBT_PAUSE)
                continue
            if rows[0][0] != "in progress":
                return bool(rows[0][0] == "committed")
            time.sleep(DOUBT_PAUSE)
        return False

    def rollback(self) -> None:
        """Forget the transaction; a connection that cannot do so is dropped, and the server does."""
        if self._session.connection is None:
            return
        try:
            if self._session.is_open and self._session.connection.is_in_transaction():
                self._session.simply("ROLLBACK")
        except DRIVER_ERRORS:
            self._session.drop()

    def is_passing(self, error: Exception) -> bool:
        """Tell whether another process was in the way, or the connection broke before anything was committed."""
        if isinstance(error, IntegrityFault) or state_of(error) in _AGAIN:
            return True
        if self._is_committing or isinstance(error, StoreError | TimeoutError):
            return False
        broke = isinstance(error, DRIVER_ERRORS) and not self._session.is_open
        if not broke and not state_of(error).startswith(_NEW_CONNECTION):
            return False
        self._session.drop()
        return True

    def failure(self, error: Exception) -> StoreError | None:
        """Return what an operator should read about a database error; the next transaction gets a new connection.

        A value that no column can hold is its own caller's fault, and none of the database's.
        """
        if isinstance(error, StoreError):
            return error
        if not isinstance(error, DRIVER_ERRORS) or isinstance(error, ValueError) or state_of(error).startswith("22"):
            return None
        self._session.drop()
        return explained(error, self._url)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


class LaneEngine(PostgresEngine, threading.local):
    """One engine for the threads of all lanes: each has a session, and all that belongs to it, of its own."""


def _listed(rows: Sequence[Any]) -> str:
    return f"[{','.join(row[0] for row in rows)}]"


def _columns(keys: set[Any], count: int) -> Sequence[Sequence[str]]:
    return list(zip(*sorted(keys), strict=True)) if keys else [()] * count


class PostgresStore(LedgerStore):
    """The store in one database, which other daemons and commands share."""

    def __init__(self, settings: StoreSettings, now: Callable[[], Instant]) -> None:
        """Take a database that is migrated; use ``opened``."""
        self._url = settings.url
        engine = LaneEngine(self._url, CHARGING)
        archive = Path(settings.archive).absolute() if settings.archive else None
        super().__init__(now, LanedWriter(engine, min(settings.batch_max, BATCH_MAX), settings.queue_max), archive)
        # What persons change has a thread and a connection of its own: no call waits for an import.
        self._desk = PostgresEngine(self._url, WRITING)
        self._clerk = Writer(self._desk, 1, 1)
        self._claims = Claims(self._url)
        self._pool: Any = None
        self._opening = asyncio.Lock()

    @property
    def name(self) -> str:
        """The URL without its password."""
        return shown(self._url)

    async def administer(self, work: Callable[[Link], T]) -> T:
        """Run administrative work in a transaction of its own, after that of any other process. Raises StoreError."""
        return await self._clerk.errand(lambda: work(self._desk.link))

    async def claimed(self, names: Collection[str]) -> Collection[str]:
        """Return those of the names that this daemon holds, by locks of the server's. Raises StoreError."""
        return await self._claims.hold(names)

    async def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query that only reads. Raises StoreError."""
        try:
            pool = await self._readers()
            return [tuple(row) for row in await pool.fetch(numbered(query), *parameters)]
        except DRIVER_ERRORS as error:
            raise explained(error, self._url) from error

    async def _readers(self) -> Any:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._url, min_size=0, max_size=READERS_MAX, timeout=CONNECT_SECONDS, init=whole_numbers,
                    command_timeout=COMMAND_SECONDS, server_settings=dict(READING),
                )  # fmt: skip
        return self._pool

    async def reading(self, work: Callable[[Link], T]) -> T:
        """Run work that reads much in a thread, on a connection of its own: it sees one snapshot. Raises StoreError."""
        return await asyncio.to_thread(_read, self._url, work)

    @contextlib.asynccontextmanager
    async def alone_in_archiving(self) -> AsyncIterator[None]:
        """Hold a lock of the server's on a connection of its own, with which it ends. Raises StoreUnavailable."""
        try:
            connection = await connected(self._url, READING)
        except DRIVER_ERRORS as error:
            raise explained(error, self._url) from error
        try:
            if not await connection.fetchval(sql.LOCK_ARCHIVING):
                raise StoreUnavailable(f"another process archives from {self.name}: wait for it")
            yield
        finally:
            connection.terminate()

    async def close(self) -> None:
        """Finish what is queued, then close; nothing can be asked of the store afterwards."""
        await asyncio.to_thread(self.writer.close)
        await asyncio.to_thread(self._clerk.close)
        self._claims.close()
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), CONNECT_SECONDS)
            except DRIVER_ERRORS:
                pool.terminate()


def _read(url: str, work: Callable[[Link], T]) -> T:
    session = Session(url, READING)
    try:
        session.open()
        session.simply("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return work(PostgresLink(session))
    except DRIVER_ERRORS as error:
        raise explained(error, url) from error
    finally:
        session.close()


def revision(url: str) -> str:
    """Return the revision of a database's schema, empty where it has none. Raises StoreError."""
    return _read(url, _revision)


def _revision(link: Link) -> str:
    tables = {name for (name,) in link.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")}
    if "alembic_version" in tables:
        row = link.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row is not None else ""
    if tables:
        raise StoreError(f"the database is one of something else (tables {', '.join(sorted(tables)[:3])} …)")
    return ""


async def opened(settings: StoreSettings, now: Callable[[], Instant], *, create: bool) -> PostgresStore:
    """Return the store of a database; see ``opening.open_store``."""
    await asyncio.to_thread(_prepare, settings.url, create)
    return PostgresStore(settings, now)


def _prepare(url: str, create: bool) -> None:
    if migrate.is_needed(revision(url), shown(url), upgrade=create):
        try:
            importlib.import_module("daemon.store.postgres_upgrade").upgrade(url)
        except DRIVER_ERRORS as error:
            raise explained(error, url) from error
