"""Which carriers can take a call now: calls a second, then channels, by the standings of one transaction.

A carrier that is full is left out; the rule that takes the last one is the one that refuses. A call is counted for the
carrier that is tried, when it is: the first of the list at the grant, each other when the switch tells that it is.
"""

from daemon.authorize import words
from daemon.authorize.catalog import Carrier
from daemon.authorize.decision import Denied, Route
from daemon.authorize.denial import Denial
from daemon.authorize.quote import Quote, Standings, Trace, refused, told
from daemon.kernel.instant import SECOND, Instant

Open = list[tuple[Route, Carrier]]


def free_routes(
    quote: Quote, standings: Standings, now: Instant, notes: Trace | None
) -> tuple[Route, ...] | list[Route] | Denied:
    """Return the routes whose carriers can take a call more, in their order, or the refusal that takes the last."""
    limited = [each for each in quote.carriers if each.channels is not None or each.calls_per_second is not None]
    if not limited:
        return quote.routes
    payer = quote.chain[0].key
    left = _slow_enough(list(zip(quote.routes, quote.carriers, strict=True)), quote, standings, now, notes)
    if not left:
        reason = "no carrier may be sent one call more in this second"
        return refused(notes, "carrier_calls_per_second", Denied(Denial.CALLS_PER_SECOND, reason, payer))
    free = _with_channel(left, quote, standings, notes)
    if not free:
        return refused(notes, "carrier_channels", Denied(Denial.CHANNELS, "no carrier has a channel left", payer))
    return [route for route, _carrier in free]


def _slow_enough(asked: Open, quote: Quote, standings: Standings, now: Instant, notes: Trace | None) -> Open:
    left = []
    for route, carrier in asked:
        limit = carrier.calls_per_second
        calls = standings(carrier.number).calls_in(now // SECOND) if limit is not None else 0
        if limit is None or calls < limit:
            left.append((route, carrier))
        else:
            told(notes, words.carrier_calls_per_second, quote.chain[-1], route, calls, limit)
    return left


def _with_channel(asked: Open, quote: Quote, standings: Standings, notes: Trace | None) -> Open:
    left = []
    for route, carrier in asked:
        limit = carrier.channels
        used = standings(carrier.number).channels if limit is not None else 0
        if limit is None or used < limit:
            left.append((route, carrier))
        else:
            told(notes, words.carrier_channels, quote.chain[-1], route, used, limit)
    return left
