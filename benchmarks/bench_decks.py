"""A deck of a million rows: how long it takes into the store and into the daemon, its memory, and what calls wait.

The deck is a file as carriers send it. It is read, planned and written as ``tollway rate import`` does, with
synchronous=FULL, while another process charges calls in the same store; then a running daemon's half loads it, while a
task matches a number and commits a short transaction every few milliseconds. Beside the import stands the bare sqlite3
driver that writes the same rows in transactions of the same size: the floor of any store over this driver.
"""

import asyncio
import contextlib
import ctypes
import gc
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from daemon.authorize.catalog import AccountKind
from daemon.charging.configuration import AccountSpec, RateTableSpec, TenantSpec
from daemon.charging.ports import Reads
from daemon.config_files.deck_files import read_deck_file
from daemon.kernel.ids import Key
from daemon.kernel.instant import SECOND, Instant
from daemon.rating.deck import RateRow
from daemon.rating.rate_table import RateTable
from daemon.settings import StoreSettings
from daemon.store import LedgerStore, open_store
from daemon.store.deck_import import DeckChange
from daemon.store.decks import STAGE_ROWS, values_of

T = TypeVar("T")
ROWS = 1_000_000
NAMES = 30_000  # destinations of the deck; the largest real one of PITFALLS has as many
IMPORT_SECONDS, LOAD_SECONDS, WAIT_MS, MEMORY_MB = 20, 8, 50, 60  # the goals
INSERT = (
    "INSERT INTO deck_row (tenant, rate_table, version, prefix, destination, rate, terms) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
EVERY = 0.005  # seconds between two calls
START: Instant = 1_790_000_000 * SECOND
BIG, SMALL = RateTableSpec("main", "big", "USD"), RateTableSpec("main", "small", "USD")
CHANGE = DeckChange("replace", None, "bench", "deck.csv")


def write_deck(path: Path, rows: int) -> None:
    """Write a deck of so many prefixes of two to eight digits, in no order, some within others."""
    dice = random.Random(1)
    prefixes: set[str] = set()
    while len(prefixes) < rows:
        prefixes.add(str(dice.randrange(10, 10 ** dice.randrange(3, 9))))
    with path.open("w", encoding="utf-8") as file:
        file.write("prefix,destination,rate,first_seconds,next_seconds,connect_fee\n")
        for place, prefix in enumerate(sorted(prefixes, key=lambda _: dice.random())):
            blocks = dice.choice(("1,1", "60,60", "30,6"))
            file.write(f"{prefix},Destination {place % NAMES},{dice.randrange(10_000) / 10_000:.4f},{blocks},\n")


@contextlib.asynccontextmanager
async def opened(folder: Path, *, create: bool = False) -> AsyncIterator[LedgerStore]:
    """Give a store with two tables and an account, closed at the end: its threads would keep the process."""
    store = await open_store(StoreSettings(url=f"sqlite:///{folder}/bench.db"), lambda: START, create=True)
    try:
        if create:
            account = AccountSpec("main", "acme", AccountKind.POSTPAID, "USD", credit_limit=None)
            decks = {Key("main", "small"): [RateRow("44", 10_000_000)]}
            await store.apply([TenantSpec("main", "USD"), BIG, SMALL, account], decks, who="bench")
        yield store
    finally:
        await store.close()


async def waits_during(store: LedgerStore, work: Callable[[], Awaitable[T]]) -> tuple[T, list[float]]:
    """Do some work, and return how many milliseconds each of the calls beside it took."""
    table = await store.rate_table(SMALL, await store.load_configuration())
    reads = Reads(accounts=(1,))
    waits: list[float] = []
    working = asyncio.ensure_future(work())
    try:
        while not working.done():
            began = time.perf_counter()
            assert table.match("442071231234", START) is not None
            await store.transact(reads, lambda book: book.standing(1))
            waits.append(1000 * (time.perf_counter() - began))
            await asyncio.sleep(EVERY)
        return await working, waits
    finally:
        working.cancel()


def shown(waits: list[float]) -> str:
    """Return the figures of waits."""
    ordered = sorted(waits)
    half, most = ordered[len(ordered) // 2], ordered[-1]
    return f"{len(waits)} calls beside it: {half:.1f} ms at the median, {most:.1f} ms at most"


def resident_mb() -> float:
    """Return how much memory this process holds, after it gave back what it could."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


def arrays_mb(table: RateTable) -> float:
    """Return how much memory the arrays of a table hold."""
    heads, offers = table.heads, table.offers
    arrays = (
        heads.rates, heads.terms_places, heads._destination_of, offers.window_of, offers.picks, offers.lengths,
        offers.index.segment_starts, offers.index.segment_offers, offers.index.next_offers,
    )  # fmt: skip
    return sum(map(sys.getsizeof, arrays)) / 1e6


async def imported(folder: Path, count: int) -> None:
    """Import the deck of so many rows, and print how long each part took."""
    gc.disable()  # as the command does
    async with opened(folder) as store:
        began, cpu = time.perf_counter(), time.process_time()
        deck = read_deck_file(folder / "deck.csv")
        rows = deck.rows
        assert not deck.problems, deck.problems
        read = time.perf_counter()
        wrote: list[float] = []
        difference = await store.import_deck(
            Key("main", "big"), rows, CHANGE, progress=lambda _: wrote.append(time.perf_counter())
        )
        done, cpu = time.perf_counter(), time.process_time() - cpu
        assert len(difference.new) == count, len(difference.new)
        print(
            f"import of {count:,} rows: {done - began:.1f} s (goal {IMPORT_SECONDS} s): reading {read - began:.1f},"
            f" planning {wrote[0] - read:.1f}, writing {done - wrote[0]:.1f};"
            f" {cpu:.1f} s of one core"
        )
        began = time.perf_counter()
        again = await store.import_deck(Key("main", "big"), rows, CHANGE)
        assert again.unchanged == count, again.unchanged
        print(f"the same deck again: {time.perf_counter() - began:.1f} s, nothing written")


async def beside_the_import(folder: Path, count: int) -> None:
    """Charge calls while another process imports, and print what they waited."""

    async def other() -> None:
        words = (sys.executable, "-m", "benchmarks.bench_decks", "--import", str(folder), str(count))
        process = await asyncio.create_subprocess_exec(*words)
        try:
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()

    async with opened(folder, create=True) as store:
        _, waits = await waits_during(store, other)
        print(f"a daemon meanwhile: {shown(waits)}; none refused")


async def loaded(folder: Path, count: int) -> None:
    """Load the deck as a running daemon does, and print how long, how much and who waited."""
    async with opened(folder) as store:
        configuration = await store.load_configuration()
        await store.rate_table(SMALL, configuration)
        before, began, cpu = resident_mb(), time.perf_counter(), time.process_time()
        table, waits = await waits_during(store, lambda: store.rate_table(BIG, configuration))
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        assert len(table) == count, len(table)
        more = resident_mb() - before
        print(f"load of {count:,} rows: {took:.1f} s (goal {LOAD_SECONDS} s), {cpu:.1f} s of one core with the calls")
        print(f"meanwhile {shown(waits)} (goal {WAIT_MS} ms)")
        print(f"memory of the table: {more:.0f} MB resident (goal {MEMORY_MB} MB), {arrays_mb(table):.0f} MB of arrays")


def bare(folder: Path) -> None:
    """Write the same rows by the bare driver, in transactions of the same size."""
    rows = read_deck_file(folder / "deck.csv").rows
    connection = sqlite3.connect(folder / "bench.db", isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    began = time.perf_counter()
    for place in range(0, len(rows), STAGE_ROWS):
        connection.execute("BEGIN IMMEDIATE")
        values = (("main", "bare", 1, *values_of(row), 1) for row in rows[place : place + STAGE_ROWS])
        connection.executemany(INSERT, values)
        connection.execute("COMMIT")
    print(f"the bare driver writes these rows in {time.perf_counter() - began:.1f} s")
    connection.close()


def main(count: int = ROWS) -> None:
    """Print the figures of a deck of so many rows."""
    if sys.argv[1:2] == ["--import"]:
        asyncio.run(imported(Path(sys.argv[2]), int(sys.argv[3])))
        return
    if sys.argv[1:2] == ["--bare"]:
        bare(Path(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory(prefix="tollway-bench-") as name:
        folder = Path(name)
        write_deck(folder / "deck.csv", count)
        asyncio.run(beside_the_import(folder, count))
        asyncio.run(loaded(folder, count))
        subprocess.run([sys.executable, "-m", "benchmarks.bench_decks", "--bare", str(folder)], check=True)


if __name__ == "__main__":
    main()
