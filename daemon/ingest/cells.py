"""Cells of somebody else's deck become canonical texts: plain decimals, whole seconds, yes or no.

A decimal mark is one for the whole file: the first price that has a mark tells which, every other must agree. Where
each comma could as well part thousands, it must be stated. No float is made of a price, and none is rounded.
"""

import re
from collections.abc import Callable
from typing import Final

from daemon.kernel.money import format_nano, parse_nano

SECONDS_MAX: Final = 86_400  # seconds of any length in a row: no call is longer than a day
REMEMBERED_MAX: Final = 16_384  # texts remembered for a column: more distinct ones are read anew
QUOTED_LENGTH_MAX: Final = 40  # characters of a cell that a message repeats

POINT: Final = "point"
COMMA: Final = "comma"

_PLAIN = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?")
_MARKED = re.compile(r"-?[0-9]*([.,])[0-9]+")
_THOUSANDS = re.compile(r"-?[1-9][0-9]{0,2},[0-9]{3}")
_SECONDS = re.compile(r"([0-9]{1,9})(?:\.0+)? ?(?:s|sec)?")
_WORDS = {
    **dict.fromkeys(("true", "yes", "y", "1", "on", "t"), True),
    **dict.fromkeys(("false", "no", "n", "0", "off", "f"), False),
}


class Amounts:
    """Reads the prices of one file, all with the same decimal mark."""

    def __init__(self, mark: str = "") -> None:
        self.mark = mark  # "": not known yet
        self._stated = bool(mark)
        self._only_thousands: str | None = None

    def read(self, text: str) -> str:
        """Return a price as a plain decimal with a point. Raises ValueError with the mend."""
        marked = _MARKED.fullmatch(text)
        if marked is not None:
            self._agree(text, COMMA if marked[1] == "," else POINT)
            text = _whole(text.replace(",", "."))
        if _PLAIN.fullmatch(text) is None or not text.isascii():
            raise ValueError(_amount_fault(text))
        return text

    def doubt(self) -> str:
        """Return why the commas of the file cannot be understood, or an empty text."""
        if self._only_thousands is None:
            return ""
        return (
            f"{self._only_thousands!r} and every other price with a comma may have decimals or thousands; "
            "say which: --decimal comma, or take the separators out"
        )

    def _agree(self, text: str, mark: str) -> None:
        if not self.mark:
            self.mark = mark
            self._only_thousands = text if mark == COMMA else None
        elif self.mark != mark:
            raise ValueError(
                f"{quoted(text)} has a {mark} where the deck writes decimals with a {self.mark}; "
                "write no thousands separator and one decimal mark"
            )
        if self._only_thousands is not None and _THOUSANDS.fullmatch(text) is None:
            self._only_thousands = None


def _whole(text: str) -> str:
    """Return a decimal with a digit before its point, and without the noughts beyond nine places."""
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    units, _, fraction = digits.partition(".")
    while len(fraction) > 9 and fraction.endswith("0"):
        fraction = fraction[:-1]
    return f"{sign}{units or '0'}.{fraction}"


def _amount_fault(text: str) -> str:
    if re.fullmatch(r"-?[0-9]{1,3}(?:[., '][0-9]{3})+(?:[.,][0-9]+)?", text):
        return f"{quoted(text)} has a thousands separator; take it out"
    if re.fullmatch(r"-?[0-9]+\.[0-9]{10,}", text):
        return f"{quoted(text)} has more than 9 decimals; round it as your contract says"
    if re.fullmatch(r"-?[0-9.,]+[eE][+-]?[0-9]+", text):
        return f"{quoted(text)} is written as a power of ten; write a plain decimal"
    return f"{quoted(text)} is no plain decimal such as 0.0125; take currency signs and blanks away"


def per_minute(amount: str, seconds: int) -> str:
    """Return the price of a minute from that of some seconds. Raises ValueError where nine places do not hold it."""
    nano, rest = divmod(parse_nano(amount) * 60, seconds)
    if rest:
        raise ValueError(f"{amount} for {seconds} seconds is no price per minute of 9 decimals; state it per minute")
    return amount if seconds == 60 or nano == 0 else format_nano(nano)


def seconds(text: str) -> str:
    """Return a whole number of seconds: ``30``, also from ``30s`` or ``30.0``. Raises ValueError with the mend."""
    match = _SECONDS.fullmatch(text)
    if match is None or int(match[1]) > SECONDS_MAX:
        raise ValueError(f"{quoted(text)} is not a whole number of seconds from 0 to {SECONDS_MAX}")
    return str(int(match[1]))


def yes_or_no(text: str) -> bool:
    """Return what a word of consent means. Raises ValueError with the words known."""
    answer = _WORDS.get(text.lower())
    if answer is None:
        raise ValueError(f"{quoted(text)} is not one of true, false, yes, no, 1, 0")
    return answer


def one_line(text: str) -> str:
    """Return a name as it is. Raises ValueError where it holds a line break or another control character."""
    if not text.isprintable():
        # A line break inside a name is nearly always a quote that was closed rows later.
        raise ValueError("a name is one line of printable characters; close the quote on the line where it opens")
    return text


def remembered(read: Callable[[str], str]) -> Callable[[str], str]:
    """Return a reader that remembers what it has read, since a deck has few distinct texts in most columns."""
    known: dict[str, str] = {"": ""}

    def recall(text: str) -> str:
        found = known.get(text)
        if found is None:
            found = read(text)
            if len(known) < REMEMBERED_MAX:
                known[text] = found
        return found

    return recall


def quoted(text: str) -> str:
    """Return a cell as a message repeats it, cut to QUOTED_LENGTH_MAX."""
    return repr(text if len(text) <= QUOTED_LENGTH_MAX else text[:QUOTED_LENGTH_MAX] + "…")
