"""Figures that are the store's and no daemon's: what open calls hold, the oldest of them, the age of the last exports.

The store sums; no call is walked over here. A sum over many calls takes its time, so that one is made anew only after
ten times as long as the last one took: a scrape never costs more than a tenth of one reader, whoever scrapes how often.
What cannot be read is NaN, never 0.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Gauge

from daemon.charging.ports import StoreError, StoreSums
from daemon.kernel.instant import SECOND, Instant

UNKNOWN: Final = float("nan")  # a figure that could not be read
REST: Final = 10  # times as long as a reading took that nothing is read again


class FigureStore(Protocol):
    """A store that sums what it holds."""

    async def sums(self) -> StoreSums:
        """Return what figures are made of. Raises StoreError."""


class StoreFigures:
    """Reads them for a registry."""

    def __init__(self, store: FigureStore, registry: CollectorRegistry, now: Callable[[], Instant]) -> None:
        """Declare the figures; reads nothing yet."""
        self._store, self._now = store, now
        self._reading = asyncio.Lock()
        self._due = float("-inf")  # seconds of the clock that never goes back, from when it is read again
        self._sums: StoreSums | None = None
        self._owner: Callable[[], str] = str

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        self._open = gauge("tollway_open_calls", "Calls that hold money or channels")
        self._reserved = gauge("tollway_reserved_nano", "Money held by open calls, nano-units", "currency")
        self._channels = gauge("tollway_channels", "Channels in use of accounts and of carriers, by side", "side")
        self._oldest = gauge("tollway_oldest_open_call_seconds", "Seconds since the oldest open call was asked for")
        self._age = gauge(
            "tollway_export_age_seconds", "Seconds since the last export batch of the owner; of others, the oldest",
            "whose",
        )  # fmt: skip

    def watch_owner(self, owner: Callable[[], str]) -> None:
        """Take who tells the id of the uppermost tenant."""
        self._owner = owner

    async def read(self) -> None:
        """Bring the figures up to date."""
        async with self._reading:
            if time.monotonic() >= self._due:
                await self._read()
        self._show()

    async def _read(self) -> None:
        began = time.monotonic()
        try:
            self._sums = await self._store.sums()
        except StoreError:
            self._sums = None
        self._due = time.monotonic() + REST * (time.monotonic() - began)

    def _show(self) -> None:
        for labelled in (self._reserved, self._channels, self._age):
            labelled.clear()
        now = self._now()
        self._show_exports(now)
        if self._sums is None:
            self._open.set(UNKNOWN)
            self._oldest.set(UNKNOWN)
            return
        calls = self._sums.open
        self._open.set(sum(each.calls for each in calls))
        oldest = min((each.oldest for each in calls), default=now)
        self._oldest.set(max(0, now - oldest) / SECOND)
        for currency in {each.currency for each in calls}:
            self._reserved.labels(currency).set(sum(each.reserved for each in calls if each.currency == currency))
        for side in ("inbound", "outbound"):
            self._channels.labels(side).set(sum(each.calls for each in calls if each.direction == side))
        self._channels.labels("carrier").set(self._sums.carrier_channels)

    def _show_exports(self, now: Instant) -> None:
        owner, last = self._owner(), dict(self._sums.exports) if self._sums is not None else {}
        own = [last[owner]] if owner in last else []
        others = [at for tenant, at in last.items() if tenant != owner]
        for whose, instants in (("owner", own), ("others", others)):
            self._age.labels(whose).set(max(0, now - min(instants)) / SECOND if instants else UNKNOWN)
