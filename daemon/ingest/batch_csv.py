"""A CSV file of usage, a row a line: read in chunks of bounded size, each bad row found in its place.

A record is one line, whatever ends it, so that a quote that was never closed costs one row and not the rest of the
file. An empty line is no row. A good row is written back as it stands; a bad one as cells that any reader can read.
"""

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import numpy as np

from daemon.ingest.batch_cells import PADDING, Cells, cells_of
from daemon.ingest.batch_columns import (
    CELL_LENGTH_MAX,
    CHUNK_OCTETS,
    CHUNK_ROWS,
    LINE_LENGTH_MAX,
    READ,
    FileRefused,
    checked_columns,
)
from daemon.rating.table_arrays import Array

BLOCK_SIZE: Final = 1 << 20  # octets read at once
_BOM: Final = b"\xef\xbb\xbf"
_COMMA, _BREAK, _QUOTE = (ord(sign) for sign in ',\n"')


class Chunk(NamedTuple):
    """Some rows of a file: the cells of its columns by name, why a row is none, and the lines that are written back."""

    rows: int
    cells: Mapping[str, Cells]
    faults: dict[int, str]
    lines: Sequence[bytes]


class CsvReader:
    """One file, open; ``done`` and ``total`` are octets of it as it lies on the disk."""

    def __init__(self, path: Path, *, chunk_rows: int = CHUNK_ROWS, every_column: bool = False) -> None:
        """Open a file and read its header; ``every_column``: return all cells. Raises FileRefused, OSError."""
        self._path = path
        self._chunk_rows = chunk_rows
        self.total = path.stat().st_size
        self._raw: BinaryIO = path.open("rb")
        self._file: BinaryIO = gzip.GzipFile(fileobj=self._raw) if path.suffix == ".gz" else self._raw  # type: ignore[assignment]
        self._lines = self._batches()
        self._waiting: list[bytes] = []
        try:
            self.header = self._first_line()
            self.columns = checked_columns(_header(self.header, str(path)), str(path))
        except BaseException:
            self.close()
            raise
        self._wanted = self.columns if every_column else tuple(name for name in self.columns if name in READ)

    def _first_line(self) -> bytes:
        self._fill(1)
        if not self._waiting:
            raise FileRefused(f"{self._path} is empty; its first line names the columns")
        return self._waiting.pop(0).removeprefix(_BOM)

    @property
    def done(self) -> int:
        """How far into the file reading came."""
        return self._raw.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._raw.close()

    def skip(self, rows: int) -> None:
        """Pass over rows that were priced before. Raises FileRefused where the file has not so many."""
        while rows:
            self._fill(1)
            if not self._waiting:
                raise FileRefused(f"{self._path} has fewer rows than were priced before; start anew with --restart")
            taken = self._waiting[:rows]
            del self._waiting[:rows]
            rows -= len(taken)

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rest of the rows. Raises FileRefused where a compressed file is damaged."""
        while True:
            self._fill(self._chunk_rows)
            if not self._waiting:
                return
            lines = self._waiting[: self._chunk_rows]
            del self._waiting[: self._chunk_rows]
            yield self.chunk_of(lines)

    def chunk_of(self, lines: list[bytes]) -> Chunk:
        """Return the cells of some lines."""
        return chunk_of(lines, self.columns, self._wanted)

    def _fill(self, rows: int) -> None:
        """Read until so many rows wait, or as many as may be held."""
        held = sum(map(len, self._waiting))
        while len(self._waiting) < rows and held < CHUNK_OCTETS:
            more = next(self._lines, None)
            if more is None:
                return
            held += sum(map(len, more))
            self._waiting += more

    def _batches(self) -> Iterator[list[bytes]]:
        """Yield the lines of each block without their ends; a line that is too long is cut, so that it is seen."""
        rest = b""
        for block in self._blocks():
            lines = (rest + block).split(b"\n")
            rest = lines.pop()[: LINE_LENGTH_MAX + 1]
            yield [line for line in lines if line]
        if rest:
            yield [rest]

    def _blocks(self) -> Iterator[bytes]:
        """Yield the file with a line feed for every end of a line."""
        held = b""
        try:
            while block := self._file.read(BLOCK_SIZE):
                block = held + block
                held = b""
                if b"\r" in block:
                    if block.endswith(b"\r"):  # its line feed may stand in the next block
                        held, block = b"\r", block[:-1]
                    block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
                yield block
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise FileRefused(f"{self._path} is not whole: {error}; make it again") from None
        if held:
            yield b"\n"


def _header(line: bytes, source: str) -> list[str]:
    try:
        names = next(csv.reader([line.decode()], strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileRefused(f"{source}: the first line does not name the columns: {error}") from None
    return [name.strip() for name in names]


def chunk_of(lines: list[bytes], columns: Sequence[str], wanted: Sequence[str]) -> Chunk:
    """Return the cells of the wanted columns; lines of a bad row are put into order, in their place."""
    whole = b"\n".join(lines) + b"\n" if lines else b""
    octets = np.frombuffer(whole + bytes(PADDING), np.uint8)
    ends = np.flatnonzero(octets == _BREAK)
    begins = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1)) if len(ends) else ends
    commas = np.flatnonzero(octets == _COMMA)
    behind = np.searchsorted(commas, ends)
    first = np.concatenate((np.zeros(1, np.int64), behind[:-1])) if len(ends) else behind
    odd = (behind - first != len(columns) - 1) | (ends - begins > CELL_LENGTH_MAX)
    odd[np.searchsorted(ends, np.flatnonzero(octets == _QUOTE))] = True
    if b"\0" in whole or not _is_utf8(whole):
        odd |= _unclean(lines)
    cells = {name: _column(octets, begins, ends, commas, first, place, odd, columns)
             for place, name in enumerate(columns) if name in wanted}  # fmt: skip
    faults: dict[int, str] = {}
    rows = np.flatnonzero(odd).tolist()
    if rows:
        cells = _with_odd(lines, rows, cells, columns, faults)
    return Chunk(len(lines), cells, faults, lines)


def _is_utf8(octets: bytes) -> bool:
    if octets.isascii():
        return True
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True


def _unclean(lines: Sequence[bytes]) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    return np.fromiter((b"\0" in line or not _is_utf8(line) for line in lines), np.bool_, len(lines))


def _column(
    octets: "np.ndarray[tuple[int], np.dtype[np.uint8]]", begins: Array, ends: Array, commas: Array, first: Array,
    place: int, odd: "np.ndarray[tuple[int], np.dtype[np.bool_]]", columns: Sequence[str],
) -> Cells:  # fmt: skip
    """Return one column of the lines that are as they should be; that of an odd line is empty."""
    known = np.append(commas, 0)
    last = len(known) - 1
    starts = begins if place == 0 else known[np.minimum(first + place - 1, last)] + 1
    stops = ends if place == len(columns) - 1 else known[np.minimum(first + place, last)]
    return Cells(octets, np.where(odd, 0, starts), np.where(odd, 0, stops - starts))


def _with_odd(
    lines: list[bytes], rows: Sequence[int], cells: Mapping[str, Cells], columns: Sequence[str], faults: dict[int, str]
) -> dict[str, Cells]:
    """Return the columns with the cells of odd lines, and note which of these are no rows."""
    found: dict[str, list[bytes]] = {name: [] for name in cells}
    for row in rows:
        texts = _cells_of_line(lines[row], columns)
        if isinstance(texts, str):
            faults[row] = texts
            lines[row], texts = _mended(lines[row], len(columns))
        for place, name in enumerate(columns):
            if name in found:
                found[name].append(texts[place].encode())
    return {name: _joined(column, rows, cells_of(found[name])) for name, column in cells.items()}


def _joined(column: Cells, rows: Sequence[int], more: Cells) -> Cells:
    offset = len(column.octets)
    starts, lengths = column.starts.copy(), column.lengths.copy()
    starts[rows], lengths[rows] = more.starts + offset, more.lengths
    return Cells(np.concatenate((column.octets, more.octets)), starts, lengths)


def _cells_of_line(line: bytes, columns: Sequence[str]) -> "list[str] | str":
    """Return the cells of a line, or why it is no row."""
    if len(line) > LINE_LENGTH_MAX:
        return f"row: the line has more than {LINE_LENGTH_MAX} octets"
    if b"\0" in line:
        return "row: the line has a NUL octet"
    try:
        texts = next(csv.reader([line.decode()], strict=True))
    except UnicodeDecodeError:
        return "row: the line is not UTF-8"
    except csv.Error as error:
        return f"row: the quotes are not balanced on the line: {error}"
    if len(texts) != len(columns):
        return f"row: the line has {len(texts)} cells where the header has {len(columns)}"
    long = next((name for name, text in zip(columns, texts, strict=True) if len(text) > CELL_LENGTH_MAX), None)
    return texts if long is None else f"{long}: the cell has more than {CELL_LENGTH_MAX} characters"


def _mended(line: bytes, count: int) -> tuple[bytes, list[str]]:
    """Return a bad line as a row of so many cells, and these: what is missing empty, what is too much left out."""
    text = line[:LINE_LENGTH_MAX].decode(errors="replace").replace("\0", "\ufffd")
    try:
        texts = next(csv.reader([text], strict=True))
    except csv.Error:
        texts = text.split(",")
    texts = [cell[:CELL_LENGTH_MAX] for cell in (*texts, *[""] * count)[:count]]
    return b",".join(quoted(cell) for cell in texts), texts


def quoted(text: str) -> bytes:
    """Return a text as a cell: in quotes where it would otherwise be read as something else."""
    if not any(sign in text for sign in ',"\n\r'):
        return text.encode()
    return ('"' + text.replace('"', '""') + '"').encode()
