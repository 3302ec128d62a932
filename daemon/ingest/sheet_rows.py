"""The XML of a workbook's sheet becomes rows of cells, in pieces: no tree, no row left out, no digit lost.

A row's number must rise, and a cell's place too; a cell is text as it stands in the file, so that a number is exactly
what was saved. A document type is refused, since entities come with it. Everything is bounded.
"""

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import IO, Final, NamedTuple
from xml.parsers import expat

from daemon.rating.deck import LINE_LENGTH_MAX

ROWS_MAX: Final = 1_048_576  # rows of a sheet, ECMA-376
CELLS_MAX: Final = 256  # cells of a row; the widest deck known has thirty
SERIAL_MAX: Final = 80_000  # days; the year 2119, beyond which a number of a day is rather a slip
PIECE_SIZE: Final = 1 << 16  # octets of XML between two looks at the rows found

MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main "
_PLACE = re.compile("([A-Z]{1,3})([0-9]{1,7})")
_SERIAL = re.compile(r"([0-9]{1,5})(?:\.([0-9]{1,17}))?")
_NUMBER = re.compile(r"-?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,4})?")
_DIGITS: Final = Context(prec=15)  # what a workbook keeps; the rest of a binary fraction is noise
_ALL_DIGITS: Final = Context(prec=60)
_PLACES_MAX: Final = 20  # digits before or after the point, beyond which a number is no prefix and no price
_TOO_LONG: Final = Decimal(10) ** 15
_DAY: Final = 86_400  # seconds


class SheetBroken(Exception):
    """XML that is not a sheet's, or not a sound one."""


class SheetRow(NamedTuple):
    """A row of a sheet; ``fault`` says why its cells cannot be used."""

    number: int
    cells: list[str]
    fault: str


class SheetContext(NamedTuple):
    """What cells of a sheet refer to: the table of texts, the styles that are dates, and the day 0.

    A text is without blanks around it, and None where it is too long.
    """

    texts: Sequence[str | None]
    date_styles: Container[int]
    days_from: datetime


def sheet_rows(xml: IO[bytes], context: SheetContext) -> Iterator[SheetRow]:
    """Yield the rows of a sheet that has cells. Raises SheetBroken."""
    reader = _Reader(context)
    while True:
        piece = xml.read(PIECE_SIZE)
        try:
            reader.parser.Parse(piece, not piece)
        except expat.ExpatError as error:
            yield from reader.taken()
            raise SheetBroken(f"its XML ends: {expat.ErrorString(error.code)}") from None
        except SheetBroken:
            yield from reader.taken()
            raise
        yield from reader.taken()
        if not piece:
            return


class _Reader:
    """Handlers of one sheet's XML; what is open is kept, what is finished is taken away."""

    def __init__(self, context: SheetContext) -> None:
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = self._doctype
        self._context = context
        self._rows: list[SheetRow] = []
        self._number = 0
        self._cells: list[str] = []
        self._fault = ""
        self._kind, self._style = "n", 0
        self._text: list[str] = []
        self._is_text = False
        self._is_phonetic = False

    def taken(self) -> list[SheetRow]:
        """Return the rows finished since the last time."""
        rows, self._rows = self._rows, []
        return rows

    def _doctype(self, *_: object) -> None:
        raise SheetBroken("it declares a document type")

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        if not name.startswith(MAIN):
            return
        tag = name[len(MAIN) :]
        if tag == "c":
            self._begin_cell(attributes)
        elif tag in ("v", "t"):
            self._is_text = not self._is_phonetic
        elif tag == "row":
            self._begin_row(attributes.get("r"))
        elif tag == "rPh":
            self._is_phonetic = True

    def _end(self, name: str) -> None:
        if not name.startswith(MAIN):
            return
        tag = name[len(MAIN) :]
        if tag in ("v", "t"):
            self._is_text = False
        elif tag == "c":
            self._end_cell()
        elif tag == "row":
            self._rows.append(SheetRow(self._number, self._cells, self._fault))
        elif tag == "rPh":
            self._is_phonetic = False

    def _characters(self, text: str) -> None:
        if self._is_text:
            self._text.append(text)
            if len(self._text) > 1 and sum(map(len, self._text)) > LINE_LENGTH_MAX:
                self._fault = self._fault or self._too_long()
                self._text = []

    def _begin_row(self, written: str | None) -> None:
        number = self._number + 1 if written is None else int(written) if written.isdecimal() else 0
        if not self._number < number <= ROWS_MAX:
            raise SheetBroken(
                f"rows are 1 to {ROWS_MAX}, each once and in order, and here comes {(written or '')[:20]}"
            )
        self._number, self._cells, self._fault = number, [], ""

    def _begin_cell(self, attributes: Mapping[str, str]) -> None:
        self._kind, self._text = attributes.get("t", "n"), []
        style = attributes.get("s", "0")
        self._style = int(style) if style.isdecimal() and len(style) < 8 else 0
        column = self._column(attributes.get("r"))
        if column > CELLS_MAX:
            self._kind = "beyond"
        elif column <= len(self._cells):
            raise SheetBroken("a cell stands in another place than it says")
        else:
            self._cells.extend([""] * (column - len(self._cells) - 1))

    def _column(self, place: str | None) -> int:
        """Return the number of a cell's column; one that says none follows the cell before it."""
        if place is None:
            return len(self._cells) + 1
        match = _PLACE.fullmatch(place)
        if match is None or int(match[2]) != self._number:
            raise SheetBroken("a cell stands in another place than it says")
        column = 0
        for letter in match[1]:
            column = column * 26 + ord(letter) - 64
        return column

    def _end_cell(self) -> None:
        text = "".join(self._text)
        self._text = []
        if self._kind == "beyond":
            self._fault = self._fault or (f"the row has more than {CELLS_MAX} cells" if text else "")
            return
        if self._kind == "e":
            self._fault = self._fault or f"a cell holds the error {text[:10]}; mend its formula"
        elif len(text) > LINE_LENGTH_MAX:
            self._fault = self._fault or self._too_long()
        self._cells.append(self._read(text) if text else "")

    def _read(self, text: str) -> str:
        if self._kind == "n":
            return _day(text, self._context.days_from) if self._style in self._context.date_styles else _number(text)
        if self._kind == "s":
            if not text.isdecimal() or len(text) > 9 or int(text) >= len(self._context.texts):
                raise SheetBroken("a cell refers to a text that is not there")
            shared = self._context.texts[int(text)]
            if shared is None:
                self._fault = self._fault or self._too_long()
            return shared or ""
        if self._kind == "b":
            return "true" if text == "1" else "false"
        return text.strip()

    def _too_long(self) -> str:
        """Say that the text of the cell that is open is too long."""
        place = f"{_letters(len(self._cells) + 1)}{self._number}"
        return f"cell {place} has more than {LINE_LENGTH_MAX} characters; shorten it"


def _letters(column: int) -> str:
    """Return the letters of a column, of which CELLS_MAX needs two."""
    before, last = divmod(column - 1, 26)
    return (chr(64 + before) if before else "") + chr(65 + last)


def _number(text: str) -> str:
    """Return a number as the workbook shows it; one beyond its digits keeps its power of ten, as a sign of that."""
    if _NUMBER.fullmatch(text) is None:
        raise SheetBroken("a number is none")
    exact = Decimal(text)
    shown = exact if exact == exact.to_integral_value() else exact.normalize(_DIGITS)
    if ("E" in text.upper() and abs(shown) >= _TOO_LONG) or (shown and abs(shown.adjusted()) > _PLACES_MAX):
        return f"{shown.normalize(_DIGITS):E}"
    return f"{shown.normalize(_ALL_DIGITS):f}"


def _day(text: str, days_from: datetime) -> str:
    """Return the day and, unless it is midnight, the hour that a cell with the style of a date shows."""
    moment = moment_of(text, days_from)
    if moment is None:
        return f"date {text}"  # no prefix, price or day of a deck reads like that
    return moment.date().isoformat() if (moment.hour, moment.minute, moment.second) == (0, 0, 0) else str(moment)


def moment_of(serial: str, days_from: datetime) -> datetime | None:
    """Return the moment that a spreadsheet's number of a day means, to the second, or None where it is none."""
    match = _SERIAL.fullmatch(serial)
    if match is None or int(match[1]) > SERIAL_MAX:
        return None
    fraction = match[2] or "0"
    seconds, rest = divmod(int(fraction) * _DAY, 10 ** len(fraction))
    # A spreadsheet's fraction of a day is cut somewhere; the second nearest to it is meant.
    seconds += 2 * rest >= 10 ** len(fraction)
    return days_from + timedelta(days=int(match[1]), seconds=seconds)
