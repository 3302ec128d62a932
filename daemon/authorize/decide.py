"""May this call proceed, for how long: SPEC section 3 in its order; the first refusal wins, and is a value.

Two halves. ``prepare`` needs the configuration alone: who pays, status, number, rates at every level, carriers.
``decide`` runs inside the transaction on the standings: calls a second, channels, caps, margin, money, upstream.
What it grants is what the caller reserves, whole, at every level; both explain a decision without effect.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise

from daemon.authorize.attempt import CallAttempt
from daemon.authorize.catalog import AccountKind, AccountTerms, Catalog, OverChannels, Status
from daemon.authorize.decision import Decision, Denied, Granted, Level, Route, Rule
from daemon.authorize.denial import Denial
from daemon.authorize.duration import first_block, holding, money_of, seconds_for, spendable
from daemon.authorize.fraud import suspicion
from daemon.authorize.identify import identify, tech_prefix
from daemon.authorize.limits import channels_of, spend_caps, surcharged
from daemon.authorize.metering import Meters, metered, no_meter, supply_of, volumes_of
from daemon.authorize.pricing import Service, tariffs_for, unrated_reason
from daemon.authorize.quote import NO_VOLUMES, Limits, Quote, Standings, Trace, refused
from daemon.authorize.routing import candidates, cost_rates_of, earns, open_routes, unconverted_carriers
from daemon.kernel.e164 import digits
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import SECOND, Instant
from daemon.kernel.money import format_nano
from daemon.ledger.account import Standing
from daemon.rating.bundle import Supply
from daemon.rating.tariff import Tariff


def prepare(
    catalog: Catalog, attempt: CallAttempt, now: Instant, limits: Limits, trace: Trace | None = None
) -> Quote | Denied:
    """Decide all that standings do not touch. ``now`` starts the grant's validity of ``limits.ring_seconds``."""
    notes: Trace = trace if trace is not None else []
    terms = identify(catalog, attempt)
    if isinstance(terms, Denied):
        return refused(notes, "account", terms)
    notes.append(Rule("account", True, f"{terms.key} pays, {attempt.direction.value}"))
    refusal = status_refusal(terms)
    if refusal is not None:
        return refused(notes, "status", refusal)
    notes.append(Rule("status", True, "the account is active"))
    return _rated(catalog, attempt, terms, now, limits, notes)


def status_refusal(terms: AccountTerms) -> Denied | None:
    if terms.status is Status.ACTIVE:
        return None
    denial = Denial.ACCOUNT_SUSPENDED if terms.status is Status.SUSPENDED else Denial.ACCOUNT_CLOSED
    return Denied(denial, f"account {terms.key} is {terms.status.value}", terms.key)


def dialled(catalog: Catalog, attempt: CallAttempt) -> str | None:
    """Return the digits that are rated and routed: less the tech prefix of the endpoint that matched."""
    number = digits(attempt.called)
    if number is None:
        return None
    # Only a network endpoint has a tech prefix, and it counts only where no earlier kind of endpoint decided.
    return number.removeprefix(tech_prefix(catalog, attempt)) or None


def _rated(
    catalog: Catalog, attempt: CallAttempt, terms: AccountTerms, now: Instant, limits: Limits, notes: Trace
) -> Quote | Denied:
    called = dialled(catalog, attempt)
    if called is None:
        reason = "the called number is not 1 to 18 digits"
        return refused(notes, "destination", Denied(Denial.DESTINATION_MALFORMED, reason, terms.key))
    until = now + limits.ring_seconds * SECOND
    chain = catalog.chain(terms)

    def pricing(account: AccountTerms, volumes: Mapping[str, int]) -> tuple[Tariff, ...]:
        service = Service(attempt.override, volumes=volumes)
        return tariffs_for(catalog, account, attempt.direction, called, now, until, service)

    tariffs = [pricing(account, NO_VOLUMES) for account in chain]
    refusal = _unpriced(tariffs[0], called, terms.key)
    if not tariffs[0]:
        reason = unrated_reason(catalog, terms, attempt.direction, called, now, Service(attempt.override))
        refusal = Denied(Denial.DESTINATION_UNRATED, reason, terms.key)
    if refusal is not None:
        return refused(notes, "rate", refusal)
    notes.append(Rule("rate", True, _priced_by(tariffs[0][0])))
    upstream = _upstream(chain, tariffs, called)
    costs = (*(cost_rates_of(catalog, *pair, now, until) for pair in pairwise(chain)), ())
    priced = (
        (account, Level(account.number, account.key, account.currency, found, conversions=rates))
        for account, found, rates in zip(chain, tariffs, costs, strict=True)
    )
    levels = tuple(metered(catalog, account, level, called, attempt.direction) for account, level in priced)
    routed = attempt.routed and attempt.direction is Direction.OUTBOUND
    carriers, routes = candidates(catalog, chain, called, now, until) if routed else ((), ())
    if routed and not routes:
        reason = f"no active carrier has a valid rate for {called}{unconverted_carriers(catalog, chain[-1], now)}"
        refusal = Denied(Denial.NO_CARRIER, reason, terms.key)
        return refused(notes, "carrier", refusal)
    if routed:
        notes.append(Rule("carrier", True, f"{len(routes)} carriers have a valid rate", private=True))
    return Quote(attempt, called, chain, levels, routes, carriers, routed, upstream, pricing)


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


def _priced_by(tariff: Tariff) -> str:
    return (
        f"prefix {tariff.prefix} of {tariff.table} version {tariff.deck_version}: {format_nano(tariff.rate)} "
        f"{tariff.currency} a minute, {tariff.first_seconds}/{tariff.next_seconds}"
        f"{f', {tariff.conversion}' if tariff.conversion is not None else ''}"
    )


def _upstream(chain: tuple[AccountTerms, ...], tariffs: list[tuple[Tariff, ...]], called: str) -> Denied | None:
    for account, found in zip(chain[1:], tariffs[1:], strict=True):
        refusal = status_refusal(account) or _unpriced(found, called, account.key)
        if refusal is not None:
            return Denied(Denial.UPSTREAM_REFUSED, f"refused upstream: {refusal.denial.value}", chain[0].key)
    return None


def decide(
    quote: Quote, standings: Standings, limits: Limits, now: Instant, grant_id: str, trace: Trace | None = None,
    meters: Meters = no_meter,
) -> Decision:  # fmt: skip
    """Decide on the standings and meters of one transaction, which are given by an account's number."""
    notes: Trace = trace if trace is not None else []
    quote = surcharged(at_volumes(quote, meters, now), standings, now, notes)
    payer, level = quote.chain[0], quote.levels[0]
    standing = standings(payer.number)
    supplies = [supply_of(each, meters, terms.zone, now) for terms, each in zip(quote.chain, quote.levels, strict=True)]
    _tell_meters(level, supplies[0], notes)
    refusal = (
        suspicion(payer, standing, quote.called, now, notes)
        or _calls_per_second(payer, standing, now, notes)
        or _channels(payer, standing, quote.attempt.direction, now, notes)
        or _too_dear(payer, level, supplies[0].units, notes)
    )
    if refusal is not None:
        return refusal
    routes = open_routes(quote, standings, notes)
    if isinstance(routes, Denied):
        return routes
    seconds = _affordable(payer, level, standing, supplies[0].units, limits, now, notes)
    if isinstance(seconds, Denied):
        return seconds
    for account, above, has in zip(quote.chain[1:], quote.levels[1:], supplies[1:], strict=True):
        more = quote.upstream or _affordable_above(
            account, above, standings(account.number), has.units, quote, limits, now, notes
        )
        if isinstance(more, Denied):
            return refused(notes, "upstream", Denied(Denial.UPSTREAM_REFUSED, more.reason, payer.key))
        seconds = min(seconds, more)
    return _granted(quote, routes, supplies, seconds, limits, now, grant_id, notes)


def at_volumes(quote: Quote, meters: Meters, now: Instant) -> Quote:
    """Return a quote whose tiers are those that each account's volume has reached in its period."""
    if quote.pricing is None or not any(level.tiered for level in quote.levels):
        return quote
    levels = tuple(
        replace(level, tariffs=quote.pricing(account, volumes_of(level, meters, account.zone, now)))
        for account, level in zip(quote.chain, quote.levels, strict=True)
    )
    return replace(quote, levels=levels)


def _tell_meters(level: Level, has: Supply, notes: Trace) -> None:
    tariff = level.tariffs[0]
    if tariff.meter:
        detail = f"{tariff.volume} of the period before reach the tier from {tariff.tier}: {_priced_by(tariff)}"
        notes.append(Rule("tier", True, detail))
    for part in has.parts:
        detail = f"{part.units} of unit {part.bundle.unit} are left of {part.bundle.id}, used before money"
        notes.append(Rule("bundle", True, detail))


def _calls_per_second(terms: AccountTerms, standing: Standing, now: Instant, notes: Trace) -> Denied | None:
    if terms.calls_per_second is None:
        return None
    calls = standing.calls_in(now // SECOND)
    detail = f"{calls} calls in this second, at most {terms.calls_per_second}"
    if calls >= terms.calls_per_second:
        return refused(notes, "calls_per_second", Denied(Denial.CALLS_PER_SECOND, detail, terms.key))
    notes.append(Rule("calls_per_second", True, detail))
    return None


def _channels(
    terms: AccountTerms, standing: Standing, direction: Direction, now: Instant, notes: Trace
) -> Denied | None:
    limits = channels_of(terms, standing, direction, now)
    for each in limits:
        if each.is_full and terms.over_channels is OverChannels.REFUSE:
            reason = f"{each.used} of {each.limit} channels ({each.name}) are in use"
            return refused(notes, "channels", Denied(Denial.CHANNELS, reason, terms.key))
    shown = "no limit" if limits[0].limit is None else f"limit {limits[0].limit}"
    notes.append(Rule("channels", True, f"{standing.channels} in use, {shown}"))
    return None


def _too_dear(terms: AccountTerms, level: Level, units: int, notes: Trace) -> Denied | None:
    if terms.max_call_charge is None:
        return None
    block = first_block(level, units)
    detail = f"the first block costs {format_nano(block)}, a call at most {format_nano(terms.max_call_charge)}"
    if block > terms.max_call_charge and not units:
        return refused(notes, "max_call_charge", Denied(Denial.CALL_TOO_DEAR, detail, terms.key))
    notes.append(Rule("max_call_charge", True, detail))
    return None


def _affordable(
    terms: AccountTerms, level: Level, standing: Standing, units: int, limits: Limits, now: Instant, notes: Trace
) -> int | Denied:
    # Caps and money bear on what units do not pay: whoever has some may call that long whatever his money is.
    block, money = first_block(level, units), money_of(terms, standing)
    left = spendable(terms, standing, now)
    for cap in spend_caps(terms, standing, now):
        if cap.left < money:
            detail = f"the first block costs {format_nano(block)}, {format_nano(cap.left)} is left of the"
            detail = f"{detail} {cap.period}'s spend"
            if cap.left < block <= money and not units:
                return refused(notes, cap.rule, Denied(cap.denial, detail, terms.key))
            notes.append(Rule(cap.rule, True, detail))
    shown = "unlimited" if terms.credit_limit is None else format_nano(money)
    detail = f"the first block costs {format_nano(block)}, {shown} {level.currency} is available"
    if terms.credit_limit is None and block > money:
        detail = f"the first block costs {format_nano(block)}; the ledger can hold {format_nano(money)} more of debt"
    if block > money and not units:
        return refused(notes, "balance", Denied(Denial.BALANCE_INSUFFICIENT, detail, terms.key, money))
    seconds = seconds_for(level, left, 0, 0, terms, limits, units)
    if seconds == 0:
        return refused(notes, "balance", Denied(Denial.BALANCE_INSUFFICIENT, detail, terms.key, money))
    notes.append(Rule("balance", True, f"{detail}: {seconds} seconds"))
    return seconds


def _affordable_above(
    terms: AccountTerms, level: Level, standing: Standing, units: int, quote: Quote, limits: Limits, now: Instant,
    notes: Trace,
) -> int | Denied:  # fmt: skip
    quiet: Trace = []
    answer = (
        suspicion(terms, standing, quote.called, now, quiet)
        or _calls_per_second(terms, standing, now, quiet)
        or _channels(terms, standing, quote.attempt.direction, now, quiet)
        or _too_dear(terms, level, units, quiet)
        or _affordable(terms, level, standing, units, limits, now, quiet)
    )
    notes += [Rule(rule.name, rule.passed, f"{terms.key}: {rule.detail}", private=True) for rule in quiet]
    if isinstance(answer, Denied):
        return Denied(Denial.UPSTREAM_REFUSED, f"refused upstream: {answer.denial.value}", quote.chain[0].key)
    return answer


def _granted(
    quote: Quote, routes: tuple[Route, ...], supplies: Iterable[Supply], seconds: int, limits: Limits, now: Instant,
    grant_id: str, notes: Trace,
) -> Decision:  # fmt: skip
    keeping = tuple(route for route in routes if earns(quote, route, seconds))
    if routes and not keeping:
        reason = "no carrier keeps the margin for the granted duration"
        return refused(notes, "margin", Denied(Denial.MARGIN_BELOW_FLOOR, reason, quote.chain[0].key))
    levels = tuple(holding(level, seconds, has) for level, has in zip(quote.levels, supplies, strict=True))
    payer = quote.chain[0]
    renewable = limits.slice_seconds is not None and seconds < payer.max_call_seconds
    kind = "reserved" if payer.kind is AccountKind.PREPAID else "reserved against the credit limit"
    notes.append(
        Rule("grant", True, f"{seconds} seconds, {format_nano(levels[0].reserved)} {levels[0].currency} {kind}")
    )
    return Granted(
        grant_id=grant_id, seconds=seconds, reserved=levels[0].reserved, currency=levels[0].currency, levels=levels,
        routes=keeping, called=quote.called, renewable=renewable, is_final=not renewable,
        valid_until=now + limits.ring_seconds * SECOND,
    )  # fmt: skip
