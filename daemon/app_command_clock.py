"""The time that one command goes by: the machine's clock, but not before what its store holds.

A daemon that serves beside it may hold its time against a clock that was set back: an entry of a command is never dated
before the newest one, within a bound. Beyond that either the clock or the store is wrong by hours, and a person sees
to it (`tollway doctor`, `clock.store`).
"""

from collections.abc import Callable
from typing import Final

from daemon.kernel.instant import DAY, SECOND, Instant, format_rfc3339

TOLD_MIN: Final[Instant] = 60 * SECOND  # microseconds before the newest entry from which on it is told
BEHIND_MAX: Final[Instant] = DAY  # microseconds that are made up for: more is no step of a clock that a daemon holds


class CommandClock:
    """Gives microseconds since the epoch; knows no entry until it is told of one."""

    def __init__(self, wall: Callable[[], Instant]) -> None:
        """Take the machine's clock, in microseconds."""
        self._wall = wall
        self._newest: Instant = 0

    def __call__(self) -> Instant:
        """Return the time."""
        wall = self._wall()
        return max(wall, self._newest) if self._newest <= wall + BEHIND_MAX else wall

    def not_before(self, newest: Instant) -> str:
        """Go by no time before the newest instant of the store; return what is to be told of that, or nothing."""
        self._newest = newest
        behind = newest - self._wall()
        if behind <= TOLD_MIN:
            return ""
        said = f"the clock stands {behind // SECOND:,} s before the newest entry of the store, {format_rfc3339(newest)}"
        dated = (
            "what a command writes now is dated by it"
            if behind <= BEHIND_MAX
            else "a command's entries are dated by the clock"
        )
        return f"{said}: {dated}; set the machine's clock right and keep it by NTP"
