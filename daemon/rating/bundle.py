"""Units that were paid for in advance: used before money, for a group of destinations, anew in each period.

A meter counts what an account used and holds in one period, and turns to a later one when it is asked in it. What is
left of the allowance then rolls over once where the bundle says so: what was carried is used first, and never again.
Units that are given once are those carried into a period that has no end but an expiry of its own.
A meter never turns back. A period that it has left is closed: nothing more is taken of it, and what is given back
rolls over where the period after it is still the meter's, or is lost.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

from daemon.kernel.instant import Instant, local_day
from daemon.kernel.instant import zone as zone_of
from daemon.rating.tariff import SECONDS

CALLS_UNIT: Final = "call"  # one unit pays for a whole call
WHOLE_CALL: Final = 1 << 40  # seconds that one unit of a bundle of calls pays for
PERIODS: Final = ("day", "week", "month", "year")
ONCE: Final = "once"  # the period of units that are given once and not anew
ONCE_PERIOD: Final = 1  # its number, at any instant
_MONDAY: Final = 1  # the ordinal of 0001-01-01, a Monday


@dataclass(frozen=True, slots=True)
class Bundle:
    """``units`` of what ``unit`` names, for numbers that begin with one of ``prefixes`` (none, or an empty: all)."""

    id: str
    units: int
    unit: str = SECONDS
    period: str = "month"
    rollover: bool = False
    prefixes: frozenset[str] = frozenset()
    priority: int = 0  # the lower one is used first

    @property
    def meter(self) -> str:
        """The name of its meter; another kind of period counts on another."""
        return bundle_meter(self.id, self.period)

    def fits(self, number: str, unit: str) -> bool:
        """Tell whether it pays for usage of a unit to a number."""
        if unit != self.unit and not (unit == SECONDS and self.unit == CALLS_UNIT):
            return False
        return not self.prefixes or any(number[:length] in self.prefixes for length in range(len(number) + 1))

    def covers(self, units: int) -> int:
        """Return how much of one call's usage so many units pay for: one unit of a bundle of calls, all of it."""
        return min(units, 1) * WHOLE_CALL if self.unit == CALLS_UNIT else units


class Meter(NamedTuple):
    """Units of one account in one period: ``used`` are charged, ``held`` reserved, ``carried`` came from before."""

    account: int
    name: str
    period: int = 0
    used: int = 0
    held: int = 0
    carried: int = 0
    expires_at: Instant = 0  # of units that were given once; 0: never


class Units(NamedTuple):
    """Units of a meter in one of its periods, which a call holds or used."""

    meter: str
    units: int
    period: int


class Part(NamedTuple):
    """What one bundle can give a call: the units that it holds already, and those that nobody holds."""

    bundle: Bundle
    period: int
    units: int


class Supply(NamedTuple):
    """What the bundles that fit a call can give it, in the order of use."""

    parts: tuple[Part, ...] = ()

    @property
    def units(self) -> int:
        """How much of the call's usage can be paid in units, in all."""
        return sum([part.bundle.covers(part.units) for part in self.parts]) if self.parts else 0

    def taken(self, usage: int) -> tuple[Units, ...]:
        """Return the units that pay for so much of the call's usage, at most ``units``: the first bundle's first."""
        found = []
        for part in self.parts:
            covered = min(usage, part.bundle.covers(part.units))
            if covered > 0:
                count = 1 if part.bundle.unit == CALLS_UNIT else covered
                found.append(Units(part.bundle.meter, count, part.period))
                usage -= covered
        return tuple(found)


NO_SUPPLY: Final = Supply()


def bundle_meter(bundle: str, period: str) -> str:
    """Return the name of the meter that counts the units of a bundle."""
    return f"bundle:{bundle}:{period}"


def volume_meter(table: str, period: str) -> str:
    """Return the name of the meter that counts the volume by which a table's tiers are chosen."""
    return f"volume:{table}:{period}"


def turned(meter: Meter, bundle: Bundle | None, period: int) -> Meter:
    """Return a meter in a period: unchanged where it has reached it, otherwise counting anew.

    What is left of the last period's allowance is carried, of a period that nobody used all of it; what was carried
    into that period is lost. Units held over the turn are used up for the period that they were held in.
    """
    if period <= meter.period:
        return meter
    return Meter(meter.account, meter.name, period, carried=_rolled(meter, bundle, period))


def _rolled(meter: Meter, bundle: Bundle | None, period: int) -> int:
    if bundle is None or not bundle.rollover or meter.period == 0:
        return 0  # a meter begins when it is first asked: nothing was left before
    if period > meter.period + 1:
        return bundle.units
    return max(bundle.units - max(meter.used + meter.held - meter.carried, 0), 0)


def left(meter: Meter, bundle: Bundle) -> int:
    """Return the units that nobody used or holds; none where an allowance was made smaller than what is used."""
    return max(bundle.units + meter.carried - meter.used - meter.held, 0)


def counted(meter: Meter, bundle: Bundle | None, period: int, held: int = 0, used: int = 0) -> Meter:
    """Return a meter with so many more units held and used in a period (fewer, where negative).

    Of a closed period only what is given back counts, and only where it would have rolled over into the meter's.
    """
    if period == meter.period:
        after = meter._replace(held=meter.held + held, used=meter.used + used)
        assert after.held >= 0, (meter, held, used)
        assert after.used >= 0, (meter, held, used)
        return after
    given_back = -(held + used)
    if bundle is None or not bundle.rollover or meter.period - period != 1 or given_back <= 0:
        return meter
    # Carried less than the allowance tells how much of it the closed period took: never more than that comes back.
    return meter._replace(carried=max(meter.carried, min(bundle.units, meter.carried + given_back)))


def supply(
    bundles: Iterable[Bundle],
    own: Iterable[Units],
    meter_of: Callable[[str], Meter],
    period_of: Callable[[str], int],
    at: Instant = 0,
) -> Supply:
    """Return what bundles can give a call that holds ``own`` units already; ``period_of`` numbers the call's period.

    Where that period is closed, or units given once had expired ``at``, the call has what it holds and no more.
    """
    holds = tuple(own)
    parts = []
    for bundle in bundles:
        period = period_of(bundle.period)
        meter = turned(meter_of(bundle.meter), bundle, period)
        mine = sum(held.units for held in holds if (held.meter, held.period) == (bundle.meter, period))
        open_yet = meter.period == period and not 0 < meter.expires_at <= at
        free = left(meter, bundle) if open_yet else 0
        parts.append(Part(bundle, period, mine + free))
    return Supply(tuple(parts))


def period_number(at: Instant, period: str, timezone: str) -> int:
    """Return the number of the period that holds an instant, in the zone of an account; neighbours differ by 1."""
    if period == ONCE:
        return ONCE_PERIOD
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
