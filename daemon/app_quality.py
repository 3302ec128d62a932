"""Carriers' quality, looked at every minute: what attempts came to is graded, and the catalog takes the grades.

A decision never computes any of it. Where the store cannot be asked, routes stay in the order of the last look.
"""

import asyncio
from collections.abc import Callable

import structlog

from daemon.authorize.quality import Qualities
from daemon.charging.ports import Outside, StoreError
from daemon.store import LedgerStore
from daemon.store.qualities import regraded

LOOK_SECONDS = 60.0  # between two looks: a minute of calls is a few of the attempts that make a grade

_log = structlog.get_logger("tollway.quality")


class QualityWatch:
    """Grades carriers again and again; ``take`` gets the grades."""

    def __init__(self, store: LedgerStore, outside: Outside, take: Callable[[Qualities], None]) -> None:
        """Bind the parts; looks at nothing yet."""
        self._store = store
        self._outside = outside
        self._take = take

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                _log.warning("carriers cannot be graded", error=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Grade what was counted until now. Raises StoreError."""
        self._take(await regraded(self._store, self._outside.now()))
