"""A connection to PostgreSQL for a thread that waits: asyncpg on a loop of the thread's own, behind plain calls.

The writer's thread, and those that read much, may wait; the daemon's loop may not. Statements are prepared once for
each connection. Errors are the driver's here; ``explained`` says what an operator should look at.
"""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import uvloop

from daemon.charging.ports import StoreError, StoreUnavailable
from daemon.settings import shown
from daemon.store import postgres_statements as sql
from daemon.store.link import never, while_open
from daemon.store.schema import metadata

T = TypeVar("T")
CONNECT_SECONDS: Final = 5.0  # to reach the server and be let in
COMMAND_SECONDS: Final = 60.0  # of one statement; longer, and the server or the way to it is taken for dead
CLOSE_SECONDS: Final = 2.0  # to part in order, before the connection is dropped
LOCK_SECONDS: Final = 5.0  # a writer waits for what another process locked, as on SQLite
IDLE_SECONDS: Final = 30.0  # after which the server ends the transaction of a daemon that stopped in the middle of it
STATEMENTS_CACHED: Final = 256  # prepared on one connection; the daemon has some eighty
START_TURNS: Final = 3  # of the loop, after which what was started is on its way: it is made, sent, and flushed
VERSION_MIN: Final = 13  # the oldest release that tells how a transaction ended
_ROWS = re.compile(r" (\d+)$")  # of a status such as INSERT 0 5

WRITING: Final = {
    "application_name": "tollway",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "synchronous_commit": "on",
    "lock_timeout": f"{LOCK_SECONDS * 1000:.0f}",
    "idle_in_transaction_session_timeout": f"{IDLE_SECONDS * 1000:.0f}",
}
# A batch finds everything by an index. What the planner knows of a table that grows this fast is always too old.
CHARGING: Final[dict[str, str]] = {
    **WRITING, "enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}  # fmt: skip
READING: Final = {"application_name": "tollway", "default_transaction_read_only": "on"}
DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


async def connected(url: str, settings: Mapping[str, str]) -> Any:
    """Return a connection of asyncpg. Raises what the driver raises, and StoreError for a server of no use."""
    connection = await asyncpg.connect(
        url, timeout=CONNECT_SECONDS, command_timeout=COMMAND_SECONDS, server_settings=dict(settings),
        statement_cache_size=STATEMENTS_CACHED,
    )  # fmt: skip
    try:
        _refuse_unfit(connection, url)
        await whole_numbers(connection)
    except BaseException:
        connection.terminate()
        raise
    return connection


def _refuse_unfit(connection: Any, url: str) -> None:
    version, encoding = connection.get_server_version(), connection.get_settings().server_encoding
    if version.major < VERSION_MIN:
        raise StoreError(f"the server at {shown(url)} is PostgreSQL {version.major}: {VERSION_MIN} or newer is needed")
    if getattr(connection.get_settings(), "in_hot_standby", "off") == "on":
        raise StoreUnavailable(f"the server at {shown(url)} is a standby: the URL must name the primary")
    if encoding != "UTF8":
        raise StoreError(f"the database at {shown(url)} is in {encoding}: make one with ENCODING 'UTF8'")


async def whole_numbers(connection: Any) -> None:
    """Have sums of 64-bit integers given as integers: the server calls them numeric."""
    await connection.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=int, format="text")


class Session:
    """One connection and the loop that it lives on, for one thread; opened anew where it has broken."""

    def __init__(self, url: str, settings: Mapping[str, str]) -> None:
        """Take where to connect, and how the server shall treat the connection; nothing is opened yet."""
        self.url = url
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._statements: dict[str, Any] = {}
        self._started: asyncio.Future[object] | None = None
        self.connection: Any = None

    @property
    def is_open(self) -> bool:
        """Tell whether there is a connection, as far as is known."""
        return self.connection is not None and not self.connection.is_closed()

    def open(self) -> None:
        """Connect, where there is no connection. Raises what the driver raises, and StoreError."""
        if not self.is_open:
            self.drop()
            self.connection = self.run(connected(self.url, self._settings))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the loop, and wait for it."""
        if self._loop is None:
            self._loop = uvloop.new_event_loop()
        return self._loop.run_until_complete(work)

    def start(self, work: Coroutine[Any, Any, object]) -> None:
        """Begin something that ``finish`` waits for: the server works on what was sent, this thread on other things."""
        self.run(self._start(work))

    async def _start(self, work: Coroutine[Any, Any, object]) -> None:
        assert self._started is None, "what was started before is not finished"
        self._started = asyncio.ensure_future(work)
        for _ in range(START_TURNS):
            await asyncio.sleep(0)

    def finish(self) -> None:
        """Wait for what was started, if anything. Raises what it raises."""
        started, self._started = self._started, None
        if started is not None:
            self.run(_result(started))

    async def prepared(self, query: str) -> Any:
        """Return the prepared statement of a text with ``$1``, ``$2`` …"""
        found = self._statements.get(query)
        if found is None:
            if len(self._statements) >= STATEMENTS_CACHED:
                self._statements.clear()
            found = self._statements[query] = await self.connection.prepare(query)
        return found

    async def fetch(self, query: str, *values: object) -> Any:
        """Return the rows of a statement."""
        return await (await self.prepared(query)).fetch(*values)

    async def touched(self, query: str, *values: object) -> int:
        """Run a statement and return how many rows it touched."""
        statement = await self.prepared(query)
        await statement.fetch(*values)
        return rows_touched(statement.get_statusmsg())

    def simply(self, command: str) -> str:
        """Run a command without values; return what the server says of it."""
        return str(self.run(self.connection.execute(command)))

    def drop(self) -> None:
        """Forget the connection, whatever state it is in; the server ends its transaction."""
        connection, self.connection = self.connection, None
        self._statements.clear()
        self._started = None
        if connection is not None and not connection.is_closed():
            connection.terminate()

    def close(self) -> None:
        """Part from the server and end the loop."""
        if self._loop is None:
            return
        try:
            if self.is_open:
                self._statements.clear()
                self.run(self.connection.close(timeout=CLOSE_SECONDS))
        except DRIVER_ERRORS:
            pass  # gone already: there is nothing that could be lost
        finally:
            self.drop()
            self.run(self._loop.shutdown_asyncgens())
            self._loop.close()
            self._loop = None


async def _result(future: "asyncio.Future[object]") -> object:
    return await future


def rows_touched(status: str) -> int:
    """Return the number of rows in a status such as ``UPDATE 3``, 0 where it names none."""
    found = _ROWS.search(status or "")
    return int(found[1]) if found is not None else 0


@lru_cache(maxsize=STATEMENTS_CACHED)
def numbered(query: str) -> str:
    """Return a text with ``$1``, ``$2`` … for its question marks; the daemon's texts have no other."""
    first, *rest = query.split("?")
    return first + "".join(f"${place}{part}" for place, part in enumerate(rest, 1))


class PostgresCursor:
    """Implements link.Cursor: rows that were fetched."""

    def __init__(self, rows: Iterable[Any], rowcount: int) -> None:
        """Take the rows, and how many the statement touched."""
        self._rows = iter([tuple(row) for row in rows])
        self.rowcount = rowcount

    def fetchone(self) -> Any:
        """Return the next row, None where there is none."""
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        """Yield the rows that are left."""
        return self._rows


class PostgresLink:
    """Implements link.Link on a session, within a transaction of it."""

    dialect: Final = "postgresql"
    locking: Final = " FOR UPDATE"

    def __init__(self, session: Session, is_closing: Callable[[], bool] = never) -> None:
        """Take the session, whose transaction stays with whoever began it, and what ends the reading of many pages."""
        self._session = session
        self._is_closing = is_closing

    def execute(self, query: str, parameters: Sequence[object] = ()) -> PostgresCursor:
        """Run one statement."""
        return self._session.run(self._executed(numbered(query), parameters))

    async def _executed(self, query: str, values: Sequence[object]) -> PostgresCursor:
        statement = await self._session.prepared(query)
        rows = await statement.fetch(*values)
        return PostgresCursor(rows, rows_touched(statement.get_statusmsg()))

    def executemany(self, query: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for each row of values, without waiting for each."""
        self._session.run(self._each(numbered(query), rows))

    async def _each(self, query: str, rows: Iterable[Sequence[object]]) -> None:
        await (await self._session.prepared(query)).executemany(rows)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Insert rows by one statement, an array for each column."""
        if rows:
            query = sql.inserting(metadata.tables[table], columns)
            self._session.run(self._session.fetch(query, *sql.packed(table, columns, rows)))

    def pages(self, query: str, parameters: Sequence[object], rows: int) -> Iterator[list[Any]]:
        """Yield the rows of a query some at a time, by a cursor. StoreUnavailable where the store closes meanwhile."""
        cursor = self._session.run(self._opened(numbered(query), parameters))
        pages = iter(lambda: [tuple(row) for row in self._session.run(cursor.fetch(rows))], [])
        return while_open(pages, self._is_closing)

    async def _opened(self, query: str, values: Sequence[object]) -> Any:
        return await (await self._session.prepared(query)).cursor(*values)

    def wait_for_writers(self, table: str) -> None:
        """Wait until nobody has uncommitted rows in a table, and let nobody write to it until this transaction ends."""
        self._session.simply(f"LOCK TABLE {metadata.tables[table].name} IN SHARE MODE")


_ADVICE: Final = {  # by the longest beginning of the SQLSTATE
    "08": "the connection to the server is gone",
    "25006": "it is read-only: a standby, or one that was told to be; the URL must name the primary",
    "25P03": f"this process held a transaction open for {IDLE_SECONDS:g} s without going on",
    "28": "the server does not let us in: look at the user and password of the URL, and at pg_hba.conf",
    "3D": "there is no such database: make it with createdb",
    "40": "other processes were in the way each time that it was tried",
    "42501": "the role lacks rights: it must own the database's tables",
    "53": "the server is out of disk, memory or connections",
    "55P03": f"another process has held a lock for {LOCK_SECONDS:g} s",
    "57": "the server is shutting down, starting, or ended the connection",
    "58": "the server's disk reported an error: look at the kernel's log before anything else",
    "XX001": "it is damaged: stop the daemon and restore the last backup",
    "XX002": "it is damaged: stop the daemon and restore the last backup",
}
_FILES: Final = ("sslrootcert", "sslcert", "sslkey", "passfile")  # options of a URL that name a file
_DAMAGED: Final = ("XX001", "XX002")


def explained(error: Exception, url: str) -> StoreError:
    """Return the typed error of one of the driver's, with what an operator should look at first."""
    if isinstance(error, StoreError):
        return error
    code = state_of(error)
    named = [advice for start, advice in _ADVICE.items() if code and code.startswith(start)]
    if named:
        advice = named[-1]
    elif isinstance(error, TimeoutError):
        advice = "the server does not answer in time"
    elif isinstance(error, OSError | asyncpg.InterfaceError) and (missing := _missing_file(url)):
        advice = f"its URL names a file that is not there, {missing}"
    elif isinstance(error, OSError):
        advice = "the server cannot be reached: is it running, and are host and port of the URL right?"
    else:
        advice = "it did not do what was asked"
    kind = StoreError if code in _DAMAGED else StoreUnavailable
    said = " ".join(str(error).split()) or "no more is known"
    return kind(f"the store at {shown(url)} cannot be used: {advice} ({code or type(error).__name__}: {said})")


def _missing_file(url: str) -> str:
    """Return the first file of a URL's options that does not exist, with its option; empty where all do."""
    named = dict(parse_qsl(urlsplit(url).query))
    return next((f"{name}={named[name]}" for name in _FILES if name in named and not Path(named[name]).exists()), "")


def state_of(error: Exception) -> str:
    """Return the SQLSTATE of an error of the server, empty for any other."""
    return str(error.sqlstate or "") if isinstance(error, asyncpg.PostgresError) else ""
