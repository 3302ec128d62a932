"""The calls of prices/prices.csv once more, as a file: in bulk each costs what it costs by itself."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.app_commands import batch_rules_of, price_file
from daemon.authorize.catalog import Catalog
from daemon.authorize.dids import DidRange, DidRanges
from daemon.kernel.ids import Key
from daemon.kernel.instant import NEVER
from daemon.kernel.money import parse_nano
from daemon.store.objects import Refused
from tests.tables.prices_world import catalog_of
from tests.tables.test_priced_calls import FOLDER, ROWS

UNDECLARED = "Inbound Local"  # a word that no table knows is a fault of a file's row, told by its name
# A file counts volumes by its own rows.
IN_BULK = [row for row in ROWS if not row["volume"] and row["rate_type"] != UNDECLARED]
PLANS = sorted({row["plan"] for row in IN_BULK})


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return catalog_of(FOLDER / "scenario.toml")


def written(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(("id", "to", "start", "duration_seconds", "rate_type", "override", "account"))
        for place, row in enumerate(rows):
            said = (row["to"], row["at"], row["seconds"], row["rate_type"], row["override"], row["account"])
            out.writerow((place, *said))


def priced(path: Path) -> Iterator[tuple[str, str, int]]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, strict=True):
            yield row["status"], row["prefix"], parse_nano(row["charge"] or "0")


@pytest.mark.parametrize("plan", PLANS)
def test_a_file_is_priced_as_its_calls_are(catalog: Catalog, tmp_path: Path, plan: str) -> None:
    rows = [row for row in IN_BULK if row["plan"] == plan]
    written(tmp_path / "in.csv", rows)
    rules = batch_rules_of(catalog, Key("main", plan))
    price_file(tmp_path / "in.csv", tmp_path / "out.csv", rules, restart=True, progress=lambda *_: None)
    found = list(priced(tmp_path / "out.csv"))
    expected = [(row["status"], row["prefix"], parse_nano(row["charge"])) for row in rows]
    differing = [
        (row["reason"], is_, must) for row, is_, must in zip(rows, found, expected, strict=True) if is_ != must
    ]
    assert differing == []


def test_own_numbers_that_are_no_list_are_refused_where_the_plan_asks_for_them(catalog: Catalog) -> None:
    ranges = DidRanges.of([DidRange("4410", "4429", 0, NEVER, Key("main", "acme"))])
    known = replace(catalog, endpoints=replace(catalog.endpoints, did_ranges=ranges))
    (asking,) = [key for key, plan in catalog.plans.items() if plan.on_net]
    with pytest.raises(Refused, match="has DID ranges"):
        batch_rules_of(known, asking)
    other = next(key for key, plan in catalog.plans.items() if not plan.on_net)
    assert batch_rules_of(known, other).own_numbers == catalog.own_numbers(other.tenant)
