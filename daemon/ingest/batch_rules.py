"""What rows are priced by beside their own cells: the plan, and what each account that they may name is asked alone.

``plan_mark`` is a digest of all of it, the same in every process: a run that goes on must be priced by the same.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from daemon.rating.account_rates import AccountRates
from daemon.rating.exchange import Exchange
from daemon.rating.rate_plan import MarkedTable, RatePlan


class AccountRule(NamedTuple):
    """What an account is asked beside its plan, None for nothing, and the zone of its periods.

    ``exchange`` are the rates into its currency; None: it is charged in that of the table.
    """

    rates: AccountRates | None = None
    zone: str = "UTC"
    exchange: Exchange | None = None


class BatchRules(NamedTuple):
    """``accounts`` by the texts that rows may name them by: ``ID`` within the plan's tenant, or ``TENANT/ID``.

    ``own_numbers`` are those that the plan's on-net tables are asked for.
    """

    plan: RatePlan
    accounts: Mapping[str, AccountRule]
    own_numbers: frozenset[str] = frozenset()


def plan_mark(rules: BatchRules, *, with_accounts: bool) -> str:
    """Return a digest of what prices: every table's policy and deck version, and of accounts their own prices."""
    digest = hashlib.sha256()
    for part in _parts(rules, with_accounts=with_accounts):
        digest.update(repr(part).encode())
    return digest.hexdigest()


def _parts(rules: BatchRules, *, with_accounts: bool) -> Iterator[object]:
    """Yield everything that counts, sets in an order of their own: that of a set changes from process to process."""
    yield rules.plan.id, sorted(rules.own_numbers) if rules.plan.on_net else (), len(rules.plan.on_net)
    for table, markups in (*map(MarkedTable, rules.plan.on_net), *rules.plan.marked_tables):
        policy = table.policy
        kinds = sorted(policy.rate_types.items())
        bands = [(band.id, band.intervals, sorted(band.holidays)) for band in policy.bands]
        yield (
            policy.table, policy.version, policy.currency, policy.decimals, policy.rounding, policy.duration_rounding,
            policy.name, policy.override, policy.zone, policy.split_bands, policy.tiers, policy.tier_period,
            kinds, bands, markups, len(table),
        )  # fmt: skip
    for name, (rates, zone, exchange) in sorted(rules.accounts.items(), key=_name) if with_accounts else ():
        yield name, zone, exchange and (exchange.tenant, exchange.target)
        if rates is not None:
            service = rates.service
            yield sorted(rates.overrides.items()), rates.policy.decimals, rates.policy.rounding, rates.policy.currency
            yield service and (service.id, sorted(service.allow), sorted(service.block))
    yield from _rates_between(rules) if with_accounts else ()


def _name(account: tuple[str, AccountRule]) -> str:
    return account[0]


def currencies_of(plan: RatePlan) -> frozenset[str]:
    """Return the currencies that a plan is priced in."""
    tables = (*plan.on_net, *(marked.table for marked in plan.marked_tables))
    return frozenset(table.policy.currency for table in tables)


def _rates_between(rules: BatchRules) -> Iterator[object]:
    """Yield every rate from a currency of the plan into one of an account, each once."""
    exchanges = dict.fromkeys(rule.exchange for _, rule in sorted(rules.accounts.items(), key=_name))
    for exchange in exchanges:
        for currency in sorted(currencies_of(rules.plan)) if exchange is not None else ():
            timeline = exchange.timeline(currency) if exchange is not None else None
            if timeline is not None:
                yield timeline.starts, timeline.rates
