"""A deck file becomes rate rows, or problems with the file and line of each; it is taken whole or not at all.

The file is bounded, read line by line, and every line must be UTF-8.
"""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from daemon.config_files.positions import Problem
from daemon.rating.deck import LINE_LENGTH_MAX, RateRow, read_deck
from daemon.rating.rate_table import RateTable

DECK_SIZE_MAX: Final = 256 << 20  # octets; two million rows of some hundred octets, the most that a deck holds


class Unreadable(Exception):
    """A deck that cannot be read at all; the message says why and how to mend it."""


class _NotUtf8(Exception):
    def __init__(self, line: int) -> None:
        self.line = line


def read_deck_file(path: Path) -> tuple[list[RateRow], list[Problem]]:
    """Return the rows of a deck, or no row and every problem: bad cells, and rows that contradict each other.

    Raises Unreadable.
    """
    source = str(path)
    try:
        _check_size(path)
        with path.open("rb") as file:
            rows, errors = read_deck(_lines(file), source)
    except OSError as error:
        raise Unreadable(f"{source} cannot be read: {error.strerror or error}; mend the path") from None
    except _NotUtf8 as error:
        return [], [Problem(source, error.line, "", "the line is not UTF-8; save the deck as UTF-8")]
    if not errors:
        _, errors = RateTable.from_rows(rows, table=source, version=1, currency="XXX")
    problems = [Problem(error.source, error.line, error.column, error.reason) for error in errors]
    return ([], problems) if problems else (rows, [])


def _check_size(path: Path) -> None:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable(f"{path} is no regular file; mend the path")
    if status.st_size > DECK_SIZE_MAX:
        raise Unreadable(f"{path} has more than {DECK_SIZE_MAX} octets; split it by prefix")


def _lines(file: BinaryIO) -> Iterator[str]:
    """Yield the lines with their ends; a longer one is cut, so that its reader sees that it is too long."""
    number = 0
    while octets := file.readline(4 * LINE_LENGTH_MAX + 1):
        number += 1
        try:
            yield octets.decode()
        except UnicodeDecodeError:
            raise _NotUtf8(number) from None
