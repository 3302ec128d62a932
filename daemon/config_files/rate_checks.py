"""What no single key can tell of prices: plans that inherit in a circle, tables that are never asked, names of nothing.

Each check reports at the key that a person would change, once for each fault, and passes over what is faulty already.
What depends on a file beside the scenario (a deck, a code list) is checked where that file is read.
"""

from collections.abc import Iterable
from typing import Any, Final

from daemon.config_files.kinds import UNSTATED, Site
from daemon.config_files.objects import Entry, Objects, named
from daemon.kernel.ids import Key
from daemon.rating.bundle import ONCE
from daemon.rating.deck import UNITS_IN_ROW_MAX
from daemon.rating.rate_plan import DEPTH_MAX
from daemon.rating.rate_type import BUILT_IN
from daemon.rating.tariff import SECONDS

_MARKUPS: Final = ("markup_percent", "markup_per_minute", "markup_minimum")


def check_prices(objects: Objects) -> None:
    """Report every fault between the objects that make prices."""
    for rate_type in objects.of("rate_type"):
        _check_rate_type(rate_type)
    _check_standard_lists(objects)
    for group in objects.of("destination_group"):
        _check_group(objects, group)
    for table in objects.of("rate_table"):
        _check_table(objects, table)
    for plan in objects.of("rate_plan"):
        _check_plan(objects, plan)
    _check_circles(objects)
    for service in objects.of("class_of_service"):
        _check_class(objects, service)
    for account in objects.of("account"):
        _check_own_prices(objects, account)
    for bundle in objects.of("bundle"):
        _check_bundle(objects, bundle)


# -- what tables are read with


def _check_rate_type(rate_type: Entry) -> None:
    if rate_type.id in BUILT_IN:
        (rate_type.site / "id").report("is built in; declare another, and map the deck's word to it")


def _check_standard_lists(objects: Objects) -> None:
    first: dict[str, Entry] = {}
    for each in objects.of("code_list"):
        if each.get("standard") and each.tenant and first.setdefault(each.tenant, each) is not each:
            told = f"is true for {first[each.tenant].id} in line {first[each.tenant].line} of this tenant too"
            (each.site / "standard").report(f"{told}; a tenant has one standard code list")


def _check_group(objects: Objects, group: Entry) -> None:
    if group.get("prefixes") == group.get("destinations") == ():
        group.site.report("holds no number; state prefixes or destinations")
    if group.get("destinations") and group.tenant:
        standard = any(each.get("standard") and each.tenant == group.tenant for each in objects.of("code_list"))
        if not standard:
            message = f"needs a standard code list of tenant {group.tenant}; add one, or state prefixes"
            (group.site / "destinations").report(message)


def _check_table(objects: Objects, table: Entry) -> None:
    if not table.tenant:
        return
    for word, name in table.get("rate_types") or ():
        if name not in BUILT_IN:
            objects.refer(table.site / "rate_types" / word, "rate_type", table.tenant, name)
    if table.get("code_list"):
        objects.refer(table.site / "code_list", "code_list", table.tenant, table.values["code_list"])
    if table.get("tiers") == "" and table.site.states("tier_period"):
        (table.site / "tier_period").report('belongs to tiers = "graduated" or "whole"; state one or take it out')


# -- plans


def _check_plan(objects: Objects, plan: Entry) -> None:
    if plan.get("tables") in (UNSTATED, ()) and plan.get("inherits") == "":
        (plan.site / "tables").report("is missing; write tables = … (list of id), or what the plan inherits")
    if plan.get("inherits") == "":
        for name in _MARKUPS:
            if plan.get(name):
                (plan.site / name).report("is added to inherited prices, and the plan inherits none; take it out")
    if not plan.tenant:
        return
    _check_tables(objects, plan, "tables")
    _check_tables(objects, plan, "on_net")
    if plan.get("inherits"):
        _check_inherited(objects, plan)


def _check_tables(objects: Objects, plan: Entry, key: str) -> None:
    taking: dict[str, list[Entry]] = {}
    for place, table_id in enumerate(named(plan, key)):
        site = plan.site / key / place
        table = objects.refer(site, "rate_table", plan.tenant, table_id)
        if table is None:
            continue
        earlier = taking.setdefault(table.get("name") or table.id, [])
        _check_is_asked(site, table, earlier)
        earlier.append(table)


def _check_is_asked(site: Site, table: Entry, earlier: Iterable[Entry]) -> None:
    """Report a table that never takes part: one before it of its name takes every override value that it would."""
    for first in earlier:
        if first is table:
            site.report("stands in the plan twice; keep one")
            return
        pattern, mine = first.get("override"), table.get("override")
        if pattern is not None and mine is not None and (pattern in ("", mine)):
            takes = "any override value" if not pattern else "the same override values"
            message = f"has the name of {first.id}, {first.get('name') or first.id!r}, which takes {takes} before it"
            site.report(f"{message}; give one another name, or the first a narrower override")
            return


def _check_inherited(objects: Objects, plan: Entry) -> None:
    site = plan.site / "inherits"
    inherited = objects.refer(site, "rate_plan", plan.tenant, plan.values["inherits"])
    if inherited is None:
        return
    if len(objects.inherited(plan)) > DEPTH_MAX:
        site.report(f"goes through more than {DEPTH_MAX} plans; inherit a nearer one")


def _check_circles(objects: Objects) -> None:
    """Report each circle of plans once, at the plan that stands first in the file."""
    done: set[Key] = set()
    for plan in objects.of("rate_plan"):
        line: dict[Key, Entry] = {}
        here: Entry | None = plan
        while here is not None and here.key not in done and here.key not in line:
            line[here.key] = here
            name = here.get("inherits")
            here = objects.find("rate_plan", Key(here.tenant, name)) if name else None
        if here is not None and here.key in line:
            ids = [key.id for key in line]
            circle = " -> ".join([*ids[ids.index(here.id) :], here.id])
            (here.site / "inherits").report(f"closes a circle: {circle}; a plan cannot inherit itself")
        done |= line.keys()


# -- accounts


def _check_class(objects: Objects, service: Entry) -> None:
    if not service.tenant:
        return
    for key in ("allow_groups", "block_groups"):
        for place, name in enumerate(named(service, key)):
            objects.refer(service.site / key / place, "destination_group", service.tenant, name)
    for key, other in (("block", "allow"), ("block_groups", "allow_groups")):
        _check_both(service, key, other)


def _check_both(service: Entry, key: str, other: str) -> None:
    for place, name in enumerate(named(service, key)):
        if name in named(service, other):
            (service.site / key / place).report(f"stands in {other} too; keep it in one of them")


def _check_own_prices(objects: Objects, account: Entry) -> None:
    name = account.get("class_of_service")
    if name and account.tenant:
        objects.refer(account.site / "class_of_service", "class_of_service", account.tenant, name)
    seen: dict[Any, int] = {}
    for place, override in enumerate(account.get("overrides") or ()):
        prefix = override.get("prefix")
        if prefix is not None and seen.setdefault(prefix, place) != place:
            (account.site / "overrides" / place / "prefix").report("has a price in this list before; keep one")


def _check_bundle(objects: Objects, bundle: Entry) -> None:
    if not bundle.tenant:
        return
    if bundle.get("account"):
        objects.refer(bundle.site / "account", "account", bundle.tenant, bundle.values["account"])
    if bundle.get("group"):
        objects.refer(bundle.site / "group", "destination_group", bundle.tenant, bundle.values["group"])
    if bundle.get("period") == ONCE:
        if bundle.get("units") or bundle.get("rollover"):
            (bundle.site / "period").report("once: leave units and rollover out; 'tollway account topup' gives units")
    elif bundle.get("units") == 0:
        (bundle.site / "units").report(f"is missing, or 0; write a whole number from 1 to {UNITS_IN_ROW_MAX}")
    unit = bundle.get("unit")
    known = {SECONDS, "call", *(kind.unit for kind in BUILT_IN.values())}
    known |= {each.get("unit") for each in objects.of("rate_type") if each.tenant == bundle.tenant}
    if unit and unit not in known and not any(each.get("unit") is None for each in objects.of("rate_type")):
        told = ", ".join(sorted(each for each in known if each))
        (bundle.site / "unit").report(f"is counted by no rate type; known are {told}: mend it or add a [[rate_type]]")
