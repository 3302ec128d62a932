"""A seeded world of parallel calls on shared bundles and tiers, their events lost, doubled, reordered and late.

It begins minutes before a period ends, so that meters turn while calls run and late ends fall into a closed period.
After every transaction each meter holds what open calls hold and has used what records say (the store in memory looks).
When all is over nothing is held, no unit was used twice, and each charge follows from its record alone.
"""

import random
from dataclasses import replace

import pytest

from daemon.charging.call import CallState
from daemon.kernel.instant import SECOND, parse_rfc3339
from daemon.rating.bundle import ONCE, Bundle, Meter, period_number, turned
from daemon.rating.charge import charge, duration_seconds
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import Policy, RateTable
from tests.simulation.test_events import OPENING, Planned, _deliver, _disturbed, _plan
from tests.unit.charging.desk import ALICE, BOB, NUMBERS, RETAIL, Desk, catalog, with_account
from tests.unit.charging.test_tiers import ROWS

SEEDS = 200
BEGINS = parse_rfc3339("2026-09-30T23:56:00Z")
SHARED = (
    Bundle("day", 200, period="day", rollover=True, prefixes=frozenset({"44"})),
    Bundle("calls", 2, unit="call", period="day"),
    Bundle("month", 150, rollover=True),
    Bundle("extra", 0, period=ONCE),
)
GIVEN, EXPIRES = 120, BEGINS + 400 * SECOND  # units given once, and until when calls may begin to use them


def _desk(dice: random.Random) -> Desk:
    rule, period = dice.choice(["graduated", "whole"]), dice.choice(["day", "month"])
    made, errors = RateTable.of(Policy("retail", 1, "USD", tiers=rule, tier_period=period), ROWS)
    assert made is not None, errors
    bundles = tuple(dice.sample(SHARED, dice.randrange(1, 5)))
    found = with_account(catalog(), ALICE, bundles=bundles, margin_floor_percent=None)
    found = with_account(found, BOB, bundles=bundles, margin_floor_percent=None)
    found = replace(found, plans={**found.plans, RETAIL: RatePlan("retail", (found.tables[RETAIL], made))})
    desk = Desk(found, now=BEGINS)
    for payer, amount in OPENING.items():
        desk.fund(payer, amount)
    for number in (NUMBERS[ALICE], NUMBERS[BOB]):
        desk.store.meters.update({(number, bundle.meter): _begun(number, bundle) for bundle in bundles})
    return desk


def _begun(account: int, bundle: Bundle) -> Meter:
    begun = Meter(account, bundle.meter, period_number(BEGINS, bundle.period, "UTC"))
    return begun._replace(carried=GIVEN, expires_at=EXPIRES) if bundle.period == ONCE else begun


async def _world(seed: int) -> tuple[Desk, list[Planned]]:
    dice = random.Random(seed)
    desk = _desk(dice)
    events = [event for number in range(10) for event in _plan(desk, dice, f"call-{number}")]
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
async def test_no_unit_is_used_twice_lost_or_held(first: int) -> None:
    crossed = used = 0
    for seed in range(first, first + 50):
        desk, _ = await _world(seed)
        _nothing_held(desk, seed)
        used += _no_more_than_was_given(desk, seed)
        _charges_follow_from_their_units(desk, seed)
        crossed += len({units.period for record in desk.store.written for units in record.metered}) > 2
    assert used > 100, "the world has to use bundles"
    assert crossed > 5, "the world has to cross periods"


def _nothing_held(desk: Desk, seed: int) -> None:
    assert not [call for call in desk.store.saved.values() if call.is_open], seed
    assert not [level.units for call in desk.store.saved.values() for level in call.levels if level.units], seed
    for meter in desk.store.meters.values():
        assert meter.held == 0, (seed, meter)


def _no_more_than_was_given(desk: Desk, seed: int) -> int:
    """Give each meter its life again from the records alone, period by period; return the units that were used."""
    total = 0
    for account in (ALICE, BOB):
        for bundle in desk.catalog_value.accounts[account].bundles:
            used: dict[int, int] = {}
            for record in desk.store.written:
                for units in record.metered:
                    if record.account_number == NUMBERS[account] and units.meter == bundle.meter:
                        used[units.period] = used.get(units.period, 0) + units.units
            meter = _begun(NUMBERS[account], bundle)
            for period, count in sorted(used.items()):
                meter = turned(meter, bundle, period)
                assert 0 <= count <= bundle.units + meter.carried, (seed, meter, used)
                meter = meter._replace(used=count)
            stands = desk.store.meters[NUMBERS[account], bundle.meter]
            if used and stands.period == max(used):
                assert (stands.used, stands.carried) == (meter.used, meter.carried), (seed, stands, meter)
            total += sum(used.values())
    return total


def _charges_follow_from_their_units(desk: Desk, seed: int) -> None:
    kinds = {bundle.meter: bundle for bundle in SHARED}
    for call in desk.store.saved.values():
        if call.state is not CallState.SETTLED:
            continue
        tariff, posted = call.levels[0].tariffs[0], call.posted[0]
        paid = sum(kinds[units.meter].covers(units.units) for units in posted.units)
        told = call.authorised or call.renewable
        overrun = call.duration_us - call.granted_seconds * SECOND
        cut = told and 0 <= overrun <= 2 * SECOND
        billed_us = min(call.duration_us, call.granted_seconds * SECOND) if cut else call.duration_us
        seconds = duration_seconds(billed_us, tariff.duration_rounding)
        if posted.units or not call.levels[0].bundles:
            assert posted.charge == charge(tariff, seconds, paid).amount, (seed, call)
        for units in (*posted.units, *posted.volume):
            kind = units.meter.rpartition(":")[2]
            answered_at = call.answered_at
            assert answered_at is not None
            assert units.period <= period_number(desk.now, kind, "UTC"), (seed, call)
            assert units.period >= period_number(answered_at, kind, "UTC"), (seed, call)
            assert kind != ONCE or min(answered_at, call.requested_at) < EXPIRES, (seed, call)
