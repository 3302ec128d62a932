"""Both accounts of one on-net call by one question: both hold or none, and one report charges both."""

from dataclasses import replace

import pytest

from daemon.authorize.catalog import AccountKind, Catalog, Endpoints, Status, WhenEmpty
from daemon.authorize.decision import Denied, Granted
from daemon.authorize.fraud_rule import FraudAct, FraudDirection, FraudKind, FraudRule
from daemon.charging.call import Call, CallState
from daemon.charging.event import Decided
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import SECOND
from daemon.kernel.money import parse_nano
from daemon.ledger.window import window_of
from tests.unit.charging.desk import ALICE, BOB, INBOUND, RAY, RENEWABLE, Desk, catalog, with_account

DID = "442079460000"
AMBIGUOUS = "442079460001"


def known(**bob: object) -> Catalog:
    """Return a catalog in which bob, who pays before, is called by two DIDs; one of them is alice's too."""
    made = with_account(catalog(), BOB, kind=AccountKind.PREPAID, credit_limit=0)
    made = with_account(made, BOB, **bob)
    endpoints = Endpoints(dids={DID: (BOB,), AMBIGUOUS: (ALICE, BOB), "442079460002": (RAY,)})
    return replace(made, endpoints=endpoints)


@pytest.fixture
def desk() -> Desk:
    made = Desk(known())
    made.fund(ALICE, "2.00")
    made.fund(BOB, "1.00")
    return made


async def ask(desk: Desk, call_id: str = "c1", to: str = DID, *, renewable: bool = False) -> Decided:
    return await desk.ask(call_id, to, both_sides=True, renewable=renewable)


def held(desk: Desk) -> tuple[int, int, int, int]:
    """Return what each holds, and its channels: alice outbound, bob inbound."""
    alice, bob = desk.standing(ALICE), desk.standing(BOB)
    return alice.reserved, alice.channels_out, bob.reserved, bob.channels_in


def sides(desk: Desk, call_id: str = "c1") -> list[Call]:
    return [call for call in desk.store.saved.values() if call.call_id == call_id]


async def test_both_hold_for_the_seconds_that_both_can_pay_and_are_charged_once(desk: Desk) -> None:
    decided = (await ask(desk)).decision
    assert isinstance(decided, Granted)
    assert (decided.seconds, decided.reserved) == (100, parse_nano("1.00"))
    assert held(desk) == (parse_nano("1.00"), 1, parse_nano("1.00"), 1)
    await desk.answer("c1")
    desk.wait(60)
    for _ in range(2):
        await desk.end("c1", duration_us=60 * SECOND)
    assert held(desk) == (0, 0, 0, 0)
    assert (desk.standing(ALICE).balance, desk.standing(BOB).balance) == (parse_nano("1.40"), parse_nano("0.40"))
    records = {(record.account, record.direction): record.charge for record in desk.store.written}
    assert records == {
        ("alice", Direction.OUTBOUND): parse_nano("0.60"), ("bob", Direction.INBOUND): parse_nano("0.60"),
    }  # fmt: skip
    assert not desk.store.exceptions


@pytest.mark.parametrize(
    ("bob", "code"),
    [
        ({"status": Status.SUSPENDED}, "account_suspended"),
        ({"channels_in": 0}, "channels"),
        ({"max_call_charge": 1}, "call_too_dear"),
    ],
)
async def test_where_one_side_is_refused_none_holds(desk: Desk, bob: dict[str, object], code: str) -> None:
    desk.catalog_value = known(**bob)
    refused = (await ask(desk)).decision
    assert isinstance(refused, Denied)
    assert (refused.denial.value, refused.account, refused.available) == (code, None, None)
    assert held(desk) == (0, 0, 0, 0)
    assert isinstance((await ask(desk, to=AMBIGUOUS)).decision, Denied)
    assert held(desk) == (0, 0, 0, 0)


async def test_the_callers_refusal_comes_first(desk: Desk) -> None:
    desk.catalog_value = with_account(known(), ALICE, status=Status.CLOSED)
    refused = (await ask(desk)).decision
    assert isinstance(refused, Denied)
    assert refused.denial.value == "account_closed"
    assert held(desk) == (0, 0, 0, 0)


@pytest.mark.parametrize(("to", "bob"), [(DID, {"inbound_plans": ()}), ("442071231234", {}), ("442079460002", {})])
async def test_who_does_not_pay_for_calls_in_is_not_asked(desk: Desk, to: str, bob: dict[str, object]) -> None:
    desk.catalog_value = known(**bob)
    assert isinstance((await ask(desk, to=to)).decision, Granted)
    assert held(desk)[2:] == (0, 0)
    assert [call.twin for call in sides(desk)] == [""]


async def test_a_call_that_nobody_answers_frees_both_and_a_second_question_replaces_both(desk: Desk) -> None:
    await ask(desk)
    await ask(desk)
    assert held(desk) == (parse_nano("1.00"), 1, parse_nano("1.00"), 1)
    await desk.ask("c1", DID)
    assert held(desk)[2:] == (0, 0), "the newest question asks for one side alone"
    await ask(desk, "c2")
    await desk.end("c1", answered=False)
    await desk.end("c2", answered=False)
    assert held(desk) == (0, 0, 0, 0)
    await ask(desk, "c3")
    desk.wait(121)
    await desk.ocf.expire_due()
    assert held(desk) == (0, 0, 0, 0)


async def test_a_renewal_ends_where_one_side_has_no_more(desk: Desk) -> None:
    desk.fund(ALICE, "98.00")
    first = (await ask(desk, renewable=True)).decision
    assert isinstance(first, Granted)
    assert first.renewable
    await desk.answer("c1", road=RENEWABLE)
    seconds = first.seconds
    for _ in range(12):
        desk.wait(10)
        renewed = await desk.alive("c1", renew=True, road=RENEWABLE)
        assert renewed.call is not None
        assert renewed.more_seconds == renewed.call.granted_seconds - seconds >= 0
        seconds = renewed.call.granted_seconds
        alice, bob, *_ = held(desk)[0], held(desk)[2]
        assert alice == bob
        if seconds == 100:
            break
    assert seconds == 100, "what bob can pay"
    assert {call.granted_seconds for call in sides(desk)} == {100}


async def test_a_called_leg_that_asks_for_itself_is_charged_once(desk: Desk) -> None:
    await ask(desk)
    await desk.ask("c1", payer=BOB, direction=Direction.INBOUND)
    await desk.answer("c1")
    await desk.answer("c1", payer=BOB, road=INBOUND)
    desk.wait(10)
    await desk.end("c1", duration_us=10 * SECOND)
    await desk.end("c1", payer=BOB, road=INBOUND, duration_us=10 * SECOND)
    assert desk.standing(BOB).balance == parse_nano("0.90")
    assert sorted(call.state.value for call in sides(desk)) == sorted(
        each.value for each in (CallState.SETTLED, CallState.SETTLED, CallState.VOIDED)
    )


def watched(act: FraudAct, calls: int) -> FraudRule:
    return FraudRule(
        "own", FraudKind.GROUP_RATE, act, 60, calls=calls, prefixes=frozenset({"44"}), direction=FraudDirection.ANY
    )


def counted(desk: Desk, key: Key) -> int:
    return window_of(desk.standing(key).windows, "own").calls(desk.now, 60)


async def test_fraud_rules_count_both_sides_once_however_often_it_is_asked() -> None:
    rule = watched(FraudAct.WARN, 1)
    desk = Desk(with_account(known(fraud_rules=(rule,)), ALICE, fraud_rules=(rule,)))
    for each in (ALICE, BOB):
        desk.fund(each, "2.00")
    for _ in range(3):
        assert isinstance((await ask(desk)).decision, Granted)
    assert (counted(desk, ALICE), counted(desk, BOB)) == (1, 1)
    assert not desk.store.events
    await desk.end("c1", answered=False)
    await ask(desk, "c2")
    assert sorted(event.account for event in desk.store.events) == ["alice", "bob"]


async def test_a_call_that_the_called_side_refuses_counts_for_nobody() -> None:
    desk = Desk(with_account(known(fraud_rules=(watched(FraudAct.THROTTLE, 0),)), ALICE,
                             fraud_rules=(watched(FraudAct.WARN, 5),)))  # fmt: skip
    for each in (ALICE, BOB):
        desk.fund(each, "2.00")
    decision = (await ask(desk)).decision
    assert isinstance(decision, Denied)
    assert (decision.denial.value, decision.reason) == ("fraud_suspected", "the called side is refused")
    assert (counted(desk, ALICE), counted(desk, BOB)) == (0, 0)
    assert held(desk) == (0, 0, 0, 0)
    assert [(event.account, event.act) for event in desk.store.events] == [("bob", "throttle")]


async def test_a_repeated_question_that_the_called_side_refuses_takes_nothing_back_twice(desk: Desk) -> None:
    desk.catalog_value = with_account(desk.catalog_value, ALICE, fraud_rules=(watched(FraudAct.WARN, 5),))
    assert isinstance((await ask(desk)).decision, Granted)
    desk.catalog_value = with_account(desk.catalog_value, BOB, channels_in=0)
    assert isinstance((await ask(desk)).decision, Denied)
    assert counted(desk, ALICE) == 1, "what the first question counted stays"


async def test_a_called_side_that_its_balance_refuses_trips_none_of_its_rules(desk: Desk) -> None:
    terms = {"fraud_rules": (watched(FraudAct.SUSPEND, 1),), "when_empty": WhenEmpty.ALL}
    desk.catalog_value = with_account(desk.catalog_value, BOB, **terms)
    assert isinstance((await ask(desk)).decision, Granted)
    desk.fund(BOB, "-1.00")
    desk.store.standings[2] = desk.standing(BOB)._replace(suspended_at=desk.now)
    decision = (await ask(desk, "c2")).decision
    assert isinstance(decision, Denied)
    assert decision.denial.value == "account_suspended"
    assert not desk.store.events
    assert counted(desk, BOB) == 1
