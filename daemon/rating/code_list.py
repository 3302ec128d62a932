"""A code list names destinations and their prefixes, so that a deck may state a destination where others state codes.

A row of a deck with a destination and neither prefix nor rate type becomes one row for each prefix of that name; a row
with a prefix and no name takes the name of the longest prefix of the list that begins it. Names are compared as they
are written. A table has one list: its own, else its tenant's standard one; the two are never mixed (SPEC section 2).
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from io import StringIO
from typing import Final, NamedTuple

from daemon.kernel.e164 import DIGITS_MAX, digits
from daemon.rating.deck import LINE_LENGTH_MAX, ROWS_MAX, DeckError, Findings, RateRow

CODES_MAX: Final = 100_000  # prefixes of a list; ours: twice the codes that the world's largest lists name
NAME_LENGTH_MAX: Final = 128  # characters of a destination's name; the longest in use have half of it
_COLUMNS: Final = ("prefix", "destination")


class Code(NamedTuple):
    """One prefix and the name of its destination."""

    prefix: str
    destination: str


@dataclass(frozen=True)
class CodeList:
    """The codes of a list; every prefix stands in it once."""

    id: str
    codes: tuple[Code, ...]

    @cached_property
    def _names(self) -> dict[str, str]:
        return dict(self.codes)

    @cached_property
    def _prefixes(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for prefix, destination in self.codes:
            found.setdefault(destination, []).append(prefix)
        return found

    def prefixes_of(self, destination: str) -> Sequence[str]:
        """Return the prefixes of a destination in the order of the list, empty where it does not know the name."""
        return self._prefixes.get(destination, ())

    def name_of(self, prefix: str) -> str:
        """Return the name of the longest prefix of the list that begins this one, empty where none does."""
        lengths = range(len(prefix), 0, -1)
        return next((self._names[prefix[:length]] for length in lengths if prefix[:length] in self._names), "")

    def near(self, destination: str) -> str:
        """Return the name of the list that is most like this one, empty where none is."""
        return next(iter(get_close_matches(destination, self._prefixes, 1)), "")


def expanded(rows: Iterable[RateRow], code_list: CodeList | None) -> tuple[list[RateRow], list[DeckError]]:
    """Return the rows of a deck with every destination written out and named, or no row and every fault with its line.

    ``code_list`` is that of the table that the deck is for, None where it has none.
    """
    made: list[RateRow] = []
    findings = Findings(code_list.id if code_list is not None else "")
    for row in rows:
        made += _expanded(row, code_list, findings)
        if len(made) > ROWS_MAX:
            reason = f"the deck has more than {ROWS_MAX} rows once its destinations are written out; split it"
            findings.add(DeckError(row.source, row.line, "", reason))
            break
    return ([], findings.report()) if findings.count else (made, [])


def _expanded(row: RateRow, code_list: CodeList | None, findings: Findings) -> Iterable[RateRow]:
    if row.prefix:
        named = row.destination or code_list is None
        return (row,) if named or code_list is None else (row._replace(destination=code_list.name_of(row.prefix)),)
    if row.terms.rate_type:
        return (row,)
    prefixes = code_list.prefixes_of(row.destination) if code_list is not None else ()
    if not prefixes:
        findings.add(DeckError(row.source, row.line, "destination", _unknown(row.destination, code_list)))
    return (row._replace(prefix=prefix) for prefix in prefixes)


def _unknown(destination: str, code_list: CodeList | None) -> str:
    if code_list is None:
        return "stands without a prefix, and the table has no code list; write the prefix or add a [[code_list]]"
    near = code_list.near(destination)
    return f"{destination!r} is no destination of code list {code_list.id}; " + (
        f"did you mean {near!r}?" if near else "write it as the list does, or add it there"
    )


def read_codes(lines: Iterable[str] | str, source: str) -> tuple[tuple[Code, ...], list[DeckError]]:
    """Return the codes of a CSV file with the header ``prefix,destination``, or none and every fault with its line."""
    findings = Findings(source)
    codes = tuple(_codes(_records(lines, source, findings), source, findings))
    if not findings.count and not codes:
        findings.add(DeckError(source, 1, "", "the list is empty; write a row for each prefix"))
    return ((), findings.report()) if findings.count else (codes, [])


def _records(lines: Iterable[str] | str, source: str, findings: Findings) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each record begins and its cells, without blank records; a fault of CSV ends them."""
    reader = csv.reader(_bounded(StringIO(lines, newline="") if isinstance(lines, str) else lines), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            findings.add(DeckError(source, line, "", f'{error}; a cell with quotes is "quoted whole"'))
            return
        if any(cells):
            yield line, cells


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if len(line) > LINE_LENGTH_MAX:
            raise csv.Error(f"the line has more than {LINE_LENGTH_MAX} characters")
        yield line if number else line.removeprefix("\ufeff")


def _codes(records: Iterator[tuple[int, list[str]]], source: str, findings: Findings) -> Iterator[Code]:
    line, header = next(records, (1, []))
    if findings.count:
        return
    if sorted(header) != sorted(_COLUMNS):
        findings.add(DeckError(source, line, "", f"the header, which is the first row, is not {','.join(_COLUMNS)}"))
        return
    places = tuple(header.index(name) for name in _COLUMNS)
    seen: dict[str, int] = {}
    for line, cells in records:
        code = _code(line, cells, places, source, findings)
        if code is None:
            continue
        if code.prefix in seen:
            reason = f"{code.prefix} stands in line {seen[code.prefix]} too; a prefix has one destination"
            findings.add(DeckError(source, line, "prefix", reason))
        if len(seen) == CODES_MAX:
            findings.add(DeckError(source, line, "", f"a code list has at most {CODES_MAX} prefixes; shorten it"))
            return
        seen.setdefault(code.prefix, line)
        yield code


def _code(line: int, cells: list[str], places: tuple[int, ...], source: str, findings: Findings) -> Code | None:
    if len(cells) != len(_COLUMNS):
        findings.add(DeckError(source, line, "", f"the row has {len(cells)} cells, the header 2; align them"))
        return None
    typed, name = (cells[place] for place in places)
    prefix = digits(typed)
    if prefix is None:
        reason = f"{typed!r} is not 1 to {DIGITS_MAX} digits after an optional +"
        findings.add(DeckError(source, line, "prefix", reason))
    if not name or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        reason = f"is empty, has more than {NAME_LENGTH_MAX} characters, or one that cannot be printed; write a name"
        findings.add(DeckError(source, line, "destination", reason))
        return None
    return Code(prefix, name) if prefix is not None else None
