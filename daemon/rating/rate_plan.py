"""A plan is an ordered list of rate tables: the longest valid prefix among them wins, table order breaks ties.

Cheapness never decides (PITFALLS section 3, case 15). A blocked row blocks only where it is the longest.
Of tables that share a name, the first whose pattern matches the usage record's override value takes part. A plan may
inherit another: its tables follow the plan's own, marked up, to any depth. Tables for calls between the tenant's own
numbers are asked first, and where one of them has a rate it decides.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

from daemon.kernel.instant import Instant
from daemon.rating.account_rates import AccountRates
from daemon.rating.markup import NO_MARKUP, Markup
from daemon.rating.override_pattern import OVERRIDE_LENGTH_MAX
from daemon.rating.rate_table import A_CALL, CHANGING, Changing, Found, RateTable, Usage, successive
from daemon.rating.tariff import Tariff

DEPTH_MAX: Final = 16  # plans that inherit each other; ours: a reseller's reseller has four
OVERRIDES_KEPT_MAX: Final = 256  # override values whose tables are kept; there are a dozen services


class MarkedTable(NamedTuple):
    """A table as a plan sells it: with the mark-ups of the plans that inherited it, the innermost first."""

    table: RateTable
    markups: tuple[Markup, ...] = ()

    def find(self, number: str, at: Instant, usage: Usage) -> Found:
        """Return what the table says at an instant, marked up."""
        return self.marked_up(self.table.find(number, at, usage))

    def marked_up(self, found: Found) -> Found:
        """Return what the table says with the mark-ups."""
        if self.markups and isinstance(found, Tariff):
            for markup in self.markups:
                found = markup.applied(found)
        return found


@dataclass(frozen=True)
class RatePlan:
    """The tables of a plan in order. ``inherits`` is marked up by ``markup``; ``on_net``: tables asked first.

    Raises ValueError where plans are nested deeper than DEPTH_MAX or a pattern is none.
    """

    id: str
    tables: tuple[RateTable, ...]
    inherits: "RatePlan | None" = None
    markup: Markup = NO_MARKUP
    on_net: tuple[RateTable, ...] = ()
    _kept: dict[str, tuple[MarkedTable, ...]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be asked."""
        if self.depth > DEPTH_MAX:
            raise ValueError(f"plan {self.id} inherits through more than {DEPTH_MAX} plans")
        for table in (*self.tables, *self.on_net):
            _compiled(table.policy.override)

    @property
    def depth(self) -> int:
        """How many plans inherit each other here, with this one."""
        return 1 if self.inherits is None else 1 + self.inherits.depth

    @cached_property
    def marked_tables(self) -> tuple[MarkedTable, ...]:
        """Every table of the plan and of those it inherits, in order."""
        own = tuple(MarkedTable(table) for table in self.tables)
        if self.inherits is None:
            return own
        more = self.inherits.marked_tables
        if self.markup == NO_MARKUP:
            return own + more
        return own + tuple(MarkedTable(table, (*markups, self.markup)) for table, markups in more)

    @cached_property
    def tiered(self) -> tuple[tuple[str, str], ...]:
        """The id and the period of each table whose tiers are chosen by volume."""
        policies = [table.policy for table in (*(marked.table for marked in self.marked_tables), *self.on_net)]
        return tuple(dict.fromkeys((each.table, each.tier_period) for each in policies if each.tiers))

    def taking_part(self, override: str) -> tuple[MarkedTable, ...]:
        """Return the tables that price a record of an override value: of each name the first whose pattern fits."""
        found = self._kept.get(override)
        if found is None:
            found = chosen_by_override(self.marked_tables, override)
            if len(self._kept) >= OVERRIDES_KEPT_MAX:
                self._kept.clear()
            self._kept[override] = found
        return found

    def find(self, number: str, at: Instant, usage: Usage = A_CALL, account: AccountRates | None = None) -> Found:
        """Return the tariff in force for the digits of a number, a Gap where only its time is unrated, or None."""
        found = self._on_net(number, at, usage) if usage.on_net and self.on_net else None
        if found is None:
            found = longest(table.find(number, at, usage) for table in self.taking_part(usage.override_value))
        return found if account is None else account.settled(found, number, usage)

    def _on_net(self, number: str, at: Instant, usage: Usage) -> Found:
        tables = chosen_by_override(map(MarkedTable, self.on_net), usage.override_value)
        return longest(table.find(number, at, usage) for table in tables)

    def match(
        self, number: str, at: Instant, usage: Usage = A_CALL, account: AccountRates | None = None
    ) -> Tariff | None:
        """Return the tariff in force at an instant for the digits of a number, or None where no table has one."""
        found = self.find(number, at, usage, account)
        return found if isinstance(found, Tariff) else None

    def tariffs(
        self, number: str, start: Instant, end: Instant, usage: Usage = A_CALL, account: AccountRates | None = None
    ) -> tuple[Tariff, ...]:
        """Return the tariff in force at ``start``, then each different one of the plan's until ``end``, included.

        Empty where none is in force at ``start``.
        """
        lasts = self._lasting(number, start, end, usage)
        if lasts is not CHANGING:
            found = lasts if account is None else account.settled(lasts, number, usage)
            return (found,) if isinstance(found, Tariff) else ()
        changes = self._changes(number, start, end, usage)
        return successive(lambda at: self.match(number, at, usage, account), start, changes)

    def stretches(
        self, number: str, start: Instant, end: Instant, usage: Usage = A_CALL, account: AccountRates | None = None
    ) -> tuple[tuple[Instant, Instant, Tariff], ...]:
        """Return each tariff in force between two instants with the first and the last of its own, in their order.

        Empty where none is in force at ``start``.
        """
        edges = [start, *sorted(self._changes(number, start, end, usage))]
        found = [(at, self.match(number, at, usage, account)) for at in edges]
        if found[0][1] is None:
            return ()
        begun = [(at, tariff) for at, tariff in found if tariff is not None]  # one before a gap lasts through it
        lasts = [at - 1 for at, _tariff in begun[1:]] + [end]
        return tuple((first, last, tariff) for (first, tariff), last in zip(begun, lasts, strict=True))

    def _changes(self, number: str, start: Instant, end: Instant, usage: Usage) -> set[Instant]:
        """Return the instants behind ``start``, until ``end``, at which what the number is asked may change."""
        if end <= start:
            return set()
        tables = (
            *(table for table, _ in self.taking_part(usage.override_value)),
            *(self.on_net if usage.on_net else ()),
        )
        return {at for table in tables for at in table.changes(number, start, end)}

    def _lasting(self, number: str, start: Instant, end: Instant, usage: Usage) -> Found | Changing:
        """Return what the tables say at every instant between two, CHANGING where one of them may say another thing."""
        if usage.on_net and self.on_net:
            return CHANGING
        best: Found = None
        for marked in self.taking_part(usage.override_value):
            found = marked.table.lasting(number, start, end, usage)
            if found is CHANGING:
                return CHANGING
            if marked.markups:
                found = marked.marked_up(found)
            if found is not None and (best is None or len(found.prefix) > len(best.prefix)):
                best = found
        return best


def longest(found: Iterable[Found]) -> Found:
    """Return what has the longest prefix, the first of equals."""
    best: Found = None
    for each in found:
        if each is not None and (best is None or len(each.prefix) > len(best.prefix)):
            best = each
    return best


def chosen_by_override(tables: Iterable[MarkedTable], override: str) -> tuple[MarkedTable, ...]:
    """Return of each name the first table whose pattern matches an override value."""
    chosen: dict[str, MarkedTable] = {}
    for marked in tables:
        policy = marked.table.policy
        name = policy.name or policy.table
        if name not in chosen and fits(policy.override, override):
            chosen[name] = marked
    return tuple(chosen.values())


def fits(pattern: str, override: str) -> bool:
    """Tell whether a table's pattern matches an override value; an empty pattern matches any."""
    if not pattern:
        return True
    return len(override) <= OVERRIDE_LENGTH_MAX and _compiled(pattern).search(override) is not None


def _compiled(pattern: str) -> "re.Pattern[str]":
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
