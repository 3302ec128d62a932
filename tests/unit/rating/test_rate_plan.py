"""A plan: the longest prefix among its tables, their order for ties, never the cheapest."""

import pytest

from daemon.rating.deck import RateRow, Terms
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import RateTable


def table(name: str, *rows: RateRow, override: str = "") -> RateTable:
    """Return a table of good rows."""
    built, _ = RateTable.from_rows(rows, table=name, version=1, currency="USD", override=override)
    assert built is not None
    return built


FIRST = table("first", RateRow("44", 50), RateRow("4420", 70, terms=Terms(effective_to=100)))
SECOND = table(
    "second",
    RateRow("44", 1),
    RateRow("442", 60, terms=Terms(blocked=True)),
    RateRow("44207", 80, terms=Terms(effective_from=50)),
)
PLAN = RatePlan("retail", (FIRST, SECOND))


@pytest.mark.parametrize(
    ("number", "at", "found"),
    [
        ("441", 0, ("first", "44")),
        ("442", 0, ("second", "442")),
        ("44207", 0, ("first", "4420")),
        ("44207", 50, ("second", "44207")),
        ("44208", 100, ("second", "442")),
    ],
)
def test_the_longest_valid_prefix_wins_and_order_breaks_ties(number: str, at: int, found: tuple[str, str]) -> None:
    tariff = PLAN.match(number, at)
    assert tariff is not None
    assert (tariff.table, tariff.prefix) == found


def test_order_breaks_a_tie_whatever_the_price() -> None:
    (tariff,) = RatePlan("other", (SECOND, FIRST)).tariffs("441", 0, 10)
    assert tariff.table == "second"


def test_a_number_that_no_table_has_is_unrated() -> None:
    assert PLAN.match("33", 0) is None
    assert PLAN.tariffs("33", 0, 1_000) == ()
    assert RatePlan("empty", ()).tariffs("44", 0, 1) == ()


def test_what_comes_into_force_in_any_table_is_told() -> None:
    assert [tariff.rate for tariff in PLAN.tariffs("44207", 0, 49)] == [70]
    assert [tariff.rate for tariff in PLAN.tariffs("44207", 0, 100)] == [70, 80]
    assert [tariff.rate for tariff in PLAN.tariffs("44208", 0, 100)] == [70, 60]
    assert [tariff.blocked for tariff in PLAN.tariffs("44208", 0, 100)] == [False, True]


def test_a_table_that_this_release_would_misprice_makes_no_plan() -> None:
    with pytest.raises(ValueError, match="override pattern"):
        RatePlan("retail", (FIRST, table("sms", override="^SMS$")))
