"""Amounts and counts as text, whole columns at a time: the same octets as ``kernel.money.format_nano`` writes.

An amount here is 0 or more and fits 63 bits; a batch has no other.
"""

from typing import Any, Final

import numpy as np

from daemon.ingest.batch_cells import Octets
from daemon.kernel.money import DECIMALS_MAX, NANO
from daemon.rating.table_arrays import Array

_DECIMALS_MIN: Final = 2
_ZERO: Final = ord("0")


def format_nanos(amounts: Array) -> list[bytes]:
    """Return the plain decimal of each amount of nano-units."""
    units = amounts // NANO
    fractions = (amounts - units * NANO).astype(np.uint32)
    before, behind = _width(units), _decimals(fractions)
    signs = np.empty((len(amounts), before + 1 + behind), np.uint8)
    _write_digits(signs[:, :before], units)
    signs[:, before] = ord(".")
    _write_digits(signs[:, before + 1 :], fractions // np.uint32(10 ** (DECIMALS_MAX - behind)))
    kept = np.full(len(amounts), _DECIMALS_MIN, np.int64)
    for places in range(_DECIMALS_MIN + 1, behind + 1):
        kept[signs[:, before + places] != _ZERO] = places
    return _cut(signs, before - _digit_count(units, before), before + 1 + kept)


def _decimals(fractions: Any) -> int:
    """Return how many decimals the longest fraction has: charges are rounded, and most rates are short."""
    places = DECIMALS_MAX
    while places > _DECIMALS_MIN and not (fractions % np.uint32(10 ** (DECIMALS_MAX - places + 1))).any():
        places -= 1
    return places


def _width(values: Array) -> int:
    return len(str(int(values.max(initial=0))))


def format_counts(counts: Array) -> list[bytes]:
    """Return the decimal of each integer of 0 or more."""
    width = _width(counts)
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
