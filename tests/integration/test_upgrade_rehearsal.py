"""A store with money in it, of every older schema, upgraded: what everybody has is the same, to the nano-unit.

An older store is made by the migrations until then, and filled with what calls of this release left, as far as that
schema has a place for it. An upgrade that dies in the middle has changed nothing, and is simply run again.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from daemon.ledger.account import EntryKind
from daemon.settings import is_server
from daemon.store import migrate, postgres, postgres_upgrade
from daemon.store.migrate import HEAD
from daemon.store.sqlite import connect
from daemon.store.upgrade import upgrade
from tests.integration.postgres_cluster import Cluster, in_a_thread, ran
from tests.integration.store_world import ACME, URL_FILE, World, findings, opened, url_of

OLDER = [f"{number:04d}" for number in range(1, int(HEAD))]
DECKS = {"deck_version", "deck_row", "deck_end", "deck_terms"}  # test_store_upgrade.py has those
DEATHS = (1, 7, 25)  # the statement of an upgrade before which it is killed
DYING = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
seen = 0
@event.listens_for(Engine, "before_cursor_execute")
def die(*_):
    global seen
    seen += 1
    if seen == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[1].startswith("postgresql:"):
    from daemon.store.postgres_upgrade import upgrade
    upgrade(sys.argv[1])
else:
    from daemon.store.upgrade import upgrade
    upgrade(Path(sys.argv[1]))
"""
Rows = dict[str, tuple[list[str], list[tuple[Any, ...]]]]


@pytest.fixture(params=["sqlite", "postgresql"])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder whose store each engine is to keep."""
    folder = tmp_path / "older"
    folder.mkdir()
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("cluster")
        (folder / URL_FILE).write_text(cluster.url(cluster.empty()))
    return folder


async def left_by_calls(folder: Path) -> Rows:
    """Return all rows of a store of this release in which calls were charged, are open and were taken back."""
    async with opened(folder) as world:
        await world.whole("c1")
        await world.whole("c2", 30, ACME)
        await world.ask("open")
        await world.ask("estimated")
        await world.answer("estimated")
        world.now += 3 * 86_400_000_000
        await world.ocf.expire_due()
        await world.end("estimated", 100)
        await world.ask("open too")
        return {table: await _rows(world, table) for table in await _tables(world)}


async def _tables(world: World) -> list[str]:
    found = await world.store.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return [name for (name,) in found if name not in DECKS | {"alembic_version"}]


async def _rows(world: World, table: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    names = [row[1] for row in await world.store.rows(f"PRAGMA table_info({table})")]
    return names, await world.store.rows(f"SELECT * FROM {table}")


def made(folder: Path, revision: str, rows: Rows) -> None:
    """Make a store of an older schema with what it has a place for."""
    url = url_of(folder)
    if is_server(url):
        in_a_thread(lambda: postgres_upgrade.upgrade(url, revision))
        _fill_server(url, rows)
        return
    path = folder / "tollway.db"
    path.touch(0o600)
    upgrade(path, revision)
    with closing(connect(path)) as store:
        store.execute("PRAGMA foreign_keys = OFF")
        for table in rows:
            there = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
            for statement, values in _inserts(table, there, rows[table], "?"):
                store.executemany(statement, values)


def _fill_server(url: str, rows: Rows) -> None:
    async def fill() -> None:
        server = await asyncpg.connect(url)
        for table in ("account", *(name for name in rows if name != "account")):
            query = "SELECT column_name FROM information_schema.columns WHERE table_name = $1"
            there = [name for (name,) in await server.fetch(query, table)]
            for statement, values in _inserts(table, there, rows[table], "$"):
                await server.executemany(statement, values)
            if "number" in there:
                await server.execute(
                    f"SELECT setval(pg_get_serial_sequence('{table}', 'number'), greatest(max(number), 1)) FROM {table}"
                )
        await server.execute("SELECT setval(pg_get_serial_sequence('record', 'seq'), max(seq)) FROM record")
        await server.close()

    in_a_thread(lambda: asyncio.run(fill()))


def _inserts(
    table: str, there: list[str], found: tuple[list[str], list[tuple[Any, ...]]], mark: str
) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    names, rows = found
    kept = [place for place, name in enumerate(names) if name in there]
    if not kept or not rows:
        return
    marks = ", ".join("?" if mark == "?" else f"${number}" for number in range(1, len(kept) + 1))
    columns = ", ".join(names[place] for place in kept)
    yield f"INSERT INTO {table} ({columns}) VALUES ({marks})", [tuple(row[place] for place in kept) for row in rows]


def revision(folder: Path) -> str:
    url = url_of(folder)
    return in_a_thread(lambda: postgres.revision(url)) if is_server(url) else migrate.current(folder / "tollway.db")


def money(folder: Path) -> list[tuple[Any, ...]]:
    """Return what everybody has, by the store's own columns, and each entry of the ledger."""
    standings = (
        "SELECT tenant, id, balance, reserved, uncollected, channels_in, channels_out FROM account ORDER BY number"
    )
    entries = "SELECT number, account, kind, at, amount, pending, balance_after, who FROM entry ORDER BY number"
    records = "SELECT seq, record_id, charge, cost FROM record ORDER BY seq"
    url, found = url_of(folder), []
    for query in (standings, entries, records):
        if is_server(url):
            found += ran(url, query)
        else:
            with closing(connect(folder / "tollway.db")) as store:
                found += store.execute(query).fetchall()
    return found


async def test_from_every_older_schema_everybody_has_what_they_had(tmp_path: Path, cluster: Cluster) -> None:
    rows = await left_by_calls(tmp_path / "source")
    for older in OLDER:
        for engine in ("sqlite", "postgresql") if older in (OLDER[0], OLDER[-1]) else ("sqlite",):
            folder = tmp_path / f"{older}-{engine}"
            folder.mkdir()
            if engine == "postgresql":
                (folder / URL_FILE).write_text(cluster.url(cluster.empty()))
            made(folder, older, rows)
            before = money(folder)
            assert len(before) > 20
            assert revision(folder) == older
            async with opened(folder, prefix="after") as world:
                assert money(folder) == before, (older, engine)
                assert revision(folder) == HEAD
                await world.end("open", 10)
                await world.store.credit(ACME, EntryKind.TOP_UP, 5, key="after", who="clerk", reason="paid")
            assert await findings(folder) == [], (older, engine)


async def test_an_upgrade_that_is_killed_has_changed_nothing(older: Path, tmp_path: Path) -> None:
    made(older, OLDER[0], await left_by_calls(tmp_path / "source"))
    url, before = url_of(older), money(older)
    place = url if is_server(url) else str(older / "tollway.db")
    for death in DEATHS:
        words = [sys.executable, "-c", DYING, place, str(death)]
        done = await asyncio.to_thread(subprocess.run, words, capture_output=True, check=False)
        assert done.returncode == -9, (death, done.stderr.decode()[-2000:])
        assert revision(older) == OLDER[0]
        assert money(older) == before
    async with opened(older, prefix="after"):
        assert revision(older) == HEAD
    assert money(older) == before
    assert await findings(older) == []
