"""What the doctor makes of what the machine says: room, rights, file systems, clock, zones, limits, units."""

import os
from pathlib import Path

import pytest

from daemon.doctor import State, machine
from daemon.doctor.finding import NAMED_MAX, Finding, ill, some
from daemon.doctor.machine import Folder
from daemon.kernel.instant import parse_rfc3339
from daemon.settings import ExportSection, Settings, StoreSettings

OK, SKIPPED, WARN, FAIL = State.OK, State.SKIPPED, State.WARN, State.FAIL
MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
tmpfs /run tmpfs rw 0 0
filer:/srv /srv/the\\040store nfs4 rw 0 0
/dev/sdb1 /run/disk xfs rw 0 0
"""
SHOWN = """\
Id=tollway.service
LoadState=loaded
ActiveState={service}
NRestarts={restarts}
UnitFileState={enabled}

Id=tollway-export.service
LoadState=loaded
ActiveState=inactive
NRestarts=0

Id=tollway-export.timer
LoadState=loaded
ActiveState={timer}

Id=tollway-archive.service
LoadState=loaded
ActiveState={archive}
NRestarts=0
UnitFileState=static

Id=tollway-archive.timer
LoadState=loaded
ActiveState={monthly}
UnitFileState={monthly_enabled}
"""


def told(finding: Finding) -> tuple[State, str]:
    return finding.state, finding.fault


def of_disk(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *, free_mib: int, inodes: int, files: int = 9_000
) -> Finding:
    seen = os.statvfs_result((4096, 4096, 10**9, 0, free_mib * 256, files, inodes, inodes, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _path: seen)
    (finding,) = machine.space([Folder("store", folder, folder), Folder("exports", folder / "exports", folder)])
    return finding


@pytest.mark.parametrize(
    ("free_mib", "inodes", "files", "wanted"),
    [
        (4_096, 5_000, 9_000, (OK, "")), (2_047, 5_000, 9_000, (WARN, "low")), (255, 5_000, 9_000, (FAIL, "full")),
        (4_096, 999, 9_000, (WARN, "inodes")), (4_096, 0, 0, (OK, "")),  # a file system without a number of inodes
    ],
)  # fmt: skip
def test_room_and_inodes(
    free_mib: int, inodes: int, files: int, wanted: tuple[State, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = of_disk(monkeypatch, tmp_path, free_mib=free_mib, inodes=inodes, files=files)
    assert told(finding) == wanted
    assert "(store, exports)" in finding.seen, "what lies on one disk is told once"


def test_the_folders_are_those_of_the_settings(tmp_path: Path) -> None:
    settings = Settings(
        store=StoreSettings(f"sqlite:///{tmp_path}/there/tollway.db"), export=ExportSection(str(tmp_path / "out"))
    )
    (tmp_path / "there").mkdir()
    known = {folder.purpose: folder for folder in machine.folders_of(settings)}
    assert known["store"] == Folder("store", tmp_path / "there", tmp_path / "there")
    assert known["archive"].path == tmp_path / "there" / "tollway.archive"
    assert known["exports"] == Folder("exports", tmp_path / "out", tmp_path), "it is made when it is needed"
    server = Settings(store=StoreSettings("postgresql://h/d", archive="/srv/archive"))
    assert "store" not in {folder.purpose for folder in machine.folders_of(server)}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder("exports", tmp_path / "deep" / "exports", tmp_path)
    assert [told(each) for each in machine.rights([folder])] == [(OK, "")]
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    (finding,) = machine.rights([folder])
    assert told(finding) == (FAIL, "unwritable")
    assert str(folder.path) in finding.seen


def test_a_disk_is_timed_and_nothing_is_left_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = machine.sync_time(tmp_path)
    assert finding.name == "disk.sync"
    assert f"of {machine.SYNCS} in {tmp_path}" in finding.seen
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(machine, "SYNC_WARN_SECONDS", 0.0)
    assert told(machine.sync_time(tmp_path)) == (WARN, "slow")
    assert told(machine.sync_time(tmp_path / "none")) == (FAIL, "refused")


@pytest.mark.parametrize(
    ("folder", "wanted"),
    [
        ("/var/lib/tollway", (OK, "")), ("/run", (FAIL, "volatile")), ("/run/tollway", (FAIL, "volatile")),
        ("/run/disk/tollway", (OK, "")), ("/srv/the store/x", (WARN, "network")), ("/runner", (OK, "")),
    ],
)  # fmt: skip
def test_the_file_system_of_the_store(folder: str, wanted: tuple[State, str]) -> None:
    assert told(machine.place(Path(folder), MOUNTS)) == wanted


def test_the_clock_is_kept_or_not() -> None:
    assert told(machine.sync_of(0, 0x2001)) == (OK, "")
    assert told(machine.sync_of(0, 0x2001 | machine.STA_UNSYNC)) == (WARN, "adrift")
    assert told(machine.sync_of(machine.TIME_ERROR, 0)) == (WARN, "adrift")
    assert machine.ntp().name == "clock.sync", "the kernel of this machine answers, or says why not"


@pytest.mark.parametrize(
    ("version", "wanted"),
    [("2026.1", (OK, "")), ("2025.2", (OK, "")), ("2024.2", (WARN, "old")), ("unknown", (SKIPPED, ""))],
)
def test_time_zones_grow_old(version: str, wanted: tuple[State, str]) -> None:
    assert told(machine.zones(version, parse_rfc3339("2026-11-26T00:00:00Z"))) == wanted
    assert machine.installed_zones()[0] == "2"


def test_limits_of_the_kernel() -> None:
    assert told(machine.receive_buffer(212_992)) == (WARN, "small")
    assert told(machine.receive_buffer(4 << 20)) == (OK, "")
    line = "Max open files            {} {}               files     \n"
    assert told(machine.descriptors(line.format(1024, 524288))) == (WARN, "few")
    assert told(machine.descriptors(line.format(65536, 65536))) == (OK, "")
    assert told(machine.descriptors(line.format("unlimited", "unlimited"))) == (OK, "")
    assert "this shell" in machine.descriptors(None).seen


def test_units_of_systemd() -> None:
    def faults(**words: str) -> list[tuple[State, str]]:
        return [told(each) for each in machine.units_of(SHOWN.format_map({
            "service": "active", "restarts": "0", "timer": "active", "enabled": "enabled", "archive": "inactive",
            "monthly": "inactive", "monthly_enabled": "disabled", **words}))]  # fmt: skip

    assert faults() == [(OK, "")]
    assert faults(service="failed", restarts="3") == [(FAIL, "failed"), (WARN, "restarts")]
    assert faults(timer="inactive") == [(WARN, "idle")]
    assert faults(service="inactive") == [(FAIL, "stopped")]
    assert faults(service="inactive", enabled="disabled") == [(WARN, "disabled")]
    assert faults(enabled="disabled") == [(WARN, "disabled")]
    assert faults(service="activating") == [(OK, "")]
    assert faults(archive="failed") == [(FAIL, "failed")]
    assert faults(monthly_enabled="enabled") == [(FAIL, "stopped")]
    assert faults(monthly="active", monthly_enabled="enabled") == [(OK, "")]
    (finding,) = machine.units_of("Id=tollway.service\nLoadState=not-found\nActiveState=inactive\n")
    assert told(finding) == (SKIPPED, "")


def test_many_names_are_counted() -> None:
    assert some([str(number) for number in range(NAMED_MAX)]) == "0, 1, 2, 3, 4"
    assert some([str(number) for number in range(NAMED_MAX + 2)]) == "0, 1, 2, 3, 4 and 2 more"


def test_only_faults_of_the_table_can_be_told() -> None:
    with pytest.raises(KeyError):
        ill("store", "tired", "")
