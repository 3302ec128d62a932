"""What a batch writes, aside as ``OUT.partial``: durable at checkpoints, cut back to the last one, renamed when whole.

CSV goes on at an octet. Parquet cannot be appended to: each chunk is a part in ``OUT.parts``, and they are joined at
the end. One run at a time writes to an output; whoever comes second is refused.
"""

import fcntl
import gzip
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from daemon.ingest.batch_columns import FileRefused
from daemon.ingest.batch_csv import Chunk
from daemon.ingest.batch_lines import LineWriter, header_line
from daemon.ingest.batch_pricing import PricedRows
from daemon.ingest.batch_state import FILE_MODE, fsync_directory

if TYPE_CHECKING:
    import polars as pl

PARTIAL: Final = ".partial"
STATE: Final = ".state"
PARTS: Final = ".parts"
GZIP_LEVEL: Final = 3  # a third of the time of the default for a tenth more octets


class Output(Protocol):
    """Where priced rows go."""

    def write(self, chunk: Chunk, frame: "pl.DataFrame | None", priced: PricedRows) -> None:
        """Append a chunk; ``frame`` is given where it came from Parquet."""

    def durable(self) -> int:
        """Make what was written durable; return how much that is."""

    def publish(self) -> None:
        """Give the whole output its name."""

    def close(self) -> None:
        """Let go of the output, whole or not."""


def beside(target: Path, ending: str) -> Path:
    """Return the path of a file that belongs to an output."""
    return target.with_name(target.name + ending)


class _Aside:
    """``OUT.partial``, open and held by this run alone."""

    def __init__(self, target: Path) -> None:
        """Open it. Raises FileRefused where another run holds it, OSError."""
        self._target = target
        self.path = beside(target, PARTIAL)
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.descriptor)
            raise FileRefused(f"another run is writing to {target}; wait for it, or name another output") from None

    def publish(self) -> None:
        """Rename it into its place, durably."""
        os.fsync(self.descriptor)
        os.rename(self.path, self._target)
        fsync_directory(self._target.parent)

    def close(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)


class CsvOutput:
    """Lines of CSV, compressed where the name ends in ``.gz``: a member for each chunk, so that it can be cut back."""

    def __init__(self, target: Path, header: bytes, written: int) -> None:
        """Open it behind ``written`` octets. Raises FileRefused, OSError."""
        self._aside = _Aside(target)
        self._is_compressed = target.suffix == ".gz"
        self._lines = LineWriter()
        size = os.fstat(self._aside.descriptor).st_size
        if size < written:
            self.close()
            raise FileRefused(f"{self._aside.path} is shorter than when it was left; start anew with --restart")
        os.ftruncate(self._aside.descriptor, written)
        os.lseek(self._aside.descriptor, written, os.SEEK_SET)
        if not written:
            self._append(header_line(header))

    def write(self, chunk: Chunk, frame: "pl.DataFrame | None", priced: PricedRows) -> None:
        """Append the lines of a chunk."""
        if frame is None:
            self._append(self._lines.lines(chunk.lines, priced))
            return
        from daemon.ingest.batch_parquet import csv_lines, with_prices  # noqa: PLC0415 # only where Parquet is read

        self._append(csv_lines(with_prices(frame, priced)))

    def _append(self, octets: bytes) -> None:
        rest = memoryview(gzip.compress(octets, GZIP_LEVEL, mtime=0) if self._is_compressed else octets)
        while rest:
            rest = rest[os.write(self._aside.descriptor, rest) :]

    def durable(self) -> int:
        """Make the lines durable; return the octets."""
        os.fsync(self._aside.descriptor)
        return os.lseek(self._aside.descriptor, 0, os.SEEK_CUR)

    def publish(self) -> None:
        """Give the file its name."""
        self._aside.publish()

    def close(self) -> None:
        """Let go of the file."""
        self._aside.close()


class ParquetOutput:
    """Parts of Parquet, joined at the end."""

    def __init__(self, target: Path, columns: Sequence[str], written: int) -> None:
        """Keep ``written`` parts and take away what lies behind them. Raises FileRefused, OSError."""
        self._aside = _Aside(target)
        self._columns = columns
        self._folder = beside(target, PARTS)
        self._count = written
        self._folder.mkdir(mode=0o750, exist_ok=True)
        kept = [self._part(number) for number in range(written)]
        for path in set(self._folder.iterdir()) - set(kept):
            path.unlink()
        if not all(path.exists() for path in kept):
            self.close()
            raise FileRefused(f"{self._folder} has fewer parts than when it was left; start anew with --restart")

    def _part(self, number: int) -> Path:
        return self._folder / f"{number:08d}.arrow"

    def write(self, chunk: Chunk, frame: "pl.DataFrame | None", priced: PricedRows) -> None:
        """Write a chunk as a part."""
        from daemon.ingest.batch_parquet import frame_of, with_prices, write_part  # noqa: PLC0415 # only where Parquet is written

        rows = frame_of(chunk, self._columns) if frame is None else frame
        with self._part(self._count).open("wb") as file:
            write_part(with_prices(rows, priced), file)
            file.flush()
            os.fsync(file.fileno())
        self._count += 1

    def durable(self) -> int:
        """Make the names of the parts durable; return how many there are."""
        fsync_directory(self._folder)
        return self._count

    def publish(self) -> None:
        """Join the parts, and give the file its name; the parts go when nothing asks for them any more."""
        from daemon.ingest.batch_parquet import joined  # noqa: PLC0415 # only where Parquet is written

        joined([self._part(number) for number in range(self._count)], self._aside.path)
        self._aside.publish()

    def close(self) -> None:
        """Let go of the file; of one that was published the parts are taken away."""
        if not self._aside.path.exists():
            shutil.rmtree(self._folder, ignore_errors=True)
        self._aside.close()
