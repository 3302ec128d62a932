"""Journals beside the store: emergency calls, and postpaid grants that were given while the store could not commit.

Each is one JSON line, on the disk before the call is told to go ahead, in a file of its own: it waits for no database.
Emergency lines are only ever appended; an operator or a later release imports them and moves the file away.
Grants are taken out once the store has them, by a file written aside and renamed.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from daemon.charging.ports import StoreError, StoreUnavailable
from daemon.charging.without_store import GRANTS_MAX, Journalled

_log = structlog.get_logger("tollway.journal")

_DO = "see to the space and the rights of the journal's folder; best it lies on another disk than the store"
FOLDER_MODE = 0o750  # of a folder that is made for a journal
FIELD_LENGTH_MAX = 256  # characters of one field; what a caller chose is cut, never refused, for such a call
LINE_OCTETS_MAX = 65_536  # octets of one grant's line; with GRANTS_MAX lines the journal is at most 64 MiB


class EmergencyJournal:
    """Implements charging.ports.Journal. Where the disk refuses, the line goes to the log."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is created with its folder when the first line comes."""
        self._path = path

    async def append(self, record: dict[str, str]) -> None:
        """Write one line and wait until it is on the disk."""
        cut = {name: text[:FIELD_LENGTH_MAX] for name, text in record.items()}
        try:
            await asyncio.to_thread(self._write, msgspec.json.encode(cut) + b"\n")
        except OSError as error:
            _log.error("emergency call not journalled", error=str(error), path=str(self._path), do=_DO, **cut)

    def _write(self, line: bytes) -> None:
        self._path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class PostpaidJournal:
    """Implements charging.without_store.GrantJournal. Put it on another disk than the store's."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is created with its folder when the first grant comes, and removed when it is empty."""
        self._path = path
        self._decoder = msgspec.json.Decoder(Journalled)

    async def load(self) -> Sequence[Journalled]:
        """Return its grants. A last line without its end was never told to anybody; any other fault is an error."""
        return await asyncio.to_thread(self._load)

    async def waiting(self) -> int:
        """Return how many whole lines it holds; a daemon may be writing, so nothing is mended. StoreUnavailable."""
        return (await asyncio.to_thread(self._read)).count(b"\n")

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as stream:
                return stream.read(LINE_OCTETS_MAX * GRANTS_MAX + 1)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise StoreUnavailable(f"the journal {self._path} cannot be read: {error.strerror}") from error

    def _load(self) -> list[Journalled]:
        *lines, torn = self._read().split(b"\n")
        if torn:
            _log.warning("the journal's last line is torn and was never granted", path=str(self._path))
            self._replace(b"".join(line + b"\n" for line in lines))
        return [self._decoded(line, place) for place, line in enumerate(lines, 1)]

    def _decoded(self, line: bytes, place: int) -> Journalled:
        try:
            return self._decoder.decode(line)
        except msgspec.DecodeError as error:
            hint = "move the file aside, keep it, and enter its calls by hand"
            raise StoreError(f"{self._path}:{place}: this line of the journal cannot be read; {hint}") from error

    async def append_grant(self, entry: Journalled) -> None:
        """Write one line and wait until it is on the disk; one that may not be is taken out again."""
        line = msgspec.json.encode(entry) + b"\n"
        if len(line) > LINE_OCTETS_MAX:
            raise StoreUnavailable(f"the grant takes {len(line)} octets of the journal, above {LINE_OCTETS_MAX}")
        try:
            await asyncio.to_thread(self._append, line)
        except OSError as error:
            _log.error("postpaid grant not journalled", error=str(error), path=str(self._path), do=_DO)
            raise StoreUnavailable(f"the journal {self._path} cannot be written: {error.strerror}") from error

    def _append(self, line: bytes) -> None:
        self._path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        is_new = not self._path.exists()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            before = os.fstat(descriptor).st_size
            try:
                if os.write(descriptor, line) != len(line):
                    raise OSError(None, "a part of the line was written")
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)
        if is_new:
            self._sync_folder()

    async def keep(self, entries: Sequence[Journalled]) -> None:
        """Hold these and no others."""
        whole = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
        try:
            await asyncio.to_thread(self._replace, whole)
        except OSError as error:
            raise StoreUnavailable(f"the journal {self._path} cannot be written: {error.strerror}") from error

    def _replace(self, whole: bytes) -> None:
        if not whole:
            self._path.unlink(missing_ok=True)
        else:
            aside = self._path.with_name(self._path.name + ".new")
            descriptor = os.open(aside, os.O_WRONLY | os.O_TRUNC | os.O_CREAT, 0o600)
            with open(descriptor, "wb") as stream:
                stream.write(whole)
                stream.flush()
                os.fsync(stream.fileno())
            aside.rename(self._path)
        self._sync_folder()

    def _sync_folder(self) -> None:
        descriptor = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
