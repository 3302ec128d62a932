"""Many calls priced at once: the same formula over arrays of int64, to the same nano-unit as ``charge``.

A batch is one search in the number line, one look at windows of time and bands, and the formula of ``rating.formula``.
What arrays cannot hold exactly (an amount or a divisor near 2**63, also by its rate between two currencies) and tiers
by volume are priced by ``charge`` itself, row by row. An array here has one place for each call.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import gcd
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from daemon.kernel.e164 import DIGITS_MAX
from daemon.kernel.money import NANO, NANO_MAX, Rounding, divide, quotient_of
from daemon.rating.charge import charge
from daemon.rating.exchange import Exchange
from daemon.rating.explain import Status
from daemon.rating.formula import Ints, billed_at_one_rate, converted, is_money, stretches
from daemon.rating.rate_plan import MarkedTable, RatePlan
from daemon.rating.rate_table import Usage
from daemon.rating.table_arrays import EXACT_MAX, MALFORMED, NO_PICK, Array, TableArrays, places_of, value_of
from daemon.rating.tariff import NO_RATES, Gap

NUMBER_WIDTH: Final = DIGITS_MAX + 2  # octets of a number's cell: a plus before, and one that shows it is too long
SECONDS_MAX: Final = (
    1_000_000  # units of a call that a batch prices in arrays: eleven days, less than a calendar's page
)
NO_TABLE: Final = -1
ARRAYS_KEPT_MAX: Final = 64  # tables kept as arrays; a plan has a dozen
STATUSES: Final = (Status.RATED, Status.UNRATED, Status.BLOCKED, Status.INVALID)
RATED, UNRATED, BLOCKED, INVALID = range(4)
_NANOSECONDS: Final = 1_000_000_000


class Calls(NamedTuple):
    """Calls of one kind: places on the number line (MALFORMED for none), answers in microseconds, durations.

    A duration is whole seconds (or units) and the nanoseconds beyond them; what is finer counts as one nanosecond.
    """

    positions: Array
    starts: Array
    seconds: Array
    fractions: Array

    def taken(self, places: Any) -> "Calls":
        """Return some of the calls."""
        return Calls(*(each[places] for each in self))


class Prices(NamedTuple):
    """For each call its status (a place of STATUSES), which table priced it by which row, and the price.

    ``tables`` are places among those that took part, NO_TABLE for none; ``heads`` are their rows, NO_RATES where there
    is none, or no rate into the currency that is charged; ``lengths`` are digits of the prefix. Rates and charges are
    nano-units, a charge of the currency that is charged; one above NANO_MAX is invalid.
    """

    statuses: Array
    tables: Array
    heads: Array
    lengths: Array
    rates: Array
    billed: Array
    charges: Array


class Vector:
    """The operations on arrays."""

    maximum = staticmethod(np.maximum)
    minimum = staticmethod(np.minimum)

    @staticmethod
    def any(condition: Any) -> bool:
        """Tell whether a condition holds anywhere."""
        return bool(np.any(condition))


_VECTOR: Final = Vector()


def line_positions(numbers: "npt.NDArray[np.bytes_]") -> Array:
    """Return the places of numbers on the line of ``kernel.e164``, MALFORMED for what is no number.

    ``numbers`` has NUMBER_WIDTH octets a cell. An empty cell stands at 0, before every number.
    """
    assert numbers.dtype == f"S{NUMBER_WIDTH}", numbers.dtype
    columns = np.ascontiguousarray(numbers.view(np.uint8).reshape(len(numbers), NUMBER_WIDTH).T)
    plus = columns[0] == ord("+")
    if plus.any():
        columns[:-1, plus] = columns[1:, plus]
        columns[-1, plus] = 0
    positions = np.zeros(len(numbers), np.int64)
    bad = (plus & (columns[0] == 0)) | (columns[DIGITS_MAX:] != 0).any(axis=0)
    ended = np.zeros(len(numbers), np.bool_)
    for column in columns[:DIGITS_MAX]:
        empty = column == 0
        bad |= ~empty & (ended | (column < ord("0")) | (column > ord("9")))
        ended |= empty
        positions *= 11
        positions += np.where(empty, 0, column.astype(np.int64) - (ord("0") - 1))
    positions[bad] = MALFORMED
    return positions


def number_at(position: int) -> str:
    """Return the number at a place of the line: the inverse of ``kernel.e164.line_position``."""
    digits = []
    for _ in range(DIGITS_MAX):
        position, digit = divmod(position, 11)
        digits.append("" if digit == 0 else str(digit - 1))
    return "".join(reversed(digits))


@dataclass
class BatchPricer:
    """Prices calls by one plan; keeps the arrays of its tables from one batch to the next."""

    plan: RatePlan
    _arrays: "OrderedDict[tuple[int, object], TableArrays]" = field(default_factory=OrderedDict)

    def tables(self, usage: Usage) -> Sequence[TableArrays]:
        """Return the tables that take part in pricing such usage, which ``Prices.tables`` are places among."""
        return [self._arrays_of(table) for table in self.plan.taking_part(usage.override_value)]

    def _arrays_of(self, marked: MarkedTable) -> TableArrays:
        key = (id(marked.table), marked.markups)
        found = self._arrays.get(key)
        if found is None:
            if len(self._arrays) >= ARRAYS_KEPT_MAX:
                self._arrays.popitem(last=False)
            found = self._arrays[key] = TableArrays(marked)
        return found

    def price(self, usage: Usage, calls: Calls, exchange: Exchange | None = None) -> Prices:
        """Return the prices of calls that share what ``usage`` says of them; none is longer than SECONDS_MAX.

        They are charged in the currency of ``exchange``, for None in that of the table.
        """
        tables = self.tables(usage)
        picked = [table.picks(calls.positions, calls.starts, usage.rate_type) for table in tables]
        chosen, lengths = _longest(picked, len(calls.positions))
        statuses = np.where(calls.positions == MALFORMED, INVALID, UNRATED)
        prices = Prices(statuses, chosen, np.full(len(chosen), NO_RATES, np.int64), lengths, *_zeros(3, len(chosen)))
        by_row = np.zeros(len(chosen), np.bool_)
        for place, table in enumerate(tables):
            mine = places_of(chosen == place)
            if mine is not None:
                some, picks = calls.taken(mine), picked[place][0][mine]
                by_row[mine] |= _price(table, usage, some, picks, prices, mine, _ratios(table, exchange, some.starts))
        for row in np.flatnonzero(by_row & (chosen != NO_TABLE)).tolist():
            self._price_row(usage, calls, prices, row, exchange)
        return prices

    def _price_row(self, usage: Usage, calls: Calls, prices: Prices, row: int, exchange: Exchange | None) -> None:
        """Price one call by ``charge``: what arrays cannot hold."""
        seconds, start = int(calls.seconds[row]), int(calls.starts[row])
        usage = usage._replace(horizon_seconds=max(seconds + 1, usage.horizon_seconds))
        found = self.plan.find(number_at(int(calls.positions[row])), start, usage)
        if found is None or isinstance(found, Gap):
            return
        sold = (found,) if exchange is None else exchange.sold(found, start, start)
        if not sold and not found.blocked:
            return  # no rate into its currency: told as unrated already
        found = (*sold, found)[0]
        exact = seconds * _NANOSECONDS + int(calls.fractions[row])
        amount, billed = charge(found, divide(exact, _NANOSECONDS, found.duration_rounding))
        prices.statuses[row] = BLOCKED if found.blocked else INVALID if amount > NANO_MAX else RATED
        prices.rates[row] = found.rate
        is_rated = prices.statuses[row] == RATED
        prices.billed[row], prices.charges[row] = (billed, amount) if is_rated else (0, 0)


def _zeros(arrays: int, count: int) -> tuple[Array, ...]:
    return tuple(np.zeros(count, np.int64) for _ in range(arrays))


def _longest(picked: Sequence[tuple[Array, Array]], count: int) -> tuple[Array, Array]:
    """Return which table has the longest prefix, the first of equals, and that prefix's length."""
    if len(picked) == 1:
        picks, lengths = picked[0]
        return np.where(picks == NO_PICK, NO_TABLE, 0), lengths
    chosen, best = np.full(count, NO_TABLE, np.int64), np.full(count, -1, np.int64)
    for place, (picks, lengths) in enumerate(picked):
        longer = (picks != NO_PICK) & (lengths > best)
        chosen = np.where(longer, place, chosen)
        best = np.where(longer, lengths, best)
    return chosen, best


class _Ratios(NamedTuple):
    """The rate into the charged currency at each answer, as a ratio in lowest terms; 0 / 1 where there is none."""

    numerators: Array
    denominators: Array


def _ratios(table: TableArrays, exchange: Exchange | None, starts: Array) -> _Ratios | None:
    """Return the rates of a table's calls, None where they are charged in its own currency."""
    currency = table.table.policy.currency
    if exchange is None or currency == exchange.target:
        return None
    timeline = exchange.timeline(currency)
    begins, rates = (timeline.starts, timeline.rates) if timeline is not None else ((), ())
    parts = [(each.rate // gcd(each.rate, NANO), NANO // gcd(each.rate, NANO)) if each else (0, 1) for each in rates]
    known = np.array([(0, 1), *parts], np.int64)[np.searchsorted(np.array(begins, np.int64), starts, side="right")]
    return _Ratios(known[:, 0], known[:, 1])


def _price(
    table: TableArrays, usage: Usage, calls: Calls, picks: Array, prices: Prices, mine: Any, ratios: _Ratios | None
) -> npt.NDArray[np.bool_]:
    """Fill in the prices of one table's calls; return which of them only ``charge`` can price."""
    rows, heads = table.rows, table.heads(picks, calls.starts)
    known = np.maximum(heads, 0)
    terms, rates = rows.terms(known), rows.rates[known]
    seconds = _rounded_seconds(calls, table.table.policy.duration_rounding)
    statuses = np.where(heads == NO_RATES, UNRATED, np.where(value_of(rows.blocked, terms) != 0, BLOCKED, RATED))
    if ratios is not None:
        lacking = (ratios.numerators == 0) & (statuses == RATED)
        heads, statuses = np.where(lacking, NO_RATES, heads), np.where(lacking, UNRATED, statuses)
    billed, exact = _exact(table, table.splits(usage.rate_type), picks, heads, terms, rates, seconds, calls.starts)
    charges, unfit = _charged(table, terms, exact, ratios)
    begins, free = value_of(rows.included, terms), value_of(rows.free, terms)
    paid = (statuses == RATED) & (seconds > 0) & is_money(seconds, free, begins, 0)
    prices.statuses[mine] = statuses
    prices.heads[mine] = heads
    prices.rates[mine] = np.where(heads == NO_RATES, 0, rates)
    prices.billed[mine] = np.where(paid, billed, 0)
    prices.charges[mine] = np.where(paid, charges, 0)
    return table.has_tiers(picks, heads) | _is_too_large(table, terms, seconds) | unfit


def _exact(
    table: TableArrays,
    split: bool,
    picks: Array,
    heads: Array,
    terms: Array,
    rates: Array,
    seconds: Array,
    starts: Array,
) -> tuple[Array, Array]:
    """Return the units billed and the exact price of each call in ``per``-ths of nano-units, as if all were paid."""
    rows = table.rows
    begins, first = value_of(rows.included, terms), value_of(rows.first, terms)
    billed = billed_at_one_rate(_VECTOR, seconds - begins, first, value_of(rows.following, terms))
    amounts = billed * rates
    changing = places_of(table.changing(picks, heads, split=split))
    if changing is not None:
        some = [each if isinstance(each, int) else each[changing] for each in (begins, first)]
        schedule = table.schedule(picks[changing], heads[changing], starts[changing], split=split)
        billed[changing], amounts[changing] = _summed(schedule, some[0], some[1], seconds[changing])
    per = value_of(rows.per, terms)
    return billed, _VECTOR.maximum(per * value_of(rows.fee, terms) + amounts, per * value_of(rows.minimum, terms))


def _charged(
    table: TableArrays, terms: Array, exact: Array, ratios: _Ratios | None
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return exact prices converted and rounded, and which of them are too large for that."""
    rows, rounding = table.rows, table.table.policy.rounding
    per = value_of(rows.per, terms) * rows.step
    if ratios is None:
        return quotient_of(exact, per, rounding) * rows.step, np.zeros(len(exact), np.bool_)
    numerators, denominators = ratios
    unfit = (exact > EXACT_MAX // np.maximum(numerators, 1)) | (per > EXACT_MAX // denominators)
    exact, per = converted(exact, per, np.where(unfit, 0, numerators), np.where(unfit, 1, denominators))
    return quotient_of(exact, per, rounding) * rows.step, unfit


def _summed(schedule: Any, begins: Ints, first: Ints, seconds: Array) -> tuple[Array, Array]:
    billed, amounts = _zeros(2, len(seconds))
    for _, length, blocks, rate, _ in stretches(_VECTOR, schedule, begins + 0 * seconds, first, seconds):
        billed += blocks * length
        amounts += blocks * length * rate
    return billed, amounts


def _rounded_seconds(calls: Calls, rounding: Rounding) -> Array:
    """Return durations in whole seconds, rounded once; half a second is half of a thousand million nanoseconds."""
    if rounding is Rounding.DOWN:
        return calls.seconds
    least = 1 if rounding is Rounding.UP else _NANOSECONDS // 2
    return calls.seconds + (calls.fractions >= least)


def _is_too_large(table: TableArrays, terms: Array, seconds: Array) -> npt.NDArray[np.bool_]:
    """Tell which amounts might not fit: by their terms, or by the dearest rate and the longest block of the table."""
    rows = table.rows
    longest = (EXACT_MAX - rows.fixed_max) // max(rows.rate_max, 1) - rows.block_max
    too_large: npt.NDArray[np.bool_] = (value_of(rows.by_charge, terms) != 0) | (seconds > longest)
    return too_large
