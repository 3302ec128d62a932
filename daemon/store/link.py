"""What administrative work sees of a database, whichever it is: SQL that both engines speak, question marks for values.

The hot path of either engine is its own; everything else (objects, decks, hand-off, checks) is written once, over this.
Where the engines differ in more than their spelling, the difference is a method here, and says why it is there.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Literal, Protocol

from daemon.charging.ports import StoreUnavailable

Dialect = Literal["sqlite", "postgresql"]
SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"


class Cursor(Protocol):
    """What a statement gave: its rows as tuples, and how many it touched."""

    @property
    def rowcount(self) -> int:
        """Rows that were written, or given."""

    def fetchone(self) -> Any:
        """Return the next row, None where there is none."""

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""

    def __iter__(self) -> Iterator[Any]:
        """Yield the rows that are left."""


class Link(Protocol):
    """A connection within a transaction; only the thread that was given it may use it."""

    @property
    def dialect(self) -> Dialect:
        """Which engine it is, for what only one of them can tell."""

    @property
    def locking(self) -> str:
        """What follows a SELECT whose rows are then changed; nothing where a transaction locks the whole store."""

    def execute(self, query: str, parameters: Sequence[object] = ()) -> Cursor:
        """Run one statement."""

    def executemany(self, query: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for each row of values."""

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Insert many rows into a table of the schema, set-wise where the engine gains by it."""

    def pages(self, query: str, parameters: Sequence[object], rows: int) -> Iterator[list[Any]]:
        """Yield the rows of a query some at a time, never holding all of them."""

    def wait_for_writers(self, table: str) -> None:
        """Wait until what others wrote to a table is committed, and let nobody write to it until this is.

        Numbers are given before they are committed: who reads up to the highest would else miss a lower one.
        """


def never() -> bool:
    """Tell that a store stays open."""
    return False


def while_open(pages: Iterable[list[Any]], is_closing: Callable[[], bool]) -> Iterator[list[Any]]:
    """Yield pages until the store closes: a thread that reads a large deck would else keep a stop waiting for it.

    Raises StoreUnavailable then.
    """
    for page in pages:
        if is_closing():
            raise StoreUnavailable("the store is closing")
        yield page
