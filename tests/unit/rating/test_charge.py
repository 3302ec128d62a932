"""The price formula: free and included seconds, blocks, minimum, one rounding."""

from dataclasses import replace

import pytest

from daemon.kernel.money import NANO, Rounding
from daemon.rating.charge import Charge, block_end, bundle_units, charge, duration_seconds, first_paid_second
from daemon.rating.tariff import NO_RATES, Rates, Span, Step, Tariff, Tier

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


def one(rate: int, length: int) -> tuple[Step, ...]:
    """Return the only step of a rate."""
    return (Step(0, rate * NANO, length),)


# By the second at 6 a minute; 12 from second 60 on in blocks of 10.
STEPS = replace(BASE, alternatives=(Rates("", (Tier(0, (Step(0, 6 * NANO, 1), Step(60, 12 * NANO, 10))),)),))
# 30 units at 6, then 12, then 18 a minute, counted from where billing starts.
TIERS = replace(BASE, alternatives=(Rates("", (Tier(0, one(6, 1)), Tier(30, one(12, 1)), Tier(60, one(18, 1)))),))
# Another band from second 60 on, nothing from 120, the first band again from 180.
BANDS = replace(
    BASE,
    alternatives=(Rates("day", (Tier(0, one(6, 1)),)), Rates("night", (Tier(0, one(12, 1)),))),
    spans=(Span(60, 1), Span(120, NO_RATES), Span(180, 0)),
)


@pytest.mark.parametrize(
    ("tariff", "seconds", "units", "expected"),
    [
        (STEPS, 60, 0, Charge(6 * NANO, 60)),
        (STEPS, 61, 0, Charge(8 * NANO, 70)),
        (replace(STEPS, first_seconds=61), 61, 0, Charge(6_100_000_000, 61)),
        (replace(STEPS, first_seconds=61), 62, 0, Charge(8_100_000_000, 71)),
        (replace(STEPS, included_seconds=60), 61, 0, Charge(200_000_000, 1)),
        (STEPS, 61, 60, Charge(200_000_000, 1)),
        (STEPS, 60, 60, Charge(0, 0)),
        (TIERS, 30, 0, Charge(3 * NANO, 30)),
        (TIERS, 31, 0, Charge(3_200_000_000, 31)),
        (TIERS, 61, 0, Charge(9_300_000_000, 61)),
        (replace(TIERS, included_seconds=10), 41, 0, Charge(3_200_000_000, 31)),
        (TIERS, 41, 10, Charge(3_200_000_000, 31)),
        (replace(TIERS, first_seconds=40), 41, 0, Charge(4_200_000_000, 41)),
        (BANDS, 60, 0, Charge(6 * NANO, 60)),
        (BANDS, 120, 0, Charge(18 * NANO, 120)),
        # Where there are no rows, those by which the last block was priced stay in force.
        (BANDS, 180, 0, Charge(30 * NANO, 180)),
        (BANDS, 240, 0, Charge(36 * NANO, 240)),
        (replace(BANDS, spans=(Span(60, NO_RATES),)), 120, 0, Charge(12 * NANO, 120)),
        # Before the first block they are those in force at answer.
        (replace(BANDS, included_seconds=120), 150, 0, Charge(3 * NANO, 30)),
    ],
)
def test_a_block_has_the_rate_in_force_where_it_begins(
    tariff: Tariff, seconds: int, units: int, expected: Charge
) -> None:
    assert charge(tariff, seconds, units) == expected


@pytest.mark.parametrize(
    ("free", "included", "seconds", "units", "used"),
    [
        (0, 0, 100, 0, 0),
        (0, 0, 100, 30, 30),
        (0, 0, 20, 30, 20),
        (0, 10, 20, 30, 10),
        (0, 10, 10, 30, 0),
        (20, 0, 20, 30, 0),
        (20, 0, 21, 30, 21),
        (0, 0, 0, 30, 0),
    ],
)
def test_a_bundle_gives_what_lies_behind_the_included_seconds(
    free: int, included: int, seconds: int, units: int, used: int
) -> None:
    assert bundle_units(replace(BASE, free_seconds=free, included_seconds=included), seconds, units) == used
