"""What a disk holds after its power was cut, made from the trace of ``disk.c``; and the daemon that runs on that disk.

A file holds all that was written to it before its last sync. Of what came later the platter has nothing, a prefix, or
any subset, the last or any of it torn at a sector; which, the dice say. The shared-memory index (-shm) is never kept:
a machine that starts anew has none. A file that was removed may be there again where nothing was synced since.
"""

import contextlib
import random
import shutil
import sqlite3
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.daemon_process import DaemonProcess

SECTOR = 512  # octets that a disk writes whole
RECORD = struct.Struct("=BB6xQQ")  # kind, file, offset, length: disk.c's struct record
SOURCE = Path(__file__).with_name("disk.c")
WORD_LENGTH = 16


@dataclass
class Platter:
    """One file: what is durable, and the writes and truncations since its last sync."""

    durable: bytearray = field(default_factory=bytearray)
    exists: bool = False
    pending: list[tuple[str, int, bytes]] = field(default_factory=list)
    removed: bytearray | None = None

    def record(self, kind: str, offset: int, data: bytes) -> None:
        """Take in one record of the trace."""
        if kind == "S":
            for change in self.pending:
                self._apply(change)
            self.pending.clear()
            self.removed = None
        elif kind == "R":
            self.removed, self.durable, self.exists = self.durable, bytearray(), False
            self.pending.clear()
        else:
            self.pending.append((kind, offset, data))

    def _apply(self, change: tuple[str, int, bytes]) -> None:
        kind, offset, data = change
        self.exists = True
        if kind == "T":
            del self.durable[offset:]
        if len(self.durable) < offset:
            self.durable.extend(bytes(offset - len(self.durable)))
        self.durable[offset : offset + len(data)] = data

    def cut(self, dice: random.Random) -> bytearray | None:
        """Return what is there after the power cut, None for no file."""
        if self.removed is not None and not self.pending and dice.random() < 0.5:
            return self.removed
        mode = dice.choice(["nothing", "prefix", "subset"])
        reached = dice.randrange(len(self.pending) + 1)
        for place, (kind, offset, data) in enumerate(self.pending):
            if mode == "subset" and dice.random() < 0.5:
                continue
            if mode == "nothing" or (mode == "prefix" and place > reached):
                break
            torn = dice.randrange(0, len(data) + 1, SECTOR) if dice.random() < 0.3 else len(data)
            self._apply((kind, offset, data[:torn]))
        return self.durable if self.exists else None


@dataclass
class Disk:
    """The disk under one daemon's store. ``unsynced`` counts the cuts that met writes without their sync.

    ``beside``: other files that lie on it.
    """

    daemon: DaemonProcess
    dice: random.Random
    library: Path
    beside: tuple[Path, ...] = ()
    cuts: int = 0
    unsynced: int = 0

    @property
    def files(self) -> list[Path]:
        """The files that lose what was not synced."""
        return [self.daemon.store, self.daemon.store.with_name("tollway.db-wal"), *self.beside]

    @property
    def trace(self) -> Path:
        """Where the preloaded layer writes what it saw."""
        return self.daemon.folder / "disk.trace"

    def attach(self, *more: str) -> None:
        """Let the daemon's next life run on this disk as its files are now. ``more``: words for env."""
        self.trace.unlink(missing_ok=True)
        self.fail("none")
        self.began = {path: path.read_bytes() for path in self.files if path.exists()}
        names = ":".join(map(str, self.files))
        self.daemon.wrapper = [
            "env", f"LD_PRELOAD={self.library}", f"TOLLWAY_DISK_FILES={names}", f"TOLLWAY_DISK_TRACE={self.trace}",
            f"TOLLWAY_DISK_FAULT={self.daemon.folder / 'disk.fault'}", *more,
        ]  # fmt: skip

    def detach(self) -> None:
        """Let the next life run on the real disk."""
        self.daemon.wrapper = []

    def fail(self, word: str) -> None:
        """Make the disk fail as ``disk.c`` says, or with ``none`` no more."""
        with (self.daemon.folder / "disk.fault").open("w") as stream:
            stream.write(word.ljust(WORD_LENGTH))

    def cut_power(self) -> None:
        """Kill the daemon and leave what the platter has."""
        self.daemon.kill()
        self.cuts += 1
        platters = {path: Platter(bytearray(self.began.get(path, b"")), path in self.began) for path in self.files}
        for kind, number, offset, data in self._records():
            platters[self.files[number]].record(kind, offset, data)
        self.unsynced += any(platter.pending for platter in platters.values())
        self.daemon.store.with_name("tollway.db-shm").unlink(missing_ok=True)
        for path, platter in platters.items():
            held = platter.cut(self.dice)
            if held is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(held)

    def _records(self) -> Iterator[tuple[str, int, int, bytes]]:
        trace = self.trace.read_bytes()
        place = 0
        while place + RECORD.size <= len(trace):
            kind, number, offset, length = RECORD.unpack_from(trace, place)
            place += RECORD.size
            if chr(kind) != "W":
                yield chr(kind), number, offset, b""
                continue
            data = trace[place : place + length]
            if len(data) < length:
                return  # the kill came between the two halves of a record
            place += length
            yield chr(kind), number, offset, data

    def charged(self) -> set[str]:
        """Return the call ids that the store has records of, read from a copy."""
        copies = self.daemon.folder / "copy"
        copies.mkdir()
        try:
            for path in self.files:
                if path.exists():
                    shutil.copyfile(path, copies / path.name)
            with contextlib.closing(sqlite3.connect(copies / "tollway.db")) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                rows = connection.execute("SELECT json_extract(body, '$.call_id') FROM record").fetchall()
                return {name for (name,) in rows}
        finally:
            shutil.rmtree(copies)


def built(folder: Path) -> Path:
    """Compile the layer and return the library."""
    library = folder / "disk.so"
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return library
