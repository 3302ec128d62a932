"""The rows that a batch writes, table by table, for either engine: what is searched as columns, the value as JSON."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from daemon.charging.call import Call
from daemon.charging.cdr import RatedCdr
from daemon.charging.ports import Exceptional
from daemon.kernel.instant import DAY, MINUTE, Instant
from daemon.ledger.account import Entry
from daemon.store.book import Working
from daemon.store.commit import IntegrityFault
from daemon.store.standing_row import row_of

MESSAGE_KEPT: Final = 2 * DAY  # microseconds; longer than any sender repeats
PRUNE_FACTOR: Final = 2  # old messages taken out for each that is added: the table shrinks faster than it grows
PRUNE_PAUSE: Final = MINUTE  # microseconds until old messages are looked for again where none was left

# Members of enumerations give their ``_value_`` here: ``value`` is a property in Python, which a batch asks too often.
Row = Sequence[object]
_encode = msgspec.json.Encoder().encode


class Written(NamedTuple):
    """Rows of one table, in the order in which they are to be written."""

    table: str
    rows: Sequence[Row]


def written(working: Working) -> Iterator[Written]:
    """Yield what a batch has to write; the order of tables is everybody's, so that nobody waits in a ring."""
    yield Written("account", [row_of(working.standings[number]) for number in sorted(working.touched)])
    yield Written("meter", [working.meters[key] for key in sorted(working.counted)])
    yield Written("carrier_tally", [working.tallies[key] for key in sorted(working.tallies)])
    yield Written("call", [call_row(call) for call in working.saved.values()])
    yield Written("call_alias", working.new_aliases)
    yield Written("entry", [_entry_row(entry) for entry in working.entries])
    yield Written("record", [record_row(record) for record in working.appended])
    yield Written("event", [(*event, 0) for event in working.events])
    yield Written("exceptional", [_exception_row(item) for item in working.exceptions])
    messages = working.answered.values()
    yield Written("message", [(m.key, m.body, m.reply, m.at, m.grant_id) for m in messages])


def keys_of(working: Working) -> set[tuple[int, str]]:
    """Return the accounts and idempotency keys under which a batch writes entries."""
    return {(entry.account, entry.key) for entry in working.entries if entry.key}


def refuse_spent(found: Sequence[object] | None) -> None:
    """Refuse an entry under a key whose first entry has left for an archive. Raises IntegrityFault.

    The index of entries is no help there: it knows only those that are in the store.
    """
    if found is not None:
        raise IntegrityFault(f"key {found[1]!r} of account {found[0]} is that of an archived entry")


def _entry_row(entry: Entry) -> Row:
    return (
        entry.account, entry.kind._value_, entry.at, entry.grant_id, entry.amount, entry.pending, entry.uncollected,
        entry.channels_in, entry.channels_out, entry.balance_after, entry.reserved_after, entry.key or None, entry.who,
        entry.reason, entry.bucket,
    )  # fmt: skip


def call_row(call: Call) -> Row:
    """Return a call's columns but its number."""
    return (
        call.grant_id, call.id_domain, call.call_id, call.direction._value_, call.attempt, call.part,
        call.levels[0].account, call.state._value_, int(call.is_open), call.due_at, call.requested_at, call.switch,
        _encode(call).decode(),
    )  # fmt: skip


def record_row(record: RatedCdr) -> Row:
    """Return a record's columns but its sequence."""
    return (
        record.record_id, record.grant_id, record.tenant, record.account_number, record.status, record.currency,
        record.charge, record.uncollected, record.cost, record.settled_at, _encode(record).decode(),
    )  # fmt: skip


def _exception_row(item: Exceptional) -> Row:
    return (
        item.key or None, item.kind, item.tenant, item.source, item.switch, item.call_id, item.detail, item.at,
    )  # fmt: skip


class MessageAge:
    """How old messages leave: a few with each batch that adds some, so that no call waits for a clean-up."""

    def __init__(self) -> None:
        """Begin where old ones may be there."""
        self._from: Instant = 0

    def due(self, working: Working) -> tuple[int, Instant] | None:
        """Return how many messages to take out at most, and before which instant; None where none is to be sought."""
        messages = working.answered.values()
        if not messages:
            return None
        before = max(message.at for message in messages) - MESSAGE_KEPT
        return (PRUNE_FACTOR * len(messages), before) if before >= self._from else None

    def pruned(self, asked: tuple[int, Instant], rows: int) -> None:
        """Take how many there were; where fewer than asked for, the next are sought later."""
        if rows < asked[0]:
            self._from = asked[1] + PRUNE_PAUSE
