"""What became of calls that a start found open; and calls of an account whose debt nears the end of the ledger."""

import pytest

from daemon.authorize.decision import Denied
from daemon.authorize.denial import Denial
from daemon.charging.call import Call, CallState, SettledBy
from daemon.charging.recovery import Fate, FoundOpen, Recovered, channels_freed, counted, money_freed, recovered
from daemon.kernel.instant import SECOND
from daemon.kernel.money import NANO, NANO_MAX, parse_nano
from daemon.ledger.account import Entry, EntryKind, entry_applied
from tests.unit.charging.desk import ALICE, BOB, NUMBERS, START, Desk


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.fund(ALICE, "2.00")
    return made


def found_open(call: Call, adopted_at: int = 0) -> FoundOpen:
    return FoundOpen(call.grant_id, call.state.value, call.levels[0].reserved, adopted_at)


async def opened(desk: Desk, name: str) -> FoundOpen:
    """Return a call that was granted, as a start finds it."""
    made = (await desk.ask(name)).call
    assert made is not None
    return found_open(made)


def owing(desk: Desk, amount: int) -> None:
    """Have bob, whose credit has no limit, owe an amount."""
    entry = Entry(NUMBERS[BOB], EntryKind.ADJUST, desk.now, amount=-amount)
    desk.store.standings[NUMBERS[BOB]], entry = entry_applied(desk.standing(BOB), entry)
    desk.store.entries.append(entry)


def fate(desk: Desk, found: FoundOpen, start: int = START, stuck: str = "") -> Recovered:
    """Return what became of a call by now."""
    records = [record for record in desk.store.written if record.grant_id == found.grant_id]
    return recovered(found, desk.store.saved[found.grant_id], records, start, desk.now, stuck)


async def test_an_open_call_waits_until_its_switch_or_a_sign_of_life_tells_that_it_runs(desk: Desk) -> None:
    found = await opened(desk, "c1")
    told = fate(desk, found)
    assert (told.fate, told.freed, told.charge) == (Fate.WAITS, 0, 0)
    assert told.why.startswith("no answer was reported; its grant lapses at 2026-")
    await desk.answer("c1")
    assert "nothing was heard of it since" in fate(desk, found, desk.now).why
    desk.wait(30)
    await desk.alive("c1")
    assert fate(desk, found, START).fate is Fate.RUNS
    adopted = found_open(desk.store.saved["g1"], adopted_at=desk.now)
    assert fate(desk, adopted, desk.now).why == "gw1 runs it"
    assert fate(desk, found, stuck="its row makes no sense").why == "its row makes no sense"
    desk.wait(100_000)
    assert (fate(desk, found).fate, fate(desk, found).why[:11]) == (Fate.WAITS, "was due at ")


async def test_ends_estimates_and_corrections_are_told_apart(desk: Desk) -> None:
    found = await opened(desk, "c1")
    await desk.answer("c1")
    await desk.ocf.recover("g1")
    estimated = fate(desk, found)
    assert (estimated.fate, estimated.seconds_us, estimated.charge) == (Fate.ESTIMATED, SECOND, parse_nano("0.01"))
    assert estimated.freed == found.reserved - parse_nano("0.01")
    await desk.end("c1", duration_us=30 * SECOND)
    corrected = fate(desk, found)
    assert (corrected.fate, corrected.told_by, corrected.charge) == (Fate.CORRECTED, "test", parse_nano("0.30"))
    assert money_freed([corrected]) == {"USD": found.reserved - parse_nano("0.30")}
    second = await opened(desk, "c2")
    await desk.end("c2", answered=False)
    third = await opened(desk, "c3")
    desk.wait(200)
    await desk.ocf.expire_due()
    all_told = [corrected, fate(desk, second), fate(desk, third), recovered(third, None, (), START, desk.now)]
    assert counted(all_told) == {
        "runs": 0, "waits": 0, "ended": 0, "estimated": 0, "corrected": 1, "voided": 1, "expired": 1, "unreadable": 1,
    }  # fmt: skip
    assert channels_freed(all_told) == 3
    assert (all_told[3].seconds_us, all_told[3].charge, all_told[3].freed) == (0, 0, 0)


async def test_a_grant_that_vanished_is_void_listed_and_charged_by_a_late_record(desk: Desk) -> None:
    await desk.ask("c1")
    outcome = await desk.ocf.recover("g1")
    assert outcome.call is not None
    assert (outcome.call.state, outcome.call.settled_by) == (CallState.VOIDED, SettledBy.RECOVERY)
    assert [item.kind for item in desk.store.exceptions] == ["recovery"]
    late = await desk.end("c1", duration_us=30 * SECOND, answered_at=desk.now, grant_id="g1")
    assert late.call is not None
    assert late.call.posted[0].charge == parse_nano("0.30")


async def test_a_debt_at_the_end_of_the_ledger_refuses_the_question(desk: Desk) -> None:
    owing(desk, NANO_MAX)
    refused = (await desk.ask("c1", payer=BOB)).decision
    assert isinstance(refused, Denied)
    assert refused.denial is Denial.BALANCE_INSUFFICIENT
    assert "the ledger can hold 0.00 USD more of debt" in refused.reason


async def test_a_call_that_runs_across_the_end_of_the_ledger_is_charged_whole_and_listed(desk: Desk) -> None:
    owing(desk, NANO_MAX - NANO)
    await desk.ask("c1", payer=BOB)
    assert desk.store.saved["g1"].granted_seconds == 100
    await desk.answer("c1", payer=BOB)
    desk.wait(300)
    ended = await desk.end("c1", payer=BOB, duration_us=300 * SECOND)
    assert ended.call is not None
    assert (ended.call.posted[0].charge, ended.call.posted[0].uncollected) == (3 * NANO, 2 * NANO)
    standing = desk.standing(BOB)
    assert (standing.balance, standing.uncollected, standing.reserved, standing.channels) == (
        -NANO_MAX, 2 * NANO, 0, 0,
    )  # fmt: skip
    assert [item.kind for item in desk.store.exceptions] == ["beyond_ledger"]
