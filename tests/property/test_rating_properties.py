"""Laws of rating, held against references that share no code with it.

The reference price walks block by block in exact fractions; the reference match scans all rows. Mutants of ``quota``,
one second off either way, must be caught by the very check that the real one passes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil, floor
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.kernel.e164 import line_interval, line_position
from daemon.kernel.instant import INSTANT_MAX, format_rfc3339, parse_rfc3339
from daemon.kernel.money import NANO, UNITS_MAX, Rounding, divide, format_nano, parse_nano
from daemon.rating.charge import block_end, charge, duration_seconds, first_paid_second
from daemon.rating.deck import COLUMNS, EFFECTIVE_FOREVER, DeckRow, RateRow, Terms, finish_deck
from daemon.rating.explain import price
from daemon.rating.margin import margin_holds
from daemon.rating.quota import quota
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import RateTable
from daemon.rating.tariff import Charge, Tariff
from tests.decks import read_deck

AMOUNTS = st.one_of(
    st.just(0),
    st.integers(0, 20).map(lambda cents: cents * NANO // 100),
    st.integers(0, 3 * NANO),
    st.integers(0, UNITS_MAX * NANO),
)
BLOCKS = st.one_of(st.sampled_from((1, 6, 30, 60)), st.integers(1, 90))
GIFTS = st.one_of(st.just(0), st.integers(0, 100))
TARIFFS = st.builds(
    Tariff,
    table=st.just("t"),
    deck_version=st.just(1),
    prefix=st.just("44"),
    destination=st.just("UK"),
    currency=st.just("USD"),
    rate=AMOUNTS,
    connect_fee=AMOUNTS,
    first_seconds=BLOCKS,
    next_seconds=BLOCKS,
    free_seconds=GIFTS,
    included_seconds=GIFTS,
    minimum_charge=AMOUNTS,
    decimals=st.integers(0, 9),
    rounding=st.sampled_from(Rounding),
)
SECONDS = st.integers(0, 400)
CAPS = st.one_of(st.integers(0, 400), st.just(14_400))
MARKS = st.integers(-2, 2)  # nano-units beside an exact charge, where an inverse is most easily wrong
Quota = Callable[[Tariff, int, int], int]


def rounded(value: Fraction, rounding: Rounding) -> int:
    """Return a value of 0 or more as a whole number."""
    if rounding is Rounding.UP:
        return ceil(value)
    if rounding is Rounding.DOWN:
        return floor(value)
    # The built-in round of a Fraction is half-even.
    return round(value) if rounding is Rounding.HALF_EVEN else floor(value + Fraction(1, 2))


def reference_charge(tariff: Tariff, seconds: int) -> Charge:
    """Return the charge found by walking from block to block."""
    if seconds == 0 or seconds <= tariff.free_seconds:
        return Charge(0, 0)
    billed, begins = 0, tariff.included_seconds
    while begins < seconds:
        length = tariff.next_seconds if billed else tariff.first_seconds
        billed, begins = billed + length, begins + length
    exact = max(tariff.connect_fee + Fraction(tariff.rate, 60) * billed, Fraction(tariff.minimum_charge))
    step = Fraction(NANO, 10**tariff.decimals)
    return Charge(int(rounded(exact / step, tariff.rounding) * step), billed)


@given(TARIFFS, SECONDS)
def test_charge_is_the_walk_from_block_to_block(tariff: Tariff, seconds: int) -> None:
    assert charge(tariff, seconds) == reference_charge(tariff, seconds)


@given(TARIFFS, SECONDS, SECONDS)
def test_a_longer_call_never_costs_less(tariff: Tariff, seconds: int, more: int) -> None:
    shorter, longer = charge(tariff, seconds), charge(tariff, seconds + more)
    assert shorter.amount <= longer.amount
    assert shorter.billed_seconds <= longer.billed_seconds


def assert_inverse(tariff: Tariff, available: int, cap: int, found: int) -> None:
    """Assert that a quota is the largest that the money and the cap allow, and 0 without the first paid block."""
    assert 0 <= found <= cap
    if reference_charge(tariff, first_paid_second(tariff)).amount > available:
        assert found == 0
        return
    assert reference_charge(tariff, found).amount <= available
    assert found == cap or reference_charge(tariff, found + 1).amount > available


def check_inverse(candidate: Quota) -> None:
    """Search for a tariff, money and cap at which a quota is wrong; AssertionError if there are any."""

    @settings(max_examples=400, database=None, report_multiple_bugs=False)
    @given(TARIFFS, SECONDS, MARKS, CAPS)
    def check(tariff: Tariff, seconds: int, mark: int, cap: int) -> None:
        available = reference_charge(tariff, seconds).amount + mark
        assert_inverse(tariff, available, cap, candidate(tariff, available, cap))

    check()


def test_quota_is_the_exact_inverse_of_charge() -> None:
    check_inverse(quota)


@pytest.mark.parametrize("seconds_off", [-1, 1])
def test_a_quota_one_second_off_is_caught(seconds_off: int) -> None:
    def mutant(tariff: Tariff, available: int, cap: int) -> int:
        found = quota(tariff, available, cap)
        return found + seconds_off if 0 < found < cap else found

    with pytest.raises(AssertionError):
        check_inverse(mutant)


@given(TARIFFS, SECONDS, MARKS)
def test_every_single_quota_below_its_cap_has_no_neighbour_that_is_right(
    tariff: Tariff, seconds: int, mark: int
) -> None:
    available, cap = charge(tariff, seconds).amount + mark, 14_400
    found = quota(tariff, available, cap)
    for neighbour in (found - 1, found + 1) if 0 < found < cap else ():
        with pytest.raises(AssertionError):
            assert_inverse(tariff, available, cap, neighbour)


@given(TARIFFS, st.integers(0, 10**10), st.integers(0, 10**9), CAPS)
def test_more_money_never_buys_less(tariff: Tariff, available: int, more: int, cap: int) -> None:
    assert quota(tariff, available, cap) <= quota(tariff, available + more, cap) <= quota(tariff, None, cap)


@given(TARIFFS, st.integers(1, 400))
def test_a_block_ends_at_the_last_second_billed_the_same(tariff: Tariff, seconds: int) -> None:
    def begun(length: int) -> tuple[bool, int]:
        return length <= tariff.free_seconds, reference_charge(tariff, length).billed_seconds

    end = block_end(tariff, seconds)
    assert end >= seconds
    assert {begun(length) for length in range(seconds, end + 1)} == {begun(seconds)}
    assert begun(end + 1) != begun(seconds)
    assert charge(tariff, end) == charge(tariff, seconds)


@given(TARIFFS, SECONDS)
def test_the_parts_of_an_explained_price_add_up(tariff: Tariff, seconds: int) -> None:
    priced = price(tariff, "441", seconds)
    assert priced.charge == charge(tariff, seconds).amount
    assert priced.connect_fee + sum(block.amount for block in priced.blocks) + priced.rounding == priced.charge
    assert sum(block.seconds for block in priced.blocks) == priced.billed_seconds


@given(TARIFFS, TARIFFS, st.integers(1, 400), st.integers(-200, 200), st.integers(-NANO, NANO))
def test_margin_is_the_fraction_it_stands_for(
    sell: Tariff, buy: Tariff, seconds: int, percent: int, least: int
) -> None:
    income, cost = reference_charge(sell, seconds).amount, reference_charge(buy, seconds).amount
    enough_a_minute = Fraction((income - cost) * 60, seconds) >= least
    enough_in_percent = income - cost >= Fraction(income * percent, 100)
    exempt = (sell.rate, sell.connect_fee, sell.minimum_charge) == (0, 0, 0)
    expected = exempt or (enough_a_minute and enough_in_percent)
    assert margin_holds(sell, buy, seconds, percent * NANO, least) is expected


@given(st.integers(0, 10**12), st.sampled_from(Rounding))
def test_a_duration_is_its_exact_seconds_rounded_once(duration_us: int, rounding: Rounding) -> None:
    assert duration_seconds(duration_us, rounding) == rounded(Fraction(duration_us, 10**6), rounding)


# Decks of few digits and few instants, so that rows nest, follow, overlap and end as often as not.
DIGITS = st.text("019", min_size=1, max_size=5)
NUMBERS = st.one_of(DIGITS, st.text("019", min_size=1, max_size=18))
INSTANTS = st.integers(0, 12)


@st.composite
def decks(draw: st.DrawFn) -> list[RateRow]:
    """Draw the rows of a deck, at most one for each prefix and beginning."""
    keys = draw(st.lists(st.tuples(NUMBERS, INSTANTS), max_size=25, unique=True))
    return [
        RateRow(
            prefix,
            place,
            terms=Terms(effective_from=begins, effective_to=draw(ends_after(begins)), blocked=draw(st.booleans())),
        )
        for place, (prefix, begins) in enumerate(keys)
    ]


def ends_after(begins: int) -> st.SearchStrategy[int]:
    """Return the instants at which a row may end."""
    return st.one_of(st.just(EFFECTIVE_FOREVER), st.integers(begins + 1, 14))


def table_of(rows: Sequence[RateRow], name: str = "t") -> RateTable:
    """Return the table of good rows."""
    table, errors = RateTable.from_rows(rows, table=name, version=1, currency="USD")
    assert errors == []
    assert table is not None
    return table


def reference_match(rows: Sequence[RateRow], number: str, at: int) -> RateRow | None:
    """Return the row of the longest prefix valid at an instant, the latest of them, by looking at all."""
    valid = [
        row for row in rows if number.startswith(row.prefix) and row.terms.effective_from <= at < row.terms.effective_to
    ]
    return max(valid, key=lambda row: (len(row.prefix), row.terms.effective_from), default=None)


@given(decks(), st.lists(NUMBERS, min_size=1, max_size=8), INSTANTS)
def test_match_is_what_looking_at_all_rows_finds(rows: list[RateRow], numbers: list[str], at: int) -> None:
    table = table_of(rows)
    for number in (*numbers, *(row.prefix for row in rows), *(row.prefix[:-1] or "5" for row in rows)):
        row, tariff = reference_match(rows, number, at), table.match(number, at)
        found = None if tariff is None else (tariff.prefix, tariff.rate, tariff.blocked)
        assert found == (None if row is None else (row.prefix, row.rate, row.terms.blocked))


@given(decks(), NUMBERS, INSTANTS, st.integers(0, 4))
def test_tariffs_are_those_met_by_asking_at_every_instant(
    rows: list[RateRow], number: str, start: int, length: int
) -> None:
    met = [reference_match(rows, number, at) for at in range(start, start + length + 1)]
    expected = list(dict.fromkeys(row.rate for row in met if row is not None)) if met[0] is not None else []
    assert [tariff.rate for tariff in table_of(rows).tariffs(number, start, start + length)] == expected


@given(decks(), st.randoms(use_true_random=False), NUMBERS)
def test_the_order_of_rows_never_matters(rows: list[RateRow], generator: Random, number: str) -> None:
    shuffled = list(rows)
    generator.shuffle(shuffled)
    one, other = table_of(rows), table_of(shuffled)
    assert [one.match(number, at) for at in range(14)] == [other.match(number, at) for at in range(14)]


@given(st.lists(decks(), max_size=3), NUMBERS, INSTANTS)
def test_a_plan_takes_the_longest_of_its_tables_and_the_first_of_equals(
    rows: list[list[RateRow]], number: str, at: int
) -> None:
    plan = RatePlan("p", tuple(table_of(each, str(place)) for place, each in enumerate(rows)))
    found = [(reference_match(each, number, at), str(place)) for place, each in enumerate(rows)]
    lengths = {name: len(row.prefix) for row, name in found if row is not None}
    best = [name for name, length in lengths.items() if length == max(lengths.values())]
    assert [tariff.table for tariff in plan.tariffs(number, at, at)] == best[:1]


@given(NUMBERS, NUMBERS)
def test_a_number_lies_in_the_interval_of_a_prefix_if_it_begins_with_it(number: str, prefix: str) -> None:
    start, end = line_interval(prefix)
    assert (start <= line_position(number) < end) is number.startswith(prefix)


@given(decks())
def test_a_deck_written_down_is_read_back(rows: list[RateRow]) -> None:
    lines = ["prefix,rate,effective_from,effective_to,blocked\n"]
    for row in rows:
        begins, ends = row.terms.effective_from, row.terms.effective_to
        until = "" if ends == EFFECTIVE_FOREVER else format_rfc3339(ends)
        lines.append(f"{row.prefix},{format_nano(row.rate)},{format_rfc3339(begins)},{until},{row.terms.blocked}\n")
    found, errors = read_deck("".join(lines), "a.csv")
    assert errors == []
    assert [row[:4] for row in found] == [row[:4] for row in rows]


CELLS = st.one_of(st.text(max_size=9), st.sampled_from(("44", "0.1", "60", "true", "USD", "2026-01-01T00:00:00Z")))


@given(st.lists(st.lists(CELLS, min_size=len(COLUMNS), max_size=len(COLUMNS)), max_size=5))
def test_any_cells_at_all_are_a_row_or_an_error(typed: list[list[str]]) -> None:
    rows, errors = finish_deck([DeckRow("a.csv", line, *cells) for line, cells in enumerate(typed)], "a.csv")
    assert all(error.source == "a.csv" and error.reason for error in errors)
    assert {row.line for row in rows} | {error.line for error in errors} == set(range(len(typed)))
    assert all((row.prefix.isdigit() or not row.prefix) and row.rate >= 0 for row in rows)


@given(st.integers(-UNITS_MAX * NANO, UNITS_MAX * NANO))
def test_money_is_written_and_read_back(nano: int) -> None:
    assert parse_nano(format_nano(nano)) == nano


@given(st.integers(-(10**20), 10**20), st.integers(1, 10**12), st.sampled_from(Rounding))
def test_division_is_the_fraction_rounded_the_same_on_both_sides_of_zero(
    numerator: int, denominator: int, rounding: Rounding
) -> None:
    magnitude = rounded(Fraction(abs(numerator), denominator), rounding)
    assert divide(numerator, denominator, rounding) == (-magnitude if numerator < 0 else magnitude)


@given(st.integers(0, INSTANT_MAX))
def test_an_instant_is_written_and_read_back(instant: int) -> None:
    assert parse_rfc3339(format_rfc3339(instant)) == instant


@given(st.integers(10**15, 10**17), st.integers(-23 * 60, 23 * 60))
def test_an_offset_names_the_same_instant(instant: int, offset_minutes: int) -> None:
    hours, minutes = divmod(abs(offset_minutes), 60)
    sign = "-" if offset_minutes < 0 else "+"
    local = format_rfc3339(instant + offset_minutes * 60_000_000).removesuffix("Z")
    assert parse_rfc3339(f"{local}{sign}{hours:02d}:{minutes:02d}") == instant


def test_the_reference_itself_knows_the_acceptance_vectors() -> None:
    tariff = Tariff("t", 1, "44", "UK", "USD", 6_000_000, first_seconds=30, next_seconds=6)
    assert reference_charge(tariff, 57) == Charge(6_000_000, 60)
    assert reference_charge(replace(tariff, included_seconds=57), 57) == Charge(0, 0)
