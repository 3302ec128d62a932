"""Which switches this daemon serves of all that are configured, whatever road they are on.

The store is told of all names at once: a name that is left out is given up, so that two roads which asked for
their own would take each other's away.
"""

from collections.abc import Awaitable, Callable, Collection

Claim = Callable[[Collection[str]], Awaitable[Collection[str]]]


class Claims:
    """The names that roads want; ``of`` makes the claim of one road."""

    def __init__(self, claim: Claim) -> None:
        """Take how the store is asked."""
        self._claim = claim
        self._wanted: dict[str, frozenset[str]] = {}

    def of(self, road: str) -> Claim:
        """Return the claim of one road: of its names those that this daemon serves. It may raise StoreError."""

        async def claimed(names: Collection[str]) -> Collection[str]:
            self._wanted[road] = frozenset(names)
            held = await self._claim(frozenset().union(*self._wanted.values()))
            return [name for name in names if name in held]

        return claimed
