"""Laws of meters and bundles, on random lives: units add up, none is used twice, and what is left rolls over once."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.kernel.instant import DAY, SECOND, parse_rfc3339
from daemon.rating.bundle import (
    CALLS_UNIT,
    PERIODS,
    WHOLE_CALL,
    Bundle,
    Meter,
    Part,
    Supply,
    Units,
    counted,
    left,
    period_number,
    supply,
    turned,
    volume_meter,
)
from daemon.rating.charge import bundle_units, charge
from daemon.rating.tariff import Tariff
from tests.property.test_rating_properties import TARIFFS

BUNDLES = st.builds(
    Bundle, id=st.sampled_from("abc"), units=st.integers(0, 100), unit=st.sampled_from(("second", CALLS_UNIT)),
    rollover=st.booleans(),
)  # fmt: skip
METERS = st.builds(
    Meter, account=st.just(1), name=st.just("m"), period=st.integers(1, 9), used=st.integers(0, 150),
    held=st.integers(0, 150), carried=st.integers(0, 100),
)  # fmt: skip
LIVES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 2)), max_size=12)


def parts(bundles: list[Bundle], units: list[int]) -> Supply:
    return Supply(tuple(Part(bundle, 1, count) for bundle, count in zip(bundles, units, strict=False)))


@given(METERS, BUNDLES, st.integers(0, 12))
def test_a_meter_never_turns_back_and_counts_anew_in_what_it_turns_to(
    meter: Meter, bundle: Bundle, period: int
) -> None:
    after = turned(meter, bundle, period)
    assert after.period == max(meter.period, period)
    if period <= meter.period:
        assert after == meter
    else:
        assert (after.used, after.held) == (0, 0)
        assert turned(meter, None, period) == Meter(1, "m", period)


@given(METERS, BUNDLES, st.integers(1, 6))
def test_turning_period_by_period_or_at_once_is_the_same(meter: Meter, bundle: Bundle, periods: int) -> None:
    after = meter
    for step in range(1, periods + 1):
        after = turned(after, bundle, meter.period + step)
    assert after == turned(meter, bundle, meter.period + periods)


@given(METERS, BUNDLES)
def test_only_the_allowance_rolls_over_and_only_its_rest(meter: Meter, bundle: Bundle) -> None:
    carried = turned(meter, bundle, meter.period + 1).carried
    assert 0 <= carried <= bundle.units * bundle.rollover
    if bundle.rollover:
        of_allowance = max(meter.used + meter.held - meter.carried, 0)  # what was carried is used first
        assert carried == max(bundle.units - of_allowance, 0)


@given(BUNDLES, LIVES)
def test_left_used_and_held_add_up_over_any_life(bundle: Bundle, life: list[tuple[int, int, int]]) -> None:
    meter = turned(Meter(1, bundle.meter), bundle, 1)
    assert meter.carried == 0
    for wanted, used, periods in life:
        taken = min(wanted, left(meter, bundle))
        meter = counted(meter, bundle, meter.period, held=taken)
        assert left(meter, bundle) + meter.used + meter.held == bundle.units + meter.carried
        meter = counted(meter, bundle, meter.period, held=-taken, used=min(used, taken))
        assert left(meter, bundle) + meter.used + meter.held == bundle.units + meter.carried
        assert meter.carried <= bundle.units
        meter = turned(meter, bundle, meter.period + periods)


@given(BUNDLES, st.integers(0, 100), st.integers(0, 200), st.integers(0, 200))
def test_what_a_closed_period_gives_back_is_carried_as_if_it_had_come_in_time(
    bundle: Bundle, carried: int, held: int, used: int
) -> None:
    # The call held units to the end of period 1; it uses some of them, told before the turn or after it.
    meter = Meter(1, "m", 1, carried=carried)
    held = min(held, left(meter, bundle))
    used = min(used, held)
    holding = counted(meter, bundle, 1, held=held)
    in_time = turned(counted(holding, bundle, 1, held=-held, used=used), bundle, 2)
    late = counted(turned(holding, bundle, 2), bundle, 1, held=-held, used=used)
    assert late == in_time


@given(METERS, BUNDLES, st.integers(0, 50))
def test_a_closed_period_takes_nothing_more_and_gives_nothing_back_twice_removed(
    meter: Meter, bundle: Bundle, units: int
) -> None:
    assert counted(meter, bundle, meter.period - 1, held=units) == meter
    assert counted(meter, bundle, meter.period - 2, held=-units) == meter
    assert counted(meter, None, meter.period - 1, used=-units) == meter
    assert counted(meter, replace(bundle, rollover=False), meter.period - 1, held=-units) == meter
    assert counted(meter, bundle, meter.period - 1, held=units, used=-units) == meter


@pytest.mark.parametrize("field", ["held", "used"])
def test_fewer_than_none_are_never_counted(field: str) -> None:
    with pytest.raises(AssertionError):
        counted(Meter(1, "m", 1), None, 1, **{field: -1})


@given(METERS, BUNDLES, st.integers(0, 60), st.integers(0, 12))
def test_a_supply_is_what_the_call_holds_and_what_nobody_holds(
    meter: Meter, bundle: Bundle, own: int, period: int
) -> None:
    meter = meter._replace(held=meter.held + own)
    holds = [Units(bundle.meter, own, period), Units("other", 7, period), Units(bundle.meter, 9, period + 1)]
    (part,) = supply([bundle], holds, lambda _: meter, lambda _: period).parts
    free = left(turned(meter, bundle, period), bundle) if period >= meter.period else 0
    assert part == Part(bundle, period, own + free, own)


@given(
    st.lists(BUNDLES, max_size=3, unique_by=lambda bundle: bundle.id),
    st.lists(st.integers(0, 50), max_size=4),
    st.integers(0, 300),
)
def test_units_are_taken_in_order_and_no_more_than_there_are(
    bundles: list[Bundle], units: list[int], usage: int
) -> None:
    has = parts(bundles, units)
    taken = has.taken(min(usage, has.units))
    paid = 0
    places = iter(has.parts)
    for each in taken:
        part = next(part for part in places if part.bundle.meter == each.meter and part.units)
        assert 1 <= each.units <= part.units
        paid += part.bundle.covers(each.units)
        if paid < usage:
            assert each.units == part.units  # the next bundle is asked only when the one before is used up
    assert paid == min(usage, has.units) or paid >= WHOLE_CALL


@given(
    TARIFFS,
    st.lists(BUNDLES, max_size=3, unique_by=lambda bundle: bundle.id),
    st.lists(st.integers(0, 50), max_size=3),
    st.integers(0, 400),
)
def test_a_call_that_holds_what_it_takes_costs_the_same_whatever_others_take(
    tariff: Tariff, bundles: list[Bundle], units: list[int], seconds: int
) -> None:
    has = parts(bundles, units)
    taken = has.taken(max(bundle_units(tariff, seconds, has.units), seconds > tariff.free_seconds))
    covers = {bundle.meter: bundle for bundle in bundles}
    held = sum(covers[each.meter].covers(each.units) for each in taken)
    assert charge(tariff, seconds, held) == charge(tariff, seconds, has.units)


@given(st.sampled_from(PERIODS), st.integers(0, 200 * 366), st.sampled_from(("UTC", "America/New_York", "Asia/Tokyo")))
def test_periods_follow_each_other_without_a_gap(period: str, day: int, zone: str) -> None:
    today, tomorrow = (period_number(at * DAY + DAY // 2, period, zone) for at in (day, day + 1))
    assert tomorrow - today in ((1,) if period == "day" else (0, 1))


def test_a_period_begins_at_midnight_of_the_accounts_zone() -> None:
    midnight = parse_rfc3339("2026-01-01T05:00:00Z")
    for period in ("day", "month", "year"):
        before, after = (period_number(midnight + us, period, "America/New_York") for us in (-SECOND, 0))
        assert after - before == 1
    monday = parse_rfc3339("2026-01-05T00:00:00Z")
    assert period_number(monday, "week", "UTC") - period_number(monday - SECOND, "week", "UTC") == 1


def test_meters_are_named_by_what_they_count_and_its_period() -> None:
    assert Bundle("uk", 1, period="day").meter == "bundle:uk:day"
    assert volume_meter("retail", "month") == "volume:retail:month"


@pytest.mark.parametrize(
    ("unit", "number", "usage", "fits"),
    [
        ("second", "4420", "second", True), ("second", "4", "second", False), ("second", "4420", "message", False),
        ("call", "4420", "second", True), ("call", "33", "second", False), ("message", "4420", "message", True),
        ("call", "4420", "message", False),
    ],
)  # fmt: skip
def test_what_a_bundle_fits(unit: str, number: str, usage: str, fits: bool) -> None:
    bundle = Bundle("b", 1, unit, prefixes=frozenset({"44"}))
    assert bundle.fits(number, usage) is fits
    for every in (frozenset[str](), frozenset({""})):
        assert replace(bundle, prefixes=every).fits(number, usage) is (fits or number in ("4", "33"))
