"""Instants: RFC 3339 in and out, and real durations across changes of the clock on the wall (vector A08)."""

import pytest

from daemon.kernel.instant import (
    DAY,
    INSTANT_MAX,
    SECOND,
    InstantError,
    format_rfc3339,
    from_seconds,
    local_day,
    parse_rfc3339,
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


@pytest.mark.parametrize("name", ["Europe/Pariss", "../etc/passwd", ""])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(InstantError, match="tz database"):
        zone(name)
