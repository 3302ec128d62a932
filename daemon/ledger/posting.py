"""The entries that a call's life and a person's acts make; each returns the new standing and its entry.

Reserve, then resolve once: a debit posts the charge and lets go of all that the call held; a release lets go of it.
What a prepaid account cannot pay down to ``-credit_limit`` becomes an uncollected debt, part of the charge.
Money that arrives pays debts first. An expired reservation never prevents a later debit.
Each debit and refund is one entry of the main balance, with all that is let go of, and one more for each bucket.
"""

from typing import NamedTuple

from daemon.kernel.ids import Direction
from daemon.kernel.instant import Instant
from daemon.kernel.money import NANO_MAX
from daemon.ledger import bucket as pots
from daemon.ledger.account import Entry, EntryKind, Standing, entry_applied, is_spent
from daemon.ledger.bucket import Bucket, BucketKind, Buckets

Posting = tuple[Standing, Entry]


class Paid(NamedTuple):
    """What had been collected for a charge that was taken back: nano-units in all, and what buckets paid of them."""

    amount: int
    parts: Buckets = ()


CREDITS = (EntryKind.TOP_UP, EntryKind.VOUCHER, EntryKind.ADJUST)
RULE = "rule suspend_when_empty"  # who suspends and resumes an account whose money came to its end


def _channels(direction: Direction | None, count: int) -> tuple[int, int]:
    if direction is None:
        return 0, 0
    return (count, 0) if direction is Direction.INBOUND else (0, count)


def _pending(standing: Standing, entry: Entry, since: Instant | None) -> Posting:
    """Apply an entry of a call that was asked about at ``since``, by default now: it may hold what has expired."""
    if standing.buckets and entry.pending:
        since = entry.at if since is None else since
        standing = standing._replace(buckets=pots.held_more(standing.buckets, entry.pending, since))
    return entry_applied(standing, entry)


def reserve(
    standing: Standing, grant_id: str, amount: int, channel: Direction | None, now: Instant,
    since: Instant | None = None,
) -> Posting:  # fmt: skip
    """Hold ``amount`` nano-units and, where ``channel`` names a direction, one channel more for a call."""
    assert amount >= 0, amount
    channels_in, channels_out = _channels(channel, 1)
    entry = Entry(
        standing.account, EntryKind.RESERVE, now, grant_id,
        pending=amount, channels_in=channels_in, channels_out=channels_out,
    )  # fmt: skip
    return _pending(standing, entry, since)


def reduce(standing: Standing, grant_id: str, amount: int, now: Instant, since: Instant | None = None) -> Posting:
    """Let go of part of what a running call holds, after its switch has confirmed the shorter timer."""
    assert amount >= 0, amount
    return _pending(standing, Entry(standing.account, EntryKind.RELEASE, now, grant_id, pending=-amount), since)


def release(
    standing: Standing, grant_id: str, held: int, channel: Direction | None, now: Instant,
    since: Instant | None = None, *, expired: bool = False,
) -> Posting:  # fmt: skip
    """Void all that a call holds: never answered, or (``expired``) nobody reported its end."""
    channels_in, channels_out = _channels(channel, -1)
    kind = EntryKind.EXPIRE if expired else EntryKind.RELEASE
    entry = Entry(
        standing.account, kind, now, grant_id, pending=-held, channels_in=channels_in, channels_out=channels_out
    )
    return _pending(standing, entry, since)


def debit(
    standing: Standing,
    grant_id: str,
    charge: int,
    held: int,
    channel: Direction | None,
    credit_limit: int | None,
    now: Instant,
    since: Instant | None = None,
    before: Paid | None = None,
) -> list[Posting]:
    """Post a call's charge and let go of all that it held. ``credit_limit`` is None where credit is unlimited.

    The entries' ``-amount + uncollected`` is the charge: what could be paid, and the debt that is left. Buckets pay
    first, those that had not expired at ``since``, when the call was asked about (by default now). What 64 bits of
    balance cannot hold is uncollected too: a call that ran is charged whatever the account owes. A better charge of a
    call is paid by what paid ``before``, and came back, then in order; more than that it takes of free money alone.
    """
    assert charge >= 0, charge
    parts: Buckets = ()
    lowest = NANO_MAX if credit_limit is None else min(credit_limit, NANO_MAX)
    payable = max(0, min(charge, standing.balance + lowest))
    asked_at = now if since is None else since
    if standing.buckets:
        usable = sum(each.amount for each in standing.buckets if each.pays(asked_at))
        payable = max(0, min(charge, usable + standing.main + lowest))
    if before is not None:
        free = standing.balance + lowest - (standing.reserved - held)
        payable = min(payable, max(before.amount, free))
    if standing.buckets:
        back = () if before is None else tuple(pots.returning(standing.buckets, part) for part in before.parts)
        parts = pots.drawn(standing.buckets, payable, asked_at, back)
    channels_in, channels_out = _channels(channel, -1)
    entry = Entry(
        standing.account, EntryKind.DEBIT, now, grant_id,
        amount=pots.total(parts) - payable, pending=-held, uncollected=charge - payable,
        channels_in=channels_in, channels_out=channels_out,
    )  # fmt: skip
    posted = [_pending(standing, entry, since)]
    for part in parts:
        paying = Entry(standing.account, EntryKind.DEBIT, now, grant_id, amount=-part.amount, bucket=part.id)
        posted.append(entry_applied(posted[-1][0], paying))
    return posted


def paid_from(standing: Standing, posted: list[Posting]) -> Buckets:
    """Return the buckets that a debit drew on, each with what it paid and the terms that it had in the standing."""
    parts = []
    for _after, entry in posted:
        there = pots.found(standing.buckets, entry.bucket) if entry.bucket else None
        if there is not None:
            parts.append(there._replace(amount=-entry.amount, held=None))
    return tuple(parts)


def refund(
    standing: Standing, grant_id: str, paid: int, uncollected: int, now: Instant, parts: Buckets = ()
) -> list[Posting]:
    """Take a posted charge back whole, paid part and debt, before the right one is posted.

    What buckets paid (``parts``, of ``paid``) goes back to them, on the terms that it had: also to one that has expired
    meanwhile, or of whose id there is another now. What the right charge does not need of it is then taken by its
    expiry, on record. What has not expired, and has no room for its bucket any more, is the main balance's.
    """
    debt = min(uncollected, standing.uncollected)
    back = _fitting(standing.buckets, parts, now)
    amount = paid + uncollected - debt - pots.total(back)
    entry = Entry(standing.account, EntryKind.REFUND, now, grant_id, amount=amount, uncollected=-debt)
    posted = [entry_applied(standing, entry)]
    for part in back:
        after = posted[-1][0]
        returned = Entry(standing.account, EntryKind.REFUND, now, grant_id, amount=part.amount, bucket=part.id)
        posted.append(entry_applied(after._replace(buckets=_with(after.buckets, part, now)), returned))
    return posted


def _fitting(buckets: Buckets, parts: Buckets, now: Instant) -> Buckets:
    """Return the parts that come back to buckets which are there, or for which there is room.

    For one that has expired there is room always: with what it does not pay it is gone when the work is done.
    """
    back, room = [], pots.BUCKETS_MAX - len(buckets)
    for part in (pots.returning(buckets, part) for part in parts):
        is_there = pots.found(buckets, part.id) is not None
        if is_there or part.has_expired(now) or room > 0:
            back.append(part)
            room -= not is_there
    return tuple(back)


def _with(buckets: Buckets, part: Bucket, now: Instant) -> Buckets:
    """Return buckets with one for a part that comes back: one that expired meanwhile is held by nobody."""
    if pots.found(buckets, part.id) is not None:
        return buckets
    return pots.in_order((*buckets, part._replace(amount=0, held=0 if part.has_expired(now) else None)))


def expire(standing: Standing, now: Instant) -> list[Posting]:
    """Take what no call holds of each bucket that has expired; its expiry is an entry also where all of it is held."""
    posted: list[Posting] = []
    for part in pots.free_parts(standing.buckets, standing.reserved, now):
        closing = tuple(each._replace(held=part.held) if each.id == part.id else each for each in standing.buckets)
        entry = Entry(standing.account, EntryKind.EXPIRE, now, amount=-part.amount, bucket=part.id)
        standing, entry = entry_applied(standing._replace(buckets=closing), entry)
        posted.append((standing, entry))
    return posted


def current(standing: Standing, now: Instant) -> Standing:
    """Return a standing without what has expired and nobody holds, to be looked at: it fits whatever it adds up to."""
    parts = pots.free_parts(standing.buckets, standing.reserved, now)
    if not parts:
        return standing
    return standing._replace(balance=standing.balance - pots.total(parts), buckets=pots.closed(standing.buckets, parts))


def credit(
    standing: Standing, kind: EntryKind, amount: int, now: Instant, *, key: str, who: str, reason: str
) -> list[Posting]:
    """Add money (a top-up, a voucher, or an adjustment of either sign); a positive amount then pays debts first."""
    assert kind in CREDITS, kind
    entry = Entry(standing.account, kind, now, amount=amount, key=key, who=who, reason=reason)
    posted = [entry_applied(standing, entry)]
    return posted + _collected(posted[0][0], amount, now, who, reason, "")


def credit_bucket(
    standing: Standing, kind: EntryKind, amount: int, now: Instant, terms: Bucket, *, key: str, who: str, reason: str
) -> list[Posting] | str:  # fmt: skip
    """Add money to the bucket of some terms, or say why not; money that is given and not paid for pays no debts."""
    assert kind in CREDITS, kind
    buckets = pots.granted(standing.buckets, terms, now)
    if isinstance(buckets, str):
        return buckets
    there = pots.found(buckets, terms.id)
    assert there is not None, terms
    if there.amount + amount < 0:
        return f"bucket {terms.id} holds less than that: an adjustment leaves at least 0 in it"
    entry = Entry(standing.account, kind, now, amount=amount, key=key, who=who, reason=reason, bucket=terms.id)
    posted = [entry_applied(standing._replace(buckets=buckets), entry)]
    if terms.kind is not BucketKind.MONEY:
        return posted
    return posted + _collected(posted[0][0], amount, now, who, reason, terms.id)


def _collected(standing: Standing, amount: int, now: Instant, who: str, reason: str, bucket: str) -> list[Posting]:
    collectable = min(amount, standing.uncollected)
    if collectable <= 0:
        return []
    paying = Entry(
        standing.account, EntryKind.COLLECT, now, amount=-collectable, uncollected=-collectable,
        who=who, reason=reason, bucket=bucket,
    )  # fmt: skip
    return [entry_applied(standing, paying)]


def transferable(standing: Standing) -> int:
    """Return what an account may give away, in nano-units: money of its main balance that no call holds and no debt
    needs; neither credit nor what is in buckets.
    """
    return max(0, min(standing.main, standing.balance - standing.reserved - standing.uncollected))


def transfer(
    giver: Standing, taker: Standing, amount: int, now: Instant, *, reference: str, key: str, who: str, reason: str
) -> list[Posting] | str:  # fmt: skip
    """Move money from one account's main balance to another's, or say why not; money that arrives pays debts first.

    ``reference`` stands in both entries, ``key`` in the giver's.
    """
    assert amount > 0, amount
    assert giver.account != taker.account, giver
    if amount > transferable(giver):
        return "the money that can be given away does not suffice: credit, buckets and what calls hold stay"
    given = Entry(giver.account, EntryKind.TRANSFER, now, reference, amount=-amount, key=key, who=who, reason=reason)
    taken = Entry(taker.account, EntryKind.TRANSFER, now, reference, amount=amount, who=who, reason=reason)
    posted = [entry_applied(giver, given), entry_applied(taker, taken)]
    return posted + _collected(posted[1][0], amount, now, who, reason, "")


def asserted(standing: Standing, now: Instant, *, key: str, who: str, reason: str) -> Posting:
    """Put on record that a person says what the balance is; nothing moves."""
    entry = Entry(standing.account, EntryKind.BALANCE_ASSERTION, now, key=key, who=who, reason=reason)
    return entry_applied(standing, entry)


def marked(standing: Standing, credit_limit: int | None, now: Instant) -> list[Posting]:
    """Suspend an account whose settled money has reached ``-credit_limit``, or resume one that has money again.

    Nothing where it is so already. Without a limit (None: the rule is off, or does not know one) there is only resume.
    """
    spent = credit_limit is not None and is_spent(standing, credit_limit)
    if spent == bool(standing.suspended_at):
        return []
    kind = EntryKind.SUSPEND if spent else EntryKind.RESUME
    reason = "the balance has reached the credit limit" if spent else "there is money again"
    entry = Entry(standing.account, kind, now, who=RULE, reason=reason)
    return [entry_applied(standing._replace(suspended_at=now if spent else 0), entry)]
