"""The store: one schema, group commit, configuration and decks by version. Nothing is answered before it is durable."""

from daemon.store.ledger_store import LedgerStore
from daemon.store.opening import open_store
from daemon.store.sqlite import SqliteStore

__all__ = ["LedgerStore", "SqliteStore", "open_store"]
