"""Every case of tests/tables/hostile/settings as SIGHUP makes a running daemon read it: counted once, nothing taken."""

import os
import re
import signal
import time
from pathlib import Path

from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.scenario import SCENARIO
from tests.hostile_cases import cases, octets

COUNTED = re.compile(r'^tollway_discarded_total\{listener="settings",reason="(\w+)"\} ([0-9.]+)$', re.MULTILINE)
SECONDS = 20.0  # that a reload may take on a busy machine


def test_a_daemon_that_is_told_to_read_them_counts_each_once_and_takes_good_ones_after_it(tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path, SCENARIO)
    daemon.apply()
    daemon.start()
    try:
        file = tmp_path / "tollway.toml"
        good = file.read_text()
        for number, case in enumerate(cases("settings"), start=1):
            before = _counts(daemon)
            file.write_bytes(octets(case["file"], names={"good": good.encode()}))
            _told_to_reload(daemon)
            after = _until_changed(daemon, before)
            rises = {reason: n - before.get(reason, 0) for reason, n in after.items() if n != before.get(reason, 0)}
            assert rises == {case["counted"]: 1}, case["name"]
            file.write_text(good)
            _told_to_reload(daemon)
            _await_reloads(tmp_path / "daemon.log", number)
            assert _counts(daemon) == after, case["name"]
            assert daemon.get("/readyz")[0] == 200, case["name"]
    finally:
        assert daemon.stop() == 0


def _counts(daemon: DaemonProcess) -> dict[str, float]:
    return {reason: float(count) for reason, count in COUNTED.findall(daemon.get("/metrics")[1].decode())}


def _told_to_reload(daemon: DaemonProcess) -> None:
    assert daemon.process is not None
    os.kill(daemon.process.pid, signal.SIGHUP)


def _until_changed(daemon: DaemonProcess, before: dict[str, float]) -> dict[str, float]:
    """Return the counts once one rose."""
    deadline = time.monotonic() + SECONDS
    while (counts := _counts(daemon)) == before:
        assert time.monotonic() < deadline, daemon.log()
        time.sleep(0.01)
    return counts


def _await_reloads(log: Path, wanted: int) -> None:
    """Wait until so many good settings were taken."""
    deadline = time.monotonic() + SECONDS
    while log.read_text().count("settings reloaded") < wanted:
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.01)
