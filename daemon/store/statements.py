"""The SQL of the hot path, compiled from the schema once: one query a table for what a batch reads.

The driver gives up the interpreter's lock at every step of a statement, that is for every row, and then waits until the
event loop lets go of it. So a query gathers its rows into one JSON text, and a write carries many rows: a batch takes
the lock back some twenty times and not a thousand times. Keys travel as one JSON array, so that no text depends on
their number.
"""

import sqlite3
from collections.abc import Callable, Container, Iterable, Sequence
from itertools import chain
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Select, Table, bindparam, func, literal_column, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert

from daemon.charging.ports import CALLS_LOADED_MAX
from daemon.rating.bundle import Meter
from daemon.store.schema import (
    account,
    call,
    call_alias,
    carrier_tally,
    entry,
    event,
    exceptional,
    message,
    meter,
    record,
    spent_key,
)
from daemon.store.standing_row import READ, WRITTEN

ROWS_MAX = 64  # rows of one statement; with the widest table a twentieth of SQLite's limit of 32,766 values
_DIALECT = sqlite.dialect(paramstyle="qmark")
_NEWEST: ColumnElement[int] = literal_column(str(CALLS_LOADED_MAX))
_asked = func.json_each(bindparam("asked")).table_valued("value", name="asked")
_SIZES = tuple(1 << power for power in range(ROWS_MAX.bit_length() - 1, -1, -1))  # 64, 32, … 1


def compiled(statement: Any) -> str:
    """Return a statement's SQL with question marks."""
    return str(statement.compile(dialect=_DIALECT))


def asked(keys: Iterable[object]) -> str:
    """Return the JSON array that a query takes for the keys it is asked for."""
    return msgspec.json.encode(list(keys)).decode()


def _part(place: int) -> ColumnElement[Any]:
    return func.json_extract(_asked.c.value, literal_column(f"'$[{place}]'"))


def _gathered(number: ColumnElement[Any], body: ColumnElement[Any]) -> Select[Any]:
    """Select all rows as one text of ``[number,body]``, comma between them."""
    return select(func.group_concat(func.printf(literal_column("'[%d,%s]'"), number, body)))


def _calls_of_keys() -> Select[Any]:
    # The newest of each direction, by the index of the charge key: a call id that comes again for ever costs no more.
    inner = call.alias("newest")
    newest = (
        select(inner.c.number)
        .where(inner.c.id_domain == _part(0), inner.c.call_id == _part(1), inner.c.direction == _part(2))
        .order_by(inner.c.attempt.desc(), inner.c.part.desc())
        .limit(_NEWEST)
        .offset(literal_column("0"))
        .correlate(_asked)
    )
    return _gathered(call.c.number, call.c.body).select_from(_asked.join(call, call.c.number.in_(newest)))


def _calls_of_aliases() -> Select[Any]:
    inner = call_alias.alias("newest")
    newest = (
        select(inner.c.number)
        .where(inner.c.id_domain == _part(0), inner.c.alias == _part(1))
        .order_by(inner.c.number.desc())
        .limit(_NEWEST)
        .offset(literal_column("0"))
        .correlate(_asked)
    )
    joined = _asked.join(call_alias, call_alias.c.number.in_(newest)).join(
        call, call.c.grant_id == call_alias.c.grant_id
    )
    return _gathered(call.c.number, call.c.body).select_from(joined)


_values = select(_asked.c.value)
# Arrays within the text, not texts.
_arrays = tuple(func.json(func.coalesce(account.c[name], literal_column("'[]'"))) for name in READ[-2:])
_standing_columns = (*(account.c[name] for name in READ[:-2]), *_arrays)
STANDINGS = compiled(
    select(func.json_group_array(func.json_array(*_standing_columns))).where(account.c.number.in_(_values))
)
_meter_columns = tuple(meter.c[name] for name in Meter._fields)
METERS = compiled(
    select(func.json_group_array(func.json_array(*_meter_columns))).select_from(
        _asked.join(meter, (meter.c.account == _part(0)) & (meter.c.name == _part(1)))
    )
)
CALLS_OF_KEYS = compiled(_calls_of_keys())
CALLS_OF_GRANTS = compiled(_gathered(call.c.number, call.c.body).where(call.c.grant_id.in_(_values)))
CALLS_OF_ALIASES = compiled(_calls_of_aliases())
SPENT_KEY = compiled(  # of some accounts and keys those whose entry has left for an archive
    select(spent_key.c.account, spent_key.c.key).select_from(
        _asked.join(spent_key, (spent_key.c.account == _part(0)) & (spent_key.c.key == _part(1)))
    )
)
RECORDS = compiled(_gathered(record.c.seq, record.c.body).where(record.c.grant_id.in_(_values)))
MESSAGES = compiled(
    select(message.c.key, message.c.body, message.c.reply, message.c.at, message.c.grant_id).where(
        message.c.key.in_(_values)
    )
)


class Rows:
    """A statement that writes any number of rows, as few statements of up to ROWS_MAX rows."""

    def __init__(self, before: str, columns: int, after: str = "") -> None:
        """Take what stands before and after the rows, and the number of values in each."""
        row = "(" + ", ".join("?" * columns) + ")"
        self._texts = {size: before + ", ".join([row] * size) + after for size in _SIZES}

    def write(self, connection: sqlite3.Connection, rows: Sequence[Sequence[object]]) -> None:
        """Write the rows in their order."""
        begins = 0
        for size, text in self._texts.items():
            while len(rows) - begins >= size:
                connection.execute(text, list(chain.from_iterable(rows[begins : begins + size])))
                begins += size


def _columns(table: Table) -> tuple[str, ...]:
    """Return the columns that a writer gives: all but the number that the store counts itself."""
    return tuple(column.name for column in table.columns if column.name not in ("number", "seq"))


def _inserting(table: Table, *, verb: str = "INSERT", conflict: Any = None) -> Rows:
    columns = _columns(table)
    statement = insert(table) if conflict is None else conflict(insert(table))
    text = str(statement.compile(dialect=_DIALECT, column_keys=list(columns)))
    before, row, after = text.partition("(" + ", ".join("?" * len(columns)) + ")")
    assert row, text
    return Rows(before.replace("INSERT", verb, 1), len(columns), after)


def _turning(statement: Any) -> Any:
    kept = {name: statement.excluded[name] for name in Meter._fields[2:]}
    return statement.on_conflict_do_update(index_elements=["account", "name"], set_=kept)


def _adding(statement: Any) -> Any:
    sums = {name: carrier_tally.c[name] + statement.excluded[name] for name in ("attempts", "answered", "seconds")}
    return statement.on_conflict_do_update(index_elements=["carrier", "prefix", "hour"], set_=sums)


def _replacing(*but: str) -> Callable[[Any], Any]:
    """Return what makes an insert of calls replace those that are there, all but some columns."""

    def conflict(statement: Any) -> Any:
        kept = {name: statement.excluded[name] for name in _columns(call) if name not in ("grant_id", *but)}
        return statement.on_conflict_do_update(index_elements=["grant_id"], set_=kept)

    return conflict


def _standings_written() -> Rows:
    names = WRITTEN
    sets = ", ".join(f"{name} = v.column{place + 2}" for place, name in enumerate(names))
    return Rows(
        f"UPDATE {account.name} SET {sets} FROM (VALUES ",
        len(names) + 1,
        f") AS v WHERE {account.name}.number = v.column1",
    )


WRITES: Final = {
    "account": _standings_written(),
    "meter": _inserting(meter, conflict=_turning),
    "carrier_tally": _inserting(carrier_tally, conflict=_adding),
    "entry": _inserting(entry),
    "call": _inserting(call, conflict=_replacing()),
    "call_alias": _inserting(call_alias),
    "message": _inserting(message, verb="INSERT OR REPLACE"),
    "record": _inserting(record),
    "event": _inserting(event),
    "exceptional": _inserting(
        exceptional, conflict=lambda statement: statement.on_conflict_do_nothing(index_elements=["key"])
    ),
}
_CHARGE_KEY: Final = ("id_domain", "call_id", "direction", "attempt", "part", "payer")
_CALLS_KEPT: Final = _inserting(call, conflict=_replacing(*_CHARGE_KEY))


def write_calls(connection: sqlite3.Connection, rows: Sequence[Sequence[object]], placed: Container[object]) -> None:
    """Write the rows of calls. One that keeps its place under the charge key leaves that index alone."""
    WRITES[call.name].write(connection, [row for row in rows if row[0] in placed])
    _CALLS_KEPT.write(connection, [row for row in rows if row[0] not in placed])


PRUNE_MESSAGES: Final = (
    "DELETE FROM message WHERE number IN (SELECT number FROM message ORDER BY number LIMIT ?) AND at < ?"
)
