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


def test_a_number_whose_time_is_unrated_has_its_prefix() -> None:
    priced = price(Gap("t", "44", "UK"), "441", 60)
    assert (priced.status, priced.reason, priced.prefix) == (Status.UNRATED, "destination_unrated", "44")


@pytest.mark.parametrize(("number", "status"), [("", Status.RATED), ("44", Status.RATED), ("x", Status.INVALID)])
def test_usage_found_by_its_rate_type_needs_no_number(number: str, status: Status) -> None:
    tariff = Tariff("t", 1, "", "Energy", "USD", 30, per=1, unit="kWh", decimals=9)
    priced = price(tariff, number, 7, needs_number=False)
    assert (priced.status, priced.charge) == (status, 210 if status is Status.RATED else 0)


def test_neighbours_of_one_rate_and_band_are_one_block_and_others_are_told_apart() -> None:
    steps = (Step(0, 60, 1), Step(10, 60, 10), Step(30, 30, 1))
    peak = Rates("peak", (Tier(0, (Step(0, 30, 1),)),))
    tariff = Tariff(
        "t",
        1,
        "44",
        "UK",
        "USD",
        60,
        decimals=9,
        alternatives=(Rates("", (Tier(0, steps),)), peak),
        spans=(Span(40, 1),),
    )
    assert price(tariff, "44", 45).blocks == (
        PricedBlock(0, 30, 60, "", 30),
        PricedBlock(30, 10, 30, "", 5),
        PricedBlock(40, 5, 30, "peak", 2),
    )


def test_what_a_bundle_pays_is_told() -> None:
    priced = price(Tariff("t", 1, "44", "UK", "USD", 60 * NANO, connect_fee=NANO), "44", 100, units=40)
    assert (priced.bundle_units, priced.billed_seconds, priced.charge) == (40, 60, 61 * NANO)
    covered = price(Tariff("t", 1, "44", "UK", "USD", 60 * NANO, connect_fee=NANO), "44", 30, units=40)
    assert (covered.bundle_units, covered.charge, covered.connect_fee) == (30, 0, 0)
