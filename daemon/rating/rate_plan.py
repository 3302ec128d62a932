"""A plan is an ordered list of rate tables: the longest valid prefix among them wins, table order breaks ties.

Cheapness never decides (PITFALLS section 3, case 15). A blocked row blocks only where it is the longest.
A table chosen by an override pattern cannot be priced by this release, and a plan that holds one cannot be made.
"""

from dataclasses import dataclass

from daemon.kernel.instant import Instant
from daemon.rating.rate_table import RateTable, successive
from daemon.rating.tariff import Tariff


@dataclass(frozen=True, slots=True)
class RatePlan:
    """The tables of a plan in order. Raises ValueError for a table with an override pattern."""

    id: str
    tables: tuple[RateTable, ...]

    def __post_init__(self) -> None:
        for table in self.tables:
            if table.policy.override:
                raise ValueError(f"plan {self.id}: table {table.id} has an override pattern; this release has none")

    def match(self, number: str, at: Instant, override: str = "") -> Tariff | None:
        """Return the tariff in force at an instant for the digits of a number, or None where no table has one."""
        del override  # every table takes part, whatever the usage record's override value says
        found = (tariff for table in self.tables if (tariff := table.match(number, at)) is not None)
        # max keeps the first of equals: table order breaks ties.
        return max(found, key=lambda tariff: len(tariff.prefix), default=None)

    def tariffs(self, number: str, start: Instant, end: Instant, override: str = "") -> tuple[Tariff, ...]:
        """Return the tariff in force at ``start``, then each different one of the plan's until ``end``, included.

        Empty where none is in force at ``start``.
        """
        changes = {at for table in self.tables for at in table.changes(number, start, end)}
        return successive(lambda at: self.match(number, at, override), start, changes)
