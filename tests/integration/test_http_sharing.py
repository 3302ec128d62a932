"""Calls over HTTP with ``updates`` that share what money is left: each reads its new quota in its next update."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.authorize.catalog import Emergency
from daemon.kernel.ids import Key
from daemon.kernel.money import parse_nano
from daemon.ledger.account import EntryKind
from tests.unit.http_api.http_world import FRANCE, OBJECTS, HttpWorld, account, good, http_world, refused

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HttpWorld]:
    async with http_world(tmp_path) as made:
        yield made


async def two_calls(world: HttpWorld, **fields: str) -> None:
    """Have two calls of alice's 1.20 run since now, which share it."""
    for call in ("c1", "c2"):
        good(await world.ask(call, updates=True, **fields))
        good(await world.report("answer", call))
    world.wait(2)
    await world.ocf.sharer.look()


async def quota(world: HttpWorld, call: str, seconds: float) -> int:
    """Update a call, and return the quota that it is told."""
    return int(good(await world.report("update", call, duration_seconds=seconds))["quota_seconds"])


async def adjust(world: HttpWorld, amount: str) -> None:
    await world.store.credit(
        Key("main", "alice"), EntryKind.ADJUST, parse_nano(amount), key=amount, who="test", reason="corrected"
    )


async def test_two_calls_are_told_the_same_end_and_hold_all(world: HttpWorld) -> None:
    await two_calls(world)
    assert [await quota(world, call, 2) for call in ("c1", "c2")] == [60, 60]
    assert (await world.standing()).reserved == parse_nano("1.20")
    world.wait(58)
    for call in ("c1", "c2"):
        assert good(await world.report("update", call, duration_seconds=60))["final"] is True
        good(await world.report("end", call, duration_seconds=60))
    assert await world.balance() == "0.00"


async def test_money_that_came_is_in_the_next_update(world: HttpWorld) -> None:
    await two_calls(world)
    good(await world.top_up("alice", "0.60", key="k1"))
    world.wait(1)
    await world.ocf.sharer.look()
    assert [await quota(world, call, 3) for call in ("c1", "c2")] == [90, 90]


async def test_what_one_leaves_the_other_gets_when_it_is_used_up_to_there(world: HttpWorld) -> None:
    await two_calls(world)
    good(await world.report("end", "c2", duration_seconds=2))
    world.wait(3)
    await world.ocf.sharer.look()
    assert await quota(world, "c1", 55) == 65
    assert (await world.standing()).reserved == parse_nano("0.65")


async def test_a_shorter_quota_is_told_first_and_money_let_go_when_it_is_known_to_be_read(world: HttpWorld) -> None:
    await two_calls(world)
    await adjust(world, "-0.40")
    world.wait(1)
    await world.ocf.sharer.look()
    assert await quota(world, "c1", 3) == 40
    assert (await world.standing()).reserved == parse_nano("1.20"), "the answer may be lost"
    world.wait(1.9)
    assert await quota(world, "c1", 4) == 40
    assert (await world.standing()).reserved == parse_nano("1.20"), "an update that was sent before that was read"
    world.wait(0.1)
    assert await quota(world, "c1", 5) == 40, "who asks again has read it"
    assert (await world.standing()).reserved == parse_nano("1.00")
    assert await quota(world, "c2", 5) == 40
    ended = good(await world.report("end", "c2", duration_seconds="41.2"))
    assert (ended["charge"], ended["settled_by"]) == ("0.40", "own_limit"), "it was told 40, though more was held"
    assert (await world.standing()).reserved == parse_nano("0.40")


async def test_an_update_of_before_confirms_nothing_however_late_it_comes(world: HttpWorld) -> None:
    await two_calls(world)
    await adjust(world, "-0.40")
    world.wait(1)
    await world.ocf.sharer.look()
    sent = world.at()
    assert await quota(world, "c1", 3) == 40
    world.wait(5)
    late = good(await world.report("update", "c1", duration_seconds=3.5, at=sent))
    assert late["quota_seconds"] == 40
    assert (await world.standing()).reserved == parse_nano("1.20")


async def test_a_shorter_quota_that_is_wanted_no_more_is_told_no_more(world: HttpWorld) -> None:
    await two_calls(world)
    await adjust(world, "-0.40")
    world.wait(1)
    await world.ocf.sharer.look()
    assert await quota(world, "c1", 3) == 40
    await adjust(world, "0.40")
    world.wait(1)
    await world.ocf.sharer.look()
    assert await quota(world, "c1", 4) == 60
    assert (await world.standing()).reserved == parse_nano("1.20")


async def test_a_block_that_was_begun_is_kept_whatever_the_account_owes(world: HttpWorld) -> None:
    await two_calls(world, to=FRANCE)
    assert [await quota(world, call, 2) for call in ("c1", "c2")] == [60, 60]
    await adjust(world, "-1.00")
    world.wait(1)
    await world.ocf.sharer.look()
    assert [await quota(world, call, 3) for call in ("c1", "c2")] == [60, 60]


async def test_one_more_is_refused_where_nobody_can_be_told_at_once(world: HttpWorld) -> None:
    await two_calls(world)
    denied = good(await world.ask("c3", updates=True))
    assert (denied["result"], denied["reason"]) == ("denied", "balance_insufficient")
    assert refused(await world.report("update", "c3")) == (404, "unknown")


async def test_an_account_with_money_for_a_slice_each_is_left_alone(world: HttpWorld) -> None:
    for call in ("c1", "c2"):
        good(await world.ask(call, updates=True, account="rich"))
        good(await world.report("answer", call))
    assert not world.ocf.sharer.short
    await world.ocf.sharer.look()
    assert await quota(world, "c1", 1) == 301


async def test_both_sides_of_one_call_end_together_and_share_with_nobody(world: HttpWorld) -> None:
    good(await world.ask("c1", updates=True, both_sides=True, to="442079460000", account="carol"))
    good(await world.report("answer", "c1"))
    good(await world.ask("c2", updates=True))
    good(await world.report("answer", "c2"))
    world.wait(2)
    await world.ocf.sharer.look()
    await world.ocf.sharer.look()
    assert (await world.standing()).reserved <= parse_nano("1.20")


async def test_a_peer_is_told_when_to_warn(world: HttpWorld) -> None:
    stated = account("alice", low_balance_warning_seconds=30, cutoff_warning_seconds=10)
    await world.store.apply([*(each for each in OBJECTS if getattr(each, "id", "") != "alice"), stated], {}, who="test")
    world.around.found = await world.store.load_catalog(Emergency())
    whole = good(await world.ask("c1"))
    assert (whole["quota_seconds"], whole["warn_at_seconds"], whole["cutoff_warn_at_seconds"]) == (120, 90, 110)
    good(await world.report("end", "c1", answered=False))
    sliced = good(await world.ask("c2", updates=True))
    assert (sliced["quota_seconds"], sliced["warn_at_seconds"], sliced["cutoff_warn_at_seconds"]) == (10, 90, 110)
    answered = good(await world.report("answer", "c2"))
    assert (answered["warn_at_seconds"], answered["cutoff_warn_at_seconds"]) == (90, 110)
    good(await world.top_up("alice", "0.60", key="k1"))
    updated = good(await world.report("update", "c2", duration_seconds=1))
    assert (updated["warn_at_seconds"], updated["cutoff_warn_at_seconds"]) == (150, 170)
    assert "warn_at_seconds" not in good(await world.ask("c3", account="carol")), "nothing is asked for there"
