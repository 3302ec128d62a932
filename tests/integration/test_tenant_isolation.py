"""Tenants that name everything alike see nothing of each other: not in a request, a file, a figure or a log line.

Two resellers of one owner and a reseller below one of them have the same account ids, SIP users, PINs, numbers, plans,
tables, carriers and bundles; every price, balance, name of a destination and caller is one tenant's alone. Calls of
all run at once. Then everything that each can reach with each role is collected and searched for what is another's.
"""

import csv
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemon.authorize.catalog import AccountKind
from daemon.billing_export.export import run_exports
from daemon.billing_export.source import StoreSource
from daemon.charging.configuration import (
    BundleSpec,
    CarrierSpec,
    EndpointSpec,
    PlanFrom,
    RatePlanSpec,
    RateTableSpec,
    TenantSpec,
    TokenSpec,
)
from daemon.charging.event import CallReport, Decided
from daemon.kernel.ids import Key
from daemon.kernel.instant import SECOND
from daemon.kernel.money import parse_nano
from daemon.store.administration import Spec
from tests.unit.charging.desk import Desk
from tests.unit.http_api.http_world import HttpWorld, account, good, http_world, token

pytestmark = pytest.mark.virtual_time

ROLES = ("switch", "billing", "read")
LONDON, PARIS = "442071231234", "33123456789"


@dataclass(frozen=True)
class Party:
    """A tenant: its parent, what it sells at, what it sells to a child at, and what is its alone."""

    name: str
    parent: str
    rate: str
    trunk_rate: str
    balance: str
    caller: str
    above: tuple[str, ...]

    @property
    def destination(self) -> str:
        return f"{self.name.title()}land"

    @property
    def password(self) -> str:
        return f"secret-{self.name}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What only this tenant may see."""
        return (self.rate, self.balance, self.destination, self.password)


PARTIES = {
    party.name: party
    for party in (
        Party("owna", "", "0.9191", "0.4141", "9111.77", "15550001111", ()),
        Party("rayo", "owna", "0.6161", "0.6363", "6222.33", "15550002222", ("owna",)),
        Party("samo", "owna", "0.5151", "", "5333.44", "15550003333", ("owna",)),
        Party("timo", "rayo", "0.8181", "", "4444.55", "15550004444", ("rayo", "owna")),
    )
}
CARRIER_RATE, CARRIER, SWITCH, SAM_TRUNK_RATE = "0.0373", "ownascarrier", "ownasswitch", "0.4343"
TRUNK_LIMITS = {"rayo": "8181.81", "samo": "8282.82", "timo": "8383.83"}  # of each, with its parent, who sees it


def _decks() -> Iterator[tuple[Key, str]]:
    for party in PARTIES.values():
        yield Key(party.name, "voice"), f"prefix,destination,rate\n44,{party.destination},{party.rate}\n"
        yield Key(party.name, "buy"), f"prefix,destination,rate\n44,{party.name}-supply,{CARRIER_RATE}\n"
    yield Key("owna", "to-rayo"), "prefix,rate\n44,0.4141\n"
    yield Key("owna", "to-samo"), f"prefix,rate\n44,{SAM_TRUNK_RATE}\n"
    yield Key("rayo", "to-timo"), "prefix,rate\n44,0.6363\n"


DECKS = dict(_decks())


def _objects() -> Iterator[Spec]:
    for party in PARTIES.values():
        trunk = f"{party.name}-trunk" if party.parent else ""
        yield TenantSpec(party.name, "USD", parent=party.parent, account=trunk)
    for key in DECKS:
        yield RateTableSpec(key.tenant, key.id, "USD")
        yield RatePlanSpec(key.tenant, key.id, (key.id,))
    for party in PARTIES.values():
        yield from _of(party)


def _of(party: Party) -> Iterator[Spec]:
    name = CARRIER if not party.parent else "carrier"
    yield CarrierSpec(party.name, name, "buy", "sofia/gateway/out/{number}")
    identities = (
        EndpointSpec(sip_user="acme", password=party.password), EndpointSpec(ip="192.0.2.0/24"),
        EndpointSpec(pin="48213377", via=f"{party.name}-switch"), EndpointSpec(did="442079460000"),
        EndpointSpec(caller=party.caller, via=f"{party.name}-switch"),
    )  # fmt: skip
    plan = (PlanFrom("voice"),)
    yield account("acme", party.balance, party.name, rate_plan=plan, inbound_rate_plan=plan, identities=identities)
    yield account("quiet", party.balance, party.name, rate_plan=(), inbound_rate_plan=())
    yield BundleSpec(party.name, "minutes", "acme", 1, prefixes=("44",))
    if party.parent:
        yield replace(
            account(f"{party.name}-trunk", "0", party.parent), kind=AccountKind.POSTPAID,
            credit_limit=parse_nano(TRUNK_LIMITS[party.name]), rate_plan=(PlanFrom(f"to-{party.name}"),),
            inbound_rate_plan=(),
        )  # fmt: skip


TOKENS: list[TokenSpec] = [token(f"{name}-{role}", name, role) for name in PARTIES for role in ROLES]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HttpWorld]:
    async with http_world(tmp_path, objects=list(_objects()), decks=DECKS, known=TOKENS) as made:
        await _played(made)
        yield made


async def _played(world: HttpWorld) -> None:
    """Play calls of every tenant: one that has ended, one that runs, named by itself and by who is above."""
    for party in PARTIES.values():
        for asker in (party.name, *party.above):
            await _call(world, party, asker, f"done-{asker}", ends=True)
            await _call(world, party, asker, f"open-{asker}", ends=False)
        await _by_the_owners_switch(world, party)


async def _call(world: HttpWorld, party: Party, asker: str, call: str, *, ends: bool) -> None:
    name, by = f"{call}-{party.name}" if asker != party.name else call, f"{asker}-switch"
    granted = good(await world.ask(name, by, account=f"{party.name}/acme", **{"from": party.caller}))
    assert granted["result"] == "granted", granted
    good(await world.report("answer", name, by))
    if ends:
        world.wait(60)
        good(await world.report("end", name, by, duration_seconds=60))


async def _by_the_owners_switch(world: HttpWorld, party: Party) -> None:
    """Play a call as the roads of a switch do, which the owner's switch carries."""
    desk = Desk()
    attempt = replace(
        desk.attempt("leg", LONDON, Key(party.name, "acme")), tenant="owna", source="esl", switch=SWITCH,
        id_domain=SWITCH, calling=party.caller, call_id=f"leg-{party.name}",
    )  # fmt: skip
    assert isinstance(await world.ocf.authorize(attempt), Decided)
    report = CallReport(attempt, world.around.now)
    await world.ocf.answered(report)
    world.wait(60)
    await world.ocf.ended(replace(report, at=world.around.now, duration_us=60 * SECOND))


def hidden_from(viewer: str) -> tuple[str, ...]:
    """Return every text that a tenant may not see."""
    below = {party.name for party in PARTIES.values() if viewer in party.above}
    texts: list[str] = []
    for party in PARTIES.values():
        if party.name != viewer:
            texts += party.secrets
            texts += [party.caller] if party.name not in below else []
    if viewer != "owna":
        texts += [CARRIER_RATE, CARRIER, SWITCH]
    texts += [limit for name, limit in TRUNK_LIMITS.items() if PARTIES[name].parent != viewer]
    # What an account with the level above is charged is known to both sides of it, and to nobody else.
    texts += ["0.4141"] if viewer not in ("owna", "rayo") else []
    texts += [SAM_TRUNK_RATE] if viewer not in ("owna", "samo") else []
    texts += ["0.6363"] if viewer not in ("rayo", "timo") else []
    return tuple(texts)


async def moneys(world: HttpWorld) -> dict[str, str]:
    """Return what the account that calls has now, of each tenant."""
    return {name: await world.balance("acme", name) for name in PARTIES}


def names_of_accounts() -> list[str]:
    """Return names that are a tenant's own, another's, and nobody's."""
    own = ["acme", "quiet", "acme%2Facme", "nobody", "rayo-trunk", "timo-trunk", "samo-trunk", "..", "*"]
    return own + [f"{tenant}/{name}" for tenant in (*PARTIES, "nowhere") for name in ("acme", "quiet", "nobody")]


async def every_answer(world: HttpWorld, viewer: str) -> list[tuple[str, str]]:
    """Return what each endpoint answers to each token of a tenant, whatever it names, with how it was asked."""
    document = good(await world.send("GET", "/schema"))
    calls = sorted({call.call_id for call in await world.store.open_calls()} | {"done-rayo", "never"})
    found = []
    for role in ROLES:
        for path, operations in document["paths"].items():
            for method in operations:
                for place in _places(path, calls):
                    found += await _answers(world, method.upper(), place, f"{viewer}-{role}")
    return found


def _places(path: str, calls: list[str]) -> list[str]:
    if "{tenant}" in path:
        return [path.replace("{tenant}/{account}", name) for name in names_of_accounts() if "/" in name]
    if "{account}" in path:
        return [path.replace("{account}", name) for name in names_of_accounts() if "/" not in name]
    return [path.replace("{call_id}", call) for call in calls] if "{call_id}" in path else [path]


async def _answers(world: HttpWorld, method: str, path: str, name: str) -> list[tuple[str, str]]:
    found = []
    for place, body in _bodies(world, method, path):
        asked = f"{name} {method} {place} {body}"
        headers = {"Idempotency-Key": "k1", "Forwarded": "for=198.51.100.9"}
        answer = await world.send(method, place, name, headers=headers, content=json.dumps(body) if body else None)
        assert answer.status_code < 500, asked
        # What the client said itself comes back in some details: it is no disclosure.
        text = answer.text.replace(json.dumps(body.get("account", ""))[1:-1] or "\0", "") if body else answer.text
        found.append((asked, f"{text} {dict(answer.headers)}"))
    return found


def _bodies(world: HttpWorld, method: str, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if method != "POST":
        if method == "GET":
            yield path, {}
        return
    if path == "/v1/authorize":
        for number, fields in enumerate(_identities()):
            base = {"call_id": f"q{number}", "from": "1", "to": LONDON, "direction": "outbound", **fields}
            for query in ("?explain=true", ""):
                yield path + query, base
                yield path + query, {**base, "to": PARIS}
        return
    at = world.at()
    if "topups" in path:
        yield path, {"amount": "x"}
        yield path, {"amount": "0.01", "currency": "EUR"}
        return
    yield path, {"at": at, "grant_id": "G1"}
    yield path, {"at": at, "grant_id": "G2", "duration_seconds": 1}


def _identities() -> Iterator[dict[str, Any]]:
    for tenant in (*PARTIES, "nowhere"):
        yield {"account": f"{tenant}/acme"}
        yield {"account": f"{tenant}/rayo-trunk"}
        yield {"pin": "48213377", "via": f"{tenant}-switch"}
    yield {"account": "acme"}
    yield {"sip_user": "acme", "password": "guess"}
    yield {"sip_user": "acme"}
    yield {"ip": "192.0.2.9"}
    yield {"direction": "inbound", "to": "442079460000"}


@pytest.mark.parametrize("viewer", list(PARTIES))
async def test_nothing_that_a_tenant_can_ask_shows_another(world: HttpWorld, viewer: str) -> None:
    answers = await every_answer(world, viewer)
    hidden = (*hidden_from(viewer), *[money for name, money in (await moneys(world)).items() if name != viewer])
    shown = [(asked, text, told) for asked, told in answers for text in hidden if text in told]
    assert not shown, shown[:3]
    everything = "\n".join(told for _, told in answers)
    own = PARTIES[viewer]
    for text in (own.rate, own.balance, own.destination, (await moneys(world))[viewer]):
        assert text in everything, f"{text}: the search would find nothing"
    if viewer != "owna":
        assert "bought from the level above" in everything


@pytest.mark.parametrize("viewer", list(PARTIES))
async def test_no_file_of_a_tenant_shows_another(world: HttpWorld, viewer: str, tmp_path: Path) -> None:
    await run_exports(StoreSource(world.store), tmp_path / "exports", world.around.now)
    files = [path for path in (tmp_path / "exports" / viewer).rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"usage.csv", "usage.jsonl", "summary.csv", "manifest.json"}
    for path in files:
        text = path.read_bytes().decode("latin-1")
        assert not [hidden for hidden in hidden_from(viewer) if hidden in text], path
    usage = next(path for path in files if path.name == "usage.csv")
    lines = list(csv.DictReader(usage.read_text().splitlines()))
    assert {line["account"] for line in lines} == {
        "acme", *(f"{party.name}-trunk" for party in PARTIES.values() if party.parent == viewer)
    }  # fmt: skip


async def test_no_figure_names_a_tenant_and_no_line_has_a_secret(world: HttpWorld) -> None:
    with capture_logs() as lines:
        for viewer in PARTIES:
            await every_answer(world, viewer)
    figures = (await world.send("GET", "/metrics")).text
    for party in PARTIES.values():
        assert party.name not in figures
        assert not [text for text in (*party.secrets, "acme", CARRIER, SWITCH) if text in figures]
    assert lines, "a token without its role is logged"
    said = str(lines)
    for party in PARTIES.values():
        assert party.password not in said
        assert not [role for role in ROLES if f"{party.name}-{role}" in said], "a token's text is its name here"
        assert party.balance not in said


@pytest.mark.parametrize("viewer", list(PARTIES))
async def test_what_is_anothers_is_answered_like_what_is_not(
    world: HttpWorld, viewer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same status, the same words, and the same work: a clock tells them apart no more than a reader."""
    original, works = type(world.store).transact, [0]

    async def counted(*arguments: Any) -> Any:
        works[0] += 1
        return await original(*arguments)

    monkeypatch.setattr(type(world.store), "transact", counted)
    below = {party.name for party in PARTIES.values() if viewer in party.above}

    async def told(method: str, path: str, role: str, names: tuple[str, ...], **body: Any) -> tuple[int, str, int]:
        before = works[0]
        headers = {"Idempotency-Key": "k2"}
        content = json.dumps(body) if body else None
        answer = await world.send(method, path, f"{viewer}-{role}", headers=headers, content=content)
        text = answer.text
        for name in names:
            text = text.replace(name, "X")
        return answer.status_code, text, works[0] - before

    def question(name: str) -> dict[str, Any]:
        return {"call_id": name.replace("/", "-"), "account": name, "from": "1", "to": LONDON, "direction": "outbound"}

    for tenant in PARTIES:
        if tenant == viewer:
            continue
        foreign, unknown = (f"{tenant}/acme", tenant), ("nowhere/acme", "nowhere")
        for role in ("billing", "read"):
            one = await told("GET", f"/v1/accounts/{foreign[0]}", role, foreign)
            assert one == await told("GET", f"/v1/accounts/{unknown[0]}", role, unknown)
            assert (one[0], one[2]) == (404, 0)
        one = await told("POST", f"/v1/accounts/{foreign[0]}/topups", "billing", foreign, amount="1.00")
        assert one == await told("POST", f"/v1/accounts/{unknown[0]}/topups", "billing", unknown, amount="1.00")
        if tenant in below:
            continue  # it may be named, so that it can call
        for query in ("", "?explain=true"):
            path = f"/v1/authorize{query}"
            one = await told("POST", path, "switch", foreign, **question(foreign[0]))
            assert one == await told("POST", path, "switch", unknown, **question(unknown[0])), query
            assert "account_unknown" in one[1]


async def test_a_call_of_another_is_neither_seen_nor_touched(world: HttpWorld) -> None:
    before = {call.grant_id: call for call in await world.store.open_calls()}
    for call in before.values():
        chain = {level.key.tenant for level in call.levels}
        for stranger in PARTIES.keys() - chain:
            for path in (f"/v1/calls/{call.call_id}?grant_id={call.grant_id}", "/v1/calls/never?grant_id=G0"):
                assert (await world.send("DELETE", path, f"{stranger}-switch")).status_code == 404
            answer = await world.report("end", call.call_id, f"{stranger}-switch", grant_id=call.grant_id)
            assert answer.status_code == 404
            for role in ("switch", "read"):
                seen = good(await world.send("GET", "/v1/calls", f"{stranger}-{role}"))
                assert call.grant_id not in {each["grant_id"] for each in seen}  # type: ignore[index]
    assert {call.grant_id: call for call in await world.store.open_calls()} == before


async def test_a_switch_is_named_to_its_own_tenant_alone(world: HttpWorld) -> None:
    for viewer in PARTIES:
        listed = (await world.send("GET", "/v1/calls", f"{viewer}-read")).json()
        assert len(listed) >= 1
        assert {call["switch"] for call in listed} <= {"", f"{viewer}-switch"}
