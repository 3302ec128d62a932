"""Which carriers can take a call now: calls a second, then channels, by the standings of one transaction.

A carrier that is full is left out; the rule that takes the last one is the one that refuses. A call is counted for the
carrier that is tried, when it is: the first of the list at the grant, each other when the switch tells that it is.
"""

from collections.abc import Sequence

from daemon.authorize import words
from daemon.authorize.catalog import AccountTerms, Carrier
from daemon.authorize.decision import Denied, Route
from daemon.authorize.denial import Denial
from daemon.authorize.quote import Quote, Standings, Trace, refused, told
from daemon.kernel.instant import SECOND, Instant
from daemon.ledger.account import Standing


def free_routes(quote: Quote, standings: Standings, now: Instant, notes: Trace | None) -> Sequence[Route] | Denied:
    """Return the routes whose carriers can take a call more, in their order, or the refusal that takes the last."""
    free, denial = [], Denial.CALLS_PER_SECOND
    for route, carrier in zip(quote.routes, quote.carriers, strict=True):
        if carrier.channels is None and carrier.calls_per_second is None:
            free.append(route)
            continue
        standing = standings(carrier.number)
        if carrier.calls_per_second is None and standing.channels_in + standing.channels_out < (carrier.channels or 0):
            free.append(route)  # nearly every carrier
            continue
        lost = _lost_to(quote.chain[-1], route, carrier, standing, now, notes)
        if lost is None:
            free.append(route)
        elif lost is Denial.CHANNELS:
            denial = lost
    if free:
        return free
    if denial is Denial.CHANNELS:
        return refused(notes, "carrier_channels", Denied(denial, "no carrier has a channel left", quote.chain[0].key))
    reason = "no carrier may be sent one call more in this second"
    return refused(notes, "carrier_calls_per_second", Denied(denial, reason, quote.chain[0].key))


def _lost_to(
    top: AccountTerms, route: Route, carrier: Carrier, standing: Standing, now: Instant, notes: Trace | None
) -> Denial | None:
    most, channels = carrier.calls_per_second, carrier.channels
    if most is not None and standing.calls_in(now // SECOND) >= most:
        told(notes, words.carrier_calls_per_second, top, route, standing.calls_in(now // SECOND), most)
        return Denial.CALLS_PER_SECOND
    if channels is not None and standing.channels >= channels:
        told(notes, words.carrier_channels, top, route, standing.channels, channels)
        return Denial.CHANNELS
    return None
