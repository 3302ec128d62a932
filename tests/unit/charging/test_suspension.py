"""A prepaid account whose money has come to its end: suspended by its settlement, refused first, resumed by money."""

from dataclasses import replace

import pytest

from daemon.authorize.catalog import AccountKind, Status, WhenEmpty
from daemon.authorize.decision import Denied
from daemon.authorize.suspension import suspended_by
from daemon.charging.event import Decided
from daemon.kernel.ids import Key
from daemon.ledger.account import EntryKind, Standing
from daemon.ledger.window import Window
from daemon.rating.bundle import Bundle
from tests.unit.charging.desk import ALICE, INBOUND, RAY, TRUNK_ACCOUNT, Desk, catalog, with_account

UK = "442071231234"


def code(decided: Decided) -> str:
    decision = decided.decision
    return decision.denial.value if isinstance(decision, Denied) else "granted"


def marks(desk: Desk, number: int = 1) -> list[EntryKind]:
    kinds = (EntryKind.SUSPEND, EntryKind.RESUME)
    return [entry.kind for entry in desk.store.entries if entry.kind in kinds and entry.account == number]


async def spent(found: Desk, payer: Key = ALICE) -> Desk:
    """Return a desk on which an account has spent what it was given: 60 s at 0.01."""
    found.fund(payer, "0.60")
    assert code(await found.ask("first", payer=payer)) == "granted"
    await found.answer("first", payer=payer)
    found.wait(61)
    await found.end("first", payer=payer, duration_us=60_000_000)
    assert found.standing(payer).balance == 0
    return found


async def test_an_account_that_never_called_is_refused_by_its_balance() -> None:
    desk = Desk()
    assert code(await desk.ask("c1")) == "balance_insufficient"
    assert marks(desk) == []


async def test_the_settlement_suspends_and_the_refusal_comes_in_its_order() -> None:
    desk = await spent(Desk())
    assert marks(desk) == [EntryKind.SUSPEND]
    assert desk.standing(ALICE).suspended_at == desk.now
    for number, called in enumerate((UK, "1900555", "999000111")):  # rated, blocked and unrated
        assert code(await desk.ask(f"c{number}", called)) == "account_suspended"
    decision, trace = desk.ocf.explain(desk.attempt("x", "1900555"), desk.store_standing)
    assert isinstance(decision, Denied)
    assert (trace[-1].name, trace[-1].passed) == ("status", False)


async def test_money_resumes_it_at_once_and_what_calls_hold_suspends_nobody() -> None:
    desk = await spent(Desk())
    desk.fund(ALICE, "1.00")  # the mark stays until the next settlement, and counts no more
    assert code(await desk.ask("c1")) == "granted"
    await desk.answer("c1")
    desk.wait(30)
    await desk.end("c1", duration_us=30_000_000)
    assert marks(desk) == [EntryKind.SUSPEND, EntryKind.RESUME]


async def test_a_charge_that_is_corrected_suspends_at_the_end_alone() -> None:
    desk = Desk()
    desk.fund(ALICE, "0.60")
    await desk.ask("c1")
    await desk.answer("c1")
    desk.wait(10_000)
    await desk.ocf.expire_due()  # settled by an estimate, of the first second …
    assert marks(desk) == []
    await desk.end("c1", duration_us=60_000_000)  # … and by what was told of it
    assert marks(desk) == [EntryKind.SUSPEND]


@pytest.mark.parametrize(
    ("when", "outbound", "inbound"),
    [
        (WhenEmpty.OUTBOUND, "account_suspended", "balance_insufficient"),
        (WhenEmpty.ALL, "account_suspended", "account_suspended"),
        (WhenEmpty.OFF, "balance_insufficient", "balance_insufficient"),
    ],
)
async def test_which_calls_are_refused_is_the_accounts_setting(when: WhenEmpty, outbound: str, inbound: str) -> None:
    desk = await spent(Desk(with_account(catalog(), ALICE, when_empty=when)))
    assert code(await desk.ask("c1")) == outbound
    assert code(await desk.ask("c2", UK, ALICE, **INBOUND)) == inbound
    assert bool(marks(desk)) == (when is not WhenEmpty.OFF)


async def test_calls_in_that_are_paid_afterwards_go_on_by_their_own_limit() -> None:
    terms = {"when_empty": WhenEmpty.ALL, "inbound_kind": AccountKind.POSTPAID, "inbound_credit_limit": 10**9}
    desk = await spent(Desk(with_account(catalog(), ALICE, **terms)))
    assert code(await desk.ask("c1")) == "account_suspended"
    assert code(await desk.ask("c2", "999000111", ALICE, **INBOUND)) == "destination_unrated"
    assert code(await desk.ask("c3", UK, ALICE, **INBOUND)) == "granted"


async def test_units_that_are_left_may_still_be_used() -> None:
    bundle = Bundle("uk-60", 60, prefixes=frozenset({"33"}))
    desk = await spent(Desk(with_account(catalog(), ALICE, bundles=(bundle,))))
    assert code(await desk.ask("c1")) == "account_suspended"
    assert code(await desk.ask("c2", "33142345678")) == "granted"


async def test_a_person_who_suspends_is_told_first_and_money_changes_nothing() -> None:
    desk = await spent(Desk())
    desk.catalog_value = with_account(desk.catalog_value, ALICE, status=Status.SUSPENDED)
    desk.fund(ALICE, "1.00")
    assert code(await desk.ask("c1")) == "account_suspended"


async def test_a_level_above_that_is_suspended_refuses_upstream() -> None:
    found = with_account(catalog(), TRUNK_ACCOUNT, kind=AccountKind.PREPAID, credit_limit=0)
    desk = Desk(found)
    desk.fund(RAY, "100")
    desk.store.standings[3] = Standing(3, suspended_at=5)
    decision = (await desk.ask("c1", payer=RAY)).decision
    assert isinstance(decision, Denied)
    assert (decision.denial.value, decision.reason) == ("upstream_refused", "refused upstream: account_suspended")


async def test_a_raised_limit_and_a_postpaid_account_are_not_suspended() -> None:
    desk = await spent(Desk())
    raised = with_account(desk.catalog_value, ALICE, credit_limit=10**9)
    desk.catalog_value = raised
    assert code(await desk.ask("c1")) == "granted"
    desk.catalog_value = replace(with_account(raised, ALICE, kind=AccountKind.POSTPAID))
    assert code(await desk.ask("c2", "1900555")) == "destination_blocked"


def test_who_suspended_is_told() -> None:
    empty = Standing(1, suspended_at=5)
    assert suspended_by(Status.SUSPENDED, empty, 0) == "person"
    assert suspended_by(Status.ACTIVE, empty, 0) == "balance"
    assert suspended_by(Status.ACTIVE, empty, None) == ""
    assert suspended_by(Status.ACTIVE, empty, 1) == ""
    assert suspended_by(Status.ACTIVE, Standing(1), 0) == ""
    tripped = Standing(1, suspended_at=5, windows=(Window("warned", told_at=7), Window("uk", tripped_at=7)))
    assert suspended_by(Status.SUSPENDED, tripped, 0) == "fraud_rule"
    assert suspended_by(Status.ACTIVE, tripped, 0) == "fraud_rule", "from the transaction that saw it on"
    assert suspended_by(Status.SUSPENDED, tripped._replace(windows=tripped.windows[:1]), 0) == "person"
