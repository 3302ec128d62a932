"""The duplicate cache of RFC 5080 section 2.2.2: a request that comes again gets the bytes of its first answer.

A key is source address, port, listener, code and Identifier; the digest tells a repeat from a new request that
re-uses the Identifier, which takes the old one's place. Time is an argument, in microseconds. The cache is bounded:
the oldest answer goes first, and what is forgotten here is still answered from the store.
"""

from collections import OrderedDict
from dataclasses import dataclass

LIFE_SECONDS_MIN, LIFE_SECONDS_MAX = 5, 30  # seconds an answer is kept, RFC 5080 section 2.2.2
ENTRIES_MAX = 65_536  # requests; at 5,000 a second about 13 seconds of answers of some 150 octets each

Key = tuple[str, int, int, int]  # source address, source port, code, Identifier; one cache for each listener


@dataclass(slots=True)
class Entry:
    """A request that was seen; ``reply`` is None while it is being worked on."""

    digest: bytes
    at: int
    reply: bytes | None = None


class DuplicateCache:
    """Remembers requests for ``life_seconds`` after they came."""

    def __init__(self, life_seconds: int = 15, entries_max: int = ENTRIES_MAX) -> None:
        """Raises ValueError for a life outside 5 to 30 seconds."""
        if not LIFE_SECONDS_MIN <= life_seconds <= LIFE_SECONDS_MAX:
            raise ValueError(f"an answer is kept {LIFE_SECONDS_MIN} to {LIFE_SECONDS_MAX} seconds")
        self._life_us = life_seconds * 1_000_000
        self._entries_max = entries_max
        self._entries: OrderedDict[Key, Entry] = OrderedDict()

    def __len__(self) -> int:
        """Return how many requests are remembered."""
        return len(self._entries)

    def seen(self, key: Key, digest: bytes, now: int) -> Entry | None:
        """Return what is known of this very request, or remember it as begun and return None."""
        self._forget(now)
        entry = self._entries.get(key)
        if entry is not None and entry.digest == digest:
            return entry
        self._entries.pop(key, None)
        self._entries[key] = Entry(digest, now)
        if len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)
        return None

    def answered(self, key: Key, digest: bytes, reply: bytes) -> bool:
        """Keep the answer; False says that a newer request took the key, so this answer must not be sent."""
        entry = self._entries.get(key)
        if entry is None:
            return True  # forgotten under load; the answer is still good
        if entry.digest != digest:
            return False
        entry.reply = reply
        return True

    def dropped(self, key: Key, digest: bytes) -> None:
        """Forget a request that got no answer, so that its repeat is worked on afresh."""
        entry = self._entries.get(key)
        if entry is not None and entry.digest == digest:
            del self._entries[key]

    def _forget(self, now: int) -> None:
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            if now - entry.at < self._life_us:
                return
            del self._entries[key]
