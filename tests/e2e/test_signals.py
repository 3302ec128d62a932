"""SIGTERM and SIGHUP of a real daemon with live calls and requests under way: nothing is lost or charged twice.

The switch double runs outside the daemon: what it holds armed is what ends a call while no daemon is there.
"""

import asyncio
import contextlib
import itertools
import json
import signal
import socket
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from daemon.kernel.money import parse_nano
from tests.e2e import radius_peer as peer
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.scenario import SCENARIO, SECRET
from tests.e2e.supervisor import SupervisorSocket
from tests.e2e.test_recovery import REST, UK, opened
from tests.integration.esl_world import until
from tests.switch_double.double import Call, Plan, SwitchDouble

STOP_SECONDS_MAX = 10.0
FOLLOW_SECONDS_MAX = 1.0
CHARGING = "[charging]\nring_seconds = 60\nslice_seconds = 300\nblock_seconds_min = 1\nmax_grant_seconds = {}\n"
LIVE = 50  # calls that are up while the settings are read again
PAUSE = 0.01  # seconds between two questions of one asker
UNDER_WAY = 8  # requests of each listener
NUMBER = "442071231234"
CROWD = """
[[account]]
id = "crowd"
tenant = "main"
kind = "postpaid"
currency = "USD"
credit_limit = "unlimited"
rate_plan = "retail"
"""


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[DaemonProcess, SwitchDouble, str]]:
    """Give a daemon with a link to a switch, and a token of a switch over HTTP."""
    with SupervisorSocket(folder) as supervisor:
        async with SwitchDouble() as switch:
            stated = SCENARIO + REST.format(port=switch.port, spool="").replace("25.00", "1000.00") + CROWD
            told = {"NOTIFY_SOCKET": supervisor.address}
            daemon = DaemonProcess(folder, stated, CHARGING.format(600), environment=told)
            await asyncio.to_thread(daemon.apply)
            made = await asyncio.to_thread(daemon.json, "token", "create", "main", "--role", "switch")
            assert isinstance(made, dict)
            await asyncio.to_thread(daemon.start)
            try:
                await until(lambda: switch.logins == 1, 30)
                yield daemon, switch, str(made["token"])
            finally:
                await asyncio.to_thread(daemon.kill)


async def answered(switch: SwitchDouble, count: int) -> list[Call]:
    """Play calls until all are answered and their ends are armed in the switch."""
    calls = [switch.play(Plan("acme", UK)) for _ in range(count)]
    await until(lambda: all(call.answered for call in calls), 60)
    await until(lambda: {task.channel for task in switch.tasks.values()} >= {call.a for call in calls}, 60)
    return calls


def question(call_id: str, account: str = "acme") -> dict[str, str]:
    return {"call_id": call_id, "account": account, "from": "15551230001", "to": NUMBER, "direction": "outbound"}


async def asked(daemon: DaemonProcess, packet: bytes, port: int, seconds: float = 20.0) -> peer.Reply:
    """Send a packet once, and return its reply: none may be lost."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.setblocking(False)
        link.connect(("127.0.0.1", port))
        await loop.sock_sendall(link, packet)
        async with asyncio.timeout(seconds):
            return peer.reply(SECRET, packet, await loop.sock_recv(link, 4096))


async def refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def listed(daemon: DaemonProcess, *words: str) -> list[dict[str, Any]]:
    found = await asyncio.to_thread(daemon.json, *words)
    assert isinstance(found, list)
    return found


async def test_a_stop_answers_what_is_in_flight_and_leaves_the_calls_up(tmp_path: Path) -> None:
    async with serving(tmp_path) as (daemon, switch, token):
        assert daemon.process is not None
        calls = await answered(switch, 4)
        for number in range(UNDER_WAY):
            packet = peer.access_request(SECRET, number, "rich", "rich-password", NUMBER, f"r{number}")
            assert (await asked(daemon, packet, daemon.auth_port)).code == peer.ACCESS_ACCEPT
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{daemon.http_port}", headers=headers) as client:
            with closing(sqlite3.connect(daemon.store, isolation_level=None, timeout=30)) as other:
                other.execute("BEGIN IMMEDIATE")  # what is asked now cannot be committed yet
                over_http = [
                    asyncio.create_task(client.post("/v1/authorize", json=question(f"h{n}"), timeout=20))
                    for n in range(UNDER_WAY)
                ]
                over_radius = [
                    asyncio.create_task(asked(daemon, peer.accounting_request(
                        SECRET, n, peer.STOP, f"r{n}", "rich", NUMBER, 60), daemon.acct_port))
                    for n in range(UNDER_WAY)
                ]  # fmt: skip
                await asyncio.sleep(0.5)
                daemon.process.terminate()
                began = time.monotonic()
                while not await refused(daemon.http_port):
                    assert time.monotonic() < began + 5, "it takes connections on"
                    await asyncio.sleep(0.02)
                assert not any(task.done() for task in (*over_http, *over_radius))
                other.execute("ROLLBACK")
            granted = [(await task).json() for task in over_http]
            acknowledged = [await task for task in over_radius]
        assert await asyncio.to_thread(daemon.process.wait, 20) == 0
        assert time.monotonic() - began < STOP_SECONDS_MAX
        assert [each["result"] for each in granted] == ["granted"] * UNDER_WAY
        assert [each.code for each in acknowledged] == [peer.ACCOUNTING_RESPONSE] * UNDER_WAY
        assert not any(call.hung_up for call in calls)
        assert {task.channel for task in switch.tasks.values()} >= {call.a for call in calls}
        assert _charges(daemon) == {f"r{n}": [600_000_000] for n in range(UNDER_WAY)}
        await asyncio.to_thread(daemon.start)
        await until(lambda: switch.logins == 2, 30)
        await until(lambda: "adopted=4" in daemon.log(), 30)
        await _ended_and_charged_once(daemon, switch, calls)


async def _ended_and_charged_once(daemon: DaemonProcess, switch: SwitchDouble, calls: list[Call]) -> None:
    for call in calls:
        switch.hang_up(call, "NORMAL_CLEARING")
    ids = {call.a for call in calls}
    await opened(daemon, lambda found: not ids & {call["call_id"] for call in found})
    charges = {call_id: found for call_id, found in _charges(daemon).items() if call_id in ids}
    assert [len(found) for found in charges.values()] == [1] * len(calls), "each once"
    account = await asyncio.to_thread(daemon.json, "account", "show", "acme")
    assert isinstance(account, dict)
    assert parse_nano("1000.00") - parse_nano(account["balance"]) == sum(map(sum, charges.values()))
    assert (await asyncio.to_thread(daemon.command, "db", "check")).returncode == 0


def _charges(daemon: DaemonProcess) -> dict[str, list[int]]:
    """Return the charge of each record, nano-units, by call."""
    charges: dict[str, list[int]] = {}
    with closing(sqlite3.connect(daemon.store)) as store:
        for (body,) in store.execute("SELECT body FROM record ORDER BY seq"):
            record = json.loads(body)
            charges.setdefault(record["call_id"], []).append(record["charge"])
    return charges


@dataclass
class Load:
    """Questions over HTTP and RADIUS, one after another on each road, each sent once and answered."""

    daemon: DaemonProcess
    token: str
    granted: int = 0
    seconds: list[int] = field(default_factory=list)  # that each RADIUS question was granted
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def over_http(self) -> None:
        """Ask over HTTP, for ever."""
        headers, address = {"Authorization": f"Bearer {self.token}"}, f"http://127.0.0.1:{self.daemon.http_port}"
        async with httpx.AsyncClient(base_url=address, headers=headers, timeout=20) as client:
            while True:
                reply = await client.post("/v1/authorize", json=question(f"load{next(self._numbers)}", "crowd"))
                assert reply.json()["result"] == "granted", reply.text
                await self._took()

    async def over_radius(self) -> None:
        """Ask over RADIUS, for ever."""
        while True:
            self.seconds.append(await self.radius())
            await self._took()

    async def radius(self) -> int:
        """Ask once, and return the granted seconds, 0 where it is refused."""
        number = next(self._numbers)
        packet = peer.access_request(SECRET, number % 256, "rich", "rich-password", NUMBER, f"s{number}")
        reply = await asked(self.daemon, packet, self.daemon.auth_port)
        return reply.session_timeout if reply.code == peer.ACCESS_ACCEPT else 0

    async def _took(self) -> None:
        self.granted += 1
        await asyncio.sleep(PAUSE)


@asynccontextmanager
async def loaded(daemon: DaemonProcess, token: str) -> AsyncIterator[Load]:
    """Ask on both roads within the context; a question that fails fails the test."""
    load = Load(daemon, token)
    tasks = [asyncio.create_task(each) for each in (load.over_http(), load.over_http(), load.over_radius())]
    try:
        yield load
    finally:
        failed = [task.exception() for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
        assert not failed, failed


async def reloaded(daemon: DaemonProcess, said: str, settings: str) -> None:
    """Write the settings, have them read, and wait for a line of the log."""
    assert daemon.process is not None
    await asyncio.to_thread(daemon.configure, settings)
    before = daemon.log().count(said)
    daemon.process.send_signal(signal.SIGHUP)
    await until(lambda: daemon.log().count(said) > before, 20)


async def test_settings_are_read_again_beside_fifty_calls_and_load(tmp_path: Path) -> None:
    async with serving(tmp_path) as (daemon, switch, token):
        calls = await answered(switch, LIVE)
        armed = {task.channel for task in switch.tasks.values()}
        async with loaded(daemon, token) as load:
            assert await load.radius() == 600
            await reloaded(daemon, "settings reloaded", CHARGING.format(300))
            assert await load.radius() == 300, "the next call"
            assert 'changed="[charging] max_grant_seconds"' in daemon.log()
            broken = CHARGING.format(200).replace("ring_seconds = 60", "ring_seconds = 0")
            await reloaded(daemon, "settings not reloaded", broken)
            assert 'problem="tollway.toml:10: charging.ring_seconds: ' in daemon.log()
            assert await load.radius() == 300, "nothing of a broken file is taken"
            for seconds in (400, 500, 300):
                await reloaded(daemon, "settings reloaded", CHARGING.format(seconds))
                assert await load.radius() == seconds
            await reloaded(daemon, "settings reloaded", CHARGING.format(300) + '[emergency]\njournal = "other"\n')
            line = 'event="a changed setting waits for a restart" key="[emergency] journal" file=tollway.toml'
            assert line in daemon.log()
            await until(lambda: load.granted > 20, 60)
            assert 300 in load.seconds
        assert not any(call.hung_up for call in calls), "no call ends"
        assert {task.channel for task in switch.tasks.values()} == armed
        open_now = {call["call_id"] for call in await listed(daemon, "call", "list")}
        assert open_now >= {call.a for call in calls}
        assert daemon.process is not None
        assert daemon.process.poll() is None


async def test_what_commands_change_is_followed_within_a_second(tmp_path: Path) -> None:
    async with serving(tmp_path) as (daemon, _switch, token), loaded(daemon, token):
        await _takes_effect(daemon, 0, "account", "suspend", "rich", "--reason", "test")
        await _takes_effect(daemon, 600, "account", "resume", "rich", "--reason", "test")
        head = "prefix,destination,rate,first_seconds,next_seconds\n44,UK,0.60,1,1\n"
        (tmp_path / "new.csv").write_text(head + "1,US,1,1,1\n")
        imported = ("rate", "import", "retail", "new.csv", "--mode", "merge", "--yes")
        await _takes_effect(daemon, 600, *imported, to="15551239999")
        (tmp_path / "deck.csv").write_text(head + "49,Germany,0.60,1,1\n")
        await _takes_effect(daemon, 600, "apply", "scenario.toml", to="4930123456")


async def _takes_effect(daemon: DaemonProcess, seconds: int, *words: str, to: str = NUMBER) -> None:
    """Run a command, and ask until what it changed is in force."""
    done = await asyncio.to_thread(daemon.command, *words)
    ended = time.monotonic()
    assert done.returncode == 0, done.stderr + done.stdout
    for number in itertools.count():
        packet = peer.access_request(SECRET, number % 256, "rich", "rich-password", to, f"{words[0]}{words[1]}{number}")
        reply = await asked(daemon, packet, daemon.auth_port)
        if (reply.session_timeout if reply.code == peer.ACCESS_ACCEPT else 0) == seconds:
            return
        assert time.monotonic() - ended < FOLLOW_SECONDS_MAX, (words, daemon.log()[-500:])
        await asyncio.sleep(0.05)
