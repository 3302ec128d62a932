"""What has expired is gone before a transaction looks: a book in which buckets are closed as accounts are first read.
When all is done, an account whose settled money came to its end is suspended, and one that has some again is resumed.

When all is done, what calls have let go of meanwhile is taken too; in between, nothing is: a charge that is taken back
and posted anew in one transaction is paid by what paid it before. An account without buckets costs one comparison.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from daemon.authorize.catalog import Catalog
from daemon.charging.cdr import RatedCdr
from daemon.charging.ports import Book, Reads, Store, StoreError, StoreUnavailable
from daemon.kernel.instant import Instant
from daemon.ledger import posting
from daemon.ledger.account import Entry, Standing

T = TypeVar("T")
SWEEP_BATCH = 256  # accounts looked at in one round of expiry


class Expiring:
    """Implements ports.Book over another book: its standings hold nothing that has expired by ``now`` and is free."""

    def __init__(self, book: Book, now: Instant, catalog: Catalog | None = None) -> None:
        """Lie over a book; reads nothing. Without a catalog no account is suspended or resumed."""
        self._book, self._now, self._catalog = book, now, catalog
        self._seen: set[int] = set()
        self._paid: set[int] = set()  # accounts whose settled money moved
        self.meter, self.save_meter = book.meter, book.save_meter
        self.calls, self.call, self.aliased, self.save_call = book.calls, book.call, book.aliased, book.save_call
        self.message, self.save_message = book.message, book.save_message
        self.records = book.records
        self.written: list[RatedCdr] = []  # the records of this transaction
        self.append_exception, self.append_event, self.keep = book.append_exception, book.append_event, book.keep
        self.tally = book.tally

    def standing(self, account: int) -> Standing:
        """Return the standing of an account, after what had expired when it was first asked for. Raises KeyError."""
        standing = self._book.standing(account)
        if not standing.buckets or account in self._seen:
            return standing
        self._seen.add(account)
        return self._taken(standing)

    def post(self, posted: tuple[Standing, Entry]) -> None:
        """Write an entry and the standing after it."""
        entry = posted[1]
        if entry.amount or entry.uncollected:
            self._paid.add(entry.account)
        self._book.post(posted)

    def append_record(self, record: RatedCdr) -> None:
        """Write a record."""
        self.written.append(record)
        self._book.append_record(record)

    def _taken(self, standing: Standing) -> Standing:
        for posted in posting.expire(standing, self._now):
            self.post(posted)
            standing = posted[0]
        return standing

    def finish(self) -> None:
        """Take what has expired and is free by now of every account that has buckets and was read; then mark."""
        for account in sorted(self._seen):
            self._taken(self._book.standing(account))
        if self._catalog is None:
            return
        for account in sorted(self._paid):
            terms = self._catalog.by_number.get(account)
            if terms is not None:
                for posted in posting.marked(self._book.standing(account), terms.empty_limit, self._now):
                    self._book.post(posted)


class WithoutExpired(Generic[T]):
    """Work that sees no money that has expired by ``now``, and suspends accounts whose money it ends.

    ``written`` are the records of its last run: a store that has to run it again commits that one.
    """

    def __init__(self, work: Callable[[Book], T], now: Instant, catalog: Catalog | None) -> None:
        """Take the work; runs nothing."""
        self._work, self._now, self._catalog = work, now, catalog
        self.written: Sequence[RatedCdr] = ()

    def __call__(self, book: Book) -> T:
        expiring = Expiring(book, self._now, self._catalog)
        result = self._work(expiring)
        expiring.finish()
        self.written = expiring.written
        return result


def without_expired(work: Callable[[Book], T], now: Instant, catalog: Catalog | None = None) -> WithoutExpired[T]:
    """Return work that sees no money that has expired by ``now``, and suspends accounts whose money it ends."""
    return WithoutExpired(work, now, catalog)


async def swept(store: Store, now: Instant, catalog: Catalog | None = None) -> dict[int, str]:
    """Close the buckets that have expired of accounts that nobody asks about, some in a round. Raises StoreError.

    Each account is work of its own, which shares a commit with the others. Return those that could not be closed, by
    number, and why: they keep no other from being looked at.
    """
    numbers = await store.expired_accounts(now, SWEEP_BATCH)
    done = await asyncio.gather(*(_looked_at(store, number, now, catalog) for number in numbers))
    return {number: why for number, why in zip(numbers, done, strict=True) if why}


async def _looked_at(store: Store, number: int, now: Instant, catalog: Catalog | None) -> str:
    """Close what has expired of one account; return why that is impossible, empty where it was done."""
    look = without_expired(lambda book: book.standing(number), now, catalog)
    try:
        await store.transact(Reads(accounts=(number,)), look)
    except StoreUnavailable:
        raise
    except (StoreError, ArithmeticError, AssertionError, KeyError) as error:
        return repr(error)
    return ""
