"""What rows are priced by beside their own cells: the plan, and what each account that they may name is asked alone.

``plan_mark`` is a digest of all of it, the same in every process: a run that goes on must be priced by the same.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from daemon.rating.account_rates import AccountRates
from daemon.rating.rate_plan import MarkedTable, RatePlan


class AccountRule(NamedTuple):
    """What an account is asked beside its plan, None for nothing, and the zone of its periods."""

    rates: AccountRates | None = None
    zone: str = "UTC"


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
    for name, (rates, zone) in sorted(rules.accounts.items()) if with_accounts else ():
        yield name, zone
        if rates is not None:
            service = rates.service
            yield sorted(rates.overrides.items()), rates.policy.decimals, rates.policy.rounding, rates.policy.currency
            yield service and (service.id, sorted(service.allow), sorted(service.block))
