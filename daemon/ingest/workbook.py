"""A workbook (.xlsx) becomes rows of texts, as if its sheet had been exported without losing a digit.

A number is the decimal that the workbook shows with all of its fifteen digits; a date is written with the year first.
Its parts are counted and measured before any is unpacked; document types and entities in its XML are refused.
"""

import warnings
import zipfile
import zlib
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import openpyxl

from daemon.ingest.deck_source import Row, UnreadableDeck
from daemon.rating.deck import DeckError, Findings

UNPACKED_SIZE_MAX: Final = 512 << 20  # octets of all parts; a full sheet of a million rows has some 400 MiB
STRINGS_SIZE_MAX: Final = 64 << 20  # octets of the table of texts, which is held in memory
PARTS_MAX: Final = 1_000  # parts; ours: a book of two hundred sheets has five hundred
SHEETS_MAX: Final = 50  # sheets in which a header is sought
ROWS_MAX: Final = 1_048_576  # rows of a sheet, ECMA-376
CELLS_MAX: Final = 256  # cells of a row; the widest deck known has thirty

_DIGITS: Final = Context(prec=15)  # what a workbook keeps; the rest of a binary fraction is noise
_TOO_LONG: Final = Decimal(10) ** 15
_ERRORS: Final = ("#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!")
# What the library lets through when the parts of a workbook are not what they say.
_BROKEN: Final = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError,
    AttributeError, NotImplementedError, RuntimeError, OverflowError, AssertionError,
)  # fmt: skip


class WorkbookDeck(NamedTuple):
    """A workbook and the day from which it counts days."""

    path: Path
    sheets: tuple[str, ...]
    days_from: datetime

    def rows(self, sheet: str, findings: Findings) -> Iterator[Row]:
        """Yield the rows of a sheet that are not blank; faults go to the findings, after some nothing can follow."""
        line = 0
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                book = _load(self.path)
            try:
                for line, values in enumerate(book[sheet].iter_rows(values_only=True), start=1):
                    if line > ROWS_MAX:
                        findings.add(DeckError(str(self.path), line, "", f"a sheet has at most {ROWS_MAX} rows"))
                        return
                    row = self._row(line, values, findings)
                    if row is not None:
                        yield row
            finally:
                book.close()
        except _BROKEN as error:
            reason = f"the workbook is broken here ({type(error).__name__}); open it and save it again"
            findings.add(DeckError(str(self.path), line + 1, "", reason))

    def _row(self, line: int, values: tuple[object, ...], findings: Findings) -> Row | None:
        cells = [_text(value) for value in values[:CELLS_MAX]]
        if any(value is not None for value in values[CELLS_MAX:]):
            findings.add(DeckError(str(self.path), line, "", f"the row has more than {CELLS_MAX} cells"))
            return None
        for error in _ERRORS:
            if error in cells:
                findings.add(DeckError(str(self.path), line, "", f"a cell holds the error {error}; mend its formula"))
                return None
        return Row(line, cells) if any(cells) else None


def workbook_deck(path: Path) -> WorkbookDeck:
    """Return a workbook whose parts are within bounds. Raises UnreadableDeck."""
    try:
        _measure(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            book = _load(path)
        try:
            names = tuple(sheet.title for sheet in book.worksheets if sheet.sheet_state == "visible")
            return WorkbookDeck(path, names[:SHEETS_MAX], book.epoch)
        finally:
            book.close()
    except _BROKEN as error:
        raise UnreadableDeck(
            f"{path} is no whole .xlsx workbook ({type(error).__name__}); open it and save it again"
        ) from None


def _load(path: Path) -> Any:
    return openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)


def _measure(path: Path) -> None:
    # What a part says of its size binds: no more than that is ever unpacked of it.
    with zipfile.ZipFile(path) as book:
        parts = book.infolist()
    if len(parts) > PARTS_MAX:
        raise UnreadableDeck(f"{path} has more than {PARTS_MAX} parts; save its sheet as CSV")
    if sum(part.file_size for part in parts) > UNPACKED_SIZE_MAX:
        raise UnreadableDeck(f"{path} has more than {UNPACKED_SIZE_MAX} octets unpacked; save its sheet as CSV")
    if any("sharedstrings" in part.filename.lower() and part.file_size > STRINGS_SIZE_MAX for part in parts):
        raise UnreadableDeck(f"{path} has more than {STRINGS_SIZE_MAX} octets of texts; save its sheet as CSV")


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _decimal(value)
    if isinstance(value, datetime):
        return _moment(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def _decimal(value: float) -> str:
    """Return a number as the workbook shows it; one beyond its digits keeps its power of ten, as a sign of that."""
    # repr is the shortest text that means the value, so that no arithmetic of floats takes part.
    exact = Decimal(repr(value)).normalize(_DIGITS)
    if not exact.is_finite() or abs(exact) >= _TOO_LONG:
        return f"{exact:E}"
    return f"{exact:f}"


def _moment(value: datetime) -> str:
    nearest = (value + timedelta(milliseconds=500)).replace(microsecond=0)
    return nearest.date().isoformat() if (nearest.hour, nearest.minute, nearest.second) == (0, 0, 0) else str(nearest)
