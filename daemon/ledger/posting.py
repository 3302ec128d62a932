"""The entries that a call's life and a person's acts make; each returns the new standing and its entry.

Reserve, then resolve once: a debit posts the charge and lets go of all that the call held; a release lets go of it.
What a prepaid account cannot pay down to ``-credit_limit`` becomes an uncollected debt, part of the charge.
Money that arrives pays debts first. An expired reservation never prevents a later debit.
"""

from daemon.kernel.ids import Direction
from daemon.kernel.instant import Instant
from daemon.kernel.money import NANO_MAX
from daemon.ledger.account import Entry, EntryKind, Standing, entry_applied

Posting = tuple[Standing, Entry]


def _channels(direction: Direction | None, count: int) -> tuple[int, int]:
    if direction is None:
        return 0, 0
    return (count, 0) if direction is Direction.INBOUND else (0, count)


def reserve(standing: Standing, grant_id: str, amount: int, channel: Direction | None, now: Instant) -> Posting:
    """Hold ``amount`` nano-units and, where ``channel`` names a direction, one channel more for a call."""
    assert amount >= 0, amount
    channels_in, channels_out = _channels(channel, 1)
    entry = Entry(
        standing.account, EntryKind.RESERVE, now, grant_id,
        pending=amount, channels_in=channels_in, channels_out=channels_out,
    )  # fmt: skip
    return entry_applied(standing, entry)


def reduce(standing: Standing, grant_id: str, amount: int, now: Instant) -> Posting:
    """Let go of part of what a running call holds, after its switch has confirmed the shorter timer."""
    assert amount >= 0, amount
    return entry_applied(standing, Entry(standing.account, EntryKind.RELEASE, now, grant_id, pending=-amount))


def release(
    standing: Standing, grant_id: str, held: int, channel: Direction | None, now: Instant, *, expired: bool = False
) -> Posting:
    """Void all that a call holds: never answered, or (``expired``) nobody reported its end."""
    channels_in, channels_out = _channels(channel, -1)
    kind = EntryKind.EXPIRE if expired else EntryKind.RELEASE
    entry = Entry(
        standing.account, kind, now, grant_id, pending=-held, channels_in=channels_in, channels_out=channels_out
    )
    return entry_applied(standing, entry)


def debit(
    standing: Standing,
    grant_id: str,
    charge: int,
    held: int,
    channel: Direction | None,
    credit_limit: int | None,
    now: Instant,
) -> Posting:
    """Post a call's charge and let go of all that it held. ``credit_limit`` is None where credit is unlimited.

    What 64 bits of balance cannot hold is uncollected too: a call that ran is charged whatever the account owes.
    The entry's ``-amount + uncollected`` is the charge: what could be paid, and the debt that is left.
    """
    assert charge >= 0, charge
    lowest = NANO_MAX if credit_limit is None else min(credit_limit, NANO_MAX)
    payable = max(0, min(charge, standing.balance + lowest))
    channels_in, channels_out = _channels(channel, -1)
    entry = Entry(
        standing.account, EntryKind.DEBIT, now, grant_id,
        amount=-payable, pending=-held, uncollected=charge - payable,
        channels_in=channels_in, channels_out=channels_out,
    )  # fmt: skip
    return entry_applied(standing, entry)


def refund(standing: Standing, grant_id: str, paid: int, uncollected: int, now: Instant) -> Posting:
    """Take a posted charge back whole, paid part and debt, before the right one is posted."""
    debt = min(uncollected, standing.uncollected)
    entry = Entry(
        standing.account, EntryKind.REFUND, now, grant_id, amount=paid + uncollected - debt, uncollected=-debt
    )
    return entry_applied(standing, entry)


def credit(
    standing: Standing, kind: EntryKind, amount: int, now: Instant, *, key: str, who: str, reason: str
) -> list[Posting]:
    """Add money (a top-up, or an adjustment of either sign); a positive amount then pays debts first."""
    assert kind in (EntryKind.TOP_UP, EntryKind.ADJUST), kind
    posted = [
        entry_applied(standing, Entry(standing.account, kind, now, amount=amount, key=key, who=who, reason=reason))
    ]
    collectable = min(amount, standing.uncollected)
    if collectable > 0:
        paying = Entry(
            standing.account, EntryKind.COLLECT, now, amount=-collectable, uncollected=-collectable,
            who=who, reason=reason,
        )  # fmt: skip
        posted.append(entry_applied(posted[0][0], paying))
    return posted
