"""RADIUS servers on loopback over a real SQLite store, on a clock that the test moves; restarts keep only the file."""

import asyncio
import hashlib
import itertools
import secrets
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from daemon.authorize.catalog import AccountKind, Catalog, Emergency
from daemon.charging.call import Call
from daemon.charging.cdr import RatedCdr
from daemon.charging.configuration import (
    AccountSpec,
    EndpointSpec,
    NasSpec,
    PlanFrom,
    RatePlanSpec,
    RateTableSpec,
    TenantSpec,
)
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Outside
from daemon.charging.session import ChargingSettings
from daemon.kernel.ids import Key
from daemon.kernel.instant import SECOND, Instant
from daemon.kernel.money import NANO
from daemon.radius.client import build
from daemon.radius.packet import Packet, decode
from daemon.radius.server import RadiusServers
from daemon.settings import Listener, StoreSettings
from daemon.store import LedgerStore, open_store
from tests.decks import read_deck

START: Instant = 1_795_000_000 * SECOND  # 2026-11-18
SECRET = "loopback-secret"
ACME = Key("main", "acme")
DECK = "prefix,destination,rate,first_seconds,next_seconds\n44,UK,0.60,1,1\n33,France,0.60,60,60\n888,Test,0.60,1,1\n"
LOOPBACK = Listener("127.0.0.1", 0)
PROFILES = ("generic", "cisco", "kamailio", "opensips", "freeswitch", "asterisk", "sippy", "audiocodes")


def nas(profile: str = "generic", **changes: object) -> NasSpec:
    """Return a client on loopback that may name its users."""
    made = NasSpec("gw1", "main", "127.0.0.1", SECRET, profile, trust_user_name=True, routing=False)
    return replace(made, **changes)  # type: ignore[arg-type]


class Tally:
    """Implements charging.ports.Counters."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()

    def count(self, name: str, **labels: str) -> None:
        self.counts[(name, *labels.values())] += 1

    def discarded(self, reason: str) -> int:
        """Return how often something was discarded for a reason, on either listener."""
        return sum(n for key, n in self.counts.items() if key[0] == "tollway_discarded_total" and key[-1] == reason)


class Outbox:
    """Implements charging.ports.Journal in memory."""

    def __init__(self) -> None:
        self.lines: list[dict[str, str]] = []

    async def append(self, record: dict[str, str]) -> None:
        self.lines.append(record)


@dataclass
class World:
    """A daemon's RADIUS side: store, charging, servers."""

    folder: Path
    clients: list[NasSpec]
    settings: ChargingSettings = field(default_factory=ChargingSettings)
    now: Instant = START
    tally: Tally = field(default_factory=Tally)
    journal: Outbox = field(default_factory=Outbox)

    def __post_init__(self) -> None:
        self._ids = itertools.count(1)
        self._catalog: Catalog | None = None

    def catalog(self) -> Catalog:
        assert self._catalog is not None
        return self._catalog

    def _grant_id(self) -> str:
        return f"{next(self._ids):04d}{secrets.token_hex(11).upper()}"

    async def open(self, balance: int = 25) -> None:
        """Open the store, load the configuration, and listen."""
        url = f"sqlite:///{self.folder / 'tollway.db'}"
        self.store: LedgerStore = await open_store(StoreSettings(url), lambda: self.now, create=True)
        await self._configure(balance)
        await self.reload()
        outside = Outside(now=lambda: self.now, new_id=self._grant_id)
        self.ocf = OnlineCharging(self.store, self, self.journal, outside, self.settings)
        self.servers = RadiusServers(self.ocf, self.store, lambda: self.clients, outside, self.tally)
        await self.servers.start(LOOPBACK, LOOPBACK)

    async def reload(self) -> None:
        """Take what is configured in the store now."""
        self._catalog = await self.store.load_catalog(Emergency())

    async def _configure(self, balance: int) -> None:
        rows, errors = read_deck(DECK, "retail.csv")
        assert not errors
        account = AccountSpec(
            "main", "acme", AccountKind.PREPAID, "USD", balance=balance * NANO, rate_plan=(PlanFrom("retail"),),
            identities=(
                EndpointSpec(sip_user="alice", password="hello"), EndpointSpec(sip_user="1001"),
                EndpointSpec(sip_user="18005551212"), EndpointSpec(sip_user="100"),
                EndpointSpec(sip_user="bob@biloxi.com", password="zanzibar"),
                EndpointSpec(ip="198.51.100.7"),
            ),
        )  # fmt: skip
        objects: list[TenantSpec | RateTableSpec | RatePlanSpec | AccountSpec] = [
            TenantSpec("main", "USD"), RateTableSpec("main", "retail", "USD"),
            RatePlanSpec("main", "retail", ("retail",)), account,
        ]  # fmt: skip
        await self.store.apply(objects, {Key("main", "retail"): rows}, who="test")

    async def close(self) -> None:
        await self.servers.stop()
        await self.store.close()

    async def restart(self) -> None:
        """Stop and start anew: nothing but the file is left."""
        await self.close()
        await self.open()

    def wait(self, seconds: float) -> None:
        """Let time pass on the daemon's clock."""
        self.now += round(seconds * SECOND)

    def port(self, name: str) -> int:
        return self.servers.address(name)[1]

    async def balance(self) -> tuple[int, int, int]:
        """Return balance, reserved money (nano-units) and channels in use of the account."""
        number = self.catalog().accounts[ACME].number
        rows = await self.store.rows(
            "SELECT balance, reserved, channels_in + channels_out FROM account WHERE number = ?", (number,)
        )
        balance, reserved, channels = rows[0]
        return int(balance), int(reserved), int(channels)

    async def records(self) -> list[RatedCdr]:
        return [record async for _, record in self.store.records("main", 0, 1 << 60)]

    async def charged(self) -> int:
        """Return the sum of all charges, in nano-units."""
        return sum(record.charge for record in await self.records())

    async def exceptions(self) -> list[str]:
        return sorted(str(item["kind"]) for item in await self.store.exceptions())

    async def only_call(self) -> Call:
        rows = await self.store.rows("SELECT call_id FROM call")
        assert len(rows) == 1, rows
        (call,) = await self.store.find_calls(str(rows[0][0]))
        return call


@asynccontextmanager
async def world(
    folder: Path,
    profile: str = "generic",
    balance: int = 25,
    settings: ChargingSettings | None = None,
    **changes: object,
) -> AsyncIterator[World]:
    """Give a world with one client on loopback, and close it."""
    made = World(folder, [nas(profile, **changes)], settings or ChargingSettings())
    await made.open(balance)
    try:
        yield made
    finally:
        await made.close()


class Socket:
    """A switch's UDP socket: sends octets, collects whatever comes back."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue(maxsize=10_000)

    async def open(self) -> "Socket":
        loop = asyncio.get_running_loop()
        received = self.received

        class Collector(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                received.put_nowait(data)

        self.transport, _ = await loop.create_datagram_endpoint(Collector, local_addr=("127.0.0.1", 0))
        return self

    def send(self, data: bytes, port: int) -> None:
        self.transport.sendto(data, ("127.0.0.1", port))

    async def ask(self, data: bytes, port: int, seconds: float = 5.0) -> bytes:
        """Send and return the next datagram."""
        self.send(data, port)
        return await asyncio.wait_for(self.received.get(), seconds)

    async def burst(self, data: bytes, port: int, copies: int = 5, quiet_seconds: float = 0.3) -> bytes:
        """Send the same octets several times at once, and return the one reply that all answers are."""
        for _ in range(copies):
            self.send(data, port)
        answers = {await asyncio.wait_for(self.received.get(), 5)}
        while True:
            try:
                answers.add(await asyncio.wait_for(self.received.get(), quiet_seconds))
            except TimeoutError:
                (answer,) = answers
                return answer

    async def silent(self, data: bytes, port: int, seconds: float = 0.15) -> bool:
        """Send, and tell whether nothing came back for a while."""
        self.send(data, port)
        try:
            await asyncio.wait_for(self.received.get(), seconds)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        self.transport.close()


@asynccontextmanager
async def socket() -> AsyncIterator[Socket]:
    """Give a socket of its own ephemeral port."""
    opened = await Socket().open()
    try:
        yield opened
    finally:
        opened.close()


Pairs = Sequence[tuple[str, str]]


def access(pairs: Pairs, identifier: int = 1, profile: str = "generic") -> bytes:
    """Return an Access-Request."""
    return build(1, pairs, SECRET.encode(), identifier, profile)


def accounting(pairs: Pairs, identifier: int = 1, profile: str = "generic") -> bytes:
    """Return an Accounting-Request."""
    return build(4, pairs, SECRET.encode(), identifier, profile)


def resigned(data: bytes) -> bytes:
    """Return an accounting packet of a vector as this world's client would have signed it."""
    packet = decode(data)
    body = packet.data[:4] + bytes(16) + packet.data[20:]
    return packet.data[:4] + hashlib.md5(body + SECRET.encode()).digest() + packet.data[20:]


def read(data: bytes) -> Packet:
    """Return a reply."""
    return decode(data)


async def radclient(port: int, kind: str, pairs: str, *options: str) -> tuple[int, str]:
    """Run Debian's radclient with ``Name = value`` lines, and return its exit status and what it printed."""
    program = shutil.which("radclient")
    assert program is not None, "scripts/test-deps installs freeradius-utils"
    command = [program, "-x", "-t", "3", "-r", "2", *options, f"127.0.0.1:{port}", kind, SECRET]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    printed, _ = await asyncio.wait_for(process.communicate(pairs.encode()), 30)
    assert process.returncode is not None
    return process.returncode, printed.decode()
