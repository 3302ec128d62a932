"""What a check of the ledger finds."""

from typing import NamedTuple

from daemon.store.invariants import INVARIANTS


class Finding(NamedTuple):
    """One invariant that does not hold for one subject (an account, a call, a record …)."""

    invariant: str  # one of INVARIANTS
    subject: str
    detail: str  # what was seen, and what should be

    def __str__(self) -> str:
        """Return ``invariant: subject: detail``."""
        return f"{self.invariant}: {self.subject}: {self.detail}"

    @property
    def mend(self) -> str:
        """What an operator does about it."""
        return INVARIANTS[self.invariant].mend
