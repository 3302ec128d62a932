"""The same transactions as ``bench_store``, on PostgreSQL: reserve and settle at two levels, with their answers.

Beside each stands the bare asyncpg driver on one connection making the same writes in groups of the same size: rows
made beforehand, one ``executemany`` a table, nothing loaded, locked or decided, nobody answered. The server is made for
the measurement with fsync on, and shares the machine's cores with the process that asks it.
"""

import asyncio
import gc
import time
from collections.abc import Callable

import asyncpg

from benchmarks.bench_store import (
    IN_FLIGHT,
    REPLY,
    SECONDS,
    START,
    Measured,
    call_of,
    filled,
    record_of,
    settled,
    worker,
)
from daemon.charging.call import Call
from daemon.settings import StoreSettings
from daemon.store import LedgerStore, open_store, schema
from daemon.store.postgres_link import WRITING
from daemon.store.rows import call_row, record_row
from tests.integration.postgres_cluster import Cluster

GOAL = 6_000  # transactions a second at 64 in flight
Statements = list[tuple[str, list[tuple[object, ...]]]]


async def opened(url: str) -> LedgerStore:
    """Return the store of an empty database with a reseller and its customer."""
    return await filled(await open_store(StoreSettings(url), lambda: START, create=True))


async def through_the_store(url: str, in_flight: int, seconds: float) -> Measured:
    """Measure the store with so many calls at once."""
    store = await opened(url)
    numbers = [0]
    await asyncio.gather(*(worker(store, numbers, lambda: numbers[0] > 2_000) for _ in range(in_flight)))
    gc.collect()
    commits, cpu, began = store.writer.commits, time.process_time(), time.perf_counter()
    ends = began + seconds
    done = await asyncio.gather(*(worker(store, numbers, lambda: time.perf_counter() > ends) for _ in range(in_flight)))
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    made = store.writer.commits - commits
    await store.close()
    return Measured(sum(done), made, took, cpu)


async def through_the_driver(url: str, group: int, seconds: float) -> Measured:
    """Measure the bare driver: the same rows, made beforehand, ``group`` transactions to a commit."""
    await (await opened(url)).close()
    connection = await asyncpg.connect(url, server_settings=WRITING)
    groups = [_rows(range(start, start + group)) for start in range(0, max(group, 8_192), group)]
    transactions = commits = 0
    cpu, began = time.process_time(), time.perf_counter()
    for statements in (each for pair in groups for each in pair):
        if time.perf_counter() > began + seconds:
            break
        async with connection.transaction():
            for statement, rows in statements:
                await connection.executemany(statement, rows)
        transactions, commits = transactions + group, commits + 1
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    await connection.close()
    return Measured(transactions, commits, took, cpu)


def _rows(numbers: range) -> tuple[Statements, Statements]:
    calls = [call_of(number) for number in numbers]
    return _written(calls, "ask"), _written([settled(call) for call in calls], "stop")


def _written(calls: list[Call], what: str) -> Statements:
    call = _columns("call")
    kept = ", ".join(f"{name} = excluded.{name}" for name in call[1:])
    statements: Statements = [
        (
            f"{_insert('call', call)} ON CONFLICT (grant_id) DO UPDATE SET {kept}",
            [tuple(call_row(each)) for each in calls],
        ),
        (_insert("entry", _columns("entry")), [_entry_row(each, level) for each in calls for level in (1, 2)]),
        (
            _insert("message", _columns("message")),
            [(f"{what}:{each.call_id}", b"0" * 16, REPLY, START, each.grant_id) for each in calls],
        ),
        ("UPDATE account SET balance = $1, reserved = $2 WHERE number = $3", [(1, 1, 1), (2, 1, 2)]),
    ]
    if what == "stop":
        rows = [tuple(record_row(record_of(each, place))) for each in calls for place in (0, 1)]
        statements.append((_insert("record", _columns("record")), rows))
    return statements


def _columns(table: str) -> tuple[str, ...]:
    columns = (column.name for column in schema.metadata.tables[table].columns)
    return tuple(name for name in columns if name not in ("number", "seq"))


def _insert(table: str, columns: tuple[str, ...]) -> str:
    values = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"


def _entry_row(call: Call, account: int) -> tuple[object, ...]:
    return (account, "reserve", START, call.grant_id, 0, 1, 0, 0, 1, 1, 1, None, "", "")


def measured(database: Callable[[], str]) -> None:
    """Print the figures of every number in flight."""
    print(
        f"{'in flight':>9}{'store tx/s':>12}{'tx/commit':>11}{'commits/s':>11}{'CPU':>6}{'bare tx/s':>12}{'ratio':>7}"
    )
    for in_flight in IN_FLIGHT:
        ours = asyncio.run(through_the_store(database(), in_flight, SECONDS))
        bare = asyncio.run(through_the_driver(database(), in_flight, SECONDS))
        print(
            f"{in_flight:>9}{ours.rate:>12,.0f}{ours.per_commit:>11.1f}{ours.commits:>11,.0f}{ours.cpu:>6.0%}"
            f"{bare.rate:>12,.0f}{ours.rate / bare.rate:>7.2f}"
        )


def main() -> None:
    """Print the figures."""
    cluster = Cluster()
    try:
        print(f"{cluster.version()}, synchronous_commit=on; reserve and settle at two levels, with their answers")
        measured(cluster.database)
        print(f"goal at 64 in flight: {GOAL:,} tx/s")
    finally:
        cluster.remove()


if __name__ == "__main__":
    main()
