"""Priced calls of prices/prices.csv by the plans of prices/scenario.toml; each charge was worked out by hand.

The quota is asked for the same money: whatever the price is made of, it must buy the call, and a nano less must not.
"""

import csv
from decimal import Decimal
from pathlib import Path

import pytest

from daemon.app_prices import Question
from daemon.authorize.catalog import Catalog
from daemon.kernel.instant import parse_rfc3339
from daemon.kernel.money import parse_nano
from daemon.rating.quota import quota
from tests.tables.prices_world import catalog_of, priced

FOLDER = Path(__file__).parent / "prices"
ROWS_MIN = 60  # priced calls that the file must hold
with (FOLDER / "prices.csv").open(encoding="utf-8", newline="") as file:
    ROWS = list(csv.DictReader(file, strict=True))


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return catalog_of(FOLDER / "scenario.toml")


def question_of(row: dict[str, str]) -> Question:
    return Question(
        row["plan"], row["to"], Decimal(row["seconds"]), parse_rfc3339(row["at"]), row["override"], row["rate_type"],
        row["account"], int(row["volume"] or 0),
    )  # fmt: skip


def test_the_file_does_not_shrink() -> None:
    assert len(ROWS) >= ROWS_MIN
    assert all(row["reason"] for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[f"{place}: {row['reason']}" for place, row in enumerate(ROWS, 2)])
def test_a_call_costs(catalog: Catalog, row: dict[str, str]) -> None:
    found = priced(catalog, question_of(row)).priced
    assert (found.status.value, found.prefix, found.charge) == (row["status"], row["prefix"], parse_nano(row["charge"]))
    assert found.connect_fee + sum(block.amount for block in found.blocks) + found.rounding == found.charge


@pytest.mark.parametrize("row", [row for row in ROWS if row["charge"] != "0"], ids=lambda row: row["reason"])
def test_its_price_is_what_it_can_be_held_for(catalog: Catalog, row: dict[str, str]) -> None:
    found = priced(catalog, question_of(row))
    assert found.tariff is not None
    amount = found.priced.charge
    assert quota(found.tariff, amount, found.seconds) == found.seconds
    assert quota(found.tariff, amount - 1, found.seconds) < found.seconds
