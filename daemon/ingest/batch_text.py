"""Amounts and counts as text, whole columns at a time: the same octets as ``kernel.money.format_nano`` writes.

An amount here is 0 or more and fits 63 bits; a batch has no other.
"""

from typing import Any, Final

import numpy as np

from daemon.ingest.batch_cells import Octets
from daemon.kernel.money import DECIMALS_MAX, NANO
from daemon.rating.table_arrays import Array

_UNIT_DIGITS: Final = 10  # digits before the point: 2**63 nano-units are nine thousand million units
_COUNT_DIGITS: Final = 19  # digits of 2**63
_DECIMALS_MIN: Final = 2
_ZERO: Final = ord("0")


def format_nanos(amounts: Array) -> list[bytes]:
    """Return the plain decimal of each amount of nano-units."""
    units = amounts // NANO
    fractions = (amounts - units * NANO).astype(np.uint32)
    signs = np.empty((len(amounts), _UNIT_DIGITS + 1 + DECIMALS_MAX), np.uint8)
    _write_digits(signs[:, :_UNIT_DIGITS], units)
    signs[:, _UNIT_DIGITS] = ord(".")
    _write_digits(signs[:, _UNIT_DIGITS + 1 :], fractions)
    kept = np.full(len(amounts), _DECIMALS_MIN, np.int64)
    for places in range(_DECIMALS_MIN + 1, DECIMALS_MAX + 1):
        kept[signs[:, _UNIT_DIGITS + places] != _ZERO] = places
    return _cut(signs, _UNIT_DIGITS - _digit_count(units, _UNIT_DIGITS), _UNIT_DIGITS + 1 + kept)


def format_counts(counts: Array) -> list[bytes]:
    """Return the decimal of each integer of 0 or more."""
    width = len(str(int(counts.max(initial=0))))
    signs = np.empty((len(counts), width), np.uint8)
    _write_digits(signs, counts)
    return _cut(signs, width - _digit_count(counts, width), np.full(len(counts), width, np.int64))


def _write_digits(places: Octets, values: Any) -> None:
    for place in range(places.shape[1] - 1, -1, -1):
        tenth = values // 10
        places[:, place] = values - tenth * 10 + _ZERO
        values = tenth


def _digit_count(values: Array, most: int) -> Array:
    count = np.ones(len(values), np.int64)
    for power in range(1, most):
        count += values >= 10**power
    return count


def _cut(signs: Octets, begins: Array, ends: Array) -> list[bytes]:
    """Return what lies between two columns of each row."""
    count, width = signs.shape
    whole = np.concatenate((signs.ravel(), np.zeros(width, np.uint8)))
    cells = np.lib.stride_tricks.sliding_window_view(whole, width)[np.arange(count) * width + begins]
    cells[np.arange(width) >= (ends - begins)[:, None]] = 0
    texts: list[bytes] = cells.view(f"S{width}").ravel().tolist() if count else []
    return texts
