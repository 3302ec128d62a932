"""What a question, an answer, a sign of life and an end do to a call: functions over the Book of one transaction.

A call that is open holds money and channels at every level, or has given them back: nothing here leaves one half done.
Reports come late, twice and out of order: each finds the part of the call that it means, and an estimate gives way.
A call that nobody asked about is priced and charged all the same; what makes no sense is listed for a person.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from daemon.authorize.attempt import CallAttempt
from daemon.authorize.catalog import Catalog
from daemon.authorize.decide import decide, dialled, refusal_of
from daemon.authorize.decision import Decision, Denied, Granted, Level
from daemon.authorize.denial import Denial
from daemon.authorize.emergency import EMERGENCY_SECONDS, emergency
from daemon.authorize.metering import metered
from daemon.authorize.pricing import Service, tariffs_for
from daemon.authorize.quote import Limits, Quote
from daemon.charging import metering, settle, shares
from daemon.charging.archived import listed_as_archived
from daemon.charging.attempts import answered_by, counted, ended_by, heard_from, moved_to_route, next_route
from daemon.charging.both_sides import CalledSide
from daemon.charging.call import ESTIMATES, Call, CallState, SettledBy, new_call
from daemon.charging.cdr import EndReport
from daemon.charging.event import CallReport, Decided, Outcome
from daemon.charging.fraud import ends, watch
from daemon.charging.joining import (
    CLOCK_TOLERANCE,
    adopted,
    answer_instant,
    apart,
    contested,
    ended_before,
    joined_call,
    measured_us,
    next_place,
    other_calls,
    place_of_report,
    starts_anew,
    was_answered,
)
from daemon.charging.ports import (
    Book,
    Exceptional,
)
from daemon.charging.repeats import SPAN_TOLERANCE, same_side
from daemon.charging.replaced import let_replaced_go
from daemon.charging.warning import with_warnings
from daemon.kernel.ids import Direction
from daemon.kernel.instant import HOUR, SECOND, Instant, decimal_seconds, format_rfc3339
from daemon.kernel.money import Rounding
from daemon.rating.charge import duration_seconds, first_paid_second

Encode = Callable[[Decision], bytes]
DUPLICATE_TOLERANCE_US = SECOND  # microseconds; a second end that differs by more is listed for a person


@dataclass(frozen=True, slots=True)
class ChargingSettings:
    """Seconds; the operator's choices of [charging]. ``grants_postpaid``: while the store cannot commit."""

    slice_seconds: int = 300
    block_seconds_min: int = 10
    ring_seconds: int = 120
    max_grant_seconds: int = 7_200
    cut_tolerance_seconds: int = 2
    interim_seconds: int = 60
    grants_postpaid: bool = False

    def limits(self, attempt: CallAttempt) -> Limits:
        """Return how long a grant may be on the attempt's road."""
        sliced = self.slice_seconds if attempt.renewable else None
        return Limits(self.ring_seconds, self.max_grant_seconds, sliced, self.block_seconds_min)

    @property
    def renewable(self) -> Limits:
        """Return how long a grant may be where it can be renewed."""
        return Limits(self.ring_seconds, self.max_grant_seconds, self.slice_seconds, self.block_seconds_min)

    @property
    def terms(self) -> settle.Terms:
        """Return what settlement needs of these."""
        return settle.Terms(self.cut_tolerance_seconds, self.interim_seconds, self.ring_seconds)


class PayerWanted(Exception):
    """A report is about a call that nobody asked about: the transaction has to be run again knowing who pays."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a report is looked at with: the configuration in force, what a call may be granted, and our own clock."""

    catalog: Catalog
    settings: ChargingSettings
    limits: Limits
    quote: Quote | Denied | None
    new_id: str
    now: Instant
    archived_until: Instant = 0
    short: Collection[int] = ()  # accounts whose money is shared out already: nobody takes more of it by himself

    @property
    def terms(self) -> settle.Terms:
        return self.settings.terms

    @property
    def look(self) -> shares.Look:
        """What the money that several calls share is looked at with."""
        return shares.Look(self.catalog, self.limits, self.terms, self.now)


class RoomWanted(Exception):
    """A question finds its block held by calls that may end earlier: nothing of it is done, and it is asked again.

    ``accounts`` are those whose money they hold.
    """

    def __init__(self, quote: Quote, accounts: tuple[int, ...]) -> None:
        """Take the question and the accounts."""
        super().__init__(*accounts)
        self.quote, self.accounts = quote, accounts


def _never(_accounts: Collection[int]) -> bool:
    return False


MONEY = (Denial.BALANCE_INSUFFICIENT, Denial.DAILY_SPEND, Denial.MONTHLY_SPEND, Denial.UPSTREAM_REFUSED)
MayYield = Callable[[Collection[int]], bool]
Act = Callable[[Book, CallReport, Context], Outcome]
Change = Callable[[Book, Call, Context], Outcome]


def emergency_line(attempt: CallAttempt, payer: str, now: Instant) -> dict[str, str]:
    """Return what is journalled of an emergency call; ``payer`` is ``tenant/id`` of the account found, or nothing."""
    return {
        "at": format_rfc3339(now), "call_id": attempt.call_id, "switch": attempt.switch, "source": attempt.source,
        "called": attempt.called, "calling": attempt.calling, "account": payer or attempt.identity.account,
    }  # fmt: skip


def _exception(kind: str, attempt: CallAttempt, detail: str, now: Instant, key: str = "") -> Exceptional:
    return Exceptional(kind, attempt.tenant, attempt.source, attempt.switch, attempt.call_id, detail, now, key)


@dataclass(frozen=True, slots=True)
class Initial:
    """The work of one question. ``may_yield``: whether calls on each of some accounts can be told to end earlier."""

    catalog: Catalog
    quote: Quote
    limits: Limits
    terms: settle.Terms
    new_id: str
    now: Instant
    encode: Encode
    called_side: CalledSide | None = None
    may_yield: MayYield = _never

    def __call__(self, book: Book) -> Decided:
        before = let_replaced_go(book, self.quote, self.now)
        decided = self._decided(book, before.call if before is not None else None)
        if before is not None and isinstance(decided.decision, Denied):
            before.restored(book, self.now)
        return decided

    def _decided(self, book: Book, replaced: Call | None) -> Decided:
        attempt = self.quote.attempt
        if replaced is not None and replaced.called != self.quote.called:
            replaced = None  # another number: the old grant is void, and its id never stands for the new one
        earlier = same_side(book, attempt)
        grant_id = replaced.grant_id if replaced is not None else self.new_id
        decision = decide(self.quote, book.standing, self.limits, self.now, grant_id, meters=book.meter)
        if self._lacks_money(decision):
            short = shares.lacking(book.standing, self.quote, self.limits.block_seconds_min, self.now)
            if short and self.may_yield(short):
                raise RoomWanted(self.quote, short)
        if isinstance(decision, Denied):
            watch(book, self.catalog, self.quote.levels, attempt.call_id, self.now, decision)
            return Decided(decision, self.encode(decision))
        number, part = (replaced.attempt, replaced.part) if replaced is not None else next_place(earlier)
        call = new_call(attempt, decision, number, part, self.now)
        call = call.changed(due_at=settle.due_at(call, self.terms))
        settle.hold(book, call, self.now, counts=replaced is None)
        call = with_warnings(book, self.catalog, call, self.now)
        book.save_call(call)
        decision = replace(decision, warnings=call.warnings) if call.warnings != decision.warnings else decision
        if self.called_side is None:
            watch(book, self.catalog, call.levels, call.call_id, self.now)
            return Decided(decision, self.encode(decision), call)
        both, held = self.called_side.held(book, call, decision, counts=replaced is None)
        return Decided(both, self.encode(both), held)

    def _lacks_money(self, decision: Decision) -> bool:
        if self.may_yield is _never:
            return False
        if isinstance(decision, Denied):
            return decision.denial in MONEY
        return decision.renewable and decision.seconds < self.limits.block_seconds_min

    def journalled(self, granted: Granted) -> tuple[Call, bytes]:
        """Return the call of a grant that the store has not seen, and the bytes that answer the question."""
        call = new_call(self.quote.attempt, granted, 1, 1, self.now)
        return call.changed(due_at=settle.due_at(call, self.terms)), self.encode(granted)


def on_answer(book: Book, report: CallReport, context: Context) -> Outcome:
    call = joined_call(book, report)
    answered_at = answer_instant(report, context.now)
    if call is None or starts_anew(call, report, answered_at):
        return _unauthorised(book, report, context, answered_at)
    if call.state is CallState.GRANTED:
        return _charging_begins(book, call, report, context, answered_at)
    if ended_before(call, answered_at):
        assert call.ended_at is not None, call
        return _settled(book, call, replace(report, at=call.ended_at, answered_at=answered_at), context)
    if call.state in (CallState.EXPIRED, CallState.VOIDED):
        revived = _revived(book, _untried(book, call), context)
        return _charging_begins(book, revived, report, context, answered_at)
    if call.state is CallState.SETTLED and call.settled_by in ESTIMATES:
        return _alive_again(book, call, report, context)
    _question_answer(book, call, report, answered_at, context)
    return Outcome(call, False)


def _question_answer(book: Book, call: Call, report: CallReport, answered_at: Instant, context: Context) -> None:
    """List a second answer of a running call that tells another instant; the first one stands."""
    if call.state is not CallState.ANSWERED or report.answered_at is None or call.answered_at is None:
        return
    tolerance = SPAN_TOLERANCE if call.source == report.attempt.source else CLOCK_TOLERANCE
    if abs(answered_at - call.answered_at) <= tolerance:
        return
    detail = f"answered at {format_rfc3339(call.answered_at)}; another answer says {format_rfc3339(answered_at)}"
    key = f"conflict:answer:{call.grant_id}"
    book.append_exception(_exception("conflict", report.attempt, detail, context.now, key=key))


def _charging_begins(book: Book, call: Call, report: CallReport, context: Context, answered_at: Instant) -> Outcome:
    answered_at, before = _after_asked(book, call, report, answered_at, context), call
    call = heard_from(answered_by(book, adopted(book, call, report), report.route, context.now), report.attempt.tenant)
    _end_earlier_parts(book, call, report, answered_at, context)
    call = settle.priced_at_answer(book, context.catalog, call, answered_at, context.now)
    call = settle.reaffirmed(book, context.catalog, call, context.now, can_shorten=report.attempt.hears_answer)
    call = call.moved(CallState.ANSWERED, last_seen_at=answered_at, started=True)
    call = call.changed(due_at=settle.due_at(call, context.terms))
    counted(book, before, call)
    call = with_warnings(book, context.catalog, call, context.now)
    book.save_call(call)
    return Outcome(call, True, short=shares.short_of(book, call, call.granted_seconds, context.settings.slice_seconds))


def _after_asked(book: Book, call: Call, report: CallReport, at: Instant, context: Context) -> Instant:
    """Return an instant of an authorised call; one before its question is a clock that lies, and is not believed."""
    if not call.authorised or at >= call.requested_at - CLOCK_TOLERANCE:
        return at
    detail = f"the switch's clock is {(call.requested_at - at) // SECOND} s behind ours: our own time is used"
    item = _exception("clock_skew", report.attempt, detail, context.now, key=f"clock_skew:{call.grant_id}")
    book.append_exception(item)
    return context.now


def _end_earlier_parts(book: Book, call: Call, report: CallReport, answered_at: Instant, context: Context) -> None:
    """End the parts before this one where the source does not count parts itself; a Stop of their own corrects it."""
    if report.part or call.part == 1:
        return
    for other in other_calls(book, report.attempt, call):
        if report.attempt.callers_id and other.called != call.called:
            continue  # a call of its own, which its own Stop ends
        if other.state is CallState.ANSWERED and other.part < call.part and other.payer == call.payer:
            until = other.changed(last_seen_at=max(other.last_seen_at, answered_at))
            _estimated(book, until, SettledBy.NEXT_PART, context)


def _untried(book: Book, call: Call) -> Call:
    """Return a closed call that was answered after all: its attempt did not fail."""
    again = call.changed(tried=False)
    counted(book, call, again)
    return again


def _revived(book: Book, call: Call, context: Context) -> Call:
    """Return a lapsed call holding again what it can: it was answered after all."""
    call = call.changed(granted_seconds=0, ended_at=None, settled_by=SettledBy.NOBODY)
    return settle.held_afresh(book, context.catalog, call, context.limits, context.now)


def _unauthorised(book: Book, report: CallReport, context: Context, answered_at: Instant) -> Outcome:
    """Open a call that nobody asked about: it is charged all the same, and counted."""
    call = _unasked_call(book, report, context)
    if call is None:
        return Outcome(None, False)
    call = call.changed(answered_at=answered_at)
    if any(level.tiered or level.currency != call.levels[0].currency for level in call.levels):
        call = settle.priced_at_answer(book, context.catalog, call, answered_at, context.now)
    if call.emergency:
        call = _never_cut(book, call, context)
    else:
        call = settle.held_afresh(book, context.catalog, call, context.limits, context.now)
    call = call.moved(CallState.ANSWERED, last_seen_at=answered_at, joined=True, started=True)
    call = call.changed(due_at=settle.due_at(call, context.terms))
    book.save_call(call)
    return Outcome(call, True)


def _never_cut(book: Book, call: Call, context: Context) -> Call:
    """An emergency call has a limit of a day and holds no money; what it costs is posted at its end."""
    call = call.changed(granted_seconds=EMERGENCY_SECONDS)
    settle.hold(book, call, context.now)
    return call


def _unasked_call(book: Book, report: CallReport, context: Context) -> Call | None:
    asked, attempt = context.quote, report.attempt
    if asked is None:
        raise PayerWanted
    if listed_as_archived(book, report, context.archived_until, context.now):
        return None
    refusal = refusal_of(asked)
    quote = asked if isinstance(asked, Quote) and refusal is None else _forced_quote(context, report, refusal)
    emergency_call = emergency(context.catalog, attempt, context.now) is not None
    if emergency_call and (quote is None or not _priced_whole(quote)):
        return None  # granted from memory and journalled; nobody's plan prices it
    if quote is None:
        assert refusal is not None, asked
        kind = "unrated" if refusal.account is not None else "no_account"
        key = f"{kind}:{attempt.id_domain}:{_listed_by(kind, report, context.now)}"
        detail = refusal.reason if kind == "unrated" else f"{refusal.reason}; {_who_called(report)}"
        book.append_exception(_exception(kind, attempt, detail, context.now, key=key))
        return None
    levels = quote.levels
    if emergency_call:  # counts for no fraud rule, whatever it costs
        levels = tuple(replace(level, watched=()) for level in levels)
    number, part = place_of_report(same_side(book, attempt), report)
    detail = f"nobody asked about this call; it is charged to {quote.chain[0].key}"
    key = f"unauthorised:{attempt.id_domain}:{attempt.call_id}:{number}:{part}"
    if not emergency_call:
        book.append_exception(_exception("unauthorised", attempt, detail, context.now, key=key))
    granted = Granted(
        grant_id=context.new_id, seconds=0, reserved=0, currency=levels[0].currency, levels=levels,
        routes=(), called=quote.called, renewable=attempt.renewable, is_final=False, valid_until=context.now,
    )  # fmt: skip
    call = new_call(attempt, granted, number, part, context.now)
    return call.changed(authorised=False, emergency=emergency_call, aliases=report.aliases)


def _priced_whole(quote: Quote) -> bool:
    """Tell whether every level prices a number by a row of its own: a prefix may fit a short code by chance."""
    return all(tariff.prefix == quote.called for level in quote.levels for tariff in level.tariffs)


def _listed_by(kind: str, report: CallReport, now: Instant) -> str:
    """Return what such a report is listed by: a tenant's token, which is told so, makes one line an hour, not one each.

    Its call ids are what it likes, and would push what a person has to see off the list.
    """
    is_nobodys = kind == "no_account" and report.own_token
    return f"hour {now // HOUR}" if is_nobodys else report.attempt.call_id


_BY_IDENTITY = "state an identity of this call for an account"
_BY_DID = "an inbound call; state the called number as a did of an account"
_FOUND_BY = {  # what finds the payer the next time, by the road that told of the call
    "radius": "state trust_user_name for the NAS, or an identity of this call for an account",
    "http": "name the account in the question, or state an identity of this call for one; a SIP user alone is believed"
    " of a token that was made with --trust-user-name",
}


def _who_called(report: CallReport) -> str:
    """Return what a report says of a call that nobody pays, and where to look."""
    attempt = report.attempt
    lasted = "unknown" if report.duration_us is None else f"{decimal_seconds(report.duration_us)} s"
    user = attempt.identity.account or attempt.identity.sip_user
    told = f"user {user or 'none'}, caller {attempt.calling or attempt.identity.caller or 'none'}"
    inbound = attempt.direction is Direction.INBOUND
    found_by = _BY_DID if inbound else _FOUND_BY.get(attempt.source, _BY_IDENTITY)
    return f"{told}, called {attempt.called or 'none'}, duration {lasted}: {found_by}"


def _forced_quote(context: Context, report: CallReport, denied: Denied | None) -> Quote | None:
    """Price a call that would have been refused (suspended, no carrier): it happened, so it is charged."""
    if denied is None or denied.account is None or denied.account not in context.catalog.accounts:
        return None
    terms = context.catalog.accounts[denied.account]
    at = min(report.answered_at or report.at, context.now)
    called = dialled(context.catalog, report.attempt, terms, at)
    if called is None:
        return None
    chain = context.catalog.chain(terms)
    levels = []
    for account in chain:
        service = Service(report.attempt.override)
        tariffs = tariffs_for(context.catalog, account, report.attempt.direction, called, at, at, service, lapsed=True)
        if not tariffs:
            return None
        level = Level(account.number, account.key, account.currency, tariffs)
        levels.append(metered(context.catalog, account, level, called, report.attempt.direction))
    return Quote(report.attempt, called, chain, tuple(levels), (), (), routed=False)


def on_alive(book: Book, report: CallReport, context: Context) -> Outcome:
    call = joined_call(book, report)
    if call is None:
        return _unauthorised(book, report, context, answer_instant(report, context.now))
    if call.state is CallState.ANSWERED:
        return _seen(book, call, report, context)
    if call.state is CallState.SETTLED and call.settled_by not in ESTIMATES:
        return Outcome(call, False)  # an Interim after the Stop is acknowledged and changes nothing
    return on_answer(book, report, context)


def _seen(book: Book, call: Call, report: CallReport, context: Context) -> Outcome:
    seen = min(report.at, context.now)
    kept = seen - call.last_seen_at <= 2 * context.terms.interim_seconds * SECOND
    call = call.changed(last_seen_at=max(seen, call.last_seen_at), interims=call.interims + 1 if kept else 0)
    call = call.changed(due_at=settle.due_at(call, context.terms))
    book.save_call(call)
    return Outcome(call, True)


def on_renewal(book: Book, report: CallReport, context: Context) -> Outcome:
    return _renewed(book, report, context, paced=False)


def on_paced_renewal(book: Book, report: CallReport, context: Context) -> Outcome:
    return _renewed(book, report, context, paced=True)


def _renewed(book: Book, report: CallReport, context: Context, *, paced: bool) -> Outcome:
    outcome = on_alive(book, report, context)
    call = outcome.call
    if call is None or call.state is not CallState.ANSWERED or call.cut or call.emergency:
        return outcome
    if context.limits.slice_seconds is None or (paced and not call.renewable):
        return outcome
    if ends(book, context.catalog, call, context.now):
        return outcome
    is_shared = any(level.account in context.short for level in call.levels)
    used = duration_seconds(measured_us(call, report), Rounding.UP)
    if call.wanted or is_shared:
        call = shares.quoted(book, call, report.at, context.look) if paced and call.wanted else call
        return Outcome(call, outcome.changed, short=shares.short_of(book, call, 0, context.settings.slice_seconds))
    before = call.granted_seconds
    call = settle.extended(book, context.catalog, call, context.limits, context.now, used if paced else None)
    call = call.changed(due_at=settle.due_at(call, context.terms))
    call = with_warnings(book, context.catalog, call, context.now)
    book.save_call(call)
    more = call.granted_seconds - before
    left = call.granted_seconds - used if paced else more
    short = shares.short_of(book, call, left, context.settings.slice_seconds)
    return Outcome(call, outcome.changed or more > 0, more, short=short)


def _alive_again(book: Book, call: Call, report: CallReport, context: Context) -> Outcome:
    """A call that was settled by an estimate still runs: take the charge back and hold again what it used."""
    settled, call = call, settle.reversed_charge(book, context.catalog, call, context.now)
    used, call = call.levels, call.changed(ended_at=None, settled_by=SettledBy.NOBODY)
    levels = metering.needed(book, context.catalog, call, call.granted_seconds, context.now)
    call = call.changed(levels=levels)
    settle.hold(book, call, context.now, used)
    call = call.moved(CallState.ANSWERED, last_seen_at=max(call.last_seen_at, min(report.at, context.now)), interims=0)
    call = call.changed(due_at=max(settle.due_at(call, context.terms), context.now + 60 * SECOND))
    counted(book, settled, call)
    book.save_call(call)
    return Outcome(call, True)


def _of_several_payers(book: Book, running: list[Call], report: CallReport, context: Context) -> Outcome:
    """List an end that may be of several accounts' calls, and end none: each is settled by its own end, or unknown."""
    payers = ", ".join(sorted({str(call.payer) for call in running}))
    detail = f"an end that names no payer may be of a call of any of {payers}: none is ended by it"
    key = f"payer_ambiguous:{running[-1].grant_id}:{report.at}"
    book.append_exception(_exception("payer_ambiguous", report.attempt, detail, context.now, key=key))
    return Outcome(None, False)


def on_end(book: Book, report: CallReport, context: Context) -> Outcome:
    running = contested(book, report)
    return _of_several_payers(book, running, report, context) if running else _ended(book, report, context)


def _ended(book: Book, report: CallReport, context: Context) -> Outcome:
    call = joined_call(book, report)
    if call is not None and not call.is_open and call.state is not CallState.SETTLED:
        return _late_end(book, call, report, context)
    if call is None:
        return _unasked_end(book, report, context)
    if call.state is CallState.SETTLED and call.settled_by not in ESTIMATES:
        if apart(call, report):
            return _unasked_end(book, replace(report, part=0), context)
        return _again(book, call, report, context)
    if call.answered_at is None and not was_answered(report):
        return _end_kept(book, call, report, context) if report.answered else _voided(book, call, report, context)
    return _settled(book, call, report, context)


def _end_kept(book: Book, call: Call, report: CallReport, context: Context) -> Outcome:
    """Void a call of which only an end without a duration was told, and keep its instant: the answer may come late."""
    freed = settle.let_go(book, _tried(book, adopted(book, call, report), report, context), context.now)
    freed = freed.moved(CallState.VOIDED, ended_at=min(report.at, context.now), settled_by=SettledBy.HANGUP)
    counted(book, call, freed)
    book.save_call(freed)
    return Outcome(freed, True)


def _voided(book: Book, call: Call, report: CallReport, context: Context) -> Outcome:
    freed = settle.let_go(book, _tried(book, call, report, context), context.now)
    freed = freed.moved(CallState.VOIDED, ended_at=context.now)
    counted(book, call, freed)
    book.save_call(freed)
    return Outcome(freed, True)


def _tried(book: Book, call: Call, report: CallReport, context: Context) -> Call:
    """Return a call that nobody answered on the route that was tried last, if any was."""
    call = moved_to_route(book, call, report.route, context.now, holds=True)
    return heard_from(call, report.attempt.tenant).changed(tried=report.tried)


def on_attempt(book: Book, report: CallReport, context: Context) -> Outcome:
    """A carrier is being tried: the channel of an unanswered call moves to it. One that was passed is not gone back to.

    A report without a route says that the one in use has failed.
    """
    call = joined_call(book, report)
    if call is None or call.state is not CallState.GRANTED:
        return Outcome(call, False)
    route = report.route or next_route(call)
    if route <= call.route:
        return Outcome(call, False)
    moved = moved_to_route(book, call, route, context.now, holds=True)
    moved = heard_from(moved, report.attempt.tenant) if moved is not call else call
    counted(book, call, moved)
    book.save_call(moved)
    return Outcome(moved, moved is not call)


def _late_end(book: Book, call: Call, report: CallReport, context: Context) -> Outcome:
    """An end for a call that lapsed unanswered: an expired reservation never prevents a debit."""
    return _settled(book, call, report, context) if was_answered(report) else Outcome(call, False)


def _unasked_end(book: Book, report: CallReport, context: Context) -> Outcome:
    if not was_answered(report):
        return Outcome(None, False)
    call = _unasked_call(book, report, context)
    if call is None:
        return Outcome(None, False)
    settle.hold(book, call, context.now)
    # No switch ever had a limit of ours for it, whatever the road could have carried: nothing of it is our own cut.
    return _settled(book, call.changed(joined=True, renewable=False), report, context)


def _settled(book: Book, call: Call, report: CallReport, context: Context) -> Outcome:
    before = call
    if call.answered_at is None:
        answered_at = report.answered_at
        if answered_at is None:
            answered_at = report.at - (report.duration_us or 0)
        call = settle.priced_at_answer(book, context.catalog, call, answered_at, context.now)
        call = heard_from(call, report.attempt.tenant)
    call = ended_by(book, call, report.route, context.now)
    duration_us = measured_us(call, report)
    _question_duration(book, call, report, duration_us, context)
    _note_late(book, call, report, duration_us, context)
    by = SettledBy(report.settled_by) if report.settled_by else SettledBy.HANGUP
    end = EndReport(report.at, duration_us, report.cause, report.switch_seconds, 0, report.attempt.source)
    call = settle.settled(book, context.catalog, adopted(book, call, report), end, by, context.terms, context.now)
    counted(book, before, call)
    book.save_call(call)
    return Outcome(call, True)


def _question_duration(book: Book, call: Call, report: CallReport, duration_us: int, context: Context) -> None:
    """List an end of an authorised call that our own clock or a proof of life contradicts; the value is kept."""
    if not call.authorised:
        return
    assert call.answered_at is not None, call
    longest = context.now - call.requested_at + CLOCK_TOLERANCE
    proved = call.last_seen_at - call.answered_at - CLOCK_TOLERANCE
    if proved <= duration_us <= longest:
        return
    allowed = f"{decimal_seconds(max(0, proved))} to {decimal_seconds(longest)} s"
    detail = f"the end tells {decimal_seconds(duration_us)} s; our clock allows {allowed}"
    key = f"duration_implausible:{call.grant_id}:{duration_us}"
    book.append_exception(_exception("duration_implausible", report.attempt, detail, context.now, key=key))


def _note_late(book: Book, call: Call, report: CallReport, duration_us: int, context: Context) -> None:
    """List an end that a tenant's own token dates back: the call may have run on, and nobody else can tell.

    One that takes an estimate back needs no line: the estimate has one, since nobody told an end in time.
    """
    if not report.own_token or call.state is CallState.SETTLED or report.at >= context.now - CLOCK_TOLERANCE:
        return
    late = decimal_seconds(context.now - report.at)
    detail = f"told {late} s late: charged for {decimal_seconds(duration_us)} s, as the end says and no report denies"
    key = f"end_told_late:{call.grant_id}"
    book.append_exception(_exception("end_told_late", report.attempt, detail, context.now, key=key))


def _again(book: Book, call: Call, report: CallReport, context: Context) -> Outcome:
    """A second end of a settled call changes nothing; one that tells another duration is listed for a person."""
    duration_us = measured_us(call, report) if was_answered(report) else call.duration_us
    if abs(duration_us - call.duration_us) > DUPLICATE_TOLERANCE_US:
        detail = f"charged for {decimal_seconds(call.duration_us)} s, another end says {decimal_seconds(duration_us)} s"
        key = f"duplicate:{call.grant_id}:{duration_us}"
        book.append_exception(_exception("duplicate_differs", report.attempt, detail, context.now, key=key))
    return Outcome(call, False)


def on_due(book: Book, call: Call, context: Context) -> Outcome:
    if not call.is_open or call.due_at > context.now:
        return Outcome(call, False)
    if call.state is CallState.GRANTED:
        freed = settle.let_go(book, call, context.now, expired=True)
        call = freed.moved(CallState.EXPIRED, ended_at=context.now)
        book.save_call(call)
        return Outcome(call, True)
    return _estimated(book, call, SettledBy.END_UNKNOWN, context)


def _estimated(book: Book, call: Call, by: SettledBy, context: Context) -> Outcome:
    """Settle at the last proof of life; a start alone is worth the first block. Listed for a person."""
    assert call.answered_at is not None, call
    lived_us = max(0, call.last_seen_at - call.answered_at)
    if lived_us == 0:
        lived_us = first_paid_second(call.levels[0].tariffs[0]) * SECOND
    end = EndReport(call.answered_at + lived_us, lived_us, "", None, 0)
    seen, before = call.last_seen_at, call  # an estimate proves nothing: a late end is held against what was told
    call = settle.settled(book, context.catalog, call, end, by, context.terms, context.now).changed(last_seen_at=seen)
    counted(book, before, call)
    book.save_call(call)
    detail = f"nobody reported the end; charged for {decimal_seconds(lived_us)} s, its last proof of life"
    book.append_exception(settle.estimate_listed(call, by, detail, context.now))
    return Outcome(call, True)


def on_cut(book: Book, call: Call, _context: Context) -> Outcome:
    if not call.is_open or call.cut:
        return Outcome(call, False)
    call = call.changed(cut=True)
    book.save_call(call)
    return Outcome(call, True)


def on_shortened(book: Book, call: Call, seconds: int, context: Context) -> Outcome:
    """The switch of a call has confirmed that it ends it after ``seconds`` in all."""
    after = shares.confirmed(book, call, seconds, context.look)
    return Outcome(after, after is not call)


def on_recovery(book: Book, call: Call, by: SettledBy, context: Context) -> Outcome:
    if not call.is_open:
        return Outcome(call, False)
    if call.state is CallState.ANSWERED:
        return _estimated(book, call, by, context)
    freed = settle.let_go(book, call, context.now)
    freed = freed.moved(CallState.VOIDED, ended_at=context.now, settled_by=by)
    book.save_call(freed)
    if by is SettledBy.RECOVERY:
        detail = "granted, and gone when its switch was asked: nobody can tell whether it was answered; nothing charged"
        book.append_exception(settle.estimate_listed(freed, by, detail, context.now))
    return Outcome(freed, True)
