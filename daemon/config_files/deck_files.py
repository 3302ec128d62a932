"""A deck or code list becomes finished rows, or problems with the file and line of each; it is taken whole or not.

The file is bounded, read line by line, and every line must be UTF-8. Whether the rows of a deck contradict each other
is not told here: that depends on the table that they are for.
"""

import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from daemon.config_files.positions import Problem
from daemon.rating.code_list import Code, read_codes
from daemon.rating.deck import LINE_LENGTH_MAX, DeckError, RateRow, read_deck

DECK_SIZE_MAX: Final = 256 << 20  # octets; two million rows of some hundred octets, the most that a deck holds
Rows = TypeVar("Rows")
Parse = Callable[[Iterable[str], str], tuple[Rows, list[DeckError]]]


class Unreadable(Exception):
    """A deck that cannot be read at all; the message says why and how to mend it."""


class _NotUtf8(Exception):
    def __init__(self, line: int) -> None:
        self.line = line


def read_deck_file(path: Path) -> tuple[list[RateRow], list[Problem]]:
    """Return the rows of a deck, or no row and every bad cell. Raises Unreadable."""
    rows, problems = _read(path, read_deck)
    return ([], problems) if problems else (rows, [])


def read_code_file(path: Path) -> tuple[tuple[Code, ...], list[Problem]]:
    """Return the codes of a code list, or none and every fault. Raises Unreadable."""
    codes, problems = _read(path, read_codes)
    return ((), problems) if problems else (codes, [])


def problems_of(errors: Iterable[DeckError]) -> list[Problem]:
    """Return the errors of a deck as problems of its file."""
    return [Problem(error.source, error.line, error.column, error.reason) for error in errors]


def _read(
    path: Path, parse: Callable[[Iterable[str], str], tuple[Rows, list[DeckError]]]
) -> tuple[Rows, list[Problem]]:
    source = str(path)
    try:
        _check_size(path)
        with path.open("rb") as file:
            rows, errors = parse(_lines(file), source)
    except OSError as error:
        raise Unreadable(f"{source} cannot be read: {error.strerror or error}; mend the path") from None
    except _NotUtf8 as error:
        problem = Problem(source, error.line, "", "the line is not UTF-8; save the file as UTF-8")
        return parse((), source)[0], [problem]
    return rows, problems_of(errors)


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
