"""Back to what a version of a deck said: a new version that makes the prices from now on those of that one. Pure.

What came later ends now. Where that is not enough, because a later version ended what is wanted, the wanted prices are
written anew from now on. What was in force until now stays as it is.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Final, NamedTuple

from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant
from daemon.rating.deck import RateRow
from daemon.rating.rate_table import Policy, faults_of
from daemon.store.deck_changes import Changes, PrefixChange
from daemon.store.deck_difference import Tally
from daemon.store.deck_import import DeckPlan, DeckRefused, Ending, refusal_of
from daemon.store.deck_versions import RateKey, StoredRow, Version, in_force, stored_versions

ALL: Final = -1


class DatedRow(NamedTuple):
    """A stored row as it counts now, and the end that it had when the wanted version was the newest (None: no row)."""

    stored: StoredRow
    then: Instant | None


class Window(NamedTuple):
    """What a rate asks from an instant until before another."""

    begins: Instant
    ends: Instant
    version: Version

    def is_like(self, other: "Window") -> bool:
        """Tell whether both ask the same at the same time."""
        return self[:2] == other[:2] and self.version.says(other.version)


def rolled_back(key: Key, rows: Iterable[DatedRow], now: Instant, policy: Policy) -> DeckPlan:
    """Return what a rollback writes; the rows come ordered by prefix, with those that were withdrawn.

    Raises DeckRefused where the table's bands, rate types or tiers are not what they were.
    """
    changes, tally = Changes(), Tally()
    errors = faults_of(policy, _result(rows, changes, tally, now, policy))
    if errors:
        raise DeckRefused(*refusal_of(errors, len(errors)))
    endings = tuple(Ending(number, at) for number, at in changes.endings.items())
    return DeckPlan(tally.difference(key), tuple(changes.fresh), endings)


def _result(
    rows: Iterable[DatedRow], changes: Changes, tally: Tally, now: Instant, policy: Policy
) -> Iterator[RateRow]:
    for prefix, group in groupby(rows, lambda dated: dated.stored.row.prefix):
        members = list(group)
        there = [dated.stored for dated in members if _is_there(dated.stored.row)]
        begun = len(changes.fresh)
        change = PrefixChange(prefix, stored_versions(there, policy), changes, now)
        if any(dated.then != dated.stored.row.terms.effective_to for dated in members):
            wanted = stored_versions(_as_they_were(members, changes), policy)
            for key in {**change.there, **wanted}:
                _bring_back(change, key, wanted.get(key, []), changes, now)
        change.tell(tally)
        yield from changes.after(there)
        yield from changes.fresh[begun:]


def _is_there(row: RateRow) -> bool:
    return row.terms.effective_to > row.terms.effective_from


def _as_they_were(rows: Iterable[DatedRow], changes: Changes) -> Iterator[StoredRow]:
    for (number, row), then in rows:
        if then is not None and then > row.terms.effective_from:
            yield StoredRow(number, changes.dated(row, row.terms.effective_from, then))


def _bring_back(change: PrefixChange, key: RateKey, wanted: Sequence[Version], changes: Changes, now: Instant) -> None:
    target = windows(wanted, now)
    if _same(target, windows(change.of(key), now)) == ALL:
        return
    known = {version.numbers for version in wanted}
    for version in change.of(key):
        if version.numbers not in known:
            change.end(version, now)
    present = windows(change.after(key), now)
    same = _same(target, present)
    if same == ALL:
        return
    differs = min(found[same].begins for found in (target, present) if same < len(found))
    for version in change.of(key):
        change.end(version, differs)
    for begins, ends, version in target[same:]:
        before = in_force(change.of(key), begins)
        rows = tuple(changes.dated(row, begins, ends) for row in version.rows)
        change.add(key, Version(rows, begins, ends), moves=before is None or not before.says(version))


def _same(target: Sequence[Window], present: Sequence[Window]) -> int:
    """Return how many windows are alike before the first that differs, ALL where none does."""
    for place, (one, other) in enumerate(zip(target, present, strict=False)):
        if not one.is_like(other):
            return place
    return ALL if len(target) == len(present) else min(len(target), len(present))


def windows(versions: Sequence[Version], now: Instant) -> list[Window]:
    """Return what the versions of one rate ask from an instant on; neighbours that ask the same are one."""
    edges = sorted({now, *(edge for version in versions for edge in version[1:3] if edge > now)})
    found: list[Window] = []
    for begins, ends in pairwise(edges):
        version = in_force(versions, begins)
        if version is None:
            continue
        if found and found[-1].ends == begins and found[-1].version.says(version):
            found[-1] = found[-1]._replace(ends=ends)
        else:
            found.append(Window(begins, ends, version))
    return found
