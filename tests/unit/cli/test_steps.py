"""The steps of a price, as a person would write them on paper: the words agree with the one price formula."""

from dataclasses import replace
from decimal import Decimal

import pytest

from daemon.app_prices import PricedCall, Question
from daemon.charging.configuration import ConversionSpec
from daemon.cli.price_steps import billed_words, price_lines, rounding_words
from daemon.cli.rate import conversion_values, price_value
from daemon.kernel.instant import NEVER
from daemon.kernel.money import parse_nano
from daemon.rating.account_rates import AccountRates
from daemon.rating.charge import charge
from daemon.rating.conversion import Conversion
from daemon.rating.explain import price
from daemon.rating.rate_table import Policy
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


SOLD = replace(ROW, conversion=Conversion("USD", "EUR", parse_nano("0.5"), 0, NEVER, "main"))
QUESTION = Question("retail", "44123", Decimal(75), 0, account="acme")


def test_a_price_in_another_currency_shows_the_rate_in_each_step() -> None:
    row = replace(SOLD, connect_fee=parse_nano("0.05"))
    lines = [(name, str(value)) for name, value in price_lines(PricedCall(price(row, "44123", 75), row, 75), QUESTION)]
    assert (
        "conversion",
        "USD to EUR at 0.50 of 1970-01-01T00:00:00.000000Z, stated by main; rounded only after it",
    ) in lines
    assert ("connect fee", "0.05 * 0.50 = 0.025") in lines
    assert ("from second 0", "78 s * 0.60 / 60 * 0.50 = 0.39") in lines
    assert ("charge", "0.415 EUR") in lines


def test_a_free_call_shows_no_fee_that_was_converted() -> None:
    row = replace(SOLD, connect_fee=parse_nano("0.05"), free_seconds=75)
    assert ("connect fee", "0.00") in list(price_lines(PricedCall(price(row, "44123", 75), row, 75), QUESTION))


def test_a_minimum_in_another_currency_is_named_as_it_is_charged() -> None:
    row = replace(SOLD, minimum_charge=parse_nano("1.00"))
    assert rounding_words(row, price(row, "44123", 30)) == "0.35 (up at 4 places, lifted to the minimum charge 0.50)"


def test_a_rate_between_currencies_is_no_price_of_the_accounts_own() -> None:
    own = AccountRates(Policy("retail", 3, "USD"))
    found = PricedCall(price(SOLD, "44123", 75), SOLD, 75, sold=ROW, own=own)
    assert {"class", "override"}.isdisjoint(name for name, _ in price_lines(found, QUESTION))


def test_what_conversion_is_lacking_is_a_step_too() -> None:
    found = PricedCall(price(None, "44123", 75), None, 75, lacking="no conversion")
    assert ("conversion", "no conversion") in list(price_lines(found, QUESTION))


def test_of_a_pairs_rates_one_is_in_force() -> None:
    stated = [
        ConversionSpec("main", "EUR", "USD", parse_nano("1.1"), 0), ConversionSpec("main", "EUR", "USD", 1, 100, 200),
        ConversionSpec("ray", "EUR", "USD", 1, 150),
    ]  # fmt: skip
    in_force = {at: [value["in_force"] for value in conversion_values(stated, at)] for at in (0, 100, 150, 200)}
    assert in_force == {
        0: [True, False, False], 100: [False, True, False], 150: [False, True, True], 200: [True, False, True],
    }  # fmt: skip
    assert conversion_values(stated, 0)[1]["effective_to"] == "1970-01-01T00:00:00.000200Z"
