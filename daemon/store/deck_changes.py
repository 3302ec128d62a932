"""What is to be written of one import or rollback, prefix by prefix, and how that moves each rate. Pure.

A stored version only ever gets an end, not before now; one that is not yet in force is withdrawn by an end at its
beginning. Everything else is a new row.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from daemon.kernel.instant import Instant
from daemon.rating.deck import KNOWN_MAX, RateRow, Terms
from daemon.store.deck_difference import Tally
from daemon.store.deck_versions import CHANGED, RateKey, StoredRow, Version, in_force, move


class Changes:
    """Rows and ends as they come together; rows that begin and end alike share their terms."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.fresh: list[RateRow] = []
        self.endings: dict[int, Instant] = {}
        self._known: dict[tuple[int, Instant, Instant], tuple[Terms, Terms]] = {}

    def end(self, version: Version, at: Instant) -> None:
        """Set the end of a stored version; of two ends the earlier counts."""
        for number in version.numbers:
            self.endings[number] = min(at, self.endings.get(number, at))

    def dated(self, row: RateRow, begins: Instant, ends: Instant) -> RateRow:
        """Return a row in force from an instant until before another."""
        terms = row.terms
        if terms.effective_from == begins and terms.effective_to == ends:
            return row
        place = (id(terms), begins, ends)
        known = self._known.get(place)
        if known is None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            # The terms are kept beside what is made of them: so their id is nobody else's.
            known = self._known[place] = (terms, terms._replace(effective_from=begins, effective_to=ends))
        return RateRow(row.prefix, row.rate, row.destination, known[1], row.source, row.line)

    def after(self, rows: Iterable[StoredRow]) -> list[RateRow]:
        """Return stored rows as they will be, without those withdrawn."""
        found = []
        for number, row in rows:
            begins, ends = row.terms.effective_from, row.terms.effective_to
            at = min(self.endings.get(number, ends), ends)
            if at > begins:
                found.append(self.dated(row, begins, at))
        return found

    def is_ended(self, version: Version) -> bool:
        """Tell whether a stored version gets an end."""
        return any(number in self.endings for number in version.numbers)

    def ends(self, version: Version) -> Instant:
        """Return the end that a stored version will have."""
        return min((self.endings.get(number, version.ends) for number in version.numbers), default=version.ends)


class PrefixChange:
    """What happens to the rates of one prefix: ``there`` are the stored versions of each, earliest first."""

    def __init__(self, prefix: str, there: Mapping[RateKey, Sequence[Version]], changes: Changes, now: Instant) -> None:
        """Begin with no change."""
        self.prefix = prefix
        self.there = there
        self._changes = changes
        self._now = now
        self._fresh: dict[RateKey, list[Version]] = {}
        self._moves: dict[RateKey, list[str]] = {}

    def of(self, key: RateKey) -> Sequence[Version]:
        """Return the stored versions of a rate."""
        return self.there.get(key, ())

    def end(self, version: Version, at: Instant) -> None:
        """Set the end of a stored version, that of one not yet in force at its beginning. It may have ended before."""
        at = max(at, version.begins)
        if at < version.ends:
            self._changes.end(version, at)

    def shorten(self, key: RateKey, version: Version, at: Instant) -> None:
        """Set the end that the deck states for a version."""
        self._changes.end(version, at)
        self._moves.setdefault(key, []).append(CHANGED)

    def add(self, key: RateKey, version: Version, *, moves: bool = True) -> None:
        """Write a version; whether that moves the price, the caller knows."""
        dated = [self._changes.dated(row, version.begins, row.terms.effective_to) for row in version.rows]
        self._changes.fresh += dated
        self._fresh.setdefault(key, []).append(version)
        if moves:
            before = in_force(self.of(key), max(self._now, version.begins))
            self._moves.setdefault(key, []).append(move(before, version))

    def fresh(self, key: RateKey) -> Sequence[Version]:
        """Return the new versions of a rate."""
        return self._fresh.get(key, ())

    def after(self, key: RateKey) -> list[Version]:
        """Return the versions of a rate as they will be."""
        ended = (version._replace(ends=self._changes.ends(version)) for version in self.of(key))
        return [version for version in ended if version.ends > version.begins] + list(self.fresh(key))

    def tell(self, tally: Tally) -> None:
        """Say the difference of the prefix."""
        keys = {**self.there, **self._fresh}.keys()
        for kind in sorted({key.kind for key in keys}):
            alike = [key for key in keys if key.kind == kind]
            versions = [version for key in alike for version in self.of(key)]
            ended = [version for version in versions if self._changes.is_ended(version)]
            tally.in_force += any(version.holds(self._now) for version in versions)
            if not kind:
                tally.surround(self.prefix, [version for key in alike for version in self.after(key)])
            tally.take(
                self.prefix, kind, chain.from_iterable(map(self._moves_of, alike)),
                stays=any(version.ends > self._now and version not in ended for version in versions),
                closed_at=max((self._changes.ends(version) for version in ended), default=self._now),
            )  # fmt: skip

    def _moves_of(self, key: RateKey) -> Iterable[str]:
        """Return how a rate moves; where nothing new is stated, the ends that were set tell."""
        if key in self._moves:
            return self._moves[key]
        return filter(None, (self._move_at_end(key, version) for version in self.of(key)))

    def _move_at_end(self, key: RateKey, version: Version) -> str:
        if not self._changes.is_ended(version):
            return ""
        at = max(self._changes.ends(version), self._now)
        after = in_force(self.after(key), at)
        if in_force(self.of(key), at) is not version or (after is not None and after.says(version)):
            return ""
        return move(version, after)
