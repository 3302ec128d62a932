"""A copy of the store while daemons charge in it, as it was at one instant; nobody waits for it, and nothing is lost.

A file is copied by SQLite itself, some pages at a time; a database by ``pg_dump``, which sees one snapshot. Each piece
is made durable and then rested from for several times as long as it took, so that calls go on beside it. The copy is
given its name only when it is whole and durable, and no file that is there is ever replaced.
"""

import contextlib
import fcntl
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit, urlunsplit

from daemon.charging.ports import StoreError, StoreUnavailable
from daemon.settings import is_server, shown
from daemon.store import opening, sqlite

MODE = 0o600  # of a copy: it holds all that the store holds, secrets too
PAGES = 256  # pages of 4 KiB copied at a time: a MiB, which a disk takes in milliseconds
PIECE_OCTETS = 1 << 18  # of a dump, which is compressed: some MiB of what the server sends
REST = 4  # times as long as a piece took is rested before the next: a copy has a fifth of a core and of the disk
REST_SECONDS_MAX = 1.0  # of one rest: a disk that stalled once does not stop the copy
ROOM_MIN = 256 << 20  # octets that stay free beside the store: its log grows until the copy is made
DUMP_LOCK_MS = 60_000  # that pg_dump waits for whoever alters a table, such as an upgrade
TOLD_MAX = 2_000  # characters of what pg_dump says that are repeated


@dataclass
class Pace:
    """How fast a copy goes on: after each piece it rests ``rest`` times as long as the piece took."""

    rest: int = REST
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        """Begin the first piece."""
        self._began = self.now()

    def breathe(self) -> None:
        """End a piece, rest, and begin the next."""
        self.sleep(min(self.rest * (self.now() - self._began), REST_SECONDS_MAX))
        self._began = self.now()


@dataclass(frozen=True, slots=True)
class Part:
    """A file that is being filled, under a name of its own."""

    path: Path
    file: IO[bytes]

    def write(self, piece: bytes) -> None:
        """Add a piece whole. Raises OSError."""
        rest = memoryview(piece)
        while rest:
            rest = rest[self.file.write(rest) :]

    def sync(self) -> None:
        """Make what was written durable. Raises OSError."""
        os.fsync(self.file.fileno())


def back_up(url: str, target: Path, pace: Pace | None = None) -> None:
    """Copy the store of a URL into a new file, mode 0600. Raises StoreError, StoreUnavailable."""
    if target.exists():
        raise StoreError(f"{target} is there already: name a new file")
    if not opening.exists(url):
        raise StoreUnavailable(f"there is no store at {opening.name_of(url)}")
    try:
        with new_file(target) as part:
            if is_server(url):
                _dump(url, part, pace or Pace())
            else:
                _copy(sqlite.path_of(url), part, pace or Pace())
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def new_file(target: Path) -> Iterator[Part]:
    """Give a file to fill beside the target; its name becomes the target's when it is durable, else it goes.

    One that an ended process left is filled anew. Raises StoreError where another process fills it, and OSError.
    """
    part = target.with_name(f"{target.name}.part")
    number = os.open(part, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
    with os.fdopen(number, "r+b", buffering=0) as file:
        _claim(file, part)
        try:
            yield Part(part, file)
            os.fsync(number)
            os.link(part, target)  # unlike a rename, it fails where somebody made the target meanwhile
            sync_folder(target.parent)
        finally:
            part.unlink(missing_ok=True)


def _claim(file: IO[bytes], part: Path) -> None:
    """Make a file ours alone, and empty: whoever ended without taking it away holds no lock on it."""
    busy = StoreError(f"{part} is being written by another command: wait for it, or name another file")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_this = os.path.samestat(os.fstat(file.fileno()), os.stat(part))
    except (BlockingIOError, FileNotFoundError):
        raise busy from None
    if not is_this:
        raise busy
    os.fchmod(file.fileno(), MODE)
    file.truncate(0)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _copy(path: Path, part: Part, pace: Pace) -> None:
    def piece(_status: int, _left: int, _all: int) -> None:
        part.sync()
        _refuse_narrow(path.parent)
        pace.breathe()

    try:
        with (
            contextlib.closing(sqlite3.connect(path, sqlite.BUSY_SECONDS, isolation_level=None)) as source,
            contextlib.closing(sqlite3.connect(part.path, isolation_level=None)) as copy,
        ):
            # What it writes is synced here, piece by piece; until then a file without a name needs no journal.
            copy.execute("PRAGMA synchronous = OFF")
            copy.execute("PRAGMA journal_mode = OFF")
            # One read transaction for all of it: else SQLite would begin anew whenever a daemon writes.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            source.backup(copy, pages=PAGES, progress=piece)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file: what is moved elsewhere has no log beside it
    except sqlite3.Error as error:
        raise sqlite.explained(error, path) from error


def _refuse_narrow(folder: Path) -> None:
    """End a copy before the log of the store, which cannot begin anew until it is made, fills the store's disk."""
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    if free < ROOM_MIN:
        raise StoreError(
            f"{folder} has {free >> 20} MiB left, and less than {ROOM_MIN >> 20} while the store is copied endangers"
            " it: nothing was kept; make room, or copy onto another disk when fewer calls come"
        )


def dump_command(url: str) -> tuple[list[str], dict[str, str]]:
    """Return the command that dumps a database to its standard output, and what it adds to the environment.

    The password is in no list of processes.
    """
    plain, secret = without_password(url)
    return [
        "pg_dump", "--format=custom", "--no-password", f"--lock-wait-timeout={DUMP_LOCK_MS}", f"--dbname={plain}",
    ], secret  # fmt: skip


def without_password(url: str) -> tuple[str, dict[str, str]]:
    """Return the URL of a database without its password, and the environment that tells it to PostgreSQL's programs."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    user = parts.username or ""
    plain = urlunsplit(parts._replace(netloc=f"{user}@{place}" if user else place))
    return plain, {"PGPASSWORD": unquote(parts.password)} if parts.password else {}


def _dump(url: str, part: Part, pace: Pace) -> None:
    command, secret = dump_command(url)
    program = shutil.which(command[0])
    if program is None:
        raise StoreError(
            f"pg_dump is not installed here; where it is, run: pg_dump --format=custom --file=FILE '{shown(url)}'"
        )
    with tempfile.TemporaryFile() as told:
        dumping = subprocess.Popen(  # noqa: S603 - the program is PostgreSQL's own; no shell reads its words
            [program, *command[1:]], stdout=subprocess.PIPE, stderr=told, stdin=subprocess.DEVNULL,
            env={**os.environ, **secret},
        )  # fmt: skip
        try:
            _take(dumping, part, pace)
        finally:
            dumping.kill()  # where it has ended by itself, this does nothing
            status = dumping.wait()
        if status != 0:
            told.seek(0)
            said = told.read(TOLD_MAX).decode(errors="replace")
            raise StoreUnavailable(f"pg_dump of {shown(url)} failed: {' '.join(said.split())}")


def _take(dumping: "subprocess.Popen[bytes]", part: Part, pace: Pace) -> None:
    """Write what pg_dump says: a pipe that is not read holds it up, and that the server, so both rest as we do."""
    assert dumping.stdout is not None
    with dumping.stdout as dumped:
        while piece := dumped.read(PIECE_OCTETS):
            part.write(piece)
            part.sync()
            pace.breathe()
    dumping.wait()
