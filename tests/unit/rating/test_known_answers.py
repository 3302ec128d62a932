"""Priced calls with known answers (tests/vectors/rating_vectors.json), those of kind cost that this release can price.

The rule: one tariff line in force at any time of day, week and year (it may begin on a date), no account, no cap on the
cost, a call in seconds; and one step from second 0, or two of one price where the second begins where the first's only
block ends: that is first_seconds/next_seconds. Everything else needs bands, steps, flat units or bundles.
"""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from daemon.kernel.instant import parse_rfc3339
from daemon.kernel.money import DECIMALS_MAX, NANO, Rounding, parse_nano
from daemon.rating.charge import charge
from daemon.rating.deck import EFFECTIVE_ALWAYS, RateRow, Terms
from daemon.rating.rate_table import RateTable

Vector = dict[str, Any]
FILE = Path(__file__).parents[2] / "vectors" / "rating_vectors.json"
ROUNDINGS = {"up": Rounding.UP, "down": Rounding.DOWN, "middle": Rounding.HALF_UP}
ALL_TIME = {"weekdays": None, "months": None, "month_days": None, "years": None, "start": "00:00:00"}

# Where our policy differs from the vector's; each is priced all the same.
DIFFERENT = {
    "cgr-109": "rounded to 20 places there, to 9 here: a nano-unit is the smallest amount; the charge is equal"
}


def is_priced(vector: Vector) -> bool:
    """Tell whether this release prices a vector: the rule above."""
    if vector["kind"] != "cost" or "account" in vector or vector["call"]["unit"] != "s" or len(vector["tariff"]) != 1:
        return False
    line = vector["tariff"][0]
    at_any_time = line["timing"] == ALL_TIME and "active_until" not in line
    return at_any_time and line["rate"]["max_cost"] is None and is_one_step(line["rate"]["steps"])


def is_one_step(steps: list[Vector]) -> bool:
    """Tell whether steps are one rate of first and further blocks."""
    first, last = steps[0], steps[-1]
    one_price = Fraction(first["price"]) * last["per"] == Fraction(last["price"]) * first["per"]
    return len(steps) == 1 or (len(steps) == 2 and one_price and last["from"] == first["increment"])


VECTORS: list[Vector] = [vector for vector in json.loads(FILE.read_text("utf-8"))["vectors"] if is_priced(vector)]


def table_of(vector: Vector) -> RateTable:
    """Return the table of a vector's only line, for numbers that begin with 4."""
    line = vector["tariff"][0]
    rate, first, last = line["rate"], line["rate"]["steps"][0], line["rate"]["steps"][-1]
    begins = parse_rfc3339(line["active_from"]) if "active_from" in line else EFFECTIVE_ALWAYS
    terms = Terms(parse_nano(rate["connect_fee"]), first["increment"], last["increment"], effective_from=begins)
    nano_per_minute = Fraction(first["price"]) * NANO * 60 / first["per"]
    assert nano_per_minute.denominator == 1
    table, errors = RateTable.from_rows(
        [RateRow("4", int(nano_per_minute), terms=terms)],
        table="cgr",
        version=1,
        currency="USD",
        decimals=min(rate["rounding"]["decimals"], DECIMALS_MAX),
        rounding=ROUNDINGS[rate["rounding"]["method"]],
    )
    assert table is not None, errors
    return table


def test_the_selection_does_not_shrink() -> None:
    assert len(VECTORS) == 18
    assert {vector["id"] for vector in VECTORS} >= DIFFERENT.keys()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["id"]))
def test_the_answer_is_known(vector: Vector) -> None:
    tariff = table_of(vector).match("44", parse_rfc3339(vector["call"]["answer_time"]))
    assert tariff is not None
    assert charge(tariff, vector["call"]["usage"]).amount == parse_nano(vector["expected"]["cost"])


def test_only_the_differences_stated_exist() -> None:
    beyond = {vector["id"] for vector in VECTORS if vector["tariff"][0]["rate"]["rounding"]["decimals"] > DECIMALS_MAX}
    assert beyond == DIFFERENT.keys()
