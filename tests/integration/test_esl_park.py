"""A parked call is decided, told by variables and sent on; it is never answered, and never left without a limit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.authorize.catalog import Status
from daemon.charging.call import CallState
from daemon.charging.session import ChargingSettings
from daemon.esl import call_control
from daemon.kernel.money import parse_nano
from tests.integration.esl_world import DECK, SWITCH, World, until
from tests.switch_double.double import Call, Plan, SwitchDouble

pytestmark = pytest.mark.virtual_time

UK = "2442071231234"
QUICK = ChargingSettings(slice_seconds=20, block_seconds_min=10, ring_seconds=5)


@asynccontextmanager
async def running(
    folder: Path, balance: str = "25.00", settings: ChargingSettings = QUICK, deck: str = DECK,
    status: Status = Status.ACTIVE, **spec: object,
) -> AsyncIterator[tuple[World, SwitchDouble]]:  # fmt: skip
    """Run the daemon's side against a double."""
    world = World(folder, settings, switch=replace(SWITCH, **spec))  # type: ignore[arg-type]
    await world.open({"acme": balance}, deck, status)
    async with SwitchDouble() as switch:
        world.start(switch.port)
        await world.linked()
        try:
            yield world, switch
        finally:
            await world.close()


async def ended(call: Call, seconds: float = 10.0) -> Call:
    """Wait until a call is over."""
    await asyncio.wait_for(call.over.wait(), seconds)
    return call


async def test_a_granted_call_is_told_sent_on_and_charged(tmp_path: Path) -> None:
    async with running(tmp_path) as (world, switch):
        call = await ended(switch.play(Plan("acme", UK, talk=1.2)))
        assert call.transferred == ["AUTH", "XML", "public"]
        told = {name: call.variables.get(name) for name in ("tollway_result", "tollway_account", "tollway_rate")}
        assert told == {"tollway_result": "GRANTED", "tollway_account": "acme", "tollway_rate": "0.60"}
        assert call.variables["tollway_quota_seconds"] == "20"
        assert "tollway_request" not in call.variables, "the next park would be a question again"
        assert "tollway_reason" not in call.variables
        await world.settled()
        (record,) = await world.records()
        assert (record.call_id, record.part, record.billed_seconds, record.charge) == (call.a, 1, 2, parse_nano("0.02"))
        assert (record.duration_us, record.settled_by, record.authorised) == (call.talked_us, "hangup", True)
        assert record.switch_seconds == call.hung_up // 10**6 - call.answered // 10**6
        assert (record.source, record.switch, record.cause) == ("esl", "fs1", "NORMAL_CLEARING")
        assert await world.standing("acme") == (parse_nano("24.98"), 0, 0)
        assert not await world.exceptions()
        assert not [line for line in switch.commands if "answer" in line]


async def test_the_money_is_reserved_before_the_switch_is_told(tmp_path: Path) -> None:
    async with running(tmp_path) as (world, switch):
        call = switch.play(Plan("acme", UK, ring=0.3, talk=0.1))
        await until(lambda: bool(call.transferred))
        assert await world.standing("acme") == (parse_nano("25.00"), parse_nano("0.20"), 1)
        (timer,) = [task for task in switch.tasks.values() if task.channel == call.a]
        assert timer.runtime >= switch.now() / 1e6 + 5 + 20 - 1, "ringing must not eat the talking time"
        await ended(call)
        await world.settled()


async def test_a_call_that_nobody_answers_costs_nothing_and_frees_all(tmp_path: Path) -> None:
    async with running(tmp_path) as (world, switch):
        call = switch.play(Plan("acme", UK, ring=9))
        await until(lambda: bool(call.b_created))
        switch.hang_up(call, "ORIGINATOR_CANCEL")
        await world.settled()
        assert await world.standing("acme") == (parse_nano("25.00"), 0, 0)
        assert not await world.records()
        assert [known.state for known in await world.calls(call.a)] == [CallState.VOIDED]


@pytest.mark.parametrize(
    ("balance", "number", "status", "code", "cause"),
    [
        ("0.00", UK, Status.ACTIVE, "balance_insufficient", "CALL_REJECTED"),
        ("25.00", "2998877", Status.ACTIVE, "destination_unrated", "NO_ROUTE_DESTINATION"),
        ("25.00", "2abc", Status.ACTIVE, "destination_malformed", "INVALID_NUMBER_FORMAT"),
        ("25.00", UK, Status.SUSPENDED, "account_suspended", "CALL_REJECTED"),
    ],
)
async def test_a_refused_call_is_told_why_and_ended_with_the_mapped_cause(
    balance: str, number: str, status: Status, code: str, cause: str, tmp_path: Path
) -> None:
    async with running(tmp_path, balance, status=status) as (world, switch):
        stale = {"tollway_quota_seconds": "600", "tollway_routes": "x"}
        call = await ended(switch.play(Plan("acme", number, variables=stale)))
        assert call.cause == cause
        assert (call.variables["tollway_result"], call.variables["tollway_reason"]) == ("DENIED", code)
        assert not {"tollway_quota_seconds", "tollway_routes"} & call.variables.keys(), "nothing of an earlier grant"
        assert not call.transferred
        assert await world.standing("acme") == (parse_nano(balance), 0, 0)
        assert world.tally.counts["tollway_decisions_total", "esl", code] == 1


async def test_a_refused_call_goes_where_the_dialplan_wants_it(tmp_path: Path) -> None:
    async with running(tmp_path, "0.00") as (_, switch):
        plan = Plan("acme", UK, talk=0.1, variables={"tollway_denied": "sorry XML ivr"})
        call = switch.play(plan)
        await until(lambda: bool(call.transferred))
        assert call.transferred == ["sorry", "XML", "ivr"]
        assert call.variables["tollway_result"] == "DENIED"


async def test_without_a_next_it_goes_to_the_dialled_number_in_its_own_context(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, switch):
        call = switch.play(Plan("acme", UK, talk=0.1, context="outbound", variables={"tollway_next": ""}))
        await until(lambda: bool(call.transferred))
        assert call.transferred == [UK, "XML", "outbound"]


@pytest.mark.parametrize(
    "onward", ["-bleg x", "a inline public", "a b c d", "a;b", "x'y", "AUTH XML ${domain}", "answer,playback inline"]
)
async def test_a_next_that_is_no_destination_grants_nothing(onward: str, tmp_path: Path) -> None:
    async with running(tmp_path) as (world, switch):
        call = await ended(switch.play(Plan("acme", UK, variables={"tollway_next": onward})))
        assert call.cause == "NORMAL_TEMPORARY_FAILURE"
        assert not call.transferred
        await world.settled()
        assert await world.standing("acme") == (parse_nano("25.00"), 0, 0)


async def test_a_dialled_number_cannot_become_a_dialplan(tmp_path: Path) -> None:
    async with running(tmp_path) as (world, switch):
        variables = {"tollway_next": "", "tollway_destination": "442071231234"}
        call = await ended(switch.play(Plan("acme", "2 inline", variables=variables)))
        assert call.cause == "NORMAL_TEMPORARY_FAILURE"
        assert not call.transferred
        await world.settled()


async def test_the_stated_number_wins_and_is_frozen(tmp_path: Path) -> None:
    async with running(tmp_path) as (world, switch):
        variables = {"tollway_destination": "33123456789"}
        await ended(switch.play(Plan("acme", UK, talk=0.3, variables=variables)))
        await world.settled()
        assert [record.prefix for record in await world.records()] == ["33"]


async def test_routes_arrive_as_they_were_made(tmp_path: Path) -> None:
    async with running(tmp_path, routing=True, cgr_aliases=True) as (world, switch):
        call = switch.play(Plan("acme", UK, talk=0.3))
        await until(lambda: bool(call.transferred))
        routes = [
            "[tollway_carrier=carrier-a,tollway_route=1]sofia/gateway/a/442071231234;transport=tcp",
            "[tollway_carrier=carrier-b,tollway_route=2]sofia/gateway/b/442071231234",
        ]
        assert call.variables["tollway_routes"] == "|".join(routes)
        assert call.variables["cgr_routes"] == "ARRAY::" + "|:".join(["2", *routes])
        assert (call.variables["cgr_notify"], call.variables["cgr_max_usage"]) == ("AUTH_OK", "20")
        await ended(call)
        await world.settled()


async def test_an_old_dialplan_asks_by_its_own_names_where_aliases_are_on(tmp_path: Path) -> None:
    old = {
        "tollway_request": "", "tollway_account": "", "cgr_reqtype": "*prepaid", "cgr_account": "acme",
        "cgr_destination": "33123456789", "nibble_rate": "0.02",
    }  # fmt: skip
    async with running(tmp_path, cgr_aliases=True) as (world, switch):
        call = await ended(switch.play(Plan("", UK, talk=0.3, variables=old)))
        assert call.variables["cgr_notify"] == "AUTH_OK"
        await world.settled()
        assert [(record.account, record.prefix) for record in await world.records()] == [("acme", "33")]
        denied = await ended(switch.play(Plan("", "2999", variables=old | {"cgr_destination": "999999"})))
        assert denied.variables["cgr_notify"] == "destination_unrated"
    (tmp_path / "off").mkdir()
    async with running(tmp_path / "off") as (_, switch):
        call = switch.play(Plan("", UK, variables=old))
        await asyncio.sleep(0.3)
        assert call.parked, "without aliases it is no question"


async def test_a_call_that_hangs_up_while_it_is_decided_holds_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as (world, switch):
        calls = [switch.play(Plan("acme", UK, ring=9)) for _ in range(20)]
        for number, call in enumerate(calls):
            await asyncio.sleep(0.001 * (number % 4))
            switch.hang_up(call, "ORIGINATOR_CANCEL")
        await asyncio.sleep(0.3)
        await world.settled()
        assert await world.standing("acme") == (parse_nano("25.00"), 0, 0)


async def test_an_emergency_call_needs_no_money_and_is_never_cut(tmp_path: Path) -> None:
    async with running(tmp_path, "0.00") as (world, switch):
        call = switch.play(Plan("acme", "2112"))
        await until(lambda: bool(call.answered))
        assert (call.variables["tollway_result"], call.variables["tollway_quota_seconds"]) == ("GRANTED", "86400")
        await asyncio.sleep(1.5)
        assert not call.over.is_set()
        assert not switch.tasks, "no timer of ours may end it"
        assert [line["called"] for line in world.journal.lines] == ["112"]
        assert await world.standing("acme") == (0, 0, 0)
        switch.hang_up(call, "NORMAL_CLEARING")
        await until(lambda: not switch.calls)


async def test_an_emergency_call_passes_the_limit_of_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_control, "QUESTIONS_MAX", 0)
    async with running(tmp_path) as (_, switch):
        refused = await ended(switch.play(Plan("acme", UK)))
        assert refused.variables["tollway_reason"] == "overloaded"
        call = switch.play(Plan("acme", "2112"))
        await until(lambda: bool(call.answered))
        assert call.variables["tollway_result"] == "GRANTED"
        switch.hang_up(call, "NORMAL_CLEARING")


async def test_a_store_that_cannot_commit_refuses(tmp_path: Path) -> None:
    async with running(tmp_path) as (world, switch):
        await world.store.close()
        call = await ended(switch.play(Plan("acme", UK)))
        assert call.cause == "NORMAL_TEMPORARY_FAILURE"  # Q.850 41
        assert call.variables["tollway_reason"] == "store_unavailable"


async def test_timers_of_the_dialplan_are_left_alone(tmp_path: Path) -> None:
    settings = ChargingSettings(slice_seconds=2, block_seconds_min=1, ring_seconds=5)
    async with running(tmp_path, settings=settings) as (world, switch):
        call = switch.play(Plan("acme", UK, ring=0.2, talk=3.2))
        theirs = switch.apis["sched_hangup"](["+60", call.a, "NORMAL_CLEARING"], "")
        assert b"+OK" in theirs
        (own,) = [task.id for task in switch.tasks.values() if task.runtime > switch.now() / 1e6 + 50]
        await until(lambda: bool(call.answered))
        await asyncio.sleep(2.5)
        assert own in switch.tasks
        assert len([task for task in switch.tasks.values() if task.channel == call.a]) == 2
        await ended(call)
        await world.settled()


async def test_a_leg_that_lives_on_loses_its_grant(tmp_path: Path) -> None:
    async with running(tmp_path) as (world, switch):
        call = switch.play(Plan("acme", UK))
        await until(lambda: bool(call.answered))
        await asyncio.sleep(0.2)
        call.destination, call.profile = "2331234", switch.now()
        switch.tell(call, "a", "CALL_UPDATE")
        await world.settled()
        await until(lambda: "tollway_result" not in call.variables)
        assert "tollway_quota_seconds" not in call.variables
        assert [record.charge for record in await world.records()] == [parse_nano("0.01")]
