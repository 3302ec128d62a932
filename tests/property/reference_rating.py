"""A rating function that shares no code with the real one: rows looked at one by one, blocks walked one by one.

Local time comes from zoneinfo, prices are fractions, and nothing is indexed, joined or computed ahead. It is slow and
plain, so that it can be read against SPEC section 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from math import ceil, floor
from zoneinfo import ZoneInfo

from daemon.kernel.money import NANO, Rounding
from daemon.rating.deck import RateRow
from daemon.rating.rate_table import Policy

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class Band:
    """Weekdays, minutes of the day from which and until which (the next day where not later), days without it."""

    id: str
    days: tuple[str, ...]
    begin: int
    end: int
    holidays: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The interval as a scenario file writes it."""
        clock = [f"{minute // 60:02}:{minute % 60:02}" for minute in (self.begin, self.end)]
        return f"{','.join(self.days)} {'-'.join(clock)}"

    def holds(self, at: int, zone: str) -> bool:
        """Tell whether an instant lies in it."""
        local = (EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(zone))
        minute = 60 * local.hour + local.minute
        if self.end > self.begin:
            return self._begins_on(local.date()) and self.begin <= minute < self.end
        if minute >= self.begin:
            return self._begins_on(local.date())
        return minute < self.end and self._begins_on(local.date() - timedelta(days=1))

    def _begins_on(self, day: date) -> bool:
        return WEEK[day.weekday()] in self.days and day.isoformat() not in self.holidays


@dataclass(frozen=True)
class Reference:
    """A table by its rows, its policy and its bands."""

    rows: Sequence[RateRow]
    policy: Policy
    bands: tuple[Band, ...] = ()

    def versions(self, number: str, at: int) -> dict[str, list[RateRow]] | None:
        """Return the version in force of each band of the longest valid prefix, None where no prefix is valid."""
        valid = [
            row
            for row in self.rows
            if number.startswith(row.prefix) and row.terms.effective_from <= at < row.terms.effective_to
        ]
        if not valid:
            return None
        prefix = max((row.prefix for row in valid), key=len)
        mine = [row for row in valid if row.prefix == prefix]
        found = {}
        for band in {row.terms.time_band for row in mine}:
            latest = max(row.terms.effective_from for row in mine if row.terms.time_band == band)
            found[band] = [r for r in mine if r.terms.time_band == band and r.terms.effective_from == latest]
        return found

    def band_at(self, versions: dict[str, list[RateRow]], at: int) -> str | None:
        """Return the band of the rows for an instant, empty for all other time, None where there are none."""
        for band in self.bands:
            if band.id in versions and band.holds(at, self.policy.zone):
                return band.id
        return "" if "" in versions else None

    def price(self, number: str, at: int, seconds: int, volume: int = 0, units: int = 0) -> "tuple[object, ...]":
        """Return ("unrated", prefix), ("blocked", prefix) or ("rated", prefix, nano-units, billed seconds)."""
        versions = self.versions(number, at)
        if versions is None:
            return ("unrated", None)
        prefix = next(iter(versions.values()))[0].prefix
        band = self.band_at(versions, at)
        if band is None:
            return ("unrated", prefix)
        answer = self.row(versions[band], 0, volume)
        if answer.terms.blocked:
            return ("blocked", prefix)
        terms = answer.terms
        begins = terms.included_seconds + units
        if seconds <= terms.free_seconds or seconds == 0 or (units and seconds <= begins):
            return ("rated", prefix, 0, 0)
        blocks, billed = self.walk(versions, band, at, seconds, begins, terms.first_seconds, volume)
        exact = max(terms.connect_fee + blocks / 60, Fraction(terms.minimum_charge))
        step = Fraction(NANO, 10**self.policy.decimals)
        return ("rated", prefix, int(rounded(exact / step, self.policy.rounding) * step), billed)

    def walk(
        self, versions: dict[str, list[RateRow]], band: str, at: int, seconds: int, begins: int, first: int, volume: int
    ) -> tuple[Fraction, int]:
        """Return the sixtieths of nano-units and the seconds of the blocks that begin before the end."""
        position, blocks, billed = begins, Fraction(0), 0
        while position < seconds:
            if self.policy.split_bands:
                here = self.band_at(versions, at + position * 1_000_000)
                band = band if here is None else here
            counted = volume + (position - begins if self.policy.tiers == "graduated" else 0)
            row = self.row(versions[band], position, counted)
            length = row.terms.next_seconds if billed else first
            blocks, billed, position = blocks + row.rate * length, billed + length, position + length
        return blocks, billed

    @staticmethod
    def row(rows: list[RateRow], position: int, volume: int) -> RateRow:
        """Return the step for a position, of the tier for a volume."""
        tier = max(row.terms.tier_from for row in rows if row.terms.tier_from <= volume)
        steps = [row for row in rows if row.terms.tier_from == tier and row.terms.step_from_second <= position]
        return max(steps, key=lambda row: row.terms.step_from_second)


def rounded(value: Fraction, rounding: Rounding) -> int:
    """Return a value of 0 or more as a whole number."""
    if rounding is Rounding.UP:
        return ceil(value)
    if rounding is Rounding.DOWN:
        return floor(value)
    # The built-in round of a Fraction is half-even.
    return round(value) if rounding is Rounding.HALF_EVEN else floor(value + Fraction(1, 2))
