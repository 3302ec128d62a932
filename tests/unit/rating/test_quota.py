"""How long the money lasts: borders of the inverse."""

from dataclasses import replace

import pytest

from daemon.kernel.money import NANO, Rounding
from daemon.rating.charge import charge
from daemon.rating.quota import quota
from daemon.rating.tariff import Rates, Step, Tariff, Tier

BASE = Tariff("retail", 1, "44", "UK", "USD", rate=6 * NANO, decimals=9)
CAP = 14_400


def test_without_a_limit_the_cap_stops_it() -> None:
    assert quota(BASE, None, CAP) == CAP
    assert quota(BASE, None, 0) == 0


def test_money_for_a_minute_buys_a_minute() -> None:
    assert quota(BASE, 6 * NANO, CAP) == 60
    assert quota(BASE, 6 * NANO - 1, CAP) == 59
    assert quota(BASE, 6 * NANO, 20) == 20


def test_a_block_fits_whole_or_not_at_all() -> None:
    tariff = replace(BASE, first_seconds=30, next_seconds=6)
    assert [quota(tariff, tenths * NANO // 10, CAP) for tenths in (29, 30, 35, 36, 42)] == [0, 30, 30, 36, 42]


@pytest.mark.parametrize("available", [-1, 0, 99_999_999])
def test_an_empty_account_buys_no_endless_free_seconds(available: int) -> None:
    assert quota(replace(BASE, free_seconds=30), available, CAP) == 0
    assert quota(replace(BASE, included_seconds=30), available, CAP) == 0
    assert quota(replace(BASE, free_seconds=30), available, 10) == 0


@pytest.mark.parametrize(("units", "seconds"), [(1, 0), (30, 0), (31, 31), (40, 40)])
def test_units_that_end_within_the_free_seconds_buy_none_of_them(units: int, seconds: int) -> None:
    assert quota(replace(BASE, free_seconds=30), 0, CAP, units) == seconds


def test_free_and_included_seconds_lengthen_what_is_paid() -> None:
    assert quota(replace(BASE, included_seconds=30), NANO, CAP) == 40
    assert quota(replace(BASE, free_seconds=30), 4 * NANO, CAP) == 40
    assert quota(replace(BASE, free_seconds=30), NANO, CAP) == 0


def test_a_rate_of_0_lasts_for_ever_once_the_fee_is_paid() -> None:
    tariff = replace(BASE, rate=0, connect_fee=NANO)
    assert quota(tariff, NANO, CAP) == CAP
    assert quota(tariff, NANO - 1, CAP) == 0
    assert quota(replace(BASE, rate=0), 0, CAP) == CAP
    assert quota(replace(BASE, rate=0), -1, CAP) == 0


def test_the_minimum_must_fit_and_then_covers_the_first_seconds() -> None:
    tariff = replace(BASE, minimum_charge=2 * NANO)
    assert quota(tariff, 2 * NANO - 1, CAP) == 0
    assert quota(tariff, 2 * NANO, CAP) == 20


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("available", range(12))
@pytest.mark.parametrize("rate", [7, 12, 15, 30])
def test_every_rounding_is_undone_at_whole_units(rounding: Rounding, available: int, rate: int) -> None:
    # 30 a minute makes ties at every odd second, which half-up and half-even treat apart.
    tariff = replace(BASE, rate=rate * NANO, decimals=0, rounding=rounding)
    money = available * NANO
    naive = max(seconds for seconds in range(400) if charge(tariff, seconds).amount <= money)
    assert quota(tariff, money, CAP) == (naive if charge(tariff, 1).amount <= money else 0)


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("available", range(8))
def test_every_rounding_is_undone_where_a_rate_is_for_one_unit(rounding: Rounding, available: int) -> None:
    # At nine places a rate for one unit is never rounded at all, and a step of the exact price has no half.
    tariff = replace(BASE, rate=2, per=1, unit="message", rounding=rounding)
    assert quota(tariff, available, CAP) == available // 2


STEPS = replace(BASE, alternatives=(Rates("", (Tier(0, (Step(0, 6 * NANO, 1), Step(60, 12 * NANO, 10))),)),))


@pytest.mark.parametrize(
    ("tenths", "cap", "units", "seconds"),
    [
        (60, CAP, 0, 60),
        (79, CAP, 0, 60),
        (80, CAP, 0, 70),
        (100, CAP, 0, 80),
        (100, 75, 0, 75),
        (0, CAP, 0, 0),
        (0, CAP, 30, 30),
        (0, 20, 30, 20),
        (30, CAP, 30, 60),
        # The first block behind a bundle has the length of the row in force at answer, the further ones the step's.
        (2, CAP, 60, 61),
        (21, CAP, 60, 61),
        (22, CAP, 60, 71),
    ],
)
def test_money_is_spent_step_by_step_behind_a_bundle(tenths: int, cap: int, units: int, seconds: int) -> None:
    assert quota(STEPS, tenths * NANO // 10, cap, units) == seconds


def test_a_negative_cap_is_a_defect_of_the_caller() -> None:
    with pytest.raises(AssertionError):
        quota(BASE, NANO, -1)


@pytest.mark.parametrize(
    ("money", "units", "seconds"),
    [(0, 0, 0), (0, 40, 40), (59, 40, 40), (60, 40, 100), (60, 0, 60), (120, 40, 160)],
)
def test_what_a_bundle_has_left_is_spoken_first(money: int, units: int, seconds: int) -> None:
    tariff = replace(BASE, rate=60, first_seconds=60, next_seconds=60)
    assert quota(tariff, money, 14_400, units) == seconds
    assert quota(tariff, money, 30, units) == min(seconds, 30)


@pytest.mark.parametrize(
    ("money", "seconds"), [(9, 0), (10, 10), (19, 10), (20, 20), (21, 21), (500, 100), (None, 100)]
)
def test_money_is_spent_on_the_runs_of_a_changing_rate(money: int | None, seconds: int) -> None:
    steps = (Step(0, 60, 10), Step(20, 60, 1), Step(30, 0, 1))
    tariff = replace(BASE, rate=60, first_seconds=10, next_seconds=10, alternatives=(Rates("", (Tier(0, steps),)),))
    assert quota(tariff, money, 100) == seconds


@pytest.mark.parametrize(("rounding", "least"), [(Rounding.HALF_UP, 30), (Rounding.HALF_EVEN, 31), (Rounding.DOWN, 59)])
def test_what_rounds_away_buys_seconds(rounding: Rounding, least: int) -> None:
    tariff = replace(BASE, rate=NANO, decimals=0, rounding=rounding)
    assert quota(tariff, 0, 14_400) == {30: 29, 31: 30, 59: 59}[least]


def test_an_odd_step_has_no_half() -> None:
    tariff = replace(BASE, rate=1, per=3, decimals=9, rounding=Rounding.HALF_UP)
    assert [quota(tariff, money, 99) for money in (0, 1)] == [1, 4]
