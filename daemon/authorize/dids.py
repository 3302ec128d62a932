"""DID ranges, each from a date until another: all accounts that claim a number at an instant, found by bisection.

Ranges are cut where any of them begins or ends, so that one look finds the piece that holds a number and all its
claims. Numbers of different lengths never share a range. Two accounts that claim a number are both returned: whoever
asks sees that they are ambiguous.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from daemon.kernel.e164 import DIGITS_MAX
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant

_LENGTH: Final[int] = 10**DIGITS_MAX  # what one digit more adds to the place of a number


class DidRange(NamedTuple):
    """The numbers from ``first`` to ``last``, of one length, an account's from ``begins`` until before ``ends``."""

    first: str
    last: str
    begins: Instant
    ends: Instant
    account: Key

    def holds(self, at: Instant) -> bool:
        """Tell whether it is in force at an instant."""
        return self.begins <= at < self.ends


def place(number: str) -> int:
    """Return where the digits of a number stand: by their length, then by their value."""
    return len(number) * _LENGTH + int(number)


@dataclass(frozen=True, slots=True)
class DidRanges:
    """The places at which pieces begin, in order, and the ranges that hold each piece."""

    starts: tuple[int, ...] = ()
    pieces: tuple[tuple[DidRange, ...], ...] = ()

    @classmethod
    def of(cls, ranges: Iterable[DidRange]) -> "DidRanges":
        """Return ranges, in any order, cut into pieces."""
        begun: dict[int, list[DidRange]] = {}
        ended: dict[int, list[DidRange]] = {}
        for each in sorted(set(ranges)):
            begun.setdefault(place(each.first), []).append(each)
            ended.setdefault(place(each.last) + 1, []).append(each)
        starts = tuple(sorted(begun.keys() | ended.keys()))
        held: dict[DidRange, None] = {}
        pieces = []
        for start in starts:
            for each in ended.get(start, ()):
                del held[each]
            held.update(dict.fromkeys(begun.get(start, ())))
            pieces.append(tuple(held))
        return cls(starts, tuple(pieces))

    def holding(self, number: str, at: Instant) -> tuple[Key, ...]:
        """Return the accounts that claim the digits of a number at an instant."""
        if not self.starts or not number:
            return ()  # no ranges at all, which is common; or a usage without a number
        found = bisect_right(self.starts, place(number)) - 1
        return tuple(each.account for each in self.pieces[found] if each.holds(at)) if found >= 0 else ()

    @property
    def whole(self) -> frozenset[DidRange]:
        """Every range."""
        return frozenset(each for piece in self.pieces for each in piece)


NO_RANGES: Final = DidRanges()
