"""Which store it is: one word that a daemon tells, so that whoever looks at a store knows whether that one serves it.

A number drawn once is kept in the store, and goes with its copies; so the file's place on its disk, or the database's
number in its server, is part of it too. A path would not do: the same one may be written in several ways, and a file
that was put in another's place has its path. Nothing is found out of the word but whether two are the same.
"""

import hashlib
import secrets
from typing import Final

from daemon.charging.ports import StoreError
from daemon.settings import is_server
from daemon.store import sqlite
from daemon.store.ledger_store import LedgerStore
from daemon.store.link import Link

IDENTITY_LENGTH: Final = 16  # hexadecimal characters: two stores of a million share one by a chance of 1 in 10^7
_DRAWN_BITS: Final = 62  # a column of 64 bits with a sign has it
_NAME: Final = "store"
_DRAW = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING"
_DRAWN = "SELECT value FROM meta WHERE name = ?"
_DATABASE = "SELECT oid::bigint FROM pg_database WHERE datname = current_database()"


async def drawn_identity(store: LedgerStore, url: str) -> str:
    """Return the word of a store, for which a number is drawn where none was; empty where the store cannot say now.

    A daemon starts without it: what the word is for is told by nobody then, and nothing else is lost.
    """
    try:
        known = await store.reading(lambda link: identity_of(link, url))
        if known:
            return known
        await store.administer(_draw)
        return await store.reading(lambda link: identity_of(link, url))
    except (StoreError, OSError):
        return ""


def _draw(link: Link) -> None:
    link.execute(_DRAW, (_NAME, secrets.randbits(_DRAWN_BITS)))


def identity_of(link: Link, url: str) -> str:
    """Return the word of a store, empty where no daemon has drawn a number yet. Raises StoreError, OSError."""
    row = link.execute(_DRAWN, (_NAME,)).fetchone()
    if row is None:
        return ""
    whole = f"{row[0]} {_place(link, url)}"
    return hashlib.sha256(whole.encode()).hexdigest()[:IDENTITY_LENGTH]


def _place(link: Link, url: str) -> str:
    if is_server(url):
        return str(link.execute(_DATABASE).fetchone()[0])
    found = sqlite.path_of(url).stat()
    return f"{found.st_dev} {found.st_ino}"
