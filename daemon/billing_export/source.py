"""The store's side of the hand-off, by its shape: no adapter imports another, so the store's methods are named here.

The tenant's zone is read once, when a batch is cut, and kept with it: a later change of zone moves no written line.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from daemon.billing_export.batch import Batch
from daemon.charging.cdr import RatedCdr
from daemon.charging.configuration import Configuration
from daemon.kernel.instant import Instant


class StoredBatch(Protocol):
    """A batch as a store returns it; names and units are those of ``Batch``."""

    @property
    def tenant(self) -> str: ...
    @property
    def sequence(self) -> int: ...
    @property
    def after_seq(self) -> int: ...
    @property
    def until_seq(self) -> int: ...
    @property
    def begins(self) -> Instant: ...
    @property
    def until(self) -> Instant: ...
    @property
    def created_at(self) -> Instant: ...
    @property
    def zone(self) -> str: ...
    @property
    def previous_manifest_sha256(self) -> str: ...
    @property
    def manifest_sha256(self) -> str: ...


class BatchStore(Protocol):
    """What a store offers to the hand-off. Every method may raise ``charging.ports.StoreError``."""

    async def configuration_but_accounts(self) -> Configuration:
        """Return what is configured."""

    async def export_tenants(self) -> Sequence[str]:
        """Return the ids of all tenants, sorted."""

    async def stored_batches(self, tenant: str) -> Sequence[StoredBatch]:
        """Return a tenant's batches in order."""

    async def begin_stored_batch(self, tenant: str, now: Instant, zone: str) -> StoredBatch:
        """Return the unfinished batch, else cut the next one, durably."""

    async def finish_batch(self, tenant: str, sequence: int, manifest_sha256: str) -> None:
        """Record that a manifest was published."""

    def records(self, tenant: str, after_seq: int, until_seq: int) -> AsyncIterator[tuple[int, RatedCdr]]:
        """Stream records with their sequence."""


class StoreSource:
    """Implements ``batch.ExportSource`` over a store."""

    def __init__(self, store: BatchStore) -> None:
        """Take an open store; closing it stays with whoever opened it."""
        self._store = store

    async def export_tenants(self) -> Sequence[str]:
        """Return the ids of all tenants, sorted."""
        return await self._store.export_tenants()

    async def batches(self, tenant: str) -> Sequence[Batch]:
        """Return a tenant's batches in order."""
        return [_batch(row) for row in await self._store.stored_batches(tenant)]

    async def begin_batch(self, tenant: str, now: Instant) -> Batch:
        """Return the unfinished batch, else cut the next one in the tenant's zone."""
        configuration = await self._store.configuration_but_accounts()
        zone = next(spec.timezone for spec in configuration.tenants if spec.id == tenant)
        return _batch(await self._store.begin_stored_batch(tenant, now, zone))

    def records(self, tenant: str, after_seq: int, until_seq: int) -> AsyncIterator[tuple[int, RatedCdr]]:
        """Stream records with their sequence."""
        return self._store.records(tenant, after_seq, until_seq)

    async def finish_batch(self, tenant: str, sequence: int, manifest_sha256: str) -> None:
        """Record that a manifest was published."""
        await self._store.finish_batch(tenant, sequence, manifest_sha256)


def _batch(row: StoredBatch) -> Batch:
    return Batch(
        tenant=row.tenant, sequence=row.sequence, after_seq=row.after_seq, until_seq=row.until_seq, begins=row.begins,
        until=row.until, created_at=row.created_at, zone=row.zone,
        previous_manifest_sha256=row.previous_manifest_sha256, manifest_sha256=row.manifest_sha256,
    )  # fmt: skip
