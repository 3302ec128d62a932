"""The tariff lines of a known answer become bands, versions, steps and rows of one of our tables.

A line says from which time of day it applies, until midnight or its end; of several that apply, weight decides, then
the latest start. Our bands may not contradict each other, so for each weekday it is asked which line wins between the
edges of the day, and what a line wins is its band. A line for certain dates only is the row of all other time, and
those dates are holidays of all bands. Lines bounded in time are versions: each window has bands of its own.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final, NamedTuple

from daemon.kernel.e164 import digits
from daemon.kernel.instant import parse_rfc3339
from daemon.kernel.money import DECIMALS_MAX, NANO, Rounding, parse_nano
from daemon.rating.deck import EFFECTIVE_ALWAYS, EFFECTIVE_FOREVER, RateRow, Terms
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import Policy, RateTable
from daemon.rating.rate_type import RateType
from daemon.rating.time_band import DAY_MINUTES, DAYS, Interval, TimeBand, parse_intervals

Vector = dict[str, Any]
SECONDS_UNIT: Final = "s"
OTHER_UNIT: Final = "vector_unit"  # our rate type for whatever else a vector counts
ROUNDINGS: Final = {"up": Rounding.UP, "down": Rounding.DOWN, "middle": Rounding.HALF_UP}
_EPOCH: Final = date(1970, 1, 1)
_DATES: Final = 400  # days on either side of the answer in which a line's dates are looked for


@dataclass(frozen=True, eq=False)
class Line:
    """A tariff line: ``start`` and ``end`` are minutes of the day, ``begins`` and ``ends`` instants."""

    place: int
    timing: Vector
    weight: int
    start: int
    end: int
    begins: int
    ends: int
    rate: Vector

    @property
    def is_dated(self) -> bool:
        """Tell whether it is for certain dates only."""
        return any(self.timing[name] is not None for name in ("months", "month_days", "years"))

    def applies(self, weekday: int, minute: int) -> bool:
        """Tell whether it applies on a weekday (0 is Monday) at a minute of the day."""
        weekdays = self.timing["weekdays"]
        return (weekdays is None or weekday + 1 in weekdays) and self.start <= minute < self.end

    def dates(self, around: date) -> Iterator[int]:
        """Yield its dates near another, in days since 1970-01-01."""
        for shift in range(-_DATES, _DATES):
            day = around + timedelta(days=shift)
            parts = {"months": day.month, "month_days": day.day, "years": day.year, "weekdays": day.isoweekday()}
            if all(self.timing[name] is None or part in self.timing[name] for name, part in parts.items()):
                yield (day - _EPOCH).days


def lines_of(tariff: Sequence[Vector]) -> list[Line]:
    """Return the lines of a vector's tariff."""
    return [
        Line(
            place,
            line["timing"],
            line["weight"],
            _minute(line["timing"]["start"]),
            _minute(line["timing"].get("end", "24:00:00")),
            parse_rfc3339(line["active_from"]) if "active_from" in line else EFFECTIVE_ALWAYS,
            parse_rfc3339(line["active_until"]) if "active_until" in line else EFFECTIVE_FOREVER,
            line["rate"],
        )
        for place, line in enumerate(tariff)
    ]


def _minute(clock: str) -> int:
    hours, minutes, seconds = map(int, clock.split(":"))
    assert seconds == 0
    return 60 * hours + minutes


def _won(lines: Sequence[Line]) -> dict[Line, list[Interval]]:
    """Return the intervals of the week that each line wins."""
    found: dict[Line, list[Interval]] = {}
    edges = sorted({0, DAY_MINUTES, *(line.start for line in lines), *(line.end for line in lines)})
    for weekday, name in enumerate(DAYS):
        for start, end in pairwise(edges):
            rivals = [line for line in lines if line.applies(weekday, start)]
            if rivals:
                winner = max(rivals, key=lambda line: (line.weight, line.start))
                found.setdefault(winner, []).extend(parse_intervals(f"{name} {_clock(start)}-{_clock(end)}"))
    return found


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


class Pricing(NamedTuple):
    """A plan that prices a vector, and the line that each band stands for (the empty one: all other time)."""

    plan: RatePlan
    line_of_band: dict[str, Line]


def pricing(tariff: Sequence[Vector], call: Vector) -> Pricing:
    """Return the plan of a vector: a table without rows, as of a payer who has no rate, and then that of its lines."""
    bands: list[TimeBand] = []
    line_of_band: dict[str, Line] = {}
    rows: list[RateRow] = []
    lines = lines_of(tariff)
    bounds = sorted(
        {EFFECTIVE_ALWAYS, EFFECTIVE_FOREVER, *(edge for line in lines for edge in (line.begins, line.ends))}
    )
    for window in pairwise(bounds):
        valid = [line for line in lines if line.begins <= window[0] < line.ends]
        for band, line in _banded(valid, window, call):
            if band.id:
                bands.append(band)
            line_of_band[band.id] = line
            rows += _rows(line, band.id, window, call)
    policy = Policy(
        table="lines",
        version=1,
        currency="USD",
        decimals=min(max(line.rate["rounding"]["decimals"] for line in lines), DECIMALS_MAX),
        rounding=ROUNDINGS[lines[0].rate["rounding"]["method"]],
        split_bands=True,
        bands=tuple(bands),
        rate_types={OTHER_UNIT: RateType(OTHER_UNIT, call["unit"], _per(lines[0]))},
    )
    return Pricing(RatePlan("vector", (table_of(Policy("none", 1, "USD"), ()), table_of(policy, rows))), line_of_band)


def table_of(policy: Policy, rows: Iterable[RateRow]) -> RateTable:
    """Return the table of good rows."""
    table, errors = RateTable.of(policy, rows)
    assert table is not None, errors
    return table


def _banded(lines: Sequence[Line], window: tuple[int, int], call: Vector) -> Iterator[tuple[TimeBand, Line]]:
    """Yield a band for each line of a window that is ever in force; that of a dated one has no name and no interval."""
    ordinary, dated = [line for line in lines if not line.is_dated], [line for line in lines if line.is_dated]
    won = _won(ordinary)
    holidays: frozenset[int] = frozenset()
    for line in dated:
        minutes = sum(end - begin for intervals in won.values() for begin, end in intervals)
        assert len(dated) == 1, "one row only can be all other time"
        assert minutes == 7 * DAY_MINUTES, "all other time is just the line's dates if the others leave no gap"
        assert (line.start, line.end) == (0, DAY_MINUTES), "a holiday is a whole day"
        assert line.weight > max(other.weight for other in ordinary), "a holiday takes the place of every band"
        holidays = frozenset(line.dates(date.fromisoformat(call["answer_time"][:10])))
        yield TimeBand("", ()), line
    for line, intervals in won.items():
        yield TimeBand(f"{window[0]}-{line.place}", tuple(intervals), holidays), line


def _rows(line: Line, band: str, window: tuple[int, int], call: Vector) -> Iterator[RateRow]:
    counts_seconds = call["unit"] == SECONDS_UNIT
    steps = line.rate["steps"]
    for prefix in _prefixes(call) if counts_seconds else ("",):
        for step in steps:
            per = 60 if counts_seconds else _per(line)
            rate = Fraction(step["price"]) * per / step["per"] * NANO
            assert rate.denominator == 1, "every price is a whole number of nano-units for what our rate is for"
            terms = Terms(
                parse_nano(line.rate["connect_fee"]),
                steps[0]["increment"],
                step["increment"],
                effective_from=window[0],
                effective_to=window[1],
                rate_type="" if counts_seconds else OTHER_UNIT,
                time_band=band,
                step_from_second=step["from"],
            )
            yield RateRow(prefix, int(rate), terms=terms)


def _per(line: Line) -> int:
    per: int = line.rate["steps"][0]["per"]
    return per


def _prefixes(call: Vector) -> Iterator[str]:
    for text in call.get("prefixes_with_rate", (destination(call)[:2],)):
        prefix = digits(text)
        assert prefix is not None
        yield prefix


def destination(call: Vector) -> str:
    """Return the called number; vectors of one prefix do not state it."""
    number: str = call.get("destination", "44")
    return number
