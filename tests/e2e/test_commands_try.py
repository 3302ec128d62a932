"""The commands beside a running daemon: the demonstration, the lines that `run` prints, live calls and their end."""

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands_sample import sample_daemon
from tests.e2e.daemon_process import DaemonProcess

UNAVAILABLE, REFUSED = 69, 1
LONDON = "442071231234"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """The sample's daemon, running."""
    process = sample_daemon(tmp_path_factory.mktemp("running"))
    process.apply()
    process.start()
    yield process
    process.kill()


def balances(daemon: DaemonProcess) -> dict[str, Decimal]:
    rows = daemon.json("account", "list")
    assert isinstance(rows, list)
    return {f"{row['tenant']}/{row['id']}": Decimal(row["balance"]) for row in rows}


def tried(daemon: DaemonProcess) -> dict[str, Any]:
    done = daemon.command("try", "--fast", "--json", timeout=180)
    assert done.returncode == 0, done.stderr + done.stdout
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def test_the_demonstration_costs_what_the_ledger_says_and_runs_again(daemon: DaemonProcess) -> None:
    for again in (False, True):
        before = balances(daemon)
        value = tried(daemon)
        after = balances(daemon)
        assert [(call["caller"], call["road"], call["result"]) for call in value["calls"]] == [
            ("alice", "radius", "refused"), ("dave", "radius", "refused"), ("erin", "http", "refused"),
            ("alice", "radius", "charged"), ("bob", "http", "charged"), ("carol", "radius", "cut"),
        ]  # fmt: skip
        reasons = [call["reason"] for call in value["calls"][:3]]
        assert reasons == ["credential_wrong", "account_suspended", "destination_blocked"]
        cut = value["calls"][5]
        assert (cut["quota_seconds"], cut["duration_seconds"], cut["charge"]) == (6, "6", "0.001")
        assert cut["settled_by"] == "own_limit"
        added = sum(Decimal(topup["amount"]) for topup in value["topups"])
        assert added == (Decimal("0.001") if again else 0)
        charged = sum(Decimal(call["charge"]) for call in value["calls"])
        assert charged == Decimal(value["total_charged"]) == Decimal(value["ledger_difference"])
        assert charged == sum(before.values()) + added - sum(after.values())
        assert all(Decimal(call["charge"]) > 0 for call in value["calls"][3:])
        _nothing_secret(json.dumps(value))
    assert after["main/carol"] == 0
    assert daemon.json("call", "list") == []
    assert daemon.json("db", "check") == {"holds": True, "findings": []}


def _nothing_secret(text: str) -> None:
    assert "-password" not in text.replace("not-the-password", "")
    assert "testing123" not in text
    assert "tw_" not in text


def test_the_demonstration_shows_what_a_switch_sees(daemon: DaemonProcess) -> None:
    done = daemon.command("try", "--fast", timeout=180)
    assert done.returncode == 0, done.stderr
    for shown in ("Session-Timeout = 6", "h323-return-code = 7", '"result":"denied"', "settled by own_limit"):
        assert shown in done.stdout
    _nothing_secret(done.stdout)


def test_every_line_that_run_prints_works_there(daemon: DaemonProcess) -> None:
    log = _announced(daemon)
    assert f"127.0.0.1:{daemon.auth_port}/udp" in log
    assert f"127.0.0.1:{daemon.http_port}/tcp" in log
    lines = re.findall(r"^  (\S.*)$", log.partition("Try this")[2], re.MULTILINE)
    assert len(lines) >= 6
    for line in lines:
        done = subprocess.run(
            line, shell=True, cwd=daemon.folder, capture_output=True, text=True, timeout=180, check=False,
            env=daemon_environment(),
        )  # fmt: skip
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        _nothing_secret(line + done.stdout)


def _announced(daemon: DaemonProcess) -> str:
    """Return its log once all is printed: the daemon answers before it says so, and what to try comes last, at once."""
    until = time.monotonic() + 30
    while "call list\n" not in (log := daemon.log()):
        assert time.monotonic() < until, log
        time.sleep(0.05)
    return log


def daemon_environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def test_a_question_over_radius_is_answered(daemon: DaemonProcess) -> None:
    pairs = ("User-Name=alice", "User-Password=alice-password", f"Called-Station-Id={LONDON}", "Acct-Session-Id=ask-1")
    reply = daemon.json("radius", "send", "auth", *pairs)
    assert isinstance(reply, dict)
    assert (reply["code"], reply["name"]) == (2, "Access-Accept")
    assert ["Session-Timeout", 7200] in reply["attributes"]
    refused = daemon.command("radius", "send", "auth", "User-Name=dave", "User-Password=dave-password", *pairs[2:3])
    assert refused.returncode == REFUSED
    assert "account_suspended" in refused.stderr
    wrong = daemon.command("radius", "send", "status", "--secret", "wrong", "--timeout", "0.2", "--retries", "0")
    assert wrong.returncode == UNAVAILABLE
    assert daemon.command("call", "end", "ask-1").returncode == 0


def follows_by(began: float) -> float:
    """Return until when a daemon has to follow what a command changed that was begun then and has just ended.

    That is a second; where the machine is so busy that the command itself took longer, it is as long again.
    """
    now = time.monotonic()
    return now + max(1.0, now - began)


class Switch:
    """A switch of the tests that speaks HTTP with the standard library."""

    def __init__(self, daemon: DaemonProcess) -> None:
        began = time.monotonic()
        made = daemon.json("token", "create", "main", "--role", "switch")
        assert isinstance(made, dict)
        self.token = made["token"]
        self.base = f"http://127.0.0.1:{daemon.http_port}"
        deadline = follows_by(began)
        while self.ask("GET", "/v1/calls", None)[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def ask(self, method: str, path: str, body: object) -> tuple[int, Any]:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            return error.code, error.read()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def test_a_live_call_is_listed_and_ended_from_outside(daemon: DaemonProcess) -> None:
    switch = Switch(daemon)
    question = {"call_id": "live-1", "account": "bob", "from": "15551230001", "to": LONDON, "direction": "outbound"}
    status, grant = switch.ask("POST", "/v1/authorize", {**question, "updates": True})
    assert (status, grant["result"]) == (200, "granted")
    switch.ask("POST", "/v1/calls/live-1/answer", {"at": _now()})
    listed = daemon.json("call", "list", "--account", "bob")
    assert isinstance(listed, list)
    assert len(listed) == 1
    call = listed[0]
    assert call.keys() >= {
        "call_id", "account", "direction", "from", "to", "state", "started_at", "answered_at", "reserved", "charged",
        "quota_seconds", "switch",
    }  # fmt: skip
    assert (call["call_id"], call["account"], call["from"], call["to"]) == ("live-1", "bob", "15551230001", LONDON)
    assert (call["state"], call["reserved"], call["quota_seconds"]) == ("answered", grant["reserved"], 300)
    held = daemon.json("account", "show", "bob")
    assert isinstance(held, dict)
    assert (held["reserved"], held["channels"]["outbound"]) == (grant["reserved"], 1)
    assert daemon.json("call", "end", "live-1", "--reason", "a complaint") == {
        "call_id": "live-1",
        "cut": [call["grant_id"]],
    }
    status, update = switch.ask("POST", "/v1/calls/live-1/update", {"at": _now()})
    assert (status, update["cut"], update["final"]) == (200, True, True)
    status, ended = switch.ask("POST", "/v1/calls/live-1/end", {"at": _now()})
    assert (status, ended["state"]) == (200, "settled")
    shown = daemon.json("call", "show", "live-1")
    assert isinstance(shown, list)
    assert (shown[0]["state"], shown[0]["charged"], shown[0]["settled_by"]) == ("settled", ended["charge"], "hangup")
    assert [(change["act"], change["reason"]) for change in shown[0]["changes"]] == [("end", "a complaint")]
    assert daemon.command("call", "end", "live-1").returncode == REFUSED


def test_a_suspension_is_followed_within_a_second(daemon: DaemonProcess) -> None:
    switch = Switch(daemon)
    question = {"account": "alice", "from": "1555", "to": LONDON, "direction": "outbound"}
    began = time.monotonic()
    assert daemon.command("account", "suspend", "alice", "--reason", "test").returncode == 0
    deadline = follows_by(began)
    reasons: list[str] = []
    while not reasons or reasons[-1] != "account_suspended":
        assert time.monotonic() < deadline, reasons
        reasons.append(switch.ask("POST", "/v1/authorize", {**question, "call_id": f"s-{len(reasons)}"})[1]["reason"])
    assert daemon.command("account", "resume", "alice").returncode == 0


def test_with_the_daemon_stopped_the_demonstration_is_unavailable(tmp_path: Path) -> None:
    stopped = sample_daemon(tmp_path / "stopped")
    stopped.apply()
    done = stopped.command("try", "--fast", "--json")
    assert done.returncode == UNAVAILABLE
    assert f"127.0.0.1:{stopped.http_port}" in done.stderr
    assert done.stdout == ""


def test_without_the_sample_the_demonstration_says_so(tmp_path: Path) -> None:
    empty = sample_daemon(tmp_path / "empty")
    assert empty.command("db", "upgrade").returncode == 0
    empty.start()
    try:
        done = empty.command("try", "--fast")
        assert done.returncode == REFUSED
        assert "apply" in done.stderr
        assert "alice" not in empty.log().partition("Try this")[2]
    finally:
        empty.kill()
