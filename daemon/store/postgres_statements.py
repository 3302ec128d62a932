"""The SQL of the hot path on PostgreSQL, made from the schema once: arrays in, rows out, few ways to the server.

Rows travel as one array for each column, so that no text depends on their number. Whatever is read to be changed is
locked as it is read, in the order of its number; keys that may not be there yet are locked by name. What a batch
writes goes out as one statement: each way to the server and back is time in which the next batch waits.
"""

import re
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2b
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table

from daemon.charging.ports import CALLS_LOADED_MAX, Reads
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
    metadata,
    meter,
    record,
)
from daemon.store.standing_row import READ, WRITTEN

_PLACE = re.compile(r"\$(\d+)")
# Two numbers are another space of names than the one number of a key.
LOCK_ADMINISTRATION: Final = "SELECT pg_advisory_xact_lock(1953459308, 1)"
LOCK_ARCHIVING: Final = "SELECT pg_try_advisory_lock(1953459308, 2)"  # held by a session, not by a transaction
OUTCOME: Final = "SELECT pg_xact_status($1::text::xid8)"

# Calls under a lock, in the order of their numbers, and the messages, which have no lock but their names'.
NAMED: Final = f"""
WITH wanted AS MATERIALIZED (
 SELECT newest.number FROM unnest($1::text[], $2::text[], $3::text[]) AS asked(id_domain, call_id, direction)
  CROSS JOIN LATERAL (SELECT number FROM call WHERE call.id_domain = asked.id_domain
   AND call.call_id = asked.call_id AND call.direction = asked.direction
   ORDER BY attempt DESC, part DESC LIMIT {CALLS_LOADED_MAX}) AS newest
 UNION SELECT number FROM call WHERE grant_id = ANY($4::text[])
 UNION SELECT call.number FROM unnest($5::text[], $6::text[]) AS asked(id_domain, alias)
  CROSS JOIN LATERAL (SELECT grant_id FROM call_alias WHERE call_alias.id_domain = asked.id_domain
   AND call_alias.alias = asked.alias ORDER BY number DESC LIMIT {CALLS_LOADED_MAX}) AS newest
  JOIN call ON call.grant_id = newest.grant_id),
held AS MATERIALIZED (
 SELECT number, body FROM call WHERE number IN (SELECT number FROM wanted) ORDER BY number FOR UPDATE)
SELECT number, body, NULL::text, NULL::bytea, NULL::bytea, NULL::bigint, NULL::text FROM held
UNION ALL SELECT NULL, NULL, key, body, reply, at, grant_id FROM message WHERE key = ANY($7::text[])
"""
_standing_columns = ", ".join(READ)
STANDINGS: Final = (
    f"SELECT {_standing_columns} FROM account WHERE number = ANY($1::bigint[]) ORDER BY number FOR UPDATE"
)
_meter_columns = ", ".join(f"meter.{name}" for name in Meter._fields)
METERS: Final = (
    f"SELECT {_meter_columns} FROM meter JOIN unnest($1::bigint[], $2::text[]) AS asked(account, name)"
    " ON meter.account = asked.account AND meter.name = asked.name"
    " ORDER BY meter.account, meter.name FOR UPDATE OF meter"
)
SPENT_KEY: Final = (  # one of some accounts and keys whose entry has left for an archive
    "SELECT spent_key.account, spent_key.key FROM spent_key"
    " JOIN unnest($1::bigint[], $2::text[]) AS asked(account, key)"
    " ON spent_key.account = asked.account AND spent_key.key = asked.key LIMIT 1"
)
RECORDS: Final = "SELECT body FROM record WHERE grant_id = ANY($1::text[]) ORDER BY seq"
PRUNE_MESSAGES: Final = (  # what another daemon takes out just now is left to it
    "DELETE FROM message WHERE number IN"
    " (SELECT number FROM message ORDER BY number LIMIT $1 FOR UPDATE SKIP LOCKED) AND at < $2"
)


def begin_locking(reads: Sequence[Reads]) -> str:
    """Return the command that begins a batch and locks its call ids and messages by name.

    It goes out at once, and holds no value but numbers of our own making.
    """
    names = ",".join(map(str, _names(reads)))
    if not names:
        return "BEGIN"
    return f"BEGIN; SELECT count(pg_advisory_xact_lock(key)) FROM unnest('{{{names}}}'::bigint[]) AS asked(key)"


def _names(reads: Sequence[Reads]) -> list[int]:
    """Return the names of what a batch may find missing, sorted: everybody locks in this order."""
    keys = {f"m\0{key}" for read in reads for key in read.messages}
    keys.update(f"c\0{id_domain}\0{call_id}" for read in reads for id_domain, call_id in read.calls)
    return sorted(_name(key) for key in keys)


def claim_of(name: str) -> int:
    """Return the key of what one daemon does alone."""
    return _name(f"s\0{name}")


def _name(key: str) -> int:
    # Two keys of one name wait for each other without need; they are never taken for one another.
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True)


@lru_cache(maxsize=64)
def _columns(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.columns if column.name not in ("number", "seq"))


def _type(column: Column[Any]) -> str:
    if isinstance(column.type, BigInteger | Integer):
        return "bigint"
    return "bytea" if isinstance(column.type, LargeBinary) else "text"


def rows_of(table: Table, columns: Sequence[str]) -> str:
    """Return ``unnest(…)`` over what ``packed`` makes of each column."""
    return f"unnest({', '.join(_unpacked(table.c[name], f'${n}') for n, name in enumerate(columns, 1))})"


def _unpacked(column: Column[Any], place: str) -> str:
    kind = _type(column)
    if kind == "bigint":
        return f"{place}::text::bigint[]"
    if kind == "bytea" or column.nullable:
        return f"{place}::{kind}[]"
    return f"(string_to_array({place}::text, left({place}::text, 1)))[2:]"


def packed(table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[object]:
    """Return the columns of rows as a statement takes them.

    Numbers and words travel as one text a column: the driver looks at each element of an array in several ways, which
    for a batch would take longer than all else.
    """
    kinds = _packing(table, tuple(columns))
    return [pack(column) for pack, column in zip(kinds, zip(*rows, strict=True), strict=True)]


@lru_cache(maxsize=64)
def _packing(table: str, columns: tuple[str, ...]) -> tuple[Callable[[Sequence[Any]], object], ...]:
    found = metadata.tables[table].c
    return tuple(
        _numbers if _type(found[name]) == "bigint" else _as_is if _type(found[name]) == "bytea" or found[name].nullable
        else _words for name in columns
    )  # fmt: skip


def _as_is(column: Sequence[Any]) -> object:
    return column


def _numbers(column: Sequence[Any]) -> object:
    text = repr(list(column))[1:-1]  # one call in C, and not one a number
    return "{" + (text.replace("None", "NULL") if None in column else text) + "}"


def _words(column: Sequence[Any]) -> object:
    """Return words behind a separator each: one character that stands in none of them, whatever callers send."""
    text = "\x01".join(("", *column))
    if text.count("\x01") == len(column):
        return text
    known = set(text)
    separator = next(chr(code) for code in range(2, sys.maxunicode) if chr(code) not in known and not _is_half(code))
    return separator.join(("", *column))


def _is_half(code: int) -> bool:
    return 0xD800 <= code <= 0xDFFF


def inserting(table: Table, columns: Sequence[str], after: str = "") -> str:
    """Return the statement that inserts rows given as one array for each column."""
    return f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT * FROM {rows_of(table, columns)}{after}"


def _replacing(table: Table, key: Sequence[str], *more: str) -> str:
    columns = _columns(table)
    kept = ", ".join(f"{name} = excluded.{name}" for name in (*columns, *more) if name not in key)
    return inserting(table, columns, f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {kept}")


STANDING: Final = ("number", *WRITTEN)
CHANGED: Final = ("grant_id", "state", "is_open", "due_at", "body")  # of a call whose charge key stays
_changed = itemgetter(*(_columns(call).index(name) for name in CHANGED))

_NARROW: Final = {"account": STANDING, "call_changed": CHANGED}
_TABLES: Final = {"call_moved": call, "call_changed": call, "message_again": message}


def changed(row: Sequence[object]) -> Sequence[object]:
    """Return what may have changed of a call's row while its charge key stays."""
    return _changed(row)  # type: ignore[no-any-return]


def _adding(table: Table, key: Sequence[str]) -> str:
    """Return the statement that adds the numbers of rows to those that are there; of one key is one row."""
    columns = _columns(table)
    sums = ", ".join(f"{name} = {table.name}.{name} + excluded.{name}" for name in columns if name not in key)
    return inserting(table, columns, f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {sums}")


def _updated(table: Table, names: Sequence[str]) -> str:
    """Return the statement that updates rows by the first of some columns."""
    sets = ", ".join(f"{name} = v.{name}" for name in names[1:])
    return (
        f"UPDATE {table.name} SET {sets} FROM {rows_of(table, names)} AS v({', '.join(names)})"
        f" WHERE {table.name}.{names[0]} = v.{names[0]}"
    )


WRITES: Final = {
    "account": _updated(account, STANDING),
    "meter": _replacing(meter, ("account", "name")),
    # Two daemons never add to a carrier at once: its row of account is locked by whoever has a call that names it.
    "carrier_tally": _adding(carrier_tally, ("carrier", "prefix", "hour")),
    "call": inserting(call, _columns(call)),
    "call_moved": _replacing(call, ("grant_id",)),
    "call_changed": _updated(call, CHANGED),
    "call_alias": inserting(call_alias, _columns(call_alias)),
    "entry": inserting(entry, _columns(entry)),
    "record": inserting(record, _columns(record)),
    "event": inserting(event, _columns(event)),
    "exceptional": inserting(exceptional, _columns(exceptional), " ON CONFLICT (key) DO NOTHING"),
    "message": inserting(message, _columns(message)),
    # One that is kept again ages from now on: it takes the number that was given to the new row.
    "message_again": _replacing(message, ("key",), "number"),
}


@lru_cache(maxsize=256)
def writing(kinds: tuple[str, ...]) -> str:
    """Return one statement that writes rows of several kinds of ``WRITES`` and gives the transaction's number.

    The values are the columns of the first kind, then those of the second, and so on.
    """
    parts, given = [], 0
    for place, kind in enumerate(kinds):
        text, taken = WRITES[kind], 0
        for found in _PLACE.finditer(text):
            taken = max(taken, int(found[1]))
        moved = _PLACE.sub(lambda found, given=given: f"${int(found[1]) + given}", text)  # type: ignore[misc]
        parts.append(f"w{place} AS ({moved})")
        given += taken
    return f"WITH {', '.join(parts)} SELECT pg_current_xact_id()::text"


@lru_cache(maxsize=64)
def shape_of(kind: str) -> tuple[str, tuple[str, ...]]:
    """Return the table of a kind of ``WRITES``, and the columns of its rows."""
    table = _TABLES[kind] if kind in _TABLES else metadata.tables[kind]
    return table.name, _NARROW.get(kind) or _columns(table)


# Two daemons that list the same things wait for one another in the order of their keys.
ORDERED: Final[dict[str, Callable[[Sequence[object]], str]]] = {
    "exceptional": lambda row: str(row[0] or ""),
    "message": lambda row: str(row[0]),
    "message_again": lambda row: str(row[0]),
}
