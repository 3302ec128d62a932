"""The working copies of one batch, and the overlay on which one function of it works.

A function sees what those before it did. What it does itself is laid over the batch's copies and becomes part of the
batch only when the function returns: one that raises leaves no trace. It may read only what its ``Reads`` named;
anything else is a KeyError, because whether it happened to be loaded would depend on who shares the batch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from daemon.authorize.quality import Tally, added
from daemon.charging.call import Call
from daemon.charging.cdr import RatedCdr
from daemon.charging.ports import Event, Exceptional, Message, Reads
from daemon.ledger.account import Entry, Standing
from daemon.rating.bundle import Meter

KEY_LENGTH_MAX = 1_024  # characters of a message key; the longest that a road makes is a tenth of it
REPLY_SIZE_MAX = 1 << 16  # octets of a kept reply; a UDP datagram holds no more
CallKey = tuple[str, str]  # id domain and call id, or id domain and alias
MeterKey = tuple[int, str]  # account and name
TallyKey = tuple[int, str, int]  # carrier, group and hour
_charged_as = attrgetter("id_domain", "call_id", "direction", "attempt", "part")  # the charge key, but its payer


@dataclass(slots=True)
class Working:
    """What a batch loaded, as its functions have changed it so far, and what has to be written."""

    standings: dict[int, Standing] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)  # by grant id, oldest first
    by_call: dict[CallKey, list[str]] = field(default_factory=dict)  # grant ids, oldest first
    by_alias: dict[CallKey, list[str]] = field(default_factory=dict)  # grant ids, oldest first
    messages: dict[str, Message] = field(default_factory=dict)
    meters: dict[MeterKey, Meter] = field(default_factory=dict)
    records: dict[str, list[RatedCdr]] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)
    counted: set[MeterKey] = field(default_factory=set)
    saved: dict[str, Call] = field(default_factory=dict)
    placed: set[str] = field(default_factory=set)  # grant ids of saved calls that are new, or have another charge key
    new_aliases: list[tuple[str, str, str]] = field(default_factory=list)  # id domain, alias, grant id
    answered: dict[str, Message] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    appended: list[RatedCdr] = field(default_factory=list)
    exceptions: list[Exceptional] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    tallies: dict[TallyKey, Tally] = field(default_factory=dict)  # what is to be added
    stored: set[str] = field(default_factory=set)  # grant ids of calls that have a row, whatever becomes of it
    unanswered: set[str] = field(default_factory=set)  # keys of messages that surely have none

    def add_loaded(self, calls: Iterable[Call]) -> None:
        """Take loaded calls, oldest first."""
        for call in calls:
            if call.grant_id not in self.calls:
                self.calls[call.grant_id] = call
                self.stored.add(call.grant_id)
                self.by_call.setdefault((call.id_domain, call.call_id), []).append(call.grant_id)
                for alias in call.aliases:
                    self.by_alias.setdefault((call.id_domain, alias), []).append(call.grant_id)

    def put(self, call: Call) -> None:
        """Take a saved call: new, changed, or under another call id than before."""
        grant_id = call.grant_id
        earlier = self.calls.get(grant_id)
        self.calls[grant_id] = self.saved[grant_id] = call
        if earlier is None or _charged_as(earlier) != _charged_as(call) or _payer(earlier) != _payer(call):
            self.placed.add(grant_id)
            found = self.by_call.setdefault((call.id_domain, call.call_id), [])
            if grant_id not in found:
                found.append(grant_id)
        if not call.aliases:
            return
        known = earlier.aliases if earlier is not None and earlier.id_domain == call.id_domain else ()
        for alias in call.aliases:
            if alias not in known:
                self.by_alias.setdefault((call.id_domain, alias), []).append(grant_id)
                self.new_aliases.append((call.id_domain, alias, grant_id))

    @property
    def is_changed(self) -> bool:
        """Tell whether anything has to be written."""
        written = (self.entries, self.saved, self.answered, self.appended, self.exceptions, self.touched, self.counted)
        return any(written) or bool(self.events) or bool(self.tallies)


def _payer(call: Call) -> int:
    return call.levels[0].account


class Overlay:
    """Implements charging.ports.Book for one function; ``merge`` makes what it did part of the batch."""

    __slots__ = (
        "_calls", "_entries", "_events", "_exceptions", "_messages", "_meters", "_reads", "_records", "_standings",
        "_tallies", "_under",
    )  # fmt: skip

    def __init__(self, working: Working, reads: Reads) -> None:
        """Lie over a batch's working copies, seeing of them what ``reads`` names."""
        self._under = working
        self._reads = reads
        self._standings: dict[int, Standing] = {}
        self._calls: dict[str, Call] = {}
        self._messages: dict[str, Message] = {}
        self._meters: dict[MeterKey, Meter] = {}
        self._entries: list[Entry] = []
        self._records: list[RatedCdr] = []
        self._exceptions: list[Exceptional] = []
        self._events: list[Event] = []
        self._tallies: list[Tally] = []

    def standing(self, account: int) -> Standing:
        """Return the standing of an account that was named, or that a visible call names. Raises KeyError."""
        found = self._standings.get(account)
        if found is not None:
            return found
        if account not in self._reads.accounts and not any(account in call.accounts for call in self._visible()):
            raise KeyError(f"account {account} is not among what the transaction reads")
        return self._under.standings[account]

    def _visible(self) -> Iterable[Call]:
        for id_domain, call_id in self._reads.calls:
            yield from self.calls(id_domain, call_id)
        for grant_id in self._reads.grants:
            call = self.call(grant_id)
            if call is not None:
                yield call
        for id_domain, alias in self._reads.aliases:
            yield from self._of_alias(id_domain, alias)
        yield from self._calls.values()

    def post(self, posting: tuple[Standing, Entry]) -> None:
        """Keep an entry and the standing after it."""
        standing, entry = posting
        self._standings[standing.account] = standing
        self._entries.append(entry)

    def keep(self, standing: Standing) -> None:
        """Keep a standing of which only what no entry counts is another: what fraud rules count."""
        self._standings[standing.account] = standing

    def meter(self, account: int, name: str) -> Meter:
        """Return a meter that was named, or that a visible call names; empty where there is none. Raises KeyError."""
        key = (account, name)
        found = self._meters.get(key)
        if found is not None:
            return found
        if key not in self._reads.meters and not any(key in call.meters for call in self._visible()):
            raise KeyError(f"meter {name!r} of account {account} is not among what the transaction reads")
        return self._under.meters.get(key) or Meter(account, name)

    def save_meter(self, meter: Meter) -> None:
        """Keep a meter, by its account and name."""
        self._meters[meter.account, meter.name] = meter

    def calls(self, id_domain: str, call_id: str) -> Sequence[Call]:
        """Return the calls of a named call id, oldest first. Raises KeyError."""
        key = (id_domain, call_id)
        if key not in self._reads.calls:
            raise KeyError(f"call {call_id!r} of {id_domain!r} is not among what the transaction reads")
        mine = self._calls
        found = [mine.get(grant_id) or self._under.calls[grant_id] for grant_id in self._under.by_call.get(key, ())]
        if mine:
            known = {call.grant_id for call in found}
            found += [call for call in mine.values() if call.grant_id not in known]
        return [call for call in found if call.call_id == call_id and call.id_domain == id_domain]

    def call(self, grant_id: str) -> Call | None:
        """Return the call of a grant that was named, or whose call id or alias was. Raises KeyError."""
        found = self._calls.get(grant_id) or self._under.calls.get(grant_id)
        if grant_id in self._reads.grants or grant_id in self._calls:
            return found
        if found is None or not self._is_named(found):
            raise KeyError(f"grant {grant_id!r} is not among what the transaction reads")
        return found

    def _is_named(self, call: Call) -> bool:
        reads = self._reads
        by_alias = any((call.id_domain, alias) in reads.aliases for alias in call.aliases)
        return by_alias or (call.id_domain, call.call_id) in reads.calls

    def aliased(self, id_domain: str, alias: str) -> Call | None:
        """Return the newest call of a named alias that no accounting has joined yet, else the newest. KeyError."""
        if (id_domain, alias) not in self._reads.aliases:
            raise KeyError(f"alias {alias!r} of {id_domain!r} is not among what the transaction reads")
        found = self._of_alias(id_domain, alias)
        fresh = [call for call in found if not call.joined]
        return (fresh or found)[-1] if found else None

    def _of_alias(self, id_domain: str, alias: str) -> list[Call]:
        grants = self._under.by_alias.get((id_domain, alias), ())
        found = [self._calls.get(grant_id) or self._under.calls[grant_id] for grant_id in grants]
        found += [call for call in self._calls.values() if call.grant_id not in grants]
        return [call for call in found if call.id_domain == id_domain and alias in call.aliases]

    def save_call(self, call: Call) -> None:
        """Keep a call, by its grant id."""
        self._calls[call.grant_id] = call

    def message(self, key: str) -> Message | None:
        """Return the answered message of a named key. Raises KeyError."""
        if key not in self._reads.messages:
            raise KeyError(f"message {key!r} is not among what the transaction reads")
        return self._messages.get(key) or self._under.messages.get(key)

    def save_message(self, message: Message) -> None:
        """Keep an answered message. Raises ValueError where key or reply are longer than any road makes them."""
        if len(message.key) > KEY_LENGTH_MAX or len(message.reply) > REPLY_SIZE_MAX:
            raise ValueError(f"a message key of {len(message.key)} or a reply of {len(message.reply)} octets")
        self._messages[message.key] = message

    def records(self, grant_id: str) -> Sequence[RatedCdr]:
        """Return the records of a call that was loaded, in the order of their making."""
        mine = [record for record in self._records if record.grant_id == grant_id]
        return [*self._under.records.get(grant_id, ()), *mine]

    def append_record(self, record: RatedCdr) -> None:
        """Keep a rated record."""
        self._records.append(record)

    def append_exception(self, item: Exceptional) -> None:
        """Keep something for a person to look at; one with a known key is not listed again."""
        self._exceptions.append(item)

    def append_event(self, event: Event) -> None:
        """Keep an event."""
        self._events.append(event)

    def tally(self, tally: Tally) -> None:
        """Keep what is to be added to the counts of a carrier."""
        self._tallies.append(tally)

    def merge(self) -> None:
        """Make everything done here part of the batch."""
        under = self._under
        under.standings.update(self._standings)
        under.touched.update(self._standings)
        under.entries += self._entries
        under.messages.update(self._messages)
        under.answered.update(self._messages)
        if self._meters:
            under.meters.update(self._meters)
            under.counted.update(self._meters)
        under.exceptions += self._exceptions
        under.events += self._events
        for tally in self._tallies:
            there = under.tallies.get(tally[:3])
            under.tallies[tally[:3]] = tally if there is None else added(there, tally)
        for call in self._calls.values():
            under.put(call)
        for record in self._records:
            under.records.setdefault(record.grant_id, []).append(record)
        under.appended += self._records
