"""Money ends, the call ends: measured on the switch's own clock, with this daemon and without it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from daemon.charging.call import SettledBy
from daemon.charging.session import ChargingSettings
from daemon.kernel.ids import Key
from daemon.kernel.instant import SECOND
from daemon.kernel.money import parse_nano
from daemon.ledger.account import EntryKind
from tests.integration.esl_world import DECK, World, until
from tests.integration.test_esl_park import UK, ended, running
from tests.switch_double.double import Call, Plan, SwitchDouble

pytestmark = pytest.mark.virtual_time

GERMANY, ITALY, TWO = "24930123456", "239061234567", "281312345678"
LATE = 2 * SECOND  # microseconds after the limit within which the call must be over

# Compressed: blocks are reserved one at a time, so that a few seconds of money take several renewals.
QUICK = ChargingSettings(slice_seconds=2, block_seconds_min=1, ring_seconds=5)
FAST_DECK = """prefix,destination,rate,first_seconds,next_seconds
44,UK,0.60,1,1
49,Germany 30/6 in tenths,6.00,3,1
39,Italy 60/60 in twentieths,12.00,3,3
81,Japan,0.60,2,2
"""


class Case(NamedTuple):
    """One call with money for ``limit`` seconds, answered so many milliseconds past a second of the switch's clock."""

    account: str
    number: str
    balance: str
    limit: int
    milliseconds: int


def cases(*kinds: tuple[str, str, int]) -> list[Case]:
    """Return each kind of call (number, balance, limit) at 0, 200 and 900 ms."""
    return [
        Case(f"a{place}-{offset}", number, balance, limit, offset)
        for place, (number, balance, limit) in enumerate(kinds)
        for offset in (0, 200, 900)
    ]


@asynccontextmanager
async def talking(
    folder: Path, wanted: list[Case], settings: ChargingSettings, deck: str
) -> AsyncIterator[tuple[World, SwitchDouble, list[Call]]]:
    """Play all cases at once, each on an account of its own, and wait until all are answered."""
    world = World(folder, settings)
    await world.open({case.account: case.balance for case in wanted}, deck)
    async with SwitchDouble() as switch:
        world.start(switch.port)
        await world.linked()
        calls = [switch.play(Plan(case.account, case.number, answer_at_ms=case.milliseconds)) for case in wanted]
        await until(lambda: all(call.answered for call in calls))
        for call, case in zip(calls, wanted, strict=True):
            assert call.b_answered % SECOND == case.milliseconds * 1000, "the double answered elsewhere"
        try:
            yield world, switch, calls
        finally:
            await world.close()


async def test_each_cut_falls_within_two_seconds_of_the_money(tmp_path: Path) -> None:
    wanted = cases((UK, "0.03", 3), (GERMANY, "0.30", 3), (ITALY, "0.60", 3), (TWO, "0.05", 4))
    async with talking(tmp_path, wanted, QUICK, FAST_DECK) as (world, _, calls):
        for call in calls:
            await ended(call)
        await world.settled()
        records = {record.call_id: record for record in await world.records()}
        for call, case in zip(calls, wanted, strict=True):
            assert case.limit * SECOND <= call.talked_us <= case.limit * SECOND + LATE, case
            assert call.cause == "ALLOTTED_TIMEOUT", case
            record = records[call.a]
            assert (record.settled_by, record.billed_seconds) == (SettledBy.OWN_LIMIT.value, case.limit), case
            left = parse_nano(case.balance) - record.charge
            assert await world.standing(case.account) == (left, 0, 0), case
            assert record.uncollected == 0
        assert not await world.exceptions()


@pytest.mark.slow
async def test_each_cut_at_real_increments_and_real_slices(tmp_path: Path) -> None:
    """A minute: 60/60 sells no less. All calls run at once, so that it is only a minute."""
    wanted = cases((UK, "0.35", 35), ("249301234567", "0.36", 36), ("239061234567", "0.60", 60))
    async with talking(tmp_path, wanted, ChargingSettings(ring_seconds=5), DECK) as (world, _, calls):
        for call, case in zip(calls, wanted, strict=True):
            await ended(call, 70)
            assert case.limit * SECOND <= call.talked_us <= case.limit * SECOND + LATE, case
        await world.settled()
        for case in wanted:
            assert await world.standing(case.account) == (0, 0, 0), case


async def test_the_switch_cuts_where_the_daemon_is_gone(tmp_path: Path) -> None:
    wanted = cases((UK, "0.03", 3), (ITALY, "0.60", 3))
    async with talking(tmp_path, wanted, QUICK, FAST_DECK) as (world, _, calls):
        await asyncio.sleep(1.5)  # it has renewed some slices, or is about to
        await world.stop()
        granted = {call.call_id: call.granted_seconds for call in await world.store.open_calls()}
        assert len(granted) == len(calls), "one ended before the daemon was gone"
        for call in calls:
            await ended(call)
        for call, case in zip(calls, wanted, strict=True):
            limit = granted[call.a] * SECOND
            assert limit <= call.talked_us <= limit + LATE, case
            assert call.cause == "ALLOTTED_TIMEOUT", case


async def test_three_calls_on_money_for_six_seconds_end_together_and_leave_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, "0.09", QUICK, FAST_DECK) as (world, switch):
        calls = [switch.play(Plan("acme", UK, answer_at_ms=200)) for _ in range(3)]
        for call in calls:
            await ended(call)
        ends = [call.hung_up for call in calls]
        assert max(ends) - min(ends) <= SECOND + 500_000, "one slice apart at most"
        await world.settled()
        assert sum(record.charge for record in await world.records()) == parse_nano("0.09")
        assert await world.standing("acme") == (0, 0, 0)
        assert all(record.uncollected == 0 for record in await world.records())


@pytest.mark.slow
async def test_three_calls_on_money_for_exactly_two_minutes(tmp_path: Path) -> None:
    """Real slices: at 1/1 three calls of 40 s, at 60/60 two of 60 s and one that is refused; nothing is left."""
    world = World(tmp_path, ChargingSettings(ring_seconds=5))
    await world.open({"seconds": "1.20", "minutes": "1.20"}, DECK)
    async with SwitchDouble() as switch:
        world.start(switch.port)
        await world.linked()
        seconds = [switch.play(Plan("seconds", UK, answer_at_ms=200)) for _ in range(3)]
        minutes = [switch.play(Plan("minutes", "239061234567", answer_at_ms=200)) for _ in range(3)]
        try:
            for call in seconds + minutes:
                await ended(call, 80)
            await world.settled()
            ends = [call.hung_up for call in seconds]
            assert max(ends) - min(ends) <= 10 * SECOND, "within one slice"
            assert sum(bool(call.answered) for call in minutes) == 2
            for account in ("seconds", "minutes"):
                assert await world.standing(account) == (0, 0, 0), account
            assert sum(record.charge for record in await world.records()) == parse_nano("2.40")
        finally:
            await world.close()


async def test_money_that_arrives_in_the_last_slice_is_used(tmp_path: Path) -> None:
    async with running(tmp_path, "0.02", QUICK, FAST_DECK) as (world, switch):
        call = switch.play(Plan("acme", UK, answer_at_ms=0))
        await until(lambda: bool(call.answered))
        await asyncio.sleep(1.0)
        await top_up(world, "0.02")
        await ended(call)
        assert 4 * SECOND <= call.talked_us <= 4 * SECOND + LATE
        await world.settled()
        assert (await world.standing("acme"))[0] == 0


async def top_up(world: World, amount: str) -> None:
    """Credit the account."""
    await world.store.credit(
        Key("main", "acme"), EntryKind.TOP_UP, parse_nano(amount), key="k1", who="test", reason="topped up"
    )


async def test_a_call_that_nobody_asked_about_is_cut_as_well(tmp_path: Path) -> None:
    async with running(tmp_path, "0.02", QUICK, FAST_DECK) as (world, switch):
        call = await ended(switch.play(Plan("acme", UK, parks=False)))
        assert 2 * SECOND <= call.talked_us <= 2 * SECOND + LATE
        await world.settled()
        assert await world.standing("acme") == (0, 0, 0)
        assert [item["kind"] for item in await world.exceptions()] == ["unauthorised"]


async def test_one_without_any_money_is_cut_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, "0.00", QUICK, FAST_DECK) as (world, switch):
        call = await ended(switch.play(Plan("acme", UK, parks=False)))
        assert call.talked_us <= LATE
        await world.settled()
        assert await world.standing("acme") == (0, 0, 0)


async def test_a_kill_that_the_switch_does_not_carry_out_is_repeated(tmp_path: Path) -> None:
    async with running(tmp_path, "0.01", QUICK, FAST_DECK) as (world, switch):
        real, refused = switch.apis["uuid_kill"], [0]

        def stubborn(words: list[str], text: str) -> bytes:
            refused[0] += 1
            body = b"-ERR try again\n"
            if refused[0] == 1:
                return b"Content-Type: api/response\nContent-Length: %d\n\n%s" % (len(body), body)
            return real(words, text)

        switch.apis["uuid_kill"] = stubborn
        switch.apis["sched_hangup"] = lambda _words, _text: real(["none"], "")
        call = await ended(switch.play(Plan("acme", UK, parks=False)))
        assert refused[0] == 2
        assert SECOND <= call.talked_us <= 4 * SECOND
        await world.settled()


async def test_a_person_may_end_a_call(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00", replace(QUICK, slice_seconds=300, block_seconds_min=30)) as (world, switch):
        call: Call = switch.play(Plan("acme", UK))
        await until(lambda: bool(call.answered))
        (stored,) = await world.store.open_calls()
        await world.ocf.cut(stored.grant_id)
        await ended(call, 5)
        assert call.cause == "ALLOTTED_TIMEOUT"
        await world.settled()
        (record,) = await world.records()
        assert record.duration_us == call.talked_us


async def test_sixty_calls_at_once_are_each_charged_once(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00") as (world, switch):
        calls = [switch.play(Plan("acme", UK, ring=0.01, talk=0.5)) for _ in range(60)]
        for call in calls:
            await ended(call, 30)
        await world.settled(20)
        records = await world.records()
        assert {record.call_id for record in records} == {call.a for call in calls}
        assert len(records) == 60
        assert {(r.call_id, r.duration_us) for r in records} == {(call.a, call.talked_us) for call in calls}
        assert await world.standing("acme") == (parse_nano("25.00") - sum(r.charge for r in records), 0, 0)
