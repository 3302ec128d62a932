"""The power is cut under load, again and again: what was acknowledged survives a disk that loses all it was not asked
to keep.

A kill leaves the page cache, so it cannot show a missing sync. Here the store's files are put back to what was durable
(see ``power``), the daemon goes on from that, and the client's log of what was acknowledged decides. The same test
catches a daemon that does not sync.
"""

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.radius_load import CHARGING, WAIT_SECONDS_MAX, Client, reconciled
from tests.e2e.scenario import SCENARIO
from tests.faults.power import Disk, built

CUTS = int(os.environ.get("TOLLWAY_CUTS", "10"))
CALLS_SEEN = 20  # calls that each life has to charge before its power is cut
SEED = int(os.environ.get("TOLLWAY_SEED", str(random.SystemRandom().randrange(1 << 32))))
# Opens each connection so that it is told to sync nothing: the mutant that the test has to catch.
UNSYNCED = """
import sqlite3

class Unsynced(sqlite3.Connection):
    def execute(self, statement, *parameters):
        return super().execute(statement.replace("synchronous = FULL", "synchronous = OFF"), *parameters)

_connect = sqlite3.connect
sqlite3.connect = lambda *words, **named: _connect(*words, **{"factory": Unsynced, **named})
"""


async def _one_cut(disk: Disk, client: Client, *more: str) -> set[str]:
    """Let a daemon live on the disk for a while and cut its power; return the acknowledged calls that it lost."""
    disk.attach(*more)
    await asyncio.to_thread(disk.daemon.start)
    await client.until_stopped(len(client.log.stopped) + CALLS_SEEN)
    await asyncio.sleep(disk.dice.uniform(0, 0.6))
    if disk.cuts % 2:
        disk.fail("slow")  # for a while a batch is written and not synced: the cut comes there
        await asyncio.sleep(disk.dice.uniform(0.05, 0.5))
    await asyncio.to_thread(disk.cut_power)
    return set(client.log.stopped) - await asyncio.to_thread(disk.charged)


@pytest.mark.timeout(300 + 10 * CUTS)
async def test_what_was_acknowledged_survives_a_power_cut(tmp_path: Path) -> None:
    print(f"\nTOLLWAY_SEED={SEED} TOLLWAY_CUTS={CUTS}")
    dice = random.Random(SEED)
    daemon = DaemonProcess(tmp_path, SCENARIO, CHARGING)
    daemon.apply()
    client, disk = Client(daemon, dice), Disk(daemon, dice, built(tmp_path))
    running = asyncio.create_task(client.run())
    for cut in range(CUTS):
        lost = await _one_cut(disk, client)
        assert not lost, (cut, lost)
    disk.detach()
    await asyncio.to_thread(daemon.start)
    await client.until_acknowledged(client.log.acknowledged + 100)
    client.stopping = True
    await asyncio.wait_for(running, WAIT_SECONDS_MAX)
    await asyncio.to_thread(reconciled, daemon, client.log)
    assert await asyncio.to_thread(daemon.stop) == 0
    print(f"{CUTS} cuts, {disk.unsynced} with unsynced writes; {len(client.log.stopped)} calls acknowledged")
    assert disk.unsynced * 3 >= CUTS, (disk.unsynced, CUTS)


@pytest.mark.timeout(600)
async def test_a_store_that_does_not_sync_is_caught(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    daemon = DaemonProcess(tmp_path, SCENARIO, CHARGING)
    daemon.apply()
    client, disk = Client(daemon, dice), Disk(daemon, dice, built(tmp_path))
    mutant = tmp_path / "mutant"
    mutant.mkdir()
    (mutant / "sitecustomize.py").write_text(UNSYNCED)
    root = Path(__file__).parents[2]
    running = asyncio.create_task(client.run())
    try:
        lost = await _one_cut(disk, client, f"PYTHONPATH={mutant}:{root}")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await asyncio.sleep(0)  # the sockets close
    assert len(lost) > 1, "a cut has to lose what was acknowledged and never synced"
