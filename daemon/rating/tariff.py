"""A tariff is the finished price of one number at one instant: a deck row in force and its table's policy.

It is frozen with the call when the call is granted and again at answer, so that the price of a call can be computed
from the call alone, whatever happens to the deck meanwhile (SPEC section 2).
"""

from dataclasses import dataclass

from daemon.kernel.money import Rounding


@dataclass(frozen=True, slots=True)
class Tariff:
    """Amounts in nano-units, ``rate`` per minute, lengths in whole seconds from answer."""

    table: str
    deck_version: int
    prefix: str
    destination: str
    currency: str
    rate: int
    connect_fee: int = 0
    first_seconds: int = 1
    next_seconds: int = 1
    free_seconds: int = 0
    included_seconds: int = 0
    minimum_charge: int = 0
    decimals: int = 4
    rounding: Rounding = Rounding.UP
    duration_rounding: Rounding = Rounding.UP
    blocked: bool = False
    rate_type: str = ""
    tax_code: str = ""
    ledger_code: str = ""
