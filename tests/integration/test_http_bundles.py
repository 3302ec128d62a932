"""Bundles over HTTP, on a real store: two calls on sixty seconds, money for the rest, and what a caller is told."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.kernel.ids import Key
from daemon.kernel.money import parse_nano
from daemon.rating.bundle import Bundle
from daemon.store.check import check_file
from tests.unit.http_api.http_world import HttpWorld, good, http_world

pytestmark = pytest.mark.virtual_time

UK_60 = Bundle("uk-60", 60, prefixes=frozenset({"44"}))
EMPTY = "poor"  # has 0.005: not one second of the United Kingdom at 0.60 a minute


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HttpWorld]:
    async with http_world(tmp_path) as made:
        sold(made, EMPTY, UK_60)
        yield made
    assert check_file(tmp_path / "tollway.db") == []


def sold(world: HttpWorld, account: str, *bundles: Bundle) -> None:
    """Give an account bundles, as a scenario would."""
    found = world.around.found
    assert found is not None
    accounts = dict(found.accounts)
    accounts[Key("main", account)] = replace(accounts[Key("main", account)], bundles=bundles)
    by_number = {terms.number: terms for terms in accounts.values()}
    world.around.found = replace(found, accounts=accounts, by_number=by_number)


async def used(world: HttpWorld) -> list[tuple[int, int]]:
    """Return used and held of all meters."""
    return [(row[0], row[1]) for row in await world.store.rows("SELECT used, held FROM meter")]


async def test_of_two_calls_at_once_one_gets_the_sixty_seconds(world: HttpWorld) -> None:
    replies = [good(each) for each in await asyncio.gather(*(world.ask(f"c{n}", account=EMPTY) for n in range(2)))]
    assert sorted(reply["result"] for reply in replies) == ["denied", "granted"]
    granted = next(reply for reply in replies if reply["result"] == "granted")
    refused = next(reply for reply in replies if reply["result"] == "denied")
    assert (granted["quota_seconds"], granted["reserved"]) == (60, "0.00")
    assert refused["reason"] == "balance_insufficient"


async def test_two_calls_by_updates_are_granted_exactly_sixty_seconds_in_all(world: HttpWorld) -> None:
    names = ("c1", "c2")
    asked = await asyncio.gather(*(world.ask(name, account=EMPTY, updates=True) for name in names))
    quota = {name: good(reply)["quota_seconds"] for name, reply in zip(names, asked, strict=True)}
    await asyncio.gather(*(world.report("answer", name) for name in names))
    spoken = 0
    while True:
        spoken += 5
        world.wait(5)
        told = await asyncio.gather(*(world.report("update", name, duration_seconds=spoken) for name in names))
        more = {name: good(reply)["quota_seconds"] for name, reply in zip(names, told, strict=True)}
        if more == quota and spoken > 40:
            break
        quota = more
    assert sum(quota.values()) == 60
    ends = [good(await world.report("end", name, duration_seconds=quota[name])) for name in names]
    assert [end["charge"] for end in ends] == ["0.00", "0.00"]
    assert await used(world) == [(60, 0)]
    assert (await world.standing(EMPTY)).balance == parse_nano("0.005")


async def test_a_call_goes_on_in_money_from_the_second_the_bundle_ends(world: HttpWorld) -> None:
    sold(world, "alice", UK_60)
    asked: dict[str, Any] = good(await world.ask("c1"))
    assert (asked["quota_seconds"], asked["reserved"]) == (180, "1.20")
    good(await world.report("answer"))
    world.wait(45)
    running = good(await world.report("update", duration_seconds=45))
    assert running["charged"] == "0.00"
    world.wait(45)
    running = good(await world.report("update", duration_seconds=90))
    assert running["charged"] == "0.30"
    assert good(await world.report("end", duration_seconds=90))["charge"] == "0.30"
    assert await used(world) == [(60, 0)]
    (record,) = [row async for _, row in world.store.records("main", 0, 10)]
    assert (record.bundle, record.bundle_units, record.billed_seconds) == ("uk-60", 60, 30)


async def test_an_explanation_holds_nothing_and_tells_what_is_left(world: HttpWorld) -> None:
    good(await world.ask("c1", account=EMPTY))
    good(await world.report("answer"))
    world.wait(20)
    good(await world.report("end", duration_seconds=20))
    told = good(await world.send("POST", "/v1/authorize?explain=true", "switch", json={
        "call_id": "c2", "account": EMPTY, "from": "15551230001", "to": "442071231234", "direction": "outbound",
    }))  # fmt: skip
    assert (told["result"], told["quota_seconds"]) == ("granted", 40)
    assert any(rule["rule"] == "bundle" and rule["detail"].startswith("40 of") for rule in told["rules"])
    assert await used(world) == [(20, 0)]
