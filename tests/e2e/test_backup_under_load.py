"""A backup while calls come: restored elsewhere it is a whole store with every call that was acknowledged before it."""

import asyncio
import random
import shutil
import stat
from pathlib import Path

import pytest

from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.radius_load import CHARGING, Client
from tests.e2e.scenario import SCENARIO
from tests.e2e.test_commands import ENGINES, database
from tests.integration.postgres_cluster import Cluster

pytestmark = pytest.mark.timeout(300)
CALLS_BEFORE, CALLS_AFTER = 60, 40


@pytest.mark.parametrize("busy", ENGINES, indirect=True)
async def test_a_backup_under_load_is_a_store_of_its_own(busy: DaemonProcess, elsewhere: str, tmp_path: Path) -> None:
    client = Client(busy, random.Random(7))
    load = asyncio.create_task(client.run())
    try:
        await client.until_stopped(CALLS_BEFORE)
        before = dict(client.log.stopped)
        done = await asyncio.to_thread(busy.command, "db", "backup", "night")
        assert done.returncode == 0, done.stderr
        await client.until_stopped(len(client.log.stopped) + CALLS_AFTER)
    finally:
        client.stopping = True
        await load
    assert client.log.refused == 0, "calls are granted all the while"
    night = busy.folder / "night"
    assert stat.S_IMODE(night.stat().st_mode) == 0o600
    assert not list(busy.folder.glob("night.*"))
    restored = await asyncio.to_thread(_restored, night, tmp_path / "elsewhere", elsewhere)
    charged = await asyncio.to_thread(_charged, restored)
    assert before.keys() <= charged.keys(), "what was acknowledged before it began is in it"
    assert {call: charged[call] for call in before} == {call: [f"{seconds}"] for call, seconds in before.items()}
    later = client.log.stopped.keys() - charged.keys()
    assert later, "what came after it is not"
    assert (await asyncio.to_thread(busy.command, "db", "check")).returncode == 0


@pytest.fixture
def busy(request: pytest.FixtureRequest, tmp_path: Path) -> "object":
    daemon = DaemonProcess(tmp_path / "busy", SCENARIO, CHARGING, url=database(request))
    daemon.apply()
    daemon.start()
    yield daemon
    daemon.kill()


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest, busy: DaemonProcess) -> str:
    """Where it is restored: another file, or another database of the same kind."""
    if not busy.url:
        return ""
    cluster: Cluster = request.getfixturevalue("cluster")
    return cluster.url(cluster.empty())


def _restored(night: Path, folder: Path, url: str) -> DaemonProcess:
    """Restore a copy into a folder of its own, and check it; what is there is never replaced."""
    there = DaemonProcess(folder, SCENARIO, CHARGING, url=url)
    shutil.move(night, folder / "night")
    assert there.command("db", "check").returncode == 69, "there is no store yet"
    done = there.command("db", "restore", "night")
    assert done.returncode == 0, done.stderr
    assert there.json("db", "check") == {"holds": True, "findings": []}
    again = there.command("db", "restore", "night")
    assert again.returncode == 1
    assert "there" in again.stderr
    if not url:
        assert stat.S_IMODE(there.store.stat().st_mode) == 0o600
    return there


def _charged(there: DaemonProcess) -> dict[str, list[str]]:
    """Run the restored store, and return the seconds of each call that it has charged."""
    there.start()
    try:
        done = there.command("export", "run")
        assert done.returncode == 0, done.stderr
    finally:
        assert there.stop() == 0
    charged: dict[str, list[str]] = {}
    for path in there.folder.glob("**/usage.csv"):
        head, *lines = (line.split(",") for line in path.read_text().splitlines())
        call, seconds = head.index("call_id"), head.index("duration_seconds")
        for line in lines:
            charged.setdefault(line[call], []).append(line[seconds].partition(".")[0])
    return charged
