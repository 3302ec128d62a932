"""Laws of rates between currencies, held against references that share no code with them: fractions, and a look at all.

A converted charge is the exact price times the exact rate, rounded once; the quota is its inverse; in bulk it is the
same to the nano-unit, also where arrays of 64 bits cannot hold the product.
"""

from dataclasses import replace
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.kernel.e164 import line_position
from daemon.kernel.instant import NEVER, SECOND
from daemon.kernel.money import NANO, NANO_MAX, UNITS_MAX
from daemon.rating.batch import BLOCKED, INVALID, RATED, UNRATED, BatchPricer, Calls
from daemon.rating.charge import charge, outlast_free
from daemon.rating.conversion import Conversion, Conversions, StatedRate, Timeline
from daemon.rating.deck import RateRow, Terms
from daemon.rating.exchange import Exchange
from daemon.rating.explain import price
from daemon.rating.quota import quota
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import Policy, RateTable, Usage
from daemon.rating.tariff import Charge, Rates, Span, Step, Tariff, Tier
from tests.property.test_rating_properties import AMOUNTS, BLOCKS, CAPS, GIFTS, MARKS, SECONDS, TARIFFS, rounded

RATES = st.one_of(
    st.sampled_from((1, NANO, NANO + 1, NANO - 1, 1_085_300_000, 1_085_312_345, 23_500, 149_870_000_000)),
    st.integers(1, UNITS_MAX * NANO),
)
CONVERSIONS = RATES.map(lambda rate: Conversion("USD", "EUR", rate, 0, NEVER, "main"))
Amounts = tuple[int, int, int, int]


def changing(tariff: Tariff, rates: Amounts, step: int, tier: int) -> Tariff:
    """Return a tariff with a step, a tier and another band behind them."""
    steps = (Step(0, rates[0], tariff.next_seconds), Step(step, rates[1], 7))
    usual = Rates("", (Tier(0, steps), Tier(tier, (Step(0, rates[2], 3),))))
    peak = Rates("peak", (Tier(0, (Step(0, rates[3], 11),)),))
    return replace(tariff, alternatives=(usual, peak), spans=(Span(step + 13, 1),))


CHANGING = st.builds(
    changing, TARIFFS, st.tuples(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS), st.integers(1, 120), st.integers(1, 200)
)
UNITS = st.one_of(st.just(0), st.integers(0, 120))


def unrounded(tariff: Tariff) -> Tariff:
    """Return a tariff whose charge is its price in whole nano-units, a thousand million times as large."""
    many = NANO * tariff.per
    return replace(
        tariff, conversion=None, decimals=9, connect_fee=tariff.connect_fee * many, rate=tariff.rate * many,
        minimum_charge=tariff.minimum_charge * many,
        alternatives=tuple(
            Rates(each.band, tuple(
                Tier(tier.from_unit, tuple(step._replace(rate=step.rate * many) for step in tier.steps))
                for tier in each.tiers
            ))
            for each in tariff.alternatives
        ),
    )  # fmt: skip


def by_fractions(tariff: Tariff, seconds: int, units: int) -> int:
    """Return the charge of a converted tariff: the exact price of the plain one, times the rate, rounded once."""
    assert tariff.conversion is not None
    exact = Fraction(charge(unrounded(tariff), seconds, units).amount, NANO * tariff.per)
    step: int = 10 ** (9 - tariff.decimals)
    return rounded(exact * Fraction(tariff.conversion.rate, NANO) / step, tariff.rounding) * step


@given(st.one_of(TARIFFS, CHANGING), CONVERSIONS, SECONDS, UNITS)
def test_a_charge_is_the_exact_price_at_the_exact_rate_rounded_once(
    tariff: Tariff, conversion: Conversion, seconds: int, units: int
) -> None:
    sold = replace(tariff, conversion=conversion)
    found = charge(sold, seconds, units)
    assert found == Charge(by_fractions(sold, seconds, units), charge(tariff, seconds, units).billed_seconds)
    assert type(found.amount) is int


@given(TARIFFS, SECONDS)
def test_a_rate_of_one_changes_nothing(tariff: Tariff, seconds: int) -> None:
    sold = replace(tariff, conversion=Conversion("USD", "EUR", NANO, 0, NEVER, "main"))
    assert charge(sold, seconds) == charge(tariff, seconds)


@given(st.one_of(TARIFFS, CHANGING), CONVERSIONS, SECONDS, MARKS, CAPS, UNITS)
@settings(max_examples=300)
def test_the_quota_is_the_exact_inverse(
    tariff: Tariff, conversion: Conversion, seconds: int, mark: int, cap: int, units: int
) -> None:
    sold = replace(tariff, conversion=conversion)
    available = charge(sold, seconds, units).amount + mark
    found = quota(sold, available, cap, units)
    first = max(sold.free_seconds, sold.included_seconds + units) + 1
    if charge(sold, first, units).amount > available:
        assert found == (min(first - 1, cap) if outlast_free(sold, units) else 0)
        return
    assert charge(sold, found, units).amount <= available
    assert found == cap or charge(sold, found + 1, units).amount > available


@given(st.one_of(TARIFFS, CHANGING), CONVERSIONS, SECONDS, SECONDS, RATES)
def test_a_longer_call_and_a_higher_rate_never_cost_less(
    tariff: Tariff, conversion: Conversion, seconds: int, more: int, rate: int
) -> None:
    sold = replace(tariff, conversion=conversion)
    assert charge(sold, seconds).amount <= charge(sold, seconds + more).amount
    low, high = sorted((conversion.rate, rate))
    dear, cheap = (replace(sold, conversion=conversion._replace(rate=each)) for each in (high, low))
    assert charge(cheap, seconds).amount <= charge(dear, seconds).amount


@given(st.one_of(TARIFFS, CHANGING), CONVERSIONS, SECONDS)
def test_the_parts_of_a_shown_price_add_up(tariff: Tariff, conversion: Conversion, seconds: int) -> None:
    found = price(replace(tariff, conversion=conversion), "44", seconds)
    assert found.connect_fee + sum(block.amount for block in found.blocks) + found.rounding == found.charge
    assert found.currency == "EUR"


STATED = st.lists(
    st.builds(
        lambda begins, lasts, rate: StatedRate("main", "USD", "EUR", rate, begins, begins + lasts if lasts else NEVER),
        st.integers(0, 60), st.integers(0, 30), RATES,
    ),
    min_size=1, max_size=12, unique_by=lambda each: each.begins,
)  # fmt: skip


@given(STATED, st.integers(0, 100))
def test_the_rate_in_force_is_the_latest_begun_that_has_not_ended(stated: list[StatedRate], at: int) -> None:
    valid = [each for each in stated if each.begins <= at < each.ends]
    found = Timeline(stated).at(at)
    assert (found and (found.begins, found.rate)) == (
        max((each.begins, each.rate) for each in valid) if valid else None
    )
    assert found is None or found.holds(at)


@given(STATED, st.integers(0, 100), st.integers(0, 40))
def test_what_comes_into_force_within_a_time_is_all_that_is_in_force_in_it(
    stated: list[StatedRate], start: int, lasts: int
) -> None:
    line = Timeline(stated)
    found = {each for at in range(start, start + lasts + 1) if (each := line.at(at)) is not None}
    told = line.between(start, start + lasts)
    assert found <= set(told)
    assert {each for each in told if each.begins > start} <= found
    assert line.at(start) in (None, *told[:1])


@st.composite
def tables(draw: st.DrawFn) -> RateTable:
    """Return a table of one prefix, with steps or without."""
    terms = Terms(
        connect_fee=draw(AMOUNTS), first_seconds=draw(BLOCKS), next_seconds=draw(BLOCKS), free_seconds=draw(GIFTS),
        included_seconds=draw(GIFTS), minimum_charge=draw(AMOUNTS), blocked=draw(st.booleans()) and draw(st.booleans()),
    )  # fmt: skip
    rows = [RateRow("44", draw(AMOUNTS), "", terms)]
    if draw(st.booleans()):
        rows.append(RateRow("44", draw(AMOUNTS), "", terms._replace(step_from_second=60)))
    tariff = draw(TARIFFS)
    made, errors = RateTable.of(Policy("t", 1, "USD", tariff.decimals, tariff.rounding), rows)
    assert made is not None, errors
    return made


@settings(max_examples=150, deadline=None)
@given(tables(), STATED, st.lists(st.tuples(st.integers(0, 100), st.integers(0, 5_000)), min_size=1, max_size=20))
def test_in_bulk_it_is_the_same_to_the_nano_unit(
    table: RateTable, stated: list[StatedRate], calls: list[tuple[int, int]]
) -> None:
    exchange, plan = Exchange("main", "EUR", Conversions(stated)), RatePlan("p", (table,))
    count = len(calls)
    starts, seconds = (np.array(each, np.int64) for each in zip(*calls, strict=True))
    positions = np.full(count, line_position("44123"), np.int64)
    found = BatchPricer(plan).price(Usage(), Calls(positions, starts, seconds, np.zeros(count, np.int64)), exchange)
    for place, (start, duration) in enumerate(calls):
        tariff = table.match("44123", start)
        assert tariff is not None
        sold = exchange.sold(tariff, start, start)
        status, amount, billed = UNRATED, 0, 0
        if tariff.blocked:
            status = BLOCKED
        elif sold:
            amount, billed = charge(sold[0], duration)
            status = INVALID if amount > NANO_MAX else RATED
            amount, billed = (amount, billed) if status == RATED else (0, 0)
        assert (found.statuses[place], found.charges[place], found.billed[place]) == (status, amount, billed)


def test_products_that_no_64_bits_hold_are_priced_exactly() -> None:
    table, errors = RateTable.of(Policy("t", 1, "USD", 9), [RateRow("44", 999_999_999_999, "", Terms())])
    assert table is not None, errors
    stated = [StatedRate("main", "USD", "EUR", 149_870_123_457, 0)]
    exchange = Exchange("main", "EUR", Conversions(stated))
    column = [np.array([value], np.int64) for value in (line_position("441"), SECOND, 3_599, 0)]
    found = BatchPricer(RatePlan("p", (table,))).price(Usage(), Calls(*column), exchange)
    assert found.charges.tolist() == [-(-999_999_999_999 * 3_599 * 149_870_123_457 // (60 * NANO))]


def test_a_call_of_a_time_without_a_rate_is_unrated_whatever_its_price_would_need() -> None:
    table, errors = RateTable.of(Policy("t", 1, "USD", 9), [RateRow("44", 999_999_999_999_999_999, "", Terms())])
    assert table is not None, errors
    exchange = Exchange("main", "EUR", Conversions([StatedRate("main", "USD", "EUR", 149_870_123_457, 10 * SECOND)]))
    column = [np.array([value], np.int64) for value in (line_position("441"), SECOND, 1_000_000_000, 0)]
    found = BatchPricer(RatePlan("p", (table,))).price(Usage(), Calls(*column), exchange)
    assert (found.statuses.tolist(), found.charges.tolist()) == ([UNRATED], [0])
