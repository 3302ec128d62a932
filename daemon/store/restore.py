"""A copy made by ``db backup`` becomes the store of a URL, where there is none: whole, or nothing is there.

Nothing is ever replaced. A file is looked through before it gets its name; a database is filled in one transaction.
What was charged after the copy was made is not in it, and is not made up.
"""

import contextlib
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

from daemon.charging.ports import StoreError, StoreUnavailable
from daemon.settings import is_server, shown
from daemon.store import opening, sqlite
from daemon.store.backup import TOLD_MAX, new_file, without_password

PIECE_OCTETS = 1 << 20  # copied at a time
DUMP_BEGINS = b"PGDMP"  # how every dump of pg_dump's own format begins
FILE_BEGINS = b"SQLite format 3\x00"
# What no release makes: the engine would run a trigger, or read through a view, whenever the store is used.
FOREIGN = "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view') ORDER BY name"


def restore(source: Path, url: str) -> None:
    """Make a copy the store of a URL. Raises StoreError, and StoreUnavailable where a server cannot be asked."""
    if source.exists() and not source.is_file():
        raise StoreError(f"{source} is no regular file, which every copy is")
    try:
        with source.open("rb") as copy:
            begins = copy.read(len(FILE_BEGINS))
    except OSError as error:
        raise StoreError(f"{source} cannot be read: {error.strerror or error}") from error
    if is_server(url):
        _refuse_other(source, begins.startswith(DUMP_BEGINS), "a dump of PostgreSQL", url)
        _load(source, url)
    else:
        _refuse_other(source, begins == FILE_BEGINS, "a file of SQLite", url)
        _place(source, sqlite.path_of(url))


def _refuse_other(source: Path, is_one: bool, wanted: str, url: str) -> None:
    if not is_one:
        raise StoreError(
            f"{source} is not {wanted}, which the store at {opening.name_of(url)} takes: a copy goes back to the engine"
            " that it came from, see [store] url"
        )


def _place(source: Path, path: Path) -> None:
    for there in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))):
        if there.exists():
            raise StoreError(f"{there} is there: stop the daemon, and move the store away with all files of its name")
    try:
        with new_file(path) as part:
            with source.open("rb") as copy:
                shutil.copyfileobj(copy, part.file, PIECE_OCTETS)
            _look_through(part.path, source)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}") from error


def _look_through(path: Path, source: Path) -> None:
    """Refuse a file, the copy of a source, that is not whole or is no store."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            foreign = connection.execute(FOREIGN).fetchone()
            said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        raise StoreError(f"{source} is not whole: {error}; take another copy") from error
    if foreign is not None:
        raise StoreError(f"{source} has the {foreign[0]} {foreign[1]}, which no release makes: it would act on its own")
    if said != "ok":
        raise StoreError(f"{source} is not whole: {said}; take another copy")
    if "alembic_version" not in tables:
        raise StoreError(f"{source} is no copy of a store: it has no table of one")


def restore_command(source: Path, url: str) -> tuple[list[str], dict[str, str]]:
    """Return the command that fills a database, and what it adds to the environment: no password in its words."""
    plain, secret = without_password(url)
    return [
        "pg_restore", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", "--no-password",
        f"--dbname={plain}", str(source),
    ], secret  # fmt: skip


def _load(source: Path, url: str) -> None:
    if not opening.is_empty(url):
        raise StoreError(f"there is a store at {shown(url)} already: a copy is restored into an empty database")
    command, secret = restore_command(source, url)
    program = shutil.which(command[0])
    if program is None:
        raise StoreError(
            "pg_restore is not installed here; where it is, run:"
            f" pg_restore --no-owner --single-transaction --dbname='{shown(url)}' {source}"
        )
    done = subprocess.run(  # noqa: S603 - the program is PostgreSQL's own; no shell reads its words
        [program, *command[1:]], capture_output=True, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, **secret},
    )  # fmt: skip
    if done.returncode != 0:
        said = " ".join(done.stderr[:TOLD_MAX].decode(errors="replace").split())
        raise StoreUnavailable(f"pg_restore into {shown(url)} failed, and nothing is in it: {said}")
