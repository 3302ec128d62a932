"""kill -9 of the real daemon under load, again and again: what was acknowledged is there once, nothing stays held.

The client keeps its own log of what was acknowledged, repeats the same bytes until it is, across deaths and restarts,
and at the end its log is held against the export and the account. Some kills come at a random instant; the others are
put by the kernel on the store's own sync, inside an open batch, and are counted.
"""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.radius_load import CHARGING, Client, reconciled
from tests.e2e.scenario import SCENARIO

KILLS = int(os.environ.get("TOLLWAY_KILLS", "20"))
SEED = int(os.environ.get("TOLLWAY_SEED", str(random.SystemRandom().randrange(1 << 32))))
RATE_MIN = 100  # requests a second, over the time that a daemon was up
INJECT = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]


async def _one_kill(daemon: DaemonProcess, dice: random.Random, inside: bool) -> tuple[bool, float]:
    """Let a daemon live for a while and die; tell whether it died on its own sync, and how long it was up."""
    when = dice.randrange(3, 80)
    daemon.wrapper = [*INJECT, "-e", f"inject=fsync,fdatasync:signal=KILL:when={when}"] if inside else []
    daemon.await_ready = False
    began = time.monotonic()
    await asyncio.to_thread(daemon.start_quietly)
    assert daemon.process is not None
    life = 8 if inside else dice.uniform(0.8, 2.4)
    with contextlib.suppress(subprocess.TimeoutExpired):
        await asyncio.to_thread(daemon.process.wait, life)
    died = daemon.process.poll() is not None
    daemon.kill()
    if died:
        assert daemon.process.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), daemon.log()
    return died, time.monotonic() - began


@pytest.mark.timeout(60 + 10 * KILLS)
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (scripts/test-deps)")
async def test_what_was_acknowledged_is_there_once(tmp_path: Path) -> None:
    print(f"\nTOLLWAY_SEED={SEED} TOLLWAY_KILLS={KILLS}")
    dice = random.Random(SEED)
    daemon = DaemonProcess(tmp_path, SCENARIO, CHARGING)
    daemon.apply()
    client = Client(daemon, dice)
    running = asyncio.create_task(client.run())
    inside, up = 0, 0.0
    for kill in range(KILLS):
        died, lived = await _one_kill(daemon, dice, inside=kill % 2 == 0)
        inside, up = inside + died, up + lived
    daemon.wrapper, daemon.await_ready = [], True
    await asyncio.to_thread(daemon.start)
    await asyncio.sleep(1)
    client.stopping = True
    await asyncio.wait_for(running, 60)
    await asyncio.sleep(6)  # grants whose question was answered to nobody lapse after ring_seconds
    reconciled(daemon, client.log)
    assert await asyncio.to_thread(daemon.stop) == 0
    print(f"{KILLS} kills, {inside} inside an open batch; {client.log.acknowledged} acknowledged in {up:.1f} s up")
    assert inside * 3 >= KILLS, (inside, KILLS)
    assert client.log.acknowledged >= RATE_MIN * up, client.log
