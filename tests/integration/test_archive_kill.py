"""Killed at any instant, archiving loses no row and counts none twice, and the next run goes on from there.

The points are enumerated by a whole run, not sampled: before and after each sync, rename and commit.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.store.check import check_store
from tests.integration.archive_world import NOW, archived, exported, lived, shown
from tests.integration.store_world import World, opened

KILLED = -9
POINTS_MAX = 400
ONE_MONTH, TWO_MONTHS = 4, 3  # that are left to archive where so many are kept

pytestmark = pytest.mark.slow


class ArchiveProcess:
    """Talks to tests.integration.archive_process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.archive_process"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip

    def archive(self, folder: Path, keep: int, point: int = 0) -> tuple[int, int]:
        """Archive once in a child that dies at a point; return its status and the points that it passed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{folder}\t{NOW}\t{keep}\t{point}\n")
        said, passed = self.process.stdout.readline(), 0
        if not said.startswith("ended"):
            passed, said = int(said), self.process.stdout.readline()
        return int(said.split()[1]), passed


@pytest.fixture(scope="module")
def process() -> Iterator[ArchiveProcess]:
    process = ArchiveProcess()
    with process.process:
        yield process
    assert process.process.returncode == 0


async def prepared(folder: Path) -> dict[str, object]:
    """Make a store that can be archived, and return all that is seen of it."""
    async with opened(folder) as world:
        await lived(world)
        await exported(world, folder)
        return await shown(world)


async def looked_at(world: World, before: dict[str, object]) -> None:
    world.now = NOW
    assert await check_store(world.store) == []
    assert await shown(world) == before


async def test_killed_at_every_point(tmp_path: Path, process: ArchiveProcess) -> None:
    template = tmp_path / "template"
    template.mkdir()
    before = await prepared(template)
    whole = tmp_path / "whole"
    shutil.copytree(template, whole)
    status, points = process.archive(whole, ONE_MONTH)
    assert status == 0
    assert 20 < points < POINTS_MAX
    for point in range(1, points + 1):
        folder = tmp_path / "killed"
        shutil.copytree(template, folder)
        assert process.archive(folder, ONE_MONTH, point) == (KILLED, 0), point
        async with opened(folder) as world:
            await looked_at(world, before)
            if point < points:
                await archived(world, ONE_MONTH)
                await looked_at(world, before)
            assert [row[0] for row in await world.store.rows("SELECT is_done FROM archive")] == [1]
        assert [path.name for path in (folder / "tollway.archive").iterdir()] == ["2026-01"]
        shutil.rmtree(folder)


async def test_killed_again_and_again(tmp_path: Path, process: ArchiveProcess, engine: str) -> None:
    """Each run dies some points later than the one before, on what that one left, until one comes to its end."""
    del engine
    before = await prepared(tmp_path)
    point = 2
    while process.archive(tmp_path, TWO_MONTHS, point)[0] == KILLED:
        async with opened(tmp_path) as world:
            await looked_at(world, before)
        point += 3
        assert point < POINTS_MAX
    async with opened(tmp_path) as world:
        await looked_at(world, before)
        assert [row[0] for row in await world.store.rows("SELECT is_done FROM archive")] == [1, 1]
