"""What a batch came to: rows by status and reason, and what was charged, by currency.

Reasons are counted by their code, those of invalid rows by the column that they name, so that a summary stays short.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from daemon.kernel.money import format_nano


class BatchStatus(Enum):
    """What became of a row, in the order of the summary."""

    RATED = "rated"
    UNRATED = "unrated"
    BLOCKED = "blocked"
    INVALID = "invalid"


@dataclass
class BatchSummary:
    """Counts of rows, and nano-units charged by currency."""

    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    totals: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        """All rows."""
        return self.statuses.total()

    @property
    def is_all_rated(self) -> bool:
        """Tell whether every row has a price."""
        return self.statuses[BatchStatus.RATED.value] == self.rows

    def value(self) -> dict[str, Any]:
        """Return it as ``rate batch --json`` promises it."""
        return {
            "rows": self.rows,
            "statuses": {status.value: self.statuses[status.value] for status in BatchStatus},
            "reasons": dict(sorted(self.reasons.items())),
            "totals": [{"currency": name, "charge": format_nano(nano)} for name, nano in sorted(self.totals.items())],
        }


def reason_word(reason: str) -> str:
    """Return what a reason is counted by: its code, or the column that it names."""
    return reason.partition(":")[0]
