"""Laws of time bands and of calls split by them, held against references that ask zoneinfo about every instant.

The reference knows neither weeks in minutes nor edges: it takes the local date and time of an instant, and looks for an
interval that began today or yesterday. Zones are those whose clocks change in every way there is: by an hour and by
half an hour, on either half of the earth, at midnight, backwards in the middle of the year, by law, and never.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from daemon.kernel.instant import DAY, INSTANT_MAX, MINUTE, NEVER, SECOND, WALL_CLOCK_END, Instant, wall_clock
from daemon.rating.charge import block_end, bundle_units, charge, outlast_free, paid_stretches
from daemon.rating.quota import quota
from daemon.rating.tariff import NO_RATES, Rates, Span, Step, Tariff, Tier
from daemon.rating.time_band import (
    DAY_MINUTES,
    DAYS,
    NO_BAND,
    PAGE,
    WEEK_MINUTES,
    Calendar,
    Interval,
    TimeBand,
    contradictions,
    parse_intervals,
)

ZONES = (
    "America/New_York", "Europe/Paris", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata", "America/Sao_Paulo",
    "UTC",
)  # fmt: skip
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_DAY, LAST_DAY = 14_600, 21_900  # 2009-12-22 to 2029-12-17, in days since 1970-01-01


class Pattern(NamedTuple):
    """An interval as a person means it: minutes of the day; an end that is not later lies in the next day."""

    weekday: int
    begin: int
    end: int

    @property
    def length(self) -> int:
        """Minutes by the clock on the wall."""
        return self.end - self.begin if self.end > self.begin else self.end - self.begin + DAY_MINUTES

    @property
    def minutes(self) -> set[int]:
        """The minutes of the week that it holds."""
        first = self.weekday * DAY_MINUTES + self.begin
        return {minute % WEEK_MINUTES for minute in range(first, first + self.length)}

    def parsed(self) -> Interval:
        """Return what the parser makes of it."""
        begin, end = (f"{minute // 60:02d}:{minute % 60:02d}" for minute in (self.begin, self.end))
        (found,) = parse_intervals(f"{DAYS[self.weekday]} {begin}-{end}")
        return found


class Meant(NamedTuple):
    """A band as the reference sees it."""

    patterns: tuple[Pattern, ...]
    holidays: frozenset[date]

    def holds(self, local: datetime) -> bool:
        """Tell whether a local time lies in an interval that began today or yesterday, on no holiday."""
        for day in (local.date(), local.date() - timedelta(days=1)):
            for pattern in self.patterns:
                begin = datetime.combine(day, time()) + timedelta(minutes=pattern.begin)
                is_begun = day.weekday() == pattern.weekday and day not in self.holidays
                if is_begun and begin <= local < begin + timedelta(minutes=pattern.length):
                    return True
        return False

    def built(self, name: str) -> TimeBand:
        """Return the band of the core."""
        holidays = frozenset((day - EPOCH.date()).days for day in self.holidays)
        return TimeBand(name, tuple(pattern.parsed() for pattern in self.patterns), holidays)


def local_time(at: Instant, zone: str) -> datetime:
    """Return the clock on the wall, without its zone."""
    return (EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def reference_active(bands: Sequence[Meant], at: Instant, zone: str) -> int:
    """Return the place of the band that holds an instant."""
    local = local_time(at, zone)
    return next((place for place, band in enumerate(bands) if band.holds(local)), NO_BAND)


MINUTES = st.one_of(st.sampled_from((0, 60, 120, 150, 180, 22 * 60, DAY_MINUTES - 1)), st.integers(0, DAY_MINUTES - 1))
WEEKDAYS = st.one_of(st.just(6), st.integers(0, 6))  # a Sunday's night lies in two weeks


def patterns(begins: st.SearchStrategy[int], ends: st.SearchStrategy[int]) -> st.SearchStrategy[Pattern]:
    """Return the intervals of some minutes."""
    return st.builds(Pattern, WEEKDAYS, begins, ends).filter(lambda pattern: pattern.begin != pattern.end)


PATTERNS = patterns(MINUTES, st.one_of(MINUTES, st.just(DAY_MINUTES), st.just(360)))
QUARTERS = st.integers(0, 3).map(lambda quarter: quarter * 360)
TOUCHING = patterns(QUARTERS, QUARTERS.map(lambda minute: minute or DAY_MINUTES))


@st.composite
def bands_in_a_zone(draw: st.DrawFn) -> tuple[list[Meant], str, date]:
    """Draw up to three bands that share no minute, a zone, and a day near which their holidays lie.

    Half of the days are those on which the zone's clock is changed.
    """
    zone = draw(st.sampled_from(ZONES))
    number = draw(st.integers(FIRST_DAY, LAST_DAY))
    changes_at = wall_clock(zone).stretch(number * DAY)[1]
    if draw(st.booleans()) and changes_at < LAST_DAY * DAY:
        number = changes_at // DAY
    near = st.sets(st.integers(number - 9, number + 9), max_size=6)
    taken: dict[int, int] = {}
    chosen: list[list[Pattern]] = [[], [], []]
    for place, pattern in draw(st.lists(st.tuples(st.integers(0, 2), PATTERNS), min_size=1, max_size=8)):
        if all(taken.get(minute, place) == place for minute in pattern.minutes):
            taken.update(dict.fromkeys(pattern.minutes, place))
            chosen[place].append(pattern)
    bands = [Meant(tuple(each), frozenset(map(numbered, draw(near)))) for each in chosen if each]
    return bands, zone, numbered(number)


def numbered(number: int) -> date:
    """Return a day by its number since 1970-01-01."""
    return EPOCH.date() + timedelta(days=number)


@st.composite
def instants_near(draw: st.DrawFn, bands: Sequence[Meant], zone: str, day: date) -> Instant:
    """Draw an instant beside the beginning or the end of an interval, of a holiday's or of the day after one's."""
    band = draw(st.sampled_from(bands))
    pattern = draw(st.sampled_from(band.patterns))
    holidays = [each + timedelta(days=shift) for each in sorted(band.holidays) for shift in (0, 1)]
    begun = draw(st.sampled_from([*holidays, day, *(day + timedelta(days=shift) for shift in range(-7, 8))]))
    minute = draw(st.sampled_from((0, pattern.begin, pattern.end, pattern.begin + pattern.length // 2)))
    local = datetime.combine(begun, time(), ZoneInfo(zone)) + timedelta(minutes=minute)
    at = (local.replace(fold=draw(st.integers(0, 1))) - EPOCH) // timedelta(microseconds=1)
    return at + draw(st.sampled_from((-3_600 * SECOND, -SECOND, -1, 0, 0, 1, SECOND, 1_800 * SECOND, 3_600 * SECOND)))


def calendar_of(bands: Sequence[Meant], zone: str) -> Calendar:
    """Return the calendar of the core."""
    built = [band.built(str(place)) for place, band in enumerate(bands)]
    assert contradictions(built) == frozenset()
    return Calendar(wall_clock(zone), built)


@settings(max_examples=300, deadline=None)
@given(bands_in_a_zone(), st.data())
def test_a_calendar_is_what_the_clock_on_the_wall_says(
    drawn: tuple[list[Meant], str, date], data: st.DataObject
) -> None:
    bands, zone, day = drawn
    calendar = calendar_of(bands, zone)
    for _ in range(10):
        at = data.draw(instants_near(bands, zone, day))
        assert calendar.active(at) == reference_active(bands, at, zone), local_time(at, zone)


@settings(deadline=None)
@given(bands_in_a_zone(), st.data(), st.integers(0, 2_000), st.booleans())
def test_changes_are_those_met_by_asking_every_minute(
    drawn: tuple[list[Meant], str, date], data: st.DataObject, minutes: int, at_an_edge_of_a_page: bool
) -> None:
    bands, zone, day = drawn
    calendar = calendar_of(bands, zone)
    begin = data.draw(instants_near(bands, zone, day))
    if at_an_edge_of_a_page:
        begin = begin // PAGE * PAGE - 30 * MINUTE
    end = begin + minutes * MINUTE + data.draw(st.sampled_from((0, 1, SECOND)))
    # A band changes where the clock shows a whole minute; all these zones are whole minutes from UTC.
    asked = [begin, *range(begin // MINUTE * MINUTE + MINUTE, end, MINUTE)]
    met = [(at, calendar.active(at)) for at in asked]
    edges = [met[0], *(later for sooner, later in pairwise(met) if later[1] != sooner[1])]
    found = calendar.changes(begin, end)
    assert list(zip(found.instants, found.active, strict=True)) == edges


PATTERN_LISTS = st.lists(st.one_of(TOUCHING, PATTERNS), max_size=3)


@settings(max_examples=300, deadline=None)
@given(PATTERN_LISTS, PATTERN_LISTS)
def test_bands_overlap_if_a_minute_of_the_week_lies_in_both(one: list[Pattern], two: list[Pattern]) -> None:
    first, second = (TimeBand(name, tuple(each.parsed() for each in many)) for name, many in (("1", one), ("2", two)))
    shared = {minute for each in one for minute in each.minutes} & {minute for each in two for minute in each.minutes}
    assert first.overlaps(second) is second.overlaps(first) is bool(shared)
    assert contradictions([first, second]) == (frozenset({("1", "2"), ("2", "1")}) if shared else frozenset())


OFFSETS_ZONES = (*ZONES, "Pacific/Apia", "Africa/Monrovia", "Asia/Kathmandu", "Africa/Cairo", "Antarctica/Troll")
CLOCKS = {name: wall_clock(name) for name in OFFSETS_ZONES}


def reference_offset(at: Instant, zone: str) -> timedelta | None:
    """Return the offset that zoneinfo knows at an instant."""
    return (EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(zone)).utcoffset()


@given(st.sampled_from(OFFSETS_ZONES), st.integers(0, WALL_CLOCK_END - 1))
@example("Pacific/Apia", 1_325_239_200 * SECOND)
@example("Pacific/Apia", 1_325_239_200 * SECOND - 1)
@example("Africa/Monrovia", 63_593_070 * SECOND)
@example("Africa/Monrovia", 63_593_070 * SECOND - 1)
def test_the_wall_clock_is_zoneinfos(zone: str, at: Instant) -> None:
    offset, changes_at = CLOCKS[zone].stretch(at)
    assert at < changes_at
    assert timedelta(microseconds=offset) == reference_offset(at, zone)
    if changes_at < WALL_CLOCK_END:
        assert timedelta(microseconds=offset) == reference_offset(changes_at - 1, zone)
        assert timedelta(microseconds=offset) != reference_offset(changes_at, zone)


@pytest.mark.parametrize("zone", OFFSETS_ZONES)
def test_no_change_of_a_clock_is_missed(zone: str) -> None:
    clock = CLOCKS[zone]
    for day in range(LAST_DAY):
        at = day * DAY
        assert timedelta(microseconds=clock.stretch(at)[0]) == reference_offset(at, zone)


@given(st.sampled_from(OFFSETS_ZONES), st.integers(WALL_CLOCK_END, INSTANT_MAX))
def test_beyond_its_end_a_wall_clock_keeps_its_last_offset(zone: str, at: Instant) -> None:
    assert CLOCKS[zone].stretch(at) == (CLOCKS[zone].offsets[-1], NEVER)


DAY_LISTS = st.lists(
    st.one_of(st.tuples(st.integers(0, 6)), st.tuples(st.integers(0, 6), st.integers(0, 6))), min_size=1, max_size=4
)


@given(DAY_LISTS, st.integers(0, DAY_MINUTES - 1), st.integers(0, DAY_MINUTES))
def test_every_form_of_an_interval_is_understood(days: list[tuple[int, ...]], begin: int, end: int) -> None:
    named: list[int] = []
    for part in days:
        day = part[0]
        named.append(day)
        while day != part[-1]:
            day = (day + 1) % 7
            named.append(day)
    words = ",".join("-".join(DAYS[day] for day in part) for part in days)
    text = f"{words} {begin // 60:02d}:{begin % 60:02d}-{end // 60:02d}:{end % 60:02d}"
    if begin == end or len(set(named)) < len(named):
        with pytest.raises(ValueError, match=r"ends where it begins|names a day twice"):
            parse_intervals(text)
        return
    length = end - begin if end > begin else end + DAY_MINUTES - begin
    starts = [day * DAY_MINUTES + begin for day in sorted(named)]
    assert parse_intervals(text) == tuple(Interval(start, start + length) for start in starts)


@given(st.text("monfri,- 0123456789:", max_size=24))
@example("mon 08:00-20:00")
def test_any_text_at_all_is_intervals_within_the_week_or_a_refusal(text: str) -> None:
    try:
        found = parse_intervals(text)
    except ValueError:
        return
    assert found == tuple(sorted(found))
    for begin, end in found:
        assert 0 <= begin < WEEK_MINUTES
        assert 0 < end - begin <= DAY_MINUTES


# Calls that meet anything that can change: steps, tiers, bands and gaps, behind gifts of every kind.
RATES = st.integers(0, 3_000_000_000)
LENGTHS = st.one_of(st.sampled_from((1, 6, 30, 60)), st.integers(1, 90))


def ascending(draw: st.DrawFn, size: int) -> list[int]:
    """Draw positions from 0 on."""
    return [0, *sorted(draw(st.sets(st.integers(1, 300), max_size=size)))]


@st.composite
def alternatives(draw: st.DrawFn, band: str) -> Rates:
    """Draw the rates of one band."""
    tiers = []
    for from_unit in ascending(draw, 2):
        steps = [Step(second, draw(RATES), draw(LENGTHS)) for second in ascending(draw, 2)]
        tiers.append(Tier(from_unit, tuple(steps)))
    return Rates(band, tuple(tiers))


@st.composite
def changing_tariffs(draw: st.DrawFn) -> Tariff:
    """Draw a tariff whose rate may change."""
    found = tuple(draw(alternatives(str(place))) for place in range(draw(st.integers(1, 3))))
    spans = tuple(
        Span(second, draw(st.one_of(st.just(NO_RATES), st.integers(0, len(found) - 1))))
        for second in ascending(draw, 4)[1:]
    )
    gifts = st.one_of(st.just(0), st.integers(0, 100))
    first = found[0].tiers[0].steps[0]
    return Tariff(
        "t", 1, "44", "UK", "USD", first.rate, draw(st.integers(0, 10**9)), draw(LENGTHS), first.next_seconds,
        draw(gifts), draw(gifts), alternatives=found, spans=spans, decimals=9,
    )  # fmt: skip


UNITS = st.one_of(st.just(0), st.integers(0, 150))
SECONDS = st.integers(0, 500)


def in_force_at(tariff: Tariff, position: int, begins: int, last: int) -> tuple[Step, int]:
    """Return the step in force at a position and the place of its rates, by looking at everything."""
    place = next((span.rates for span in reversed(tariff.spans) if span.from_second <= position), 0)
    place = last if place == NO_RATES else place
    tier = next(
        tier for tier in reversed(tariff.alternatives[place].tiers) if tier.from_unit <= max(position - begins, 0)
    )
    return next(step for step in reversed(tier.steps) if step.from_second <= position), place


def walked(tariff: Tariff, seconds: int, units: int) -> list[tuple[int, int, int]]:
    """Return the position, length and rate of every block of a call that costs money."""
    begins = tariff.included_seconds + units
    blocks: list[tuple[int, int, int]] = []
    position, last = begins, 0
    while position < seconds:
        step, last = in_force_at(tariff, position, begins, last)
        length = step.next_seconds if blocks else tariff.first_seconds
        blocks.append((position, length, step.rate))
        position += length
    return blocks


@given(changing_tariffs(), SECONDS, UNITS)
def test_splitting_neither_creates_nor_loses_a_second(tariff: Tariff, seconds: int, units: int) -> None:
    begins = tariff.included_seconds + units
    paid = list(paid_stretches(tariff, seconds, units))
    if seconds <= max(tariff.free_seconds, begins):
        assert paid == []
        return
    assert paid[0].position == begins
    for sooner, later in pairwise(paid):
        assert later.position == sooner.position + sooner.blocks * sooner.length
    last = paid[-1]
    assert last.position + last.blocks * last.length >= seconds
    assert last.position + (last.blocks - 1) * last.length < seconds, "a block that has not begun is not paid"
    assert all(stretch.blocks > 0 for stretch in paid)
    assert charge(tariff, seconds, units).billed_seconds == last.position + last.blocks * last.length - begins


@given(changing_tariffs(), SECONDS, UNITS)
def test_the_runs_are_the_walk_from_block_to_block(tariff: Tariff, seconds: int, units: int) -> None:
    assume(seconds > max(tariff.free_seconds, tariff.included_seconds + units))
    blocks = [
        (position + place * length, length, rate)
        for position, length, many, rate, _ in paid_stretches(tariff, seconds, units)
        for place in range(many)
    ]
    assert blocks == walked(tariff, seconds, units)
    exact = 60 * tariff.connect_fee + sum(length * rate for _, length, rate in blocks)
    assert charge(tariff, seconds, units).amount == -(-exact // 60)


@given(changing_tariffs(), st.integers(1, 500), UNITS, st.integers(-2, 2))
def test_quota_is_the_inverse_of_charge_where_rates_change(tariff: Tariff, seconds: int, units: int, mark: int) -> None:
    available, cap = charge(tariff, seconds, units).amount + mark, 450
    assume(available >= 0)
    found = quota(tariff, available, cap, units)
    assert 0 <= found <= cap
    assert charge(tariff, found, units).amount <= available
    first = max(tariff.free_seconds, tariff.included_seconds + units) + 1
    if charge(tariff, first, units).amount > available:
        assert found == (min(first - 1, cap) if outlast_free(tariff, units) else 0)
        assert found == 0 or bundle_units(tariff, found, units) > 0 or found == cap, "nothing is had for nothing"
    else:
        assert found == cap or charge(tariff, found + 1, units).amount > available


@given(changing_tariffs(), st.integers(1, 500), UNITS)
def test_a_block_of_changing_rates_ends_where_the_next_begins(tariff: Tariff, seconds: int, units: int) -> None:
    end = block_end(tariff, seconds, units)
    assert end >= seconds
    assert charge(tariff, end, units) == charge(tariff, seconds, units)
    if seconds > tariff.free_seconds:
        assert charge(tariff, end + 1, units).billed_seconds > charge(tariff, seconds, units).billed_seconds


@given(changing_tariffs(), SECONDS, UNITS)
def test_a_bundle_and_blocks_share_a_call_out_without_a_rest(tariff: Tariff, seconds: int, units: int) -> None:
    used = bundle_units(tariff, seconds, units)
    assert 0 <= used <= units
    if seconds <= tariff.free_seconds:
        assert used == 0
    elif seconds <= tariff.included_seconds:
        assert used == min(units, 1), "one unit stands for the fee and the minimum"
    else:
        given_away = tariff.included_seconds + used
        assert given_away == min(seconds, tariff.included_seconds + units)
        assert given_away + charge(tariff, seconds, units).billed_seconds >= seconds
