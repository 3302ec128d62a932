"""The price formula: free and included seconds, blocks, minimum, one rounding."""

from dataclasses import replace

import pytest

from daemon.kernel.money import NANO, Rounding
from daemon.rating.charge import (
    NOTHING,
    block_end,
    bundle_units,
    charge,
    duration_seconds,
    first_paid_second,
    paid_stretches,
)
from daemon.rating.tariff import NO_RATES, Charge, Rates, Span, Step, Tariff, Tier

BASE = Tariff("retail", 1, "44", "UK", "USD", rate=6 * NANO, decimals=9)
SIXTIES = replace(BASE, first_seconds=60, next_seconds=60)
THIRTY_SIX = replace(BASE, first_seconds=30, next_seconds=6)


def test_no_seconds_cost_nothing_not_even_fee_or_minimum() -> None:
    assert charge(replace(BASE, connect_fee=NANO, minimum_charge=NANO), 0) == Charge(0, 0)


def test_a_negative_length_is_a_defect_of_the_caller() -> None:
    with pytest.raises(AssertionError):
        charge(BASE, -1)


def test_a_call_within_its_free_seconds_costs_nothing_and_a_longer_one_pays_from_second_0() -> None:
    tariff = replace(BASE, free_seconds=10, connect_fee=NANO, minimum_charge=5 * NANO)
    assert charge(tariff, 10) == Charge(0, 0)
    assert charge(tariff, 11) == Charge(5 * NANO, 11)
    assert charge(tariff, 60) == Charge(7 * NANO, 60)


def test_included_seconds_are_given_away_but_fee_and_minimum_are_paid() -> None:
    tariff = replace(BASE, included_seconds=10, connect_fee=NANO)
    assert charge(tariff, 10) == Charge(NANO, 0)
    assert charge(replace(tariff, minimum_charge=3 * NANO), 10) == Charge(3 * NANO, 0)
    assert charge(tariff, 20) == Charge(2 * NANO, 10)


def test_blocks_begin_after_the_included_seconds() -> None:
    tariff = replace(THIRTY_SIX, included_seconds=10)
    assert [charge(tariff, seconds).billed_seconds for seconds in (10, 11, 40, 41, 46, 47)] == [0, 30, 30, 36, 36, 42]


@pytest.mark.parametrize(
    ("rounding", "amount"),
    [(Rounding.UP, 2), (Rounding.DOWN, 1), (Rounding.HALF_UP, 2), (Rounding.HALF_EVEN, 2)],
)
def test_the_total_is_rounded_once_at_the_end(rounding: Rounding, amount: int) -> None:
    # Fee and blocks are 0.75 each: rounded apart they would make 2 by any half rule, and 0 down.
    tariff = replace(BASE, rate=45 * NANO, connect_fee=750_000_000, decimals=0, rounding=rounding)
    assert charge(tariff, 1) == Charge(amount * NANO, 1)


@pytest.mark.parametrize(
    ("duration_us", "up", "half_up", "down"),
    [(0, 0, 0, 0), (1, 1, 0, 0), (499_999, 1, 0, 0), (500_000, 1, 1, 0), (1_000_000, 1, 1, 1), (-5, 0, 0, 0)],
)
def test_a_duration_is_rounded_once_to_a_second(duration_us: int, up: int, half_up: int, down: int) -> None:
    rules = (Rounding.UP, Rounding.HALF_UP, Rounding.DOWN)
    assert [duration_seconds(duration_us, rule) for rule in rules] == [up, half_up, down]


def test_the_first_paid_second_lies_behind_whatever_is_free() -> None:
    assert first_paid_second(BASE) == 1
    assert first_paid_second(replace(BASE, free_seconds=10, included_seconds=20)) == 21
    assert first_paid_second(replace(BASE, free_seconds=30, included_seconds=20)) == 31


@pytest.mark.parametrize(
    ("tariff", "seconds", "end"),
    [
        (SIXTIES, 10, 60),
        (SIXTIES, 60, 60),
        (SIXTIES, 61, 120),
        (THIRTY_SIX, 40, 42),
        (BASE, 10, 10),
        (replace(SIXTIES, included_seconds=20), 1, 20),
        (replace(SIXTIES, included_seconds=20), 21, 80),
        (replace(SIXTIES, free_seconds=15), 1, 15),
        (replace(SIXTIES, free_seconds=15), 16, 60),
        (replace(SIXTIES, free_seconds=15, included_seconds=40), 15, 15),
        (replace(SIXTIES, free_seconds=15, included_seconds=40), 16, 40),
    ],
)
def test_a_block_ends_where_the_next_would_begin(tariff: Tariff, seconds: int, end: int) -> None:
    assert block_end(tariff, seconds) == end


def test_no_block_holds_second_0() -> None:
    with pytest.raises(AssertionError):
        block_end(BASE, 0)


def alternative(band: str, *tiers: Tier) -> Rates:
    """Return the rates of a band."""
    return Rates(band, tiers)


def steps(*stated: tuple[int, int, int]) -> Tier:
    """Return a tier from unit 0 of steps: second, rate for a second, length of a block."""
    return Tier(0, tuple(Step(second, 60 * rate, length) for second, rate, length in stated))


DAY, NIGHT = alternative("day", steps((0, 5, 10))), alternative("night", steps((0, 1, 10), (100, 2, 10)))


@pytest.mark.parametrize(
    ("spans", "seconds", "amount"),
    [
        ((), 100, 500),
        ((Span(20, 1),), 100, 100 + 80),
        ((Span(25, 1),), 100, 150 + 70),  # the block that runs over the change is finished at its own price
        ((Span(20, NO_RATES),), 100, 500),  # in a gap the rows of the last block stay in force
        ((Span(20, 1), Span(50, NO_RATES)), 120, 100 + 80 + 40),  # and their steps go on by position
        ((Span(0, NO_RATES), Span(50, 1)), 60, 250 + 10),  # before the first block: those in force at answer
        ((Span(21, 1), Span(29, NO_RATES)), 40, 200),  # a band in which no block begins prices nothing
    ],
)
def test_a_block_has_the_rates_in_force_where_it_begins(spans: tuple[Span, ...], seconds: int, amount: int) -> None:
    tariff = replace(BASE, rate=300, next_seconds=10, first_seconds=10, alternatives=(DAY, NIGHT), spans=spans)
    assert charge(tariff, seconds) == Charge(amount, -(-seconds // 10) * 10)


@pytest.mark.parametrize(
    ("seconds", "units", "amount"),
    [(100, 0, 500), (101, 0, 502), (300, 0, 500 + 400), (301, 0, 901), (140, 40, 500), (141, 40, 502)],
)
def test_a_tier_begins_where_so_many_units_are_billed(seconds: int, units: int, amount: int) -> None:
    tiers = (steps((0, 5, 1)), Tier(100, (Step(0, 120, 1),)), Tier(300, (Step(0, 60, 1),)))
    tariff = replace(BASE, rate=300, alternatives=(alternative("", *tiers),))
    assert charge(tariff, seconds, units).amount == amount


@pytest.mark.parametrize(
    ("seconds", "units", "money", "used"),
    [
        (0, 30, 0, 0),
        (10, 30, 0, 0),  # free
        (11, 30, 0, 6),  # within what the bundle pays
        (35, 1, 7 + 60, 1),
        (35, 30, 0, 30),
        (36, 30, 7 + 60, 30),
        (5, 0, 0, 0),
        (11, 0, 7 + 60, 0),
    ],
)
def test_a_bundle_pays_behind_the_included_seconds_and_a_call_that_it_covers_costs_nothing(
    seconds: int, units: int, money: int, used: int
) -> None:
    tariff = replace(BASE, rate=60, first_seconds=60, connect_fee=7, free_seconds=10, included_seconds=5)
    assert charge(tariff, seconds, units).amount == money
    assert bundle_units(tariff, seconds, units) == used


def test_a_call_that_costs_no_money_has_no_paid_block() -> None:
    assert list(paid_stretches(replace(BASE, free_seconds=9), 9)) == []
    assert charge(replace(BASE, free_seconds=9), 9) == NOTHING


@pytest.mark.parametrize(("units", "second"), [(0, 21), (40, 61)])
def test_a_bundle_moves_the_first_paid_second(units: int, second: int) -> None:
    assert first_paid_second(replace(BASE, included_seconds=20), units) == second


def test_a_block_ends_behind_the_bundle() -> None:
    assert block_end(replace(SIXTIES, included_seconds=5), 20, units=30) == 35
    assert block_end(SIXTIES, 31, units=30) == 90


def test_units_of_another_kind_are_priced_for_so_many() -> None:
    megabytes = replace(BASE, rate=2_000, per=1_000_000, unit="byte")
    assert charge(megabytes, 2_500_000).amount == 5_000


def test_a_tariff_is_changed_in_what_is_named_alone() -> None:
    assert BASE.changed(rate=7, band="peak") == replace(BASE, rate=7, band="peak")


@pytest.mark.parametrize(
    ("seconds", "units", "used", "money"), [(29, 1, 1, 0), (29, 0, 0, 7), (30, 9, 1, 0), (31, 9, 1, 0), (0, 9, 0, 0)]
)
def test_a_call_within_its_included_seconds_takes_a_unit_or_pays_its_fee(
    seconds: int, units: int, used: int, money: int
) -> None:
    tariff = replace(BASE, included_seconds=30, connect_fee=7)
    assert bundle_units(tariff, seconds, units) == used
    assert charge(tariff, seconds, units).amount == money
