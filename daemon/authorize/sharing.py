"""When several calls share what money is left: the one instant at which all of them end.

It is the latest at which the sum of what they hold still fits: each by its own tariff, as a grant holds it, whole.
A block that a call has begun is paid: it ends with that block, though others end before. What a call has used, and what
units of a bundle pay for it, is its own and no share. Pure: nothing is taken from a call here, only counted.
"""

from collections.abc import Sequence
from typing import NamedTuple

from daemon.authorize.decision import Level
from daemon.authorize.duration import held_for
from daemon.kernel.instant import SECOND, Instant
from daemon.rating.charge import block_end, first_paid_second


class Share(NamedTuple):
    """One call at the level whose money is shared; its seconds count from ``begins``.

    ``least`` seconds it keeps whatever happens, ``most`` it gets at most: other limits stop it there. ``units`` of a
    bundle are held for it already.
    """

    level: Level
    begins: Instant
    least: int
    most: int
    units: int = 0

    def seconds(self, end: Instant) -> int:
        """Return the whole seconds that the call has had at an instant, within its limits."""
        return max(self.least, min((end - self.begins) // SECOND, self.most))

    def held(self, end: Instant) -> int:
        """Return the nano-units that have to be held for it to end then."""
        return held_for(self.level, self.seconds(end), self.units)

    def granted(self, end: Instant) -> int:
        """Return the seconds that it is granted to end then: to the end of the block that is paid by them."""
        seconds = self.seconds(end)
        return max(seconds, min(self.most, paid_until(self.level, seconds, self.units))) if seconds else 0


def paid_until(level: Level, seconds: int, units: int = 0) -> int:
    """Return the longest duration in seconds that holds as much as ``seconds`` (at least 1) do, block by block."""
    return min(block_end(tariff, seconds, units) for tariff in level.tariffs)


def kept(level: Level, used_seconds: int, granted_seconds: int, units: int = 0) -> int:
    """Return the seconds that a running call keeps: those it has used with the block they began, and what units pay."""
    begun = max(block_end(tariff, max(used_seconds, 1), units) for tariff in level.tariffs)
    free = level.tariffs[0].included_seconds + units if units else 0
    return min(granted_seconds, max(begun, free))


def newcomer(level: Level, now: Instant, block_seconds_min: int) -> Share:
    """Return the share of a call that asks: its first paid block at least, one block of a grant at most."""
    least = max(block_end(tariff, first_paid_second(tariff)) for tariff in level.tariffs)
    return Share(level, now, least, max(least, *(block_end(tariff, block_seconds_min) for tariff in level.tariffs)))


def common_end(shares: Sequence[Share], money: int, earliest: Instant, latest: Instant) -> Instant | None:
    """Return the last instant, in microseconds, at which the shares together hold at most ``money`` nano-units.

    It is sought from ``earliest`` to ``latest``; None where not even the first of these can be paid.
    """

    def fits(end: Instant) -> bool:
        return sum(share.held(end) for share in shares) <= money

    if not fits(earliest):
        return None
    if fits(latest):
        return latest
    fitting, beyond = earliest, latest
    while beyond - fitting > 1:
        middle = (fitting + beyond) // 2
        if fits(middle):
            fitting = middle
        else:
            beyond = middle
    return fitting
