"""Priced rows as lines of CSV: each line as it came, and the columns that were written behind it.

The columns are made whole, and laid behind the lines at the end, so that Python does little for each row.
"""

from collections.abc import Sequence

import numpy as np

from daemon.ingest.batch_columns import WRITTEN
from daemon.ingest.batch_csv import quoted
from daemon.ingest.batch_pricing import PricedRows
from daemon.ingest.batch_text import format_counts, format_nanos
from daemon.rating.batch import RATED, STATUSES


class LineWriter:
    """Makes lines; keeps the names of destinations as cells from one chunk to the next."""

    def __init__(self) -> None:
        """Begin with no name."""
        self._cells: list[bytes] = []

    def lines(self, lines: Sequence[bytes], priced: PricedRows) -> bytes:
        """Return the lines of a chunk with their prices."""
        self._cells += [quoted(name) for name in priced.names[len(self._cells) :]]
        names = self._cells
        unpriced = np.flatnonzero(priced.statuses != RATED).tolist()
        columns = (
            lines,
            priced.prefixes(),
            [names[place] for place in priced.destinations.tolist()],
            _without(format_counts(priced.billed), unpriced),
            _without(format_nanos(priced.charges), unpriced),
            _without([names[place] for place in priced.currencies.tolist()], unpriced),
            _without(format_nanos(priced.rates), unpriced),
            _endings(priced),
        )
        return b"".join((b"\n".join(map(b",".join, zip(*columns, strict=True))), b"\n" if lines else b""))


def header_line(header: bytes) -> bytes:
    """Return the first line of what is written."""
    return header + b"," + ",".join(WRITTEN).encode() + b"\n"


def _without(texts: list[bytes], rows: Sequence[int]) -> list[bytes]:
    """Return texts, empty in some rows."""
    for row in rows:
        texts[row] = b""
    return texts


def _endings(priced: PricedRows) -> list[bytes]:
    """Return status and reason of each row."""
    plain = [status.value.encode() + b"," for status in STATUSES]
    endings = [plain[status] for status in priced.statuses.tolist()]
    for row in np.flatnonzero(priced.statuses != RATED).tolist():
        endings[row] += quoted(priced.reason(row))
    return endings
