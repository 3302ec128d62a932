"""Buckets: the order in which they pay, what their expiry takes and leaves, and that each is the sum of its entries."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.kernel.ids import Direction
from daemon.kernel.money import NANO_MAX
from daemon.ledger import posting
from daemon.ledger.account import Entry, EntryKind, Overflow, Standing, available, entry_applied
from daemon.ledger.bucket import (
    BUCKETS_MAX,
    Bucket,
    BucketKind,
    Wanted,
    found,
    free_parts,
    granted,
    held_more,
    in_order,
    met,
    total,
)

PROMO = Bucket("promo", BucketKind.PROMOTIONAL, 5, expires_at=100)
GIFT = Bucket("gift", BucketKind.MONEY, 5, expires_at=200)
SAVED = Bucket("saved", BucketKind.MONEY, 5)


def filled(*amounts: tuple[Bucket, int], main: int = 0, now: int = 0) -> Standing:
    """Return a standing with buckets of so much."""
    standing = Standing(1, balance=main)
    for terms, amount in amounts:
        standing = given_to(standing, terms, amount, now)
    return standing


def given_to(standing: Standing, terms: Bucket, amount: int, now: int = 0) -> Standing:
    posted = posting.credit_bucket(standing, EntryKind.TOP_UP, amount, now, terms, key="", who="w", reason="r")
    assert not isinstance(posted, str), posted
    return posted[-1][0]


def amounts(standing: Standing) -> dict[str, int]:
    return {each.id: each.amount for each in standing.buckets} | {"": standing.main}


def test_the_order_is_priority_then_the_earlier_expiry_then_the_id() -> None:
    first, last = Bucket("z", priority=1), Bucket("a", priority=6, expires_at=1)
    same = Bucket("twin", expires_at=200, priority=5)
    assert in_order([last, SAVED, same, GIFT, PROMO, first]) == (first, PROMO, GIFT, same, SAVED, last)


def test_a_debit_draws_on_buckets_in_order_and_then_on_the_main_balance() -> None:
    standing = filled((GIFT, 4), (PROMO, 3), (SAVED, 2), main=10)
    held, _ = posting.reserve(standing, "g", 12, Direction.OUTBOUND, 1)
    posted = posting.debit(held, "g", 12, 12, Direction.OUTBOUND, 0, 2)
    after = posted[-1][0]
    assert [(entry.bucket, entry.amount, entry.pending, entry.channels_out) for _, entry in posted] == [
        ("", -3, -12, -1), ("promo", -3, 0, 0), ("gift", -4, 0, 0), ("saved", -2, 0, 0),
    ]  # fmt: skip
    assert (after.balance, after.main, after.reserved) == (7, 7, 0)
    assert posting.paid_from(held, posted) == (
        PROMO._replace(amount=3), GIFT._replace(amount=4), SAVED._replace(amount=2),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("main", "limit", "charge", "left", "debt"),
    [(2, 0, 7, {"gift": 0, "": 0}, 1), (-3, 0, 4, {"gift": 3, "": -3}, 3), (2, 5, 12, {"gift": 0, "": -5}, 1),
     (0, None, 9, {"gift": 0, "": -5}, 0)],
)  # fmt: skip
def test_only_the_main_balance_goes_below_zero_and_to_the_limit(
    main: int, limit: int | None, charge: int, left: dict[str, int], debt: int
) -> None:
    filled_up = filled((GIFT, 4), main=main)
    amounts_before = filled_up.balance
    posted = posting.debit(filled_up, "g", charge, 0, None, limit, 5)
    assert amounts(posted[-1][0]) == left
    assert posted[-1][0].uncollected == debt
    assert amounts_before - posted[-1][0].balance + debt == charge


class TestExpiry:
    def test_it_takes_all_that_nobody_holds(self) -> None:
        standing = filled((PROMO, 3), (GIFT, 4), main=10)
        assert posting.expire(standing, 99) == []
        ((after, entry),) = posting.expire(standing, 100)
        assert (entry.kind, entry.amount, entry.bucket, after.balance) == (EntryKind.EXPIRE, -3, "promo", 14)
        assert amounts(after) == {"gift": 4, "": 10}
        assert posting.current(standing, 100) == after
        assert posting.current(after, 101) is after

    def test_it_leaves_what_calls_hold_and_takes_the_rest_when_they_end(self) -> None:
        standing, _ = posting.reserve(filled((PROMO, 8), main=10), "g", 5, None, 50, 50)
        ((closing, entry),) = posting.expire(standing, 100)
        assert (entry.amount, amounts(closing)) == (-3, {"promo": 5, "": 10})
        assert available(closing, 0) == 10, "what the call holds of it is not another's"
        assert posting.expire(closing, 101) == []
        charged = posting.debit(closing, "g", 2, 5, None, 0, 150, 50)[-1][0]
        ((gone, rest),) = posting.expire(charged, 150)
        assert (rest.amount, amounts(gone)) == (-3, {"": 10})

    def test_a_call_that_was_asked_about_later_draws_on_nothing_that_has_expired(self) -> None:
        standing, _ = posting.reserve(filled((PROMO, 5), main=10), "old", 5, None, 50, 50)
        closing = posting.current(standing, 100)
        held, _ = posting.reserve(closing, "new", 10, None, 110)
        charged = posting.debit(held, "new", 4, 10, None, 0, 120, 110)[-1][0]
        assert amounts(posting.current(charged, 120)) == {"promo": 5, "": 6}
        ended = posting.debit(charged, "old", 1, 5, None, 0, 130, 50)[-1][0]
        assert amounts(posting.current(ended, 130)) == {"": 6}

    def test_it_is_on_record_where_calls_hold_all_of_it(self) -> None:
        standing, _ = posting.reserve(filled((PROMO, 5), main=1), "g", 6, None, 50, 50)
        ((closing, entry),) = posting.expire(standing, 100)
        assert (entry.amount, amounts(closing)) == (0, {"promo": 5, "": 1})
        freed, _ = posting.release(closing, "g", 6, None, 200, 50)
        assert amounts(posting.current(freed, 200)) == {"": 1}

    def test_reservations_hold_the_buckets_that_would_pay_them(self) -> None:
        early = Bucket("early", priority=1)
        standing, _ = posting.reserve(filled((early, 4), (PROMO, 8), main=10), "g", 5, None, 50, 50)
        assert free_parts(standing.buckets, standing.reserved, 100)[0].amount == 7, "4 of its 5 are in the earlier one"

    def test_an_empty_one_goes_with_an_entry_and_takes_nothing(self) -> None:
        standing = filled((PROMO, 3))
        used = posting.debit(standing, "g", 3, 0, None, 0, 10)[-1][0]
        assert amounts(used) == {"promo": 0, "": 0}, "it is kept for what a reversal gives back"
        ((gone, entry),) = posting.expire(used, 100)
        assert (entry.amount, gone.buckets) == (0, ())


class TestRefunds:
    def test_money_goes_back_to_the_buckets_that_paid(self) -> None:
        standing = filled((PROMO, 3), (GIFT, 4), main=2)
        posted = posting.debit(standing, "g", 10, 0, None, 0, 10)
        parts = posting.paid_from(standing, posted)
        back = posting.refund(posted[-1][0], "g", 9, 1, 11, parts)
        assert amounts(back[-1][0]) == amounts(standing)
        assert back[-1][0].uncollected == 0
        assert [(entry.bucket, entry.amount) for _, entry in back] == [("", 2), ("promo", 3), ("gift", 4)]

    def test_to_an_expired_one_it_serves_the_right_charge_and_then_expires(self) -> None:
        standing = filled((PROMO, 5), main=10)
        posted = posting.debit(standing, "g", 5, 0, None, 0, 50, 50)
        gone = posting.current(posted[-1][0], 100)
        assert amounts(gone) == {"": 10}
        back = posting.refund(gone, "g", 5, 0, 150, posting.paid_from(standing, posted))[-1][0]
        assert amounts(back) == {"promo": 5, "": 10}
        right = posting.debit(back, "g", 2, 0, None, 0, 150, 50)[-1][0]
        assert amounts(posting.current(right, 150)) == {"": 10}

    def test_to_an_expired_one_it_is_held_by_a_call_that_goes_on(self) -> None:
        standing = filled((PROMO, 5), main=10)
        posted = posting.debit(standing, "g", 5, 0, None, 0, 50, 50)
        gone = posting.current(posted[-1][0], 100)
        back = posting.refund(gone, "g", 5, 0, 150, posting.paid_from(standing, posted))[-1][0]
        goes_on, _ = posting.reserve(back, "g", 4, None, 150, 50)
        assert amounts(posting.current(goes_on, 150)) == {"promo": 4, "": 10}

    def test_without_room_it_is_the_main_balance(self) -> None:
        standing = filled((PROMO, 5))
        posted = posting.debit(standing, "g", 5, 0, None, 0, 10)
        used = posted[-1][0]._replace(buckets=())
        others = filled(*((Bucket(f"b{n}"), 1) for n in range(BUCKETS_MAX)), main=used.balance)
        back = posting.refund(others, "g", 5, 0, 11, posting.paid_from(standing, posted))
        assert amounts(back[-1][0])[""] == 5
        assert len(back) == 1


class TestGrants:
    def test_a_bucket_that_is_there_keeps_its_terms(self) -> None:
        standing = given_to(filled((PROMO, 3)), met((PROMO,), Wanted("promo")), 4)
        assert standing.buckets == (PROMO._replace(amount=7),)

    @pytest.mark.parametrize(
        ("wanted", "terms"),
        [
            (Wanted("new"), Bucket("new")),
            (Wanted("promo", priority=7), PROMO._replace(priority=7)),
            (Wanted("promo", BucketKind.MONEY, expires_at=9), PROMO._replace(kind=BucketKind.MONEY, expires_at=9)),
        ],
    )
    def test_what_is_not_stated_is_as_it_was_or_usual(self, wanted: Wanted, terms: Bucket) -> None:
        assert met((PROMO,), wanted) == terms

    @pytest.mark.parametrize(
        ("terms", "now", "why"),
        [
            (PROMO._replace(priority=6), 0, "other terms"),
            (PROMO._replace(expires_at=101), 0, "other terms"),
            (Bucket("late", expires_at=50), 50, "expired already"),
            (PROMO._replace(expires_at=None), 100, "calls still hold"),
        ],
    )
    def test_refusals(self, terms: Bucket, now: int, why: str) -> None:
        standing = filled((PROMO, 3))
        refused = posting.credit_bucket(standing, EntryKind.TOP_UP, 1, now, terms, key="", who="w", reason="")
        assert isinstance(refused, str)
        assert why in refused

    def test_sixteen_are_the_limit_and_an_empty_one_makes_room(self) -> None:
        full = filled(*((Bucket(f"b{n}"), 1) for n in range(BUCKETS_MAX)))
        assert "limit" in str(granted(full.buckets, Bucket("more"), 0))
        used = posting.debit(full, "g", 1, 0, None, 0, 1)[-1][0]
        assert found(used.buckets, "b0") is not None
        more = given_to(used, Bucket("more"), 2)
        assert found(more.buckets, "b0") is None
        assert (len(more.buckets), total(more.buckets)) == (BUCKETS_MAX, BUCKETS_MAX + 1)

    def test_money_pays_debts_and_given_money_does_not(self) -> None:
        owing = Standing(1, uncollected=4)
        assert given_to(owing, GIFT, 10)._replace(buckets=()) == Standing(1, balance=6)
        assert amounts(given_to(owing, GIFT, 10)) == {"gift": 6, "": 0}
        assert given_to(owing, PROMO, 10).uncollected == 4

    def test_an_adjustment_leaves_at_least_nothing(self) -> None:
        standing = filled((PROMO, 3))
        for amount, left in ((-3, {"promo": 0, "": 0}), (-4, None)):
            posted = posting.credit_bucket(standing, EntryKind.ADJUST, amount, 1, PROMO, key="", who="w", reason="r")
            assert (None if isinstance(posted, str) else amounts(posted[-1][0])) == left


class TestTransfers:
    def test_both_entries_and_debts_of_the_taker_first(self) -> None:
        giver, taker = Standing(1, balance=10), Standing(2, balance=-1, uncollected=3)
        posted = posting.transfer(giver, taker, 10, 1, reference="t", key="k", who="w", reason="r")
        assert not isinstance(posted, str)
        assert [(entry.account, entry.kind.value, entry.amount, entry.key) for _, entry in posted] == [
            (1, "transfer", -10, "k"), (2, "transfer", 10, ""), (2, "collect", -3, ""),
        ]  # fmt: skip
        assert (posted[0][0].balance, posted[-1][0].balance, posted[-1][0].uncollected) == (0, 6, 0)

    @pytest.mark.parametrize(
        ("standing", "most"),
        [
            (Standing(1, balance=10), 10),
            (Standing(1, balance=10, reserved=4, uncollected=1), 5),
            (Standing(1, balance=-2), 0),
            (filled((PROMO, 5), main=3), 3),
            (filled((PROMO, 5), main=3)._replace(reserved=7), 1),
            (filled((PROMO, 5), main=-3), 0),
        ],
    )
    def test_neither_credit_nor_buckets_nor_what_is_held_is_given_away(self, standing: Standing, most: int) -> None:
        assert posting.transferable(standing) == most
        refused = posting.transfer(standing, Standing(2), most + 1, 1, reference="t", key="k", who="w", reason="")
        assert isinstance(refused, str)


def test_an_assertion_moves_nothing() -> None:
    after, entry = posting.asserted(Standing(1, balance=7), 3, key="", who="w", reason="r")
    assert after == Standing(1, balance=7)
    assert (entry.kind, entry.amount, entry.balance_after) == (EntryKind.BALANCE_ASSERTION, 0, 7)


def test_a_bucket_that_is_not_there_or_does_not_cover_it_is_a_fault_of_ours() -> None:
    for name, amount in (("none", 1), ("promo", -4)):
        with pytest.raises(AssertionError):
            entry_applied(filled((PROMO, 3)), Entry(1, EntryKind.ADJUST, 1, amount=amount, bucket=name))


def test_what_is_held_is_never_less_than_nothing() -> None:
    closing = (PROMO._replace(amount=2, held=3),)
    assert held_more(closing, -5, 50) == (PROMO._replace(amount=2, held=0),)
    assert held_more(closing, -5, 150) == closing


@dataclass
class Model:
    """An account by plain dictionaries: who has reserved what since when, and every entry that was made."""

    standing: Standing = field(default_factory=lambda: Standing(1))
    calls: dict[str, tuple[int, int]] = field(default_factory=dict)  # asked at, reserved
    entries: list[Entry] = field(default_factory=list)
    now: int = 0
    asked: int = 0

    def post(self, posted: list[posting.Posting]) -> None:
        for after, entry in posted:
            self.standing = after
            self.entries.append(entry)

    def expire(self) -> None:
        """Where one has expired, what its calls hold stays, in it or in others that pay them."""
        before = self.standing
        self.post(posting.expire(before, self.now))
        expired = [each for each in before.buckets if each.has_expired(self.now)]
        if len(expired) == 1:
            held = sum(amount for since, amount in self.calls.values() if expired[0].pays(since))
            assert total(self.standing.buckets) >= min(total(before.buckets), held), (before, self.standing)

    def check(self) -> None:
        stands = self.standing
        assert stands.balance == sum(entry.amount for entry in self.entries)
        assert stands.reserved == sum(amount for _, amount in self.calls.values())
        assert in_order(stands.buckets) == stands.buckets
        assert len(stands.buckets) <= BUCKETS_MAX
        for name in {entry.bucket for entry in self.entries if entry.bucket}:
            there = found(stands.buckets, name)
            amount = there.amount if there is not None else 0
            assert amount == sum(entry.amount for entry in self.entries if entry.bucket == name) >= 0
        for each in stands.buckets:
            if each.held is not None:
                old = sum(amount for since, amount in self.calls.values() if each.pays(since))
                assert each.amount <= each.held <= old, (each, self.calls)
            else:
                assert each.expires_at is None or each.expires_at > self.now
        closing = sum(each.amount for each in stands.buckets if each.held is not None)
        assert closing <= stands.reserved, "what has expired is never another's to reserve"


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["give", "ask", "more", "less", "end", "void", "wait"]),
        st.integers(0, 3), st.integers(0, 30), st.integers(0, 4),
    ),
    max_size=40,
)  # fmt: skip


@given(acts=ACTS, main=st.integers(0, 40))
def test_any_sequence_of_postings_keeps_every_sum_and_loses_nothing(
    acts: list[tuple[str, int, int, int]], main: int
) -> None:
    model = Model()
    model.post(posting.credit(Standing(1), EntryKind.TOP_UP, main, 0, key="", who="w", reason="r"))
    charged = uncollected = 0
    for act, which, amount, length in acts:
        model.expire()
        name = f"c{which}"
        since, held = model.calls.get(name, (model.now, 0))
        left = available(model.standing, 0)
        assert left is not None
        if act == "give":
            expires_at = model.now + 10 * length if length else None
            terms = Bucket(f"b{which}", tuple(BucketKind)[amount % 2], which % 2, expires_at)
            posted = posting.credit_bucket(
                model.standing, EntryKind.TOP_UP, amount + 1, model.now, terms, key="", who="w", reason="r"
            )
            model.post([] if isinstance(posted, str) else posted)
        elif act == "ask" and name not in model.calls:
            hold = min(amount, max(0, left))
            model.post([posting.reserve(model.standing, name, hold, None, model.now, model.now)])
            model.calls[name] = (model.now, hold)
        elif act == "more" and name in model.calls:
            hold = min(amount, max(0, left))
            model.post([posting.reserve(model.standing, name, hold, None, model.now, since)])
            model.calls[name] = (since, held + hold)
        elif act == "less" and name in model.calls:
            model.post([posting.reduce(model.standing, name, min(amount, held), model.now, since)])
            model.calls[name] = (since, held - min(amount, held))
        elif act == "end" and name in model.calls:
            before, charge = model.standing, min(amount, held + length)
            posted = posting.debit(before, name, charge, held, None, 0, model.now, since)
            _in_order_of_use(before, posted, since)
            assert charge > held or posted[0][1].uncollected == 0, "what was reserved can be paid"
            del model.calls[name]
            model.post(posted)
            charged, uncollected = charged + charge, uncollected + posted[0][1].uncollected
        elif act == "void" and name in model.calls:
            del model.calls[name]
            model.post([posting.release(model.standing, name, held, None, model.now, since)])
        elif act == "wait":
            model.now += amount
        model.expire()
        model.check()
    given_in = sum(entry.amount for entry in model.entries if entry.kind is EntryKind.TOP_UP)
    expired = -sum(entry.amount for entry in model.entries if entry.kind is EntryKind.EXPIRE)
    collected = -sum(entry.amount for entry in model.entries if entry.kind is EntryKind.COLLECT)
    assert given_in - expired - collected - (charged - uncollected) == model.standing.balance


def _in_order_of_use(before: Standing, posted: list[posting.Posting], since: int) -> None:
    """A bucket is drawn on only where all before it are used up, the main balance only where every bucket is."""
    paid = {entry.bucket: -entry.amount for _, entry in posted}
    usable = [each for each in before.buckets if each.pays(since)]
    for place, each in enumerate(usable):
        if paid.get(each.id, 0) < each.amount:
            assert not any(paid.get(other.id, 0) for other in usable[place + 1 :])
            assert paid[""] <= 0
    assert not any(paid.get(each.id, 0) for each in before.buckets if not each.pays(since))


def corrected(standing: Standing, paid: int, parts: tuple[Bucket, ...], charge: int, now: int) -> list[posting.Posting]:
    """Return the postings of a charge taken back whole, and of a better one in its place."""
    refunded = posting.refund(standing, "g", paid, 0, now, parts)
    before = posting.Paid(paid, parts)
    return refunded + posting.debit(refunded[-1][0], "g", charge, 0, None, 0, now, 50, before)


def test_a_better_charge_is_paid_by_what_paid_the_call_before() -> None:
    """Money given since, to be used earlier, is not taken while what came back expires."""
    standing = filled((Bucket("since", priority=0), 100))
    posted = corrected(standing, 80, (PROMO._replace(amount=80),), 70, now=120)
    after = posting.expire(posted[-1][0], 120)[-1][0]
    assert amounts(after) == {"since": 100, "": 0}
    assert after.balance == 100
    dearer = corrected(standing, 80, (PROMO._replace(amount=80),), 95, now=120)[-1][0]
    assert amounts(posting.current(dearer, 120)) == {"since": 85, "": 0}


def test_a_better_charge_takes_no_money_that_another_call_has_reserved() -> None:
    standing, _ = posting.reserve(Standing(1, balance=100), "other", 90, None, 60)
    posted = corrected(standing, 20, (), 50, now=70)
    assert (posted[-1][0].balance, posted[-1][0].uncollected) == (90, 20)
    assert corrected(standing, 20, (), 15, now=70)[-1][0].balance == 105
    short, _ = posting.reserve(Standing(1, balance=100), "other", 120, None, 60)
    assert corrected(short, 20, (), 20, now=70)[-1][0] == short


def test_what_comes_back_has_the_terms_that_it_had() -> None:
    """Of the id of a bucket that has expired there is another now: that is not where given money comes to life."""
    again = Bucket("promo", BucketKind.MONEY, 0)
    standing = filled((again, 10))
    after = corrected(standing, 80, (PROMO._replace(amount=80),), 30, now=120)[-1][0]
    assert amounts(after) == {"promo": 10, "promo@promotional:100": 50, "": 0}
    assert amounts(posting.current(after, 120)) == {"promo": 10, "": 0}
    kept = posting.refund(standing, "g", 5, 0, 120, (again._replace(kind=BucketKind.PROMOTIONAL, amount=5),))[-1][0]
    assert amounts(kept) == {"promo": 10, "promo@promotional:never": 5, "": 0}


def test_what_comes_back_expired_is_not_the_main_balance_where_all_places_are_taken() -> None:
    standing = filled(*((Bucket(f"b{number}"), 1) for number in range(BUCKETS_MAX)))
    parts = (PROMO._replace(amount=8), SAVED._replace(amount=3))
    after = posting.current(posting.refund(standing, "g", 11, 0, 120, parts)[-1][0], 120)
    assert (len(after.buckets), after.main) == (BUCKETS_MAX, 3)


def test_an_empty_bucket_that_is_only_held_makes_room() -> None:
    full = tuple(Bucket(f"b{number}", expires_at=100, held=7) for number in range(BUCKETS_MAX - 1))
    after = granted((*full, Bucket("new")), SAVED, 120)
    assert {each.id for each in after if not isinstance(each, str)} == {
        *(each.id for each in full[1:]), "new", "saved",
    }  # fmt: skip


def test_neither_the_main_balance_nor_a_bucket_leaves_64_bits() -> None:
    """What a sum of both hides would come to light when a bucket expires, and nothing could be written then."""
    kind, said = EntryKind.ADJUST, {"key": "", "who": "w", "reason": "r"}
    standing = filled((PROMO, 50), main=20 - NANO_MAX)
    with pytest.raises(Overflow, match="a main balance"):
        posting.credit(standing, kind, -21, 10, **said)
    lowest = posting.credit(standing, kind, -20, 10, **said)[-1][0]
    assert lowest.main == -NANO_MAX
    assert posting.expire(lowest, 120)[-1][0].balance == -NANO_MAX
    with pytest.raises(Overflow, match="bucket promo"):
        given_to(lowest, PROMO, NANO_MAX - 49, 10)
    beyond = Standing(1, balance=-NANO_MAX, buckets=(PROMO._replace(amount=50),))  # as an older release let it be
    assert posting.credit(beyond, kind, 50, 10, **said)[-1][0].main == -NANO_MAX
    with pytest.raises(Overflow):
        posting.expire(beyond, 120)
    assert posting.current(beyond, 120).balance == -NANO_MAX - 50


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 200), st.integers(1, 50)), max_size=6), st.integers(0, 90))
def test_what_is_looked_at_is_what_expiry_leaves(given_money: list[tuple[int, int, int]], reserved: int) -> None:
    standing = Standing(1, balance=100)
    for place, (priority, expires_at, amount) in enumerate(given_money):
        standing = given_to(standing, Bucket(f"b{place}", priority=priority, expires_at=expires_at), amount)
    standing, _ = posting.reserve(standing, "g", reserved, None, 0)
    for now in (60, 150):
        posted = posting.expire(standing, now)
        left = posted[-1][0] if posted else standing
        assert posting.current(standing, now) == left
        standing = left
