"""Records and a source of batches in memory: the promises of ExportSource, without durability."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from daemon.billing_export.batch import Batch
from daemon.charging.cdr import RatedCdr
from daemon.kernel.ids import Direction
from daemon.kernel.instant import SECOND, Instant, parse_rfc3339

CUT: Instant = parse_rfc3339("2026-11-24T01:30:00Z")

RECORD = RatedCdr(
    record_id="g1.0.1", tenant="main", grant_id="g1", id_domain="gw1", call_id="c-1@192.0.2.1", attempt=1, part=1,
    leg="a", account="acme", account_number=1, direction=Direction.OUTBOUND, calling="+15551230001",
    called="442071231234", prefix="4420", destination="UK, London", rate_table="retail", deck_version=3,
    rate_type="voice", override="VOICE", started_at=CUT - 100 * SECOND, answered_at=CUT - 90 * SECOND,
    ended_at=CUT - 28 * SECOND + 800_000, duration_us=62_800_000, switch_seconds=62, billed_seconds=66,
    rate=12_000_000, connect_fee=5_000_000, charge=18_200_000, uncollected=0, currency="USD", tax_code="T1",
    ledger_code="4000", carrier="carrier-a", cost=6_600_000, source="esl", switch="fs1", cause="NORMAL_CLEARING",
    settled_by="hangup", status="rated", authorised=True, rounding="4 up, duration up", overrun_us=0,
    settled_at=CUT - 28 * SECOND,
)  # fmt: skip


def record(number: int, **changes: object) -> RatedCdr:
    """Return the n-th record: its ids are its own."""
    made = RECORD.changed(record_id=f"g{number}.0.1", grant_id=f"g{number}", call_id=f"c-{number}@192.0.2.1")
    return made.changed(**changes)


@dataclass
class RecordsInMemory:
    """Records in the order of their commit; their sequence counts over all tenants, as in the store."""

    zones: dict[str, str] = field(default_factory=lambda: {"main": "UTC"})
    committed: list[RatedCdr] = field(default_factory=list)
    cut: dict[str, list[Batch]] = field(default_factory=dict)

    def commit(self, *records: RatedCdr) -> None:
        """Commit records."""
        self.committed.extend(records)

    async def export_tenants(self) -> Sequence[str]:
        return sorted(self.zones)

    async def batches(self, tenant: str) -> Sequence[Batch]:
        return list(self.cut.get(tenant, ()))

    async def begin_batch(self, tenant: str, now: Instant) -> Batch:
        batches = self.cut.setdefault(tenant, [])
        last = batches[-1] if batches else Batch(tenant, 0, 0, 0, 0, 0, 0, "", "", "")
        if batches and not last.is_finished:
            return last
        batch = Batch(
            tenant=tenant, sequence=last.sequence + 1, after_seq=last.until_seq, until_seq=len(self.committed),
            begins=last.until, until=max(now, last.until), created_at=max(now, last.until), zone=self.zones[tenant],
            previous_manifest_sha256=last.manifest_sha256,
        )  # fmt: skip
        batches.append(batch)
        return batch

    async def records(self, tenant: str, after_seq: int, until_seq: int) -> AsyncIterator[tuple[int, RatedCdr]]:
        for seq, found in enumerate(self.committed, start=1):
            if after_seq < seq <= until_seq and found.tenant == tenant:
                yield seq, found

    async def finish_batch(self, tenant: str, sequence: int, manifest_sha256: str) -> None:
        batches = self.cut[tenant]
        batch = batches[sequence - 1]
        assert batch.manifest_sha256 in ("", manifest_sha256)
        batches[sequence - 1] = replace(batch, manifest_sha256=manifest_sha256)
