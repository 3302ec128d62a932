"""A seeded world of buckets that are given and expire while calls run, their events lost, doubled, reordered and late.

After every transaction each bucket is the sum of its entries (the store in memory looks). A model that knows those, and
when each call was asked about, and nothing else, then walks them: who paid, in which order, and what expired.
"""

import random
from collections import defaultdict
from dataclasses import dataclass, field

import pytest

from daemon.kernel.instant import SECOND, Instant
from daemon.kernel.money import NANO
from daemon.ledger import posting
from daemon.ledger.account import Entry, EntryKind, Standing
from daemon.ledger.bucket import Bucket, BucketKind, in_order
from tests.simulation.test_events import OPENING, Planned, _deliver, _disturbed, _plan
from tests.unit.charging.desk import ALICE, BOB, NUMBERS, Desk

SEEDS = 200
GIFTS = 4  # buckets of each account in one world
OWNERS = (ALICE, BOB)


@dataclass(frozen=True)
class Gift:
    """A bucket that is given at an instant."""

    at: Instant
    account: int
    terms: Bucket
    amount: int


def _gifts(desk: Desk, dice: random.Random) -> list[Gift]:
    gifts = []
    for owner in OWNERS:
        for number in range(GIFTS):
            at = desk.now + dice.randrange(0, 300) * SECOND
            expires_at = at + dice.randrange(30, 600) * SECOND if dice.random() < 0.8 else None
            terms = Bucket(f"b{number}", dice.choice(list(BucketKind)), dice.randrange(0, 3), expires_at)
            gifts.append(Gift(at, NUMBERS[owner], terms, dice.randrange(1, 90) * NANO // 100))
    return gifts


def _give(desk: Desk, gift: Gift) -> None:
    standing = desk.store_standing(gift.account)
    swept = posting.expire(standing, desk.now)
    standing = swept[-1][0] if swept else standing
    posted = posting.credit_bucket(
        standing, EntryKind.TOP_UP, gift.amount, desk.now, gift.terms, key="", who="test", reason=""
    )
    if isinstance(posted, str):
        assert gift.terms.expires_at is not None, posted
        assert gift.terms.expires_at <= desk.now, posted
        posted = []
    for after, entry in [*swept, *posted]:
        desk.store.standings[gift.account] = after
        desk.store.entries.append(entry)


async def _world(seed: int) -> tuple[Desk, list[Gift]]:
    dice = random.Random(seed)
    desk = Desk()
    for payer, amount in OPENING.items():
        desk.fund(payer, amount)
    gifts = _gifts(desk, dice)
    calls = [event for number in range(8) for event in _plan(desk, dice, f"call-{number}")]
    happening: list[Planned | Gift] = [*_disturbed(dice, calls), *gifts]
    for event in sorted(happening, key=lambda each: each.at):
        desk.now = max(desk.now, event.at)
        if dice.random() < 0.3:
            await desk.ocf.expire_due()
        if isinstance(event, Gift):
            _give(desk, event)
        else:
            await _deliver(desk, event)
    for _ in range(8):
        desk.wait(7_400)
        await desk.ocf.expire_due()
    return desk, gifts


@dataclass
class Model:
    """One account, made of its entries alone."""

    seed: int
    terms: dict[str, Bucket]
    asked: dict[str, Instant]  # when each call was asked about
    left: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    held: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    since_expiry: dict[str, dict[str, int]] = field(default_factory=dict)  # by bucket: the least that calls held since
    paid_by: dict[str, dict[str, int]] = field(default_factory=dict)  # by call: what each bucket paid of its charge
    expired: int = 0
    kept_for_calls: int = 0

    def walk(self, entries: list[Entry]) -> None:
        """Follow the entries; those of one debit stand together."""
        for place, entry in enumerate(entries):
            if entry.kind is EntryKind.DEBIT and not entry.bucket:
                more = entries[place + 1 :]
                ends = next((n for n, each in enumerate(more) if not each.bucket or each.kind is not entry.kind), None)
                self._paid(entry, more[:ends])
            if entry.kind is EntryKind.EXPIRE and entry.bucket:
                self._expires(entry)
            if entry.kind is EntryKind.RESERVE:
                self.paid_by.pop(entry.grant_id, None)  # it runs on: what came back is held by it
            self.held[entry.grant_id] += entry.pending
            for holding in self.since_expiry.values():
                if entry.grant_id in holding:
                    holding[entry.grant_id] = min(holding[entry.grant_id], self.held[entry.grant_id])
            self.left[entry.bucket] += entry.amount
            assert not entry.bucket or self.left[entry.bucket] >= 0, (self.seed, entry)

    def _paid(self, main: Entry, parts: list[Entry]) -> None:
        """What paid the call before pays it again; then whoever is used first is used up before the next one is."""
        own, corrects = self.paid_by.get(main.grant_id, {}), main.grant_id in self.paid_by
        since, paid = self.asked[main.grant_id], {part.bucket: -part.amount for part in parts}
        usable = [each for each in in_order(self.terms.values()) if each.pays(since)]
        assert paid.keys() <= {each.id for each in usable}, (self.seed, main, parts)
        again = {each.id: min(paid.get(each.id, 0), own.get(each.id, 0), self.left[each.id]) for each in usable}
        exhausted = all(again[each.id] == min(own.get(each.id, 0), self.left[each.id]) for each in usable)
        for each in usable:
            assert exhausted or paid.get(each.id, 0) == again[each.id], (self.seed, main, parts)
            exhausted = exhausted and paid.get(each.id, 0) == self.left[each.id]
        assert exhausted or main.amount == 0, (self.seed, main, parts)
        # Money that is there and others have reserved is not taken for more than was charged before: that is a debt.
        assert exhausted or corrects or main.uncollected == 0, (self.seed, main, parts)
        self.paid_by[main.grant_id] = paid

    def _expires(self, entry: Entry) -> None:
        """Nothing goes before its time, and what calls have held since before is still there for them."""
        expiring = self.terms[entry.bucket]
        assert expiring.expires_at is not None, (self.seed, entry)
        assert expiring.expires_at <= entry.at, (self.seed, entry)
        stays = self.left[entry.bucket] + entry.amount
        if entry.bucket not in self.since_expiry:
            old = {call: held for call, held in self.held.items() if held and expiring.pays(self.asked[call])}
            self.since_expiry[entry.bucket] = old
        reserved = sum(self.since_expiry[entry.bucket].values())
        before = in_order(self.terms.values())
        covers = sum(self.left[each.id] for each in before[: before.index(expiring)]) + stays
        assert covers >= reserved or not entry.amount, (self.seed, entry, reserved)
        self.expired -= entry.amount
        self.kept_for_calls += stays > 0


@pytest.mark.parametrize("first", range(0, SEEDS, 50))
async def test_buckets_pay_in_order_and_expire_around_the_calls_that_hold_them(first: int) -> None:
    expired = kept = paid = 0
    for seed in range(first, first + 50):
        desk, gifts = await _world(seed)
        asked = {call.grant_id: call.requested_at for call in desk.store.saved.values()}
        for owner in OWNERS:
            number = NUMBERS[owner]
            entries = [entry for entry in desk.store.entries if entry.account == number]
            terms = {gift.terms.id: gift.terms for gift in gifts if gift.account == number}
            model = Model(seed, terms, asked)
            model.walk(entries)
            _nothing_left(desk.store_standing(number), model)
            expired, kept = expired + model.expired, kept + model.kept_for_calls
            paid += sum(-entry.amount for entry in entries if entry.bucket and entry.kind is EntryKind.DEBIT)
        _records_say_the_same(desk, seed)
    assert expired > 0, "buckets have to expire"
    assert paid > 0, "buckets have to pay"
    assert kept > 10, "calls have to hold what has expired"


def _nothing_left(standing: Standing, model: Model) -> None:
    """When all is over what has expired is gone, and what has not is what the entries say."""
    assert standing.reserved == 0, (model.seed, standing)
    assert all(each.expires_at is None and each.held is None for each in standing.buckets), (model.seed, standing)
    assert {each.id: each.amount for each in standing.buckets if each.amount} == {
        name: amount for name, amount in model.left.items() if name and amount
    }, (model.seed, standing)
    assert standing.main == model.left[""], (model.seed, standing)


def _records_say_the_same(desk: Desk, seed: int) -> None:
    for owner in OWNERS:
        charged = sum(
            entry.uncollected - entry.amount
            for entry in desk.store.entries
            if entry.account == NUMBERS[owner] and entry.kind in (EntryKind.DEBIT, EntryKind.REFUND)
        )
        recorded = sum(record.charge for record in desk.store.written if record.account_number == NUMBERS[owner])
        assert charged == recorded, (seed, owner)
