"""The time that the daemon goes by: the machine's clock, but never back by more than it may be corrected.

A clock that is set back would end calls before they began, renew nothing until it caught up, and keep held money as
long. So where it steps back the daemon goes on by the time that it kept, counted by a clock that nobody sets, until the
machine's clock has come up to it or the daemon starts anew; that is told at once and again. A clock that is set
forward is followed: a machine that slept was really away.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from daemon.charging.ports import StoreError
from daemon.kernel.instant import SECOND, Instant, format_rfc3339

CORRECTED_MAX: Final[Instant] = 2 * SECOND  # microseconds back that are followed: a leap second, a first sync by NTP
LOOK_SECONDS: Final = 1.0  # how often the clock is looked at
REPEAT_LOOKS: Final = 60  # looks between two lines about a clock that still stands back
_SET_RIGHT: Final = (
    "set the machine's clock right and keep it by NTP; where it is right now, restart the daemon, which then takes it"
)

_log = structlog.get_logger("tollway.clock")


def _wall() -> Instant:
    return time.time_ns() // 1000


def _steady() -> int:
    return time.monotonic_ns() // 1000


class SteadyClock:
    """Gives microseconds since the epoch. ``held_back`` is how far the machine's clock stands behind what it gives."""

    def __init__(self, wall: Callable[[], Instant] = _wall, steady: Callable[[], int] = _steady) -> None:
        """Take the machine's clock, and one that is never set; both in microseconds."""
        self._wall = wall
        self._steady = steady
        self._anchor = wall(), steady()  # the last time that was believed; one value, since several threads ask
        self.held_back: Instant = 0

    def __call__(self) -> Instant:
        """Return the time."""
        wall, steady = self._wall(), self._steady()
        believed, at = self._anchor
        kept = believed + max(0, steady - at)
        if wall < kept - CORRECTED_MAX:
            self.held_back = kept - wall
            return kept
        self._anchor = wall, steady
        self.held_back = 0
        return wall


clock = SteadyClock()


class ClockWatch:
    """Tells when the machine's clock stands behind the daemon's, and when it is right again."""

    def __init__(self, kept: SteadyClock, newest: Callable[[], Awaitable[Instant]]) -> None:
        """Take the clock that the daemon goes by, and what gives the newest instant of the store."""
        self._kept = kept
        self._newest = newest
        self._looks = 0

    async def begin(self) -> None:
        """Tell where a start finds the clock before what the store holds. A store that cannot say is passed over."""
        try:
            newest = await self._newest()
        except StoreError as error:
            _log.warning("the clock was not compared with the store", error=str(error))
            return
        behind = newest - self._kept()
        if behind > CORRECTED_MAX:
            _log.error(
                "the clock stands before the newest entry of the store", behind_seconds=behind // SECOND,
                newest=format_rfc3339(newest), do="set the machine's clock right and keep it by NTP, then restart",
            )  # fmt: skip

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Look once, and tell what changed."""
        now = self._kept()
        if not self._kept.held_back:
            if self._looks:
                _log.info("the machine's clock is right again, and followed")
            self._looks = 0
            return
        if self._looks % REPEAT_LOOKS == 0:
            _log.error(
                "the machine's clock was set back; calls are charged by the time that was kept",
                behind_seconds=self._kept.held_back // SECOND, kept=format_rfc3339(now), do=_SET_RIGHT,
            )  # fmt: skip
        self._looks += 1
