"""A call is sold at the floor margin or above it (SPEC section 3, Margin).

Both sides are block prices at their own increments and roundings for one duration, never rates per minute compared.
Floors are compared by cross multiplication: no division, hence no rounding that could lift a margin to its floor.
"""

from daemon.kernel.money import NANO
from daemon.rating.charge import charge
from daemon.rating.conversion import Conversion
from daemon.rating.tariff import Tariff

_PERCENT = 100 * NANO  # nano-percent; the whole


def margin_holds(
    sell: Tariff, buy: Tariff, seconds: int, floor_percent_nano: int | None, floor_per_minute_nano: int | None,
    conversion: Conversion | None = None,
) -> bool:  # fmt: skip
    """Tell whether selling a call of ``seconds`` (at least 1) keeps both floors; a row sold at 0 is exempt.

    ``floor_percent_nano`` is nano-percent of the sell price (5 % is 5 * NANO), ``floor_per_minute_nano`` nano-units a
    minute of the call, None a floor that was not stated, in the currency that ``sell`` is charged in. What ``buy`` is
    charged, rounded in its own currency, is compared at the exact rate of ``conversion``, None where both are in one.
    """
    assert seconds >= 1, seconds
    met = buy.charged_in if conversion is None else conversion.target
    assert sell.charged_in == met, (sell.charged_in, met)
    if costs_nothing(sell):
        return True
    price = charge(sell, seconds).amount * NANO
    margin = price - charge(buy, seconds).amount * (NANO if conversion is None else conversion.rate)
    by_minute = floor_per_minute_nano is None or margin * 60 >= floor_per_minute_nano * seconds * NANO
    return by_minute and (floor_percent_nano is None or margin * 100 * NANO >= floor_percent_nano * price)


def cost_max(price: int, seconds: int, floor_percent_nano: int | None, floor_per_minute_nano: int | None) -> int | None:
    """Return the most that a call sold at ``price`` may cost, in the same nano-units; None where no floor is stated.

    It is the exact bound of ``margin_holds`` in one currency: what each floor keeps is rounded up, as costs are whole.
    """
    most = None
    if floor_per_minute_nano is not None:
        most = price + -floor_per_minute_nano * seconds // 60
    if floor_percent_nano is not None:
        of_percent = price + -floor_percent_nano * price // _PERCENT
        most = of_percent if most is None or of_percent < most else most
    return most


def costs_nothing(sell: Tariff) -> bool:
    """Tell whether nothing that the row can come into costs anything."""
    if sell.rate or sell.connect_fee or sell.minimum_charge or sell.surcharge or sell.surcharge_rate:
        return False
    return not any(step.rate for each in sell.alternatives for tier in each.tiers for step in tier.steps)
