"""Ends that are told late over HTTP: believed back to the last sign of life, and never further."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon.charging.call import Call
from daemon.kernel.instant import SECOND
from tests.unit.http_api.http_world import HttpWorld, good, http_world, refused

DAY_SECONDS = 86_400


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HttpWorld]:
    async with http_world(tmp_path) as made:
        yield made


async def answered(world: HttpWorld, *, updates: bool = False) -> None:
    good(await world.ask(account="rich", updates=updates))
    good(await world.report("answer"))


async def settled_by(world: HttpWorld) -> Call:
    (call,) = await world.store.find_calls("c1")
    return call


@pytest.mark.parametrize(
    "stated", [{}, {"duration_seconds": 400}, {"duration_seconds": 341}, {"duration_seconds": 459}]
)
async def test_an_end_that_comes_days_later_takes_the_estimate_back(world: HttpWorld, stated: dict[str, Any]) -> None:
    await answered(world)
    world.wait(3 * DAY_SECONDS)
    await world.ocf.expire_due()
    assert (await settled_by(world)).settled_by.value == "end_unknown"
    assert await world.balance("rich") != "1000000.00", "the first block was charged"
    said = good(await world.report("end", at=world.at(400 - 3 * DAY_SECONDS), **stated))
    seconds = stated.get("duration_seconds", 400)
    assert (said["duration_seconds"], said["settled_by"]) == (str(seconds), "hangup")
    assert await world.balance("rich") == f"{1_000_000 - seconds / 100:.2f}"
    assert await world.exceptions() == ["end_unknown"]


async def test_an_end_that_waited_for_the_daemon_is_charged_as_it_was(world: HttpWorld) -> None:
    await answered(world)
    world.wait(600)
    assert good(await world.report("end", at=world.at(-200)))["charge"] == "4.00", "still open when it is told"
    assert await world.exceptions() == ["end_told_late"]


async def test_whoever_dates_an_end_back_to_talk_for_less_is_listed(world: HttpWorld) -> None:
    await answered(world)
    world.wait(3_600)
    assert good(await world.report("end", at=world.at(1 - 3_600)))["duration_seconds"] == "1"
    (listed,) = await world.store.exceptions()
    assert (listed["kind"], listed["call_id"]) == ("end_told_late", "c1")
    assert "told 3599 s late: charged for 1 s" in str(listed["detail"])


async def test_an_end_in_time_is_not_listed(world: HttpWorld) -> None:
    await answered(world)
    world.wait(600)
    good(await world.report("end", at=world.at(-59)))
    assert await world.exceptions() == []


async def test_a_late_end_repeats_with_the_same_bytes(world: HttpWorld) -> None:
    await answered(world)
    world.wait(600)
    body = {"at": world.at(-200), "duration_seconds": 400}
    first = await world.post("/v1/calls/c1/end", body)
    world.wait(600)
    assert (await world.post("/v1/calls/c1/end", body)).content == first.content


@pytest.mark.parametrize(
    ("back", "stated"),
    [
        (361, {}),  # before the last update, by more than the tolerance
        (601, {}),  # before the answer
        (200, {"duration_seconds": 339}),  # shorter than its own at says
        (200, {"duration_seconds": 461}),  # longer
        (355, {"duration_seconds": 239}),  # twice the tolerance
        (-61, {}),  # to come
    ],
)
async def test_a_late_end_never_takes_back_what_was_told(world: HttpWorld, back: int, stated: dict[str, Any]) -> None:
    await answered(world, updates=True)
    world.wait(300)
    good(await world.report("update", duration_seconds=300))
    world.wait(300)
    assert refused(await world.report("end", at=world.at(-back), **stated)) == (400, "malformed")
    assert good(await world.report("end", at=world.at(-290)))["duration_seconds"] == "310"


async def test_an_end_now_with_a_far_shorter_duration_stays_refused(world: HttpWorld) -> None:
    await answered(world)
    world.wait(600)
    reply = await world.report("end", duration_seconds=6)
    assert refused(reply) == (400, "malformed")
    assert "its own at" in reply.text


async def test_an_estimate_is_no_sign_of_life(world: HttpWorld) -> None:
    """The first block that an unknown end is charged with keeps no shorter call from being told."""
    await answered(world)
    world.wait(DAY_SECONDS)
    await world.ocf.expire_due()
    call = await settled_by(world)
    assert call.last_seen_at == call.answered_at
    assert good(await world.report("end", at=world.at(5 - DAY_SECONDS)))["duration_seconds"] == "5"


async def test_a_late_end_of_a_call_whose_answer_was_lost(world: HttpWorld) -> None:
    good(await world.ask(account="rich"))
    world.wait(600)
    assert refused(await world.report("end", at=world.at(-661), duration_seconds=1)) == (400, "malformed")
    assert refused(await world.report("end", at=world.at(-500), duration_seconds=161)) == (400, "malformed")
    assert good(await world.report("end", at=world.at(-500), duration_seconds=90))["charge"] == "0.90"


async def test_only_an_end_may_be_told_late_and_only_once(world: HttpWorld) -> None:
    await answered(world)
    world.wait(600)
    assert refused(await world.report("update", at=world.at(-100))) == (400, "malformed")
    assert refused(await world.report("end", "ghost", at=world.at(-100), duration_seconds=1)) == (400, "malformed")
    good(await world.report("end"))
    world.wait(DAY_SECONDS)
    grant_id = (await settled_by(world)).grant_id
    late = await world.report("end", at=world.at(-DAY_SECONDS - 300), grant_id=grant_id)
    assert refused(late) == (400, "malformed"), "its end is known"


async def test_an_unpaid_call_is_listed_with_what_was_told_of_it(world: HttpWorld) -> None:
    assert refused(await world.report("end", "ghost", duration_seconds=12.5)) == (404, "unknown")
    (listed,) = await world.store.exceptions()
    assert "duration 12.5 s: name the account in the question" in str(listed["detail"])
    assert "NAS" not in str(listed["detail"])


@pytest.mark.parametrize("held", [300, -300])
async def test_while_our_clock_is_held_an_instant_by_the_machine_s_own_is_no_fault(world: HttpWorld, held: int) -> None:
    world.around.held = held * SECOND
    good(await world.ask(account="rich"))
    good(await world.report("answer", at=world.at(-held)))
    world.wait(10)
    assert good(await world.report("end", at=world.at(-held)))["duration_seconds"] == "10"
    assert await world.exceptions() == []


async def test_while_our_clock_is_held_a_client_whose_clock_goes_with_it_is_believed(world: HttpWorld) -> None:
    world.around.held = 300 * SECOND
    await answered(world)
    world.wait(600)
    assert good(await world.report("end", at=world.at(-200)))["duration_seconds"] == "400"
    assert refused(await world.report("answer", call_id="c2", at=world.at(-150))) == (400, "malformed")


async def test_the_operator_sees_how_far_a_held_clock_is_apart(world: HttpWorld) -> None:
    assert "clock_behind_seconds" not in good(await world.send("GET", "/readyz"))
    for held in (300, -300):
        world.around.held = held * SECOND
        assert good(await world.send("GET", "/readyz"))["clock_behind_seconds"] == held
