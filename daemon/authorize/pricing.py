"""What one account is asked for a number: its plan at the time, its own prices, whether the number is the tenant's own.

Every question for a price of an account comes here, so that a grant, the answer and a forced charge cannot disagree.
Overrides and classes of service are about the numbers that an account calls: an inbound call has neither.
A plan that takes over does so at its instant: each plan is asked for its own part of a window.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Final, NamedTuple

from daemon.authorize.catalog import AccountTerms, Catalog
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import Instant
from daemon.rating.account_rates import AccountRates
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import Found, Usage
from daemon.rating.tariff import Gap, Tariff

_NO_VOLUMES: Final[Mapping[str, int]] = MappingProxyType({})


class Service(NamedTuple):
    """What is asked for: the record's override value and rate type (empty: a call), and the period's volumes."""

    override: str = ""
    rate_type: str = ""
    volumes: Mapping[str, int] = _NO_VOLUMES


A_CALL: Final = Service()


def usage_of(catalog: Catalog, tenant: str, direction: Direction, called: str, service: Service) -> Usage:
    """Return the usage that a plan of a tenant is asked for."""
    on_net = direction is Direction.OUTBOUND and catalog.is_on_net(tenant, called)
    return Usage(service.override, service.rate_type, on_net, service.volumes)


def own_rates(account: AccountTerms, direction: Direction) -> AccountRates | None:
    """Return the prices and the class of service that count for a direction."""
    return account.rates if direction is Direction.OUTBOUND else None


def tariffs_for(
    catalog: Catalog, account: AccountTerms, direction: Direction, called: str, start: Instant, end: Instant,
    service: Service = A_CALL,
) -> tuple[Tariff, ...]:  # fmt: skip
    """Return the tariff in force at ``start`` for the digits of a number, then each other until ``end``, included.

    Empty where none is in force at ``start``. One that is blocked is returned; it is the caller's to refuse.
    """
    usage, own = usage_of(catalog, account.key.tenant, direction, called, service), own_rates(account, direction)
    found: dict[Tariff, None] = {}
    for begins, ends, plan in _plans(catalog, account, direction, start, end):
        more = plan.tariffs(called, begins, ends, usage, own) if plan is not None else ()
        if not more and begins == start:
            return ()
        found.update(dict.fromkeys(more))
    return tuple(found)


def _plans(
    catalog: Catalog, account: AccountTerms, direction: Direction, start: Instant, end: Instant
) -> Iterator[tuple[Instant, Instant, RatePlan | None]]:
    """Yield the plans in force between two instants, each with the first and the last of its own."""
    edges = [start, *sorted({each.begins for each in account.dated(direction) if start < each.begins <= end}), end + 1]
    for begins, following in pairwise(edges):
        key = account.plan_at(direction, begins)
        yield begins, following - 1, catalog.plans.get(key) if key is not None else None


def found_for(
    catalog: Catalog, account: AccountTerms, direction: Direction, called: str, at: Instant, service: Service = A_CALL
) -> Found:
    """Return what an account's plan at an instant says of a number: a Gap where only the time is unrated."""
    key: Key | None = account.plan_at(direction, at)
    plan = catalog.plans.get(key) if key is not None else None
    if plan is None:
        return None
    usage = usage_of(catalog, account.key.tenant, direction, called, service)
    return plan.find(called, at, usage, own_rates(account, direction))


def unrated_reason(
    catalog: Catalog, account: AccountTerms, direction: Direction, called: str, at: Instant, service: Service = A_CALL
) -> str:
    """Say why a number has no rate for an account at an instant at which it has none."""
    found = found_for(catalog, account, direction, called, at, service)
    if isinstance(found, Gap):
        return f"prefix {found.prefix} of {found.table} is priced by time, and no band of it holds this time"
    return f"no rate of the account's plan is valid for {called}"
