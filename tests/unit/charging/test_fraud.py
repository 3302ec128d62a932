"""Fraud rules on live calls: what counts, at which level, what is refused, told, suspended, and taken back."""

from dataclasses import replace

from daemon.authorize.catalog import Emergency, OverChannels, Status, WhenEmpty
from daemon.authorize.decision import Denied, Granted
from daemon.authorize.fraud_rule import FraudAct, FraudDirection, FraudKind, FraudRule
from daemon.charging.call import CallState
from daemon.charging.event import Decided
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import SECOND
from daemon.kernel.money import parse_nano
from daemon.ledger.window import Window, window_of
from daemon.rating.rate_plan import RatePlan
from tests.unit.charging.desk import ALICE, RAY, RENEWABLE, RETAIL, TRUNK_ACCOUNT, Desk, catalog, table, with_account

UK = frozenset({"44"})


def group(act: FraudAct, **changes: object) -> FraudRule:
    return FraudRule("uk", FraudKind.GROUP_RATE, act, 60, prefixes=UK, **changes)  # type: ignore[arg-type]


def short(act: FraudAct, calls: int = 2, minutes: int = 10) -> FraudRule:
    return FraudRule("short", FraudKind.SHORT_CALLS, act, minutes, calls=calls, seconds=6)


def desk_with(*rules: FraudRule, key: Key = ALICE) -> Desk:
    desk = Desk(with_account(catalog(), key, fraud_rules=rules))
    for each in (ALICE, RAY, TRUNK_ACCOUNT):
        desk.fund(each, "5000.00")
    return desk


async def call(desk: Desk, name: str, seconds: int, **changes: object) -> Decided:
    """Ask, answer and end one call."""
    decided = await desk.ask(name, **changes)  # type: ignore[arg-type]
    if not isinstance(decided.decision, Denied):
        await desk.answer(name, road=changes)
        desk.wait(seconds)
        await desk.end(name, road=changes, duration_us=seconds * SECOND)
    return decided


def code(decided: Decided) -> str:
    return decided.decision.denial.value if isinstance(decided.decision, Denied) else "granted"


def told(desk: Desk) -> list[tuple[str, str]]:
    return [(event.rule, event.act) for event in desk.store.events]


def window(desk: Desk, rule: str) -> Window:
    return window_of(desk.standing(ALICE).windows, rule)


class TestShortCalls:
    async def test_more_than_are_allowed_are_told_once_in_their_minutes(self) -> None:
        desk = desk_with(short(FraudAct.WARN))
        for place in range(5):
            assert code(await call(desk, f"c{place}", 3)) == "granted"
        assert told(desk) == [("short", "warn")]
        assert "3 calls shorter than 6 seconds, at most 2, in 10 minutes" in desk.store.events[0].detail
        desk.wait(660)
        for place in range(5, 8):
            await call(desk, f"c{place}", 3)
        assert told(desk) == [("short", "warn")] * 2

    async def test_throttle_refuses_every_call_until_the_minutes_have_passed(self) -> None:
        desk = desk_with(short(FraudAct.THROTTLE))
        for place in range(3):
            assert code(await call(desk, f"c{place}", 3)) == "granted"
        assert code(await desk.ask("c3")) == "fraud_suspected"
        assert code(await desk.ask("c4", to="33140506070")) == "fraud_suspected"
        desk.wait(540)
        assert code(await desk.ask("c5")) == "fraud_suspected"
        desk.wait(120)
        assert code(await desk.ask("c6")) == "granted"
        assert told(desk) == [("short", "throttle")]

    async def test_long_calls_and_those_never_answered_do_not_count(self) -> None:
        desk = desk_with(short(FraudAct.THROTTLE, calls=1))
        for place in range(4):
            await call(desk, f"c{place}", 6)
        for place in range(4):
            await desk.ask(f"u{place}")
            await desk.end(f"u{place}", answered=False)
        assert window(desk, "short").calls(desk.now, 10) == 0
        assert told(desk) == []

    async def test_both_directions_and_used_call_ids_count_together(self) -> None:
        desk = desk_with(replace(short(FraudAct.THROTTLE), direction=FraudDirection.ANY))
        await call(desk, "same", 3)
        await call(desk, "same", 3, direction=Direction.INBOUND)
        await call(desk, "same", 3)
        assert code(await desk.ask("same", direction=Direction.INBOUND)) == "fraud_suspected"

    async def test_an_estimate_that_gives_way_takes_its_count_back(self) -> None:
        desk = desk_with(short(FraudAct.WARN, calls=1))
        await desk.ask("c1", routed=False)
        await desk.answer("c1", road={"routed": False})
        desk.wait(2)
        assert (await desk.ocf.recover("g1")).changed
        assert window(desk, "short").calls(desk.now, 10) == 1
        desk.wait(30)
        await desk.end("c1", duration_us=32 * SECOND)
        assert window(desk, "short").calls(desk.now, 10) == 0

    async def test_an_end_that_is_held_back_counts_in_the_minute_in_which_it_is_told(self) -> None:
        desk = desk_with(short(FraudAct.THROTTLE))
        for place in range(3):
            await desk.ask(f"c{place}")
            await desk.answer(f"c{place}")
        ended = desk.now + 3 * SECOND
        desk.wait(1_200)
        for place in range(3):
            await desk.end(f"c{place}", at=ended, duration_us=3 * SECOND)
        assert told(desk) == [("short", "throttle")]
        assert code(await desk.ask("c9")) == "fraud_suspected"

    async def test_an_estimate_counts_where_it_lies(self) -> None:
        desk = desk_with(short(FraudAct.THROTTLE, calls=1))
        for place in range(2):
            await desk.ask(f"c{place}", routed=False)
            await desk.answer(f"c{place}", road={"routed": False})
        desk.wait(1_200)
        for grant_id in tuple(desk.store.saved):
            assert (await desk.ocf.recover(grant_id)).changed
        assert window(desk, "short").calls(desk.now, 10) == 0
        assert window(desk, "short").calls(desk.now, 30) == 2
        assert told(desk) == []

    async def test_suspend_is_in_force_with_the_charge_that_went_over(self) -> None:
        desk = desk_with(short(FraudAct.SUSPEND))
        for place in range(3):
            await call(desk, f"c{place}", 3)
        desk.wait(7_200)
        assert code(await desk.ask("c9")) == "account_suspended"
        assert told(desk) == [("short", "suspend")]
        assert [event.rule for event in await desk.ocf.tell_events()] == ["short"]
        assert await desk.ocf.tell_events() == []


class TestGroupRate:
    async def test_calls_count_from_their_question_whatever_becomes_of_them(self) -> None:
        desk = desk_with(group(FraudAct.THROTTLE, calls=2, direction=FraudDirection.ANY))
        assert code(await desk.ask("c1")) == "granted"
        assert code(await desk.ask("c2", direction=Direction.INBOUND)) == "granted"
        assert code(await desk.ask("c3")) == "fraud_suspected"
        assert code(await desk.ask("c3", to="33140506070")) == "granted"
        desk.wait(61 * 60)
        assert code(await desk.ask("c4")) == "granted"
        assert told(desk) == [("uk", "throttle")]

    async def test_the_same_question_again_counts_once(self) -> None:
        desk = desk_with(group(FraudAct.THROTTLE, calls=2))
        for _ in range(4):
            assert code(await desk.ask("c1")) == "granted"
        assert code(await desk.ask("c2")) == "granted"
        assert code(await desk.ask("c3")) == "fraud_suspected"

    async def test_money_counts_while_it_is_held_and_as_it_was_charged(self) -> None:
        desk = desk_with(group(FraudAct.THROTTLE, spend=parse_nano("1.00")))
        await desk.ask("c1")
        assert window(desk, "uk").held == desk.standing(ALICE).reserved == parse_nano("1.00")
        assert code(await desk.ask("c2")) == "fraud_suspected"
        await desk.answer("c1")
        await desk.end("c1", duration_us=40 * SECOND)
        assert window(desk, "uk").held == 0
        assert window(desk, "uk").spent(desk.now, 60) == parse_nano("0.40")
        assert code(await desk.ask("c3")) == "granted"

    async def test_slices_hold_no_more_than_the_money_of_the_rule(self) -> None:
        desk = desk_with(group(FraudAct.THROTTLE, spend=parse_nano("4.05")))
        await desk.ask("c1", renewable=True)
        await desk.answer("c1", road=RENEWABLE)
        while (await desk.alive("c1", renew=True, road=RENEWABLE)).more_seconds:
            assert window(desk, "uk").held <= parse_nano("4.05")
        assert window(desk, "uk").held == parse_nano("4.05")
        assert told(desk) == []
        await desk.end("c1", duration_us=405 * SECOND)
        assert window(desk, "uk").spent(desk.now, 60) == parse_nano("4.05")
        assert told(desk) == [("uk", "throttle")]
        assert code(await desk.ask("c2")) == "fraud_suspected"

    async def test_calls_that_run_together_hold_no_more_than_the_money_of_the_rule(self) -> None:
        desk = desk_with(group(FraudAct.SUSPEND, spend=parse_nano("4.05")))
        names = ("c1", "c2", "c3")
        for name in names:
            await desk.ask(name, renewable=True)
            await desk.answer(name, road=RENEWABLE)
        more = 1
        while more:
            more = sum([(await desk.alive(name, renew=True, road=RENEWABLE)).more_seconds for name in names])
            assert window(desk, "uk").held <= parse_nano("4.05")
        assert window(desk, "uk").held == parse_nano("4.05")
        assert told(desk) == []

    async def test_a_whole_grant_is_shortened_and_an_unanswered_one_suspends_nobody(self) -> None:
        desk = desk_with(group(FraudAct.SUSPEND, spend=parse_nano("1.00")))
        decision = (await desk.ask("c1")).decision
        assert isinstance(decision, Granted)
        assert (decision.seconds, decision.reserved) == (100, parse_nano("1.00"))
        await desk.end("c1", answered=False)
        assert told(desk) == []
        assert code(await call(desk, "c2", 99)) == "granted"
        assert told(desk) == []
        assert code(await call(desk, "c3", 1)) == "granted"
        assert told(desk) == [("uk", "suspend")]
        assert code(await desk.ask("c4", to="33140506070")) == "account_suspended"

    async def test_what_a_call_holds_refuses_the_next_one_and_suspends_nobody_at_any_level(self) -> None:
        rule = group(FraudAct.SUSPEND, spend=parse_nano("1.00"))
        desk = desk_with(rule, key=TRUNK_ACCOUNT)
        desk.catalog_value = with_account(desk.catalog_value, ALICE, fraud_rules=(rule,))
        for payer, refusal in ((ALICE, "fraud_suspected"), (RAY, "upstream_refused")):
            first, second = f"{payer.id}1", f"{payer.id}2"
            assert code(await desk.ask(first, payer=payer)) == "granted"
            assert code(await desk.ask(second, payer=payer)) == refusal
            assert told(desk) == []
            await desk.end(first, payer=payer, answered=False)
            assert code(await desk.ask(second, payer=payer)) == "granted"
            await desk.end(second, payer=payer, answered=False)

    async def test_a_call_whose_first_block_is_beyond_the_rule_is_refused_by_it_and_suspends(self) -> None:
        desk = desk_with(replace(group(FraudAct.SUSPEND, spend=parse_nano("0.59")), prefixes=frozenset({"33"})))
        denied = await desk.ask("c1", to="33140506070")
        assert code(denied) == "account_suspended"
        assert told(desk) == [("uk", "suspend")]

    async def test_a_refusal_by_anything_else_trips_no_rule(self) -> None:
        above = group(FraudAct.SUSPEND, calls=1)
        desk = desk_with(above, key=TRUNK_ACCOUNT)
        desk.catalog_value = with_account(desk.catalog_value, RAY, fraud_rules=(group(FraudAct.SUSPEND, calls=1),))
        assert code(await desk.ask("c1", payer=RAY)) == "granted"
        desk.fund(RAY, "-5000.00")
        desk.store.standings[4] = desk.standing(RAY)._replace(suspended_at=desk.now)
        assert code(await desk.ask("c2", payer=RAY)) == "account_suspended"
        assert told(desk) == []
        desk.catalog_value = with_account(desk.catalog_value, RAY, when_empty=WhenEmpty.OFF, fraud_rules=())
        assert code(await desk.ask("c3", payer=RAY)) == "balance_insufficient"
        assert told(desk) == []
        assert window_of(desk.standing(TRUNK_ACCOUNT).windows, "uk").tripped_at == 0
        desk.fund(RAY, "500.00")
        assert code(await desk.ask("c4", payer=RAY)) == "upstream_refused"
        assert [(event.account, event.act) for event in desk.store.events] == [("ray-trunk", "suspend")]

    async def test_a_rule_of_one_level_does_not_trip_one_of_the_same_name_above(self) -> None:
        rule = group(FraudAct.SUSPEND, calls=1)
        desk = desk_with(rule, key=TRUNK_ACCOUNT)
        desk.catalog_value = with_account(desk.catalog_value, RAY, fraud_rules=(rule,))
        assert code(await desk.ask("c1", payer=RAY)) == "granted"
        assert code(await desk.ask("c2", payer=RAY)) == "account_suspended"
        assert [event.account for event in desk.store.events] == ["rita"]

    async def test_calls_that_come_in_count_for_no_rule_of_outbound_calls(self) -> None:
        desk = desk_with(short(FraudAct.SUSPEND, calls=1), group(FraudAct.SUSPEND, calls=1, spend=1))
        for place in range(4):
            assert code(await call(desk, f"c{place}", 3, direction=Direction.INBOUND)) == "granted"
        assert desk.standing(ALICE).windows == ()
        assert told(desk) == []

    async def test_a_rule_of_inbound_calls_counts_and_refuses_those_alone(self) -> None:
        desk = desk_with(group(FraudAct.THROTTLE, calls=1, direction=FraudDirection.INBOUND))
        assert [code(await desk.ask(f"o{place}")) for place in range(3)] == ["granted"] * 3
        asked = [code(await desk.ask(f"i{place}", direction=Direction.INBOUND)) for place in range(2)]
        assert asked == ["granted", "fraud_suspected"]
        assert code(await desk.ask("o4")) == "granted"

    async def test_emergency_calls_count_for_no_rule(self) -> None:
        desk = desk_with(short(FraudAct.SUSPEND, calls=1), group(FraudAct.SUSPEND, calls=1, spend=1))
        own = RatePlan("retail", (table(RETAIL, "prefix,rate\n442071231234,0.60\n"),))
        plans = {**desk.catalog_value.plans, RETAIL: own}
        emergency = Emergency(frozenset({"442071231234"}))
        desk.catalog_value = replace(desk.catalog_value, plans=plans, emergency=emergency)
        for place in range(4):
            assert code(await call(desk, f"c{place}", 3)) == "granted"
        assert desk.standing(ALICE).balance < parse_nano("5000.00"), "they are charged"
        assert desk.standing(ALICE).windows == ()
        await desk.answer("r1")
        desk.wait(3)
        assert desk.standing(ALICE).windows == ()
        assert told(desk) == []

    async def test_warn_refuses_nothing(self) -> None:
        desk = desk_with(group(FraudAct.WARN, calls=1))
        assert [code(await desk.ask(f"c{place}")) for place in range(3)] == ["granted"] * 3
        assert told(desk) == [("uk", "warn")]

    async def test_suspend_refuses_the_call_that_would_go_over_and_lets_no_slice_follow(self) -> None:
        desk = desk_with(group(FraudAct.SUSPEND, calls=1))
        await desk.ask("c1", renewable=True)
        await desk.answer("c1", road=RENEWABLE)
        assert code(await desk.ask("c2")) == "account_suspended"
        assert code(await desk.ask("c3", to="33140506070")) == "account_suspended"
        assert (await desk.alive("c1", renew=True, road=RENEWABLE)).more_seconds == 0
        assert told(desk) == [("uk", "suspend")]
        assert desk.store.events[0].detail == "1 calls, at most 1, in 60 minutes; one more call was asked for"
        assert await desk.ocf.tell_events() == desk.store.events
        call = desk.store.saved["g1"]
        assert (call.state, call.cut) == (CallState.ANSWERED, False)

    async def test_suspend_cuts_running_calls_where_the_rule_says_so(self) -> None:
        desk = desk_with(group(FraudAct.SUSPEND, calls=1, cuts=True))
        await desk.ask("c1", to="33140506070")
        await desk.ask("c2")
        await desk.ask("c3")
        await desk.ocf.tell_events()
        assert [call.cut for call in desk.store.saved.values()] == [True, True]

    async def test_a_level_above_counts_all_below_it_and_refuses_without_saying_why(self) -> None:
        desk = desk_with(group(FraudAct.THROTTLE, calls=1), key=TRUNK_ACCOUNT)
        assert code(await desk.ask("c1", payer=RAY)) == "granted"
        assert code(await desk.ask("c2", payer=RAY)) == "upstream_refused"
        assert [(event.tenant, event.account) for event in desk.store.events] == [("main", "ray-trunk")]

    async def test_a_call_that_nobody_asked_about_counts(self) -> None:
        desk = desk_with(group(FraudAct.WARN, calls=1))
        await desk.answer("x1")
        await desk.answer("x2")
        assert window(desk, "uk").calls(desk.now, 60) == 2
        assert told(desk) == [("uk", "warn")]

    async def test_a_rule_that_is_no_more_leaves_nothing_behind(self) -> None:
        desk = desk_with(group(FraudAct.WARN, calls=5))
        await desk.ask("c1")
        desk.catalog_value = with_account(desk.catalog_value, ALICE, fraud_rules=())
        await desk.answer("c1")
        assert desk.standing(ALICE).windows != ()
        await desk.end("c1", duration_us=SECOND)
        await desk.ask("c2")
        assert desk.standing(ALICE).windows == ()

    async def test_an_account_that_a_rule_suspended_is_explained_with_the_rule_and_one_of_a_person_is_not(self) -> None:
        desk = desk_with(group(FraudAct.SUSPEND, calls=1))
        for name in ("c1", "c2"):
            await desk.ask(name)
        desk.catalog_value = with_account(desk.catalog_value, ALICE, status=Status.SUSPENDED)
        assert desk.ocf.quote_reads(desk.attempt("x")).accounts == (1,)
        decision, trace = desk.ocf.explain(desk.attempt("x"), desk.store_standing)
        assert isinstance(decision, Denied)
        assert [rule.name for rule in trace if not rule.passed] == ["status"]
        assert "account main/alice is suspended by fraud rule uk since 2026-09-21" in trace[-1].detail
        assert decision.reason in trace[-1].detail
        desk.store.standings[1] = desk.standing(ALICE)._replace(windows=())
        decision, trace = desk.ocf.explain(desk.attempt("x"), desk.store_standing)
        assert trace[-1].detail == "account_suspended: account main/alice is suspended"


OVER = {
    "channels_total": 1, "over_channels": OverChannels.SURCHARGE, "channel_surcharge": parse_nano("0.05"),
    "channel_surcharge_per_minute": parse_nano("0.60"),
}  # fmt: skip


class TestSurcharge:
    async def test_a_call_over_the_limit_is_held_and_charged_with_it_and_the_record_says_so(self) -> None:
        desk = Desk(with_account(catalog(), ALICE, **OVER))
        desk.fund(ALICE, "10.00")
        await desk.ask("c1", renewable=True)
        held = desk.standing(ALICE).reserved
        second = await desk.ask("c2", renewable=True)
        assert isinstance(second.decision, Granted)
        surcharged = parse_nano("0.05") + second.decision.seconds * parse_nano("0.02")
        assert desk.standing(ALICE).reserved - held == second.decision.reserved == surcharged
        for name in ("c1", "c2"):
            await desk.answer(name, road=RENEWABLE)
            desk.wait(30)
            await desk.end(name, duration_us=30 * SECOND)
        first, other = desk.store.written
        assert (first.charge, first.surcharge, first.surcharge_rate) == (parse_nano("0.30"), 0, 0)
        assert other.charge == parse_nano("0.30") + parse_nano("0.05") + parse_nano("0.30")
        assert (other.surcharge, other.surcharge_rate) == (parse_nano("0.05"), parse_nano("0.60"))

    async def test_a_reseller_pays_his_own_surcharge(self) -> None:
        desk = Desk(with_account(catalog(), TRUNK_ACCOUNT, **OVER))
        desk.fund(RAY, "500.00")
        for name in ("c1", "c2"):
            await desk.ask(name, payer=RAY, routed=False)
            await desk.answer(name, payer=RAY)
        desk.wait(60)
        await desk.end("c2", payer=RAY, duration_us=60 * SECOND)
        retail, trunk = desk.store.written
        assert (retail.charge, retail.surcharge) == (parse_nano("0.60"), 0)
        assert trunk.charge == parse_nano("0.30") + parse_nano("0.05") + parse_nano("0.60")
