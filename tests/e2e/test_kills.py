"""kill -9 of the real daemon under load, again and again: what was acknowledged is there once, nothing stays held.

The client keeps its own log of what was acknowledged, repeats the same bytes until it is, across deaths and restarts,
and at the end its log is held against the export and the account. Some kills come at a random instant; the others
inside an open batch, and are counted: on SQLite the kernel puts them on the store's own sync, on PostgreSQL the daemon
is stopped, the server is asked whether its transaction is open, and only then it dies.
"""

import asyncio
import os
import random
import shutil
import signal
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.radius_load import CHARGING, WAIT_SECONDS_MAX, Client, reconciled
from tests.e2e.scenario import SCENARIO
from tests.integration.postgres_cluster import Cluster

KILLS = int(os.environ.get("TOLLWAY_KILLS", "20"))
SEED = int(os.environ.get("TOLLWAY_SEED", str(random.SystemRandom().randrange(1 << 32))))
LIFE_SECONDS_MAX = 120  # in which a daemon under load has to come to its sync, however busy the machine
PACKETS_MIN, PACKETS_MAX = 200, 800  # that a daemon acknowledges before it is killed at a random instant
SYNCS_MIN, SYNCS_MAX = 3, 80  # the sync of the store on which the others die
STARTING = 0.2  # of the kills at a random instant come while the daemon starts,
STARTING_SECONDS = 1.5  # within so many seconds
STOPS_MAX = 60  # times a daemon is stopped and looked at before it is killed as it is
INJECT = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]
IN_A_BATCH = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = '{}' AND application_name = 'tollway'"
    " AND state LIKE 'idle in transaction%'"  # a statement that was under way is over by the time of a second look
)


@dataclass
class Killer(ABC):
    """Lets a daemon live and die; counts the deaths inside an open batch, and what it acknowledged at the least."""

    daemon: DaemonProcess
    dice: random.Random
    inside: int = 0
    owed: int = 0  # packets that its lives had to acknowledge before they were ended

    async def kill(self, client: Client, *, inside: bool) -> None:
        """Start the daemon, and kill it at a random instant or inside an open batch."""
        self.daemon.await_ready = False
        self.inside += await (self._inside(client) if inside else self._anywhere(client))

    async def _anywhere(self, client: Client) -> bool:
        self.daemon.start_quietly()
        if self.dice.random() < STARTING:
            await asyncio.sleep(self.dice.uniform(0, STARTING_SECONDS))
        else:
            await self._worked(client)
        self.daemon.kill()
        return False

    async def _worked(self, client: Client) -> None:
        """Wait until the daemon has acknowledged so much that it is in the middle of its work."""
        packets = self.dice.randrange(PACKETS_MIN, PACKETS_MAX)
        await client.until_acknowledged(client.log.acknowledged + packets)
        self.owed += packets
        assert self.daemon.process is not None
        assert self.daemon.process.poll() is None, self.daemon.log()

    @abstractmethod
    async def _inside(self, client: Client) -> bool:
        """Kill it inside an open batch; tell whether it was."""


@dataclass
class OnSync(Killer):
    """The store is a file: the kernel kills the daemon on its own sync, before it is carried out."""

    async def _inside(self, client: Client) -> bool:
        del client
        when = self.dice.randrange(SYNCS_MIN, SYNCS_MAX)
        self.daemon.wrapper = [*INJECT, "-e", f"inject=fsync,fdatasync:signal=KILL:when={when}"]
        self.daemon.start_quietly()
        self.daemon.wrapper = []
        assert self.daemon.process is not None
        await asyncio.to_thread(self.daemon.process.wait, LIFE_SECONDS_MAX)
        assert self.daemon.process.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), self.daemon.log()
        self.daemon.kill()
        return True


@dataclass
class OnTransaction(Killer):
    """The store is a server: it says whether the daemon that stands still has a transaction open."""

    cluster: Cluster | None = None
    database: str = ""

    async def _inside(self, client: Client) -> bool:
        self.daemon.start_quietly()
        await self._worked(client)
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


@pytest.mark.timeout(300 + 30 * KILLS)
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
        await killer.kill(client, inside=kill % 2 == 0)
    took = time.monotonic() - began
    daemon.await_ready = True
    await asyncio.to_thread(daemon.start)
    await client.until_acknowledged(client.log.acknowledged + PACKETS_MIN)
    client.stopping = True
    await asyncio.wait_for(running, WAIT_SECONDS_MAX)
    await asyncio.to_thread(reconciled, daemon, client.log)
    assert await asyncio.to_thread(daemon.stop) == 0
    log = client.log
    print(
        f"{engine}: {KILLS} kills in {took:.0f} s ({KILLS / took * 60:.0f} a minute), {killer.inside} inside an open"
        f" batch; {log.acknowledged} packets acknowledged, {len(log.stopped)} calls: each charged once, nothing held,"
        " the ledger's sums exact"
    )
    assert killer.inside * 3 >= KILLS, (killer.inside, KILLS)
    assert log.acknowledged >= killer.owed > 0, log
