"""What a batch on PostgreSQL loaded, and what it writes, as values: a lane decides with them while another commits.

Names, calls and messages are loaded first, and accounts and meters apart from them: those are what every other batch
waits for, so that they are locked last and for the shortest time.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from daemon.charging.call import Call
from daemon.charging.cdr import RatedCdr
from daemon.charging.ports import Message
from daemon.ledger.account import Standing
from daemon.rating.bundle import Meter
from daemon.store import postgres_statements as sql
from daemon.store.book import MeterKey, Working
from daemon.store.rows import written


class Held(NamedTuple):
    """Accounts and meters as they are: what a batch changes, and every other batch waits for."""

    standings: dict[int, Standing]
    meters: dict[MeterKey, Meter]


@dataclass(slots=True)
class Named:
    """What a batch found under the names that it gave, and the accounts and meters that it has to lock."""

    calls: list[Call]
    messages: dict[str, Message] = field(default_factory=dict)
    records: list[RatedCdr] = field(default_factory=list)
    accounts: set[int] = field(default_factory=set)
    meters: set[MeterKey] = field(default_factory=set)

    def working(self, held: Held) -> Working:
        """Return fresh working copies."""
        working = Working(standings=dict(held.standings), messages=dict(self.messages), meters=dict(held.meters))
        working.add_loaded(self.calls)
        for record in self.records:
            working.records.setdefault(record.grant_id, []).append(record)
        return working


class Packed(NamedTuple):
    """What a batch writes, as the statement takes it."""

    tables: tuple[str, ...]
    columns: list[object]


def packed(working: Working) -> Packed:
    """Make ready what a batch has to write."""
    tables: list[str] = []
    columns: list[object] = []
    for table, rows in written(working):
        if rows:
            order = sql.ORDERED.get(table)
            tables.append(table)
            columns += sql.packed(table, sql.columns_of(table), rows if order is None else sorted(rows, key=order))
    return Packed(tuple(tables), columns)
