"""A workbook (.xlsx) becomes rows of texts, as if its sheet had been exported without losing a digit.

A number is the decimal that the workbook shows with all of its fifteen digits; a date is written with the year first.
Its parts are counted and measured before any is unpacked, and what becomes a tree has its elements counted before;
document types and entities in its XML are refused.
"""

import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple
from xml.parsers import expat

from openpyxl.reader.excel import ExcelReader
from openpyxl.styles.stylesheet import apply_stylesheet
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.xml.constants import SHARED_STRINGS

from daemon.ingest.deck_source import Row, UnreadableDeck
from daemon.ingest.shared_texts import shared_texts
from daemon.ingest.sheet_rows import SheetBroken, SheetContext, sheet_rows
from daemon.rating.deck import DeckError, Findings

UNPACKED_SIZE_MAX: Final = 256 << 20  # octets of all parts; a sheet of a million rows of five cells has some 220 MiB
PART_SIZE_MAX: Final = 64 << 20  # octets of a part that is no sheet, such as the table of texts: it is held in memory
TREE_SIZE_MAX: Final = 8 << 20  # octets of a part that the library takes as a tree; ours: 30,000 cell formats fit
ELEMENTS_MAX: Final = 200_000  # elements of such a tree; a spreadsheet allows 65,490 cell formats, of three at most
ATTRIBUTES_MAX: Final = 600_000  # attributes of such a tree; a cell format has nine
PARTS_MAX: Final = 1_000  # parts; ours: a book of two hundred sheets has five hundred
NAME_LENGTH_MAX: Final = 60  # characters of a sheet's name that are kept; spreadsheets allow 31
SHEETS_MAX: Final = 50  # sheets in which a header is sought

_MEND: Final = "save its sheet as CSV"
_SHEETS: Final = "xl/worksheets/"
# What the library lets through when the parts of a workbook are not what they say.
_BROKEN: Final = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError,
    AttributeError, NotImplementedError, RuntimeError, OverflowError, AssertionError, InvalidFileException,
)  # fmt: skip


class WorkbookDeck(NamedTuple):
    """A workbook: the part that each sheet is, by name, and what their cells refer to."""

    path: Path
    parts: Mapping[str, str]
    context: SheetContext

    @property
    def sheets(self) -> tuple[str, ...]:
        """Return the names of the sheets that are shown."""
        return tuple(self.parts)

    def rows(self, sheet: str, findings: Findings) -> Iterator[Row]:
        """Yield the rows of a sheet that are not blank; faults go to the findings, after some nothing can follow."""
        line = 0
        try:
            with zipfile.ZipFile(self.path) as book, book.open(self.parts[sheet]) as xml:
                for line, cells, fault in sheet_rows(xml, self.context):
                    if fault:
                        findings.add(DeckError(str(self.path), line, "", fault))
                    elif any(cells):
                        yield Row(line, cells)
        except SheetBroken as error:
            reason = f"the sheet is broken here: {error}; open the workbook and save it again"
            findings.add(DeckError(str(self.path), line + 1, "", reason))
        except MemoryError:
            findings.add(DeckError(str(self.path), line + 1, "", f"memory ran out here; {_MEND}"))
        except _BROKEN as error:
            reason = f"the sheet is broken here ({type(error).__name__}); open the workbook and save it again"
            findings.add(DeckError(str(self.path), line + 1, "", reason))


def workbook_deck(path: Path) -> WorkbookDeck:
    """Return a workbook whose parts are within bounds. Raises UnreadableDeck."""
    try:
        _measure(path)
        with path.open("rb") as file, warnings.catch_warnings():
            # The library warns of features that it does not know; none of them holds a rate.
            warnings.simplefilter("ignore")
            return _loaded(path, file)
    except SheetBroken as error:
        raise UnreadableDeck(f"{path} cannot be read: {error}; open it and save it again, or {_MEND}") from None
    except MemoryError:
        raise UnreadableDeck(f"{path} cannot be read: memory ran out; {_MEND}") from None
    except _BROKEN as error:
        raise UnreadableDeck(
            f"{path} is no whole .xlsx workbook ({type(error).__name__}); open it and save it again"
        ) from None


def _loaded(path: Path, file: BinaryIO) -> WorkbookDeck:
    """Read all of a workbook but its sheets.

    The library is not asked for these: its rows end where the sheet says that it ends and leave out one whose number
    does not rise, both in silence, and it makes floats of prices. Nor for the table of texts, which it never bounds.
    """
    reader = ExcelReader(file, read_only=True, data_only=True, keep_links=False)
    reader.archive.close()
    with closing(_Archive(file)) as reader.archive:
        reader.read_manifest()
        texts = _texts(reader)
        reader.read_workbook()
        apply_stylesheet(reader.archive, reader.wb)
        parts = {
            sheet.name[:NAME_LENGTH_MAX]: part.target
            for sheet, part in islice(reader.parser.find_sheets(), SHEETS_MAX)
            if sheet.state == "visible" and part.Type.endswith("/worksheet")
        }
    # The library names the styles of dates in no other place.
    dates = frozenset(reader.wb._date_formats - reader.wb._timedelta_formats)
    return WorkbookDeck(path, parts, SheetContext(texts, dates, reader.wb.epoch))


def _texts(reader: ExcelReader) -> Sequence[str | None]:
    """Return the texts that cells refer to; a workbook need have none."""
    part = reader.package.find(SHARED_STRINGS)
    if part is None:
        return ()
    with reader.archive.open(part.PartName[1:]) as xml:
        return shared_texts(xml)


class _Archive(zipfile.ZipFile):
    """The parts as the library reads them: it makes a tree of each, of a hundred times its size."""

    def read(self, name: str | zipfile.ZipInfo, pwd: bytes | None = None) -> bytes:
        """Return a part whose tree is within bounds. Raises SheetBroken."""
        info = self.getinfo(name) if isinstance(name, str) else name
        if info.file_size > TREE_SIZE_MAX:
            raise SheetBroken(f"its part {_shown(info)} has more than {TREE_SIZE_MAX} octets")
        octets = super().read(info, pwd)
        _count(octets, _shown(info))
        return octets


def _shown(info: zipfile.ZipInfo) -> str:
    return info.filename[:NAME_LENGTH_MAX] if info.filename.isprintable() else "of no name"


def _count(octets: bytes, part: str) -> None:
    """Raise SheetBroken for XML of too many elements or attributes; what is not sound is the library's to refuse."""
    parser = expat.ParserCreate()
    elements = attributes = 0

    def start(_name: str, values: list[str]) -> None:
        nonlocal elements, attributes
        elements += 1
        attributes += len(values) // 2
        if elements > ELEMENTS_MAX or attributes > ATTRIBUTES_MAX:
            raise SheetBroken(f"its part {part} has more than {ELEMENTS_MAX} elements or {ATTRIBUTES_MAX} attributes")

    def doctype(*_: object) -> None:
        raise SheetBroken(f"its part {part} declares a document type")

    parser.ordered_attributes = True
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = doctype
    with suppress(expat.ExpatError):
        parser.Parse(octets, True)


def _measure(path: Path) -> None:
    # What a part says of its size binds: no more than that is ever unpacked of it.
    with zipfile.ZipFile(path) as book:
        parts = book.infolist()
    if len(parts) > PARTS_MAX:
        raise UnreadableDeck(f"{path} has more than {PARTS_MAX} parts; {_MEND}")
    if sum(part.file_size for part in parts) > UNPACKED_SIZE_MAX:
        raise UnreadableDeck(f"{path} has more than {UNPACKED_SIZE_MAX} octets unpacked; {_MEND}")
    if any(part.file_size > PART_SIZE_MAX and not part.filename.startswith(_SHEETS) for part in parts):
        raise UnreadableDeck(f"{path} has a part of more than {PART_SIZE_MAX} octets; {_MEND}")
