"""Cells become instants and durations: the common shapes over arrays of octets, whatever else one by one.

``kernel.instant.parse_rfc3339`` and ``parse_duration`` are the law. The array form takes only what is plainly well
formed, and hands everything else to them, so that it can be faster than they are and never of another opinion.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from daemon.ingest.batch_columns import CELL_LENGTH_MAX
from daemon.kernel.instant import INSTANT_MAX, MINUTE, SECOND, parse_rfc3339
from daemon.rating.deck import UNITS_IN_ROW_MAX
from daemon.rating.table_arrays import Array

Octets = npt.NDArray[np.uint8]
T = TypeVar("T")

UNITS_MAX: Final = UNITS_IN_ROW_MAX  # units of one record that is no call: a terabyte by the byte
PADDING: Final = 64  # octets behind the last cell, so that a window of a matrix never ends outside
SHOWN_MAX: Final = 64  # octets of a cell that a reason repeats
_START_WIDTH: Final = 36  # octets; the longest RFC 3339 text has 35
_DURATION_WIDTH: Final = 24  # octets; seven digits, a point, nine decimals, and room to see that there is more
_WHOLE_DIGITS: Final = 13  # digits of UNITS_MAX
_HALF: Final = 500_000_000  # nanoseconds
_DECIMAL = re.compile(r"([0-9]+)(?:\.([0-9]+))?", re.ASCII)
_DATE_AND_CLOCK_DIGITS: Final = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)
_ZERO, _POINT, _PLUS, _MINUS, _COLON, _ZULU = (ord(sign) for sign in "0.+-:Z")
_SMALL: Final = 0x20  # what makes a letter small
_MONTH_DAYS: Final = np.array((0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), np.int64)


class Cells(NamedTuple):
    """The cells of one column, in UTF-8: where each begins in ``octets``, which ends in PADDING, and its length."""

    octets: Octets
    starts: Array
    lengths: Array

    def matrix(self, width: int) -> Octets:
        """Return the first ``width`` octets of each cell, a row each, 0 behind its end."""
        cells = np.lib.stride_tricks.sliding_window_view(self.octets, width)[self.starts]
        cells[np.arange(width) >= self.lengths[:, None]] = 0
        return cells

    def octets_of(self, row: int) -> bytes:
        """Return one cell."""
        start = int(self.starts[row])
        return self.octets[start : start + int(self.lengths[row])].tobytes()

    def text(self, row: int) -> str:
        """Return one cell as text."""
        return self.octets_of(row).decode()

    def texts(self) -> list[bytes]:
        """Return all cells."""
        whole = self.octets.tobytes()
        ends = self.starts + self.lengths
        return [whole[start:end] for start, end in zip(self.starts.tolist(), ends.tolist(), strict=True)]


def cells_of(texts: Sequence[bytes]) -> Cells:
    """Return a column of texts."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    octets = np.frombuffer(b"".join(texts) + bytes(PADDING), np.uint8)
    return Cells(octets, np.cumsum(lengths) - lengths, lengths)


def parse_duration(text: str) -> tuple[int, int]:
    """Return whole seconds (or units) and nanoseconds of a plain decimal. Raises ValueError.

    What is finer than a nanosecond becomes one where that decides a rounding: just above a whole or a half second.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a plain decimal of 0 or more, such as 61 or 61.25")
    whole, decimals = match[1].lstrip("0"), match[2] or ""
    if len(whole) > _WHOLE_DIGITS or int(whole or "0") > UNITS_MAX:
        raise ValueError(f"{text!r} is above the limit of {UNITS_MAX}")
    nanoseconds = int(decimals[:9].ljust(9, "0"))
    if nanoseconds in (0, _HALF) and decimals[9:].strip("0"):
        nanoseconds += 1
    return int(whole or "0"), nanoseconds


def instants_of(cells: Cells) -> tuple[Array, dict[int, str]]:
    """Return the instants of RFC 3339 texts, and why a row has none."""
    instants, plain = _plain_instants(cells)
    faults: dict[int, str] = {}
    for row in np.flatnonzero(~plain).tolist():
        found = _one(cells, row, parse_rfc3339, "an RFC 3339 time with an offset", faults)
        instants[row] = 0 if found is None else found
    return instants, faults


def durations_of(cells: Cells) -> tuple[Array, Array, dict[int, str]]:
    """Return whole seconds and nanoseconds of decimals, and why a row has none."""
    seconds, fractions, plain = _plain_durations(cells)
    faults: dict[int, str] = {}
    for row in np.flatnonzero(~plain).tolist():
        found = _one(cells, row, parse_duration, "a plain decimal", faults)
        seconds[row], fractions[row] = (0, 0) if found is None else found
    return seconds, fractions, faults


def _one(cells: Cells, row: int, parse: Callable[[str], T], what: str, faults: dict[int, str]) -> T | None:
    length = int(cells.lengths[row])
    if length == 0:
        faults[row] = "is empty; every row needs it"
    elif length > CELL_LENGTH_MAX:
        faults[row] = f"a text of {length} octets is not {what}"
    else:
        try:
            return parse(cells.text(row))
        except ValueError as error:
            faults[row] = str(error) if length <= SHOWN_MAX else f"a text of {length} octets is not {what} in range"
    return None


def _plain_durations(cells: Cells) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
    """Return whole and nanoseconds of one to seven digits and up to nine decimals, and which cells are so."""
    columns = np.ascontiguousarray(cells.matrix(_DURATION_WIDTH).T)
    count = len(cells.lengths)
    seconds, fractions, decimals = np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count, np.int64)
    behind = np.zeros(count, np.bool_)
    plain = (cells.lengths > 0) & (cells.lengths < _DURATION_WIDTH)
    for place in range(min(_DURATION_WIDTH, int(cells.lengths.max(initial=0)))):
        column = columns[place]
        digit = column - np.uint8(_ZERO)
        point, ended = column == _POINT, place >= cells.lengths
        is_digit = digit <= 9
        plain &= is_digit | ended | (point & ~behind & (place > 0))
        seconds = np.where(is_digit & ~behind, seconds * 10 + digit, seconds)
        if behind.any():
            counted = is_digit & behind
            fractions = np.where(counted, fractions * 10 + digit, fractions)
            decimals += counted
        behind |= point
    plain &= (seconds < 10_000_000) & (decimals <= 9) & ~(behind & (decimals == 0)) & (cells.lengths <= 17)
    fractions *= 10 ** np.clip(9 - decimals, 0, 9)
    return seconds, fractions, plain


def _plain_instants(cells: Cells) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return instants of texts without a fraction or with three or six decimals, and which cells are so."""
    columns = np.ascontiguousarray(cells.matrix(_START_WIDTH).T)
    digits = columns - np.uint8(_ZERO)
    plain = np.isin(columns[10], np.frombuffer(b"Tt ", np.uint8))
    plain &= (columns[4] == _MINUS) & (columns[7] == _MINUS) & (columns[13] == _COLON) & (columns[16] == _COLON)
    for place in _DATE_AND_CLOCK_DIGITS:
        plain &= digits[place] <= 9
    year = _two(digits, 0) * 100 + _two(digits, 2)
    month, day = _two(digits, 5), _two(digits, 8)
    hour, minute, second = _two(digits, 11), _two(digits, 14), _two(digits, 17)
    plain &= (year >= 1) & (month >= 1) & (month <= 12) & (hour <= 23) & (minute <= 59) & (second <= 59)
    leap = (month == 2) & (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    plain &= (day >= 1) & (day <= _MONTH_DAYS[np.where(plain, month, 0)] + leap)
    instants = (_epoch_days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second) * SECOND
    zoned = np.zeros(len(plain), np.bool_)
    for decimals in (0, 3, 6):
        zoned |= _add_zone(instants, columns, digits, cells.lengths, decimals, plain & ~zoned)
    plain &= zoned & (instants >= 0) & (instants <= INSTANT_MAX)
    return instants, plain


def _two(digits: Octets, place: int) -> Any:
    return digits[place].astype(np.int64) * 10 + digits[place + 1]


def _epoch_days(year: Array, month: Array, day: Array) -> Array:
    """Return days since 1970-01-01: a year that begins in March has its leap day last."""
    shifted = year - (month <= 2)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days: Array = shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400 + of_year - 719_468
    return days


def _add_zone(
    instants: Array, columns: Octets, digits: Octets, lengths: Array, decimals: int, mine: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Add the fraction and take off the offset of texts with so many decimals; return which these are."""
    at = 19 + (decimals + 1 if decimals else 0)
    if decimals:
        mine = mine & (columns[19] == _POINT)
        for place in range(20, at):
            mine &= digits[place] <= 9
    zulu = mine & (lengths == at + 1) & ((columns[at] & ~np.uint8(_SMALL)) == _ZULU)
    numeric = mine & (lengths == at + 6) & np.isin(columns[at], np.frombuffer(b"+-", np.uint8))
    if numeric.any():
        for place in (at + 1, at + 2, at + 4, at + 5):
            numeric &= digits[place] <= 9
        hours, minutes = _two(digits, at + 1), _two(digits, at + 4)
        numeric &= (columns[at + 3] == _COLON) & (hours <= 23) & (minutes <= 59)
        offset = (hours * 60 + minutes) * MINUTE
        instants -= np.where(numeric, np.where(columns[at] == _PLUS, offset, -offset), 0)
    found: npt.NDArray[np.bool_] = zulu | numeric
    if decimals and found.any():
        fraction = np.zeros(len(instants), np.int64)
        for place in range(20, at):
            fraction = fraction * 10 + digits[place]
        instants += np.where(found, fraction * 10 ** (6 - decimals), 0)
    return found
