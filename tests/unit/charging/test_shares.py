"""A shorter limit is confirmed: what is let go of, whatever was wanted meanwhile."""

import pytest

from daemon.charging.call import Call, CallState
from daemon.charging.event import Outcome
from tests.unit.charging.desk import ALICE, Desk


@pytest.fixture
async def desk() -> Desk:
    desk = Desk()
    desk.fund(ALICE, "1.00")
    return desk


async def running(desk: Desk, wanted: int) -> Call:
    """Return an answered call of 60 seconds that is wanted shorter."""
    await desk.ask("c1", renewable=True)
    await desk.answer("c1")
    (call,) = desk.store.saved.values()
    held = await desk.ocf.resolve(call.grant_id, lambda book, call, context: _with(book, call, wanted))
    assert held.call is not None
    return held.call


def _with(book: object, call: Call, wanted: int) -> Outcome:
    call = call.changed(wanted=wanted)
    book.save_call(call)  # type: ignore[attr-defined]
    return Outcome(call, True)


async def confirmed(desk: Desk, seconds: int) -> Call:
    (call,) = desk.store.saved.values()
    done = await desk.ocf.shortened(call.grant_id, seconds)
    assert done.call is not None
    return done.call


@pytest.mark.parametrize(
    ("wanted", "seconds", "holds", "still"),
    [
        (6, 6, 6, 0),  # as it was asked
        (4, 6, 6, 4),  # less is wanted by now: that is still to come
        (8, 6, 8, 0),  # more is left to it by now: its switch is told so again
        (0, 6, 10, 0),  # money came: nothing is let go of
        (10, 6, 10, 0),  # what it has is what it may have
    ],
)
async def test_confirmed(desk: Desk, wanted: int, seconds: int, holds: int, still: int) -> None:
    call = await running(desk, wanted)
    assert call.granted_seconds == 10
    after = await confirmed(desk, seconds)
    assert (after.granted_seconds, after.wanted) == (holds, still)
    assert desk.standing(ALICE).reserved == after.levels[0].reserved


async def test_a_call_that_is_over_lets_go_of_nothing_more(desk: Desk) -> None:
    await running(desk, 6)
    await desk.end("c1", duration_us=3_000_000)
    assert (await confirmed(desk, 6)).state is CallState.SETTLED
    assert desk.standing(ALICE).reserved == 0


async def test_what_was_used_meanwhile_is_kept(desk: Desk) -> None:
    await running(desk, 4)
    desk.wait(5.5)
    after = await confirmed(desk, 4)
    assert (after.granted_seconds, after.wanted) == (7, 0), "the seventh second ends when it can be told"
