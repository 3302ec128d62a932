"""Calls of currencies/prices.csv: tables in one currency, accounts in another; each charge was worked out by hand.

Each is priced by itself and in a file, and its quota is asked for the same money, all of which have to agree.
"""

import csv
from pathlib import Path

import pytest

from daemon.app_commands import batch_rules_of, price_file
from daemon.authorize.catalog import Catalog
from daemon.kernel.ids import Key
from daemon.kernel.money import parse_nano
from daemon.rating.quota import quota
from tests.tables.prices_world import catalog_of, priced
from tests.tables.test_priced_calls import question_of
from tests.tables.test_priced_in_bulk import priced as priced_in_bulk
from tests.tables.test_priced_in_bulk import written

FOLDER = Path(__file__).parent / "currencies"
ROWS_MIN = 40  # priced calls that the file must hold
with (FOLDER / "prices.csv").open(encoding="utf-8", newline="") as file:
    ROWS = list(csv.DictReader(file, strict=True))
CHARGED = [row for row in ROWS if row["charge"] != "0"]
PLANS = sorted({row["plan"] for row in ROWS})


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return catalog_of(FOLDER / "scenario.toml")


def test_the_file_does_not_shrink() -> None:
    assert len(ROWS) >= ROWS_MIN
    assert all(row["reason"] for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[f"{place}: {row['reason']}" for place, row in enumerate(ROWS, 2)])
def test_a_call_costs(catalog: Catalog, row: dict[str, str]) -> None:
    found = priced(catalog, question_of(row))
    price = found.priced
    assert (price.status.value, price.prefix, price.charge) == (row["status"], row["prefix"], parse_nano(row["charge"]))
    assert price.connect_fee + sum(block.amount for block in price.blocks) + price.rounding == price.charge
    assert bool(found.lacking) is (row["status"] == "unrated")
    if price.status.value == "rated":
        account = row["account"]
        assert price.currency == (catalog.accounts[Key("main", account)].currency if account else "EUR")


@pytest.mark.parametrize("row", CHARGED, ids=lambda row: row["reason"])
def test_its_price_is_what_it_can_be_held_for(catalog: Catalog, row: dict[str, str]) -> None:
    found = priced(catalog, question_of(row))
    assert found.tariff is not None
    amount = found.priced.charge
    buys = found.seconds if found.priced.billed_seconds else 0  # whoever cannot pay a block gets no included seconds
    assert quota(found.tariff, amount, found.seconds) == buys
    assert quota(found.tariff, amount - 1, found.seconds) < found.seconds


@pytest.mark.parametrize("plan", PLANS)
def test_a_file_is_priced_as_its_calls_are(catalog: Catalog, tmp_path: Path, plan: str) -> None:
    rows = [row for row in ROWS if row["plan"] == plan and not row["volume"]]
    written(tmp_path / "in.csv", rows)
    rules = batch_rules_of(catalog, Key("main", plan))
    price_file(tmp_path / "in.csv", tmp_path / "out.csv", rules, restart=True, progress=lambda *_: None)
    found = list(priced_in_bulk(tmp_path / "out.csv"))
    assert found == [(row["status"], row["prefix"], parse_nano(row["charge"])) for row in rows]
