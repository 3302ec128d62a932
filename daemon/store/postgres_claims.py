"""What one daemon of several does alone, such as holding the link to a switch: a lock of the session on the server.

The server gives it up when the connection ends, so that a daemon which died keeps nothing. A connection that broke may
have lost everything: what was held is claimed anew on the next, and another daemon may have it by then.
"""

import asyncio
from collections.abc import Collection
from typing import Any, Final

import asyncpg

from daemon.store import postgres_statements as sql
from daemon.store.postgres_link import CONNECT_SECONDS, DRIVER_ERRORS, explained

ANSWER_SECONDS: Final = 5.0  # of one question; longer, and the connection is taken for broken
# The server notices within some twenty seconds that the machine at the other end is gone.
CLAIMING: Final = {
    "application_name": "tollway", "tcp_keepalives_idle": "5", "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}  # fmt: skip


class Claims:
    """The names that this process holds, on a connection of their own."""

    def __init__(self, url: str) -> None:
        """Take where to connect; nothing is opened before a name is wanted."""
        self._url = url
        self._connection: Any = None
        self._held: set[str] = set()
        self._asking = asyncio.Lock()  # two roads that ask at once would open two connections, and lose what one holds

    async def hold(self, names: Collection[str]) -> Collection[str]:
        """Give up what is not among the names, try for the others, and return what is held. Raises StoreError."""
        async with self._asking:
            return await self._holds(names)

    async def _holds(self, names: Collection[str]) -> Collection[str]:
        if not names and self._connection is None:
            return ()
        try:
            await self._settle(set(names))
        except (*DRIVER_ERRORS, TimeoutError) as error:
            self._drop()
            raise explained(error, self._url) from error
        except asyncio.CancelledError:
            self._drop()  # what the server made of the question is not known
            raise
        return frozenset(self._held)

    async def _settle(self, names: set[str]) -> None:
        if self._connection is None or self._connection.is_closed():
            self._drop()
            self._connection = await asyncpg.connect(
                self._url, timeout=CONNECT_SECONDS, command_timeout=ANSWER_SECONDS, server_settings=CLAIMING
            )
        for name in self._held - names:
            await self._connection.fetchval("SELECT pg_advisory_unlock($1)", sql.claim_of(name))
            self._held.discard(name)
        wanted = sorted(names - self._held)
        # Asked also where nothing is wanted: a connection that broke is found out, and what it held.
        rows = await self._connection.fetch(
            "SELECT pg_try_advisory_lock(key) FROM unnest($1::bigint[]) AS asked(key)",
            [sql.claim_of(name) for name in wanted],
        )
        self._held.update(name for name, row in zip(wanted, rows, strict=True) if row[0])

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._held.clear()
        if connection is not None and not connection.is_closed():
            connection.terminate()

    def close(self) -> None:
        """Give everything up."""
        self._drop()
