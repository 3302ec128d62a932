"""What charging needs from the rest of the daemon, and nothing more: a store, a catalog, a clock, ids, a journal.

``transact`` runs a pure function on the working copies of one transaction and answers only after the commit.
Work that arrives together shares a commit; a function that raises is left out alone, and its caller gets the exception.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import msgspec

from daemon.authorize.attempt import CallAttempt
from daemon.authorize.catalog import Catalog
from daemon.authorize.decision import Decision
from daemon.authorize.quality import Tally
from daemon.charging.call import Call
from daemon.charging.cdr import RatedCdr
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant
from daemon.ledger.account import Entry, Standing
from daemon.rating.bundle import Meter

T = TypeVar("T")


class StoreError(Exception):
    """The store could not do its work; nothing of it was committed. ``transient``: trying again may succeed.

    ``faults`` are the reasons, one or several, for whoever shows each for itself; the text has them all.
    """

    transient = False

    def __init__(self, *faults: str) -> None:
        """Take the reasons."""
        super().__init__("; ".join(faults))
        self.faults = faults


class StoreUnavailable(StoreError):
    """The store cannot commit now: locked, full, gone, or its queue is full."""

    transient = True


class StoreConflict(StoreError):
    """The schema refused a row: what must be unique is there already. Nothing of the work was committed."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """An answered message: the digest of its body (16 octets) and the bytes that answered it.

    ``grant_id`` is the call that it was about, empty where there is none.
    """

    key: str
    body: bytes
    reply: bytes
    at: Instant
    grant_id: str = ""


class Exceptional(msgspec.Struct, frozen=True, gc=False):
    """Something that a person should look at: never silently free, never silently dropped."""

    kind: str  # unauthorised, no_account, conflict, duplicate_differs, end_unknown, unrated, ...
    tenant: str
    source: str
    switch: str
    call_id: str
    detail: str
    at: Instant
    key: str = ""  # where given, a second one with the same key is not listed again


class Event(NamedTuple):
    """What a rule saw of an account; ``act`` is what the rule asks for: warn, throttle, suspend."""

    at: Instant
    kind: str
    tenant: str
    account: str
    rule: str
    act: str
    call_id: str
    detail: str


class OpenSum(NamedTuple):
    """The open calls of one currency and direction: how many, the nano-units that their payers hold, the oldest."""

    currency: str
    direction: str
    calls: int
    reserved: int
    oldest: Instant


class StoreSums(NamedTuple):
    """What a store sums for its figures. ``exports``: when each tenant's last finished batch was cut, where one was."""

    open: tuple[OpenSum, ...]
    carrier_channels: int
    exports: tuple[tuple[str, Instant], ...]


class Reads(msgspec.Struct, frozen=True, gc=False):
    """What a transaction needs loaded: the union over a batch is one query for each table.

    Accounts and meters that a loaded call names are loaded with it.
    """

    accounts: tuple[int, ...] = ()
    calls: tuple[tuple[str, str], ...] = ()  # (id domain, call id): the newest CALLS_LOADED_MAX of each
    grants: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()  # (id domain, alias)
    messages: tuple[str, ...] = ()
    meters: tuple[tuple[int, str], ...] = ()  # (account, name)


CALLS_LOADED_MAX = 32  # calls of one call id; enough for every open part, and re-use seeks only the newest


class Book(Protocol):
    """The working copies of one transaction, as one ``decide`` sees them after those before it."""

    def standing(self, account: int) -> Standing:
        """Return the standing of an account that ``Reads`` named. Raises KeyError for any other."""

    def post(self, posting: tuple[Standing, Entry]) -> None:
        """Write an entry and the standing after it."""

    def keep(self, standing: Standing) -> None:
        """Keep a standing of which only what no entry counts is another: what fraud rules count."""

    def meter(self, account: int, name: str) -> Meter:
        """Return a meter that ``Reads`` named, empty where nothing was counted. Raises KeyError for any other."""

    def save_meter(self, meter: Meter) -> None:
        """Insert or replace a meter, by its account and name."""

    def calls(self, id_domain: str, call_id: str) -> Sequence[Call]:
        """Return the calls of a call id, oldest first."""

    def call(self, grant_id: str) -> Call | None:
        """Return the call of a grant."""

    def aliased(self, id_domain: str, alias: str) -> Call | None:
        """Return the newest call of an alias that no accounting has joined yet, or the newest that one has."""

    def save_call(self, call: Call) -> None:
        """Insert or replace a call, by its grant id."""

    def message(self, key: str) -> Message | None:
        """Return the answered message of a key."""

    def save_message(self, message: Message) -> None:
        """Keep an answered message, in the place of an earlier one of the same key."""

    def records(self, grant_id: str) -> Sequence[RatedCdr]:
        """Return the records of a call whose call or grant ``Reads`` named, in the order of their making."""

    def append_record(self, record: RatedCdr) -> None:
        """Write a rated record; its place in the store's order is its place in the export."""

    def append_exception(self, item: Exceptional) -> None:
        """Put something on the exception list."""

    def append_event(self, event: Event) -> None:
        """Keep what a rule saw."""

    def tally(self, tally: Tally) -> None:
        """Add to what is counted of a carrier in an hour; nothing of it is read here."""


class Store(Protocol):
    """The durable side of the ledger."""

    async def transact(self, reads: Reads, decide: Callable[[Book], T]) -> T:
        """Run ``decide`` in a transaction and return its value after the commit. Raises StoreError."""

    async def due_calls(self, now: Instant, limit: int) -> Sequence[Call]:
        """Return at most ``limit`` open calls whose ``due_at`` has come, earliest first."""

    async def open_calls(self) -> Sequence[Call]:
        """Return every open call, for recovery and for lists."""

    async def open_calls_of(self, accounts: Collection[int], limit: int) -> Sequence[Call]:
        """Return at most ``limit`` open calls that one of some accounts pays at any level, oldest first."""

    async def expired_accounts(self, now: Instant, limit: int) -> Sequence[int]:
        """Return at most ``limit`` accounts with a bucket whose expiry has come and has not been looked at."""

    async def archived_until(self) -> Instant:
        """Return the instant before which closed calls may have left the store for an archive, 0 where none has."""

    async def events_to_do(self, limit: int) -> Sequence[tuple[int, Event]]:
        """Return at most ``limit`` events, each with its number, for which nothing was done yet, oldest first."""

    async def do_event(self, number: int, event: Event) -> bool:
        """Put on record that an event was told, with the suspension that it asks for; tell whether nobody had."""

    async def adopted(self, grant_ids: Sequence[str]) -> None:
        """Note, for the report of recovery, that the switch still runs these calls."""


class SharedStore(Store, Protocol):
    """A store that several daemons may share, and on which they agree who does what one does alone."""

    async def claimed(self, names: Collection[str]) -> Collection[str]:
        """Return those of the names that this daemon serves, and no other on the same store. Raises StoreError.

        A name that is left out is given up; so are all when the daemon ends, however it does.
        """


class Directory(Protocol):
    """Gives the configuration in force."""

    def catalog(self) -> Catalog:
        """Return the catalog of the newest revision known."""


class Journal(Protocol):
    """Keeps what must not wait for the store: emergency calls."""

    async def append(self, record: dict[str, str]) -> None:
        """Write one record durably."""


class Watch(Protocol):
    """Is told what was decided, reported and charged, on every road, after its commit. It neither waits nor raises."""

    def decided(self, attempt: CallAttempt, decision: Decision, taken_us: int) -> None:
        """Take a question's decision and the microseconds that it took; a repeat of an answer is no decision."""

    def reported(self, road: str, lag_us: int) -> None:
        """Take how long after it happened an answer, a sign of life or an end was told; negative: a clock ahead."""

    def charged(self, record: RatedCdr) -> None:
        """Take what the payer of a call was charged, or what of it was taken back."""


@runtime_checkable
class RecordsActs(Protocol):
    """A store that keeps what a person did that is neither an object's change nor money."""

    async def record_act(self, kind: str, key: Key, act: str, detail: str, *, who: str, reason: str) -> None:
        """Put on record who did what, when and why. Raises StoreError."""


class Counters(Protocol):
    """Counts what an operator watches; an adapter names the counter and its labels, and knows no more of it."""

    def count(self, name: str, **labels: str) -> None:
        """Add one to a counter. Raises KeyError for a name or labels that were never declared."""


def _nothing() -> Instant:
    return 0


@dataclass(frozen=True, slots=True)
class Outside:
    """The impure things that charging is given: a clock in microseconds, and a source of unique grant ids.

    ``held_back`` tells how far the machine's clock stands behind that clock, in microseconds; negative: ahead of it.
    """

    now: Callable[[], Instant]
    new_id: Callable[[], str]
    held_back: Callable[[], Instant] = _nothing
