"""The protocol by which a service tells systemd how it fares (sd_notify(3)): texts, and the socket that takes them.

A message is lines of ``NAME=value`` in one datagram to the socket that ``NOTIFY_SOCKET`` names: a path, or an abstract
name behind an ``@``. Where nothing listens nothing is told; who is told too much at once never keeps a call waiting:
what the socket does not take now goes before the next message. Nothing is ever read from it.
"""

import socket
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog

MICROSECONDS: Final = 1_000_000  # of a second: what all times of the protocol are written in
STATUS_LENGTH_MAX: Final = 240  # characters of a status: one line of systemctl status
ADDRESS_OCTETS_MAX: Final = 107  # of a socket's name, sun_path less its end (unix(7))
UNSENT_MAX: Final = 16  # messages kept while the socket takes none; the oldest gives way, and the newest state counts
WATCHDOG_SHARE: Final = 2  # sd_watchdog_enabled(3): a sign of life at half of the time

_log = structlog.get_logger("tollway")


class Unusable(ValueError):
    """The supervisor set a variable that this release, or anybody, cannot use; the text says which and what is one."""


@dataclass(frozen=True, slots=True)
class Supervisor:
    """What the environment says: the socket (empty: nobody asks), and after how many silent seconds we are killed."""

    address: str = ""
    watchdog_seconds: float = 0.0

    @property
    def alive_seconds(self) -> float:
        """How often a sign of life is due; 0: never."""
        return self.watchdog_seconds / WATCHDOG_SHARE


def supervisor_of(environment: Mapping[str, str], pid: int) -> Supervisor:
    """Return who supervises a process. Raises Unusable, where it would be killed for a silence that it cannot break."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return Supervisor()
    if address[0] not in "/@" or len(address) < 2 or len(address.encode()) > ADDRESS_OCTETS_MAX:
        raise Unusable(f"NOTIFY_SOCKET is {address!r}: it has to be the path of a socket, or @ and an abstract name")
    return Supervisor(address, _watchdog_seconds(environment, pid))


def _watchdog_seconds(environment: Mapping[str, str], pid: int) -> float:
    """Return the seconds of ``WATCHDOG_USEC``, 0 where it is not there or meant for another process."""
    text, whose = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not text or (whose and whose != str(pid)):
        return 0.0
    if not (text.isascii() and text.isdigit() and int(text)):
        raise Unusable(f"WATCHDOG_USEC is {text!r}: it has to be microseconds, above 0")
    return int(text) / MICROSECONDS


def status(text: str) -> str:
    """Return the line that says to people what goes on: one line, cut where it is long."""
    return f"STATUS={' '.join(text.split())[:STATUS_LENGTH_MAX]}"


def ready(text: str) -> str:
    """Return that the start, or a reload, is over, and what is the case now."""
    return f"READY=1\n{status(text)}"


def reloading(monotonic: float) -> str:
    """Return that settings are read anew, as of ``monotonic`` seconds of CLOCK_MONOTONIC; ``ready`` has to follow."""
    return f"RELOADING=1\nMONOTONIC_USEC={int(monotonic * MICROSECONDS)}\n{status('reading the settings again')}"


def stopping(text: str) -> str:
    """Return that the service ends."""
    return f"STOPPING=1\n{status(text)}"


def alive() -> str:
    """Return the sign of life that the watchdog waits for."""
    return "WATCHDOG=1"


def extended(seconds: float, text: str) -> str:
    """Return that the start or the stop goes on for so many seconds more, and why."""
    return f"EXTEND_TIMEOUT_USEC={int(seconds * MICROSECONDS)}\n{status(text)}"


class Notifier:
    """Sends messages to a supervisor's socket; one without an address takes them and does nothing."""

    def __init__(self, address: str = "") -> None:
        """Take the socket's name as ``NOTIFY_SOCKET`` has it."""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._unsent: deque[bytes] = deque(maxlen=UNSENT_MAX)
        self._socket: socket.socket | None = None
        self._failed = ""
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    def tell(self, message: str) -> None:
        """Send a message, after those that were not taken before. Never waits and never raises."""
        if self._socket is not None:
            self._unsent.append(message.encode())
            self.flush()

    def flush(self) -> None:
        """Send what was not taken before."""
        if self._socket is None:
            return
        try:
            while self._unsent:
                self._socket.sendto(self._unsent[0], self._address)
                self._unsent.popleft()
        except BlockingIOError:
            return  # it is full: its reader is behind
        except OSError as error:
            self._note(str(error))
            return
        self._failed = ""

    def _note(self, why: str) -> None:
        """Say once for each reason that the supervisor hears nothing: it will kill what it takes for dead."""
        if why != self._failed:
            _log.warning("the supervisor cannot be told", error=why, waiting=len(self._unsent))
        self._failed = why

    def close(self) -> None:
        """Close the socket; what was not taken is lost."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
