"""The listeners: each is free, served by a running daemon, or taken by another program, which is named where it shows.

A port is tried by binding it, for an instant. Who has one is read in /proc, as far as this user may; that it is a
daemon of ours is believed where it answers as one: on HTTP /healthz, on RADIUS a signed Status-Server.
"""

import contextlib
import errno
import http.client
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from daemon.charging.configuration import NasSpec
from daemon.doctor.finding import Finding, ill, skipped, some, well
from daemon.doctor.patience import bounded
from daemon.kernel.instant import format_rfc3339
from daemon.radius.client import send
from daemon.radius.packet import Code, RadiusError
from daemon.radius.peers import Peers
from daemon.settings import Listener, Settings
from daemon.store.health import Ran

ANSWER_SECONDS: Final = 2.0  # that a daemon may take to answer what it answers from memory
PROCESSES_MAX: Final = 65_536  # processes that are looked through for the one that has a port
COMMAND_LENGTH_MAX: Final = 80  # characters of a command line that are told
_LISTENING: Final = "0A"  # TCP_LISTEN in /proc/net/tcp
_TABLES: Final = {socket.SOCK_STREAM: ("tcp", "tcp6"), socket.SOCK_DGRAM: ("udp", "udp6")}
_NAMES: Final = {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp"}


@dataclass(frozen=True, slots=True)
class Port:
    """One listener of the settings."""

    section: str
    listener: Listener
    kind: socket.SocketKind

    def __str__(self) -> str:
        """Return how messages name it."""
        return f"[{self.section}] {self.listener.host}:{self.listener.port}/{_NAMES[self.kind]}"


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that has a port; ``command`` as it was called."""

    pid: int
    command: str

    @property
    def is_ours(self) -> bool:
        """Tell whether it was called as the daemon is."""
        words = self.command.split()
        named = any(word.endswith("/tollway") or word in ("tollway", "daemon.cli") for word in words)
        return named and "run" in words

    def __str__(self) -> str:
        """Return pid and command."""
        return f"pid {self.pid} ({self.command[:COMMAND_LENGTH_MAX]})"


def ports_of(settings: Settings) -> list[Port]:
    """Return the listeners that are on."""
    known = (
        ("radius_auth", settings.radius_auth, socket.SOCK_DGRAM),
        ("radius_acct", settings.radius_acct, socket.SOCK_DGRAM),
        ("http", settings.http, socket.SOCK_STREAM),
    )
    return [Port(section, listener, kind) for section, listener, kind in known if listener]


def tried(port: Port) -> OSError | None:
    """Return why a listener cannot be bound, None where it can."""
    try:
        found = socket.getaddrinfo(port.listener.host, port.listener.port, type=port.kind)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the listener does
            probe.bind(address)
    except OSError as error:
        return error
    return None


def owner_of(port: Port) -> Owner | None:
    """Return the process that has a port, None where it cannot be seen."""
    inodes = set(_inodes(port))
    for pid in _processes() if inodes else ():
        if not inodes.isdisjoint(_sockets_of(pid)):
            return Owner(int(pid), _command(pid))
    return None


def _inodes(port: Port) -> Iterator[str]:
    for name in _TABLES[port.kind]:
        try:
            lines = Path("/proc/net", name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            is_bound = port.kind == socket.SOCK_DGRAM or fields[3] == _LISTENING
            if is_bound and int(fields[1].rpartition(":")[2], 16) == port.listener.port:
                yield fields[9]


def _processes() -> Iterable[str]:
    return [name for name in os.listdir("/proc") if name.isdigit()][:PROCESSES_MAX]


def _sockets_of(pid: str) -> set[str]:
    """Return the inodes of a process's sockets: none where it ended meanwhile, or is another user's."""
    found = set()
    with contextlib.suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # closed meanwhile
                target = os.readlink(f"/proc/{pid}/fd/{number}")
                if target.startswith("socket:["):
                    found.add(target[8:-1])
    return found


def _command(pid: str) -> str:
    try:
        words = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "ended meanwhile"
    return " ".join(word.decode("utf-8", "replace") for word in words if word)


async def answers(port: Port, peers: Sequence[NasSpec]) -> bool:
    """Tell whether a daemon of ours answers on a port."""
    if port.kind == socket.SOCK_STREAM:
        status, _ = await bounded(partial(_asked, port.listener, "/healthz"))
        return status == 200
    place = reached(port.listener)
    peer = Peers(peers).find(place[0])  # a packet to this machine comes from the address that it goes to
    if peer is None:
        return False
    try:
        await send(place, peer.secret, Code.STATUS_SERVER, [], ANSWER_SECONDS, retries=0)
    except (RadiusError, OSError):
        return False
    return True


def reached(listener: Listener) -> tuple[str, int]:
    """Return where a listener is reached from this machine: one on all addresses, by loopback."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listener.host, listener.host), listener.port  # noqa: S104 - compared


def _asked(listener: Listener, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(*reached(listener), timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read(65_536)
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


async def look(port: Port, peers: Sequence[NasSpec]) -> Finding:
    """Return how one listener stands."""
    error = await bounded(partial(tried, port))
    if error is None:
        return well("ports", f"{port} is free")
    if error.errno == errno.EADDRINUSE:
        owner = await bounded(partial(owner_of, port))
        if (owner is not None and owner.is_ours) or await answers(port, peers):
            return well("ports", f"{port} is served by a running daemon{'' if owner is None else f', pid {owner.pid}'}")
        by = "another program" if owner is None else str(owner)
        return ill("ports", "taken", f"{port} is taken by {by}")
    fault = "forbidden" if error.errno in (errno.EACCES, errno.EPERM) else "elsewhere"
    return ill("ports", fault, f"{port} cannot be bound: {error.strerror or error}")


class _Readiness(msgspec.Struct):
    """What /readyz says, as far as it is needed."""

    links: dict[str, bool] = {}
    journalled: int = 0
    store_id: str = ""
    clock_behind_seconds: int = 0


def readiness(settings: Settings, ran: Ran | None, store_id: str | None) -> Iterator[Finding]:
    """Yield what a running daemon says of itself, by HTTP; of a store without one, what that leaves undone.

    ``ran`` is what the store knows of daemons, ``store_id`` its word, empty where no daemon gave it one; both are None
    where it cannot be read.
    """
    status, body = _asked(settings.http, "/readyz") if settings.http else (0, b"")
    if not status:
        yield _absent(ran) if settings.http else skipped("ready", "no HTTP listener is on here, which would tell")
        return
    if status != 200:
        yield ill("ready", "not_ready", f"/readyz answers {status}")
        return
    try:
        told = msgspec.json.decode(body, type=_Readiness)
    except msgspec.DecodeError:
        told = _Readiness()
    if store_id is not None and told.store_id and told.store_id != store_id:
        place = "{}:{}".format(*reached(settings.http))
        yield ill(
            "ready", "other_store", f"the daemon that answers at {place} serves another store than these settings"
        )
        return
    if told.clock_behind_seconds:
        where = "behind" if told.clock_behind_seconds > 0 else "ahead"
        apart = f"{abs(told.clock_behind_seconds):,} s {where}"
        seen = f"the machine's clock stands {apart} of the daemon's, which goes by its own"
        yield ill("ready", "clock_held", seen)
    down = sorted(name for name, is_up in told.links.items() if not is_up)
    if down:
        yield ill("ready", "link_down", f"the daemon is ready, without a link to {some(down)}")
    elif not told.clock_behind_seconds:
        yield well("ready", "the daemon is ready")


def _absent(ran: Ran | None) -> Finding:
    """Return what it means that no daemon answers."""
    if ran is None or not ran.at:
        return skipped("ready", "no daemon answers over HTTP here")
    seen = f"no daemon answers over HTTP here; one started on this store at {format_rfc3339(ran.at)}"
    if not ran.calls:
        return ill("ready", "absent", seen)
    return ill("ready", "calls_alone", f"{seen}, and {ran.calls:,} calls are open")


def limits_of_daemon(settings: Settings) -> str | None:
    """Return the text of /proc/PID/limits of the daemon that serves here, None where there is none to be seen."""
    for port in ports_of(settings):
        owner = owner_of(port)
        if owner is not None and owner.is_ours:
            try:
                return Path("/proc", str(owner.pid), "limits").read_text()
            except OSError:
                return None
    return None
