"""The transactions of ``bench_store`` on PostgreSQL: reserve and settle at two levels; then the ledger's part alone.

The ledger's part is entries, accounts and the call, without records and answers. Beside each stands the bare asyncpg
driver writing the same rows in groups of the same size, made ready beforehand, as one statement of arrays that commits
by itself: nothing loaded, locked or decided, nobody answered; no other way of asyncpg to write them was faster. The
server is made for the measurement with fsync on, and shares the machine's cores with the process that asks it; what is
set of it is what docs/operations/postgres.md says.
"""

import asyncio
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import asyncpg

from benchmarks.bench_store import (
    CHARGE,
    IN_FLIGHT,
    SECONDS,
    START,
    Measured,
    call_of,
    filled,
    reserve,
    settle,
    settled,
)
from daemon.charging.call import Call
from daemon.charging.ports import Book, Reads
from daemon.ledger import posting
from daemon.ledger.account import Standing
from daemon.settings import StoreSettings
from daemon.store import LedgerStore, open_store
from daemon.store import postgres_statements as sql
from daemon.store.book import Overlay, Working
from daemon.store.postgres_batch import Packed, packed
from daemon.store.postgres_link import CHARGING
from tests.integration.postgres_cluster import Cluster

GOAL, AIM = 6_000, 12_000  # transactions a second at 64 in flight
ALONE_MAX_MS = 3  # at the median
CALLS_MADE = 12_288  # for the bare driver, before it is measured: some hundred megabytes
LOG_MEGABYTES = 512  # of the server's log that are written and given back before anything is measured
SERVER = {"shared_buffers": "512MB", "wal_buffers": "16MB"}  # beside what is there by default
Decide = Callable[[Call, Book], str]


class Part(NamedTuple):
    """What is measured: how a call is held and settled, and whether its answers are kept."""

    name: str
    hold: Decide
    settle: Decide
    is_answered: bool

    def reads(self, what: str, call: Call) -> Reads:
        """Return what a transaction reads."""
        messages = (f"{what}:{call.call_id}",) if self.is_answered else ()
        return Reads(accounts=(1, 2), calls=((call.id_domain, call.call_id),), messages=messages)


def hold_alone(call: Call, book: Book) -> str:
    """Hold money and a channel at both levels."""
    assert not book.calls(call.id_domain, call.call_id)
    for level in call.levels:
        book.post(posting.reserve(book.standing(level.account), call.grant_id, CHARGE, call.direction, START))
    book.save_call(call)
    return call.grant_id


def settle_alone(call: Call, book: Book) -> str:
    """Post the charge at both levels, and let go of the rest."""
    found = book.calls(call.id_domain, call.call_id)[-1]
    for level in found.levels:
        standing = book.standing(level.account)
        for posted in posting.debit(standing, found.grant_id, CHARGE, CHARGE, found.direction, None, START):
            book.post(posted)
    book.save_call(settled(found))
    return found.grant_id


WHOLE = Part("reserve and settle at two levels, with records and answers", reserve, settle, is_answered=True)
LEDGER = Part("the ledger alone: entries, accounts and the call", hold_alone, settle_alone, is_answered=False)


class Run:
    """Callers that play calls one after the other, and how long each transaction took."""

    def __init__(self, store: LedgerStore, part: Part) -> None:
        self._store, self._part = store, part
        self._number = 0
        self.seconds: list[float] = []

    async def caller(self, until: Callable[[], bool]) -> None:
        """Play calls until it is time."""
        while not until():
            self._number += 1
            call = call_of(self._number)
            await self._done(self._part.reads("ask", call), call, self._part.hold)
            await self._done(self._part.reads("stop", call), call, self._part.settle)

    async def _done(self, reads: Reads, call: Call, decide: Decide) -> None:
        began = time.perf_counter()
        await self._store.transact(reads, lambda book: decide(call, book))
        self.seconds.append(time.perf_counter() - began)

    async def all(self, in_flight: int, seconds: float) -> None:
        """Let so many callers play for a time."""
        ends = time.perf_counter() + seconds
        await asyncio.gather(*(self.caller(lambda: time.perf_counter() > ends) for _ in range(in_flight)))


class Figures(NamedTuple):
    """What one measurement gave; the median is of one transaction's or one group's seconds."""

    measured: Measured
    median: float


async def opened(url: str) -> LedgerStore:
    """Return the store of an empty database with a reseller and its customer."""
    return await filled(await open_store(StoreSettings(url), lambda: START, create=True))


async def through_the_store(url: str, part: Part, in_flight: int, seconds: float) -> Figures:
    """Measure the store with so many calls at once."""
    store = await opened(url)
    run = Run(store, part)
    await run.all(in_flight, seconds / 4)
    run.seconds.clear()
    gc.collect()
    commits, cpu, began = store.writer.commits, time.process_time(), time.perf_counter()
    await run.all(in_flight, seconds)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    made = store.writer.commits - commits
    await store.close()
    return Figures(Measured(len(run.seconds), made, took, cpu), statistics.median(run.seconds))


async def through_the_driver(url: str, part: Part, group: int, seconds: float) -> Figures:
    """Measure the bare driver: the same rows, made beforehand, ``group`` transactions to a commit."""
    await (await opened(url)).close()
    connection = await asyncpg.connect(url, server_settings=CHARGING)
    batches = list(_batches(part, group, CALLS_MADE))
    statements = {batch.kinds: await connection.prepare(sql.writing(batch.kinds)) for batch in batches[:2]}
    marks, cpu = [time.perf_counter()], time.process_time()
    for batch in batches:
        if marks[-1] > marks[0] + seconds:
            break
        await statements[batch.kinds].fetch(*batch.columns)
        marks.append(time.perf_counter())
    took, cpu, commits = marks[-1] - marks[0], time.process_time() - cpu, len(marks) - 1
    await connection.close()
    median = statistics.median(end - start for start, end in pairwise(marks))
    return Figures(Measured(commits * group, commits, took, cpu), median)


def _batches(part: Part, group: int, count: int) -> Iterator[Packed]:
    """Yield what the store would write for calls held and settled in groups."""
    standings = {number: Standing(number) for number in (1, 2)}
    for start in range(0, count, group):
        calls = [call_of(number) for number in range(start, start + group)]
        for what, decide, known in (("ask", part.hold, []), ("stop", part.settle, calls)):
            working = Working(standings=standings)
            working.add_loaded(known)
            working.unanswered.update(key for call in calls for key in part.reads(what, call).messages)
            for call in calls:
                book = Overlay(working, part.reads(what, call))
                decide(call, book)
                book.merge()
            yield packed(working)


def aged(cluster: Cluster) -> None:
    """Let the server use its log's files again, as one does that has run for an hour: new ones are filled first."""
    cluster.sql(
        f"ALTER SYSTEM SET min_wal_size = '{2 * LOG_MEGABYTES}MB'", "ALTER SYSTEM SET max_wal_size = '8GB'",
        "SELECT pg_reload_conf()",
    )  # fmt: skip
    message = "pg_logical_emit_message(false, 'fill', repeat('x', 1 << 20))"
    cluster.sql(
        f"SELECT count({message}) FROM generate_series(1, {LOG_MEGABYTES})",
        "SELECT pg_switch_wal()", "CHECKPOINT", "SELECT pg_switch_wal()", "CHECKPOINT",
    )  # fmt: skip


def measured(database: Callable[[], str], part: Part) -> None:
    """Print the figures of every number in flight."""
    print(part.name)
    print(
        f"{'in flight':>9}{'store tx/s':>12}{'tx/commit':>11}{'commits/s':>11}{'CPU':>6}{'median ms':>11}"
        f"{'bare tx/s':>12}{'bare ms':>9}{'ratio':>7}"
    )
    for in_flight in IN_FLIGHT:
        ours, median = asyncio.run(through_the_store(database(), part, in_flight, SECONDS))
        bare, bare_median = asyncio.run(through_the_driver(database(), part, in_flight, SECONDS))
        print(
            f"{in_flight:>9}{ours.rate:>12,.0f}{ours.per_commit:>11.1f}{ours.commits:>11,.0f}{ours.cpu:>6.0%}"
            f"{median * 1000:>11.2f}{bare.rate:>12,.0f}{bare_median * 1000:>9.2f}{ours.rate / bare.rate:>7.2f}"
        )


def main() -> None:
    """Print the figures."""
    cluster = Cluster(**SERVER)
    try:
        print(f"{cluster.version()}, {' '.join(map('='.join, SERVER.items()))}, {2 * LOG_MEGABYTES} MB of log in use")
        print("synchronous_commit=on, fsync=on; the median is of one transaction, or of one bare group")
        aged(cluster)
        for part in (WHOLE, LEDGER):
            measured(cluster.database, part)
        print(f"goal at 64 in flight: {GOAL:,} tx/s, aim {AIM:,}; one alone: at most {ALONE_MAX_MS} ms at the median")
    finally:
        cluster.remove()


if __name__ == "__main__":
    main()
