"""Decks by version: a row that has been in force is never altered, except that its end may be set, not before now.

Undated rows take the instant of their commit; a table's first deck is valid always. A row that says what is in force
anyway is unchanged and makes no version. ``replace`` closes what the file does not name, ``merge`` leaves it.
A large deck is written aside in short transactions, so that no call waits for it, and comes into force by one row:
what a version says counts only once the version is there.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from daemon.charging.configuration import Configuration, RateTableSpec, policy_of
from daemon.charging.ports import StoreError, StoreUnavailable
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant
from daemon.rating.deck import EFFECTIVE_FOREVER, RateRow, Terms
from daemon.rating.rate_table import RateTable
from daemon.store.deck_difference import KINDS
from daemon.store.deck_import import DeckChange, DeckDifference, DeckPlan, DeckRefused, planned
from daemon.store.deck_rollback import DatedRow, rolled_back
from daemon.store.deck_terms import StoredTerms, numbered
from daemon.store.deck_versions import StoredRow
from daemon.store.link import Link

__all__ = ["DeckChange", "DeckDifference", "DeckRefused", "Decks", "Progress", "Staged"]

T = TypeVar("T")
Progress = Callable[[str], None]  # told what goes on now
STALE: Final = 3_600_000_000  # microseconds after which an import that has not come into force is taken for dead
STAGE_ROWS: Final = 5_000  # rows written in one transaction: some 30 ms in which no call can commit
STAGE_PAUSE: Final = 0.004  # seconds between two of them, in which a daemon that waits for the lock takes it
HURRIED_ROWS: Final = 5_000  # rows read at once by a daemon that serves nobody yet
READ_ROWS: Final = 200  # rows read at once: two milliseconds of work, after which a thread that waits may go on
READ_PAUSE: Final = 0.00001  # seconds; any pause at all lets the other threads go first
_FIRST_TERMS: Final = Terms._fields[:10]  # of a row in the first release: digests of decks without more stay the same
_WHERE = "WHERE tenant = ? AND rate_table = ?"
_PUBLISHED = f"SELECT version FROM deck_version {_WHERE} AND is_published = 1"
_ENDS = f"SELECT row, min(at) AS ended{{}} FROM deck_end {_WHERE} AND version IN ({_PUBLISHED}) GROUP BY row"
_FROM = f"FROM deck_row LEFT JOIN ({_ENDS}) AS ends ON row = number {_WHERE} AND version IN ({_PUBLISHED})"
_ROWS = f"SELECT number, prefix, destination, rate, terms, ended{{}} {_FROM} ORDER BY prefix, number"
_ROWS_NOW = _ROWS.format("", "")
_ROWS_THEN = _ROWS.format(
    ", CASE WHEN version <= ? THEN coalesce(ended_then, ?) END",
    ", min(CASE WHEN version <= ? THEN at END) AS ended_then",
)
_NEWEST = f"SELECT coalesce(max(version), 0) FROM deck_version {_WHERE}"
_ROW = ("tenant", "rate_table", "version", "prefix", "destination", "rate", "terms")
_END = ("tenant", "rate_table", "version", "row", "at")
_CLAIMED = (
    "tenant", "rate_table", "version", "at", "mode", "who", "source", "digest", "is_published", "reason", "begins",
    *KINDS,
)  # fmt: skip
_CLAIM = f"INSERT INTO deck_version ({', '.join(_CLAIMED)}) VALUES ({', '.join('?' * len(_CLAIMED))})"
_HISTORY = ("version", "at", "mode", "who", "source", "reason", "begins", *KINDS)


@dataclass(frozen=True, slots=True)
class Staged:
    """A deck written aside as ``version``, on the ground of ``base``; ``publish`` brings it into force."""

    key: Key
    base: int
    version: int

    def publish(self, connection: Link) -> None:
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
        self._tables: dict[Key, RateTable] = {}

    async def administer(self, work: Callable[[Link], T]) -> T:
        """Run administrative work in a transaction; given by the engine."""
        raise StoreError("an engine gives this")

    async def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return rows; given by the engine."""
        raise StoreError("an engine gives this")

    async def reading(self, work: Callable[[Link], T]) -> T:
        """Run work that reads much in a thread, on a connection that sees one snapshot; given by the engine."""
        raise StoreError("an engine gives this")

    async def rate_table(
        self, spec: RateTableSpec, configuration: Configuration, *, hurried: bool = False
    ) -> RateTable:
        """Return the rate table of a spec with its newest deck. Raises StoreError where the rows contradict.

        ``hurried``: nobody is served beside it.
        """
        key = Key(spec.tenant, spec.id)
        cached = self._tables.get(key)
        if cached is not None and cached.policy == policy_of(spec, await self._version(key), configuration):
            return cached
        table = self._tables[key] = await self.built(spec, configuration, hurried=hurried)
        return table

    async def built(self, spec: RateTableSpec, configuration: Configuration, *, hurried: bool = False) -> RateTable:
        """Return the rate table of a spec as a configuration makes it. Raises StoreError where the rows contradict."""
        return await self.reading(partial(_built, spec, configuration, hurried))

    async def _version(self, key: Key) -> int:
        version: int = (await self.rows(f"{_NEWEST} AND is_published = 1", key))[0][0]
        return version

    async def deck_versions(self, key: Key) -> list[dict[str, object]]:
        """Return the versions of a table's deck, oldest first, with how many rows each added and ended."""
        query = f"SELECT {', '.join(_HISTORY)} FROM deck_version {_WHERE} AND is_published = 1 ORDER BY version"
        counts = f"SELECT version, count(*) FROM {{}} {_WHERE} GROUP BY version"
        added = dict(await self.rows(counts.format("deck_row"), key))
        ended = dict(await self.rows(counts.format("deck_end"), key))
        return [
            {
                **dict(zip(_HISTORY, row, strict=True)),
                "rows_added": added.get(row[0], 0), "rows_ended": ended.get(row[0], 0),
            }
            for row in await self.rows(query, key)
        ]  # fmt: skip

    async def stated_digest(self, key: Key, source: str) -> str:
        """Return the digest of the newest deck that a source gave, empty where it gave none."""
        where = f"{_WHERE} AND source = ? AND is_published = 1"
        query = f"SELECT digest FROM deck_version {where} ORDER BY version DESC LIMIT 1"
        found = await self.rows(query, (*key, source))
        return str(found[0][0]) if found else ""

    async def deck_plan(
        self, spec: RateTableSpec, configuration: Configuration, rows: Sequence[RateRow], change: DeckChange,
        now: Instant,
    ) -> tuple[int, DeckPlan]:  # fmt: skip
        """Return the newest version and what an import would do to it. Raises DeckRefused."""
        return await self.reading(partial(_planned, spec, configuration, rows, change, now))

    async def rollback_plan(
        self, spec: RateTableSpec, configuration: Configuration, to: int, now: Instant
    ) -> tuple[int, DeckPlan]:
        """Return the newest version and what a rollback would do to it. Raises DeckRefused."""
        return await self.reading(partial(_planned_rollback, spec, configuration, to, now))

    async def staged(
        self, key: Key, digest: str, change: DeckChange, base: int, plan: DeckPlan, now: Instant,
        progress: Progress | None = None,
    ) -> Staged:  # fmt: skip
        """Write a plan aside, in short transactions; what imports that died left aside is taken out first."""
        while await self.administer(partial(_clear, key, now - STALE)):
            pass
        version = await self.administer(partial(_claim, key, change, digest, plan, now))
        total = max(len(plan.fresh), len(plan.endings))
        terms: dict[Terms, int] = {}
        for begins in range(0, total, STAGE_ROWS):
            part = slice(begins, begins + STAGE_ROWS)
            places = {id(row.terms): row.terms for row in plan.fresh[part]}  # nearly always one object where equal
            new = set(places.values()) - terms.keys()
            if new:
                terms |= await self.administer(partial(numbered, new))
            numbers = {place: terms[each] for place, each in places.items()}
            # What is written is laid out before the transaction, in which nothing else can commit.
            rows = [(*key, version, *values_of(row), numbers[id(row.terms)]) for row in plan.fresh[part]]
            ends = [(*key, version, ending.number, ending.at) for ending in plan.endings[part]]
            await self.administer(partial(_stage, rows, ends))
            if progress is not None:
                progress(f"writing {key}: {min(begins + STAGE_ROWS, total)} of {total} rows")
            await asyncio.sleep(STAGE_PAUSE)
        return Staged(key, base, version)


def _in_force(connection: Link, key: Key, hurried: bool) -> Iterator[RateRow]:
    """Yield the rows of ``_stored`` without their numbers: a page at a time, for a table of a million rows."""
    terms_of, known = StoredTerms(connection).of, dict[tuple[int, Instant | None], Terms]()
    for page in connection.pages(_ROWS_NOW, key * 4, HURRIED_ROWS if hurried else READ_ROWS):
        places = {row[4:] for row in page}
        known = {place: known.get(place) or terms_of(*place) for place in places}
        yield from [
            RateRow(prefix, rate, destination, terms)
            for _, prefix, destination, rate, place, ended in page
            if (terms := known[place, ended]).effective_to > terms.effective_from
        ]
        if not hurried:
            time.sleep(READ_PAUSE)


def _unhurried(connection: Link, query: str, parameters: Sequence[object]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query some at a time, and let the threads that charge calls run between."""
    for rows in connection.pages(query, parameters, READ_ROWS):
        yield from rows
        time.sleep(READ_PAUSE)


def _stored(connection: Link, key: Key) -> Iterator[StoredRow]:
    """Yield a table's rows but the withdrawn, by prefix, with the ends that count."""
    terms_of = StoredTerms(connection).of
    for number, prefix, destination, rate, place, ended in _unhurried(connection, _ROWS_NOW, key * 4):
        terms = terms_of(place, ended)
        if terms.effective_to > terms.effective_from:
            yield StoredRow(number, RateRow(prefix, rate, destination, terms))


def _stored_then(connection: Link, key: Key, to: int) -> Iterator[DatedRow]:
    """Yield all rows by prefix, with the ends that count and those that counted when a version was the newest."""
    terms_of = StoredTerms(connection).of
    asked = (to, EFFECTIVE_FOREVER, to, *key * 4)
    for number, prefix, destination, rate, place, ended, then in _unhurried(connection, _ROWS_THEN, asked):
        stored = StoredRow(number, RateRow(prefix, rate, destination, terms_of(place, ended)))
        yield DatedRow(stored, None if then is None else terms_of(place, then).effective_to)


def _version_of(connection: Link, key: Key) -> int:
    version: int = connection.execute(f"{_NEWEST} AND is_published = 1", key).fetchone()[0]
    return version


def _built(spec: RateTableSpec, configuration: Configuration, hurried: bool, connection: Link) -> RateTable:
    key = Key(spec.tenant, spec.id)
    policy = policy_of(spec, _version_of(connection, key), configuration)
    table, errors = RateTable.of_ordered(policy, _in_force(connection, key, hurried))
    if table is None:
        raise StoreError(f"rate table {key}: {errors[0]}")
    return table


def _planned(
    spec: RateTableSpec, configuration: Configuration, rows: Sequence[RateRow], change: DeckChange, now: Instant,
    connection: Link,
) -> tuple[int, DeckPlan]:  # fmt: skip
    key = Key(spec.tenant, spec.id)
    version = _version_of(connection, key)
    policy = policy_of(spec, version, configuration)
    return version, planned(key, _stored(connection, key), rows, change, now, is_first=version == 0, policy=policy)


def _planned_rollback(
    spec: RateTableSpec, configuration: Configuration, to: int, now: Instant, connection: Link
) -> tuple[int, DeckPlan]:
    key = Key(spec.tenant, spec.id)
    version = _version_of(connection, key)
    known = [number for (number,) in connection.execute(f"{_PUBLISHED} ORDER BY version", key)]
    if to not in known:
        there = f"it has {', '.join(map(str, known))}" if known else "it has none yet"
        raise DeckRefused(f"rate table {key} has no version {to}: {there}")
    return version, rolled_back(key, _stored_then(connection, key, to), now, policy_of(spec, version, configuration))


def deck_digest(rows: Sequence[RateRow]) -> str:
    """Return the SHA-256 of a deck as it is stated, whatever the order of its rows and the name of its file."""
    known: dict[int, str] = {}  # by id: the rows hold their terms, and equal ones are nearly always one object
    lines = []
    for row in rows:
        terms = known.get(id(row.terms))
        if terms is None:
            terms = known[id(row.terms)] = _terms_digested(row.terms)
        closes = ", 'delete'" if row.closes else ""
        lines.append(f"({row.prefix!r}, {row.rate}, {row.destination!r}, {terms}{closes})")
    lines.sort()
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _terms_digested(terms: Terms) -> str:
    first = len(_FIRST_TERMS)
    return repr(tuple(terms[:first] if terms[first:] == Terms()[first:] else terms))


def values_of(row: RateRow) -> tuple[str, str, int]:
    """Return a row's columns in the store but its terms."""
    return row.prefix, row.destination, row.rate


def _clear(key: Key, before: Instant, connection: Link) -> int:
    """Take out a part of what was left aside before an instant; return how many rows that were."""
    stale = f"SELECT version FROM deck_version {_WHERE} AND is_published = 0 AND at < ?"
    rows = 0
    for table, names in (("deck_row", "number"), ("deck_end", "(tenant, rate_table, version, row)")):
        rows += connection.execute(
            f"DELETE FROM {table} WHERE {names} IN"
            f" (SELECT {names.strip('()')} FROM {table} {_WHERE} AND version IN ({stale}) LIMIT {STAGE_ROWS})",
            (*key, *key, before),
        ).rowcount
    if rows == 0:
        connection.execute(f"DELETE FROM deck_version {_WHERE} AND is_published = 0 AND at < ?", (*key, before))
    return rows


def _claim(key: Key, change: DeckChange, digest: str, plan: DeckPlan, now: Instant, connection: Link) -> int:
    """Take the next version of a table for an import of its own."""
    version: int = connection.execute(_NEWEST, key).fetchone()[0] + 1
    counts = (len(getattr(plan.difference, kind)) for kind in KINDS)
    values = (version, now, change.mode, change.who, change.source, digest, 0, change.reason, plan.begins, *counts)
    connection.execute(_CLAIM, (*key, *values))
    return version


def _stage(rows: Sequence[tuple[object, ...]], ends: Sequence[tuple[object, ...]], connection: Link) -> None:
    connection.insert("deck_row", _ROW, rows)
    connection.insert("deck_end", _END, ends)
