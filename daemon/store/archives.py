"""What left the store, still to be found: entries of an account, calls, and records in the order of their numbers.

A row is the archive's from the transaction on that takes it out of the store: of a month that is still leaving, only
what lies below the progress noted in the store counts, and of a call that changed meanwhile the store's row does.
So nothing is seen twice, and nothing is missed, at whatever instant somebody looks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from daemon.charging.call import Call
from daemon.charging.ports import StoreError
from daemon.kernel.instant import SECOND, Instant
from daemon.store.archive_files import ArchiveFault, Manifest, Part, manifest_of, scan
from daemon.store.link import Link

if TYPE_CHECKING:
    import polars as pl

MONTHS: Final = (
    "SELECT month, token, begun_at, entries_until, entries_done, calls_done, manifest_sha256, is_done"
    " FROM archive ORDER BY month"
)
KEPT: Final = "SELECT month, grant_id FROM archive_kept"
_call = msgspec.json.Decoder(Call)


class Month(NamedTuple):
    """A month as the store knows it; ``manifest_sha256`` is empty while its files are written."""

    month: str
    token: str
    begun_at: Instant
    entries_until: int
    entries_done: int
    calls_done: int
    manifest_sha256: str
    is_done: int

    @property
    def is_written(self) -> bool:
        """Tell whether its files are whole and durable."""
        return bool(self.manifest_sha256)


@dataclass(frozen=True, slots=True)
class Archived:
    """A month that left the store. ``resumed``: an earlier run had begun it. ``kept``: calls that changed meanwhile."""

    month: str
    directory: Path
    entries: int
    calls: int
    records: int
    kept: int
    octets: int
    manifest_sha256: str
    resumed: bool


def month_begins(month: str) -> Instant:
    """Return the first instant of a month such as 2026-01, of UTC."""
    year, number = map(int, month.split("-"))
    return int(datetime(year, number, 1, tzinfo=UTC).timestamp()) * SECOND


def month_of(at: Instant) -> str:
    """Return the month of an instant, of UTC."""
    return datetime.fromtimestamp(at // SECOND, UTC).strftime("%Y-%m")


def month_after(month: str, months: int = 1) -> str:
    """Return the month that lies some months later; a negative number is before."""
    year, number = map(int, month.split("-"))
    total = year * 12 + number - 1 + months
    return f"{total // 12:04d}-{total % 12 + 1:02d}"


class Archives:
    """The months that the store has told of, below one folder. What is asked of a missing file raises ArchiveFault."""

    def __init__(self, folder: Path | None, months: Sequence[Month], kept: Sequence[tuple[str, str]]) -> None:
        """Take the folder (None: the settings name none), and what the store knows."""
        self._folder = folder
        self.months = [month for month in months if month.is_written]
        self._kept: dict[str, list[str]] = {}
        for month, grant_id in kept:
            self._kept.setdefault(month, []).append(grant_id)
        self._manifests: dict[str, Manifest] = {}

    @property
    def folder(self) -> Path:
        """The folder. Raises ArchiveFault where the settings name none."""
        if self._folder is None:
            raise ArchiveFault("the store has archives: name their folder, [store] archive")
        return self._folder

    def kept(self, month: str) -> list[str]:
        """Return the grants whose calls changed after they were written to a month: the store's rows count."""
        return self._kept.get(month, [])

    def manifest(self, month: Month) -> Manifest:
        """Return a month's manifest. Raises ArchiveFault where it is not the one that the store recorded."""
        found = self._manifests.get(month.month)
        if found is None:
            found, sha256 = manifest_of(self.folder, month.month)
            if sha256 != month.manifest_sha256:
                raise ArchiveFault(f"{self.folder / month.month}: its manifest is not the one that the store recorded")
            self._manifests[month.month] = found
        return found

    def left(self, month: Month, table: str, parts: "Sequence[Part] | None" = None) -> "pl.LazyFrame | None":
        """Return the rows of a table that have left the store with a month; None where there are none."""
        import polars as pl  # noqa: PLC0415 - loaded by those who read archives, not by every daemon

        chosen = self.manifest(month).of(table) if parts is None else parts
        if not chosen:
            return None
        rows = scan(self.folder, month.month, chosen)
        if table == "entry":
            return rows if month.is_done else rows.filter(pl.col("number") <= month.entries_done)
        if not month.is_done:
            rows = rows.filter(pl.col("call" if table == "record" else "number") <= month.calls_done)
        kept = self.kept(month.month)
        return rows.filter(~pl.col("grant_id").is_in(kept)) if kept else rows

    def entries(self, account: int, names: Sequence[str], limit: int) -> list[dict[str, object]]:
        """Return the newest archived entries of an account, oldest first, each with its ``archive``."""
        if not self.months:
            return []
        import polars as pl  # noqa: PLC0415 - as above

        found: list[dict[str, object]] = []
        for month in reversed(self.months):
            rows = self.left(month, "entry") if len(found) < limit else None
            if rows is None:
                continue
            chosen = rows.filter(pl.col("account") == account).select(names).sort("number", descending=True)
            newest = chosen.head(limit - len(found)).collect().rows(named=True)
            found = [{**row, "archive": month.month} for row in reversed(newest)] + found
        return found

    def calls(self, call_id: str, limit: int) -> list[tuple[str, Call]]:
        """Return the newest archived calls of a call id or grant id with their month, oldest first."""
        if not self.months:
            return []
        import polars as pl  # noqa: PLC0415 - as above

        found: list[tuple[str, Call]] = []
        for month in reversed(self.months):
            rows = self.left(month, "call") if len(found) < limit else None
            if rows is None:
                continue
            named = rows.filter((pl.col("call_id") == call_id) | (pl.col("grant_id") == call_id))
            bodies = named.sort("number", descending=True).head(limit - len(found)).select("body").collect()
            found = [(month.month, _call.decode(body)) for (body,) in reversed(bodies.rows())] + found
        return found

    def records(self, tenant: str, after_seq: int, until_seq: int, limit: int) -> list[tuple[int, str]]:
        """Return a tenant's first archived records of a range as number and JSON, in their order."""
        if not self.months:
            return []
        import polars as pl  # noqa: PLC0415 - as above

        chosen: list[tuple[int, str]] = []
        for month in self.months:
            parts = [
                part for part in self.manifest(month).of("record") if part.last > after_seq and part.first <= until_seq
            ]
            rows = self.left(month, "record", parts)
            if rows is not None:
                asked = (pl.col("tenant") == tenant) & (pl.col("seq") > after_seq) & (pl.col("seq") <= until_seq)
                chosen += rows.filter(asked).select("seq", "body").sort("seq").head(limit).collect().rows()
        return sorted(chosen)[:limit]

    def each(self, table: str) -> "Iterator[tuple[Month, pl.LazyFrame]]":
        """Yield the archived rows of a table, month by month."""
        for month in self.months:
            rows = self.left(month, table)
            if rows is not None:
                yield month, rows


def archived_before(link: Link) -> Instant:
    """Return the instant before which entries and calls have left the store, 0 where none has."""
    return horizon(months_of(link.execute(MONTHS).fetchall()))


def horizon(months: Sequence[Month]) -> Instant:
    """Return the instant before which calls have left the store, 0 where none has."""
    written = [month.month for month in months if month.is_written]
    return month_begins(month_after(written[-1])) if written else 0


def months_of(rows: Sequence[Sequence[Any]]) -> list[Month]:
    """Return the months of rows of ``MONTHS``."""
    return [Month(*row) for row in rows]


def refused(month: str, why: str) -> StoreError:
    """Return the error of a month that cannot be archived now."""
    return StoreError(f"{month} cannot be archived: {why}")
