"""How long the money lasts: the exact inverse of ``charge``, in closed form.

``charge(quota) <= available < charge(quota + 1)``, unless the cap stopped it.
Rounding happens once, so it is undone once: the largest unrounded price that still rounds to an affordable amount
divided by the rate is the number of seconds that blocks may fill.
An empty account does not buy endless free seconds: whoever cannot pay the first paid block gets none.
"""

from daemon.kernel.money import DECIMALS_MAX, Rounding
from daemon.rating.charge import charge, first_paid_second
from daemon.rating.tariff import Tariff


def quota(tariff: Tariff, available: int | None, cap_seconds: int) -> int:
    """Return the most whole seconds, at most ``cap_seconds``, that ``available`` nano-units pay (None: no limit).

    Returns 0 where the first paid block does not fit, whatever the cap and however long a free call could be.
    """
    assert cap_seconds >= 0, cap_seconds
    if available is None:
        return cap_seconds
    if charge(tariff, first_paid_second(tariff)).amount > available:
        return 0
    return min(_affordable_seconds(tariff, available, cap_seconds), cap_seconds)


def _affordable_seconds(tariff: Tariff, available: int, cap_seconds: int) -> int:
    """Return the end of the last block that fits, where the first paid one is known to fit; the cap at rate 0."""
    if tariff.rate == 0:
        return cap_seconds
    seconds = (_sixtieths_max(tariff, available) - 60 * tariff.connect_fee) // tariff.rate
    further_blocks = (seconds - tariff.first_seconds) // tariff.next_seconds
    return tariff.included_seconds + tariff.first_seconds + further_blocks * tariff.next_seconds


def _sixtieths_max(tariff: Tariff, available: int) -> int:
    """Return the largest price, in sixtieths of a nano-unit, that rounds to at most ``available``."""
    step: int = 10 ** (DECIMALS_MAX - tariff.decimals)
    steps = available // step
    return 60 * steps * step + _rounded_away(tariff.rounding, 60 * step, steps)


def _rounded_away(rounding: Rounding, step: int, steps: int) -> int:
    """Return how far above ``steps`` whole steps a price may lie and still be rounded down to them."""
    if rounding is Rounding.UP:
        return 0
    if rounding is Rounding.DOWN:
        return step - 1
    # A tie at half a step goes up, save that half-even brings it back to an even count.
    tie_falls = rounding is Rounding.HALF_EVEN and steps % 2 == 0
    return step // 2 if tie_falls else step // 2 - 1
