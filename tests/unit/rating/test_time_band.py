"""Time bands: what a text means, which bands contradict each other, which one holds an instant."""

from datetime import date

import pytest

from daemon.kernel.instant import DAY, MINUTE, SECOND, Instant, parse_rfc3339, wall_clock
from daemon.rating.time_band import (
    DAY_MINUTES,
    NO_BAND,
    PAGE,
    PAGES_MAX,
    WEEK_MINUTES,
    Calendar,
    Edges,
    Interval,
    TimeBand,
    contradictions,
    parse_intervals,
)

DAY_OF = {name: place * DAY_MINUTES for place, name in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"))}


def band(name: str, *texts: str, holidays: tuple[str, ...] = ()) -> TimeBand:
    """Return a band of some texts."""
    days = frozenset((date.fromisoformat(day) - date(1970, 1, 1)).days for day in holidays)
    return TimeBand(name, tuple(each for text in texts for each in parse_intervals(text)), days)


@pytest.mark.parametrize(
    ("text", "days", "begin", "length"),
    [
        ("mon 08:00-20:00", "mon", 480, 720),
        ("mon-fri 08:00-20:00", "mon tue wed thu fri", 480, 720),
        ("mon,wed,fri 00:00-24:00", "mon wed fri", 0, 1_440),
        ("sat,mon-tue 12:00-12:01", "mon tue sat", 720, 1),
        ("fri-mon 00:00-00:30", "mon fri sat sun", 0, 30),
        ("sun-sat 00:00-24:00", "mon tue wed thu fri sat sun", 0, 1_440),
        ("fri 22:00-06:00", "fri", 1_320, 480),
        ("sun 23:59-00:00", "sun", 1_439, 1),
        ("sun 00:01-00:00", "sun", 1, 1_439),
        ("mon-mon 00:00-00:01", "mon", 0, 1),
    ],
)
def test_a_text_is_an_interval_for_each_day(text: str, days: str, begin: int, length: int) -> None:
    starts = [DAY_OF[day] + begin for day in days.split()]
    assert parse_intervals(text) == tuple(Interval(start, start + length) for start in starts)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no interval"),
        ("mon", "is no interval"),
        ("mon 8:00-20:00", "is no interval"),
        ("mon 08:00-20:60", "is no interval"),
        ("mon 08:00 - 20:00", "is no interval"),
        ("Mon 08:00-20:00", "is no interval"),
        ("mon 08:00-20:00\n", "is no interval"),
        ("mon 30:00-20:00", "is no interval"),
        ("mon ٠٨:00-20:00", "is no interval"),
        ("mon 24:00-06:00", "begins at 24:00"),
        ("mon 25:00-06:00", "past 24:00"),
        ("mon 08:00-24:01", "past 24:00"),
        ("mon 08:00-29:00", "past 24:00"),
        ("mon 08:00-08:00", "ends where it begins"),
        ("moon 08:00-20:00", "no such day"),
        ("mon- 08:00-20:00", "no such day"),
        ("-mon 08:00-20:00", "no such day"),
        ("mon-tue-wed 08:00-20:00", "no such day"),
        ("mon-may 08:00-20:00", "no such day"),
        ("mon,,tue 08:00-20:00", "no such day"),
        ("mon,mon 08:00-20:00", "a day twice"),
        ("mon-wed,tue 08:00-20:00", "a day twice"),
    ],
)
def test_any_other_text_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_intervals(text)


@pytest.mark.parametrize(
    ("one", "two", "overlap"),
    [
        ("mon-fri 08:00-20:00", "mon-fri 20:00-08:00", False),
        ("mon-fri 08:00-20:00", "fri 19:59-21:00", True),
        ("mon-fri 00:00-24:00", "sat,sun 00:00-24:00", False),
        ("fri 22:00-06:00", "sat 05:59-07:00", True),
        ("fri 22:00-06:00", "sat 06:00-07:00", False),
        ("sun 22:00-06:00", "mon 05:59-07:00", True),
        ("sun 22:00-06:00", "mon 06:00-07:00", False),
    ],
)
def test_bands_that_share_a_minute_contradict_each_other(one: str, two: str, overlap: bool) -> None:
    found = contradictions([band("one", one), band("two", two)])
    assert found == (frozenset({("one", "two"), ("two", "one")}) if overlap else frozenset())


def calendar(*bands: TimeBand, zone: str = "UTC") -> Calendar:
    """Return the calendar of some bands."""
    return Calendar(wall_clock(zone), bands)


def active(found: Calendar, at: str) -> str:
    """Return the id of the band that holds a time, empty where none does."""
    place = found.active(parse_rfc3339(at))
    return "" if place == NO_BAND else found.bands[place].id


# 2026-01-02 is a Friday.
WEEKEND = calendar(band("night", "fri 22:00-06:00", "sun 22:00-06:00"), band("day", "sat,sun 08:00-22:00"))


@pytest.mark.parametrize(
    ("at", "name"),
    [
        ("2026-01-02T21:59:59.999999Z", ""),
        ("2026-01-02T22:00:00Z", "night"),
        ("2026-01-03T05:59:59Z", "night"),
        ("2026-01-03T06:00:00Z", ""),
        ("2026-01-04T21:59:59Z", "day"),
        ("2026-01-04T22:00:00Z", "night"),
        ("2026-01-05T05:59:59Z", "night"),
        ("2026-01-05T06:00:00Z", ""),
        ("1970-01-01T00:00:00Z", ""),
        ("1970-01-02T22:00:00Z", "night"),
    ],
)
def test_the_band_of_an_instant(at: str, name: str) -> None:
    assert active(WEEKEND, at) == name


@pytest.mark.timeout(30)
def test_the_last_page_of_time_is_laid_out_too() -> None:
    # It ends behind the last instant, where a zone's last offset must still be in force; it was never finished once.
    last = parse_rfc3339("9999-12-31T23:59:59Z")
    found = calendar(band("day", "mon-sun 08:00-20:00"), zone="Europe/Paris")
    assert found.active(last) == NO_BAND
    assert found.active(last - 5 * 60 * MINUTE) == 0
    assert len(found.changes(last - DAY, last + 2 * PAGE).instants) > 2 * 2 * PAGE // DAY


@pytest.mark.parametrize(
    ("holiday", "at", "name"),
    [
        ("2026-01-02", "2026-01-02T23:00:00Z", ""),
        ("2026-01-02", "2026-01-03T01:00:00Z", ""),
        ("2026-01-03", "2026-01-03T01:00:00Z", "night"),
        ("2026-01-04", "2026-01-05T01:00:00Z", ""),
        ("2026-01-05", "2026-01-05T01:00:00Z", "night"),
        ("2026-01-04", "2026-01-11T23:00:00Z", "night"),
        ("2026-01-04", "2026-01-12T01:00:00Z", "night"),
    ],
)
def test_a_holiday_is_the_day_on_which_an_interval_would_begin(holiday: str, at: str, name: str) -> None:
    assert active(calendar(band("night", "fri,sun 22:00-06:00", holidays=(holiday,))), at) == name


def test_a_holiday_of_one_band_is_none_of_another() -> None:
    found = calendar(band("work", "mon-fri 08:00-20:00", holidays=("2026-01-05",)), band("night", "mon 20:00-24:00"))
    assert active(found, "2026-01-05T12:00:00Z") == ""
    assert active(found, "2026-01-05T21:00:00Z") == "night"


def test_intervals_of_one_band_may_overlap_and_its_holiday_takes_only_its_own() -> None:
    found = calendar(band("long", "mon 08:00-20:00", "mon 09:00-10:00", "sun 22:00-09:00", holidays=("2026-01-05",)))
    assert [active(found, f"2026-01-05T{clock}:00Z") for clock in ("08:59", "09:00", "19:59")] == ["long", "", ""]
    assert [active(found, f"2026-01-12T{clock}:00Z") for clock in ("08:59", "09:00", "20:00")] == ["long", "long", ""]


def test_a_calendar_without_bands_holds_nothing() -> None:
    assert active(calendar(), "2026-01-05T12:00:00Z") == ""
    assert calendar(band("never")).changes(0, DAY) == Edges([0], [NO_BAND])


def test_changes_begin_with_what_is_in_force_and_end_before_the_end() -> None:
    found = calendar(band("day", "mon-sun 08:00-20:00"))
    midnight = parse_rfc3339("2026-01-05T00:00:00Z")
    eight, twenty = midnight + 8 * 60 * MINUTE, midnight + 20 * 60 * MINUTE
    assert found.changes(midnight, midnight + DAY) == Edges([midnight, eight, twenty], [NO_BAND, 0, NO_BAND])
    assert found.changes(midnight, eight) == Edges([midnight], [NO_BAND])
    assert found.changes(midnight, eight + 1) == Edges([midnight, eight], [NO_BAND, 0])
    assert found.changes(eight, eight + SECOND) == Edges([eight], [0])
    assert found.changes(eight, eight) == Edges([eight], [0])


def test_the_edge_of_a_page_is_no_change() -> None:
    found = calendar(band("always", "mon-sun 00:00-24:00"))
    assert found.changes(PAGE - 1, 3 * PAGE) == Edges([PAGE - 1], [0])
    assert [found.page(number) for number in (0, 1)] == [Edges([0], [0]), Edges([PAGE], [0])]


def test_pages_are_kept_up_to_a_bound_and_laid_out_alike_again() -> None:
    found = calendar(band("day", "mon-sun 08:00-20:00"))
    first = found.page(0)
    assert found.page(0) is first
    for number in range(1, PAGES_MAX):
        found.page(number)
    assert found.page(0) is first
    found.page(PAGES_MAX)
    assert found.page(0) == first
    assert found.page(0) is not first


def edges_of_day(zone: str, begin: Instant, hours: int) -> list[int]:
    """Return the hours after ``begin`` at which a band from 02:00 to 03:00 of every day begins and ends."""
    found = calendar(band("hour", "mon-sun 02:00-03:00"), zone=zone).changes(begin, begin + hours * 60 * MINUTE)
    return [(at - begin) // (60 * MINUTE) for at in found.instants[1:]]


@pytest.mark.parametrize(
    ("zone", "begin", "hours", "edges"),
    [
        ("Europe/Paris", "2026-01-05T00:00:00+01:00", 24, [2, 3]),
        # The clock shows the hour twice, without a break.
        ("Europe/Paris", "2026-10-25T00:00:00+02:00", 25, [2, 4]),
        # It does not show it at all.
        ("Europe/Paris", "2026-03-29T00:00:00+01:00", 23, []),
        ("America/New_York", "2026-03-08T00:00:00-05:00", 23, []),
        # The clock is set back at 02:00, before the band begins: 01:00 comes twice.
        ("America/New_York", "2026-11-01T00:00:00-04:00", 25, [3, 4]),
        ("UTC", "2026-10-25T00:00:00Z", 24, [2, 3]),
    ],
)
def test_a_day_of_23_or_25_hours(zone: str, begin: str, hours: int, edges: list[int]) -> None:
    assert edges_of_day(zone, parse_rfc3339(begin), hours) == edges


def test_half_an_hour_that_comes_twice_is_twice_in_its_band() -> None:
    # Lord Howe Island goes back from 02:00 to 01:30 on the first Sunday of April.
    found = calendar(band("half", "sun 01:30-02:00"), zone="Australia/Lord_Howe")
    begin = parse_rfc3339("2026-04-05T00:00:00+11:00")
    edges = found.changes(begin, begin + DAY)
    assert [(at - begin) // MINUTE for at in edges.instants[1:]] == [90, 150]


def test_a_week_has_seven_days_of_minutes() -> None:
    assert WEEK_MINUTES == 7 * DAY_MINUTES == 10_080
