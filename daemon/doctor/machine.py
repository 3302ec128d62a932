"""What the machine gives: room, rights and speed of disks, the clock, time zones, buffers, descriptors, systemd.

Each probe reads, and waits for nobody; that of the disk's speed writes one file of its own, which it removes.
"""

import ctypes
import importlib.metadata
import os
import re
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from daemon.doctor.finding import Finding, ill, skipped, some, well
from daemon.http_api.server import CONNECTIONS_MAX
from daemon.kernel.instant import SECOND, Instant
from daemon.radius.server import RECEIVE_BUFFER
from daemon.settings import Settings, is_server

MIB: Final = 1 << 20
SPACE_FAIL: Final = 256 * MIB  # octets: the log of SQLite (32 MiB), a full journal (64 MiB), and as much to act in
SPACE_WARN: Final = 2048 * MIB  # octets: some 500,000 calls of one level, at about 4 KiB each with their record
INODES_WARN: Final = 1_000  # files: an export of a tenant has four, a month's archive some dozens
SYNCS: Final = 20  # syncs that are timed; the largest of them is what a commit may meet now and then
SYNC_OCTETS: Final = 4096  # octets written before each, as a small commit does
SYNC_WARN_SECONDS: Final = 0.010  # at the median: below a hundred commits a second, one after the other
SYNC_WORST_SECONDS: Final = 0.250  # of the largest: a switch that waits 3 s for RADIUS has half of that for the store
DESCRIPTORS_MIN: Final = CONNECTIONS_MAX + 256  # every HTTP client, and the store, journals, listeners and links beside
ZONES_YEARS_MAX: Final = 1  # last year's rules may still be right; summer time changes somewhere every year
TIMEX_OCTETS: Final = 208  # of struct timex (adjtimex(2)) on 64-bit Linux
STATUS_PLACE, STA_UNSYNC, TIME_ERROR = 40, 0x40, 5
UNIT_SECONDS: Final = 3.0  # that systemctl may take
_VOLATILE: Final = frozenset({"tmpfs", "ramfs"})
_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs"})
_UNITS: Final = (
    "tollway.service", "tollway-export.service", "tollway-export.timer", "tollway-archive.service",
    "tollway-archive.timer",
)  # fmt: skip
# These run for as long as they are enabled; the other services are started by their timers, and end.
_LASTING: Final = frozenset({"tollway.service", "tollway-archive.timer"})
_AT_REST: Final = frozenset({"inactive", "deactivating"})


class Folder(NamedTuple):
    """A folder that the daemon writes to: what for, where it is or will be, and what is there of it now."""

    purpose: str
    path: Path
    found: Path


def folders_of(settings: Settings) -> list[Folder]:
    """Return the folders that the settings name, each with its nearest one that exists."""
    charging, emergency = settings.charging.postpaid_journal, settings.emergency.journal
    named: list[tuple[str, Path]] = []
    if not is_server(settings.store.url):
        file = Path(settings.store.url.removeprefix("sqlite:///")).absolute()
        named.append(("store", file.parent))
        archive = Path(settings.store.archive) if settings.store.archive else file.with_name(f"{file.stem}.archive")
        named.append(("archive", archive.absolute()))
    elif settings.store.archive:
        named.append(("archive", Path(settings.store.archive).absolute()))
    named += [
        ("postpaid journal", Path(charging).absolute().parent),
        ("emergency journal", Path(emergency).absolute().parent),
    ]
    named.append(("exports", Path(settings.export.directory).absolute()))
    return [Folder(purpose, path, _nearest(path)) for purpose, path in named]


def _nearest(path: Path) -> Path:
    """Return the path or the nearest folder above it that exists."""
    return next(each for each in (path, *path.parents) if each.is_dir() or each == each.parent)


# -- disks


def space(folders: Sequence[Folder]) -> Iterator[Finding]:
    """Yield the room on each disk, told once with all that lies there."""
    for purposes, place, free in _disks(folders):
        octets, inodes = free.f_bavail * free.f_frsize, free.f_favail
        seen = f"{octets // MIB:,} MiB free at {place} ({purposes})"
        if octets < SPACE_WARN:
            yield ill("disk.space", "full" if octets < SPACE_FAIL else "low", seen)
        elif free.f_files > 0 and inodes < INODES_WARN:
            yield ill("disk.space", "inodes", f"{inodes:,} inodes free at {place} ({purposes})")
        else:
            yield well("disk.space", seen)


def _disks(folders: Iterable[Folder]) -> Iterator[tuple[str, Path, os.statvfs_result]]:
    by_device: dict[int, list[Folder]] = {}
    for folder in folders:
        by_device.setdefault(folder.found.stat().st_dev, []).append(folder)
    for members in by_device.values():
        yield ", ".join(each.purpose for each in members), members[0].found, os.statvfs(members[0].found)


def rights(folders: Sequence[Folder]) -> Iterator[Finding]:
    """Yield the folders that cannot be written, or that all can."""
    bad = [each for each in folders if not _is_writable(each.found)]
    for each in bad:
        missing = "" if each.found == each.path else f", in which {each.path} is to be made,"
        yield ill("disk.rights", "unwritable", f"{each.found}{missing} cannot be written ({each.purpose})")
    if not bad:
        yield well("disk.rights", some([f"{each.path} ({each.purpose})" for each in folders]))


def _is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK) and not os.statvfs(folder).f_flag & os.ST_RDONLY


def sync_time(folder: Path) -> Finding:
    """Return how long a folder's disk takes to sync a small write, and what that means for calls."""
    try:
        took = sorted(_synced(folder))
    except OSError as error:
        return ill("disk.sync", "refused", f"a file in {folder} cannot be synced: {error.strerror or error}")
    median, worst = statistics.median(took), took[-1]
    commits = round(1 / max(median, 1e-6))
    seen = (
        f"{median * 1000:.1f} ms in the middle, {worst * 1000:.1f} ms at most, of {SYNCS} in {folder}: at most"
        f" {commits:,} commits a second, each shared by whatever waits"
    )
    slow = median > SYNC_WARN_SECONDS or worst > SYNC_WORST_SECONDS
    return ill("disk.sync", "slow", seen) if slow else well("disk.sync", seen)


def _synced(folder: Path) -> Iterator[float]:
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".tollway-doctor-") as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            os.pwrite(file.fileno(), bytes(SYNC_OCTETS), 0)
            os.fsync(file.fileno())
            yield time.perf_counter() - began


def place(folder: Path, mounts: str) -> Finding:
    """Return what file system a folder is on, by the text of /proc/self/mounts."""
    kind, point = _mounted(folder, mounts)
    seen = f"{folder} is on {kind or 'an unknown file system'} (mounted at {point})"
    if kind in _VOLATILE:
        return ill("store.place", "volatile", seen)
    return ill("store.place", "network", seen) if kind in _NETWORK else well("store.place", seen)


def _mounted(folder: Path, mounts: str) -> tuple[str, str]:
    best, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        if len(point) >= len(best) and (folder == Path(point) or Path(point) in folder.parents):
            best, kind = point, fields[2]
    return kind, best or "/"


# -- the clock


def ntp() -> Finding:
    """Return whether the kernel takes its clock for kept by NTP (adjtimex(2), which only reads here)."""
    buffer = ctypes.create_string_buffer(TIMEX_OCTETS)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        answered = library.adjtimex(buffer)
    except (OSError, AttributeError) as error:
        return skipped("clock.sync", f"this machine has no adjtimex: {error}")
    if answered < 0:
        return skipped("clock.sync", f"the kernel does not say: {os.strerror(ctypes.get_errno())}")
    status = int.from_bytes(buffer.raw[STATUS_PLACE : STATUS_PLACE + 4], "little")
    return sync_of(answered, status)


def sync_of(answered: int, status: int) -> Finding:
    """Return what the kernel's answer and its status bits mean."""
    if answered == TIME_ERROR or status & STA_UNSYNC:
        return ill("clock.sync", "adrift", "the kernel says that no NTP client keeps its clock")
    return well("clock.sync", "the kernel says that its clock is kept by NTP")


def zones(version: str, now: Instant) -> Finding:
    """Return whether tzdata of a version, such as 2025.2, is of this year or the last."""
    found = re.match(r"(\d{4})", version)
    if found is None:
        return skipped("zones", f"tzdata {version} does not say of which year it is")
    years = datetime.fromtimestamp(now // SECOND, UTC).year - int(found[1])
    seen = f"tzdata {version}"
    return ill("zones", "old", seen) if years > ZONES_YEARS_MAX else well("zones", seen)


def installed_zones() -> str:
    """Return the version of the time zone data."""
    return importlib.metadata.version("tzdata")


# -- limits of the kernel


def receive_buffer(allowed: int) -> Finding:
    """Return whether the kernel gives a listener the buffer that it asks for; octets."""
    seen = f"net.core.rmem_max is {allowed:,} octets, {RECEIVE_BUFFER:,} are asked for"
    return ill("udp.buffer", "small", seen) if allowed < RECEIVE_BUFFER else well("udp.buffer", seen)


def descriptors(limits: str | None) -> Finding:
    """Return whether there are enough open files: of a running daemon by its /proc/PID/limits, else of this command."""
    whose, most = "this shell", resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    found = re.search(r"^Max open files\s+(\d+|unlimited)", limits or "", re.MULTILINE)
    if found is not None:
        whose, most = "the running daemon", -1 if found[1] == "unlimited" else int(found[1])
    seen = f"{whose} may open {'any number of' if most < 0 else f'{most:,}'} files, {DESCRIPTORS_MIN:,} are needed"
    return ill("descriptors", "few", seen) if 0 <= most < DESCRIPTORS_MIN else well("descriptors", seen)


# -- systemd


def units() -> Iterator[Finding]:
    """Yield how the units stand, where systemd runs here and knows them."""
    program = shutil.which("systemctl")
    if program is None or not Path("/run/systemd/system").is_dir():
        yield skipped("unit", "systemd does not run here")
        return
    command = [program, "show", "--property=Id,LoadState,ActiveState,NRestarts,UnitFileState", *_UNITS]
    try:
        told = subprocess.run(  # noqa: S603 - systemd's own program, with names of ours
            command, capture_output=True, text=True, check=True, timeout=UNIT_SECONDS
        ).stdout
    except (subprocess.SubprocessError, OSError) as error:
        yield skipped("unit", f"systemctl does not answer: {error}")
        return
    yield from units_of(told)


def units_of(told: str) -> Iterator[Finding]:
    """Yield what ``systemctl show`` of several units means."""
    shown = [dict(line.partition("=")[::2] for line in part.splitlines()) for part in told.strip().split("\n\n")]
    known = {each["Id"]: each for each in shown if each.get("LoadState") == "loaded" and "Id" in each}
    if not known:
        yield skipped("unit", "systemd has no unit of Tollway's")
        return
    faults = list(_unit_faults(known))
    yield from faults
    if not faults:
        yield well("unit", ", ".join(f"{name} is {each.get('ActiveState', '')}" for name, each in known.items()))


def _unit_faults(known: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    for name, each in known.items():
        state, enabled = each.get("ActiveState"), each.get("UnitFileState", "")
        if state == "failed":
            yield ill("unit", "failed", f"{name} has failed")
        if name in _LASTING and state in _AT_REST and enabled.startswith("enabled"):
            yield ill("unit", "stopped", f"{name} is enabled and {state}")
        if name == "tollway.service" and enabled == "disabled":
            yield ill("unit", "disabled", f"{name} is disabled, and {state} now")
        restarts = each.get("NRestarts", "0")
        if name == "tollway.service" and restarts.isdigit() and int(restarts):
            yield ill("unit", "restarts", f"{name} was restarted {restarts} times by systemd")
    timer = known.get("tollway-export.timer")
    if timer is not None and timer.get("ActiveState") != "active":
        yield ill("unit", "idle", "tollway-export.timer is not active: nothing is handed off at night")
