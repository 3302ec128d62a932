"""May this call proceed, for how long: SPEC section 3 in its order; the first refusal wins, and is a value.

Two halves. ``prepare`` needs the configuration alone: who pays, status, number, rates at every level, carriers.
``decide`` runs inside the transaction on the standings: calls a second, channels, caps, margin, money, upstream.
What it grants is what the caller reserves, whole, at every level; both explain a decision without effect.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise, product
from types import MappingProxyType

from daemon.authorize.attempt import CallAttempt
from daemon.authorize.catalog import AccountKind, AccountTerms, Carrier, Catalog, Status
from daemon.authorize.decision import Decision, Denied, Granted, Level, Route, Rule
from daemon.authorize.denial import Denial
from daemon.authorize.identify import identify, tech_prefix
from daemon.authorize.metering import Meters, metered, no_meter, supply_of, units_for, volumes_of
from daemon.authorize.pricing import Service, cost_rates, exchange_of, tariffs_for, unrated_reason
from daemon.kernel.e164 import digits
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import DAY, SECOND, Instant, local_day
from daemon.kernel.money import NANO, format_nano
from daemon.ledger.account import Standing, available, room
from daemon.rating.bundle import Supply
from daemon.rating.charge import block_end, charge, first_paid_second
from daemon.rating.conversion import Conversion, at_one_instant
from daemon.rating.margin import margin_holds
from daemon.rating.quota import quota
from daemon.rating.tariff import Tariff

EMERGENCY_SECONDS = 86_400  # seconds; the explicit limit of an emergency call (SPEC section 3)
ROUTES_MAX = 16  # carriers in one grant; a channel variable and a RADIUS reply have to hold them

NO_VOLUMES: Mapping[str, int] = MappingProxyType({})

Standings = Callable[[int], Standing]
Pricing = Callable[[AccountTerms, Mapping[str, int]], tuple[Tariff, ...]]  # by the volumes of a period
Trace = list[Rule]


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a grant may be on this road, in seconds; ``slice_seconds`` is None where nothing can be renewed."""

    ring_seconds: int = 120
    max_grant_seconds: int = 7_200
    slice_seconds: int | None = None
    block_seconds_min: int = 10


@dataclass(frozen=True, slots=True)
class Quote:
    """A call that may go ahead as far as the configuration can tell; ``pricing`` prices it again by volumes."""

    attempt: CallAttempt
    called: str
    chain: tuple[AccountTerms, ...]
    levels: tuple[Level, ...]
    routes: tuple[Route, ...]
    carriers: tuple[Carrier, ...]
    routed: bool
    upstream: Denied | None = None
    pricing: Pricing | None = None

    @property
    def meters(self) -> tuple[tuple[int, str], ...]:
        """The account and the name of all meters that the decision needs."""
        return tuple(meter for level in self.levels for meter in level.meters)

    @property
    def accounts(self) -> tuple[int, ...]:
        """The numbers of all accounts and carriers whose standing the decision needs."""
        return tuple(level.account for level in self.levels) + tuple(route.account for route in self.routes)


def _emergency_number(catalog: Catalog, called: str) -> str | None:
    number = called.removeprefix("+")
    if number in catalog.emergency.numbers:
        return number
    prefixes = catalog.endpoints.networks.tech_prefixes
    ends = (whole for whole in catalog.emergency.numbers if number.endswith(whole))
    # Of two that end the number the longer one is meant: it has the shorter prefix.
    return max((whole for whole in ends if number[: -len(whole)] in prefixes), key=len, default=None)


def is_emergency_number(catalog: Catalog, called: str) -> bool:
    """Tell whether a number as received, or less a configured tech prefix, is an emergency number."""
    return _emergency_number(catalog, called) is not None


def emergency(catalog: Catalog, attempt: CallAttempt, now: Instant) -> Granted | None:
    """Return the grant of an emergency number, from memory alone, or None where the number is no such number."""
    whole = _emergency_number(catalog, attempt.called)
    if whole is None or attempt.direction is not Direction.OUTBOUND:
        return None
    dial = catalog.emergency.dial.replace("{number}", whole)
    routes = (Route(1, 0, Key(attempt.tenant, "emergency"), dial, ()),) if dial else ()
    return Granted(
        grant_id="", seconds=EMERGENCY_SECONDS, reserved=0, currency="", levels=(), routes=routes, called=whole,
        renewable=False, is_final=False, valid_until=now + DAY, emergency=True,
    )  # fmt: skip


def prepare(
    catalog: Catalog, attempt: CallAttempt, now: Instant, limits: Limits, trace: Trace | None = None
) -> Quote | Denied:
    """Decide all that standings do not touch. ``now`` starts the grant's validity of ``limits.ring_seconds``."""
    notes: Trace = trace if trace is not None else []
    terms = identify(catalog, attempt)
    if isinstance(terms, Denied):
        return _refused(notes, "account", terms)
    notes.append(Rule("account", True, f"{terms.key} pays, {attempt.direction.value}"))
    refusal = _status(terms)
    if refusal is not None:
        return _refused(notes, "status", refusal)
    notes.append(Rule("status", True, "the account is active"))
    return _rated(catalog, attempt, terms, now, limits, notes)


def _refused(notes: Trace, rule: str, denied: Denied) -> Denied:
    notes.append(Rule(rule, False, f"{denied.denial.value}: {denied.reason}"))
    return denied


def _status(terms: AccountTerms) -> Denied | None:
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
        return _refused(notes, "destination", Denied(Denial.DESTINATION_MALFORMED, reason, terms.key))
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
        return _refused(notes, "rate", refusal)
    notes.append(Rule("rate", True, _priced_by(tariffs[0][0])))
    upstream = _upstream(chain, tariffs, called)
    costs = (*(_cost_rates(catalog, *pair, now, until) for pair in pairwise(chain)), ())
    priced = (
        (account, Level(account.number, account.key, account.currency, found, conversions=rates))
        for account, found, rates in zip(chain, tariffs, costs, strict=True)
    )
    levels = tuple(metered(catalog, account, level, called, attempt.direction) for account, level in priced)
    routed = attempt.routed and attempt.direction is Direction.OUTBOUND
    carriers, routes = _candidates(catalog, chain, called, now, until) if routed else ((), ())
    if routed and not routes:
        reason = f"no active carrier has a valid rate for {called}{_unconverted_carriers(catalog, chain[-1], now)}"
        refusal = Denied(Denial.NO_CARRIER, reason, terms.key)
        return _refused(notes, "carrier", refusal)
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
        refusal = _status(account) or _unpriced(found, called, account.key)
        if refusal is not None:
            return Denied(Denial.UPSTREAM_REFUSED, f"refused upstream: {refusal.denial.value}", chain[0].key)
    return None


def _candidates(
    catalog: Catalog, chain: tuple[AccountTerms, ...], called: str, now: Instant, until: Instant
) -> tuple[tuple[Carrier, ...], tuple[Route, ...]]:
    """Return the active carriers of the chain's uppermost tenant that have a valid rate, cheapest minute first."""
    priced: list[tuple[Carrier, tuple[Tariff, ...], tuple[Conversion, ...]]] = []
    top = chain[-1]
    for carrier in catalog.carriers.get(top.key.tenant, ()):
        table = catalog.tables.get(carrier.table)
        tariffs = table.tariffs(called, now, until) if table is not None else ()
        if carrier.status is not Status.ACTIVE or not tariffs or tariffs[0].blocked:
            continue
        rates = cost_rates(catalog, top.key.tenant, tariffs[0].currency, top.currency, now, until)
        if rates or tariffs[0].currency == top.currency:
            priced.append((carrier, tariffs, rates))
    priced.sort(key=lambda each: (_minute_cost(each[1], each[2]), each[0].key.id))
    del priced[ROUTES_MAX:]
    routes = tuple(
        Route(place, carrier.number, carrier.key, _dial(carrier, called, place), tariffs, rates)
        for place, (carrier, tariffs, rates) in enumerate(priced, start=1)
    )
    return tuple(carrier for carrier, _, _ in priced), routes


def _minute_cost(tariffs: Iterable[Tariff], rates: tuple[Conversion, ...]) -> int:
    """Return the dearest minute of a carrier, in the uppermost account's currency, exact to NANO-ths of a nano-unit."""
    return max(charge(tariff, 60).amount for tariff in tariffs) * max((each.rate for each in rates), default=NANO)


def _cost_rates(
    catalog: Catalog, account: AccountTerms, above: AccountTerms, now: Instant, until: Instant
) -> tuple[Conversion, ...]:
    """Return the rates at which what the level above charges is a cost in an account's currency."""
    return cost_rates(catalog, account.key.tenant, above.currency, account.currency, now, until)


def _unconverted_carriers(catalog: Catalog, top: AccountTerms, now: Instant) -> str:
    """Say which conversions are missing at an instant for carriers to take part, nothing where none is."""
    exchange = exchange_of(catalog, top)
    tables = (catalog.tables.get(carrier.table) for carrier in catalog.carriers.get(top.key.tenant, ()))
    paid = sorted({table.policy.currency for table in tables if table is not None} - {top.currency})
    missing = [exchange.lacking(currency, now) for currency in paid if not exchange.rates(currency, now, now)]
    return "".join(f"; {each}" for each in missing)


def _dial(carrier: Carrier, called: str, place: int) -> str:
    string = carrier.dial.replace("{number}", carrier.tech_prefix + called)
    return f"[tollway_carrier={carrier.key.id},tollway_route={place}]{string}"


def decide(
    quote: Quote, standings: Standings, limits: Limits, now: Instant, grant_id: str, trace: Trace | None = None,
    meters: Meters = no_meter,
) -> Decision:  # fmt: skip
    """Decide on the standings and meters of one transaction, which are given by an account's number."""
    notes: Trace = trace if trace is not None else []
    quote = at_volumes(quote, meters, now)
    payer, level = quote.chain[0], quote.levels[0]
    standing = standings(payer.number)
    supplies = [supply_of(each, meters, terms.zone, now) for terms, each in zip(quote.chain, quote.levels, strict=True)]
    _tell_meters(level, supplies[0], notes)
    refusal = (
        _calls_per_second(payer, standing, now, notes)
        or _channels(payer, standing, quote.attempt.direction, notes)
        or _too_dear(payer, level, supplies[0].units, notes)
    )
    if refusal is not None:
        return refusal
    routes = _open_routes(quote, standings, notes)
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
            return _refused(notes, "upstream", Denied(Denial.UPSTREAM_REFUSED, more.reason, payer.key))
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
        return _refused(notes, "calls_per_second", Denied(Denial.CALLS_PER_SECOND, detail, terms.key))
    notes.append(Rule("calls_per_second", True, detail))
    return None


def _channels(terms: AccountTerms, standing: Standing, direction: Direction, notes: Trace) -> Denied | None:
    one_way = (standing.channels_out, terms.channels_out)
    if direction is Direction.INBOUND:
        one_way = (standing.channels_in, terms.channels_in)
    limits = (("total", standing.channels, terms.channels_total), (direction.value, *one_way))
    for name, used, limit in limits:
        if limit is not None and used >= limit:
            reason = f"{used} of {limit} channels ({name}) are in use"
            return _refused(notes, "channels", Denied(Denial.CHANNELS, reason, terms.key))
    shown = "no limit" if terms.channels_total is None else f"limit {terms.channels_total}"
    notes.append(Rule("channels", True, f"{standing.channels} in use, {shown}"))
    return None


def first_block(level: Level, units: int = 0) -> int:
    """Return the dearest first paid block among the tariffs of a level behind a bundle's units, in nano-units."""
    return max(charge(tariff, first_paid_second(tariff, units), units).amount for tariff in level.tariffs)


def _too_dear(terms: AccountTerms, level: Level, units: int, notes: Trace) -> Denied | None:
    if terms.max_call_charge is None:
        return None
    block = first_block(level, units)
    detail = f"the first block costs {format_nano(block)}, a call at most {format_nano(terms.max_call_charge)}"
    if block > terms.max_call_charge and not units:
        return _refused(notes, "max_call_charge", Denied(Denial.CALL_TOO_DEAR, detail, terms.key))
    notes.append(Rule("max_call_charge", True, detail))
    return None


def _open_routes(quote: Quote, standings: Standings, notes: Trace) -> tuple[Route, ...] | Denied:
    if not quote.routed:
        return ()
    payer = quote.chain[0].key
    free = [
        route
        for route, carrier in zip(quote.routes, quote.carriers, strict=True)
        if carrier.channels is None or standings(carrier.number).channels < carrier.channels
    ]
    if not free:
        return _refused(notes, "carrier_channels", Denied(Denial.CHANNELS, "no carrier has a channel left", payer))
    seconds = max(first_paid_second(tariff) for tariff in quote.levels[0].tariffs)
    paying = tuple(route for route in free if _earns(quote, route, seconds))
    if not paying:
        reason = f"no carrier leaves the margin that a level of the chain asks for{_unconverted(quote, notes)}"
        return _refused(notes, "margin", Denied(Denial.MARGIN_BELOW_FLOOR, reason, payer))
    detail = f"{len(paying)} of {len(free)} carriers keep the floor{_compared_at(quote, paying)}"
    notes.append(Rule("margin", True, detail, private=True))
    return paying


def _compared_at(quote: Quote, routes: tuple[Route, ...]) -> str:
    """Say at which rates costs in other currencies were compared, nothing where none was."""
    rates = [each for level in quote.levels for each in level.conversions]
    rates += [each for route in routes for each in route.conversions]
    return "".join(f"; {each}" for each in dict.fromkeys(rates))


def _unconverted(quote: Quote, notes: Trace) -> str:
    """Note which levels cannot compare their margin at all for want of a conversion; say so of the payer's own."""
    told = ""
    for place, (level, above) in enumerate(pairwise(quote.levels)):
        if level.currency != above.currency and not level.conversions:
            pair = f"from {above.currency} to {level.currency}"
            missing = f"no conversion {pair} is in force, so that its cost is unknown; add a [[conversion]]"
            notes.append(Rule("conversion", False, f"{level.key}: {missing}", private=place > 0))
            told = told if place else f": {missing}"
    return told


def _earns(quote: Quote, route: Route, seconds: int) -> bool:
    """Tell whether every level keeps its floor against what it buys from: the level above, or the carrier."""
    above = [(level.tariffs, level.currency) for level in quote.levels[1:]]
    above.append((route.tariffs, route.tariffs[0].currency))
    rates = [level.conversions for level in quote.levels[:-1]] + [route.conversions]
    return all(
        (bool(found) or account.currency == currency) and _level_earns(account, level.tariffs, buy, found, seconds)
        for account, level, (buy, currency), found in zip(quote.chain, quote.levels, above, rates, strict=True)
    )


def _level_earns(
    account: AccountTerms, sells: Iterable[Tariff], buys: Iterable[Tariff], rates: tuple[Conversion, ...], seconds: int
) -> bool:
    """Tell whether a level keeps its floor by every sell and buy price and every rate that meet at one instant."""
    percent, minute = account.margin_floor_percent, account.margin_floor_per_minute
    return all(
        margin_holds(sell, buy, seconds, percent, minute, rate)
        for sell, buy, rate in product(sells, buys, rates or (None,))
        if at_one_instant(sell.conversion, buy.conversion, rate)
    )


def _money(terms: AccountTerms, standing: Standing) -> int:
    """Return what an account has, and where its credit has no limit what the ledger can still hold of its debt."""
    money, most = available(standing, terms.credit_limit), room(standing)
    return most if money is None else min(money, most)


def spendable(terms: AccountTerms, standing: Standing, now: Instant) -> int:
    """Return what a new reservation may take: what is available, and what is left of the day's spend."""
    money = _money(terms, standing)
    if terms.daily_spend is None:
        return money
    today = local_day(now, terms.zone)
    spent = standing.day_spent if standing.day == today else 0
    return min(money, terms.daily_spend - spent - standing.reserved)


def _affordable(
    terms: AccountTerms, level: Level, standing: Standing, units: int, limits: Limits, now: Instant, notes: Trace
) -> int | Denied:
    # Caps and money bear on what units do not pay: whoever has some may call that long whatever his money is.
    block, money = first_block(level, units), _money(terms, standing)
    left = spendable(terms, standing, now)
    if left < money:
        detail = f"the first block costs {format_nano(block)}, {format_nano(left)} is left of the day's spend"
        if left < block <= money and not units:
            return _refused(notes, "daily_spend", Denied(Denial.DAILY_SPEND, detail, terms.key))
        notes.append(Rule("daily_spend", True, detail))
    shown = "unlimited" if terms.credit_limit is None else format_nano(money)
    detail = f"the first block costs {format_nano(block)}, {shown} {level.currency} is available"
    if terms.credit_limit is None and block > money:
        detail = f"the first block costs {format_nano(block)}; the ledger can hold {format_nano(money)} more of debt"
    if block > money and not units:
        return _refused(notes, "balance", Denied(Denial.BALANCE_INSUFFICIENT, detail, terms.key, money))
    seconds = seconds_for(level, left, 0, 0, terms, limits, units)
    if seconds == 0:
        return _refused(notes, "balance", Denied(Denial.BALANCE_INSUFFICIENT, detail, terms.key, money))
    notes.append(Rule("balance", True, f"{detail}: {seconds} seconds"))
    return seconds


def _affordable_above(
    terms: AccountTerms, level: Level, standing: Standing, units: int, quote: Quote, limits: Limits, now: Instant,
    notes: Trace,
) -> int | Denied:  # fmt: skip
    quiet: Trace = []
    answer = (
        _calls_per_second(terms, standing, now, quiet)
        or _channels(terms, standing, quote.attempt.direction, quiet)
        or _too_dear(terms, level, units, quiet)
        or _affordable(terms, level, standing, units, limits, now, quiet)
    )
    notes += [Rule(rule.name, rule.passed, f"{terms.key}: {rule.detail}", private=True) for rule in quiet]
    if isinstance(answer, Denied):
        return Denied(Denial.UPSTREAM_REFUSED, f"refused upstream: {answer.denial.value}", quote.chain[0].key)
    return answer


def seconds_for(
    level: Level, spendable_nano: int | None, held: int, granted: int, terms: AccountTerms, limits: Limits,
    units: int = 0,
) -> int:  # fmt: skip
    """Return how many seconds in all a call may have been granted after this grant, at one level.

    ``held`` is what the call has reserved already, ``granted`` the seconds that it paid for, ``units`` those that it
    holds or may hold of bundles. On a road that renews it is one slice more (or, while less than four slices can be
    afforded, one block of at least ``block_seconds_min``).
    """
    money = None if spendable_nano is None else spendable_nano + held
    if terms.max_call_charge is not None:
        money = terms.max_call_charge if money is None else min(money, terms.max_call_charge)
    if limits.slice_seconds is None:
        return _quota(level, money, min(terms.max_call_seconds, limits.max_grant_seconds), units)
    most = _quota(level, money, terms.max_call_seconds, units)
    plenty = most >= granted + 4 * limits.slice_seconds
    step = limits.slice_seconds if plenty else limits.block_seconds_min
    return min(most, max(_slice_end(tariff, granted + step, units) for tariff in level.tariffs))


def _quota(level: Level, money: int | None, cap_seconds: int, units: int) -> int:
    return min(quota(tariff, money, cap_seconds, units) for tariff in level.tariffs)


def _slice_end(tariff: Tariff, seconds: int, units: int) -> int:
    """Return where a slice ends: with its block, but within a bundle at once, since others may want its units."""
    if units and tariff.free_seconds < seconds <= tariff.included_seconds + units:
        return max(seconds, tariff.included_seconds)
    return block_end(tariff, seconds, units)


def held_for(level: Level, seconds: int, units: int = 0) -> int:
    """Return what a level reserves for ``seconds``: the dearest of the tariffs in force, in nano-units."""
    return max(charge(tariff, seconds, units).amount for tariff in level.tariffs)


def holding(level: Level, seconds: int, has: Supply) -> Level:
    """Return a level that holds what ``seconds`` need: units first, and the charge of the rest."""
    return replace(level, reserved=held_for(level, seconds, has.units), units=units_for(level, seconds, has))


def _granted(
    quote: Quote, routes: tuple[Route, ...], supplies: Iterable[Supply], seconds: int, limits: Limits, now: Instant,
    grant_id: str, notes: Trace,
) -> Decision:  # fmt: skip
    keeping = tuple(route for route in routes if _earns(quote, route, seconds))
    if routes and not keeping:
        reason = "no carrier keeps the margin for the granted duration"
        return _refused(notes, "margin", Denied(Denial.MARGIN_BELOW_FLOOR, reason, quote.chain[0].key))
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
