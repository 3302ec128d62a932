"""A copy of the store while daemons charge in it, as it was at one instant; nobody waits for it, and nothing is lost.

A file is copied by SQLite itself, page by page; a database by ``pg_dump``, which sees one snapshot. The copy is given
its name only when it is whole and durable, and no file that is there is ever replaced.
"""

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from daemon.charging.ports import StoreError, StoreUnavailable
from daemon.settings import is_server, shown
from daemon.store import opening, sqlite

PAGES = 4_096  # pages of 4 KiB copied at a time
PAUSE_SECONDS = 0.01  # between two of them
TOLD_MAX = 2_000  # characters of what pg_dump says that are repeated


def back_up(url: str, target: Path) -> None:
    """Copy the store of a URL into a new file, mode 0600. Raises StoreError, StoreUnavailable."""
    if target.exists():
        raise StoreError(f"{target} is there already: name a new file")
    if not opening.exists(url):
        raise StoreUnavailable(f"there is no store at {opening.name_of(url)}")
    try:
        with _new(target) as part:
            if is_server(url):
                _dump(url, part)
            else:
                _copy(sqlite.path_of(url), part)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def _new(target: Path) -> Iterator[Path]:
    """Give a file to fill beside the target; its name becomes the target's when it is durable, else it goes."""
    part = target.with_name(f"{target.name}.part")
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield part
        _sync(part)
        os.link(part, target)  # unlike a rename, it fails where somebody made the target meanwhile
        _sync(target.parent)
    finally:
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _copy(path: Path, part: Path) -> None:
    try:
        with (
            contextlib.closing(sqlite3.connect(path, sqlite.BUSY_SECONDS, isolation_level=None)) as source,
            contextlib.closing(sqlite3.connect(part, isolation_level=None)) as copy,
        ):
            # One read transaction for all of it: else SQLite would begin anew whenever a daemon writes.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            source.backup(copy, pages=PAGES, sleep=PAUSE_SECONDS)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file: what is moved elsewhere has no log beside it
    except sqlite3.Error as error:
        raise sqlite.explained(error, path) from error


def dump_command(url: str, part: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command that dumps a database, and what it adds to the environment: the password is in no list."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    user = parts.username or ""
    plain = urlunsplit(parts._replace(netloc=f"{user}@{place}" if user else place))
    command = ["pg_dump", "--format=custom", f"--file={part}", "--no-password", f"--dbname={plain}"]
    return command, {"PGPASSWORD": unquote(parts.password)} if parts.password else {}


def _dump(url: str, part: Path) -> None:
    command, secret = dump_command(url, part)
    program = shutil.which(command[0])
    if program is None:
        raise StoreError(
            f"pg_dump is not installed here; where it is, run: pg_dump --format=custom --file=FILE '{shown(url)}'"
        )
    done = subprocess.run(  # noqa: S603 - the program is PostgreSQL's own; no shell reads its words
        [program, *command[1:]], capture_output=True, text=True, check=False, env={**os.environ, **secret}
    )
    if done.returncode != 0:
        raise StoreUnavailable(f"pg_dump of {shown(url)} failed: {' '.join(done.stderr[:TOLD_MAX].split())}")
