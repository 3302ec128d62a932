"""Which time band an instant lies in, by the clock on the wall of a zone (SPEC section 2, Time bands).

An interval's end is exclusive; one over midnight belongs to the day on which it begins, and so does its holiday.
Bands are weekly patterns in wall-clock minutes; the zone's transitions turn them into instants, so that a day of 23 or
25 hours changes nothing else. A calendar lays its bands out as edges on the line of instants, a page at a time: a
live call is one bisect among them and a batch one ``searchsorted`` over the very same edges.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from daemon.kernel.instant import DAY, INSTANT_MAX, MINUTE, Instant, WallClock

DAY_MINUTES: Final = 1_440
WEEK_MINUTES: Final = 7 * DAY_MINUTES
INTERVALS_MAX: Final = 100  # intervals of one band; a week of quarter hours is split by fewer
HOLIDAYS_MAX: Final = 2_000  # holidays of one band; a century of twenty a year
PAGE: Final = (
    64 * DAY
)  # microseconds laid out at a time: some 300 edges of an ordinary band, built in half a millisecond
PAGES_MAX: Final = 256  # pages kept by one calendar: 45 years of usage rated again
NO_BAND: Final = -1
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_INTERVAL = re.compile(r"([a-z,-]+) ([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9])")
_MONDAY_SHIFT: Final = 3  # days; 1970-01-01 was a Thursday


class Interval(NamedTuple):
    """Wall-clock minutes of the week on one day: ``begin`` counts from Monday 0:00; ``end`` may lie in the next day."""

    begin: int
    end: int


@dataclass(frozen=True)
class TimeBand:
    """A named set of intervals; ``holidays`` are days since 1970-01-01 on which no interval begins."""

    id: str
    intervals: tuple[Interval, ...]
    holidays: frozenset[int] = frozenset()

    @cached_property
    def _minutes(self) -> frozenset[Interval]:
        """The pattern of a week without holidays, folded to one week."""
        return frozenset(folded for each in self.intervals for folded in _folded(each))

    def overlaps(self, other: "TimeBand") -> bool:
        """Tell whether some minute of an ordinary week lies in both bands."""
        return any(one.begin < two.end and two.begin < one.end for one in self._minutes for two in other._minutes)


def _folded(interval: Interval) -> Iterable[Interval]:
    if interval.end <= WEEK_MINUTES:
        return (interval,)
    return (Interval(interval.begin, WEEK_MINUTES), Interval(0, interval.end - WEEK_MINUTES))


def parse_intervals(text: str) -> tuple[Interval, ...]:
    """Return the intervals of a text such as ``mon-fri 08:00-20:00``: one for each day. Raises ValueError."""
    match = _INTERVAL.fullmatch(text)
    if match is None:
        raise ValueError('is no interval such as "mon-fri 08:00-20:00"; days are mon, mon-fri or mon,wed,fri')
    days, *clock = match.groups()
    begin_hour, begin_minute, end_hour, end_minute = map(int, clock)
    begin, end = 60 * begin_hour + begin_minute, 60 * end_hour + end_minute
    if begin >= DAY_MINUTES or end > DAY_MINUTES:
        raise ValueError("has a time past 24:00, or begins at 24:00; a day ends at 24:00")
    if begin == end:
        raise ValueError("ends where it begins; write 00:00-24:00 for a whole day")
    length = end - begin if end > begin else end - begin + DAY_MINUTES
    starts = [day * DAY_MINUTES + begin for day in _days(days)]
    return tuple(Interval(start, start + length) for start in starts)


def _days(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS or part.endswith("-"):
            raise ValueError(f"has no such day as {part!r}; days are {', '.join(DAYS)}")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        found += [(begin + step) % 7 for step in range((end - begin) % 7 + 1)]
    if len(set(found)) != len(found):
        raise ValueError("names a day twice")
    return sorted(found)


def contradictions(bands: Sequence[TimeBand]) -> frozenset[tuple[str, str]]:
    """Return the pairs of ids of bands that overlap, both ways round."""
    pairs = ((one.id, two.id) for one in bands for two in bands if one.id != two.id and one.overlaps(two))
    return frozenset(pairs)


class Edges(NamedTuple):
    """``active[i]`` is the band in force from ``instants[i]`` until the next: its place in the calendar, or NO_BAND."""

    instants: list[Instant]
    active: list[int]


class Calendar:
    """Bands that do not overlap, on the wall clock of one zone. It never changes; it keeps the pages it laid out."""

    def __init__(self, clock: WallClock, bands: Sequence[TimeBand]) -> None:
        """Take the zone's clock and the bands, whose places are what ``active`` answers."""
        self.bands = tuple(bands)
        self._clock = clock
        self._ordinary = self._week(None)
        self._special = {week: self._week(week) for week in self._holiday_weeks()}
        self._pages: dict[int, Edges] = {}

    def active(self, at: Instant) -> int:
        """Return the place of the band that holds an instant, NO_BAND where none does."""
        page = self.page(at // PAGE)
        return page.active[bisect_right(page.instants, at) - 1]

    def changes(self, begin: Instant, end: Instant) -> Edges:
        """Return what is in force at ``begin``, then each change in ``(begin, end)``."""
        found = Edges([begin], [self.active(begin)])
        for number in range(begin // PAGE, max(begin, end - 1) // PAGE + 1):
            page = self.page(number)
            for place in range(bisect_right(page.instants, begin), bisect_left(page.instants, end)):
                if page.active[place] != found.active[-1]:
                    found.instants.append(page.instants[place])
                    found.active.append(page.active[place])
        return found

    def page(self, number: int) -> Edges:
        """Return the edges of one page, the first at its beginning."""
        found = self._pages.get(number)
        if found is None:
            if len(self._pages) >= PAGES_MAX:
                self._pages.clear()
            found = self._pages[number] = self._laid_out(number * PAGE, (number + 1) * PAGE)
        return found

    def _laid_out(self, begin: Instant, end: Instant) -> Edges:
        edges = Edges([], [])
        at = begin
        while at < end:
            offset, changes_at = self._clock.stretch(at)
            band, until = self._at_wall(at + offset)
            if not edges.active or band != edges.active[-1]:
                edges.instants.append(at)
                edges.active.append(band)
            at = min(until - offset, changes_at)
        return edges

    def _at_wall(self, wall: int) -> tuple[int, int]:
        """Return the band that holds a wall-clock time and the wall-clock time until which that holds."""
        week, minute = divmod(wall // MINUTE + _MONDAY_SHIFT * DAY_MINUTES, WEEK_MINUTES)
        edges = self._special.get(week, self._ordinary)
        place = bisect_right(edges.instants, minute)
        until = edges.instants[place] if place < len(edges.instants) else WEEK_MINUTES
        return edges.active[place - 1], (week * WEEK_MINUTES + until - _MONDAY_SHIFT * DAY_MINUTES) * MINUTE

    def _holiday_weeks(self) -> set[int]:
        """Return the weeks that a holiday touches: its own, and the next where an interval runs over Sunday."""
        weeks = {(day + _MONDAY_SHIFT) // 7 for band in self.bands for day in band.holidays}
        return weeks | {week + 1 for week in weeks}

    def _week(self, week: int | None) -> Edges:
        """Return the edges of one week in minutes; of an ordinary one where ``week`` is None."""
        spans = sorted(
            (max(begin, 0), min(end, WEEK_MINUTES), place)
            for place, band in enumerate(self.bands)
            for begin, end in _begun(band, week)
            if begin < WEEK_MINUTES and end > 0
        )
        edges = Edges([], [])
        free = 0
        for begin, end, place in spans:
            if begin > free:
                _edge(edges, free, NO_BAND)
            if end > free:
                _edge(edges, max(begin, free), place)
            free = max(free, end)
        if free < WEEK_MINUTES:
            _edge(edges, free, NO_BAND)
        return edges


def _edge(edges: Edges, minute: int, band: int) -> None:
    edges.instants.append(minute)
    edges.active.append(band)


def _begun(band: TimeBand, week: int | None) -> Iterable[Interval]:
    """Yield the intervals that begin in this week or the one before and no holiday takes, in minutes of this week."""
    for shift in (-1, 0):
        for begin, end in band.intervals:
            if week is None or 7 * (week + shift) + begin // DAY_MINUTES - _MONDAY_SHIFT not in band.holidays:
                yield Interval(begin + shift * WEEK_MINUTES, end + shift * WEEK_MINUTES)


assert INSTANT_MAX < 1 << 62, "a page beyond the last instant is still an int64"
