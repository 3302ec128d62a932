"""Rows that come ordered make the table that unordered ones make, a portion at a time, whatever lies in a portion."""

from collections.abc import Callable

import pytest

from daemon.kernel.instant import SECOND
from daemon.rating import rate_table
from daemon.rating.deck import DeckError, RateRow, Terms
from daemon.rating.prefix_index import PrefixIndex
from daemon.rating.rate_table import RATE_MAX, Policy, RateTable, faults_of
from daemon.rating.rate_type import RateType
from daemon.rating.time_band import TimeBand, parse_intervals
from daemon.rating.versions import VERSIONS_MAX

NOW = 1_790_000_000 * SECOND
PEAK = TimeBand("peak", parse_intervals("mon-fri 08:00-20:00"))
POLICY = Policy("t", 1, "USD", bands=(PEAK,), rate_types={"kwh": RateType("kwh", "kWh", 1)}, tiers="whole")
MIXED = [
    *(RateRow(str(prefix), prefix) for prefix in range(100, 130)),
    *(RateRow(f"{prefix}7", prefix, "within") for prefix in range(100, 130, 3)),
    RateRow("1", 1),
    RateRow("115", 5, terms=Terms(time_band="peak")),
    RateRow("120", 6, terms=Terms(step_from_second=60)),
    RateRow("121", 7, terms=Terms(effective_from=NOW)),
    RateRow("122", 8, terms=Terms(rate_type="per_minute")),
    RateRow("124", 9, terms=Terms(rate_type="per_message")),
    RateRow("", 11, terms=Terms(rate_type="kwh")),
    RateRow("129", 12, terms=Terms(tier_from=600)),
]
MIXED.remove(RateRow("122", 122))


@pytest.mark.parametrize("portion", [1, 2, 3, 7, 256])
def test_the_table_is_the_same_however_its_rows_come(portion: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, errors = RateTable.of(POLICY, reversed(MIXED))
    assert expected is not None, errors
    monkeypatch.setattr(rate_table, "PORTION", portion)
    ordered = sorted(MIXED, key=lambda row: row.prefix)
    found, errors = RateTable.of_ordered(POLICY, iter(ordered))
    assert found is not None, errors
    assert faults_of(POLICY, iter(ordered)) == []
    assert len(found) == len(expected) == len(MIXED) - 1, "the rows of one tier are one rate"
    for number in ("1", "10", "1007", "115", "120", "121", "122", "124", "129", "130", "2"):
        for at in (NOW - 1, NOW, NOW + 43_200 * SECOND):
            for usage in (rate_table.A_CALL, rate_table.Usage(rate_type="per_message")):
                assert found.find(number, at, usage) == expected.find(number, at, usage)
    assert found.find("", NOW, rate_table.Usage(rate_type="kwh")) is not None
    assert len(found.offers.lengths) == len(found.offers.index.next_offers)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (RateRow("44x", 1), "not 1 to 18 digits"),
        (RateRow("٤٤", 1), "not 1 to 18 digits"),
        (RateRow("4" * 19, 1), "not 1 to 18 digits"),
        (RateRow("", 1), "needs a rate type"),
        (RateRow("44", -1), "negative or too large"),
        (RateRow("44", RATE_MAX + 1), "negative or too large"),
        (RateRow("44", 1, terms=Terms(first_seconds=0)), "first_seconds"),
        (RateRow("44", 1, terms=Terms(currency="EUR")), "the row is in EUR"),
        (RateRow("33", 1), "two rows for second 0"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("crowd", [0, 300])
def test_what_makes_no_table_is_named_wherever_it_stands(bad: RateRow, reason: str, crowd: int) -> None:
    rows = [RateRow(str(prefix), 1) for prefix in range(1000, 1000 + crowd)] + [RateRow("33", 1)]
    bad = bad._replace(source="deck.csv", line=7)
    ordered = sorted([*rows, bad], key=lambda row: row.prefix)
    makers: tuple[Callable[[], tuple[object, list[DeckError]]], ...] = (
        lambda: RateTable.of(POLICY, [bad, *rows]),
        lambda: RateTable.of_ordered(POLICY, ordered),
        lambda: (None, faults_of(POLICY, ordered)),
    )
    for make in makers:
        table, errors = make()
        assert table is None
        assert [error.source for error in errors] == ["deck.csv"]
        assert reason in errors[0].reason


def test_a_rate_type_that_nobody_declared_is_named() -> None:
    errors = faults_of(POLICY, [RateRow("44", 1, terms=Terms(rate_type="faxes"))])
    assert "the rate type 'faxes' is not declared" in errors[0].reason
    assert rate_table.kind_of(RateRow("44", 1, terms=Terms(rate_type="faxes")), POLICY) == "faxes"


def test_a_long_row_of_equal_prefixes_is_taken_or_refused_in_time() -> None:
    rows = [RateRow("44", 1, terms=Terms(effective_from=begins)) for begins in range(VERSIONS_MAX)]
    assert faults_of(POLICY, [*rows, RateRow("45", 1)]) == []
    errors = faults_of(POLICY, [*rows, RateRow("44", 1), RateRow("45", 1)])
    assert f"more than {VERSIONS_MAX} rows" in errors[0].reason


def test_an_index_may_be_built_at_once_or_one_by_one() -> None:
    prefixes = ("4", "44", "44", "442", "45", "5")
    whole, single = PrefixIndex(prefixes), PrefixIndex()
    for prefix in prefixes:
        single.add(prefix)
    single.close()
    assert list(whole.segment_starts) == list(single.segment_starts)
    assert list(whole.segment_offers) == list(single.segment_offers)
    assert list(whole.next_offers) == list(single.next_offers)
    assert list(single.candidates("4421")) == [3, 1, 2, 0]
    assert list(PrefixIndex().candidates("4")) == []
