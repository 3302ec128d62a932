"""May this call proceed, for how long: SPEC section 3 in its order; the first refusal wins, and is a value.

Two halves. ``prepare`` needs the configuration alone: who pays, status, number, rates at every level, carriers.
``decide`` runs inside the transaction on the standings: calls a second, channels, caps, margin, money, upstream.
What it grants is what the caller reserves, whole, at every level; both explain a decision without effect.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from daemon.authorize import words
from daemon.authorize.attempt import CallAttempt
from daemon.authorize.catalog import AccountTerms, Catalog, OverChannels, Status
from daemon.authorize.decision import Decision, Denied, Granted, Level, Route
from daemon.authorize.denial import Denial
from daemon.authorize.duration import first_block, holding, is_paid_by, money_of, seconds_for
from daemon.authorize.fraud import suspicion
from daemon.authorize.identify import Payer, dialling_of, payer, proved_by_password
from daemon.authorize.limits import channels_of, full_channels, spend_caps, surcharged, within_caps
from daemon.authorize.metering import Meters, metered, no_meter, supply_of, volumes_of
from daemon.authorize.pricing import A_CALL, Service, tariffs_for, unrated_reason
from daemon.authorize.quote import NO_VOLUMES, Limits, Quote, Standings, Trace, refused, told
from daemon.authorize.routing import candidates, cost_rates_of, earning, open_routes, unconverted_carriers
from daemon.authorize.suspension import emptied
from daemon.kernel.e164 import digits
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import SECOND, Instant
from daemon.ledger.account import Standing
from daemon.rating.bundle import Supply
from daemon.rating.tariff import Tariff

_ACTIVE: Final = Status.ACTIVE


def prepare(
    catalog: Catalog, attempt: CallAttempt, now: Instant, limits: Limits, trace: Trace | None = None
) -> Quote | Denied:
    """Decide all that standings do not touch. ``now`` starts the grant's validity of ``limits.ring_seconds``.

    ``trace`` takes the rules that took part; without one no word of an explanation is made.
    """
    paid_by = payer(catalog, attempt, now)
    terms = paid_by.found
    if isinstance(terms, Denied):
        return refused(trace, "account", terms)
    if trace is not None:
        told(trace, words.account, terms, attempt)
        if proved_by_password(attempt):
            told(trace, words.credential)
    refusal = status_refusal(terms)
    if refusal is not None:
        return refused(trace, "status", refusal)
    if trace is not None:
        told(trace, words.status)
    called = _written(catalog, attempt, terms, paid_by)
    if called is None:
        reason = "the called number is not 1 to 18 digits"
        return refused(trace, "destination", Denied(Denial.DESTINATION_MALFORMED, reason, terms.key))
    if trace is not None:
        told(trace, words.destination, called, attempt.called, paid_by.tech_prefix)
    return _rated(catalog, attempt, terms, called, now, limits, trace)


def status_refusal(terms: AccountTerms) -> Denied | None:
    if terms.status is _ACTIVE:
        return None
    denial = Denial.ACCOUNT_SUSPENDED if terms.status is Status.SUSPENDED else Denial.ACCOUNT_CLOSED
    return Denied(denial, f"account {terms.key} is {terms.status.value}", terms.key)


def dialled(catalog: Catalog, attempt: CallAttempt, terms: AccountTerms, at: Instant) -> str | None:
    """Return the digits that are rated and routed: less the tech prefix of the endpoint that found the payer, as an
    international number where it is known how the endpoint or its peer writes numbers.
    """
    return _written(catalog, attempt, terms, payer(catalog, attempt, at))


def _written(catalog: Catalog, attempt: CallAttempt, terms: AccountTerms, paid_by: Payer) -> str | None:
    number = digits(attempt.called)
    # Only a network endpoint has a tech prefix, and it counts only where no earlier kind of endpoint decided.
    if number is None:
        return None
    rest = number.removeprefix(paid_by.tech_prefix)
    dialling = dialling_of(catalog, attempt, terms)
    if dialling is None or not rest:
        return rest or None
    return dialling.normal(f"+{rest}" if attempt.called == f"+{rest}" else rest)


def _rated(
    catalog: Catalog, attempt: CallAttempt, terms: AccountTerms, called: str, now: Instant, limits: Limits,
    notes: Trace | None,
) -> Quote | Denied:  # fmt: skip
    until = now + limits.ring_seconds * SECOND
    direction = attempt.direction
    chain = tuple([account.facing(direction) for account in catalog.chain(terms)])

    def pricing(account: AccountTerms, volumes: Mapping[str, int]) -> tuple[Tariff, ...]:
        service = Service(attempt.override, volumes=volumes) if attempt.override or volumes else A_CALL
        return tariffs_for(catalog, account, direction, called, now, until, service)

    tariffs = [pricing(account, NO_VOLUMES) for account in chain]
    refusal = _unpriced(tariffs[0], called, terms.key)
    if not tariffs[0]:
        reason = unrated_reason(catalog, terms, attempt.direction, called, now, Service(attempt.override))
        refusal = Denied(Denial.DESTINATION_UNRATED, reason, terms.key)
    if refusal is not None:
        return refused(notes, "rate", refusal)
    if notes is not None:
        told(notes, words.rate, tariffs[0][0])
    upstream = _upstream(chain, tariffs, called)
    levels = []
    for place, (account, found) in enumerate(zip(chain, tariffs, strict=True)):
        above = chain[place + 1] if place + 1 < len(chain) else account
        rates = cost_rates_of(catalog, account, above, now, until) if above.currency != account.currency else ()
        level = Level(account.number, account.key, account.currency, found, 0, (), (), (), rates)
        levels.append(metered(catalog, account, level, called, direction))
    routed = attempt.routed and direction is Direction.OUTBOUND
    carriers, routes = candidates(catalog, chain, attempt, called, now, until, notes) if routed else ((), ())
    if routed and not routes:
        reason = f"no active carrier has a valid rate for {called}{unconverted_carriers(catalog, chain[-1], now)}"
        refusal = Denied(Denial.NO_CARRIER, reason, terms.key)
        return refused(notes, "carrier", refusal)
    return Quote(attempt, called, chain, tuple(levels), routes, carriers, routed, upstream, pricing)


def _unpriced(tariffs: tuple[Tariff, ...], called: str, key: Key) -> Denied | None:
    if not tariffs:
        return Denied(Denial.DESTINATION_UNRATED, f"no rate of the account's plan is valid for {called}", key)
    if tariffs[0].blocked:
        which = f"prefix {tariffs[0].prefix} is" if tariffs[0].prefix else "every number is"
        return Denied(Denial.DESTINATION_BLOCKED, f"{which} blocked", key)
    return None


def refusal_of(quote: Quote | Denied) -> Denied | None:
    """Return why a call cannot go ahead as far as the configuration tells: for its payer, or for a level above."""
    return quote if isinstance(quote, Denied) else quote.upstream


def _upstream(chain: tuple[AccountTerms, ...], tariffs: list[tuple[Tariff, ...]], called: str) -> Denied | None:
    for place in range(1, len(chain)):
        refusal = status_refusal(chain[place]) or _unpriced(tariffs[place], called, chain[place].key)
        if refusal is not None:
            return Denied(Denial.UPSTREAM_REFUSED, f"refused upstream: {refusal.denial.value}", chain[0].key)
    return None


def decide(
    quote: Quote, standings: Standings, limits: Limits, now: Instant, grant_id: str, trace: Trace | None = None,
    meters: Meters = no_meter,
) -> Decision:  # fmt: skip
    """Decide on the standings and meters of one transaction, which are given by an account's number."""
    quote = surcharged(at_volumes(quote, meters, now), standings, now, trace)
    payer, level = quote.chain[0], quote.levels[0]
    standing = standings(payer.number)
    supplies = [supply_of(each, meters, terms.zone, now) for terms, each in zip(quote.chain, quote.levels, strict=True)]
    _tell_meters(level, supplies[0], trace)
    units = supplies[0].units
    block = first_block(level, units)
    least = 0 if is_paid_by(level, units) else block
    refusal = (
        _emptied(payer, standing, quote.attempt.direction, is_paid_by(level, units), trace)
        or suspicion(payer, standing, level, quote.attempt.direction, least, now, trace)
        or _calls_per_second(payer, standing, now, trace)
        or _channels(payer, standing, quote.attempt.direction, now, trace)
        or _too_dear(payer, level, block, units, trace)
    )
    if refusal is not None:
        return refusal
    routes = open_routes(quote, standings, now, trace)
    if isinstance(routes, Denied):
        return routes
    seconds = _affordable(payer, level, standing, block, units, limits, now, trace)
    if isinstance(seconds, Denied):
        return seconds
    for place in range(1, len(quote.chain)):
        account, above, has = quote.chain[place], quote.levels[place], supplies[place].units
        more = quote.upstream or _affordable_above(
            account, above, standings(account.number), has, quote, limits, now, trace
        )
        if isinstance(more, Denied):
            denied = Denied(Denial.UPSTREAM_REFUSED, more.reason, payer.key, by=more.by)
            return refused(trace, "upstream", denied)
        seconds = min(seconds, more)
    return _granted(quote, routes, supplies, seconds, limits, now, grant_id, trace)


def at_volumes(quote: Quote, meters: Meters, now: Instant) -> Quote:
    """Return a quote whose tiers are those that each account's volume has reached in its period."""
    if quote.pricing is None or not any(level.tiered for level in quote.levels):
        return quote
    levels = tuple(
        replace(level, tariffs=quote.pricing(account, volumes_of(level, meters, account.zone, now)))
        for account, level in zip(quote.chain, quote.levels, strict=True)
    )
    return replace(quote, levels=levels)


def _tell_meters(level: Level, has: Supply, notes: Trace | None) -> None:
    if level.tariffs[0].meter:
        told(notes, words.tier, level.tariffs[0])
    for part in has.parts:
        told(notes, words.bundle, part)


def _emptied(
    terms: AccountTerms, standing: Standing, direction: Direction, is_paid: bool, notes: Trace | None
) -> Denied | None:
    refusal = emptied(terms, standing, direction, is_paid=is_paid) if standing.suspended_at else None
    return refused(notes, "status", refusal) if refusal is not None else None


def _calls_per_second(terms: AccountTerms, standing: Standing, now: Instant, notes: Trace | None) -> Denied | None:
    limit = terms.calls_per_second
    if limit is None:
        return None
    calls = standing.calls_in(now // SECOND)
    if calls >= limit:
        detail = words.calls_in_second(calls, limit)
        return refused(notes, "calls_per_second", Denied(Denial.CALLS_PER_SECOND, detail, terms.key))
    if notes is not None:
        told(notes, words.calls_per_second, calls, limit)
    return None


def _channels(
    terms: AccountTerms, standing: Standing, direction: Direction, now: Instant, notes: Trace | None
) -> Denied | None:
    full = full_channels(terms, standing, direction, now)
    if full is not None and terms.over_channels is OverChannels.REFUSE:
        reason = f"{full.used} of {full.limit} channels ({full.name}) are in use"
        return refused(notes, "channels", Denied(Denial.CHANNELS, reason, terms.key))
    if notes is not None:
        told(notes, words.channels, channels_of(terms, standing, direction, now))
    return None


def _too_dear(terms: AccountTerms, level: Level, block: int, units: int, notes: Trace | None) -> Denied | None:
    most = terms.max_call_charge
    if most is None:
        return None
    if block > most and not is_paid_by(level, units):
        detail = words.block_and_most(level, block, most)
        return refused(notes, "max_call_charge", Denied(Denial.CALL_TOO_DEAR, detail, terms.key))
    if notes is not None:
        told(notes, words.max_call_charge, level, block, most)
    return None


def _affordable(
    terms: AccountTerms, level: Level, standing: Standing, block: int, units: int, limits: Limits, now: Instant,
    notes: Trace | None,
) -> int | Denied:  # fmt: skip
    # Caps and money bear on what units do not pay: whoever has some may call that long whatever his money is.
    money = money_of(terms, standing)
    left = within_caps(terms, standing, level.watched, money, now)
    for cap in spend_caps(terms, standing, level.watched, now) if left < money else ():
        if cap.left < block <= money and not is_paid_by(level, units):
            detail = words.block_and_spend(level, block, cap.left, cap.of)
            return refused(notes, cap.rule, Denied(cap.denial, detail, terms.key))
        if cap.left < money:
            told(notes, words.spend, cap.rule, level, block, cap.left, cap.of)
    is_broke = block > money and not is_paid_by(level, units)
    seconds = 0 if is_broke else seconds_for(level, left, 0, 0, terms, limits, units)
    if seconds == 0:
        detail = words.block_and_money(terms, level, block, money)
        return refused(notes, "balance", Denied(Denial.BALANCE_INSUFFICIENT, detail, terms.key, money))
    if notes is not None:
        told(notes, words.balance, terms, level, block, money, seconds)
    return seconds


def _affordable_above(
    terms: AccountTerms, level: Level, standing: Standing, units: int, quote: Quote, limits: Limits, now: Instant,
    notes: Trace | None,
) -> int | Denied:  # fmt: skip
    quiet: Trace | None = [] if notes is not None else None
    block = first_block(level, units)
    least = 0 if is_paid_by(level, units) else block
    answer = (
        _emptied(terms, standing, quote.attempt.direction, is_paid_by(level, units), quiet)
        or suspicion(terms, standing, level, quote.attempt.direction, least, now, quiet)
        or _calls_per_second(terms, standing, now, quiet)
        or _channels(terms, standing, quote.attempt.direction, now, quiet)
        or _too_dear(terms, level, block, units, quiet)
        or _affordable(terms, level, standing, block, units, limits, now, quiet)
    )
    for rule in quiet or ():
        told(notes, words.upstream, terms, rule)
    if isinstance(answer, Denied):
        reason = f"refused upstream: {answer.denial.value}"
        return Denied(Denial.UPSTREAM_REFUSED, reason, quote.chain[0].key, by=answer.by)
    return answer


def _granted(
    quote: Quote, routes: tuple[Route, ...], supplies: Iterable[Supply], seconds: int, limits: Limits, now: Instant,
    grant_id: str, notes: Trace | None,
) -> Decision:  # fmt: skip
    keeping = earning(quote, routes, seconds) if routes else ()
    if routes and not keeping:
        reason = "no carrier keeps the margin for the granted duration"
        return refused(notes, "margin", Denied(Denial.MARGIN_BELOW_FLOOR, reason, quote.chain[0].key))
    levels = tuple([holding(level, seconds, has) for level, has in zip(quote.levels, supplies, strict=True)])
    payer = quote.chain[0]
    renewable = limits.slice_seconds is not None and seconds < payer.max_call_seconds
    if notes is not None:
        told(notes, words.grant, payer, levels[0], seconds)
    return Granted(
        grant_id=grant_id, seconds=seconds, reserved=levels[0].reserved, currency=levels[0].currency, levels=levels,
        routes=keeping, called=quote.called, renewable=renewable, is_final=not renewable,
        valid_until=now + limits.ring_seconds * SECOND,
    )  # fmt: skip
