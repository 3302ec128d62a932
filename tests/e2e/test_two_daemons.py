"""Two real daemons on one PostgreSQL under load, each killed in turn: switches send to either, and money counts once.

The client sends every packet to one daemon and every repeat of it, the same bytes from the same port, to the other.
At the end its log is held against the export and the account, as after the kills of a single daemon.
"""

import asyncio
import os
import random
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.radius_load import CHARGING, WAIT_SECONDS_MAX, Client, Peer, reconciled
from tests.e2e.scenario import SCENARIO
from tests.integration.postgres_cluster import Cluster

KILLS = 4
SEED = int(os.environ.get("TOLLWAY_SEED", str(random.SystemRandom().randrange(1 << 32))))
Address = tuple[str, int]


class Alternating(asyncio.DatagramTransport):
    """One socket that sends to several addresses in turn."""

    def __init__(self, socket: asyncio.DatagramTransport, addresses: Iterator[Address]) -> None:
        super().__init__()
        self._socket = socket
        self._addresses = addresses

    def sendto(self, data: Any, addr: Any = None) -> None:
        del addr
        self._socket.sendto(data, next(self._addresses))

    def close(self) -> None:
        self._socket.close()


class Roaming(Client):
    """Sends to the second daemon what the first did not answer, and the other way round."""

    other: DaemonProcess

    async def _caller(self, place: int) -> None:
        both = (self.daemon, self.other) if place % 2 else (self.other, self.daemon)
        auth = await self._link([("127.0.0.1", daemon.auth_port) for daemon in both])
        acct = await self._link([("127.0.0.1", daemon.acct_port) for daemon in both])
        identifier = 0
        while not self.stopping:
            self.number += 1
            identifier = (identifier + 4) % 256
            await self._call(auth, acct, identifier, f"roam-{place}-{self.number}")
        auth[0].close()
        acct[0].close()

    async def _link(self, addresses: list[Address]) -> tuple[asyncio.DatagramTransport, Peer]:
        loop = asyncio.get_running_loop()
        socket, peer = await loop.create_datagram_endpoint(Peer, local_addr=("127.0.0.1", 0))
        return Alternating(socket, cycle(addresses)), peer


@pytest.mark.timeout(600)
async def test_either_daemon_may_die_and_what_was_acknowledged_is_there_once(tmp_path: Path, cluster: Cluster) -> None:
    print(f"\nTOLLWAY_SEED={SEED}")
    dice = random.Random(SEED)
    url = cluster.url(await asyncio.to_thread(cluster.empty))
    one, two = (DaemonProcess(tmp_path / name, SCENARIO, CHARGING, url=url) for name in ("one", "two"))
    await asyncio.to_thread(one.apply)
    await asyncio.gather(asyncio.to_thread(one.start), asyncio.to_thread(two.start))
    client = Roaming(one, dice)
    client.other = two
    running = asyncio.create_task(client.run())
    for kill in range(KILLS):
        await client.until_acknowledged(client.log.acknowledged + dice.randrange(200, 600))
        victim = (one, two)[kill % 2]
        await asyncio.to_thread(victim.kill)
        await client.until_acknowledged(client.log.acknowledged + dice.randrange(100, 400))  # the other goes on alone
        await asyncio.to_thread(victim.start)
    await client.until_acknowledged(client.log.acknowledged + 100)
    client.stopping = True
    await asyncio.wait_for(running, WAIT_SECONDS_MAX)
    assert len(client.log.stopped) > 100, client.log
    assert client.log.refused == 0, client.log
    await asyncio.to_thread(reconciled, one, client.log)
    assert two.json("call", "list") == []
    assert (await asyncio.to_thread(one.stop), await asyncio.to_thread(two.stop)) == (0, 0)
