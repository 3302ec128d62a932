"""New calls that wait for room: who may wait, how long, and what is known of the calls that could make it."""

import asyncio

import pytest

from daemon.authorize.decide import prepare
from daemon.authorize.decision import Denied
from daemon.authorize.quote import Quote
from daemon.charging.call import Call
from daemon.charging.sharing import ROOM_SECONDS, TURN_SECONDS, WAITING_MAX
from daemon.http_api.routes import DECIDE_SECONDS_MAX
from tests.unit.charging.desk import ALICE, BOB, NUMBERS, RAY, START, TRUNK_ACCOUNT, Desk

pytestmark = pytest.mark.virtual_time


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.fund(ALICE, "1.20")
    made.fund(RAY, "1.20")
    return made


async def running(desk: Desk, call_id: str, heard: list[Call]) -> Call:
    """Have a call of alice's run whose switch hears what is wanted of it, and never confirms."""
    await desk.ask(call_id, renewable=True)
    call = (await desk.answer(call_id)).call
    assert call is not None
    desk.ocf.sharer.follow(call, heard.append)
    return call


def asked(desk: Desk, call_id: str) -> Quote:
    quote = prepare(desk.catalog(), desk.attempt(call_id, renewable=True), START, desk.settings.renewable)
    assert not isinstance(quote, Denied)
    return quote


async def test_an_account_is_known_as_long_as_a_call_runs_on_it(desk: Desk) -> None:
    sharer, known = desk.ocf.sharer, (NUMBERS[ALICE],)
    assert not sharer.may_yield(known)
    calls = [await running(desk, call_id, []) for call_id in ("c1", "c2")]
    sharer.follow(calls[0], lambda _: None)  # taken note of again, as after its link was lost
    assert sharer.may_yield(known)
    assert not sharer.may_yield((*known, NUMBERS[BOB])), "on every one of them"
    sharer.leave(calls[0].grant_id)
    assert sharer.may_yield(known)
    for call in calls:
        sharer.leave(call.grant_id)
    assert not sharer.may_yield(known)


async def test_every_level_of_a_call_is_known(desk: Desk) -> None:
    await desk.ask("c1", payer=RAY, renewable=True)
    call = (await desk.answer("c1", payer=RAY)).call
    assert call is not None
    desk.ocf.sharer.follow(call, lambda _: None)
    assert desk.ocf.sharer.may_yield((NUMBERS[RAY], NUMBERS[TRUNK_ACCOUNT]))


async def test_a_turn_that_does_not_come_is_waited_for_no_longer_than_is_stated(desk: Desk) -> None:
    sharer, loop, short = desk.ocf.sharer, asyncio.get_running_loop(), (NUMBERS[ALICE],)
    began = loop.time()
    async with sharer.room(asked(desk, "c1"), short), sharer.room(asked(desk, "c2"), short):
        assert loop.time() - began == pytest.approx(TURN_SECONDS, abs=0.1)


async def test_questions_that_wait_behind_each_other_are_all_answered_before_a_peer_gives_up(desk: Desk) -> None:
    heard: list[Call] = []
    for call_id in ("c1", "c2"):
        await running(desk, call_id, heard)
    await desk.ocf.sharer.look()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(*(desk.ask(f"new{number}", renewable=True) for number in range(WAITING_MAX)))
    assert heard, "room was asked for"
    assert ROOM_SECONDS <= loop.time() - began < DECIDE_SECONDS_MAX


@pytest.mark.parametrize("again", [False, True])
async def test_room_is_made_for_an_account_until_a_call_of_it_rings_whoever_put_it(desk: Desk, again: bool) -> None:
    """The call that rings is in the store alone: another daemon, or this one before it was started anew, put it."""
    await desk.ask("rings", renewable=True)
    heard: list[Call] = []
    for call_id in ("c1", "c2"):
        await running(desk, call_id, heard)
    await desk.ocf.sharer.look()
    if not again:
        await desk.end("rings", answered=False)
    desk.wait(1)
    await desk.ocf.sharer.look()
    heard.clear()
    async with desk.ocf.sharer.room(asked(desk, "new"), (NUMBERS[ALICE],)):
        assert bool(heard) is not again
    async with desk.ocf.sharer.room(asked(desk, "rings"), (NUMBERS[ALICE],)):
        assert heard, "one that the question replaces gives back what it holds"
