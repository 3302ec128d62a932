"""Questions over HTTP, each reserving durably, by the size of the deck and the number of accounts.

The daemon has one core and the generator the other; what it is asked is the price of a number taken at random for an
account taken at random. Each size has a daemon of its own, which is asked first by 64 callers that do not pause, and
then 500 times a second by a clock. Goals: 3,000 decisions a second with p99 at most 30 ms, at 500 a second p99 at most
8 ms, and both within 1.3 times over all sizes. A run whose generator used more than nine tenths of its core measured
the generator and is marked invalid.

    python -m benchmarks.bench_http 100000 100
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.bench_accounts import fill
from benchmarks.bench_daemon import GENERATOR_SHARE_MAX, IN_FLIGHT, cpu_seconds
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.scenario import SCENARIO

SIZES = ((100_000, 100), (1_000, 100), (1_000_000, 100), (100_000, 100_000))  # prefixes, accounts; first the goal's
QUESTIONS = 15_000
PACED = 500  # questions a second
PACED_QUESTIONS = 5_000
APPLY_SECONDS = 900


def _deck(prefixes: int) -> str:
    generator = random.Random(20_261_126)
    made = {str(first) for first in range(1, 10)}
    while len(made) < prefixes:
        made.add(str(generator.randrange(1, 10 ** generator.randrange(2, 9))))
    rows = (f"{prefix},Somewhere,0.0{1 + int(prefix) % 9},6,6" for prefix in sorted(made))
    return "\n".join(("prefix,destination,rate,first_seconds,next_seconds", *rows, ""))


def _pinned(core: int) -> list[str]:
    return ["taskset", "-c", str(core)] if os.cpu_count() != 1 and shutil.which("taskset") else []


def _asked(words: list[str], questions: int, *more: str) -> dict[str, float]:
    command = [*_pinned(1), sys.executable, "-m", "benchmarks.load_http", "--questions", "--calls", str(questions)]
    done = subprocess.run([*command, *words, *more], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stdout + done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _daemon(folder: Path, prefixes: int, accounts: int) -> DaemonProcess:
    daemon = DaemonProcess(folder, SCENARIO, wrapper=_pinned(0), start_seconds_max=APPLY_SECONDS)
    (folder / "deck.csv").write_text(_deck(prefixes))
    daemon.apply(APPLY_SECONDS)
    fill(daemon.store, accounts)
    daemon.start()
    return daemon


def measured(folder: Path, prefixes: int, accounts: int) -> tuple[float, float]:
    """Print the figures of one size; return decisions a second, and p99 in milliseconds at the pace."""
    daemon = _daemon(folder, prefixes, accounts)
    try:
        made = daemon.json("token", "create", "main", "--role", "switch")
        assert isinstance(made, dict)
        time.sleep(1)  # the daemon follows within a second
        words = ["--address", f"127.0.0.1:{daemon.http_port}", "--token", str(made["token"]), "--account", "rich"]
        words += ["--accounts", str(accounts), "--in-flight", str(IN_FLIGHT)]
        _asked(words, 1_000)  # warm
        assert daemon.process is not None
        before = cpu_seconds(daemon.process.pid)
        free = _asked(words, QUESTIONS)
        used = cpu_seconds(daemon.process.pid) - before
        paced = _asked(words, PACED_QUESTIONS, "--a-second", str(PACED))
    finally:
        daemon.stop()
    valid = "" if free["generator_cpu_share"] <= GENERATOR_SHARE_MAX else "  INVALID: the generator was the limit"
    print(
        f"{prefixes:>9,} prefixes, {accounts:>7,} accounts: {free['calls_per_second']:,.0f} decisions/s, "
        f"p50 {free['p50_ms']:.1f} ms, p99 {free['p99_ms']:.1f} ms; daemon {used / free['seconds']:.0%} of its core, "
        f"{used / QUESTIONS * 1e6:.0f} us a decision, generator {free['generator_cpu_share']:.0%}; "
        f"at {PACED}/s p50 {paced['p50_ms']:.1f} ms, p99 {paced['p99_ms']:.1f} ms{valid}",
        flush=True,
    )
    return free["calls_per_second"], paced["p99_ms"]


def main() -> int:
    """Measure all sizes, or the one on the command line."""
    words = [int(word) for word in sys.argv[1:]]
    sizes = [(words[0], words[1])] if words else SIZES
    found = []
    for prefixes, accounts in sizes:
        with tempfile.TemporaryDirectory() as folder:
            found.append(measured(Path(folder), prefixes, accounts))
    for (prefixes, accounts), (a_second, _) in list(zip(sizes, found, strict=True))[1:]:
        print(f"{prefixes:>9,} prefixes, {accounts:>7,} accounts: {found[0][0] / a_second:.2f} times the first's time")
    print("goals: 3,000 decisions/s, p99 30 ms; at 500/s p99 8 ms; within 1.3 times of the first at every size")
    return 0


if __name__ == "__main__":
    sys.exit(main())
