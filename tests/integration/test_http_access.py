"""Who may do what over HTTP: every endpoint, every role, and a tenant that sees nothing of its siblings."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.http_api.http_world import FRANCE, GERMANY, ITALY, PREMIUM, SPAIN, HttpWorld, good, http_world, refused

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HttpWorld]:
    async with http_world(tmp_path) as made:
        yield made


ENDPOINTS = [
    ("POST", "/v1/authorize", {"switch"}),
    ("POST", "/v1/authorize?explain=true", {"switch"}),
    ("POST", "/v1/calls/c1/answer", {"switch"}),
    ("POST", "/v1/calls/c1/update", {"switch"}),
    ("POST", "/v1/calls/c1/end", {"switch"}),
    ("DELETE", "/v1/calls/c1", {"switch"}),
    ("GET", "/v1/calls", {"switch", "read"}),
    ("GET", "/v1/accounts/alice", {"billing", "read"}),
    ("POST", "/v1/accounts/alice/topups", {"billing"}),
    ("POST", "/v1/accounts/alice/vouchers", {"billing"}),
]


@pytest.mark.parametrize(("method", "path", "roles"), ENDPOINTS)
async def test_each_endpoint_asks_for_its_role(world: HttpWorld, method: str, path: str, roles: set[str]) -> None:
    content = b"{}" if method == "POST" else None
    for role in ("switch", "billing", "read"):
        status, word = (0, "")
        response = await world.send(method, path, role, content=content)
        if response.status_code >= 400:
            status, word = refused(response)
        assert ((status, word) == (403, "forbidden")) == (role not in roles), (role, response.text)
    for nobody in ("", "revoked", "wrong", "x" * 300):
        response = await world.send(method, path, nobody, content=content)
        assert refused(response) == (401, "unauthenticated")
        assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/schema"])
async def test_health_needs_no_token(world: HttpWorld, path: str) -> None:
    assert (await world.send("GET", path)).status_code == 200


async def test_an_account_of_another_tenant_does_not_exist(world: HttpWorld) -> None:
    for token, name in (
        ("ray-billing", "alice"), ("ray-billing", "main/alice"), ("ray-billing", "sam/sid"), ("sam-read", "ray/rita"),
        ("ray-read", "main/ray-trunk"), ("read", "nobody"), ("read", "nowhere/alice"), ("read", ".."),
    ):  # fmt: skip
        assert refused(await world.send("GET", f"/v1/accounts/{name}", token)) == (404, "unknown"), (token, name)
        body = await world.top_up(name, "1.00", "k", token.replace("read", "billing"))
        assert refused(body) == (404, "unknown")
    assert good(await world.send("GET", "/v1/accounts/rita", "ray-read"))["tenant"] == "ray"
    assert good(await world.send("GET", "/v1/accounts/ray/rita", "ray-read"))["id"] == "rita"
    assert good(await world.send("GET", "/v1/accounts/ray%2Frita", "ray-read"))["id"] == "rita"


async def test_a_customer_of_a_child_is_the_childs_alone(world: HttpWorld) -> None:
    """A switch of the owner may name it, so that it can call; nobody above may read it or give it money."""
    assert good(await world.ask(account="ray/rita"))["result"] == "granted"
    assert refused(await world.send("GET", "/v1/accounts/ray/rita", "read")) == (404, "unknown")
    assert refused(await world.top_up("ray/rita", "1.00", "k")) == (404, "unknown")
    assert good(await world.send("GET", "/v1/accounts/ray-trunk", "read"))["reserved"] != "0.00"


async def test_an_account_of_another_tenant_never_pays(world: HttpWorld) -> None:
    for token, name in (("ray-switch", "main/alice"), ("ray-switch", "alice"), ("sam-switch", "ray/rita")):
        assert good(await world.ask(token=token, account=name))["reason"] == "account_unknown"
    reply = good(await world.ask(token="ray-switch", account=None, sip_user="alice", password="wonder"))
    assert reply["reason"] == "account_unknown"
    assert good(await world.ask(account="ray/rita"))["result"] == "granted", "an ancestor may name it"


async def test_calls_of_another_tenant_do_not_exist(world: HttpWorld) -> None:
    grant_id = good(await world.ask("1", "ray-switch", account="rita"))["grant_id"]
    for kind in ("answer", "update", "end"):
        assert refused(await world.report(kind, "1", "sam-switch")) == (404, "unknown")
        assert refused(await world.report(kind, "1", "sam-switch", grant_id=grant_id)) == (404, "unknown")
    assert (await world.send("GET", "/v1/calls", "sam-read")).json() == []
    assert refused(await world.send("DELETE", "/v1/calls/1", "sam-switch")) == (404, "unknown")
    assert refused(await world.send("DELETE", f"/v1/calls/1?grant_id={grant_id}", "sam-switch")) == (404, "unknown")
    assert (await world.standing("rita", "ray")).channels == 1


async def test_a_shared_id_domain_opens_no_door_between_tenants(world: HttpWorld) -> None:
    good(await world.ask("1", "elsewhere", account="rich"))
    for kind in ("answer", "end"):
        assert refused(await world.report(kind, "1", "ray-elsewhere")) == (404, "unknown")
    assert (await world.standing("rich")).channels == 1


async def test_each_tenant_sees_a_call_at_its_own_level(world: HttpWorld) -> None:
    good(await world.ask("1", "ray-switch", account="rita"))
    (mine,) = (await world.send("GET", "/v1/calls", "ray-read")).json()
    (above,) = (await world.send("GET", "/v1/calls", "read")).json()
    assert (mine["account"], above["account"]) == ("rita", "ray-trunk")
    assert mine["reserved"] != above["reserved"]


REFUSED = [
    ("account_unknown", 21, 403, {"account": "nobody"}),
    ("account_unknown", 21, 403, {"account": None}),
    ("account_unknown", 21, 403, {"account": None, "sip_user": "alice"}),
    ("account_unknown", 21, 403, {"account": None, "pin": "48213377", "via": "ivr"}),
    ("account_ambiguous", 21, 403, {"account": None, "sip_user": "twin", "password": "x"}),
    ("credential_wrong", 21, 403, {"account": None, "sip_user": "alice", "password": "wrong"}),
    ("credential_wrong", 21, 403, {"account": None, "sip_user": "alice", "password": ""}),
    ("account_suspended", 21, 403, {"account": "suspended"}),
    ("account_closed", 21, 403, {"account": "closed"}),
    ("destination_malformed", 28, 484, {"to": "44207abc"}),
    ("destination_malformed", 28, 484, {"to": "1" * 19}),
    ("destination_blocked", 21, 403, {"to": PREMIUM}),
    ("destination_unrated", 3, 404, {"to": "7495123"}),
    ("no_carrier", 34, 503, {"to": ITALY}),
    ("call_too_dear", 21, 402, {"account": "careful", "to": FRANCE}),
    ("margin_below_floor", 34, 503, {"account": "rich", "to": GERMANY}),
    ("margin_below_floor", 34, 503, {"account": "strict"}),
    ("daily_spend", 21, 402, {"account": "frugal", "to": FRANCE}),
    ("balance_insufficient", 21, 402, {"account": "poor"}),
    ("upstream_refused", 34, 503, {"account": "ray/rita", "to": SPAIN}),
]


@pytest.mark.parametrize(("code", "q850", "sip", "fields"), REFUSED)
async def test_a_refusal_is_an_answer_with_its_code(
    world: HttpWorld, code: str, q850: int, sip: int, fields: dict[str, str]
) -> None:
    reply = good(await world.ask(**fields))
    assert reply == {
        "result": "denied", "reason": code, "quota_seconds": 0, "reserved": "0.00", "currency": "", "routes": [],
        "renewable": False, "update_within_seconds": 0, "grant_id": "", "sell": None, "q850": q850, "sip": sip,
        "emergency": False,
    }  # fmt: skip
    figures = (await world.send("GET", "/metrics")).text
    assert f'tollway_decisions_total{{code="{code}",road="http"}} 1.0' in figures


@pytest.mark.parametrize(("code", "account"), [("channels", "single"), ("calls_per_second", "slow")])
async def test_limits_refuse_the_second_call(world: HttpWorld, code: str, account: str) -> None:
    assert good(await world.ask("c1", account=account))["result"] == "granted"
    assert good(await world.ask("c2", account=account))["reason"] == code
