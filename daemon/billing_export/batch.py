"""A batch is every record committed since the last one, cut once by the store's order of records, never by a date.

What a batch holds and says is fixed durably before its first file is written: the range, the period, the instant,
the zone and the digest of the batch before. An interrupted export therefore resumes with the same bytes.
Batches of a tenant are numbered from 1 without a gap; only the last may be unfinished.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from daemon.charging.cdr import RatedCdr
from daemon.kernel.instant import Instant, local_day, zone

SEQUENCE_DIGITS = 8
SEQUENCE_MAX = 99_999_999  # eight digits; one batch a night lasts 270,000 years


class ExportError(Exception):
    """The hand-off could not be done; nothing half-written was published."""


class ExportUnavailable(ExportError):
    """The export directory cannot be written now: full, gone, not ours, or another export holds it."""


class ExportConflict(ExportError):
    """What is published differs from what the store says; it was left as it is, for a person to look at."""


def batch_name(tenant: str, sequence: int) -> str:
    """Return the name of a batch's directory: ``main-00000001``."""
    assert 1 <= sequence <= SEQUENCE_MAX, sequence
    return f"{tenant}-{sequence:0{SEQUENCE_DIGITS}d}"


def sequence_of(tenant: str, name: str) -> int:
    """Return the sequence of a batch directory's name, 0 for any other name."""
    head, digits = name[:-SEQUENCE_DIGITS], name[-SEQUENCE_DIGITS:]
    return int(digits) if head == f"{tenant}-" and digits.isascii() and digits.isdigit() else 0


@dataclass(frozen=True, slots=True)
class Batch:
    """One tenant's hand-off, as the store keeps it.

    ``after_seq`` (excluded) to ``until_seq`` (included) is the range of the store's record sequence. The period runs
    from ``begins`` (the previous batch's ``until``; 0, the epoch, for the first) to ``until``, the instant of the cut;
    microseconds. ``zone`` is the tenant's at the cut. ``manifest_sha256`` is empty until the batch is finished.
    """

    tenant: str
    sequence: int
    after_seq: int
    until_seq: int
    begins: Instant
    until: Instant
    created_at: Instant
    zone: str
    previous_manifest_sha256: str
    manifest_sha256: str = ""

    @property
    def name(self) -> str:
        """The batch's directory: the tenant and eight digits."""
        return batch_name(self.tenant, self.sequence)

    @property
    def is_finished(self) -> bool:
        """Tell whether its manifest was published and recorded."""
        return bool(self.manifest_sha256)


class ExportSource(Protocol):
    """Where batches and their records come from. Every method may raise ``charging.ports.StoreError``."""

    async def export_tenants(self) -> Sequence[str]:
        """Return the ids of all tenants, sorted."""

    async def batches(self, tenant: str) -> Sequence[Batch]:
        """Return a tenant's batches in order; only the last may be unfinished."""

    async def begin_batch(self, tenant: str, now: Instant) -> Batch:
        """Return the tenant's unfinished batch, else cut the next one, durably.

        It takes every record committed so far; its ``until`` is ``now``, or the last one's where a clock fell back.
        """

    def records(self, tenant: str, after_seq: int, until_seq: int) -> AsyncIterator[tuple[int, RatedCdr]]:
        """Stream a tenant's records with their sequence, in its order, ``after_seq`` excluded."""

    async def finish_batch(self, tenant: str, sequence: int, manifest_sha256: str) -> None:
        """Record that a batch's manifest was published. Saying the same again changes nothing."""


class Lateness:
    """Tells which calls came after their day was handed off.

    A record is late where the local day of its answer, in the tenant's zone, lies before the local day on which the
    batch's period begins. A call of the evening that ends after midnight but before the cut is therefore not late.
    """

    def __init__(self, batch: Batch) -> None:
        """Take zone and period of a batch. Raises kernel.instant.InstantError where the zone is unknown."""
        self._zone = zone(batch.zone)
        self._first_day = local_day(batch.begins, self._zone)

    def of(self, record: RatedCdr) -> bool:
        """Tell whether a record's call date lies before the batch's period."""
        return local_day(record.answered_at, self._zone) < self._first_day
