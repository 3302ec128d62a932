"""Bundles on live calls: units first and held, never twice, given back, and the rest at the normal rate."""

from dataclasses import replace

import pytest

from daemon.authorize.decision import Denied, Granted
from daemon.authorize.denial import Denial
from daemon.charging.call import Call, CallState, SettledBy
from daemon.charging.event import Decided
from daemon.kernel.instant import DAY, SECOND, parse_rfc3339
from daemon.kernel.money import NANO, parse_nano
from daemon.rating.bundle import Bundle, Meter, Units, period_number
from daemon.rating.rate_plan import RatePlan
from tests.unit.charging.desk import (
    ALICE,
    RAY,
    RENEWABLE,
    RETAIL,
    START,
    TRUNK_ACCOUNT,
    Desk,
    catalog,
    table,
    with_account,
)

UK = "442071231234"
PERIOD = period_number(START, "month", "UTC")
UK_60 = Bundle("uk-60", 60, prefixes=frozenset({"44"}))


def desk_with(*bundles: Bundle, funds: str = "0", deck: str = "", **terms: object) -> Desk:
    """Return a desk on which alice has bundles; ``deck`` replaces the retail one."""
    found = with_account(catalog(), ALICE, bundles=bundles, **terms)
    if deck:
        found = replace(found, plans={**found.plans, RETAIL: RatePlan("retail", (table(RETAIL, deck),))})
    desk = Desk(found)
    if funds != "0":
        desk.fund(ALICE, funds)
    return desk


def meter(desk: Desk, bundle: Bundle = UK_60) -> Meter:
    return desk.store.meters.get((1, bundle.meter), Meter(1, bundle.meter))


def granted(decided: Decided) -> Granted:
    assert isinstance(decided.decision, Granted), decided
    return decided.decision


def refusal(decided: Decided) -> Denial:
    assert isinstance(decided.decision, Denied), decided
    return decided.decision.denial


def settled(call: Call | None) -> tuple[int, int]:
    """Return the units used and the charge of a call's retail level."""
    assert call is not None
    assert call.state is CallState.SETTLED, call
    return sum(units.units for units in call.posted[0].units), call.posted[0].charge


async def whole(desk: Desk, name: str, seconds: int, *, renewable: bool = False) -> tuple[int, int]:
    road: dict[str, object] = {"renewable": renewable}
    granted(await desk.ask(name, renewable=renewable))
    await desk.answer(name, road=road)
    desk.wait(seconds)
    return settled((await desk.end(name, duration_us=seconds * SECOND, road=road)).call)


class TestFreeSeconds:
    async def test_one_unit_does_not_buy_them_for_ever(self) -> None:
        deck = "prefix,rate,free_seconds\n44,0.60,60\n"
        for terms in ({}, {"max_call_charge": NANO // 10}, {"daily_spend": NANO // 10}):
            desk = desk_with(replace(UK_60, units=1), deck=deck, funds="0", **terms)
            assert isinstance((await desk.ask("c1")).decision, Denied), terms
        rich = desk_with(replace(UK_60, units=1), deck=deck, funds="2", max_call_charge=NANO // 10)
        assert refusal(await rich.ask("c1")) is Denial.CALL_TOO_DEAR
        assert granted(await desk_with(replace(UK_60, units=61), deck=deck).ask("c1")).seconds == 61


class TestTwoCalls:
    async def test_in_parallel_never_spend_a_unit_twice(self) -> None:
        desk = desk_with(UK_60)
        assert granted(await desk.ask("c1")).seconds == 60
        assert refusal(await desk.ask("c2")) is Denial.BALANCE_INSUFFICIENT
        assert meter(desk) == Meter(1, UK_60.meter, PERIOD, 0, 60)

    async def test_by_slices_are_granted_sixty_seconds_in_all(self) -> None:
        desk = desk_with(UK_60)
        seconds = {"c1": granted(await desk.ask("c1", renewable=True)).seconds}
        seconds["c2"] = granted(await desk.ask("c2", renewable=True)).seconds
        assert seconds == {"c1": 10, "c2": 10}
        for name in seconds:
            await desk.answer(name, road=RENEWABLE)
        for number in range(10):
            name = f"c{number % 2 + 1}"
            seconds[name] += (await desk.alive(name, renew=True, road=RENEWABLE)).more_seconds
        assert sum(seconds.values()) == 60
        assert refusal(await desk.ask("c3", renewable=True)) is Denial.BALANCE_INSUFFICIENT
        desk.wait(35)
        ends = [(await desk.end(name, duration_us=seconds[name] * SECOND, road=RENEWABLE)).call for name in seconds]
        assert [settled(call) for call in ends] == [(seconds["c1"], 0), (seconds["c2"], 0)]
        assert meter(desk) == Meter(1, UK_60.meter, PERIOD, 60, 0)

    async def test_what_one_did_not_use_is_there_for_the_other(self) -> None:
        desk = desk_with(UK_60, funds="1.00", max_call_seconds=60)
        granted(await desk.ask("c1"))
        held = granted(await desk.ask("c2"))
        assert (held.levels[0].units, held.seconds, held.reserved) == ((), 60, parse_nano("0.60"))
        await desk.answer("c1")
        await desk.answer("c2")
        desk.wait(20)
        assert settled((await desk.end("c1", duration_us=20 * SECOND)).call) == (20, 0)
        desk.wait(40)
        assert settled((await desk.end("c2", duration_us=60 * SECOND)).call) == (40, parse_nano("0.20"))


class TestAuthorisation:
    async def test_a_number_of_another_group_needs_money(self) -> None:
        desk = desk_with(UK_60)
        assert refusal(await desk.ask("c1", "33123456789")) is Denial.BALANCE_INSUFFICIENT

    async def test_units_and_then_money_for_the_rest(self) -> None:
        desk = desk_with(UK_60, funds="0.10")
        held = granted(await desk.ask("c1"))
        assert held.seconds == 70
        assert held.levels[0].units == (Units(UK_60.meter, 60, PERIOD),)
        assert held.levels[0].bundles == (replace(UK_60, prefixes=frozenset()),)
        assert held.reserved == parse_nano("0.10")

    async def test_caps_of_money_bear_on_money_alone(self) -> None:
        tiny = parse_nano("0.005")
        desk = desk_with(UK_60, funds="5.00", daily_spend=tiny, max_call_charge=tiny)
        assert granted(await desk.ask("c1")).seconds == 60
        assert refusal(await desk.ask("c2")) is Denial.CALL_TOO_DEAR

    async def test_a_day_without_money_left_and_a_debt_leave_the_units(self) -> None:
        desk = desk_with(UK_60, funds="5.00", daily_spend=0)
        assert granted(await desk.ask("c1")).seconds == 60
        assert refusal(await desk.ask("c2")) is Denial.DAILY_SPEND

    async def test_units_count_at_the_rows_own_rate_against_the_floor(self) -> None:
        bundle = Bundle("germany", 600, prefixes=frozenset({"49"}))
        desk = desk_with(bundle, margin_floor_percent=99 * NANO)
        assert refusal(await desk.ask("c1", "4930123456")) is Denial.MARGIN_BELOW_FLOOR
        desk = desk_with(replace(UK_60, units=600), margin_floor_percent=50 * NANO)
        assert granted(await desk.ask("c1")).seconds == 600

    async def test_a_call_within_its_included_seconds_keeps_a_unit(self) -> None:
        deck = "prefix,rate,included_seconds,connect_fee,free_seconds\n44,0.60,30,0.05,0\n49,0.60,0,0,40\n"
        desk = desk_with(replace(UK_60, prefixes=frozenset()), funds="5.00", deck=deck, margin_floor_percent=None)
        held = granted(await desk.ask("c1", renewable=True))
        assert (held.seconds, held.levels[0].units) == (30, (Units(UK_60.meter, 1, PERIOD),))
        await desk.answer("c1", road=RENEWABLE)
        desk.wait(10)
        assert type(held.levels[0].units[0].units) is int, "a number that a store can read back"
        assert settled((await desk.end("c1", duration_us=10 * SECOND, road=RENEWABLE)).call) == (1, 0)
        assert meter(desk).held == 0
        free = granted(await desk.ask("c2", "4930123456", renewable=True, routed=False))
        assert (free.seconds, free.levels[0].units) == (40, ())

    async def test_the_explanation_tells_what_is_left(self) -> None:
        desk = desk_with(UK_60)
        await whole(desk, "c1", 18)
        reads = desk.ocf.quote_reads(desk.attempt("x"))
        assert reads.meters == ((1, UK_60.meter),)
        decision, trace = desk.ocf.explain(
            desk.attempt("x"), desk.store_standing, meters=lambda *key: desk.store.meters[key]
        )
        assert isinstance(decision, Granted)
        assert (decision.seconds, meter(desk).held) == (42, 0)
        assert [rule.detail for rule in trace if rule.name == "bundle"] == [
            "42 of unit second are left of uk-60, used before money"
        ]

    async def test_a_level_above_has_bundles_of_its_own(self) -> None:
        found = with_account(with_account(catalog(), RAY, bundles=(UK_60,)), TRUNK_ACCOUNT, bundles=(UK_60,))
        desk = Desk(found)
        held = granted(await desk.ask("c1", payer=RAY))
        assert [level.units for level in held.levels] == [(Units(UK_60.meter, 60, PERIOD),)] * 2
        await desk.answer("c1", payer=RAY)
        desk.wait(30)
        call = (await desk.end("c1", payer=RAY, duration_us=30 * SECOND)).call
        assert call is not None
        assert [posted.charge for posted in call.posted] == [0, 0]
        assert {key[0]: each.used for key, each in desk.store.meters.items()} == {3: 30, 4: 30}


class TestCharging:
    @pytest.mark.parametrize(("increment", "charge"), [("60", "0.30"), ("1", "0.25")])
    async def test_a09_thirty_seconds_are_left_of_the_bundle(self, increment: str, charge: str) -> None:
        deck = f"prefix,rate,first_seconds,next_seconds,connect_fee\n44,0.10,{increment},{increment},0\n"
        desk = desk_with(replace(UK_60, units=30), funds="1.00", deck=deck, margin_floor_percent=None)
        assert await whole(desk, "c1", 180) == (30, parse_nano(charge))
        record = desk.store.written[0]
        assert (record.bundle, record.bundle_units, record.unit) == ("uk-60", 30, "second")
        assert record.billed_seconds == {"60": 180, "1": 150}[increment]
        assert desk.standing(ALICE).uncollected == 0

    async def test_a_slice_within_the_bundle_and_then_blocks_of_money(self) -> None:
        desk = desk_with(UK_60, funds="1.00", deck="prefix,rate,first_seconds,next_seconds\n44,0.60,30,6\n")
        held = granted(await desk.ask("c1", renewable=True))
        assert (held.seconds, held.reserved) == (10, 0)
        await desk.answer("c1", road=RENEWABLE)
        seen = []
        for _ in range(7):
            call = (await desk.alive("c1", renew=True, road=RENEWABLE)).call
            assert call is not None
            level = call.levels[0]
            seen.append((call.granted_seconds, sum(units.units for units in level.units), level.reserved))
        charges = [0, 0, 0, 0, 0, parse_nano("0.30"), parse_nano("0.42")]
        assert [charge for _, _, charge in seen] == charges
        assert [(seconds, units) for seconds, units, _ in seen] == [
            (20, 20), (30, 30), (40, 40), (50, 50), (60, 60), (90, 60), (102, 60),
        ]  # fmt: skip

    async def test_several_bundles_are_used_in_their_order(self) -> None:
        first, second = Bundle("a", 20), Bundle("b", 50, prefixes=frozenset({"44"}))
        desk = desk_with(first, second, funds="1.00")
        assert await whole(desk, "c1", 90) == (70, parse_nano("0.20"))
        assert desk.store.written[0].bundle == "a b"
        assert (meter(desk, first).used, meter(desk, second).used) == (20, 50)

    async def test_one_unit_of_a_bundle_of_calls_covers_a_whole_call(self) -> None:
        bundle = Bundle("calls", 2, unit="call")
        desk = desk_with(bundle)
        assert await whole(desk, "c1", 3_000, renewable=True) == (1, 0)
        assert granted(await desk.ask("c2")).seconds == 7_200
        assert refusal(await desk.ask("c3")) is Denial.BALANCE_INSUFFICIENT
        assert meter(desk, bundle) == Meter(1, bundle.meter, PERIOD, 1, 1)

    async def test_an_unanswered_a_lapsed_and_a_replaced_call_give_all_back(self) -> None:
        desk = desk_with(UK_60)
        await desk.ask("c1")
        await desk.ask("c1")
        assert meter(desk).held == 60
        await desk.end("c1", answered=False)
        assert meter(desk).held == 0
        await desk.ask("c2")
        desk.wait(121)
        await desk.ocf.expire_due()
        assert meter(desk) == Meter(1, UK_60.meter, PERIOD)
        late = await desk.answer("c2")
        assert late.call is not None
        assert late.call.granted_seconds == 60
        assert meter(desk).held == 60

    async def test_a_call_that_nobody_asked_about_takes_units_first(self) -> None:
        desk = desk_with(UK_60, funds="1.00")
        assert settled((await desk.end("c1", duration_us=70 * SECOND)).call) == (60, parse_nano("0.10"))
        desk = desk_with(UK_60)
        outcome = await desk.answer("c2")
        assert outcome.call is not None
        assert (outcome.call.granted_seconds, meter(desk).held) == (60, 60)

    async def test_a_call_that_would_have_been_refused_takes_them_too(self) -> None:
        desk = desk_with(UK_60, channels_total=0)
        desk.catalog_value = replace(desk.catalog_value, carriers={})
        assert settled((await desk.end("c1", duration_us=50 * SECOND)).call) == (50, 0)

    async def test_a_bundle_that_is_configured_no_more_is_settled_by_what_was_granted(self) -> None:
        desk = desk_with(UK_60)
        await desk.ask("c1")
        await desk.answer("c1")
        desk.catalog_value = with_account(desk.catalog_value, ALICE, bundles=())
        desk.wait(60)
        assert settled((await desk.end("c1", duration_us=60 * SECOND)).call) == (60, 0)
        assert meter(desk) == Meter(1, UK_60.meter, PERIOD, 60)


class TestReversal:
    async def _estimated(self, desk: Desk) -> None:
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(10)
        await desk.alive("c1")
        desk.wait(600)
        await desk.ocf.expire_due()
        (call,) = desk.store.saved.values()
        assert call.settled_by is SettledBy.END_UNKNOWN
        assert settled(call) == (10, 0)
        assert meter(desk).used == 10

    async def test_a_late_end_takes_other_units_in_the_place_of_the_estimates(self) -> None:
        desk = desk_with(UK_60)
        await self._estimated(desk)
        assert settled((await desk.end("c1", duration_us=42 * SECOND)).call) == (42, 0)
        assert meter(desk) == Meter(1, UK_60.meter, PERIOD, 42)
        assert [record.bundle_units for record in desk.store.written] == [10, -10, 42]

    async def test_days_later_in_another_period_it_counts_in_that_of_the_answer(self) -> None:
        desk = desk_with(replace(UK_60, rollover=True), funds="1.00")
        await self._estimated(desk)
        desk.wait(40 * 86_400)
        assert await whole(desk, "c2", 5) == (5, 0)
        turned = meter(desk)
        assert turned.period > PERIOD
        assert (turned.used, turned.held) == (5, 0)
        carried = turned.carried
        # That period is closed: of it the call has the 10 units that it used, and pays the rest in money.
        assert settled((await desk.end("c1", duration_us=42 * SECOND)).call) == (10, parse_nano("0.32"))
        assert meter(desk) == turned
        assert carried == 50

    async def test_what_is_given_back_of_a_closed_period_rolls_over(self) -> None:
        desk = desk_with(replace(UK_60, rollover=True), funds="1.00")
        await self._estimated(desk)
        desk.wait(20 * 86_400)
        await whole(desk, "c2", 5)
        assert meter(desk).carried == 50
        assert settled((await desk.end("c1", duration_us=4 * SECOND)).call) == (4, 0)
        assert meter(desk).carried == 56

    async def test_one_that_still_runs_holds_again_what_it_used(self) -> None:
        desk = desk_with(UK_60)
        await self._estimated(desk)
        again = await desk.alive("c1")
        assert again.call is not None
        assert again.call.state is CallState.ANSWERED
        assert meter(desk) == Meter(1, UK_60.meter, PERIOD, 0, 60)
        assert settled((await desk.end("c1", duration_us=60 * SECOND)).call) == (60, 0)
        assert meter(desk) == Meter(1, UK_60.meter, PERIOD, 60)


class TestPeriods:
    async def test_left_units_roll_over_once_over_two_ends(self) -> None:
        bundle = replace(UK_60, rollover=True)
        desk = desk_with(bundle)
        desk.now = parse_rfc3339("2026-01-30T12:00:00Z")
        await whole(desk, "c1", 20)
        desk.now = parse_rfc3339("2026-02-10T12:00:00Z")
        assert granted(await desk.ask("c2")).seconds == 100
        await desk.end("c2", answered=False)
        await whole(desk, "c3", 10)
        assert meter(desk, bundle).carried == 40
        desk.now = parse_rfc3339("2026-03-10T12:00:00Z")
        # February's allowance was not touched, so all of it rolls over; what January had left does not again.
        assert granted(await desk.ask("c4")).seconds == 120

    async def test_without_rollover_what_is_left_is_lost(self) -> None:
        desk = desk_with(UK_60)
        await whole(desk, "c1", 20)
        desk.wait(40 * 86_400)
        assert granted(await desk.ask("c2")).seconds == 60

    async def test_a_call_asked_before_the_end_and_answered_after_it_is_of_the_new_period(self) -> None:
        bundle = replace(UK_60, period="day", rollover=True)
        desk = desk_with(bundle)
        desk.now = midnight = parse_rfc3339("2026-02-01T00:00:00Z")
        desk.wait(-20)
        await desk.ask("c1")
        yesterday = meter(desk, bundle)
        assert (yesterday.held, yesterday.used) == (60, 0)
        desk.wait(30)
        assert desk.now > midnight
        await desk.answer("c1")
        today = meter(desk, bundle)
        assert (today.period - yesterday.period, today.held, today.carried) == (1, 60, 60)
        desk.wait(30)
        assert settled((await desk.end("c1", duration_us=30 * SECOND)).call) == (30, 0)
        assert meter(desk, bundle) == Meter(1, bundle.meter, today.period, 30, 0, 60)

    async def test_a_switch_whose_clock_is_behind_does_not_answer_before_the_question(self) -> None:
        bundle = replace(UK_60, period="day")
        desk = desk_with(bundle)
        desk.now = parse_rfc3339("2026-02-01T00:00:10Z")
        await desk.ask("c1")
        today = meter(desk, bundle)
        await desk.answer("c1", answered_at=desk.now - 20 * SECOND)
        assert meter(desk, bundle) == today
        desk.wait(30)
        assert settled((await desk.end("c1", duration_us=50 * SECOND)).call) == (50, 0)
        assert meter(desk, bundle) == today._replace(used=50, held=0)

    async def test_a_running_call_keeps_what_it_holds_of_a_period_that_another_closed(self) -> None:
        bundle = Bundle("day", 1_000, period="day")
        desk = desk_with(bundle)
        desk.now = parse_rfc3339("2026-01-31T23:59:00Z")
        held = granted(await desk.ask("c1", renewable=True)).seconds
        await desk.answer("c1", road=RENEWABLE)
        desk.wait(120)
        assert granted(await desk.ask("c2", renewable=True)).seconds == held
        assert (await desk.alive("c1", renew=True, road=RENEWABLE)).more_seconds == 0
        today = meter(desk, bundle)
        assert settled((await desk.end("c1", duration_us=held * SECOND, road=RENEWABLE)).call) == (held, 0)
        assert meter(desk, bundle) == today

    async def test_a_clock_that_lies_ahead_turns_no_meter(self) -> None:
        desk = desk_with(UK_60)
        later = desk.now + 400 * DAY
        await desk.end("c1", at=later, answered_at=later - 10 * SECOND, duration_us=10 * SECOND)
        assert meter(desk).period == PERIOD
