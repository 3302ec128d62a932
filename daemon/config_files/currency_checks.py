"""Where the objects of a scenario meet another currency: each meeting needs a dated rate of a tenant or one above it.

A fault stands at the key that a person would change, and says which pair to state. Only the pair as it is needed
counts, never its inverse. A file alone tells whether a pair is stated; whether one is in force, the time of reading.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from daemon.config_files.kinds import Site
from daemon.config_files.objects import Entry, Objects, named
from daemon.kernel.ids import Key
from daemon.kernel.instant import NEVER, Instant, format_rfc3339
from daemon.rating.conversion import PAIR_RATES_MAX, StatedRate, Timeline

Pair = tuple[str, str, str]  # tenant, from, to
_VALUES = ("rate", "effective_from", "effective_to")
_AMOUNTS = ("markup_per_minute", "markup_minimum")


class Rates:
    """The rates that a file states, and what is missing of them at an instant; None: at no instant in particular.

    ``stored``: the rates that the store has besides, None where no store is looked at.
    """

    def __init__(self, objects: Objects, now: Instant | None, stored: Iterable[StatedRate] | None = None) -> None:
        """Index the rates; where the currencies or the tenant of one cannot be read, none is called missing."""
        self._objects = objects
        self._now = now
        self._pairs: dict[Pair, list[Entry]] = {}
        for each in objects.of("conversion"):
            self._pairs.setdefault(_pair(each), []).append(each)
        self._stored: dict[Pair, list[StatedRate]] = {}
        for rate in stored or ():
            self._stored.setdefault((rate.tenant, rate.source, rate.target), []).append(rate)
        self._alone = " (in this file; 'tollway apply' counts the rates of the store too)" if stored is None else ""
        self._is_blurred = any(not all(pair) for pair in self._pairs)

    def missing(self, tenant: str, source: str | None, target: str | None) -> str:
        """Return what to say where a tenant has no rate from a currency to another, empty where it needs none."""
        if not source or not target or source == target or self._is_blurred or not tenant:
            return ""
        pair = f'from = "{source}", to = "{target}"'
        above = self._objects.ancestors(tenant)
        for name in above:
            if (name, source, target) in self._pairs or (name, source, target) in self._stored:
                return self._out_of_force((name, source, target))
        inverse = next(
            (self._pairs[name, target, source][0] for name in above if (name, target, source) in self._pairs), None
        )
        stated = f"no rate from {source} to {target} is stated for {tenant} or a tenant above it{self._alone}"
        told = f"{stated}; add a [[conversion]] {pair}"
        if inverse is None:
            return told
        return f"{told} (the one in line {inverse.line} is the other direction, and is not turned round)"

    def _out_of_force(self, pair: Pair) -> str:
        stated, stored = self._pairs.get(pair, []), self._stored.get(pair, [])
        if self._now is None or any(name not in each.values for each in stated for name in _VALUES):
            return ""
        rates = {each.begins: each for each in (*stored, *map(_stated, stated))}  # the file's stand for the store's
        if Timeline(rates.values()).at(self._now) is not None:
            return ""
        lines = ", ".join(str(each.line) for each in stated[-3:])
        beside = f"that in line {lines}" if lines else "those of the store"
        told = f"no rate from {pair[1]} to {pair[2]} is in force now ({format_rfc3339(self._now)}){self._alone}"
        return f"{told}; add a [[conversion]] beside {beside}"

    def check(self) -> None:
        """Report rates that contradict themselves or each other."""
        for entries in self._pairs.values():
            _check_dates(entries)
            for each in entries:
                _check_rate(each)


def _pair(conversion: Entry) -> Pair:
    return conversion.tenant, str(conversion.get("from") or ""), str(conversion.get("to") or "")


def _stated(conversion: Entry) -> StatedRate:
    values = conversion.values
    ends = NEVER if values["effective_to"] is None else values["effective_to"]
    return StatedRate(*_pair(conversion), values["rate"], values["effective_from"], ends)


def _check_rate(conversion: Entry) -> None:
    if conversion.get("from") and conversion.get("from") == conversion.get("to"):
        (conversion.site / "to").report("is the currency that it converts from; name another")
    begins, ends = conversion.get("effective_from"), conversion.get("effective_to")
    if begins is not None and ends is not None and ends <= begins:
        (conversion.site / "effective_to").report("is not after effective_from; leave it out for no end")


def _check_dates(entries: list[Entry]) -> None:
    if len(entries) > PAIR_RATES_MAX:
        entries[PAIR_RATES_MAX].site.report(f"is one of more than {PAIR_RATES_MAX} rates of a pair; take old ones out")
    first: dict[Instant, Entry] = {}
    for each in entries:
        begins = each.get("effective_from")
        if begins is not None and all(_pair(each)) and first.setdefault(begins, each) is not each:
            message = f"is the start of the rate in line {first[begins].line} of this pair too; give each its own"
            (each.site / "effective_from").report(message)


def check_currencies(objects: Objects, now: Instant | None, stored: Iterable[StatedRate] | None = None) -> None:
    """Report every place at which a price or a cost meets a currency into which nobody states a rate."""
    rates = Rates(objects, now, stored)
    rates.check()
    for tenant in objects.of("tenant"):
        _check_tenant(objects, rates, tenant)
    for plan in objects.of("rate_plan"):
        _check_markups(objects, plan)
    for carrier in objects.of("carrier"):
        _check_carrier(objects, rates, carrier)
    for account in objects.of("account"):
        _check_cost(objects, rates, account)
        _check_plans(objects, rates, account)


def _trunk(objects: Objects, tenant: Entry | None) -> Entry | None:
    """Return a tenant's own account with its parent."""
    if tenant is None or not tenant.get("parent") or tenant.get("parent") == tenant.id:
        return None
    return objects.find("account", Key(tenant.values["parent"], tenant.get("account") or ""))


def _check_tenant(objects: Objects, rates: Rates, tenant: Entry) -> None:
    trunk = _trunk(objects, tenant)
    if trunk is None:
        return
    missing = rates.missing(tenant.id, trunk.get("currency"), tenant.get("currency"))
    if missing:
        told = f"is {tenant.get('currency')}, and the account with {tenant.get('parent')} in line {trunk.line} is"
        (tenant.site / "currency").report(f"{told} {trunk.get('currency')}; {missing}")


def _check_carrier(objects: Objects, rates: Rates, carrier: Entry) -> None:
    paid, tenant = _paid(objects, carrier), objects.tenant(carrier.tenant)
    kept = tenant.get("currency") if tenant is not None else None
    missing = rates.missing(carrier.tenant, paid, kept)
    if missing:
        message = f"is priced in {paid}, and tenant {carrier.tenant} keeps {kept}; {missing}"
        (carrier.site / "rate_table").report(message)


def _paid(objects: Objects, carrier: Entry) -> str | None:
    """Return the currency that a carrier of the owner is paid in; this release routes by no other."""
    table = objects.find("rate_table", Key(carrier.tenant, carrier.get("rate_table") or ""))
    return table.get("currency") if table is not None and carrier.tenant == objects.owner else None


def _check_cost(objects: Objects, rates: Rates, account: Entry) -> None:
    """Report an account that is not kept in its tenant's currency, and whose calls cost in yet another."""
    tenant, stated = objects.tenant(account.tenant), account.get("currency")
    if tenant is None or stated == tenant.get("currency"):
        return  # where the tenant's own currency lacks a rate, that is what was reported
    trunk = _trunk(objects, tenant)
    if trunk is not None:
        missing = rates.missing(account.tenant, trunk.get("currency"), stated)
        if missing:
            told = f"is {stated}, and tenant {tenant.id} is charged in {trunk.get('currency')}"
            (account.site / "currency").report(f"{told}; {missing}")
    for paid in sorted({paid for carrier in objects.of("carrier") if (paid := _paid(objects, carrier))}):
        missing = rates.missing(account.tenant, paid, stated) if account.tenant == objects.owner else ""
        if missing:
            (account.site / "currency").report(f"is {stated}, and a carrier of the owner is paid in {paid}; {missing}")


def _tables(objects: Objects, plan: Entry) -> Iterator[tuple[str, Entry]]:
    """Yield every table that a plan asks with its currency: its own, those it inherits, those for on-net calls."""
    for each in objects.inherited(plan):
        for name in (*named(each, "tables"), *(named(each, "on_net") if each is plan else ())):
            table = objects.find("rate_table", Key(plan.tenant, name))
            if table is not None and table.get("currency"):
                yield table.values["currency"], table


def _check_markups(objects: Objects, plan: Entry) -> None:
    """Report a mark-up in money that would be added to prices in several currencies."""
    found = sorted({currency for each in objects.inherited(plan)[1:] for currency, _ in _tables(objects, each)})
    for name in _AMOUNTS:
        if plan.get(name) and len(found) > 1:
            told = f"is an amount, and what is inherited is priced in {' and '.join(found)}"
            (plan.site / name).report(f"{told}; write markup_percent, or inherit prices in one currency")


def _check_plans(objects: Objects, rates: Rates, account: Entry) -> None:
    found: set[str] = set()
    for name in ("rate_plan", "inbound_rate_plan"):
        for site, plan in _plans(objects, account, account.site / name, account.get(name)):
            priced = dict(_tables(objects, plan))
            found |= priced.keys() if name == "rate_plan" else set()
            for currency, table in priced.items():
                _check_priced(rates, account, site, currency, table)
    if len(found) > 1 and account.get("overrides"):
        told = f"are amounts, and the account's plans are priced in {' and '.join(sorted(found))}"
        (account.site / "overrides").report(f"{told}; an account with prices of its own has plans in one currency")


def _check_priced(rates: Rates, account: Entry, site: Site, currency: str, table: Entry) -> None:
    missing = rates.missing(account.tenant, currency, account.get("currency"))
    if missing:
        told = f"asks {table.id}, which is priced in {currency}, and the account is kept in {account.get('currency')}"
        site.report(f"{told}; {missing}")


def _plans(objects: Objects, account: Entry, site: Site, stated: Any) -> Iterator[tuple[Site, Entry]]:
    """Yield the plans that an account states, each with the place that names it."""
    names = [(site, stated)] if isinstance(stated, str) else []
    if isinstance(stated, tuple):
        names = [(site / place / "plan", dated.get("plan")) for place, dated in enumerate(stated)]
    for where, name in names:
        plan = objects.find("rate_plan", Key(account.tenant, name or ""))
        if plan is not None:
            yield where, plan
