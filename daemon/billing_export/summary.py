"""Summary lines and totals of a batch: sums of integers, so they equal the sum of the lines in any order.

One line for each account, destination, rate type, tax code, ledger code and currency, sorted by these.
A reversal counts as a line and takes its seconds and money away, as in the usage lines.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from daemon.billing_export.lines import csv_line, money
from daemon.billing_export.usage import units
from daemon.charging.cdr import RatedCdr

COLUMNS = (
    "account", "destination", "rate_type", "tax_code", "ledger_code", "currency", "records", "seconds", "charge",
    "uncollected", "cost",
)  # fmt: skip
CSV_HEADER = csv_line(COLUMNS)


class Group(NamedTuple):
    """What a summary line is kept by."""

    account: str
    destination: str
    rate_type: str
    tax_code: str
    ledger_code: str
    currency: str


class Sums(NamedTuple):
    """Counts, billed seconds, and nano-units."""

    records: int = 0
    seconds: int = 0
    charge: int = 0
    uncollected: int = 0
    cost: int = 0

    def plus(self, other: "Sums") -> "Sums":
        """Return the sums of both, field by field."""
        return Sums(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


@dataclass(slots=True)
class Summary:
    """Grows with the accounts and destinations called in one batch, not with its calls: some 300 octets a group."""

    groups: dict[Group, Sums] = field(default_factory=dict)

    def add(self, record: RatedCdr) -> None:
        """Count one record in."""
        group = Group(
            record.account, record.destination, record.rate_type, record.tax_code, record.ledger_code, record.currency
        )
        line = Sums(1, units(record), record.charge, record.uncollected, record.cost)
        self.groups[group] = self.groups.get(group, Sums()).plus(line)

    def csv_lines(self) -> Iterator[bytes]:
        """Yield the lines, without the header."""
        for group in sorted(self.groups):
            sums = self.groups[group]
            amounts = (money(sums.charge), money(sums.uncollected), money(sums.cost))
            yield csv_line((*group, sums.records, sums.seconds, *amounts))

    def totals(self) -> dict[str, Sums]:
        """Return the sums of each currency, sorted by its code."""
        totals: dict[str, Sums] = {}
        for group in sorted(self.groups, key=lambda group: group.currency):
            totals[group.currency] = totals.get(group.currency, Sums()).plus(self.groups[group])
        return totals
