"""The rows of a deck in flat arrays, and the offers that point at them: some 50 bytes a row, each text kept once.

A head is the first row of one tier of one version. An offer is what one prefix asks in one window of time: a head, or a
choice of them by band. Offers come in the order of the number line and are indexed by ``prefix_index``.
"""

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from daemon.kernel.instant import Instant
from daemon.rating.deck import RateRow, Terms
from daemon.rating.prefix_index import NO_OFFER, PrefixIndex
from daemon.rating.tariff import NO_RATES, Step
from daemon.rating.versions import Offer, Version


class Choice(NamedTuple):
    """The rows of one offer by band: ``heads`` beside ``bands``; ``other`` is for all other time, NO_RATES for none."""

    bands: tuple[str, ...]
    heads: tuple[int, ...]
    other: int


class Plain(NamedTuple):
    """Rows each of which is an offer by itself; ``windows`` say when, or are none where each is its prefix's only."""

    rows: Sequence[RateRow]
    prefixes: Sequence[str]
    windows: Sequence[tuple[Instant, Instant]]


class Heads:
    """The first row of each tier of each version, in flat arrays; names and terms are kept once each.

    A head with steps names the first of them; the steps of one head lie together.
    """

    __slots__ = (
        "_destination_of", "_destinations", "_known_destinations", "_known_terms", "_terms", "_terms_of", "ladders",
        "rates", "step_from", "step_next", "step_rate", "steps_end", "steps_of",
    )  # fmt: skip

    def __init__(self) -> None:
        """Begin with no row."""
        self.rates = array("q")
        self._terms_of = array("i")
        self._destination_of = array("i")
        self._known_terms: dict[Terms, int] = {}
        self._known_destinations: dict[str, int] = {}
        self._terms: list[Terms] = []
        self._destinations: list[str] = []
        self.steps_of: dict[int, tuple[int, int]] = {}  # head: its first step and the one behind its last
        self.step_from, self.step_rate, self.step_next = array("q"), array("q"), array("q")
        self.ladders: dict[int, tuple[tuple[int, int], ...]] = {}  # head of a version: (tier from, head) of its tiers

    def add(self, row: RateRow) -> int:
        """Take a row, and return its place."""
        self.rates.append(row.rate)
        self._terms_of.append(self._terms_place(row.terms))
        self._destination_of.append(self._destination_place(row.destination))
        return len(self.rates) - 1

    def add_plain(self, rows: Sequence[RateRow]) -> int:
        """Take rows that have neither steps nor tiers, and return the place of the first; the others follow."""
        places = {id(terms): self._terms_place(terms) for terms in distinct_terms(rows)}
        names = {name: self._destination_place(name) for name in {row.destination for row in rows}}
        self.rates.extend([row.rate for row in rows])
        self._terms_of.extend([places[id(row.terms)] for row in rows])
        self._destination_of.extend([names[row.destination] for row in rows])
        return len(self.rates) - len(rows)

    def _terms_place(self, terms: Terms) -> int:
        place = self._known_terms.setdefault(terms, len(self._terms))
        if place == len(self._terms):
            self._terms.append(terms)
        return place

    def _destination_place(self, name: str) -> int:
        place = self._known_destinations.setdefault(name, len(self._destinations))
        if place == len(self._destinations):
            self._destinations.append(name)
        return place

    def close(self) -> None:
        """Give back after the last row what was only needed to build."""
        self._known_terms, self._known_destinations = {}, {}

    def add_version(self, version: Version) -> int:
        """Take a version, and return the place of its head."""
        if version.is_one_row:
            return self.add(version.rows[0])
        tiers: dict[int, list[RateRow]] = {}
        for row in version.rows:
            tiers.setdefault(row.terms.tier_from, []).append(row)
        heads = tuple((tier_from, self._add_tier(rows)) for tier_from, rows in tiers.items())
        if len(heads) > 1:
            self.ladders[heads[0][1]] = heads
        return heads[0][1]

    def _add_tier(self, rows: list[RateRow]) -> int:
        head = self.add(rows[0])
        if len(rows) > 1:
            self.steps_of[head] = (len(self.step_from), len(self.step_from) + len(rows))
            for row in rows:
                self.step_from.append(row.terms.step_from_second)
                self.step_rate.append(row.rate)
                self.step_next.append(row.terms.next_seconds)
        return head

    def terms(self, head: int) -> Terms:
        """Return the terms of a row."""
        return self._terms[self._terms_of[head]]

    def destination(self, head: int) -> str:
        """Return the name of a row's destination."""
        return self._destinations[self._destination_of[head]]

    def steps(self, head: int) -> tuple[Step, ...]:
        """Return the steps of a row: itself where it has no others."""
        if head not in self.steps_of:
            return (Step(0, self.rates[head], self.terms(head).next_seconds),)
        first, end = self.steps_of[head]
        return tuple(Step(self.step_from[n], self.step_rate[n], self.step_next[n]) for n in range(first, end))

    @property
    def all_terms(self) -> list[Terms]:
        """The distinct terms; ``terms_places`` says which are whose."""
        return self._terms

    @property
    def terms_places(self) -> "array[int]":
        """The place among ``all_terms`` of each row's."""
        return self._terms_of

    @property
    def all_destinations(self) -> list[str]:
        """The distinct names of destinations; ``destination_places`` says which are whose."""
        return self._destinations

    @property
    def destination_places(self) -> "array[int]":
        """The place among ``all_destinations`` of each row's."""
        return self._destination_of


class Offers:
    """The offers of one kind of usage: by prefix, by window of time, and where there are bands by band."""

    __slots__ = ("_heads", "_known_windows", "choices", "index", "lengths", "picks", "window_of", "windows")

    def __init__(self, heads: Heads) -> None:
        """Take where the rows go; then ``add`` the offers in the order of the number line, and ``close``."""
        self.windows: list[tuple[Instant, Instant]] = []
        self._known_windows: dict[tuple[Instant, Instant], int] = {}
        self.window_of, self.picks, self.lengths = array("i"), array("i"), array("b")
        self.choices: list[Choice] = []
        self._heads = heads
        self.index = PrefixIndex()

    def add_plain(self, plain: "Plain") -> None:
        """Take rows that are each an offer of their prefix: neither band nor step nor tier."""
        rows, prefixes, windows = plain
        first = self._heads.add_plain(rows)
        if windows:
            self.window_of.extend([self._window(window) for window in windows])
        else:
            places = {
                id(terms): self._window((terms.effective_from, terms.effective_to)) for terms in distinct_terms(rows)
            }
            self.window_of.extend([places[id(row.terms)] for row in rows])
        self.lengths.extend([len(prefix) for prefix in prefixes])
        self.picks.extend(range(first, first + len(rows)))
        if windows:
            deque(map(self.index.add, prefixes), maxlen=0)
        else:
            self.index.add_distinct(prefixes)

    def add(self, offers: Iterable[Offer]) -> None:
        """Take the offers of one prefix."""
        known: dict[int, tuple[int, tuple[RateRow, ...]]] = {}  # by the id of a version's rows: its head, and they
        for offer in offers:
            self._place(offer.prefix, (offer.begins, offer.ends), self._pick(offer, self._heads, known))

    def _place(self, prefix: str, window: tuple[Instant, Instant], pick: int) -> None:
        self.window_of.append(self._window(window))
        self.lengths.append(len(prefix))
        self.picks.append(pick)
        self.index.add(prefix)

    def _window(self, window: tuple[Instant, Instant]) -> int:
        place = self._known_windows.setdefault(window, len(self.windows))
        if place == len(self.windows):
            self.windows.append(window)
        return place

    def close(self) -> None:
        """End after the last offer, and give back what was only needed to build."""
        self.index.close()
        self._known_windows = {}

    def _pick(self, offer: Offer, heads: Heads, known: dict[int, tuple[int, tuple[RateRow, ...]]]) -> int:
        """Return the head of the one version of an offer, or below 0 the place of its choice by band."""
        placed: dict[str, int] = {}
        for version in offer.versions:
            # Windows of one prefix share versions; the rows are kept beside their head, so that no id is used anew.
            if id(version.rows) not in known:
                known[id(version.rows)] = (heads.add_version(version), version.rows)
            placed[version.band] = known[id(version.rows)][0]
        if placed.keys() == {""}:
            return placed[""]
        other = placed.pop("", NO_RATES)
        self.choices.append(Choice(tuple(placed), tuple(placed.values()), other))
        return -len(self.choices)

    def is_valid(self, offer: int, at: Instant) -> bool:
        """Tell whether an offer is in force at an instant."""
        begins, ends = self.windows[self.window_of[offer]]
        return begins <= at < ends

    def lasting(self, number: str, start: Instant, end: Instant) -> int | None:
        """Return the offer of ``find`` at every instant from ``start`` to ``end``, NO_OFFER if there is none then.

        None where it may change meanwhile. Whatever stands behind an offer that is in force throughout has no say.
        """
        index, windows, window_of = self.index, self.windows, self.window_of
        offer = index.best(number)
        while offer != NO_OFFER:
            begins, ends = windows[window_of[offer]]
            if begins <= start and end < ends:
                return offer
            if begins <= end and start < ends:
                return None
            offer = index.next_offers[offer]
        return NO_OFFER

    def find(self, number: str, at: Instant) -> Iterator[int]:
        """Yield the offers in force at an instant whose prefix begins a number, the longest first."""
        index = self.index
        offer = index.best(number)
        while offer != NO_OFFER:
            if self.is_valid(offer, at):
                yield offer
            offer = index.next_offers[offer]


def distinct_terms(rows: Iterable[RateRow]) -> Iterable[Terms]:
    """Return the terms of rows, each object once: equal ones are nearly always one object."""
    return {id(row.terms): row.terms for row in rows}.values()
