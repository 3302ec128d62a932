"""RADIUS callers that keep their own log of what was acknowledged, and how that log is held against the daemon.

Each makes one call after another and repeats the same bytes until they are answered, across deaths and restarts.
"""

import asyncio
import contextlib
import csv
import json
import random
import time
from dataclasses import dataclass, field
from decimal import Decimal

from tests.e2e import radius_peer as peer
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.scenario import SECRET

CALLERS = 32  # calls in flight
REPEAT_SECONDS = 0.2  # how soon the client sends the same bytes again
OPENING = Decimal(1_000_000)
MINUTE = Decimal("0.60")
WAIT_SECONDS_MAX = 120  # for anything that happens within seconds where the machine is not busy
CHARGING = "[charging]\nring_seconds = 4\nmax_grant_seconds = 60\n"


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
    told: asyncio.Event = field(default_factory=asyncio.Event)  # set where the log has grown
    number: int = 0

    async def run(self) -> None:
        await asyncio.gather(*(self._caller(place) for place in range(CALLERS)))

    async def until_acknowledged(self, packets: int) -> None:
        """Wait until so many packets are acknowledged."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while self.log.acknowledged < packets:
                self.told.clear()
                await self.told.wait()

    async def until_stopped(self, calls: int) -> None:
        """Wait until so many calls are charged and acknowledged."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while len(self.log.stopped) < calls:
                self.told.clear()
                await self.told.wait()

    async def _caller(self, place: int) -> None:
        loop = asyncio.get_running_loop()
        auth = await loop.create_datagram_endpoint(Peer, remote_addr=("127.0.0.1", self.daemon.auth_port))
        acct = await loop.create_datagram_endpoint(Peer, remote_addr=("127.0.0.1", self.daemon.acct_port))
        identifier = 0
        try:
            while not self.stopping:
                self.number += 1
                identifier = (identifier + 4) % 256
                await self._call(auth, acct, identifier, f"kill-{place}-{self.number}")
        finally:
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
        self.told.set()

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
                self.told.set()
                del protocol.waiting[packet[1]]
                return answer


def _let_go(daemon: DaemonProcess) -> dict[str, object]:
    """Return the account once nothing is held: what was granted to nobody lapses after ring_seconds."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        account = daemon.json("account", "show", "rich")
        assert isinstance(account, dict)
        if Decimal(account["reserved"]) == 0 and account["channels"] == {"inbound": 0, "outbound": 0, "total": 0}:
            return account
        assert time.monotonic() < deadline, account
        time.sleep(0.2)


def reconciled(daemon: DaemonProcess, log: Log) -> None:
    """Assert that each acknowledged Stop is charged once, and nothing else; that nothing is held; a clean check."""
    account = _let_go(daemon)
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
    assert Decimal(str(account["balance"])) == OPENING - total
    checked = daemon.command("db", "check", "--json")
    assert checked.returncode == 0, checked.stdout + json.dumps(account)
