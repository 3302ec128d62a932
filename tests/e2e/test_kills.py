"""kill -9 of the real daemon under load, again and again: what was acknowledged is there once, nothing stays held.

The client keeps its own log of what was acknowledged, repeats the same bytes until it is, across deaths and restarts,
and at the end its log is held against the export and the account. Some kills come at a random instant; the others
inside an open batch, and are counted: on SQLite the kernel puts them on the store's own sync, on PostgreSQL the daemon
is stopped, the server is asked whether its transaction is open, and only then it dies.
"""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.daemon_process import START_SECONDS_MAX, DaemonProcess
from tests.e2e.radius_load import CHARGING, Client, reconciled
from tests.e2e.scenario import SCENARIO
from tests.integration.postgres_cluster import Cluster

KILLS = int(os.environ.get("TOLLWAY_KILLS", "20"))
SEED = int(os.environ.get("TOLLWAY_SEED", str(random.SystemRandom().randrange(1 << 32))))
RATE_MIN = 30  # requests a second, over the time that a daemon served; a quiet machine does ten times as many
INJECT = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]


STARTING = 0.2  # of the other kills come while the daemon starts
STOPS_MAX = 60  # times a daemon is stopped and looked at before it is killed as it is
IN_A_BATCH = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = '{}' AND application_name = 'tollway'"
    " AND state LIKE 'idle in transaction%'"  # a statement that was under way is over by the time of a second look
)


@dataclass
class Killer:
    """Lets a daemon live for a while and die; counts the deaths inside an open batch, and how long it was up."""

    daemon: DaemonProcess
    dice: random.Random
    inside: int = 0
    up: float = 0.0

    async def kill(self, *, inside: bool) -> None:
        """Start the daemon, and kill it at a random instant or inside an open batch."""
        self.daemon.await_ready = False
        self.inside += await (self._inside() if inside else self._anywhere())

    async def _anywhere(self) -> bool:
        """Kill it within a second and a half of its start, whatever it has come to, or while it serves."""
        await asyncio.to_thread(self.daemon.start_quietly)
        if self.dice.random() < STARTING:
            await asyncio.sleep(self.dice.uniform(0, 1.5))
        else:
            await asyncio.to_thread(self._served, self.dice.uniform(0.1, 1.2))
        self.daemon.kill()
        return False

    def _served(self, seconds: float) -> None:
        """Wait until the daemon has served for some seconds, or is dead."""
        assert self.daemon.process is not None
        ends = time.monotonic() + START_SECONDS_MAX
        while self.daemon.process.poll() is None and time.monotonic() < ends:
            with contextlib.suppress(OSError):
                self.daemon.get("/healthz")
                break
            time.sleep(0.02)
        began = time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.daemon.process.wait(seconds)
        self.up += time.monotonic() - began

    async def _inside(self) -> bool:
        raise NotImplementedError


@dataclass
class OnSync(Killer):
    """The store is a file: the kernel kills the daemon on its own sync, before it is carried out."""

    async def _inside(self) -> bool:
        when = self.dice.randrange(3, 80)
        self.daemon.wrapper = [*INJECT, "-e", f"inject=fsync,fdatasync:signal=KILL:when={when}"]
        await asyncio.to_thread(self.daemon.start_quietly)
        self.daemon.wrapper = []
        assert self.daemon.process is not None
        await asyncio.to_thread(self._served, 8)
        died = self.daemon.process.poll() is not None
        self.daemon.kill()
        if died:
            assert self.daemon.process.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), self.daemon.log()
        return died


@dataclass
class OnTransaction(Killer):
    """The store is a server: it says whether the daemon that stands still has a transaction open."""

    cluster: Cluster | None = None
    database: str = ""

    async def _inside(self) -> bool:
        await asyncio.to_thread(self.daemon.start_quietly)
        await asyncio.to_thread(self._served, self.dice.uniform(0.1, 1.0))
        found = await asyncio.to_thread(self._stopped_inside)
        self.daemon.kill()
        return found

    def _stopped_inside(self) -> bool:
        assert self.daemon.process is not None
        assert self.cluster is not None
        for _ in range(STOPS_MAX):
            os.kill(self.daemon.process.pid, signal.SIGSTOP)
            if self.cluster.sql(IN_A_BATCH.format(self.database)):
                return True
            os.kill(self.daemon.process.pid, signal.SIGCONT)
            time.sleep(self.dice.uniform(0.005, 0.02))
        return False


def _killer(engine: str, folder: Path, dice: random.Random, request: pytest.FixtureRequest) -> Killer:
    if engine == "sqlite":
        return OnSync(DaemonProcess(folder, SCENARIO, CHARGING), dice)
    cluster: Cluster = request.getfixturevalue("cluster")
    database = cluster.empty()
    daemon = DaemonProcess(folder, SCENARIO, CHARGING, url=cluster.url(database))
    return OnTransaction(daemon, dice, cluster=cluster, database=database)


@pytest.mark.timeout(180 + 30 * KILLS)
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (scripts/test-deps)")
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_what_was_acknowledged_is_there_once(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    print(f"\n{engine} TOLLWAY_SEED={SEED} TOLLWAY_KILLS={KILLS}")
    dice = random.Random(SEED)
    killer = await asyncio.to_thread(_killer, engine, tmp_path, dice, request)
    daemon = killer.daemon
    await asyncio.to_thread(daemon.apply)
    client = Client(daemon, dice)
    running = asyncio.create_task(client.run())
    began = time.monotonic()
    for kill in range(KILLS):
        await killer.kill(inside=kill % 2 == 0)
    took = time.monotonic() - began
    daemon.await_ready = True
    await asyncio.to_thread(daemon.start)
    await asyncio.sleep(1)
    client.stopping = True
    await asyncio.wait_for(running, 60)
    await asyncio.sleep(6)  # grants whose question was answered to nobody lapse after ring_seconds
    await asyncio.to_thread(reconciled, daemon, client.log)
    assert await asyncio.to_thread(daemon.stop) == 0
    log = client.log
    print(
        f"{engine}: {KILLS} kills in {took:.0f} s ({KILLS / took * 60:.0f} a minute), {killer.inside} inside an open"
        f" batch; {log.acknowledged} acknowledged in {killer.up:.1f} s up; lost 0, doubled 0, stuck 0, differences 0"
    )
    assert killer.inside * 3 >= KILLS, (killer.inside, KILLS)
    assert log.acknowledged >= RATE_MIN * killer.up, log
