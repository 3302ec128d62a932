"""A call's whole life over HTTP: asked, answered, renewed, ended; each repeat the same bytes, each charge once."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon.authorize.catalog import Emergency
from daemon.http_api import routes
from daemon.kernel.ids import Key
from daemon.kernel.money import parse_nano
from tests.decks import read_deck
from tests.unit.http_api.http_world import FRANCE, UK, HttpWorld, good, http_world, question, refused

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HttpWorld]:
    async with http_world(tmp_path) as made:
        yield made


async def test_a_whole_prepaid_call(world: HttpWorld) -> None:
    granted = good(await world.ask())
    assert granted == {
        "result": "granted", "reason": "", "quota_seconds": 120, "reserved": "1.20", "currency": "USD",
        "routes": [
            {"carrier": "cheap", "dial": f"[tollway_carrier=cheap,tollway_route=1]sofia/gateway/cheap/{UK}", "route": 1}
        ],
        "renewable": False, "update_within_seconds": 60, "grant_id": granted["grant_id"],
        "sell": {
            "prefix": "44", "destination": "UK", "rate": "0.60", "connect_fee": "0.00", "first_seconds": 1,
            "next_seconds": 1, "rate_table": "retail",
        },
        "q850": 0, "sip": 0, "emergency": False,
    }  # fmt: skip
    assert (await world.standing()).reserved == 1_200_000_000
    world.wait(5)
    answered = good(await world.report("answer", route=1))
    assert (answered["state"], answered["quota_seconds"], answered["charged"]) == ("answered", 120, "0.00")
    world.wait(30)
    updated = good(await world.report("update", duration_seconds=30))
    assert (updated["charged"], updated["reserved"], updated["final"]) == ("0.30", "1.20", True)
    world.wait(31.3)
    ended = good(await world.report("end", duration_seconds=61.3, cause="NORMAL_CLEARING"))
    assert (ended["state"], ended["charge"], ended["duration_seconds"]) == ("settled", "0.62", "61.3")
    assert await world.balance() == "0.58"
    standing = await world.standing()
    assert (standing.reserved, standing.channels) == (0, 0)


async def test_without_a_stated_duration_the_instants_count(world: HttpWorld) -> None:
    good(await world.ask())
    good(await world.report("answer"))
    world.wait(10.5)
    assert good(await world.report("end"))["charge"] == "0.11"


async def test_a_call_that_was_never_answered_costs_nothing(world: HttpWorld) -> None:
    good(await world.ask())
    ended = good(await world.report("end", answered=False, cause="NO_ANSWER"))
    assert (ended["state"], ended["charge"]) == ("voided", "0.00")
    assert await world.balance() == "1.20"
    assert (await world.standing()).reserved == 0


async def test_an_end_alone_with_a_duration_is_charged(world: HttpWorld) -> None:
    good(await world.ask())
    world.wait(70)
    assert good(await world.report("end", duration_seconds="60.000"))["charge"] == "0.60"


async def test_an_answered_call_without_answer_or_duration_is_refused_not_free(world: HttpWorld) -> None:
    good(await world.ask())
    assert refused(await world.report("end", answered=True)) == (400, "malformed")
    assert refused(await world.report("end", answered=False, duration_seconds=5)) == (400, "malformed")
    assert (await world.standing()).reserved > 0


async def test_every_repeat_is_answered_with_the_same_bytes(world: HttpWorld) -> None:
    bodies = {
        "/v1/authorize": question("c1", updates=True),
        "/v1/calls/c1/answer": {"at": world.at()},
        "/v1/calls/c1/update": {"at": world.at(), "duration_seconds": 0},
        "/v1/calls/c1/end": {"at": world.at(3), "duration_seconds": 3},
    }
    for path, body in bodies.items():
        first = await world.post(path, body)
        good(first)
        before = await world.standing()
        for _ in range(3):
            again = await world.post(path, body)
            assert (again.status_code, again.content) == (200, first.content), path
        assert await world.standing() == before, "a repeat changes nothing"
    world.wait(3600)
    late = await world.post("/v1/calls/c1/end", bodies["/v1/calls/c1/end"])
    assert late.status_code == 200, "a repeat is answered however late it comes, though its time is long past"
    assert await world.exceptions() == []


async def test_the_same_report_with_another_body_is_a_conflict(world: HttpWorld) -> None:
    good(await world.ask())
    good(await world.report("answer"))
    world.wait(20)
    assert refused(await world.report("answer")) == (409, "conflict")
    good(await world.report("end", duration_seconds=20))
    assert refused(await world.report("end", duration_seconds=19)) == (409, "conflict")
    assert await world.balance() == "1.00", "charged once, by the first"
    assert await world.exceptions() == ["conflict", "conflict"]


async def test_updates_differ_by_nature_and_are_no_conflict(world: HttpWorld) -> None:
    good(await world.ask())
    good(await world.report("answer"))
    for seconds in (10, 20, 30):
        world.wait(10)
        assert good(await world.report("update", duration_seconds=seconds))["charged"] == f"0.{seconds}"
    assert await world.exceptions() == []


async def test_a_second_question_replaces_the_reservation(world: HttpWorld) -> None:
    first = good(await world.ask(updates=True))
    second = good(await world.ask(to=FRANCE, updates=True))
    assert (first["reserved"], second["reserved"]) != (second["reserved"], first["reserved"])
    standing = await world.standing()
    assert (standing.reserved, standing.channels) == (600_000_000, 1)
    third = good(await world.ask(updates=True))
    assert {**third, "grant_id": ""} == {**first, "grant_id": ""}, "the first question again replaces the second"
    grants = {first["grant_id"], second["grant_id"], third["grant_id"]}
    assert len(grants) == 3, "a grant never stands for another number, and a void one for none"
    assert (await world.standing()).reserved == 100_000_000


async def test_a_call_id_that_comes_again_never_gets_the_old_answers(world: HttpWorld) -> None:
    grants = []
    for seconds in (10, 20):  # a gateway that was rebooted counts its calls from 1 again
        granted = good(await world.ask("1"))
        grants.append(granted["grant_id"])
        good(await world.report("answer", "1"))
        world.wait(seconds)
        ended = good(await world.report("end", "1", duration_seconds=seconds))
        assert ended["charge"] == f"0.{seconds}"
    assert len(set(grants)) == 2
    assert await world.balance() == "0.90"


async def test_the_same_bytes_at_the_same_instant_still_mean_the_new_call(world: HttpWorld) -> None:
    body, end = question("1"), {"at": world.at(), "answered": False}
    first = good(await world.post("/v1/authorize", body))
    good(await world.post("/v1/calls/1/end", end))
    second = good(await world.post("/v1/authorize", body))
    assert second["grant_id"] != first["grant_id"]
    assert good(await world.post("/v1/calls/1/end", end))["grant_id"] == second["grant_id"]
    assert (await world.standing()).reserved == 0


async def test_a_refusal_is_repeated_shortly_and_then_thought_over(world: HttpWorld) -> None:
    denied = await world.ask(account="poor")
    assert good(denied)["reason"] == "balance_insufficient"
    good(await world.top_up("poor", "5.00", "k1"))
    world.wait(5)
    assert (await world.ask(account="poor")).content == denied.content
    world.wait(6)
    assert good(await world.ask(account="poor"))["result"] == "granted"


async def test_parts_are_told_apart_by_grant(world: HttpWorld) -> None:
    first = good(await world.ask(account="rich"))["grant_id"]
    good(await world.report("answer"))
    world.wait(10)
    second = good(await world.ask(account="rich", to=FRANCE))["grant_id"]
    assert second != first
    world.wait(1)
    good(await world.report("answer", grant_id=second))
    ended = good(await world.report("end", grant_id=first, duration_seconds=11))
    assert (ended["grant_id"], ended["charge"]) == (first, "0.11")
    world.wait(59)
    assert good(await world.report("end", grant_id=second, duration_seconds=59))["charge"] == "0.60"
    assert await world.balance("rich") == "999999.29"


async def test_a_grant_of_another_call_does_not_exist(world: HttpWorld) -> None:
    other = good(await world.ask("other", account="carol"))["grant_id"]
    good(await world.ask())
    for grant_id in (other, "nothing", "x" * 64, "a b", "../x"):
        for kind in ("answer", "update", "end"):
            assert refused(await world.report(kind, grant_id=grant_id)) == (404, "unknown")
    assert (await world.standing("carol")).channels == 1


async def test_a_call_nobody_asked_about_is_unknown_and_listed(world: HttpWorld) -> None:
    assert refused(await world.report("answer", "ghost")) == (404, "unknown")
    body = {"at": world.at(), "duration_seconds": 0}
    assert refused(await world.post("/v1/calls/ghost/update", body)) == (404, "unknown")
    assert refused(await world.post("/v1/calls/ghost/update", body)) == (404, "unknown"), "its repeat too"
    for made_up in range(20):
        assert refused(await world.report("end", f"ghost-{made_up}", duration_seconds=5)) == (404, "unknown")
    assert await world.exceptions() == ["no_account"], "one line an hour, whatever a token makes up"
    assert await world.store.rows("SELECT count(*) FROM message") == [(0,)]


@pytest.mark.parametrize("seconds", [-61, 61])
async def test_times_are_held_against_our_own_clock(world: HttpWorld, seconds: int) -> None:
    assert refused(await world.ask(at=world.at(seconds))) == (400, "malformed")
    good(await world.ask(at=world.at(seconds / 2)))
    assert refused(await world.report("answer", at=world.at(seconds))) == (400, "malformed")
    good(await world.report("answer"))
    assert refused(await world.report("update", at=world.at(seconds))) == (400, "malformed")
    assert refused(await world.report("end", at=world.at(seconds))) == (400, "malformed")


@pytest.mark.parametrize(("stated", "status"), [(30, 200), (89, 200), (91, 400), (0, 200), (29, 200)])
async def test_durations_are_held_against_our_own_clock(world: HttpWorld, stated: int, status: int) -> None:
    good(await world.ask(account="rich"))
    good(await world.report("answer"))
    world.wait(30)
    assert (await world.report("end", duration_seconds=stated)).status_code == status


async def test_a_duration_may_not_be_told_short(world: HttpWorld) -> None:
    good(await world.ask(account="rich"))
    good(await world.report("answer"))
    world.wait(600)
    assert refused(await world.report("end", duration_seconds=6)) == (400, "malformed")
    assert good(await world.report("end", duration_seconds=599))["charge"] == "5.99"


async def test_one_tolerance_holds_for_the_whole_call(world: HttpWorld) -> None:
    """An end dated back and a duration told short are within a minute each, and never within two."""
    good(await world.ask(account="rich"))
    good(await world.report("answer"))
    world.wait(600)
    assert refused(await world.report("end", at=world.at(-59), duration_seconds=485)) == (400, "malformed")
    assert good(await world.report("end", at=world.at(-59), duration_seconds=541))["charge"] == "5.41"


async def test_an_unreported_answer_bounds_the_duration_by_the_question(world: HttpWorld) -> None:
    good(await world.ask(account="rich"))
    world.wait(30)
    assert refused(await world.report("end", duration_seconds=91)) == (400, "malformed")
    assert good(await world.report("end", duration_seconds=30))["charge"] == "0.30"


async def test_renewals_follow_what_was_used_and_a_repeat_takes_nothing_more(world: HttpWorld) -> None:
    granted = good(await world.ask(account="rich", updates=True))
    assert (granted["renewable"], granted["quota_seconds"], granted["reserved"]) == (True, 300, "3.00")
    good(await world.report("answer"))
    world.wait(60)
    first = good(await world.report("update", duration_seconds=60))
    assert (first["quota_seconds"], first["reserved"], first["final"]) == (360, "3.60", False)
    again = good(await world.report("update", duration_seconds="60.0"))
    assert again == first, "another text of the same duration renews nothing"
    assert (await world.standing("rich")).reserved == 3_600_000_000
    world.wait(10)
    assert good(await world.report("update"))["quota_seconds"] == 370, "by the instants where no duration is stated"


async def test_renewals_end_with_the_money(world: HttpWorld) -> None:
    assert good(await world.ask(updates=True))["quota_seconds"] == 10, "one block while money is short"
    good(await world.report("answer"))
    quota, used = 10, 0
    while used < quota:
        world.wait(5)
        used += 5
        reply = good(await world.report("update", duration_seconds=used))
        assert reply["quota_seconds"] >= quota
        assert reply["final"] == (reply["quota_seconds"] - used < 10)
        quota = reply["quota_seconds"]
    assert quota == 120
    assert good(await world.report("end", duration_seconds=120.9))["charge"] == "1.20", "our own cut, a bit late"
    assert await world.balance() == "0.00"


async def test_a_lost_answer_is_made_up_by_the_update(world: HttpWorld) -> None:
    good(await world.ask(account="rich", updates=True))
    world.wait(20)
    updated = good(await world.report("update", duration_seconds=15))
    assert (updated["state"], updated["charged"]) == ("answered", "0.15")
    world.wait(5)
    assert good(await world.report("end"))["duration_seconds"] == "20"


async def test_an_update_after_the_end_changes_nothing(world: HttpWorld) -> None:
    good(await world.ask(account="rich", updates=True))
    good(await world.report("answer"))
    world.wait(20)
    good(await world.report("end", duration_seconds=20))
    late = good(await world.report("update", duration_seconds=20))
    assert (late["state"], late["final"], late["charged"], late["update_within_seconds"]) == (
        "settled", True, "0.20", 0,
    )  # fmt: skip
    assert await world.balance("rich") == "999999.80"


async def test_live_calls_are_listed_and_one_is_cut(world: HttpWorld) -> None:
    good(await world.ask("sip:a/b@192.0.2.1;x=%", account="rich", updates=True))
    path = "sip%3Aa%2Fb%40192.0.2.1%3Bx%3D%25"
    good(await world.report("answer", path))
    world.wait(12)
    (listed,) = (await world.send("GET", "/v1/calls", "read")).json()
    assert (listed["call_id"], listed["account"], listed["state"], listed["charged"], listed["reserved"]) == (
        "sip:a/b@192.0.2.1;x=%", "rich", "answered", "0.12", "3.00",
    )  # fmt: skip
    assert (listed["from"], listed["to"], listed["switch"], listed["cut"]) == ("15551230001", UK, "switch", False)
    cut = good(await world.send("DELETE", f"/v1/calls/{path}", "switch"))
    assert cut == {"call_id": "sip:a/b@192.0.2.1;x=%", "cut": [listed["grant_id"]]}
    assert good(await world.send("DELETE", f"/v1/calls/{path}", "switch"))["cut"] == [], "cut once"
    updated = good(await world.report("update", path, duration_seconds=12))
    assert (updated["final"], updated["cut"], updated["quota_seconds"]) == (True, True, 12)
    good(await world.report("end", path, duration_seconds=12.5))
    assert (await world.send("GET", "/v1/calls", "read")).json() == []
    assert refused(await world.send("DELETE", f"/v1/calls/{path}", "switch")) == (404, "unknown")


async def test_calls_of_one_id_on_two_switches_are_cut_by_grant(world: HttpWorld) -> None:
    good(await world.ask("1", account="rich"))
    second = good(await world.ask("1", token="elsewhere", account="rich"))["grant_id"]
    assert refused(await world.send("DELETE", "/v1/calls/1", "switch")) == (409, "conflict")
    cut = good(await world.send("DELETE", f"/v1/calls/1?grant_id={second}", "switch"))
    assert cut["cut"] == [second]


async def test_an_emergency_call_waits_for_no_account(world: HttpWorld) -> None:
    granted = good(await world.ask(account="nobody", to="112"))
    assert (granted["emergency"], granted["quota_seconds"], granted["reserved"]) == (True, 86_400, "0.00")
    assert granted["routes"] == [{"carrier": "emergency", "dial": "sofia/gateway/psap/112", "route": 1}]
    assert [line["called"] for line in world.around.journal] == ["112"]


async def test_an_emergency_call_is_charged_as_the_plan_of_the_account_says(world: HttpWorld) -> None:
    plan = "prefix,destination,rate,first_seconds,next_seconds\n44,UK,0.60,1,1\n112,Emergency,0.30,1,1\n"
    rows, errors = read_deck(plan, "retail.csv")
    assert not errors
    await world.store.apply([], {Key("main", "retail"): rows}, who="test")
    world.around.found = await world.store.load_catalog(Emergency(frozenset({"112"})))
    granted = good(await world.ask("e1", account="poor", to="112"))
    assert (granted["emergency"], granted["grant_id"]) == (True, "")
    assert (await world.standing("poor")).reserved == 0
    assert world.around.journal[0]["account"] == "main/poor"
    world.wait(3)
    good(await world.report("answer", "e1"))
    world.wait(60)
    assert good(await world.report("end", "e1", duration_seconds=60))["charge"] == "0.30"
    assert good(await world.ask("e2", account="poor", to="112"))["emergency"], "a debt keeps nobody from help"
    world.wait(20)
    assert good(await world.report("end", "e2", duration_seconds=10))["charge"] == "0.05"
    assert good(await world.ask("e3", account="nobody", to="112"))["emergency"]
    world.wait(20)
    assert refused(await world.report("end", "e3", duration_seconds=10)) == (404, "unknown")
    assert await world.exceptions() == ["uncollected", "uncollected"], "what the poor one could not pay"


async def test_an_emergency_call_passes_the_limit_of_requests(
    world: HttpWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "IN_FLIGHT_MAX", 0)
    assert good(await world.ask(account="nobody", to="112"))["emergency"]
    denied = await world.ask("c2")
    assert (denied.status_code, denied.json()["reason"]) == (503, "overloaded")
    assert (await world.send("POST", "/v1/authorize", "switch", content=b"{")).json()["reason"] == "overloaded"
    monkeypatch.setattr(routes, "IN_FLIGHT_EMERGENCY_MAX", 0)
    assert (await world.ask(account="nobody", to="112")).status_code == 503


async def test_one_question_charges_both_accounts_of_an_on_net_call(world: HttpWorld) -> None:
    did = "442079460000"  # alice's, who has 1.20
    good(await world.ask("n1", account="rich", to=did, both_sides=True))
    rich, alice = await world.standing("rich"), await world.standing()
    assert (rich.reserved, rich.channels_out) == (alice.reserved, alice.channels_in) == (parse_nano("1.20"), 1)
    good(await world.report("answer", "n1"))
    world.wait(30)
    again = [await world.report("end", "n1", duration_seconds=30) for _ in range(2)]
    assert [good(each)["charge"] for each in again] == ["0.30", "0.30"]
    assert await world.balance() == "0.90"
    assert (await world.standing()).reserved == 0
    assert refused_as(await world.ask("n2", account=None, to=did, direction="inbound")) == ""
    assert refused_as(await world.ask("n3", account="single", to=did, both_sides=True)) == "balance_insufficient"
    assert (await world.standing("single")).channels == 0, "n2 holds what alice's account could pay: none holds"


def refused_as(response: httpx.Response) -> str:
    """Return the code of a refused call, nothing where it was granted."""
    return str(good(response)["reason"])


async def test_explain_has_no_effect_and_hides_what_is_above(world: HttpWorld) -> None:
    path, body = "/v1/authorize?explain=true", question("c1", account="ray/rita", updates=True)
    owner = good(await world.post(path, body))
    assert [rule["rule"] for rule in owner["rules"]][:3] == ["downstream", "rate", "cost"]
    assert any(rule["rule"] == "margin" for rule in owner["rules"])
    reseller = good(await world.post(path, body, "ray-switch"))
    assert not [rule for rule in reseller["rules"] if "ray-trunk" in rule["detail"] + rule["level"]]
    assert [rule["level"] for rule in reseller["rules"] if rule["rule"] in ("carrier", "margin")] == ["ray/rita"]
    assert reseller["quota_seconds"] == owner["quota_seconds"] > 0
    assert (await world.standing("rita", "ray")).reserved == 0
    assert (await world.send("GET", "/v1/calls", "read")).json() == []
    denied = good(await world.post(path, question("c1", account="poor")))
    assert (denied["reason"], denied["rules"][-1]["passed"]) == ("balance_insufficient", False)
    plain = good(await world.post("/v1/authorize?explain=false", body))
    assert "rules" not in plain


async def test_a_call_is_reserved_and_charged_at_every_level(world: HttpWorld) -> None:
    good(await world.ask(token="ray-switch", account="rita"))
    assert ((await world.standing("rita", "ray")).channels, (await world.standing("ray-trunk")).channels) == (1, 1)
    good(await world.report("answer", token="ray-switch"))
    world.wait(60)
    assert good(await world.report("end", token="ray-switch", duration_seconds=60))["charge"] == "0.60"
    assert (await world.balance("rita", "ray"), await world.balance("ray-trunk")) == ("4.40", "-0.30")


async def test_who_pays_may_be_told_in_every_promised_way(world: HttpWorld) -> None:
    ways: list[tuple[str, dict[str, Any]]] = [
        ("switch", {"account": "main/alice"}),
        ("switch", {"account": None, "sip_user": "alice", "password": "wonder"}),
        ("trusting", {"account": None, "sip_user": "bare"}),
        ("switch", {"account": None, "pin": "48213377"}),
        ("switch", {"account": None, "ip": "192.0.2.7", "to": f"77{UK}"}),
        ("gw1", {"account": None, "caller": "15551230001"}),
        ("switch", {"account": None, "caller": "15551230001", "via": "gw1"}),
        ("switch", {"account": None, "direction": "inbound", "to": "442079460000"}),
    ]
    for number, (token, fields) in enumerate(ways):
        reply = good(await world.ask(f"c{number}", token, **fields))
        assert reply["result"] == "granted", (fields, reply)
        good(await world.report("end", f"c{number}", token, answered=False))


async def test_a_token_that_does_not_route_gets_no_routes(world: HttpWorld) -> None:
    assert good(await world.ask(token="unrouted", to="39061"))["routes"] == []


async def test_without_any_carrier_the_switch_routes_by_itself(world: HttpWorld) -> None:
    world.around.found = replace(world.around.catalog(), carriers={})
    reply = good(await world.ask())
    assert (reply["result"], reply["routes"]) == ("granted", [])


async def test_concurrent_repeats_make_one_call(world: HttpWorld) -> None:
    body = json.dumps(question("c1", account="rich"))
    replies = await asyncio.gather(*(world.send("POST", "/v1/authorize", "switch", content=body) for _ in range(32)))
    assert len({reply.content for reply in replies}) == 1
    standing = await world.standing("rich")
    assert standing.channels == 1


async def test_a_repeat_after_a_restart_gets_the_same_bytes(tmp_path: Path) -> None:
    body = question("c1", account="rich")
    async with http_world(tmp_path) as before:
        first = await before.post("/v1/authorize", body)
        good(first)
    async with http_world(tmp_path) as after:
        assert (await after.post("/v1/authorize", body)).content == first.content
        assert (await after.standing("rich")).channels == 1
