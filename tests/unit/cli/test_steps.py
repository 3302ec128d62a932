"""The steps of a price, as a person would write them on paper: the words agree with the one price formula."""

from dataclasses import replace
from decimal import Decimal

import pytest

from daemon.app_commands import PricedCall
from daemon.cli.price_steps import billed_words, rounding_words
from daemon.cli.rate import price_value
from daemon.kernel.money import parse_nano
from daemon.rating.charge import charge
from daemon.rating.explain import price
from daemon.rating.tariff import Tariff

ROW = Tariff("retail", 3, "44", "UK", "USD", parse_nano("0.60"), first_seconds=30, next_seconds=6)


@pytest.mark.parametrize(
    ("row", "seconds", "words"),
    [
        (ROW, 75, "78 s: 30 + ceil((75 - 30) / 6) * 6 = 30 + 8 * 6"),
        (ROW, 30, "30 s: 30 s lie within the first block of 30"),
        (replace(ROW, free_seconds=5), 5, "0 s: a call of at most 5 s is free"),
        (replace(ROW, included_seconds=60), 60, "0 s: 60 s lie within the 60 included"),
        (
            replace(ROW, included_seconds=60),
            100,
            "42 s: 100 - 60 included = 40; 30 + ceil((40 - 30) / 6) * 6 = 30 + 2 * 6",
        ),
    ],
)
def test_billed_seconds_are_derived_in_words(row: Tariff, seconds: int, words: str) -> None:
    billed = charge(row, seconds).billed_seconds
    assert billed_words(row, seconds, billed) == words
    assert words.startswith(f"{billed} s")


def test_the_minimum_charge_is_named_where_it_lifts() -> None:
    row = replace(ROW, minimum_charge=parse_nano("1.00"))
    assert rounding_words(row, price(row, "44123", 30)) == "0.70 (up at 4 places, lifted to the minimum charge 1.00)"
    assert rounding_words(row, price(row, "44123", 100)) == "0.00 (up at 4 places)"


def test_the_parts_add_up_to_the_charge() -> None:
    row = replace(ROW, rate=parse_nano("0.0333"), connect_fee=parse_nano("0.05"))
    value = price_value(PricedCall(price(row, "44123", 77), row, 77))
    parts = Decimal(value["connect_fee"]) + sum(Decimal(block["amount"]) for block in value["blocks"])
    assert parts + Decimal(value["rounding"]) == Decimal(value["charge"])
    assert list(value) == [
        "status", "reason", "prefix", "destination", "charge", "currency", "billed_seconds", "connect_fee", "blocks",
        "rounding",
    ]  # fmt: skip
    assert list(value["blocks"][0]) == ["from_second", "seconds", "rate", "band", "amount"]
