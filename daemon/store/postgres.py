"""PostgreSQL: one connection charges calls in batches, one serves administration, a few read; several daemons share it.

Nothing is known from before: a batch locks what it reads (call ids and messages by name, then calls, accounts and
meters, each in the order of its number), so that batches of several daemons follow one another, never in a ring.
A connection that breaks in the middle of a COMMIT leaves a question, which the server is asked afterwards.
"""

import asyncio
import contextlib
import importlib
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
from daemon.store.link import Link, never
from daemon.store.postgres_batch import Packed, packed, packed_ahead
from daemon.store.postgres_claims import Claims
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
        """Lock and load the union of what a batch reads: names, calls, accounts, meters."""
        return self._session.run(self._load(reads))

    async def _load(self, reads: Sequence[Reads]) -> Working:
        await self._session.connection.execute(sql.begin_locking(reads))
        fetch = self._session.fetch
        working = await self._found(reads)
        calls = working.calls.values()
        meters = {key for read in reads for key in read.meters}
        meters.update(key for call in calls for key in call.meters)
        accounts = {number for read in reads for number in read.accounts}
        accounts.update(number for call in calls for number in call.accounts)
        accounts.update(number for number, _name in meters)  # a meter that is not there yet is locked by its account
        if accounts:
            rows = await fetch(sql.STANDINGS, sorted(accounts))
            working.standings = {row[0]: standing_of(row) for row in rows}
        if meters:
            rows = await fetch(sql.METERS, *zip(*sorted(meters), strict=True))
            working.meters = {(row[0], row[1]): Meter._make(row) for row in rows}
        charged = [call.grant_id for call in calls if call.revision]
        if charged:
            for record in _records.decode(_listed(await fetch(sql.RECORDS, charged))):
                working.records.setdefault(record.grant_id, []).append(record)
        return working

    async def _found(self, reads: Sequence[Reads]) -> Working:
        working = Working()
        keys = {(*key, direction) for read in reads for key in read.calls for direction in _DIRECTIONS}
        grants = {key for read in reads for key in read.grants}
        aliases = {key for read in reads for key in read.aliases}
        messages = {key for read in reads for key in read.messages}
        if not (keys or grants or aliases or messages):
            return working
        columns = (*_columns(keys, 3), sorted(grants), *_columns(aliases, 2), sorted(messages))
        rows = await self._session.fetch(sql.NAMED, *columns)
        calls = sorted((row[0], row[1]) for row in rows if row[0] is not None)  # oldest first
        working.add_loaded(_calls.decode(f"[{','.join(body for _number, body in calls)}]"))
        working.messages = {row[2]: Message(*row[2:]) for row in rows if row[0] is None}
        working.unanswered = messages - working.messages.keys()
        return working

    def write_ahead(self, working: Working) -> None:
        """Send what was decided so far; the server writes it while the rest is decided."""
        asked, keys, made = self._age.due(working), keys_of(working), packed_ahead(working)
        self._finish()
        if made.kinds:
            self._session.start(self._write(made, asked, keys))

    def _finish(self) -> None:
        self._refusable(self._session.finish)

    def _refusable(self, work: Callable[[], object]) -> None:
        try:
            work()
        except asyncpg.IntegrityConstraintViolationError as error:
            raise IntegrityFault(str(error)) from error

    def write(self, working: Working) -> None:
        """Write what a batch changed, in one statement, each account once. Raises IntegrityFault."""
        asked, keys, made = self._age.due(working), keys_of(working), packed(working)
        self._finish()
        if made.kinds:
            self._refusable(lambda: self._session.run(self._write(made, asked, keys)))

    async def _write(self, made: Packed, asked: tuple[int, Instant] | None, keys: set[tuple[int, str]]) -> None:
        self._xact = (await self._session.fetch(sql.writing(made.kinds), *made.columns))[0][0]
        if keys:  # looked at behind the insert: it waits for an archiver that is taking the same key out
            refuse_spent(next(iter(await self._session.fetch(sql.SPENT_KEY, *_columns(keys, 2))), None))
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
            with contextlib.suppress(*DRIVER_ERRORS):  # it is forgotten, whatever became of it
                self._session.finish()
            if self._session.is_open and self._session.connection.is_in_transaction():
                self._session.simply("ROLLBACK")
        except Exception:  # the driver's own too: it has not noticed yet that the connection is gone
            self._session.drop()

    def is_passing(self, error: Exception) -> bool:
        """Tell whether another process was in the way, or the connection broke before anything was committed."""
        if isinstance(error, IntegrityFault) or state_of(error) in _AGAIN:
            return True
        if self._is_committing or isinstance(error, StoreError | TimeoutError):
            return False
        unread = isinstance(error, asyncpg.InternalClientError)  # what the server said last came before our command
        broke = unread or (isinstance(error, DRIVER_ERRORS) and not self._session.is_open)
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


def _listed(rows: Sequence[Any]) -> str:
    return f"[{','.join(row[0] for row in rows)}]"


def _columns(keys: set[Any], count: int) -> Sequence[Sequence[str]]:
    return list(zip(*sorted(keys), strict=True)) if keys else [()] * count


class PostgresStore(LedgerStore):
    """The store in one database, which other daemons and commands share."""

    def __init__(self, settings: StoreSettings, now: Callable[[], Instant]) -> None:
        """Take a database that is migrated; use ``opened``."""
        self._url = settings.url
        engine = PostgresEngine(self._url, CHARGING)
        archive = Path(settings.archive).absolute() if settings.archive else None
        super().__init__(now, Writer(engine, min(settings.batch_max, BATCH_MAX), settings.queue_max), archive)
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
        return await asyncio.to_thread(_read, self._url, work, self._closing.is_set)

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
        self._closing.set()
        await asyncio.to_thread(self.writer.close)
        await asyncio.to_thread(self._clerk.close)
        self._claims.close()
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), CONNECT_SECONDS)
            except DRIVER_ERRORS:
                pool.terminate()


def _read(url: str, work: Callable[[Link], T], is_closing: Callable[[], bool] = never) -> T:
    session = Session(url, READING)
    try:
        session.open()
        session.simply("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return work(PostgresLink(session, is_closing))
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
