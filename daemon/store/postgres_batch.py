"""What a batch on PostgreSQL writes, as its statement takes it: in parts, so that the server works while we decide.

A part is all that functions decided since the part before, but accounts, meters and counts of carriers, which are
written once, at the end; and what is listed for a person, whose keys two daemons may both list: all of a batch in the
order of its keys.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from daemon.store import postgres_statements as sql
from daemon.store.book import Working
from daemon.store.rows import Row, written

LAST: Final = frozenset({"account", "meter", "carrier_tally", "exceptional"})


class Packed(NamedTuple):
    """What a batch writes, as the statement takes it."""

    kinds: tuple[str, ...]  # of statements.WRITES
    columns: list[object]


def packed(working: Working) -> Packed:
    """Make ready all that a batch has to write still."""
    return _packed(_parted(working))


def packed_ahead(working: Working) -> Packed:
    """Make ready what a batch can write before all of it is decided, and take that for written."""
    made = _packed((kind, rows) for kind, rows in _parted(working) if kind not in LAST)
    working.unanswered.difference_update(working.answered)
    working.stored.update(working.saved)
    for part in (working.saved, working.placed, working.new_aliases, working.entries, working.appended):
        part.clear()
    working.events.clear()
    working.answered.clear()
    return made


def _packed(parts: Iterator[tuple[str, Sequence[Row]]]) -> Packed:
    kinds: list[str] = []
    columns: list[object] = []
    for kind, rows in parts:
        if rows:
            order = sql.ORDERED.get(kind)
            kinds.append(kind)
            columns += sql.packed(*sql.shape_of(kind), rows if order is None else sorted(rows, key=order))
    return Packed(tuple(kinds), columns)


def _parted(working: Working) -> Iterator[tuple[str, Sequence[Row]]]:
    """Yield the rows of each kind of statement: a row that is known to be new needs no look for an older one."""
    for table, rows in written(working):
        if table == "call":
            yield "call", [row for row in rows if row[0] not in working.stored]
            known = [row for row in rows if row[0] in working.stored]
            yield "call_moved", [row for row in known if row[0] in working.placed]
            yield "call_changed", [sql.changed(row) for row in known if row[0] not in working.placed]
        elif table == "message":
            yield "message", [row for row in rows if row[0] in working.unanswered]
            yield "message_again", [row for row in rows if row[0] not in working.unanswered]
        else:
            yield table, rows
