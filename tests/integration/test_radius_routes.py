"""Fail-over over RADIUS: the record that names its route has that carrier's cost, and a leg that failed moves on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from daemon.charging.configuration import CarrierSpec, RateTableSpec
from daemon.kernel.ids import Key
from daemon.kernel.money import parse_nano
from tests.decks import read_deck
from tests.integration.radius_world import Pairs, World, access, accounting, read, socket, world

pytestmark = pytest.mark.virtual_time

CALL: Pairs = [("User-Name", "alice"), ("Called-Station-Id", "442079460000"), ("Acct-Session-Id", "s-1")]
QUESTION: Pairs = [*CALL, ("User-Password", "hello")]
BUY = {"a": "prefix,rate\n44,0.10\n", "b": "prefix,rate\n44,0.12\n", "c": "prefix,rate\n44,0.15\n"}


@asynccontextmanager
async def routed(folder: Path, profile: str) -> AsyncIterator[World]:
    """Give a world whose owner has three carriers, and a client that is told routes."""
    async with world(folder, profile, routing=True) as here:
        decks = {}
        for name, text in BUY.items():
            decks[Key("main", f"buy-{name}")], errors = read_deck(text, f"buy-{name}.csv")
            assert not errors
        tables = [RateTableSpec("main", f"buy-{name}", "USD") for name in BUY]
        carriers = [CarrierSpec("main", name, f"buy-{name}", "{number}@" + f"192.0.2.{name}") for name in BUY]
        await here.store.apply([*tables, *carriers], decks, who="test")
        await here.reload()
        yield here


async def told(here: World, *records: Pairs, profile: str) -> None:
    """Send a question, then records, and each of them again."""
    async with socket() as switch:
        assert read(await switch.ask(access(QUESTION, profile=profile), here.port("auth"))).code == 2
        for number, record in enumerate(records):
            for again in (0, 100):
                data = accounting(record, number + again, profile)
                assert read(await switch.ask(data, here.port("acct"))).code == 5
            here.wait(1)


async def carriers(here: World) -> dict[str, tuple[int, int, int]]:
    """Return channels in use, attempts and answers of each carrier."""
    query = (
        "SELECT id, channels_out, coalesce(sum(attempts), 0), coalesce(sum(answered), 0) FROM account"
        " LEFT JOIN carrier_tally ON carrier = number WHERE role = 'carrier' GROUP BY id, channels_out ORDER BY id"
    )
    return {name: (used, attempts, answered) for name, used, attempts, answered in await here.store.rows(query)}


def stop(seconds: int, *more: tuple[str, str]) -> Pairs:
    return [("Acct-Status-Type", "Stop"), *CALL, ("Acct-Session-Time", str(seconds)), *more]


@pytest.mark.parametrize(
    ("profile", "attribute", "value"),
    [
        ("generic", "Cisco-AVPair", "tollway_route=2"),
        ("kamailio", "SIP-AVP", "tollway_route:2"),
        ("kamailio", "SIP-AVP", "tollway_route#2"),
    ],
)
async def test_the_record_that_names_its_route_moves_channel_and_cost(
    tmp_path: Path, profile: str, attribute: str, value: str
) -> None:
    mark = (attribute, value)
    async with routed(tmp_path, profile) as here:
        await told(here, [("Acct-Status-Type", "Start"), *CALL, mark], profile=profile)
        assert await carriers(here) == {"a": (0, 1, 0), "b": (1, 1, 1), "c": (0, 0, 0)}
        held = (await here.balance())[1]
        assert held, "one reservation throughout"
        here.wait(30)
        await told_again(here, stop(30, mark), profile)
        (record,) = await here.records()
        assert (record.carrier, record.cost) == ("b", parse_nano("0.06"))
        assert await carriers(here) == {"a": (0, 1, 0), "b": (0, 1, 1), "c": (0, 0, 0)}
        assert await here.exceptions() == []


async def told_again(here: World, record: Pairs, profile: str) -> None:
    async with socket() as switch:
        assert read(await switch.ask(accounting(record, 200, profile), here.port("acct"))).code == 5


async def test_without_a_route_in_its_records_a_call_is_booked_on_the_first(tmp_path: Path) -> None:
    async with routed(tmp_path, "generic") as here:
        await told(here, stop(30, ("Cisco-AVPair", "tollway_route=x")), profile="generic")
        (record,) = await here.records()
        assert (record.carrier, record.cost) == ("a", parse_nano("0.05"))
        assert await carriers(here) == {"a": (0, 1, 1), "b": (0, 0, 0), "c": (0, 0, 0)}


async def test_a_leg_of_sippy_that_failed_moves_the_call_to_the_next_route(tmp_path: Path) -> None:
    def leg(number: int, seconds: int) -> Pairs:
        mine = [("Acct-Session-Id", f"b-{number}"), ("User-Name", "alice"), ("Called-Station-Id", "442079460000")]
        told = [("h323-call-origin", "h323-call-origin=originate"), ("h323-conf-id", "h323-conf-id=AA BB CC DD")]
        return [("Acct-Status-Type", "Stop"), *mine, *told, ("Acct-Session-Time", str(seconds))]

    conf = ("h323-conf-id", "h323-conf-id=AA BB CC DD")
    async with routed(tmp_path, "sippy") as here:
        async with socket() as switch:
            question = access([*QUESTION, conf], profile="sippy")
            assert read(await switch.ask(question, here.port("auth"))).code == 2
        await told_again(here, leg(1, 0), "sippy")
        assert await carriers(here) == {"a": (0, 1, 0), "b": (1, 0, 0), "c": (0, 0, 0)}
        await told_again(here, leg(1, 0), "sippy")
        assert (await carriers(here))["b"] == (1, 0, 0), "a repeat is no other failure"
        await told_again(here, leg(2, 0), "sippy")
        await told_again(here, leg(3, 0), "sippy")
        assert await carriers(here) == {"a": (0, 1, 0), "b": (0, 1, 0), "c": (1, 0, 0)}, "there is no fourth"
        here.wait(20)
        answer = ("h323-call-origin", "h323-call-origin=answer")
        await told_again(here, stop(20, conf, answer), "sippy")
        (record,) = await here.records()
        assert (record.carrier, record.cost) == ("c", parse_nano("0.05"))
        assert await carriers(here) == {"a": (0, 1, 0), "b": (0, 1, 0), "c": (0, 1, 1)}
