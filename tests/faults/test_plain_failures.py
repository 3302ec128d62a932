"""Each thing that fails says what is wrong and what to do, in the words of docs/operations/failures.md.

The real daemon and the real commands are run in each of these states; paths and ports of the test are read as those of
the page.
"""

import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e import radius_peer as peer
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.radius_load import CHARGING
from tests.e2e.scenario import SCENARIO, SECRET
from tests.faults.power import Disk, built
from tests.integration.postgres_cluster import Cluster
from tests.ports import free_port
from tests.switch_double.double import SwitchDouble

PAGE = " ".join((Path(__file__).parents[2] / "docs/operations/failures.md").read_text(encoding="utf-8").split())
STORE, PORT = "/var/lib/tollway/tollway.db", "8090"
UNAVAILABLE, BAD_CONFIGURATION = 69, 78
ROOT = os.getuid() == 0
# A file system of a test's own: root has the right to it, unless a container took that away.
MOUNTS = ROOT and subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0
SWITCH = """
[[freeswitch]]
id = "fs1"
tenant = "main"
host = "127.0.0.1"
port = {port}
password = "wrong-password"
"""
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


def on_the_page(said: str, **shown: object) -> None:
    """See that the page has a message, with its own names in place of the test's."""
    for name, real in shown.items():
        said = said.replace(str(real), {"store": STORE, "folder": "/var/lib/tollway", "port": PORT}.get(name, name))
    said = " ".join(said.split())
    assert said in PAGE, said


def until(holds: Callable[[], bool], what: Callable[[], str], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


def values(log: str, event: str, key: str = "error") -> list[str]:
    """Return the values of a key in the lines of an event."""
    lines = [line for line in log.splitlines() if f'event="{event}"' in line]
    found = (re.search(rf'\b{key}=("(?:[^"\\]|\\.)*"|\S+)', line) for line in lines)
    return [match[1].strip('"').replace('\\"', '"') for match in found if match is not None]


def of_store(log: str) -> list[str]:
    """Return what the log says of the store, whichever part of the daemon met it."""
    return re.findall(r'error="(the store at [^"]*)"', log)


def ready(daemon: DaemonProcess) -> int:
    try:
        return daemon.get("/readyz")[0]
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def ended(daemon: DaemonProcess) -> tuple[int, str]:
    """Start a daemon that cannot serve; return its status and what it said."""
    daemon.start_quietly()
    assert daemon.process is not None
    status = daemon.process.wait(60)
    said = values(daemon.log(), "cannot serve")
    assert len(said) == 1, daemon.log()
    return status, said[0]


def sent(port: int, packet: bytes) -> peer.Reply:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(30)
        link.sendto(packet, ("127.0.0.1", port))
        return peer.reply(SECRET, packet, link.recv(4096))


@pytest.fixture
def daemon(tmp_path: Path) -> DaemonProcess:
    made = DaemonProcess(tmp_path, SCENARIO, CHARGING)
    made.apply()
    return made


# -- what keeps it from starting


@pytest.mark.parametrize("section", ["radius_auth", "radius_acct", "http"])
def test_a_port_that_is_taken(daemon: DaemonProcess, section: str) -> None:
    port = {"radius_auth": daemon.auth_port, "radius_acct": daemon.acct_port, "http": daemon.http_port}[section]
    kind = socket.SOCK_STREAM if section == "http" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        status, said = ended(daemon)
        seen = json.loads(daemon.command("doctor", "--json").stdout)
    assert status == UNAVAILABLE
    on_the_page(said.replace(f"[{section}]", "[http]"), port=port)
    assert [each["fault"] for each in seen if each["name"] == "ports"].count("taken") == 1
    assert not values(daemon.log(), "stopped")


def test_an_address_of_another_machine(daemon: DaemonProcess) -> None:
    settings = daemon.folder / "tollway.toml"
    settings.write_text(settings.read_text().replace(f"127.0.0.1:{daemon.http_port}", f"192.0.2.1:{daemon.http_port}"))
    status, said = ended(daemon)
    assert status == UNAVAILABLE
    on_the_page(said, port=daemon.http_port)


def read_only(folder: Path) -> list[str]:
    """Return what is put before a command, so that it finds a folder read-only: rights do not bind root."""
    if not ROOT:
        folder.chmod(0o555)
        return []
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd "$1" && shift && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, str(folder), str(folder.parent)]


@pytest.mark.skipif(ROOT and not MOUNTS, reason="rights do not bind root, and it may not mount")
def test_a_store_that_is_read_only(tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path / "daemon", SCENARIO)
    (daemon.folder / "store").mkdir()
    settings = daemon.folder / "tollway.toml"
    store = daemon.folder / "store" / "tollway.db"
    settings.write_text(settings.read_text().replace(str(daemon.store), str(store)))
    daemon.apply()
    daemon.wrapper = read_only(store.parent)
    try:
        status, said = ended(daemon)
    finally:
        store.parent.chmod(0o755)
    assert status == UNAVAILABLE
    on_the_page(said, store=store, folder=store.parent)


def test_a_store_of_a_newer_release(daemon: DaemonProcess) -> None:
    with contextlib.closing(sqlite3.connect(daemon.store)) as store, store:
        (known,) = store.execute("SELECT version_num FROM alembic_version").fetchone()
        store.execute("UPDATE alembic_version SET version_num = '9999'")
    before = daemon.store.read_bytes()
    status, said = ended(daemon)
    assert status == UNAVAILABLE
    on_the_page(said.replace(known, "0011"), store=daemon.store)
    for words in (("account", "list"), ("db", "upgrade"), ("apply", "scenario.toml")):
        done = daemon.command(*words)
        assert (done.returncode, done.stderr.strip()) == (UNAVAILABLE, said)
    assert daemon.command("doctor").returncode == UNAVAILABLE
    assert daemon.store.read_bytes() == before, "an older release altered it"


def test_a_deck_that_vanished(daemon: DaemonProcess) -> None:
    assert daemon.command("check", "scenario.toml").returncode == 0
    (daemon.folder / "deck.csv").unlink()
    before = daemon.json("rate", "history", "retail")
    for words in (("check", "scenario.toml"), ("apply", "scenario.toml"), ("apply", "--dry-run", "scenario.toml")):
        done = daemon.command(*words)
        assert done.returncode == BAD_CONFIGURATION
        on_the_page(re.sub(r"toml:\d+", "toml:22", done.stderr))
    assert daemon.json("rate", "history", "retail") == before, "the rates in force stay"


# -- what happens while it runs


def test_a_full_disk(daemon: DaemonProcess) -> None:
    disk = Disk(daemon, random.Random(1), built(daemon.folder))
    disk.attach()
    daemon.start()
    disk.fail("full")
    asked = peer.access_request(SECRET, 1, "rich", "rich-password", "442071231234", "c1")
    assert sent(daemon.auth_port, asked).code == peer.ACCESS_REJECT
    assert ready(daemon) == 503
    until(lambda: bool(of_store(daemon.log())), daemon.log, 40)
    on_the_page(of_store(daemon.log())[0], store=daemon.store)
    disk.fail("none")
    until(lambda: ready(daemon) == 200, daemon.log)
    asked = peer.access_request(SECRET, 2, "rich", "rich-password", "442071231234", "c2")
    assert sent(daemon.auth_port, asked).code == peer.ACCESS_ACCEPT, "it goes on by itself"
    assert daemon.stop() == 0


def test_a_journal_without_room(tmp_path: Path) -> None:
    journal = tmp_path / "postpaid.jsonl"
    granting = f'postpaid_without_store = "grant"\npostpaid_journal = "{journal}"\n'
    daemon = DaemonProcess(tmp_path, SCENARIO + CORP, CHARGING + granting)
    daemon.apply()
    disk = Disk(daemon, random.Random(1), built(daemon.folder), (journal,))
    disk.attach()
    daemon.start()
    disk.fail("full")
    asked = peer.access_request(SECRET, 1, "corp", "corp-password", "442071231234", "c1")
    assert sent(daemon.auth_port, asked).code == peer.ACCESS_REJECT
    until(lambda: "postpaid grant not journalled" in daemon.log(), daemon.log)
    (line,) = [line for line in daemon.log().splitlines() if "postpaid grant not journalled" in line]
    on_the_page(line.partition(" event=")[2].replace(str(tmp_path), "/var/lib/tollway"))


def test_a_store_that_is_gone(daemon: DaemonProcess) -> None:
    daemon.start()
    away = daemon.folder / "away.db"
    daemon.store.rename(away)
    assert ready(daemon) == 503
    until(lambda: bool(of_store(daemon.log())), daemon.log, 40)
    on_the_page(of_store(daemon.log())[0], store=daemon.store)
    away.rename(daemon.store)
    until(lambda: ready(daemon) == 200, daemon.log)


async def test_a_switch_with_another_password(tmp_path: Path) -> None:
    async with SwitchDouble(password="right-password") as double:
        scenario = SCENARIO + SWITCH.format(port=double.port)
        await _refused(DaemonProcess(tmp_path, scenario), double)


async def _refused(daemon: DaemonProcess, double: SwitchDouble) -> None:
    await asyncio.to_thread(daemon.apply)
    await asyncio.to_thread(daemon.start)
    await asyncio.sleep(3)
    tried = double.logins
    assert await asyncio.to_thread(ready, daemon) == 200, "a switch is never a part of readiness"
    on_the_page(values(daemon.log(), "link lost")[0])
    assert "wrong-password" not in daemon.log()
    assert len(values(daemon.log(), "link lost")) == 1, "it tries again, and says nothing until a minute is over"
    assert tried == 0
    assert await asyncio.to_thread(daemon.stop) == 0


def test_a_switch_that_is_away(tmp_path: Path) -> None:
    port = free_port()
    daemon = DaemonProcess(tmp_path, SCENARIO + SWITCH.format(port=port))
    daemon.apply()
    daemon.start()
    until(lambda: bool(values(daemon.log(), "link lost")), daemon.log)
    said = values(daemon.log(), "link lost")[0]
    on_the_page(said.replace(str(port), "8021"))
    assert ready(daemon) == 200


def test_a_server_that_restarts(tmp_path: Path) -> None:
    cluster = Cluster()
    try:
        daemon = DaemonProcess(tmp_path, SCENARIO, CHARGING, url=cluster.url(cluster.empty()))
        daemon.apply()
        daemon.start()
        cluster.stop()
        until(lambda: ready(daemon) == 503, daemon.log)
        until(lambda: bool(of_store(daemon.log())), daemon.log)
        for said in of_store(daemon.log()):
            shown = said.replace(daemon.store_name, "postgresql://tollway@127.0.0.1:5432/tollway")
            on_the_page(shown.rpartition(" (")[0])
        assert cluster.password not in daemon.log()
        cluster.start()
        until(lambda: ready(daemon) == 200, daemon.log)
        assert daemon.stop() == 0
    finally:
        cluster.remove()


@pytest.mark.skipif(not MOUNTS, reason="a target without room is a file system of its own")
def test_an_export_without_room(daemon: DaemonProcess) -> None:
    target = daemon.folder / "var" / "exports"
    target.mkdir(parents=True)
    daemon.start()
    asked = peer.access_request(SECRET, 1, "rich", "rich-password", "442071231234", "c1")
    assert sent(daemon.auth_port, asked).code == peer.ACCESS_ACCEPT
    stop = peer.accounting_request(SECRET, 2, peer.STOP, "c1", "rich", "442071231234", 60)
    assert sent(daemon.acct_port, stop).code == peer.ACCOUNTING_RESPONSE
    fill = 'mount -t tmpfs -o size=4k none "$0" && head -c 4096 /dev/zero >"$0/filled"; exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", fill, str(target), sys.executable, "-m", "daemon.cli", "--config",
               "tollway.toml", "export", "run"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=daemon.folder, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == UNAVAILABLE, done.stderr + done.stdout
    on_the_page(done.stderr, folder=daemon.folder)
    assert daemon.command("export", "run").returncode == 0, "a later run goes on"


# -- the clock


class MachineClock:
    """The time that a daemon's machine tells, by clock.c: seconds ahead of the truth, or behind."""

    def __init__(self, daemon: DaemonProcess) -> None:
        library, self._file = daemon.folder / "clock.so", daemon.folder / "clock"
        self.set(0)
        source = str(Path(__file__).with_name("clock.c"))
        command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(library), source]
        subprocess.run(command, check=True, capture_output=True, text=True)
        daemon.wrapper = ["env", f"LD_PRELOAD={library}", f"TOLLWAY_CLOCK={self._file}"]

    def set(self, seconds: int) -> None:
        with self._file.open("r+" if self._file.exists() else "w") as file:  # never empty for whoever reads it
            file.write(f"{seconds:+09d}\n")


def test_a_glitch_of_the_clock_leaves_nothing_behind(daemon: DaemonProcess) -> None:
    clock = MachineClock(daemon)
    daemon.start()
    for number, call in enumerate(("c1", "c2")):
        asked = peer.access_request(SECRET, number, "rich", "rich-password", "442071231234", call)
        assert sent(daemon.auth_port, asked).code == peer.ACCESS_ACCEPT
    begun = peer.accounting_request(SECRET, 3, peer.START, "c1", "rich", "442071231234")
    assert sent(daemon.acct_port, begun).code == peer.ACCOUNTING_RESPONSE
    clock.set(300)
    until(lambda: "was set forward" in daemon.log(), daemon.log)
    (line, *_) = [line for line in daemon.log().splitlines() if "was set forward" in line]
    said = re.sub(r"kept=\S+", "kept=2026-11-26T10:00:00.000000Z", line.partition(" event=")[2])
    on_the_page(re.sub(r"ahead_seconds=(299|300)", "ahead_seconds=300", said))
    clock.set(0)
    until(lambda: "is right again" in daemon.log(), daemon.log)
    (shown,) = json.loads(daemon.command("call", "show", "c1", "--json").stdout)
    assert shown["state"] == "answered", "its money was not let go"
    assert "was set back" not in daemon.log(), "there is nothing to come back from"
    assert daemon.stop() == 0


def test_a_clock_that_steps_back_an_hour(daemon: DaemonProcess) -> None:
    clock = MachineClock(daemon)
    daemon.start()
    for number, call in enumerate(("c1", "c2")):
        asked = peer.access_request(SECRET, number, "rich", "rich-password", "442071231234", call)
        assert sent(daemon.auth_port, asked).code == peer.ACCESS_ACCEPT
    begun = peer.accounting_request(SECRET, 3, peer.START, "c1", "rich", "442071231234")
    assert sent(daemon.acct_port, begun).code == peer.ACCOUNTING_RESPONSE
    clock.set(-3600)
    until(lambda: "was set back" in daemon.log(), daemon.log)
    (line, *_) = [line for line in daemon.log().splitlines() if "was set back" in line]
    on_the_page(re.sub(r"kept=\S+", "kept=2026-11-26T10:00:00.000000Z", line.partition(" event=")[2]))
    stop = peer.accounting_request(SECRET, 4, peer.STOP, "c1", "rich", "442071231234", 2)
    assert sent(daemon.acct_port, stop).code == peer.ACCOUNTING_RESPONSE
    (shown,) = json.loads(daemon.command("call", "show", "c1", "--json").stdout)
    assert Decimal(shown["charged"]) == Decimal("0.02"), "two seconds, at 0.60 a minute"
    # What nobody answers is let go after its four seconds, not an hour later.
    until(lambda: daemon.json("call", "list") == [], daemon.log, 30)
    clock.set(0)
    until(lambda: "is right again" in daemon.log(), daemon.log)
    assert daemon.stop() == 0
    clock.set(-3600)
    shutil.move(daemon.folder / "daemon.log", daemon.folder / "before.log")
    daemon.start()
    until(lambda: "stands before the newest entry" in daemon.log(), daemon.log)
    (line,) = [line for line in daemon.log().splitlines() if "stands before the newest entry" in line]
    told = re.sub(r"behind_seconds=\d+", "behind_seconds=3590", line.partition(" event=")[2])
    on_the_page(re.sub(r"newest=\S+", "newest=2026-11-26T10:00:00.000000Z", told))
    assert daemon.json("db", "check") == {"holds": True, "findings": []}
