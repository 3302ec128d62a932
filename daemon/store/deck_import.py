"""What an import does to a table: rows that are new, ends that are set, and the difference in words. Pure.

A row in force is never altered; an end is never set before now. A row that is not yet in force may be withdrawn: its
end is set to its beginning. Where the whole of what would be there contradicts itself, the deck is refused.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from daemon.charging.ports import StoreError
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant
from daemon.rating.deck import EFFECTIVE_ALWAYS, RateRow, Terms
from daemon.rating.rate_table import RateTable

FALLS_SHOWN = 200  # closed prefixes that are looked up for the shorter prefix which their numbers fall to
ERRORS_SHOWN = 20  # contradictions of a deck that its refusal names


class DeckRefused(StoreError):
    """A deck that cannot be taken; the message says which row and why. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class DeckChange:
    """How to import: ``mode`` replace or merge; ``effective_from`` dates undated rows; ``backdate`` allows the past."""

    mode: str
    effective_from: Instant | None
    who: str
    source: str
    backdate: bool = False


@dataclass(frozen=True, slots=True)
class DeckDifference:
    """Prefixes of each kind, sorted; ``falls`` pairs closed prefixes with the shorter one that takes their numbers.

    ``changed`` differ in something else than the rate; ``in_force`` counts the prefixes in force before.
    """

    table: str
    new: tuple[str, ...] = ()
    increased: tuple[str, ...] = ()
    decreased: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    falls: tuple[tuple[str, str], ...] = ()
    unchanged: int = 0
    in_force: int = 0

    @property
    def is_change(self) -> bool:
        """Tell whether the table differs."""
        return bool(self.new or self.increased or self.decreased or self.changed or self.closed)

    @property
    def closed_or_changed_percent(self) -> int:
        """How much of what was in force is closed or changed, rounded up."""
        touched = len(self.increased) + len(self.decreased) + len(self.changed) + len(self.closed)
        return -(-100 * touched // self.in_force) if self.in_force else 0


class StoredRow(NamedTuple):
    """A row as it was stated, its number in the store, and the end that a later version set, if one did."""

    number: int
    row: RateRow
    ended_at: Instant | None

    @property
    def begins(self) -> Instant:
        """The instant from which it is in force."""
        return self.row.terms.effective_from

    @property
    def ends(self) -> Instant:
        """The instant from which it is in force no more."""
        return self.row.terms.effective_to if self.ended_at is None else min(self.ended_at, self.row.terms.effective_to)

    @property
    def is_withdrawn(self) -> bool:
        """Tell whether it was taken out before it ever was in force."""
        return self.ends <= self.begins

    @property
    def in_force_until_its_end(self) -> RateRow:
        """The row with the end that counts."""
        if self.ended_at is None:
            return self.row
        return self.row._replace(terms=self.row.terms._replace(effective_to=self.ends))


class Ending(NamedTuple):
    """An end that is set to a stored row."""

    number: int
    at: Instant


@dataclass(frozen=True, slots=True)
class DeckPlan:
    """What is written: rows, and ends of rows that are there."""

    difference: DeckDifference
    fresh: tuple[RateRow, ...]
    endings: tuple[Ending, ...]

    @property
    def is_change(self) -> bool:
        """Tell whether anything has to be written."""
        return bool(self.fresh or self.endings)


def stored_row(values: Sequence[Any]) -> StoredRow:
    """Return the row of a SELECT: number, the row's columns in the order of ``values_of``, and its later end."""
    number, prefix, destination, rate, *terms, blocked, ended_at = values
    return StoredRow(number, RateRow(prefix, rate, destination, Terms._make((*terms, bool(blocked)))), ended_at)


def values_of(row: RateRow) -> tuple[object, ...]:
    """Return the columns of a row: prefix, destination, rate, then its terms."""
    return (row.prefix, row.destination, row.rate, *row.terms[:-1], int(row.terms.blocked))


def planned(
    key: Key, stored: Sequence[StoredRow], rows: Sequence[RateRow], change: DeckChange, now: Instant, *, is_first: bool
) -> DeckPlan:
    """Return what an import writes. ``stored``: every row but the withdrawn. Raises DeckRefused."""
    work = _Import(stored, change, now, is_first)
    for row in rows:
        work.take(row)
    if change.mode == "replace":
        work.close_the_rest({row.prefix for row in rows})
    result = work.result()
    table, errors = RateTable.from_rows(
        (row.in_force_until_its_end for row in result), table=key.id, version=0, currency="XXX"
    )
    if table is None:
        raise DeckRefused("; ".join(str(error) for error in errors[:ERRORS_SHOWN]))
    return DeckPlan(work.difference(key, result), tuple(work.fresh), tuple(work.endings.values()))


class _Import:
    """One import under way."""

    def __init__(self, stored: Sequence[StoredRow], change: DeckChange, now: Instant, is_first: bool) -> None:
        self._stored = stored
        self._change = change
        self._now = now
        self._is_first = is_first
        undated = EFFECTIVE_ALWAYS if is_first else now
        self._start = change.effective_from if change.effective_from is not None else undated
        self._of_prefix: dict[str, list[StoredRow]] = {}
        for row in stored:
            self._of_prefix.setdefault(row.row.prefix, []).append(row)
        self._kept: set[int] = set()
        self._closed: set[str] = set()
        self._groups: dict[str, set[str]] = {"new": set(), "increased": set(), "decreased": set(), "changed": set()}
        self.fresh: list[RateRow] = []
        self.endings: dict[int, Ending] = {}

    def take(self, row: RateRow) -> None:
        """Take one stated row: known already, an end of one that is known, or new."""
        dated = row.terms.effective_from != EFFECTIVE_ALWAYS
        begins = row.terms.effective_from if dated else self._start
        known = self._known(row, begins, dated)
        if known is not None:
            self._kept.add(known.number)
            return
        same = next((found for found in self._of_prefix.get(row.prefix, ()) if found.begins == begins), None)
        if same is not None and self._only_ends(same, row):
            self._kept.add(same.number)
            self.endings[same.number] = Ending(same.number, row.terms.effective_to)
            self._groups["changed"].add(row.prefix)
            return
        self._refuse_the_past(row, begins, same)
        if same is not None:
            self.endings[same.number] = Ending(same.number, same.begins)
        self.fresh.append(row._replace(terms=row.terms._replace(effective_from=begins)))
        self._groups[self._group(row, begins)].add(row.prefix)

    def _known(self, row: RateRow, begins: Instant, dated: bool) -> StoredRow | None:
        """Return the stored row that says the same: of that date, or for an undated row whatever is in force then."""
        for found in self._of_prefix.get(row.prefix, ()):
            if found.begins == begins and _same_but_dates(found.row, row) and found.ends == row.terms.effective_to:
                return found
        if dated:
            return None
        current = self._in_force(row.prefix, max(self._now, begins))
        if current is None or not _same_but_dates(current.row, row) or current.ends != row.terms.effective_to:
            return None
        return current

    def _in_force(self, prefix: str, at: Instant) -> StoredRow | None:
        valid = [found for found in self._of_prefix.get(prefix, ()) if found.begins <= at < found.ends]
        return max(valid, key=lambda found: found.begins, default=None)

    def _only_ends(self, same: StoredRow, row: RateRow) -> bool:
        return _same_but_dates(same.row, row) and self._now <= row.terms.effective_to < same.ends

    def _refuse_the_past(self, row: RateRow, begins: Instant, same: StoredRow | None) -> None:
        where = f"{row.source or self._change.source}:{row.line}: prefix {row.prefix}"
        if same is not None and same.begins <= self._now:
            raise DeckRefused(f"{where}: a rate that has been in force is never altered: give a later effective_from")
        if begins < self._now and not self._is_first and not self._change.backdate:
            raise DeckRefused(
                f"{where} would be in force from a date in the past: say --backdate, or give a later effective_from"
            )

    def _group(self, row: RateRow, begins: Instant) -> str:
        earlier = self._in_force(row.prefix, max(self._now, begins))
        if earlier is None:
            return "new"
        if row.rate == earlier.row.rate:
            return "changed"
        return "increased" if row.rate > earlier.row.rate else "decreased"

    def close_the_rest(self, named: set[str]) -> None:
        """End what the file does not say: prefixes that it lacks, and rows that its own supersede."""
        first_fresh: dict[str, Instant] = {}
        for fresh in self.fresh:
            begins = fresh.terms.effective_from
            first_fresh[fresh.prefix] = min(begins, first_fresh.get(fresh.prefix, begins))
        for row in self._stored:
            if row.number in self._kept or row.number in self.endings or row.ends <= self._now:
                continue
            prefix = row.row.prefix
            if prefix not in named:
                self._end(row, max(self._now, self._start))
            elif prefix in first_fresh:
                self._end(row, max(self._now, first_fresh[prefix]))
            elif row.begins > self._now:
                self._end(row, self._now)

    def _end(self, row: StoredRow, at: Instant) -> None:
        at = max(at, row.begins)
        if at >= row.ends:
            return
        self.endings[row.number] = Ending(row.number, at)
        if not any(row.row.prefix in group for group in self._groups.values()):
            self._closed.add(row.row.prefix)

    def result(self) -> list[StoredRow]:
        """Return every row as it will be, without those withdrawn."""
        ended = [
            row._replace(ended_at=self.endings[row.number].at) if row.number in self.endings else row
            for row in self._stored
        ]
        return [row for row in ended if not row.is_withdrawn] + [StoredRow(0, row, None) for row in self.fresh]

    def difference(self, key: Key, result: Iterable[StoredRow]) -> DeckDifference:
        """Return the difference in prefixes."""
        at = max(self._now, self._start)
        left = {row.row.prefix for row in result if row.begins <= at < row.ends}
        closed = sorted(self._closed)
        falls = ((prefix, _shorter(prefix, left)) for prefix in closed[:FALLS_SHOWN])
        in_force = {row.row.prefix for row in self._stored if row.begins <= self._now < row.ends}
        groups = {name: tuple(sorted(prefixes)) for name, prefixes in self._groups.items()}
        return DeckDifference(
            str(key), **groups, closed=tuple(closed), falls=tuple(pair for pair in falls if pair[1]),
            unchanged=len(self._kept), in_force=len(in_force),
        )  # fmt: skip


def _same_but_dates(one: RateRow, other: RateRow) -> bool:
    return (
        one.rate == other.rate
        and one.destination == other.destination
        and _dateless(one.terms) == _dateless(other.terms)
    )


def _dateless(terms: Terms) -> Terms:
    return terms._replace(effective_from=0, effective_to=1)


def _shorter(prefix: str, left: set[str]) -> str:
    return next((prefix[:size] for size in range(len(prefix) - 1, 0, -1) if prefix[:size] in left), "")
