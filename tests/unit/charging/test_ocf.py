"""A call's life through the use cases: what is held, what is charged, what is left, on every order of events."""

from dataclasses import replace

import pytest

from daemon.authorize.attempt import Identity
from daemon.authorize.decision import Denied, Granted
from daemon.authorize.denial import Denial
from daemon.charging.call import Call, CallState
from daemon.charging.event import Conflict, Decided, MessageKey, Outcome, Replay
from daemon.charging.session import ChargingSettings
from daemon.kernel.instant import SECOND
from daemon.kernel.money import NANO, parse_nano
from tests.unit.charging.desk import (
    ALICE,
    RAY,
    TRUNK_ACCOUNT,
    Desk,
    catalog,
    key,
    with_account,
)


def call_of(outcome: Outcome | Decided) -> Call:
    """Return the call, which must be there."""
    assert outcome.call is not None
    return outcome.call


def refusal_of(decided: Decided) -> Denial:
    """Return the code of a refusal."""
    assert isinstance(decided.decision, Denied)
    return decided.decision.denial


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.fund(ALICE, "2.00")
    return made


class TestAWholeCall:
    async def test_reserves_the_whole_grant_charges_the_seconds_and_lets_go_of_the_rest(self, desk: Desk) -> None:
        granted = (await desk.ask("c1")).decision
        assert isinstance(granted, Granted)
        assert (granted.seconds, granted.reserved) == (200, parse_nano("2.00"))
        assert desk.standing(ALICE).reserved == parse_nano("2.00")
        assert desk.standing(ALICE).channels_out == 1
        await desk.answer("c1")
        desk.wait(61)
        ended = await desk.end("c1", duration_us=60_200_000, cause="NORMAL_CLEARING", switch_seconds=60)
        assert call_of(ended).state is CallState.SETTLED
        standing = desk.standing(ALICE)
        assert (standing.balance, standing.reserved, standing.channels) == (parse_nano("1.39"), 0, 0)
        assert standing.day_spent == parse_nano("0.61")

    async def test_the_record_can_be_priced_again_by_hand(self, desk: Desk) -> None:
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(30)
        await desk.end("c1", duration_us=30 * SECOND, cause="NORMAL_CLEARING")
        (record,) = desk.store.written
        assert (record.tenant, record.account, record.prefix, record.destination) == ("main", "alice", "44", "UK")
        assert (record.billed_seconds, record.charge, record.cost) == (30, parse_nano("0.30"), parse_nano("0.05"))
        assert record.margin == parse_nano("0.25")
        assert (record.carrier, record.rate, record.settled_by) == ("cheap", parse_nano("0.60"), "hangup")

    async def test_an_unanswered_call_costs_nothing(self, desk: Desk) -> None:
        await desk.ask("c1")
        ended = await desk.end("c1", answered=False, cause="USER_BUSY")
        assert call_of(ended).state is CallState.VOIDED
        assert desk.standing(ALICE).balance == parse_nano("2.00")
        assert desk.standing(ALICE).reserved == 0
        assert desk.carrier("cheap").channels == 0
        assert not desk.store.written

    async def test_an_answered_call_is_charged_whatever_its_cause(self, desk: Desk) -> None:
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(10)
        await desk.end("c1", duration_us=10 * SECOND, cause="USER_BUSY")
        assert desk.standing(ALICE).balance == parse_nano("1.90")

    async def test_a_stop_without_a_start_is_charged_from_its_duration(self, desk: Desk) -> None:
        await desk.ask("c1")
        desk.wait(15)
        await desk.end("c1", duration_us=10 * SECOND)
        assert desk.standing(ALICE).balance == parse_nano("1.90")

    async def test_a_start_after_the_stop_does_not_reopen_the_call(self, desk: Desk) -> None:
        await desk.ask("c1")
        answered_at = desk.now
        desk.wait(10)
        await desk.end("c1", duration_us=10 * SECOND)
        late = await desk.answer("c1", answered_at=answered_at)
        assert not late.changed
        assert desk.standing(ALICE).balance == parse_nano("1.90")
        assert desk.standing(ALICE).reserved == 0

    async def test_a_second_end_changes_nothing_and_another_duration_is_listed(self, desk: Desk) -> None:
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(10)
        await desk.end("c1", duration_us=10 * SECOND)
        again = await desk.end("c1", duration_us=10 * SECOND)
        other = await desk.end("c1", duration_us=25 * SECOND)
        assert not again.changed
        assert not other.changed
        assert desk.standing(ALICE).balance == parse_nano("1.90")
        assert [item.kind for item in desk.store.exceptions] == ["duplicate_differs"]

    async def test_an_interim_after_the_stop_changes_nothing(self, desk: Desk) -> None:
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(10)
        await desk.end("c1", duration_us=10 * SECOND)
        assert not (await desk.alive("c1")).changed
        assert desk.standing(ALICE).reserved == 0


class TestManyCallsOnOneBalance:
    async def test_fifty_questions_on_the_price_of_one_call_admit_one(self, desk: Desk) -> None:
        desk = Desk(settings=ChargingSettings(max_grant_seconds=60))
        desk.fund(ALICE, "1.00")
        answers = [await desk.ask(f"c{n}", "33123456789") for n in range(50)]
        granted = [answer for answer in answers if isinstance(answer.decision, Granted)]
        assert len(granted) == 1
        assert {refusal_of(answer) for answer in answers if answer not in granted} == {Denial.BALANCE_INSUFFICIENT}

    @pytest.mark.parametrize(("to", "left"), [("442071231234", "0"), ("33123456789", "0")])
    async def test_three_calls_on_two_minutes_spend_exactly_the_balance(self, to: str, left: str) -> None:
        desk = Desk(catalog_value=with_account(catalog(), ALICE))
        desk.fund(ALICE, "1.20")
        calls = [await desk.ask(f"c{n}", to, renewable=True) for n in range(3)]
        running = [f"c{n}" for n, answer in enumerate(calls) if isinstance(answer.decision, Granted)]
        start = desk.now
        for name in running:
            await desk.answer(name, to=to)
        limits = await _run_until_cut(desk, running, to)
        desk.now = start + (max(limits.values()) + 1) * SECOND
        for name, seconds in limits.items():
            late = replace(desk.report(name, to=to, road={"renewable": True}), at=start + (seconds + 1) * SECOND)
            await desk.ocf.ended(replace(late, duration_us=(seconds + 1) * SECOND))
        assert desk.standing(ALICE).balance == parse_nano(left)
        assert desk.standing(ALICE).reserved == 0
        assert max(limits.values()) - min(limits.values()) <= 10


async def _run_until_cut(desk: Desk, names: list[str], to: str) -> dict[str, int]:
    """Renew every call as its slice ends, until none can be; return the seconds granted to each."""
    limits = dict.fromkeys(names, 0)
    for _ in range(200):
        grown = False
        for name in names:
            outcome = await desk.alive(name, renew=True, to=to, road={"renewable": True})
            grown = grown or outcome.more_seconds > 0
            limits[name] = call_of(outcome).granted_seconds
        if not grown:
            return limits
        desk.wait(1)
    raise AssertionError("the money never ended")


class TestOurOwnCut:
    @pytest.mark.parametrize("late_us", [0, 400_000, 1_999_999])
    async def test_an_overrun_within_the_tolerance_is_not_billed(self, desk: Desk, late_us: int) -> None:
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(203)
        await desk.end("c1", duration_us=200 * SECOND + late_us)
        assert desk.standing(ALICE).balance == 0
        assert desk.store.written[0].settled_by == "own_limit"
        assert desk.store.written[0].overrun_us == late_us

    async def test_an_overrun_beyond_it_is_charged_and_the_unpaid_part_is_a_debt(self, desk: Desk) -> None:
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(300)
        await desk.end("c1", duration_us=210 * SECOND)
        standing = desk.standing(ALICE)
        assert (standing.balance, standing.uncollected) == (0, parse_nano("0.10"))
        assert desk.store.written[0].charge == parse_nano("2.10")
        assert desk.store.written[0].uncollected == parse_nano("0.10")


class TestUnauthorised:
    async def test_a_start_that_nobody_asked_about_is_charged_and_listed(self, desk: Desk) -> None:
        await desk.answer("stray")
        assert desk.standing(ALICE).reserved > 0
        desk.wait(10)
        await desk.end("stray", duration_us=10 * SECOND)
        assert desk.standing(ALICE).balance == parse_nano("1.90")
        assert [item.kind for item in desk.store.exceptions] == ["unauthorised"]
        assert not desk.store.written[0].authorised

    async def test_a_stop_alone_is_charged(self, desk: Desk) -> None:
        desk.wait(30)
        await desk.end("stray", duration_us=10 * SECOND)
        assert desk.standing(ALICE).balance == parse_nano("1.90")
        assert desk.standing(ALICE).channels == 0

    async def test_a_suspended_account_that_called_all_the_same_pays(self, desk: Desk) -> None:
        from daemon.authorize.catalog import Status

        desk.catalog_value = with_account(catalog(), ALICE, status=Status.SUSPENDED)
        assert refusal_of(await desk.ask("c1")) is Denial.ACCOUNT_SUSPENDED
        desk.wait(10)
        await desk.end("c1", duration_us=10 * SECOND)
        assert desk.standing(ALICE).balance == parse_nano("1.90")

    async def test_a_call_whose_payer_nobody_knows_is_an_exception(self, desk: Desk) -> None:
        report = desk.report("stray", duration_us=10 * SECOND)
        report = replace(report, attempt=replace(report.attempt, identity=Identity(account="nobody")))
        outcome = await desk.ocf.ended(report)
        assert isinstance(outcome, Outcome)
        assert outcome.call is None
        assert [item.kind for item in desk.store.exceptions] == ["no_account"]

    async def test_a_call_to_an_unrated_number_is_an_exception(self, desk: Desk) -> None:
        await desk.end("stray", to="99912345", duration_us=10 * SECOND)
        assert [item.kind for item in desk.store.exceptions] == ["unrated"]

    async def test_an_end_that_was_never_answered_is_nothing(self, desk: Desk) -> None:
        assert (await desk.end("stray", answered=False)).call is None
        assert not desk.store.exceptions


class TestReuseOfACallId:
    async def test_a_second_question_while_ringing_replaces_the_reservation(self, desk: Desk) -> None:
        first = call_of(await desk.ask("c1"))
        desk.settings = ChargingSettings(max_grant_seconds=60)
        desk.__post_init__()
        desk.ids = 10
        second = call_of(await desk.ask("c1"))
        assert (second.grant_id, second.attempt, second.part) == (first.grant_id, 1, 1)
        assert desk.standing(ALICE).channels == 1
        assert desk.standing(ALICE).reserved == second.levels[0].reserved

    async def test_a_question_for_another_number_never_hands_the_old_grant_to_it(self, desk: Desk) -> None:
        dear = call_of(await desk.ask("c1", "33123456789"))
        cheap = call_of(await desk.ask("c1"))
        assert cheap.grant_id != dear.grant_id
        assert desk.standing(ALICE).channels == 1
        await desk.answer("c1", to="33123456789", grant_id=dear.grant_id)
        desk.wait(30)
        await desk.end("c1", to="33123456789", grant_id=dear.grant_id, duration_us=30 * SECOND)
        assert desk.store.written[0].called == "33123456789"

    async def test_the_same_number_asked_again_during_the_call_is_the_same_call(self) -> None:
        desk = Desk(settings=ChargingSettings(max_grant_seconds=60))
        desk.fund(ALICE, "5.00")
        first = call_of(await desk.ask("c1"))
        await desk.answer("c1")
        desk.wait(5)
        again = call_of(await desk.ask("c1"))
        assert (again.grant_id, again.part) != (first.grant_id, first.part)
        desk.wait(5)
        await desk.end("c1", duration_us=10 * SECOND)
        assert desk.standing(ALICE).balance == parse_nano("4.90")
        desk.wait(120)
        await desk.ocf.expire_due()
        assert (desk.standing(ALICE).channels, desk.standing(ALICE).reserved) == (0, 0)

    async def test_two_calls_at_once_under_one_id_to_one_number_are_both_charged(self) -> None:
        desk = Desk(settings=ChargingSettings(max_grant_seconds=60))
        desk.fund(ALICE, "5.00")
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(10)
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(20)
        await desk.end("c1", duration_us=30 * SECOND)
        await desk.end("c1", duration_us=20 * SECOND)
        assert desk.standing(ALICE).balance == parse_nano("4.50")
        assert (desk.standing(ALICE).channels, desk.standing(ALICE).reserved) == (0, 0)

    async def test_the_part_before_ends_where_the_next_is_answered_and_its_own_stop_corrects_it(self) -> None:
        desk = Desk(settings=ChargingSettings(max_grant_seconds=60))
        desk.fund(ALICE, "5.00")
        first = call_of(await desk.ask("c1"))
        await desk.answer("c1")
        second = call_of(await desk.ask("c1", "33123456789"))
        desk.wait(20)
        await desk.answer("c1", to="33123456789", grant_id=second.grant_id)
        assert desk.standing(ALICE).balance == parse_nano("4.80")
        assert desk.standing(ALICE).channels == 1
        desk.wait(10)
        await desk.end("c1", to="33123456789", grant_id=second.grant_id, duration_us=10 * SECOND)
        await desk.end("c1", grant_id=first.grant_id, duration_us=30 * SECOND)
        assert desk.standing(ALICE).balance == parse_nano("4.10")

    async def test_the_same_id_and_the_same_duration_again_is_another_call(self, desk: Desk) -> None:
        for _ in range(2):
            await desk.ask("c1")
            await desk.answer("c1", message=MessageKey("start", b"1", of_call=True))
            desk.wait(30)
            stop = desk.report("c1", duration_us=30 * SECOND, message=MessageKey("stop", b"2", of_call=True))
            assert isinstance(await desk.ocf.ended(stop), Outcome)
            assert isinstance(await desk.ocf.ended(stop), Replay)
        assert desk.standing(ALICE).balance == parse_nano("1.40")

    async def test_a_late_repeat_of_the_call_before_is_still_a_repeat(self, desk: Desk) -> None:
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(30)
        stop = desk.report("c1", duration_us=30 * SECOND, message=MessageKey("stop", b"2", of_call=True))
        await desk.ocf.ended(stop)
        desk.wait(10)
        await desk.ask("c1")
        await desk.answer("c1")
        assert isinstance(await desk.ocf.ended(stop), Replay)
        assert desk.standing(ALICE).channels == 1

    async def test_a_start_that_follows_its_stop_opens_nothing(self, desk: Desk) -> None:
        await desk.ask("c1")
        desk.wait(10)
        await desk.end("c1", duration_us=10 * SECOND)
        desk.wait(1)
        assert not (await desk.answer("c1")).changed
        assert desk.standing(ALICE).channels == 0

    async def test_a_second_question_that_is_refused_frees_nothing(self, desk: Desk) -> None:
        await desk.ask("c1")
        assert refusal_of(await desk.ask("c1", "19001234")) is Denial.DESTINATION_BLOCKED
        assert desk.standing(ALICE).reserved == parse_nano("2.00")

    async def test_another_tenants_peer_does_not_replace_it(self, desk: Desk) -> None:
        desk.fund(RAY, "6.00")
        first = call_of(await desk.ask("c1"))
        second = call_of(await desk.ask("c1", payer=RAY, tenant="ray"))
        assert second.grant_id != first.grant_id
        assert desk.standing(ALICE).reserved == first.levels[0].reserved

    async def test_a_question_during_the_call_begins_the_next_part(self) -> None:
        desk = Desk(settings=ChargingSettings(max_grant_seconds=60))
        desk.fund(ALICE, "5.00")
        await desk.ask("c1")
        await desk.answer("c1")
        second = call_of(await desk.ask("c1", "33123456789"))
        assert (second.attempt, second.part) == (1, 2)

    async def test_a_question_after_the_end_is_a_new_attempt(self, desk: Desk) -> None:
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(10)
        await desk.end("c1", duration_us=10 * SECOND)
        assert call_of(await desk.ask("c1")).attempt == 2

    async def test_a_start_of_a_new_call_with_an_old_id_is_a_new_attempt(self, desk: Desk) -> None:
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(10)
        await desk.end("c1", duration_us=10 * SECOND)
        desk.wait(60)
        again = call_of(await desk.answer("c1"))
        assert (again.attempt, again.authorised) == (2, False)

    async def test_a_stop_alone_of_a_new_call_with_an_old_id_is_charged(self, desk: Desk) -> None:
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(10)
        await desk.end("c1", duration_us=10 * SECOND)
        desk.wait(300)
        again = call_of(await desk.end("c1", duration_us=20 * SECOND))
        assert (again.attempt, again.duration_us) == (2, 20 * SECOND)
        assert desk.standing(ALICE).balance == parse_nano("1.70")

    async def test_a_grant_that_joins_an_old_id_is_its_next_attempt(self, desk: Desk) -> None:
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(10)
        await desk.end("c1", duration_us=10 * SECOND)
        granted = call_of(await desk.ask("asked-without-an-id"))
        joined = call_of(await desk.answer("c1", grant_id=granted.grant_id))
        assert (joined.grant_id, joined.call_id, joined.attempt) == (granted.grant_id, "c1", 2)


class TestMessages:
    async def test_a_repeat_gets_the_bytes_of_the_first_answer(self, desk: Desk) -> None:
        first = await desk.ocf.authorize(desk.attempt("c1"), message=key("m1"), encode=lambda _: b"one")
        again = await desk.ocf.authorize(desk.attempt("c1"), message=key("m1"), encode=lambda _: b"two")
        assert isinstance(first, Decided)
        assert again == Replay(b"one")
        assert desk.standing(ALICE).channels == 1

    async def test_the_same_key_with_another_body_is_a_conflict(self, desk: Desk) -> None:
        await desk.ocf.authorize(desk.attempt("c1"), message=key("m1"))
        again = await desk.ocf.authorize(desk.attempt("c1", "33123456789"), message=key("m1", b"other"))
        assert again == Conflict("m1")
        assert [item.kind for item in desk.store.exceptions] == ["conflict"]

    async def test_a_repeated_end_is_charged_once(self, desk: Desk) -> None:
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(10)
        report = desk.report("c1", duration_us=10 * SECOND, message=key("stop"))
        assert isinstance(await desk.ocf.ended(report), Outcome)
        assert await desk.ocf.ended(report) == Replay(b"")
        assert desk.standing(ALICE).balance == parse_nano("1.90")

    async def test_a_refusal_is_repeated_too(self, desk: Desk) -> None:
        attempt = desk.attempt("c1", "19001234")
        await desk.ocf.authorize(attempt, message=key("m1"), encode=lambda _: b"no")
        assert await desk.ocf.authorize(attempt, message=key("m1")) == Replay(b"no")


class TestClocksThatLie:
    async def test_an_answer_long_before_the_question_is_not_believed(self, desk: Desk) -> None:
        await desk.ask("c1")
        answered = call_of(await desk.answer("c1", answered_at=desk.now - 10_800 * SECOND))
        assert answered.answered_at == desk.now
        assert await desk.ocf.expire_due() == []
        assert [item.kind for item in desk.store.exceptions] == ["clock_skew"]

    @pytest.mark.parametrize(("seconds", "listed"), [(100, False), (0xFFFFFF, True), (1, True)])
    async def test_a_duration_that_our_clock_contradicts_is_listed(
        self, desk: Desk, seconds: int, listed: bool
    ) -> None:
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(95)
        await desk.alive("c1")
        desk.wait(5)
        await desk.end("c1", duration_us=seconds * SECOND)
        kinds = [item.kind for item in desk.store.exceptions if item.kind != "uncollected"]
        assert kinds == (["duration_implausible"] if listed else [])

    async def test_the_day_gets_back_what_a_reversal_gives_back(self, desk: Desk) -> None:
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(261)
        await desk.ocf.expire_due()
        await desk.end("c1", duration_us=100 * SECOND)
        assert desk.standing(ALICE).day_spent == parse_nano("1.00")


class TestTheChain:
    async def test_every_level_reserves_and_pays(self) -> None:
        desk = Desk()
        desk.fund(RAY, "6.00")
        granted = (await desk.ask("c1", payer=RAY)).decision
        assert isinstance(granted, Granted)
        assert desk.standing(RAY).reserved == parse_nano("6.00")
        assert desk.standing(TRUNK_ACCOUNT).reserved == parse_nano("3.00")
        await desk.answer("c1", payer=RAY)
        desk.wait(60)
        await desk.end("c1", payer=RAY, duration_us=60 * SECOND)
        assert desk.standing(RAY).balance == parse_nano("5.40")
        assert desk.standing(TRUNK_ACCOUNT).balance == -parse_nano("0.30")
        retail, trunk = desk.store.written
        assert (retail.tenant, retail.carrier, retail.cost) == ("ray", "ray-trunk", parse_nano("0.30"))
        assert (trunk.tenant, trunk.carrier, trunk.cost) == ("main", "cheap", parse_nano("0.10"))

    async def test_what_a_level_above_refuses_is_upstream(self) -> None:
        desk = Desk(catalog_value=with_account(catalog(), TRUNK_ACCOUNT, credit_limit=0))
        desk.fund(RAY, "6.00")
        assert refusal_of(await desk.ask("c1", payer=RAY)) is Denial.UPSTREAM_REFUSED
        assert desk.standing(RAY).reserved == 0

    async def test_a_destination_unrated_above_is_upstream(self) -> None:
        desk = Desk()
        desk.fund(RAY, "6.00")
        assert refusal_of(await desk.ask("c1", "8001234567", payer=RAY)) is Denial.UPSTREAM_REFUSED


class TestCarriers:
    async def test_the_cheapest_carrier_with_a_free_channel_comes_first(self, desk: Desk) -> None:
        desk.fund(ALICE, "100.00")
        desk.settings = ChargingSettings(max_grant_seconds=60)
        desk.__post_init__()
        names = []
        for n in range(3):
            decision = (await desk.ask(f"c{n}")).decision
            assert isinstance(decision, Granted)
            names.append([route.carrier.id for route in decision.routes])
        assert names == [["cheap", "dear"], ["cheap", "dear"], ["dear"]]

    async def test_a_carrier_above_the_floor_only(self, desk: Desk) -> None:
        desk.catalog_value = with_account(catalog(), ALICE, margin_floor_percent=10 * NANO)
        decision = (await desk.ask("c1")).decision
        assert isinstance(decision, Granted)
        assert [route.carrier.id for route in decision.routes] == ["cheap"]
        assert "[tollway_carrier=cheap,tollway_route=1]sofia/gateway/cheap/442071231234" in decision.routes[0].dial

    async def test_no_carrier_keeps_the_floor(self, desk: Desk) -> None:
        desk.catalog_value = with_account(catalog(), ALICE, margin_floor_percent=90 * NANO)
        assert refusal_of(await desk.ask("c1")) is Denial.MARGIN_BELOW_FLOOR

    async def test_channel_and_cost_move_to_the_carrier_that_answers(self, desk: Desk) -> None:
        await desk.ask("c1")
        assert desk.carrier("cheap").channels == 1
        await desk.answer("c1", route=2)
        assert (desk.carrier("cheap").channels, desk.carrier("dear").channels) == (0, 1)
        desk.wait(60)
        await desk.end("c1", duration_us=60 * SECOND)
        assert desk.store.written[0].carrier == "dear"
        assert desk.store.written[0].cost == parse_nano("0.60")
        assert desk.carrier("dear").channels == 0

    async def test_a_switch_that_routes_by_itself_needs_no_carrier(self, desk: Desk) -> None:
        desk.catalog_value = replace(catalog(), carriers={})
        assert refusal_of(await desk.ask("c1")) is Denial.NO_CARRIER
        decision = (await desk.ask("c1", routed=False)).decision
        assert isinstance(decision, Granted)
