"""The files of an archived month by themselves: what is written reads back, and whatever is not as written is named."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.kernel.instant import INSTANT_MAX, parse_rfc3339
from daemon.store.archive_files import (
    MANIFEST,
    ArchiveFault,
    MonthWriter,
    columns_of,
    is_month,
    manifest_of,
    part_faults,
    scan,
)
from daemon.store.archives import month_after, month_begins, month_of

MONTH = "2026-01"
ENTRY = {"number": 1, "account": 1, "kind": "debit", "at": 5, "grant_id": "g", "amount": -(1 << 62), "pending": 0,
         "uncollected": 0, "channels_in": 0, "channels_out": 0, "balance_after": 0, "reserved_after": 0, "key": None,
         "who": "", "reason": "\u00fc", "bucket": ""}  # fmt: skip


def entries(count: int) -> list[tuple[object, ...]]:
    """Return rows of entries, numbered from 1."""
    return [tuple({**ENTRY, "number": number}[name] for name in columns_of("entry")) for number in range(1, count + 1)]


def written(folder: Path, count: int = 4) -> str:
    """Write a month; return the SHA-256 of its manifest."""
    writer = MonthWriter(folder, MONTH)
    writer.add("entry", entries(count))
    return writer.publish("token", "2026-05-01T00:00:00.000000Z", count, "")


@given(st.integers(0, INSTANT_MAX), st.integers(-1_000, 1_000))
def test_months_go_there_and_back(at: int, months: int) -> None:
    month = month_of(at)
    assert month_begins(month) <= at
    if month < "9999-12":
        assert at < month_begins(month_after(month))
    assert month_after(month_after(month, months), -months) == month


def test_a_month_begins_at_midnight_of_utc() -> None:
    assert month_begins("2026-03") == parse_rfc3339("2026-03-01T00:00:00Z")
    assert (month_after("2026-12"), month_after("2026-01", -1)) == ("2027-01", "2025-12")


@pytest.mark.parametrize("text", ["2026-00", "2026-13", "2026-1", "26-01", "2026-01-01", " 2026-01", ""])
def test_what_is_no_month(text: str) -> None:
    assert not is_month(text)


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    sha256 = written(tmp_path)
    manifest, found = manifest_of(tmp_path, MONTH)
    (part,) = manifest.parts
    assert found == sha256
    assert (part.rows, part.first, part.last, manifest.rows("entry")) == (4, 1, 4, 4)
    assert part.sums["amount"] == str(-(1 << 64)), "a sum that 64 bits do not hold"
    assert list(part_faults(tmp_path, MONTH, part)) == []
    assert scan(tmp_path, MONTH, [part]).collect().rows() == entries(4)


def test_what_a_killed_run_left_aside_is_written_anew(tmp_path: Path) -> None:
    aside = tmp_path / f"{MONTH}.partial"
    aside.mkdir()
    (aside / "entry-00001.parquet").write_bytes(b"half")
    written(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [MONTH]


def test_each_way_to_alter_a_part_is_named(tmp_path: Path) -> None:
    written(tmp_path)
    manifest, _sha256 = manifest_of(tmp_path, MONTH)
    (part,) = manifest.parts
    path = tmp_path / MONTH / part.name
    octets = path.read_bytes()
    path.write_bytes(octets + b"x")
    assert list(part_faults(tmp_path, MONTH, part)) == [
        f"it was altered: it has {len(octets) + 1} octets, not {len(octets)}"
    ]  # fmt: skip
    path.unlink()
    assert list(part_faults(tmp_path, MONTH, part)) == ["it is missing"]
    path.symlink_to("/dev/zero")
    assert "cannot be read" in next(part_faults(tmp_path, MONTH, part))


@pytest.mark.parametrize("octets", [b"", b"{}", b"\xff", b"[" * 100_000])
def test_bytes_that_are_no_manifest_are_named(tmp_path: Path, octets: bytes) -> None:
    written(tmp_path)
    (tmp_path / MONTH / MANIFEST).write_bytes(octets)
    with pytest.raises(ArchiveFault, match="was altered"):
        manifest_of(tmp_path, MONTH)


def test_a_manifest_of_another_month_or_form_is_named(tmp_path: Path) -> None:
    written(tmp_path)
    os.rename(tmp_path / MONTH, tmp_path / "2026-02")
    with pytest.raises(ArchiveFault, match="not as it was written for 2026-02"):
        manifest_of(tmp_path, "2026-02")
    with pytest.raises(ArchiveFault, match="is missing: put the archive back"):
        manifest_of(tmp_path, MONTH)
    path = tmp_path / "2026-02" / MANIFEST
    path.write_bytes(path.read_bytes().replace(b"\n", b""))
    with pytest.raises(ArchiveFault, match="not as it was written"):
        manifest_of(tmp_path, "2026-02")
