"""What an import does to a table: rows that are new, ends that are set, and the difference in words. Pure.

Versions of one rate stand for themselves: one band's never ends another's. A version that was in force is never
altered, and an end is never set before now; one that is not yet in force may be withdrawn. Prefix by prefix, what is
stored meets what is stated. Where what would be there contradicts itself, the deck is refused.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

from daemon.charging.ports import StoreError
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant
from daemon.rating.deck import EFFECTIVE_ALWAYS, RateRow
from daemon.rating.rate_table import Policy, faults_of
from daemon.rating.versions import is_plain
from daemon.store.deck_changes import Changes, PrefixChange
from daemon.store.deck_difference import DeckDifference, Tally
from daemon.store.deck_versions import (
    CLOSED,
    RateKey,
    StoredRow,
    Version,
    key_of,
    move_of_rate,
    prices_of,
    same_but_dates,
    stated_version,
    stored_versions,
)

__all__ = ["DeckChange", "DeckDifference", "DeckPlan", "DeckRefused", "Ending", "planned"]

ERRORS_SHOWN: Final = 20  # contradictions of a deck that its refusal names
REFUSALS_KEPT: Final = 1_000  # refused rows that are kept to name the first of them; the rest is counted
REPLACE: Final = "replace"  # the mode that closes what the file does not name
_prefix = attrgetter("prefix")


class DeckRefused(StoreError):
    """A deck that cannot be taken; ``faults`` say which rows and why. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class DeckChange:
    """How to import: ``mode`` replace or merge; ``effective_from`` dates undated rows; ``backdate`` allows the past.

    ``reason`` says why, where somebody was asked.
    """

    mode: str
    effective_from: Instant | None
    who: str
    source: str
    backdate: bool = False
    reason: str = ""


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

    @property
    def begins(self) -> Instant:
        """The instant from which it changes a price."""
        dates = (row.terms.effective_from for row in self.fresh)
        return min((*dates, *(ending.at for ending in self.endings)), default=EFFECTIVE_ALWAYS)


def planned(
    key: Key, stored: Iterable[StoredRow], rows: Sequence[RateRow], change: DeckChange, now: Instant, *,
    is_first: bool, policy: Policy,
) -> DeckPlan:  # fmt: skip
    """Return what an import writes. Raises DeckRefused.

    ``stored``: every row but the withdrawn, by prefix; each is looked at once. ``policy`` is the table's.
    """
    work = _Import(change, now, is_first, policy)
    errors = faults_of(policy, work.result(stored, sorted(rows, key=_prefix)))
    if work.refusals:
        raise DeckRefused(*refusal_of([reason for _, reason in sorted(work.refusals)], work.refused))
    if errors:
        raise DeckRefused(*refusal_of(errors, len(errors)))
    endings = tuple(Ending(number, at) for number, at in work.changes.endings.items())
    return DeckPlan(work.tally.difference(key), tuple(work.changes.fresh), endings)


def refusal_of(reasons: Sequence[object], count: int) -> tuple[str, ...]:
    """Return the first reasons why a deck cannot be taken, and how many more there are of ``count``."""
    beyond = count - ERRORS_SHOWN
    more = [f"and {beyond} more"] if beyond > 0 else []
    return (*map(str, reasons[:ERRORS_SHOWN]), *more)


def by_prefix(
    stored: Iterable[StoredRow], rows: Iterable[RateRow]
) -> Iterator[tuple[str, list[StoredRow], list[RateRow]]]:
    """Yield what is stored and what is stated of each prefix; both come ordered by it."""
    theirs, ours = groupby(stored, lambda found: found.row.prefix), groupby(rows, _prefix)
    one, other = next(theirs, None), next(ours, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[0] < other[0]):
            assert one is not None, other
            yield one[0], list(one[1]), []
            one = next(theirs, None)
        elif one is None or other[0] < one[0]:
            yield other[0], [], list(other[1])
            other = next(ours, None)
        else:
            yield one[0], list(one[1]), list(other[1])
            one, other = next(theirs, None), next(ours, None)


class _Import:
    """One import under way."""

    def __init__(self, change: DeckChange, now: Instant, is_first: bool, policy: Policy) -> None:
        self.change = change
        self.now = now
        self.policy = policy
        self.start = EFFECTIVE_ALWAYS if is_first else now  # of undated rows
        if change.effective_from is not None:
            self.start = change.effective_from
        self.is_first = is_first
        self.past_allowed = is_first or change.backdate
        self.changes = Changes()
        self.tally = Tally()
        self.refusals: list[tuple[int, str]] = []  # line and reason
        self.refused = 0

    def result(self, stored: Iterable[StoredRow], rows: Iterable[RateRow]) -> Iterator[RateRow]:
        """Yield every row as it will be, by prefix; the work is done when all were taken."""
        fresh = self.changes.fresh
        for prefix, there, stated in by_prefix(stored, rows):
            if self._is_untouched(there, stated):
                self._keep(prefix, there)
                yield from (row for _, row in there)
                continue
            begun = len(fresh)
            if not there and len(stated) == 1 and self._begins_plainly(stated[0]):
                self._begin(stated[0])
            elif self._moves_plainly(there, stated):
                self._move(there[0], stated)
                yield from self.changes.after(there)
            else:
                change = PrefixChange(prefix, stored_versions(there, self.policy), self.changes, self.now)
                _Stated(self, change).take(stated)
                yield from self.changes.after(there)
            yield from fresh[begun:]

    def _is_untouched(self, there: Sequence[StoredRow], stated: Sequence[RateRow]) -> bool:
        """Tell whether a prefix stays as it is, in the two cases that nearly all prefixes are."""
        if not all(row.prefix and is_plain(row.terms) for _, row in there):
            return False
        if not stated:
            return self.change.mode != REPLACE
        if len(there) != 1 or len(stated) != 1 or stated[0].closes:
            return False
        found, row = there[0].row, stated[0]
        begins, found_begins = row.terms.effective_from or self.start, found.terms.effective_from
        is_same = found_begins == begins or (is_undated(row) and found_begins <= max(self.now, begins))
        return is_same and found.terms.effective_to == row.terms.effective_to and same_but_dates(found, row)

    def _keep(self, prefix: str, there: Sequence[StoredRow]) -> None:
        versions = [Version((row,), row.terms.effective_from, row.terms.effective_to) for _, row in there]
        self.tally.unchanged += self.tally.count(versions, self.now)
        self.tally.surround(prefix, versions)

    def _begins_plainly(self, row: RateRow) -> bool:
        """Tell whether a row is a new prefix that needs no thought: most rows of a first deck are."""
        begins = row.terms.effective_from or self.start
        return is_plain(row.terms) and bool(row.prefix) and not row.closes and (self.past_allowed or begins >= self.now)

    def _begin(self, row: RateRow) -> None:
        ends = row.terms.effective_to
        begins = row.terms.effective_from or self.start
        self.changes.fresh.append(self.changes.dated(row, begins, ends))
        self.tally.begin(row.prefix)
        if not self.is_first:  # else nothing can be closed and fall to it
            self.tally.surround(row.prefix, (Version((row,), begins, ends),))

    def _moves_plainly(self, there: Sequence[StoredRow], stated: Sequence[RateRow]) -> bool:
        """Tell whether the one version of a prefix, in force, gives way to a new price, or is closed without one."""
        if len(there) != 1 or len(stated) > 1 or not is_plain(there[0].row.terms) or not there[0].row.prefix:
            return False
        terms = there[0].row.terms
        if not stated:
            at = max(self.now, self.start)
            return self.change.mode == REPLACE and terms.effective_from <= self.now and at < terms.effective_to
        begins = stated[0].terms.effective_from or self.start
        return (
            is_plain(stated[0].terms) and not stated[0].closes and terms.effective_from <= self.now <= begins
            and terms.effective_from < begins < terms.effective_to
            and not (stated[0].terms.effective_to == terms.effective_to and same_but_dates(there[0].row, stated[0]))
        )  # fmt: skip

    def _move(self, stored: StoredRow, stated: Sequence[RateRow]) -> None:
        """End the version of a prefix where the deck replaces, and begin the price that is stated, if one is."""
        found, prefix = stored.row, stored.row.prefix
        before = Version((found,), found.terms.effective_from, found.terms.effective_to, (stored.number,))
        at = max(self.now, self.start)
        versions: list[Version] = []
        moved = CLOSED
        told = before
        if stated:
            at, ends = stated[0].terms.effective_from or self.start, stated[0].terms.effective_to
            after = Version(tuple(stated), at, ends)
            self.changes.fresh.append(self.changes.dated(stated[0], at, ends))
            versions.append(after)
            moved = move_of_rate(found.rate, stated[0].rate)
        if self.change.mode == REPLACE:
            self.changes.end(before, at)
            before = before._replace(ends=at)
        self.tally.in_force += 1
        self.tally.surround(prefix, [before, *versions])
        after_it = versions[0] if versions else None
        self.tally.take(
            prefix, "", (moved,), prices=lambda: prices_of(told, after_it), is_there=True, stays=False, closed_at=at
        )

    def refuse(self, row: RateRow, reason: str) -> None:
        """Note why a row cannot be taken."""
        self.refused += 1
        named = f"prefix {row.prefix}" if row.prefix else f"rate type {row.terms.rate_type}"
        if len(self.refusals) < REFUSALS_KEPT:
            self.refusals.append((row.line, f"{row.source or self.change.source}:{row.line}: {named}{reason}"))


class _Stated:
    """What a deck says of one prefix."""

    def __init__(self, work: _Import, change: PrefixChange) -> None:
        self._work = work
        self._change = change
        self._dates: dict[RateKey, set[Instant]] = {}  # from which the deck states versions
        self._named: dict[RateKey, list[Version]] = {}  # what is stored already, and what is new

    def take(self, rows: Iterable[RateRow]) -> None:
        """Take all rows of the prefix."""
        groups: dict[tuple[RateKey, Instant, bool], list[RateRow]] = {}
        closing = []
        for row in rows:
            if row.closes:
                closing.append(row)
                continue
            key, is_dated = key_of(row, self._work.policy), not is_undated(row)
            begins = row.terms.effective_from if is_dated else self._work.start
            groups.setdefault((key, begins, is_dated), []).append(row)
            self._dates.setdefault(key, set()).update((begins,) if is_dated else ())
        for (key, begins, is_dated), members in groups.items():
            self._state(key, stated_version(members, begins, is_dated))
        for row in closing:
            self._close(row)
        if self._work.change.mode == REPLACE:
            self._close_the_rest()
        self._change.tell(self._work.tally)

    def _state(self, key: RateKey, version: Version) -> None:
        """Take one stated version: known already, an end of one that is known, or new."""
        is_even = all(row.terms.effective_to == version.ends for row in version.rows)  # else it is refused as it is
        known = self._known(key, version) if is_even else None
        same = next((found for found in self._change.of(key) if found.begins == version.begins), None)
        named = self._named.setdefault(key, [])
        if known is not None:
            named.append(known)
        elif same is not None and is_even and same.says(version) and self._work.now <= version.ends < same.ends:
            named.append(same)
            self._change.shorten(key, same, version.ends)
        elif not self._is_past(version, same):
            named.append(version)
            if same is not None:
                self._change.end(same, same.begins)
            self._change.add(key, version)

    def _known(self, key: RateKey, version: Version) -> Version | None:
        """Return the stored version that says the same: of that date, or for an undated one what is in force then.

        What hides it counts only where the deck does not state that too: a promotion of the same deck.
        """
        there = self._change.of(key)
        alike = [found for found in there if found.ends == version.ends and found.says(version)]
        for found in alike:
            if found.begins == version.begins:
                return found
        at = max(self._work.now, version.begins)
        open_then = [] if version.is_dated else [found for found in alike if found.begins <= at]
        if not open_then:
            return None
        found = max(open_then, key=lambda found: found.begins)
        hides = (later for later in there if later.begins > found.begins and later.holds(at))
        return found if all(later.begins in self._dates[key] for later in hides) else None

    def _is_past(self, version: Version, same: Version | None) -> bool:
        if same is not None and same.begins <= self._work.now:
            self._work.refuse(
                version.rows[0], ": a rate that has been in force is never altered: give a later effective_from"
            )
            return True
        if version.begins < self._work.now and not self._work.past_allowed:
            self._work.refuse(
                version.rows[0],
                " would be in force from a date in the past: say --backdate, or give a later effective_from",
            )
            return True
        return False

    def _close(self, row: RateRow) -> None:
        """End what a closing row names: one band of a prefix, or all of it."""
        work, (kind, band) = self._work, key_of(row, self._work.policy)
        at = max(work.now, work.start) if is_undated(row) else row.terms.effective_from
        keys = [key for key in self._change.there if key.kind == kind and band in ("", key.band)]
        named = [version for key, found in self._named.items() if key.kind == kind and band in ("", key.band)
                 for version in found]  # fmt: skip
        closed = [version for key in keys for version in self._change.of(key)
                  if version.ends > at and version not in named]  # fmt: skip
        if at < work.now:
            work.refuse(row, " would end at a date in the past: an end is never set before now")
        elif any(version.begins < at < version.ends for version in named):
            work.refuse(row, " is closed here and has a price in the same deck: keep one, or give the price its end")
        elif not closed:
            work.refuse(row, " has nothing in force that this row could close: take the row out, or mend its prefix")
        for version in closed:
            self._change.end(version, at)

    def _close_the_rest(self) -> None:
        """End every version that the deck does not name: of a rate that it lacks now, else from where it states one."""
        for key, there in self._change.there.items():
            named = self._named.get(key, [])
            begins = min((version.begins for version in named), default=self._work.start)
            for version in there:
                at = max(self._work.now, begins, version.begins)
                if version in named or self._work.changes.is_ended(version):
                    continue  # a row that closes says itself when
                if at < version.ends and not _is_hidden(version, at, named):
                    self._change.end(version, at)


def is_undated(row: RateRow) -> bool:
    """Tell whether a row leaves its effective_from to the import."""
    return row.terms.effective_from == EFFECTIVE_ALWAYS


def _is_hidden(version: Version, at: Instant, named: Iterable[Version]) -> bool:
    """Tell whether a stored version of the deck's hides another from an instant on, for as long as that is open."""
    return any(later.numbers and version.begins < later.begins <= at and later.ends >= version.ends for later in named)
