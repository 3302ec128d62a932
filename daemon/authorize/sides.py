"""Both sides of every level of a chain, for an explanation alone: what it sells at, what it pays, and what is left.

A level buys from the one above, the uppermost from the carriers. Each line belongs to the seller's tenant, and names
nothing of whoever sells to it but the price. The decision itself compares by ``routing``; nothing here decides.
"""

from collections.abc import Iterator

from daemon.authorize.catalog import AccountTerms
from daemon.authorize.decision import Decision, Denied, Level, Rule
from daemon.authorize.quote import Quote
from daemon.authorize.routing import Sale
from daemon.kernel.money import NANO, Rounding, divide, format_nano
from daemon.rating.charge import charge, first_paid_second
from daemon.rating.conversion import Conversion
from daemon.rating.tariff import Tariff

PERCENT_PLACES = 100  # a percentage is told with two places, cut

Supplier = tuple[str, tuple[Tariff, ...], tuple[Conversion, ...]]  # its name in words, its prices, rates into ours


def sides_of(quote: Quote, decision: Decision) -> list[Rule]:
    """Return what each level sells at, pays and earns, for the first block and for the granted duration."""
    first = max(first_paid_second(tariff) for tariff in quote.levels[0].tariffs)
    durations = (first,) if isinstance(decision, Denied) else tuple(dict.fromkeys((first, decision.seconds)))
    return [
        rule
        for place, level in enumerate(quote.levels)
        if level.tariffs
        for rule in _level_rules(quote, place, level, durations)
    ]


def _level_rules(quote: Quote, place: int, level: Level, durations: tuple[int, ...]) -> Iterator[Rule]:
    if place:
        yield Rule("rate", True, f"sold at {priced(level.tariffs[0])}", level=level.key)
    for name, buys, rates in _suppliers(quote, place):
        yield Rule("cost", True, f"bought from {name} at {priced(buys[0])}", level=level.key)
        if quote.routed and (rates or level.currency == buys[0].charged_in):
            yield _margin(quote.chain[place], level, (name, buys, rates), durations)


def _suppliers(quote: Quote, place: int) -> Iterator[Supplier]:
    if place + 1 < len(quote.levels):
        above = quote.levels[place + 1]
        if above.tariffs:
            yield "the level above", above.tariffs, quote.levels[place].conversions
        return
    for route in quote.routes:
        yield f"carrier {route.carrier.id}", route.tariffs, route.conversions


def priced(tariff: Tariff) -> str:
    """Return a price in words, without the table that it stands in."""
    fee = f" and {format_nano(tariff.connect_fee)} {tariff.currency} a call" if tariff.connect_fee else ""
    rate = f"{format_nano(tariff.rate)} {tariff.currency} a minute{fee}"
    by = f", {tariff.conversion}" if tariff.conversion is not None else ""
    return f"{rate} for prefix {tariff.prefix}, {tariff.first_seconds}/{tariff.next_seconds}{by}"


def _margin(terms: AccountTerms, level: Level, supplier: Supplier, durations: tuple[int, ...]) -> Rule:
    name, buys, rates = supplier
    currency = buys[0].charged_in
    holds = all(Sale.of(terms, level, seconds).earns(buys, currency, rates) for seconds in durations if seconds)
    told = "; ".join(_earned(level, buys[0], rates, seconds) for seconds in durations)
    return Rule("margin", holds, f"over {name}: {told}; {_floor(terms, level)}", level=level.key)


def _earned(level: Level, buy: Tariff, rates: tuple[Conversion, ...], seconds: int) -> str:
    """Say what a duration earns by the prices in force now."""
    price, paid = charge(level.tariffs[0], seconds).amount, charge(buy, seconds).amount
    cost = divide(paid * (rates[0].rate if rates else NANO), NANO, Rounding.UP)
    left, currency = price - cost, level.currency
    share = f" ({_percent(left, price)} %)" if price else ""
    by = f" ({format_nano(paid)} {buy.charged_in}, {rates[0]})" if rates else ""
    return (
        f"{seconds} s are sold at {format_nano(price)} {currency} and cost {format_nano(cost)} {currency}{by}: "
        f"{format_nano(left)} {currency}{share} is left"
    )


def _percent(left: int, price: int) -> str:
    whole, places = divmod(abs(left) * 100 * PERCENT_PLACES // price, PERCENT_PLACES)
    return f"{'-' if left < 0 else ''}{whole}.{places:02d}"


def _floor(terms: AccountTerms, level: Level) -> str:
    floors = []
    if terms.margin_floor_percent is not None:
        floors.append(f"{format_nano(terms.margin_floor_percent)} %")
    if terms.margin_floor_per_minute is not None:
        floors.append(f"{format_nano(terms.margin_floor_per_minute)} {level.currency} a minute")
    return f"the floor is {' and '.join(floors)}" if floors else "no floor is stated"
