"""How calls end that nobody ends, are renewed, are emergencies, come in, are joined; and how a decision is told."""

from dataclasses import replace

import pytest

from daemon.authorize.attempt import Identity
from daemon.authorize.catalog import AccountKind, Emergency
from daemon.authorize.decision import Denied, Granted
from daemon.authorize.denial import Denial
from daemon.authorize.emergency import EMERGENCY_SECONDS
from daemon.charging import emergency_calls
from daemon.charging.call import CallState, SettledBy
from daemon.charging.event import Decided
from daemon.charging.ports import Reads
from daemon.charging.session import ChargingSettings
from daemon.kernel.dialling import Dialling, Numbers
from daemon.kernel.ids import Direction
from daemon.kernel.instant import SECOND
from daemon.kernel.money import parse_nano
from daemon.rating.rate_plan import RatePlan
from tests.unit.charging.desk import (
    ALICE,
    BOB,
    INBOUND,
    RENEWABLE,
    RETAIL,
    Desk,
    catalog,
    table,
    with_account,
)
from tests.unit.charging.test_ocf import call_of, refusal_of


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.fund(ALICE, "2.00")
    return made


class TestExpiry:
    async def test_an_unanswered_grant_lapses_and_a_late_end_is_charged_all_the_same(self, desk: Desk) -> None:
        await desk.ask("c1")
        desk.wait(119)
        assert await desk.ocf.expire_due() == []
        desk.wait(1)
        (lapsed,) = await desk.ocf.expire_due()
        assert lapsed.state is CallState.EXPIRED
        assert desk.standing(ALICE).reserved == 0
        assert desk.standing(ALICE).channels == 0
        desk.wait(30)
        await desk.end("c1", duration_us=10 * SECOND)
        assert desk.standing(ALICE).balance == parse_nano("1.90")

    async def test_a_late_answer_reserves_again(self, desk: Desk) -> None:
        await desk.ask("c1")
        desk.wait(121)
        await desk.ocf.expire_due()
        answered = call_of(await desk.answer("c1"))
        assert answered.state is CallState.ANSWERED
        assert answered.granted_seconds == 200
        assert desk.standing(ALICE).channels == 1

    async def test_where_only_ends_are_reported_it_is_held_to_the_granted_time(self, desk: Desk) -> None:
        await desk.ask("c1", reports_answer=False)
        desk.wait(319)
        assert await desk.ocf.expire_due() == []
        desk.wait(1)
        assert len(await desk.ocf.expire_due()) == 1

    async def test_a_start_alone_is_worth_the_first_block(self, desk: Desk) -> None:
        await desk.ask("c1", "33123456789")
        await desk.answer("c1", to="33123456789")
        desk.wait(180 + 60)
        (settled,) = await desk.ocf.expire_due()
        assert settled.settled_by is SettledBy.END_UNKNOWN
        assert desk.standing(ALICE).balance == parse_nano("1.40")
        assert [item.kind for item in desk.store.exceptions] == ["end_unknown"]

    async def test_three_missed_interims_settle_at_the_last_proof_of_life(self, desk: Desk) -> None:
        desk.fund(ALICE, "10.00")
        await desk.ask("c1")
        await desk.answer("c1")
        for _ in range(2):
            desk.wait(60)
            await desk.alive("c1")
        desk.wait(179)
        assert await desk.ocf.expire_due() == []
        desk.wait(1)
        (settled,) = await desk.ocf.expire_due()
        assert settled.duration_us == 120 * SECOND
        assert desk.standing(ALICE).balance == parse_nano("10.80")

    async def test_a_late_stop_reverses_the_estimate_and_charges_right(self, desk: Desk) -> None:
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(261)
        await desk.ocf.expire_due()
        await desk.end("c1", duration_us=100 * SECOND)
        assert desk.standing(ALICE).balance == parse_nano("1.00")
        assert [record.status for record in desk.store.written] == ["rated", "reversal", "rated"]
        assert desk.store.written[1].reverses == desk.store.written[0].record_id
        assert sum(record.charge for record in desk.store.written) == parse_nano("1.00")

    async def test_a_later_sign_of_life_reverses_and_reserves_again(self, desk: Desk) -> None:
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(261)
        await desk.ocf.expire_due()
        alive = call_of(await desk.alive("c1"))
        assert alive.state is CallState.ANSWERED
        assert desk.standing(ALICE).balance == parse_nano("2.00")
        assert desk.standing(ALICE).reserved == parse_nano("2.00")
        desk.wait(1)
        await desk.end("c1", duration_us=150 * SECOND)
        assert desk.standing(ALICE).balance == parse_nano("0.50")
        assert sum(record.charge for record in desk.store.written) == parse_nano("1.50")

    async def test_recovery_settles_an_answered_call_and_voids_a_ringing_one(self, desk: Desk) -> None:
        desk.settings = ChargingSettings(max_grant_seconds=30)
        desk.__post_init__()
        ringing, running = call_of(await desk.ask("c1")), call_of(await desk.ask("c2"))
        await desk.answer("c2")
        desk.wait(20)
        await desk.alive("c2")
        assert call_of(await desk.ocf.recover(ringing.grant_id)).state is CallState.VOIDED
        assert call_of(await desk.ocf.recover(running.grant_id)).settled_by is SettledBy.RECOVERY
        assert desk.standing(ALICE).balance == parse_nano("1.80")
        assert not (await desk.ocf.recover(running.grant_id)).changed
        assert (await desk.ocf.recover("unknown")).call is None


class TestRenewal:
    async def test_one_slice_at_a_time_while_there_is_plenty(self) -> None:
        desk = Desk()
        desk.fund(ALICE, "100.00")
        granted = (await desk.ask("c1", renewable=True)).decision
        assert isinstance(granted, Granted)
        assert (granted.seconds, granted.reserved, granted.renewable) == (300, parse_nano("3.00"), True)
        await desk.answer("c1")
        more = await desk.alive("c1", renew=True, road={"renewable": True})
        assert (more.more_seconds, call_of(more).granted_seconds) == (300, 600)
        assert desk.standing(ALICE).reserved == parse_nano("6.00")

    async def test_one_block_of_at_least_ten_seconds_while_money_is_short(self, desk: Desk) -> None:
        granted = (await desk.ask("c1", renewable=True)).decision
        assert isinstance(granted, Granted)
        assert granted.seconds == 10
        blocks = (await desk.ask("c2", "33123456789", renewable=True)).decision
        assert isinstance(blocks, Granted)
        assert blocks.seconds == 60

    async def test_a_road_that_cannot_renew_gets_no_more(self, desk: Desk) -> None:
        await desk.ask("c1")
        await desk.answer("c1")
        assert (await desk.alive("c1", renew=True)).more_seconds == 0


class TestEmergency:
    async def test_a_report_that_names_the_call_alone_charges_it(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        prices = table(RETAIL, "prefix,rate\n442071231234,0.60\n")
        plans = {**catalog().plans, RETAIL: RatePlan("retail", (prices,))}
        desk.catalog_value = replace(catalog(), plans=plans, emergency=Emergency(frozenset({"442071231234"})))
        monkeypatch.setattr(emergency_calls, "CALLS_MAX", 2)
        bare = {"called": "", "identity": Identity()}
        for call_id in ("e1", "e2", "e3"):
            granted = (await desk.ask(call_id)).decision
            assert isinstance(granted, Granted)
            assert granted.emergency
        assert [line["account"] for line in desk.journal] == ["main/alice"] * 3
        desk.wait(60)
        assert (await desk.end("e1", duration_us=60 * SECOND, road=bare)).call is None, "forgotten: others came after"
        assert call_of(await desk.end("e2", duration_us=60 * SECOND, road=bare)).state is CallState.SETTLED
        assert (await desk.end("e3", duration_us=60 * SECOND, road=bare | {"tenant": "ray"})).call is None
        assert desk.standing(ALICE).balance == parse_nano("1.40")
        desk.wait(EMERGENCY_SECONDS)
        assert (await desk.end("e3", duration_us=60 * SECOND, road=bare)).call is None, "no call is longer than a day"

    async def test_it_is_nobodys_where_no_account_is_found(self, desk: Desk) -> None:
        await desk.ocf.authorize(desk.attempt("e1", "112", identity=Identity(account="nobody")))
        assert desk.journal[0]["account"] == "nobody"

    async def test_it_is_granted_before_the_account_is_sought_and_journalled(self, desk: Desk) -> None:
        for number in ("112", "+112", "911"):
            attempt = desk.attempt("e1", number, identity=Identity())
            decided = await desk.ocf.authorize(attempt)
            assert isinstance(decided, Decided)
            assert isinstance(decided.decision, Granted)
            assert decided.decision.emergency
            assert decided.decision.seconds == 86_400
        assert len(desk.journal) == 3
        assert desk.standing(ALICE).reserved == 0

    async def test_it_is_charged_as_the_plan_says_and_holds_no_money(self, desk: Desk) -> None:
        prices = table(RETAIL, "prefix,rate\n112,0.60\n")
        plans = {**catalog().plans, RETAIL: RatePlan("retail", (prices,))}
        desk.catalog_value = replace(catalog(), plans=plans)
        started = call_of(await desk.answer("e1", to="112"))
        assert (started.granted_seconds, desk.standing(ALICE).reserved) == (86_400, 0)
        assert (await desk.alive("e1", to="112", renew=True, road=RENEWABLE)).more_seconds == 0
        desk.wait(10)
        await desk.end("e1", to="112", duration_us=10 * SECOND)
        assert desk.standing(ALICE).balance == parse_nano("1.90")
        assert not desk.store.exceptions

    @pytest.mark.parametrize("prefix", ["1", "11"])
    async def test_a_prefix_that_fits_by_chance_does_not_price_it(self, desk: Desk, prefix: str) -> None:
        prices = table(RETAIL, f"prefix,destination,rate\n{prefix},USA,0.60\n")
        plans = {**catalog().plans, RETAIL: RatePlan("retail", (prices,))}
        desk.catalog_value = replace(catalog(), plans=plans)
        assert (await desk.answer("e1", to="112")).call is None
        assert (await desk.end("e1", to="112", duration_us=10 * SECOND)).call is None
        assert desk.standing(ALICE).balance == parse_nano("2")
        assert not desk.store.exceptions
        assert call_of(await desk.answer("e2", to="11255")).levels[0].tariffs[0].prefix == prefix, "no emergency number"

    async def test_without_a_price_it_is_only_journalled(self, desk: Desk) -> None:
        assert (await desk.answer("e1", to="112")).call is None
        assert not desk.store.exceptions

    async def test_a_longer_number_is_not_one(self, desk: Desk) -> None:
        assert refusal_of(await desk.ask("e1", "1120")) is Denial.DESTINATION_UNRATED


class TestInbound:
    async def test_an_inbound_call_holds_an_inbound_channel_and_needs_no_carrier(self, desk: Desk) -> None:
        await desk.ask("c1", direction=Direction.INBOUND)
        assert (desk.standing(ALICE).channels_in, desk.standing(ALICE).channels_out) == (1, 0)

    async def test_calls_in_may_be_paid_afterwards_where_calls_out_are_paid_before(self, desk: Desk) -> None:
        after = {"inbound_kind": AccountKind.POSTPAID, "inbound_credit_limit": parse_nano("2.05")}
        desk.catalog_value = with_account(catalog(), ALICE, max_call_seconds=300, **after)
        call_of(await desk.ask("c1", direction=Direction.INBOUND))
        await desk.answer("c1", road=INBOUND)
        desk.wait(240)
        await desk.end("c1", road=INBOUND, duration_us=240 * SECOND)
        assert desk.standing(ALICE).balance == -parse_nano("0.40"), "two of its own, and 0.40 owed for a call in"
        assert desk.standing(ALICE).uncollected == 0
        assert refusal_of(await desk.ask("c2")) is Denial.ACCOUNT_SUSPENDED
        granted = (await desk.ask("c3", direction=Direction.INBOUND)).decision
        assert isinstance(granted, Granted)
        assert granted.reserved == parse_nano("1.65"), "down to what calls in may owe"

    async def test_calls_in_may_be_paid_before_where_calls_out_are_paid_afterwards(self, desk: Desk) -> None:
        desk.catalog_value = with_account(catalog(), BOB, inbound_kind=AccountKind.PREPAID)
        assert refusal_of(await desk.ask("c1", payer=BOB, direction=Direction.INBOUND)) is Denial.BALANCE_INSUFFICIENT
        assert isinstance((await desk.ask("c2", payer=BOB)).decision, Granted)

    async def test_both_sides_of_one_call_id_are_charged_each_once(self, desk: Desk) -> None:
        desk.catalog_value = with_account(catalog(), ALICE, max_call_seconds=60)
        await desk.ask("c1")
        inbound = call_of(await desk.ask("c1", payer=BOB, direction=Direction.INBOUND))
        assert (inbound.attempt, inbound.direction) == (1, Direction.INBOUND)
        await desk.answer("c1")
        await desk.answer("c1", payer=BOB, road=INBOUND)
        desk.wait(10)
        await desk.end("c1", duration_us=10 * SECOND)
        await desk.end("c1", payer=BOB, road=INBOUND, duration_us=10 * SECOND)
        assert desk.standing(ALICE).balance == parse_nano("1.90")
        assert desk.standing(BOB).balance == -parse_nano("0.10")


class TestJoining:
    async def test_of_several_parts_the_number_as_received_tells_which(self, desk: Desk) -> None:
        desk.fund(ALICE, "200.00")
        national = Dialling(Numbers.NATIONAL, "GB")
        first = call_of(await desk.ask("c1", "02071231234", dialling=national))
        await desk.answer("c1", to="02071231234")
        second = call_of(await desk.ask("c1", "02071231235", dialling=national))
        assert (second.part, second.called, second.dialled) == (2, "442071231235", "02071231235")
        assert call_of(await desk.end("c1", to="02071231234")).grant_id == first.grant_id
        assert call_of(await desk.answer("c1", to="02071231235")).grant_id == second.grant_id
        (record,) = desk.store.written
        assert (record.called, record.dialled) == ("442071231234", "02071231234")

    async def test_accounting_under_another_id_joins_by_grant_or_alias(self, desk: Desk) -> None:
        granted = call_of(await desk.ask("auth-1", aliases=("triple",)))
        joined = call_of(await desk.answer("session-9", grant_id=granted.grant_id))
        assert (joined.grant_id, joined.call_id) == (granted.grant_id, "session-9")
        desk.wait(10)
        await desk.end("session-9", duration_us=10 * SECOND)
        second = call_of(await desk.ask("auth-2", aliases=("triple",)))
        by_alias = call_of(await desk.answer("session-10", aliases=("triple",)))
        assert by_alias.grant_id == second.grant_id
        assert not desk.store.exceptions


class TestExplain:
    def test_every_rule_is_listed_and_nothing_is_held(self, desk: Desk) -> None:
        decision, trace = desk.ocf.explain(desk.attempt("x"), desk.store_standing)
        assert isinstance(decision, Granted)
        names = [rule.name for rule in trace]
        assert names == [
            "account",
            "status",
            "destination",
            "rate",
            *["carrier"] * 3,
            "channels",
            "margin",
            "balance",
            "grant",
        ]
        assert desk.standing(ALICE).reserved == 0
        assert desk.ocf.quote_reads(desk.attempt("x")) == Reads(accounts=(1, 101, 102))
        assert desk.ocf.quote_reads(desk.attempt("x", "1900")) == Reads(accounts=(1,))

    def test_a_refusal_is_explained(self, desk: Desk) -> None:
        decision, trace = desk.ocf.explain(desk.attempt("x", "19001234"), desk.store_standing)
        assert isinstance(decision, Denied)
        assert trace[-1].detail.startswith("destination_blocked")
        assert isinstance(desk.ocf.explain(desk.attempt("x", "112"), desk.store_standing)[0], Granted)
