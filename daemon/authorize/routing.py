"""Carriers of a call: those with a valid rate, cheapest first, less those that are full or leave too little margin.

Each level keeps its floor against what it buys from, the level above or the carrier, for the first block and for the
whole grant, in its own currency. Each dial string carries its carrier and its number in the list.
"""

from collections.abc import Iterable
from itertools import pairwise, product

from daemon.authorize.catalog import AccountTerms, Carrier, Catalog, Status
from daemon.authorize.decision import Denied, Route, Rule
from daemon.authorize.denial import Denial
from daemon.authorize.pricing import cost_rates, exchange_of
from daemon.authorize.quote import Quote, Standings, Trace, refused
from daemon.kernel.instant import Instant
from daemon.kernel.money import NANO
from daemon.rating.charge import charge, first_paid_second
from daemon.rating.conversion import Conversion, at_one_instant
from daemon.rating.margin import margin_holds
from daemon.rating.tariff import Tariff

ROUTES_MAX = 16  # carriers in one grant; a channel variable and a RADIUS reply have to hold them


def candidates(
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


def cost_rates_of(
    catalog: Catalog, account: AccountTerms, above: AccountTerms, now: Instant, until: Instant
) -> tuple[Conversion, ...]:
    """Return the rates at which what the level above charges is a cost in an account's currency."""
    return cost_rates(catalog, account.key.tenant, above.currency, account.currency, now, until)


def unconverted_carriers(catalog: Catalog, top: AccountTerms, now: Instant) -> str:
    """Say which conversions are missing at an instant for carriers to take part, nothing where none is."""
    exchange = exchange_of(catalog, top)
    tables = (catalog.tables.get(carrier.table) for carrier in catalog.carriers.get(top.key.tenant, ()))
    paid = sorted({table.policy.currency for table in tables if table is not None} - {top.currency})
    missing = [exchange.lacking(currency, now) for currency in paid if not exchange.rates(currency, now, now)]
    return "".join(f"; {each}" for each in missing)


def _dial(carrier: Carrier, called: str, place: int) -> str:
    string = carrier.dial.replace("{number}", carrier.tech_prefix + called)
    return f"[tollway_carrier={carrier.key.id},tollway_route={place}]{string}"


def open_routes(quote: Quote, standings: Standings, notes: Trace) -> tuple[Route, ...] | Denied:
    if not quote.routed:
        return ()
    payer = quote.chain[0].key
    free = [
        route
        for route, carrier in zip(quote.routes, quote.carriers, strict=True)
        if carrier.channels is None or standings(carrier.number).channels < carrier.channels
    ]
    if not free:
        return refused(notes, "carrier_channels", Denied(Denial.CHANNELS, "no carrier has a channel left", payer))
    seconds = max(first_paid_second(tariff) for tariff in quote.levels[0].tariffs)
    paying = tuple(route for route in free if earns(quote, route, seconds))
    if not paying:
        reason = f"no carrier leaves the margin that a level of the chain asks for{_unconverted(quote, notes)}"
        return refused(notes, "margin", Denied(Denial.MARGIN_BELOW_FLOOR, reason, payer))
    detail = f"carriers that keep the floor: {len(paying)} of {len(free)}{_compared_at(quote, paying)}"
    notes.append(Rule("margin", True, detail, level=quote.chain[-1].key))
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
            notes.append(Rule("conversion", False, f"{level.key}: {missing}", level=level.key if place else None))
            told = told if place else f": {missing}"
    return told


def earns(quote: Quote, route: Route, seconds: int) -> bool:
    """Tell whether every level keeps its floor against what it buys from: the level above, or the carrier."""
    above = [(level.tariffs, level.currency) for level in quote.levels[1:]]
    above.append((route.tariffs, route.tariffs[0].currency))
    rates = [level.conversions for level in quote.levels[:-1]] + [route.conversions]
    return all(
        (bool(found) or account.currency == currency) and level_earns(account, level.tariffs, buy, found, seconds)
        for account, level, (buy, currency), found in zip(quote.chain, quote.levels, above, rates, strict=True)
    )


def level_earns(
    account: AccountTerms, sells: Iterable[Tariff], buys: Iterable[Tariff], rates: tuple[Conversion, ...], seconds: int
) -> bool:
    """Tell whether a level keeps its floor by every sell and buy price and every rate that meet at one instant."""
    percent, minute = account.margin_floor_percent, account.margin_floor_per_minute
    return all(
        margin_holds(sell, buy, seconds, percent, minute, rate)
        for sell, buy, rate in product(sells, buys, rates or (None,))
        if at_one_instant(sell.conversion, buy.conversion, rate)
    )
