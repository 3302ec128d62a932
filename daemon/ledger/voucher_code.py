"""A voucher's code: 20 characters of 31, of which the last is a check; nobody can guess one, or mistype one unnoticed.

No character looks like another (no 0 and O, no 1, I and L). The first 19 are a random number of 94 bits. The check is a
sum of the places, each with a weight of its own, modulo 31, which is prime: any one wrong character and any two that
changed places are found, whether they stood beside each other or not.
"""

from typing import Final

ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
BASE: Final = len(ALPHABET)
BODY_LENGTH: Final = 19  # characters before the check
NUMBERS: Final = BASE**BODY_LENGTH  # a thief of the store who tries 10^12 a second meets one of a million in 690 years
GROUP: Final = 5  # characters between two hyphens
TYPED_LENGTH_MAX: Final = 64  # characters of what a person types, hyphens and spaces contained
_VALUES: Final = {character: value for value, character in enumerate(ALPHABET)}
_IGNORED: Final = str.maketrans("", "", " -")

assert BASE == 31  # prime, and above the number of places: no weight is 0, and no two are alike


def code_of(number: int) -> str:
    """Return the code of a number from 0 to below ``NUMBERS``."""
    assert 0 <= number < NUMBERS, "a number beyond the codes"
    characters, total = [], 0
    for place in range(1, BODY_LENGTH + 1):
        number, value = divmod(number, BASE)
        characters.append(ALPHABET[value])
        total += place * value
    return "".join(characters) + ALPHABET[_check(total)]


def _check(total: int) -> int:
    """Return what makes the sum of all 20 places, the last with the weight 20, a multiple of the base."""
    return -total * pow(BODY_LENGTH + 1, -1, BASE) % BASE


def printed(code: str) -> str:
    """Return a code as it is printed for a person: in groups, with hyphens."""
    return "-".join(code[begins : begins + GROUP] for begins in range(0, len(code), GROUP))


def typed(text: str) -> str | None:
    """Return the code that a person typed, in either case, with or without hyphens; None where it cannot be one."""
    if len(text) > TYPED_LENGTH_MAX or not text.isascii():
        return None
    code = text.translate(_IGNORED).upper()
    if len(code) != BODY_LENGTH + 1 or any(character not in _VALUES for character in code):
        return None
    total = sum(place * _VALUES[character] for place, character in enumerate(code, 1))
    return code if total % BASE == 0 else None
