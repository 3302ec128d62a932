"""Accounts that the rule suspends and resumes, as an operator sees them: in the log and the metrics, after the commit.

Read from the ledger, so that what a command or another daemon on the same store did is told as well. Where the store
cannot be read nothing is lost: the next look begins where the last one ended.
"""

import asyncio

import structlog

from daemon.charging.ports import Counters, StoreError
from daemon.store import LedgerStore

LOOK_SECONDS = 1.0  # between two looks, which find nothing by an index that holds only such entries
LOOK_ROWS = 1_000  # entries told in one look; the rest in the next

_log = structlog.get_logger("tollway.suspension")


class SuspensionWatch:
    """Tells of each suspension and resumption from when it begins."""

    def __init__(self, store: LedgerStore, counters: Counters) -> None:
        """Bind the parts; looks at nothing yet."""
        self._store = store
        self._counters = counters
        self._told: int | None = None  # number of the last entry that was told

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                _log.warning("suspensions cannot be looked at", error=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Tell what is new. What was there at the first look is history. Raises StoreError."""
        if self._told is None:
            self._told = await self._store.last_entry_of_rule()
            return
        for number, kind, tenant, name, reason in await self._store.entries_of_rule(self._told, LOOK_ROWS):
            self._counters.count("tollway_suspensions_total", act=kind)
            _log.info("account " + kind, account=f"{tenant}/{name}", reason=reason)
            self._told = number
