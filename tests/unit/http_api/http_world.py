"""The HTTP interface on a real socket over a real SQLite store, with a clock that the test moves.

Tokens are named by what they may do: ``switch``, ``billing`` and ``read`` of the owner, ``ray-switch`` and so on of the
reseller. A token's text is its name.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from daemon.authorize.catalog import AccountKind, Catalog, Emergency, Status
from daemon.charging.configuration import (
    AccountSpec,
    CarrierSpec,
    EndpointSpec,
    PlanFrom,
    RatePlanSpec,
    RateTableSpec,
    TenantSpec,
    TokenSpec,
)
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Outside
from daemon.charging.session import ChargingSettings
from daemon.http_api.metrics import Metrics
from daemon.http_api.server import HttpServer
from daemon.kernel.ids import Key
from daemon.kernel.instant import SECOND, Instant, format_rfc3339
from daemon.kernel.money import NANO, format_nano, parse_nano
from daemon.ledger.account import Standing
from daemon.settings import HttpSection, Listener, StoreSettings
from daemon.store import LedgerStore, open_store
from daemon.store.administration import Spec
from tests.decks import read_deck

START: Instant = 1_790_000_000 * SECOND
UK, FRANCE, GERMANY, PREMIUM, ITALY, SPAIN = "442071231234", "33123456789", "4930123456", "1900555", "39061", "34911"
RETAIL_DECK = """prefix,destination,rate,first_seconds,next_seconds,connect_fee,blocked
44,UK,0.60,1,1,0,
33,France,0.60,60,60,0,
49,Germany,0.60,30,6,0.01,
39,Italy,0.60,1,1,0,
34,Spain,0.60,1,1,0,
1900,Premium,9.00,1,1,0,true
"""
TRUNK_DECK = "prefix,rate\n44,0.30\n33,0.30\n"
BUY_DECK = "prefix,rate\n44,0.10\n33,0.10\n49,0.70\n34,0.10\n"
DECKS = {
    Key("main", "retail"): RETAIL_DECK, Key("main", "trunk"): TRUNK_DECK, Key("main", "buy"): BUY_DECK,
    Key("ray", "retail"): RETAIL_DECK, Key("sam", "retail"): RETAIL_DECK,
}  # fmt: skip


HTTP = HttpSection()


def account(name: str, balance: str = "10.00", tenant: str = "main", **changes: Any) -> AccountSpec:
    """Return a prepaid account on the retail plan."""
    plan = (PlanFrom("retail"),)
    made = AccountSpec(tenant, name, AccountKind.PREPAID, "USD", parse_nano(balance), 0, plan, plan)
    return replace(made, **changes)


def trunk(name: str) -> AccountSpec:
    """Return a reseller's own account with the owner."""
    return account(name, "0", kind=AccountKind.POSTPAID, credit_limit=100 * NANO, rate_plan=(PlanFrom("trunk"),))


ACCOUNTS = [
    account(
        "alice", "1.20",
        identities=(
            EndpointSpec(sip_user="alice", password="wonder"), EndpointSpec(ip="192.0.2.0/24", tech_prefix="77"),
            EndpointSpec(pin="48213377", via="switch"), EndpointSpec(caller="15551230001", via="gw1"),
            EndpointSpec(did="442079460000"),
        ),
    ),
    account("bob", "0", kind=AccountKind.POSTPAID, credit_limit=None, identities=(EndpointSpec(sip_user="twin"),)),
    account("carol", "5.00", identities=(EndpointSpec(sip_user="twin"), EndpointSpec(sip_user="bare"))),
    account("poor", "0.005"), account("suspended", status=Status.SUSPENDED), account("closed", status=Status.CLOSED),
    account("single", channels_total=1), account("slow", calls_per_second=1),
    account("careful", max_call_charge=parse_nano("0.10")), account("frugal", daily_spend=parse_nano("0.10")),
    account("strict", margin_floor_percent=99 * NANO), account("rich", "1000000.00"),
    trunk("ray-trunk"), trunk("sam-trunk"), account("rita", "5.00", "ray"), account("sid", "5.00", "sam"),
]  # fmt: skip
OBJECTS: list[Spec] = [
    TenantSpec("main", "USD"),
    TenantSpec("ray", "USD", parent="main", account="ray-trunk"),
    TenantSpec("sam", "USD", parent="main", account="sam-trunk"),
    *(RateTableSpec(key.tenant, key.id, "USD") for key in DECKS),
    *(RatePlanSpec(key.tenant, key.id, (key.id,)) for key in DECKS if key.id != "buy"),
    CarrierSpec("main", "cheap", "buy", "sofia/gateway/cheap/{number}"),
    *ACCOUNTS,
]


def token(name: str, tenant: str, role: str, **changes: Any) -> TokenSpec:
    """Return a token whose text is its name."""
    made = TokenSpec(name, tenant, role, hashlib.sha256(name.encode()).hexdigest())
    return replace(made, **changes)


TOKENS = [
    *(token(role, "main", role) for role in ("switch", "billing", "read")),
    *(token(f"ray-{role}", "ray", role) for role in ("switch", "billing", "read")),
    *(token(f"sam-{role}", "sam", role) for role in ("switch", "billing", "read")),
    token("trusting", "main", "switch", trust_user_name=True),
    token("unrouted", "main", "switch", routing=False),
    token("elsewhere", "main", "switch", id_domain="fs1"),
    token("ray-elsewhere", "ray", "switch", id_domain="fs1"),
    token("revoked", "main", "switch", revoked=True),
    token("gw1", "main", "switch"),
]


@dataclass
class Surroundings:
    """The clock, the ids, the configuration and the journal of one world."""

    now: Instant = START
    held: Instant = 0  # microseconds by which the machine's clock stands behind
    ids: int = 0
    found: Catalog | None = None
    journal: list[dict[str, str]] = field(default_factory=list)

    def new_id(self) -> str:
        self.ids += 1
        return f"G{self.ids}"

    def catalog(self) -> Catalog:
        assert self.found is not None
        return self.found

    async def append(self, record: dict[str, str]) -> None:
        self.journal.append(record)


@dataclass
class HttpWorld:
    """One server, one client, one store."""

    around: Surroundings
    store: LedgerStore
    ocf: OnlineCharging
    server: HttpServer
    client: httpx.AsyncClient

    async def send(self, method: str, path: str, token: str = "", **options: Any) -> httpx.Response:
        """Send one request with a token's text."""
        headers = dict(options.pop("headers", {}))
        if token:
            headers["Authorization"] = f"Bearer {token}"
        headers = {name: text if isinstance(text, bytes) else text.encode() for name, text in headers.items()}
        return await self.client.request(method, path, headers=headers, **options)

    async def post(self, path: str, body: object, token: str = "switch", **options: Any) -> httpx.Response:
        return await self.send("POST", path, token, content=json.dumps(body), **options)

    async def ask(self, call: str = "c1", token: str = "switch", **fields: Any) -> httpx.Response:
        """Ask for a call of alice to the United Kingdom unless ``fields`` say otherwise."""
        return await self.post("/v1/authorize", question(call, **fields), token)

    async def report(self, kind: str, call: str = "c1", token: str = "switch", **fields: Any) -> httpx.Response:
        """Report at the present instant unless ``fields`` say otherwise."""
        return await self.post(f"/v1/calls/{call}/{kind}", {"at": self.at(), **fields}, token)

    async def top_up(self, account: str, amount: Any, key: str = "", token: str = "billing") -> httpx.Response:
        headers = {"Idempotency-Key": key.encode()} if key else {}
        return await self.post(f"/v1/accounts/{account}/topups", {"amount": amount}, token, headers=headers)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.around.now += round(seconds * SECOND)

    def at(self, seconds: float = 0) -> str:
        """Return the instant that is so many seconds from now."""
        return format_rfc3339(self.around.now + round(seconds * SECOND))

    async def standing(self, account: str = "alice", tenant: str = "main") -> Standing:
        """Return what the store says of an account."""
        view = await self.store.account_view(Key(tenant, account))
        assert view is not None
        return view.standing

    async def balance(self, account: str = "alice", tenant: str = "main") -> str:
        """Return the balance that the store says an account has."""
        return format_nano((await self.standing(account, tenant)).balance)

    async def exceptions(self) -> list[str]:
        """Return the kinds on the exception list, oldest first."""
        return [str(item["kind"]) for item in reversed(await self.store.exceptions())]


def question(call: str, **fields: Any) -> dict[str, Any]:
    """Return the body of a question; a field of None is left out."""
    body = {
        "call_id": call, "account": "alice", "from": "15551230001", "to": UK, "direction": "outbound", **fields,
    }  # fmt: skip
    return {name: value for name, value in body.items() if value is not None}


def good(response: httpx.Response) -> dict[str, Any]:
    """Return the body of a response that must be 200."""
    assert response.status_code == 200, (response.status_code, response.text)
    body: dict[str, Any] = response.json()
    return body


def refused(response: httpx.Response) -> tuple[int, str]:
    """Return the status and the word of a refused request."""
    return response.status_code, response.json()["error"]


async def filled_store(
    path: Path, around: Surroundings, settings: StoreSettings, objects: Sequence[Spec] = OBJECTS,
    decks: Mapping[Key, str] = MappingProxyType(DECKS),
) -> LedgerStore:  # fmt: skip
    """Return a store in a new file that holds the world's tenants, accounts and decks."""
    store = await open_store(settings, lambda: around.now, create=True)
    read = {}
    for key, text in decks.items():
        rows, errors = read_deck(text, f"{key.id}.csv")
        assert not errors, errors
        read[key] = rows
    await store.apply(objects, read, who="test")
    return store


@asynccontextmanager
async def http_world(
    folder: Path, http: HttpSection = HTTP, objects: Sequence[Spec] = OBJECTS,
    decks: Mapping[Key, str] = MappingProxyType(DECKS), known: Sequence[TokenSpec] = TOKENS, **settings: Any,
) -> AsyncIterator[HttpWorld]:  # fmt: skip
    """Serve a filled store over HTTP on a free port of loopback; ``settings`` are those of charging."""
    around = Surroundings()
    store = await filled_store(folder, around, StoreSettings(f"sqlite:///{folder / 'tollway.db'}"), objects, decks)
    around.found = await store.load_catalog(Emergency(frozenset({"112"}), "sofia/gateway/psap/{number}"))
    outside = Outside(now=lambda: around.now, new_id=around.new_id, held_back=lambda: around.held)
    ocf = OnlineCharging(store, around, around, outside, ChargingSettings(**settings))
    tokens = {spec.sha256: spec for spec in known}
    links = {"fs1": True, "fs2": False}
    server = HttpServer(ocf, store, lambda: tokens, Metrics(store), outside, lambda: links, http)
    await server.start(Listener("127.0.0.1", 0))
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=20, limits=limits, trust_env=False)
    try:
        async with client:
            yield HttpWorld(around, store, ocf, server, client)
    finally:
        await server.stop()
        await store.close()
