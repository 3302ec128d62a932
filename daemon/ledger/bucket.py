"""Buckets: money of an account that is used in an order of its own, before the main balance, and may expire.

Lower priority first, then the earlier expiry, then the id; the main balance is what no bucket holds, and is used last.
A bucket that has expired is closing while calls that were asked about before its expiry hold reservations: those alone
may still draw on it, and what they do not hold is taken. ``held`` is what they have reserved, in all.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple

from daemon.kernel.instant import Instant

BUCKETS_MAX: Final = 16  # of one account: read and written whole with its standing, in one column
PRIORITY_MAX: Final = 1_000_000  # an ordinal that a person states


class BucketKind(Enum):
    """Whose the money is: paid for, or given; given money pays for calls and never a debt."""

    MONEY = "money"
    PROMOTIONAL = "promotional"


class Bucket(NamedTuple):
    """``amount`` in nano-units, never negative; ``expires_at`` in microseconds, None for never."""

    id: str
    kind: BucketKind = BucketKind.MONEY
    priority: int = 0
    expires_at: Instant | None = None
    amount: int = 0
    held: int | None = None  # None until it has expired

    def has_expired(self, now: Instant) -> bool:
        """Tell whether its expiry has come; one that is closing stays so, whatever the clock says."""
        return self.held is not None or (self.expires_at is not None and self.expires_at <= now)

    def pays(self, since: Instant) -> bool:
        """Tell whether a call that was asked about at ``since`` may draw on it."""
        return self.expires_at is None or self.expires_at > since

    @property
    def terms(self) -> tuple[BucketKind, int, Instant | None]:
        """What a person states of it."""
        return self.kind, self.priority, self.expires_at


Buckets = tuple[Bucket, ...]


def in_order(buckets: Iterable[Bucket]) -> Buckets:
    """Return buckets in the order in which they are used."""
    return tuple(
        sorted(buckets, key=lambda each: (each.priority, each.expires_at is None, each.expires_at or 0, each.id))
    )


def found(buckets: Buckets, name: str) -> Bucket | None:
    """Return the bucket of an id."""
    return next((each for each in buckets if each.id == name), None)


def total(buckets: Buckets) -> int:
    """Return what buckets hold in all."""
    return sum(each.amount for each in buckets)


def moved(buckets: Buckets, name: str, amount: int) -> Buckets:
    """Return buckets in which one holds so much more (less, where negative). Asserts that it is there and covers it."""
    after = tuple(each._replace(amount=each.amount + amount) if each.id == name else each for each in buckets)
    changed = found(after, name)
    assert changed is not None, (buckets, name)
    assert changed.amount >= 0, (buckets, name, amount)
    return kept(after)


def drawn(buckets: Buckets, amount: int, since: Instant, back: Buckets = ()) -> Buckets:
    """Return what a call asked about at ``since`` takes of each bucket, at most ``amount`` in all.

    First of what came ``back`` to its bucket for this very call, then in order.
    """
    takes = dict.fromkeys((each.id for each in buckets if each.pays(since)), 0)
    own = {part.id: part.amount for part in back}
    for shares in (own, None) if own else (None,):
        for each in buckets:
            if each.id in takes:
                left = each.amount - takes[each.id]
                part = min(left if shares is None else min(left, shares.get(each.id, 0)), amount)
                takes[each.id] += part
                amount -= part
    return tuple(each._replace(amount=takes[each.id], held=None) for each in buckets if takes.get(each.id))


def returning(buckets: Buckets, part: Bucket) -> Bucket:
    """Return a part that comes back to its bucket under the id that its bucket has now.

    One of its id that is of another kind, or expires at another time, is another bucket: beside that it has an id of
    its own, which nobody can state.
    """
    there = found(buckets, part.id)
    if there is None or (there.kind, there.expires_at) == (part.kind, part.expires_at):
        return part
    until = "never" if part.expires_at is None else part.expires_at
    return part._replace(id=f"{part.id}@{part.kind.value}:{until}")


def held_more(buckets: Buckets, pending: int, since: Instant) -> Buckets:
    """Return buckets after a call asked at ``since`` reserved so much more (less, where negative)."""
    after = (
        each._replace(held=max(0, each.held + pending)) if each.held is not None and each.pays(since) else each
        for each in buckets
    )  # fmt: skip
    return kept(after)


def kept(buckets: Iterable[Bucket]) -> Buckets:
    """Return buckets without those that have expired, are empty, and that nobody holds."""
    return tuple(each for each in buckets if each.amount or each.held != 0)


def free_parts(buckets: Buckets, reserved: int, now: Instant) -> Buckets:
    """Return what expiry takes of each bucket now: of one that was not closing yet also where that is nothing.

    Reservations hold buckets in the order in which they would be used.
    """
    parts, covered = [], 0
    for each in buckets:
        staying = each.amount
        if each.has_expired(now):
            held = reserved if each.held is None else each.held
            staying = min(each.amount, max(0, held - covered))
            if each.held is None or staying < each.amount:
                parts.append(each._replace(amount=each.amount - staying, held=held))
        covered += staying
    return tuple(parts)


def closed(buckets: Buckets, parts: Buckets) -> Buckets:
    """Return buckets without the parts that expiry takes of them."""
    taken = {part.id: part for part in parts}
    after = (
        each._replace(amount=each.amount - taken[each.id].amount, held=taken[each.id].held)
        if each.id in taken else each
        for each in buckets
    )  # fmt: skip
    return kept(after)


def granted(buckets: Buckets, terms: Bucket, now: Instant) -> Buckets | str:
    """Return buckets among which one of some terms is, or why there cannot be one; one that is there keeps its terms.

    An empty bucket makes room for another where all are taken, at first one that has expired: whatever a call holds of
    it, there is nothing in it.
    """
    there = found(buckets, terms.id)
    if terms.expires_at is not None and terms.expires_at <= now:
        return f"bucket {terms.id} would have expired already: state an expiry to come"
    if there is not None:
        if there.has_expired(now):
            return f"bucket {terms.id} has expired, and calls still hold money of it: name another"
        if there.terms != terms.terms:
            return f"bucket {terms.id} is there with other terms: state those, or name another"
        return buckets
    if len(buckets) >= BUCKETS_MAX:
        empty = min((each for each in buckets if not each.amount), key=lambda each: each.held is None, default=None)
        if empty is None:
            return f"the account has {BUCKETS_MAX} buckets, which is the limit: use one of them up, or use its id"
        buckets = tuple(each for each in buckets if each is not empty)
    return in_order((*buckets, terms._replace(amount=0, held=None)))


class Wanted(NamedTuple):
    """What a person states of the bucket that money is for; None is not stated: as it is, or the usual of a new one."""

    id: str
    kind: BucketKind | None = None
    priority: int | None = None
    expires_at: Instant | None = None


def met(buckets: Buckets, wanted: Wanted) -> Bucket:
    """Return the terms of a bucket: what is stated, and for the rest those that it has."""
    there = found(buckets, wanted.id) or Bucket(wanted.id)
    return Bucket(
        wanted.id,
        there.kind if wanted.kind is None else wanted.kind,
        there.priority if wanted.priority is None else wanted.priority,
        there.expires_at if wanted.expires_at is None else wanted.expires_at,
    )
