"""The use cases of online charging: ask, answer, sign of life, end, expiry; alike for every road.

Each is one transaction: a pure function over a Book, run where accounts and keys are locked, answered after commit.
The message key answers repeats with the same bytes; the charge key makes one call one charge.
A call that nobody authorised is charged all the same. Nothing that fails is taken for "gone".
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from daemon.authorize.attempt import CallAttempt
from daemon.authorize.catalog import Catalog
from daemon.authorize.decide import at_volumes, decide, prepare
from daemon.authorize.decision import Decision, Denied, Rule
from daemon.authorize.denial import Denial
from daemon.authorize.emergency import emergency, is_emergency_number
from daemon.authorize.explanation import Told, told
from daemon.authorize.fraud_rule import FraudAct
from daemon.authorize.identify import named
from daemon.authorize.limits import surcharged
from daemon.authorize.metering import Meters, no_meter
from daemon.authorize.quote import Limits, Standings, Trace, refused
from daemon.authorize.sides import sides_of
from daemon.authorize.suspension import in_order, suspended_account, told_first, with_rule
from daemon.charging.both_sides import CalledSide, called_side, reported
from daemon.charging.call import Call, SettledBy
from daemon.charging.cdr import RatedCdr
from daemon.charging.emergency_calls import EmergencyCalls
from daemon.charging.event import Authorized, CallReport, Conflict, Decided, MessageKey, Outcome, Replay, Reported
from daemon.charging.expiry import swept, without_expired
from daemon.charging.joining import (
    joined_call,
)
from daemon.charging.ports import (
    Book,
    Directory,
    Event,
    Exceptional,
    Journal,
    Message,
    Outside,
    Reads,
    Store,
    StoreError,
    StoreUnavailable,
    Watch,
)
from daemon.charging.reads import of_question, of_refusal, of_report
from daemon.charging.repeats import once, question_stands, report_stands
from daemon.charging.session import (
    Act,
    Change,
    ChargingSettings,
    Context,
    Encode,
    Initial,
    PayerWanted,
    RoomWanted,
    emergency_line,
    on_alive,
    on_answer,
    on_attempt,
    on_cut,
    on_due,
    on_end,
    on_paced_renewal,
    on_recovery,
    on_renewal,
    on_shortened,
)
from daemon.charging.settle import Terms
from daemon.charging.sharing import Sharer
from daemon.charging.without_store import WithoutStore
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant

T = TypeVar("T")
EncodeOutcome = Callable[[Outcome], bytes]
Check = Callable[[Call | None], None]  # sees the call that a report means before it does anything; may raise
DUE_BATCH = 256  # calls looked at in one round of expiry
EVENTS_BATCH = 64  # events told in one round; each may suspend an account


UNAVAILABLE = Denied(Denial.STORE_UNAVAILABLE, "the store cannot commit")


class _Unwatched:
    """Implements ports.Watch for whoever looks at nothing."""

    def decided(self, attempt: CallAttempt, decision: Decision, taken_us: int) -> None:
        """Take nothing."""

    def reported(self, road: str, lag_us: int) -> None:
        """Take nothing."""

    def charged(self, record: RatedCdr) -> None:
        """Take nothing."""


UNWATCHED = _Unwatched()


def _no_bytes(_decision: Decision) -> bytes:
    return b""


class OnlineCharging:
    """The charging function. Every method may raise StoreError; then nothing was committed."""

    def __init__(
        self, store: Store, directory: Directory, journal: Journal, outside: Outside, settings: ChargingSettings,
        without_store: WithoutStore | None = None, watch: Watch = UNWATCHED,
    ) -> None:  # fmt: skip
        """Bind the ports; opens nothing. Without ``without_store`` nothing is granted that the store cannot hold."""
        self._watch = watch
        self._store = store
        self._directory = directory
        self._journal = journal
        self._outside = outside
        self.settings = settings
        self._without_store = without_store
        self._emergencies = EmergencyCalls()
        self.sharer = Sharer(store, directory, outside, self._renewable_limits)
        self.stuck: dict[str, str] = {}  # calls that could not be resolved in the last round, and why
        self.stuck_accounts: dict[int, str] = {}  # accounts whose buckets could not be closed in it, and why

    def _renewable_limits(self) -> tuple[Limits, Terms]:
        return self.settings.renewable, self.settings.terms

    def now(self) -> Instant:
        """Return the instant by the clock that every charge is dated by."""
        return self._outside.now()

    def catalog(self) -> Catalog:
        """Return the configuration in force."""
        return self._directory.catalog()

    async def authorize(
        self, attempt: CallAttempt, *, message: MessageKey | None = None, encode: Encode = _no_bytes
    ) -> Authorized:
        """Initial: decide, and reserve what is granted. ``encode`` makes the reply's bytes inside the transaction.

        Where calls that can be told at once hold its money, they are, and it is asked again.
        """
        began = self._outside.now()
        try:
            try:
                answer = await self._asked(attempt, message, encode, may_make_room=attempt.renewable)
            except RoomWanted as wanted:
                async with self.sharer.room(wanted.quote, wanted.accounts):
                    answer = await self._asked(attempt, message, encode, may_make_room=False)
        except StoreError:
            self._watch.decided(attempt, UNAVAILABLE, self._outside.now() - began)
            raise
        if isinstance(answer, Decided):
            self._watch.decided(attempt, answer.decision, self._outside.now() - began)
        return answer

    def refuse(self, attempt: CallAttempt, denied: Denied) -> None:
        """Take that a road refused a question by itself, before it asked: whoever watches is told as of any other."""
        self._watch.decided(attempt, denied, 0)

    async def _asked(
        self, attempt: CallAttempt, message: MessageKey | None, encode: Encode, *, may_make_room: bool
    ) -> Authorized:
        now = self._outside.now()
        catalog = self._directory.catalog()
        granted = emergency(catalog, attempt, now)
        if granted is not None:
            await self._journal.append(emergency_line(attempt, self._emergencies.noted(catalog, attempt, now), now))
            return Decided(granted, encode(granted))
        limits = self.settings.limits(attempt)
        quote = prepare(catalog, attempt, now, limits)
        if isinstance(quote, Denied):
            return await self._refused(catalog, attempt, quote, message, encode, now)
        inward = called_side(catalog, quote, now, limits)
        if isinstance(inward, Denied):
            return await self._refused(catalog, attempt, inward, message, encode, now)
        terms, new_id = self.settings.terms, self._outside.new_id
        beside = CalledSide(catalog, inward, limits, terms, new_id(), now) if inward is not None else None
        work = Initial(catalog, quote, limits, terms, new_id(), now, encode, beside)
        if may_make_room and beside is None:
            work = replace(work, may_yield=self.sharer.may_yield)
        reads = of_question(attempt.id_domain, attempt.call_id, message, quote, inward)
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
        catalog = self._directory.catalog()
        whole = without_expired(work, self._outside.now(), catalog)
        result = await self._store.transact(reads, whole)
        for record in whole.written:
            if record.is_payers:
                self._watch.charged(record)
        return result

    async def _from_memory(self, work: Initial, message: MessageKey | None, error: StoreUnavailable) -> Authorized:
        """Grant without the store where the operator chose so; elsewhere the store's error stands."""
        if self._without_store is None or not self.settings.grants_postpaid or work.called_side is not None:
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
        self, catalog: Catalog, attempt: CallAttempt, denied: Denied, message: MessageKey | None, encode: Encode,
        now: Instant,
    ) -> Authorized:  # fmt: skip
        """Refuse by configuration alone; what an earlier question of the same call holds, it goes on holding."""
        reads = of_refusal(attempt.id_domain, attempt.call_id, message, told_first(catalog, denied, attempt.direction))

        def work(book: Book) -> Decided:
            first = in_order(catalog, denied, attempt.direction, book.standing)
            return Decided(first, encode(first))

        stands = question_stands(message, attempt, now)
        return await self._transact(reads, lambda book: once(book, message, attempt, now, work, stands))

    def explain(
        self, attempt: CallAttempt, standings: Standings, limits: Limits | None = None, meters: Meters = no_meter
    ) -> tuple[Decision, Trace]:
        """Decide without effect, and return every rule that took part with the values compared."""
        decision, trace, _sides = self._explained(attempt, standings, limits, meters)
        return decision, trace

    def tell(
        self, attempt: CallAttempt, standings: Standings, viewer: str | None, meters: Meters = no_meter
    ) -> tuple[Decision, tuple[Told, ...]]:
        """Decide without effect, and tell every rule in its order as a tenant may see it, None: as the operator may."""
        decision, trace, sides = self._explained(attempt, standings, None, meters)
        return decision, told([*sides, *trace], decision, viewer)

    def _explained(
        self, attempt: CallAttempt, standings: Standings, limits: Limits | None, meters: Meters
    ) -> tuple[Decision, Trace, Trace]:
        """Return a decision, the rules that took part, and both sides of every level."""
        now, trace = self._outside.now(), []  # type: Instant, Trace
        catalog = self._directory.catalog()
        granted = emergency(catalog, attempt, now)
        if granted is not None:
            rule = Rule("emergency", True, f"{granted.called} is an emergency number: granted from memory")
            return granted, [rule], []
        chosen = limits if limits is not None else self.settings.limits(attempt)
        quote = prepare(catalog, attempt, now, chosen, trace)
        if isinstance(quote, Denied):
            first = in_order(catalog, quote, attempt.direction, standings)
            if first is not quote:
                return refused(trace, "status", first), trace, []
            by_rule = with_rule(catalog, quote, standings)
            if by_rule is not quote:
                trace.pop()
                return refused(trace, "status", by_rule), trace, []
            return quote, trace, []
        decision = decide(quote, standings, chosen, now, "", trace, meters)
        asked = surcharged(at_volumes(quote, meters, now), standings, now, None)
        return decision, trace, sides_of(asked, decision)

    def is_emergency(self, called: str) -> bool:
        """Tell whether a number, or what is left of it after a configured tech prefix, is an emergency number."""
        return is_emergency_number(self._directory.catalog(), called)

    def quote_reads(self, attempt: CallAttempt) -> Reads:
        """Return the accounts and meters that ``explain`` would ask for."""
        catalog = self._directory.catalog()
        quote = prepare(catalog, attempt, self._outside.now(), self.settings.limits(attempt))
        if isinstance(quote, Denied):
            first = told_first(catalog, quote, attempt.direction) or suspended_account(catalog, quote)
            return Reads() if first is None else Reads(accounts=(first.number,))
        return Reads(accounts=quote.accounts, meters=quote.meters)

    async def answered(
        self, report: CallReport, *, encode: EncodeOutcome | None = None, check: Check | None = None
    ) -> Reported:
        """The called side answered: charging starts. An unauthorised call reserves what it can and is charged."""
        return await self._report(report, on_answer, encode, check)

    async def attempted(self, report: CallReport) -> Reported:
        """A carrier of the list is being tried, the report's route, or has failed: the call's channel moves."""
        return await self._report(report, on_attempt, None, None)

    async def alive(
        self, report: CallReport, *, renew: bool = False, paced: bool = False,
        encode: EncodeOutcome | None = None, check: Check | None = None,
    ) -> Reported:  # fmt: skip
        """Update: a sign of life; with ``renew`` one slice more is reserved where the road allows it.

        ``paced``: the peer asks when it likes: the slice begins at what it has used, and asking twice changes nothing.
        """
        act = (on_paced_renewal if paced else on_renewal) if renew else on_alive
        return await self._report(report, act, encode, check)

    async def ended(
        self, report: CallReport, *, encode: EncodeOutcome | None = None, check: Check | None = None
    ) -> Reported:
        """Terminate: post the charge and release the rest, or void a call that was never answered."""
        return await self._report(report, on_end, encode, check)

    async def _report(
        self, report: CallReport, act: Act, encode: EncodeOutcome | None, check: Check | None
    ) -> Reported:
        """Report on a call that is known; only for one that is not, find out who pays, and report again."""
        now = self._outside.now()
        catalog = self._directory.catalog()
        report = self._emergencies.completed(report, now)
        report = replace(report, payer=named(catalog, report.attempt))
        limits = self.settings.limits(report.attempt)
        context = Context(catalog, self.settings, limits, None, self._outside.new_id(), now, short=self.sharer.short)
        try:
            return await self._transacted(report, act, encode, check, context)
        except PayerWanted:
            quote = prepare(catalog, report.attempt, min(report.answered_at or report.at, now), limits)
            context = replace(context, quote=quote, archived_until=await self._store.archived_until())
            return await self._transacted(report, act, encode, check, context)

    async def _transacted(
        self, report: CallReport, act: Act, encode: EncodeOutcome | None, check: Check | None, context: Context
    ) -> Reported:
        attempt, message, now = report.attempt, report.message, context.now
        reads = of_report(report, context.quote, context.catalog)

        def work(book: Book) -> Outcome:
            if check is not None:
                check(joined_call(book, report))
            outcome = act(book, report, context)
            outcome = reported(
                book, context.catalog, report, outcome, lambda same: act(book, same, context), context.terms, now
            )
            return outcome if encode is None else replace(outcome, reply=encode(outcome))

        stands = report_stands(report, lambda book: joined_call(book, report))
        reported_as = await self._transact(reads, lambda book: once(book, message, attempt, now, work, stands))
        if isinstance(reported_as, Outcome):
            self._watch.reported(attempt.source, self._outside.now() - report.at)
            self._share(reported_as)
        return reported_as

    def _share(self, outcome: Outcome) -> None:
        """Have the money shared out of accounts that a call leaves short, or that it leaves."""
        self.sharer.poke(outcome.short)
        if outcome.call is not None and outcome.changed and not outcome.call.is_open:
            self.sharer.ended(outcome.call)

    async def resolve(self, grant_id: str, change: Change) -> Outcome:
        """Apply a change to one call by its grant: expiry, recovery, a person's cut."""
        now = self._outside.now()
        context = Context(self._directory.catalog(), self.settings, Limits(), None, self._outside.new_id(), now)

        def work(book: Book) -> Outcome:
            call = book.call(grant_id)
            return change(book, call, context) if call is not None else Outcome(None, False)

        return await self._transact(Reads(grants=(grant_id,)), work)

    async def cut(self, grant_id: str) -> Outcome:
        """End an open call by a person's wish: it is renewed no more, and whoever has its switch ends it there."""
        return await self.resolve(grant_id, on_cut)

    async def shortened(self, grant_id: str, seconds: int) -> Outcome:
        """Take that the switch of a call ends it after ``seconds`` in all: what it holds beyond is free for others."""
        outcome = await self.resolve(grant_id, lambda book, call, context: on_shortened(book, call, seconds, context))
        if outcome.call is not None:
            self.sharer.confirmed(outcome.call)
        return outcome

    async def expire_due(self) -> list[Call]:
        """Free what lapsed and settle what nobody reports the end of; return the calls that changed."""
        changed: list[Call] = []
        self.stuck = {}
        if self._without_store is not None:
            await self._without_store.drain(self._store, self._outside.now())
        for due in await self._store.due_calls(self._outside.now(), DUE_BATCH):
            try:
                outcome = await self.resolve(due.grant_id, on_due)
            except StoreUnavailable:
                raise
            except (StoreError, ArithmeticError, AssertionError, KeyError) as error:
                self.stuck[due.grant_id] = repr(error)  # one call never keeps the others from being freed
                continue
            if outcome.changed and outcome.call is not None:
                changed.append(outcome.call)
        await self._sweep()
        return changed

    async def _sweep(self) -> None:
        """Close what has expired of accounts that nobody asks about; list, once each, those that it is impossible for.

        So it is where an older release let the main balance or a bucket be more than 64 bits hold.
        """
        now, known, catalog = self._outside.now(), self.stuck_accounts, self._directory.catalog()
        self.stuck_accounts = await swept(self._store, now, catalog)
        for number in self.stuck_accounts.keys() - known.keys():
            item = _stuck_account(catalog, number, self.stuck_accounts[number], now)
            await self._store.transact(Reads(), lambda book, item=item: book.append_exception(item))  # type: ignore[misc]

    async def tell_events(self) -> list[Event]:
        """Do what rules asked for of the accounts that they saw, and return the events that nobody told before."""
        fresh: list[Event] = []
        for number, event in await self._store.events_to_do(EVENTS_BATCH):
            for call in await self._to_cut(event):
                await self.cut(call.grant_id)
            if await self._store.do_event(number, event):
                fresh.append(event)
        return fresh

    async def _to_cut(self, event: Event) -> list[Call]:
        """Return the calls that run of an account whose suspension ends them too; emergency calls go on."""
        key = Key(event.tenant, event.account)
        terms = self._directory.catalog().accounts.get(key)
        cutting = {rule.id for rule in terms.fraud_rules if rule.cuts} if terms is not None else set()
        if event.act != FraudAct.SUSPEND.value or event.rule not in cutting:
            return []
        calls = await self._store.open_calls()
        return [call for call in calls if not call.emergency and any(level.key == key for level in call.levels)]

    async def recover(self, grant_id: str, by: SettledBy = SettledBy.RECOVERY) -> Outcome:
        """Settle a call that its switch no longer knows, at its last proof of life (an unanswered one is voided)."""
        return await self.resolve(grant_id, lambda book, call, context: on_recovery(book, call, by, context))


def _stuck_account(catalog: Catalog, number: int, why: str, now: Instant) -> Exceptional:
    terms = catalog.by_number.get(number)
    tenant, name = (terms.key.tenant, str(terms.key)) if terms is not None else ("", str(number))
    detail = f"account {name}: its buckets have expired and cannot be closed: {why}; adjust its main balance"
    return Exceptional("stuck_account", tenant, "expiry", "", "", detail, now, key=f"stuck_account:{number}")
