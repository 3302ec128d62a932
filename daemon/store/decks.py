"""Decks by version: a row that has been in force is never altered, except that its end may be set, not before now.

Undated rows take the instant of their commit; a table's first deck is valid always. A row that says what is in force
anyway is unchanged and makes no version. ``replace`` closes what the file does not name, ``merge`` leaves it.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from daemon.charging.configuration import RateTableSpec
from daemon.charging.ports import StoreError
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant
from daemon.rating.deck import EFFECTIVE_ALWAYS, EFFECTIVE_FOREVER, RateRow, Terms
from daemon.rating.rate_table import RateTable

T = TypeVar("T")
NAMES_SHOWN = 200  # prefixes of each kind that a difference lists by name; the rest is counted
_COLUMNS = (
    "prefix", "destination", "rate", "connect_fee", "first_seconds", "next_seconds", "free_seconds",
    "included_seconds", "minimum_charge", "effective_from", "effective_to", "rate_type", "blocked",
)  # fmt: skip
_SELECT = (
    f"SELECT {', '.join(_COLUMNS)} FROM deck_row WHERE tenant = ? AND rate_table = ? AND effective_to > effective_from"
)


class DeckRefused(StoreError):
    """A deck that cannot be taken; the message says which row and why. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class DeckChange:
    """How to import: ``mode`` replace or merge; ``effective_from`` dates undated rows; ``backdate`` allows the past."""

    mode: str
    effective_from: Instant | None
    who: str
    source: str
    backdate: bool = False


@dataclass(frozen=True, slots=True)
class DeckDifference:
    """Prefixes of each kind; ``falls`` pairs a closed prefix with the shorter one that its calls would fall to."""

    table: str
    new: tuple[str, ...] = ()
    increased: tuple[str, ...] = ()
    decreased: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    falls: tuple[tuple[str, str], ...] = ()
    unchanged: int = 0
    in_force: int = 0

    @property
    def is_change(self) -> bool:
        """Tell whether the table differs."""
        return bool(self.new or self.increased or self.decreased or self.changed or self.closed)

    @property
    def closed_or_changed_percent(self) -> int:
        """How much of what was in force is closed or changed, rounded up."""
        touched = len(self.increased) + len(self.decreased) + len(self.changed) + len(self.closed)
        return -(-100 * touched // self.in_force) if self.in_force else 0


def row_of(values: Sequence[object]) -> RateRow:
    """Return the rate row of a stored row."""
    prefix, destination, rate, *terms, blocked = values
    return RateRow(str(prefix), rate, str(destination), Terms(*terms, bool(blocked)))  # type: ignore[arg-type, call-arg]


class Decks:
    """Reads rate tables of their stored decks; a table is built anew only when its deck or policy changed."""

    def __init__(self, now: Callable[[], Instant]) -> None:
        """Take the clock that dates versions."""
        self._now = now
        self._tables: dict[Key, tuple[RateTableSpec, int, RateTable]] = {}

    async def administer(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run administrative work in a transaction; given by the engine."""
        raise StoreError("an engine gives this")

    async def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return rows; given by the engine."""
        raise StoreError("an engine gives this")

    async def rate_table(self, spec: RateTableSpec) -> RateTable:
        """Return the rate table of a spec with its newest deck. Raises StoreError where the rows contradict."""
        key = Key(spec.tenant, spec.id)
        version = await self._version(key)
        cached = self._tables.get(key)
        if cached is not None and cached[:2] == (spec, version):
            return cached[2]
        rows = await self.rows(_SELECT, key)
        table = await asyncio.to_thread(_built, spec, version, rows)
        self._tables[key] = (spec, version, table)
        return table

    async def _version(self, key: Key) -> int:
        query = "SELECT coalesce(max(version), 0) FROM deck_version WHERE tenant = ? AND rate_table = ?"
        return int(str((await self.rows(query, key))[0][0]))

    async def deck_versions(self, key: Key) -> list[dict[str, object]]:
        """Return the versions of a table's deck, oldest first."""
        names = ("version", "at", "mode", "who", "source")
        query = f"SELECT {', '.join(names)} FROM deck_version WHERE tenant = ? AND rate_table = ? ORDER BY version"
        return [dict(zip(names, row, strict=True)) for row in await self.rows(query, key)]


def _built(spec: RateTableSpec, version: int, rows: Iterable[Sequence[object]]) -> RateTable:
    table, errors = RateTable.from_rows(
        (row_of(row) for row in rows), table=spec.id, version=version, currency=spec.currency,
        decimals=spec.decimals, rounding=spec.rounding, duration_rounding=spec.duration_rounding,
    )  # fmt: skip
    if table is None:
        raise StoreError(f"rate table {spec.tenant}/{spec.id}: {errors[0]}")
    return table


def _policyless(key: Key, rows: Iterable[RateRow]) -> None:
    """Refuse rows that contradict each other, before anything is written."""
    table, errors = RateTable.from_rows(rows, table=key.id, version=0, currency="XXX")
    if table is None:
        raise DeckRefused("; ".join(str(error) for error in errors[:20]))


def _price(row: RateRow) -> tuple[object, ...]:
    """What a row costs and blocks, its dates left out."""
    terms = row.terms
    return (
        row.destination, row.rate, terms.connect_fee, terms.first_seconds, terms.next_seconds, terms.free_seconds,
        terms.included_seconds, terms.minimum_charge, terms.rate_type, terms.blocked,
    )  # fmt: skip


def _dated(row: RateRow, begins: Instant) -> RateRow:
    if row.terms.effective_from != EFFECTIVE_ALWAYS:
        return row
    return row._replace(terms=row.terms._replace(effective_from=begins))


def _in_force(rows: Iterable[RateRow], at: Instant) -> dict[str, RateRow]:
    found: dict[str, RateRow] = {}
    for row in rows:
        if not row.terms.effective_from <= at < row.terms.effective_to:
            continue
        best = found.get(row.prefix)
        if best is None or row.terms.effective_from >= best.terms.effective_from:
            found[row.prefix] = row
    return found


def import_rows(
    connection: sqlite3.Connection, key: Key, rows: Sequence[RateRow], change: DeckChange, now: Instant
) -> DeckDifference:
    """Write a deck's difference as a new version, and return it. Raises DeckRefused; the caller rolls back."""
    stored = [row_of(row) for row in connection.execute(_SELECT, key)]
    first = not stored
    begins = change.effective_from if change.effective_from is not None else (EFFECTIVE_ALWAYS if first else now)
    wanted = [_dated(row, begins) for row in rows]
    force = _in_force(stored, max(now, begins))
    known = {(row.prefix, row.terms.effective_from): row for row in stored}
    fresh = [row for row in wanted if _is_fresh(row, known, force, begins)]
    _refuse_the_past(fresh, first, change, now)
    closed = _closed(stored, wanted, now) if change.mode == "replace" else []
    closed_set = {(row.prefix, row.terms.effective_from) for row in closed}
    superseded = {(row.prefix, row.terms.effective_from) for row in fresh}
    kept = [row for row in stored if (row.prefix, row.terms.effective_from) not in closed_set | superseded]
    _policyless(key, [*kept, *fresh])
    difference = _difference(key, force, fresh, closed, len(wanted) - len(fresh), kept)
    if not difference.is_change:
        return difference
    _write(connection, key, fresh, closed, change, now)
    return difference


def _is_fresh(
    row: RateRow, known: dict[tuple[str, Instant], RateRow], force: dict[str, RateRow], begins: Instant
) -> bool:
    same = known.get((row.prefix, row.terms.effective_from))
    if same is not None:
        return _price(same) != _price(row) or same.terms.effective_to != row.terms.effective_to
    current = force.get(row.prefix)
    undated = row.terms.effective_from == begins and row.terms.effective_to == EFFECTIVE_FOREVER
    return not (
        undated
        and current is not None
        and current.terms.effective_to == EFFECTIVE_FOREVER
        and _price(current) == _price(row)
    )


def _refuse_the_past(fresh: Sequence[RateRow], first: bool, change: DeckChange, now: Instant) -> None:
    for row in fresh:
        if not first and row.terms.effective_from < now and not change.backdate:
            raise DeckRefused(
                f"{row.source or change.source}:{row.line}: prefix {row.prefix} would be in force from a date in the"
                " past: say --backdate, or give a later effective_from"
            )


def _closed(stored: Sequence[RateRow], wanted: Sequence[RateRow], now: Instant) -> list[RateRow]:
    names = {row.prefix for row in wanted}
    return [row for row in stored if row.prefix not in names and row.terms.effective_to > now]


def _difference(
    key: Key, force: dict[str, RateRow], fresh: Sequence[RateRow], closed: Sequence[RateRow], same: int,
    kept: Sequence[RateRow],
) -> DeckDifference:  # fmt: skip
    groups: dict[str, list[str]] = {"new": [], "increased": [], "decreased": [], "changed": []}
    for row in fresh:
        earlier = force.get(row.prefix)
        if earlier is None:
            groups["new"].append(row.prefix)
        elif row.rate != earlier.rate:
            groups["increased" if row.rate > earlier.rate else "decreased"].append(row.prefix)
        else:
            groups["changed"].append(row.prefix)
    gone = sorted({row.prefix for row in closed})
    left = {row.prefix for row in kept} | {row.prefix for row in fresh}
    falls = tuple((prefix, _shorter(prefix, left)) for prefix in gone[:NAMES_SHOWN])
    return DeckDifference(
        str(key), tuple(sorted(groups["new"])), tuple(sorted(groups["increased"])), tuple(sorted(groups["decreased"])),
        tuple(sorted(groups["changed"])), tuple(gone), tuple(pair for pair in falls if pair[1]), same, len(force),
    )  # fmt: skip


def _shorter(prefix: str, left: set[str]) -> str:
    return next((prefix[:size] for size in range(len(prefix) - 1, 0, -1) if prefix[:size] in left), "")


def _write(
    connection: sqlite3.Connection, key: Key, fresh: Sequence[RateRow], closed: Sequence[RateRow], change: DeckChange,
    now: Instant,
) -> None:  # fmt: skip
    version = connection.execute(
        "SELECT coalesce(max(version), 0) + 1 FROM deck_version WHERE tenant = ? AND rate_table = ?", key
    ).fetchone()[0]
    connection.execute(
        "INSERT INTO deck_version (tenant, rate_table, version, at, mode, who, source) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*key, version, now, change.mode, change.who, change.source),
    )
    where = " WHERE tenant = ? AND rate_table = ? AND prefix = ? AND effective_from = ?"
    # A row that never was in force is taken out by an end at its beginning; one that was ends now.
    connection.executemany(
        "UPDATE deck_row SET effective_to = max(effective_from, ?)" + where,
        [(now, *key, row.prefix, row.terms.effective_from) for row in closed],
    )
    connection.executemany(
        "UPDATE deck_row SET effective_to = effective_from" + where + " AND effective_from > ?",
        [(*key, row.prefix, row.terms.effective_from, now) for row in fresh],
    )
    names = ("tenant", "rate_table", "version", *_COLUMNS)
    connection.executemany(
        f"INSERT INTO deck_row ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
        [
            (*key, version, row.prefix, row.destination, row.rate, *row.terms[:-1], int(row.terms.blocked))
            for row in fresh
        ],
    )
