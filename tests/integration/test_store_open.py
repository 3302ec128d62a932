"""Which files are opened, which are made, which are refused, and what the migrations make of an empty one."""

import asyncio
import importlib.util
import sqlite3
import stat
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from daemon.charging.ports import StoreError, StoreUnavailable
from daemon.settings import StoreSettings
from daemon.store import migrate, open_store
from daemon.store.schema import metadata
from daemon.store.sqlite import path_of
from daemon.store.upgrade import configuration, upgrade
from tests.integration.store_world import START, altered, findings, opened, settings


async def test_a_missing_store_is_named_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=f"{tmp_path}/tollway.db"):
        await open_store(settings(tmp_path), lambda: START)
    assert not (tmp_path / "tollway.db").exists()


async def test_a_new_store_is_for_its_owner_alone_and_sound(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "er"
    async with opened(folder) as world:
        await world.whole("c1")
        for name in ("tollway.db", "tollway.db-wal", "tollway.db-shm"):
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name
        assert await world.store.rows("PRAGMA journal_mode") == [("wal",)]
        pragmas = await world.store.administer(
            lambda connection: [
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "foreign_keys")
            ]
        )
        assert pragmas == [2, 1]
    assert await findings(folder) == []


def test_the_migrations_make_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    upgrade(path)
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    made = sqlite3.connect(path)
    found = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%' ORDER BY name"
    migrated = [(name, _squeezed(sql)) for name, sql in made.execute(found)]
    made.close()
    engine = create_engine(f"sqlite:///{tmp_path}/living.db", poolclass=NullPool)
    metadata.create_all(engine)
    living = sqlite3.connect(tmp_path / "living.db")
    assert migrated == [(name, _squeezed(sql)) for name, sql in living.execute(found)]
    living.close()


def _squeezed(sql: str) -> list[str]:
    # Neither quotes, line breaks nor the order of a table's constraints mean anything.
    return sorted(part.strip(" )") for part in " ".join(sql.replace('"', "").split()).split(", "))


def test_the_newest_migration_is_the_one_that_the_release_knows() -> None:
    assert ScriptDirectory.from_config(configuration()).get_current_head() == migrate.HEAD


def test_a_wheel_holds_the_migrations() -> None:
    # A folder is packaged where it is a regular package; alembic would find one that is none, from a clone only.
    for name in ("daemon.store.migrations", "daemon.store.migrations.versions"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        assert Path(spec.origin).name == "__init__.py"


@pytest.mark.usefixtures("engine")
async def test_two_that_make_the_same_store_at_once_make_one(tmp_path: Path) -> None:
    stores = await asyncio.gather(*(open_store(settings(tmp_path), lambda: START, create=True) for _ in range(4)))
    for store in stores:
        await store.ping()
        await store.close()
    assert await findings(tmp_path) == []


@pytest.mark.usefixtures("engine")
async def test_a_store_of_a_newer_release_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    await altered(tmp_path, "UPDATE alembic_version SET version_num = '0917'")
    for create in (False, True):
        with pytest.raises(StoreError, match=r"newer release \(schema 0917, this release knows"):
            await open_store(settings(tmp_path), lambda: START, create=create)


async def test_an_empty_file_is_upgraded_only_where_a_store_may_be_made(tmp_path: Path) -> None:
    (tmp_path / "tollway.db").touch()
    with pytest.raises(StoreError, match="tollway db upgrade"):
        await open_store(settings(tmp_path), lambda: START)
    async with opened(tmp_path) as world:
        await world.store.ping()


async def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "tollway.db") as connection:
        connection.execute("CREATE TABLE invoices (number INTEGER)")
    connection.close()
    with pytest.raises(StoreError, match="something else"):
        await open_store(settings(tmp_path), lambda: START, create=True)
    (tmp_path / "tollway.db").write_text("this is a text and no database at all, whatever its name says")
    with pytest.raises(StoreError, match="no SQLite file"):
        await open_store(settings(tmp_path), lambda: START, create=True)


async def test_opening_a_store_that_is_up_to_date_writes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    before = (tmp_path / "tollway.db").read_bytes()
    store = await open_store(settings(tmp_path), lambda: START, create=True)
    await store.load_configuration()
    await store.close()
    assert (tmp_path / "tollway.db").read_bytes() == before


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:secret-word@h/d", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///a.db?mode=ro", "x"],
)
def test_what_is_no_file_of_sqlite_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(StoreError) as refused:
        path_of(url)
    assert "secret-word" not in str(refused.value)


def test_a_relative_url_counts_from_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert path_of("sqlite:///var/t.db") == tmp_path / "var" / "t.db"
    assert path_of("sqlite:////srv/t.db") == Path("/srv/t.db")


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match=f"{tmp_path}/file"):
        await open_store(StoreSettings(f"sqlite:///{tmp_path}/file/t.db"), lambda: START, create=True)


@pytest.mark.usefixtures("engine")
async def test_ping_really_writes(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        query = "SELECT value FROM meta WHERE name = 'ping'"
        await world.store.ping()
        assert await world.store.rows(query) == [(1,)]
        await world.store.ping()
        assert await world.store.rows(query) == [(2,)]
