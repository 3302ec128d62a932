"""Terms of rows in the store: each set of them is kept once, under a number that rows name.

A deck of a million rows has some dozens, so rows are short to write and to read. Numbers are looked up as rows need
them, since nothing bounds how many a strange deck has.
"""

from collections.abc import Iterable
from typing import Final

from daemon.kernel.instant import Instant
from daemon.rating.deck import KNOWN_MAX, Terms
from daemon.store.link import Link

_NAMES: Final = ", ".join(Terms._fields)
_READ = f"SELECT {_NAMES} FROM deck_terms WHERE number = ?"
_WRITE = f"INSERT INTO deck_terms ({_NAMES}) VALUES ({', '.join('?' * len(Terms._fields))}) ON CONFLICT DO NOTHING"
_NUMBER = f"SELECT number FROM deck_terms WHERE {' AND '.join(f'{name} = ?' for name in Terms._fields)}"


class StoredTerms:
    """Terms by number, with the end that counts; those with one number and one end are one object."""

    def __init__(self, connection: Link) -> None:
        """Take the connection that reads."""
        self._connection = connection
        self._known: dict[tuple[int, Instant | None], Terms] = {}

    def of(self, number: int, ended: Instant | None) -> Terms:
        """Return terms that hold until their own end, or one that was set where that is earlier."""
        found = self._known.get((number, ended))
        if found is None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            terms = Terms._make(self._connection.execute(_READ, (number,)).fetchone())
            ends = terms.effective_to if ended is None else min(ended, terms.effective_to)
            found = self._known[number, ended] = terms._replace(blocked=bool(terms.blocked), effective_to=ends)
        return found


def numbered(terms: Iterable[Terms], connection: Link) -> dict[Terms, int]:
    """Return the number of each terms, within a transaction that writes those that have none yet."""
    wanted = list(terms)
    connection.executemany(_WRITE, wanted)
    return {each: connection.execute(_NUMBER, each).fetchone()[0] for each in wanted}
