"""Routes over HTTP: their order and why, fail-over by ``route``, carriers' calls a second, grades from a real store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.authorize.quality import SAMPLE_MIN, WINDOW_HOURS
from daemon.charging.configuration import CarrierSpec, RateTableSpec
from daemon.kernel.ids import Key
from daemon.kernel.money import NANO, parse_nano
from daemon.store.qualities import qualities, regraded
from tests.unit.http_api.http_world import (
    BUY_DECK,
    DECKS,
    FRANCE,
    OBJECTS,
    HttpWorld,
    account,
    good,
    http_world,
    question,
)

pytestmark = pytest.mark.virtual_time

DEAR = Key("main", "dear-buy")
ALIKE = (CarrierSpec("main", "other", "buy", "sofia/gateway/other/{number}"),)
DEARER = (CarrierSpec("main", "dear", "dear-buy", "sofia/gateway/dear/{number}"),)


@asynccontextmanager
async def routed(folder: Path, *more: Any) -> AsyncIterator[HttpWorld]:
    """Give a world with carriers beside the one that it has; the later of two of one id counts."""
    table = RateTableSpec("main", "dear-buy", "USD")
    decks = {**DECKS, DEAR: BUY_DECK.replace("0.10", "0.65")}
    objects = {(type(each), each.tenant, each.id) if hasattr(each, "tenant") else each: each for each in OBJECTS}
    objects |= {(type(each), each.tenant, each.id): each for each in more}
    async with http_world(folder, objects=[table, *objects.values()], decks=decks) as world:
        yield world


def names(granted: dict[str, Any]) -> list[str]:
    return [route["carrier"] for route in granted["routes"]]


async def used(world: HttpWorld) -> dict[str, int]:
    """Return the channels in use of each carrier."""
    query = "SELECT id, channels_out FROM account WHERE role = 'carrier' ORDER BY id"
    return dict(await world.store.rows(query))


async def attempts(world: HttpWorld) -> dict[str, list[int]]:
    query = (
        "SELECT id, sum(attempts), sum(answered), sum(seconds) FROM carrier_tally"
        " JOIN account ON number = carrier GROUP BY id"
    )
    return {name: counts for name, *counts in await world.store.rows(query)}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HttpWorld]:
    loss = account("alice", "1.20", margin_floor_percent=-50 * NANO)
    async with routed(tmp_path, *DEARER, account("loss", margin_floor_percent=-50 * NANO), loss) as made:
        yield made


async def test_the_route_in_the_answer_moves_channel_and_cost_of_one_reservation(world: HttpWorld) -> None:
    assert names(good(await world.ask())) == ["cheap", "dear"]
    assert await used(world) == {"cheap": 1, "dear": 0}
    before = await world.standing()
    good(await world.report("answer", route=2))
    assert await used(world) == {"cheap": 0, "dear": 1}
    assert (await world.standing()).reserved == before.reserved
    world.wait(60)
    good(await world.report("end", duration_seconds=60))
    (record,) = [each async for _, each in world.store.records("main", 0, 1 << 40)]
    assert (record.carrier, record.charge, record.cost) == ("dear", parse_nano("0.60"), parse_nano("0.65"))
    assert await attempts(world) == {"cheap": [1, 0, 0], "dear": [1, 1, 60]}
    assert await world.exceptions() == [], "its account states that it may be sold to at a loss"


async def test_the_route_in_the_end_alone_counts_too_and_a_correction_takes_back(world: HttpWorld) -> None:
    good(await world.ask("c1"))
    world.wait(30)
    good(await world.report("end", "c1", duration_seconds=30, route=2))
    assert await attempts(world) == {"cheap": [1, 0, 0], "dear": [1, 1, 30]}
    good(await world.ask("c2"))
    good(await world.report("end", "c2", answered=False, route=2))
    assert await attempts(world) == {"cheap": [2, 0, 0], "dear": [2, 1, 30]}
    good(await world.ask("c3"))
    world.wait(300)
    await world.ocf.expire_due()
    assert await attempts(world) == {"cheap": [2, 0, 0], "dear": [2, 1, 30]}, "of a grant that lapsed nobody knows"
    assert await used(world) == {"cheap": 0, "dear": 0}


async def test_a_call_that_costs_more_than_it_was_sold_for_is_listed(tmp_path: Path) -> None:
    async with routed(tmp_path, *DEARER) as world:
        assert names(good(await world.ask())) == ["cheap"]
        catalog = world.around.catalog()
        carriers = {"main": tuple(replace(each, table=DEAR) for each in catalog.carriers["main"])}
        world.around.found = replace(catalog, carriers=carriers)  # the price rose between the grant and the answer
        good(await world.report("answer"))
        world.wait(60)
        good(await world.report("end", duration_seconds=60))
        (item,) = await world.store.exceptions()
        assert (item["kind"], item["tenant"]) == ("negative_margin", "main")
        assert item["detail"] == "main/alice: sold at 0.60 USD, and cheap costs 0.65 USD: -0.05 USD"


async def test_a_carriers_calls_a_second_are_counted_where_it_is_tried(tmp_path: Path) -> None:
    slow = CarrierSpec("main", "cheap", "buy", "sofia/gateway/cheap/{number}", calls_per_second=1)
    async with routed(tmp_path, slow, *ALIKE) as world:
        other = replace(world.around.catalog().carriers["main"][1], calls_per_second=1)
        cheap = world.around.catalog().carriers["main"][0]
        assert (cheap.key.id, cheap.calls_per_second) == ("cheap", 1)
        found = {"main": (cheap, other)}
        world.around.found = replace(world.around.catalog(), carriers=found)
        first = names(good(await world.ask("c1", account="rich")))
        assert sorted(first) == ["cheap", "other"]
        assert names(good(await world.ask("c2", account="rich"))) == first[1:]
        denied = good(await world.ask("c3", account="rich"))
        assert (denied["result"], denied["reason"]) == ("denied", "calls_per_second")
        rules = good(await world.post("/v1/authorize?explain=true", question("c4", account="rich")))["rules"]
        left = [rule["detail"] for rule in rules if rule["rule"] == "carrier_calls_per_second"]
        assert "cheap: 1 calls in this second, at most 1" in left
        world.wait(1)
        good(await world.report("answer", "c1", route=2))
        assert names(good(await world.ask("c5", account="rich"))) == first[:1], "the one that was tried next counts"


async def test_attempts_become_grades_that_order_routes_and_are_told(tmp_path: Path) -> None:
    async with routed(tmp_path, *ALIKE) as world:
        for number in range(3 * SAMPLE_MIN):
            order = names(good(await world.ask(f"c{number}", account="rich")))
            # The one never answers, and the other always does; who is first is drawn.
            good(await world.report("answer", f"c{number}", route=1 + order.index("other")))
        assert await qualities(world.store) == {}
        found = await regraded(world.store, world.around.now)
        assert await qualities(world.store) == found
        world.around.found = replace(world.around.catalog(), quality=found)
        numbers = {each.key.id: each.number for each in world.around.catalog().carriers["main"]}
        cheap, other = (found[numbers[name], "442"] for name in ("cheap", "other"))
        assert (cheap.asr, other.asr, other.attempts) == (0, 1_000, 3 * SAMPLE_MIN)
        orders = [names(good(await world.ask(f"e{number}", account="rich"))) for number in range(8)]
        assert orders == [["other", "cheap"]] * 8
        rules = good(await world.post("/v1/authorize?explain=true", question("x", account="rich")))["rules"]
        places = [rule["detail"] for rule in rules if rule["rule"] == "carrier"]
        assert places == [
            "carriers with a valid rate: 2",
            "1. other: 0.10 USD for the first minute, ASR 100.0 % of 150 (grade 10), ACD 0 s (grade 0), weight 1",
            f"2. cheap: 0.10 USD for the first minute, ASR 0.0 % of {cheap.attempts} (grade 0), ACD 0 s (grade 0),"
            " weight 1",
        ]
        asked = await world.post("/v1/authorize?explain=true", question("x", account="rich", to=FRANCE))
        elsewhere = [rule["detail"] for rule in good(asked)["rules"] if rule["rule"] == "carrier"][1:]
        assert all("fewer than 50 attempts in 24 hours, weight 1" in detail for detail in elsewhere)
        hidden = await world.post("/v1/authorize?explain=true", question("x", account="rita"), "ray-switch")
        assert "ASR" not in hidden.text
        world.wait((WINDOW_HOURS + 1) * 3_600)
        assert await regraded(world.store, world.around.now) == {} == await qualities(world.store)
        assert await world.store.rows("SELECT count(*) FROM carrier_tally") == [(0,)]
