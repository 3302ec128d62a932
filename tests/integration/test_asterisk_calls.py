"""Calls of an Asterisk from the question to the settlement, over real sockets to a double of one."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.charging.call import SettledBy
from daemon.kernel.instant import SECOND
from daemon.kernel.money import parse_nano
from tests.asterisk_double.double import ANSWERS, ENDS
from tests.integration.asterisk_world import ASTERISK, QUICK, UK, answered, running

pytestmark = pytest.mark.virtual_time

CENT = parse_nano("0.01")  # a second to 44 costs it


async def test_a_call_is_charged_once_from_answer_to_hang_up(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00") as (world, switch):
        call = await answered(world, switch)
        await asyncio.sleep(3.4)
        switch.hang_up(call)
        await world.settled()
        (record,) = await world.records()
        assert (record.call_id, record.duration_us, record.cause) == (call.uniqueid, call.talked_us, "16")
        assert (record.charge, record.source, record.switch) == (4 * CENT, "asterisk", "ast1")
        assert await world.standing("acme") == (parse_nano("25.00") - 4 * CENT, 0, 0)
        assert await world.exceptions() == []


async def test_money_that_ends_ends_the_call_and_every_second_was_paid(tmp_path: Path) -> None:
    async with running(tmp_path, "0.05") as (world, switch):
        call = await answered(world, switch)
        await asyncio.wait_for(call.over.wait(), 20)
        await world.settled()
        (record,) = await world.records()
        assert 5 * SECOND <= call.talked_us < 5.4 * SECOND
        assert (call.cause, record.settled_by, record.charge) == ("102", SettledBy.OWN_LIMIT.value, 5 * CENT)
        assert await world.standing("acme") == (0, 0, 0)


async def test_the_timer_in_the_switch_is_moved_with_each_slice_and_cuts_where_the_daemon_is_away(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, "25.00") as (world, switch):
        call = await answered(world, switch)
        await asyncio.sleep(4.5)
        timers = [fields["Timeout"] for name, fields in switch.actions if name == "AbsoluteTimeout"]
        assert len(timers) >= 3
        assert all(float(each) <= QUICK.slice_seconds + 0.5 for each in timers[:1])
        await world.stop()
        await asyncio.wait_for(call.over.wait(), 20)
        assert call.cause == "16", "not by a Hangup of ours"
        world.start(switch.port)
        await world.linked()
        await world.settled()
        (record,) = await world.records()
        assert record.settled_by == SettledBy.RECOVERY.value
        assert record.charge <= -(-call.talked_us // SECOND) * CENT


async def test_a_refused_call_is_told_why_and_nothing_of_an_earlier_grant_is_left(tmp_path: Path) -> None:
    async with running(tmp_path, "0.00") as (world, switch):
        stale = {"TOLLWAY_RESULT": "GRANTED", "TOLLWAY_QUOTA_MS": "999000", "TOLLWAY_ROUTES": "PJSIP/1@x"}
        told = await switch.ask(switch.call(), world.agi, "acme", UK, stale)
        assert told == {
            "TOLLWAY_RESULT": "DENIED", "TOLLWAY_REASON": "balance_insufficient", "TOLLWAY_CAUSE": "21",
            "TOLLWAY_QUOTA_SECONDS": "", "TOLLWAY_QUOTA_MS": "", "TOLLWAY_LIMIT": "", "TOLLWAY_ROUTES": "",
        }  # fmt: skip
        assert await world.standing("acme") == (0, 0, 0)


async def test_a_call_that_nobody_answers_costs_nothing_and_holds_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00") as (world, switch):
        call = switch.call()
        told = await switch.ask(call, world.agi, "acme", UK)
        assert (told["TOLLWAY_QUOTA_SECONDS"], told["TOLLWAY_QUOTA_MS"]) == ("2", "2000")
        switch.ring(call)
        switch.hang_up(call, "19")
        await world.settled()
        assert await world.records() == []
        assert await world.standing("acme") == (parse_nano("25.00"), 0, 0)


async def test_without_a_secret_the_whole_grant_is_given_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, "0.30", spec=replace(ASTERISK, secret="")) as (world, switch):
        told = await switch.ask(switch.call(), world.agi, "acme", UK)
        assert (told["TOLLWAY_RESULT"], told["TOLLWAY_QUOTA_SECONDS"]) == ("GRANTED", "30")
        assert told["TOLLWAY_LIMIT"] == "L(30000)"
        assert await world.standing("acme") == (parse_nano("0.30"), parse_nano("0.30"), 1)
        assert switch.actions == []


async def test_an_inbound_call_pays_from_its_own_answer(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00") as (world, switch):
        call = switch.call()
        call.answered_at = 1  # answered by an announcement, before it asked
        await switch.ask(call, world.agi, "acme", UK, {"TOLLWAY_DIRECTION": "inbound"})
        await asyncio.sleep(2.5)
        switch.hang_up(call)
        await world.settled()
        (record,) = await world.records()
        assert (record.direction.value, record.charge) == ("inbound", 3 * CENT)


async def test_a_caller_who_goes_on_alone_pays_until_the_called_side_left(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00") as (world, switch):
        call = await answered(world, switch)
        await asyncio.sleep(1.5)
        switch.say(call, _leaves())
        await asyncio.sleep(2)
        (record,) = await world.records()
        assert record.charge == 2 * CENT
        assert call.variables["TOLLWAY_RESULT"] == ""
        assert call.variables["TIMEOUT(absolute)"] == "0"
        switch.hang_up(call)


async def test_a_second_dial_under_a_used_grant_is_charged_and_listed(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00") as (world, switch):
        call = await answered(world, switch)
        await asyncio.sleep(1.5)
        switch.say(call, _leaves())
        await asyncio.sleep(1)
        call.called = "1795457700.999"
        switch.ring(call)
        switch.answer(call)
        await asyncio.sleep(2.5)
        switch.hang_up(call)
        await world.settled()
        assert [record.charge for record in await world.records()] == [2 * CENT, 3 * CENT]
        assert [item["kind"] for item in await world.exceptions()] == ["unauthorised"]


async def test_the_called_sides_answer_that_is_lost_is_made_up_for_by_the_bridge(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00") as (world, switch):
        call = switch.call()
        await switch.ask(call, world.agi, "acme", UK)
        switch.say(call, [each for each in ANSWERS if b"Event: BridgeEnter" in each])
        await asyncio.sleep(2.5)
        switch.hang_up(call)
        await world.settled()
        (record,) = await world.records()
        assert record.charge == 3 * CENT


async def test_a_local_channel_that_steps_out_of_its_call_ends_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00") as (world, switch):
        call = await answered(world, switch)
        await asyncio.sleep(1)
        switch.say(call, [each for each in ENDS if each.startswith(b"Event: Hangup") and b"carrier" in each])
        await asyncio.sleep(2.5)
        switch.hang_up(call)
        await world.settled()
        (record,) = await world.records()
        assert record.charge == 4 * CENT


async def test_two_ends_of_one_call_charge_it_once(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00") as (world, switch):
        call = await answered(world, switch)
        await asyncio.sleep(1.5)
        switch.hang_up(call)
        call.over.clear()
        switch.hang_up(call)
        await world.settled()
        assert len(await world.records()) == 1


async def test_a_number_is_read_as_the_switch_writes_it(tmp_path: Path) -> None:
    national = replace(ASTERISK, numbers="national", country="GB")
    async with running(tmp_path, "25.00", spec=national) as (world, switch):
        call = await answered(world, switch, number="02071231234")
        await asyncio.sleep(0.5)
        switch.hang_up(call)
        await world.settled()
        (record,) = await world.records()
        assert record.called == UK


async def test_a_person_cuts_a_call(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00") as (world, switch):
        call = await answered(world, switch)
        (stored,) = await world.store.open_calls()
        await world.ocf.cut(stored.grant_id)
        await asyncio.wait_for(call.over.wait(), 5)
        assert call.cause == "102"
        await world.settled()


def _leaves() -> list[bytes]:
    """Return what is said where the called side hangs up and the caller goes on."""
    gone = [each for each in ENDS if each.startswith(b"Event: Hangup") and b"carrier" in each]
    return [each for each in ENDS if each.startswith(b"Event: BridgeLeave")] + gone
