"""Whole tables against the plain reference: steps, bands, versions, tiers, bundles; one call and many; forth and back.

Decks have few prefixes, instants and bands, so that everything meets everything. The zone changes its clock in the week
of the calls.
"""

from collections.abc import Sequence
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.kernel.instant import SECOND, parse_rfc3339
from daemon.kernel.money import NANO, NANO_MAX, UNITS_MAX, Rounding
from daemon.rating.batch import NUMBER_WIDTH, SECONDS_MAX, STATUSES, BatchPricer, Calls, line_positions, number_at
from daemon.rating.charge import block_end, charge, first_paid_second, outlast_free, paid_stretches
from daemon.rating.deck import EFFECTIVE_FOREVER, RateRow, Terms
from daemon.rating.explain import Status, price
from daemon.rating.markup import Markup
from daemon.rating.quota import quota
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import Policy, RateTable, Usage
from daemon.rating.rate_type import PER_MAX, RateType
from daemon.rating.tariff import Gap, Tariff
from daemon.rating.time_band import TimeBand, parse_intervals
from tests.property.reference_rating import Band, Reference

BEGIN = parse_rfc3339("2026-10-30T00:00:00Z")  # the clock of New York goes back on 1 November
DAYS = 5
HOLIDAY = "2026-11-02"
BANDS = (
    Band("day", ("mon", "tue", "wed", "thu", "fri"), 8 * 60, 20 * 60, (HOLIDAY,)),
    Band("late", ("fri", "sun"), 22 * 60, 2 * 60),
    Band("dawn", ("sat", "sun", "mon"), 2 * 60, 3 * 60, (HOLIDAY,)),
)
ZONES = ("America/New_York", "Europe/Paris", "Asia/Kolkata", "Australia/Lord_Howe", "UTC")


def time_bands() -> tuple[TimeBand, ...]:
    """Return the bands as the rating function has them."""
    epoch = parse_rfc3339(f"{HOLIDAY}T00:00:00Z") // (86_400 * SECOND)
    return tuple(
        TimeBand(band.id, parse_intervals(band.text), frozenset((epoch,) if band.holidays else ())) for band in BANDS
    )


INSTANTS = st.integers(0, DAYS * 48).map(lambda half: BEGIN + half * 1_800 * SECOND)
STARTS = st.one_of(INSTANTS, st.tuples(INSTANTS, st.integers(-90_000_000, 90_000_000)).map(sum))
AMOUNTS = st.one_of(st.just(0), st.integers(0, 20).map(lambda cents: cents * NANO // 100), st.integers(0, 3 * NANO))
BLOCKS = st.sampled_from((1, 6, 7, 30, 60, 90))
GIFTS = st.sampled_from((0, 0, 0, 5, 61))
SECONDS = st.one_of(st.integers(0, 200), st.integers(0, 9_000))
NUMBERS = ("4", "44", "442", "4420", "5", "51")


@st.composite
def versions(draw: st.DrawFn, prefix: str, tiered: bool) -> list[RateRow]:
    """Draw one version: its steps and tiers."""
    begins = draw(st.one_of(st.just(0), INSTANTS))
    ends = draw(st.one_of(st.just(EFFECTIVE_FOREVER), INSTANTS.filter(lambda at: at > begins)))
    band = draw(st.sampled_from(("", "", *(band.id for band in BANDS))))
    rows = []
    for tier in (0, *(draw(st.lists(st.sampled_from((40, 100, 300)), max_size=2, unique=True)) if tiered else ())):
        for step in (0, *draw(st.lists(st.sampled_from((30, 60, 61, 600)), max_size=2, unique=True))):
            terms = Terms(
                draw(AMOUNTS), draw(BLOCKS), draw(BLOCKS), draw(GIFTS), draw(GIFTS), draw(AMOUNTS), begins, ends,
                blocked=draw(st.integers(0, 9)) == 0, time_band=band, step_from_second=step, tier_from=tier,
            )  # fmt: skip
            rows.append(RateRow(prefix, draw(AMOUNTS), prefix, terms))
    return rows


@st.composite
def references(draw: st.DrawFn, tiered: bool = False) -> Reference:
    """Draw a table that does not contradict itself."""
    rows: list[RateRow] = []
    seen = set()
    for prefix in draw(st.lists(st.sampled_from(NUMBERS), max_size=6)):
        version = draw(versions(prefix, tiered))
        key = (prefix, version[0].terms.time_band, version[0].terms.effective_from)
        if key not in seen:
            seen.add(key)
            rows += version
    policy = Policy(
        "t", 1, "USD", draw(st.integers(0, 9)), draw(st.sampled_from(Rounding)), zone=draw(st.sampled_from(ZONES)),
        split_bands=draw(st.booleans()), bands=time_bands(),
        tiers=draw(st.sampled_from(("graduated", "whole"))) if tiered else "",
    )  # fmt: skip
    return Reference(rows, policy, BANDS)


def table_of(reference: Reference, rows: Sequence[RateRow] | None = None) -> RateTable:
    """Return the real table of a reference's rows."""
    table, errors = RateTable.of(reference.policy, reference.rows if rows is None else rows)
    assert errors == []
    assert table is not None
    return table


def shown(found: Tariff | Gap | None, number: str, seconds: int, units: int = 0) -> tuple[object, ...]:
    """Return a price as the reference writes it."""
    priced = price(found, number, seconds, units)
    if priced.status is Status.RATED:
        return ("rated", priced.prefix, priced.charge, priced.billed_seconds)
    return (priced.status.value, priced.prefix or None)


@given(references(), st.sampled_from((*NUMBERS, "4477", "9")), STARTS, SECONDS)
@settings(max_examples=400)
def test_a_price_is_the_walk_through_rows_and_blocks(reference: Reference, number: str, at: int, seconds: int) -> None:
    found = table_of(reference).find(number, at)
    assert shown(found, number, seconds) == reference.price(number, at, seconds)


@given(references(tiered=True), st.sampled_from(NUMBERS), STARTS, SECONDS, st.integers(0, 400), st.integers(0, 90))
@settings(max_examples=200)
def test_tiers_and_bundles_are_the_same_walk(
    reference: Reference, number: str, at: int, seconds: int, volume: int, units: int
) -> None:
    found = table_of(reference).find(number, at, Usage(volumes={"t": volume}))
    assert shown(found, number, seconds, units) == reference.price(number, at, seconds, volume, units)


@given(references(), st.randoms(use_true_random=False), st.sampled_from(NUMBERS), STARTS)
def test_the_order_of_rows_never_matters(reference: Reference, generator: Random, number: str, at: int) -> None:
    rows = list(reference.rows)
    generator.shuffle(rows)
    assert table_of(reference).find(number, at) == table_of(reference, rows).find(number, at)


@given(
    st.lists(references(), min_size=1, max_size=3),
    st.lists(st.tuples(st.sampled_from((*NUMBERS, "+4420", "x", "9")), STARTS, SECONDS, st.integers(0, 999_999_999)),
             min_size=1, max_size=20),
    st.sampled_from((Markup(), Markup(12_500_000_000, 1_000_000, 3), Markup(percent=7 * NANO, minimum=500))),
)  # fmt: skip
@settings(max_examples=200)
def test_many_at_once_are_priced_as_one_by_one(
    references: list[Reference], calls: list[tuple[str, int, int, int]], markup: Markup
) -> None:
    tables = tuple(
        table_of(Reference(each.rows, each.policy.named(f"t{place}"), BANDS)) for place, each in enumerate(references)
    )
    plan = RatePlan("p", tables[:1], RatePlan("q", tables[1:]), markup)
    numbers = np.array([number for number, *_ in calls], f"S{NUMBER_WIDTH}")
    columns = (np.array(column, np.int64) for column in list(zip(*calls, strict=True))[1:])
    prices = BatchPricer(plan).price(Usage(), Calls(line_positions(numbers), *columns))
    for row, (number, at, seconds, fraction) in enumerate(calls):
        whole = number.removeprefix("+")
        found = plan.find(whole, at, Usage(horizon_seconds=SECONDS_MAX)) if whole.isdigit() else None
        rounding = found.duration_rounding if isinstance(found, Tariff) else Rounding.UP
        expected = price(found, number, seconds + (fraction > 0 if rounding is Rounding.UP else 0))
        assert STATUSES[prices.statuses[row]] is expected.status
        assert (prices.charges[row], prices.billed[row]) == (expected.charge, expected.billed_seconds)
        assert max(prices.lengths[row], 0) == len(expected.prefix)
        if isinstance(found, Tariff):
            assert prices.rates[row] == found.rate


LARGE_AMOUNTS = st.one_of(AMOUNTS, st.integers(0, UNITS_MAX * NANO), st.just(UNITS_MAX * NANO))
PERS = st.one_of(st.sampled_from((1, 60, 1_000, 10**9, PER_MAX)), st.integers(1, PER_MAX))
UNITS = st.one_of(st.integers(0, 200), st.integers(0, SECONDS_MAX))
LARGE_MARKUPS = st.builds(Markup, *(st.one_of(st.just(0), st.integers(0, UNITS_MAX * NANO)) for _ in range(3)))


@given(
    st.lists(st.tuples(PERS, LARGE_AMOUNTS, LARGE_AMOUNTS, LARGE_AMOUNTS, BLOCKS), min_size=1, max_size=3),
    st.integers(0, 9), st.sampled_from(Rounding), LARGE_MARKUPS, st.lists(UNITS, min_size=1, max_size=5),
)  # fmt: skip
@settings(max_examples=400)
def test_units_of_any_size_and_fees_are_priced_as_one_by_one(
    kinds: list[tuple[int, int, int, int, int]], decimals: int, rounding: Rounding, markup: Markup, units: list[int]
) -> None:
    types = {f"u{place}": RateType(f"u{place}", "unit", per) for place, (per, *_) in enumerate(kinds)}
    rows = [
        RateRow("", rate, word, Terms(fee, block, block, minimum_charge=minimum, rate_type=word))
        for word, (_, rate, fee, minimum, block) in zip(types, kinds, strict=True)
    ]
    table, errors = RateTable.of(Policy("t", 1, "USD", decimals, rounding, rate_types=types), rows)
    assert (table is not None, errors) == (True, [])
    plan = RatePlan("p", (), RatePlan("q", (table,) if table else ()), markup)
    pricer, nothing = BatchPricer(plan), np.zeros(len(units), np.int64)
    for word in types:
        usage = Usage("", word, horizon_seconds=SECONDS_MAX)
        prices = pricer.price(usage, Calls(nothing, nothing + BEGIN, np.array(units, np.int64), nothing))
        for row, count in enumerate(units):
            one = price(plan.find("", BEGIN, usage), "1", count)
            # A batch is written with 64 bits: what one call would cost beyond them is invalid there.
            expected = (
                (one.status, one.charge, one.billed_seconds) if one.charge <= NANO_MAX else (Status.INVALID, 0, 0)
            )
            assert (STATUSES[prices.statuses[row]], prices.charges[row], prices.billed[row]) == expected


def tariff_of(reference: Reference, number: str, at: int, volume: int) -> Tariff | None:
    """Return the tariff of a reference's table."""
    return table_of(reference).match(number, at, Usage(volumes={"t": volume}))


@given(references(tiered=True), STARTS, SECONDS, st.integers(-2, 2), st.sampled_from((0, 40)), st.integers(0, 9_000))
@settings(max_examples=400)
def test_quota_is_the_exact_inverse_of_charge(
    reference: Reference, at: int, seconds: int, mark: int, units: int, cap: int
) -> None:
    for number in NUMBERS:
        tariff = tariff_of(reference, number, at, 50)
        if tariff is None:
            continue
        available = charge(tariff, seconds, units).amount + mark
        found = quota(tariff, available, cap, units)
        paid = first_paid_second(tariff, units)
        if charge(tariff, paid, units).amount > available:
            assert found == (min(paid - 1, cap) if outlast_free(tariff, units) else 0)
            continue
        assert 0 <= found <= cap
        assert charge(tariff, found, units).amount <= available
        assert found == cap or charge(tariff, found + 1, units).amount > available


@given(references(tiered=True), STARTS, SECONDS, st.integers(0, 600), st.sampled_from((0, 40)))
def test_a_longer_call_never_costs_less(reference: Reference, at: int, seconds: int, more: int, units: int) -> None:
    for number in NUMBERS:
        tariff = tariff_of(reference, number, at, 0)
        if tariff is not None:
            shorter, longer = charge(tariff, seconds, units), charge(tariff, seconds + more, units)
            assert shorter.amount <= longer.amount
            assert shorter.billed_seconds <= longer.billed_seconds


@given(references(tiered=True), STARTS, st.integers(1, 9_000), st.sampled_from((0, 40)))
def test_splitting_never_creates_or_loses_a_second(reference: Reference, at: int, seconds: int, units: int) -> None:
    for number in NUMBERS:
        tariff = tariff_of(reference, number, at, 0)
        runs = [] if tariff is None else list(paid_stretches(tariff, seconds, units))
        if tariff is None or not runs:
            continue
        position = tariff.included_seconds + units
        for run in runs:
            assert run.position == position
            assert position + (run.blocks - 1) * run.length < seconds, "no block is paid that had not begun"
            position += run.blocks * run.length
        assert position >= seconds
        assert position == block_end(tariff, seconds, units)


@given(st.text("0123456789", min_size=1, max_size=18))
def test_a_number_is_read_back_from_its_place(number: str) -> None:
    assert number_at(int(line_positions(np.array([number], f"S{NUMBER_WIDTH}"))[0])) == number
