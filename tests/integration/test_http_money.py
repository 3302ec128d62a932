"""Money over HTTP, read from the store: concurrent calls leave it exact, top-ups arrive once for each key."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon.kernel.money import NANO, parse_nano
from tests.unit.http_api.http_world import FRANCE, UK, HttpWorld, good, http_world, refused

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HttpWorld]:
    async with http_world(tmp_path) as made:
        yield made


async def test_64_concurrent_whole_calls_leave_the_balance_exact(world: HttpWorld) -> None:
    seconds = [random.Random(3).randrange(0, 60) for _ in range(64)]

    async def call(number: int) -> str:
        name = f"call-{number}"
        assert good(await world.ask(name, account="rich"))["result"] == "granted"
        good(await world.report("answer", name))
        reply = good(await world.report("end", name, duration_seconds=seconds[number]))
        charge: str = reply["charge"]
        return charge

    charges = await asyncio.gather(*(call(number) for number in range(64)))
    assert [parse_nano(charge) for charge in charges] == [spent * NANO // 100 for spent in seconds]
    standing = await world.standing("rich")
    assert standing.balance == 1_000_000 * NANO - sum(seconds) * NANO // 100
    assert (standing.reserved, standing.channels, standing.uncollected) == (0, 0, 0)


async def test_money_for_one_call_admits_one_of_fifty(world: HttpWorld) -> None:
    replies = await asyncio.gather(*(world.ask(f"c{number}") for number in range(50)))
    results = [good(reply)["result"] for reply in replies]
    assert (results.count("granted"), results.count("denied")) == (1, 49)
    assert (await world.standing()).reserved == parse_nano("1.20")


async def _live(world: HttpWorld, to: str, late: list[float]) -> list[dict[str, Any]]:
    """Run three simultaneous renewed calls to the end of the money, each hung up late; return their ends."""
    names = [f"c{number}" for number in range(len(late))]
    quota = {}
    for name in names:
        reply = good(await world.ask(name, to=to, updates=True))
        if reply["result"] == "granted":
            quota[name] = reply["quota_seconds"]
            good(await world.report("answer", name))
    ends: list[dict[str, Any]] = []
    for second in range(1, 200):
        world.wait(1)
        for name in sorted(quota):
            if second % 5 == 0 or second >= quota[name]:
                renewed = good(await world.report("update", name, duration_seconds=second))
                quota[name] = renewed["quota_seconds"]
            if second >= quota[name]:
                spent = quota.pop(name) + late[names.index(name)]
                ends.append(good(await world.report("end", name, at=world.at(1), duration_seconds=spent)))
        if not quota:
            return ends
    raise AssertionError(f"still running: {quota}")


@pytest.mark.parametrize("late", [[0, 0, 0], [0.2, 0.9, 1.0], [1.0, 0.01, 0.5]])
@pytest.mark.parametrize(
    ("to", "calls", "balance"),
    [(UK, 3, "0.00"), (FRANCE, 2, "0.00")],  # at 60/60 the money buys two blocks: the third call is refused
)
async def test_three_calls_on_money_for_two_minutes(
    world: HttpWorld, to: str, calls: int, balance: str, late: list[float]
) -> None:
    ends = await _live(world, to, late)
    assert len(ends) == calls
    assert sum(parse_nano(end["charge"]) for end in ends) == parse_nano("1.20")
    assert {end["uncollected"] for end in ends} == {"0.00"}
    assert await world.balance() == balance
    standing = await world.standing()
    assert (standing.reserved, standing.channels, standing.uncollected) == (0, 0, 0)


@pytest.mark.parametrize("to", [UK, FRANCE])
async def test_a_road_that_cannot_renew_gives_all_to_the_first(world: HttpWorld, to: str) -> None:
    replies = [good(await world.ask(f"c{number}", to=to)) for number in range(3)]
    assert [reply["result"] for reply in replies] == ["granted", "denied", "denied"]
    assert replies[0]["quota_seconds"] == 120
    good(await world.report("answer", "c0"))
    world.wait(120.9)
    assert good(await world.report("end", "c0", duration_seconds=120.9))["charge"] == "1.20"
    assert await world.balance() == "0.00"


async def test_a_top_up_arrives_once_for_each_key(world: HttpWorld) -> None:
    first = await world.top_up("alice", "5.00", "order-1")
    assert good(first) == {
        "account": "alice", "tenant": "main", "amount": "5.00", "currency": "USD", "balance": "6.20",
        "reserved": "0.00", "uncollected": "0.00", "available": "6.20",
    }  # fmt: skip
    good(await world.top_up("alice", "1.00", "order-2"))
    repeats = await asyncio.gather(*(world.top_up("alice", "5.00", "order-1") for _ in range(20)))
    assert {reply.content for reply in repeats} == {first.content}
    assert refused(await world.top_up("alice", "5.01", "order-1")) == (409, "conflict")
    other = {"amount": "5.00", "reason": "another body"}
    response = await world.post("/v1/accounts/alice/topups", other, "billing", headers={"Idempotency-Key": "order-1"})
    assert refused(response) == (409, "conflict")
    assert await world.balance() == "7.20"
    good(await world.top_up("carol", "5.00", "order-1"))
    assert await world.balance("carol") == "10.00", "a key belongs to one account"


async def test_a_key_used_by_another_road_is_a_conflict(world: HttpWorld) -> None:
    assert refused(await world.top_up("alice", "1.20", "opening")) == (409, "conflict"), "the opening balance's own key"
    assert await world.balance() == "1.20"


@pytest.mark.parametrize("key", ["", "k" * 201, "kü"])
async def test_a_top_up_needs_its_key(world: HttpWorld, key: str) -> None:
    assert refused(await world.top_up("alice", "5.00", key)) == (400, "malformed")


@pytest.mark.parametrize(
    "amount", [5.0, 5, None, "", "0", "0.00", "-1.00", "1e3", "1,000.00", "0.0000000001", "9999999999.00", "NaN"]
)
async def test_an_amount_is_a_positive_decimal_text(world: HttpWorld, amount: Any) -> None:
    assert refused(await world.top_up("alice", amount, "k")) == (400, "malformed")
    assert await world.balance() == "1.20"


async def test_an_amount_is_of_the_accounts_currency(world: HttpWorld) -> None:
    for currency, status in (("EUR", 400), ("USD", 200)):
        body = {"amount": "1.00", "currency": currency}
        response = await world.post("/v1/accounts/alice/topups", body, "billing", headers={"Idempotency-Key": "k"})
        assert response.status_code == status


async def test_money_beyond_64_bits_is_refused(world: HttpWorld) -> None:
    statuses = [(await world.top_up("rich", "1000000000.00", f"k{number}")).status_code for number in range(10)]
    assert statuses == [200] * 9 + [400]


async def test_a_top_up_pays_debts_first(world: HttpWorld) -> None:
    good(await world.ask())
    good(await world.report("answer"))
    world.wait(150)
    ended = good(await world.report("end", duration_seconds=150))
    assert (ended["charge"], ended["uncollected"]) == ("1.50", "0.30")
    reply = good(await world.top_up("alice", "1.00", "k"))
    assert (reply["balance"], reply["uncollected"], reply["available"]) == ("0.70", "0.00", "0.70")


async def test_a_top_up_of_a_bucket(world: HttpWorld) -> None:
    promo = {"bucket": "promo", "kind": "promotional", "priority": 3, "expires_at": "2099-01-01T00:00:00Z"}

    async def top_up(key: str, **body: object) -> httpx.Response:
        whole = {"amount": "2.00", **body}
        return await world.post("/v1/accounts/alice/topups", whole, "billing", headers={"Idempotency-Key": key})

    first = await top_up("k1", **promo)
    assert good(first)["balance"] == "3.20"
    assert (await top_up("k1", **promo)).content == first.content
    assert refused(await top_up("k1")) == (409, "conflict"), "the same key for the main balance"
    assert good(await top_up("k2", bucket="promo"))["balance"] == "5.20"
    assert refused(await top_up("k3", **{**promo, "priority": 4})) == (409, "conflict")
    assert refused(await top_up("k3", bucket="old", expires_at="2020-01-01T00:00:00Z")) == (409, "conflict")
    for body in ({"kind": "money"}, {"bucket": "no id"}, {"bucket": "b", "expires_at": "soon"},
                 {"bucket": "b", "priority": -1}, {"bucket": "b", "kind": "gold"}):  # fmt: skip
        assert refused(await top_up("k4", **body)) == (400, "malformed"), body
    shown = good(await world.send("GET", "/v1/accounts/alice", "read"))
    assert shown["buckets"] == [
        {"id": "promo", "kind": "promotional", "priority": 3, "expires_at": "2099-01-01T00:00:00.000000Z",
         "amount": "4.00"},
    ]  # fmt: skip


async def test_an_account_shows_what_it_holds(world: HttpWorld) -> None:
    good(await world.ask())
    assert good(await world.send("GET", "/v1/accounts/alice", "read")) == {
        "id": "alice", "tenant": "main", "kind": "prepaid", "status": "active", "currency": "USD", "balance": "1.20",
        "reserved": "1.20", "uncollected": "0.00", "available": "0.00", "credit_limit": "0.00", "rate_plan": "retail",
        "channels": {"inbound": 0, "outbound": 1, "total": 1}, "main": "1.20", "buckets": [], "suspended_by": "",
    }  # fmt: skip
    bob = good(await world.send("GET", "/v1/accounts/bob", "billing"))
    assert (bob["available"], bob["credit_limit"], bob["kind"]) == ("unlimited", "unlimited", "postpaid")
