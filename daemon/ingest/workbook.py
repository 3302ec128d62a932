"""A workbook (.xlsx) becomes rows of texts, as if its sheet had been exported without losing a digit.

A number is the decimal that the workbook shows with all of its fifteen digits; a date is written with the year first.
Its parts are counted and measured before any is unpacked; document types and entities in its XML are refused.
"""

import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.worksheet._reader import WorkSheetParser

from daemon.ingest.deck_source import Row, UnreadableDeck
from daemon.rating.deck import DeckError, Findings

UNPACKED_SIZE_MAX: Final = 256 << 20  # octets of all parts; a sheet of a million rows of five cells has some 220 MiB
PART_SIZE_MAX: Final = 64 << 20  # octets of a part that is no sheet, such as the table of texts: it is held in memory
PARTS_MAX: Final = 1_000  # parts; ours: a book of two hundred sheets has five hundred
SHEETS_MAX: Final = 50  # sheets in which a header is sought
ROWS_MAX: Final = 1_048_576  # rows of a sheet, ECMA-376
CELLS_MAX: Final = 256  # cells of a row; the widest deck known has thirty

_SHEETS: Final = "xl/worksheets/"
_DIGITS: Final = Context(prec=15)  # what a workbook keeps; the rest of a binary fraction is noise
_TOO_LONG: Final = Decimal(10) ** 15
# What the library lets through when the parts of a workbook are not what they say.
_BROKEN: Final = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError,
    AttributeError, NotImplementedError, RuntimeError, OverflowError, AssertionError, InvalidFileException,
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
            with self.path.open("rb") as file, closing(_load(file)) as book, _numbered_rows(book, sheet) as rows:
                for number, cells in rows:
                    if not line < number <= ROWS_MAX:
                        reason = f"a sheet has rows 1 to {ROWS_MAX}, each once and in order; here comes {number}"
                        findings.add(DeckError(str(self.path), line + 1, "", reason))
                        return
                    line = number
                    row = self._row(line, cells, findings)
                    if row is not None:
                        yield row
        except _BROKEN as error:
            reason = f"the workbook is broken here ({type(error).__name__}); open it and save it again"
            findings.add(DeckError(str(self.path), line + 1, "", reason))

    def _row(self, line: int, cells: Sequence[Mapping[str, Any]], findings: Findings) -> Row | None:
        texts: list[str] = []
        for cell in cells:
            if (fault := _cell_fault(cell, line, len(texts))) and cell["value"] is not None:
                findings.add(DeckError(str(self.path), line, "", fault))
                return None
            if not fault:
                texts.extend([""] * (cell["column"] - len(texts) - 1))
                texts.append(_text(cell["value"]))
        return Row(line, texts) if any(texts) else None


def _cell_fault(cell: Mapping[str, Any], line: int, width: int) -> str:
    if cell["column"] > CELLS_MAX:
        return f"the row has more than {CELLS_MAX} cells"
    if cell["row"] != line or cell["column"] <= width:
        return "the row holds a cell of another place; open the workbook and save it again"
    return f"a cell holds the error {cell['value']}; mend its formula" if cell["data_type"] == "e" else ""


def workbook_deck(path: Path) -> WorkbookDeck:
    """Return a workbook whose parts are within bounds. Raises UnreadableDeck."""
    try:
        _measure(path)
        with path.open("rb") as file, closing(_load(file)) as book:
            names = tuple(sheet.title for sheet in book.worksheets if sheet.sheet_state == "visible")
            return WorkbookDeck(path, names[:SHEETS_MAX], book.epoch)
    except _BROKEN as error:
        raise UnreadableDeck(
            f"{path} is no whole .xlsx workbook ({type(error).__name__}); open it and save it again"
        ) from None


def _load(file: BinaryIO) -> Any:
    # The library warns of features that it does not know; none of them holds a rate.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)


@contextmanager
def _numbered_rows(book: Any, name: str) -> Iterator[Iterator[tuple[int, Sequence[Mapping[str, Any]]]]]:
    """Open the rows of a sheet with their numbers.

    The library's own iterator of rows ends where the sheet says that it ends, and leaves out a row whose number does
    not rise, both in silence; therefore its parser is asked.
    """
    sheet = book[name]
    with sheet._get_source() as source, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield WorkSheetParser(
            source, sheet._shared_strings, data_only=True, epoch=book.epoch, date_formats=book._date_formats,
            timedelta_formats=book._timedelta_formats,
        ).parse()  # fmt: skip


def _measure(path: Path) -> None:
    # What a part says of its size binds: no more than that is ever unpacked of it.
    with zipfile.ZipFile(path) as book:
        parts = book.infolist()
    if len(parts) > PARTS_MAX:
        raise UnreadableDeck(f"{path} has more than {PARTS_MAX} parts; save its sheet as CSV")
    if sum(part.file_size for part in parts) > UNPACKED_SIZE_MAX:
        raise UnreadableDeck(f"{path} has more than {UNPACKED_SIZE_MAX} octets unpacked; save its sheet as CSV")
    if any(part.file_size > PART_SIZE_MAX and not part.filename.startswith(_SHEETS) for part in parts):
        raise UnreadableDeck(f"{path} has a part of more than {PART_SIZE_MAX} octets; save its sheet as CSV")


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
