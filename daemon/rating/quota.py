"""How long the money lasts: the exact inverse of ``charge``.

``charge(quota) <= available < charge(quota + 1)``, unless the cap stopped it.
Rounding happens once, so it is undone once, and then a conversion: the largest unrounded price that still rounds to an
affordable amount is spent on the same runs of blocks that ``charge`` adds up, each run in closed form.
An empty account does not buy endless free seconds: whoever cannot pay the first paid block gets none but a bundle's,
and of a bundle whose units end within the free seconds, so that no call of them would use one, none either.
"""

from collections.abc import Iterable

from daemon.kernel.money import DECIMALS_MAX, Rounding
from daemon.rating.charge import Scale, charge, first_paid_second, outlast_free, paid_stretches, scale_of
from daemon.rating.formula import Stretch
from daemon.rating.tariff import Tariff


def quota(tariff: Tariff, available: int | None, cap_seconds: int, units: int = 0) -> int:
    """Return the most whole seconds, at most ``cap_seconds``, that ``available`` nano-units pay (None: no limit).

    ``units`` of a bundle are used first. Returns 0 where the first paid block does not fit and they do not outlast the
    free seconds, whatever the cap and however long a free call could be.
    """
    assert cap_seconds >= 0, cap_seconds
    if available is None:
        return cap_seconds
    paid = first_paid_second(tariff, units)
    if cap_seconds >= paid and charge(tariff, cap_seconds, units).amount <= available:
        return cap_seconds  # whoever has money for the whole cap, which is nearly everybody
    if charge(tariff, paid, units).amount > available:
        return min(paid - 1, cap_seconds) if outlast_free(tariff, units) else 0
    seconds = _affordable_seconds(tariff, available, cap_seconds, units)
    return seconds if seconds < cap_seconds else cap_seconds


def _affordable_seconds(tariff: Tariff, available: int, cap_seconds: int, units: int) -> int:
    """Return the end of the last block that fits, where the first paid one is known to fit, or at least the cap."""
    scale = scale_of(tariff)
    fees = scale.price * tariff.connect_fee + scale.surcharge * tariff.surcharge
    left = _exact_max(tariff, available, scale) - tariff.per * fees
    if tariff.alternatives:
        return _end_of_money(
            paid_stretches(tariff, cap_seconds, units), left, cap_seconds, scale, tariff.surcharge_rate
        )
    unit_price = scale.price * tariff.rate + scale.surcharge * tariff.surcharge_rate
    if unit_price == 0:
        return cap_seconds
    further_blocks = (left // unit_price - tariff.first_seconds) // tariff.next_seconds
    return tariff.included_seconds + units + tariff.first_seconds + further_blocks * tariff.next_seconds


def _end_of_money(paid: Iterable[Stretch], left: int, cap_seconds: int, scale: Scale, surcharge_rate: int) -> int:
    for position, length, blocks, rate, _ in paid:
        price = length * (scale.price * rate + scale.surcharge * surcharge_rate)
        if blocks * price > left:
            affordable: int = position + left // price * length
            return affordable
        left -= blocks * price
    return cap_seconds


def _exact_max(tariff: Tariff, available: int, scale: Scale) -> int:
    """Return the largest price on the scale of its tariff that rounds to at most ``available``."""
    step: int = 10 ** (DECIMALS_MAX - tariff.decimals)
    steps, per = available // step, tariff.per * scale.surcharge
    return per * steps * step + _rounded_away(tariff.rounding, per * step, steps)


def _rounded_away(rounding: Rounding, step: int, steps: int) -> int:
    """Return how far above ``steps`` whole steps a price may lie and still be rounded down to them."""
    if rounding is Rounding.UP:
        return 0
    if rounding is Rounding.DOWN:
        return step - 1
    # Exactly half a step goes up, save that half-even brings it back to an even count; an odd step has no exact half.
    if step % 2:
        return step // 2
    tie_falls = rounding is Rounding.HALF_EVEN and steps % 2 == 0
    return step // 2 if tie_falls else step // 2 - 1
