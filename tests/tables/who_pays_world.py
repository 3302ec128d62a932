"""One daemon's four roads over one store, for the tables of who pays: RADIUS, HTTP, event socket, FastAGI, all real.

Clients of RADIUS differ by their address of loopback. A caller has everything that a caller can write, an operator
nothing but what stands in ``CLIENTS``, ``TOKENS``, ``SWITCHES`` and ``ASTERISK``.
"""

import asyncio
import hashlib
import itertools
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from daemon.asterisk.adapter import AsteriskAdapter
from daemon.authorize.catalog import AccountKind, Catalog, Emergency
from daemon.charging.configuration import (
    AccountSpec,
    AsteriskSpec,
    EndpointSpec,
    FreeswitchSpec,
    NasSpec,
    PlanFrom,
    RatePlanSpec,
    RateTableSpec,
    TenantSpec,
    TokenSpec,
)
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Outside
from daemon.charging.session import ChargingSettings
from daemon.esl.adapter import EslAdapter
from daemon.http_api.metrics import Metrics
from daemon.http_api.server import HttpServer
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import DAY
from daemon.radius.client import build
from daemon.radius.packet import decode
from daemon.radius.server import RadiusServers
from daemon.settings import HttpSection, Listener, StoreSettings
from daemon.store import LedgerStore, open_store
from tests.asterisk_double.double import AsteriskDouble, Channel
from tests.decks import read_deck
from tests.integration.esl_world import until
from tests.switch_double.double import Plan, SwitchDouble
from tests.virtual_time import wall_us

SECRET = "loopback-secret"
LOOPBACK = Listener("127.0.0.1", 0)
DECK = "prefix,destination,rate\n44,UK,0.60\n33,France,0.60\n1,North America,0.60\n0,As dialled,0.60\n"
CLIENTS = [
    NasSpec("plain", "main", "127.0.0.1", SECRET, routing=False),
    NasSpec("trusting", "main", "127.0.0.2", SECRET, trust_user_name=True, routing=False),
    NasSpec("national", "main", "127.0.0.3", SECRET, trust_user_name=True, routing=False, numbers="national",
            country="GB"),
    NasSpec("asterisk", "main", "127.0.0.4", SECRET, "asterisk", routing=False),
    NasSpec("sippy", "main", "127.0.0.5", SECRET, "sippy", routing=False),
    NasSpec("kamailio", "main", "127.0.0.6", SECRET, "kamailio", routing=False),
    NasSpec("freeswitch", "main", "127.0.0.7", SECRET, "freeswitch", routing=False),
    NasSpec("inbound", "main", "127.0.0.8", SECRET, routing=False, direction=Direction.INBOUND, numbers="national",
            country="GB"),
    NasSpec("naming", "main", "127.0.0.9", SECRET, "cisco", trust_user_name=True, routing=False,
            inbound_from=("telephony",)),
    NasSpec("carriers", "main", "127.0.0.10", SECRET, "sippy", trust_user_name=True, routing=False,
            inbound_from=("198.51.100.0/24",)),
    NasSpec("rays", "ray", "127.0.0.11", SECRET, routing=False, direction=Direction.INBOUND),
]  # fmt: skip
TOKENS = [
    TokenSpec("switch", "main", "switch", hashlib.sha256(b"switch").hexdigest()),
    TokenSpec("trusting", "main", "switch", hashlib.sha256(b"trusting").hexdigest(), trust_user_name=True),
    TokenSpec("ray", "ray", "switch", hashlib.sha256(b"ray").hexdigest()),
]
SWITCHES = [
    FreeswitchSpec("fs1", "main", routing=False),
    FreeswitchSpec("fs2", "main", routing=False, numbers="national", country="GB"),
]
ASTERISK = AsteriskSpec("ast1", "main", "127.0.0.9", routing=False)


def _account(name: str, *identities: EndpointSpec, tenant: str = "main", **more: object) -> AccountSpec:
    plan = (PlanFrom("retail"),)
    made = AccountSpec(
        tenant, name, AccountKind.POSTPAID, "USD", credit_limit=None, rate_plan=plan, inbound_rate_plan=plan
    )
    return replace(made, identities=identities, **more)  # type: ignore[arg-type]


def accounts(now: int) -> list[AccountSpec]:
    """Return the accounts of every kind of endpoint; the rest of 4420794610xx goes to bob tomorrow."""
    return [
        _account("alice", EndpointSpec(sip_user="alice", password="wonder"), EndpointSpec(pin="48213377", via="plain"),
                 EndpointSpec(pin="48213377", via="switch"), country="GB"),
        _account("bob", EndpointSpec(sip_user="bob"), EndpointSpec(caller="442079460001", via="national"),
                 EndpointSpec(caller="442079460001", via="fs2"), EndpointSpec(caller="15551230001", via="plain"),
                 EndpointSpec(caller="15551230099", via="ast1"),
                 EndpointSpec(did="442079461000", did_last="442079461099", begins=now + DAY)),
        _account("trunk", EndpointSpec(ip="198.51.100.7", tech_prefix="77", numbers="e164"),
                 EndpointSpec(ip="198.51.100.7"), EndpointSpec(ip="127.0.0.6")),
        _account("desk", EndpointSpec(did="442079460000"),
                 EndpointSpec(did="442079461000", did_last="442079461999", ends=now + DAY),
                 EndpointSpec(did="442079462000", did_last="442079462999")),
        _account("rita", EndpointSpec(sip_user="rita", password="r"), tenant="ray"),
        _account("ray-trunk"),
    ]  # fmt: skip


@dataclass
class Roads:
    """The daemon; ``now`` is the machine's clock but for what ``ahead`` adds."""

    folder: Path
    ahead: int = 0
    told: list[str] = field(default_factory=list)  # the codes of decisions, in order
    lines: list[dict[str, str]] = field(default_factory=list)
    switches: list[SwitchDouble] = field(default_factory=list)
    found: Catalog | None = None

    def now(self) -> int:
        return wall_us() + self.ahead

    def catalog(self) -> Catalog:
        assert self.found is not None
        return self.found

    async def append(self, record: dict[str, str]) -> None:
        self.lines.append(record)

    def count(self, name: str, **labels: str) -> None:
        if name == "tollway_decisions_total":
            self.told.append(labels["code"])

    async def open(self) -> None:
        """Fill a store, and serve every road."""
        ids, run = itertools.count(1), secrets.token_hex(10).upper()
        outside = Outside(now=self.now, new_id=lambda: f"{next(ids):06d}{run}")
        self.store: LedgerStore = await open_store(
            StoreSettings(f"sqlite:///{self.folder / 'tollway.db'}"), self.now, create=True
        )
        rows, errors = read_deck(DECK, "retail.csv")
        assert not errors
        tenants = (TenantSpec("main", "USD"), TenantSpec("ray", "USD", parent="main", account="ray-trunk"))
        tables = [RateTableSpec(each.id, "retail", "USD") for each in tenants]
        plans = [RatePlanSpec(each.id, "retail", ("retail",)) for each in tenants]
        decks = {Key(each.id, "retail"): rows for each in tenants}
        await self.store.apply([*tenants, *tables, *plans, *accounts(self.now())], decks, who="test")
        self.found = await self.store.load_catalog(Emergency(countries={"GB": frozenset({"112", "999"})}))
        ocf = OnlineCharging(self.store, self, self, outside, ChargingSettings())
        self.radius = RadiusServers(ocf, self.store, lambda: CLIENTS, outside, self)
        await self.radius.start(LOOPBACK, LOOPBACK)
        tokens = {spec.sha256: spec for spec in TOKENS}
        self.http = HttpServer(ocf, self.store, lambda: tokens, Metrics(self.store), outside, dict, HttpSection())
        await self.http.start(LOOPBACK)
        for _ in SWITCHES:
            self.switches.append(await SwitchDouble().__aenter__())
        specs = [replace(spec, port=switch.port) for spec, switch in zip(SWITCHES, self.switches, strict=True)]
        self.esl = EslAdapter(ocf, self.store, lambda: specs, outside, self)
        self.asterisk = AsteriskAdapter(ocf, self.store, self.store.claimed, lambda: [ASTERISK], outside, self)
        await self.asterisk.start(LOOPBACK)
        self._running = asyncio.gather(self.esl.run(), self.asterisk.run())
        await until(lambda: all(self.esl.links_up().get(spec.id, False) for spec in SWITCHES))

    async def close(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        for switch in self.switches:
            await switch.__aexit__(None, None, None)
        await self.asterisk.stop()
        await self.http.stop()
        await self.radius.stop()
        await self.store.close()

    async def paid(self, call_id: str) -> tuple[str, str]:
        """Return who pays for the newest call of an id, and the number that is rated; nothing where there is none."""
        calls = await self.store.find_calls(call_id)
        return (str(calls[-1].payer), calls[-1].called) if calls else ("", "")

    async def over_radius(self, client: str, pairs: Sequence[tuple[str, str]], call_id: str) -> str:
        """Ask as a client; return the code of the decision."""
        known = next(spec for spec in CLIENTS if spec.id == client)
        loop, answered = asyncio.get_running_loop(), asyncio.Queue[bytes]()

        class Collector(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                answered.put_nowait(data)

        transport, _ = await loop.create_datagram_endpoint(Collector, local_addr=(known.address, 0))
        try:
            data = build(1, [*pairs, ("Acct-Session-Id", call_id)], SECRET.encode(), 1, known.profile)
            transport.sendto(data, self.radius.address("auth"))
            reply = decode(await asyncio.wait_for(answered.get(), 10))
        finally:
            transport.close()
        code = self.told[-1]
        assert (reply.code == 2) == (code == "granted"), (reply, code)
        return code

    async def over_http(self, token: str, path: str, body: bytes) -> str:
        """Ask with a token; return the code of the decision, or the error word."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.http.port}", trust_env=False) as client:
            answer = (
                await client.post(path, content=body, headers={"Authorization": f"Bearer {token}"}, timeout=20)
            ).json()
        return str(answer.get("reason") or answer.get("error") or answer["result"])

    async def over_esl(self, switch: str, plan: Plan) -> tuple[str, str]:
        """Park a call; return the code of the decision, and the channel."""
        place = next(place for place, spec in enumerate(SWITCHES) if spec.id == switch)
        before = len(self.told)
        call = self.switches[place].play(plan)
        await until(lambda: len(self.told) > before)
        code = self.told[-1]
        await until(lambda: call.moved.is_set() or call.over.is_set())
        return code, call.a

    async def over_fastagi(self, script: str, lines: Sequence[str], variables: dict[str, str], call_id: str) -> str:
        """Ask with these lines of the opening block; return the code, ``unheard`` where none is told."""
        switch, call = AsteriskDouble(), Channel(call_id, "", variables=variables)
        head = ["agi_network: yes", f"agi_network_script: {script}", f"agi_uniqueid: {call_id}"]
        block = "".join(f"{line}\n" for line in [*head, *lines, ""])
        await switch.dialogue(call, self.asterisk.server.port, block.encode(), ASTERISK.host)
        told = call.variables.get("TOLLWAY_RESULT", "")
        return {"GRANTED": "granted", "": "unheard"}.get(told) or call.variables["TOLLWAY_REASON"]


@asynccontextmanager
async def roads(folder: Path) -> AsyncIterator[Roads]:
    """Serve every road, and close them."""
    made = Roads(folder)
    await made.open()
    try:
        yield made
    finally:
        await made.close()
