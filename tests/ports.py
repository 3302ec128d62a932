"""Ports that stay free: nobody else of these tests takes one, whichever process runs them, for as long as it runs.

A port that the kernel picks may be picked again, for any connection, while a daemon that is killed is away from it.
"""

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

FIRST, LAST = 20_000, 29_999  # below those that the kernel gives to connections (from 32,768 on)
TRIES_MAX = 1_000  # ports that are looked at before the machine is said to have none
_claims: list[int] = []  # open files, whose locks end with the process


@cache
def _folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"tollway-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def turn(name: str) -> Iterator[None]:
    """Let no other of these processes do the same meanwhile: for what listens on ports that are stated."""
    with (_folder() / name).open("w") as claim:
        fcntl.flock(claim, fcntl.LOCK_EX)
        yield


def free_port() -> int:
    """Return a port of loopback that nobody listens on, claimed for this process."""
    for port in random.sample(range(FIRST, LAST + 1), TRIES_MAX):
        if _claimed(port) and _is_free(port):
            return port
    raise AssertionError(f"none of {TRIES_MAX} ports from {FIRST} to {LAST} is free")


def _claimed(port: int) -> bool:
    claim = os.open(_folder() / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(claim)
        return False
    _claims.append(claim)
    return True


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
