"""The time that the daemon goes by: the machine's clock, as long as that goes on evenly.

A clock that steps would end calls before they began, or free the money of calls that run. So the machine's clock is
held against one that nobody sets and that counts sleep too: a step of more than a correction is not followed. Back it
never is, until it has come up again or the daemon starts anew; forward it is once it has stood there for a while, so
that a glitch which passes leaves nothing behind. Each is told at once and again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import structlog

from daemon.charging.ports import StoreError
from daemon.kernel.instant import HOUR, SECOND, Instant, format_rfc3339

CORRECTED_MAX: Final[Instant] = 2 * SECOND  # microseconds that are followed at once: a leap second, a sync by NTP
CORRECTED_EACH: Final[Instant] = HOUR  # microseconds in which it may go back by CORRECTED_MAX in all
STOOD_MIN: Final[Instant] = 60 * SECOND  # microseconds that a step forward has to stand before it is believed
LOOK_SECONDS: Final = 1.0  # how often the clock is looked at
REPEAT_LOOKS: Final = 60  # looks between two lines about a clock that still stands elsewhere
_SET_RIGHT: Final = (
    "set the machine's clock right and keep it by NTP; where it is right now, restart the daemon, which then takes it"
)
_WAIT: Final = (
    "keep the machine's clock by NTP; where it stands there for 60 s it is followed, and where it comes back before,"
    " nothing happened"
)

_log = structlog.get_logger("tollway.clock")


def _wall() -> Instant:
    return time.time_ns() // 1000


def _steady() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class Line(NamedTuple):
    """How far the time that is gone by lies ahead of the steady clock, and what else has to be remembered.

    ``top`` is the farthest that it lay ahead, at ``top_at`` of the steady clock: going back is counted from there.
    ``stands`` is where a step forward took the machine's clock, and since when of the steady clock it stands there.
    ``held`` is how far that clock stands behind the time gone by; negative: ahead. ``taken`` counts steps forward that
    were believed. All are microseconds.
    """

    ahead: Instant
    top: Instant
    top_at: int
    stands: tuple[Instant, int] | None = None
    held: Instant = 0
    taken: int = 0

    def after(self, wall: Instant, steady: int) -> "Line":
        """Return the line after a reading of both clocks; the time is then ``steady + ahead``."""
        read = wall - steady
        if read > self.ahead + CORRECTED_MAX:
            return self._forward(read, steady)
        top = self.top - (steady - self.top_at) * CORRECTED_MAX // CORRECTED_EACH
        if read < max(self.ahead, top) - CORRECTED_MAX:
            return self._replace(stands=None, held=self.ahead - read)
        if read >= top:
            return Line(read, read, steady, taken=self.taken)
        return Line(read, self.top, self.top_at, taken=self.taken)

    def _forward(self, read: Instant, steady: int) -> "Line":
        place, since = self.stands or (read, steady)
        if abs(read - place) > CORRECTED_MAX:  # it went on elsewhere
            place, since = read, steady
        if steady - since >= STOOD_MIN:
            return Line(read, read, steady, taken=self.taken + 1)
        return self._replace(stands=(place, since), held=self.ahead - read)


class SteadyClock:
    """Gives microseconds since the epoch."""

    def __init__(self, wall: Callable[[], Instant] = _wall, steady: Callable[[], int] = _steady) -> None:
        """Take the machine's clock, and one that is never set; both in microseconds."""
        self._wall = wall
        self._steady = steady
        now = steady()
        ahead = wall() - now
        self._line = Line(ahead, ahead, now)  # one value, since several threads ask

    def __call__(self) -> Instant:
        """Return the time."""
        wall, steady = self._wall(), self._steady()
        self._line = line = self._line.after(wall, steady)
        return steady + line.ahead

    @property
    def held_back(self) -> Instant:
        """How far the machine's clock stood behind what was given last, in microseconds; negative: ahead of it."""
        return self._line.held

    @property
    def taken(self) -> int:
        """How many steps forward were followed after they had stood."""
        return self._line.taken


clock = SteadyClock()


class ClockWatch:
    """Tells when the machine's clock stands elsewhere than the daemon's, and when it is followed again."""

    def __init__(self, kept: SteadyClock, newest: Callable[[], Awaitable[Instant]]) -> None:
        """Take the clock that the daemon goes by, and what gives the newest instant of the store."""
        self._kept = kept
        self._newest = newest
        self._looks = 0
        self._was_ahead = False
        self._taken = 0

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
        held, taken = self._kept.held_back, self._kept.taken
        if taken != self._taken:
            _log.warning("the machine's clock stood ahead for 60 s, and is followed", now=format_rfc3339(now))
            self._looks, self._taken = 0, taken
        if not held:
            if self._looks:
                _log.info("the machine's clock is right again, and followed")
            self._looks = 0
            return
        if self._looks and self._was_ahead != (held < 0):
            self._looks = 0  # from one side to the other: another fault
        self._was_ahead = held < 0
        if self._looks % REPEAT_LOOKS == 0:
            self._tell(held, format_rfc3339(now))
        self._looks += 1

    def _tell(self, held: Instant, kept: str) -> None:
        if held > 0:
            _log.error(
                "the machine's clock was set back; calls are charged by the time that was kept",
                behind_seconds=held // SECOND, kept=kept, do=_SET_RIGHT,
            )  # fmt: skip
            return
        _log.error(
            "the machine's clock was set forward; calls are charged by the time that was kept until it has stood there",
            ahead_seconds=-held // SECOND, kept=kept, do=_WAIT,
        )  # fmt: skip
