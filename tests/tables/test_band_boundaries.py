"""Boundaries of time bands, one second before and after each: a beginning is within, an end is not.

2026-01-01 is a Thursday; the days named are those of the first weeks of 2026, in UTC.
"""

from datetime import date

import pytest

from daemon.kernel.instant import SECOND, parse_rfc3339
from daemon.kernel.money import parse_nano
from daemon.rating.charge import charge
from daemon.rating.deck import RateRow, Terms
from daemon.rating.rate_table import Policy, RateTable
from daemon.rating.tariff import Gap, Tariff
from daemon.rating.time_band import TimeBand, parse_intervals

EPOCH = date(1970, 1, 1)
PEAK_RATE, OTHER_RATE = parse_nano("0.10"), parse_nano("0.05")


def table(interval: str, holiday: str, block: int = 1, *, gaps: bool = False) -> RateTable:
    """Return a table of a band that costs 0.10 a minute and, unless there are gaps, 0.05 at all other time."""
    holidays = frozenset({(date.fromisoformat(holiday) - EPOCH).days} if holiday else ())
    band = TimeBand("band", parse_intervals(interval), holidays)
    rows = [RateRow("44", PEAK_RATE, terms=Terms(0, block, block, time_band="band"))]
    rows += [] if gaps else [RateRow("44", OTHER_RATE, terms=Terms(0, block, block))]
    built, errors = RateTable.of(Policy("bands", 1, "USD", split_bands=True, bands=(band,)), rows)
    assert built is not None, errors
    return built


@pytest.mark.parametrize(
    ("interval", "holiday", "at"),
    [
        ("mon-fri 08:00-20:00", "", "2026-01-05T08:00:00Z"),
        ("mon-fri 00:00-24:00", "", "2026-01-05T00:00:00Z"),
        ("sat,sun 00:00-24:00", "", "2026-01-03T00:00:00Z"),
        ("fri 22:00-06:00", "", "2026-01-09T22:00:00Z"),
        ("sun 22:00-06:00", "", "2026-01-11T22:00:00Z"),
        ("mon 00:00-00:01", "", "2026-01-12T00:00:00Z"),
        # Of Thursday and Friday night the one is a holiday's: the other begins, and not earlier.
        ("thu,fri 22:00-06:00", "2026-01-08", "2026-01-09T22:00:00Z"),
        ("mon-sun 00:00-24:00", "2026-01-08", "2026-01-09T00:00:00Z"),
        # A Sunday's holiday takes the hours of Monday too.
        ("sun,mon 22:00-06:00", "2026-01-11", "2026-01-12T22:00:00Z"),
    ],
)
def test_a_band_begins_on_its_second(interval: str, holiday: str, at: str) -> None:
    assert _rates_around(table(interval, holiday), at) == [OTHER_RATE, PEAK_RATE, PEAK_RATE]


@pytest.mark.parametrize(
    ("interval", "holiday", "at"),
    [
        ("mon-fri 08:00-20:00", "", "2026-01-05T20:00:00Z"),
        ("mon-fri 00:00-24:00", "", "2026-01-03T00:00:00Z"),
        ("sat,sun 00:00-24:00", "", "2026-01-05T00:00:00Z"),
        ("sun 20:00-24:00", "", "2026-01-12T00:00:00Z"),
        ("fri 22:00-06:00", "", "2026-01-10T06:00:00Z"),
        ("sun 22:00-06:00", "", "2026-01-12T06:00:00Z"),
        # The night belongs to the day on which it begins: a holiday on the morning's day does not end it.
        ("fri 22:00-06:00", "2026-01-10", "2026-01-10T06:00:00Z"),
        ("sun 22:00-06:00", "2026-01-12", "2026-01-12T06:00:00Z"),
        ("mon-sun 00:00-24:00", "2026-01-08", "2026-01-08T00:00:00Z"),
    ],
)
def test_a_band_ends_before_its_second(interval: str, holiday: str, at: str) -> None:
    assert _rates_around(table(interval, holiday), at) == [PEAK_RATE, OTHER_RATE, OTHER_RATE]


@pytest.mark.parametrize(
    ("interval", "holiday", "at"),
    [
        ("fri 22:00-06:00", "2026-01-09", "2026-01-09T22:00:00Z"),
        ("fri 22:00-06:00", "2026-01-09", "2026-01-10T00:00:00Z"),
        ("fri 22:00-06:00", "2026-01-09", "2026-01-10T06:00:00Z"),
        ("sun 22:00-06:00", "2026-01-11", "2026-01-12T00:00:00Z"),
        ("mon-fri 08:00-20:00", "2026-01-05", "2026-01-05T08:00:00Z"),
        ("mon-fri 08:00-20:00", "2026-01-05", "2026-01-05T20:00:00Z"),
    ],
)
def test_a_holiday_takes_the_whole_interval_that_begins_on_it(interval: str, holiday: str, at: str) -> None:
    assert _rates_around(table(interval, holiday), at) == [OTHER_RATE, OTHER_RATE, OTHER_RATE]


@pytest.mark.parametrize(
    ("interval", "at"),
    [
        ("mon-fri 00:00-24:00", "2026-01-06T00:00:00Z"),
        ("mon-sun 00:00-24:00", "2026-01-12T00:00:00Z"),
        ("fri 22:00-06:00", "2026-01-10T00:00:00Z"),
        ("sun 22:00-06:00", "2026-01-12T00:00:00Z"),
    ],
)
def test_midnight_and_the_end_of_the_week_change_nothing_within_a_band(interval: str, at: str) -> None:
    assert _rates_around(table(interval, ""), at) == [PEAK_RATE, PEAK_RATE, PEAK_RATE]


def _rates_around(built: RateTable, at: str) -> list[int]:
    """Return what is asked a second before an instant, on it, and a second after."""
    middle = parse_rfc3339(at)
    found = [built.match("44", middle + shift * SECOND) for shift in (-1, 0, 1)]
    return [tariff.rate for tariff in found if tariff is not None]


@pytest.mark.parametrize(
    ("at", "seconds", "amount"),
    [
        # A block has the price of the instant at which it begins: on the edge it is the later band's.
        ("2026-01-05T19:59:00Z", 60, "0.10"),
        ("2026-01-05T19:59:00Z", 61, "0.15"),
        ("2026-01-05T19:58:59Z", 61, "0.20"),
        ("2026-01-05T19:58:59Z", 121, "0.25"),
        ("2026-01-05T19:59:01Z", 61, "0.15"),
        ("2026-01-05T19:59:59Z", 1, "0.10"),
        ("2026-01-05T20:00:00Z", 1, "0.05"),
        ("2026-01-05T07:59:00Z", 61, "0.15"),
        ("2026-01-05T07:58:59Z", 61, "0.10"),
        ("2026-01-05T07:59:01Z", 61, "0.15"),
    ],
)
def test_a_block_that_begins_on_an_edge_is_the_later_bands(at: str, seconds: int, amount: str) -> None:
    found = table("mon-fri 08:00-20:00", "", 60).match("44", parse_rfc3339(at))
    assert found is not None
    assert charge(found, seconds).amount == parse_nano(amount)


def test_where_no_rows_are_in_force_a_call_is_unrated_and_a_running_one_goes_on_at_its_rate() -> None:
    built = table("mon 08:00-20:00", "", 60, gaps=True)
    assert isinstance(built.find("44", parse_rfc3339("2026-01-05T20:00:00Z")), Gap)
    assert isinstance(built.find("44", parse_rfc3339("2026-01-05T07:59:59Z")), Gap)
    running = built.find("44", parse_rfc3339("2026-01-05T19:59:59Z"))
    assert isinstance(running, Tariff)
    assert charge(running, 180).amount == parse_nano("0.30")
