"""The longest prefix of a number is one bisect: nested prefixes flattened into segments of the number line.

A segment names the first offer of its prefix, and each offer the one to try after it: an earlier one of the same
prefix, then the first of the next shorter prefix. So one index serves every instant, and a thousand dates cost nothing.
The empty prefix holds every number. Numbers stand on the line of ``kernel.e164``. A large deck's line is cut into
shelves of four digits, so that a bisect meets some hundred segments and not a million.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from daemon.kernel.e164 import DIGITS_MAX, line_position

NO_OFFER: Final = -1
_LINE_END: Final = 11**DIGITS_MAX
_SHELF: Final = 11 ** (DIGITS_MAX - 4)  # places that share their first four digits
_SHELVED_MIN: Final = 4_096  # segments from which shelves are worth their 60 kB
_SPANS: Final = tuple(11 ** (DIGITS_MAX - length) for length in range(DIGITS_MAX + 1))  # places that a prefix holds


_position = lru_cache(maxsize=64)(line_position)  # numbers; one call asks a table for each level and each carrier


class PrefixIndex:
    """Built of the prefix of each offer: in the order of the number line, outer prefix first, equal ones together."""

    __slots__ = ("_before", "_open", "_shelves", "next_offers", "segment_offers", "segment_starts")

    def __init__(self, prefixes: Iterable[str] = ()) -> None:
        """Sweep the line once over these prefixes; without them ``add`` each, then ``close``."""
        self.segment_starts = array("q", [0])
        self.segment_offers = array("i", [NO_OFFER])
        self.next_offers = array("i")
        self._open: list[tuple[int, int]] = []  # end and first offer of the prefixes around the sweep, outermost first
        self._before: str | None = None
        self._shelves: array[int] | None = None
        for prefix in prefixes:
            self.add(prefix)
        self.close()

    def add(self, prefix: str) -> None:
        """Take the prefix of the next offer."""
        offers = self.next_offers
        if prefix == self._before:
            offers.append(offers[-1])
            offers[-2] = len(offers) - 1
        else:
            self.add_distinct((prefix,))

    def add_distinct(self, prefixes: Sequence[str]) -> None:
        """Take the prefixes of the next offers, which differ from each other and from the one before."""
        starts, segments, around = self.segment_starts, self.segment_offers, self._open
        append_start, append_segment, append_next = starts.append, segments.append, self.next_offers.append
        last = starts[-1]  # a value of our own is read faster than one of the array
        for offer, prefix in enumerate(prefixes, len(self.next_offers)):
            start = line_position(prefix)
            while around and around[-1][0] <= start:  # as _end_before, which is a call for every prefix
                end, _ = around.pop()
                if end == last:
                    segments[-1] = around[-1][1] if around else NO_OFFER
                elif end < start:  # else what begins here replaces it
                    append_start(end)
                    append_segment(around[-1][1] if around else NO_OFFER)
                    last = end
            append_next(around[-1][1] if around else NO_OFFER)
            if last == start:
                segments[-1] = offer
            else:
                append_start(start)
                append_segment(offer)
                last = start
            around.append((start + _SPANS[len(prefix)], offer))
        self._before = prefixes[-1]

    def close(self) -> None:
        """End the sweep; more may follow."""
        if self._open:
            self._end_before(_LINE_END)
            self._before = None
        if len(self.segment_starts) >= _SHELVED_MIN:
            edges = range(0, _LINE_END + _SHELF, _SHELF)
            self._shelves = array("i", (bisect_left(self.segment_starts, edge) for edge in edges))

    def best(self, number: str) -> int:
        """Return the first offer of the longest prefix that begins a number, NO_OFFER if there is none."""
        starts, position = self.segment_starts, _position(number)
        if self._shelves is None:
            return self.segment_offers[bisect_right(starts, position) - 1]
        shelf = position // _SHELF
        return self.segment_offers[bisect_right(starts, position, self._shelves[shelf], self._shelves[shelf + 1]) - 1]

    def candidates(self, number: str) -> Iterator[int]:
        """Yield the offers whose prefix begins a number, in order of precedence."""
        offer = self.best(number)
        while offer != NO_OFFER:
            yield offer
            offer = self.next_offers[offer]

    def _end_before(self, position: int) -> None:
        """End every prefix that ends at or before the position; what follows it belongs to the prefix around it."""
        while self._open and self._open[-1][0] <= position:
            end, _ = self._open.pop()
            if end < _LINE_END:
                self._segment(end, self._open[-1][1] if self._open else NO_OFFER)

    def _segment(self, start: int, offer: int) -> None:
        if self.segment_starts[-1] == start:
            self.segment_offers[-1] = offer
        else:
            self.segment_starts.append(start)
            self.segment_offers.append(offer)
