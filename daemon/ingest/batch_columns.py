"""The columns of a batch and its bounds: what a file must have, what is written beside it, how much of it is held.

A file that lacks a column, or has one of the names that are written beside it, is refused before a row is read.
"""

from collections.abc import Sequence
from typing import Final

REQUIRED: Final = ("id", "to", "start", "duration_seconds")
OPTIONAL: Final = ("rate_type", "override", "account")
READ: Final = ("to", "start", "duration_seconds", *OPTIONAL)  # what pricing looks at; ``id`` is the caller's own
WRITTEN: Final = ("prefix", "destination", "billed_seconds", "charge", "currency", "rate", "status", "reason")

CHUNK_ROWS: Final = 65_536  # rows priced at once; some 10 MiB, and arrays large enough that Python's part is small
CHUNK_OCTETS: Final = 16 << 20  # octets of lines held for one chunk; longer lines make smaller chunks
LINE_LENGTH_MAX: Final = 65_536  # octets of a line; a record of usage has some hundreds
CELL_LENGTH_MAX: Final = 4_096  # octets of a cell; no number, time or name comes near
COLUMNS_MAX: Final = 256  # columns of a file; the widest exports of usage have some forty


class FileRefused(Exception):
    """A file that cannot be priced at all, or a run that cannot go on; the message names it and the way out."""


class RunStopped(Exception):
    """A run that was asked to stop: the first ``rows`` of the input are priced and kept, and it goes on behind them."""

    def __init__(self, rows: int) -> None:
        """Take how many rows are kept; 0: none, and it begins anew."""
        super().__init__(rows)
        self.rows = rows


def checked_columns(names: Sequence[str], source: str) -> tuple[str, ...]:
    """Return the names of a file's columns. Raises FileRefused."""
    if len(names) > COLUMNS_MAX:
        raise FileRefused(f"{source} has more than {COLUMNS_MAX} columns; leave out those that nobody needs")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FileRefused(f"{source} has the column {twice[0]!r} twice; rename one")
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise FileRefused(f"{source} lacks the column {', '.join(missing)}; a batch has {', '.join(REQUIRED)}")
    taken = [name for name in WRITTEN if name in names]
    if taken:
        raise FileRefused(f"{source} has the column {', '.join(taken)}, which the prices are written to; rename it")
    return tuple(names)
