"""Calls of one account whose money is short end together, on the switch's own clock; none is over, none is early."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from daemon.authorize.catalog import AccountKind
from daemon.charging.configuration import AccountSpec, PlanFrom, RatePlanSpec, RateTableSpec, TenantSpec
from daemon.charging.session import ChargingSettings
from daemon.kernel.ids import Key
from daemon.kernel.instant import SECOND
from daemon.kernel.money import parse_nano
from daemon.ledger.account import EntryKind
from daemon.store.administration import Spec
from tests.decks import read_deck
from tests.integration.esl_world import World, until
from tests.integration.test_esl_park import ended, running
from tests.switch_double.double import Call, Plan, SwitchDouble

pytestmark = pytest.mark.virtual_time

SETTINGS = ChargingSettings(ring_seconds=5)
UK, DEAR, MINUTE = "2442071231234", "233123456789", "239061234567"
DECK = """prefix,destination,rate,first_seconds,next_seconds
44,UK,0.60,1,1
33,France,1.20,1,1
39,Italy,0.60,60,60
"""
TOGETHER = SECOND + SECOND // 2  # microseconds between the first end and the last: a second, and what a cut takes


async def talking(
    switch: SwitchDouble, numbers: Sequence[str], apart: float = 1.3, account: str = "acme", tenant: str = "main"
) -> list[Call]:
    """Play calls one after another, and wait until each is answered."""
    calls = []
    for number in numbers:
        call = switch.play(Plan(account, number, variables={"tollway_tenant": tenant}))
        await until(lambda call=call: bool(call.answered or call.hung_up))  # type: ignore[misc]
        calls.append(call)
        await asyncio.sleep(apart)
    return calls


async def top_up(world: World, amount: str) -> None:
    await world.store.credit(
        Key("main", "acme"), EntryKind.TOP_UP, parse_nano(amount), key="k1", who="test", reason="paid"
    )


async def over(world: World, calls: Sequence[Call], seconds: float = 400) -> int:
    """Wait until all are over and settled within what was paid; return the microseconds from first to last end."""
    for call in calls:
        await ended(call, seconds)
    await world.settled()
    assert all(record.uncollected == 0 for record in await world.records())
    assert not await world.exceptions()
    ends = [call.hung_up for call in calls]
    return max(ends) - min(ends)


@pytest.mark.parametrize("count", [2, 3, 5])
async def test_calls_at_the_second_end_together_and_leave_less_than_one_more_would_cost(
    tmp_path: Path, count: int
) -> None:
    async with running(tmp_path, "1.20", SETTINGS, DECK) as (world, switch):
        calls = await talking(switch, [UK] * count)
        assert await over(world, calls) <= TOGETHER
        assert {call.cause for call in calls} == {"ALLOTTED_TIMEOUT"}
        balance, reserved, channels = await world.standing("acme")
        assert (reserved, channels) == (0, 0)
        assert 0 <= balance < count * parse_nano("0.01")


async def test_calls_at_different_prices_end_together(tmp_path: Path) -> None:
    async with running(tmp_path, "1.50", SETTINGS, DECK) as (world, switch):
        calls = await talking(switch, [UK, DEAR, UK])
        assert await over(world, calls) <= TOGETHER
        assert 0 <= (await world.standing("acme"))[0] < parse_nano("0.04")


async def test_at_the_minute_each_ends_with_a_block_that_is_paid(tmp_path: Path) -> None:
    async with running(tmp_path, "3.00", SETTINGS, DECK) as (world, switch):
        calls = await talking(switch, [MINUTE] * 2, apart=10)
        await over(world, calls)
        for call in calls:
            minutes, rest = divmod(call.talked_us, 60 * SECOND)
            assert minutes >= 2, "two blocks each are paid for"
            assert rest <= 2 * SECOND, "cut where a block ends"
        assert sum(call.talked_us // (60 * SECOND) for call in calls) <= 5


async def test_what_one_that_hangs_up_leaves_is_used_by_the_others(tmp_path: Path) -> None:
    async with running(tmp_path, "1.20", SETTINGS, DECK) as (world, switch):
        calls = await talking(switch, [UK] * 3)
        await asyncio.sleep(5)
        switch.hang_up(calls[0], "NORMAL_CLEARING")
        assert await over(world, calls[1:]) <= TOGETHER
        assert 0 <= (await world.standing("acme"))[0] < parse_nano("0.02")
        assert min(call.talked_us for call in calls[1:]) > 50 * SECOND


async def test_money_that_arrives_in_the_middle_extends_all(tmp_path: Path) -> None:
    async with running(tmp_path, "0.90", SETTINGS, DECK) as (world, switch):
        calls = await talking(switch, [UK] * 3)
        await asyncio.sleep(5)
        before = {task.channel: task.runtime for task in switch.tasks.values()}
        await top_up(world, "0.90")
        await asyncio.sleep(2.5)
        after = {task.channel: task.runtime for task in switch.tasks.values()}
        assert all(29 <= after[call.a] - before[call.a] <= 31 for call in calls), "moved when the money came"
        assert await over(world, calls) <= TOGETHER
        assert 0 <= (await world.standing("acme"))[0] < parse_nano("0.03")


async def test_a_call_that_finds_all_money_held_gets_its_part_of_it(tmp_path: Path) -> None:
    async with running(tmp_path, "1.20", SETTINGS, DECK) as (world, switch):
        calls = await talking(switch, [UK] * 2)
        await until(lambda: len(switch.tasks) == 2)
        balance, reserved, _ = await world.standing("acme")
        assert balance - reserved < parse_nano("0.02"), "the two hold it all"
        calls += await talking(switch, [UK])
        assert calls[2].answered, "the others end earlier for it"
        assert await over(world, calls) <= TOGETHER
        assert 0 <= (await world.standing("acme"))[0] < parse_nano("0.03")


async def test_one_whose_first_block_no_longer_fits_is_refused_and_takes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, "0.55", SETTINGS, DECK) as (world, switch):
        calls = await talking(switch, [UK] * 2)
        before = {task.channel: task.runtime for task in switch.tasks.values()}
        late = await ended(switch.play(Plan("acme", MINUTE)))
        assert not late.answered
        assert {task.channel: task.runtime for task in switch.tasks.values()} == before
        assert await over(world, calls) <= TOGETHER


async def test_money_stays_held_until_the_switch_has_confirmed(tmp_path: Path) -> None:
    """A switch that refuses the shorter timer keeps its call's money, and nobody else gets it."""
    async with running(tmp_path, "0.60", SETTINGS, DECK) as (world, switch):
        calls = await talking(switch, [UK] * 2)
        await until(lambda: len(switch.tasks) == 2)
        real = switch.apis["sched_hangup"]
        body = b"-ERR no\n"
        no = b"Content-Type: api/response\nContent-Length: %d\n\n%s" % (len(body), body)
        switch.apis["sched_hangup"] = lambda words, text: no if words[1] in (c.a for c in calls) else real(words, text)
        held = (await world.standing("acme"))[1]
        late = await ended(switch.play(Plan("acme", UK)), 20)
        assert not late.answered, "no money was confirmed for it"
        assert (await world.standing("acme"))[1] == held
        await over(world, calls)


async def adjust(world: World, amount: str) -> None:
    await world.store.credit(
        Key("main", "acme"), EntryKind.ADJUST, parse_nano(amount), key=amount, who="test", reason="corrected"
    )


async def test_what_was_wanted_before_a_restart_is_done_after_it(tmp_path: Path) -> None:
    async with running(tmp_path, "1.20", SETTINGS, DECK) as (world, switch):
        calls = await talking(switch, [UK] * 2)
        await until(lambda: len(switch.tasks) == 2)
        real = switch.apis["sched_hangup"]
        body = b"-ERR no\n"
        answer = b"Content-Type: api/response\nContent-Length: %d\n\n%s" % (len(body), body)
        switch.apis["sched_hangup"] = lambda _words, _text: answer
        await adjust(world, "-0.40")
        await asyncio.sleep(3)
        assert (await world.standing("acme"))[1] > parse_nano("1.10"), "still held: the switch said no"
        await world.stop()
        switch.apis["sched_hangup"] = real
        await world.restart(switch.port)
        await asyncio.sleep(2)
        balance, reserved, _ = await world.standing("acme")
        assert balance == parse_nano("0.80")
        assert reserved <= balance
        assert await over(world, calls) <= TOGETHER


async def test_while_the_link_is_down_nothing_is_let_go_of(tmp_path: Path) -> None:
    async with running(tmp_path, "1.20", SETTINGS, DECK) as (world, switch):
        calls = await talking(switch, [UK] * 2)
        await until(lambda: len(switch.tasks) == 2)
        await switch.close_links()
        await until(lambda: not world.adapter.links_up()["fs1"])
        await adjust(world, "-0.40")
        await asyncio.sleep(4)
        assert (await world.standing("acme"))[1] > parse_nano("1.10")
        await switch.listen()
        await world.linked(20)
        await asyncio.sleep(4)
        assert (await world.standing("acme"))[1] <= parse_nano("0.80")
        assert await over(world, calls) <= TOGETHER


async def test_of_many_that_ask_at_once_those_get_in_whose_block_fits(tmp_path: Path) -> None:
    async with running(tmp_path, "1.20", SETTINGS, DECK) as (world, switch):
        calls = await talking(switch, [UK] * 2)
        await until(lambda: len(switch.tasks) == 2)
        late = [switch.play(Plan("acme", UK)) for _ in range(12)]
        for call in late:
            await until(lambda call=call: bool(call.answered or call.hung_up), 60)  # type: ignore[misc]
        assert any(call.answered for call in late)
        spread = await over(world, [call for call in (*calls, *late) if call.answered])
        assert spread <= TOGETHER
        assert (await world.standing("acme"))[0] >= 0


@asynccontextmanager
async def reselling(path: Path, settings: ChargingSettings, balance: str) -> AsyncIterator[tuple[World, SwitchDouble]]:
    """A reseller whose trunk has little, and whose three customers have plenty."""
    world = World(path, settings)
    await world.open({"acme": "25.00"}, DECK)
    rows, faults = read_deck(DECK.replace("0.60", "0.90"), "shop.csv")
    assert not faults
    customers = [
        AccountSpec("shop", name, AccountKind.PREPAID, "USD", balance=parse_nano("25.00"), rate_plan=(PlanFrom("own"),))
        for name in ("ann", "bob", "eve")
    ]
    trunk = AccountSpec(
        "main", "trunk", AccountKind.PREPAID, "USD", balance=parse_nano(balance), rate_plan=(PlanFrom("retail"),)
    )
    shop = TenantSpec("shop", "USD", parent="main", account="trunk")
    prices: list[Spec] = [RateTableSpec("shop", "own", "USD"), RatePlanSpec("shop", "own", ("own",))]
    objects: list[Spec] = [shop, trunk, *prices, *customers]
    await world.store.apply(objects, {Key("shop", "own"): rows}, who="test")
    await world.reload()
    async with SwitchDouble() as switch:
        world.start(switch.port)
        await world.linked()
        try:
            yield world, switch
        finally:
            await world.close()


async def test_a_trunk_that_is_short_ends_the_calls_of_all_its_accounts_together(tmp_path: Path) -> None:
    async with reselling(tmp_path, SETTINGS, "1.20") as (world, switch):
        calls = [(await talking(switch, [UK], account=name, tenant="shop"))[0] for name in ("ann", "bob", "ann")]
        assert await over(world, calls) <= TOGETHER
        balance, reserved, _ = await world.standing("trunk")
        assert reserved == 0
        assert 0 <= balance < parse_nano("0.03")


RINGING = ChargingSettings(ring_seconds=120)


def rung(switch: SwitchDouble, account: str, tenant: str) -> Call:
    """Play a call that nobody answers as long as this test lasts."""
    return switch.play(Plan(account, UK, ring=110, variables={"tollway_tenant": tenant}))


@pytest.mark.parametrize("abandons", [False, True])
async def test_a_customer_that_only_rings_takes_one_block_of_a_trunk_from_those_who_talk(
    tmp_path: Path, abandons: bool
) -> None:
    """Ann and bob have 120 s each without eve; of all her calls together one block of ten seconds is held."""
    async with reselling(tmp_path, RINGING, "2.40") as (world, switch):
        calls = [(await talking(switch, [UK], account=name, tenant="shop"))[0] for name in ("ann", "bob")]
        rings: list[Call] = []
        while not all(call.hung_up for call in calls):
            rings.append(rung(switch, "eve", "shop"))
            await asyncio.sleep(3)
            if abandons:
                switch.hang_up(rings[-1], "ORIGINATOR_CANCEL")
        assert min(call.talked_us for call in calls) >= 110 * SECOND
        for call in rings:
            if not call.hung_up:
                switch.hang_up(call, "ORIGINATOR_CANCEL")
        await world.settled()
        assert (await world.standing("trunk"))[1:] == (0, 0)


async def test_an_account_whose_call_rings_gets_no_room_for_the_next_until_it_is_answered(tmp_path: Path) -> None:
    async with running(tmp_path, "1.20", RINGING, DECK) as (world, switch):
        calls = await talking(switch, [UK] * 2)
        first = switch.play(Plan("acme", UK, ring=8))
        await asyncio.sleep(4)
        refused = await ended(switch.play(Plan("acme", UK)))
        assert refused.variables["tollway_reason"] == "balance_insufficient"
        assert not refused.answered
        await until(lambda: bool(first.answered))
        await asyncio.sleep(2)
        calls += [first, *await talking(switch, [UK])]
        assert calls[-1].answered, "nobody rings any more"
        assert await over(world, calls) <= TOGETHER
