"""Parquet in and out, a bounded number of rows at a time; nothing in it becomes a float.

Typed columns are read as what they are: a time with its zone, whole numbers, decimals. A float is refused, since it is
not exact, and so is a time without a zone. Output is written in parts, one for each chunk, and joined at the end: a
run that was interrupted keeps its parts.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import polars as pl

from daemon.ingest.batch_cells import Cells, cells_of
from daemon.ingest.batch_columns import CELL_LENGTH_MAX, CHUNK_ROWS, READ, WRITTEN, FileRefused, checked_columns
from daemon.ingest.batch_csv import Chunk
from daemon.ingest.batch_pricing import PricedRows
from daemon.ingest.batch_text import format_nanos
from daemon.rating.batch import RATED, STATUSES

_TEXTS: Final = (pl.String, pl.Categorical, pl.Enum)
_NUMBERS: Final = (pl.Decimal,)
SECONDS_SHOWN_MAX: Final = 500_000_000_000  # seconds from 1970, either way: the year 17814; polars panics far behind it
_COUNTS: Final = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}  # of a second, by the unit of a column of times
ZSTD_LEVEL: Final = 1  # two thirds of the time of the default for the same size


class ParquetReader:
    """One file; ``done`` and ``total`` are rows."""

    def __init__(self, path: Path, *, chunk_rows: int = CHUNK_ROWS) -> None:
        """Read the file's schema. Raises FileRefused, OSError."""
        self._path = path
        self._chunk_rows = chunk_rows
        try:
            self._frame = pl.scan_parquet(path)
            schema = self._frame.collect_schema()
            self.total = int(self._frame.select(pl.len()).collect().item())
        except pl.exceptions.PolarsError as error:
            raise FileRefused(f"{path} is no Parquet file that can be read: {_first_line(error)}") from None
        self.columns = checked_columns(schema.names(), str(path))
        self.types = {name: schema[name] for name in self.columns}
        for name in self.columns:
            _refuse_type(str(path), name, schema[name])
        self.done = 0

    def close(self) -> None:
        """Nothing stays open."""

    def skip(self, rows: int) -> None:
        """Pass over rows that were priced before."""
        self.done = rows

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield the rest of the rows, a chunk at a time. Raises FileRefused where the file is damaged."""
        try:
            for rows in range(self.done, self.total, self._chunk_rows):
                frame = self._frame.slice(rows, self._chunk_rows).collect()
                self.done += frame.height
                yield frame
        except pl.exceptions.PolarsError as error:
            raise FileRefused(f"{self._path} is not whole: {_first_line(error)}; make it again") from None

    def chunk_of(self, frame: pl.DataFrame) -> Chunk:
        """Return the cells that pricing reads."""
        faults: dict[int, str] = {}
        cells = {name: _cells(frame[name], name, faults) for name in self.columns if name in READ}
        return Chunk(frame.height, cells, faults, ())

    def no_rows(self) -> pl.DataFrame:
        """Return no rows of the file's types."""
        return pl.DataFrame(schema=self.types)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _refuse_type(source: str, name: str, kind: pl.DataType) -> None:
    """Refuse a column that pricing reads and that cannot be read exactly. Raises FileRefused."""
    if name not in READ:
        return
    if kind.is_float():
        raise FileRefused(f"{source}: column {name} holds floats, which are not exact; write decimals or text")
    if name == "start":
        if isinstance(kind, pl.Datetime):
            if kind.time_zone is None:
                raise FileRefused(f"{source}: column start holds times without a zone; write it with one, or as text")
            return
        readable = isinstance(kind, _TEXTS)
    else:
        readable = isinstance(kind, (*_TEXTS, *_NUMBERS)) or kind.is_integer()
    if not readable and kind != pl.Null:
        raise FileRefused(f"{source}: column {name} holds {kind}; write it as text")


def _cells(column: pl.Series, name: str, faults: dict[int, str]) -> Cells:
    """Return a column as texts; note the cells that no text may be."""
    if isinstance(column.dtype, pl.Datetime):
        column = _written_times(column.dt.convert_time_zone("UTC"), "%Y-%m-%dT%H:%M:%S%.6fZ")
    texts = column.cast(pl.String).fill_null("").cast(pl.Binary).to_list()
    cells = cells_of(texts)
    for row in np.flatnonzero(cells.lengths > CELL_LENGTH_MAX).tolist():
        faults.setdefault(row, f"{name}: the cell has more than {CELL_LENGTH_MAX} octets")
    if b"\0" in b"".join(texts):
        for row, text in enumerate(texts):
            if b"\0" in text:
                faults.setdefault(row, f"{name}: the cell has a NUL octet")
        return cells_of([text.replace(b"\0", b"\xef\xbf\xbd") for text in texts])
    return cells


def _written_times(column: pl.Series, form: str) -> pl.Series:
    """Return times as texts; one that the library cannot write is its bare count, which is no time to any reader."""
    counts, inside = column.to_physical(), _inside(column)
    return column.set(~inside, None).dt.to_string(form).zip_with(inside, counts.cast(pl.String))


def _inside(column: pl.Series) -> pl.Series:
    """Tell which times and days the library can write: it ends the process's work at one far outside the calendar."""
    if column.dtype == pl.Date:
        latest = SECONDS_SHOWN_MAX // 86_400
    else:
        latest = min(SECONDS_SHOWN_MAX * _COUNTS[getattr(column.dtype, "time_unit", "us")], (1 << 63) - 1)
    return column.to_physical().is_between(-latest, latest).fill_null(value=True)


def frame_of(chunk: Chunk, columns: Sequence[str]) -> pl.DataFrame:
    """Return the rows of a CSV chunk as texts."""
    return pl.DataFrame({name: _texts(chunk.cells[name].texts()).alias(name) for name in columns})


def with_prices(frame: pl.DataFrame, priced: PricedRows) -> pl.DataFrame:
    """Return rows with their prices beside them: amounts as the decimals that CSV has, null where there is no price."""
    rated = pl.Series(priced.statuses == RATED)
    names = pl.Series(priced.names, dtype=pl.String)
    words = pl.Series([status.value for status in STATUSES])
    reasons = [""] * frame.height
    for row in np.flatnonzero(priced.statuses != RATED).tolist():
        reasons[row] = priced.reason(row)
    columns: dict[str, pl.Series] = {
        "prefix": _texts(priced.prefixes()),
        "destination": names.gather(priced.destinations),
        "billed_seconds": pl.Series(priced.billed),
        "charge": _texts(format_nanos(priced.charges)),
        "currency": names.gather(priced.currencies),
        "rate": _texts(format_nanos(priced.rates)),
        "status": words.gather(priced.statuses),
        "reason": pl.Series(reasons, dtype=pl.String),
    }
    for name in ("billed_seconds", "charge", "currency", "rate"):
        columns[name] = columns[name].set(~rated, None)
    return frame.with_columns(columns[name].alias(name) for name in WRITTEN)


def _texts(texts: list[bytes]) -> pl.Series:
    return pl.Series(texts, dtype=pl.Binary).cast(pl.String)


def write_part(frame: pl.DataFrame, file: BinaryIO) -> None:
    """Write some rows as a part: in a form that is written and read in a fraction of Parquet's time."""
    frame.write_ipc(file, compression="lz4")


def csv_lines(frame: pl.DataFrame) -> bytes:
    """Return rows as lines of CSV."""
    # An empty text would be written as two quotes, to tell it from null, which no other part of a batch does.
    texts = pl.col(pl.String)
    zoned = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime) and kind.time_zone]
    for name in (name for name, kind in frame.schema.items() if kind in (pl.Date, pl.Datetime) and name not in zoned):
        if not _inside(frame[name]).all():
            raise FileRefused(f"column {name} holds a time that no text can say; write Parquet, or leave it out")
    times = [_written_times(frame[name], "%Y-%m-%dT%H:%M:%S%.f%:z") for name in zoned]
    try:
        return frame.with_columns(pl.when(texts != "").then(texts), *times).write_csv(include_header=False).encode()
    except pl.exceptions.PolarsError as error:
        raise FileRefused(f"the rows cannot be written as CSV: {_first_line(error)}; write Parquet") from None


def joined(parts: Sequence[Path], target: Path) -> None:
    """Write the rows of all parts, in their order, into one file."""
    rows = pl.scan_ipc(list(parts))
    rows.sink_parquet(
        target, compression="zstd", compression_level=ZSTD_LEVEL, row_group_size=CHUNK_ROWS, maintain_order=True
    )
