"""Migrations run forward only, all or none, and only where a store may be created or is asked to be upgraded.

A store that a newer release wrote is refused: an older daemon would not know what it must not forget.
Revisions are numbers written with four digits, so that which of two is newer can be told without knowing either.
"""

import contextlib
import importlib
import sqlite3
from pathlib import Path

from daemon.charging.ports import StoreError

HEAD = "0011"  # the newest revision that this release knows


def current(path: Path) -> str:
    """Return the revision of a store, empty for an empty file. Raises sqlite3.Error for what is no SQLite file."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "alembic_version" in tables:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            return str(row[0]) if row is not None else ""
    if tables:
        raise StoreError(f"{path} is a database of something else (tables {', '.join(sorted(tables)[:3])} …)")
    return ""


def check(path: Path, *, upgrade: bool) -> None:
    """Make sure that the schema is this release's. Raises StoreError where it is not and may not be upgraded."""
    if is_needed(current(path), str(path), upgrade=upgrade):
        # Imported when there is something to do: alembic takes longer to load than most commands take to run.
        importlib.import_module("daemon.store.upgrade").upgrade(path)


def is_needed(revision: str, name: str, *, upgrade: bool) -> bool:
    """Tell whether a store of a revision has to be migrated. Raises StoreError where it may not be, or is newer."""
    if revision > HEAD:
        raise StoreError(
            f"the store at {name} was written by a newer release (schema {revision}, this release knows {HEAD}):"
            " install that release, or restore the backup made before it"
        )
    if revision != HEAD and not upgrade:
        if not revision:
            raise StoreError(
                f"the store at {name} is empty: 'tollway apply FILE' or 'tollway db upgrade' makes its tables"
            )
        raise StoreError(f"the store at {name} has schema {revision}: run 'tollway db upgrade' first")
    return revision != HEAD
