"""A running daemon as an operator sees it: its log, its figures, and the table of its calls on a terminal."""

import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from fcntl import ioctl
from pathlib import Path

import pytest

from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.radius_peer import access_request
from tests.e2e.scenario import SCENARIO, SECRET
from tests.unit.test_seeing import documented

SECONDS_MAX = 60  # seconds that anything may take on a busy machine
FORGED = "x\n<3>timestamp=2026-01-01T00:00:00Z level=error event=forged \x1b]0;owned\x07"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    made = DaemonProcess(tmp_path_factory.mktemp("seeing"), SCENARIO)
    made.apply()
    made.start()
    yield made
    if made.process is not None and made.process.poll() is None:
        made.stop()


@pytest.fixture(scope="module")
def token(daemon: DaemonProcess) -> str:
    made = daemon.json("token", "create", "main", "--role", "switch")
    assert isinstance(made, dict)
    return str(made["token"])


def post(daemon: DaemonProcess, token: str, path: str, **body: object) -> dict[str, object]:
    """Ask over HTTP, again for as long as the daemon does not know the token yet."""
    address = f"http://127.0.0.1:{daemon.http_port}{path}"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        try:
            request = urllib.request.Request(address, json.dumps(body).encode(), headers)
            with urllib.request.urlopen(request, timeout=30) as answer:
                found: dict[str, object] = json.loads(answer.read())
                return found
        except urllib.error.HTTPError as error:
            if error.code != 401 or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def ask(daemon: DaemonProcess, token: str, call_id: str) -> dict[str, object]:
    return post(
        daemon, token, "/v1/authorize", call_id=call_id, account="rich", to="442071231234", direction="outbound",
        **{"from": "15551230001"},
    )  # fmt: skip


def ask_by_radius(daemon: DaemonProcess, password: str, session: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(SECONDS_MAX)
        packet = access_request(SECRET, os.urandom(1)[0], "rich", password, "442071231234", session)
        client.sendto(packet, ("127.0.0.1", daemon.auth_port))
        client.recv(4096)


def until(condition: Callable[[], bool], what: str = "") -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def lines_of(daemon: DaemonProcess, event: str) -> list[str]:
    log = (daemon.folder / "daemon.log").read_text()
    return [line for line in log.splitlines() if f" event={event} " in line]


def test_each_road_has_a_line_for_a_decision_and_a_charge(daemon: DaemonProcess, token: str) -> None:
    assert ask(daemon, token, "seen-1")["result"] == "granted"
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert post(daemon, token, "/v1/calls/seen-1/end", at=at, duration_seconds=5)["charge"]
    ask_by_radius(daemon, "wrong-password", "seen-2")
    until(lambda: len(lines_of(daemon, "decision")) >= 2 and len(lines_of(daemon, "charge")) >= 1, daemon.log())
    granted = next(line for line in lines_of(daemon, "decision") if "call_id=seen-1" in line)
    assert "road=http" in granted
    assert "account=main/rich code=granted duration_us=" in granted
    refused = next(line for line in lines_of(daemon, "decision") if "call_id=seen-2" in line)
    assert "road=radius switch=gw1" in refused
    assert "code=credential_wrong" in refused
    (charge,) = [line for line in lines_of(daemon, "charge") if "call_id=seen-1" in line]
    assert "settled_by=hangup duration_seconds=5 billed_seconds=5 charge=0.05 currency=USD uncollected=0.00" in charge
    assert "wrong-password" not in (daemon.folder / "daemon.log").read_text()


def test_no_call_id_forges_or_floods_a_line(daemon: DaemonProcess) -> None:
    ask_by_radius(daemon, "rich-password", FORGED)
    ask_by_radius(daemon, "rich-password", "long " + "x" * 245)
    until(lambda: len([line for line in lines_of(daemon, "decision") if "forged" in line or "xxx" in line]) == 2)
    (line,) = [line for line in (daemon.folder / "daemon.log").read_text().splitlines() if "forged" in line]
    assert line.isprintable()
    assert " event=decision road=radius " in line
    assert line.startswith("timestamp=")


def test_every_figure_of_a_running_daemon_is_in_the_page_and_no_other(daemon: DaemonProcess, token: str) -> None:
    assert ask(daemon, token, "seen-3")["result"] == "granted"
    figures = daemon.get("/metrics")[1].decode()
    assert set(re.findall(r"^# TYPE (\w+) ", figures, re.MULTILINE)) == documented().keys()
    assert re.search(r'^tollway_decisions_total\{code="granted",road="http"\} [1-9]', figures, re.MULTILINE)
    assert re.search(r'^tollway_build_info\{python="3\.\d+\.\d+",version="[^"]+"\} 1\.0$', figures, re.MULTILINE)
    for sample in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", figures, re.MULTILINE):
        name = sample[0] if sample[0] in documented() else re.sub(r"_(bucket|sum|count)$", "", sample[0])
        labels = set(re.findall(r'(\w+)="', sample[1])) - {"le"}
        assert labels == set(documented()[name]), sample


def test_a_log_that_nobody_reads_stops_no_call(tmp_path: Path, token: str) -> None:
    del token
    stalled = DaemonProcess(tmp_path / "stalled", SCENARIO)
    stalled.apply()
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "daemon.cli", "--config", "tollway.toml", "run"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    stalled.process = subprocess.Popen(
        command, cwd=stalled.folder, stdout=subprocess.DEVNULL, stderr=writing, env=environment,
        start_new_session=True,
    )  # fmt: skip
    os.close(writing)
    try:
        stalled._wait_ready()
        made = stalled.json("token", "create", "main", "--role", "switch")
        assert isinstance(made, dict)
        for number in range(400):  # 90 KiB of lines: a pipe takes 64
            assert ask(stalled, str(made["token"]), f"stall-{number:032d}")["result"] in ("granted", "denied")
        assert stalled.get("/healthz")[0] == 200
        assert stalled.stop() == 0
    finally:
        if stalled.process.poll() is None:
            stalled.kill()
        os.close(reading)


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, daemon: DaemonProcess, *words: str, lines: int = 24) -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "xterm"}
        for name in ("COLUMNS", "LINES"):
            environment.pop(name, None)
        self.ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, 160, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self.theirs = theirs
        self.process = subprocess.Popen(
            [sys.executable, "-m", "daemon.cli", "--config", "tollway.toml", *words], cwd=daemon.folder,
            stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True,
        )  # fmt: skip
        self.seen = ""

    def shows(self, text: str) -> None:
        """Wait until a text is shown after what was waited for before."""
        deadline = time.monotonic() + SECONDS_MAX
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen[-3_000:]
            if select.select([self.ours], [], [], 0.2)[0]:
                self.seen += os.read(self.ours, 65_536).decode(errors="replace")
        self.seen = self.seen.partition(text)[2]

    def ended(self) -> int:
        """Return the exit status; what is still written is read, so that it can end."""
        deadline = time.monotonic() + SECONDS_MAX
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            if select.select([self.ours], [], [], 0.1)[0]:
                self.seen += os.read(self.ours, 65_536).decode(errors="replace")
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(SECONDS_MAX)
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def terminal(daemon: DaemonProcess) -> Iterator[Callable[..., Terminal]]:
    made: list[Terminal] = []

    def open_one(*words: str, lines: int = 24) -> Terminal:
        made.append(Terminal(daemon, *words, lines=lines))
        return made[-1]

    yield open_one
    for each in made:
        each.close()


def test_the_table_of_calls_lives_and_q_ends_it(
    daemon: DaemonProcess, token: str, terminal: Callable[..., Terminal]
) -> None:
    ask(daemon, token, "table-1")
    shown = terminal("call", "list", "--watch", "--interval", "1", lines=40)
    shown.shows("table-1")
    ask(daemon, token, "table-2")
    shown.shows("table-2")
    assert "\x1b]0;owned" not in shown.seen
    os.write(shown.ours, b"q")
    assert shown.ended() == 0
    assert termios.tcgetattr(shown.theirs) == shown.before, "the terminal is given back as it was"
    assert "\x1b[?1049l" in shown.seen, "and the screen that was there before"


def test_a_low_terminal_counts_the_rest_and_an_interrupt_ends_it(
    daemon: DaemonProcess, token: str, terminal: Callable[..., Terminal]
) -> None:
    for number in range(8):
        ask(daemon, token, f"low-{number}")
    shown = terminal("call", "list", "--watch", "--interval", "1", lines=11)
    shown.shows(" more")
    os.killpg(shown.process.pid, signal.SIGINT)
    assert shown.ended() == 0
    assert termios.tcgetattr(shown.theirs) == shown.before
    assert "Traceback" not in shown.seen


def test_in_a_pipe_each_look_is_one_list(daemon: DaemonProcess, token: str) -> None:
    ask(daemon, token, "piped")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "daemon.cli", "--config", "tollway.toml", "call", "list", "--watch", "--json"]
    looking = subprocess.Popen(
        [*command, "--interval", "1"], cwd=daemon.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment,
    )  # fmt: skip
    assert looking.stdout is not None
    looks = [json.loads(looking.stdout.readline()) for _ in range(2)]
    looking.send_signal(signal.SIGINT)
    _, errors = looking.communicate(timeout=SECONDS_MAX)
    assert (looking.returncode, errors) == (0, b"")
    for look in looks:
        assert "piped" in [call["call_id"] for call in look]
        assert {"call_id", "account", "state", "reserved", "charged", "quota_seconds"} <= look[0].keys()


def test_a_daemon_and_a_store_that_are_away_are_said_and_found_again(
    daemon: DaemonProcess, token: str, terminal: Callable[..., Terminal]
) -> None:
    ask(daemon, token, "staying")
    shown = terminal("call", "list", "--watch", "--interval", "1", lines=60)
    shown.shows("staying")
    daemon.stop()
    shown.shows("the daemon does not answer")
    aside = daemon.store.with_suffix(".aside")
    daemon.store.rename(aside)
    shown.shows("the store is away")
    aside.rename(daemon.store)
    daemon.start()
    shown.shows("q ends")
    until(lambda: _is_well(shown))
    os.write(shown.ours, b"q")
    assert shown.ended() == 0


def _is_well(shown: Terminal) -> bool:
    shown.seen = ""
    shown.shows("q ends")
    shown.shows("q ends")
    return "away" not in shown.seen and "does not answer" not in shown.seen
