"""The files of one archived month: parts of Parquet, and a manifest that names each with its rows, sums and SHA-256.

They are written aside in ``MONTH.partial``, each fsynced, the manifest last; then the folder gets its name. A manifest
names the SHA-256 of the month before, so that a missing or altered month shows. Reading never writes.
A part has a bound in rows, so that no month has to fit into memory.
"""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from sqlalchemy import BigInteger, Integer, LargeBinary

from daemon.charging.ports import StoreError
from daemon.store.schema import metadata

if TYPE_CHECKING:
    import polars as pl

FORMAT: Final = "tollway-archive/1"
MANIFEST: Final = "manifest.json"
MANIFEST_SIZE_MAX: Final = 1 << 24  # octets; a part takes some 400 of them, so 40,000 parts, ten thousand million rows
PARTIAL: Final = ".partial"
FILE_MODE, FOLDER_MODE = 0o600, 0o700  # as the store's own: who called whom
READ_SIZE: Final = 1 << 18  # octets read at once
COMPRESSION_LEVEL: Final = 3  # of zstd: a tenth of the size of a call's JSON, at the speed of the disk
GROUP_ROWS: Final = 8_192  # rows of a group, which a search passes over by the least and greatest values it holds
# Rows of a part: an entry has some 150 octets, a call and a record some 2,000, so either is some 20 to 30 MB at most.
PART_ROWS: Final = {"entry": 131_072, "call": 16_384, "record": 16_384}
SUMMED: Final = {
    "entry": ("amount", "pending", "uncollected", "channels_in", "channels_out"),
    "call": (),
    "record": ("charge", "uncollected", "cost"),
}
NUMBERED: Final = {"entry": "number", "call": "number", "record": "seq"}
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, msgspec.Meta(ge=0)]


class ArchiveFault(StoreError):
    """An archive is not there, or not as it was written; the message names the file."""


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file: rows of one table. ``first`` and ``last`` are the least and greatest number (of records ``seq``).

    ``sums`` are whole numbers of the store's units (money in nano-units) as text: JSON readers cut long ones.
    """

    table: str
    name: str
    rows: Count
    first: int
    last: int
    sums: dict[str, str]
    bytes: Count
    sha256: Sha256


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a month holds. ``token`` tells whose it is; the first month has no previous one: null."""

    format: str
    month: str
    token: str
    created_at: str
    entries_until: int
    parts: tuple[Part, ...]
    previous_manifest_sha256: Sha256 | None

    def of(self, table: str) -> list[Part]:
        """Return the parts of a table, in the order of their numbers."""
        return [part for part in self.parts if part.table == table]

    def rows(self, table: str) -> int:
        """Return how many rows of a table the month holds."""
        return sum(part.rows for part in self.of(table))


def is_month(text: str) -> bool:
    """Tell whether a text is a month such as 2026-01."""
    return _MONTH.fullmatch(text) is not None


def columns_of(table: str) -> tuple[str, ...]:
    """Return the columns of a table's files: its own, and of a record the number of its call."""
    own = tuple(column.name for column in metadata.tables[table].columns)
    return (*own, "call") if table == "record" else own


def encode(manifest: Manifest) -> bytes:
    """Return the canonical bytes: JSON indented by two, with a final LF."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def digest(octets: bytes) -> str:
    """Return the SHA-256 in hexadecimal: the chain's link."""
    return sha256(octets).hexdigest()


def manifest_of(folder: Path, month: str) -> tuple[Manifest, str]:
    """Return a month's manifest and its SHA-256. Raises ArchiveFault."""
    path = folder / month / MANIFEST
    try:
        with path.open("rb") as file:
            octets = file.read(MANIFEST_SIZE_MAX + 1)
        if len(octets) > MANIFEST_SIZE_MAX:
            raise ArchiveFault(f"{path}: it has more than {MANIFEST_SIZE_MAX} octets")
        manifest = msgspec.json.decode(octets, type=Manifest)
    except FileNotFoundError:
        raise ArchiveFault(f"{path} is missing: put the archive back where it was") from None
    except OSError as error:
        raise ArchiveFault(f"{path} cannot be read: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArchiveFault(f"{path} was altered: {error}") from None
    if manifest.format != FORMAT or encode(manifest) != octets or manifest.month != month:
        raise ArchiveFault(f"{path} was altered: it is not as it was written for {month}")
    return manifest, digest(octets)


def part_faults(folder: Path, month: str, part: Part) -> Iterator[str]:
    """Yield what is wrong with a part: it is missing, or other bytes, or other rows than its manifest says."""
    path = folder / month / part.name
    try:
        size, found = _measured(path)
    except FileNotFoundError:
        yield "it is missing"
        return
    except OSError as error:
        yield f"it cannot be read: {error.strerror or error}"
        return
    if (size, found) != (part.bytes, part.sha256):
        said = f"it has {size} octets, not {part.bytes}" if size != part.bytes else "its SHA-256 is another one"
        yield f"it was altered: {said}"
        return
    if _summed(path, part.table) != (part.rows, part.first, part.last, part.sums):
        yield "its rows are not what the manifest says of them"


def _measured(path: Path) -> tuple[int, str]:
    """Return size and SHA-256 of a regular file. Raises OSError, also for a symbolic link."""
    found, size = sha256(), 0
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        while chunk := file.read(READ_SIZE):
            found.update(chunk)
            size += len(chunk)
    return size, found.hexdigest()


def _summed(path: Path, table: str) -> tuple[int, int, int, dict[str, str]]:
    import polars as pl  # noqa: PLC0415 - loaded by those who read archives, not by every daemon

    number, names = NUMBERED[table], SUMMED[table]
    # Sums of 64-bit integers may not fit 64 bits.
    sums = [pl.col(name).cast(pl.Int128).sum().cast(pl.String).alias(f"sum_{name}") for name in names]
    found = pl.scan_parquet(path).select(
        pl.len(), pl.col(number).min().alias("first"), pl.col(number).max().alias("last"), *sums
    )
    rows, first, last, *said = found.collect().row(0)
    return rows, first, last, dict(zip(names, said, strict=True))


def scan(folder: Path, month: str, parts: Sequence[Part]) -> "pl.LazyFrame":
    """Return the rows of parts of one table, read when they are asked for. Raises ArchiveFault where one is missing."""
    import polars as pl  # noqa: PLC0415 - as above

    paths = [folder / month / part.name for part in parts]
    for path in paths:
        if not path.is_file():
            raise ArchiveFault(f"{path} is missing: put the archive back where it was")
    return pl.scan_parquet(paths)


class MonthWriter:
    """Writes a month aside; ``publish`` gives it its name. Raises OSError."""

    def __init__(self, folder: Path, month: str) -> None:
        """Begin with nothing: what a killed run left aside is taken away."""
        self._folder, self._month = folder, month
        self._aside = folder / f"{month}{PARTIAL}"
        shutil.rmtree(self._aside, ignore_errors=True)
        self._aside.mkdir(mode=FOLDER_MODE)
        self._waiting: dict[str, list[Sequence[Any]]] = {table: [] for table in PART_ROWS}
        self.parts: list[Part] = []

    def add(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Take rows of a table, in the order of its numbers (records: roughly); full parts are written."""
        waiting = self._waiting[table]
        waiting += rows
        while len(waiting) >= PART_ROWS[table]:
            self._write(table, waiting[: PART_ROWS[table]])
            del waiting[: PART_ROWS[table]]

    def _write(self, table: str, rows: list[Sequence[Any]]) -> None:
        import polars as pl  # noqa: PLC0415 - as above

        names, place = columns_of(table), sum(part.table == table for part in self.parts) + 1
        number = names.index(NUMBERED[table])
        rows = sorted(rows, key=lambda row: row[number])
        name = f"{table}-{place:05d}.parquet"
        frame = pl.DataFrame(rows, schema={column: _kind(table, column) for column in names}, orient="row")
        path = self._aside / name
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE), "wb") as file:
            frame.write_parquet(
                file, compression="zstd", compression_level=COMPRESSION_LEVEL, row_group_size=GROUP_ROWS
            )
            file.flush()
            os.fsync(file.fileno())
        size, found = _measured(path)
        sums = {column: str(sum(row[names.index(column)] for row in rows)) for column in SUMMED[table]}
        self.parts.append(Part(table, name, len(rows), rows[0][number], rows[-1][number], sums, size, found))

    def publish(self, token: str, created_at: str, entries_until: int, previous: str) -> str:
        """Write what waits and the manifest, durably; name the folder; return the manifest's SHA-256."""
        for table, rows in self._waiting.items():
            if rows:
                self._write(table, rows)
        manifest = Manifest(
            FORMAT, self._month, token, created_at, entries_until, tuple(self.parts), previous or None
        )  # fmt: skip
        octets = encode(manifest)
        with os.fdopen(os.open(self._aside / MANIFEST, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE), "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        fsync_folder(self._aside)
        os.rename(self._aside, self._folder / self._month)
        fsync_folder(self._folder)
        return digest(octets)


def _kind(table: str, column: str) -> "type[pl.DataType]":
    import polars as pl  # noqa: PLC0415 - as above

    known = metadata.tables[table].columns
    if column not in known or isinstance(known[column].type, BigInteger | Integer):
        return pl.Int64
    return pl.Binary if isinstance(known[column].type, LargeBinary) else pl.String


def fsync_folder(path: Path) -> None:
    """Make the names within a folder durable."""
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)
