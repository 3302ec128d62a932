"""Which carrier a call is on, and what its attempts tell of the carriers: channel, calls a second, ASR and ACD.

A call is one reservation, whatever carriers were tried: the channel moves, money stays. The routes of a call before the
one in use have failed; of the one in use it is known when it answers, or when an end is told of a call that nobody
answered. So what a call counts follows from the call alone, and each change of it counts the difference: a report that
corrects another corrects the counts. What nobody tells (a grant that lapses) counts nothing, nor does what another
tenant than the carriers' tells: it would choose their order for everybody. Functions over a Book.
"""

from collections.abc import Iterator

from daemon.authorize.decision import Route
from daemon.authorize.quality import Tally, group_of, hour_of
from daemon.charging.call import Call, CallState
from daemon.charging.ports import Book, Exceptional
from daemon.kernel.ids import Direction
from daemon.kernel.instant import SECOND, Instant
from daemon.ledger import posting

_TALKED = (CallState.ANSWERED, CallState.SETTLED)


def hold_carrier(book: Book, call: Call, now: Instant) -> None:
    """Reserve a channel of the carrier in use, and count a call in its second."""
    route = call.carrier
    if route is not None and route.account:
        standing = book.standing(route.account).called(now // SECOND)
        book.post(posting.reserve(standing, call.grant_id, 0, Direction.OUTBOUND, now))


def release_carrier(book: Book, call: Call, now: Instant) -> None:
    """Let go of the channel of the carrier in use."""
    route = call.carrier
    if route is not None and route.account:
        book.post(posting.release(book.standing(route.account), call.grant_id, 0, Direction.OUTBOUND, now))


def moved_to_route(book: Book, call: Call, route: int, now: Instant, *, holds: bool) -> Call:
    """Return the call on the route that is told, 0 where none is; the channel of a call that ``holds`` moves with it.

    One that was never granted changes nothing, and is listed: the cost of the call may be another carrier's.
    """
    if route in (0, call.route) or not call.routes:
        return call
    moved = call.changed(route=route)
    if moved.carrier is None:
        book.append_exception(_unknown(call, route, now))
        return call
    if holds:
        release_carrier(book, call, now)
        hold_carrier(book, moved, now)
    return moved


def answered_by(book: Book, call: Call, route: int, now: Instant) -> Call:
    """Return a call on the route that its answer tells, 0 where it tells none; no report moves it from there."""
    call = moved_to_route(book, call, route, now, holds=True)
    return call.changed(route_told=True) if route and route == call.route else call


def ended_by(book: Book, call: Call, route: int, now: Instant) -> Call:
    """Return a call on the route that its end tells, 0 where it tells none; one that its answer told stands.

    An end that tells another is listed: the cost of a call is that of the carrier who answered.
    """
    if not call.route_told or route in (0, call.route):
        return moved_to_route(book, call, route, now, holds=call.is_open)
    detail = f"its answer told route {call.route}, its end tells {route}: it stays booked on route {call.route}"
    key = f"route_changed:{call.grant_id}:{route}"
    book.append_exception(
        Exceptional("route_changed", call.tenant, call.source, call.switch, call.call_id, detail, now, key=key)
    )
    return call


def heard_from(call: Call, tenant: str) -> Call:
    """Return a call of whose attempts a tenant's switch or token tells: only the carriers' own is believed."""
    return call.changed(hearsay=any(route.carrier.tenant != tenant for route in call.routes))


def _unknown(call: Call, route: int, now: Instant) -> Exceptional:
    granted = ", ".join(str(each.number) for each in call.routes)
    detail = f"told on route {route}, granted were {granted}: it stays booked on route {call.route}"
    key = f"route_unknown:{call.grant_id}:{route}"
    return Exceptional("route_unknown", call.tenant, call.source, call.switch, call.call_id, detail, now, key=key)


def next_route(call: Call) -> int:
    """Return the number of the route that is tried when the one in use has failed, 0 where it was the last."""
    return min((route.number for route in call.routes if route.number > call.route), default=0)


def counted(book: Book, before: Call, after: Call) -> None:
    """Count what a change of a call tells of its carriers; ``before`` is the call as it was."""
    if not after.routes:
        return
    sums: dict[tuple[int, str, int], list[int]] = {}
    for sign, call in ((-1, before), (1, after)):
        for carrier, group, hour, *counts in told(call):
            total = sums.setdefault((carrier, group, hour), [0, 0, 0])
            for place, count in enumerate(counts):
                total[place] += sign * count
    for (carrier, group, hour), (attempts, answered, seconds) in sums.items():
        if attempts or answered or seconds:
            book.tally(Tally(carrier, group, hour, attempts, answered, seconds))


def told(call: Call) -> Iterator[Tally]:
    """Yield what a call as it stands tells of its carriers, in the hour of its question."""
    if call.hearsay:
        return
    group, hour = group_of(call.called), hour_of(call.requested_at)
    for route in _of_carriers(call):
        if route.number < call.route:
            yield Tally(route.account, group, hour, 1)
        elif route.number == call.route and call.state in _TALKED:
            seconds = call.duration_us // SECOND if call.state is CallState.SETTLED else 0
            yield Tally(route.account, group, hour, 1, 1, seconds)
        elif route.number == call.route and call.tried:
            yield Tally(route.account, group, hour, 1)


def _of_carriers(call: Call) -> Iterator[Route]:
    return (route for route in call.routes if route.account)
