"""One question for both accounts of a call between two customers of one tenant: both sides hold, or none does.

The caller's account pays outbound, that of the called DID inbound: two calls with a charge key each, since direction is
a part of it. What is reported of the one counts for both, in the same transaction; neither is granted longer than the
other. Pure functions over a Book.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from daemon.authorize.attempt import Identity
from daemon.authorize.catalog import Catalog
from daemon.authorize.decide import decide, prepare
from daemon.authorize.decision import Decision, Denied, Granted
from daemon.authorize.denial import Denial
from daemon.authorize.quote import Limits, Quote
from daemon.charging import fraud, settle
from daemon.charging.call import Call, CallState, new_call
from daemon.charging.event import CallReport, Outcome
from daemon.charging.joining import next_place
from daemon.charging.ports import Book
from daemon.charging.repeats import same_side
from daemon.kernel.ids import Direction
from daemon.kernel.instant import Instant

OnTwin = Callable[[CallReport], Outcome]


def called_side(catalog: Catalog, quote: Quote, now: Instant, limits: Limits) -> Quote | Denied | None:
    """Return the question of the called side, a refusal of it, or None where it does not pay or was not asked for."""
    attempt = quote.attempt
    if not attempt.both_sides or attempt.direction is not Direction.OUTBOUND:
        return None
    tenant = quote.chain[0].key.tenant
    own = sorted({key for key in catalog.endpoints.called(quote.called, now) if key.tenant == tenant})
    if not any(catalog.accounts[key].inbound_plans for key in own):
        return None
    if len(own) > 1:
        return _refused(Denied(Denial.ACCOUNT_AMBIGUOUS, f"{len(own)} accounts claim this DID"))
    inward = replace(
        attempt, direction=Direction.INBOUND, identity=Identity(account=str(own[0])), called=quote.called,
        dialling=None, routed=False, both_sides=False,
    )  # fmt: skip
    found = prepare(catalog, inward, now, limits)
    refusal = found if isinstance(found, Denied) else found.upstream
    return found if refusal is None else _refused(refusal)


def _refused(denied: Denied) -> Denied:
    # The caller learns the code alone: what the called account has is none of his business.
    return Denied(denied.denial, "the called side is refused")


@dataclass(frozen=True, slots=True)
class CalledSide:
    """The called side of one question, and the grant's id that it would have."""

    catalog: Catalog
    quote: Quote
    limits: Limits
    terms: settle.Terms
    new_id: str
    now: Instant

    def held(self, book: Book, call: Call, granted: Granted, *, counts: bool) -> tuple[Decision, Call | None]:
        """Hold the called side beside a call that holds already; return the decision on both and the caller's call.

        ``counts``: fraud rules count both sides, since no earlier question of the call did; where the called side is
        refused, the caller's is no call, and counts no more.
        """
        attempt = self.quote.attempt
        decision = decide(self.quote, book.standing, self.limits, self.now, self.new_id, meters=book.meter)
        if isinstance(decision, Denied):
            book.save_call(voided(book, call, self.now))
            if counts:
                fraud.uncounted(book, call, self.now)
            fraud.watch(book, self.catalog, self.quote.levels, attempt.call_id, self.now, decision)
            return _refused(decision), None
        number, part = next_place(same_side(book, attempt))
        twin = new_call(attempt, decision, number, part, self.now)
        twin = twin.changed(due_at=settle.due_at(twin, self.terms))
        settle.hold(book, twin, self.now, counts=counts)
        call, twin = levelled(book, self.catalog, call.changed(twin=twin.grant_id), twin, self.terms, self.now)
        fraud.watch(book, self.catalog, (*call.levels, *twin.levels), call.call_id, self.now)
        book.save_call(call)
        book.save_call(twin)
        seconds, levels = call.granted_seconds, call.levels
        return replace(granted, seconds=seconds, levels=levels, reserved=levels[0].reserved), call


def voided(book: Book, call: Call, now: Instant) -> Call:
    """Return an unanswered call that holds nothing any more."""
    return settle.let_go(book, call, now).moved(CallState.VOIDED, ended_at=now)


def let_twin_go(book: Book, call: Call, now: Instant) -> None:
    """Let go of the called side of a grant that another question replaces."""
    twin = book.call(call.twin) if call.twin else None
    if twin is not None and twin.state is CallState.GRANTED:
        book.save_call(voided(book, twin, now))


def levelled(
    book: Book, catalog: Catalog, call: Call, twin: Call, terms: settle.Terms, now: Instant
) -> tuple[Call, Call]:
    """Return both calls with as many seconds as the one that has fewer; what is beyond is held no longer."""
    seconds = min(call.granted_seconds, twin.granted_seconds)
    call = _shortened(book, catalog, call, seconds, terms, now)
    return call, _shortened(book, catalog, twin, seconds, terms, now)


def _shortened(book: Book, catalog: Catalog, call: Call, seconds: int, terms: settle.Terms, now: Instant) -> Call:
    if call.granted_seconds == seconds:
        return call
    call = settle.regranted(book, catalog, call, seconds, now)
    return call.changed(due_at=settle.due_at(call, terms))


def _is_replaced(book: Book, twin: Call) -> bool:
    """Tell whether the called leg asked for itself after all: then its own reports count."""
    sides = [each for each in book.calls(twin.id_domain, twin.call_id) if each.direction is twin.direction]
    return twin.state is CallState.VOIDED and sides[-1].grant_id != twin.grant_id


def reported(
    book: Book, catalog: Catalog, report: CallReport, outcome: Outcome, act: OnTwin, terms: settle.Terms, now: Instant
) -> Outcome:
    """Do to the called side what a report did to the caller's call, and keep both to the same seconds."""
    call = outcome.call
    twin = book.call(call.twin) if call is not None and call.twin else None
    if call is None or twin is None or _is_replaced(book, twin):
        return outcome
    other = act(
        replace(
            report, attempt=replace(report.attempt, direction=Direction.INBOUND), grant_id=twin.grant_id, exact=True,
            part=0, route=0, aliases=(), weak_aliases=(), message=None,
        )
    ).call  # fmt: skip
    if other is None or (call.state, other.state) != (CallState.ANSWERED, CallState.ANSWERED):
        return outcome
    before = call.granted_seconds
    call, other = levelled(book, catalog, call, other, terms, now)
    book.save_call(call)
    book.save_call(other)
    return replace(outcome, call=call, more_seconds=outcome.more_seconds - (before - call.granted_seconds))
