"""Instants: RFC 3339 in and out, and real durations across changes of the clock on the wall (vector A08)."""

from zoneinfo import ZoneInfo

import pytest

from daemon.kernel.instant import (
    DAY,
    INSTANT_MAX,
    MINUTE,
    NEVER,
    SECOND,
    WALL_CLOCK_END,
    InstantError,
    WallClock,
    decimal_seconds,
    format_rfc3339,
    from_seconds,
    local_day,
    parse_rfc3339,
    wall_clock,
    zone,
)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t01:00:00+01:00", 0),
        ("1970-01-01 00:00:01.5z", 1_500_000),
        ("1970-01-01T00:00:00.123456789Z", 123_456),
        ("1969-12-31T23:59:00-00:01", 0),
        ("9999-12-31T23:59:59Z", INSTANT_MAX),
    ],
)
def test_an_rfc_3339_text_is_an_instant(text: str, instant: int) -> None:
    assert parse_rfc3339(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00+24:00",
        "0000-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59.5Z",
        "9999-12-31T23:59:59-23:59",
        "2026-01-01T00:00:00Z\n",
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InstantError):
        parse_rfc3339(text)


def test_an_instant_is_written_in_utc_with_microseconds() -> None:
    assert format_rfc3339(parse_rfc3339("2026-11-24T02:02:03.000004+01:00")) == "2026-11-24T01:02:03.000004Z"


def test_unix_seconds_are_instants() -> None:
    assert from_seconds(86_400) == DAY


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [
        ("2026-10-25T02:50:00+02:00", "2026-10-25T02:10:00+01:00", 1_200),
        ("2026-03-29T01:59:30+01:00", "2026-03-29T03:00:30+02:00", 60),
    ],
)
def test_a08_a_duration_does_not_know_summer_time(start: str, end: str, seconds: int) -> None:
    assert parse_rfc3339(end) - parse_rfc3339(start) == seconds * SECOND


def test_a_local_day_begins_at_local_midnight() -> None:
    paris = zone("Europe/Paris")
    midnight = parse_rfc3339("2026-10-25T00:00:00+02:00")
    assert local_day(midnight, paris) == local_day(midnight - 1, paris) + 1
    assert local_day(midnight + 25 * 3_600 * SECOND - 1, paris) == local_day(midnight, paris)


@pytest.mark.parametrize("name", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_last_instant_has_a_local_day_too(name: str) -> None:
    # A clock ahead of UTC would show the year 10000, which no calendar has.
    where = zone(name)
    assert local_day(INSTANT_MAX, where) == local_day(INSTANT_MAX - 2 * DAY, where) + 1


@pytest.mark.parametrize("name", ["Europe/Pariss", "../etc/passwd", ""])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(InstantError, match="tz database"):
        zone(name)


PARIS = WallClock(zone("Europe/Paris"))


@pytest.mark.parametrize(
    ("at", "minutes", "until"),
    [
        ("2026-01-05T12:00:00Z", 60, "2026-03-29T01:00:00Z"),
        ("2026-03-29T00:59:59.999999Z", 60, "2026-03-29T01:00:00Z"),
        ("2026-03-29T01:00:00Z", 120, "2026-10-25T01:00:00Z"),
        ("2026-10-25T00:59:59.999999Z", 120, "2026-10-25T01:00:00Z"),
        ("2026-10-25T01:00:00Z", 60, "2027-03-28T01:00:00Z"),
        ("1970-01-01T00:00:00Z", 60, "1976-03-28T00:00:00Z"),
    ],
)
def test_a_wall_clock_knows_its_offset_and_how_long_it_holds(at: str, minutes: int, until: str) -> None:
    assert PARIS.stretch(parse_rfc3339(at)) == (minutes * MINUTE, parse_rfc3339(until))


@pytest.mark.parametrize(
    ("name", "offsets"),
    [
        ("UTC", [0]),
        ("Asia/Tokyo", [540]),
        # Katmandu was half an hour off until 1986, and has been three quarters since.
        ("Asia/Kathmandu", [330, 345]),
    ],
)
def test_a_clock_that_is_not_changed_any_more_keeps_its_offset_for_ever(name: str, offsets: list[int]) -> None:
    clock = wall_clock(name)
    assert clock.offsets == [minutes * MINUTE for minutes in offsets]
    assert clock.stretch(INSTANT_MAX) == (offsets[-1] * MINUTE, NEVER)


def test_an_offset_of_odd_seconds_ends_on_the_second() -> None:
    # Monrovia was 44 minutes and 30 seconds behind until 1972-01-07.
    monrovia = wall_clock("Africa/Monrovia")
    assert monrovia.offsets == [-(44 * MINUTE + 30 * SECOND), 0]
    assert monrovia.transitions == [parse_rfc3339("1972-01-07T00:44:30Z")]


def test_a_day_that_a_zone_left_out_is_a_change_of_a_whole_day() -> None:
    apia = wall_clock("Pacific/Apia")
    at = parse_rfc3339("2011-12-30T10:00:00Z")
    assert apia.stretch(at)[0] - apia.stretch(at - 1)[0] == DAY


def test_changes_are_found_until_the_end_of_the_century() -> None:
    assert PARIS.transitions[-1] == parse_rfc3339("2099-10-25T01:00:00Z")
    assert PARIS.transitions[-1] < WALL_CLOCK_END


def test_a_zones_clock_is_found_once() -> None:
    assert wall_clock("Europe/Paris") is wall_clock("Europe/Paris")
    assert wall_clock("Europe/Paris").zone == ZoneInfo("Europe/Paris")
    with pytest.raises(InstantError, match="tz database"):
        wall_clock("Europe/Pariss")


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "0"),
        (1, "0.000001"),
        (SECOND, "1"),
        (61_300_000, "61.3"),
        (600 * SECOND, "600"),
        (10 * SECOND + 10, "10.00001"),
    ],
)
def test_durations_are_plain_decimals_of_seconds(microseconds: int, text: str) -> None:
    assert decimal_seconds(microseconds) == text
