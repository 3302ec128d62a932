"""Many accounts in the real daemon: start to ready, memory, a question's time, how soon a change is followed.

A store with some accounts is written in bulk, the daemon is started over it as a process, and is asked one question
after another about accounts taken at random; the figures of 100 accounts, from the same run, are what the others are
held against. While an account is suspended by a command's own road, questions go on: the one that waits longest tells
what following costs the calls. A rate table of the named size stands beside the accounts.

    python -m benchmarks.bench_accounts 100 1000000
    python -m benchmarks.bench_accounts --rates 500000 100000
"""

import argparse
import asyncio
import os
import random
import socket
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.load_radius import ACCESS_ACCEPT, Plan
from daemon.authorize.catalog import AccountKind, Status
from daemon.charging.configuration import AccountSpec, EndpointSpec, OverrideSpec, PlanFrom
from daemon.kernel.ids import Key
from daemon.settings import StoreSettings
from daemon.store import open_store
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.scenario import SCENARIO, SECRET

SIZES = (100, 100_000, 1_000_000)  # accounts
QUESTIONS = 1_000  # authorisations, one after another
CHANGES = 3  # accounts suspended while questions go on
FOLLOW_SECONDS_MAX = 30.0  # after which a change counts as never followed
APPLY_SECONDS = 600  # for the rates
START_SECONDS_MAX = 120
PAGE = 10_000  # accounts written at once
TO = "442071231234"


def account(place: int) -> AccountSpec:
    """Return one of the accounts: all have a SIP user, some an address, a number or a price of their own beside it."""
    identities = [EndpointSpec(sip_user=f"user{place}", password="pw")]
    if place % 10 == 1:
        identities.append(EndpointSpec(ip=f"10.{place >> 16 & 255}.{place >> 8 & 255}.{place & 255}"))
    if place % 10 == 2:
        identities.append(EndpointSpec(did=f"49{place:010d}"))
    overrides = (OverrideSpec("33", 10_000_000 * (1 + place % 50)),) if place % 10 == 3 else ()
    return AccountSpec(
        "main", f"a{place:07d}", AccountKind.POSTPAID, "USD", credit_limit=None, rate_plan=(PlanFrom("retail"),),
        identities=tuple(identities), overrides=overrides,
    )  # fmt: skip


def fill(path: Path, accounts: int) -> None:
    """Write accounts into a store, as an apply leaves them."""
    with closing(sqlite3.connect(path)) as connection:
        for begins in range(0, accounts, PAGE):
            specs = [account(place) for place in range(begins, min(begins + PAGE, accounts))]
            bodies = [(spec.tenant, spec.id, msgspec.json.encode(spec)) for spec in specs]
            connection.executemany(
                "INSERT INTO config_object (kind, tenant, id, body, stated) VALUES ('account', ?1, ?2, ?3, ?3)", bodies
            )
            connection.executemany(
                "INSERT INTO account (role, tenant, id) VALUES ('customer', ?, ?)", [body[:2] for body in bodies]
            )
            connection.executemany(
                "INSERT INTO audit (at, kind, tenant, id, act, detail, who, reason)"
                " VALUES (0, 'account', ?, ?, 'create', '', 'bench', 'apply')", [body[:2] for body in bodies],
            )  # fmt: skip
            connection.commit()


class Asker:
    """One RADIUS client that waits for each answer."""

    def __init__(self, port: int) -> None:
        """Open a socket to the daemon."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(FOLLOW_SECONDS_MAX)
        self._socket.connect(("127.0.0.1", port))
        self._asked = 0
        self._run = f"b{time.time_ns()}"

    def ask(self, user: str) -> tuple[bool, float]:
        """Ask for a call of a SIP user; return whether it was granted, and the milliseconds that the answer took."""
        self._asked += 1
        plan = Plan(SECRET, user, b"pw", TO, 30, self._run)
        packet = plan.access(self._asked % 256, f"{self._run}-{self._asked}")
        began = time.perf_counter()
        self._socket.send(packet)
        answer = self._socket.recv(4096)
        return answer[0] == ACCESS_ACCEPT, (time.perf_counter() - began) * 1000

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@dataclass
class Measured:
    """What one size showed; milliseconds, but seconds where a name says so."""

    accounts: int
    ready_seconds: float = 0.0
    cpu_seconds: float = 0.0
    rss_mb: float = 0.0
    peak_mb: float = 0.0
    median: float = 0.0
    p99: float = 0.0
    follow_seconds: float = 0.0
    longest: float = 0.0

    def told(self, first: "Measured") -> str:
        """Return the figures in a line, beside those of the first size."""
        return (
            f"{self.accounts:>9,} accounts: ready in {self.ready_seconds:.1f} s ({self.cpu_seconds:.1f} s of CPU),"
            f" {self.rss_mb:,.0f} MB (peak {self.peak_mb:,.0f}), question {self.median:.2f} ms median"
            f" ({self.median / first.median:.2f}x), {self.p99:.2f} ms p99; a change followed in"
            f" {self.follow_seconds:.2f} s, longest answer meanwhile {self.longest:.0f} ms"
        )


def prepared(folder: Path, accounts: int, rates: int) -> DaemonProcess:
    """Make a store with accounts and rates, and the daemon that is to serve it."""
    daemon = DaemonProcess(folder, SCENARIO, start_seconds_max=START_SECONDS_MAX)
    if rates:
        _write_rates(folder, rates)
    daemon.apply(APPLY_SECONDS)
    fill(daemon.store, accounts)
    return daemon


def measured(daemon: DaemonProcess, accounts: int, questions: int = QUESTIONS) -> Measured:
    """Start the daemon and ask; it is left running."""
    found = Measured(accounts)
    began = time.perf_counter()
    daemon.start()
    found.ready_seconds = time.perf_counter() - began
    assert daemon.process is not None
    found.cpu_seconds = cpu_seconds(daemon.process.pid)
    asker = Asker(daemon.auth_port)
    try:
        _questions(asker, found, questions)
        _follow(daemon, asker, found)
    finally:
        asker.close()
    found.rss_mb, found.peak_mb = (_memory(daemon.process.pid, name) for name in ("VmRSS", "VmHWM"))
    return found


def _questions(asker: Asker, found: Measured, questions: int) -> None:
    chosen = random.Random(7)
    for _ in range(20):
        asker.ask("user0")  # warm what does not depend on the accounts
    took = []
    for _ in range(questions):
        granted, milliseconds = asker.ask(f"user{chosen.randrange(found.accounts)}")
        assert granted, "every account of the bench may call"
        took.append(milliseconds)
    found.median, found.p99 = statistics.median(took), statistics.quantiles(took, n=100)[98]


def _follow(daemon: DaemonProcess, asker: Asker, found: Measured) -> None:
    for place in range(CHANGES):
        began = asyncio.run(_suspended(daemon, Key("main", f"a{place:07d}")))
        while time.time() - began < FOLLOW_SECONDS_MAX:
            granted, milliseconds = asker.ask(f"user{place}")
            found.longest = max(found.longest, milliseconds)
            if not granted:
                break
            time.sleep(0.002)
        found.follow_seconds = max(found.follow_seconds, time.time() - began)


async def _suspended(daemon: DaemonProcess, key: Key) -> float:
    """Suspend an account as the command does; return when that was done."""
    store = await open_store(StoreSettings(f"sqlite:///{daemon.store}"), lambda: time.time_ns() // 1000)
    try:
        await store.set_status(key, Status.SUSPENDED, who="bench", reason="bench")
        return time.time()
    finally:
        await store.close()


def _write_rates(folder: Path, rates: int) -> None:
    with (folder / "deck.csv").open("w") as deck:
        deck.write("prefix,destination,rate,first_seconds,next_seconds\n44,UK,0.60,1,1\n")
        deck.writelines(f"{1_000_000 + place},Place {place % 1000},0.{place % 90 + 10},1,1\n" for place in range(rates))


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name + ":"))


def _commands(daemon: DaemonProcess, accounts: int) -> Iterator[str]:
    """Yield what commands take beside the running daemon."""
    for words in (
        ("account", "show", "a0000007"), ("account", "suspend", "a0000008", "--reason", "bench"),
        ("apply", "scenario.toml"), ("check",), ("db", "check"),
    ):  # fmt: skip
        began = time.perf_counter()
        done = daemon.command(*words, timeout=600)
        said = "" if done.returncode == 0 else f" (status {done.returncode}: {done.stderr.strip()[:200]})"
        yield f"{accounts:>9,} accounts: tollway {' '.join(words)}: {time.perf_counter() - began:.1f} s{said}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("accounts", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--rates", type=int, default=0, help="rows of the rate table beside two")
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    chosen = parser.parse_args(arguments)
    first: Measured | None = None
    for accounts in chosen.accounts:
        with tempfile.TemporaryDirectory() as folder:
            daemon = prepared(Path(folder), accounts, chosen.rates)
            try:
                found = measured(daemon, accounts, chosen.questions)
                first = first or found
                print(found.told(first), flush=True)
                for line in _commands(daemon, accounts):
                    print(line, flush=True)
            finally:
                if daemon.process is not None:
                    daemon.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
