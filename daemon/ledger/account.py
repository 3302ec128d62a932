"""An account's standing and the immutable entries that made it.

``available = balance + credit_limit - reserved - uncollected``; pending money counts,
so two calls never spend one euro.
A standing is the sum of its entries, field by field, always: ``db check`` adds them up and names what differs.
Channels are a unit of the same ledger: an entry moves money and channels together, so that
neither is held without the other.
A carrier has a standing too; it holds channels and no money. A bucket is the sum of the entries that name it.
"""

from enum import Enum
from typing import NamedTuple

from daemon.kernel.instant import Instant
from daemon.kernel.money import NANO_MAX
from daemon.ledger.bucket import Buckets, moved, total
from daemon.ledger.window import Windows


class EntryKind(Enum):
    """Why an entry was made. A RESERVE is resolved once, by one later DEBIT, RELEASE or EXPIRE of the same call."""

    RESERVE = "reserve"
    DEBIT = "debit"
    RELEASE = "release"
    EXPIRE = "expire"
    REFUND = "refund"
    TOP_UP = "top_up"
    ADJUST = "adjust"
    COLLECT = "collect"  # money that arrived pays an uncollected debt
    VOUCHER = "voucher"  # a top-up that was paid for by a voucher
    TRANSFER = "transfer"  # from one account to another: an entry of each
    BALANCE_ASSERTION = "balance_assertion"  # moves nothing: what a person says that the balance was
    SUSPEND = "suspend"  # moves nothing: the money has come to its end, which stops outbound calls
    RESUME = "resume"  # moves nothing: there is money again


SKEW_SECONDS_MAX = 5  # seconds by which the clocks of daemons on one store may differ; more, and a clock was mended


class Standing(NamedTuple):
    """One account as a transaction sees it. Money in nano-units of the account's currency, channels in calls."""

    account: int  # the store's number of the account
    balance: int = 0  # credits minus debits, buckets contained
    reserved: int = 0  # pending, of calls that run or ring
    uncollected: int = 0  # charged, and not covered by the balance: a debt
    channels_in: int = 0
    channels_out: int = 0
    day: int = 0  # ordinal of the local day that day_spent belongs to
    day_spent: int = 0  # debits posted on that day
    month: int = 0  # number of the local month that month_spent belongs to
    month_spent: int = 0  # debits posted in that month
    second: int = 0  # the Unix second that second_calls belongs to
    second_calls: int = 0  # calls granted in that second
    suspended_at: Instant = 0  # since when its money has been at its end, by an entry; 0: it is not
    buckets: Buckets = ()  # in the order of use
    windows: Windows = ()  # what fraud rules count

    def calls_in(self, second: int) -> int:
        """Return the calls granted in a Unix second, or in the one counted now where another's clock is ahead."""
        return self.second_calls if 0 <= self.second - second <= SKEW_SECONDS_MAX else 0

    def called(self, second: int) -> "Standing":
        """Return the standing with one call more; a clock that is behind does not begin an earlier second anew."""
        calls = self.calls_in(second)
        return self._replace(second=max(second, self.second) if calls else second, second_calls=calls + 1)

    @property
    def channels(self) -> int:
        """Channels in use, both directions."""
        return self.channels_in + self.channels_out

    @property
    def main(self) -> int:
        """The main balance: what no bucket holds. It alone can be negative."""
        return self.balance - total(self.buckets)


class Entry(NamedTuple):
    """One immutable line of the ledger: what it adds to each field of the standing, and the standing after it."""

    account: int
    kind: EntryKind
    at: Instant
    grant_id: str = ""  # the call, or empty
    amount: int = 0  # added to the balance
    pending: int = 0  # added to reserved
    uncollected: int = 0  # added to uncollected
    channels_in: int = 0
    channels_out: int = 0
    balance_after: int = 0
    reserved_after: int = 0
    key: str = ""  # idempotency key of a top-up or adjustment
    who: str = ""
    reason: str = ""
    bucket: str = ""  # whose amount it is; empty: the main balance's


class Overflow(ArithmeticError):
    """An amount that the ledger's 64-bit integers cannot hold; nothing was changed."""


def available(standing: Standing, credit_limit: int | None) -> int | None:
    """Return what a new call may reserve, in nano-units; None where the credit is unlimited."""
    if credit_limit is None:
        return None
    return standing.balance + credit_limit - standing.reserved - standing.uncollected


def is_spent(standing: Standing, credit_limit: int) -> bool:
    """Tell whether what was settled leaves nothing. What calls hold is not asked: it may come back."""
    return standing.balance + credit_limit - standing.uncollected <= 0


def room(standing: Standing) -> int:
    """Return the nano-units that may still be reserved and debited before the ledger's 64 bits end, however much
    credit there is; not below 0.
    """
    held = standing.reserved + standing.uncollected
    return max(0, min(NANO_MAX + standing.balance - held, NANO_MAX - standing.reserved))


def entry_applied(standing: Standing, entry: Entry) -> tuple[Standing, Entry]:
    """Return the standing after an entry, and the entry with the balances that it left.

    Raises Overflow where a sum would leave 64 bits, be it that of the main balance or of one bucket: then whatever
    expires, the balance that is left fits too. Reserved money, debts, channels and buckets never are negative.
    """
    assert standing.account == entry.account, (standing.account, entry.account)
    after = Standing(  # by place, in half the time of ``_replace``: every reservation and charge passes here
        standing.account,
        standing.balance + entry.amount,
        standing.reserved + entry.pending,
        standing.uncollected + entry.uncollected,
        standing.channels_in + entry.channels_in,
        standing.channels_out + entry.channels_out,
        *standing[6:],
    )
    if entry.bucket:
        after = after._replace(buckets=moved(after.buckets, entry.bucket, entry.amount))
    if after.buckets:
        _refuse_beyond(standing, after, entry)
    if abs(after.balance) > NANO_MAX or after.reserved > NANO_MAX or after.uncollected > NANO_MAX:
        raise Overflow(f"account {standing.account}: an amount beyond 64 bits of nano-units")
    assert after.reserved >= 0, (standing, entry)
    assert after.uncollected >= 0, (standing, entry)
    assert after.channels_in >= 0, (standing, entry)
    assert after.channels_out >= 0, (standing, entry)
    return after, Entry(*entry[:9], after.balance, after.reserved, *entry[11:])


def _refuse_beyond(standing: Standing, after: Standing, entry: Entry) -> None:
    """Raise Overflow for the step that takes the main balance, or the entry's bucket, beyond 64 bits or further so."""
    main = abs(after.main)
    if main > NANO_MAX and main > abs(standing.main):
        raise Overflow(f"account {standing.account}: a main balance beyond 64 bits of nano-units")
    if entry.amount > 0 and any(each.amount > NANO_MAX for each in after.buckets if each.id == entry.bucket):
        raise Overflow(f"account {standing.account}: bucket {entry.bucket} beyond 64 bits of nano-units")
