"""The longest prefix of a number is one bisect: nested prefixes flattened into segments of the number line.

A segment names the first offer of its prefix, and each offer the one to try after it: an earlier one of the same
prefix, then the first of the next shorter prefix. So one index serves every instant, and a thousand dates cost nothing.
The empty prefix holds every number. Numbers stand on the line of ``kernel.e164``.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

from daemon.kernel.e164 import DIGITS_MAX, line_position

NO_OFFER: Final = -1
_LINE_END: Final = 11**DIGITS_MAX


class PrefixIndex:
    """Built of the prefix of each offer: in the order of the number line, outer prefix first, equal ones together."""

    __slots__ = ("_open", "next_offers", "segment_offers", "segment_starts")

    def __init__(self, prefixes: Iterable[str]) -> None:
        """Sweep the line once."""
        self.segment_starts = array("q", [0])
        self.segment_offers = array("i", [NO_OFFER])
        self.next_offers = array("i")
        self._open: list[tuple[int, int]] = []  # end and first offer of the prefixes around the sweep, outermost first
        before = None
        for offer, prefix in enumerate(prefixes):
            if prefix == before:
                self.next_offers.append(self.next_offers[-1])
                self.next_offers[-2] = offer
            else:
                self._add(offer, prefix)
            before = prefix
        self._close(_LINE_END)

    def best(self, number: str) -> int:
        """Return the first offer of the longest prefix that begins a number, NO_OFFER if there is none."""
        return self.segment_offers[bisect_right(self.segment_starts, line_position(number)) - 1]

    def candidates(self, number: str) -> Iterator[int]:
        """Yield the offers whose prefix begins a number, in order of precedence."""
        offer = self.best(number)
        while offer != NO_OFFER:
            yield offer
            offer = self.next_offers[offer]

    def _add(self, offer: int, prefix: str) -> None:
        start = line_position(prefix)
        self._close(start)
        self.next_offers.append(self._open[-1][1] if self._open else NO_OFFER)
        self._segment(start, offer)
        self._open.append((start + 11 ** (DIGITS_MAX - len(prefix)), offer))

    def _close(self, position: int) -> None:
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
