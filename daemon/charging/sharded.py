"""A mapping that never changes, of which another with some changes costs what the changes cost.

A million entries are kept in a thousand dictionaries: a changed mapping shares all but those that hold what changed.
So a catalog stays the value that it was for whoever decides by it, while the next one is made beside it.
"""

from collections.abc import Hashable, Iterator, Mapping
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
SHARDS: Final = 1_024  # dictionaries, a power of two: of a million entries each holds a thousand, copied in 10 us
_MASK: Final = SHARDS - 1
# Bits of a hash that do not choose the dictionary: it chooses by the lowest itself, and numbers that follow one another
# share one, which is then at hand.
_BELOW: Final = 12


class Sharded(Mapping[K, V]):
    """Made empty, or by a draft."""

    __slots__ = ("_length", "_shards")

    def __init__(self, shards: tuple[dict[K, V], ...] | None = None, length: int = 0) -> None:
        """Take dictionaries that nobody changes from now on, each key in that of its hash."""
        self._shards = shards if shards is not None else ({},) * SHARDS
        self._length = length

    def __getitem__(self, key: K) -> V:
        """Return a value. Raises KeyError."""
        return self._shards[hash(key) >> _BELOW & _MASK][key]

    def __contains__(self, key: object) -> bool:
        """Tell whether there is a value, without an exception where there is none."""
        return key in self._shards[hash(key) >> _BELOW & _MASK]

    def __iter__(self) -> Iterator[K]:
        """Yield the keys in no order."""
        for shard in self._shards:
            yield from shard

    def __len__(self) -> int:
        """Return how many there are."""
        return self._length

    def draft(self) -> "Draft[K, V]":
        """Return what begins as this mapping and may be changed."""
        return Draft(self._shards)


class Draft(Generic[K, V]):
    """A mapping in the making, of one thread; what it began as stays as it is."""

    __slots__ = ("_own", "_shards")

    def __init__(self, shards: tuple[dict[K, V], ...]) -> None:
        """Share dictionaries until one of them has to change."""
        self._shards = list(shards)
        self._own: set[int] = set()

    def get(self, key: K) -> V | None:
        """Return a value, None where there is none."""
        return self._shards[hash(key) >> _BELOW & _MASK].get(key)

    def put(self, key: K, value: V) -> V | None:
        """Set a value; return what was there before."""
        place = hash(key) >> _BELOW & _MASK
        shard = self._shards[place]
        if place not in self._own:
            shard = self._shards[place] = shard.copy()
            self._own.add(place)
        earlier = shard.get(key)
        shard[key] = value
        return earlier

    def drop(self, key: K) -> None:
        """Take a key out. Raises KeyError."""
        place = hash(key) >> _BELOW & _MASK
        kept = self._shards[place].copy()
        del kept[key]
        self._shards[place] = kept
        self._own.add(place)

    def finished(self) -> Sharded[K, V]:
        """Return the mapping; the draft shares its dictionaries with it and copies them before it changes one again."""
        self._own.clear()
        return Sharded(tuple(self._shards), sum(map(len, self._shards)))
