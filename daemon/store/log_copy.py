"""SQLite's log is copied into the file beside the writer, so that no commit waits for thousands of pages.

A passive checkpoint runs beside commits, but the log begins anew only once all of it is copied, which it never is
while others add to it. So a thread copies nearly all, and the writer, between two transactions, what came meanwhile.
Nothing depends on it: what is not copied is read from the log, and the log's own limit holds where a copy fails.
"""

import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import Final

CALLS_COPIED: Final = 1_000  # calls written before the log is copied: some 4,000 pages of it, half of what it may hold
LEFT_PAGES: Final = 256  # pages that came during a copy and are left to the writer: a millisecond or two
ROUNDS_MAX: Final = 4  # copies in a row, each of what came during the one before: a tenth of it is the rule
_COPY = "PRAGMA wal_checkpoint(PASSIVE)"


class LogCopy:
    """Copies the log of one file; all but the copying itself is the writer thread's."""

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is opened before there is something to copy."""
        self._path = path
        self._calls = 0
        self._thread: threading.Thread | None = None

    @property
    def is_copying(self) -> bool:
        """Tell whether a copy was begun and is not finished."""
        return self._thread is not None

    def wrote(self, calls: int) -> None:
        """Count the calls that a transaction wrote."""
        self._calls += calls

    def committed(self, connection: sqlite3.Connection) -> None:
        """Begin a copy where enough was written, and finish one that has come to its end; nothing else waits."""
        if self._thread is None:
            if self._calls >= CALLS_COPIED:
                self._calls = 0
                self._thread = threading.Thread(target=self._copy, name="tollway-store-log", daemon=True)
                self._thread.start()
        elif not self._thread.is_alive():
            self._thread = None
            with contextlib.suppress(sqlite3.Error):
                connection.execute(_COPY).fetchone()

    def close(self) -> None:
        """Wait for a copy that runs."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _copy(self) -> None:
        """Copy what there is, then what came meanwhile, until little is left. A failure is the next commit's to find."""
        with contextlib.suppress(sqlite3.Error):
            # ``rw``: a file that was moved away is not made anew.
            connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=rw", uri=True, timeout=0)
            with contextlib.closing(connection):
                connection.execute("PRAGMA synchronous = FULL")
                copied = 0
                for _ in range(ROUNDS_MAX):
                    _busy, pages, _done = connection.execute(_COPY).fetchone()
                    if pages - copied <= LEFT_PAGES:
                        break
                    copied = pages
