"""One deck version, indexed: the longest prefix valid at an instant, then the latest version of it, never the cheapest.

Nested prefixes are flattened into disjoint segments of the number line of ``kernel.e164``: a lookup is one bisect.
A segment names its best row and each row the one to try next (an earlier version of its prefix, then the latest of the
next shorter prefix), so that one index serves all instants and a thousand effective dates cost nothing.
Rows live in flat arrays, some 50 bytes each; a Tariff is built when asked for.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from daemon.kernel.e164 import DIGITS_MAX, digits, line_interval, line_position
from daemon.kernel.instant import Instant
from daemon.kernel.money import DECIMALS_MAX, NANO, UNITS_MAX, Rounding
from daemon.rating.deck import SECONDS_MAX, DeckError, Findings, RateRow, Terms
from daemon.rating.tariff import Tariff

VERSIONS_MAX: Final = 1_000  # rows of one prefix; ours: two decades of weekly prices, and a bound on one lookup
_NONE: Final = -1  # no row


@dataclass(frozen=True, slots=True)
class Policy:
    """What a table says of all its rows; ``override`` is a pattern on a usage record's override value, empty: any."""

    table: str
    version: int
    currency: str
    decimals: int = 4
    rounding: Rounding = Rounding.UP
    duration_rounding: Rounding = Rounding.UP
    name: str = ""
    override: str = ""


class RateTable:
    """The rows of one version of one deck. Build it by ``from_rows``; it never changes afterwards."""

    __slots__ = ("_columns", "_index", "policy")

    def __init__(self, policy: Policy, columns: "_Columns", index: "_Index") -> None:
        self.policy = policy
        self._columns = columns
        self._index = index

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[RateRow],
        *,
        table: str,
        version: int,
        currency: str,
        decimals: int = 4,
        rounding: Rounding = Rounding.UP,
        duration_rounding: Rounding = Rounding.UP,
        name: str = "",
        override: str = "",
    ) -> "tuple[RateTable | None, list[DeckError]]":
        """Return the table, or None and why not: bad values, or two rows for one step of one version of a rate."""
        assert 0 <= decimals <= DECIMALS_MAX, decimals
        policy = Policy(table, version, currency, decimals, rounding, duration_rounding, name, override)
        given = list(rows)
        errors = _row_errors(given, table) or _version_errors(ordered := _in_precedence(given), table)
        return (None, errors) if errors else (cls(policy, _Columns(ordered), _Index(ordered)), [])

    @property
    def id(self) -> str:
        """Return the table's id."""
        return self.policy.table

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._columns.rates)

    def match(self, number: str, at: Instant) -> Tariff | None:
        """Return the tariff in force at an instant for the digits of a number (``kernel.e164.digits``), or None."""
        row = self._index.best(number)
        while row != _NONE and not self._columns.is_valid(row, at):
            row = self._index.next_rows[row]
        return None if row == _NONE else self._columns.tariff(row, number, self.policy)

    def tariffs(self, number: str, start: Instant, end: Instant) -> tuple[Tariff, ...]:
        """Return the tariff in force at ``start``, then each different one that comes into force until ``end``.

        ``end`` is included; empty where none is in force at ``start``, whatever comes later.
        """
        return successive(lambda at: self.match(number, at), start, self.changes(number, start, end))

    def changes(self, number: str, start: Instant, end: Instant) -> set[Instant]:
        """Return the instants in ``(start, end]`` at which some row that fits the number begins or ends."""
        terms = map(self._columns.terms_of, self._index.candidates(number))
        return {at for each in terms for at in (each.effective_from, each.effective_to) if start < at <= end}


def successive(
    match: Callable[[Instant], Tariff | None], start: Instant, changes: Iterable[Instant]
) -> tuple[Tariff, ...]:
    """Return what ``match`` finds at ``start``, then at each change what it had not found before; empty if nothing."""
    first = match(start)
    if first is None:
        return ()
    # A gap between two versions brings no tariff into force: a running call goes on at the one it had.
    later = (tariff for at in sorted(changes) if (tariff := match(at)) is not None)
    return tuple(dict.fromkeys((first, *later)))


def _row_errors(rows: Sequence[RateRow], table: str) -> list[DeckError]:
    findings = Findings(table)
    known: dict[Terms, str] = {}
    for row in rows:
        fault = _row_fault(row) or known.get(row.terms)
        if fault is None:
            fault = known[row.terms] = _terms_fault(row.terms)
        if fault:
            findings.add(DeckError(row.source or table, row.line, "", fault))
    return findings.report()


def _row_fault(row: RateRow) -> str:
    if digits(row.prefix) != row.prefix:
        return f"the prefix {row.prefix!r} is not 1 to {DIGITS_MAX} digits"
    return "" if 0 <= row.rate <= UNITS_MAX * NANO else "the rate is negative or too large"


def _terms_fault(terms: Terms) -> str:
    if not all(0 <= amount <= UNITS_MAX * NANO for amount in (terms.connect_fee, terms.minimum_charge)):
        return "the connect fee or the minimum charge is negative or too large"
    if not all(1 <= length <= SECONDS_MAX for length in (terms.first_seconds, terms.next_seconds)):
        return f"first_seconds and next_seconds are 1 to {SECONDS_MAX}"
    if not all(0 <= length <= SECONDS_MAX for length in (terms.free_seconds, terms.included_seconds)):
        return f"free_seconds and included_seconds are 0 to {SECONDS_MAX}"
    return "" if terms.effective_from < terms.effective_to else "effective_to is not after effective_from"


def _in_precedence(rows: Sequence[RateRow]) -> list[RateRow]:
    """Return the rows by place on the number line (outer prefix first), those of one prefix latest version first."""
    # Two stable sorts by one plain integer each: a million key tuples would cost more than the rows.
    latest_first = sorted(rows, key=lambda row: row.terms.effective_from, reverse=True)
    latest_first.sort(key=lambda row: line_position(row.prefix))
    return latest_first


def _version_errors(ordered: Sequence[RateRow], table: str) -> list[DeckError]:
    findings = Findings(table)
    versions = 1
    for earlier, row in pairwise(ordered):
        versions = versions + 1 if row.prefix == earlier.prefix else 1
        fault = _version_fault(earlier, row, versions)
        if fault:
            findings.add(DeckError(row.source or table, row.line, "", fault))
    return findings.report()


def _version_fault(earlier: RateRow, row: RateRow, versions: int) -> str:
    if versions > VERSIONS_MAX:
        return f"the prefix {row.prefix} has more than {VERSIONS_MAX} rows; take out those long past"
    if versions == 1 or row.terms.effective_from != earlier.terms.effective_from:
        return ""
    where = f"the prefix {row.prefix} has one effective_from in line {earlier.line} and here"
    if row.terms.effective_to != earlier.terms.effective_to:
        return f"{where}, with different effective_to; keep one row"
    return f"{where}: two rows for second 0 of one version; keep one row"


class _Columns:
    """The rows in flat arrays, in order of precedence; names and terms are kept once each."""

    __slots__ = ("_destination_of", "_destinations", "_lengths", "_terms", "_terms_of", "rates")

    def __init__(self, rows: Sequence[RateRow]) -> None:
        destinations: dict[str, int] = {}
        terms: dict[Terms, int] = {}
        self.rates = array("q", (row.rate for row in rows))
        self._lengths = array("b", (len(row.prefix) for row in rows))
        self._destination_of = array("i", (destinations.setdefault(row.destination, len(destinations)) for row in rows))
        self._terms_of = array("i", (terms.setdefault(row.terms, len(terms)) for row in rows))
        self._destinations = tuple(destinations)
        self._terms = tuple(terms)

    def terms_of(self, row: int) -> Terms:
        """Return the terms of a row."""
        return self._terms[self._terms_of[row]]

    def is_valid(self, row: int, at: Instant) -> bool:
        """Tell whether a row is in force at an instant."""
        terms = self._terms[self._terms_of[row]]
        return terms.effective_from <= at < terms.effective_to

    def tariff(self, row: int, number: str, policy: Policy) -> Tariff:
        """Return the tariff of a row for a number that begins with its prefix."""
        terms = self.terms_of(row)
        return Tariff(
            table=policy.table,
            deck_version=policy.version,
            prefix=number[: self._lengths[row]],
            destination=self._destinations[self._destination_of[row]],
            currency=policy.currency,
            rate=self.rates[row],
            connect_fee=terms.connect_fee,
            first_seconds=terms.first_seconds,
            next_seconds=terms.next_seconds,
            free_seconds=terms.free_seconds,
            included_seconds=terms.included_seconds,
            minimum_charge=terms.minimum_charge,
            decimals=policy.decimals,
            rounding=policy.rounding,
            duration_rounding=policy.duration_rounding,
            blocked=terms.blocked,
            rate_type=terms.rate_type,
        )


class _Index:
    """Segments of the number line, each with its best row, and for every row the one to try after it."""

    __slots__ = ("_open", "_segment_rows", "_segment_starts", "next_rows")

    def __init__(self, rows: Sequence[RateRow]) -> None:
        self._segment_starts = array("q", [0])
        self._segment_rows = array("i", [_NONE])
        self.next_rows = array("i")
        self._open: list[tuple[int, int]] = []  # end and first row of the prefixes around the sweep, outermost first
        for row in range(len(rows)):
            self._add(row, rows[row].prefix, row > 0 and rows[row - 1].prefix == rows[row].prefix)
        self._close(11**DIGITS_MAX)

    def best(self, number: str) -> int:
        """Return the latest row of the longest prefix that begins the number, valid or not; -1 if there is none."""
        return self._segment_rows[bisect_right(self._segment_starts, line_position(number)) - 1]

    def candidates(self, number: str) -> Iterator[int]:
        """Yield the rows whose prefix begins the number, in order of precedence."""
        row = self.best(number)
        while row != _NONE:
            yield row
            row = self.next_rows[row]

    def _add(self, row: int, prefix: str, is_earlier_version: bool) -> None:
        if is_earlier_version:
            self.next_rows.append(self.next_rows[-1])
            self.next_rows[-2] = row
            return
        start, end = line_interval(prefix)
        self._close(start)
        self.next_rows.append(self._innermost())
        self._segment(start, row)
        self._open.append((end, row))

    def _close(self, position: int) -> None:
        """End every prefix that ends at or before the position; what follows it belongs to the prefix around it."""
        while self._open and self._open[-1][0] <= position:
            end, _ = self._open.pop()
            self._segment(end, self._innermost())

    def _innermost(self) -> int:
        return self._open[-1][1] if self._open else _NONE

    def _segment(self, start: int, row: int) -> None:
        if self._segment_starts[-1] == start:
            self._segment_rows[-1] = row
        else:
            self._segment_starts.append(start)
            self._segment_rows.append(row)
