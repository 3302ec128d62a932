"""Prices that the daemon could not load: a plan that inherits in a circle, a name of nothing, a list too many.

Pure. A scenario file was checked when it was read; this is the same over the whole store, within the transaction that
changes it, since a file states only a part of what is there and persons change the rest.
"""

from collections.abc import Iterator

from daemon.charging.configuration import Configuration, RatePlanSpec, RateTableSpec
from daemon.charging.limits_stated import crowded
from daemon.ledger.window import WINDOWS_MAX
from daemon.rating.rate_plan import DEPTH_MAX
from daemon.rating.rate_type import BUILT_IN

Place = tuple[str, str]  # tenant, id


def rate_faults(configuration: Configuration) -> Iterator[str]:
    """Yield each thing that prices name and nothing is, in words."""
    plans = {(plan.tenant, plan.id): plan for plan in configuration.rate_plans}
    tables = {(table.tenant, table.id) for table in configuration.rate_tables}
    for place, plan in plans.items():
        yield from _plan_faults(place, plan, plans, tables)
    yield from _table_faults(configuration)
    yield from _account_faults(configuration)
    yield from _group_faults(configuration)


def plan_currencies(configuration: Configuration) -> dict[Place, set[str]]:
    """Return the currencies of the tables of each plan, with those that it inherits."""
    plans = {(plan.tenant, plan.id): plan for plan in configuration.rate_plans}
    tables = {(table.tenant, table.id): table.currency for table in configuration.rate_tables}
    return {
        place: {
            tables[each.tenant, name]
            for each in _line(plan, plans)
            for name in (*each.tables, *(plan.on_net if each is plan else ()))
            if (each.tenant, name) in tables
        }
        for place, plan in plans.items()
    }


def inherited_currencies(configuration: Configuration) -> dict[Place, set[str]]:
    """Return the currencies of what each plan inherits that adds an amount of money to it."""
    plans = {(plan.tenant, plan.id): plan for plan in configuration.rate_plans}
    tables = {(table.tenant, table.id): table.currency for table in configuration.rate_tables}
    return {
        place: {
            tables[each.tenant, name]
            for each in _line(plan, plans)[1:]
            for name in each.tables
            if (each.tenant, name) in tables
        }
        for place, plan in plans.items()
        if plan.markup_per_minute or plan.markup_minimum
    }


def _line(plan: RatePlanSpec, plans: dict[Place, RatePlanSpec]) -> list[RatePlanSpec]:
    """Return a plan and those that it inherits; a circle ends where it closes."""
    line = [plan]
    while (following := plans.get((plan.tenant, line[-1].inherits))) is not None and following not in line:
        line.append(following)
    return line


def _plan_faults(
    place: Place, plan: RatePlanSpec, plans: dict[Place, RatePlanSpec], tables: set[Place]
) -> Iterator[str]:
    name = f"rate_plan {'/'.join(place)}"
    if any((plan.tenant, table) not in tables for table in plan.tables):
        yield f"{name}: one of its tables {', '.join(plan.tables)} does not exist"
    if any((plan.tenant, table) not in tables for table in plan.on_net):
        yield f"{name}: one of its on-net tables {', '.join(plan.on_net)} does not exist"
    if not plan.tables and not plan.inherits:
        yield f"{name} has no tables and inherits none"
    if plan.inherits and (plan.tenant, plan.inherits) not in plans:
        yield f"{name}: there is no rate plan {plan.inherits} to inherit"
    line = _line(plan, plans)
    if line[-1].inherits and (plan.tenant, line[-1].inherits) in plans:
        yield f"{name} inherits in a circle"
    elif len(line) > DEPTH_MAX:
        yield f"{name} inherits through more than {DEPTH_MAX} plans"


def _table_faults(configuration: Configuration) -> Iterator[str]:
    types = {(each.tenant, each.id) for each in configuration.rate_types}
    lists = {(each.tenant, each.id) for each in configuration.code_lists}
    for table in configuration.rate_tables:
        yield from (
            f"rate_table {table.tenant}/{table.id}: there is no {what}"
            for what in _unknown_of_table(table, types, lists)
        )
    standard = [each.tenant for each in configuration.code_lists if each.standard]
    for tenant in sorted({tenant for tenant in standard if standard.count(tenant) > 1}):
        yield f"tenant {tenant} has more than one standard code list"


def _unknown_of_table(table: RateTableSpec, types: set[Place], lists: set[Place]) -> Iterator[str]:
    for _, name in table.rate_types:
        if name not in BUILT_IN and (table.tenant, name) not in types:
            yield f"rate type {name}"
    if table.code_list and (table.tenant, table.code_list) not in lists:
        yield f"code list {table.code_list}"


def _account_faults(configuration: Configuration) -> Iterator[str]:
    classes = {(each.tenant, each.id) for each in configuration.classes_of_service}
    accounts = {(each.tenant, each.id) for each in configuration.accounts}
    for account in configuration.accounts:
        if account.class_of_service and (account.tenant, account.class_of_service) not in classes:
            yield f"account {account.tenant}/{account.id}: there is no class of service {account.class_of_service}"
    for bundle in configuration.bundles:
        if (bundle.tenant, bundle.account) not in accounts:
            yield f"bundle {bundle.tenant}/{bundle.id}: there is no account {bundle.account}"
    for package in configuration.channel_packages:
        if (package.tenant, package.account) not in accounts:
            yield f"channel_package {package.tenant}/{package.id}: there is no account {package.account}"
    for rule in configuration.fraud_rules:
        if rule.account and (rule.tenant, rule.account) not in accounts:
            yield f"fraud_rule {rule.tenant}/{rule.id}: there is no account {rule.account}"


def _group_faults(configuration: Configuration) -> Iterator[str]:
    groups = {(each.tenant, each.id) for each in configuration.destination_groups}
    for service in configuration.classes_of_service:
        for name in (*service.allow_groups, *service.block_groups):
            if (service.tenant, name) not in groups:
                yield f"class_of_service {service.tenant}/{service.id}: there is no destination group {name}"
    for bundle in configuration.bundles:
        if bundle.group and (bundle.tenant, bundle.group) not in groups:
            yield f"bundle {bundle.tenant}/{bundle.id}: there is no destination group {bundle.group}"
    for rule in configuration.fraud_rules:
        if rule.group and (rule.tenant, rule.group) not in groups:
            yield f"fraud_rule {rule.tenant}/{rule.id}: there is no destination group {rule.group}"
    named = {
        (each.tenant, destination)
        for each in configuration.code_lists
        if each.standard
        for _, destination in each.codes
    }
    for group in configuration.destination_groups:
        unknown = [name for name in group.destinations if (group.tenant, name) not in named]
        if unknown:
            told = ", ".join(unknown)
            yield f"destination_group {group.tenant}/{group.id}: the standard code list has no destination {told}"


def too_many_rules(configuration: Configuration) -> Iterator[str]:
    """Yield the accounts that more fraud rules would watch than an account has windows for."""
    trunks = {(tenant.parent, tenant.account) for tenant in configuration.tenants if tenant.parent}
    for tenant, account in crowded(((rule.tenant, rule.account) for rule in configuration.fraud_rules), trunks):
        whose = f"account {tenant}/{account}" if account else f"the customers of tenant {tenant}"
        yield f"more than {WINDOWS_MAX} fraud rules watch {whose}: take some out"
