"""What has expired is gone before a transaction looks: a book in which buckets are closed as accounts are first read.

When all is done, what calls have let go of meanwhile is taken too; in between, nothing is: a charge that is taken back
and posted anew in one transaction is paid by what paid it before. An account without buckets costs one comparison.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from daemon.charging.ports import Book, Reads, Store
from daemon.kernel.instant import Instant
from daemon.ledger import posting
from daemon.ledger.account import Standing

T = TypeVar("T")
SWEEP_BATCH = 256  # accounts looked at in one round of expiry


class Expiring:
    """Implements ports.Book over another book: its standings hold nothing that has expired by ``now`` and is free."""

    def __init__(self, book: Book, now: Instant) -> None:
        """Lie over a book; reads nothing."""
        self._book, self._now = book, now
        self._seen: set[int] = set()
        self.post, self.meter, self.save_meter = book.post, book.meter, book.save_meter
        self.calls, self.call, self.aliased, self.save_call = book.calls, book.call, book.aliased, book.save_call
        self.message, self.save_message = book.message, book.save_message
        self.records, self.append_record = book.records, book.append_record
        self.append_exception, self.append_event, self.keep = book.append_exception, book.append_event, book.keep

    def standing(self, account: int) -> Standing:
        """Return the standing of an account, after what had expired when it was first asked for. Raises KeyError."""
        standing = self._book.standing(account)
        if not standing.buckets or account in self._seen:
            return standing
        self._seen.add(account)
        return self._taken(standing)

    def _taken(self, standing: Standing) -> Standing:
        for posted in posting.expire(standing, self._now):
            self._book.post(posted)
            standing = posted[0]
        return standing

    def finish(self) -> None:
        """Take what has expired and is free by now of every account that has buckets and was read."""
        for account in sorted(self._seen):
            self._taken(self._book.standing(account))


def without_expired(work: Callable[[Book], T], now: Instant) -> Callable[[Book], T]:
    """Return work that sees no money that has expired by ``now``."""

    def run(book: Book) -> T:
        expiring = Expiring(book, now)
        result = work(expiring)
        expiring.finish()
        return result

    return run


async def swept(store: Store, now: Instant) -> None:
    """Close the buckets that have expired of accounts that nobody asks about, some in a round. Raises StoreError."""
    numbers = tuple(await store.expired_accounts(now, SWEEP_BATCH))
    if numbers:
        await store.transact(Reads(accounts=numbers), without_expired(lambda book: _looked_at(book, numbers), now))


def _looked_at(book: Book, numbers: Iterable[int]) -> None:
    for number in numbers:
        book.standing(number)
