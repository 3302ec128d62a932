"""What an import changes, in prefixes: new, dearer, cheaper, otherwise changed, closed, and whose numbers fall where.

A prefix has one kind: its bands, steps and tiers moved the same way or not at all, else it is changed. What is no call
is named with its rate type, and counts for itself. All counts are of prefixes, never of rows, and add up to those that
the table has, in force or scheduled, before or after. Pure.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant
from daemon.store.deck_versions import CHANGED, CLOSED, NEW, Prices, Version

FALLS_MAX: Final = 10_000  # closed prefixes that are paired with the shorter one; the rest is counted
PRICES_MAX: Final = 10_000  # prefixes of one kind whose prices are told; the rest is counted
KINDS: Final = ("new", "increased", "decreased", "changed", "closed")


@dataclass(frozen=True, slots=True)
class DeckDifference:
    """Prefixes of each kind, sorted; ``falls`` pairs closed prefixes with the shorter one that takes their numbers.

    ``changed`` differ in something else than the rate, or in several ways; ``falls_beyond`` counts what ``falls``
    leaves out; ``unchanged`` counts prefixes that keep their price, stated or not; ``in_force`` those in force before,
    ``scheduled`` those that were not, and would have come into force later. ``prices``: of what is dearer, cheaper,
    changed or closed, where the first rate that moves changes; ``prices_beyond`` counts those that it leaves out.
    """

    table: str
    new: tuple[str, ...] = ()
    increased: tuple[str, ...] = ()
    decreased: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    falls: tuple[tuple[str, str], ...] = ()
    falls_beyond: int = 0
    unchanged: int = 0
    in_force: int = 0
    scheduled: int = 0
    prices: Mapping[str, Prices] = field(default_factory=dict)
    prices_beyond: int = 0

    @property
    def is_change(self) -> bool:
        """Tell whether the table differs."""
        return bool(self.new or self.increased or self.decreased or self.changed or self.closed)

    @property
    def closed_or_changed_percent(self) -> int:
        """How much of what was in force or scheduled is closed or changed, rounded up."""
        touched = len(self.increased) + len(self.decreased) + len(self.changed) + len(self.closed)
        return -(-100 * touched // max(self.in_force + self.scheduled, 1))


class Tally:
    """Takes the prefixes in ascending order, and says the difference at the end."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._found: dict[str, list[str]] = {kind: [] for kind in KINDS}
        self._falls: list[tuple[str, str]] = []
        self._beyond = 0
        self._prices: dict[str, Prices] = {}
        self._prices_beyond = 0
        self._around: list[tuple[str, Sequence[Version]]] = []  # prefixes of calls that begin the last, with versions
        self.unchanged = 0
        self.in_force = 0
        self.scheduled = 0

    def count(self, versions: Sequence[Version], now: Instant) -> bool:
        """Count a prefix by what was stored of it; tell whether it was in force, or is to come into force."""
        if any(version.holds(now) for version in versions):
            self.in_force += 1
            return True
        is_scheduled = any(version.ends > now for version in versions)
        self.scheduled += is_scheduled
        return is_scheduled

    def surround(self, prefix: str, versions: Sequence[Version]) -> None:
        """Take what a prefix asks for calls afterwards: numbers of longer ones may fall to it."""
        while self._around and not prefix.startswith(self._around[-1][0]):
            self._around.pop()
        self._around.append((prefix, versions))

    def begin(self, prefix: str) -> None:
        """Take a prefix of calls that was not there."""
        self._found[NEW].append(prefix)

    def take(
        self, prefix: str, kind: str, moves: Iterable[str], *, prices: Callable[[], Prices], is_there: bool,
        stays: bool, closed_at: Instant,
    ) -> None:  # fmt: skip
        """Take how the rates of a prefix and kind moved.

        ``prices`` is asked where it moved; ``is_there``: it has a price from now on, before or after; ``stays``:
        something of it goes on untouched.
        """
        ways = set(moves)
        if not ways:
            self.unchanged += is_there
            return
        how = ways.pop() if len(ways) == 1 else CHANGED
        if how in (NEW, CLOSED) and stays:
            how = CHANGED
        name = " ".join(filter(None, (prefix, kind)))
        self._found[how].append(name)
        if how != NEW and len(self._found[how]) <= PRICES_MAX:
            self._prices[name] = prices()
        elif how != NEW:
            self._prices_beyond += 1
        if how == CLOSED and not kind:
            self._fall(prefix, closed_at)

    def _fall(self, prefix: str, at: Instant) -> None:
        """Note the shorter prefix that takes the numbers of one closed from an instant."""
        for shorter, versions in reversed(self._around):
            if shorter != prefix and prefix.startswith(shorter) and any(version.holds(at) for version in versions):
                if len(self._falls) < FALLS_MAX:
                    self._falls.append((prefix, shorter))
                else:
                    self._beyond += 1
                return

    def difference(self, key: Key) -> DeckDifference:
        """Return the difference."""
        groups = {kind: tuple(sorted(names)) for kind, names in self._found.items()}
        return DeckDifference(
            str(key), **groups, falls=tuple(self._falls), falls_beyond=self._beyond, unchanged=self.unchanged,
            in_force=self.in_force, scheduled=self.scheduled, prices=self._prices, prices_beyond=self._prices_beyond,
        )  # fmt: skip
