"""What a check of the ledger finds."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One invariant that does not hold for one subject (an account, a call, a record …)."""

    invariant: str
    subject: str
    detail: str

    def __str__(self) -> str:
        """Return ``invariant: subject: detail``."""
        return f"{self.invariant}: {self.subject}: {self.detail}"
