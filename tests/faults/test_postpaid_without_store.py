"""Postpaid calls of the real daemon on a full disk: granted from the journal, charged once after a kill -9."""

import json
import random
import socket
import urllib.error
from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e import radius_peer as peer
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.radius_load import CHARGING
from tests.e2e.scenario import SCENARIO, SECRET
from tests.faults.power import Disk, built

CORP = """
[[account]]
id = "corp"
tenant = "main"
kind = "postpaid"
currency = "USD"
credit_limit = "100.00"
rate_plan = "retail"
identities = [{ sip_user = "corp", password = "corp-password" }]
"""
START = peer.accounting_request(SECRET, 3, peer.START, "corp-1", "corp", "442071231234")


def _sent(port: int, packet: bytes, seconds: float = 30) -> peer.Reply | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(seconds)
        link.sendto(packet, ("127.0.0.1", port))
        try:
            return peer.reply(SECRET, packet, link.recv(4096))
        except TimeoutError:
            return None


def _readiness(daemon: DaemonProcess) -> tuple[int, dict[str, object]]:
    try:
        status, body = daemon.get("/readyz")
    except urllib.error.HTTPError as error:
        with error:
            status, body = error.code, error.read()
    return status, json.loads(body)


def _daemon(folder: Path, journal: Path) -> DaemonProcess:
    granting = f'postpaid_without_store = "grant"\npostpaid_journal = "{journal}"\n'
    charging = CHARGING.replace("ring_seconds = 4", "ring_seconds = 60")  # the call is answered after a restart
    daemon = DaemonProcess(folder, SCENARIO + CORP, charging + granting)
    daemon.apply()
    return daemon


def _granted(daemon: DaemonProcess) -> None:
    asked = peer.access_request(SECRET, 1, "corp", "corp-password", "442071231234", "corp-1")
    answer = _sent(daemon.auth_port, asked)
    assert answer is not None
    assert (answer.code, answer.session_timeout) == (peer.ACCESS_ACCEPT, 60)


def _charged_once(daemon: DaemonProcess, journal: Path) -> None:
    """Tell the start and the end of the call, now that the store is there, and see that it is charged once."""
    assert _sent(daemon.acct_port, START) is not None
    stop = peer.accounting_request(SECRET, 4, peer.STOP, "corp-1", "corp", "442071231234", 30)
    assert _sent(daemon.acct_port, stop) is not None
    assert _readiness(daemon)[1]["journalled"] == 0
    assert not journal.exists()
    account = daemon.json("account", "show", "corp")
    assert isinstance(account, dict)
    assert (Decimal(account["balance"]), Decimal(account["reserved"])) == (Decimal("-0.30"), Decimal(0))
    assert "unauthorised" not in daemon.command("exception", "list").stdout
    checked = daemon.command("db", "check", "--json")
    assert checked.returncode == 0, checked.stdout
    assert daemon.stop() == 0


@pytest.mark.timeout(600)
def test_a_postpaid_call_on_a_full_disk_is_charged_once(tmp_path: Path) -> None:
    journal = tmp_path / "elsewhere" / "postpaid.jsonl"
    daemon = _daemon(tmp_path, journal)
    disk = Disk(daemon, random.Random(1), built(tmp_path))
    disk.attach()
    daemon.start()
    disk.fail("full")
    _granted(daemon)
    assert journal.stat().st_mode & 0o777 == 0o600
    prepaid = peer.access_request(SECRET, 2, "rich", "rich-password", "442071231234", "rich-1")
    refused = _sent(daemon.auth_port, prepaid)
    assert refused is not None
    assert refused.code == peer.ACCESS_REJECT
    assert _sent(daemon.acct_port, START, 1) is None
    status, said = _readiness(daemon)
    assert (status, said["ready"], said["journalled"]) == (503, False, 1)
    daemon.kill()
    assert journal.exists()
    disk.detach()
    daemon.start()
    _charged_once(daemon, journal)


@pytest.mark.timeout(600)
def test_a_journalled_grant_survives_a_power_cut(tmp_path: Path) -> None:
    journal = tmp_path / "postpaid.jsonl"
    daemon = _daemon(tmp_path, journal)
    disk = Disk(daemon, random.Random(2), built(tmp_path), (journal,))
    disk.attach()
    daemon.start()
    daemon.store.rename(tmp_path / "moved.db")  # gone, as with a mount that is lost
    _granted(daemon)
    disk.cut_power()
    assert len(journal.read_bytes().splitlines()) == 1
    disk.detach()
    daemon.start()
    _charged_once(daemon, journal)
