"""The night's run on records in memory: what is written, what is never written twice, what an interruption leaves."""

import csv
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.billing_export.aside import locked
from daemon.billing_export.batch import ExportConflict, ExportError, ExportUnavailable
from daemon.billing_export.export import Exported, Refused, export_again, run_exports
from daemon.billing_export.manifest import decode, digest
from daemon.billing_export.verify import verify_exports
from daemon.charging.cdr import RatedCdr, reversal
from daemon.kernel.instant import DAY, SECOND
from tests.unit.billing_export.ledger_of_records import CUT, RecordsInMemory, record

NAMES = {"usage.csv", "usage.jsonl", "summary.csv", "manifest.json"}


class Interrupted(Exception):
    """The process ends here."""


class Interruptible(RecordsInMemory):
    """Ends the run at a chosen record, or before a chosen tenant's batch is recorded as finished."""

    at_record = ""
    at_finish = ""
    at_begin = ""

    async def begin_batch(self, tenant: str, now: int):  # type: ignore[no-untyped-def]
        if tenant == self.at_begin:
            raise Interrupted
        return await super().begin_batch(tenant, now)

    async def records(self, tenant: str, after_seq: int, until_seq: int) -> AsyncIterator[tuple[int, RatedCdr]]:
        async for seq, found in super().records(tenant, after_seq, until_seq):
            if found.record_id == self.at_record:
                raise Interrupted
            yield seq, found

    async def finish_batch(self, tenant: str, sequence: int, manifest_sha256: str) -> None:
        if tenant == self.at_finish:
            raise Interrupted
        await super().finish_batch(tenant, sequence, manifest_sha256)

    def heal(self) -> None:
        """Let the next run go through."""
        self.at_record = self.at_finish = self.at_begin = ""


def tree(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory, but for the lock."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def two_tenants() -> Interruptible:
    """Return two tenants with a call each, at a reseller's and the owner's level."""
    source = Interruptible(zones={"main": "UTC", "ray": "America/New_York"})
    source.commit(record(1, account="ray-trunk"), record(1, tenant="ray", account="rita", record_id="g1.1.1"))
    return source


def sequences(results: list[Exported | Refused]) -> list[tuple[str, int]]:
    """Return which batches a run wrote; all of them must have been."""
    assert all(isinstance(result, Exported) for result in results), results
    return [(result.tenant, result.sequence) for result in results]


class TestANight:
    async def test_writes_each_tenants_own_lines_and_the_manifest(self, tmp_path: Path) -> None:
        results = await run_exports(two_tenants(), tmp_path, CUT)
        assert sequences(results) == [("main", 1), ("ray", 1)]
        files = tree(tmp_path)
        assert files.keys() == {f"{t}/{t}-00000001/{name}" for t in ("main", "ray") for name in NAMES}
        assert b"ray-trunk" in files["main/main-00000001/usage.csv"]
        assert b"rita" not in files["main/main-00000001/usage.csv"] + files["main/main-00000001/usage.jsonl"]
        assert files["ray/ray-00000001/usage.csv"].count(b"\n") == 2
        assert b"rita" in files["ray/ray-00000001/summary.csv"]

    async def test_each_manifest_names_its_files_and_the_one_before(self, tmp_path: Path) -> None:
        source = two_tenants()
        await run_exports(source, tmp_path, CUT)
        source.commit(record(3))
        await run_exports(source, tmp_path, CUT + DAY)
        files = tree(tmp_path)
        first, second = (files[f"main/main-0000000{n}/manifest.json"] for n in (1, 2))
        manifest = decode(second)
        assert manifest.previous_manifest_sha256 == digest(first)
        assert (manifest.begins, manifest.until) == ("2026-11-24T01:30:00.000000Z", "2026-11-25T01:30:00.000000Z")
        for entry in manifest.files:
            octets = files[f"main/main-00000002/{entry.name}"]
            assert (entry.bytes, entry.sha256) == (len(octets), digest(octets))
            assert entry.rows == octets.count(b"\n") - entry.name.endswith(".csv")

    async def test_a_night_without_records_has_an_empty_batch(self, tmp_path: Path) -> None:
        source = two_tenants()
        await run_exports(source, tmp_path, CUT)
        assert sequences(await run_exports(source, tmp_path, CUT + DAY)) == [("main", 2), ("ray", 2)]
        manifest = decode(tree(tmp_path)["main/main-00000002/manifest.json"])
        assert manifest.totals == ()
        assert [entry.rows for entry in manifest.files] == [0, 0, 0]

    async def test_a_record_goes_out_once_whatever_its_date_and_says_when_it_is_late(self, tmp_path: Path) -> None:
        source = two_tenants()
        await run_exports(source, tmp_path, CUT)
        source.commit(record(7, answered_at=CUT - 40 * DAY), record(8, answered_at=CUT + 60 * SECOND))
        await run_exports(source, tmp_path, CUT + DAY)
        lines = csv.DictReader(tree(tmp_path)["main/main-00000002/usage.csv"].decode().splitlines(), strict=True)
        assert [(line["record_id"], line["late"]) for line in lines] == [
            ("g7.0.1", "true"),
            ("g8.0.1", "false"),
        ]

    async def test_a_correction_is_a_reversing_line_and_a_new_one(self, tmp_path: Path) -> None:
        source = two_tenants()
        await run_exports(source, tmp_path, CUT)
        wrong = source.committed[0]
        source.commit(reversal(wrong, 2, CUT), wrong.changed(record_id="g1.0.3", charge=9_000_000))
        (result, _ray) = await run_exports(source, tmp_path, CUT + DAY)
        assert isinstance(result, Exported)
        assert (result.records, result.totals[0].charge) == (2, "-0.0092")

    async def test_progress_is_told_every_thousand_records(self, tmp_path: Path) -> None:
        source = RecordsInMemory()
        source.commit(*(record(number) for number in range(2_500)))
        told: list[tuple[str, int]] = []
        await run_exports(source, tmp_path, CUT, progress=lambda tenant, count: told.append((tenant, count)))
        assert told == [("main", 1000), ("main", 2000)]

    async def test_a_clock_that_fell_back_never_turns_a_period_round(self, tmp_path: Path) -> None:
        source = two_tenants()
        await run_exports(source, tmp_path, CUT)
        await run_exports(source, tmp_path, CUT - DAY)
        manifest = decode(tree(tmp_path)["main/main-00000002/manifest.json"])
        assert manifest.begins == manifest.until == "2026-11-24T01:30:00.000000Z"

    async def test_another_tenants_record_stops_the_batch(self, tmp_path: Path) -> None:
        class Confused(RecordsInMemory):
            async def records(self, tenant: str, after_seq: int, until_seq: int) -> AsyncIterator[tuple[int, RatedCdr]]:
                yield 1, record(1, tenant="other")

        source = Confused()
        source.commit(record(1))
        with pytest.raises(AssertionError):
            await run_exports(source, tmp_path, CUT)
        assert tree(tmp_path) == {}


class TestAnotherDirectory:
    async def test_is_refused_for_each_tenant_whose_last_batch_is_elsewhere(self, tmp_path: Path) -> None:
        source = two_tenants()
        await run_exports(source, tmp_path / "exports", CUT)
        source.commit(record(3))
        before = {tenant: await source.batches(tenant) for tenant in ("main", "ray")}
        results = await run_exports(source, tmp_path / "other", CUT + DAY)
        assert [(type(result), result.tenant, result.sequence) for result in results] == [
            (Refused, "main", 2),
            (Refused, "ray", 2),
        ]
        assert isinstance(results[0], Refused)
        assert f"({tmp_path}/other/main/main-00000001/manifest.json is missing)" in results[0].reason
        assert "export run --again main-00000001" in results[0].reason
        assert tree(tmp_path / "other") == {}
        assert {tenant: await source.batches(tenant) for tenant in ("main", "ray")} == before, "nothing was cut"
        assert sequences(await run_exports(source, tmp_path / "exports", CUT + 2 * DAY)) == [("main", 2), ("ray", 2)]

    async def test_lets_the_others_be_handed_off_and_serves_once_the_last_batch_is_there(self, tmp_path: Path) -> None:
        source = two_tenants()
        await run_exports(source, tmp_path, CUT)
        (tmp_path / "ray").rename(tmp_path / "moved")
        results = await run_exports(source, tmp_path, CUT + DAY)
        assert {result.tenant: type(result) for result in results} == {"ray": Refused, "main": Exported}
        await export_again(source, tmp_path, "ray", 1)
        assert sequences(await run_exports(source, tmp_path, CUT + 2 * DAY)) == [("main", 3), ("ray", 2)]
        assert [finding.name for finding in await verify_exports(source, tmp_path)] == ["moved"]

    async def test_takes_over_a_first_batch_that_was_interrupted(self, tmp_path: Path) -> None:
        source = two_tenants()
        source.at_finish = "main"
        with pytest.raises(Interrupted):
            await run_exports(source, tmp_path / "exports", CUT)
        source.heal()
        assert sequences(await run_exports(source, tmp_path / "other", CUT + DAY)) == [("main", 1), ("ray", 1)]


class TestAnInterruptedNight:
    @pytest.mark.parametrize("where", ["record main", "record ray", "finish main", "finish ray"])
    async def test_is_finished_by_the_next_run_with_the_same_bytes(self, tmp_path: Path, where: str) -> None:
        await run_exports(two_tenants(), tmp_path / "whole", CUT)
        source, (kind, tenant) = two_tenants(), where.split()
        source.at_record = {"main": "g1.0.1", "ray": "g1.1.1"}[tenant] if kind == "record" else ""
        source.at_finish = tenant if kind == "finish" else ""
        with pytest.raises(Interrupted):
            await run_exports(source, tmp_path / "broken", CUT)
        assert not any(name.endswith(".partial") for name in tree(tmp_path / "broken"))
        source.heal()
        source.zones["ray"] = "Asia/Tokyo"  # nor does a change of zone in between move the batch
        results = await run_exports(source, tmp_path / "broken", CUT + 3600 * SECOND)
        assert any(isinstance(result, Exported) and result.resumed for result in results)
        assert tree(tmp_path / "broken") == tree(tmp_path / "whole")
        assert await verify_exports(source, tmp_path / "broken") == []

    async def test_cuts_the_tenants_it_had_not_come_to_at_the_same_instant(self, tmp_path: Path) -> None:
        await run_exports(two_tenants(), tmp_path / "whole", CUT)
        source = two_tenants()
        source.at_begin = "ray"
        with pytest.raises(Interrupted):
            await run_exports(source, tmp_path / "broken", CUT)
        source.heal()
        await run_exports(source, tmp_path / "broken", CUT + 3600 * SECOND)
        assert tree(tmp_path / "broken") == tree(tmp_path / "whole")

    async def test_does_not_hold_back_what_came_since(self, tmp_path: Path) -> None:
        source = two_tenants()
        source.at_finish = "ray"
        with pytest.raises(Interrupted):
            await run_exports(source, tmp_path, CUT)
        source.heal()
        source.commit(record(5), record(6, tenant="ray", record_id="g6.1.1"))
        results = await run_exports(source, tmp_path, CUT + DAY)
        assert sequences(results) == [("ray", 1), ("main", 2), ("ray", 2)]
        assert b"g6.1.1" in tree(tmp_path)["ray/ray-00000002/usage.csv"]
        assert b"g6.1.1" not in tree(tmp_path)["ray/ray-00000001/usage.csv"]


class TestWhatWasPublished:
    async def test_gives_the_same_bytes_when_exported_again(self, tmp_path: Path) -> None:
        source = two_tenants()
        await run_exports(source, tmp_path / "first", CUT)
        source.commit(record(9))
        source.zones["ray"] = "Asia/Tokyo"
        for tenant in ("main", "ray"):
            again = await export_again(source, tmp_path / "again", tenant, 1)
            assert again.resumed
        assert tree(tmp_path / "again") == tree(tmp_path / "first")

    async def test_is_mended_in_its_place(self, tmp_path: Path) -> None:
        source = two_tenants()
        await run_exports(source, tmp_path, CUT)
        before, home = tree(tmp_path), tmp_path / "main" / "main-00000001"
        (home / "usage.csv").unlink()
        (home / "manifest.json").write_bytes(b"{}")
        await export_again(source, tmp_path, "main", 1)
        assert tree(tmp_path) == before

    async def test_is_not_written_over_by_a_store_that_was_set_back(self, tmp_path: Path) -> None:
        source = two_tenants()
        await run_exports(source, tmp_path, CUT)
        before = tree(tmp_path)
        restored = two_tenants()
        restored.commit(record(4))
        main, ray = await run_exports(restored, tmp_path, CUT)
        assert isinstance(main, Refused)
        assert "manifest.json is there already" in main.reason
        assert isinstance(ray, Exported)  # the same bytes for the same number are no conflict
        assert tree(tmp_path) == before

    async def test_an_unreadable_manifest_in_its_place_is_a_conflict_too(self, tmp_path: Path) -> None:
        home = tmp_path / "main" / "main-00000001"
        home.mkdir(parents=True)
        (home / "manifest.json").write_bytes(b" " * ((1 << 20) + 1))
        (result,) = await run_exports(RecordsInMemory(), tmp_path, CUT)
        assert isinstance(result, Refused)
        assert os.listdir(home) == ["manifest.json"]

    async def test_a_refused_tenant_does_not_stop_the_nights_of_the_others(self, tmp_path: Path) -> None:
        source = two_tenants()
        home = tmp_path / "main" / "main-00000001"
        home.mkdir(parents=True)
        (home / "manifest.json").write_bytes(b"{}")
        ray = [
            [(r.sequence, type(r)) for r in await run_exports(source, tmp_path, CUT + n * DAY) if r.tenant == "ray"]
            for n in range(4)
        ]
        assert ray == [[(number, Exported)] for number in (1, 2, 3, 4)]

    async def test_is_not_written_again_once_the_store_yields_other_records(self, tmp_path: Path) -> None:
        source = two_tenants()
        await run_exports(source, tmp_path, CUT)
        before = tree(tmp_path)
        source.committed[0] = source.committed[0].changed(charge=1)
        with pytest.raises(ExportConflict, match="no longer yields"):
            await export_again(source, tmp_path, "main", 1)
        assert tree(tmp_path) == before

    async def test_must_exist_to_be_exported_again(self, tmp_path: Path) -> None:
        with pytest.raises(ExportError, match="no finished batch 7"):
            await export_again(two_tenants(), tmp_path, "main", 7)


class TestADirectoryThatCannotBeWritten:
    async def test_is_named_where_a_file_is_in_its_way(self, tmp_path: Path) -> None:
        (tmp_path / "exports").write_text("a file")
        with pytest.raises(ExportUnavailable, match="exports"):
            await run_exports(two_tenants(), tmp_path / "exports", CUT)

    async def test_is_left_to_the_export_that_holds_it(self, tmp_path: Path) -> None:
        source = two_tenants()
        with locked(tmp_path), pytest.raises(ExportUnavailable, match="another export"):
            await run_exports(source, tmp_path, CUT)
        assert source.cut == {}
