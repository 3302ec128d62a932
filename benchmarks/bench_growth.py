"""A year's traffic in the store: what a transaction takes beside an empty store, and again after ``db archive``.

The year is made in bulk: calls of two levels with their entries and records, spread over twelve months, handed off.
Each figure stands beside that of an empty store measured in the same run. While a process of its own archives, calls
go on here: how long the longest of them waited is the price of archiving.
"""

import asyncio
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmarks.bench_store import CHARGE, START, call_of, filled, record_of, reserve, settle, settled
from daemon.charging.ports import Reads
from daemon.kernel.instant import DAY, SECOND, Instant
from daemon.settings import StoreSettings
from daemon.store import LedgerStore, open_store
from daemon.store.archiving import archive_months
from daemon.store.check import check_store
from daemon.store.rows import call_row, record_row
from daemon.store.schema import call, entry, record

CALLS = 250_000  # of the year: a million entries, half a million records
SECONDS = 4.0  # of each measurement
YEAR = 360 * DAY
ROWS = 2_000  # calls inserted at once
NEW_CALLS = 1_000_000_000  # numbers of the calls that are measured begin here
KEEP_MONTHS = 1
MIB = 1 << 20
IN_FLIGHT = (1, 64)


class Measured(NamedTuple):
    """Transactions a second, and milliseconds that one took: half of them, 99 of 100, the longest."""

    rate: float
    half: float
    most: float
    longest: float

    def __str__(self) -> str:
        """Return a line of the table."""
        return f"{self.rate:>10,.0f}{self.half:>10.2f}{self.most:>10.2f}{self.longest:>10.1f}"


async def opened(folder: Path, *, create: bool = False) -> LedgerStore:
    """Open the store of a folder."""
    return await open_store(StoreSettings(url=f"sqlite:///{folder}/bench.db"), lambda: START, create=create)


async def measured(store: LedgerStore, in_flight: int, until: Callable[[], bool], numbers: list[int]) -> Measured:
    """Play calls and time each transaction."""
    took: list[float] = []

    async def play() -> None:
        while not until():
            numbers[0] += 1
            made = call_of(numbers[0])
            for what, act in (("ask", reserve), ("stop", settle)):
                reads = Reads(
                    accounts=(1, 2), calls=((made.id_domain, made.call_id),), messages=(f"{what}:{made.call_id}",)
                )
                began = time.perf_counter()
                await store.transact(reads, lambda book, act=act, made=made: act(made, book))  # type: ignore[misc]
                took.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(play() for _ in range(in_flight)))
    lasted, ordered = time.perf_counter() - began, sorted(took)
    count = len(ordered)
    return Measured(
        count / lasted, 1e3 * ordered[count // 2], 1e3 * ordered[count * 99 // 100], 1e3 * ordered[-1]
    )  # fmt: skip


def after(seconds: float) -> Callable[[], bool]:
    """Return what tells whether so many seconds are over."""
    ends = time.perf_counter() + seconds
    return lambda: time.perf_counter() > ends


def year_of_calls(path: Path, calls: int) -> None:
    """Write a year's settled calls past the store, in its own form, as handed-off."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    balances = [row[0] for row in connection.execute("SELECT balance FROM account ORDER BY number")]
    for first in range(0, calls, ROWS):
        connection.execute("BEGIN")
        numbers = range(first, min(first + ROWS, calls))
        entries = [row for number in numbers for row in _entries(number, _at(number, calls), balances)]
        made = [_dated(number, _at(number, calls)) for number in numbers]
        connection.executemany(_insert(entry.name, [*entry.c.keys()][1:]), entries)
        connection.executemany(_insert(call.name, [*call.c.keys()][1:]), [row for row, _records in made])
        connection.executemany(
            _insert(record.name, [*record.c.keys()][1:]), [row for _row, records in made for row in records]
        )
        connection.execute("COMMIT")
    connection.executemany("UPDATE account SET balance = ? WHERE number = ?", zip(balances, (1, 2), strict=True))
    connection.executemany(
        "INSERT INTO export_batch VALUES (?, 1, 0, ?, 0, ?, ?, 'UTC', '', ?)",
        [(tenant, 2 * calls, START, START, "ab" * 32) for tenant in ("main", "ray")],
    )
    connection.close()


def _insert(table: str, columns: "list[str]") -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def _at(number: int, calls: int) -> Instant:
    return START - YEAR + number * YEAR // calls


def _entries(number: int, at: Instant, balances: "list[int]") -> "Iterator[tuple[object, ...]]":
    grant = f"{number:026d}"
    for account in (1, 2):
        stands = balances[account - 1]
        yield account, "reserve", at, grant, 0, CHARGE, 0, 0, 1, stands, CHARGE, None, "", "", ""
    for account in (1, 2):
        balances[account - 1] -= CHARGE
        yield account, "debit", at, grant, -CHARGE, -CHARGE, 0, 0, -1, balances[account - 1], 0, None, "", "", ""


def _dated(number: int, at: Instant) -> "tuple[tuple[object, ...], list[tuple[object, ...]]]":
    made = call_of(number)
    levels = tuple(replace(level, reserved=0) for level in made.levels)
    over = settled(made).changed(
        levels=levels, requested_at=at, last_seen_at=at, due_at=at + 120 * SECOND, answered_at=at,
        ended_at=at,
    )  # fmt: skip
    records = [record_of(over, place).changed(settled_at=at, started_at=at) for place in (0, 1)]
    return tuple(call_row(over)), [tuple(record_row(each)) for each in records]


def size_of(folder: Path) -> str:
    """Return the size of a folder's files in MiB."""
    return f"{sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / MIB:,.0f} MiB"


async def archive(folder: Path) -> None:
    """Archive all that may leave; print the months and the greatest memory that it took."""
    store = await opened(folder)
    done = await archive_months(store, KEEP_MONTHS, "", START, lambda _told: None)
    await store.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{len(done)} months, {sum(month.entries for month in done):,} entries,"
          f" {sum(month.records for month in done):,} records, {peak / 1024:,.0f} MiB of memory at most")  # fmt: skip


async def checked(store: LedgerStore) -> str:
    """Return how long a check takes, which finds nothing."""
    began = time.perf_counter()
    found = await check_store(store)
    assert not found, found[:3]
    return f"{time.perf_counter() - began:,.1f} s"


async def lines(what: str, store: LedgerStore, numbers: list[int], seconds: float) -> None:
    """Measure and print a store with few and many calls at once."""
    for in_flight in IN_FLIGHT:
        print(f"{what:<24}{in_flight:>4}{await measured(store, in_flight, after(seconds), numbers)}", flush=True)


async def beside_archiving(folder: Path, store: LedgerStore, numbers: list[int]) -> tuple[Measured, str, float]:
    """Charge calls while another process archives from the same file."""
    words = [sys.executable, "-m", "benchmarks.bench_growth", "--archive", str(folder)]
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE)
    found = await measured(store, 8, lambda: process.returncode is not None, numbers)
    said = (await process.communicate())[0].decode().strip()
    assert process.returncode == 0, said
    return found, said, time.perf_counter() - began


async def run(calls: int, seconds: float) -> None:
    """Make the stores, measure them, archive one, and measure it again."""
    numbers = [NEW_CALLS]
    with tempfile.TemporaryDirectory(prefix="tollway-bench-") as place:
        empty, full = Path(place) / "empty", Path(place) / "full"
        for folder in (empty, full):
            folder.mkdir()
            await (await filled(await opened(folder, create=True))).close()
        began = time.perf_counter()
        year_of_calls(full / "bench.db", calls)
        print(f"a year of {calls:,} calls, {4 * calls:,} entries and {2 * calls:,} records: {size_of(full)}, made in"
              f" {time.perf_counter() - began:,.0f} s")  # fmt: skip
        print(f"{'':<24}{'at once':>4}{'tx/s':>7}{'ms, half':>10}{'99 %':>10}{'longest':>10}")
        fresh, grown = await opened(empty), await opened(full)
        await lines("an empty store", fresh, numbers, seconds)
        await lines("the year in it", grown, numbers, seconds)
        print(f"db check of the year: {await checked(grown)}", flush=True)
        while_archiving, said, took = await beside_archiving(full, grown, numbers)
        print(f"db archive beside calls: {took:,.0f} s, {said}")
        print(f"{'while archiving':<24}{8:>4}{while_archiving}")
        await lines("after archiving", grown, numbers, seconds)
        await lines("the empty store again", fresh, numbers, seconds)
        print(f"db check of store and archives: {await checked(grown)}")
        print(f"archives: {size_of(full / 'bench.archive')}; {await _used(grown)}")
        await fresh.close()
        await grown.close()


async def _used(store: LedgerStore) -> str:
    names = ("page_count", "freelist_count", "page_size")
    pages, free, octets = [(await store.rows(f"PRAGMA {name}"))[0][0] for name in names]
    return f"the file is {pages * octets / MIB:,.0f} MiB, of which {free * octets / MIB:,.0f} MiB are free for new rows"


def main(calls: int = CALLS, seconds: float = SECONDS) -> None:
    """Print the figures."""
    if sys.argv[1:2] == ["--archive"]:
        asyncio.run(archive(Path(sys.argv[2])))
        return
    asyncio.run(run(int(sys.argv[1]) if sys.argv[1:] else calls, seconds))


if __name__ == "__main__":
    main()
