"""A store in memory for tests of the pure use cases: the port's own promises, no durability, one transaction at a time.

A ``decide`` that raises leaves nothing behind. What a transaction may read is checked against what it asked for, so
that a use case cannot pass here and miss its accounts in the real store.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from daemon.authorize.duration import held_for
from daemon.authorize.quality import Tally
from daemon.charging.call import Call
from daemon.charging.cdr import RatedCdr
from daemon.charging.ports import Event, Exceptional, Message, OpenSum, Reads, StoreSums
from daemon.kernel.instant import Instant
from daemon.ledger.account import Entry, Standing
from daemon.ledger.bucket import found
from daemon.rating.bundle import Meter

T = TypeVar("T")


@dataclass
class MemoryBook:
    """The working copy of one transaction."""

    standings: dict[int, Standing]
    saved: dict[str, Call]
    messages: dict[str, Message]
    written: list[RatedCdr]
    exceptions: list[Exceptional]
    events: list[Event]
    entries: list[Entry]
    readable: set[int]
    meters: dict[tuple[int, str], Meter]
    countable: set[tuple[int, str]]
    tallies: list[Tally]

    def standing(self, account: int) -> Standing:
        if account not in self.readable:
            raise KeyError(account)
        return self.standings.get(account, Standing(account))

    def post(self, posting: tuple[Standing, Entry]) -> None:
        standing, entry = posting
        self.standings[standing.account] = standing
        self.entries.append(entry)

    def keep(self, standing: Standing) -> None:
        self.standings[standing.account] = standing

    def append_event(self, event: Event) -> None:
        self.events.append(event)

    def tally(self, tally: Tally) -> None:
        self.tallies.append(tally)

    def meter(self, account: int, name: str) -> Meter:
        if (account, name) not in self.countable:
            raise KeyError(account, name)
        return self.meters.get((account, name), Meter(account, name))

    def save_meter(self, meter: Meter) -> None:
        self.meters[meter.account, meter.name] = meter

    def calls(self, id_domain: str, call_id: str) -> Sequence[Call]:
        return [call for call in self.saved.values() if (call.id_domain, call.call_id) == (id_domain, call_id)]

    def call(self, grant_id: str) -> Call | None:
        return self.saved.get(grant_id)

    def aliased(self, id_domain: str, alias: str) -> Call | None:
        found = [call for call in self.saved.values() if call.id_domain == id_domain and alias in call.aliases]
        fresh = [call for call in found if not call.joined]
        return (fresh or found)[-1] if found else None

    def save_call(self, call: Call) -> None:
        self.saved[call.grant_id] = call

    def message(self, key: str) -> Message | None:
        return self.messages.get(key)

    def save_message(self, message: Message) -> None:
        self.messages[message.key] = message

    def records(self, grant_id: str) -> Sequence[RatedCdr]:
        return [record for record in self.written if record.grant_id == grant_id]

    def append_record(self, record: RatedCdr) -> None:
        self.written.append(record)

    def append_exception(self, item: Exceptional) -> None:
        if not item.key or all(item.key != known.key for known in self.exceptions):
            self.exceptions.append(item)


@dataclass
class MemoryStore:
    """Implements charging.ports.Store; ``key_clashes`` is asserted after each transaction."""

    standings: dict[int, Standing] = field(default_factory=dict)
    saved: dict[str, Call] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    written: list[RatedCdr] = field(default_factory=list)
    exceptions: list[Exceptional] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    told: int = 0
    entries: list[Entry] = field(default_factory=list)
    meters: dict[tuple[int, str], Meter] = field(default_factory=dict)
    archived: Instant = 0
    tallies: list[Tally] = field(default_factory=list)

    async def transact(self, reads: Reads, decide: Callable[[MemoryBook], T]) -> T:
        book = MemoryBook(
            dict(self.standings), dict(self.saved), dict(self.messages), list(self.written), list(self.exceptions),
            list(self.events), list(self.entries), self._readable(reads), dict(self.meters), self._countable(reads),
            list(self.tallies),
        )  # fmt: skip
        result = decide(book)
        before, known = len(self.entries), self.saved
        self.standings, self.saved, self.messages = book.standings, book.saved, book.messages
        self.written, self.exceptions, self.entries = book.written, book.exceptions, book.entries
        self.meters, self.events, self.tallies = book.meters, book.events, book.tallies
        self._check()
        touched = {entry.grant_id for entry in self.entries[before:]}
        touched |= {call.grant_id for call in self.saved.values() if known.get(call.grant_id) is not call}
        for grant_id in touched & self.saved.keys():
            self._check_call(self.saved[grant_id])
        return result

    def _check_call(self, call: Call) -> None:
        """The sum of a call's entries is ``charge`` of all seconds granted while it is open, and what it cost after."""
        for place, level in enumerate(call.levels):
            mine = [each for each in self.entries if (each.grant_id, each.account) == (call.grant_id, level.account)]
            assert sum(entry.pending for entry in mine) == (level.reserved if call.is_open else 0), (call, mine)
            channels = sum(entry.channels_in + entry.channels_out for entry in mine)
            assert channels == int(call.is_open), (call, mine)
            charged = call.posted[place].charge if call.posted else 0
            assert sum(entry.uncollected - entry.amount for entry in mine) == charged, (call, mine)
            if call.is_open and not call.emergency:
                kinds = {bundle.meter: bundle for bundle in level.bundles}
                paid = sum(kinds[units.meter].covers(units.units) for units in level.units)
                assert level.reserved == held_for(level, call.granted_seconds, paid), (call, level)

    def _readable(self, reads: Reads) -> set[int]:
        loaded = [call for call in self.saved.values() if self._named(call, reads)]
        return set(reads.accounts) | {number for call in loaded for number in call.accounts}

    def _countable(self, reads: Reads) -> set[tuple[int, str]]:
        loaded = [call for call in self.saved.values() if self._named(call, reads)]
        return set(reads.meters) | {meter for call in loaded for meter in call.meters}

    def _named(self, call: Call, reads: Reads) -> bool:
        by_alias = any((call.id_domain, alias) in reads.aliases for alias in call.aliases)
        return (call.id_domain, call.call_id) in reads.calls or call.grant_id in reads.grants or by_alias

    def _check(self) -> None:
        keys = [
            (call.id_domain, call.call_id, call.attempt, call.part, call.payer, call.direction)
            for call in self.saved.values()
        ]
        assert len(keys) == len(set(keys)), "two calls of one charge key"
        for number, standing in self.standings.items():
            _summed(standing, [entry for entry in self.entries if entry.account == number])
            held = sum(
                level.reserved
                for call in self.saved.values()
                if call.is_open
                for level in call.levels
                if level.account == number
            )
            assert standing.reserved == held, (standing, held)
        for meter in self.meters.values():
            _counted(meter, self.saved.values(), self.written)

    async def sums(self) -> StoreSums:
        found = await self.open_calls()
        kinds = sorted({(call.levels[0].currency, call.direction.value) for call in found})
        return StoreSums(tuple(_summed_of(found, *kind) for kind in kinds), 0, ())

    async def due_calls(self, now: Instant, limit: int) -> Sequence[Call]:
        due = [call for call in self.saved.values() if call.is_open and call.due_at <= now]
        return sorted(due, key=lambda call: call.due_at)[:limit]

    async def expired_accounts(self, now: Instant, limit: int) -> Sequence[int]:
        due = [
            number
            for number, standing in self.standings.items()
            if any(each.held is None and each.has_expired(now) for each in standing.buckets)
        ]
        return due[:limit]

    async def events_to_do(self, limit: int) -> Sequence[tuple[int, Event]]:
        return list(enumerate(self.events))[self.told :][:limit]

    async def do_event(self, number: int, event: Event) -> bool:
        del event
        is_first = number >= self.told
        self.told = max(self.told, number + 1)
        return is_first

    async def adopted(self, grant_ids: Sequence[str]) -> None:
        del grant_ids

    async def open_calls(self) -> Sequence[Call]:
        return [call for call in self.saved.values() if call.is_open]

    async def open_calls_of(self, accounts: Collection[int], limit: int) -> Sequence[Call]:
        found = [call for call in self.saved.values() if call.is_open]
        return [call for call in found if any(level.account in accounts for level in call.levels)][:limit]

    async def archived_until(self) -> Instant:
        return self.archived


def _counted(meter: Meter, calls: Iterable[Call], records: Iterable[RatedCdr]) -> None:
    holds = [
        units
        for call in calls
        if call.is_open
        for level in call.levels
        if level.account == meter.account
        for units in level.units
    ]
    used = [units for record in records if record.account_number == meter.account for units in record.metered]
    place = (meter.name, meter.period)
    assert meter.held == sum(units.units for units in holds if (units.meter, units.period) == place), meter
    assert meter.used == sum(units.units for units in used if (units.meter, units.period) == place), meter


def _summed(standing: Standing, entries: Iterable[Entry]) -> None:
    listed = list(entries)
    assert standing.balance == sum(entry.amount for entry in listed), standing
    assert standing.reserved == sum(entry.pending for entry in listed), standing
    assert standing.uncollected == sum(entry.uncollected for entry in listed), standing
    assert standing.channels_in == sum(entry.channels_in for entry in listed), standing
    assert standing.channels_out == sum(entry.channels_out for entry in listed), standing
    named = {entry.bucket for entry in listed if entry.bucket} | {each.id for each in standing.buckets}
    for name in named:
        there = found(standing.buckets, name)
        amount = there.amount if there is not None else 0
        assert amount == sum(entry.amount for entry in listed if entry.bucket == name), (standing, name)


def _summed_of(calls: Iterable[Call], currency: str, direction: str) -> OpenSum:
    mine = [call for call in calls if (call.levels[0].currency, call.direction.value) == (currency, direction)]
    held = sum(call.levels[0].reserved for call in mine)
    return OpenSum(currency, direction, len(mine), held, min(call.requested_at for call in mine))
