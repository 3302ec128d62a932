"""What a daemon knows of the configuration, and how it learns what changed since: by the log of changes, not all anew.

Every change of an object is noted in ``audit`` within its transaction, and persons' transactions follow one another, so
the notes behind the newest that is known name all that changed. A store whose notes went back (another one was put in
its place) is read whole. The first reading is in no hurry for others; a later one lets the calls through between pages.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from daemon.charging.accounts import AccountIndex
from daemon.charging.configuration import Configuration, parts_of
from daemon.charging.ports import StoreError
from daemon.store import objects
from daemon.store.link import Link

FIRST_ROWS: Final = 5_000  # accounts read at once by a daemon that serves nobody yet
LATER_ROWS: Final = 200  # two milliseconds of work, after which a thread that waits may go on
LATER_PAUSE: Final = 0.00001  # seconds; any pause at all lets the other threads go first
_REVISION = "SELECT value FROM meta WHERE name = 'revision'"
_NOTED = "SELECT coalesce(max(number), 0) FROM audit"
_CARRIERS = "SELECT tenant, id, number FROM account WHERE role = 'carrier'"
_ACCOUNTS = (
    "SELECT tenant, id, body, number FROM config_object JOIN account USING (tenant, id)"
    " WHERE kind = 'account' AND role = 'customer'"
)
_NOTES = "SELECT DISTINCT kind, tenant, id FROM audit WHERE number > ?"
_OTHERS_NOTED = (
    f"SELECT kind, body FROM config_object JOIN ({_NOTES}) AS noted USING (kind, tenant, id) WHERE kind <> 'account'"
)
_ACCOUNTS_NOTED = (
    f"SELECT tenant, id, body, number FROM ({_NOTES} AND kind = 'account') AS noted"
    " JOIN config_object USING (kind, tenant, id) JOIN account USING (tenant, id) WHERE role = 'customer'"
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
    since = (known.noted,)
    noted_others = connection.execute(_OTHERS_NOTED, since)
    changed = [objects.decoded(kind, body) for kind, body in noted_others]
    configuration = replace(objects.with_specs(known.configuration, changed), revision=revision)
    pages = connection.pages(_ACCOUNTS_NOTED, since, LATER_ROWS)
    return Known(revision, noted, configuration, numbers, _indexed(known.accounts, pages, LATER_PAUSE))


def _indexed(index: AccountIndex, pages: Iterator[list[Any]], pause: float) -> AccountIndex:
    draft = index.draft()
    for page in pages:
        for tenant, name, body, number in page:
            known_as = f"{tenant}/{name}"
            try:
                draft.put(known_as, number, parts_of(known_as, body))
            except (msgspec.DecodeError, ValueError) as error:
                raise StoreError(f"account {known_as} of the store makes no sense: {error}") from error
        if pause:
            time.sleep(pause)
    return draft.finished()
