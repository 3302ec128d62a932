"""A backup each night: a folder holds the newest copies of one store, each named by the store and the time in UTC.

A copy is whole and durable before an older one goes. Only files of exactly this naming are ever taken away: what a
person put beside them, or copied by a name of their own, stays. A folder is for the copies of one store.
"""

import re
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from daemon.charging.ports import StoreError
from daemon.kernel.instant import SECOND, Instant
from daemon.settings import is_server
from daemon.store import sqlite
from daemon.store.backup import Pace, back_up

KEEP_MAX = 10_000  # copies: a folder is read whole, and 27 years of nights fit
_TIME = "%Y%m%dT%H%M%SZ"
_UNNAMED = re.compile(r"[^A-Za-z0-9_.-]")  # what a name of a database may have and a plain name of a file has not


def name_of(url: str, at: Instant) -> str:
    """Return the name of a copy of a store made at an instant, such as ``tollway-20260131T014000Z.db``."""
    moment = datetime.fromtimestamp(at // SECOND, UTC)
    return f"{_store_of(url)}-{moment.strftime(_TIME)}.{_ending(url)}"


def back_up_into(url: str, folder: Path, keep: int | None, at: Instant, pace: Pace | None = None) -> tuple[Path, int]:
    """Copy the store into a folder under a name of its time; return the copy, and how many older ones went.

    With ``keep`` the newest so many stay, this one among them. Raises StoreError, StoreUnavailable.
    """
    if not folder.is_dir():
        raise StoreError(f"{folder} is no folder: make it, for the user that this runs as, with mode 0700")
    target = folder / name_of(url, at)
    back_up(url, target, pace)
    return target, _prune(url, folder, keep, target) if keep is not None else 0


def _prune(url: str, folder: Path, keep: int, newest: Path) -> int:
    """Take away all but the newest copies of this naming; the time in their names tells their order."""
    naming = re.compile(rf"{re.escape(_store_of(url))}-\d{{8}}T\d{{6}}Z\.{_ending(url)}")
    try:
        copies = sorted(path for path in folder.iterdir() if naming.fullmatch(path.name) and path != newest)
        old = copies[: max(len(copies) + 1 - keep, 0)]
        for path in old:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{newest} is made, but older copies cannot be taken away: {error}") from error
    return len(old)


def _store_of(url: str) -> str:
    named = unquote(urlsplit(url).path).strip("/") if is_server(url) else sqlite.path_of(url).stem
    return _UNNAMED.sub("_", named) or "tollway"


def _ending(url: str) -> str:
    return "dump" if is_server(url) else "db"
