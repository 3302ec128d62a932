"""kill -9 of the real daemon under load, again and again: what was acknowledged is there once, nothing stays held.

The client keeps its own log of what was acknowledged, repeats the same bytes until it is, across deaths and restarts,
and at the end its log is held against the export and the account. Some kills come at a random instant; the others are
put by the kernel on the store's own sync, inside an open batch, and are counted.
"""

import asyncio
import os
import random
import shutil
import signal
from pathlib import Path

import pytest

from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.radius_load import CHARGING, WAIT_SECONDS_MAX, Client, reconciled
from tests.e2e.scenario import SCENARIO

KILLS = int(os.environ.get("TOLLWAY_KILLS", "20"))
LIFE_SECONDS_MAX = 120  # in which a daemon under load has to come to that sync, however busy the machine
SEED = int(os.environ.get("TOLLWAY_SEED", str(random.SystemRandom().randrange(1 << 32))))
PACKETS_MIN, PACKETS_MAX = 200, 800  # that a daemon acknowledges before it is killed at a random instant
SYNCS_MIN, SYNCS_MAX = 3, 80  # the sync of the store on which the others die
INJECT = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]


async def _killed_inside(daemon: DaemonProcess, when: int) -> None:
    """Let a daemon live until a sync of its own store, the one of that number, and die on it."""
    daemon.wrapper = [*INJECT, "-e", f"inject=fsync,fdatasync:signal=KILL:when={when}"]
    daemon.start_quietly()
    assert daemon.process is not None
    await asyncio.to_thread(daemon.process.wait, LIFE_SECONDS_MAX)
    assert daemon.process.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), daemon.log()
    daemon.kill()


async def _killed_outside(daemon: DaemonProcess, client: Client, dice: random.Random) -> None:
    """Let a daemon live until it has acknowledged so much, and kill it wherever it is then."""
    daemon.wrapper = []
    daemon.start_quietly()
    await client.until_acknowledged(client.log.acknowledged + dice.randrange(PACKETS_MIN, PACKETS_MAX))
    assert daemon.process is not None
    assert daemon.process.poll() is None, daemon.log()
    daemon.kill()


@pytest.mark.timeout(300 + 10 * KILLS)
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (scripts/test-deps)")
async def test_what_was_acknowledged_is_there_once(tmp_path: Path) -> None:
    print(f"\nTOLLWAY_SEED={SEED} TOLLWAY_KILLS={KILLS}")
    dice = random.Random(SEED)
    daemon = DaemonProcess(tmp_path, SCENARIO, CHARGING)
    daemon.apply()
    client = Client(daemon, dice)
    running = asyncio.create_task(client.run())
    for kill in range(KILLS):
        if kill % 2:
            await _killed_outside(daemon, client, dice)
        else:
            await _killed_inside(daemon, dice.randrange(SYNCS_MIN, SYNCS_MAX))
    daemon.wrapper = []
    await asyncio.to_thread(daemon.start)
    await client.until_acknowledged(client.log.acknowledged + PACKETS_MIN)
    client.stopping = True
    await asyncio.wait_for(running, WAIT_SECONDS_MAX)
    await asyncio.to_thread(reconciled, daemon, client.log)
    assert await asyncio.to_thread(daemon.stop) == 0
    print(f"{KILLS} kills, every other inside an open batch; {client.log.acknowledged} acknowledged")
    assert client.log.acknowledged >= PACKETS_MIN * (KILLS // 2 + 1), client.log
