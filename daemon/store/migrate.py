"""Migrations run forward only, by alembic, and only where a store may be created or is asked to be upgraded.

A store that a newer release wrote is refused: an older daemon would not know what it must not forget.
"""

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from daemon.charging.ports import StoreError


def _config(path: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = f"sqlite:///{path}"
    return config


def current(path: Path) -> str:
    """Return the revision of a store, empty for an empty file."""
    connection = sqlite3.connect(path)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return ""
    finally:
        connection.close()
    return str(row[0]) if row else ""


def head() -> str:
    """Return the newest revision that this release knows."""
    found = ScriptDirectory.from_config(_config(Path())).get_current_head()
    assert found is not None
    return found


def check(path: Path, *, upgrade: bool) -> None:
    """Make sure that the schema is this release's. Raises StoreError where it is not and may not be upgraded."""
    revision, newest = current(path), head()
    if revision == newest:
        return
    script = ScriptDirectory.from_config(_config(path))
    known = {step.revision for step in script.walk_revisions()}
    if revision and revision not in known:
        raise StoreError(
            f"the store at {path} was written by a newer release (schema {revision}): upgrade Tollway first"
        )
    if not upgrade:
        raise StoreError(f"the store at {path} has schema {revision or 'none'}: run 'tollway db upgrade' first")
    run(path)


def run(path: Path) -> None:
    """Bring a store to this release's schema."""
    engine = create_engine(f"sqlite:///{path}")
    try:
        with engine.begin() as connection:
            config = _config(path)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()
