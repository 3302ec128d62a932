"""Fail-over on the event socket: one reservation, the carrier's channel and cost on the leg that answers."""

from pathlib import Path

import pytest

from daemon.kernel.money import parse_nano
from tests.integration.esl_world import World, until
from tests.integration.test_esl_park import UK, ended, running
from tests.switch_double.double import Plan

pytestmark = pytest.mark.virtual_time


async def channels(world: World) -> tuple[int, int]:
    """Return the channels in use of both carriers."""
    query = "SELECT channels_out FROM account WHERE role = 'carrier' ORDER BY id"
    first, second = [row[0] for row in await world.store.rows(query)]
    return first, second


async def tallies(world: World) -> dict[str, tuple[int, int, int]]:
    """Return attempts, answers and seconds of each carrier."""
    query = (
        "SELECT id, sum(attempts), sum(answered), sum(seconds) FROM carrier_tally"
        " JOIN account ON account.number = carrier GROUP BY id ORDER BY id"
    )
    return {name: (attempts, answered, seconds) for name, attempts, answered, seconds in await world.store.rows(query)}


async def test_channel_and_cost_move_to_the_leg_that_answers(tmp_path: Path) -> None:
    async with running(tmp_path, routing=True) as (world, switch):
        call = switch.play(Plan("acme", UK, ring=0.5, talk=1.2, busy=1))
        await until(lambda: bool(call.b_created))
        assert await channels(world) == (1, 0)
        assert (await world.standing("acme"))[1] == parse_nano("0.20"), "20 s of 0.60 a minute"
        first = call.b
        await until(lambda: call.b not in ("", first))
        held = (await world.standing("acme"))[1:]
        while await channels(world) != (0, 1):
            assert not call.b_answered, "before anybody answers"
        assert (await world.standing("acme"))[1:] == held == (parse_nano("0.20"), 1), "one reservation throughout"
        await ended(call)
        await world.settled()
        (record,) = await world.records()
        assert (record.carrier, record.billed_seconds) == ("carrier-b", 2)
        assert record.cost == parse_nano("0.004"), "2 s of 0.12 a minute"
        assert await channels(world) == (0, 0)
        assert await tallies(world) == {"carrier-a": (1, 0, 0), "carrier-b": (1, 1, record.duration_us // 1_000_000)}
        assert await world.exceptions() == []


async def test_a_call_that_every_route_refuses_costs_nothing_and_counts_each(tmp_path: Path) -> None:
    async with running(tmp_path, routing=True) as (world, switch):
        call = await ended(switch.play(Plan("acme", UK, busy=2)))
        assert call.cause == "USER_BUSY"
        await world.settled()
        assert await world.records() == []
        assert await tallies(world) == {"carrier-a": (1, 0, 0), "carrier-b": (1, 0, 0)}
        assert await channels(world) == (0, 0)
        assert await world.standing("acme") == (parse_nano("25.00"), 0, 0)


async def test_an_answer_without_a_route_is_booked_on_the_first(tmp_path: Path) -> None:
    async with running(tmp_path, routing=True) as (world, switch):
        await ended(switch.play(Plan("acme", UK, talk=1.0, dials="")))  # a dialplan that marks no leg
        await world.settled()
        (record,) = await world.records()
        assert record.carrier == "carrier-a"
        assert {name: counts[:2] for name, counts in (await tallies(world)).items()} == {"carrier-a": (1, 1)}


async def test_a_route_that_was_never_granted_is_listed(tmp_path: Path) -> None:
    async with running(tmp_path, routing=True) as (world, switch):
        other = "[tollway_carrier=carrier-x,tollway_route=9]sofia/gateway/x/44"
        await ended(switch.play(Plan("acme", UK, talk=1.0, dials=other)))
        await world.settled()
        assert [record.carrier for record in await world.records()] == ["carrier-a"]
        assert [item["kind"] for item in await world.exceptions()] == ["route_unknown"]
