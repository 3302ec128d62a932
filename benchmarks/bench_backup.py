"""``tollway db backup`` beside calls: whole calls a second while it copies, and while it does not, turn by turn.

A daemon over a store of some hundred MiB is asked over HTTP by 64 callers that do not pause. In every other turn a copy
goes on beside it, which stands still in the others; so what else the machine does bears on both. Printed is the median
of the ratios of two turns that follow one another, how long a copy took, and how far the store's log grew, which in
part is because copies stand still. Goal: at most 20 % fewer calls. PostgreSQL's server shares the machine too.

    python -m benchmarks.bench_backup --turns 12 --mib 256 sqlite postgresql
"""

import argparse
import contextlib
import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bench_daemon import IN_FLIGHT
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.scenario import SCENARIO
from tests.integration.postgres_cluster import Cluster, ran

ENGINES = ("sqlite", "postgresql")
TURNS = 12  # of each kind
CALLS = 1_500  # of a turn: a second or two
SETTLE_SECONDS = 1.5  # after a copy begins or goes on: it rests for up to a second as if it had not stood still
MIB = 256  # of rows that are there before
GOAL_PERCENT = 20  # fewer calls, at most
ROW_OCTETS = 512
SERVER = {"shared_buffers": "256MB"}
_COLUMNS = "INSERT INTO exceptional (key, kind, tenant, source, switch, call_id, detail, at)"
_FILL = {
    "sqlite": f"WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {{rows}}) {_COLUMNS}"
    " SELECT 'fill:' || x, 'unrated', 'main', 'bench', '', '', hex(randomblob(230)), 0 FROM n",
    "postgresql": f"{_COLUMNS} SELECT 'fill:' || x, 'unrated', 'main', 'bench', '', '', (SELECT"
    " string_agg(md5(random()::text || x || y), '') FROM generate_series(1, 14) AS m(y)), 0"
    " FROM generate_series(1, {rows}) AS n(x)",
}


@dataclass
class Copying:
    """Backups one after another, each a process with its children, which stand still between two turns."""

    daemon: DaemonProcess
    seconds: list[float] = field(default_factory=list)  # that a copy took, without those in which it stood still
    octets: int = 0
    log_octets: int = 0
    _process: "subprocess.Popen[bytes] | None" = None
    _ran: float = 0.0

    @property
    def _target(self) -> Path:
        return self.daemon.folder / "copy"

    def go(self) -> float:
        """Let the copy go on, or begin one; return when."""
        if self._process is None:
            command = [sys.executable, "-m", "daemon.cli", "--config", "tollway.toml", "db", "backup", "copy"]
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
            self._process = subprocess.Popen(
                command, cwd=self.daemon.folder, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
            )
            self._ran = 0.0
        else:
            os.killpg(self._process.pid, signal.SIGCONT)
        time.sleep(SETTLE_SECONDS)
        return time.perf_counter() - SETTLE_SECONDS

    def halt(self, since: float) -> bool:
        """Let the copy stand still; tell whether it went on until now."""
        assert self._process is not None
        self._ran += time.perf_counter() - since
        log = self.daemon.folder / "tollway.db-wal"
        if log.exists():
            self.log_octets = max(self.log_octets, log.stat().st_size)
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGSTOP)
            return True
        if self._process.returncode != 0:
            raise RuntimeError(f"a backup ended with {self._process.returncode}")
        self._process = None
        self.seconds.append(self._ran)
        self.octets = self._target.stat().st_size
        self._target.unlink()
        return False

    def end(self) -> None:
        """End a copy that is under way."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


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
    copying = Copying(daemon)
    try:
        made = daemon.json("token", "create", "main", "--role", "switch")
        assert isinstance(made, dict)
        time.sleep(1)  # the daemon follows within a second
        words = ["--address", f"127.0.0.1:{daemon.http_port}", "--token", str(made["token"]), "--account", "rich"]
        _turn(words, calls)  # warm
        pairs = _pairs(words, turns, calls, copying)
    finally:
        copying.end()
        daemon.stop()
    ratio = statistics.median(beside / alone for alone, beside in pairs)
    took = f"{statistics.median(copying.seconds):.1f} s each" if copying.seconds else "none at its end"
    log = f", the log up to {copying.log_octets >> 20} MiB" if not daemon.url else ""
    print(
        f"{engine}: {statistics.median(alone for alone, _ in pairs):,.0f} calls/s alone"
        f" ({_range(alone for alone, _ in pairs)}), {statistics.median(beside for _, beside in pairs):,.0f} beside a"
        f" backup ({_range(beside for _, beside in pairs)}); the median of {len(pairs)} pairs has {1 - ratio:.0%}"
        f" fewer;"
        f" {len(copying.seconds)} copies of {copying.octets >> 20} MiB, {took}{log}",
        flush=True,
    )
    return ratio


def _pairs(words: list[str], turns: int, calls: int, copying: Copying) -> list[tuple[float, float]]:
    """Measure a turn without and one with a copy after each other, until there are enough of them."""
    pairs: list[tuple[float, float]] = []
    for _ in range(2 * turns):
        alone = _turn(words, calls)
        since = copying.go()
        beside = _turn(words, calls)
        if copying.halt(since):  # else the copy was at its end before the turn was
            pairs.append((alone, beside))
        if len(pairs) == turns:
            break
    return pairs


def _range(found: Iterable[float]) -> str:
    ordered = sorted(found)
    return f"{ordered[0]:,.0f} to {ordered[-1]:,.0f}"


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
    print(f"{IN_FLIGHT} calls in flight on {os.cpu_count()} cores; goal: {GOAL_PERCENT} % fewer at most")
    ratios = [_engine(engine, chosen.turns, chosen.calls, chosen.mib) for engine in chosen.engines or ENGINES]
    return int(min(ratios) < 1 - GOAL_PERCENT / 100)


if __name__ == "__main__":
    sys.exit(main())
