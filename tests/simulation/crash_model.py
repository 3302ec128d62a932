"""What a crash simulation's calls should have been charged, from what their sender knows, and how that is compared.

The store is read as SQL rows only where it is compared. A call whose end was acknowledged is worth its true duration;
one whose end nobody told is worth its last proof of life, or the first block. Where a message was never acknowledged
its sender cannot know whether it counted: then either may be, and nothing else.
"""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from daemon.kernel.ids import Key
from daemon.kernel.instant import SECOND, Instant
from tests.simulation.crash_scenario import BOB, BUNDLE_UNITS, CARRIER, CHAINS, OPENING, POSTPAID, price
from tests.simulation.crash_world import CrashWorld, Plan, Seen

CUT_TOLERANCE = 2 * SECOND
CLOCK_TOLERANCE = 60 * SECOND


@dataclass(frozen=True)
class Billed:
    """The net rated record of one call at one level."""

    account: Key
    duration_us: int
    charge: int
    cost: int
    billed: int
    units: int
    volume: int
    metered: tuple[tuple[str, int, int], ...]  # meter, its period, units


async def net_records(world: CrashWorld) -> dict[tuple[str, Key], Billed]:
    """Return what each call is charged at each level after reversals; asserts that no charge key has two."""
    rows = await world.store.rows(
        "SELECT record.body, account.tenant, account.id FROM record JOIN account ON number = record.account"
        " ORDER BY seq"
    )
    net: dict[tuple[str, Key, str], list[dict[str, Any]]] = {}
    for body, tenant, name in rows:
        record = json.loads(body)
        standing = net.setdefault((record["call_id"], Key(tenant, name), record["grant_id"]), [])
        if record["reverses"]:
            assert standing, ("reversed and never charged", record)
            assert standing.pop()["record_id"] == record["reverses"], record
        else:
            assert not standing, ("charged twice", record)
            standing.append(record)
    found: dict[tuple[str, Key], Billed] = {}
    for (call_id, account, _grant), standing in net.items():
        for record in standing:
            assert (call_id, account) not in found, ("two calls of one id are charged", call_id, account)
            found[call_id, account] = _billed(account, record)
    return found


def _billed(account: Key, record: dict[str, Any]) -> Billed:
    return Billed(
        account, record["duration_us"], record["charge"], record["cost"], record["billed_seconds"],
        record["bundle_units"], record["volume"], tuple((units[0], units[2], units[1]) for units in record["metered"]),
    )  # fmt: skip


def durations(plan: Plan, seen: Seen) -> tuple[set[int], bool]:
    """Return the durations that a call may be charged for, and whether it may be charged nothing at all."""
    if seen.ended:
        return {plan.duration_us}, False
    acknowledged = [each for each in seen.log if each[0] in ("answer", "alive")]
    if not seen.troubled:
        return (_lived(plan, seen, acknowledged), False) if acknowledged else (set(), True)
    attempted = [each for each in seen.sent if each[0] in ("answer", "alive")]
    possible = _lived(plan, seen, attempted) if attempted else set()
    if any(kind == "end" for kind, _, _ in seen.sent):
        possible.add(plan.duration_us)
    return possible, not acknowledged


def _lived(plan: Plan, seen: Seen, told: list[tuple[str, Instant, Instant]]) -> set[int]:
    """Return each lifetime that proofs of life may show: from a beginning to a proof that is not before it."""
    asked = next((now for kind, _, now in seen.log if kind == "ask"), None)
    begins = {_begin(at, now, asked) for _, at, now in (told if seen.troubled else told[:1])}
    if seen.troubled:
        begins |= {min(at, now) for _, at, now in told} | {now for _, _, now in told}
    proofs = {min(at, now) for _, at, now in told}
    if not seen.troubled:
        heard = max([*begins, *(min(at, now) for kind, at, now in told[1:] if kind == "alive")])
        # An answer told again proves life only where the call was settled by an estimate meanwhile.
        proofs = {heard} | {max(heard, min(at, now)) for _, at, now in told[1:]}
    return {max(0, proof - begin) or SECOND for begin in begins for proof in proofs | begins}


def _begin(at: Instant, now: Instant, asked: Instant | None) -> Instant:
    began = min(at, now)
    return began if asked is None or began >= asked - CLOCK_TOLERANCE else now


async def held_against_the_model(world: CrashWorld) -> int:
    """Assert that the ledger is what the model says, to the nano-unit, and that nothing is held; count the charges."""
    net = await net_records(world)
    granted = await _charged_calls(world)
    charged: Counter[Key] = Counter()
    metered: Counter[tuple[Key, str, int]] = Counter()
    for name, plan in world.plans.items():
        found = [net.pop((name, account), None) for account in CHAINS[plan.payer]]
        for billed in _of_one_call(plan, world.seen[name], granted.get(name), found):
            charged[billed.account] += billed.charge
            for meter, period, units in billed.metered:
                metered[billed.account, meter, period] += units
    assert not net, ("charged and never made", net)
    await _balances(world, charged)
    await _meters(world, metered)
    return sum(charged.values())


async def _charged_calls(world: CrashWorld) -> dict[str, dict[str, Any]]:
    """Return the call of each id; one beside it was granted, never told, and void."""
    found: dict[str, dict[str, Any]] = {}
    for (text,) in await world.store.rows("SELECT body FROM call ORDER BY number"):
        body = json.loads(text)
        if body["call_id"] not in found or body["state"] != "voided":
            found[body["call_id"]] = body
    return found


def _of_one_call(plan: Plan, seen: Seen, call: dict[str, Any] | None, found: list[Billed | None]) -> list[Billed]:
    allowed, may_be_free = durations(plan, seen)
    if found[0] is None:
        assert found == [None] * len(found), ("charged above and not at retail", plan, found)
        assert may_be_free or seen.refused, ("never charged", plan, seen)
        return []
    assert call is not None
    assert found[0].duration_us in allowed, (plan, seen, found[0], allowed)
    levels = []
    for billed in found:
        assert billed is not None, ("charged at retail and not above", plan)
        assert billed.duration_us == found[0].duration_us, (plan, found)
        assert billed.charge == _expected(plan, call, billed), (plan, seen, billed)
        levels.append(billed)
    assert [billed.cost for billed in levels] == [*(upper.charge for upper in levels[1:]), _carrier(plan, call)], levels
    return levels


def _carrier(plan: Plan, call: dict[str, Any]) -> int:
    """Return what the carrier costs, by the duration as measured; an unauthorised call had none of ours."""
    return price(CARRIER, plan.number, -(-call.get("duration_us", 0) // SECOND))[0] if call["authorised"] else 0


def _expected(plan: Plan, call: dict[str, Any], billed: Billed) -> int:
    """Return the charge of one level: an overrun of a limit that the switch was told, up to 2 s, is our own."""
    told = call["authorised"] or call["renewable"]
    overrun = billed.duration_us - call["granted_seconds"] * SECOND
    ours = told and 0 <= overrun <= CUT_TOLERANCE
    seconds = call["granted_seconds"] if ours else -(-billed.duration_us // SECOND)
    charge, taken = price(billed.account, plan.number, seconds, billed.units, billed.volume)
    assert billed.units <= seconds, billed
    if billed.account == BOB:
        assert billed.billed == taken, billed
        assert sum(units for _, _, units in billed.metered) == seconds, billed
    return charge


async def _balances(world: CrashWorld, charged: Counter[Key]) -> None:
    query = "SELECT tenant, id, balance, uncollected, reserved, channels_in, channels_out FROM account"
    for tenant, name, balance, uncollected, *held in await world.store.rows(query):
        account = Key(tenant, name)
        assert held == [0, 0, 0], ("held for ever", account, held)
        assert OPENING.get(account, 0) - balance + uncollected == charged[account], (account, charged[account])
        if account in OPENING and account not in POSTPAID:
            assert balance >= 0, (account, balance)
    assert await world.store.rows("SELECT grant_id FROM call WHERE is_open = 1") == []


async def _meters(world: CrashWorld, metered: Counter[tuple[Key, str, int]]) -> None:
    """Each meter has used in its period what the calls say, holds nothing, and never gave more than it had."""
    query = "SELECT tenant, id, name, period, used, held, carried FROM meter JOIN account ON number = account"
    for tenant, name, meter, period, used, held, carried in await world.store.rows(query):
        assert held == 0, ("units held for ever", name, meter)
        assert used == metered[Key(tenant, name), meter, period], (name, meter, period, metered)
        if meter.startswith("bundle:"):
            assert used <= BUNDLE_UNITS + carried, (name, meter, used, carried)
            assert carried <= BUNDLE_UNITS, (name, meter, carried)
