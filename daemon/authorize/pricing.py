"""What one account is asked for a number: its plan at the time, its own prices, whether the number is the tenant's own.

Every question for a price of an account comes here, so that a grant, the answer and a forced charge cannot disagree.
Overrides and classes of service are about the numbers that an account calls: an inbound call has neither.
A plan that takes over does so at its instant: each plan is asked for its own part of a window.
An account is charged in its own currency: a table in another has a price only where a rate between both is in force.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Final, NamedTuple

from daemon.authorize.catalog import AccountTerms, Catalog
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import Instant
from daemon.rating.account_rates import AccountRates
from daemon.rating.conversion import Conversion
from daemon.rating.exchange import Exchange
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import Found, Usage
from daemon.rating.tariff import Gap, Tariff

_OUTBOUND: Final = Direction.OUTBOUND
_NO_VOLUMES: Final[Mapping[str, int]] = MappingProxyType({})


class Service(NamedTuple):
    """What is asked for: the record's override value and rate type (empty: a call), and the period's volumes."""

    override: str = ""
    rate_type: str = ""
    volumes: Mapping[str, int] = _NO_VOLUMES


A_CALL: Final = Service()
OFF_NET: Final = Usage()
ON_NET: Final = Usage(on_net=True)


def usage_of(catalog: Catalog, tenant: str, direction: Direction, called: str, at: Instant, service: Service) -> Usage:
    """Return the usage that a plan of a tenant is asked for at an instant."""
    on_net = direction is _OUTBOUND and catalog.is_on_net(tenant, called, at)
    if service is A_CALL:
        return ON_NET if on_net else OFF_NET
    return Usage(service.override, service.rate_type, on_net, service.volumes)


def own_rates(account: AccountTerms, direction: Direction) -> AccountRates | None:
    """Return the prices and the class of service that count for a direction."""
    return account.rates if direction is _OUTBOUND else None


def tariffs_for(
    catalog: Catalog, account: AccountTerms, direction: Direction, called: str, start: Instant, end: Instant,
    service: Service = A_CALL, *, lapsed: bool = False,
) -> tuple[Tariff, ...]:  # fmt: skip
    """Return the tariff in force at ``start`` for the digits of a number, then each other until ``end``, included.

    Each is charged in the account's currency, by each rate in force meanwhile. Empty where none is in force at
    ``start``, or no rate into that currency, unless ``lapsed``: then the last one goes on. One that is blocked is
    returned; it is the caller's to refuse.
    """
    usage = usage_of(catalog, account.key.tenant, direction, called, start, service)
    own = own_rates(account, direction)
    plans = _plans(catalog, account, direction, start, end)
    plan = plans[0][2]
    if len(plans) == 1 and plan is not None:
        lasting = plan.tariffs(called, start, end, usage, own)
        if len(lasting) == 1 and lasting[0].currency == account.currency:
            return lasting  # nearly every call: one plan, one price, in the account's own currency
    exchange = exchange_of(catalog, account)
    found: dict[Tariff, None] = {}
    for begins, ends, plan in plans:
        stretches = plan.stretches(called, begins, ends, usage, own) if plan is not None else ()
        for first, last, tariff in stretches:
            if first > start:
                found.update(dict.fromkeys(exchange.taking_over(tariff, first, last)))
                continue
            sold = exchange.sold(tariff, first, last, lapsed=lapsed)
            if not sold:
                return (tariff,) if tariff.blocked and not lapsed else ()
            found.update(dict.fromkeys(sold))
        if begins == start and not stretches:
            return ()
    return tuple(found)


def exchange_of(catalog: Catalog, account: AccountTerms) -> Exchange:
    """Return the rates at which an account is charged for prices in other currencies: those of its tenant."""
    return Exchange(account.key.tenant, account.currency, catalog.conversions)


def cost_rates(
    catalog: Catalog, tenant: str, source: str, target: str, start: Instant, end: Instant, *, lapsed: bool = False
) -> tuple[Conversion, ...]:
    """Return the rates at which a tenant's cost in one currency counts in another from ``start`` until ``end``.

    Empty where both are the same, or none is in force at ``start`` and it is not asked for a ``lapsed`` one.
    """
    if source == target:
        return ()
    return Exchange(tenant, target, catalog.conversions).rates(source, start, end, lapsed=lapsed)


def _plans(
    catalog: Catalog, account: AccountTerms, direction: Direction, start: Instant, end: Instant
) -> Sequence[tuple[Instant, Instant, RatePlan | None]]:
    """Return the plans in force between two instants, each with the first and the last of its own."""
    dated = account.dated(direction)
    if len(dated) == 1 and dated[0].begins <= start:
        return ((start, end, catalog.plans.get(dated[0].plan)),)
    edges = [start, *sorted({each.begins for each in dated if start < each.begins <= end}), end + 1]
    keys = [account.plan_at(direction, begins) for begins in edges[:-1]]
    plans = [catalog.plans.get(key) if key is not None else None for key in keys]
    return [(begins, ends - 1, plan) for (begins, ends), plan in zip(pairwise(edges), plans, strict=True)]


def found_for(
    catalog: Catalog, account: AccountTerms, direction: Direction, called: str, at: Instant, service: Service = A_CALL
) -> Found:
    """Return what an account's plan at an instant says of a number: a Gap where only the time is unrated."""
    key: Key | None = account.plan_at(direction, at)
    plan = catalog.plans.get(key) if key is not None else None
    if plan is None:
        return None
    usage = usage_of(catalog, account.key.tenant, direction, called, at, service)
    return plan.find(called, at, usage, own_rates(account, direction))


def unrated_reason(
    catalog: Catalog, account: AccountTerms, direction: Direction, called: str, at: Instant, service: Service = A_CALL
) -> str:
    """Say why a number has no rate for an account at an instant at which it has none."""
    found = found_for(catalog, account, direction, called, at, service)
    if isinstance(found, Gap):
        return f"prefix {found.prefix} of {found.table} is priced by time, and no band of it holds this time"
    if isinstance(found, Tariff):
        lacking = exchange_of(catalog, account).lacking(found.currency, at)
        return f"prefix {found.prefix} of {found.table} is priced in {found.currency}: {lacking}"
    return f"no rate of the account's plan is valid for {called}"
