"""A deck or code list becomes finished rows, or problems with the file and line of each; it is taken whole or not.

A deck may have any layout that a template knows (``daemon.ingest``); a code list is a CSV file in UTF-8. Whether the
rows of a deck contradict each other is not told here: that depends on the table that they are for.
"""

import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from daemon.config_files.deck_template_file import read_template_file
from daemon.config_files.positions import Problem
from daemon.ingest.deck_records import DeckSource, Stated, read_deck_records
from daemon.ingest.deck_source import UnreadableDeck
from daemon.ingest.deck_template import RECORD_COLUMNS, Template
from daemon.ingest.templates import BUILT_IN, template_named
from daemon.rating.code_list import Code, read_codes
from daemon.rating.deck import COLUMNS, LINE_LENGTH_MAX, DeckError, DeckRow, RateRow, finish_deck

__all__ = [
    "DeckFile", "Stated", "Unreadable", "find_template", "problems_of", "read_code_file", "read_deck_file",
]  # fmt: skip

CODES_SIZE_MAX: Final = 256 << 20  # octets of a code list; two million codes of some hundred octets
Rows = TypeVar("Rows")
Parse = Callable[[Iterable[str], str], tuple[Rows, list[DeckError]]]


class Unreadable(Exception):
    """A deck that cannot be read at all; the message says why and how to mend it."""


class _NotUtf8(Exception):
    def __init__(self, line: int) -> None:
        self.line = line


@dataclass(frozen=True, slots=True)
class DeckFile:
    """The rows of a deck, none where there are problems; ``notes`` say what was detected, for the operator."""

    rows: list[RateRow]
    problems: list[Problem]
    notes: list[str]


def read_deck_file(
    path: Path, template: Template | None = None, stated: Stated | None = None,
    progress: Callable[[int], None] | None = None,
) -> DeckFile:  # fmt: skip
    """Return the rows of a deck of any layout known, or no row and every fault. Raises Unreadable.

    Without a template the layout is told by the header; ``stated`` is what the operator says of the file.
    """
    source = str(path)
    try:
        deck = read_deck_records(path, template=template, stated=stated, progress=progress)
        rows, errors = finish_deck(_typed(deck, source), source)
    except UnreadableDeck as error:
        raise Unreadable(str(error)) from None
    except OSError as error:
        why = error.strerror or error
        raise Unreadable(f"{source} cannot be read: {why}; put it there, or mend the path") from None
    problems = problems_of(sorted([*deck.errors, *errors], key=lambda error: error.line))
    return DeckFile([] if problems else rows, problems, deck.notes)


def _typed(deck: DeckSource, source: str) -> Iterator[DeckRow]:
    for line, (prefix, destination, connect_fee, rate, *rest) in deck.records:
        yield DeckRow(source, line, prefix, destination, rate, connect_fee, *rest)


assert RECORD_COLUMNS[:4] == ("prefix", "destination", "connect_fee", "rate")
assert RECORD_COLUMNS[4:] == COLUMNS[4:], "records and rows name the same columns"


def find_template(name: str) -> tuple[Template | None, list[Problem]]:
    """Return a template built in, or the one of an operator's own file; None and every fault where it is neither."""
    built_in = template_named(name)
    if built_in is not None:
        return built_in, []
    if not Path(name).is_file():
        known = ", ".join(template.name for template in BUILT_IN)
        return None, [Problem(name, 0, "", f"is neither a file nor a template; the templates are {known}")]
    return read_template_file(Path(name))


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
        why = error.strerror or error
        raise Unreadable(f"{source} cannot be read: {why}; put it there, or mend the path") from None
    except _NotUtf8 as error:
        problem = Problem(source, error.line, "", "the line is not UTF-8; save the file as UTF-8")
        return parse((), source)[0], [problem]
    return rows, problems_of(errors)


def _check_size(path: Path) -> None:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable(f"{path} is no regular file; mend the path")
    if status.st_size > CODES_SIZE_MAX:
        raise Unreadable(f"{path} has more than {CODES_SIZE_MAX} octets; split it")


def _lines(file: BinaryIO) -> Iterator[str]:
    """Yield the lines with their ends; a longer one is cut, so that its reader sees that it is too long."""
    number = 0
    while octets := file.readline(4 * LINE_LENGTH_MAX + 1):
        number += 1
        try:
            yield octets.decode()
        except UnicodeDecodeError:
            raise _NotUtf8(number) from None
