"""The one price formula: what an answered call of so many whole seconds costs (SPEC section 2, Increments and Charge).

Billing starts at position ``included_seconds``; a block that has begun is paid whole.
Every amount is an exact count of sixtieths of nano-units until the single rounding at the end.
Whoever prices, authorises or explains a call comes here; a second formula would be a second truth.
"""

from typing import NamedTuple

from daemon.kernel.instant import SECOND
from daemon.kernel.money import Rounding, divide, round_nano
from daemon.rating.tariff import Tariff


class Charge(NamedTuple):
    """What a call costs, in nano-units, and the seconds of the blocks it pays for: one function returns both."""

    amount: int
    billed_seconds: int


NOTHING = Charge(0, 0)


def charge(tariff: Tariff, seconds: int) -> Charge:
    """Return the charge of an answered call of ``seconds``; one of 0 seconds and a free one cost nothing at all.

    A call within its included seconds still pays connect fee and minimum charge. ``blocked`` is the caller's to ask.
    """
    assert seconds >= 0, seconds
    if seconds <= tariff.free_seconds:
        return NOTHING
    billed = billed_seconds(tariff, seconds)
    return Charge(round_nano(_sixtieths(tariff, billed), 60, tariff.decimals, tariff.rounding), billed)


def billed_seconds(tariff: Tariff, seconds: int) -> int:
    """Return the seconds of the blocks that have begun in a call of ``seconds`` which is not free."""
    rest = seconds - tariff.included_seconds
    if rest <= 0:
        return 0
    following = max(rest - tariff.first_seconds, 0)
    return tariff.first_seconds + -(-following // tariff.next_seconds) * tariff.next_seconds


def _sixtieths(tariff: Tariff, billed: int) -> int:
    """Return fee and blocks, at least the minimum, in sixtieths of a nano-unit: a rate is per minute."""
    return max(60 * tariff.connect_fee + billed * tariff.rate, 60 * tariff.minimum_charge)


def duration_seconds(duration_us: int, rounding: Rounding) -> int:
    """Return the whole seconds of a duration measured in microseconds, rounded once.

    0 stays 0; a negative duration (a switch whose clock was set back) is 0 as well.
    """
    return divide(max(duration_us, 0), SECOND, rounding)


def first_paid_second(tariff: Tariff) -> int:
    """Return the shortest duration, in seconds, that pays for a block: what an account must be able to afford."""
    return max(tariff.free_seconds, tariff.included_seconds) + 1


def block_end(tariff: Tariff, seconds: int) -> int:
    """Return the longest duration in seconds that has begun the same blocks as a call of ``seconds`` (at least 1).

    It is the end of the paid block, of the included seconds, or for a free call the end of the free seconds.
    """
    assert seconds >= 1, seconds
    if seconds <= tariff.free_seconds:
        return tariff.free_seconds
    return tariff.included_seconds + billed_seconds(tariff, seconds)
