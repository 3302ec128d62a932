"""Start to READY, and what a reload or a followed change costs whoever asks meanwhile: the real daemon, supervised.

A store with accounts and a rate table is written, and the daemon is started over it with a supervisor's socket, as the
unit does. Then questions over RADIUS come at a steady pace, while settings are read again by SIGHUP, an account is
suspended, and a changed rate is imported into the large table. Each figure stands beside that of the same pace with
nothing going on.

    python -m benchmarks.bench_start
    python -m benchmarks.bench_start --accounts 100000 --rates 500000
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.bench_accounts import Asker, cpu_seconds, prepared
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.supervisor import SupervisorSocket

ACCOUNTS, RATES = 1_000, 5_000  # of a run that takes seconds
GOAL_READY_SECONDS, GOAL_DELAY_MS = 5.0, 50.0
PAUSE = 0.004  # seconds between two questions: some 200 a second of one asker
QUIET_SECONDS = 3.0
RELOADS = 10
READY_SECONDS_MAX = 120.0


class Pace:
    """Asks at a steady pace in a thread, and keeps how long each answer took."""

    def __init__(self, port: int) -> None:
        """Open the socket."""
        self._asker = Asker(port)
        self._stop = threading.Event()
        self.milliseconds: list[float] = []

    def while_doing(self, work: Callable[[], object]) -> list[float]:
        """Ask while some work is done; return what each answer took, in milliseconds."""
        self.milliseconds, self._stop = [], threading.Event()
        asking = threading.Thread(target=self._ask)
        asking.start()
        try:
            work()
        finally:
            self._stop.set()
            asking.join()
        return self.milliseconds

    def _ask(self) -> None:
        while not self._stop.is_set():
            granted, took = self._asker.ask("user0")
            assert granted, "every account of the bench may call"
            self.milliseconds.append(took)
            time.sleep(PAUSE)

    def close(self) -> None:
        """Close the socket."""
        self._asker.close()


def started(daemon: DaemonProcess, supervisor: SupervisorSocket) -> tuple[float, float]:
    """Start the daemon; return seconds until READY, and of its processor time until then."""
    began = time.monotonic()
    daemon.start_quietly()
    assert daemon.process is not None
    ready = supervisor.wait("READY=1", began, READY_SECONDS_MAX)[0]
    return ready - began, cpu_seconds(daemon.process.pid)


def _reloads(daemon: DaemonProcess, supervisor: SupervisorSocket) -> None:
    assert daemon.process is not None
    for number in range(RELOADS):
        daemon.configure(f"[charging]\nmax_grant_seconds = {600 + number}\n")
        asked = time.monotonic()
        os.kill(daemon.process.pid, signal.SIGHUP)
        supervisor.wait("READY=1", asked)
        time.sleep(0.1)


def _command(daemon: DaemonProcess, *words: str) -> None:
    """Run a command, and wait until the daemon has followed it."""
    before = (daemon.folder / "daemon.log").read_text().count("configuration followed")
    done = daemon.command(*words, timeout=600)
    assert done.returncode == 0, done.stderr + done.stdout
    ended = time.monotonic()
    while (daemon.folder / "daemon.log").read_text().count("configuration followed") == before:
        assert time.monotonic() - ended < READY_SECONDS_MAX, "it was not followed"
        time.sleep(0.01)
    print(f"{'':>12}tollway {words[0]} {words[1]}: followed {time.monotonic() - ended:.2f} s after its end")


def _told(what: str, took: list[float], quiet: list[float]) -> None:
    more = max(took) - max(quiet)
    print(
        f"{what:>34}: {len(took):,} answers, median {statistics.median(took):.2f} ms, longest {max(took):.1f} ms"
        f" (quiet {max(quiet):.1f} ms; goal: at most {GOAL_DELAY_MS:.0f} ms more; here {more:+.1f} ms)",
        flush=True,
    )


def measure(folder: Path, accounts: int, rates: int) -> None:
    """Measure one size."""
    with SupervisorSocket(folder) as supervisor:
        daemon = prepared(folder, accounts, rates)
        daemon.environment = {"NOTIFY_SOCKET": supervisor.address, "WATCHDOG_USEC": "30000000"}
        try:
            seconds, processor = started(daemon, supervisor)
            print(
                f"{accounts:,} accounts, {rates:,} rates: READY after {seconds:.2f} s, {processor:.2f} s of processor"
                f" time (goal: {GOAL_READY_SECONDS:.0f} s)",
                flush=True,
            )
            _delays(daemon, supervisor, folder)
        finally:
            if daemon.process is not None:
                daemon.kill()


def _delays(daemon: DaemonProcess, supervisor: SupervisorSocket, folder: Path) -> None:
    pace = Pace(daemon.auth_port)
    try:
        pace.while_doing(lambda: time.sleep(0.5))  # the first answers decode what later ones have
        quiet = pace.while_doing(lambda: time.sleep(QUIET_SECONDS))
        _told(f"{RELOADS} reloads", pace.while_doing(lambda: _reloads(daemon, supervisor)), quiet)
        suspended = pace.while_doing(lambda: _command(daemon, "account", "suspend", "a0000007", "--reason", "bench"))
        _told("an account suspended", suspended, quiet)
        (folder / "one.csv").write_text("prefix,destination,rate,first_seconds,next_seconds\n44,UK,0.61,1,1\n")
        words = ("rate", "import", "retail", "one.csv", "--mode", "merge", "--yes")
        _told("a rate of the table imported", pace.while_doing(lambda: _command(daemon, *words)), quiet)
    finally:
        pace.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--rates", type=int, default=RATES)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), chosen.accounts, chosen.rates)
    return 0


if __name__ == "__main__":
    sys.exit(main())
