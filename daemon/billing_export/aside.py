"""A file is written aside as ``NAME.partial``, fsynced, renamed into place, and its directory fsynced: whole or absent.

A power cut between any two of these steps leaves either no file of the name, or the whole one.
What an interrupted export left aside is written over by the next.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from daemon.billing_export.batch import ExportUnavailable

PARTIAL = ".partial"
LOCK_NAME = ".lock"
CHUNK_SIZE = 1 << 18  # octets gathered before a write; a quarter MiB makes the calls few and the memory small
FILE_MODE, DIRECTORY_MODE = 0o640, 0o750  # who called whom is nobody's business but the operator's group


class AsideFile:
    """One file on its way; ``size`` in octets and ``sha256`` in hexadecimal are those of the sealed file.

    Leaving its context before it is published takes what was written aside away.
    """

    def __init__(self, published: Path) -> None:
        """Open ``NAME.partial`` empty. Raises OSError; a symbolic link in its place is one."""
        self._published = published
        self._partial = published.with_name(published.name + PARTIAL)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(self._partial, flags, FILE_MODE)
        self._waiting = bytearray()
        self._digest = sha256()
        self._is_published = False
        self.size = 0
        self.sha256 = ""

    def write(self, octets: bytes) -> None:
        """Append octets; they may wait for a chunk to fill."""
        self._waiting += octets
        if len(self._waiting) >= CHUNK_SIZE:
            self._flush()

    def _flush(self) -> None:
        self._digest.update(self._waiting)
        self.size += len(self._waiting)
        rest = memoryview(bytes(self._waiting))
        self._waiting.clear()
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def seal(self) -> None:
        """Make what was written durable, and close."""
        self._flush()
        os.fsync(self._descriptor)
        self._close()
        self.sha256 = self._digest.hexdigest()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def publish(self) -> None:
        """Give the sealed file its name; durable only after ``fsync_directory``."""
        assert self.sha256, self._partial
        os.rename(self._partial, self._published)
        self._is_published = True

    def __enter__(self) -> "AsideFile":
        """Return the file itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close; where it was not published, take it away."""
        self._close()
        if not self._is_published:
            self._partial.unlink(missing_ok=True)


def fsync_directory(path: Path) -> None:
    """Make the names within a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def made_directory(path: Path) -> None:
    """Make a directory below an existing one, durably; one that a killed export made is made durable too."""
    path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    fsync_directory(path.parent)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the export directory alone; the lock ends with the process. Raises ExportUnavailable, OSError."""
    for missing in [path for path in (*reversed(directory.parents), directory) if not path.exists()]:
        made_directory(missing)
    descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ExportUnavailable(f"another export is writing to {directory.absolute()}") from None
    try:
        yield
    finally:
        os.close(descriptor)
