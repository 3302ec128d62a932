"""A PostgreSQL server of the tests' own: made in a folder, run by a user without rights, gone afterwards.

It sorts words as English does, not by their octets, because operators' databases do.
"""

import asyncio
import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from daemon.store.postgres_upgrade import upgrade
from tests.ports import free_port

ROLE = "tollway"  # owns the databases, and nothing else
T = TypeVar("T")
_UNPRIVILEGED = ("postgres", "nobody")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is not None:
        return found
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda place: int(place.parts[4]))
    assert places, f"{name} is not installed: scripts/test-deps installs PostgreSQL"
    return str(places[-1])


def _user() -> str | None:
    """Return the user that runs the server, None where we are nobody special ourselves: it refuses to run as root."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _UNPRIVILEGED if name in names)


class Cluster:
    """One server; ``database`` gives an empty store of this release's schema, ``empty`` a database without any."""

    def __init__(self, **settings: str) -> None:
        """Make and start it, with settings of the server's beside those of a small one."""
        self._settings = {"shared_buffers": "64MB", "max_connections": "60", **settings}
        self.folder = Path(tempfile.mkdtemp(prefix="tollway-pg-", dir="/tmp"))
        self.password = secrets.token_urlsafe(12) + "/@:%"  # of letters that a URL has to quote
        self.port = free_port()
        self._user = _user()
        self._count = 0
        secret = self.folder / "password"
        secret.write_text(self.password)
        if self._user is not None:
            shutil.chown(self.folder, self._user)
            shutil.chown(secret, self._user)
        self._as_user(
            _program("initdb"), "-D", str(self.data), "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={secret}",
            "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en",
        )  # fmt: skip
        self.start()
        self.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{self.password}'")
        self._template = self.empty()
        upgrade(self.url(self._template))

    @property
    def data(self) -> Path:
        """The folder of the server's files."""
        return self.folder / "data"

    def _as_user(self, *words: str) -> None:
        entry = pwd.getpwnam(self._user) if self._user is not None else None
        subprocess.run(
            words, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
            user=entry and entry.pw_uid, group=entry and entry.pw_gid, extra_groups=None if entry is None else [],
        )  # fmt: skip

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        named = " ".join(f"-c {name}={value}" for name, value in self._settings.items())
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} {named}"
        log = str(self.folder / "log")
        self._as_user(_program("pg_ctl"), "start", "-w", "-D", str(self.data), "-l", log, "-o", options)

    def stop(self, how: str = "fast") -> None:
        """Stop the server: ``immediate`` as a crash would."""
        self._as_user(_program("pg_ctl"), "stop", "-w", "-D", str(self.data), "-m", how)

    def remove(self) -> None:
        """Stop the server and take its files away."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop("immediate")
        shutil.rmtree(self.folder)

    def version(self) -> str:
        """Return the server's name and release."""
        return f"PostgreSQL {self.sql('SHOW server_version')[0][0]}"

    def url(self, database: str, user: str = ROLE) -> str:
        """Return the URL of a database."""
        quoted = self.password.replace("%", "%25").replace("/", "%2F").replace("@", "%40").replace(":", "%3A")
        return f"postgresql://{user}:{quoted}@127.0.0.1:{self.port}/{database}"

    def empty(self, more: str = "") -> str:
        """Make a database without tables; return its name."""
        self._count += 1
        name = f"store_{self._count}"
        self.sql(f"CREATE DATABASE {name} OWNER {ROLE} {more}")
        return name

    def database(self) -> str:
        """Make an empty store; return its URL."""
        return self.url(self.empty(f"TEMPLATE {self._template}"))

    def sql(self, *statements: str, database: str = "postgres") -> list[Any]:
        """Run statements as the superuser, one after the other; return the rows of the last."""
        return in_a_thread(lambda: asyncio.run(_run(self.url(database, "postgres"), statements)))


def ran(url: str, *statements: str) -> list[Any]:
    """Run statements on a database; return the rows of the last."""
    return in_a_thread(lambda: asyncio.run(_run(url, statements)))


async def _run(url: str, statements: Sequence[str]) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        rows: list[Any] = []
        for statement in statements:
            rows = [tuple(row) for row in await connection.fetch(statement)]
        return rows
    finally:
        await connection.close()


def in_a_thread(work: Callable[[], T]) -> T:
    """Run something to its end in a thread of its own: there it may have a loop where one runs here already."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()
