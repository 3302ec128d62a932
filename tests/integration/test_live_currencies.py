"""Live calls over a chain of two currencies, by HTTP and by RADIUS: every level in its own, the ledger in both.

A reseller keeps his customers in euro and owes the owner dollars; a carrier is paid in pounds. On a real store.
"""

import csv
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.authorize.catalog import AccountKind, Emergency
from daemon.billing_export.export import run_exports
from daemon.billing_export.source import StoreSource
from daemon.billing_export.verify import verify_exports
from daemon.charging.configuration import (
    AccountSpec,
    CarrierSpec,
    ConversionSpec,
    EndpointSpec,
    PlanFrom,
    RatePlanSpec,
    RateTableSpec,
    TenantSpec,
)
from daemon.kernel.ids import Key
from daemon.kernel.instant import DAY, SECOND, format_rfc3339
from daemon.kernel.money import NANO, format_nano, parse_nano
from daemon.radius.packet import Packet
from daemon.store.check import check_file
from daemon.store.objects import Refused, Spec
from tests.decks import read_deck
from tests.integration import radius_world, store_world
from tests.unit.http_api.http_world import START, HttpWorld, account, good, http_world

TAKEOVER = START + 100 * SECOND
DOLLARS = ConversionSpec("main", "USD", "EUR", parse_nano("0.92"), START - DAY)
POUNDS = ConversionSpec("main", "GBP", "USD", parse_nano("1.25"), START - DAY)
EUROS = ConversionSpec("main", "EUR", "USD", parse_nano("1.10"), START - DAY)
OBJECTS: list[Spec] = [
    TenantSpec("eva", "EUR", parent="main", account="eva-trunk"),
    DOLLARS, replace(DOLLARS, rate=parse_nano("0.95"), begins=TAKEOVER), POUNDS, EUROS,
    RateTableSpec("main", "pounds", "GBP"), RateTableSpec("eva", "retail", "EUR"), RateTableSpec("main", "euro", "EUR"),
    RatePlanSpec("eva", "retail", ("retail",)), RatePlanSpec("main", "euro", ("euro",)),
    CarrierSpec("main", "pound", "pounds", "sofia/gateway/pound/{number}"),
    account("eva-trunk", "0", kind=AccountKind.POSTPAID, credit_limit=100 * NANO, rate_plan=(PlanFrom("trunk"),)),
    account("erna", "5.00", "eva", currency="EUR", margin_floor_percent=50 * NANO),
    account("olga", "6.60", rate_plan=(PlanFrom("euro"),)),
]  # fmt: skip
DECKS = {
    Key("main", "pounds"): "prefix,rate\n44,0.05\n", Key("eva", "retail"): "prefix,destination,rate\n44,UK,0.60\n",
    Key("main", "euro"): "prefix,destination,rate\n44,UK,0.60\n",
}  # fmt: skip


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HttpWorld]:
    async with http_world(tmp_path) as made:
        await made.store.apply(OBJECTS, {key: read_deck(text, "d")[0] for key, text in DECKS.items()}, who="test")
        await follow(made)
        yield made
    assert check_file(tmp_path / "tollway.db") == []


async def follow(world: HttpWorld) -> None:
    """Let the daemon see what the store holds now."""
    world.around.found = await world.store.load_catalog(Emergency())


async def talked(world: HttpWorld, payer: str, ring: int = 10, seconds: int = 90) -> str:
    """Return the charge that the end of one whole call tells."""
    asked = good(await world.ask(account=payer))
    assert asked["result"] == "granted", asked
    world.wait(ring)
    good(await world.report("answer"))
    world.wait(seconds)
    return str(good(await world.report("end", duration_seconds=seconds))["charge"])


async def lines(world: HttpWorld, folder: Path) -> list[dict[str, str]]:
    """Return the lines of all tenants' first batch, each file of which is found good."""
    results = await run_exports(StoreSource(world.store), folder, world.around.now)
    assert await verify_exports(StoreSource(world.store), folder, "main") == []
    assert await verify_exports(StoreSource(world.store), folder, "eva") == []
    found = []
    for result in results:
        path = folder / result.tenant / f"{result.tenant}-00000001" / "usage.csv"
        found += list(csv.DictReader(path.read_text().splitlines(), strict=True))
    return found


async def test_every_level_pays_in_its_own_currency(world: HttpWorld, tmp_path: Path) -> None:
    asked = good(await world.ask(account="eva/erna"))
    assert (asked["quota_seconds"], asked["reserved"], asked["currency"]) == (
        500,
        "2.50",
        "USD",
    )  # the asker's own level
    assert [route["carrier"] for route in asked["routes"]] == ["pound", "cheap"]  # 0.0625 and 0.10 USD a minute
    assert (await world.standing("eva-trunk")).reserved == parse_nano("2.50")
    world.wait(10)
    good(await world.report("answer"))
    world.wait(90)
    end = good(await world.report("end", duration_seconds=90))
    assert (end["charge"], end["currency"]) == ("0.45", "USD")
    assert await world.balance("erna", "eva") == "4.10"
    assert await world.balance("eva-trunk") == "-0.45"
    low, high = await lines(world, tmp_path / "exports")
    names = ("account", "charge", "currency", "cost", "margin", "supplier_cost", "supplier_currency")
    assert [low[name] for name in names] == ["erna", "0.90", "EUR", "0.414", "0.486", "0.45", "USD"]
    assert [high[name] for name in names] == ["eva-trunk", "0.45", "USD", "0.09375", "0.35625", "0.075", "GBP"]
    assert (low["cost_conversion_rate"], low["cost_conversion_from"]) == ("0.92", "2026-09-20T14:13:20.000000Z")
    assert (low["conversion_rate"], low["rate_currency"], low["rounding"]) == ("", "EUR", "4 up, duration up")


async def test_a_table_in_another_currency_is_charged_in_the_accounts(world: HttpWorld, tmp_path: Path) -> None:
    asked = good(await world.ask(account="olga"))
    assert (asked["quota_seconds"], asked["reserved"], asked["currency"]) == (600, "6.60", "USD")
    assert asked["sell"]["currency"] == "EUR"
    assert asked["sell"]["conversion"] == "EUR to USD at 1.10 of 2026-09-20T14:13:20.000000Z"
    world.wait(10)
    good(await world.report("answer"))
    world.wait(30)
    assert good(await world.report("update", duration_seconds=30))["charged"] == "0.33"
    world.wait(60)
    assert good(await world.report("end", duration_seconds=90))["charge"] == "0.99"
    assert await world.balance("olga") == "5.61"
    (line,) = await lines(world, tmp_path / "exports")
    assert [line[name] for name in ("rate", "rate_currency", "conversion_rate", "charge", "currency")] == [
        "0.60", "EUR", "1.10", "0.99", "USD",
    ]  # fmt: skip
    assert line["rounding"] == "4 up after EUR to USD at 1.10 of 2026-09-20T14:13:20.000000Z, duration up"


@pytest.mark.parametrize(("ring", "cost"), [(99, "0.414"), (100, "0.4275")])
async def test_a_rate_takes_over_by_itself_for_calls_answered_from_then_on(
    world: HttpWorld, ring: int, cost: str
) -> None:
    assert await talked(world, "eva/erna", ring) == "0.45"
    records = [record async for _, record in world.store.records("eva", 0, 10)]
    assert [format_nano(record.cost) for record in records] == [cost]
    assert await world.exceptions() == []


async def test_a_margin_is_held_across_currencies(world: HttpWorld) -> None:
    # Sold at 0.60 EUR and bought at 0.30 USD with a floor of 50 percent: 0.30 EUR is what they may be worth.
    world.around.now = TAKEOVER
    worse = replace(DOLLARS, rate=parse_nano("1.01"), begins=TAKEOVER + 60 * SECOND)
    await world.store.apply([worse], {}, who="clerk")
    await follow(world)
    refused = good(await world.ask(account="eva/erna"))
    assert (refused["result"], refused["reason"]) == ("denied", "margin_below_floor")
    told = good(await world.send("POST", "/v1/authorize?explain=true", "switch", json={
        "call_id": "c2", "account": "eva/erna", "from": "1", "to": "442071231234", "direction": "outbound",
    }))  # fmt: skip
    assert (told["result"], told["reason"]) == ("denied", "margin_below_floor")


async def test_an_expired_rate_refuses_and_what_runs_is_charged_and_listed(world: HttpWorld) -> None:
    end = replace(EUROS, ends=START + 20 * SECOND)
    await world.store.apply([end], {}, who="clerk")
    await follow(world)
    assert await talked(world, "olga", ring=30) == "0.99"
    assert await world.exceptions() == ["conversion_lapsed"]
    refused = good(await world.ask("c2", account="olga"))
    assert (refused["result"], refused["reason"]) == ("denied", "destination_unrated")


async def test_what_was_in_force_is_never_altered(world: HttpWorld) -> None:
    for spec, told in (
        (replace(EUROS, rate=1), "cannot be changed"),
        (replace(EUROS, ends=START - 1), "not before now"),
        (replace(EUROS, begins=START - 1), "in force since then"),
    ):
        with pytest.raises(Refused, match=told):
            await world.store.apply([spec], {}, who="clerk")
    assert (await world.store.apply(OBJECTS, {}, who="clerk")).is_empty
    with pytest.raises(Refused, match="no conversion from EUR to CHF is stated for main"):
        await world.store.create_object(
            account("urs", rate_plan=(PlanFrom("euro"),), currency="CHF"), who="x", reason="y"
        )


URS = account("urs", rate_plan=(PlanFrom("euro"),), currency="CHF")
EVE = AccountSpec(
    "main", "eve", AccountKind.PREPAID, "USD", balance=parse_nano("6.60"), rate_plan=(PlanFrom("euro"),),
    identities=(EndpointSpec(sip_user="eve", password="hello"),),
)  # fmt: skip
CALL = [("User-Name", "eve"), ("Called-Station-Id", "442079460000"), ("Acct-Session-Id", "s-1")]


async def test_a_radius_switch_is_told_the_seconds_that_the_converted_price_buys(tmp_path: Path) -> None:
    began = radius_world.START - DAY
    objects: list[Spec] = [
        replace(EUROS, begins=began), RateTableSpec("main", "euro", "EUR"), RatePlanSpec("main", "euro", ("euro",)),
        EVE,
    ]  # fmt: skip
    async with radius_world.world(tmp_path) as here:
        rows = read_deck("prefix,destination,rate\n44,UK,0.60\n", "euro.csv")[0]
        await here.store.apply(objects, {Key("main", "euro"): rows}, who="test")
        await here.reload()
        async with radius_world.socket() as switch:
            question = radius_world.access([*CALL, ("User-Password", "hello")])
            reply: Packet = radius_world.read(await switch.ask(question, here.port("auth")))
            assert (reply.code, int.from_bytes(reply.first(27) or b"")) == (2, 600)
            stamp = ("Event-Timestamp", str(here.now // SECOND))
            start = radius_world.accounting([("Acct-Status-Type", "Start"), *CALL, stamp])
            assert radius_world.read(await switch.ask(start, here.port("acct"))).code == 5
            here.wait(90)
            stop = [("Acct-Status-Type", "Stop"), *CALL, ("Acct-Session-Time", "90")]
            assert radius_world.read(await switch.ask(radius_world.accounting(stop, 2), here.port("acct"))).code == 5
        (record,) = await here.records()
        assert (record.charge, record.currency, record.rate_currency) == (parse_nano("0.99"), "USD", "EUR")
        view = await here.store.account_view(Key("main", "eve"))
        assert view is not None
        assert view.standing.balance == parse_nano("5.61")
    assert check_file(tmp_path / "tollway.db") == []


@pytest.mark.parametrize("stated", [TAKEOVER, TAKEOVER + DAY, START - DAY])
async def test_a_price_that_takes_over_while_the_call_rings_is_held_by_whatever_rate_it_is_charged(
    tmp_path: Path, stated: int
) -> None:
    """The rate may come into force with the price, before it, or not yet be in force at all."""
    dated = format_rfc3339(TAKEOVER)
    texts = {"euro": f"prefix,rate,effective_from\n44,6.00,{dated}\n", "dollar": "prefix,rate\n44,0.60\n"}
    objects: list[Spec] = [
        RateTableSpec("main", "euro", "EUR"), RateTableSpec("main", "dollar", "USD"),
        RatePlanSpec("main", "both", ("euro", "dollar")), ConversionSpec("main", "EUR", "USD", 2 * NANO, stated),
        AccountSpec("main", "bob", AccountKind.PREPAID, "USD", balance=NANO, rate_plan=(PlanFrom("both"),)),
    ]  # fmt: skip
    decks = {Key("main", name): read_deck(text, "d")[0] for name, text in texts.items()}
    bob = Key("main", "bob")
    async with store_world.opened(tmp_path) as world:
        await world.store.apply(objects, decks, who="test")
        await world.load()
        world.now = TAKEOVER - 10 * SECOND
        granted = await world.ask("c1", bob)
        assert granted.seconds == 5
        assert granted.reserved == NANO
        world.now = TAKEOVER + 5 * SECOND
        await world.answer("c1", bob)
        world.now += 5 * SECOND
        ended = await world.end("c1", 5, bob)
        assert (ended.posted[0].charge, ended.posted[0].uncollected) == (NANO, 0)
