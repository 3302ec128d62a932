"""A seeded world of lost, doubled, reordered and late events: whatever happens, money and channels come out exact.

Each seed makes some calls and the events of each, then loses, doubles and shuffles them, lets grants lapse between
them, and sometimes loses an acknowledgement (the sender repeats the same message). When all is over nothing is held,
each charge key is charged once, what the records say is what the balances lost, and a call whose end was ever
delivered is charged for its true duration. A failing seed is printed by the test's id and replays alone.
"""

import random
from dataclasses import dataclass, replace

import pytest

from daemon.authorize.decision import Granted
from daemon.charging.call import CallState
from daemon.charging.event import CallReport, Decided
from daemon.kernel.instant import SECOND
from daemon.kernel.money import parse_nano
from daemon.rating.charge import charge
from tests.unit.charging.desk import ALICE, BOB, RAY, TRUNK_ACCOUNT, Desk, key

SEEDS = 400
OPENING = {ALICE: "3.00", BOB: "0", RAY: "2.00"}


@dataclass(frozen=True)
class Planned:
    """One event of a call, and when it is delivered."""

    at: int
    kind: str
    report: CallReport


def _plan(desk: Desk, dice: random.Random, name: str) -> list[Planned]:
    payer = dice.choice([ALICE, ALICE, BOB, RAY])
    to = dice.choice(["442071231234", "442071231234", "33123456789"])
    asked = desk.now + dice.randrange(0, 300) * SECOND
    answered = asked + dice.randrange(1, 200) * SECOND
    seconds = dice.randrange(1, 240)
    ended = answered + seconds * SECOND + dice.randrange(0, SECOND)
    road: dict[str, object] = {"renewable": dice.random() < 0.5, "reports_answer": dice.random() < 0.8}
    base = replace(desk.report(name, payer, to, road=road), at=ended)
    end = replace(base, duration_us=ended - answered, answered_at=answered)
    events = [Planned(asked, "ask", base)] if dice.random() < 0.9 else []
    if dice.random() < 0.85:
        events.append(Planned(answered, "answer", replace(base, at=answered, answered_at=answered)))
    beats = range(answered + 60 * SECOND, ended, 60 * SECOND)
    events += [Planned(beat, "alive", replace(base, at=beat)) for beat in beats]
    if dice.random() < 0.85:
        events.append(Planned(ended, "end", end))
    return [_keyed(event, number) for number, event in enumerate(events) if dice.random() < 0.93]


def _keyed(event: Planned, number: int) -> Planned:
    call = event.report.attempt.call_id
    return replace(event, report=replace(event.report, message=key(f"{call}:{event.kind}:{number}")))


def _disturbed(dice: random.Random, events: list[Planned]) -> list[Planned]:
    """Double some deliveries and delay others, up to ten minutes; a switch waits for the answer to its question."""
    doubled = [event for event in events if dice.random() < 0.3]
    late = [event for event in events if event.kind != "ask"] + doubled
    moved = [event for event in events if event.kind == "ask"]
    for event in late:
        delay = dice.randrange(0, 600) * SECOND if dice.random() < 0.2 else 0
        moved.append(replace(event, at=event.at + delay))
    return sorted(moved, key=lambda event: event.at)


async def _deliver(desk: Desk, event: Planned) -> None:
    report = event.report
    if event.kind == "ask":
        await desk.ocf.authorize(report.attempt, message=report.message)
    elif event.kind == "answer":
        await desk.ocf.answered(report)
    elif event.kind == "alive":
        await desk.ocf.alive(report, renew=report.attempt.renewable)
    else:
        await desk.ocf.ended(report)


async def _world(seed: int) -> tuple[Desk, list[Planned]]:
    dice = random.Random(seed)
    desk = Desk()
    for payer, amount in OPENING.items():
        desk.fund(payer, amount)
    events = [event for number in range(8) for event in _plan(desk, dice, f"call-{number}")]
    delivered = _disturbed(dice, events)
    for event in delivered:
        desk.now = max(desk.now, event.at)
        await desk.ocf.expire_due()
        await _deliver(desk, event)
    for _ in range(8):
        desk.wait(7_400)
        await desk.ocf.expire_due()
    return desk, delivered


@pytest.mark.parametrize("first", range(0, SEEDS, 50))
async def test_nothing_is_lost_doubled_or_held(first: int) -> None:
    for seed in range(first, first + 50):
        desk, delivered = await _world(seed)
        _nothing_held(desk, seed)
        _records_are_the_balances(desk, seed)
        _true_durations(desk, delivered, seed)


def _nothing_held(desk: Desk, seed: int) -> None:
    for standing in desk.store.standings.values():
        assert standing.reserved == 0, (seed, standing)
        assert standing.channels == 0, (seed, standing)
    assert not [call for call in desk.store.saved.values() if call.is_open], seed


def _records_are_the_balances(desk: Desk, seed: int) -> None:
    for account in (ALICE, BOB, RAY, TRUNK_ACCOUNT):
        standing = desk.standing(account)
        records = [record for record in desk.store.written if record.account_number == standing.account]
        charged = sum(record.charge for record in records)
        opening = parse_nano(OPENING.get(account, "0"))
        assert opening - standing.balance + standing.uncollected == charged, (seed, account)
        if account not in {BOB, TRUNK_ACCOUNT}:
            assert standing.balance >= 0, (seed, standing)


def _true_durations(desk: Desk, delivered: list[Planned], seed: int) -> None:
    for event in delivered:
        if event.kind != "end":
            continue
        calls = [
            call
            for call in desk.store.saved.values()
            if call.call_id == event.report.attempt.call_id and call.state is CallState.SETTLED
        ]
        assert len(calls) == 1, (seed, calls)
        (call,) = calls
        assert call.duration_us == event.report.duration_us, (seed, call)
        seconds = -(-call.duration_us // SECOND)
        told = call.authorised or call.renewable
        capped = call.granted_seconds if 0 <= seconds - call.granted_seconds <= 2 and told else seconds
        assert call.posted[0].charge == charge(call.levels[0].tariffs[0], capped).amount, (seed, call)


async def test_a_refused_call_never_reserves() -> None:
    desk = Desk()
    answer = await desk.ocf.authorize(desk.attempt("c1"))
    assert isinstance(answer, Decided)
    assert not isinstance(answer.decision, Granted)
    assert desk.standing(ALICE).reserved == 0
