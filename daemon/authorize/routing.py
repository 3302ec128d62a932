"""Carriers of a call: those with a valid rate, in the order of ``route_order``, less those that are full or leave too
little margin.

Each level keeps its floor against what it buys from, the level above or the carrier, for the first block and for the
whole grant, in its own currency. Each dial string carries its carrier and its number in the list.
"""

from collections.abc import Iterable
from itertools import pairwise, product
from operator import itemgetter
from typing import NamedTuple

from daemon.authorize import words
from daemon.authorize.attempt import CallAttempt
from daemon.authorize.carrier_limits import free_routes
from daemon.authorize.carrier_rates import carrier_tariffs
from daemon.authorize.catalog import AccountTerms, Carrier, Catalog, Status
from daemon.authorize.decision import Denied, Level, Route
from daemon.authorize.denial import Denial
from daemon.authorize.pricing import cost_rates, exchange_of
from daemon.authorize.quality import group_of
from daemon.authorize.quote import Quote, Standings, Trace, refused, told
from daemon.authorize.route_order import Candidate, ordered
from daemon.kernel.instant import Instant
from daemon.kernel.money import NANO
from daemon.rating.charge import charge, first_paid_second, minute_charge
from daemon.rating.conversion import Conversion, at_one_instant
from daemon.rating.margin import cost_max, margin_holds
from daemon.rating.tariff import Tariff

_COST_AND_ID = itemgetter(0, 1)
_made = tuple.__new__  # what ``Sale`` and ``Candidate`` call themselves, without a second call
ROUTES_MAX = 16  # carriers in one grant; a channel variable and a RADIUS reply have to hold them


def candidates(
    catalog: Catalog, chain: tuple[AccountTerms, ...], attempt: CallAttempt, called: str, now: Instant,
    until: Instant, notes: Trace | None = None,
) -> tuple[tuple[Carrier, ...], tuple[Route, ...]]:  # fmt: skip
    """Return the active carriers of the chain's uppermost tenant that have a valid rate, in the order of trying."""
    priced: list[Candidate] = []
    top, group, active = chain[-1], group_of(called), Status.ACTIVE
    tenant, paid_in, graded = top.key.tenant, top.currency, catalog.quality
    for carrier in catalog.carriers.get(tenant, ()):
        if carrier.status is not active:
            continue
        tariffs = carrier_tariffs(catalog, carrier, called, now, until, attempt.override)
        if not tariffs or tariffs[0].blocked:
            continue
        currency = tariffs[0].currency
        rates = cost_rates(catalog, tenant, currency, paid_in, now, until) if currency != paid_in else ()
        if rates or currency == paid_in:
            quality = graded.get((carrier.number, group)) if graded else None
            priced.append(_made(Candidate, (_minute_cost(tariffs, rates), carrier, tariffs, rates, quality)))
    priced = ordered(priced, attempt.call_id)[:ROUTES_MAX]
    if notes is not None:
        told(notes, words.carriers, top, len(priced))
        notes.extend([words.place(top, place, each) for place, each in enumerate(priced, start=1)])
    routes = [
        Route(place, each.carrier.number, each.carrier.key, _dial(each.carrier, called, place), each.tariffs,
              each.conversions)
        for place, each in enumerate(priced, start=1)
    ]  # fmt: skip
    return tuple([each.carrier for each in priced]), tuple(routes)


def _minute_cost(tariffs: tuple[Tariff, ...], rates: tuple[Conversion, ...]) -> int:
    """Return the dearest minute of a carrier, in the uppermost account's currency, exact to NANO-ths of a nano-unit."""
    dearest = minute_charge(tariffs[0]) if len(tariffs) == 1 else max([minute_charge(tariff) for tariff in tariffs])
    return dearest * (max([each.rate for each in rates]) if rates else NANO)


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


def open_routes(quote: Quote, standings: Standings, now: Instant, notes: Trace | None) -> tuple[Route, ...] | Denied:
    if not quote.routed:
        return ()
    free = free_routes(quote, standings, now, notes)
    if isinstance(free, Denied):
        return free
    seconds = max([first_paid_second(tariff) for tariff in quote.levels[0].tariffs])
    paying = earning(quote, free, seconds)
    if not paying:
        reason = f"no carrier leaves the margin that a level of the chain asks for{_unconverted(quote, notes)}"
        return refused(notes, "margin", Denied(Denial.MARGIN_BELOW_FLOOR, reason, quote.chain[0].key))
    if notes is not None:
        told(notes, words.margin, quote.chain[-1], len(paying), len(free), _compared_at(quote, paying))
    return paying


def _compared_at(quote: Quote, routes: tuple[Route, ...]) -> str:
    """Say at which rates costs in other currencies were compared, nothing where none was."""
    rates = [each for level in quote.levels for each in level.conversions]
    rates += [each for route in routes for each in route.conversions]
    return "".join(f"; {each}" for each in dict.fromkeys(rates))


def _unconverted(quote: Quote, notes: Trace | None) -> str:
    """Note which levels cannot compare their margin at all for want of a conversion; say so of the payer's own."""
    said = ""
    for place, (level, above) in enumerate(pairwise(quote.levels)):
        if level.currency != above.currency and not level.conversions:
            pair = f"from {above.currency} to {level.currency}"
            missing = f"no conversion {pair} is in force, so that its cost is unknown; add a [[conversion]]"
            told(notes, words.conversion, level, missing, above=place > 0)
            said = said if place else f": {missing}"
    return said


def earning(quote: Quote, routes: Iterable[Route], seconds: int) -> tuple[Route, ...]:
    """Return the routes by which every level keeps its floor against what it buys from for a call of ``seconds``.

    The levels below the uppermost buy from the level above, whichever carrier takes the call: they are asked once.
    """
    sales = [Sale.of(account, level, seconds) for account, level in zip(quote.chain, quote.levels, strict=True)]
    for sale, above in pairwise(sales):
        if not sale.earns(above.level.tariffs, above.level.currency, sale.level.conversions, above.price):
            return ()
    top = sales[-1]
    currency, most = top.account.currency, top.cost_max
    found = []
    for route in routes:
        buys = route.tariffs
        buy = buys[0]
        if (
            most is not None
            and len(buys) == 1
            and buy.currency == currency
            and not (route.conversions or buy.conversion)
        ):
            earns = charge(buy, seconds).amount <= most  # as ``earns`` says of nearly every carrier
        else:
            earns = top.earns(buys, buy.currency, route.conversions)
        if earns:
            found.append(route)
    return tuple(found)


class Sale(NamedTuple):
    """What one level sells a call of ``seconds`` for, and may buy it for.

    ``price`` is the charge of its one tariff, None where it has several, or a converted one. ``cost_max`` is the most
    that it may cost in the same currency, None where that is not one amount.
    """

    account: AccountTerms
    level: Level
    seconds: int
    price: int | None
    cost_max: int | None

    @classmethod
    def of(cls, account: AccountTerms, level: Level, seconds: int) -> "Sale":
        """Return what a level sells a call for."""
        price = _one_charge(level.tariffs, seconds)
        # A price of 0 may be that of a row sold at 0, which is exempt: that is left to ``margin_holds``.
        most = (
            cost_max(price, seconds, account.margin_floor_percent, account.margin_floor_per_minute) if price else None
        )
        return _made(cls, (account, level, seconds, price, most))

    def earns(
        self, buys: tuple[Tariff, ...], currency: str, rates: tuple[Conversion, ...], cost: int | None = None
    ) -> bool:
        """Tell whether it keeps its floor by every sell and buy price and every rate that meet at one instant.

        ``buys`` are in ``currency``; ``cost`` is what they charge, None where it was not asked for yet.
        """
        account, level, seconds, _, most = self
        if not rates:
            if account.currency != currency:
                return False
            cost = _one_charge(buys, seconds) if cost is None else cost
            if most is not None and cost is not None:
                return cost <= most
        percent, minute = account.margin_floor_percent, account.margin_floor_per_minute
        return all(
            margin_holds(sell, buy, seconds, percent, minute, rate)
            for sell, buy, rate in product(level.tariffs, buys, rates or (None,))
            if at_one_instant(sell.conversion, buy.conversion, rate)
        )


def _one_charge(tariffs: tuple[Tariff, ...], seconds: int) -> int | None:
    """Return what a call costs by the one tariff that there is, None where it is not one, or is converted."""
    return charge(tariffs[0], seconds).amount if len(tariffs) == 1 and tariffs[0].conversion is None else None
