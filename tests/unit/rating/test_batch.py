"""Many calls at once: numbers as places on a line, tables as arrays, and what only ``charge`` itself can price."""

import numpy as np
import pytest

from daemon.kernel.e164 import line_position
from daemon.kernel.instant import SECOND, parse_rfc3339
from daemon.kernel.money import NANO, UNITS_MAX, Rounding
from daemon.rating import batch
from daemon.rating.batch import NUMBER_WIDTH, STATUSES, BatchPricer, Calls, Prices, line_positions, number_at
from daemon.rating.deck import RateRow, Terms
from daemon.rating.markup import Markup
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import Policy, RateTable, Usage
from daemon.rating.rate_type import RateType
from daemon.rating.table_arrays import MALFORMED
from daemon.rating.time_band import TimeBand, parse_intervals

MONDAY = parse_rfc3339("2026-11-23T00:00:00Z")
HOUR = 3_600 * SECOND
PEAK = TimeBand("peak", parse_intervals("mon-fri 08:00-20:00"))
TYPES = {"Mobile": RateType("mobile"), "kWh": RateType("kWh", "kWh", 1)}


def row(prefix: str, rate: int, **terms: object) -> RateRow:
    """Return a row of a prefix."""
    return RateRow(prefix, rate, f"to {prefix}", Terms(**terms))  # type: ignore[arg-type]


def table_of(*rows: RateRow, name: str = "t", **changes: object) -> RateTable:
    """Return the table of good rows."""
    policy = Policy(name, 1, "USD", bands=(PEAK,), rate_types=TYPES, **changes)  # type: ignore[arg-type]
    table, errors = RateTable.of(policy, rows)
    assert errors == []
    assert table is not None
    return table


def priced(plan: RatePlan, *calls: tuple[str, int, int], usage: Usage = Usage(), fraction: int = 0) -> Prices:  # noqa: B008
    """Return the prices of calls of a number, an hour of the Monday and seconds."""
    numbers = np.array([number for number, _, _ in calls], f"S{NUMBER_WIDTH}")
    starts = np.array([MONDAY + hour * HOUR for _, hour, _ in calls], np.int64)
    seconds = np.array([seconds for *_, seconds in calls], np.int64)
    fractions = np.full(len(calls), fraction, np.int64)
    return BatchPricer(plan).price(usage, Calls(line_positions(numbers), starts, seconds, fractions))


def words(prices: Prices) -> list[str]:
    """Return the statuses in words."""
    return [STATUSES[status].value for status in prices.statuses]


@pytest.mark.parametrize(
    "number",
    ["4", "0", "442071231234", "9" * 18, "+44", "", "x", "4x", "+", "++4", "4" * 19, "+" + "4" * 18, "4 4", "4-"],
)
def test_a_number_is_the_place_that_the_kernel_says(number: str) -> None:
    digits = number.removeprefix("+")
    good = digits.isdigit() and len(digits) <= 18
    expected = line_position(digits) if good else 0 if number == "" else MALFORMED
    assert line_positions(np.array([number], f"S{NUMBER_WIDTH}")).tolist() == [expected]
    assert not good or number_at(expected) == digits


def test_an_octet_of_nothing_inside_a_number_is_malformed() -> None:
    assert line_positions(np.array([b"4\x004"], f"S{NUMBER_WIDTH}")).tolist() == [MALFORMED]


def test_every_status_has_its_calls() -> None:
    plan = RatePlan("p", (table_of(row("44", 60), row("45", 1, blocked=True), row("46", 1, time_band="peak")),))
    prices = priced(plan, ("441", 0, 60), ("45", 0, 0), ("46", 0, 60), ("47", 0, 60), ("x", 0, 60))
    assert words(prices) == ["rated", "blocked", "unrated", "unrated", "invalid"]
    assert prices.charges.tolist() == [100_000, 0, 0, 0, 0]
    assert prices.lengths.tolist() == [2, 2, 2, -1, -1]
    assert prices.tables.tolist() == [0, 0, 0, -1, -1]


@pytest.mark.parametrize(
    ("rounding", "fraction", "billed"),
    [
        (Rounding.UP, 0, 10), (Rounding.UP, 1, 11), (Rounding.DOWN, 999_999_999, 10),
        (Rounding.HALF_UP, 499_999_999, 10), (Rounding.HALF_UP, 500_000_000, 11),
    ],
)  # fmt: skip
def test_a_duration_is_rounded_once(rounding: Rounding, fraction: int, billed: int) -> None:
    plan = RatePlan("p", (table_of(row("44", 60), duration_rounding=rounding),))
    assert priced(plan, ("44", 0, 10), fraction=fraction).billed.tolist() == [billed]


def test_the_longest_prefix_of_several_tables_wins_and_order_breaks_ties() -> None:
    plan = RatePlan("p", (table_of(row("44", 1), name="a"), table_of(row("44", 2), row("4420", 3), name="b")))
    prices = priced(plan, ("441", 0, 60), ("4420", 0, 60), ("9", 0, 1))
    assert prices.tables.tolist() == [0, 1, -1]
    assert prices.rates.tolist() == [1, 3, 0]


def test_a_plan_without_tables_prices_nothing() -> None:
    assert words(priced(RatePlan("p", ()), ("44", 0, 1))) == ["unrated"]


def test_an_empty_table_prices_nothing() -> None:
    assert words(priced(RatePlan("p", (table_of(),)), ("44", 0, 1))) == ["unrated"]


@pytest.mark.parametrize(
    ("rate_type", "number", "rate"),
    [
        ("", "441", 1), ("per_minute", "447", 2), ("Mobile", "447", 2), ("Mobile", "441", 8), ("Mobile", "", 8),
        ("kWh", "", 7), ("kWh", "44", 7), ("per_message", "44", 0), ("undeclared", "44", 0), ("", "", 0),
    ],
)  # fmt: skip
def test_usage_of_a_rate_type_finds_rows_of_it_alone(rate_type: str, number: str, rate: int) -> None:
    table = table_of(
        row("44", 1), row("447", 2, rate_type="Mobile"), row("", 8, rate_type="Mobile"), row("", 7, rate_type="kWh"),
        row("44", 9, rate_type="kWh", effective_to=1),
    )  # fmt: skip
    assert priced(RatePlan("p", (table,)), (number, 0, 60), usage=Usage(rate_type=rate_type)).rates.tolist() == [rate]


def test_a_rate_type_in_a_band_is_looked_for_in_it() -> None:
    table = table_of(row("44", 1, time_band="peak", rate_type="Mobile"), row("45", 2), row("", 3, rate_type="Mobile"))
    prices = priced(RatePlan("p", (table,)), ("44", 9, 60), ("45", 9, 60), usage=Usage(rate_type="Mobile"))
    assert prices.rates.tolist() == [1, 3]


def test_bands_of_several_kinds_have_choices_of_their_own() -> None:
    table = table_of(
        row("44", 1), row("44", 2, time_band="peak"), row("", 3, rate_type="kWh"),
        row("", 4, rate_type="kWh", time_band="peak"), split_bands=True,
    )  # fmt: skip
    plan = RatePlan("p", (table,))
    assert priced(plan, ("44", 9, 60), ("44", 7, 60)).rates.tolist() == [2, 1]
    assert priced(plan, ("", 9, 1), ("", 7, 1), usage=Usage(rate_type="kWh")).rates.tolist() == [4, 3]


def test_a_split_call_and_one_with_steps_are_summed_run_by_run() -> None:
    table = table_of(
        row("44", 60 * NANO), row("44", 120 * NANO, time_band="peak"), row("45", 60 * NANO),
        row("45", 6 * NANO, step_from_second=60), split_bands=True,
    )  # fmt: skip
    prices = priced(RatePlan("p", (table,)), ("44", 7, 3_700), ("45", 7, 120), ("44", 9, 10))
    assert prices.charges.tolist() == [(3_600 + 200) * NANO, 66 * NANO, 20 * NANO]


def test_marked_up_prices_are_those_of_the_plan() -> None:
    base = RatePlan("base", (table_of(row("44", 60 * NANO, connect_fee=NANO, minimum_charge=0)),))
    plan = RatePlan("p", (), base, Markup(percent=10 * NANO, per_minute=6 * NANO))
    assert priced(plan, ("44", 0, 60)).charges.tolist() == [(72 + 1) * NANO + NANO // 10]


def test_an_amount_that_arrays_cannot_hold_is_exact_all_the_same() -> None:
    table = table_of(
        row("44", UNITS_MAX * NANO), row("45", UNITS_MAX * NANO, blocked=True), row("46", 1, time_band="peak")
    )
    prices = priced(RatePlan("p", (table,)), ("44", 0, 3_600), ("45", 0, 9), ("46", 0, 9), ("44", 0, 6))
    assert words(prices) == ["invalid", "blocked", "unrated", "rated"]
    assert prices.charges.tolist() == [0, 0, 0, UNITS_MAX * NANO // 10]


@pytest.mark.parametrize("beside", [True, False])
def test_a_divisor_that_arrays_cannot_hold_is_exact_all_the_same(beside: bool) -> None:
    types = {"data": RateType("data", "byte", 10**12), "kb": RateType("kb", "byte", 1_000)}
    rows = [row("", 5 * NANO, rate_type="data"), row("", 5 * NANO, rate_type="kb")][: 1 + beside]
    table, errors = RateTable.of(Policy("t", 1, "USD", 2, Rounding.UP, rate_types=types), rows)
    assert (table is not None, errors) == (True, [])
    plan = RatePlan("p", (table,) if table else ())
    assert (
        priced(plan, ("", 0, 1), ("", 0, 999_999), usage=Usage(rate_type="data")).charges.tolist() == [10_000_000] * 2
    )
    arrays = BatchPricer(plan).tables(Usage())[0].rows
    assert np.max(arrays.per) == (1_000 if beside else 1)


@pytest.mark.parametrize(("fee", "per"), [(10, 10**9), (999_999_999, 60)])
def test_a_fee_that_arrays_cannot_hold_is_exact_all_the_same(fee: int, per: int) -> None:
    types = {"data": RateType("data", "byte", per)}
    policy = Policy("t", 1, "USD", rate_types=types)
    for terms in ({"connect_fee": fee * NANO}, {"minimum_charge": fee * NANO}):
        table, errors = RateTable.of(policy, [row("", 0, rate_type="data", **terms)])
        assert (table is not None, errors) == (True, [])
        plan = RatePlan("p", (), RatePlan("q", (table,) if table else ()), Markup(percent=NANO))
        prices = priced(plan, ("", 0, 1), ("", 0, 0), usage=Usage(rate_type="data"))
        assert prices.charges.tolist() == [min(fee * NANO * 101 // 100, UNITS_MAX * NANO), 0]


@pytest.mark.parametrize(("rule", "charge"), [("whole", 20), ("graduated", 15)])
def test_tiers_are_priced_by_the_volume_before(rule: str, charge: int) -> None:
    table = table_of(
        row("44", 120 * NANO), row("44", 60 * NANO, tier_from=100), row("44", 60 * NANO, time_band="peak"), tiers=rule
    )
    prices = priced(RatePlan("p", (table,)), ("44", 0, 10), ("44", 9, 10), usage=Usage(volumes={"t": 95}))
    assert prices.charges.tolist() == [charge * NANO, 10 * NANO]


def test_arrays_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "ARRAYS_KEPT_MAX", 1)
    pricer = BatchPricer(RatePlan("p", (table_of(row("44", 1), name="a"), table_of(row("45", 2), name="b"))))
    first = pricer.tables(Usage())
    assert [table.table.id for table in first] == ["a", "b"]
    assert pricer.tables(Usage())[1] is not first[0]
    kept = BatchPricer(RatePlan("p", (table_of(row("44", 1)),)))
    assert kept.tables(Usage())[0] is kept.tables(Usage())[0]
