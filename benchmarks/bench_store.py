"""Durable transactions a second: reserve and settle at two levels, with 1, 8 and 64 in flight, synchronous=FULL.

Three works: whole calls with their answers and records on one hot account; the same on a thousand accounts; and the
ledger's part alone: call rows and entries of reservations, of which half are debited and half released.
Beside each stands the bare sqlite3 driver making the same writes in groups of the same size: rows made beforehand,
nothing loaded, nobody answered. It is the floor that no store over this driver can pass; the ratio is what batching,
loading, deciding and answering cost. Where the machine is shared, the transactions for a second of CPU tell more than
those for a second of the clock. Syncs are counted by strace in a run of their own, because tracing slows.
"""

import asyncio
import gc
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from daemon.authorize.catalog import AccountKind
from daemon.authorize.decision import Level
from daemon.charging.call import Call, CallState, Posted, SettledBy
from daemon.charging.cdr import RatedCdr
from daemon.charging.configuration import AccountSpec, TenantSpec
from daemon.charging.ports import Book, Message, Reads
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import SECOND, Instant
from daemon.kernel.money import NANO
from daemon.ledger import posting
from daemon.rating.tariff import Tariff
from daemon.settings import StoreSettings
from daemon.store import LedgerStore, open_store, schema
from daemon.store.rows import call_row, record_row
from daemon.store.sqlite import connect

IN_FLIGHT = (1, 8, 64)
SECONDS = 4.0  # of each measurement
GOAL = 10_000  # transactions a second at 64 in flight on one core
LATENCY_GOAL = 3.0  # milliseconds at the median of one alone
BARE_CALLS = 8_192  # calls whose rows are made beforehand
START: Instant = 1_790_000_000 * SECOND
TARIFF = Tariff("retail", 1, "4420", "UK, London", "USD", 600_000_000, connect_fee=10_000_000)
RETAIL, TRUNK = Key("ray", "rita"), Key("main", "ray-trunk")
CHARGE = 100_000_000  # nano-units a call
REPLY = b"r" * 120


class Work(NamedTuple):
    """What is measured: on how many retail accounts, and whether whole or the ledger's part alone."""

    title: str
    accounts: int = 1
    whole: bool = True


WHOLE = Work("whole calls, one account")
WORKS = (WHOLE, Work("whole calls, 1,000 accounts", 1_000), Work("the ledger alone", whole=False))


def retail_of(number: int, accounts: int) -> int:
    """Return the number of the account that pays for a call; the reseller's is 2."""
    place = number % accounts
    return place + 2 if place else 1


def call_of(number: int, retail: int = 1) -> Call:
    """Return a granted call of two levels."""
    levels = (
        Level(retail, RETAIL, "USD", (TARIFF,), reserved=CHARGE),
        Level(2, TRUNK, "USD", (TARIFF,), reserved=CHARGE),
    )
    return Call(
        grant_id=f"{number:026d}", id_domain="gw1", call_id=f"call-{number}@192.0.2.1", attempt=1, part=1,
        tenant="main", source="radius", switch="gw1", direction=Direction.OUTBOUND, called="442071231234",
        calling="15551230001", override="", leg="", state=CallState.GRANTED, authorised=True, renewable=False,
        reports_answer=True, granted_seconds=7200, requested_at=START, last_seen_at=START, due_at=START + 120 * SECOND,
        levels=levels,
    )  # fmt: skip


def record_of(call: Call, place: int) -> RatedCdr:
    """Return the record of one level of a call."""
    level, tariff = call.levels[place], TARIFF
    return RatedCdr(
        record_id=f"{call.grant_id}.{place}.1", tenant=level.key.tenant, grant_id=call.grant_id,
        id_domain=call.id_domain, call_id=call.call_id, attempt=1, part=1, leg="", account=level.key.id,
        account_number=level.account, direction=call.direction, calling=call.calling, called=call.called,
        prefix=tariff.prefix, destination=tariff.destination, rate_table=tariff.table, deck_version=1, rate_type="",
        override="", started_at=START, answered_at=START, ended_at=START + 10 * SECOND, duration_us=10 * SECOND,
        switch_seconds=10, billed_seconds=10, rate=tariff.rate, connect_fee=tariff.connect_fee, charge=CHARGE,
        uncollected=0, currency="USD", tax_code="", ledger_code="", carrier="", cost=0, source="radius", switch="gw1",
        cause="NORMAL_CLEARING", settled_by="hangup", status="rated", authorised=True,
        rounding="4 up, duration up", overrun_us=0, settled_at=START,
    )  # fmt: skip


def reserve(call: Call, book: Book) -> str:
    """Hold money and a channel at both levels, and keep the answer."""
    assert not book.calls(call.id_domain, call.call_id)
    for level in call.levels:
        held = posting.reserve(book.standing(level.account), call.grant_id, CHARGE, call.direction, START)
        book.post(held)
    book.save_call(call)
    book.save_message(Message(f"ask:{call.call_id}", b"0123456789abcdef", REPLY, START, call.grant_id))
    return call.grant_id


def settle(call: Call, book: Book) -> str:
    """Post the charge at both levels, let go of the rest, write both records, and keep the answer."""
    found = book.calls(call.id_domain, call.call_id)[-1]
    for place, level in enumerate(found.levels):
        standing = book.standing(level.account)
        for posted in posting.debit(standing, found.grant_id, CHARGE, CHARGE, found.direction, None, START):
            book.post(posted)
        book.append_record(record_of(found, place))
    book.save_call(settled(found))
    book.save_message(Message(f"stop:{call.call_id}", b"0123456789abcdef", REPLY, START, call.grant_id))
    return found.grant_id


def hold(call: Call, book: Book) -> str:
    """Hold money and a channel at both levels; nothing else."""
    assert not book.calls(call.id_domain, call.call_id)
    for level in call.levels:
        book.post(posting.reserve(book.standing(level.account), call.grant_id, CHARGE, call.direction, START))
    book.save_call(call)
    return call.grant_id


def resolve(call: Call, book: Book) -> str:
    """Debit what a call of an even number holds at both levels, release what another holds; nothing else."""
    found = book.calls(call.id_domain, call.call_id)[-1]
    is_charged = int(found.grant_id) % 2 == 0
    for level in found.levels:
        standing = book.standing(level.account)
        if is_charged:
            for posted in posting.debit(standing, found.grant_id, CHARGE, CHARGE, found.direction, None, START):
                book.post(posted)
        else:
            book.post(posting.release(standing, found.grant_id, CHARGE, found.direction, START))
    book.save_call(settled(found) if is_charged else found.changed(state=CallState.VOIDED))
    return found.grant_id


def settled(call: Call) -> Call:
    """Return the call charged."""
    posted = (Posted(CHARGE, 0), Posted(CHARGE, 0))
    return call.changed(state=CallState.SETTLED, settled_by=SettledBy.HANGUP, posted=posted, revision=1)


async def opened(folder: Path, accounts: int = 1) -> LedgerStore:
    """Return a new store with a reseller and its customers."""
    settings = StoreSettings(url=f"sqlite:///{folder}/bench.db")
    return await filled(await open_store(settings, lambda: START, create=True), accounts)


async def filled(store: LedgerStore, accounts: int = 1) -> LedgerStore:
    """Return an empty store with a reseller and its customers in it."""
    names = ["rita", *(f"rita-{number}" for number in range(1, accounts))]
    retail = [
        AccountSpec("ray", name, AccountKind.POSTPAID, "USD", balance=1_000_000 * NANO, credit_limit=None)
        for name in names
    ]
    trunk = AccountSpec("main", "ray-trunk", AccountKind.POSTPAID, "USD", credit_limit=None)
    tenants = [TenantSpec("main", "USD"), TenantSpec("ray", "USD", parent="main", account="ray-trunk")]
    await store.apply([*tenants, retail[0], trunk, *retail[1:]], {}, who="bench")
    found = await store.rows("SELECT number FROM account WHERE id = 'ray-trunk'")
    assert [tuple(row) for row in found] == [(2,)], found
    return store


async def worker(
    store: LedgerStore, numbers: "list[int]", until: Callable[[], bool], work: Work = WHOLE,
    waited: "list[float] | None" = None,
) -> int:  # fmt: skip
    """Play calls one after the other; return the transactions made, and add the seconds that each took."""
    done = 0
    seconds = waited if waited is not None else []
    steps = (("ask", reserve), ("stop", settle)) if work.whole else (("", hold), ("", resolve))
    while not until():
        numbers[0] += 1
        call = call_of(numbers[0], retail_of(numbers[0], work.accounts))
        accounts, calls = tuple(level.account for level in call.levels), ((call.id_domain, call.call_id),)
        for kind, act in steps:
            reads = Reads(accounts, calls, messages=(f"{kind}:{call.call_id}",) if kind else ())
            began = time.perf_counter()
            await store.transact(reads, lambda book, act=act, call=call: act(call, book))  # type: ignore[misc]
            seconds.append(time.perf_counter() - began)
            done += 1
    return done


class Measured:
    """One figure: transactions and commits a second, the share of one core that the process took, and the median."""

    def __init__(
        self, transactions: int, commits: int, seconds: float, cpu: float, waited: "list[float] | None" = None
    ) -> None:
        self.rate, self.commits, self.cpu = transactions / seconds, commits / seconds, cpu / seconds
        self.per_commit = transactions / max(commits, 1)
        self.per_cpu_second = transactions / cpu
        self.median_ms = median(waited) * 1_000 if waited else 0.0


async def through_the_store(in_flight: int, seconds: float, work: Work = WHOLE) -> Measured:
    """Measure the store with so many calls at once."""
    with tempfile.TemporaryDirectory(prefix="tollway-bench-") as folder:
        store = await opened(Path(folder), work.accounts)
        numbers, waited = [0], []  # type: list[int], list[float]
        await asyncio.gather(*(worker(store, numbers, lambda: numbers[0] > 2_000, work) for _ in range(in_flight)))
        gc.collect()
        commits, cpu, began = store.writer.commits, time.process_time(), time.perf_counter()
        ends = began + seconds
        done = await asyncio.gather(
            *(worker(store, numbers, lambda: time.perf_counter() > ends, work, waited) for _ in range(in_flight))
        )
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        made = store.writer.commits - commits
        await store.close()
    return Measured(sum(done), made, took, cpu, waited)


def through_the_driver(group: int, seconds: float, work: Work = WHOLE) -> Measured:
    """Measure the bare driver: the same rows, made beforehand, ``group`` transactions to a commit."""
    with tempfile.TemporaryDirectory(prefix="tollway-bench-") as folder:
        asyncio.run(_made(Path(folder), work.accounts))
        connection = connect(Path(folder) / "bench.db")
        groups = [_rows(range(start, start + group), work) for start in range(0, max(group, BARE_CALLS), group)]
        transactions = commits = 0
        waited = []
        cpu, began = time.process_time(), time.perf_counter()
        for statements in (each for pair in groups for each in pair):
            starts = time.perf_counter()
            if starts > began + seconds:
                break
            connection.execute("BEGIN IMMEDIATE")
            for statement, rows in statements:
                connection.executemany(statement, rows)
            connection.execute("COMMIT")
            waited.append(time.perf_counter() - starts)
            transactions, commits = transactions + group, commits + 1
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        connection.close()
    return Measured(transactions, commits, took, cpu, waited)


async def _made(folder: Path, accounts: int) -> None:
    store = await opened(folder, accounts)
    await store.close()


Statements = list[tuple[str, list[tuple[object, ...]]]]


def _rows(numbers: range, work: Work) -> tuple[Statements, Statements]:
    calls = [call_of(number, retail_of(number, work.accounts)) for number in numbers]
    return _written(calls, "ask", work), _written([settled(call) for call in calls], "stop", work)


def _written(calls: list[Call], what: str, work: Work) -> Statements:
    call = _columns("call")
    kept = ", ".join(f"{name} = excluded.{name}" for name in call[1:])
    payers = sorted({level.account for each in calls for level in each.levels})
    statements: Statements = [
        ("UPDATE account SET balance = ?, reserved = ? WHERE number = ?", [(1, 1, payer) for payer in payers]),
        (
            f"{_insert('call', call)} ON CONFLICT (grant_id) DO UPDATE SET {kept}",
            [tuple(call_row(each)) for each in calls],
        ),
        (_insert("entry", _columns("entry")), [_entry_row(each, level) for each in calls for level in each.levels]),
    ]
    if work.whole:
        rows: list[tuple[object, ...]] = [
            (f"{what}:{each.call_id}", b"0" * 16, REPLY, START, each.grant_id) for each in calls
        ]
        statements.append((_insert("message", _columns("message")), rows))
    if work.whole and what == "stop":
        records = [tuple(record_row(record_of(each, place))) for each in calls for place in (0, 1)]
        statements.append((_insert("record", _columns("record")), records))
    return statements


def _columns(table: str) -> tuple[str, ...]:
    columns = (column.name for column in schema.metadata.tables[table].columns)
    return tuple(name for name in columns if name not in ("number", "seq"))


def _insert(table: str, columns: "tuple[str, ...]") -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def _entry_row(call: Call, level: Level) -> tuple[object, ...]:
    values = {"account": level.account, "kind": "reserve", "at": START, "grant_id": call.grant_id, "pending": CHARGE}
    texts = {"key": None, "who": "", "reason": ""}
    return tuple({**texts, **values}.get(name, 0) for name in _columns("entry"))


def syncs_counted(transactions: int) -> str:
    """Return how many syncs strace saw in a run of its own, or why none were counted."""
    if shutil.which("strace") is None:
        return "not counted: strace is not installed"
    with tempfile.NamedTemporaryFile(mode="r", prefix="tollway-strace-") as trace:
        command = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-o", trace.name]
        words = [sys.executable, "-m", "benchmarks.bench_store", "--count", str(transactions)]
        made = subprocess.run([*command, *words], capture_output=True, text=True, check=True)
        syncs = len(re.findall(r"(?:fsync|fdatasync)\(\d+", trace.read()))
    commits = int(made.stdout)
    return f"{syncs} syncs for {commits} commits of {transactions} transactions (opening the store included)"


async def _count(transactions: int) -> int:
    with tempfile.TemporaryDirectory(prefix="tollway-bench-") as folder:
        store = await opened(Path(folder))
        numbers = [0]
        await asyncio.gather(*(worker(store, numbers, lambda: numbers[0] * 2 >= transactions) for _ in range(64)))
        await store.close()
        return store.writer.commits


def main() -> None:
    """Print the figures."""
    if sys.argv[1:2] == ["--count"]:
        print(asyncio.run(_count(int(sys.argv[2]))))
        return
    print(
        f"SQLite {sqlite3.sqlite_version}, WAL, synchronous=FULL; reserve and settle at two levels, channels included"
    )
    print(
        f"{'in flight':>9}{'store tx/s':>12}{'tx/commit':>11}{'CPU':>6}{'tx/CPU s':>10}{'median ms':>11}"
        f"{'bare tx/s':>12}{'tx/CPU s':>10}{'median ms':>11}{'ratio':>7}"
    )
    for work in WORKS:
        print(f"{work.title}:")
        for in_flight in IN_FLIGHT:
            ours = asyncio.run(through_the_store(in_flight, SECONDS, work))
            bare = through_the_driver(in_flight, SECONDS, work)
            print(
                f"{in_flight:>9}{ours.rate:>12,.0f}{ours.per_commit:>11.1f}{ours.cpu:>6.0%}{ours.per_cpu_second:>10,.0f}"
                f"{ours.median_ms:>11.2f}{bare.rate:>12,.0f}{bare.per_cpu_second:>10,.0f}{bare.median_ms:>11.2f}"
                f"{ours.rate / bare.rate:>7.2f}"
            )
    print(f"goals: {GOAL:,} tx/s on one core at 64 in flight, {LATENCY_GOAL:g} ms at the median of one alone")
    print(syncs_counted(6_400))


if __name__ == "__main__":
    main()
