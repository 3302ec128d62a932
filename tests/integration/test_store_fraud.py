"""Fraud rules and the month's spend in the real store: counted with the call or not at all, by every daemon on it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.authorize.catalog import Status
from daemon.authorize.decision import Denied
from daemon.authorize.fraud_rule import FraudAct, FraudKind
from daemon.charging.configuration import AccountSpec
from daemon.charging.event import Decided
from daemon.charging.limits_stated import ChannelPackageSpec, FraudRuleSpec
from daemon.kernel.ids import Key
from daemon.kernel.instant import SECOND
from daemon.kernel.money import parse_nano
from daemon.store.events import EVENTS_KEPT
from daemon.store.objects import Refused, Spec
from tests.integration.store_world import ACME, RITA, SCENARIO, TRUNK, World, altered, decks, findings, opened

pytestmark = pytest.mark.usefixtures("engine")


def rule(kind: FraudKind, act: FraudAct, account: Key = RITA, **changes: object) -> FraudRuleSpec:
    return FraudRuleSpec(account.tenant, f"{kind.value}-{act.value}", kind, act, account.id, **changes)  # type: ignore[arg-type]


def uk(act: FraudAct, calls: int, account: Key = RITA) -> FraudRuleSpec:
    return rule(FraudKind.GROUP_RATE, act, account, calls=calls, prefixes=("44",))


async def stated(world: World, *specs: Spec) -> None:
    await world.store.apply((*SCENARIO, *specs), decks(), who="test")
    await world.load()


async def code(world: World, call_id: str, payer: Key = RITA) -> str:
    decided = await world.ocf.authorize(world.attempt(call_id, payer))
    assert isinstance(decided, Decided)
    return decided.decision.denial.value if isinstance(decided.decision, Denied) else "granted"


async def codes(worlds: Sequence[World], calls: int) -> list[str]:
    """Ask for calls of rita at once, by turns on each daemon."""
    return sorted(
        await asyncio.gather(*(code(worlds[each % len(worlds)], f"{each}-{worlds[0].asked}") for each in range(calls)))
    )


async def test_of_questions_that_come_at_once_on_two_daemons_as_many_are_granted_as_a_rule_allows(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as world, opened(tmp_path, prefix="h") as other:
        await stated(world, uk(FraudAct.THROTTLE, 7))
        await other.load()
        assert await codes((world, other), 20) == ["fraud_suspected"] * 13 + ["granted"] * 7
    async with opened(tmp_path, prefix="i") as world:
        assert await code(world, "after a start") == "fraud_suspected"
        world.now += 3_661 * SECOND
        assert await code(world, "after an hour") == "granted"
    assert await findings(tmp_path) == []


async def test_calls_that_come_at_once_on_two_daemons_hold_no_more_money_than_a_rule_allows(tmp_path: Path) -> None:
    async with opened(tmp_path) as world, opened(tmp_path, prefix="h") as other:
        most = parse_nano("1.00")
        await stated(world, rule(FraudKind.GROUP_RATE, FraudAct.THROTTLE, spend=most, prefixes=("44",)))
        await other.load()
        assert set(await codes((world, other), 12)) == {"granted", "fraud_suspected"}
        view = await world.store.account_view(RITA)
        assert view is not None
        assert [window.held for window in view.standing.windows] == [most]
    assert await findings(tmp_path) == []


async def test_an_account_that_a_rule_suspended_says_so_until_a_person_resumes_it(tmp_path: Path) -> None:
    async def by(world: World) -> str:
        view = await world.store.account_view(RITA)
        assert view is not None
        return view.suspended_by

    async with opened(tmp_path) as world:
        await stated(world, uk(FraudAct.SUSPEND, 1))
        assert [await code(world, f"c{each}") for each in range(2)] == ["granted", "account_suspended"]
        await world.ocf.tell_events()
        assert await by(world) == "fraud_rule"
        await world.store.set_status(RITA, Status.ACTIVE, who="guard", reason="looked at")
        assert await by(world) == ""
        await world.store.set_status(RITA, Status.SUSPENDED, who="guard", reason="looked at")
        assert await by(world) == "person"


async def test_a_suspension_is_on_record_with_the_rule_and_rests_until_a_person_resumes(tmp_path: Path) -> None:
    async with opened(tmp_path) as world, opened(tmp_path, prefix="h") as other:
        await stated(world, uk(FraudAct.SUSPEND, 1))
        await other.load()
        assert [await code(world, f"c{each}") for each in range(2)] == ["granted", "account_suspended"]
        assert await code(other, "c3") == "account_suspended"
        told = [*await world.ocf.tell_events(), *await other.ocf.tell_events()]
        assert [(event.account, event.act) for event in told] == [("rita", "suspend")]
        view = await world.store.account_view(RITA)
        assert view is not None
        assert view.spec.status is Status.SUSPENDED
        change = (await world.store.changes_of("account", RITA))[-1]
        assert (change["who"], change["reason"]) == ("fraud rule group_rate-suspend", told[0].detail)
        await stated(world, uk(FraudAct.SUSPEND, 1))
        assert await code(world, "c4") == "account_suspended"
        await world.store.set_status(RITA, Status.ACTIVE, who="guard", reason="looked at")
        for each in (world, other):
            await each.load()
        assert [await code(other, f"d{each}") for each in range(2)] == ["granted", "account_suspended"]
    assert await findings(tmp_path) == []


async def test_what_a_person_resumed_is_not_suspended_by_an_event_from_before(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await stated(world, uk(FraudAct.SUSPEND, 1))
        assert [await code(world, f"c{each}") for each in range(2)] == ["granted", "account_suspended"]
        waiting = await world.store.events_to_do(10)
        for status in (Status.SUSPENDED, Status.ACTIVE):
            await world.store.set_status(RITA, status, who="guard", reason="looked at")
        assert not await world.store.do_event(*waiting[0])
        assert await world.ocf.tell_events() == []
        await world.load()
        assert await code(world, "c9") == "granted"


async def test_events_are_listed_newest_first_and_the_oldest_leave(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await stated(world, uk(FraudAct.WARN, 1), uk(FraudAct.THROTTLE, 1, ACME))
        for each in range(3):
            await code(world, f"c{each}")
        for each in range(3):
            await code(world, f"d{each}", ACME)
        accounts = [event["account"] for event in await world.store.events()]
        assert accounts == ["acme", "rita"]
        assert [event["account"] for event in await world.store.events(RITA)] == ["rita"]
        await altered(tmp_path, f"UPDATE event SET number = number + {EVENTS_KEPT} WHERE account = 'acme'")
        await world.ocf.tell_events()
        assert [event["account"] for event in await world.store.events()] == ["acme"]


async def test_a_reseller_is_watched_by_his_own_rule_and_not_by_that_of_all_customers(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        everybody = replace(uk(FraudAct.THROTTLE, 1), tenant="main", account="")
        await stated(world, everybody)
        assert [await code(world, f"c{each}") for each in range(3)] == ["granted"] * 3
        assert [await code(world, f"d{each}", ACME) for each in range(2)] == ["granted", "fraud_suspected"]
        await stated(world, everybody, replace(uk(FraudAct.THROTTLE, 1, TRUNK), id="trunk"))
        assert [await code(world, f"e{each}") for each in range(2)] == ["granted", "upstream_refused"]


async def test_the_month_of_the_account_counts_and_begins_anew(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        spec = next(spec for spec in SCENARIO if isinstance(spec, AccountSpec) and spec.id == "rita")
        await stated(world, replace(spec, monthly_spend=parse_nano("1.00")))
        await world.whole("c1", 99)
        assert await code(world, "c2") == "granted"
        assert await code(world, "c3") == "monthly_spend"
        world.now += 31 * 86_400 * SECOND
        assert await code(world, "c4") == "granted"
    assert await findings(tmp_path) == []


async def test_rules_and_packages_of_nothing_are_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        for faulty, message in (
            ([replace(uk(FraudAct.WARN, 1), account="nobody")], "there is no account nobody"),
            ([replace(uk(FraudAct.WARN, 1), group="none")], "there is no destination group none"),
            ([ChannelPackageSpec("main", "more", "nobody", 5)], "there is no account nobody"),
            ([replace(uk(FraudAct.WARN, 1), id=f"r{each}") for each in range(9)], "more than 8 fraud rules watch"),
        ):
            with pytest.raises(Refused, match=message):
                await stated(world, *faulty)
