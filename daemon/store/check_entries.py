"""Invariants of a single entry, looked at by ``check``: what its kind moves and names, and when it was made.

Where a record tells when an entry was made, both say the same instant. The time of a hold is its own: a call that was
granted without the store is entered later than it was asked about. The time and the author of what a person entered
stand in the entry alone: those are believed.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from daemon.kernel.money import format_nano
from daemon.ledger.account import EntryKind
from daemon.ledger.posting import RULE
from daemon.store.finding import Finding
from daemon.store.link import Link

_STILL: Final = "pending = 0 AND uncollected = 0 AND channels_in = 0 AND channels_out = 0"
_CALL: Final = "grant_id <> '' AND who = '' AND key IS NULL"
_PERSON: Final = f"{_STILL} AND grant_id = '' AND who <> ''"
_FREES: Final = "amount = 0 AND pending <= 0 AND uncollected = 0 AND channels_in <= 0 AND channels_out <= 0"
# What is true of each entry of a kind, whatever the terms of its account: the ledger makes no other.
SHAPES: Final = {
    EntryKind.RESERVE: f"{_CALL} AND amount = 0 AND pending >= 0 AND uncollected = 0 AND channels_in >= 0"
    " AND channels_out >= 0 AND bucket = ''",
    EntryKind.RELEASE: f"{_CALL} AND {_FREES} AND bucket = ''",
    EntryKind.EXPIRE: f"({_CALL} AND {_FREES} AND bucket = '')"
    f" OR ({_STILL} AND grant_id = '' AND who = '' AND amount <= 0 AND bucket <> '')",
    EntryKind.DEBIT: f"{_CALL} AND amount <= 0 AND pending <= 0 AND uncollected >= 0 AND channels_in <= 0"
    " AND channels_out <= 0",
    EntryKind.REFUND: f"{_CALL} AND amount >= 0 AND pending = 0 AND uncollected <= 0 AND channels_in = 0"
    " AND channels_out = 0",
    EntryKind.TOP_UP: f"{_PERSON} AND amount > 0",
    EntryKind.VOUCHER: f"{_PERSON} AND amount > 0 AND key IS NOT NULL",
    EntryKind.ADJUST: f"{_PERSON} AND amount <> 0",
    EntryKind.COLLECT: "amount < 0 AND uncollected = amount AND pending = 0 AND channels_in = 0 AND channels_out = 0"
    " AND grant_id = '' AND who <> ''",
    EntryKind.TRANSFER: f"{_STILL} AND amount <> 0 AND grant_id LIKE 'transfer:%' AND who <> '' AND bucket = ''",
    EntryKind.BALANCE_ASSERTION: f"{_PERSON} AND amount = 0",
    EntryKind.SUSPEND: f"{_STILL} AND amount = 0 AND grant_id = '' AND who = '{RULE}'",
    EntryKind.RESUME: f"{_STILL} AND amount = 0 AND grant_id = '' AND who = '{RULE}'",
}  # fmt: skip


def shapes(connection: Link) -> Iterator[Finding]:
    """An entry moves what its kind moves, and names a call or a person as its kind does."""
    fits = " ".join(f"WHEN '{kind.value}' THEN ({shape})" for kind, shape in SHAPES.items())
    query = (
        "SELECT number, account, kind, amount, pending, grant_id, who FROM entry"
        f" WHERE NOT CASE kind {fits} ELSE 1 = 0 END ORDER BY number"
    )
    for number, account, kind, amount, pending, grant_id, who in connection.execute(query):
        moves = (
            f"{format_nano(amount)}, holds {format_nano(pending)}, of call {grant_id or 'none'} by {who or 'nobody'}"
        )
        detail = f"account {account}: {kind} moves {moves}: no entry of this kind is like that"
        yield Finding("entries", f"entry {number}", detail)


def times(connection: Link) -> Iterator[Finding]:
    """A debit and its record, a refund and its reversal have one time."""
    query = (
        "SELECT grant_id, account, kind, at, sum(counted) FROM ("
        " SELECT grant_id, account, kind, at, 1 AS counted FROM entry"
        " WHERE kind IN ('debit', 'refund') AND bucket = '' UNION ALL"
        " SELECT grant_id, account, CASE status WHEN 'reversal' THEN 'refund' ELSE 'debit' END, settled_at, -1"
        " FROM record) AS told GROUP BY grant_id, account, kind, at HAVING sum(counted) <> 0"
    )
    told: defaultdict[tuple[str, int], list[tuple[str, int, int]]] = defaultdict(list)
    for grant_id, account, kind, at, count in connection.execute(query):
        told[grant_id, account].append((kind, at, int(count)))
    for (grant_id, account), rows in told.items():
        if sum(count for _kind, _at, count in rows):
            continue  # one is missing, or has left with an archive: of which "records" tells
        entries = [f"{kind} at {at}" for kind, at, count in rows if count > 0]
        records = [f"{kind} at {at}" for kind, at, count in rows if count < 0]
        detail = f"account {account}: entries say {', '.join(entries)}; records say {', '.join(records)}"
        yield Finding("entries", f"grant {grant_id}", detail)
