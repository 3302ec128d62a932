"""In which order carriers are tried: by cost, then by quality, then by weight (SPEC section 3, Margin: LCR).

Cost is what a first minute costs by the dearest of the prices in force within the grant's validity, in one currency.
Equal cost leaves it to the grades of ASR, then of ACD; equal grades to a draw in which a carrier of twice the weight
is first twice as often. The draw is a hash of the call id: whoever asks about the same call gets the same order.
"""

from collections.abc import Iterable
from hashlib import blake2b
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import NamedTuple

from daemon.authorize.catalog import Carrier
from daemon.authorize.quality import ACD_GRADE_MAX, ASR_GRADE_MAX, Quality
from daemon.rating.conversion import Conversion
from daemon.rating.tariff import Tariff

_DRAW_OCTETS = 8  # of a hash; against a sum of weights of some thousands no carrier is favoured
_UNKNOWN = (-ASR_GRADE_MAX, -ACD_GRADE_MAX)  # the benefit of the doubt: it gets calls until it has its sample


class Candidate(NamedTuple):
    """A carrier that has a price. ``cost`` is that of a first minute, exact to NANO-ths of a nano-unit."""

    cost: int
    carrier: Carrier
    tariffs: tuple[Tariff, ...]
    conversions: tuple[Conversion, ...]
    quality: Quality | None = None

    @property
    def rank(self) -> tuple[int, int, int]:
        """What puts it before others: the lower, the earlier."""
        if self.quality is None:
            return self.cost, *_UNKNOWN
        return self.cost, -self.quality.asr_grade, -self.quality.acd_grade


_cost, _rank = itemgetter(0), attrgetter("rank")


def ordered(found: Iterable[Candidate], call: str) -> list[Candidate]:
    """Return carriers in the order in which they are tried for a call; that in which they are given makes no odds."""
    by_cost = sorted(found, key=_cost)
    if len(set(map(_cost, by_cost))) == len(by_cost):
        return by_cost  # nearly always: nothing but the cost is asked
    by_cost.sort(key=lambda each: (each.rank, each.carrier.key))
    placed: list[Candidate] = []
    for _, alike in groupby(by_cost, key=_rank):
        placed += _drawn(list(alike), call)
    return placed


def _drawn(alike: list[Candidate], call: str) -> list[Candidate]:
    """Draw one after the other, each with the odds of its weight among those that are left."""
    placed: list[Candidate] = []
    while len(alike) > 1:
        digest = blake2b(f"{len(placed)}:{call}".encode(), digest_size=_DRAW_OCTETS).digest()
        ticket = int.from_bytes(digest, "big") % sum(each.carrier.weight for each in alike)
        place = 0
        while ticket >= alike[place].carrier.weight:
            ticket -= alike[place].carrier.weight
            place += 1
        placed.append(alike.pop(place))
    return placed + alike
