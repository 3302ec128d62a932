"""Where the configuration of a store meets another currency without a rate, and what may be changed of a rate.

Pure; run within the transaction that changes something. Whether a stated rate is in force is not asked here: a rate
that ended must keep nobody from suspending an account. A rate that has been in force is never altered, so that what was
charged by it can be worked out again; to end it is to state an end that lies not before now.
"""

from collections.abc import Iterable, Iterator

from daemon.charging.configuration import AccountSpec, Configuration, ConversionSpec, stated_rate
from daemon.kernel.instant import NEVER, Instant
from daemon.rating.conversion import PAIR_RATES_MAX, Timeline
from daemon.store.rate_faults import inherited_currencies, plan_currencies

Pair = tuple[str, str, str]  # tenant, from, to


def currency_faults(configuration: Configuration) -> Iterator[str]:
    """Yield each place at which a price or a cost meets a currency into which no rate is stated."""
    rates = _Rates(configuration)
    yield from rates.faults()
    yield from _tenant_faults(configuration, rates)
    yield from _carrier_faults(configuration, rates)
    yield from _account_faults(configuration, rates)
    for (tenant, name), currencies in inherited_currencies(configuration).items():
        if len(currencies) > 1:
            yield f"rate_plan {tenant}/{name} adds an amount to prices in {', '.join(sorted(currencies))}"


class _Rates:
    """The pairs that each tenant states, found from a tenant upwards."""

    def __init__(self, configuration: Configuration) -> None:
        self._pairs: dict[Pair, int] = {}
        for each in configuration.conversions:
            pair = (each.tenant, each.source, each.target)
            self._pairs[pair] = self._pairs.get(pair, 0) + 1
        self._parents = {tenant.id: tenant.parent for tenant in configuration.tenants}

    def faults(self) -> Iterator[str]:
        for (tenant, source, target), count in self._pairs.items():
            if count > PAIR_RATES_MAX:
                yield f"tenant {tenant} has more than {PAIR_RATES_MAX} rates from {source} to {target}"

    def missing(self, tenant: str, source: str, target: str) -> str:
        """Return what to say where a tenant has no rate of a pair; empty where it has one or needs none."""
        seen: set[str] = set()
        above = tenant
        while source != target and above and above not in seen:
            if (above, source, target) in self._pairs:
                return ""
            seen.add(above)
            above = self._parents.get(above, "")
        if source == target:
            return ""
        told = f"no conversion from {source} to {target} is stated for {tenant}"
        return (
            f'{told}: add a [[conversion]] with from = "{source}", to = "{target}" to the scenario file, and apply it'
        )


def _tenant_faults(configuration: Configuration, rates: _Rates) -> Iterator[str]:
    """A tenant's accounts pay in their currencies for what costs it the currency of its account with its parent."""
    trunks = _trunk_currencies(configuration)
    kept: dict[str, set[str]] = {tenant.id: {tenant.currency} for tenant in configuration.tenants}
    for account in configuration.accounts:
        kept.setdefault(account.tenant, set()).add(account.currency)
    for tenant, paid in trunks.items():
        for currency in sorted(kept[tenant]):
            if missing := rates.missing(tenant, paid, currency):
                yield f"tenant {tenant} has accounts in {currency}, its account with its parent is in {paid}: {missing}"


def _trunk_currencies(configuration: Configuration) -> dict[str, str]:
    accounts = {(spec.tenant, spec.id): spec.currency for spec in configuration.accounts}
    trunks = {tenant.id: accounts.get((tenant.parent, tenant.account)) for tenant in configuration.tenants}
    return {tenant: currency for tenant, currency in trunks.items() if currency is not None}


def _carrier_faults(configuration: Configuration, rates: _Rates) -> Iterator[str]:
    tables = {(spec.tenant, spec.id): spec.currency for spec in configuration.rate_tables}
    kept = {(tenant.id, tenant.currency) for tenant in configuration.tenants}
    kept |= {(account.tenant, account.currency) for account in configuration.accounts}
    for carrier in configuration.carriers:
        paid = tables.get((carrier.tenant, carrier.rate_table))
        if paid is None:
            yield f"carrier {carrier.tenant}/{carrier.id}: there is no rate table {carrier.rate_table}"
            continue
        for currency in sorted(currency for tenant, currency in kept if tenant == carrier.tenant):
            if missing := rates.missing(carrier.tenant, paid, currency):
                yield f"carrier {carrier.tenant}/{carrier.id} is paid in {paid}, accounts are in {currency}: {missing}"


def _account_faults(configuration: Configuration, rates: _Rates) -> Iterator[str]:
    plans = plan_currencies(configuration)
    for account in configuration.accounts:
        for dated in (*account.rate_plan, *account.inbound_rate_plan):
            priced = plans.get((account.tenant, dated.plan))
            if priced is None:
                yield f"account {account.tenant}/{account.id}: there is no rate plan {dated.plan}"
                continue
            for currency in sorted(priced):
                if missing := rates.missing(account.tenant, currency, account.currency):
                    named = f"account {account.tenant}/{account.id} is in {account.currency}"
                    yield f"{named}, its plan {dated.plan} is priced in {currency}: {missing}"
        yield from _override_faults(account, plans)


def _override_faults(account: AccountSpec, plans: dict[tuple[str, str], set[str]]) -> Iterator[str]:
    priced = {each for dated in account.rate_plan for each in plans.get((account.tenant, dated.plan), ())}
    if account.overrides and len(priced) > 1:
        told = ", ".join(sorted(priced))
        yield f"account {account.tenant}/{account.id} has overrides, and plans that are priced in {told}"


# -- what may be changed


def alterations(before: Iterable[ConversionSpec], wanted: Iterable[ConversionSpec], now: Instant) -> Iterator[str]:
    """Yield why rates may not be as they are wanted: each would alter what has been in force."""
    known = {(each.tenant, each.id): each for each in before}
    pairs: dict[Pair, list[ConversionSpec]] = {}
    for each in known.values():
        pairs.setdefault((each.tenant, each.source, each.target), []).append(each)
    for spec in wanted:
        earlier = known.get((spec.tenant, spec.id))
        if earlier is None:
            fault = _backdated(spec, pairs.get((spec.tenant, spec.source, spec.target), ()), now)
        else:
            fault = _altered(earlier, spec, now)
        if fault:
            yield f"conversion {spec.tenant}/{spec.id}: {fault}"


def _backdated(spec: ConversionSpec, others: Iterable[ConversionSpec], now: Instant) -> str:
    """Return why a new rate cannot begin when it says: another of its pair was in force then."""
    until = min(now, spec.ends if spec.ends is not None else NEVER)
    stated = [stated_rate(each) for each in others]
    if spec.begins >= until or not stated or not Timeline(stated).between(spec.begins, until - 1):
        return ""
    return "another rate of this pair has been in force since then; write an effective_from that is not before now"


def _altered(earlier: ConversionSpec, spec: ConversionSpec, now: Instant) -> str:
    if earlier == spec or earlier.begins > now:
        return ""
    if earlier.rate != spec.rate:
        return "its rate has been in force, and cannot be changed; state another with a later effective_from"
    if earlier.ends is not None and earlier.ends <= now:
        return "it has ended, and its end cannot be moved; state another with a later effective_from"
    if spec.ends is not None and spec.ends < now:
        return "it has been in force until now; write an effective_to that is not before now"
    return ""
