"""A rate table: the longest valid prefix, its latest valid version, and what is no table at all."""

import random
import tracemalloc

import pytest

from daemon.kernel.money import NANO, UNITS_MAX, Rounding
from daemon.rating import versions
from daemon.rating.deck import EFFECTIVE_ALWAYS, EFFECTIVE_FOREVER, DeckError, RateRow, Terms
from daemon.rating.rate_table import RateTable
from daemon.rating.tariff import Tariff


def build(*rows: RateRow) -> tuple[RateTable | None, list[DeckError]]:
    """Return what becomes of rows."""
    return RateTable.from_rows(
        rows,
        table="retail",
        version=3,
        currency="USD",
        decimals=5,
        rounding=Rounding.HALF_UP,
        duration_rounding=Rounding.DOWN,
        name="voice",
    )


def table_of(*rows: RateRow) -> RateTable:
    """Return the table of good rows."""
    table, errors = build(*rows)
    assert errors == []
    assert table is not None
    return table


def between(start: int, end: int = EFFECTIVE_FOREVER) -> Terms:
    """Return the terms of a row in force between two instants."""
    return Terms(effective_from=start, effective_to=end)


def rate_at(table: RateTable, number: str, at: int = 0) -> int | None:
    """Return the rate in force for a number."""
    tariff = table.match(number, at)
    return None if tariff is None else tariff.rate


def test_a_match_is_a_finished_tariff() -> None:
    terms = Terms(2, 30, 6, 4, 5, 6, 10, 20, "per_minute", blocked=True)
    table = table_of(RateRow("44", 7, "UK", terms))
    assert table.match("442079", 10) == Tariff(
        table="retail",
        deck_version=3,
        prefix="44",
        destination="UK",
        currency="USD",
        rate=7,
        connect_fee=2,
        first_seconds=30,
        next_seconds=6,
        free_seconds=4,
        included_seconds=5,
        minimum_charge=6,
        decimals=5,
        rounding=Rounding.HALF_UP,
        duration_rounding=Rounding.DOWN,
        blocked=True,
        rate_type="per_minute",
    )
    assert (table.id, len(table), table.policy.name, table.policy.override) == ("retail", 1, "voice", "")


def test_the_longest_prefix_wins_whatever_it_costs() -> None:
    table = table_of(RateRow("4", 1), RateRow("44", 100), RateRow("4420", 2), RateRow("45", 5), RateRow("9" * 18, 9))
    numbers = ("4", "43", "44", "442", "44207", "4421", "45", "46", "5", "9" * 18, "9" * 17, "3")
    assert [rate_at(table, number) for number in numbers] == [1, 1, 100, 100, 2, 100, 5, 1, None, 9, None, None]


def test_an_empty_table_rates_nothing() -> None:
    assert rate_at(table_of(), "44") is None


def test_the_latest_valid_version_wins_and_an_earlier_open_one_applies_again() -> None:
    table = table_of(RateRow("44", 1), RateRow("44", 2, terms=between(10, 20)), RateRow("44", 3, terms=between(15, 17)))
    assert [rate_at(table, "44", at) for at in (0, 9, 10, 14, 15, 16, 17, 19, 20)] == [1, 1, 2, 2, 3, 3, 2, 2, 1]


def test_a_prefix_without_a_valid_version_counts_as_not_there() -> None:
    table = table_of(RateRow("4", 1, terms=between(5)), RateRow("44", 2, terms=between(10, 20)))
    assert [rate_at(table, "441", at) for at in (4, 5, 10, 20)] == [None, 1, 2, 1]


def test_tariffs_begin_with_the_one_at_start_and_add_each_different_one() -> None:
    table = table_of(
        RateRow("4", 1),
        RateRow("44", 2, terms=between(10, 20)),
        RateRow("44", 3, terms=between(15, 17)),
        RateRow("45", 9, terms=between(12)),
    )
    assert [tariff.rate for tariff in table.tariffs("441", 0, 100)] == [1, 2, 3]
    assert [tariff.rate for tariff in table.tariffs("441", 16, 17)] == [3, 2]
    assert [tariff.rate for tariff in table.tariffs("441", 0, 9)] == [1]
    assert [tariff.rate for tariff in table.tariffs("441", 10, 14)] == [2]


def test_a_start_without_a_tariff_has_none_and_a_gap_brings_none() -> None:
    table = table_of(RateRow("44", 1, terms=between(10, 20)), RateRow("44", 2, terms=between(30)))
    assert table.tariffs("44", 0, 100) == ()
    assert table.tariffs("55", 0, 100) == ()
    assert [tariff.rate for tariff in table.tariffs("44", 15, 25)] == [1]
    assert [tariff.rate for tariff in table.tariffs("44", 15, 30)] == [1, 2]


def test_two_rows_for_one_step_of_one_version_are_refused_with_both_lines() -> None:
    table, errors = build(RateRow("44", 1, source="a.csv", line=2), RateRow("44", 1, source="a.csv", line=9))
    assert table is None
    assert [str(error) for error in errors] == [
        "a.csv:9: the prefix 44 has one effective_from in line 2 and here: two rows for second 0 of one version; "
        "keep one row"
    ]


def test_rows_of_one_version_have_one_end() -> None:
    _, errors = build(RateRow("44", 1), RateRow("44", 1, terms=between(EFFECTIVE_ALWAYS, 9)))
    assert "different effective_to" in errors[0].reason


@pytest.mark.parametrize(
    "row",
    [
        RateRow("", 1),
        RateRow("+44", 1),
        RateRow("4x", 1),
        RateRow("4" * 19, 1),
        RateRow("44", -1),
        RateRow("44", UNITS_MAX * NANO + 1),
        RateRow("44", 1, terms=Terms(connect_fee=-1)),
        RateRow("44", 1, terms=Terms(minimum_charge=-1)),
        RateRow("44", 1, terms=Terms(first_seconds=0)),
        RateRow("44", 1, terms=Terms(next_seconds=86_401)),
        RateRow("44", 1, terms=Terms(free_seconds=-1)),
        RateRow("44", 1, terms=Terms(included_seconds=86_401)),
        RateRow("44", 1, terms=between(5, 5)),
    ],
)
def test_a_bad_value_is_refused_in_every_row_that_has_it(row: RateRow) -> None:
    table, errors = build(RateRow("1", 1), row, row)
    assert table is None
    assert [error.source for error in errors] == ["retail", "retail"]


def test_versions_of_a_prefix_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "VERSIONS_MAX", 2)
    monkeypatch.setattr("daemon.rating.rate_table.VERSIONS_MAX", 2)
    rows = [RateRow("44", 1, terms=between(at)) for at in range(3)]
    assert build(*rows[:2])[1] == []
    assert "more than 2 rows" in build(*rows)[1][0].reason


def test_decimals_are_those_of_money() -> None:
    with pytest.raises(AssertionError):
        RateTable.from_rows([], table="t", version=1, currency="USD", decimals=10)


def test_a_row_takes_little_memory() -> None:
    generator = random.Random(7)
    prefixes = {str(generator.randrange(10**9)) for _ in range(20_000)}
    rows = [RateRow(prefix, 1, "UK") for prefix in prefixes]
    tracemalloc.start()
    table = table_of(*rows)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 60 * len(table)  # bytes: 60 MB for a million rows
