"""Links to a manager break, switches and daemons go away and come back: unknown is not gone, a call is charged once."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.asterisk import link as link_module
from daemon.asterisk import session as session_module
from daemon.asterisk import switch as switch_module
from daemon.asterisk.adapter import AsteriskAdapter
from daemon.authorize.catalog import Status
from daemon.charging.call import CallState, SettledBy
from daemon.charging.session import ChargingSettings
from daemon.kernel.instant import SECOND
from daemon.kernel.money import parse_nano
from tests.integration.asterisk_world import ASTERISK, UK, answered, running
from tests.integration.esl_world import until

pytestmark = pytest.mark.virtual_time

CENT = parse_nano("0.01")  # a second to 44 costs it
LONG = ChargingSettings(slice_seconds=300, block_seconds_min=30, ring_seconds=60)


async def test_what_ends_meanwhile_is_settled_at_its_last_proof_of_life_and_what_runs_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00", LONG) as (world, switch):
        stays, ends = await answered(world, switch), await answered(world, switch)
        await asyncio.sleep(3.2)
        await switch.close_links()
        await until(lambda: not world.is_linked)
        await asyncio.sleep(2)
        switch.hang_up(ends)
        await asyncio.sleep(2)
        await switch.listen()
        await world.linked(10)
        await asyncio.sleep(1)
        (record,) = await world.records()
        assert (record.call_id, record.settled_by) == (ends.uniqueid, SettledBy.RECOVERY.value)
        assert record.duration_us < ends.talked_us, "nobody proved what came after the link was lost"
        assert [item["kind"] for item in await world.exceptions()] == ["recovery"]
        assert not stays.over.is_set()
        switch.hang_up(stays)
        await world.settled()
        assert [each.duration_us for each in await world.records() if each.call_id == stays.uniqueid] == [
            stays.talked_us
        ]
        assert not [name for name, _ in switch.actions if name == "Hangup"], "nobody was out of money"


async def test_a_timer_is_set_anew_after_the_link_was_lost(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00", LONG) as (world, switch):
        call = await answered(world, switch)
        await switch.close_links()
        await until(lambda: not world.is_linked)
        switch.arm(call, 2.0)  # the switch restarted its timers, or somebody set another
        await switch.listen()
        await world.linked(10)
        await asyncio.sleep(3)
        assert not call.over.is_set()
        switch.hang_up(call)
        await world.settled()


async def test_a_call_that_was_answered_while_nobody_listened_is_charged_from_its_answer(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00", LONG) as (world, switch):
        call = switch.call()
        await switch.ask(call, world.agi, "acme", UK)
        switch.ring(call)
        await asyncio.sleep(0.5)
        await switch.close_links()
        await until(lambda: not world.is_linked)
        await asyncio.sleep(1)
        switch.answer(call)
        await asyncio.sleep(2)
        await switch.listen()
        await world.linked(10)
        await asyncio.sleep(2)
        switch.hang_up(call)
        await world.settled()
        (record,) = await world.records()
        assert abs(record.duration_us - call.talked_us) < 1_000
        assert record.charge == -(-call.talked_us // SECOND) * CENT


async def test_a_granted_call_that_is_gone_without_a_word_is_void_and_listed(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00", LONG) as (world, switch):
        call = switch.call()
        await switch.ask(call, world.agi, "acme", UK)
        await switch.close_links()
        await until(lambda: not world.is_linked)
        switch.hang_up(call)
        await switch.listen()
        await world.linked(10)
        await world.settled()
        assert await world.records() == []
        assert [item["kind"] for item in await world.exceptions()] == ["recovery"]
        assert await world.standing("acme") == (parse_nano("25.00"), 0, 0)


async def test_a_daemon_that_starts_anew_takes_its_calls_over(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00", LONG) as (world, switch):
        talks, rings = await answered(world, switch), switch.call()
        await switch.ask(rings, world.agi, "acme", UK)
        switch.ring(rings)
        await asyncio.sleep(1)
        await world.restart(switch.port)
        await until(lambda: world.tally.counts["tollway_reports_total", "asterisk", "adopted"] == 1)
        await asyncio.sleep(1)
        switch.answer(rings)
        await asyncio.sleep(2)
        switch.hang_up(talks)
        switch.hang_up(rings)
        await world.settled()
        records = {record.call_id: record.duration_us for record in await world.records()}
        assert records == {talks.uniqueid: talks.talked_us, rings.uniqueid: rings.talked_us}
        assert await world.exceptions() == []


async def test_money_that_ends_while_the_link_is_away_is_cut_by_the_switch(tmp_path: Path) -> None:
    async with running(tmp_path, "0.04") as (world, switch):
        call = await answered(world, switch)
        await asyncio.sleep(0.5)
        await switch.close_links()
        await asyncio.wait_for(call.over.wait(), 20)
        await switch.listen()
        await world.linked(20)
        await world.settled()
        (record,) = await world.records()
        assert record.charge <= 4 * CENT
        assert (await world.standing("acme"))[1:] == (0, 0)


async def test_a_question_while_the_link_is_away_gets_the_whole_grant_and_is_charged_when_it_is_back(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, "0.30", LONG) as (world, switch):
        await switch.close_links()
        await until(lambda: not world.is_linked)
        call = switch.call()
        told = await switch.ask(call, world.agi, "acme", UK)
        assert (told["TOLLWAY_QUOTA_SECONDS"], told["TOLLWAY_LIMIT"]) == ("30", "L(30000)")
        await switch.listen()
        await world.linked(20)
        switch.answer(call)
        await asyncio.sleep(2.5)
        switch.hang_up(call)
        await world.settled()
        (record,) = await world.records()
        assert record.charge == 3 * CENT


async def test_a_wrong_secret_is_said_plainly_and_tried_again_slowly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path, "25.00", spec=replace(ASTERISK, secret="")) as (world, switch):
        await world.stop()
        world.asterisk = replace(ASTERISK, secret="of another switch")
        world.start(switch.port)
        await asyncio.sleep(switch_module.REFUSED_SECONDS * 2.5)
        assert world.discarded("ami", "login_refused") == 3
        told = capsys.readouterr().out
        assert "the manager refuses user tollway: Authentication failed; see username and secret" in told
        assert "of another switch" not in told
        assert "of another switch" not in str(switch.actions), "the secret itself is never sent"
        switch.secret = "of another switch"
        await world.linked(switch_module.REFUSED_SECONDS + 1)


async def test_a_switch_that_answers_no_more_is_let_go_and_tried_again(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00", LONG) as (world, switch):
        switch.deaf = True
        await asyncio.sleep(link_module.PING_SECONDS + link_module.REPLY_SECONDS + 1)
        assert not world.is_linked
        switch.deaf = False
        await world.linked(30)


async def test_a_switch_that_answers_no_more_while_its_timer_is_moved_stops_nobody(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00", LONG) as (world, switch):
        call = await answered(world, switch)
        await asyncio.sleep(LONG.slice_seconds - session_module.AHEAD_SECONDS_MAX - 0.3)
        switch.deaf = True
        async with asyncio.timeout(60):
            await until(lambda: not world.is_linked)
            switch.deaf = False
            await world.linked(30)
        switch.hang_up(call)
        await world.settled()


async def test_an_answer_that_is_heard_after_the_hang_up_begins_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00", LONG) as (world, switch):
        call = switch.call()
        await switch.ask(call, world.agi, "acme", UK)
        switch.ring(call)
        switch.hang_up(call)
        switch.answer(call)
        await asyncio.sleep(1)
        await world.settled()
        assert await world.records() == []
        (stored,) = await world.calls(call.uniqueid)
        assert stored.state is CallState.VOIDED


async def test_two_accounts_calls_of_one_account_end_together_when_money_is_short(tmp_path: Path) -> None:
    async with running(tmp_path, "0.12", ChargingSettings(slice_seconds=2, block_seconds_min=1)) as (world, switch):
        first, second = await answered(world, switch), await answered(world, switch)
        await asyncio.wait_for(asyncio.gather(first.over.wait(), second.over.wait()), 60)
        await world.settled(20)
        assert abs(first.ended_at - second.ended_at) < 2 * SECOND
        assert sum(record.charge for record in await world.records()) == 12 * CENT
        assert await world.standing("acme") == (0, 0, 0)


async def test_a_closed_switch_is_neither_connected_nor_answered(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00", LONG) as (world, switch):
        configured = [replace(ASTERISK, port=switch.port)]
        adapter = AsteriskAdapter(
            world.ocf, world.store, world.store.claimed, lambda: configured, world.outside, world.tally
        )
        following = asyncio.create_task(adapter.run())
        await until(lambda: adapter.links_up() == {ASTERISK.id: True})
        assert adapter.serves("127.0.0.1")
        configured[0] = replace(configured[0], status=Status.CLOSED)
        await until(lambda: not adapter.links_up())
        assert not adapter.serves("127.0.0.1")
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_a_switch_that_is_taken_out_keeps_its_calls_up(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00", LONG) as (world, switch):
        call = await answered(world, switch)
        await world.stop()
        assert not call.over.is_set()
        assert len(await world.store.open_calls()) == 1
