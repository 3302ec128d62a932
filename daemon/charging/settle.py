"""The money side of a call's life, on the working copies of one transaction: hold, extend, void, charge, reverse.

Pure functions over a Book: they read no clock and await nothing. Money, units and channels move together at each level.
Our own cut is not the customer's second: an overrun within ``cut_tolerance`` is kept in the record and not billed.
A charge is reversed whole before a better one is posted, so the sum of a call's entries is always one charge.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import msgspec

from daemon.authorize.carrier_rates import carrier_tariffs
from daemon.authorize.catalog import AccountKind, Catalog
from daemon.authorize.decision import Level, Route
from daemon.authorize.duration import seconds_for, spendable
from daemon.authorize.limits import with_spent
from daemon.authorize.pricing import Service, cost_rates, tariffs_for
from daemon.authorize.quote import Limits
from daemon.charging import fraud, metering
from daemon.charging.attempts import hold_carrier, release_carrier
from daemon.charging.call import ESTIMATES, OPEN_STATES, Call, CallState, Posted, SettledBy
from daemon.charging.cdr import EndReport, rated, reversal, supplies
from daemon.charging.joining import CLOCK_TOLERANCE
from daemon.charging.losses import lost_on
from daemon.charging.ports import Book, Exceptional
from daemon.kernel.instant import SECOND, Instant
from daemon.kernel.money import format_nano
from daemon.ledger import posting
from daemon.ledger.bucket import Buckets
from daemon.rating.conversion import Conversion
from daemon.rating.tariff import Tariff

UNKNOWN_END_SECONDS = 60  # seconds past its limit after which a call's end counts as unreported (SPEC section 4)


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds. ``cut_tolerance``: how late a switch may carry out our cut. ``interim``: the interval we ask for."""

    cut_tolerance_seconds: int = 2
    interim_seconds: int = 60
    ring_seconds: int = 120


def hold(book: Book, call: Call, now: Instant, held: tuple[Level, ...] = (), *, counts: bool = True) -> None:
    """Reserve what the call's levels say, and one channel for each account and for the carrier in use.

    ``held``: the levels of a call that was settled and holds its units again already. A call that was never held before
    counts for fraud rules, unless another of the same question did.
    """
    calls = int(counts and call.state is CallState.GRANTED)
    for place, level in enumerate(call.levels):
        metering.move_units(book, level, held[place].units if held else (), level.units)
        standing = book.standing(level.account).called(now // SECOND)
        standing = fraud.holding(standing, level, level.reserved, now, calls)
        book.post(posting.reserve(standing, call.grant_id, level.reserved, call.direction, now, call.requested_at))
    hold_carrier(book, call, now)


def let_go(book: Book, call: Call, now: Instant, *, expired: bool = False) -> Call:
    """Void all that a call holds, and return it holding nothing."""
    for level in call.levels:
        standing = fraud.holding(book.standing(level.account), level, -level.reserved, now)
        freed = posting.release(
            standing, call.grant_id, level.reserved, call.direction, now, call.requested_at, expired=expired
        )
        book.post(freed)
        metering.move_units(book, level, level.units, ())
    release_carrier(book, call, now)
    return call.changed(levels=tuple(replace(level, reserved=0, units=()) for level in call.levels))


def held_afresh(book: Book, catalog: Catalog, call: Call, limits: Limits, now: Instant) -> Call:
    """Return a call that held nothing holding what its payers can pay of the first slice, down to nothing."""
    seconds = min(payable(book, catalog, call, level, 0, limits, now) for level in call.levels)
    call = call.changed(granted_seconds=seconds, levels=metering.needed(book, catalog, call, seconds, now))
    hold(book, call, now)
    fraud.watch(book, catalog, call.levels, call.call_id, now)
    return call


def payable(book: Book, catalog: Catalog, call: Call, level: Level, begins: int, limits: Limits, now: Instant) -> int:
    """Return the seconds in all that one level can pay beside what the call holds; see ``duration.seconds_for``."""
    terms = catalog.by_number[level.account].facing(call.direction)
    money = spendable(terms, book.standing(level.account), level.watched, now)
    units = metering.call_supply(book, catalog, call, level, now).units
    return seconds_for(level, money, level.reserved, begins, terms, limits, units)


def priced_at_answer(book: Book, catalog: Catalog, call: Call, answered_at: Instant, now: Instant) -> Call:
    """Return the call answered, with the tariffs in force then; where none is any more, those of the grant stay.

    Tiers are those that the account's volume has reached in the period of the answer. Where no rate between two
    currencies is in force any more, the last one is: the settlement lists that.
    """
    call = call.changed(answered_at=answered_at)
    levels = tuple(
        _level_at(catalog, call, level, answered_at, metering.volumes(book, catalog, call, level, now))
        for level in call.levels
    )
    routes = tuple(_route_at(catalog, call, route, answered_at) if route.account else route for route in call.routes)
    return call.changed(levels=_with_cost_rates(catalog, levels, answered_at), routes=routes)


def _level_at(catalog: Catalog, call: Call, level: Level, at: Instant, volumes: Mapping[str, int]) -> Level:
    account, service = catalog.by_number[level.account], Service(call.override, volumes=volumes)
    tariffs = tariffs_for(catalog, account, call.direction, call.called, at, at, service, lapsed=True)
    if not tariffs or tariffs[0].blocked:
        return _first_only(level)
    before = level.tariffs[0]
    if before.surcharge or before.surcharge_rate:  # it was agreed to when the call was granted, over a channel limit
        surcharged = tariffs[0].changed(surcharge=before.surcharge, surcharge_rate=before.surcharge_rate)
        return replace(level, tariffs=(surcharged,))
    return replace(level, tariffs=tariffs[:1])


def _first_only(level: Level) -> Level:
    return replace(level, tariffs=level.tariffs[:1])


def _with_cost_rates(catalog: Catalog, levels: tuple[Level, ...], at: Instant) -> tuple[Level, ...]:
    """Return levels with the rate in force at an instant at which the charge of the level above is their cost."""
    made = [
        replace(level, conversions=_cost_rate(catalog, level, above.currency, at) or level.conversions[:1])
        if level.currency != above.currency
        else level
        for level, above in pairwise(levels)
    ]
    return (*made, levels[-1])


def _cost_rate(catalog: Catalog, level: Level, source: str, at: Instant) -> tuple[Conversion, ...]:
    return cost_rates(catalog, level.key.tenant, source, level.currency, at, at, lapsed=True)


def _route_at(catalog: Catalog, call: Call, route: Route, at: Instant) -> Route:
    tariffs = _carrier_tariffs(catalog, call, route.carrier, at) or route.tariffs
    rates = _cost_rate(catalog, call.levels[-1], tariffs[0].currency, at)
    return replace(route, tariffs=tariffs, conversions=rates or route.conversions[:1])


def _carrier_tariffs(catalog: Catalog, call: Call, carrier: object, at: Instant) -> tuple[Tariff, ...]:
    for found in catalog.carriers.get(call.levels[-1].key.tenant, ()):
        if found.key == carrier:
            return carrier_tariffs(catalog, found, call.called, at, at, call.override)[:1]
    return ()


def extended(
    book: Book, catalog: Catalog, call: Call, limits: Limits, now: Instant, used_seconds: int | None = None
) -> Call:
    """Return the call with one slice more reserved at every level, or unchanged where none can be paid.

    The slice begins where the grant ends, or at ``used_seconds``: then asking twice reserves it once.
    """
    begins = call.granted_seconds if used_seconds is None else used_seconds
    seconds = min(payable(book, catalog, call, level, begins, limits, now) for level in call.levels)
    return regranted(book, catalog, call, seconds, now) if seconds > call.granted_seconds else call


def reaffirmed(book: Book, catalog: Catalog, call: Call, now: Instant, *, can_shorten: bool) -> Call:
    """Return an answered call holding what its seconds cost by the prices in force at answer.

    They may be dearer than what was held. Where the switch can still be told, the call gets as many as can be paid.
    """
    limits = Limits(max_grant_seconds=call.granted_seconds)
    able = [payable(book, catalog, call, level, 0, limits, now) for level in call.levels if can_shorten]
    return regranted(book, catalog, call, min([call.granted_seconds, *able]), now)


def extended_to(book: Book, catalog: Catalog, call: Call, seconds: int, now: Instant) -> Call:
    """Return the call holding as many of ``seconds`` in all as every level can pay now, never fewer than before."""
    limits = Limits(max_grant_seconds=seconds)
    seconds = min(payable(book, catalog, call, level, 0, limits, now) for level in call.levels)
    return regranted(book, catalog, call, seconds, now) if seconds > call.granted_seconds else call


def regranted(book: Book, catalog: Catalog, call: Call, seconds: int, now: Instant) -> Call:
    """Return the call holding units and the charge of the rest of ``seconds`` at every level, by the difference."""
    levels = metering.needed(book, catalog, call, seconds, now)
    for level, holds in zip(call.levels, levels, strict=True):
        difference = holds.reserved - level.reserved
        standing = fraud.holding(book.standing(level.account), level, difference, now)
        if difference > 0:
            book.post(posting.reserve(standing, call.grant_id, difference, None, now, call.requested_at))
        elif difference < 0:
            book.post(posting.reduce(standing, call.grant_id, -difference, now, call.requested_at))
        metering.move_units(book, level, level.units, holds.units)
    fraud.watch(book, catalog, levels, call.call_id, now)
    return call.changed(granted_seconds=seconds, levels=levels)


def settled(
    book: Book, catalog: Catalog, call: Call, report: EndReport, settled_by: SettledBy, terms: Terms, now: Instant
) -> Call:
    """Return the call charged at every level for its duration, its records written, nothing held any more.

    A call that was charged by an estimate is reversed first. The carrier's cost is that of the measured duration.
    """
    earlier: tuple[Posted, ...] = call.posted
    if earlier:
        call = reversed_charge(book, catalog, call, now)
    call = _answered(call, report)
    overrun = report.duration_us - call.told_seconds * SECOND
    told = call.authorised or call.renewable  # only then did the switch have a limit of ours
    ours = told and 0 <= overrun <= terms.cut_tolerance_seconds * SECOND
    if settled_by is SettledBy.HANGUP and ours:
        settled_by = SettledBy.OWN_LIMIT
    paid_us = min(report.duration_us, call.told_seconds * SECOND) if ours else report.duration_us
    holding = call.state in OPEN_STATES
    call = call.changed(duration_us=report.duration_us, counted_at=_counted_at(catalog, call, report, settled_by, now))
    posted, billed = [], []
    for place, level in enumerate(call.levels):
        used = metering.taken(book, catalog, call, level, paid_us, now)
        before = _paid(earlier[place]) if earlier else None
        uncollected, buckets = _debited(book, catalog, call, level, used.cost.amount, holding, now, before)
        metering.settle_units(book, level, used)
        posted.append(Posted(used.cost.amount, uncollected, used.units, used.volume, buckets))
        billed.append(used.cost.billed_seconds)
    if holding:
        release_carrier(book, call, now)
    if not call.emergency:
        fraud.watch(book, catalog, call.levels, call.call_id, now)
    call = call.moved(
        CallState.SETTLED, settled_by=settled_by, ended_at=report.ended_at, duration_us=report.duration_us,
        posted=tuple(posted), revision=call.revision + 1, last_seen_at=max(call.last_seen_at, report.ended_at),
        levels=tuple(replace(level, reserved=0, units=()) for level in call.levels), wanted=0, told=0,
    )  # fmt: skip
    call = call.changed(overrun_us=max(0, overrun) if ours else 0)
    report = msgspec.structs.replace(report, overrun_us=call.overrun_us)
    bought = supplies(call, report.duration_us)
    for record in rated(call, report, tuple(billed), bought, now):
        book.append_record(record)
        for item in lost_on(catalog, call, record, now):
            book.append_exception(item)
    _list_lapsed(book, call, [supply.conversion for supply in bought], now)
    for item in _unpaid(catalog, call, now):
        book.append_exception(item)
    return call


def _list_lapsed(book: Book, call: Call, bought: list[Conversion | None], now: Instant) -> None:
    """List the rates between currencies that a call was charged by although none was in force at its answer."""
    assert call.answered_at is not None, call
    sold = [level.tariffs[0].conversion for level in call.levels]
    for found in dict.fromkeys(each for each in (*sold, *bought) if each is not None):
        if not found.holds(call.answered_at):
            when = "is not yet" if found.begins > call.answered_at else "was no longer"
            detail = f"charged by {found}, which {when} in force at the answer; state a [[conversion]] from then on"
            key = f"conversion_lapsed:{call.grant_id}:{found.source}:{found.target}"
            book.append_exception(
                Exceptional("conversion_lapsed", call.tenant, call.source, call.switch, call.call_id, detail, now, key)
            )


def _unpaid(catalog: Catalog, call: Call, now: Instant) -> Iterator[Exceptional]:
    """Yield what a prepaid account could not pay of a charge, or a postpaid balance not hold: it is owed."""
    for level, posted in zip(call.levels, call.posted, strict=True):
        if not posted.uncollected:
            continue
        owed = f"{format_nano(posted.uncollected)} of the charge of {level.key}"
        if _is_postpaid(catalog, call, level):
            kind, detail = "beyond_ledger", f"{owed} is beyond 64 bits of its balance"
        else:
            kind, detail = "uncollected", f"{owed} is a debt: its balance did not cover it"
        key = f"{kind}:{call.grant_id}:{level.account}:{call.revision}"
        yield Exceptional(kind, call.tenant, call.source, call.switch, call.call_id, detail, now, key=key)


def _is_postpaid(catalog: Catalog, call: Call, level: Level) -> bool:
    return catalog.by_number[level.account].facing(call.direction).kind is AccountKind.POSTPAID


def _counted_at(catalog: Catalog, call: Call, report: EndReport, settled_by: SettledBy, now: Instant) -> Instant:
    """Return the instant in whose minute fraud rules count a call, never one to come; 0 where there are none.

    An end that is told late counts when it is told: in the minute in which it lies no window may look for it any more,
    so that whoever holds ends back would never be throttled. Nobody holds an estimate back: it counts where it lies.
    """
    if not any(catalog.by_number[level.account].fraud_rules for level in call.levels):
        return 0
    is_late = settled_by not in ESTIMATES and report.ended_at < now - CLOCK_TOLERANCE
    return now if is_late else min(report.ended_at, now)


def _answered(call: Call, report: EndReport) -> Call:
    return call if call.answered_at is not None else call.changed(answered_at=report.ended_at - report.duration_us)


def _debited(
    book: Book, catalog: Catalog, call: Call, level: Level, amount: int, holding: bool, now: Instant,
    before: posting.Paid | None,
) -> tuple[int, Buckets]:  # fmt: skip
    """Post the charge of one level, perhaps paid ``before``; return what is a debt of it, and what buckets paid."""
    terms = catalog.by_number[level.account].facing(call.direction)
    limit = terms.credit_limit if terms.kind is AccountKind.PREPAID else None
    channel = call.direction if holding else None
    held = level.reserved if holding else 0
    standing = with_spent(terms, book.standing(level.account), amount, now)
    standing = fraud.charged(fraud.holding(standing, level, -held, now), terms, level, call, amount, now)
    posted = posting.debit(standing, call.grant_id, amount, held, channel, limit, now, call.requested_at, before)
    for each in posted:
        book.post(each)
    return posted[0][1].uncollected, posting.paid_from(standing, posted)


def _paid(posted: Posted) -> posting.Paid:
    return posting.Paid(posted.charge - posted.uncollected, posted.buckets)


def reversed_charge(book: Book, catalog: Catalog, call: Call, now: Instant) -> Call:
    """Return a settled call as if it had not ended: its charge is taken back at every level, and reversing records
    are written under its new revision. Of what it held, it holds its units alone.
    """
    revision = call.revision + 1
    for level, paid in zip(call.levels, call.posted, strict=True):
        terms = catalog.by_number[level.account]
        standing = with_spent(terms, book.standing(level.account), -paid.charge, now)
        standing = fraud.charged(standing, terms, level, call, -paid.charge, now, calls=-1)
        collected = paid.charge - paid.uncollected
        for each in posting.refund(standing, call.grant_id, collected, paid.uncollected, now, paid.buckets):
            book.post(each)
    for record in book.records(call.grant_id):
        if record.status == "rated" and record.record_id.endswith(f".{call.revision}"):
            book.append_record(reversal(record, revision, now))
    return metering.taken_back(book, call).changed(posted=(), revision=revision, overrun_us=0)


def estimate_listed(call: Call, by: SettledBy, detail: str, now: Instant) -> Exceptional:
    """Return what a person should read about a call that was resolved without a report of its end."""
    return Exceptional(
        by.value, call.tenant, call.source, call.switch, call.call_id, detail, now,
        key=f"{by.value}:{call.grant_id}:{call.revision}",
    )  # fmt: skip


def due_at(call: Call, terms: Terms) -> Instant:
    """Return when to look at an open call again: its grant lapses, its limit has passed, or its interims stopped."""
    if call.answered_at is None:
        granted = 0 if call.reports_answer else call.granted_seconds
        return call.requested_at + (granted + terms.ring_seconds) * SECOND
    limit = call.answered_at + (call.granted_seconds + UNKNOWN_END_SECONDS) * SECOND
    if call.interims < 2:
        return limit
    return min(limit, call.last_seen_at + 3 * terms.interim_seconds * SECOND)
