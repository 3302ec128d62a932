"""A call id that is used again, by its caller or by somebody else: each call is charged by its own records alone."""

import pytest

from daemon.authorize.attempt import Identity
from daemon.authorize.denial import Denial
from daemon.charging.call import CallState, SettledBy
from daemon.charging.session import ChargingSettings
from daemon.kernel.instant import SECOND
from daemon.kernel.money import parse_nano
from tests.unit.charging.desk import ALICE, BOB, Desk
from tests.unit.charging.test_ocf import call_of, refusal_of

UK, FREE, PREMIUM = "442071231234", "8001234567", "19001234"
PROXY: dict[str, object] = {"callers_id": True}  # of a SIP proxy, whose call ids are its callers' Call-IDs


@pytest.fixture
def desk() -> Desk:
    made = Desk(settings=ChargingSettings(max_grant_seconds=120))
    made.fund(ALICE, "1.20")  # 120 seconds to the UK
    made.fund(BOB, "5.00")
    return made


async def test_each_of_two_payers_of_one_id_pays_for_his_own_call(desk: Desk) -> None:
    alices = call_of(await desk.ask("x", payer=ALICE, callers_id=True))
    bobs = call_of(await desk.ask("x", payer=BOB, callers_id=True))
    assert desk.standing(ALICE).reserved == alices.levels[0].reserved > 0, "nothing of hers was freed by him"
    for payer in (ALICE, BOB):
        await desk.answer("x", payer=payer, road=PROXY)
    desk.wait(2)
    hers = await desk.end("x", payer=ALICE, road=PROXY, duration_us=2 * SECOND)
    desk.wait(10)
    his = await desk.end("x", payer=BOB, road=PROXY, duration_us=12 * SECOND)
    assert (hers.call, his.call) != (None, None)
    told = {record.grant_id: record.charge for record in desk.store.written}
    assert told == {alices.grant_id: parse_nano("0.02"), bobs.grant_id: parse_nano("0.12")}


async def test_an_end_that_names_nobody_ends_none_of_several_payers_calls(desk: Desk) -> None:
    for payer in (ALICE, BOB):
        await desk.ask("x", payer=payer, callers_id=True)
        await desk.answer("x", payer=payer, road=PROXY)
    desk.wait(5)
    nobody = {**PROXY, "identity": Identity()}
    assert (await desk.end("x", road=nobody, duration_us=5 * SECOND)).call is None
    assert [told.kind for told in desk.store.exceptions] == ["payer_ambiguous"]
    assert not desk.store.written
    assert desk.standing(ALICE).channels == desk.standing(BOB).channels == 1


@pytest.mark.parametrize("number", [PREMIUM, "999999999", "abc"])
@pytest.mark.parametrize("payer", [str(ALICE), str(BOB), "nobody"])
async def test_a_refused_question_frees_nothing(desk: Desk, number: str, payer: str) -> None:
    await desk.ask("x", callers_id=True)
    decided = await desk.ask("x", number, identity=Identity(account=payer), callers_id=True)
    assert refusal_of(decided) in {
        Denial.DESTINATION_BLOCKED, Denial.DESTINATION_UNRATED, Denial.DESTINATION_MALFORMED, Denial.ACCOUNT_UNKNOWN,
    }  # fmt: skip
    assert desk.standing(ALICE).reserved == parse_nano("1.20")
    assert refusal_of(await desk.ask("y", callers_id=True)) is Denial.BALANCE_INSUFFICIENT


async def test_a_question_that_money_refuses_leaves_the_first_as_it_was() -> None:
    desk = Desk()
    desk.fund(ALICE, "0.40")  # 40 seconds to the UK, and no minute to France
    first = call_of(await desk.ask("x"))
    assert refusal_of(await desk.ask("x", "33123456789")) is Denial.BALANCE_INSUFFICIENT
    (kept,) = desk.store.saved.values()
    assert (kept.state, kept.levels[0].reserved) == (CallState.GRANTED, first.levels[0].reserved)
    assert desk.standing(ALICE).reserved == first.levels[0].reserved
    assert desk.standing(ALICE).channels == 1


async def test_at_a_proxy_another_number_under_one_id_is_another_call(desk: Desk) -> None:
    first = call_of(await desk.ask("x", callers_id=True))
    second = call_of(await desk.ask("x", FREE, callers_id=True))
    assert second.grant_id != first.grant_id
    assert desk.standing(ALICE).reserved == parse_nano("1.20"), "the gateway still has the first limit"
    await desk.answer("x", road=PROXY)
    await desk.answer("x", to=FREE, road=PROXY)
    desk.wait(30)
    await desk.end("x", to=FREE, road=PROXY, duration_us=30 * SECOND)
    assert desk.standing(ALICE).reserved == parse_nano("1.20")
    desk.wait(30)
    ended = await desk.end("x", road=PROXY, duration_us=60 * SECOND)
    assert ended.call is not None
    assert (ended.call.grant_id, ended.call.settled_by) == (first.grant_id, SettledBy.HANGUP)
    assert sum(record.charge for record in desk.store.written) == parse_nano("0.60")


async def test_a_switch_that_makes_its_ids_asks_anew_for_the_call_that_it_has(desk: Desk) -> None:
    await desk.ask("x")
    await desk.ask("x", FREE)
    assert desk.standing(ALICE).reserved == 0, "SPEC section 4: it replaces the reservation"


async def test_a_second_answer_of_a_running_call_is_listed_once(desk: Desk) -> None:
    await desk.ask("x", callers_id=True)
    await desk.answer("x", road=PROXY)
    desk.wait(30)
    for _ in range(2):
        await desk.answer("x", road=PROXY, answered_at=desk.now)
    assert [told.kind for told in desk.store.exceptions] == ["conflict"]
