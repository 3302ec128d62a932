"""The units side of a call's life, on the meters of one transaction: hold, extend, let go, use, give back.

A call holds units for all the seconds granted so far, and money for what they do not pay; both move together.
Units are of the period in which a call was answered, or before that was asked about: an event that comes days later
counts there. Where a meter has turned meanwhile, that period is closed: the call keeps what it holds of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from daemon.authorize.catalog import Catalog
from daemon.authorize.decision import Level
from daemon.authorize.duration import holding
from daemon.authorize.metering import supply_of, volumes_of
from daemon.charging.call import Call
from daemon.charging.ports import Book
from daemon.kernel.instant import Instant
from daemon.rating.bundle import NO_SUPPLY, Supply, Units, counted, period_number, turned, volume_meter
from daemon.rating.charge import bundle_units, charge, duration_seconds
from daemon.rating.tariff import Charge


@dataclass(frozen=True, slots=True)
class Taken:
    """What one level of an ended call costs: money, units of bundles, and what it adds to the volume of tiers."""

    cost: Charge
    units: tuple[Units, ...] = ()
    volume: tuple[Units, ...] = ()


def counted_at(call: Call, now: Instant) -> Instant:
    """Return the instant whose period a call's units are of: its answer, not before its question and never to come."""
    if call.answered_at is None:
        return now
    earliest = call.requested_at if call.authorised else call.answered_at
    return min(max(call.answered_at, earliest), now)


def call_supply(book: Book, catalog: Catalog, call: Call, level: Level, now: Instant) -> Supply:
    """Return the units that one level of a call has: those that it holds, and those that nobody holds."""
    if not level.bundles:
        return NO_SUPPLY
    return supply_of(level, book.meter, catalog.by_number[level.account].zone, counted_at(call, now))


def needed(book: Book, catalog: Catalog, call: Call, seconds: int, now: Instant) -> tuple[Level, ...]:
    """Return a call's levels as they have to hold for ``seconds`` in all; nothing is counted yet."""
    return tuple(holding(level, seconds, call_supply(book, catalog, call, level, now)) for level in call.levels)


def volumes(book: Book, catalog: Catalog, call: Call, level: Level, now: Instant) -> dict[str, int]:
    """Return the volumes that choose the tiers of one level of a call, by table."""
    if not level.tiered:
        return {}
    return volumes_of(level, book.meter, catalog.by_number[level.account].zone, counted_at(call, now))


def move_units(book: Book, level: Level, held: Iterable[Units], holds: Iterable[Units]) -> None:
    """Count on a level's meters that its call held some units and holds others now."""
    _count(book, level, [(units, -1, 0) for units in held] + [(units, 1, 0) for units in holds])


def taken(book: Book, catalog: Catalog, call: Call, level: Level, duration_us: int, now: Instant) -> Taken:
    """Return what a call of ``duration_us`` costs at one level: what units do not pay is money, and adds volume."""
    tariff = level.tariffs[0]
    seconds = duration_seconds(duration_us, tariff.duration_rounding)
    has = call_supply(book, catalog, call, level, now)
    cost = charge(tariff, seconds, has.units)
    units = has.taken(bundle_units(tariff, seconds, has.units))
    return Taken(cost, units, _volume(catalog, call, level, cost.billed_seconds, now))


def _volume(catalog: Catalog, call: Call, level: Level, billed: int, now: Instant) -> tuple[Units, ...]:
    table = level.tariffs[0].meter
    zone = catalog.by_number[level.account].zone.key
    return tuple(
        Units(volume_meter(name, period), billed, period_number(counted_at(call, now), period, zone))
        for name, period in level.tiered
        if name == table and billed
    )


def settle_units(book: Book, level: Level, used: Taken) -> None:
    """Count what a call used as used, and let go of all that it held."""
    _count(
        book,
        level,
        [(units, -1, 0) for units in level.units] + [(units, 0, 1) for units in (*used.units, *used.volume)],
    )


def taken_back(book: Book, call: Call) -> Call:
    """Return a settled call that holds again what it used, as if it had not ended; its volume is taken off."""
    levels = []
    for level, posted in zip(call.levels, call.posted, strict=True):
        back = [(units, 0, -1) for units in posted.volume]
        _count(book, level, [(units, 1, -1) for units in posted.units] + back)
        levels.append(replace(level, units=posted.units))
    return call.changed(levels=tuple(levels))


def _count(book: Book, level: Level, changes: Iterable[tuple[Units, int, int]]) -> None:
    """Count changes, each how often its units are held and used more; those of one period of a meter are one."""
    sums: dict[tuple[str, int], tuple[int, int]] = {}
    for units, held, used in changes:
        before = sums.get((units.meter, units.period), (0, 0))
        sums[units.meter, units.period] = (before[0] + held * units.units, before[1] + used * units.units)
    bundles = {bundle.meter: bundle for bundle in level.bundles}
    for (name, period), (held, used) in sums.items():
        meter, bundle = book.meter(level.account, name), bundles.get(name)
        after = counted(turned(meter, bundle, period), bundle, period, held, used)
        if after != meter:
            book.save_meter(after)
