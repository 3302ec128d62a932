"""What a daemon knows of the configuration, and how it learns what changed since: by the log of changes, not all anew.

Every change of an object is noted in ``audit`` within its transaction, and persons' transactions follow one another, so
the notes behind the newest that is known name all that changed. A store whose notes went back (another one was put in
its place) is read whole. The first reading is in no hurry for others; a later one lets the calls through between pages.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from daemon.charging.accounts import AccountIndex, Cutter
from daemon.charging.configuration import Configuration, parts_of
from daemon.charging.ports import StoreError
from daemon.store import objects
from daemon.store.link import Link
from daemon.store.objects import KINDS, Place

FIRST_ROWS: Final = 5_000  # accounts read at once by a daemon that serves nobody yet
LATER_ROWS: Final = 200  # two milliseconds of work, after which a thread that waits may go on
LATER_PAUSE: Final = 0.00001  # seconds; any pause at all lets the other threads go first
_REVISION = "SELECT value FROM meta WHERE name = 'revision'"
_NOTED = "SELECT coalesce(max(number), 0) FROM audit"
_CARRIERS = "SELECT tenant, id, number FROM account WHERE role = 'carrier'"
_ACCOUNTS = (
    "SELECT tenant || '/' || id, body, number FROM config_object JOIN account USING (tenant, id)"
    " WHERE kind = 'account' AND role = 'customer'"
)
_NOTES = "SELECT kind, tenant, id FROM audit WHERE number > ?"  # by the number alone: a range of its own index
_NAMED = (
    "SELECT kind, body FROM (VALUES {}) AS asked"
    " JOIN config_object ON kind = column1 AND tenant = column2 AND id = column3"
)
_ACCOUNTS_NAMED = (
    "SELECT tenant || '/' || id, body, number FROM (VALUES {}) AS asked"
    " JOIN config_object ON kind = 'account' AND tenant = column1 AND id = column2"
    " JOIN account USING (tenant, id) WHERE role = 'customer'"
)


@dataclass(frozen=True, slots=True)
class Known:
    """What is configured at a revision. ``noted``: the newest note of a change; accounts have an index of their own."""

    revision: int
    noted: int
    configuration: Configuration
    carriers: dict[tuple[str, str, str], int]
    accounts: AccountIndex


def refreshed(known: Known | None, connection: Link) -> Known:
    """Return what is configured now: what was known, with what changed since, or all of it. Within a snapshot."""
    found = connection.execute(_REVISION).fetchone()
    revision = found[0] if found is not None else 0
    noted: int = connection.execute(_NOTED).fetchone()[0]
    numbers = {("carrier", tenant, name): number for tenant, name, number in connection.execute(_CARRIERS)}
    if known is None or noted < known.noted or revision < known.revision:
        hurried = known is None
        rows = connection.pages(_ACCOUNTS, (), FIRST_ROWS if hurried else LATER_ROWS)
        accounts = _indexed(AccountIndex(), rows, 0 if hurried else LATER_PAUSE)
        configuration = replace(objects.others(connection), revision=revision)
        return Known(revision, noted, configuration, numbers, accounts)
    named: set[Place] = set()
    accounts = _indexed(known.accounts, _accounts_noted(connection, known.noted, named), LATER_PAUSE)
    changed = [objects.decoded(*row) for place in sorted(named) for row in _asked(connection, _NAMED, [place])]
    configuration = objects.with_specs(known.configuration, changed) if changed else known.configuration
    return Known(revision, noted, replace(configuration, revision=revision), numbers, accounts)


def _accounts_noted(connection: Link, since: int, others: set[Place]) -> Iterator[list[Any]]:
    """Yield the accounts that were noted, a page of notes after another; add what else was noted to a set."""
    for page in connection.pages(_NOTES, (since,), LATER_ROWS):
        places = {(kind, tenant, name) for kind, tenant, name in page if kind in KINDS}
        others |= {place for place in places if place[0] != "account"}
        named = [place[1:] for place in places if place[0] == "account"]
        if named:
            yield _asked(connection, _ACCOUNTS_NAMED, named)


def _asked(connection: Link, query: str, named: Sequence[tuple[str, ...]]) -> list[Any]:
    """Return what a query finds of some places."""
    asked = ", ".join([f"({', '.join('?' * len(named[0]))})"] * len(named))
    return list(connection.execute(query.format(asked), [part for place in named for part in place]).fetchall())


def _indexed(index: AccountIndex, pages: Iterable[list[Any]], pause: float) -> AccountIndex:
    draft, cut = index.draft(), Cutter().parts
    for page in pages:
        for name, body, number in page:
            try:
                draft.put(name, number, cut(name, body) or parts_of(name, body))
            except (msgspec.DecodeError, ValueError) as error:
                raise StoreError(f"account {name} of the store makes no sense: {error}") from error
        if pause:
            time.sleep(pause)
    return draft.finished()
