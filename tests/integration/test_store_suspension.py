"""Accounts that the rule suspends, in the real store on both engines: who resumes them, and what the watch tells."""

from pathlib import Path
from typing import Any

import pytest
import structlog

from daemon.app_suspension import SuspensionWatch
from daemon.authorize.catalog import Status
from daemon.charging.event import Decided
from daemon.kernel.ids import Key
from daemon.kernel.money import NANO
from daemon.ledger.account import EntryKind
from daemon.ledger.bucket import Wanted
from daemon.store.check import check_store
from tests.integration.store_world import ACME, START, World, opened
from tests.integration.test_store_buckets import BOBBY, HOUR, neighbour
from tests.integration.test_store_check import broken

pytestmark = pytest.mark.usefixtures("engine")


class Counted:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.acts: list[str] = []

    def count(self, name: str, **labels: str) -> None:
        assert name == "tollway_suspensions_total"
        self.acts.append(labels["act"])


async def by(world: World, account: Key = ACME) -> str:
    view = await world.store.account_view(account)
    assert view is not None
    return view.suspended_by


async def emptied(world: World) -> None:
    """Have acme spend all of its 25.00: 2,500 s at 0.01."""
    await world.ask("all", ACME)
    await world.answer("all", ACME)
    world.now += 2_500_000_000
    await world.end("all", 2_500, ACME)
    assert await world.balance(ACME) == 0


async def answered(world: World, call_id: str) -> str:
    decided = await world.ocf.authorize(world.attempt(call_id, ACME))
    assert isinstance(decided, Decided), decided
    return getattr(getattr(decided.decision, "denial", None), "value", "granted")


async def test_the_settlement_suspends_and_every_kind_of_money_resumes(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await neighbour(world, balance=5 * NANO)
        await emptied(world)
        assert await by(world) == "balance"
        assert await answered(world, "c1") == "account_suspended"
        store = world.store
        for number in range(3):
            who: Any = {"key": f"k{number}", "who": "w", "reason": "r"}
            if number == 0:
                await store.credit(ACME, EntryKind.TOP_UP, NANO, **who)
            elif number == 1:
                await store.credit(ACME, EntryKind.ADJUST, NANO, **who)
            else:
                await store.transfer(BOBBY, ACME, NANO, **who)
            assert await by(world) == ""
            await store.credit(ACME, EntryKind.ADJUST, -NANO, key=f"back{number}", who="w", reason="r")
            assert await by(world) == "balance"
        kinds = [row["kind"] for row in await store.entries(ACME) if row["kind"] in ("suspend", "resume")]
        assert kinds == ["suspend", *["resume", "suspend"] * 3]
        assert await check_store(store) == []


async def test_an_expiry_suspends_and_a_person_is_not_undone(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await emptied(world)
        gift = Wanted("gift", None, None, world.now + HOUR)
        await world.store.credit(ACME, EntryKind.TOP_UP, NANO, key="g", who="w", reason="r", bucket=gift)
        assert await by(world) == ""
        world.now += 2 * HOUR
        await world.ocf.expire_due()
        assert await by(world) == "balance"
        await world.store.set_status(ACME, Status.SUSPENDED, who="w", reason="fraud")
        await world.load()
        await world.store.credit(ACME, EntryKind.TOP_UP, NANO, key="t", who="w", reason="r")
        assert await by(world) == "person"
        assert await answered(world, "c1") == "account_suspended"
        await world.store.set_status(ACME, Status.ACTIVE, who="w", reason="cleared")
        await world.load()
        assert await answered(world, "c2") == "granted"


async def test_the_watch_tells_each_once_whoever_did_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        counted = Counted()
        watch = SuspensionWatch(world.store, counted)
        await watch.look()
        await emptied(world)
        await world.store.credit(ACME, EntryKind.TOP_UP, NANO, key="t", who="w", reason="r")
        with structlog.testing.capture_logs() as logs:
            await watch.look()
            await watch.look()
        assert counted.acts == ["suspend", "resume"]
        assert [(line["event"], line["account"]) for line in logs] == [
            ("account suspend", "main/acme"), ("account resume", "main/acme"),
        ]  # fmt: skip
        fresh = SuspensionWatch(world.store, counted)
        await fresh.look()
        await fresh.look()
        assert len(counted.acts) == 2  # what was there before it began is history


async def test_a_mark_that_no_entry_made_is_found(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await emptied(world)
    found = await broken(tmp_path, f"UPDATE account SET suspended_at = {START} WHERE id = 'acme'")
    assert found == [("suspensions", "main/acme")]
