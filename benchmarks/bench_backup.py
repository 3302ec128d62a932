"""``tollway db backup`` beside calls: whole calls a second while it copies, and while it does not, turn by turn.

A daemon over a store of some hundred MiB is asked over HTTP by 64 callers that do not pause. Every other turn has
backups beside it, one after another for as long as the turn lasts, each a process of its own; so what else the machine
does bears on both. Printed is the ratio of the medians of both kinds of turns, how long a copy took, and how far the
store's log grew. Goal: at most 20 % fewer calls. PostgreSQL's server shares the machine too.

    python -m benchmarks.bench_backup --turns 5 --mib 256 sqlite postgresql
"""

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bench_daemon import IN_FLIGHT
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.scenario import SCENARIO
from tests.integration.postgres_cluster import Cluster, ran

ENGINES = ("sqlite", "postgresql")
TURNS = 5  # of each kind
CALLS = 4_000  # of a turn
MIB = 256  # of rows that are there before
GOAL_PERCENT = 20  # fewer calls, at most
ROW_OCTETS = 512
SERVER = {"shared_buffers": "256MB"}
_COLUMNS = "INSERT INTO exceptional (key, kind, tenant, source, switch, call_id, detail, at)"
_FILL = {
    "sqlite": f"WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {{rows}}) {_COLUMNS}"
    " SELECT 'fill:' || x, 'unrated', 'main', 'bench', '', '', hex(randomblob(230)), 0 FROM n",
    "postgresql": f"{_COLUMNS} SELECT 'fill:' || x, 'unrated', 'main', 'bench', '', '', (SELECT"
    " string_agg(md5(random()::text || x || y), '') FROM generate_series(1, 14) AS m(y)), 0 FROM generate_series(1, {rows}) AS n(x)",
}


@dataclass
class Copying:
    """Backups one after another until told to stop, by a thread that waits for their processes."""

    daemon: DaemonProcess
    stopping: threading.Event = field(default_factory=threading.Event)
    seconds: list[float] = field(default_factory=list)
    octets: int = 0
    log_octets: int = 0

    def run(self) -> None:
        """Copy, look how far the log has come, and throw the copy away."""
        log = self.daemon.folder / "tollway.db-wal"
        target = self.daemon.folder / "copy"
        while not self.stopping.is_set():
            began = time.perf_counter()
            done = self.daemon.command("db", "backup", target.name)
            if done.returncode != 0:
                raise RuntimeError(done.stdout + done.stderr)
            self.seconds.append(time.perf_counter() - began)
            self.octets = target.stat().st_size
            if log.exists():
                self.log_octets = max(self.log_octets, log.stat().st_size)
            target.unlink()


def _turn(words: list[str], calls: int) -> float:
    command = [sys.executable, "-m", "benchmarks.load_http", "--calls", str(calls), "--in-flight", str(IN_FLIGHT)]
    done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stdout + done.stderr)
    return float(json.loads(done.stdout)["calls_per_second"])


def _filled(daemon: DaemonProcess, engine: str, mib: int) -> None:
    statement = _FILL[engine].format(rows=max(1, mib * (1 << 20) // ROW_OCTETS))
    if daemon.url:
        ran(daemon.url, statement)
        return
    with closing(sqlite3.connect(daemon.store, isolation_level=None)) as connection:
        connection.execute(statement)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def measured(daemon: DaemonProcess, engine: str, turns: int, calls: int, mib: int) -> float:
    """Print the figures of an engine; return the ratio of calls a second with and without backups."""
    daemon.apply()
    _filled(daemon, engine, mib)
    daemon.start()
    try:
        made = daemon.json("token", "create", "main", "--role", "switch")
        assert isinstance(made, dict)
        time.sleep(1)  # the daemon follows within a second
        words = ["--address", f"127.0.0.1:{daemon.http_port}", "--token", str(made["token"]), "--account", "rich"]
        _turn(words, calls // 4)  # warm
        alone, beside, copying = [], [], Copying(daemon)
        for _ in range(turns):
            alone.append(_turn(words, calls))
            copying.stopping.clear()
            thread = threading.Thread(target=copying.run)
            thread.start()
            try:
                beside.append(_turn(words, calls))
            finally:
                copying.stopping.set()
                thread.join()
    finally:
        daemon.stop()
    ratio = statistics.median(beside) / statistics.median(alone)
    told = f", the log up to {copying.log_octets >> 20} MiB" if not daemon.url else ""
    print(
        f"{engine}: {statistics.median(alone):,.0f} calls/s alone ({_range(alone)}),"
        f" {statistics.median(beside):,.0f} beside backups ({_range(beside)}): {1 - ratio:.0%} fewer;"
        f" {len(copying.seconds)} copies of {copying.octets >> 20} MiB, {statistics.median(copying.seconds):.1f} s"
        f" each{told}",
        flush=True,
    )
    return ratio


def _range(found: list[float]) -> str:
    return f"{min(found):,.0f} to {max(found):,.0f}"


def _engine(engine: str, turns: int, calls: int, mib: int) -> float:
    with tempfile.TemporaryDirectory(prefix="tollway-bench-") as folder:
        if engine == "sqlite":
            return measured(DaemonProcess(Path(folder), SCENARIO), engine, turns, calls, mib)
        cluster = Cluster(**SERVER)
        try:
            url = cluster.url(cluster.empty())
            return measured(DaemonProcess(Path(folder), SCENARIO, url=url), engine, turns, calls, mib)
        finally:
            cluster.remove()


def main(arguments: list[str] | None = None) -> int:
    """Measure the engines named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help="sqlite, postgresql; both if unsaid")
    parser.add_argument("--turns", type=int, default=TURNS, help="of each kind")
    parser.add_argument("--calls", type=int, default=CALLS, help="of a turn")
    parser.add_argument("--mib", type=int, default=MIB, help="of rows that are there before")
    chosen = parser.parse_args(arguments)
    print(f"{IN_FLIGHT} calls in flight on {os.cpu_count()} cores, synchronous=FULL; goal: {GOAL_PERCENT} % fewer at most")
    ratios = [_engine(engine, chosen.turns, chosen.calls, chosen.mib) for engine in chosen.engines or ENGINES]
    return int(min(ratios) < 1 - GOAL_PERCENT / 100)


if __name__ == "__main__":
    sys.exit(main())
