"""An end that comes days late: whatever the call was settled by meanwhile is reversed, and it is charged right, once.

Each way to settle a call that nobody ended, on each kind of payer, corrected a day, three and ten days later; told
again, told with another duration, and told after its call id was used again. The store in memory looks after every
transaction whether each call's entries are the charge of what it was granted, or of what it talked, at every level.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import product

import pytest

from daemon.charging.call import Call, CallState, SettledBy
from daemon.charging.event import Outcome, Replay
from daemon.kernel.ids import Key
from daemon.kernel.instant import DAY, SECOND
from daemon.rating.bundle import Bundle, Meter, period_number
from daemon.rating.charge import charge
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import Policy, RateTable
from tests.unit.charging.desk import (
    ALICE,
    BOB,
    NUMBERS,
    RAY,
    RENEWABLE,
    RETAIL,
    START,
    Desk,
    catalog,
    key,
    with_account,
)
from tests.unit.charging.test_tiers import ROWS

TALKED = 150 * SECOND + 400_000  # microseconds that each call truly talked
BEAT = 100 * SECOND  # microseconds after the answer of its last proof of life
DAYS = (1, 3, 10)
BUNDLE = Bundle("uk", 60, period="day", prefixes=frozenset({"44"}))
Settle = Callable[[Desk, Call], Awaitable[None]]


async def _end_unknown(desk: Desk, call: Call) -> None:
    desk.now = max(desk.now, call.due_at)
    assert [found.grant_id for found in await desk.ocf.expire_due()] == [call.grant_id]


async def _recovery(desk: Desk, call: Call) -> None:
    await desk.ocf.recover(call.grant_id)


async def _reboot(desk: Desk, call: Call) -> None:
    await desk.ocf.recover(call.grant_id, SettledBy.NAS_REBOOT)


SETTLED: dict[SettledBy, Settle] = {
    SettledBy.END_UNKNOWN: _end_unknown, SettledBy.RECOVERY: _recovery, SettledBy.NAS_REBOOT: _reboot,
}  # fmt: skip


def _plain() -> Desk:
    return Desk()


def _bundled() -> Desk:
    desk = Desk(with_account(catalog(), ALICE, bundles=(BUNDLE,)))
    desk.store.meters[1, BUNDLE.meter] = Meter(1, BUNDLE.meter, period_number(START, "day", "UTC"))
    return desk


def _tiered() -> Desk:
    made, errors = RateTable.of(Policy("retail", 1, "USD", tiers="graduated", tier_period="day"), ROWS)
    assert made is not None, errors
    found = with_account(catalog(), ALICE, margin_floor_percent=None)
    return Desk(replace(found, plans={**found.plans, RETAIL: RatePlan("retail", (made,))}))


KINDS: dict[str, tuple[Callable[[], Desk], Key]] = {
    "prepaid": (_plain, ALICE), "postpaid": (_plain, BOB), "chain": (_plain, RAY), "bundle": (_bundled, ALICE),
    "tiers": (_tiered, ALICE),
}  # fmt: skip
CASES = tuple(product(SETTLED, KINDS))
ROADS: tuple[dict[str, object], ...] = ({}, RENEWABLE)


async def _talking(desk: Desk, payer: Key, road: dict[str, object], name: str = "c1") -> Call:
    """Return a call that was answered, and seen alive once."""
    await desk.ask(name, payer=payer, **road)  # type: ignore[arg-type]
    desk.wait(5)
    await desk.answer(name, payer=payer, road=road)
    desk.now += BEAT
    outcome = await desk.alive(name, payer=payer, road=road, renew=True)
    assert outcome.call is not None
    assert outcome.call.state is CallState.ANSWERED
    return outcome.call


def _true_charge(desk: Desk, call: Call, place: int) -> int:
    """Return what 151 seconds cost at one level, less what its bundle pays."""
    settled = desk.store.saved[call.grant_id]
    kinds = {bundle.meter: bundle for bundle in settled.levels[place].bundles}
    paid = sum(kinds[units.meter].covers(units.units) for units in settled.posted[place].units)
    told = settled.authorised or settled.renewable
    overrun = TALKED - settled.granted_seconds * SECOND
    seconds = settled.granted_seconds if told and 0 <= overrun <= 2 * SECOND else 151
    return charge(settled.levels[place].tariffs[0], seconds, paid).amount


def _charged_right(desk: Desk, call: Call) -> None:
    """Assert that a call is charged for what it talked, that its records say so, and that nothing is held."""
    settled = desk.store.saved[call.grant_id]
    assert (settled.state, settled.duration_us, settled.settled_by) == (
        CallState.SETTLED, TALKED, SettledBy.HANGUP,
    )  # fmt: skip
    for place, level in enumerate(settled.levels):
        assert settled.posted[place].charge == _true_charge(desk, call, place)
        records = [each for each in desk.store.written if (each.grant_id, each.account_number) == (
            call.grant_id, level.account)]  # fmt: skip
        assert sum(record.charge for record in records) == settled.posted[place].charge
        assert [record.status for record in records][-3:] == ["rated", "reversal", "rated"]
        assert records[-1].told_by == "test"
    for meter in desk.store.meters.values():
        assert meter.held == 0, meter


@pytest.mark.parametrize(("by", "kind"), CASES)
async def test_a_late_end_reverses_the_estimate_and_charges_what_was_talked(by: SettledBy, kind: str) -> None:
    make, payer = KINDS[kind]
    for days, road in product(DAYS, ROADS):
        desk = make()
        desk.fund(payer, "20.00")
        call = await _talking(desk, payer, road)
        assert call.answered_at is not None
        end_at = call.answered_at + TALKED
        await SETTLED[by](desk, call)
        estimated = desk.store.saved[call.grant_id]
        assert (estimated.settled_by, estimated.duration_us) == (by, BEAT)
        desk.now += days * DAY
        end = desk.report("c1", payer=payer, road=road, at=end_at, duration_us=TALKED, message=key("late"))
        assert isinstance(await desk.ocf.ended(end), Outcome)
        _charged_right(desk, call)
        before = (desk.store.standings, desk.store.written)
        assert isinstance(await desk.ocf.ended(end), Replay)
        told = await desk.ocf.ended(replace(end, message=key("by another source")))
        assert isinstance(told, Outcome)
        assert not told.changed
        other = replace(end, duration_us=TALKED + 30 * SECOND, message=key("of another mind"))
        assert isinstance(await desk.ocf.ended(other), Outcome)
        assert (desk.store.standings, desk.store.written) == before
        assert "duplicate_differs" in {item.kind for item in desk.store.exceptions}
        assert desk.store_standing(NUMBERS[payer]).channels == 0


@pytest.mark.parametrize(("by", "kind"), CASES)
async def test_a_late_end_after_its_call_id_was_used_again_charges_the_old_call(by: SettledBy, kind: str) -> None:
    make, payer = KINDS[kind]
    for days, is_over in product(DAYS, (False, True)):
        desk = make()
        desk.fund(payer, "20.00")
        call = await _talking(desk, payer, {})
        assert call.answered_at is not None
        end_at = call.answered_at + TALKED
        await SETTLED[by](desk, call)
        desk.now += days * DAY
        again = await _talking(desk, payer, {})
        assert again.grant_id != call.grant_id
        if is_over:
            await desk.end("c1", payer=payer, duration_us=BEAT)
        second = desk.store.saved[again.grant_id]
        end = desk.report("c1", payer=payer, at=end_at, duration_us=TALKED, message=key("late"))
        assert isinstance(await desk.ocf.ended(end), Outcome)
        _charged_right_beside(desk, call, second)


def _charged_right_beside(desk: Desk, call: Call, second: Call) -> None:
    assert desk.store.saved[second.grant_id] == second, "the call that has the id now is another"
    settled = desk.store.saved[call.grant_id]
    assert (settled.state, settled.duration_us) == (CallState.SETTLED, TALKED)
    assert settled.posted[0].charge == _true_charge(desk, call, 0)
    assert [item.kind for item in desk.store.exceptions if item.kind == "duplicate_differs"] == []


@pytest.mark.parametrize("days", DAYS)
async def test_a_part_that_the_next_one_ended_is_corrected_by_its_own_late_end(days: int) -> None:
    desk = Desk()
    first = await _talking(desk, BOB, {})
    assert first.answered_at is not None
    await desk.ask("c1", payer=BOB, to="33123456789")
    await desk.answer("c1", payer=BOB, to="33123456789")
    assert desk.store.saved[first.grant_id].settled_by is SettledBy.NEXT_PART
    desk.wait(60)
    await desk.end("c1", payer=BOB, to="33123456789", duration_us=60 * SECOND)
    desk.now += days * DAY
    await desk.end("c1", payer=BOB, at=first.answered_at + TALKED, duration_us=TALKED, grant_id=first.grant_id)
    _charged_right(desk, first)
