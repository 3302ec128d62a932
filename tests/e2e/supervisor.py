"""A supervisor's end of sd_notify for tests from outside: a datagram socket, and when each message came."""

import socket
import threading
import time
from pathlib import Path


class SupervisorSocket:
    """``with SupervisorSocket(folder) as supervisor``; ``abstract`` gives it a name that is no file."""

    def __init__(self, folder: Path, *, abstract: bool = False) -> None:
        self._path = "" if abstract else str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._path or f"\0tollway-{folder.name}-{time.monotonic_ns()}")
        name = self._socket.getsockname()
        self.address = name if isinstance(name, str) else "@" + name[1:].decode()
        self.messages: list[tuple[float, str]] = []  # seconds of the monotonic clock, and what was told
        self._came = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> "SupervisorSocket":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()

    def _listen(self) -> None:
        while data := self._socket.recv(4096):
            with self._came:
                self.messages.append((time.monotonic(), data.decode()))
                self._came.notify_all()

    def after(self, since: float, word: str) -> list[tuple[float, str]]:
        """Return the messages with a line since an instant."""
        return [(at, text) for at, text in list(self.messages) if at >= since and word in text.splitlines()]

    def wait(self, word: str, since: float = 0.0, seconds: float = 60.0) -> tuple[float, str]:
        """Wait for a message with a line, and return when it came and all of it."""
        with self._came:
            assert self._came.wait_for(lambda: self.after(since, word), seconds), (word, self.messages)
            return self.after(since, word)[0]
