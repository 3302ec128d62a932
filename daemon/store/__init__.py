"""The store: one schema, group commit, configuration and decks by version. Nothing is answered before it is durable."""

from daemon.store.sqlite import SqliteStore, open_store

__all__ = ["SqliteStore", "open_store"]
