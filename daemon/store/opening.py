"""Which engine keeps the store: the scheme of its URL says so, and nothing else in the daemon asks.

PostgreSQL's driver is loaded only where the URL names a server.
"""

import importlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon.charging.ports import StoreError
from daemon.kernel.instant import Instant
from daemon.settings import StoreSettings, is_server, shown
from daemon.store import sqlite
from daemon.store.ledger_store import LedgerStore


def _postgres() -> Any:
    return importlib.import_module("daemon.store.postgres")


async def open_store(
    settings: StoreSettings, now: Callable[[], Instant], *, create: bool = False,
    connection: Callable[[Path], sqlite3.Connection] = sqlite.connect,
) -> LedgerStore:  # fmt: skip
    """Return the store of a URL, migrated where it may be created; ``connection`` opens the one that writes to a file.

    Raises StoreUnavailable where there is none (where it was sought is named) and StoreError where its schema is newer
    than this release or older than a release that has to be upgraded first.
    """
    if is_server(settings.url):
        store: LedgerStore = await _postgres().opened(settings, now, create=create)
        return store
    return await sqlite.opened(settings.url, settings, now, create=create, connection=connection)


def exists(url: str) -> bool:
    """Tell whether there is a store; where a server cannot be asked there may be one, and opening it says why not."""
    if not is_server(url):
        return sqlite.path_of(url).exists()
    try:
        return bool(_postgres().revision(url))
    except StoreError:
        return True


def is_empty(url: str) -> bool:
    """Tell whether there is no store yet. Raises StoreError where a server cannot be asked, or has something else."""
    return not _postgres().revision(url) if is_server(url) else not sqlite.path_of(url).exists()


def name_of(url: str) -> str:
    """Return what a store is called in messages: the absolute path of its file, or its URL without the password."""
    return shown(url) if is_server(url) else str(sqlite.path_of(url))
