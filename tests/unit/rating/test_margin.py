"""The margin rule: block prices, both floors, no rounding that helps."""

from dataclasses import replace

import pytest

from daemon.kernel.money import NANO
from daemon.rating.margin import margin_holds
from daemon.rating.tariff import Rates, Step, Tariff, Tier

SELL = Tariff("retail", 1, "44", "UK", "USD", rate=10 * NANO, decimals=9)
BUY = Tariff("carrier", 1, "44", "UK", "USD", rate=9 * NANO, decimals=9)


@pytest.mark.parametrize(("floor_percent", "holds"), [(0, True), (10 * NANO, True), (10 * NANO + 1, False)])
def test_a_percentage_of_the_sell_price(floor_percent: int, holds: bool) -> None:
    assert margin_holds(SELL, BUY, 60, floor_percent, 0) is holds


@pytest.mark.parametrize(("floor_per_minute", "holds"), [(0, True), (NANO, True), (NANO + 1, False)])
@pytest.mark.parametrize("seconds", [6, 60, 600])
def test_an_amount_for_each_minute(seconds: int, floor_per_minute: int, holds: bool) -> None:
    assert margin_holds(SELL, BUY, seconds, 0, floor_per_minute) is holds


def test_each_side_pays_its_own_blocks() -> None:
    by_minute = replace(BUY, first_seconds=60, next_seconds=60)
    assert margin_holds(SELL, by_minute, 60, 0, 0)
    assert not margin_holds(SELL, by_minute, 53, 0, 0)
    assert margin_holds(SELL, by_minute, 54, 0, 0)


def test_a_loss_breaks_a_floor_of_0() -> None:
    assert not margin_holds(BUY, SELL, 60, 0, 0)


def test_a_row_sold_at_0_is_exempt_but_a_call_that_happens_to_be_free_is_not() -> None:
    assert margin_holds(replace(SELL, rate=0), BUY, 60, 50 * NANO, NANO)
    assert not margin_holds(replace(SELL, rate=0, connect_fee=1), BUY, 60, 0, 0)
    assert not margin_holds(replace(SELL, free_seconds=60), BUY, 60, 0, 0)
    assert margin_holds(replace(SELL, free_seconds=60), replace(BUY, free_seconds=60), 60, 5 * NANO, 0)


def test_the_caller_converts_currencies_and_asks_for_a_duration() -> None:
    with pytest.raises(AssertionError):
        margin_holds(SELL, replace(BUY, currency="EUR"), 60, 0, 0)
    with pytest.raises(AssertionError):
        margin_holds(SELL, BUY, 0, 0, 0)


@pytest.mark.parametrize(("later", "holds"), [(0, True), (1, False)])
def test_a_row_that_becomes_dear_is_not_sold_at_nothing(later: int, holds: bool) -> None:
    free_at_first = (Rates("", (Tier(0, (Step(0, 0, 1), Step(600, later, 1))),)),)
    sell = Tariff("t", 1, "44", "UK", "USD", 0, alternatives=free_at_first)
    assert margin_holds(sell, Tariff("b", 1, "44", "UK", "USD", NANO), 60, 0, 0) is holds


@pytest.mark.parametrize(
    ("percent", "minute", "holds"), [(None, 0, False), (None, None, True), (None, -10 * NANO, True)]
)
def test_a_floor_that_was_not_stated_holds_nothing_back(percent: int | None, minute: int | None, holds: bool) -> None:
    free_so_far = replace(SELL, free_seconds=60)
    assert margin_holds(free_so_far, BUY, 60, percent, minute) is holds
