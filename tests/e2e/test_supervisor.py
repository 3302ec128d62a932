"""What a supervisor hears of a real daemon: ready once all answers, signs of life while money can move, and the end."""

import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e import radius_peer as peer
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.scenario import SCENARIO, SECRET
from tests.e2e.supervisor import SupervisorSocket

WATCHDOG_SECONDS = 1.0
FULL_STOP_SECONDS_MAX = 10.0


def supervised(folder: Path, supervisor: SupervisorSocket, seconds: float = WATCHDOG_SECONDS) -> DaemonProcess:
    told = {"NOTIFY_SOCKET": supervisor.address, "WATCHDOG_USEC": str(int(seconds * 1_000_000))}
    daemon = DaemonProcess(folder, SCENARIO, "[charging]\nmax_grant_seconds = 600\n", environment=told)
    daemon.apply()
    return daemon


def every_listener_answers(daemon: DaemonProcess) -> None:
    """Ask each listener once, without a second try."""
    assert daemon.get("/readyz")[0] == 200
    question = peer.access_request(SECRET, 1, "rich", "rich-password", "442071231234", "first")
    begin = peer.accounting_request(SECRET, 2, peer.START, "first", "rich", "442071231234")
    for packet, port in ((question, daemon.auth_port), (begin, daemon.acct_port)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.settimeout(5)
            link.sendto(packet, ("127.0.0.1", port))
            assert peer.reply(SECRET, packet, link.recv(4096)).code in (peer.ACCESS_ACCEPT, peer.ACCOUNTING_RESPONSE)


@pytest.mark.parametrize("abstract", [False, True])
def test_ready_comes_when_every_listener_answers_and_the_end_is_told(tmp_path: Path, abstract: bool) -> None:
    with SupervisorSocket(tmp_path, abstract=abstract) as supervisor:
        daemon = supervised(tmp_path, supervisor)
        daemon.start_quietly()
        try:
            supervisor.wait("READY=1")
            every_listener_answers(daemon)
            first = supervisor.messages[0][1]
            assert first.startswith("EXTEND_TIMEOUT_USEC="), "a start that loads much may go on"
            assert "STATUS=loading the store" in first
            supervisor.wait("WATCHDOG=1")
            began = time.monotonic()
            assert daemon.stop() == 0
            assert time.monotonic() - began < FULL_STOP_SECONDS_MAX
            told = [text for _at, text in supervisor.messages]
            assert len(supervisor.after(0, "READY=1")) == 1
            assert told[-1].startswith("STOPPING=1\n"), "no sign of life is told behind it"
        finally:
            daemon.kill()


def test_no_sign_of_life_comes_while_the_writer_is_blocked(tmp_path: Path) -> None:
    with SupervisorSocket(tmp_path) as supervisor:
        daemon = supervised(tmp_path, supervisor)
        daemon.start()
        try:
            begun = supervisor.wait("WATCHDOG=1")[0]
            supervisor.wait("WATCHDOG=1", begun + 1.2 * WATCHDOG_SECONDS)
            with closing(sqlite3.connect(daemon.store, isolation_level=None, timeout=30)) as other:
                other.execute("BEGIN IMMEDIATE")
                blocked = time.monotonic()
                time.sleep(3 * WATCHDOG_SECONDS)
                assert daemon.get("/healthz")[0] == 200, "the loop runs, and that is not enough"
                told = supervisor.after(blocked + WATCHDOG_SECONDS / 2, "WATCHDOG=1")
                assert not told, "one may have been on its way"
                other.execute("ROLLBACK")
            supervisor.wait("WATCHDOG=1", blocked + 3 * WATCHDOG_SECONDS, 20)
            assert "the store's writer does not answer" in daemon.log()
        finally:
            daemon.kill()


def test_a_reload_is_told_with_its_time_and_its_outcome(tmp_path: Path) -> None:
    with SupervisorSocket(tmp_path) as supervisor:
        daemon = supervised(tmp_path, supervisor, 60)
        daemon.start()
        assert daemon.process is not None
        try:
            supervisor.wait("READY=1")
            asked = time.monotonic()
            daemon.configure("[charging]\nslice_seconds = 60\nbatch_max = 1\n")
            daemon.process.send_signal(1)
            reloading = supervisor.wait("RELOADING=1", asked)[1]
            ready = supervisor.wait("READY=1", asked)[1]
            (stamp,) = [line for line in reloading.splitlines() if line.startswith("MONOTONIC_USEC=")]
            assert asked <= int(stamp.partition("=")[2]) / 1e6 <= time.monotonic()
            assert "STATUS=serving with the settings of before: tollway.toml:11: charging.batch_max: " in ready
            asked = time.monotonic()
            daemon.configure("[charging]\nslice_seconds = 60\n")
            daemon.process.send_signal(1)
            assert "STATUS=serving" in supervisor.wait("READY=1", asked)[1].splitlines()
        finally:
            daemon.kill()


def test_a_supervisor_that_states_nonsense_is_told_so(tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path, SCENARIO, environment={"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "soon"})
    daemon.apply()
    daemon.start_quietly()
    assert daemon.process is not None
    assert daemon.process.wait(60) == 78
    assert "WATCHDOG_USEC is 'soon'" in daemon.log()
