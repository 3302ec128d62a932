"""A deck file becomes rows of texts with their lines, lazily: text plain or gzipped, or a workbook; all bounded.

What a file is, its own octets say, never its name. Octets are decoded strictly: UTF-8, UTF-16 with its mark, what is
stated, or, and then it is noted, Windows-1252. A text file is read through once before its first row is believed, and
one that is no longer the same behind its last row is refused.
"""

import codecs
import csv
import io
import os
import stat
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Protocol

from daemon.rating.deck import LINE_LENGTH_MAX, DeckError, Findings

DECK_SIZE_MAX: Final = 256 << 20  # octets, packed and unpacked; two million rows of some hundred octets
CHUNK_SIZE: Final = 1 << 18  # octets read at a time
LINES_MAX: Final = 10_000_000  # lines, blank ones too; five for each row of the largest deck
MEMBERS_MAX: Final = 10_000  # members of a gzip file; one in blocks of 64 KiB fills DECK_SIZE_MAX with 4,096
PACKED_SIZE: Final = 1 << 16  # octets unpacked at a time; the rest of them is copied behind every member
PREAMBLE_LINES_MAX: Final = 40  # lines in which a header is sought; carriers put their address above it

ENCODINGS: Final = ("utf-8", "utf-16", "cp1252", "latin-1", "iso-8859-15", "cp1250", "cp1251")
DELIMITERS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}

_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # zlib reads gzip's header and checks its sum and size
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_OLD_WORKBOOK = b"\xd0\xcf\x11\xe0"
_UTF32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class UnreadableDeck(Exception):
    """A file that cannot be read at all; the message says why and how to mend it."""


class BadOctets(Exception):
    """A line that is not in the file's encoding."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


class Row(NamedTuple):
    """One row that is not blank: the line on which it begins, and its cells without blanks around them."""

    line: int
    cells: list[str]


class TextDeck(NamedTuple):
    """A deck of lines: where it is, how it is packed and written."""

    path: Path
    packed: bool
    encoding: str

    def rows(self, delimiter: str, findings: Findings) -> Iterator[Row]:
        """Yield the rows that are not blank; a row that is no CSV goes to the findings. Raises UnreadableDeck."""
        with self._text() as text:
            yield from csv_rows(_lines(text), delimiter, str(self.path), findings)

    def preamble(self) -> list[str]:
        """Return the first lines, in which the header is. Raises UnreadableDeck."""
        with self._text() as text:
            return list(islice(_lines(text), PREAMBLE_LINES_MAX))

    def _text(self) -> io.TextIOWrapper:
        return io.TextIOWrapper(open_bounded(self.path, self.packed), self.encoding, newline="")


def csv_rows(lines: Iterator[str], delimiter: str, source: str, findings: Findings) -> Iterator[Row]:
    """Yield the rows of CSV lines that are not blank."""
    # Strict, since otherwise a quote that is never closed swallows the rest of the deck without a word.
    reader = csv.reader(_bounded(lines), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            findings.add(DeckError(source, line, "", f'{error}; a cell with quotes is "quoted whole"'))
            continue
        if any(cells):
            yield Row(line, cells)


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Yield lines with their ends; a longer one is cut, so that its reader sees that it is too long."""

    def read() -> str:
        return text.readline(LINE_LENGTH_MAX + 1)

    return iter(read, "")


def _bounded(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if len(line) > LINE_LENGTH_MAX:
            raise csv.Error(f"the line has more than {LINE_LENGTH_MAX} characters, reading ends here")
        yield line


# -- octets


class Version(NamedTuple):
    """What tells a file from one that was written in its place, or over it: nanoseconds, octets."""

    device: int
    inode: int
    size: int
    modified_ns: int


class Magic(NamedTuple):
    """What the first octets of a file say, and which version of it said so."""

    is_workbook: bool
    is_packed: bool
    version: Version


def magic(path: Path) -> Magic:
    """Return what a file is. Raises UnreadableDeck for no regular file, one too large, and formats unknown here."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableDeck(f"{path} is no regular file; mend the path")
        if status.st_size > DECK_SIZE_MAX:
            raise UnreadableDeck(f"{path} has more than {DECK_SIZE_MAX} octets; split it by prefix")
        with path.open("rb") as file:
            begin = file.read(4)
    except OSError as error:
        why = error.strerror or error
        raise UnreadableDeck(f"{path} cannot be read: {why}; put it there, or mend the path") from None
    if begin == _OLD_WORKBOOK:
        raise UnreadableDeck(f"{path} is a workbook of the old kind; save it as .xlsx or CSV")
    return Magic(begin == _ZIP, begin.startswith(_GZIP), _version(status))


def refuse_changed(path: Path, version: Version) -> None:
    """Raise UnreadableDeck where a file is not what it was: a deck is read several times, and a mixture is no deck."""
    try:
        is_same = _version(path.stat()) == version
    except OSError:
        is_same = False
    if not is_same:
        raise UnreadableDeck(f"{path} has changed while it was read; import it again")


def _version(status: os.stat_result) -> Version:
    return Version(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def open_bounded(path: Path, packed: bool) -> io.BufferedReader:
    """Open a file for its octets, unpacked; reading more than DECK_SIZE_MAX of them raises UnreadableDeck."""
    try:
        file: BinaryIO = path.open("rb")
    except OSError as error:
        why = error.strerror or error
        raise UnreadableDeck(f"{path} cannot be read: {why}; put it there, or mend the path") from None
    return io.BufferedReader(_Limited(_Unpacked(file, path) if packed else file, path), CHUNK_SIZE)


class _Octets(Protocol):
    """What octets are read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to so many octets, none only at the end."""

    def close(self) -> None:
        """Close the file."""


class _Unpacked:
    """The members of a gzip file behind each other (RFC 1952 section 2.2), zeros between them passed over."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._octets = b""
        self._member = zlib.decompressobj(_GZIP_WINDOW)
        self._members = 0

    def read(self, size: int) -> bytes:
        """Return up to so many octets. Raises EOFError, zlib.error, UnreadableDeck."""
        unpacked = b""
        while not unpacked:
            is_between = self._members == 0 or self._member.eof
            if is_between:
                self._octets = self._octets.lstrip(b"\0")
            if self._octets:
                if is_between:
                    self._begin()
                unpacked = self._unpack(size)
            elif not (octets := self._file.read(PACKED_SIZE)):
                if is_between:
                    return b""
                raise EOFError("it ends within a member")
            else:
                self._octets = octets
        return unpacked

    def _unpack(self, size: int) -> bytes:
        unpacked = self._member.decompress(self._octets, size)
        self._octets = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        return unpacked

    def _begin(self) -> None:
        self._members += 1
        if self._members > MEMBERS_MAX:
            raise UnreadableDeck(f"{self._path} has more than {MEMBERS_MAX} gzip members; pack it in one")
        self._member = zlib.decompressobj(_GZIP_WINDOW)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Limited(io.RawIOBase):
    """Octets of a file, unpacked, up to DECK_SIZE_MAX of them."""

    def __init__(self, file: _Octets, path: Path) -> None:
        self._file = file
        self._path = path
        self._left = DECK_SIZE_MAX

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        try:
            octets = self._file.read(min(len(view), CHUNK_SIZE))
        except (EOFError, zlib.error) as error:
            raise UnreadableDeck(f"{self._path} is no whole gzip file: {error}; fetch it again") from None
        self._left -= len(octets)
        if self._left < 0:
            raise UnreadableDeck(f"{self._path} has more than {DECK_SIZE_MAX} octets unpacked; split it by prefix")
        view[: len(octets)] = octets
        return len(octets)

    def close(self) -> None:
        self._file.close()
        super().close()


# -- encodings


def text_deck(path: Path, packed: bool, stated: str) -> tuple[TextDeck, str]:
    """Return a text file with its encoding, every octet of it checked, and a note of how it is written.

    ``stated`` is one of ENCODINGS, or empty. Raises UnreadableDeck and BadOctets.
    """
    with open_bounded(path, packed) as file:
        begin = file.read(4)
    marked = _marked(path, begin)
    if marked and stated and codecs.lookup(stated).name != codecs.lookup(marked.removesuffix("-sig")).name:
        raise UnreadableDeck(f"{path} begins with the mark of {marked.removesuffix('-sig')}, not of {stated}")
    encoding = marked or stated
    if encoding:
        _check(path, packed, encoding)
        return TextDeck(path, packed, encoding), encoding.removesuffix("-sig")
    return _guessed(path, packed)


def _marked(path: Path, begin: bytes) -> str:
    if begin.startswith(_ZIP):
        raise UnreadableDeck(f"{path} is a packed workbook; unpack it first")
    if begin.startswith(_UTF32):
        raise UnreadableDeck(f"{path} is UTF-32; save the deck as UTF-8")
    if begin.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    return "utf-16" if begin.startswith(_UTF16) else ""


def _guessed(path: Path, packed: bool) -> tuple[TextDeck, str]:
    try:
        _check(path, packed, "utf-8")
    except _NotThisEncoding as error:
        if error.is_half_good:
            raise
        _check(path, packed, "cp1252")
        note = "cp1252, since it is not UTF-8; state --encoding if names look wrong"
        return TextDeck(path, packed, "cp1252"), note
    return TextDeck(path, packed, "utf-8"), "utf-8"


class _NotThisEncoding(BadOctets):
    is_half_good = False  # characters beyond ASCII came before the fault: it is this encoding, and broken


def _check(path: Path, packed: bool, encoding: str) -> None:
    """Decode the whole file. Raises BadOctets with the line of the first fault, UnreadableDeck for too many lines."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line, returns, is_ascii = 1, 0, True
    with open_bounded(path, packed) as file:
        while True:
            chunk = file.read(CHUNK_SIZE)
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                good = error.object[: error.start].decode(encoding, "ignore")
                fault = _NotThisEncoding(line + good.count("\n"), f"the line is not {_named(encoding)}; {_MEND}")
                fault.is_half_good = not (is_ascii and good.isascii())
                raise fault from None
            if "\0" in text:
                raise BadOctets(line + text[: text.index("\0")].count("\n"), f"the line holds an octet 0; {_MEND}")
            line += text.count("\n")
            returns += text.count("\r")  # which end lines too, alone
            if max(line, returns) > LINES_MAX:
                raise UnreadableDeck(f"{path} has more than {LINES_MAX} lines; split it by prefix")
            is_ascii = is_ascii and text.isascii()
            if not chunk:
                return


_MEND: Final = "save the deck as UTF-8, or state its --encoding"


def _named(encoding: str) -> str:
    return encoding.removesuffix("-sig").upper()
