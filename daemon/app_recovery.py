"""Recovery as an operator sees it: what a start found open and what became of it, in the log, the store and metrics.

Recovery itself is done by the roads (each asks its switches) and by expiry; this only watches and tells. Where the
store cannot commit the start is noted as soon as it can: no call waits for it.
"""

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence

import structlog

from daemon.charging.call import Call
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Exceptional, Reads, StoreError
from daemon.charging.recovery import HOLDING, Start, channels_freed, counted, money_freed
from daemon.kernel.money import format_nano
from daemon.store import LedgerStore
from daemon.store.recovery import STUCK

FIRST_SECONDS = 2.0  # after the start until it is told what came of it: links are up within a second
LOOK_SECONDS = 5.0  # between two looks while calls of the start are still open
LOOK_SHARE = 0.005  # seconds more for each call that was found: 10,000 calls are read once a minute
SETTLED_SECONDS = 300.0  # between two looks once none is open: a late report may still correct one

_log = structlog.get_logger("tollway.recovery")


class RecoveryWatch:
    """Watches one start. ``counts`` are its calls by what became of them; empty before the first look."""

    def __init__(self, store: LedgerStore, ocf: OnlineCharging) -> None:
        """Bind the parts; notes nothing yet."""
        self._store = store
        self._ocf = ocf
        self.start: Start | None = None
        self._found: Sequence[Call] | None = None  # from before anything listened; those of one start
        self.counts: Mapping[str, int] = {}
        self.failing: dict[str, str] = {}  # calls that cannot be resolved, by grant id, and why

    async def look(self) -> None:
        """Read what is open before anything listens. Nothing is noted yet: a start whose port is taken is none."""
        try:
            self._found = await self._store.open_calls()
        except StoreError as error:
            _log.warning("recovery waits for the store", error=str(error))

    async def begin(self) -> None:
        """Note what is open before any switch is asked. A store that cannot commit is tried again by ``run``."""
        try:
            calls = self._found if self._found is not None else await self._store.open_calls()
            name = f"{socket.gethostname()}:{os.getpid()}"
            self.start = await self._store.begin_recovery(name, calls, self._ocf.journalled)
        except StoreError as error:
            _log.warning("recovery waits for the store", error=str(error))
            return
        self._found = None
        answered = sum(call.answered_at is not None for call in calls)
        _log.info(
            "recovery begins", start=self.start.number, open_calls=len(calls), answered=answered,
            grants_in_the_journal=self.start.journalled,
        )  # fmt: skip

    async def run(self) -> None:
        """Look what became of the calls, for ever, and say so whenever it changed."""
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            if self.start is None:
                await self.begin()
            if self.start is not None:
                await self._look(self.start)
            await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        if self.start is not None and self.counts and not any(self.counts[fate.value] for fate in HOLDING):
            return SETTLED_SECONDS
        return LOOK_SECONDS + LOOK_SHARE * (self.start.found if self.start is not None else 0)

    async def _look(self, start: Start) -> None:
        try:
            calls = await self._store.recovered_calls(start)
        except StoreError as error:
            _log.warning("recovery cannot be looked at", error=str(error))
            return
        counts = counted(calls)
        if counts == self.counts:
            return
        self.counts = counts
        freed = {currency: format_nano(nano) for currency, nano in money_freed(calls).items()}
        money = " ".join(f"{amount} {currency}" for currency, amount in freed.items()) or "none"
        _log.info(
            "recovery", start=start.number, found=start.found, **counts, money_freed=money,
            channels_freed=channels_freed(calls), grants_in_the_journal=self._ocf.journalled,
        )  # fmt: skip

    async def note_failing(self, failing: dict[str, str]) -> None:
        """Take the calls that cannot be resolved: each is logged, and listed for a person, once for each reason."""
        for grant_id, reason in failing.items() - self.failing.items():
            _log.error("call cannot be resolved", grant_id=grant_id, error=reason)
            await self._listed(grant_id, reason)
        self.failing = failing

    async def _listed(self, grant_id: str, reason: str) -> None:
        calls = await self._store.find_calls(grant_id)
        tenant, source, switch, call_id = "", "", "", ""
        for call in calls[:1]:
            tenant, source, switch, call_id = call.tenant, call.source, call.switch, call.call_id
        item = Exceptional(STUCK, tenant, source, switch, call_id, f"grant {grant_id}: {reason}",
                           self._ocf.now(), f"{STUCK}:{grant_id}")  # fmt: skip
        await self._store.transact(Reads(), lambda book: book.append_exception(item))
