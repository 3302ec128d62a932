"""What meters say to a decision: how much of a call bundles pay for, and the volume that its tiers are chosen by.

A level names the meters that concern it when it is priced, and keeps the bundles' terms with it: so a call is settled
by what it was granted by, whatever happens to the configuration meanwhile. Pure; a meter is read by whoever decides.
"""

from collections.abc import Callable
from dataclasses import replace
from zoneinfo import ZoneInfo

from daemon.authorize.catalog import AccountTerms, Catalog
from daemon.authorize.decision import Level
from daemon.authorize.fraud import watching
from daemon.kernel.ids import Direction
from daemon.kernel.instant import Instant
from daemon.rating.bundle import NO_SUPPLY, Bundle, Meter, Supply, Units, period_number, supply, volume_meter
from daemon.rating.charge import bundle_units
from daemon.rating.tariff import SECONDS

Meters = Callable[[int, str], Meter]  # of an account's number and a meter's name


def metered(catalog: Catalog, account: AccountTerms, level: Level, called: str, direction: Direction) -> Level:
    """Return a level with the bundles and fraud rules that a call concerns, and the tables that have tiers."""
    bundles: tuple[Bundle, ...] = ()
    if account.bundles:
        unit = level.tariffs[0].unit if level.tariffs else SECONDS
        bundles = tuple([replace(each, prefixes=frozenset()) for each in account.bundles if each.fits(called, unit)])
    tiered = _tiered(catalog, account, direction)
    watched = watching(account, called, direction) if account.fraud_rules else ()
    if not bundles and not tiered and not watched:
        return level
    return replace(level, bundles=bundles, tiered=tiered, watched=watched)


def _tiered(catalog: Catalog, account: AccountTerms, direction: Direction) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for each in account.dated(direction):
        plan = catalog.plans.get(each.plan)
        found += plan.tiered if plan is not None else ()
    return tuple(dict.fromkeys(found)) if found else ()


def account_meters(catalog: Catalog, account: AccountTerms) -> tuple[tuple[int, str], ...]:
    """Return every meter of an account that a call of it may need: its number and the meter's name."""
    names = [bundle.meter for bundle in account.bundles]
    for direction in Direction:
        names += [volume_meter(*each) for each in _tiered(catalog, account, direction)]
    return tuple((account.number, name) for name in dict.fromkeys(names))


def no_meter(account: int, name: str) -> Meter:
    """Return a meter that nothing was counted on."""
    return Meter(account, name)


def supply_of(level: Level, meters: Meters, zone: ZoneInfo, at: Instant) -> Supply:
    """Return the units that a level has for its call, whose period is that of an instant in the account's zone."""
    if not level.bundles:
        return NO_SUPPLY
    return supply(
        level.bundles,
        level.units,
        lambda name: meters(level.account, name),
        lambda period: period_number(at, period, zone.key),
        at,
    )


def units_for(level: Level, seconds: int, has: Supply) -> tuple[Units, ...]:
    """Return the units that a level needs for ``seconds``: the most among the tariffs in force."""
    return has.taken(max(bundle_units(tariff, seconds, has.units) for tariff in level.tariffs))


def held_units(level: Level) -> int:
    """Return how much of its call's usage the units that a level holds pay for."""
    by_meter = {bundle.meter: bundle for bundle in level.bundles}
    return sum(by_meter[held.meter].covers(held.units) for held in level.units if held.meter in by_meter)


def volumes_of(level: Level, meters: Meters, zone: ZoneInfo, at: Instant) -> dict[str, int]:
    """Return the volume of the period that holds an instant, by table: what was billed before, running calls apart.

    Of a closed period the volume is what the level's tariffs were chosen by before.
    """
    found = {}
    for table, period in level.tiered:
        number, meter = period_number(at, period, zone.key), meters(level.account, volume_meter(table, period))
        if meter.period > number:
            found[table] = next((tariff.volume for tariff in level.tariffs if tariff.meter == table), 0)
        else:
            found[table] = meter.used if meter.period == number else 0
    return found
