"""What is handed off adds up exactly to the ledger: real store, real use cases, two tenants of one reseller chain."""

import csv
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest

from daemon.billing_export.export import Exported, export_again, run_exports
from daemon.billing_export.source import StoreSource
from daemon.billing_export.verify import list_batches, verify_directory, verify_exports
from daemon.charging.call import Call
from daemon.charging.event import CallReport
from daemon.charging.ports import Book, Reads
from daemon.kernel.instant import DAY, SECOND
from daemon.kernel.money import format_nano
from daemon.store import LedgerStore
from tests.integration.export_desk import ACME, NIGHT, RITA, TRUNK, Office, founded, opened_store
from tests.unit.billing_export.ledger_of_records import record

_DEBITED = (
    "SELECT coalesce(sum(entry.uncollected - entry.amount), 0) FROM entry"
    " JOIN account ON account.number = entry.account"
    " WHERE role = 'customer' AND tenant = ? AND kind IN ('debit', 'refund')"
)


@dataclass
class Night:
    """A charged store and the directory that it exports into."""

    store: LedgerStore
    office: Office
    exports: Path

    @property
    def source(self) -> StoreSource:
        return StoreSource(self.store)

    async def export(self, now: int) -> dict[str, Exported]:
        """Run a night; return what each tenant was handed."""
        results = await run_exports(self.source, self.exports, now)
        assert all(isinstance(result, Exported) for result in results), results
        return {result.tenant: result for result in results if isinstance(result, Exported)}

    def lines(self, tenant: str, name: str = "usage.csv") -> list[dict[str, str]]:
        """Return the lines of all of a tenant's batches, in order."""
        found = []
        for path in sorted((self.exports / tenant).glob(f"{tenant}-*/{name}")):
            with path.open(encoding="utf-8", newline="") as file:
                found += list(csv.DictReader(file, strict=True))
        return found

    def exported(self, tenant: str) -> Decimal:
        """Return the sum of the charges of a tenant's lines, added up as a consumer would."""
        return sum((Decimal(line["charge"]) for line in self.lines(tenant)), Decimal(0))

    async def debited(self, tenant: str) -> Decimal:
        """Return what the ledger charged to a tenant's customers: paid or owed, less what was taken back."""
        ((nano,),) = await self.store.rows(_DEBITED, (tenant,))
        return Decimal(format_nano(int(str(nano))))


@pytest.fixture
async def night(tmp_path: Path) -> AsyncIterator[Night]:
    await founded(tmp_path / "tollway.db")
    async with opened_store(tmp_path / "tollway.db") as store:
        yield Night(store, await Office.open(store), tmp_path / "exports")


async def test_each_tenant_gets_its_own_customers_lines_and_they_add_up_to_the_ledger(night: Night) -> None:
    for number in range(8):
        await night.office.call(f"a-{number}", ACME, "442071231234", number * 7_300_001)
    await night.office.call("r-1", RITA, "33140000000", 59_999_999)
    await night.office.call("r-2", RITA, "442071231234", 1)
    handed = await night.export(NIGHT)
    for tenant in ("main", "ray"):
        totals = handed[tenant].totals
        assert [total.currency for total in totals] == ["USD"]
        assert Decimal(totals[0].charge) == night.exported(tenant) == await night.debited(tenant)
    assert [line["account"] for line in night.lines("ray")] == ["rita", "rita"]
    assert [line["account"] for line in night.lines("main")] == ["acme"] * 8 + ["ray-trunk"] * 2
    # What the reseller pays upwards is its own cost, line by line.
    trunk = [line["charge"] for line in night.lines("main") if line["account"] == "ray-trunk"]
    assert [line["cost"] for line in night.lines("ray")] == trunk
    assert b"rita" not in b"".join(path.read_bytes() for path in (night.exports / "main").rglob("*.*"))
    assert b"acme" not in b"".join(path.read_bytes() for path in (night.exports / "ray").rglob("*.*"))


async def test_a_debt_is_part_of_the_charge(night: Night) -> None:
    await night.office.call("r-1", RITA, "442071231234", 600 * SECOND, asked=False)
    handed = await night.export(NIGHT)
    (line,) = night.lines("ray")
    standing = next(view.standing for view in await night.store.account_views(["ray"]))
    assert Decimal(line["uncollected"]) == Decimal(format_nano(standing.uncollected)) > 0
    assert standing.balance == 0
    assert Decimal(line["charge"]) == Decimal("0.377") == await night.debited("ray")
    assert handed["ray"].totals[0].charge == line["charge"]


async def test_an_estimate_is_handed_off_and_corrected_by_a_later_batch(night: Night) -> None:
    attempt = night.office.attempt("r-1", RITA, "33140000000", "15551230001")
    await night.office.ocf.authorize(attempt)
    await night.office.ocf.answered(CallReport(attempt, night.office.now))
    night.office.now += 8 * 3600 * SECOND
    (estimated,) = await night.office.ocf.expire_due()
    assert isinstance(estimated, Call)
    await night.export(NIGHT)
    first = night.lines("ray")
    assert [(line["settled_by"], line["status"]) for line in first] == [("end_unknown", "rated")]
    assert night.exported("ray") == await night.debited("ray")
    await night.office.end(attempt, 42 * SECOND)
    handed = await night.export(NIGHT + DAY)
    assert handed["ray"].sequence == 2
    lines = night.lines("ray")
    assert lines[:1] == first
    assert [(line["status"], line["reverses"]) for line in lines[1:]] == [
        ("reversal", first[0]["record_id"]),
        ("rated", ""),
    ]
    assert Decimal(lines[1]["charge"]) == -Decimal(first[0]["charge"]) < 0
    for tenant in ("main", "ray"):
        assert night.exported(tenant) == await night.debited(tenant)
    assert len({line["record_id"] for line in lines}) == 3


async def test_what_is_committed_after_the_cut_is_in_the_next_batch(night: Night) -> None:
    await night.office.call("a-1", ACME, "442071231234", 10 * SECOND)
    await night.source.begin_batch("main", NIGHT)
    await night.office.call("a-2", ACME, "442071231234", 10 * SECOND)
    await night.export(NIGHT + 60 * SECOND)
    batches = [
        (row.sequence, row.records, row.state) for row in await list_batches(night.source, night.exports, "main")
    ]
    assert batches == [(1, 1, "finished"), (2, 1, "finished")]
    assert [line["call_id"] for line in night.lines("main")] == ["a-1", "a-2"]


async def test_a_long_night_is_streamed_and_exported_again_with_the_same_bytes(night: Night) -> None:
    made = [record(number, charge=number * 1_000_001, cost=number) for number in range(2_345)]

    def append(book: Book) -> None:
        for one in made:
            book.append_record(one)

    await night.store.transact(Reads(), append)
    handed = await night.export(NIGHT)
    assert handed["main"].records == len(made)
    assert handed["main"].totals[0].charge == format_nano(sum(one.charge for one in made))
    assert [line["record_id"] for line in night.lines("main")] == [one.record_id for one in made]
    with (handed["main"].directory / "usage.jsonl").open(encoding="utf-8") as file:
        assert [json.loads(line)["charge"] for line in file] == [line["charge"] for line in night.lines("main")]
    again = await export_again(night.source, night.exports.parent / "again", "main", 1)
    for path in handed["main"].directory.iterdir():
        assert (again.directory / path.name).read_bytes() == path.read_bytes()


async def test_summary_lines_are_the_sums_of_the_usage_lines(night: Night) -> None:
    for number in range(4):
        await night.office.call(f"a-{number}", ACME, ("442071231234", "33140000000")[number % 2], 31_000_001)
    await night.office.call("r-1", RITA, "33140000000", 10 * SECOND)
    await night.export(NIGHT)
    groups = {(line["account"], line["destination"]): line for line in night.lines("main", "summary.csv")}
    assert set(groups) == {("acme", "UK, fixed"), ("acme", "'=France"), (TRUNK.id, "France")}
    for (account, destination), group in groups.items():
        mine = [
            line for line in night.lines("main") if (line["account"], line["destination"]) == (account, destination)
        ]
        assert (int(group["records"]), int(group["seconds"])) == (len(mine), sum(int(line["units"]) for line in mine))
        for name in ("charge", "uncollected", "cost"):
            assert Decimal(group[name]) == sum(Decimal(line[name]) for line in mine)


async def test_verification_finds_what_was_done_to_a_real_export(night: Night) -> None:
    await night.office.call("a-1", ACME, "442071231234", 10 * SECOND)
    await night.export(NIGHT)
    await night.export(NIGHT + DAY)
    assert await verify_exports(night.source, night.exports) == verify_directory(night.exports) == []
    usage = night.exports / "main" / "main-00000001" / "usage.csv"
    octets = bytearray(usage.read_bytes())
    octets[-40] ^= 1
    usage.write_bytes(octets)
    (night.exports / "ray" / "ray-00000001" / "usage.jsonl").unlink()
    found = [(finding.fault.value, finding.name) for finding in await verify_exports(night.source, night.exports)]
    assert found == [
        ("file_altered", "main/main-00000001/usage.csv"),
        ("missing_file", "ray/ray-00000001/usage.jsonl"),
    ]


async def test_a_change_of_zone_moves_no_written_line(night: Night) -> None:
    await night.export(NIGHT - 30 * 3600 * SECOND)
    await night.office.call("r-1", RITA, "33140000000", 10 * SECOND)
    handed = await night.export(NIGHT)
    (tenant,) = [spec for spec in (await night.store.load_configuration()).tenants if spec.id == "ray"]
    await night.store.apply([replace(tenant, timezone="Asia/Tokyo")], {}, who="test")
    again = await export_again(night.source, night.exports.parent / "again", "ray", 2)
    assert again.manifest_sha256 == handed["ray"].manifest_sha256
