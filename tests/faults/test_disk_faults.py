"""A disk that fails under the real daemon: nothing is acknowledged meanwhile, it says why, and all goes on afterwards.

Each fault lasts for a while under load. At its end the power is cut or the disk is well again; either way what was
acknowledged is there once, and what was not is repeated by its sender until it is.
"""

import asyncio
import random
import socket
import time
import urllib.error
from pathlib import Path

import pytest

from tests.e2e import radius_peer as peer
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.radius_load import CHARGING, WAIT_SECONDS_MAX, Client, reconciled
from tests.e2e.scenario import SCENARIO, SECRET
from tests.faults.power import Disk, built

CALLS_SEEN = 20  # calls that are charged before the disk fails
IN_FLIGHT_SECONDS = 0.3  # in which the client takes what has come to its sockets
FAULT_SECONDS = 1.0
SAYS = {"eio": "the disk reported an error", "eio_sync": "the disk reported an error", "full": "free space"}


def _ready(daemon: DaemonProcess) -> int:
    try:
        return daemon.get("/readyz")[0]
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def _asked(daemon: DaemonProcess) -> int:
    """Return the code that answers a question."""
    packet = peer.access_request(SECRET, 1, "rich", "rich-password", "442071231234", f"asked-{time.monotonic_ns()}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(30)
        link.sendto(packet, ("127.0.0.1", daemon.auth_port))
        return peer.reply(SECRET, packet, link.recv(4096)).code


async def _failing(disk: Disk, client: Client, word: str) -> None:
    """Let the disk fail for a while, and see that nothing is granted or acknowledged on it."""
    log = client.log
    await client.until_stopped(len(log.stopped) + CALLS_SEEN)
    assert await asyncio.to_thread(_ready, disk.daemon) == 200
    disk.fail(word)
    await asyncio.to_thread(_asked, disk.daemon)  # its answer comes after those to what was synced before the fault
    await asyncio.sleep(IN_FLIGHT_SECONDS)
    stopped, granted = len(log.stopped), log.granted
    assert await asyncio.to_thread(_ready, disk.daemon) == 503
    await asyncio.sleep(FAULT_SECONDS)
    assert (len(log.stopped), log.granted) == (stopped, granted), "acknowledged what could not be synced"
    assert await asyncio.to_thread(_asked, disk.daemon) == peer.ACCESS_REJECT
    assert SAYS[word] in disk.daemon.log()


async def _ended(client: Client, running: "asyncio.Task[None]") -> None:
    client.stopping = True
    await asyncio.wait_for(running, WAIT_SECONDS_MAX)
    await asyncio.to_thread(reconciled, client.daemon, client.log)


@pytest.mark.timeout(600)
async def test_a_failing_disk_acknowledges_nothing_and_loses_nothing(tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path, SCENARIO, CHARGING)
    daemon.apply()
    client, disk = Client(daemon, random.Random(3)), Disk(daemon, random.Random(3), built(tmp_path))
    disk.attach()
    await asyncio.to_thread(daemon.start)
    running = asyncio.create_task(client.run())
    for word in SAYS:
        await _failing(disk, client, word)
        disk.fail("none")
        await client.until_stopped(len(client.log.stopped) + CALLS_SEEN)
        assert await asyncio.to_thread(_ready, daemon) == 200
    for word in ("short", "slow"):  # slower and in pieces, and still a disk
        disk.fail(word)
        await client.until_stopped(len(client.log.stopped) + CALLS_SEEN)
        assert await asyncio.to_thread(_ready, daemon) == 200
    disk.fail("none")
    await _ended(client, running)
    assert await asyncio.to_thread(daemon.stop) == 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("word", ["eio_sync", "full"])
async def test_a_power_cut_while_the_disk_fails_loses_nothing(word: str, tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path, SCENARIO, CHARGING)
    daemon.apply()
    client, disk = Client(daemon, random.Random(4)), Disk(daemon, random.Random(4), built(tmp_path))
    disk.attach()
    await asyncio.to_thread(daemon.start)
    running = asyncio.create_task(client.run())
    await _failing(disk, client, word)
    await asyncio.to_thread(disk.cut_power)
    assert set(client.log.stopped) <= await asyncio.to_thread(disk.charged)
    disk.attach()
    await asyncio.to_thread(daemon.start)
    await client.until_stopped(len(client.log.stopped) + CALLS_SEEN)
    await _ended(client, running)
    assert await asyncio.to_thread(daemon.stop) == 0
