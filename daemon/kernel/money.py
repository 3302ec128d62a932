"""Money is an integer of nano-units (1e-9) of a currency; no float can enter.

A decimal text becomes nano-units exactly or not at all, and back to the same text.
Every division names its rounding where it happens; there is no default.
An amount that the store's 64-bit integers could not hold is refused at the door.
Within the core an amount is a plain int of nano-units; its currency stands with its owner.
"""

import re
from enum import Enum
from typing import Any, NamedTuple

NANO = 1_000_000_000  # nano-units in one unit of a currency
DECIMALS_MAX = 9  # places; nano-units hold no more
UNITS_MAX = 1_000_000_000  # units; one amount. Nine of them still fit a signed 64-bit sum of nano-units.
NANO_MAX = (1 << 63) - 1  # nano-units; what a 64-bit column holds

_STEPS: tuple[int, ...] = tuple(10**places for places in range(DECIMALS_MAX, -1, -1))  # nano-units, by decimals
_DECIMAL = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?")
_CURRENCY = re.compile(r"[A-Z]{3}")


class MoneyError(ValueError):
    """A text or a value that is no amount of money; the message says how to mend it."""


class Rounding(Enum):
    """Where a fraction goes. ``UP`` is away from zero, ``DOWN`` towards it, as decks and contracts mean it."""

    UP = "up"
    DOWN = "down"
    HALF_UP = "half-up"
    HALF_EVEN = "half-even"


_UP = Rounding.UP


class Money(NamedTuple):
    """An amount with its currency, for the borders; arithmetic happens on ints of one currency."""

    nano: int
    currency: str

    def __str__(self) -> str:
        """Return for instance ``12.95 EUR``."""
        return f"{format_nano(self.nano)} {self.currency}"


def parse_nano(text: str) -> int:
    """Return the nano-units that a plain decimal text means, exactly.

    Raises MoneyError for anything but an optional minus, digits, and at most nine decimals, and above UNITS_MAX.
    """
    if type(text) is not str:
        raise MoneyError(f'money is a text such as "25.00", not {type(text).__name__}')
    match = _DECIMAL.fullmatch(text)
    if match is None or not text.isascii():
        raise MoneyError(f'{text!r} is not a plain decimal with at most {DECIMALS_MAX} places, such as "25.00"')
    sign, units, fraction = match.groups()
    nano = int(units) * NANO + int((fraction or "").ljust(DECIMALS_MAX, "0"))
    if nano > UNITS_MAX * NANO:
        raise MoneyError(f"{text!r} is above the limit of {UNITS_MAX} units")
    return -nano if sign else nano


def format_nano(nano: int) -> str:
    """Return the plain decimal of an amount: at least two places, no exponent, no separator, nothing lost."""
    units, fraction = divmod(abs(nano), NANO)
    digits = f"{fraction:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano < 0 else ''}{units}.{digits}"


def currency_code(text: str) -> str:
    """Return the ISO 4217 alphabetic code unchanged. Raises MoneyError for anything but three capital letters."""
    if _CURRENCY.fullmatch(text) is None:
        raise MoneyError(f'{text!r} is not an ISO 4217 code such as "USD"')
    return text


def divide(numerator: int, denominator: int, rounding: Rounding) -> int:
    """Return the integer quotient of two integers, the fraction gone where ``rounding`` says."""
    if denominator <= 0:
        raise ValueError("the denominator is a positive integer")
    quotient: int = quotient_of(abs(numerator), denominator, rounding)
    return -quotient if numerator < 0 else quotient


def quotient_of(numerator: Any, denominator: Any, rounding: Rounding) -> Any:
    """Return the rounded quotient of integers of 0 or more and above 0, or each by each of arrays of them."""
    quotient = numerator // denominator
    return quotient + _carries(quotient, numerator - quotient * denominator, denominator, rounding)


def _carries(quotient: Any, rest: Any, denominator: Any, rounding: Rounding) -> Any:
    if rounding is Rounding.UP:
        return rest > 0
    if rounding is Rounding.DOWN:
        return 0
    # What is left is compared with what is missing to the next whole: twice of either might not fit 64 bits.
    missing = denominator - rest
    if rounding is Rounding.HALF_UP:
        return rest >= missing
    return (rest > missing) | ((rest == missing) & (quotient % 2 == 1))


def round_nano(numerator: int, denominator: int, decimals: int, rounding: Rounding) -> int:
    """Return ``numerator / denominator`` nano-units rounded once to ``decimals`` places, in nano-units."""
    if not 0 <= decimals <= DECIMALS_MAX:
        raise ValueError(f"decimals are 0 to {DECIMALS_MAX}")
    step = _STEPS[decimals]
    if rounding is _UP and numerator >= 0 and denominator > 0:  # nearly every price: one division says it
        return -(-numerator // (denominator * step)) * step
    return divide(numerator, denominator * step, rounding) * step
