"""Verification finds every altered octet, every missing or added name, every gap; and nothing in a sound directory."""

import shutil
from pathlib import Path

import pytest

from daemon.billing_export.batch import Batch
from daemon.billing_export.export import run_exports
from daemon.billing_export.manifest import decode, digest, encode
from daemon.billing_export.verify import Fault, Finding, list_batches, verify_directory, verify_exports
from daemon.kernel.instant import DAY
from tests.unit.billing_export.ledger_of_records import CUT, RecordsInMemory, record

STRIDE = 7  # octets between two flips; with both directions of the walk every kind of field is hit


class Night:
    """A directory of three nights, and the source that wrote it."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.source = directory, RecordsInMemory()
        self.home = directory / "main" / "main-00000002"

    async def write(self) -> None:
        for night in range(3):
            self.source.commit(record(2 * night), record(2 * night + 1, currency="EUR"))
            await run_exports(self.source, self.directory, CUT + night * DAY)

    async def found(self) -> list[tuple[Fault, str]]:
        return [(finding.fault, finding.name) for finding in await verify_exports(self.source, self.directory)]

    def found_alone(self) -> list[tuple[Fault, str]]:
        return [(finding.fault, finding.name) for finding in verify_directory(self.directory)]


@pytest.fixture
async def night(tmp_path: Path) -> Night:
    made = Night(tmp_path / "exports")
    await made.write()
    return made


async def test_a_sound_directory_has_no_findings(night: Night) -> None:
    assert await night.found() == night.found_alone() == []


@pytest.mark.parametrize("name", ["usage.csv", "usage.jsonl", "summary.csv"])
async def test_a_flipped_bit_in_a_file_is_found(night: Night, name: str) -> None:
    whole = (night.home / name).read_bytes()
    for place in range(0, len(whole), STRIDE):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        (night.home / name).write_bytes(flipped)
        assert night.found_alone() == await night.found() == [(Fault.FILE_ALTERED, f"main/main-00000002/{name}")]


async def test_a_flipped_bit_in_any_manifest_is_found(night: Night) -> None:
    for sequence in (1, 2, 3):
        path = night.directory / "main" / f"main-0000000{sequence}" / "manifest.json"
        whole = path.read_bytes()
        for place in range(0, len(whole), STRIDE):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << place % 8
            path.write_bytes(flipped)
            name = f"main/main-0000000{sequence}/manifest.json"
            assert (Fault.MANIFEST_ALTERED, name) in await night.found(), (sequence, place)
        path.write_bytes(whole)
    assert await night.found() == []


async def test_a_consumer_without_a_store_finds_an_altered_manifest_by_the_next_one(night: Night) -> None:
    manifest = decode((night.home / "manifest.json").read_bytes())
    other = encode(decode(encode(manifest).replace(b"2026-11-25T01:30:00", b"2026-11-25T01:31:00", 1)))
    (night.home / "manifest.json").write_bytes(other)
    assert (Fault.CHAIN_BROKEN, "main/main-00000003/manifest.json") in night.found_alone()


@pytest.mark.parametrize("name", ["usage.csv", "usage.jsonl", "summary.csv"])
async def test_a_missing_file_is_found(night: Night, name: str) -> None:
    (night.home / name).unlink()
    assert await night.found() == night.found_alone() == [(Fault.MISSING_FILE, f"main/main-00000002/{name}")]


async def test_a_missing_manifest_is_found(night: Night) -> None:
    (night.home / "manifest.json").unlink()
    assert await night.found() == [(Fault.MISSING_MANIFEST, "main/main-00000002/manifest.json")]


async def test_a_gap_is_found(night: Night) -> None:
    shutil.rmtree(night.home)
    assert await night.found() == night.found_alone() == [(Fault.MISSING_BATCH, "main/main-00000002")]


async def test_a_wide_gap_is_one_finding(night: Night) -> None:
    (night.directory / "main" / "main-00000003").rename(night.directory / "main" / "main-99999999")
    assert (Fault.MISSING_BATCH, "main/main-00000003") in night.found_alone()
    assert len(night.found_alone()) == 2
    assert await night.found() == [
        (Fault.MISSING_BATCH, "main/main-00000003"),
        (Fault.UNEXPECTED, "main/main-99999999"),
    ]


async def test_the_store_tells_that_the_last_batch_is_missing(night: Night) -> None:
    shutil.rmtree(night.directory / "main" / "main-00000003")
    assert await night.found() == [(Fault.MISSING_BATCH, "main/main-00000003")]


async def test_a_tenant_whose_whole_directory_is_missing_is_found(night: Night) -> None:
    shutil.rmtree(night.directory)
    assert await night.found() == [(Fault.MISSING_BATCH, f"main/main-0000000{number}") for number in (1, 2, 3)]


@pytest.mark.parametrize("name", ["main/main-00000002/usage.csv.partial", "main/notes.txt", "stranger", "old/x.csv"])
async def test_what_nobody_put_there_is_found(night: Night, name: str) -> None:
    (night.directory / name).parent.mkdir(exist_ok=True)
    (night.directory / name).write_text("")
    expected = [(Fault.UNEXPECTED, name if not name.startswith("old") else "old")]
    assert await night.found() == expected


async def test_a_file_replaced_by_a_link_to_its_copy_is_found(night: Night) -> None:
    (night.home / "usage.csv").rename(night.directory.parent / "copy")
    (night.home / "usage.csv").symlink_to(night.directory.parent / "copy")
    assert await night.found() == [(Fault.UNREADABLE, "main/main-00000002/usage.csv")]


async def test_a_manifest_that_is_no_file_is_found(night: Night) -> None:
    (night.home / "manifest.json").unlink()
    (night.home / "manifest.json").mkdir()
    assert (Fault.UNREADABLE, "main/main-00000002/manifest.json") in await night.found()


async def test_a_manifest_of_unbounded_size_is_not_read(night: Night) -> None:
    (night.home / "manifest.json").write_bytes(b" " * ((1 << 20) + 1))
    assert await night.found() == [(Fault.MANIFEST_ALTERED, "main/main-00000002/manifest.json")]


async def test_the_manifest_of_another_batch_is_found(night: Night) -> None:
    shutil.rmtree(night.home)
    shutil.copytree(night.directory / "main" / "main-00000001", night.home)
    assert (Fault.MANIFEST_ALTERED, "main/main-00000002/manifest.json") in night.found_alone()


CELLS_FROM_CAUSE_ON = b',hangup,rated,false,,"4 up, duration up",USD,,,0.0066,USD,,,0.00,0.00,0.000000\n'


@pytest.mark.parametrize(
    ("was", "becomes", "fault"),
    [
        (b"0.0182,", b"0.0282,", (Fault.TOTALS_DIFFER, "main/main-00000001/manifest.json")),
        (b"0.0182,", b"-.0182,", (Fault.UNREADABLE, "main/main-00000001/usage.csv")),
        (
            b',hangup,rated,false,,"4 up, duration up",USD,,,0.0066,USD,,,0.00,0.00,0.000000\n',
            b"\n" + b"," * (len(CELLS_FROM_CAUSE_ON) - 2) + b"\n",
            (Fault.UNREADABLE, "main/main-00000001/usage.csv"),
        ),
    ],
)
async def test_totals_are_added_up_from_the_lines(
    tmp_path: Path, was: bytes, becomes: bytes, fault: tuple[Fault, str]
) -> None:
    """Whoever can write a consistent manifest over altered lines is found by the sums that it names."""
    night = Night(tmp_path)
    night.source.commit(record(1))
    await run_exports(night.source, tmp_path, CUT)
    home = tmp_path / "main" / "main-00000001"
    old = (home / "usage.csv").read_bytes()
    new = old.replace(was, becomes, 1)
    assert len(new) == len(old)
    (home / "usage.csv").write_bytes(new)
    manifest = (home / "manifest.json").read_bytes().replace(digest(old).encode(), digest(new).encode())
    (home / "manifest.json").write_bytes(manifest)
    assert night.found_alone() == [fault]


async def test_an_interrupted_batch_is_told_apart(night: Night) -> None:
    batch = await night.source.begin_batch("main", CUT + 3 * DAY)
    assert await night.found() == []  # begun, and nothing written yet
    (night.directory / "main" / batch.name).mkdir()
    assert await night.found() == [(Fault.UNFINISHED, "main/main-00000004")]


async def test_one_tenant_alone(night: Night) -> None:
    (night.directory / "stranger").mkdir()
    assert await verify_exports(night.source, night.directory, "main") == []
    assert len(await verify_exports(night.source, night.directory)) == 1


def test_a_finding_reads_as_a_line() -> None:
    finding = Finding(Fault.MISSING_FILE, "main", 2, "main/main-00000002/usage.csv", "the manifest names it")
    assert str(finding) == "main/main-00000002/usage.csv: missing_file: the manifest names it"


async def test_the_list_shows_state_and_totals(night: Night) -> None:
    (night.home / "manifest.json").unlink()
    begun = await night.source.begin_batch("main", CUT + 3 * DAY)
    assert isinstance(begun, Batch)
    listed = await list_batches(night.source, night.directory)
    assert [(row.sequence, row.state, row.records) for row in listed] == [
        (1, "finished", 2), (2, "missing", 0), (3, "finished", 2), (4, "unfinished", 0),
    ]  # fmt: skip
    assert [(total.currency, total.charge) for total in listed[0].totals] == [("EUR", "0.0182"), ("USD", "0.0182")]
    assert (listed[1].begins, listed[1].until) == (CUT, CUT + DAY)
    assert await list_batches(night.source, night.directory, "main") == listed
