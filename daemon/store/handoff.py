"""Where batches for invoicing are cut and kept: their range and period are durable before a file is written."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from daemon.charging.ports import StoreError
from daemon.kernel.instant import Instant
from daemon.store.link import Link

T = TypeVar("T")
_COLUMNS = (
    "tenant", "sequence", "after_seq", "until_seq", "begins", "until", "created_at", "zone",
    "previous_manifest_sha256", "manifest_sha256",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM export_batch WHERE tenant = ? ORDER BY sequence"


class StoredBatch(NamedTuple):
    """One batch as the store keeps it; the names and units are those of ``billing_export.batch.Batch``."""

    tenant: str
    sequence: int
    after_seq: int
    until_seq: int
    begins: Instant
    until: Instant
    created_at: Instant
    zone: str
    previous_manifest_sha256: str
    manifest_sha256: str


class Handoff:
    """The export's side of the store; the engine gives ``administer`` and ``rows``."""

    def __init__(self, now: Callable[[], Instant]) -> None:
        """Take the clock."""
        self._now = now

    async def administer(self, work: Callable[[Link], T]) -> T:
        """Run administrative work in a transaction; given by the engine."""
        raise StoreError("an engine gives this")

    async def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return rows; given by the engine."""
        raise StoreError("an engine gives this")

    async def export_tenants(self) -> Sequence[str]:
        """Return the ids of all tenants, sorted."""
        return [
            str(row[0]) for row in await self.rows("SELECT id FROM config_object WHERE kind = 'tenant' ORDER BY id")
        ]

    async def stored_batches(self, tenant: str) -> Sequence[StoredBatch]:
        """Return a tenant's batches in order; only the last may be unfinished."""
        return [StoredBatch._make(row) for row in await self.rows(_SELECT, (tenant,))]

    async def begin_stored_batch(self, tenant: str, now: Instant, zone: str) -> StoredBatch:
        """Return the tenant's unfinished batch, else cut the next one, durably."""

        def work(connection: Link) -> StoredBatch:
            batches = [StoredBatch._make(row) for row in connection.execute(_SELECT, (tenant,))]
            last = batches[-1] if batches else None
            if last is not None and not last.manifest_sha256:
                return last
            connection.wait_for_writers("record")
            newest = connection.execute("SELECT coalesce(max(seq), 0) FROM record").fetchone()[0]
            begins = last.until if last is not None else 0
            batch = StoredBatch(
                tenant, last.sequence + 1 if last else 1, last.until_seq if last else 0, newest, begins,
                max(now, begins), max(now, begins), zone, last.manifest_sha256 if last else "", "",
            )  # fmt: skip
            connection.execute(
                f"INSERT INTO export_batch ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})", batch
            )
            return batch

        return await self.administer(work)

    async def finish_batch(self, tenant: str, sequence: int, manifest_sha256: str) -> None:
        """Record that a batch's manifest was published; saying the same again changes nothing."""

        def work(connection: Link) -> None:
            connection.execute(
                "UPDATE export_batch SET manifest_sha256 = ?"
                " WHERE tenant = ? AND sequence = ? AND manifest_sha256 = ''",
                (manifest_sha256, tenant, sequence),
            )

        await self.administer(work)
