"""What was dialled becomes digits or is malformed; only digits ever price or route a call.

A number is one to eighteen digits after an optional leading plus. Eighteen places fit a 64-bit integer in base 11,
where each digit is written one higher and 0 ends the number, so that a shorter number never falls inside a prefix.
"""

import re

DIGITS_MAX = 18  # digits; 11**18 is below 2**63
_NUMBER = re.compile(r"\+?([0-9]{1,18})")
_ONE_HIGHER = str.maketrans("0123456789", "123456789a")  # each digit in base 11, 0 left free as the end


def digits(text: str) -> str | None:
    """Return the digits of a called number, or None where it is malformed (a letter, a blank, over 18 digits)."""
    match = _NUMBER.fullmatch(text)
    return match[1] if match is not None and text.isascii() else None


def line_position(number: str) -> int:
    """Return the place of a number of 1 to 18 digits on the number line of base 11 (digit + 1, 0 as the end)."""
    return int(number.translate(_ONE_HIGHER).ljust(DIGITS_MAX, "0"), 11)


def line_interval(prefix: str) -> tuple[int, int]:
    """Return the half-open interval of the number line that the numbers beginning with ``prefix`` fill."""
    start = line_position(prefix)
    return start, start + 11 ** (DIGITS_MAX - len(prefix))
