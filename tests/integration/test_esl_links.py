"""Links break, switches and daemons go away and come back: unknown is not gone, and each call is charged once."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.authorize.catalog import Status
from daemon.charging.call import CallState
from daemon.charging.session import ChargingSettings
from daemon.esl import link as link_module
from daemon.esl.adapter import EslAdapter
from daemon.esl.served_by import FRESH_SECONDS, VARIABLE
from daemon.esl.session import AHEAD_SECONDS_MAX
from daemon.kernel.instant import SECOND
from daemon.kernel.money import parse_nano
from tests.integration.esl_world import SWITCH, World, until
from tests.integration.test_esl_cut import FAST_DECK
from tests.integration.test_esl_cut import QUICK as RENEWING
from tests.integration.test_esl_park import UK, ended, running
from tests.switch_double.double import Plan, SwitchDouble

pytestmark = pytest.mark.virtual_time

QUICK = ChargingSettings(slice_seconds=300, block_seconds_min=30, ring_seconds=5)


class TestALinkThatIsCut:
    async def test_what_ends_meanwhile_is_settled_and_what_runs_goes_on(self, tmp_path: Path) -> None:
        async with running(tmp_path, "25.00", QUICK) as (world, switch):
            stays, ends = (switch.play(Plan("acme", UK)) for _ in range(2))
            await until(lambda: bool(stays.answered and ends.answered))
            await asyncio.sleep(1.1)
            lost_at = switch.now()
            await switch.close_links()
            await until(lambda: not world.adapter.links_up()[SWITCH.id])
            await asyncio.sleep(0.5)
            switch.hang_up(ends, "NORMAL_CLEARING")
            await asyncio.sleep(1.5)
            await switch.listen()
            await world.linked(8)
            await until(lambda: world.tally.counts["tollway_reports_total", "esl", "end"] >= 1)
            await _settled(world, ends.a)
            (record,) = await world.records()
            assert (record.call_id, record.settled_by) == (ends.a, "recovery")
            # The last proof of life is the moment at which the link was last heard.
            assert 0 <= lost_at - ends.b_answered - record.duration_us < 1_500_000
            assert [item["kind"] for item in await world.exceptions()] == ["recovery"]
            assert not stays.over.is_set()
            await asyncio.sleep(0.2)
            switch.hang_up(stays, "NORMAL_CLEARING")
            await world.settled()
            assert [r.duration_us for r in await world.records() if r.call_id == stays.a] == [stays.talked_us]
            assert not [line for line in switch.commands if "uuid_kill" in line], "nobody was out of money"
            charged = sum(r.charge for r in await world.records())
            assert await world.standing("acme") == (parse_nano("25.00") - charged, 0, 0)

    async def test_money_that_ends_meanwhile_is_cut_by_the_switch(self, tmp_path: Path) -> None:
        async with running(tmp_path, "0.02", RENEWING, FAST_DECK) as (world, switch):
            call = switch.play(Plan("acme", UK, answer_at_ms=0))
            await until(lambda: bool(call.answered))
            await asyncio.sleep(0.8)
            await switch.close_links()
            await ended(call, 6)
            assert 2 * SECOND <= call.talked_us <= 4 * SECOND
            await switch.listen()
            await world.linked(8)
            await world.settled()
            assert sum(r.charge for r in await world.records()) <= parse_nano("0.02")

    async def test_an_answer_and_a_question_that_were_missed_are_made_up_for(self, tmp_path: Path) -> None:
        async with running(tmp_path, "25.00", QUICK) as (world, switch):
            ringing = switch.play(Plan("acme", UK, ring=0.6))
            await until(lambda: bool(ringing.b_created))
            await switch.close_links()
            await until(lambda: not world.adapter.links_up()[SWITCH.id])
            parked = switch.play(Plan("acme", UK))
            await until(lambda: bool(ringing.answered))
            await asyncio.sleep(0.3)
            await switch.listen()
            await world.linked(8)
            await until(lambda: bool(parked.answered))
            for call in (ringing, parked):
                switch.hang_up(call, "NORMAL_CLEARING")
            await world.settled()
            assert {(r.call_id, r.duration_us, r.authorised) for r in await world.records()} == {
                (call.a, call.talked_us, True) for call in (ringing, parked)
            }


class TestADaemonThatStartsAnew:
    async def test_takes_over_what_runs_and_charges_it_once(self, tmp_path: Path) -> None:
        async with running(tmp_path, "25.00", QUICK) as (world, switch):
            call = switch.play(Plan("acme", UK))
            await until(lambda: bool(call.answered))
            await asyncio.sleep(0.3)
            await world.restart(switch.port)
            assert world.tally.counts["tollway_reports_total", "esl", "answer"] == 1
            await asyncio.sleep(0.5)
            assert [task.channel for task in switch.tasks.values()] == [call.a], "the earlier timer was deleted"
            switch.hang_up(call, "NORMAL_CLEARING")
            await world.settled()
            (record,) = await world.records()
            assert (record.call_id, record.duration_us, record.authorised) == (call.a, call.talked_us, True)
            assert not await world.exceptions()

    async def test_renews_what_it_took_over(self, tmp_path: Path) -> None:
        async with running(tmp_path, "0.06", RENEWING, FAST_DECK) as (world, switch):
            call = switch.play(Plan("acme", UK, answer_at_ms=0))
            await until(lambda: bool(call.answered))
            await asyncio.sleep(0.5)
            await world.restart(switch.port)
            await ended(call)
            assert 6 * SECOND <= call.talked_us <= 8 * SECOND
            await world.settled()
            assert await world.standing("acme") == (0, 0, 0)

    async def test_settles_what_ended_while_it_was_away(self, tmp_path: Path) -> None:
        async with running(tmp_path, "25.00", QUICK) as (world, switch):
            answered = switch.play(Plan("acme", UK))
            ringing = switch.play(Plan("acme", UK, ring=9))
            await until(lambda: bool(answered.answered and ringing.b_created))
            await asyncio.sleep(0.3)
            await world.stop()
            for call in (answered, ringing):
                switch.hang_up(call, "NORMAL_CLEARING")
            await world.restart(switch.port)
            await world.settled()
            assert [(r.call_id, r.settled_by) for r in await world.records()] == [(answered.a, "recovery")]
            assert [known.state for known in await world.calls(ringing.a)] == [CallState.VOIDED]
            assert (await world.standing("acme"))[1:] == (0, 0)

    async def test_finds_a_call_that_rings_and_one_that_nobody_asked_about(self, tmp_path: Path) -> None:
        async with running(tmp_path, "25.00", QUICK) as (world, switch):
            ringing = switch.play(Plan("acme", UK, ring=1.5))
            await until(lambda: bool(ringing.b_created))
            await world.stop()
            unasked = switch.play(Plan("acme", UK, parks=False))
            await until(lambda: bool(unasked.answered))
            await world.restart(switch.port)
            await until(lambda: bool(ringing.answered))
            await asyncio.sleep(0.3)
            for call in (ringing, unasked):
                switch.hang_up(call, "NORMAL_CLEARING")
            await world.settled()
            assert {(r.call_id, r.duration_us, r.authorised) for r in await world.records()} == {
                (ringing.a, ringing.talked_us, True), (unasked.a, unasked.talked_us, False),
            }  # fmt: skip


class TestASwitchThatMisbehaves:
    async def test_one_that_does_not_reply_loses_the_link_and_no_call(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(link_module, "REPLY_SECONDS", 0.3)
        monkeypatch.setattr(link_module, "PING_SECONDS", 0.2)
        async with running(tmp_path, "25.00", QUICK) as (world, switch):
            call = switch.play(Plan("acme", UK))
            await until(lambda: bool(call.answered))
            switch.deaf = True
            await until(lambda: not world.adapter.links_up()[SWITCH.id])
            await asyncio.sleep(0.5)
            assert not call.over.is_set()
            assert [known.state for known in await world.store.open_calls()] == [CallState.ANSWERED]
            switch.deaf = False
            await world.linked(8)
            switch.hang_up(call, "NORMAL_CLEARING")
            await world.settled()
            assert [r.duration_us for r in await world.records()] == [call.talked_us]

    @pytest.mark.parametrize("hours", [-2, 2])
    async def test_one_whose_clock_is_wrong_is_charged_and_cut_right(self, hours: int, tmp_path: Path) -> None:
        world = World(tmp_path, RENEWING)
        await world.open({"acme": "0.03"}, FAST_DECK)
        async with SwitchDouble(ahead_us=hours * 3600 * SECOND) as switch:
            world.start(switch.port)
            await world.linked()
            call = await ended(switch.play(Plan("acme", UK)))
            assert 3 * SECOND <= call.talked_us <= 5 * SECOND
            assert not await world.ocf.expire_due()
            await world.settled()
            (record,) = await world.records()
            assert (record.duration_us, record.billed_seconds) == (call.talked_us, 3)
            assert abs(record.ended_at - world.now()) < 60 * SECOND, "the record is dated by our clock"
            await world.close()

    async def test_one_that_refuses_the_password_is_asked_again_with_patience(self, tmp_path: Path) -> None:
        world = World(tmp_path, QUICK)
        await world.open({"acme": "25.00"})
        async with SwitchDouble(password="other") as switch:
            world.start(switch.port)
            await asyncio.sleep(2.0)
            assert not world.adapter.links_up()[SWITCH.id]
            assert 2 <= len(switch.commands) <= 5
            switch.password = "ClueCon"
            await world.linked(8)
            await world.close()


async def test_links_follow_the_configuration(tmp_path: Path) -> None:
    world = World(tmp_path, QUICK)
    await world.open({"acme": "25.00"})
    async with SwitchDouble() as one, SwitchDouble() as two:
        configured = [replace(SWITCH, port=one.port)]
        adapter = EslAdapter(world.ocf, world.store, lambda: configured, world.outside, world.tally)
        running_adapter = asyncio.create_task(adapter.run())
        await until(lambda: adapter.links_up() == {"fs1": True})
        configured.append(replace(SWITCH, id="fs2", port=two.port))
        await until(lambda: adapter.links_up() == {"fs1": True, "fs2": True})
        configured[0] = replace(SWITCH, port=two.port)
        await until(lambda: two.logins == 2)
        configured[1] = replace(configured[1], status=Status.CLOSED)
        await until(lambda: adapter.links_up() == {"fs1": True})
        running_adapter.cancel()
        await asyncio.gather(running_adapter, return_exceptions=True)
        await world.store.close()


async def _settled(world: World, channel: str) -> None:
    for _ in range(300):
        if all(not call.is_open for call in await world.calls(channel)):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("not settled")


async def test_a_switch_that_answers_no_more_while_its_timer_is_moved_stops_nobody(tmp_path: Path) -> None:
    """The link has failed before whoever holds it has seen so: a charge that asked it at once again would stop all."""
    async with running(tmp_path, "25.00", QUICK) as (world, switch):
        call = switch.play(Plan("acme", UK))
        await until(lambda: bool(call.answered))
        await asyncio.sleep(QUICK.slice_seconds - AHEAD_SECONDS_MAX - 0.3)
        switch.deaf = True
        async with asyncio.timeout(60):
            await until(lambda: not world.adapter.links_up()[SWITCH.id])
            switch.deaf = False
            await world.linked(30)
        switch.hang_up(call, "NORMAL_CLEARING")
        await world.settled()


async def test_a_switch_that_another_store_serves_too_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(tmp_path, QUICK)
    await world.open({"acme": "25.00"})
    async with SwitchDouble() as switch:
        spec = replace(SWITCH, port=switch.port)

        async def served_for(store_id: str) -> str:
            capsys.readouterr()
            adapter = EslAdapter(world.ocf, world.store, lambda: [spec], world.outside, world.tally, store_id=store_id)
            following = asyncio.create_task(adapter.run())
            await until(lambda: switch.globals.get(VARIABLE, "").startswith(store_id))
            await asyncio.sleep(0.1)
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            return capsys.readouterr().out

        told = "another daemon serves this switch"
        assert told not in await served_for("aa"), "nobody did"
        assert told not in await served_for("aa"), "it is the same store"
        assert told in await served_for("bb")
        switch.globals[VARIABLE] = f"aa/{switch.now() // SECOND - FRESH_SECONDS - 1}"
        assert told not in await served_for("bb"), "that daemon is gone"
        switch.globals[VARIABLE] = "what somebody else wrote"
        assert told not in await served_for("bb")
        await world.store.close()
