"""Postpaid calls while the store cannot commit: granted from memory where the operator chose so, and journalled.

A grant is held against the standing that was last known, less what is granted meanwhile, within the credit limit;
there are ``GRANTS_MAX`` of ``SECONDS_MAX`` at most. Its line is on the disk before it is told. When the store is back
each is entered there by its grant id, once, before anything else is charged; then it is a call like any other.
A prepaid payer anywhere in the chain, a bundle or a tier (counted in the store alone) is refused.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from daemon.authorize.catalog import AccountKind, Catalog
from daemon.authorize.decide import decide
from daemon.authorize.decision import Granted
from daemon.authorize.quote import Limits, Quote
from daemon.charging import fraud, settle
from daemon.charging.call import Call, CallState
from daemon.charging.event import Decided, MessageKey
from daemon.charging.expiry import without_expired
from daemon.charging.joining import next_place
from daemon.charging.ports import Book, Exceptional, Message, Reads, Store, StoreError, StoreUnavailable
from daemon.kernel.ids import Direction
from daemon.kernel.instant import SECOND, Instant
from daemon.ledger import posting
from daemon.ledger.account import Standing

GRANTS_MAX = 1_000  # grants in the journal; an outage of minutes at a few new calls a second
SECONDS_MAX = 3_600  # seconds of one grant; with GRANTS_MAX at most 60,000 minutes are ever at risk
LEARNED_MAX = 10_000  # accounts and carriers whose standing is kept in memory; one query of some 50 ms
ANSWERED_MAX = 10_000  # answers kept in memory for repeats; more than come in the 40 s that senders repeat for
OF_CALL_KEPT = 60 * SECOND  # microseconds for which the answer to a call id stands; it may be another call's later
RETRY_SECONDS = 1.0  # seconds after a store that could not commit is tried again, for all that waits for it


@dataclass(frozen=True, slots=True)
class Journalled:
    """One grant as the journal keeps it, with the message and the bytes that answered it."""

    call: Call
    message: str
    body: bytes
    reply: bytes
    at: Instant


class GrantJournal(Protocol):
    """Keeps grants that were given without the store, on a disk of its own where the operator has one."""

    async def load(self) -> Sequence[Journalled]:
        """Return what it holds, oldest first. Raises StoreError where a line cannot be read."""

    async def append_grant(self, entry: Journalled) -> None:
        """Write one durably. Raises StoreUnavailable where that is not certain; then it is taken out again."""

    async def keep(self, entries: Sequence[Journalled]) -> None:
        """Hold these and no others, durably, all at once. Raises StoreUnavailable; then it is as before."""


class WithoutStore:
    """The memory of an outage. ``grants`` wait for the store, oldest first."""

    def __init__(self, journal: GrantJournal) -> None:
        """Bind the journal; reads nothing."""
        self._journal = journal
        self._standings: dict[int, Standing] = {}
        self._writing, self._draining = asyncio.Lock(), asyncio.Lock()
        self._failed_at = -RETRY_SECONDS
        self._answered: dict[str, Message] = {}  # oldest first
        self.grants: list[Journalled] = []

    async def load(self) -> None:
        """Read what an earlier life granted and could not enter. Raises StoreError where a line cannot be read."""
        self.grants = list(await self._journal.load())
        for entry in self.grants:
            if entry.message:
                self.remember(Message(entry.message, entry.body, entry.reply, entry.at, entry.call.grant_id))

    async def learn(self, store: Store, catalog: Catalog, now: Instant) -> None:
        """Note the standing of postpaid accounts and carriers while the store is there. Raises StoreError."""
        numbers = tuple(islice(_countable(catalog), LEARNED_MAX))
        learned = await store.transact(
            Reads(accounts=numbers),
            lambda book: {number: posting.current(book.standing(number), now) for number in numbers},
        )
        if not self.grants:  # what they hold is in no standing of the store yet
            self._standings = learned

    async def grant(
        self, quote: Quote, limits: Limits, message: MessageKey | None, made: Callable[[Granted], tuple[Call, bytes]],
        grant_id: str, now: Instant,
    ) -> Decided:  # fmt: skip
        """Return a grant that is on the disk. Raises StoreUnavailable where it may not, or cannot, be given."""
        async with self._writing:
            self._check(quote)
            bounded = replace(limits, slice_seconds=None, max_grant_seconds=min(limits.max_grant_seconds, SECONDS_MAX))
            decision = decide(quote, self._standings.__getitem__, bounded, now, grant_id)
            if not isinstance(decision, Granted):
                raise StoreUnavailable(f"the store cannot commit, and by what was last known: {decision.reason}")
            call, reply = made(decision)
            key, body = (message.key, message.body) if message is not None else ("", b"")
            entry = Journalled(call, key, body, reply, now)
            await self._journal.append_grant(entry)
            self._hold(call, now)
            self.grants.append(entry)
            if key:
                self.remember(Message(key, body, reply, now, call.grant_id))
            return Decided(decision, reply, call)

    def _check(self, quote: Quote) -> None:
        if any(account.kind is not AccountKind.POSTPAID for account in quote.chain):
            raise StoreUnavailable("the store cannot commit, and a prepaid account pays for this call")
        if quote.meters or any(number not in self._standings for number in quote.accounts):
            raise StoreUnavailable("the store cannot commit, and what the account has used is known to it alone")
        if len(self.grants) >= GRANTS_MAX:
            raise StoreUnavailable(f"the store cannot commit, and {GRANTS_MAX} grants wait for it, which is the limit")

    def _hold(self, call: Call, now: Instant) -> None:
        for level in call.levels:
            standing = self._standings[level.account].called(now // SECOND)
            self._standings[level.account] = fraud.holding(standing, level, level.reserved, now, calls=1)
        held = [(level.account, level.reserved, call.direction) for level in call.levels]
        if call.carrier is not None and call.carrier.account:
            held.append((call.carrier.account, 0, Direction.OUTBOUND))
        for number, amount, direction in held:
            standing = self._standings[number]
            self._standings[number], _ = posting.reserve(standing, call.grant_id, amount, direction, now)

    def remember(self, message: Message) -> None:
        """Keep an answer that the store has, for a repeat that comes when it cannot be asked."""
        self._answered.pop(message.key, None)
        self._answered[message.key] = message
        if len(self._answered) > ANSWERED_MAX:
            del self._answered[next(iter(self._answered))]

    def repeat(self, message: MessageKey | None, now: Instant) -> bytes | None:
        """Return the bytes that answered a message before; without the store it is never answered otherwise."""
        if message is None:
            return None
        found = self._answered.get(message.key)
        if found is None or found.body != message.body:
            return None
        return None if message.of_call and now - found.at > OF_CALL_KEPT else found.reply

    async def drain(self, store: Store, now: Instant) -> None:
        """Enter every grant that waits, oldest first. Raises StoreUnavailable while the store cannot commit."""
        if not self.grants:
            return
        async with self._draining:
            if asyncio.get_running_loop().time() - self._failed_at < RETRY_SECONDS:
                raise StoreUnavailable(f"the store cannot commit; {len(self.grants)} grants wait for it")
            try:
                await self._drain(store, now)
            except StoreError:
                self._failed_at = asyncio.get_running_loop().time()
                raise

    async def _drain(self, store: Store, now: Instant) -> None:
        waiting = tuple(self.grants)
        for entry in waiting:
            await _entered(store, entry, now)
        async with self._writing:
            rest = self.grants[len(waiting) :]  # granted while the others were entered
            await self._journal.keep(rest)
            self.grants = rest


def _countable(catalog: Catalog) -> Iterable[int]:
    for carriers in catalog.carriers.values():
        yield from (carrier.number for carrier in carriers)
    yield from catalog.postpaid()


async def _entered(store: Store, entry: Journalled, now: Instant) -> None:
    call = entry.call
    reads = Reads(
        accounts=call.accounts, calls=((call.id_domain, call.call_id),), grants=(call.grant_id,),
        messages=(entry.message,) if entry.message else (),
    )  # fmt: skip
    try:
        await store.transact(reads, without_expired(lambda book: _enter(book, entry, now), now))
    except StoreUnavailable:
        raise
    except (StoreError, ArithmeticError, AssertionError, KeyError) as error:
        reason = repr(error)
        await store.transact(Reads(), lambda book: book.append_exception(_refused(call, reason, now)))


def _enter(book: Book, entry: Journalled, now: Instant) -> None:
    """Reserve a journalled grant as it was told; one that is there already was entered by a life that then died."""
    call = entry.call
    if book.call(call.grant_id) is not None:
        return
    earlier = [found for found in book.calls(call.id_domain, call.call_id) if found.direction is call.direction]
    if earlier and earlier[-1].state is CallState.GRANTED and _is_replaced(earlier[-1], call):
        # Committed while the store failed, so that nobody was told of it.
        freed = settle.let_go(book, earlier.pop(), now).moved(CallState.VOIDED, ended_at=now)
        book.save_call(freed)
        earlier.append(freed)
    if earlier:
        number, part = next_place(earlier)
        call = call.changed(attempt=number, part=part)
    settle.hold(book, call, now)
    book.save_call(call)
    if entry.message:
        book.save_message(Message(entry.message, entry.body, entry.reply, entry.at, call.grant_id))


def _is_replaced(earlier: Call, call: Call) -> bool:
    return (earlier.tenant, earlier.payer) == (call.tenant, call.payer)


def _refused(call: Call, reason: str, now: Instant) -> Exceptional:
    detail = f"a grant of {call.granted_seconds} s to {call.payer} without the store cannot be entered: {reason}"
    return Exceptional(
        "journalled_grant", call.tenant, call.source, call.switch, call.call_id, detail, now,
        f"journalled_grant:{call.grant_id}",
    )  # fmt: skip
