"""Units that were paid for in advance: used before money, for a group of destinations, anew in each period.

What is left at a period's end rolls over once where the bundle says so; what was carried is used first and is lost at
the next end. A meter counts what an account used and holds; it turns to a new period when it is asked in it.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

from daemon.kernel.instant import Instant, local_day
from daemon.kernel.instant import zone as zone_of
from daemon.rating.tariff import SECONDS

CALLS_UNIT: Final = "call"  # one unit pays for a whole call
WHOLE_CALL: Final = 1 << 40  # seconds that one unit of a bundle of calls pays for
PERIODS: Final = ("day", "week", "month", "year")
_MONDAY: Final = 1  # the ordinal of 0001-01-01, a Monday


@dataclass(frozen=True, slots=True)
class Bundle:
    """``units`` of what ``unit`` names, for numbers that begin with one of ``prefixes`` (empty: every number)."""

    id: str
    units: int
    unit: str = SECONDS
    period: str = "month"
    rollover: bool = False
    prefixes: frozenset[str] = frozenset()

    def fits(self, number: str, unit: str) -> bool:
        """Tell whether it pays for usage of a unit to a number."""
        if unit != self.unit and not (unit == SECONDS and self.unit == CALLS_UNIT):
            return False
        return not self.prefixes or any(number[:length] in self.prefixes for length in range(1, len(number) + 1))


class Meter(NamedTuple):
    """Units of one account in one period: ``used`` are charged, ``held`` reserved, ``carried`` came from before."""

    account: int
    name: str
    period: int = 0
    used: int = 0
    held: int = 0
    carried: int = 0


def period_number(at: Instant, period: str, timezone: str) -> int:
    """Return the number of the period that holds an instant, in the zone of an account; neighbours differ by 1."""
    day = local_day(at, zone_of(timezone))
    if period == "day":
        return day
    if period == "week":
        return (day - _MONDAY) // 7
    year, month = _year_and_month(day)
    return year if period == "year" else 12 * year + month - 1


def _year_and_month(ordinal: int) -> tuple[int, int]:
    day = date.fromordinal(ordinal)
    return day.year, day.month
