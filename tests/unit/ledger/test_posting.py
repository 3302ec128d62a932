"""Entries and standings: what each posting adds, what it may never do, and that the sum of entries is the standing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.kernel.ids import Direction
from daemon.kernel.money import NANO, NANO_MAX
from daemon.ledger import posting
from daemon.ledger.account import Entry, EntryKind, Overflow, Standing, available, entry_applied, room

RICH = Standing(1, balance=10 * NANO)


def test_available_counts_what_is_pending_and_what_is_owed() -> None:
    standing = Standing(1, balance=10, reserved=3, uncollected=2)
    assert available(standing, 5) == 10
    assert available(standing, None) is None


@pytest.mark.parametrize(
    ("standing", "left"),
    [
        (Standing(1), NANO_MAX),
        (Standing(1, balance=5 - NANO_MAX), 5),
        (Standing(1, balance=5 - NANO_MAX, reserved=2, uncollected=1), 2),
        (Standing(1, balance=9, reserved=NANO_MAX - 4), 4),
        (Standing(1, balance=-NANO_MAX, uncollected=7), 0),
    ],
)
def test_the_room_of_the_ledger_ends_with_its_64_bits(standing: Standing, left: int) -> None:
    assert room(standing) == left


def test_a_reservation_holds_money_and_a_channel_together() -> None:
    standing, entry = posting.reserve(RICH, "g", 4 * NANO, Direction.INBOUND, 7)
    assert (standing.reserved, standing.channels_in, standing.channels) == (4 * NANO, 1, 1)
    assert (entry.kind, entry.at, entry.balance_after, entry.reserved_after) == (
        EntryKind.RESERVE,
        7,
        10 * NANO,
        4 * NANO,
    )
    more, _ = posting.reserve(standing, "g", NANO, None, 8)
    assert (more.reserved, more.channels) == (5 * NANO, 1)


def test_a_reduction_lets_go_of_money_alone() -> None:
    held, _ = posting.reserve(RICH, "g", 4 * NANO, Direction.OUTBOUND, 1)
    less, entry = posting.reduce(held, "g", NANO, 2)
    assert (less.reserved, less.channels_out) == (3 * NANO, 1)
    assert entry.kind is EntryKind.RELEASE


@pytest.mark.parametrize(("expired", "kind"), [(False, EntryKind.RELEASE), (True, EntryKind.EXPIRE)])
def test_a_release_lets_go_of_all(expired: bool, kind: EntryKind) -> None:
    held, _ = posting.reserve(RICH, "g", 4 * NANO, Direction.OUTBOUND, 1)
    free, entry = posting.release(held, "g", 4 * NANO, Direction.OUTBOUND, 2, expired=expired)
    assert free == RICH
    assert entry.kind is kind


@pytest.mark.parametrize(
    ("balance", "limit", "charge", "left", "debt"),
    [
        (10, 0, 4, 6, 0),
        (10, 0, 10, 0, 0),
        (10, 0, 11, 0, 1),
        (0, 5, 7, -5, 2),
        (-8, 5, 3, -8, 3),
        (0, None, 7, -7, 0),
        (5 - NANO_MAX, None, 8, -NANO_MAX, 3),
        (5 - NANO_MAX, 2 * NANO_MAX, 8, -NANO_MAX, 3),
    ],
)
def test_a_debit_pays_down_to_the_limit_and_the_rest_is_a_debt(
    balance: int, limit: int | None, charge: int, left: int, debt: int
) -> None:
    held, _ = posting.reserve(Standing(1, balance=balance), "g", 3, Direction.OUTBOUND, 1)
    ((after, entry),) = posting.debit(held, "g", charge, 3, Direction.OUTBOUND, limit, 2)
    assert (after.balance, after.uncollected, after.reserved, after.channels) == (left, debt, 0, 0)
    assert -entry.amount + entry.uncollected == charge


def test_a_refund_takes_back_what_was_paid_and_what_was_owed() -> None:
    ((charged, _),) = posting.debit(Standing(1, balance=5), "g", 8, 0, None, 0, 1)
    ((back, entry),) = posting.refund(charged, "g", 5, 3, 2)
    assert (back.balance, back.uncollected) == (5, 0)
    assert entry.kind is EntryKind.REFUND


def test_a_refund_of_a_debt_that_was_collected_meanwhile_gives_money_back() -> None:
    ((charged, _),) = posting.debit(Standing(1, balance=5), "g", 8, 0, None, 0, 1)
    paid = posting.credit(charged, EntryKind.TOP_UP, 10, 2, key="k", who="w", reason="r")[-1][0]
    ((back, _),) = posting.refund(paid, "g", 5, 3, 3)
    assert (back.balance, back.uncollected) == (15, 0)


def test_money_that_arrives_pays_debts_first() -> None:
    owing = Standing(1, balance=0, uncollected=4)
    topped, collected = posting.credit(owing, EntryKind.TOP_UP, 10, 1, key="k", who="w", reason="r")
    assert topped[1].amount == 10
    assert (collected[0].balance, collected[0].uncollected) == (6, 0)
    assert collected[1].kind is EntryKind.COLLECT


def test_taking_money_away_collects_nothing() -> None:
    postings = posting.credit(
        Standing(1, balance=9, uncollected=4), EntryKind.ADJUST, -5, 1, key="", who="w", reason=""
    )
    assert [after.balance for after, _ in postings] == [4]


def test_an_amount_beyond_64_bits_is_refused() -> None:
    full = Standing(1, balance=NANO_MAX)
    with pytest.raises(Overflow):
        entry_applied(full, Entry(1, EntryKind.TOP_UP, 1, amount=1))


@given(
    charges=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.booleans()), max_size=30),
    balance=st.integers(-100, 100),
    limit=st.one_of(st.none(), st.integers(0, 50)),
)
def test_the_standing_is_the_sum_of_its_entries(
    charges: list[tuple[int, int, bool]], balance: int, limit: int | None
) -> None:
    standing, entries = entry_applied(Standing(1), Entry(1, EntryKind.ADJUST, 0, amount=balance))
    kept = [entries]
    for held, charge, posts in charges:
        standing, entry = posting.reserve(standing, "g", held, Direction.OUTBOUND, 1)
        kept.append(entry)
        if posts:
            ((standing, entry),) = posting.debit(standing, "g", charge, held, Direction.OUTBOUND, limit, 2)
        else:
            standing, entry = posting.release(standing, "g", held, Direction.OUTBOUND, 2)
        kept.append(entry)
    assert standing.balance == sum(entry.amount for entry in kept)
    assert standing.uncollected == sum(entry.uncollected for entry in kept)
    assert (standing.reserved, standing.channels) == (0, 0)
    if limit is not None and balance >= -limit:
        assert standing.balance >= -limit
