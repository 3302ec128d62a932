"""An explained price: its parts add up, and no price says why."""

from dataclasses import replace

import pytest

from daemon.kernel.money import NANO
from daemon.rating.explain import Priced, PricedBlock, Status, price
from daemon.rating.tariff import Gap, Rates, Span, Step, Tariff, Tier

TARIFF = Tariff("retail", 1, "44", "UK", "USD", rate=10_000_000, connect_fee=5 * NANO // 100, decimals=2)


def test_the_parts_add_up_to_the_charge() -> None:
    priced = price(TARIFF, "442079460000", 7)
    assert priced == Priced(
        status=Status.RATED,
        reason="",
        prefix="44",
        destination="UK",
        charge=60_000_000,
        currency="USD",
        billed_seconds=7,
        connect_fee=50_000_000,
        blocks=(PricedBlock(0, 7, 10_000_000, "", 1_166_666),),
        rounding=8_833_334,
    )


def test_blocks_begin_behind_the_included_seconds() -> None:
    priced = price(replace(TARIFF, included_seconds=60, first_seconds=30, next_seconds=6), "441", 95)
    assert priced.blocks == (PricedBlock(60, 36, 10_000_000, "", 6_000_000),)
    assert price(replace(TARIFF, included_seconds=60), "441", 60).blocks == ()


def test_the_lift_to_the_minimum_is_part_of_the_rounding() -> None:
    priced = price(replace(TARIFF, minimum_charge=NANO), "441", 60)
    assert (priced.charge, priced.rounding) == (NANO, 940_000_000)


@pytest.mark.parametrize("seconds", [0, 10])
def test_a_call_that_costs_nothing_shows_no_fee(seconds: int) -> None:
    priced = price(replace(TARIFF, free_seconds=10), "441", seconds)
    assert (priced.status, priced.charge, priced.connect_fee, priced.blocks, priced.rounding) == (
        Status.RATED,
        0,
        0,
        (),
        0,
    )


def test_no_tariff_is_unrated() -> None:
    assert price(None, "99", 60) == Priced(Status.UNRATED, "destination_unrated")


def test_blocked_comes_before_the_duration() -> None:
    priced = price(replace(TARIFF, blocked=True), "441", 0)
    assert priced == Priced(Status.BLOCKED, "destination_blocked", "44", "UK", currency="USD")


def test_a_malformed_number_is_invalid() -> None:
    assert price(None, "44x", 60) == Priced(Status.INVALID, "destination_malformed")


def test_a_number_whose_time_has_no_rate_is_unrated_and_shows_where() -> None:
    priced = price(Gap("retail", "44", "UK"), "441", 60)
    assert priced == Priced(Status.UNRATED, "destination_unrated", "44", "UK")


@pytest.mark.parametrize(("needs_number", "status"), [(True, Status.INVALID), (False, Status.RATED)])
def test_usage_that_its_rate_type_finds_needs_no_number(needs_number: bool, status: Status) -> None:
    assert price(replace(TARIFF, prefix=""), "", 5, needs_number=needs_number).status is status


def test_blocks_of_one_rate_and_band_are_shown_as_one_and_others_apart() -> None:
    peak = Rates("peak", (Tier(0, (Step(0, 60, 10), Step(30, 60, 5), Step(50, 120, 5))),))
    off_peak = Rates("", (Tier(0, (Step(0, 120, 5),)),))
    split = replace(TARIFF, rate=60, first_seconds=20, alternatives=(peak, off_peak), spans=(Span(60, 1),))
    assert price(split, "441", 70).blocks == (
        PricedBlock(0, 50, 60, "peak", 50),
        PricedBlock(50, 10, 120, "peak", 20),
        PricedBlock(60, 10, 120, "", 20),
    )


@pytest.mark.parametrize(
    ("seconds", "units", "used", "fee", "billed"), [(60, 100, 60, 0, 0), (100, 100, 100, 0, 0), (130, 100, 100, 1, 30)]
)
def test_what_a_bundle_pays_is_shown_beside_what_money_pays(
    seconds: int, units: int, used: int, fee: int, billed: int
) -> None:
    priced = price(TARIFF, "441", seconds, units)
    assert (priced.bundle_units, priced.connect_fee, priced.billed_seconds) == (used, fee * TARIFF.connect_fee, billed)
