"""Durable transactions a second: reserve and settle at two levels, with 1, 8 and 64 in flight, synchronous=FULL.

Beside each stands the bare sqlite3 driver making the same writes in groups of the same size: rows made beforehand,
nothing loaded, nobody answered. It is the floor that no store over this driver can pass; the ratio is what batching,
loading, deciding and answering cost. Syncs are counted by strace in a run of their own, because tracing slows.
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
from dataclasses import replace
from pathlib import Path

import msgspec

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
from daemon.ledger.account import Entry, Standing
from daemon.rating.tariff import Tariff
from daemon.settings import StoreSettings
from daemon.store import LedgerStore, open_store, schema

IN_FLIGHT = (1, 8, 64)
SECONDS = 4.0  # of each measurement
GOAL = 8_000  # transactions a second at 64 in flight on one core
START: Instant = 1_790_000_000 * SECOND
TARIFF = Tariff("retail", 1, "4420", "UK, London", "USD", 600_000_000, connect_fee=10_000_000)
RETAIL, TRUNK = Key("ray", "rita"), Key("main", "ray-trunk")
CHARGE = 100_000_000  # nano-units a call
STANDING, ENTRY, REPLY = Standing._fields, Entry._fields, b"r" * 120


def call_of(number: int) -> Call:
    """Return a granted call of two levels."""
    levels = (
        Level(1, RETAIL, "USD", (TARIFF,), reserved=CHARGE),
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
        rounding="4 up, duration up", overrun_us=0, settled_at=START + 10 * SECOND,
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


def settled(call: Call) -> Call:
    """Return the call charged."""
    posted = (Posted(CHARGE, 0), Posted(CHARGE, 0))
    return replace(call, state=CallState.SETTLED, settled_by=SettledBy.HANGUP, posted=posted, revision=1)


async def opened(folder: Path) -> LedgerStore:
    """Return a new store with a reseller and its customer."""
    return await filled(await open_store(StoreSettings(url=f"sqlite:///{folder}/bench.db"), lambda: START, create=True))


async def filled(store: LedgerStore) -> LedgerStore:
    """Return an empty store with a reseller and its customer in it."""
    accounts = [
        AccountSpec("ray", "rita", AccountKind.POSTPAID, "USD", balance=1_000_000 * NANO, credit_limit=None),
        AccountSpec("main", "ray-trunk", AccountKind.POSTPAID, "USD", credit_limit=None),
    ]
    tenants = [TenantSpec("main", "USD"), TenantSpec("ray", "USD", parent="main", account="ray-trunk")]
    await store.apply([*tenants, *accounts], {}, who="bench")
    return store


async def worker(store: LedgerStore, numbers: "list[int]", until: Callable[[], bool]) -> int:
    """Play calls one after the other; return the transactions made."""
    done = 0
    while not until():
        numbers[0] += 1
        call = call_of(numbers[0])
        reads = Reads(accounts=(1, 2), calls=((call.id_domain, call.call_id),), messages=(f"ask:{call.call_id}",))
        await store.transact(reads, lambda book, call=call: reserve(call, book))  # type: ignore[misc]
        reads = Reads(accounts=(1, 2), calls=((call.id_domain, call.call_id),), messages=(f"stop:{call.call_id}",))
        await store.transact(reads, lambda book, call=call: settle(call, book))  # type: ignore[misc]
        done += 2
    return done


class Measured:
    """One figure: transactions and commits a second, and the share of one core that the process took."""

    def __init__(self, transactions: int, commits: int, seconds: float, cpu: float) -> None:
        self.rate, self.commits, self.cpu = transactions / seconds, commits / seconds, cpu / seconds
        self.per_commit = transactions / max(commits, 1)


async def through_the_store(in_flight: int, seconds: float) -> Measured:
    """Measure the store with so many calls at once."""
    with tempfile.TemporaryDirectory(prefix="tollway-bench-") as folder:
        store = await opened(Path(folder))
        numbers = [0]
        await asyncio.gather(*(worker(store, numbers, lambda: numbers[0] > 2_000) for _ in range(in_flight)))
        gc.collect()
        commits, cpu, began = store.writer.commits, time.process_time(), time.perf_counter()
        ends = began + seconds
        done = await asyncio.gather(
            *(worker(store, numbers, lambda: time.perf_counter() > ends) for _ in range(in_flight))
        )
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        made = store.writer.commits - commits
        await store.close()
    return Measured(sum(done), made, took, cpu)


def through_the_driver(group: int, seconds: float) -> Measured:
    """Measure the bare driver: the same rows, made beforehand, ``group`` transactions to a commit."""
    with tempfile.TemporaryDirectory(prefix="tollway-bench-") as folder:
        asyncio.run(_made(Path(folder)))
        connection = sqlite3.connect(Path(folder) / "bench.db", isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        groups = [_rows(range(start, start + group)) for start in range(0, max(group, 4_096), group)]
        transactions = commits = 0
        cpu, began = time.process_time(), time.perf_counter()
        for place in range(1_000_000):
            if time.perf_counter() > began + seconds or place >= 2 * len(groups):
                break
            connection.execute("BEGIN IMMEDIATE")
            for statement, rows in groups[place // 2][place % 2]:
                connection.executemany(statement, rows)
            connection.execute("COMMIT")
            transactions, commits = transactions + group, commits + 1
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        connection.close()
    return Measured(transactions, commits, took, cpu)


async def _made(folder: Path) -> None:
    store = await opened(folder)
    await store.close()


Statements = list[tuple[str, list[tuple[object, ...]]]]


def _insert(table: str, columns: "tuple[str, ...]", verb: str = "INSERT OR REPLACE") -> str:
    return f"{verb} INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def _rows(numbers: range) -> tuple[Statements, Statements]:
    calls = [call_of(number) for number in numbers]
    return _written(calls, "ask"), _written([settled(call) for call in calls], "stop")


def _written(calls: list[Call], what: str) -> Statements:
    columns = tuple(schema.call.c.keys())
    entry = tuple(name for name in schema.entry.c.keys() if name != "number")  # noqa: SIM118
    message = ("key", "body", "reply", "at", "grant_id")
    statements: Statements = [
        (_insert("call", columns), [_call_row(columns, call) for call in calls]),
        (_insert("entry", entry, "INSERT"), [_entry_row(call, level) for call in calls for level in (1, 2)]),
        (_insert("message", message), [(f"{what}:{c.call_id}", b"0" * 16, REPLY, START, c.grant_id) for c in calls]),
        ("UPDATE account SET balance = ?, reserved = ? WHERE number = ?", [(calls[0].attempt, 1, 1), (2, 1, 2)]),
    ]
    if what == "stop":
        record = tuple(name for name in schema.record.c.keys() if name != "seq")  # noqa: SIM118
        rows = [_record_row(record, record_of(call, place)) for call in calls for place in (0, 1)]
        statements.append((_insert("record", record), rows))
    return statements


def _call_row(columns: "tuple[str, ...]", call: Call) -> tuple[object, ...]:
    values: dict[str, object] = {name: getattr(call, name, 1) for name in columns}
    values |= {"payer": 1, "direction": "outbound", "state": call.state.value, "is_open": int(call.is_open)}
    values |= {"joined": 0, "body": msgspec.msgpack.encode(call)}
    return tuple(values[name] for name in columns)


def _entry_row(call: Call, account: int) -> tuple[object, ...]:
    return (account, "reserve", START, call.grant_id, 0, CHARGE, 0, 0, 1, 1, 1, None, "", "")


def _record_row(columns: "tuple[str, ...]", record: RatedCdr) -> tuple[object, ...]:
    values: dict[str, object] = {name: getattr(record, name, 1) for name in columns}
    values |= {"account": record.account_number, "body": msgspec.msgpack.encode(record)}
    return tuple(values[name] for name in columns)


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
        f"SQLite {sqlite3.sqlite_version}, WAL, synchronous=FULL; reserve and settle at two levels, with their answers"
    )
    print(
        f"{'in flight':>9}{'store tx/s':>12}{'tx/commit':>11}{'commits/s':>11}{'CPU':>6}{'bare tx/s':>12}{'ratio':>7}"
    )
    for in_flight in IN_FLIGHT:
        ours = asyncio.run(through_the_store(in_flight, SECONDS))
        bare = through_the_driver(in_flight, SECONDS)
        print(
            f"{in_flight:>9}{ours.rate:>12,.0f}{ours.per_commit:>11.1f}{ours.commits:>11,.0f}{ours.cpu:>6.0%}"
            f"{bare.rate:>12,.0f}{ours.rate / bare.rate:>7.2f}"
        )
    print(f"goal at 64 in flight: {GOAL:,} tx/s on one core")
    print(syncs_counted(6_400))


if __name__ == "__main__":
    main()
