"""The use cases of online charging: ask, answer, sign of life, end, expiry; alike for every road.

Each is one transaction: a pure function over a Book, run where accounts and keys are locked, answered after commit.
The message key answers repeats with the same bytes; the charge key makes one call one charge.
A call that nobody authorised is charged all the same. Nothing that fails is taken for "gone".
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from daemon.authorize.attempt import CallAttempt
from daemon.authorize.catalog import Catalog
from daemon.authorize.decide import (
    EMERGENCY_SECONDS,
    Limits,
    Quote,
    Standings,
    Trace,
    decide,
    dialled,
    emergency,
    is_emergency_number,
    prepare,
    refusal_of,
)
from daemon.authorize.decision import Decision, Denied, Granted, Level, Rule
from daemon.authorize.metering import Meters, metered, no_meter
from daemon.authorize.pricing import Service, tariffs_for
from daemon.charging import metering, settle
from daemon.charging.archived import listed_as_archived
from daemon.charging.call import ESTIMATES, Call, CallState, SettledBy, new_call
from daemon.charging.cdr import EndReport
from daemon.charging.event import Authorized, CallReport, Conflict, Decided, MessageKey, Outcome, Replay, Reported
from daemon.charging.expiry import swept, without_expired
from daemon.charging.joining import (
    CLOCK_TOLERANCE,
    adopted,
    answer_instant,
    apart,
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
    Directory,
    Exceptional,
    Journal,
    Message,
    Outside,
    Reads,
    Store,
    StoreError,
    StoreUnavailable,
)
from daemon.charging.reads import of_question, of_report
from daemon.charging.repeats import once, question_stands, report_stands, same_side
from daemon.charging.without_store import WithoutStore
from daemon.kernel.instant import SECOND, Instant, format_rfc3339
from daemon.kernel.money import Rounding
from daemon.rating.charge import duration_seconds, first_paid_second

T = TypeVar("T")
Encode = Callable[[Decision], bytes]
EncodeOutcome = Callable[[Outcome], bytes]
Check = Callable[[Call | None], None]  # sees the call that a report means before it does anything; may raise
DUPLICATE_TOLERANCE_US = SECOND  # microseconds; a second end that differs by more is listed for a person
DUE_BATCH = 256  # calls looked at in one round of expiry


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
    def terms(self) -> settle.Terms:
        """Return what settlement needs of these."""
        return settle.Terms(self.cut_tolerance_seconds, self.interim_seconds, self.ring_seconds)


def _no_bytes(_decision: Decision) -> bytes:
    return b""


class OnlineCharging:
    """The charging function. Every method may raise StoreError; then nothing was committed."""

    def __init__(
        self, store: Store, directory: Directory, journal: Journal, outside: Outside, settings: ChargingSettings,
        without_store: WithoutStore | None = None,
    ) -> None:  # fmt: skip
        """Bind the ports; opens nothing. Without ``without_store`` nothing is granted that the store cannot hold."""
        self._store = store
        self._directory = directory
        self._journal = journal
        self._outside = outside
        self.settings = settings
        self._without_store = without_store
        self.stuck: dict[str, str] = {}  # calls that could not be resolved in the last round, and why

    def now(self) -> Instant:
        """Return the instant by the clock that every charge is dated by."""
        return self._outside.now()

    def catalog(self) -> Catalog:
        """Return the configuration in force."""
        return self._directory.catalog()

    async def authorize(
        self, attempt: CallAttempt, *, message: MessageKey | None = None, encode: Encode = _no_bytes
    ) -> Authorized:
        """Initial: decide, and reserve what is granted. ``encode`` makes the reply's bytes inside the transaction."""
        now = self._outside.now()
        catalog = self._directory.catalog()
        granted = emergency(catalog, attempt, now)
        if granted is not None:
            await self._journal.append(_emergency_line(attempt, now))
            return Decided(granted, encode(granted))
        limits = self.settings.limits(attempt)
        quote = prepare(catalog, attempt, now, limits)
        if isinstance(quote, Denied):
            return await self._refused(attempt, quote, message, encode, now)
        work = _Initial(catalog, quote, limits, self.settings.terms, self._outside.new_id(), now, encode)
        reads = of_question(attempt.id_domain, attempt.call_id, message, quote)
        stands = question_stands(message, attempt, now)
        try:
            answer = await self._transact(reads, lambda book: once(book, message, attempt, now, work, stands))
        except StoreUnavailable as error:
            return await self._from_memory(work, message, error)
        if self._without_store is not None and message is not None and not isinstance(answer, Conflict):
            self._without_store.remember(Message(message.key, message.body, answer.reply, now))
        return answer

    async def _transact(self, reads: Reads, work: Callable[[Book], T]) -> T:
        """Run a transaction, after what was granted without the store has been entered."""
        if self._without_store is not None:
            await self._without_store.drain(self._store, self._outside.now())
        return await self._store.transact(reads, without_expired(work, self._outside.now()))

    async def _from_memory(self, work: "_Initial", message: MessageKey | None, error: StoreUnavailable) -> Authorized:
        """Grant without the store where the operator chose so; elsewhere the store's error stands."""
        if self._without_store is None or not self.settings.grants_postpaid:
            raise error
        reply = self._without_store.repeat(message, work.now)
        if reply is not None:
            return Replay(reply)
        # An id of its own: the store may have committed the other, and not have been able to say so.
        fresh = self._outside.new_id()
        return await self._without_store.grant(work.quote, work.limits, message, work.journalled, fresh, work.now)

    @property
    def journalled(self) -> int:
        """How many grants wait for the store."""
        return len(self._without_store.grants) if self._without_store is not None else 0

    async def learn(self) -> None:
        """Note what postpaid calls are granted by while the store cannot commit. Raises StoreError."""
        if self._without_store is not None and self.settings.grants_postpaid:
            await self._without_store.learn(self._store, self._directory.catalog(), self._outside.now())

    async def _refused(
        self, attempt: CallAttempt, denied: Denied, message: MessageKey | None, encode: Encode, now: Instant
    ) -> Authorized:
        """Refuse by configuration alone; what an earlier question of the same call holds is let go."""
        terms = self.settings.terms
        reads = of_question(attempt.id_domain, attempt.call_id, message)

        def work(book: Book) -> Decided:
            _replaced(book, attempt, terms, now)
            return Decided(denied, encode(denied))

        stands = question_stands(message, attempt, now)
        return await self._transact(reads, lambda book: once(book, message, attempt, now, work, stands))

    def explain(
        self, attempt: CallAttempt, standings: Standings, limits: Limits | None = None, meters: Meters = no_meter
    ) -> tuple[Decision, Trace]:
        """Decide without effect, and return every rule that took part with the values compared."""
        now, trace = self._outside.now(), []  # type: Instant, Trace
        catalog = self._directory.catalog()
        granted = emergency(catalog, attempt, now)
        if granted is not None:
            return granted, [Rule("emergency", True, f"{granted.called} is an emergency number: granted from memory")]
        chosen = limits if limits is not None else self.settings.limits(attempt)
        quote = prepare(catalog, attempt, now, chosen, trace)
        if isinstance(quote, Denied):
            return quote, trace
        return decide(quote, standings, chosen, now, "", trace, meters), trace

    def is_emergency(self, called: str) -> bool:
        """Tell whether a number, or what is left of it after a configured tech prefix, is an emergency number."""
        return is_emergency_number(self._directory.catalog(), called)

    def quote_reads(self, attempt: CallAttempt) -> Reads:
        """Return the accounts and meters that ``explain`` would ask for."""
        quote = prepare(self._directory.catalog(), attempt, self._outside.now(), self.settings.limits(attempt))
        return Reads() if isinstance(quote, Denied) else Reads(accounts=quote.accounts, meters=quote.meters)

    async def answered(
        self, report: CallReport, *, encode: EncodeOutcome | None = None, check: Check | None = None
    ) -> Reported:
        """The called side answered: charging starts. An unauthorised call reserves what it can and is charged."""
        return await self._report(report, _on_answer, encode, check)

    async def alive(
        self, report: CallReport, *, renew: bool = False, paced: bool = False,
        encode: EncodeOutcome | None = None, check: Check | None = None,
    ) -> Reported:  # fmt: skip
        """Update: a sign of life; with ``renew`` one slice more is reserved where the road allows it.

        ``paced``: the peer asks when it likes: the slice begins at what it has used, and asking twice changes nothing.
        """
        act = (_on_paced_renewal if paced else _on_renewal) if renew else _on_alive
        return await self._report(report, act, encode, check)

    async def ended(
        self, report: CallReport, *, encode: EncodeOutcome | None = None, check: Check | None = None
    ) -> Reported:
        """Terminate: post the charge and release the rest, or void a call that was never answered."""
        return await self._report(report, _on_end, encode, check)

    async def _report(
        self, report: CallReport, act: "Act", encode: EncodeOutcome | None, check: Check | None
    ) -> Reported:
        """Report on a call that is known; only for one that is not, find out who pays, and report again."""
        now = self._outside.now()
        catalog = self._directory.catalog()
        limits = self.settings.limits(report.attempt)
        context = _Context(catalog, self.settings, limits, None, self._outside.new_id(), now)
        try:
            return await self._transacted(report, act, encode, check, context)
        except _PayerWanted:
            quote = prepare(catalog, report.attempt, min(report.answered_at or report.at, now), limits)
            context = replace(context, quote=quote, archived_until=await self._store.archived_until())
            return await self._transacted(report, act, encode, check, context)

    async def _transacted(
        self, report: CallReport, act: "Act", encode: EncodeOutcome | None, check: Check | None, context: "_Context"
    ) -> Reported:
        attempt, message, now = report.attempt, report.message, context.now
        reads = of_report(report, context.quote, context.catalog)

        def work(book: Book) -> Outcome:
            if check is not None:
                check(joined_call(book, report))
            outcome = act(book, report, context)
            return outcome if encode is None else replace(outcome, reply=encode(outcome))

        stands = report_stands(report, lambda book: joined_call(book, report))
        return await self._transact(reads, lambda book: once(book, message, attempt, now, work, stands))

    async def resolve(self, grant_id: str, change: "Change") -> Outcome:
        """Apply a change to one call by its grant: expiry, recovery, a person's cut."""
        now = self._outside.now()
        context = _Context(self._directory.catalog(), self.settings, Limits(), None, self._outside.new_id(), now)

        def work(book: Book) -> Outcome:
            call = book.call(grant_id)
            return change(book, call, context) if call is not None else Outcome(None, False)

        return await self._transact(Reads(grants=(grant_id,)), work)

    async def cut(self, grant_id: str) -> Outcome:
        """End an open call by a person's wish: it is renewed no more, and whoever has its switch ends it there."""
        return await self.resolve(grant_id, _on_cut)

    async def expire_due(self) -> list[Call]:
        """Free what lapsed and settle what nobody reports the end of; return the calls that changed."""
        changed: list[Call] = []
        self.stuck = {}
        if self._without_store is not None:
            await self._without_store.drain(self._store, self._outside.now())
        for due in await self._store.due_calls(self._outside.now(), DUE_BATCH):
            try:
                outcome = await self.resolve(due.grant_id, _on_due)
            except StoreUnavailable:
                raise
            except (StoreError, ArithmeticError, AssertionError, KeyError) as error:
                self.stuck[due.grant_id] = repr(error)  # one call never keeps the others from being freed
                continue
            if outcome.changed and outcome.call is not None:
                changed.append(outcome.call)
        await swept(self._store, self._outside.now())
        return changed

    async def recover(self, grant_id: str, by: SettledBy = SettledBy.RECOVERY) -> Outcome:
        """Settle a call that its switch no longer knows, at its last proof of life (an unanswered one is voided)."""
        return await self.resolve(grant_id, lambda book, call, context: _on_recovery(book, call, by, context))


class _PayerWanted(Exception):
    """A report is about a call that nobody asked about: the transaction has to be run again knowing who pays."""


@dataclass(frozen=True, slots=True)
class _Context:
    catalog: Catalog
    settings: ChargingSettings
    limits: Limits
    quote: Quote | Denied | None
    new_id: str
    now: Instant
    archived_until: Instant = 0

    @property
    def terms(self) -> settle.Terms:
        return self.settings.terms


Act = Callable[[Book, CallReport, _Context], Outcome]
Change = Callable[[Book, Call, _Context], Outcome]


def _emergency_line(attempt: CallAttempt, now: Instant) -> dict[str, str]:
    return {
        "at": format_rfc3339(now), "call_id": attempt.call_id, "switch": attempt.switch, "source": attempt.source,
        "called": attempt.called, "calling": attempt.calling, "account": attempt.identity.account,
    }  # fmt: skip


def _exception(kind: str, attempt: CallAttempt, detail: str, now: Instant, key: str = "") -> Exceptional:
    return Exceptional(kind, attempt.tenant, attempt.source, attempt.switch, attempt.call_id, detail, now, key)


def _replaced(book: Book, attempt: CallAttempt, terms: settle.Terms, now: Instant) -> Call | None:
    """Let go of an unanswered grant of the same call: a second question replaces it."""
    calls = same_side(book, attempt)
    if not calls or calls[-1].state is not CallState.GRANTED or calls[-1].tenant != attempt.tenant:
        return None  # tenants that share an id domain never touch each other's grants
    freed = settle.let_go(book, calls[-1], now)
    freed = freed.moved(CallState.VOIDED, ended_at=now)
    book.save_call(freed)
    return freed


@dataclass(frozen=True, slots=True)
class _Initial:
    """The work of one question."""

    catalog: Catalog
    quote: Quote
    limits: Limits
    terms: settle.Terms
    new_id: str
    now: Instant
    encode: Encode

    def __call__(self, book: Book) -> Decided:
        attempt = self.quote.attempt
        replaced = _replaced(book, attempt, self.terms, self.now)
        if replaced is not None and (replaced.called, replaced.payer) != (self.quote.called, self.quote.chain[0].key):
            replaced = None  # another number: the old grant is void, and its id never stands for the new one
        earlier = same_side(book, attempt)
        grant_id = replaced.grant_id if replaced is not None else self.new_id
        decision = decide(self.quote, book.standing, self.limits, self.now, grant_id, meters=book.meter)
        if isinstance(decision, Denied):
            return Decided(decision, self.encode(decision))
        number, part = (replaced.attempt, replaced.part) if replaced is not None else next_place(earlier)
        call = new_call(attempt, decision, number, part, self.now)
        call = call.changed(due_at=settle.due_at(call, self.terms))
        settle.hold(book, call, self.now)
        book.save_call(call)
        return Decided(decision, self.encode(decision), call)

    def journalled(self, granted: Granted) -> tuple[Call, bytes]:
        """Return the call of a grant that the store has not seen, and the bytes that answer the question."""
        call = new_call(self.quote.attempt, granted, 1, 1, self.now)
        return call.changed(due_at=settle.due_at(call, self.terms)), self.encode(granted)


def _on_answer(book: Book, report: CallReport, context: _Context) -> Outcome:
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
        revived = _revived(book, call, context)
        return _charging_begins(book, revived, report, context, answered_at)
    if call.state is CallState.SETTLED and call.settled_by in ESTIMATES:
        return _alive_again(book, call, report, context)
    return Outcome(call, False)


def _charging_begins(book: Book, call: Call, report: CallReport, context: _Context, answered_at: Instant) -> Outcome:
    answered_at = _after_asked(book, call, report, answered_at, context)
    call = settle.moved_to_route(book, adopted(book, call, report), report.route, context.now)
    _end_earlier_parts(book, call, report, answered_at, context)
    call = settle.priced_at_answer(book, context.catalog, call, answered_at, context.now)
    call = settle.reaffirmed(book, context.catalog, call, context.now, can_shorten=report.attempt.hears_answer)
    call = call.moved(CallState.ANSWERED, last_seen_at=answered_at, started=True)
    call = call.changed(due_at=settle.due_at(call, context.terms))
    book.save_call(call)
    return Outcome(call, True)


def _after_asked(book: Book, call: Call, report: CallReport, at: Instant, context: _Context) -> Instant:
    """Return an instant of an authorised call; one before its question is a clock that lies, and is not believed."""
    if not call.authorised or at >= call.requested_at - CLOCK_TOLERANCE:
        return at
    detail = f"the switch's clock is {(call.requested_at - at) // SECOND} s behind ours: our own time is used"
    item = _exception("clock_skew", report.attempt, detail, context.now, key=f"clock_skew:{call.grant_id}")
    book.append_exception(item)
    return context.now


def _end_earlier_parts(book: Book, call: Call, report: CallReport, answered_at: Instant, context: _Context) -> None:
    """End the parts before this one where the source does not count parts itself; a Stop of their own corrects it."""
    if report.part or call.part == 1:
        return
    for other in other_calls(book, report.attempt, call):
        if other.state is CallState.ANSWERED and other.part < call.part and other.payer == call.payer:
            until = other.changed(last_seen_at=max(other.last_seen_at, answered_at))
            _estimated(book, until, SettledBy.NEXT_PART, context)


def _revived(book: Book, call: Call, context: _Context) -> Call:
    """Return a lapsed call holding again what it can: it was answered after all."""
    call = call.changed(granted_seconds=0, ended_at=None, settled_by=SettledBy.NOBODY)
    return settle.held_afresh(book, context.catalog, call, context.limits, context.now)


def _unauthorised(book: Book, report: CallReport, context: _Context, answered_at: Instant) -> Outcome:
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


def _never_cut(book: Book, call: Call, context: _Context) -> Call:
    """An emergency call has a limit of a day and holds no money; what it costs is posted at its end."""
    call = call.changed(granted_seconds=EMERGENCY_SECONDS)
    settle.hold(book, call, context.now)
    return call


def _unasked_call(book: Book, report: CallReport, context: _Context) -> Call | None:
    asked, attempt = context.quote, report.attempt
    if asked is None:
        raise _PayerWanted
    if listed_as_archived(book, report, context.archived_until, context.now):
        return None
    refusal = refusal_of(asked)
    quote = asked if isinstance(asked, Quote) and refusal is None else _forced_quote(context, report, refusal)
    emergency_call = emergency(context.catalog, attempt, context.now) is not None
    if quote is None and emergency_call:
        return None  # granted from memory and journalled; nobody's plan prices it
    if quote is None:
        assert refusal is not None, asked
        kind = "unrated" if refusal.account is not None else "no_account"
        key = f"{kind}:{attempt.id_domain}:{attempt.call_id}"
        book.append_exception(_exception(kind, attempt, refusal.reason, context.now, key=key))
        return None
    number, part = place_of_report(same_side(book, attempt), report)
    detail = f"nobody asked about this call; it is charged to {quote.chain[0].key}"
    key = f"unauthorised:{attempt.id_domain}:{attempt.call_id}:{number}:{part}"
    if not emergency_call:
        book.append_exception(_exception("unauthorised", attempt, detail, context.now, key=key))
    granted = Granted(
        grant_id=context.new_id, seconds=0, reserved=0, currency=quote.levels[0].currency, levels=quote.levels,
        routes=(), called=quote.called, renewable=attempt.renewable, is_final=False, valid_until=context.now,
    )  # fmt: skip
    call = new_call(attempt, granted, number, part, context.now)
    return call.changed(authorised=False, emergency=emergency_call, aliases=report.aliases)


def _forced_quote(context: _Context, report: CallReport, denied: Denied | None) -> Quote | None:
    """Price a call that would have been refused (suspended, no carrier): it happened, so it is charged."""
    if denied is None or denied.account is None or denied.account not in context.catalog.accounts:
        return None
    terms = context.catalog.accounts[denied.account]
    called = dialled(context.catalog, report.attempt)
    if called is None:
        return None
    chain = context.catalog.chain(terms)
    at = min(report.answered_at or report.at, context.now)
    levels = []
    for account in chain:
        service = Service(report.attempt.override)
        tariffs = tariffs_for(context.catalog, account, report.attempt.direction, called, at, at, service, lapsed=True)
        if not tariffs:
            return None
        level = Level(account.number, account.key, account.currency, tariffs)
        levels.append(metered(context.catalog, account, level, called, report.attempt.direction))
    return Quote(report.attempt, called, chain, tuple(levels), (), (), routed=False)


def _on_alive(book: Book, report: CallReport, context: _Context) -> Outcome:
    call = joined_call(book, report)
    if call is None:
        return _unauthorised(book, report, context, answer_instant(report, context.now))
    if call.state is CallState.ANSWERED:
        return _seen(book, call, report, context)
    if call.state is CallState.SETTLED and call.settled_by not in ESTIMATES:
        return Outcome(call, False)  # an Interim after the Stop is acknowledged and changes nothing
    return _on_answer(book, report, context)


def _seen(book: Book, call: Call, report: CallReport, context: _Context) -> Outcome:
    seen = min(report.at, context.now)
    kept = seen - call.last_seen_at <= 2 * context.terms.interim_seconds * SECOND
    call = call.changed(last_seen_at=max(seen, call.last_seen_at), interims=call.interims + 1 if kept else 0)
    call = call.changed(due_at=settle.due_at(call, context.terms))
    book.save_call(call)
    return Outcome(call, True)


def _on_renewal(book: Book, report: CallReport, context: _Context) -> Outcome:
    return _renewed(book, report, context, paced=False)


def _on_paced_renewal(book: Book, report: CallReport, context: _Context) -> Outcome:
    return _renewed(book, report, context, paced=True)


def _renewed(book: Book, report: CallReport, context: _Context, *, paced: bool) -> Outcome:
    outcome = _on_alive(book, report, context)
    call = outcome.call
    if call is None or call.state is not CallState.ANSWERED or call.cut or call.emergency:
        return outcome
    if context.limits.slice_seconds is None or (paced and not call.renewable):
        return outcome
    before = call.granted_seconds
    used = duration_seconds(measured_us(call, report), Rounding.UP) if paced else None
    call = settle.extended(book, context.catalog, call, context.limits, context.now, used)
    call = call.changed(due_at=settle.due_at(call, context.terms))
    book.save_call(call)
    return Outcome(call, outcome.changed or call.granted_seconds > before, call.granted_seconds - before)


def _alive_again(book: Book, call: Call, report: CallReport, context: _Context) -> Outcome:
    """A call that was settled by an estimate still runs: take the charge back and hold again what it used."""
    call = settle.reversed_charge(book, context.catalog, call, context.now)
    used, call = call.levels, call.changed(ended_at=None, settled_by=SettledBy.NOBODY)
    levels = metering.needed(book, context.catalog, call, call.granted_seconds, context.now)
    call = call.changed(levels=levels)
    settle.hold(book, call, context.now, used)
    call = call.moved(CallState.ANSWERED, last_seen_at=max(call.last_seen_at, min(report.at, context.now)), interims=0)
    call = call.changed(due_at=max(settle.due_at(call, context.terms), context.now + 60 * SECOND))
    book.save_call(call)
    return Outcome(call, True)


def _on_end(book: Book, report: CallReport, context: _Context) -> Outcome:
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
        return _end_kept(book, call, report, context) if report.answered else _voided(book, call, context)
    return _settled(book, call, report, context)


def _end_kept(book: Book, call: Call, report: CallReport, context: _Context) -> Outcome:
    """Void a call of which only an end without a duration was told, and keep its instant: the answer may come late."""
    call = settle.let_go(book, adopted(book, call, report), context.now)
    call = call.moved(CallState.VOIDED, ended_at=min(report.at, context.now), settled_by=SettledBy.HANGUP)
    book.save_call(call)
    return Outcome(call, True)


def _voided(book: Book, call: Call, context: _Context) -> Outcome:
    call = settle.let_go(book, call, context.now).moved(CallState.VOIDED, ended_at=context.now)
    book.save_call(call)
    return Outcome(call, True)


def _late_end(book: Book, call: Call, report: CallReport, context: _Context) -> Outcome:
    """An end for a call that lapsed unanswered: an expired reservation never prevents a debit."""
    return _settled(book, call, report, context) if was_answered(report) else Outcome(call, False)


def _unasked_end(book: Book, report: CallReport, context: _Context) -> Outcome:
    if not was_answered(report):
        return Outcome(None, False)
    call = _unasked_call(book, report, context)
    if call is None:
        return Outcome(None, False)
    settle.hold(book, call, context.now)
    # No switch ever had a limit of ours for it, whatever the road could have carried: nothing of it is our own cut.
    return _settled(book, call.changed(joined=True, renewable=False), report, context)


def _settled(book: Book, call: Call, report: CallReport, context: _Context) -> Outcome:
    if call.answered_at is None:
        answered_at = report.answered_at
        if answered_at is None:
            answered_at = report.at - (report.duration_us or 0)
        call = settle.priced_at_answer(book, context.catalog, call, answered_at, context.now)
    call = settle.moved_to_route(book, call, report.route, context.now) if call.is_open else call
    duration_us = measured_us(call, report)
    _question_duration(book, call, report, duration_us, context)
    by = SettledBy(report.settled_by) if report.settled_by else SettledBy.HANGUP
    end = EndReport(report.at, duration_us, report.cause, report.switch_seconds, 0, report.attempt.source)
    call = settle.settled(book, context.catalog, adopted(book, call, report), end, by, context.terms, context.now)
    book.save_call(call)
    return Outcome(call, True)


def _question_duration(book: Book, call: Call, report: CallReport, duration_us: int, context: _Context) -> None:
    """List an end of an authorised call that our own clock or a proof of life contradicts; the value is kept."""
    if not call.authorised:
        return
    assert call.answered_at is not None, call
    longest = context.now - call.requested_at + CLOCK_TOLERANCE
    proved = call.last_seen_at - call.answered_at - CLOCK_TOLERANCE
    if proved <= duration_us <= longest:
        return
    detail = f"the end tells {duration_us} microseconds; our clock allows {max(0, proved)} to {longest}"
    key = f"duration_implausible:{call.grant_id}:{duration_us}"
    book.append_exception(_exception("duration_implausible", report.attempt, detail, context.now, key=key))


def _again(book: Book, call: Call, report: CallReport, context: _Context) -> Outcome:
    """A second end of a settled call changes nothing; one that tells another duration is listed for a person."""
    duration_us = measured_us(call, report) if was_answered(report) else call.duration_us
    if abs(duration_us - call.duration_us) > DUPLICATE_TOLERANCE_US:
        detail = f"charged for {call.duration_us} microseconds, another end says {duration_us}"
        key = f"duplicate:{call.grant_id}:{duration_us}"
        book.append_exception(_exception("duplicate_differs", report.attempt, detail, context.now, key=key))
    return Outcome(call, False)


def _on_due(book: Book, call: Call, context: _Context) -> Outcome:
    if not call.is_open or call.due_at > context.now:
        return Outcome(call, False)
    if call.state is CallState.GRANTED:
        freed = settle.let_go(book, call, context.now, expired=True)
        call = freed.moved(CallState.EXPIRED, ended_at=context.now)
        book.save_call(call)
        return Outcome(call, True)
    return _estimated(book, call, SettledBy.END_UNKNOWN, context)


def _estimated(book: Book, call: Call, by: SettledBy, context: _Context) -> Outcome:
    """Settle at the last proof of life; a start alone is worth the first block. Listed for a person."""
    assert call.answered_at is not None, call
    lived_us = max(0, call.last_seen_at - call.answered_at)
    if lived_us == 0:
        lived_us = first_paid_second(call.levels[0].tariffs[0]) * SECOND
    end = EndReport(call.answered_at + lived_us, lived_us, "", None, 0)
    call = settle.settled(book, context.catalog, call, end, by, context.terms, context.now)
    book.save_call(call)
    detail = f"nobody reported the end; charged for {lived_us} microseconds, its last proof of life"
    book.append_exception(settle.estimate_listed(call, by, detail, context.now))
    return Outcome(call, True)


def _on_cut(book: Book, call: Call, _context: _Context) -> Outcome:
    if not call.is_open or call.cut:
        return Outcome(call, False)
    call = call.changed(cut=True)
    book.save_call(call)
    return Outcome(call, True)


def _on_recovery(book: Book, call: Call, by: SettledBy, context: _Context) -> Outcome:
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
