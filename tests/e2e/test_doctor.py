"""The command ``tollway doctor`` as a person and a script call it, beside a running daemon and without anything."""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.daemon_process import DaemonProcess, tollway
from tests.e2e.scenario import SCENARIO

REPLACED = '[[nas]]\nid = "gw2"\ntenant = "main"\naddress = "192.0.2.7"\nsecret = "short-secret"\n'


@pytest.fixture
def daemon(tmp_path: Path) -> DaemonProcess:
    made = DaemonProcess(tmp_path, SCENARIO + REPLACED)
    made.apply()
    return made


def looked(daemon: DaemonProcess) -> tuple[int, list[dict[str, Any]]]:
    done = daemon.command("doctor", "--json")
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def faults(found: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Return the faults that are not of the machine on which the test runs."""
    machine = ("disk.", "clock.sync", "zones", "udp.buffer", "descriptors", "unit", "store.place")
    return {(each["name"], each["fault"]) for each in found if each["fault"] and not each["name"].startswith(machine)}


def test_beside_a_running_daemon(daemon: DaemonProcess) -> None:
    daemon.start()
    try:
        status, found = looked(daemon)
        ports = [each["seen"] for each in found if each["name"] == "ports"]
        assert daemon.process is not None
        assert ports == [
            f"[{section}] 127.0.0.1:{port}/{kind} is served by a running daemon, pid {daemon.process.pid}"
            for section, port, kind in (
                ("radius_auth", daemon.auth_port, "udp"), ("radius_acct", daemon.acct_port, "udp"),
                ("http", daemon.http_port, "tcp"),
            )
        ]  # fmt: skip
        assert {each["seen"] for each in found if each["name"] == "ready"} == {"the daemon is ready"}
        assert faults(found) == {("nas.secrets", "short"), ("nas.signatures", "unsigned")}
        failed = [each for each in found if each["state"] == "fail"]
        assert status == (1 if failed else 0)
        assert all(each["to_do"] for each in found if each["fault"])
        assert "short-secret" not in str(found)
    finally:
        assert daemon.stop() == 0


def test_a_daemon_that_is_gone_is_missed(daemon: DaemonProcess) -> None:
    assert not {fault for fault in faults(looked(daemon)[1]) if fault[0] == "ready"}, "none has run here yet"
    daemon.start()
    assert daemon.stop() == 0
    assert ("ready", "absent") in faults(looked(daemon)[1])


def test_the_daemon_of_another_store_is_no_daemon_of_ours(daemon: DaemonProcess, tmp_path: Path) -> None:
    daemon.start()
    try:
        settings = (tmp_path / "tollway.toml").read_text()
        copy = tmp_path / "copy.db"
        with (
            contextlib.closing(sqlite3.connect(daemon.store)) as store,
            contextlib.closing(sqlite3.connect(copy)) as to,
        ):
            store.backup(to)
        (tmp_path / "tollway.toml").write_text(settings.replace(str(daemon.store), str(copy)))
        status, found = looked(daemon)
        assert status == 1
        assert ("ready", "other_store") in faults(found)
        (tmp_path / "tollway.toml").write_text(settings.replace(str(daemon.store), f"{tmp_path}/./{daemon.store.name}"))
        assert not {fault for fault in faults(looked(daemon)[1]) if fault[0] == "ready"}, "it is the same file"
    finally:
        assert daemon.stop() == 0


def test_in_words(daemon: DaemonProcess) -> None:
    done = daemon.command("doctor")
    assert "warn  nas.secrets" in done.stdout
    assert "-> write one of at least 16 random characters" in done.stdout
    assert "is free" not in done.stdout, "what is well is told where that is asked for"
    assert "is free" in daemon.command("doctor", "--all").stdout
    assert done.stdout.splitlines()[-1].endswith("skipped")


def test_without_a_store_and_with_bad_settings(daemon: DaemonProcess) -> None:
    daemon.store.unlink()
    status, found = looked(daemon)
    assert status == 69
    assert ("store", "missing") in faults(found)
    assert not daemon.store.exists()
    (daemon.folder / "tollway.toml").write_text('[store]\nurl = "mysql://x"\nfoo = 1\n')
    done = tollway("doctor", "--json", folder=daemon.folder)
    assert done.returncode == 78
    assert [(each["name"], each["fault"]) for each in json.loads(done.stdout)] == [("settings", "faults")] * 2
