"""Bundles: what they pay for, and which period an instant lies in."""

import pytest

from daemon.kernel.instant import parse_rfc3339
from daemon.rating.bundle import (
    CALLS_UNIT,
    ONCE,
    ONCE_PERIOD,
    PERIODS,
    WHOLE_CALL,
    Bundle,
    Meter,
    Part,
    Supply,
    Units,
    bundle_meter,
    bundle_of,
    given,
    period_number,
    supply,
    turned,
)


@pytest.mark.parametrize(
    ("bundle", "number", "unit", "fits"),
    [
        (Bundle("all", 100), "44", "second", True),
        (Bundle("all", 100), "", "second", True),
        (Bundle("all", 100), "44", "message", False),
        (Bundle("texts", 100, "message"), "44", "message", True),
        (Bundle("texts", 100, "message"), "44", "second", False),
        (Bundle("calls", 10, CALLS_UNIT), "44", "second", True),
        (Bundle("calls", 10, CALLS_UNIT), "44", "message", False),
        (Bundle("uk", 100, prefixes=frozenset(("44", "353"))), "441", "second", True),
        (Bundle("uk", 100, prefixes=frozenset(("44", "353"))), "44", "second", True),
        (Bundle("uk", 100, prefixes=frozenset(("44", "353"))), "353", "second", True),
        (Bundle("uk", 100, prefixes=frozenset(("44", "353"))), "4", "second", False),
        (Bundle("uk", 100, prefixes=frozenset(("44", "353"))), "144", "second", False),
        (Bundle("uk", 100, prefixes=frozenset(("44", "353"))), "", "second", False),
    ],
)
def test_a_bundle_fits_a_unit_and_a_group_of_numbers(bundle: Bundle, number: str, unit: str, fits: bool) -> None:
    assert bundle.fits(number, unit) is fits


def test_one_unit_of_calls_is_longer_than_any_call() -> None:
    assert WHOLE_CALL > 86_400


@pytest.mark.parametrize(
    ("period", "last", "first", "zone"),
    [
        ("day", "2026-01-05T23:59:59.999999Z", "2026-01-06T00:00:00Z", "UTC"),
        ("week", "2026-01-04T23:59:59Z", "2026-01-05T00:00:00Z", "UTC"),
        ("month", "2026-01-31T23:59:59Z", "2026-02-01T00:00:00Z", "UTC"),
        ("month", "2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z", "UTC"),
        ("year", "2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z", "UTC"),
        ("day", "2026-10-25T22:59:59Z", "2026-10-25T23:00:00Z", "Europe/Paris"),
        ("day", "2026-03-29T21:59:59Z", "2026-03-29T22:00:00Z", "Europe/Paris"),
        ("week", "2026-10-25T22:59:59Z", "2026-10-25T23:00:00Z", "Europe/Paris"),
        ("month", "2026-03-31T21:59:59Z", "2026-03-31T22:00:00Z", "Europe/Paris"),
        ("year", "2026-12-31T18:29:59Z", "2026-12-31T18:30:00Z", "Asia/Kolkata"),
    ],
)
def test_a_period_ends_at_local_midnight_and_the_next_is_one_more(
    period: str, last: str, first: str, zone: str
) -> None:
    before, after = (period_number(parse_rfc3339(at), period, zone) for at in (last, first))
    assert after == before + 1


@pytest.mark.parametrize(
    ("period", "begin", "end"),
    [
        ("day", "2026-01-05T00:00:00Z", "2026-01-05T23:59:59Z"),
        ("week", "2026-01-05T00:00:00Z", "2026-01-11T23:59:59Z"),
        ("month", "2026-02-01T00:00:00Z", "2026-02-28T23:59:59Z"),
        ("year", "2026-01-01T00:00:00Z", "2026-12-31T23:59:59Z"),
    ],
)
def test_a_period_is_one_from_end_to_end(period: str, begin: str, end: str) -> None:
    assert period in PERIODS
    assert period_number(parse_rfc3339(begin), period, "UTC") == period_number(parse_rfc3339(end), period, "UTC")


def test_a_new_meter_counts_nothing() -> None:
    assert Meter(7, "minutes") == (7, "minutes", 0, 0, 0, 0, 0)


@pytest.mark.parametrize(("at", "expires_at", "units"), [(99, 100, 60), (100, 100, 15), (10**18, 0, 60)])
def test_units_that_are_given_once_are_there_until_they_expire(at: int, expires_at: int, units: int) -> None:
    extra = Bundle("extra", 0, period=ONCE)
    meter = Meter(7, extra.meter, ONCE_PERIOD, used=40, held=15, carried=100, expires_at=expires_at)
    holds = (Units(extra.meter, 15, ONCE_PERIOD),)
    has = supply((extra,), holds, lambda _name: meter, lambda period: period_number(at, period, "UTC"), at)
    assert has.units == units, "what a call holds it keeps"


def test_a_meter_without_a_period_never_turns() -> None:
    extra = Bundle("extra", 0, period=ONCE)
    given = Meter(7, extra.meter, ONCE_PERIOD, carried=100)
    assert turned(given, extra, period_number(10**18, ONCE, "UTC")) is given
    assert turned(Meter(7, extra.meter), extra, ONCE_PERIOD) == given._replace(carried=0)


def test_units_that_a_call_holds_pay_for_it_before_those_that_nobody_does() -> None:
    """A call that is charged anew uses what it used before, though another bundle, used earlier, was given since."""
    since, before = Bundle("since", 50, priority=0), Bundle("before", 20, priority=5)
    calls = Bundle("calls", 3, CALLS_UNIT)
    parts = (Part(since, 7, 50), Part(before, 7, 20, own=15))
    assert Supply(parts).taken(10) == (Units(before.meter, 10, 7),)
    assert Supply(parts).taken(30) == (Units(since.meter, 15, 7), Units(before.meter, 15, 7))
    assert Supply(parts).taken(68) == (Units(since.meter, 50, 7), Units(before.meter, 18, 7))
    assert Supply((Part(since, 7, 50), Part(calls, 7, 3, own=1))).taken(60) == (Units(calls.meter, 1, 7),)


@pytest.mark.parametrize(
    ("expires_at", "new_expiry", "now", "period", "carried"),
    [
        (0, 0, 50, 1, 105),
        (0, 200, 50, 1, 105),
        (100, 100, 50, 1, 105),
        (100, 90, 50, 1, 105),
        (100, 200, 50, 2, 5),  # what is given back of the first would else live until 200
        (100, 0, 50, 2, 5),
        (100, 200, 100, 2, 5),
    ],
)
def test_units_given_once_are_of_a_period_that_expires_whole(
    expires_at: int, new_expiry: int, now: int, period: int, carried: int
) -> None:
    meter = Meter(1, "bundle:once:once", ONCE_PERIOD, used=100, carried=100, expires_at=expires_at)
    after = given(meter, 5, new_expiry, now)
    assert (after.period, after.carried, after.expires_at) == (period, carried, new_expiry)
    assert given(Meter(1, "bundle:once:once"), 5, new_expiry, now).period == ONCE_PERIOD


@pytest.mark.parametrize("period", [*PERIODS, ONCE])
def test_a_meter_tells_the_bundle_whose_units_it_counts(period: str) -> None:
    assert bundle_of(bundle_meter("uk-500", period)) == "uk-500"
