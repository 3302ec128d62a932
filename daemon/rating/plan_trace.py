"""What a plan was asked and what each of its tables said: the way to a price, for whoever wants to see it.

It asks the very tables that ``RatePlan.find`` asks, in their order, and adds why others were not asked. It decides
nothing: the price is what the plan itself finds.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from daemon.kernel.instant import Instant
from daemon.rating.markup import Markup
from daemon.rating.rate_plan import MarkedTable, RatePlan, chosen_by_override, fits
from daemon.rating.rate_table import Found, Policy, Usage
from daemon.rating.tariff import Tariff


class Sold(NamedTuple):
    """A tariff after one mark-up."""

    markup: Markup
    tariff: Tariff


class Asked(NamedTuple):
    """One table of a plan: what it found, and what the mark-ups made of it; ``passed_over`` says why it was not asked.

    ``is_on_net``: it is one of those that are asked first for the tenant's own numbers; ``has_bands``: some of its
    prefixes are priced by time.
    """

    policy: Policy
    found: Found = None
    sold: tuple[Sold, ...] = ()
    is_on_net: bool = False
    passed_over: str = ""
    has_bands: bool = False

    @property
    def says(self) -> Found:
        """What the plan takes from the table: what it found, marked up."""
        return self.sold[-1].tariff if self.sold else self.found


def asked(plan: RatePlan, number: str, at: Instant, usage: Usage) -> tuple[Asked, ...]:
    """Return every table of a plan in the order in which it is asked, those for own numbers first."""
    own: tuple[Asked, ...] = ()
    if usage.on_net:
        own = tuple(_asked(map(MarkedTable, plan.on_net), number, at, usage, is_on_net=True))
    if any(each.found is not None for each in own):
        reason = "a table for the tenant's own numbers decided"
        return (*own, *(Asked(marked.table.policy, passed_over=reason) for marked in plan.marked_tables))
    return (*own, *_asked(plan.marked_tables, number, at, usage, is_on_net=False))


def _asked(
    tables: Iterable[MarkedTable], number: str, at: Instant, usage: Usage, *, is_on_net: bool
) -> Iterator[Asked]:
    given = tuple(tables)
    taking = chosen_by_override(given, usage.override_value)
    for marked in given:
        policy = marked.table.policy
        if not any(marked is each for each in taking):
            yield Asked(policy, is_on_net=is_on_net, passed_over=_why_not(policy, usage.override_value))
            continue
        found = marked.table.find(number, at, usage)
        sold = tuple(_sold(found, marked.markups))
        yield Asked(policy, found, sold, is_on_net, has_bands=bool(marked.table.offers.choices))


def _why_not(policy: Policy, override: str) -> str:
    if not fits(policy.override, override):
        return f"its override {policy.override} does not fit {override or 'a record without one'}"
    return f"an earlier table of the name {policy.name or policy.table} fits {override}"


def _sold(found: Found, markups: Iterable[Markup]) -> Iterator[Sold]:
    if isinstance(found, Tariff):
        for markup in markups:
            found = markup.applied(found)
            yield Sold(markup, found)
