"""Killed at any system call that touches the export directory, an export leaves nothing half-written and resumes.

The calls are enumerated by strace from one whole run, not sampled: the process dies as it enters each of them in turn,
so every state between two of them is seen. The same calls are then made to fail, as a full or broken disk would.
"""

import asyncio
import contextlib
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.billing_export.verify import verify_exports
from daemon.kernel.instant import SECOND
from tests.integration.export_desk import NIGHT, Desk, Place, opened, prepared

TRACED = "?openat,?write,?fsync,?fdatasync,?rename,?renameat,?renameat2,?mkdir,?mkdirat,?unlink,?unlinkat"
FAILING = {"openat", "write", "fsync", "rename", "renameat", "renameat2"}
PUBLISHED = {"usage.csv", "usage.jsonl", "summary.csv", "manifest.json"}
LATER = NIGHT + 3600 * SECOND
BEFORE_THE_CUT = 2  # calls that make and lock the export directory; until then there is no batch to resume

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed; scripts/test-deps installs it"),
]


@dataclass(frozen=True)
class Ended:
    """How a child ended, and what strace saw of its main thread."""

    status: int
    log: list[str]


class ExportProcess:
    """Talks to tests.integration.export_process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.export_process"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        )  # fmt: skip

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    def _hear(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def export(self, store: Path, directory: Path, now: int, inject: str = "", log: Path | None = None) -> Ended:
        """Export once in a child; with ``log``, under strace, its main thread alone."""
        self._say(f"{store}\t{directory}\t{now}")
        pid = self._hear()
        strace = self._attached(pid, inject, log) if log is not None else None
        self._say("go")
        status = self._hear()
        if strace is not None:
            strace.communicate(timeout=30)
        return Ended(status, log.read_text().splitlines() if log is not None else [])

    def _attached(self, pid: int, inject: str, log: Path) -> subprocess.Popen[str]:
        options = ["-y", "-o", str(log), "-e", f"trace={TRACED}", *(["-e", f"inject={inject}"] if inject else [])]
        strace = subprocess.Popen(["strace", *options, "-p", str(pid)], stderr=subprocess.PIPE, text=True)
        assert strace.stderr is not None
        said = strace.stderr.readline()
        assert "attached" in said, said
        return strace

    def close(self) -> None:
        """End the process by ending its input."""
        self._process.communicate(timeout=30)
        assert self._process.returncode == 0


@dataclass(frozen=True)
class Point:
    """The n-th call of a name by the main thread; ``line`` is what strace says of it."""

    name: str
    number: int
    line: str


def points(log: list[str], directory: Path) -> list[Point]:
    """Return the calls that touch the export directory, each with its number among all of its name."""
    counted: Counter[str] = Counter()
    found = []
    for line in log:
        match = re.match(r"(\w+)\(", line)
        if match is not None:
            counted[match[1]] += 1
            if str(directory) in line:
                found.append(Point(match[1], counted[match[1]], line))
    return found


def tree(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory, but for the lock."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def assert_nothing_half_written(found: dict[str, bytes], whole: dict[str, bytes]) -> None:
    """See that a name that a consumer reads holds all its bytes, and that a manifest has all its files."""
    for name, octets in found.items():
        if not name.endswith(".partial"):
            assert octets == whole[name], name
        if name.endswith("/manifest.json"):
            assert all(f"{name.rpartition('/')[0]}/{beside}" in found for beside in PUBLISHED), name


@pytest.fixture(scope="module")
def process() -> Iterator[ExportProcess]:
    made = ExportProcess()
    yield made
    made.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return asyncio.run(prepared(tmp_path_factory.mktemp("export_kill")))


@dataclass(frozen=True)
class Whole:
    """An uninterrupted run: its bytes, and its calls in the order in which they were made."""

    files: dict[str, bytes]
    points: list[Point]


@pytest.fixture(scope="module")
def whole(process: ExportProcess, desk: Desk) -> Whole:
    place = desk.copied("whole")
    ended = process.export(place.store, place.exports, NIGHT, log=place.home / "strace.log")
    assert ended.status == 0
    return Whole(tree(place.exports), points(ended.log, place.exports))


def test_the_enumeration_sees_every_step(whole: Whole) -> None:
    """Two tenants, three files and a manifest each: opened aside, written, fsynced, renamed; directories fsynced."""
    made = Counter(point.name for point in whole.points)
    assert len(whole.files) == 2 * len(PUBLISHED)
    assert made["write"] == 2 * 4
    assert sum(made[name] for name in ("rename", "renameat", "renameat2")) == 2 * 4
    assert made["fsync"] >= 2 * (4 + 2)
    last = [point.line for point in whole.points if "manifest.json" in point.line or "fsync" in point.line][-4:]
    assert ["write" in last[0], "fsync" in last[1], "rename" in last[2], "fsync" in last[3]] == [True] * 4, last


def test_each_file_is_durable_before_it_has_its_name_and_the_manifest_is_last(desk: Desk, whole: Whole) -> None:
    """A kill leaves the page cache, so what a power cut would leave is read from the order of the calls."""
    for tenant in ("main", "ray"):
        home = f"{desk.home}/whole/exports/{tenant}/{tenant}-00000001"
        steps = [
            (point.name.removesuffix("at").removesuffix("at2"), match[1])
            for point in whole.points
            if point.name in ("write", "fsync", "rename", "renameat", "renameat2")
            if (match := re.search(rf"{home}/?([a-z.]*?)(?:\.partial)?[\">]", point.line)) is not None
        ]
        data = ["usage.csv", "usage.jsonl", "summary.csv"]
        assert [name for step, name in steps if step == "rename"] == [*data, "manifest.json"]
        for name in (*data, "manifest.json"):
            assert [step for step, named in steps if named == name] == ["write", "fsync", "rename"]
        first_of_manifest = steps.index(("write", "manifest.json"))
        assert steps[first_of_manifest - 1] == ("fsync", "")  # the directory, before the manifest is begun
        assert steps[-1] == ("fsync", "")


async def instant_of_next_run(place: Place) -> int:
    """Return an hour later where a batch had been cut; where none had, the night begins with the next run."""
    async with opened(place.store) as source:
        return LATER if await source.batches("main") else NIGHT


async def test_killed_at_each_call_it_resumes_with_the_same_bytes(
    process: ExportProcess, desk: Desk, whole: Whole
) -> None:
    unfinished = cut = 0
    for place, point in desk.copies(whole.points):
        inject = f"{point.name}:signal=KILL:when={point.number}"
        killed = process.export(place.store, place.exports, NIGHT, inject, place.home / "strace.log")
        assert killed.status == -9, point
        left = tree(place.exports)
        assert_nothing_half_written(left, whole.files)
        unfinished += left != whole.files
        now = await instant_of_next_run(place)
        cut += now == LATER
        assert process.export(place.store, place.exports, now).status == 0, point
        assert tree(place.exports) == whole.files, point
        async with opened(place.store) as source:
            assert await verify_exports(source, place.exports) == [], point
    assert cut == len(whole.points) - BEFORE_THE_CUT
    assert unfinished > len(whole.points) // 2


async def test_killed_after_the_last_call_before_the_store_was_told_it_resumes(
    process: ExportProcess, desk: Desk, whole: Whole
) -> None:
    """No call on the directory follows; what the store knows is set back to the instant before it was told."""
    for place, tenant in desk.copies(("main", "ray")):
        assert process.export(place.store, place.exports, NIGHT).status == 0
        with contextlib.closing(sqlite3.connect(place.store, isolation_level=None)) as connection:
            connection.execute("UPDATE export_batch SET manifest_sha256 = '' WHERE tenant = ?", (tenant,))
        assert process.export(place.store, place.exports, LATER).status == 0
        assert tree(place.exports) == whole.files
        async with opened(place.store) as source:
            assert await verify_exports(source, place.exports) == []


async def test_where_the_disk_fails_it_says_so_and_the_next_run_has_the_same_bytes(
    process: ExportProcess, desk: Desk, whole: Whole
) -> None:
    for place, point in desk.copies([point for point in whole.points if point.name in FAILING]):
        inject = f"{point.name}:error=EIO:when={point.number}"
        failed = process.export(place.store, place.exports, NIGHT, inject, place.home / "strace.log")
        assert failed.status == 69, point
        assert_nothing_half_written(tree(place.exports), whole.files)
        now = await instant_of_next_run(place)
        assert process.export(place.store, place.exports, now).status == 0, point
        assert tree(place.exports) == whole.files, point
