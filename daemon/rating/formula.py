"""The one price formula, written once for a call and for an array of calls (SPEC section 2, Increments to Time bands).

Billing starts at position ``begins``; the first block is ``first`` long, every further one as long as the rates in
force where it begins say, and has their rate; a block that has begun is paid whole. Where one rate holds throughout,
the sum of all blocks has a closed form. ``Ints`` below is an int or a numpy array of int64: only ``ops`` differs.
Amounts are exact counts of ``per``-ths of nano-units until the single rounding, which a conversion comes before.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, TypeAlias

Ints: TypeAlias = Any  # an int, or an array of int64; numpy's operators and int's are the same words


class Ops(Protocol):
    """What differs between a number and an array of numbers."""

    def maximum(self, one: Ints, other: Ints, /) -> Ints:
        """Return the greater, each by each."""

    def minimum(self, one: Ints, other: Ints, /) -> Ints:
        """Return the smaller, each by each."""

    def any(self, condition: Ints, /) -> bool:
        """Tell whether a condition holds anywhere."""


class InForce(NamedTuple):
    """What is in force at a position: a rate, the length of a further block, the position at which that may change.

    ``rates`` is the place of the alternative: where the next position lies in a gap, it stays in force.
    """

    rate: Ints
    following: Ints
    limit: Ints
    rates: Ints


class Schedule(Protocol):
    """What is in force where; the limit that it answers lies behind the position."""

    def at(self, position: Ints, rates: Ints, /) -> InForce:
        """Return what is in force at a position, where ``rates`` priced the block before it."""


class Stretch(NamedTuple):
    """``blocks`` blocks of ``length`` from a position on, all of one rate."""

    position: Ints
    length: Ints
    blocks: Ints
    rate: Ints
    rates: Ints


class Scalar:
    """The operations on one number."""

    maximum = staticmethod(max)
    minimum = staticmethod(min)
    any = staticmethod(bool)


def stretches(ops: Ops, schedule: Schedule, begins: Ints, first: Ints, until: Ints) -> Iterator[Stretch]:
    """Yield the blocks that have begun before position ``until``, in order: the first, then runs of one rate each."""
    force = schedule.at(begins, 0)
    started = (until > begins) * 1
    yield Stretch(begins, first, started, force.rate, force.rates)
    position = begins + first * started
    while ops.any(position < until):
        force = schedule.at(position, force.rates)
        blocks = -(-ops.maximum(ops.minimum(force.limit, until) - position, 0) // force.following)
        yield Stretch(position, force.following, blocks, force.rate, force.rates)
        position = position + blocks * force.following


def billed_at_one_rate(ops: Ops, rest: Ints, first: Ints, following: Ints) -> Ints:
    """Return the units of the blocks that begin within ``rest``: ``stretches`` summed, where nothing changes."""
    further = ops.maximum(rest - first, 0)
    return (rest > 0) * (first + -(-further // following) * following)


def is_money(seconds: Ints, free: Ints, begins: Ints, units: Ints) -> Ints:
    """Tell whether a call costs money: it is longer than a free one and than what a bundle's units cover to its end.

    A call within its included seconds costs money (fee and minimum), unless a bundle has units left for it.
    """
    return (seconds > free) & ((units == 0) | (seconds > begins))


def converted(exact: Ints, per: Ints, rate: Ints, unit: Ints) -> tuple[Ints, Ints]:
    """Return an exact count of ``per``-ths at a rate of ``rate / unit``, and the parts that it is counted in then."""
    return exact * rate, per * unit
