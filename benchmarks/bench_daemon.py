"""Whole prepaid calls through the real daemon, durable: question and reservation, answer, settlement.

The daemon has one core and the generator the other. A run whose generator used more than nine tenths of its core
measured the generator and is marked invalid. Syncs are counted by strace in a shorter run of their own, because tracing
slows. What limits a run is told by the shares: a daemon at its whole core is bound by Python, one below it by syncs.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.scenario import SCENARIO, SECRET

CALLS = 6_000
TRACED_CALLS = 1_000
IN_FLIGHT = 64
GENERATOR_SHARE_MAX = 0.9
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def _generator(module: str, calls: int, *words: str) -> dict[str, float]:
    command = [sys.executable, "-m", f"benchmarks.{module}", "--calls", str(calls), "--in-flight", str(IN_FLIGHT)]
    if os.cpu_count() != 1 and shutil.which("taskset"):
        command = ["taskset", "-c", "1", *command]
    done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stdout + done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _words(daemon: DaemonProcess, road: str) -> tuple[str, ...]:
    if road == "load_radius":
        return (
            "--auth-port", str(daemon.auth_port), "--acct-port", str(daemon.acct_port), "--secret", SECRET.decode(),
            "--user", "rich", "--password", "rich-password",
        )  # fmt: skip
    made = daemon.json("token", "create", "main", "--role", "switch")
    assert isinstance(made, dict)
    time.sleep(1)  # the daemon follows within a second
    return ("--address", f"127.0.0.1:{daemon.http_port}", "--token", str(made["token"]), "--account", "rich")


def _daemon(folder: Path, *wrapper: str) -> DaemonProcess:
    pinned = ["taskset", "-c", "0"] if os.cpu_count() != 1 and shutil.which("taskset") else []
    daemon = DaemonProcess(folder, SCENARIO, wrapper=[*pinned, *wrapper])
    daemon.apply()
    daemon.start()
    return daemon


def _measured(road: str, folder: Path) -> None:
    daemon = _daemon(folder)
    try:
        words = _words(daemon, road)
        _generator(road, 500, *words)  # warm
        assert daemon.process is not None
        before, began = cpu_seconds(daemon.process.pid), time.perf_counter()
        result = _generator(road, CALLS, *words)
        share = (cpu_seconds(daemon.process.pid) - before) / (time.perf_counter() - began)
    finally:
        daemon.stop()
    generator = result["generator_cpu_share"]
    valid = "" if generator <= GENERATOR_SHARE_MAX else "  INVALID: the generator was the limit"
    print(
        f"{road}: {result['calls_per_second']:,.0f} whole calls/s, p50 {result['p50_ms']:.1f} ms,"
        f" p99 {result['p99_ms']:.1f} ms a request; daemon {share:.0%} of its core, generator {generator:.0%}{valid}"
    )


def _syncs(road: str, folder: Path) -> None:
    trace = folder / "syncs.txt"
    daemon = _daemon(folder, "strace", "-f", "-e", "trace=fsync,fdatasync", "-o", str(trace))
    try:
        words = _words(daemon, road)
        before = len(re.findall("sync", trace.read_text()))
        began = time.perf_counter()
        _generator(road, TRACED_CALLS, *words)
        seconds = time.perf_counter() - began
        syncs = len(re.findall("sync", trace.read_text())) - before
    finally:
        daemon.kill()
    print(f"{road}: {syncs / seconds:,.0f} syncs/s, {3 * TRACED_CALLS / syncs:.1f} transactions a sync (traced)")


def main() -> int:
    """Measure both roads."""
    print(f"{IN_FLIGHT} calls in flight, synchronous=FULL, three transactions a call")
    for road in ("load_radius", "load_http"):
        with tempfile.TemporaryDirectory() as folder:
            _measured(road, Path(folder) / "a")
            if shutil.which("strace"):
                _syncs(road, Path(folder) / "b")
    return 0


if __name__ == "__main__":
    sys.exit(main())
