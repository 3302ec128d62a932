"""kill -9 of the real daemon under load, again and again: what was acknowledged is there once, nothing stays held.

The client keeps its own log of what was acknowledged, repeats the same bytes until it is, across deaths and restarts,
and at the end its log is held against the export and the account. Some kills come at a random instant; the others are
put by the kernel on the store's own sync, inside an open batch, and are counted.
"""

import asyncio
import contextlib
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e import radius_peer as peer
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.scenario import SCENARIO, SECRET

KILLS = int(os.environ.get("TOLLWAY_KILLS", "20"))
SEED = int(os.environ.get("TOLLWAY_SEED", str(random.SystemRandom().randrange(1 << 32))))
CALLERS = 32  # calls in flight
REPEAT_SECONDS = 0.2  # how soon the client sends the same bytes again
RATE_MIN = 100  # requests a second, over the time that a daemon was up
OPENING = Decimal(1_000_000)
MINUTE = Decimal("0.60")
CHARGING = "[charging]\nring_seconds = 4\nmax_grant_seconds = 60\n"
INJECT = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]


@dataclass
class Log:
    """What the client saw with its own eyes."""

    stopped: dict[str, int] = field(default_factory=dict)  # session: seconds, acknowledged
    granted: int = 0
    refused: int = 0
    acknowledged: int = 0
    sent: int = 0


class Peer(asyncio.DatagramProtocol):
    """One socket; a reply wakes the packet with its identifier."""

    def __init__(self) -> None:
        self.waiting: dict[int, tuple[bytes, asyncio.Future[peer.Reply]]] = {}

    def datagram_received(self, data: bytes, addr: object) -> None:
        packet, future = self.waiting.get(data[1], (b"", None))
        if future is not None and not future.done():
            future.set_result(peer.reply(SECRET, packet, data))

    def error_received(self, exc: Exception) -> None:
        """A port nobody listens on answers so while the daemon is dead: the repeat follows."""


@dataclass
class Client:
    """Makes calls until told to stop, and finishes those that it began."""

    daemon: DaemonProcess
    dice: random.Random
    log: Log = field(default_factory=Log)
    stopping: bool = False
    number: int = 0

    async def run(self) -> None:
        await asyncio.gather(*(self._caller(place) for place in range(CALLERS)))

    async def _caller(self, place: int) -> None:
        loop = asyncio.get_running_loop()
        auth = await loop.create_datagram_endpoint(Peer, remote_addr=("127.0.0.1", self.daemon.auth_port))
        acct = await loop.create_datagram_endpoint(Peer, remote_addr=("127.0.0.1", self.daemon.acct_port))
        identifier = 0
        while not self.stopping:
            self.number += 1
            identifier = (identifier + 4) % 256
            await self._call(auth, acct, identifier, f"kill-{place}-{self.number}")
        auth[0].close()
        acct[0].close()

    async def _call(
        self, auth: tuple[asyncio.DatagramTransport, Peer], acct: tuple[asyncio.DatagramTransport, Peer],
        identifier: int, session: str,
    ) -> None:  # fmt: skip
        asked = peer.access_request(SECRET, identifier, "rich", "rich-password", "442071231234", session)
        answer = await self._sent(auth, asked)
        if answer.code != peer.ACCESS_ACCEPT:
            self.log.refused += 1  # the store was just coming up: a refusal is an answer too
            return
        self.log.granted += 1
        start = peer.accounting_request(SECRET, identifier + 1, peer.START, session, "rich", "442071231234")
        await self._sent(acct, start)
        seconds = self.dice.randrange(1, 50)
        stop = peer.accounting_request(SECRET, identifier + 2, peer.STOP, session, "rich", "442071231234", seconds)
        await self._sent(acct, stop)
        self.log.stopped[session] = seconds

    async def _sent(self, link: tuple[asyncio.DatagramTransport, Peer], packet: bytes) -> peer.Reply:
        """Send the same bytes until they are answered."""
        transport, protocol = link
        future: asyncio.Future[peer.Reply] = asyncio.get_running_loop().create_future()
        protocol.waiting[packet[1]] = (packet, future)
        while True:
            self.log.sent += 1
            transport.sendto(packet)
            with contextlib.suppress(TimeoutError):
                answer = await asyncio.wait_for(asyncio.shield(future), REPEAT_SECONDS)
                self.log.acknowledged += 1
                del protocol.waiting[packet[1]]
                return answer


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


def reconciled(daemon: DaemonProcess, log: Log) -> None:
    account = daemon.json("account", "show", "rich")
    assert isinstance(account, dict)
    assert Decimal(account["reserved"]) == 0, account
    assert account["channels"] == {"inbound": 0, "outbound": 0, "total": 0}, account
    done = daemon.command("export", "run")
    assert done.returncode == 0, done.stderr
    lines: list[dict[str, str]] = []
    for path in daemon.folder.glob("**/usage.csv"):
        with path.open(newline="") as stream:
            lines += csv.DictReader(stream)
    charged: dict[str, list[Decimal]] = {}
    for line in lines:
        charged.setdefault(line["call_id"], []).append(Decimal(line["charge"]))
    for session, seconds in log.stopped.items():
        assert charged.get(session) == [MINUTE * seconds / 60], (session, seconds, charged.get(session))
    assert len(charged) == len(log.stopped), set(charged) - set(log.stopped)
    total = sum((sum(amounts) for amounts in charged.values()), Decimal(0))
    assert Decimal(account["balance"]) == OPENING - total
    checked = daemon.command("db", "check", "--json")
    assert checked.returncode == 0, checked.stdout + json.dumps(account)
