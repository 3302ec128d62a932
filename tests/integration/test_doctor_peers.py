"""Ports that are free, taken by a stranger or served by a daemon, and switches that let the doctor in or do not."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from daemon.authorize.catalog import Status
from daemon.charging.configuration import AsteriskSpec, Configuration, FreeswitchSpec, NasSpec
from daemon.doctor import State, listeners, patience, peers
from daemon.doctor.finding import Finding
from daemon.doctor.listeners import Owner, Port, look, tried
from daemon.settings import Listener
from tests.asterisk_double import double as asterisk_double
from tests.ports import free_port
from tests.switch_double.double import SwitchDouble
from tests.virtual_time import wall_us

OK, SKIPPED, WARN, FAIL = State.OK, State.SKIPPED, State.WARN, State.FAIL
TAKE = """
import socket, sys
taken = []
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    taken.append(socket.socket(socket.AF_INET, kind))
    taken[-1].bind(("127.0.0.1", int(sys.argv[1])))
taken[0].listen()
print("taken", flush=True)
sys.stdin.read()
"""
KINDS = [socket.SOCK_STREAM, socket.SOCK_DGRAM]


def told(finding: Finding) -> tuple[State, str]:
    return finding.state, finding.fault


def port_of(number: int, kind: socket.SocketKind, host: str = "127.0.0.1") -> Port:
    return Port("http" if kind == socket.SOCK_STREAM else "radius_auth", Listener(host, number), kind)


@pytest.fixture
async def stranger() -> AsyncIterator[tuple[int, int]]:
    """Have another program on a port of both kinds; give its pid and the port."""
    number = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", TAKE, str(number), stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"taken\n"
    yield process.pid, number
    process.kill()
    await process.wait()
    process._transport.close()  # type: ignore[attr-defined]  # its pipes, before the loop ends


@pytest.mark.parametrize("kind", KINDS)
async def test_a_free_port(kind: socket.SocketKind) -> None:
    finding = await look(port_of(free_port(), kind), ())
    assert told(finding) == (OK, "")
    assert finding.seen.endswith("is free")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_port_that_a_stranger_has(kind: socket.SocketKind, stranger: tuple[int, int]) -> None:
    pid, number = stranger
    finding = await look(port_of(number, kind), ())
    assert told(finding) == (FAIL, "taken")
    assert f"is taken by pid {pid} ({sys.executable} -c" in finding.seen


@pytest.mark.parametrize("kind", KINDS)
async def test_an_address_that_is_not_of_this_machine(kind: socket.SocketKind) -> None:
    finding = await look(port_of(free_port(), kind, "192.0.2.1"), ())
    assert told(finding) == (FAIL, "elsewhere")


async def test_a_port_that_needs_a_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "tried", lambda _port: PermissionError(13, "Permission denied"))
    assert told(await look(port_of(80, socket.SOCK_STREAM), ())) == (FAIL, "forbidden")


def test_who_is_a_daemon_of_ours() -> None:
    assert Owner(1, "/opt/tollway/.venv/bin/python /opt/tollway/.venv/bin/tollway --config x run").is_ours
    assert Owner(1, "python3 -m daemon.cli run").is_ours
    assert not Owner(1, "python3 -m daemon.cli account list").is_ours
    assert not Owner(1, "/usr/sbin/freeradius -f run").is_ours


def test_a_wildcard_takes_the_port_of_every_address() -> None:
    number = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("0.0.0.0", number))
        error = tried(port_of(number, socket.SOCK_DGRAM))
    assert isinstance(error, OSError)


# -- switches


@pytest.fixture
async def switch() -> AsyncIterator[SwitchDouble]:
    async with SwitchDouble(password="right-password") as double:
        yield double


async def asked(host: str, port: int, password: str = "right-password") -> Finding:
    (finding,) = await peers.switches(
        Configuration(0, freeswitch=(FreeswitchSpec("fs1", "main", host, port, password),)), wall_us
    )
    assert password not in finding.seen, "a password was told"
    return finding


async def test_a_switch_that_lets_us_in(switch: SwitchDouble) -> None:
    assert told(await asked("127.0.0.1", switch.port)) == (OK, "")
    assert not any(command.startswith("event") for command in switch.commands), "it subscribed to events"


async def test_a_switch_with_another_password(switch: SwitchDouble) -> None:
    finding = await asked("127.0.0.1", switch.port, "wrong-password")
    assert told(finding) == (FAIL, "password")
    assert finding.seen.startswith(f"main/fs1 at 127.0.0.1:{switch.port}: the switch refuses the password")


async def test_a_switch_that_is_not_there() -> None:
    assert told(await asked("127.0.0.1", free_port())) == (FAIL, "unreachable")
    assert told(await asked("no-such-host.invalid", 8021)) == (FAIL, "unknown_host")


@pytest.fixture
async def speaker() -> AsyncIterator[list[bytes]]:
    """Have something on a port that says what the test puts into the list, whose first is the port."""
    said: list[bytes] = []

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said[1])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    said.append(str(server.sockets[0].getsockname()[1]).encode())
    yield said
    server.close()
    await server.wait_closed()


async def test_a_switch_whose_list_does_not_have_us(speaker: list[bytes]) -> None:
    body = b"Access Denied, go away.\n"
    speaker.append(b"Content-Type: text/rude-rejection\nContent-Length: %d\n\n%b" % (len(body), body))
    assert told(await asked("127.0.0.1", int(speaker[0]))) == (FAIL, "acl")


async def test_something_that_is_no_switch(speaker: list[bytes]) -> None:
    speaker.append(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    assert told(await asked("127.0.0.1", int(speaker[0]))) == (FAIL, "strange")


async def of_manager(port: int, secret: str, host: str = "127.0.0.1") -> tuple[State, str]:
    spec = AsteriskSpec("ast1", "main", host, port, asterisk_double.USERNAME, secret)
    (finding,) = await peers.switches(Configuration(0, asterisk=(spec,)), wall_us)
    assert not secret or secret not in finding.seen, "a secret was told"
    return told(finding)


async def test_a_manager_lets_us_in_or_says_why_not() -> None:
    async with asterisk_double.AsteriskDouble() as double:
        assert await of_manager(double.port, asterisk_double.SECRET) == (OK, "")
        assert await of_manager(double.port, "another one") == (FAIL, "password")
        assert await of_manager(double.port, "") == (SKIPPED, "")
    assert await of_manager(free_port(), asterisk_double.SECRET) == (FAIL, "unreachable")
    assert await of_manager(5038, asterisk_double.SECRET, "no-such-host.invalid") == (FAIL, "unknown_host")


async def test_something_that_is_no_manager(speaker: list[bytes]) -> None:
    speaker.append(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    assert await of_manager(int(speaker[0]), asterisk_double.SECRET) == (FAIL, "strange")


async def test_a_kind_of_switch_without_a_probe_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "SWITCHES", {})
    findings = await peers.switches(Configuration(0, asterisk=(AsteriskSpec("ast1", "main"),)), wall_us)
    assert [told(finding) for finding in findings] == [(SKIPPED, "")]


async def test_closed_peers_are_not_looked_at() -> None:
    closed = Status.CLOSED
    configuration = Configuration(
        0,
        asterisk=(AsteriskSpec("ast1", "main", port=1, secret="x" * 20, status=closed),),
        freeswitch=(FreeswitchSpec("fs1", "main", port=1, status=closed),),
    )
    assert [told(finding) for finding in await peers.switches(configuration, wall_us)] == [(SKIPPED, "")]
    client = NasSpec("gw1", "main", "192.0.2.1", "testing123", status=closed)
    assert {finding.state for finding in peers.clients([client])} == {SKIPPED}


async def test_no_switch_at_all() -> None:
    assert [told(finding) for finding in await peers.switches(Configuration(0), wall_us)] == [(SKIPPED, "")]


# -- patience


@pytest.fixture
def blocked() -> Iterator[int]:
    reading, writing = os.pipe()
    yield reading
    os.close(writing)
    time.sleep(0.05)  # the thread sees the end
    os.close(reading)


async def test_what_blocks_for_ever_keeps_nobody(blocked: int) -> None:
    began = time.monotonic()
    with pytest.raises(patience.TooSlow, match=r"no answer within 0\.1 s"):
        await patience.bounded(lambda: os.read(blocked, 1), 0.1)
    assert time.monotonic() - began < 5


async def test_what_fails_in_a_thread_fails_here(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await patience.bounded((tmp_path / "none").read_text)
