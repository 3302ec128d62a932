"""Decks by version: a row that has been in force is never altered, except that its end may be set, not before now.

Undated rows take the instant of their commit; a table's first deck is valid always. A row that says what is in force
anyway is unchanged and makes no version. ``replace`` closes what the file does not name, ``merge`` leaves it.
A large deck is written aside in short transactions, so that no call waits for it, and comes into force by one row:
what a version says counts only once the version is there.
"""

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from daemon.charging.configuration import Configuration, RateTableSpec, policy_of
from daemon.charging.ports import StoreError, StoreUnavailable
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant
from daemon.rating.deck import RateRow
from daemon.rating.rate_table import Policy, RateTable
from daemon.store.deck_import import (
    DeckChange,
    DeckDifference,
    DeckPlan,
    DeckRefused,
    StoredRow,
    planned,
    stored_row,
    values_of,
)

__all__ = ["DeckChange", "DeckDifference", "DeckRefused", "Decks", "Staged"]

T = TypeVar("T")
STALE = 3_600_000_000  # microseconds after which an import that has not come into force is taken for dead
STAGE_ROWS = 5_000  # rows written in one transaction: some 30 ms in which no call can commit
_COLUMNS = (
    "prefix", "destination", "rate", "connect_fee", "first_seconds", "next_seconds", "free_seconds",
    "included_seconds", "minimum_charge", "effective_from", "effective_to", "rate_type", "blocked",
)  # fmt: skip
_WHERE = "WHERE tenant = ? AND rate_table = ?"
_PUBLISHED = f"SELECT version FROM deck_version {_WHERE} AND is_published = 1"
_ROWS = f"SELECT number, {', '.join(_COLUMNS)} FROM deck_row {_WHERE} AND version IN ({_PUBLISHED})"
_ENDS = f"SELECT row, min(at) FROM deck_end {_WHERE} AND version IN ({_PUBLISHED}) GROUP BY row"
_NEWEST = f"SELECT coalesce(max(version), 0) FROM deck_version {_WHERE}"
_INSERT = (
    f"INSERT INTO deck_row (tenant, rate_table, version, {', '.join(_COLUMNS)})"
    f" VALUES ({', '.join('?' * (len(_COLUMNS) + 3))})"
)
_CLAIM = (
    "INSERT INTO deck_version (tenant, rate_table, version, at, mode, who, source, digest, is_published)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)"
)


@dataclass(frozen=True, slots=True)
class Staged:
    """A deck written aside as ``version``, on the ground of ``base``; ``publish`` brings it into force."""

    key: Key
    base: int
    version: int

    def publish(self, connection: sqlite3.Connection) -> None:
        """Make the version count, within a transaction. Raises StoreUnavailable where another import came between."""
        newest = connection.execute(f"{_NEWEST} AND is_published = 1", self.key).fetchone()[0]
        where = f"{_WHERE} AND version = ?"
        made = connection.execute(f"UPDATE deck_version SET is_published = 1 {where}", (*self.key, self.version))
        if newest != self.base or made.rowcount != 1:
            raise StoreUnavailable(f"another import of rate table {self.key} came between; import again")


class Decks:
    """Reads rate tables of their stored decks; a table is built anew only when its deck or policy changed."""

    def __init__(self, now: Callable[[], Instant]) -> None:
        """Take the clock that dates versions."""
        self._now = now
        self._tables: dict[Key, tuple[Policy, RateTable]] = {}

    async def administer(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run administrative work in a transaction; given by the engine."""
        raise StoreError("an engine gives this")

    async def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return rows; given by the engine."""
        raise StoreError("an engine gives this")

    async def rate_table(self, spec: RateTableSpec, configuration: Configuration) -> RateTable:
        """Return the rate table of a spec with its newest deck. Raises StoreError where the rows contradict."""
        key = Key(spec.tenant, spec.id)
        policy = policy_of(spec, await self._version(key), configuration)
        cached = self._tables.get(key)
        if cached is not None and cached[0] == policy:
            return cached[1]
        table = await asyncio.to_thread(_built, key, policy, *await self._stored(key))
        self._tables[key] = (policy, table)
        return table

    async def _version(self, key: Key) -> int:
        version: int = (await self.rows(f"{_NEWEST} AND is_published = 1", key))[0][0]
        return version

    async def _stored(self, key: Key) -> tuple[list[tuple[Any, ...]], dict[int, Instant]]:
        """Return a table's rows, and the ends that were set to them."""
        ends = await self.rows(_ENDS, (*key, *key))
        return await self.rows(_ROWS, (*key, *key)), dict(ends)

    async def deck_versions(self, key: Key) -> list[dict[str, object]]:
        """Return the versions of a table's deck, oldest first."""
        names = ("version", "at", "mode", "who", "source")
        query = f"SELECT {', '.join(names)} FROM deck_version {_WHERE} AND is_published = 1 ORDER BY version"
        return [dict(zip(names, row, strict=True)) for row in await self.rows(query, key)]

    async def stated_digest(self, key: Key, source: str) -> str:
        """Return the digest of the newest deck that a source gave, empty where it gave none."""
        where = f"{_WHERE} AND source = ? AND is_published = 1"
        query = f"SELECT digest FROM deck_version {where} ORDER BY version DESC LIMIT 1"
        found = await self.rows(query, (*key, source))
        return str(found[0][0]) if found else ""

    async def deck_plan(
        self, key: Key, rows: Sequence[RateRow], change: DeckChange, now: Instant
    ) -> tuple[int, DeckPlan]:
        """Return the newest version and what an import would do to it. Raises DeckRefused."""
        version = await self._version(key)
        rows_there, ends = await self._stored(key)
        return version, await asyncio.to_thread(_planned, key, rows_there, ends, rows, change, now)

    async def staged(
        self, key: Key, rows: Sequence[RateRow], change: DeckChange, base: int, plan: DeckPlan, now: Instant
    ) -> Staged:
        """Write a plan aside, in short transactions; what imports that died left aside is taken out first."""
        while await self.administer(partial(_clear, key, now - STALE)):
            pass
        digest = await asyncio.to_thread(deck_digest, rows)
        version = await self.administer(partial(_claim, key, change, digest, now))
        for begins in range(0, max(len(plan.fresh), len(plan.endings)), STAGE_ROWS):
            part = slice(begins, begins + STAGE_ROWS)
            await self.administer(partial(_stage, key, version, plan, part))
        return Staged(key, base, version)


def deck_digest(rows: Sequence[RateRow]) -> str:
    """Return the SHA-256 of a deck as it is stated, whatever the order of its rows and the name of its file."""
    lines = sorted(repr((row.prefix, row.rate, row.destination, tuple(row.terms))) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _rows(stored: Sequence[tuple[Any, ...]], ends: Mapping[int, Instant]) -> list[StoredRow]:
    """Return the rows that are or will be in force or were, with the ends that count."""
    found = (stored_row((*values, ends.get(values[0]))) for values in stored)
    return [row for row in found if not row.is_withdrawn]


def _built(key: Key, policy: Policy, stored: Sequence[tuple[Any, ...]], ends: Mapping[int, Instant]) -> RateTable:
    table, errors = RateTable.of(policy, (row.in_force_until_its_end for row in _rows(stored, ends)))
    if table is None:
        raise StoreError(f"rate table {key}: {errors[0]}")
    return table


def _planned(
    key: Key, stored: Sequence[tuple[Any, ...]], ends: Mapping[int, Instant], rows: Sequence[RateRow],
    change: DeckChange, now: Instant,
) -> DeckPlan:  # fmt: skip
    return planned(key, _rows(stored, ends), rows, change, now, is_first=not stored)


def _clear(key: Key, before: Instant, connection: sqlite3.Connection) -> int:
    """Take out a part of what was left aside before an instant; return how many rows that were."""
    stale = f"SELECT version FROM deck_version {_WHERE} AND is_published = 0 AND at < ?"
    rows = 0
    for table in ("deck_row", "deck_end"):
        rows += connection.execute(
            f"DELETE FROM {table} WHERE rowid IN"
            f" (SELECT rowid FROM {table} {_WHERE} AND version IN ({stale}) LIMIT {STAGE_ROWS})",
            (*key, *key, before),
        ).rowcount
    if rows == 0:
        connection.execute(f"DELETE FROM deck_version {_WHERE} AND is_published = 0 AND at < ?", (*key, before))
    return rows


def _claim(key: Key, change: DeckChange, digest: str, now: Instant, connection: sqlite3.Connection) -> int:
    """Take the next version of a table for an import of its own."""
    version: int = connection.execute(_NEWEST, key).fetchone()[0] + 1
    connection.execute(_CLAIM, (*key, version, now, change.mode, change.who, change.source, digest))
    return version


def _stage(key: Key, version: int, plan: DeckPlan, part: slice, connection: sqlite3.Connection) -> None:
    connection.executemany(_INSERT, [(*key, version, *values_of(row)) for row in plan.fresh[part]])
    connection.executemany(
        "INSERT INTO deck_end (tenant, rate_table, version, row, at) VALUES (?, ?, ?, ?, ?)",
        [(*key, version, ending.number, ending.at) for ending in plan.endings[part]],
    )
