"""The table of a workbook's texts, to which the cells of its sheets refer, read in pieces: no tree, all bounded.

A text is kept once, without blanks around it, however many cells have it. One that is longer than a line of a deck may
be is not kept: the cell that refers to it is a fault. A document type is refused, since entities come with it.
"""

from collections.abc import Mapping
from typing import IO, Final
from xml.parsers import expat

from daemon.ingest.sheet_rows import MAIN, PIECE_SIZE, ROWS_MAX, SheetBroken
from daemon.rating.deck import LINE_LENGTH_MAX

TEXTS_MAX: Final = 2 * ROWS_MAX  # texts of a workbook: a destination and one more of their own for every row of a sheet


def shared_texts(xml: IO[bytes]) -> list[str | None]:
    """Return the texts in order, None for each of more than LINE_LENGTH_MAX characters. Raises SheetBroken."""
    reader = _Reader()
    while True:
        piece = xml.read(PIECE_SIZE)
        try:
            reader.parser.Parse(piece, not piece)
        except expat.ExpatError as error:
            raise SheetBroken(f"the XML of its texts ends: {expat.ErrorString(error.code)}") from None
        if not piece:
            return reader.texts


class _Reader:
    """Handlers of the table's XML."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.texts: list[str | None] = []
        self._pieces: list[str] = []
        self._length = 0
        self._is_text = False
        self._is_phonetic = False

    def _doctype(self, *_: object) -> None:
        raise SheetBroken("the table of its texts declares a document type")

    def _start(self, name: str, _attributes: Mapping[str, str]) -> None:
        if name == _TEXT:
            self._is_text = not self._is_phonetic
        elif name == _ITEM:
            self._pieces, self._length = [], 0
        elif name == _PHONETIC:
            self._is_phonetic = True

    def _end(self, name: str) -> None:
        if name == _TEXT:
            self._is_text = False
        elif name == _ITEM:
            self._keep()
        elif name == _PHONETIC:
            self._is_phonetic = False

    def _characters(self, text: str) -> None:
        if self._is_text:
            self._length += len(text)
            if self._length <= LINE_LENGTH_MAX:
                self._pieces.append(text)

    def _keep(self) -> None:
        if len(self.texts) == TEXTS_MAX:
            raise SheetBroken(f"it has more than {TEXTS_MAX} texts")
        # A spreadsheet writes x005F_ before what only looks like the code of a character.
        text = "".join(self._pieces).replace("x005F_", "").strip()
        self.texts.append(text if self._length <= LINE_LENGTH_MAX else None)


_TEXT: Final = f"{MAIN}t"
_ITEM: Final = f"{MAIN}si"
_PHONETIC: Final = f"{MAIN}rPh"
