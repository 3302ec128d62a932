"""Live calls whose prices come from a scenario's own keys: bands within a call, a plan that takes over, own prices."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.authorize.catalog import Emergency
from daemon.charging.configuration import (
    ClassOfServiceSpec,
    OverrideSpec,
    PlanFrom,
    RatePlanSpec,
    RateTableSpec,
    TimeBandSpec,
)
from daemon.kernel.ids import Key
from daemon.kernel.instant import SECOND
from daemon.kernel.money import parse_nano
from daemon.store.objects import Spec
from tests.decks import read_deck
from tests.unit.http_api.http_world import FRANCE, GERMANY, START, UK, HttpWorld, account, good, http_world

pytestmark = pytest.mark.virtual_time

TAKEOVER = START + 100 * SECOND
# START is Monday 2026-09-21 10:13:20 in New York: the band ends after forty seconds.
OBJECTS: list[Spec] = [
    TimeBandSpec("main", "peak", ("mon-fri 08:00-10:14",), ("2026-09-22",)),
    TimeBandSpec("main", "trap", ("mon 10:44-10:45",)),
    RateTableSpec("main", "banded", "USD", "America/New_York", split_bands=True),
    RateTableSpec("main", "later", "USD"),
    RatePlanSpec("main", "now", ("banded",)),
    RatePlanSpec("main", "next", (), "later-base", markup_percent=100 * 10**9),
    RatePlanSpec("main", "later-base", ("later",)),
    ClassOfServiceSpec("main", "office", block=("44909",)),
    account("italian", "1.20", rate_plan=(PlanFrom("now"),)),
    account(
        "acme", "1000.00", rate_plan=(PlanFrom("now"), PlanFrom("next", TAKEOVER)), class_of_service="office",
        overrides=(OverrideSpec("33", parse_nano("0.12")),),
    ),
]  # fmt: skip
DECKS = {
    "banded": "prefix,destination,rate,first_seconds,next_seconds,time_band\n44,UK,0.60,,,peak\n44,UK,0.30,,,\n"
              "33,France,0.60,60,60,\n49,Germany,0.60,,,peak\n39,Italy,0.01,1800,1800,\n39,Italy,10,1800,1800,trap\n",
    "later": "prefix,destination,rate\n44,UK,0.60\n",
}  # fmt: skip


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HttpWorld]:
    async with http_world(tmp_path) as made:
        decks = {Key("main", name): read_deck(text, name)[0] for name, text in DECKS.items()}
        await made.store.apply(OBJECTS, decks, who="test")
        await follow(made)
        yield made


async def follow(world: HttpWorld) -> None:
    """Let the daemon see what the store holds now."""
    world.around.found = await world.store.load_catalog(Emergency())


async def ask(world: HttpWorld, call: str, to: str) -> dict[str, object]:
    return good(await world.ask(call, "unrouted", account="acme", to=to))


async def charge(world: HttpWorld, call: str, seconds: int) -> object:
    good(await world.report("answer", call, "unrouted"))
    world.wait(seconds)
    return good(await world.report("end", call, "unrouted", duration_seconds=seconds))["charge"]


async def test_a_call_is_split_where_its_band_ends(world: HttpWorld) -> None:
    granted = await ask(world, "c1", UK)
    # Two hours at 1.20 a minute: the plan that takes over while it may still ring is the dearest.
    assert (granted["quota_seconds"], granted["reserved"]) == (7200, "144.00")
    assert await charge(world, "c1", 60) == "0.50", "40 s at 0.60 a minute and 20 s at 0.30"
    assert await world.balance("acme") == "999.50"
    assert (await world.standing("acme")).reserved == 0


async def test_a_plan_takes_over_at_its_second(world: HttpWorld) -> None:
    world.wait(99)
    first, second = await ask(world, "c1", UK), await ask(world, "c2", UK)
    assert first["result"] == second["result"] == "granted"
    world.wait(0.999999)
    good(await world.report("answer", "c1", "unrouted"))
    world.wait(0.000001)
    good(await world.report("answer", "c2", "unrouted"))
    world.wait(30)
    ends = [good(await world.report("end", call, "unrouted", duration_seconds=30)) for call in ("c1", "c2")]
    assert [end["charge"] for end in ends] == ["0.15", "0.60"], "0.30 a minute before, 0.60 and 100 percent since"


async def test_an_account_has_prices_of_its_own(world: HttpWorld) -> None:
    granted = await ask(world, "c1", FRANCE)
    sell = granted["sell"]
    assert isinstance(sell, dict)
    assert (sell["prefix"], sell["rate"], sell["first_seconds"]) == ("33", "0.12", 60)
    assert await charge(world, "c1", 61) == "0.24"


async def test_its_class_of_service_blocks_a_longer_prefix(world: HttpWorld) -> None:
    denied = await ask(world, "c1", "449091234567")
    assert (denied["result"], denied["reason"]) == ("denied", "destination_blocked")


async def test_a_time_without_a_band_is_unrated_and_says_so(world: HttpWorld) -> None:
    assert (await ask(world, "c1", GERMANY))["result"] == "granted"
    world.wait(40)
    assert (await ask(world, "c2", GERMANY))["reason"] == "destination_unrated"
    body = {"call_id": "c3", "account": "acme", "from": "1", "to": GERMANY, "direction": "outbound"}
    told = (await world.post("/v1/authorize?explain=true", body, "unrouted")).text
    assert "prefix 49 of banded is priced by time, and no band of it holds this time" in told


async def test_an_edited_band_changes_the_next_call(world: HttpWorld) -> None:
    whole_day = TimeBandSpec("main", "peak", ("mon-sun 00:00-24:00",))
    await world.store.apply([whole_day], {}, who="test")
    await follow(world)
    await ask(world, "c1", UK)
    assert await charge(world, "c1", 60) == "0.60"


async def test_a_dearer_price_at_answer_shortens_the_grant_to_what_can_be_paid(world: HttpWorld) -> None:
    granted = good(await world.ask("c1", "unrouted", account="italian", to="393331234567"))
    assert (granted["quota_seconds"], granted["reserved"]) == (7200, "1.20"), granted
    world.wait(50)
    answered = good(await world.report("answer", "c1", "unrouted"))
    assert answered["quota_seconds"] == 1800, "the second block would begin in the dear minute"
    standing = await world.standing("italian")
    assert standing.reserved == parse_nano("0.30")
    assert standing.reserved <= standing.balance
