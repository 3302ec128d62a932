"""The journal of emergency calls: one JSON line each, on the disk before the call is told to go ahead.

It is a file of its own beside the store, so that an emergency call waits for no database.
Lines are only ever appended; an operator or a later release imports them and moves the file away.
"""

import asyncio
import os
from pathlib import Path

import msgspec
import structlog

_log = structlog.get_logger("tollway.journal")

FIELD_LENGTH_MAX = 256  # characters of one field; what a caller chose is cut, never refused, for such a call


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
            _log.error("emergency call not journalled", error=str(error), path=str(self._path), **cut)

    def _write(self, line: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
