"""What a RADIUS server does with an authentic request: asks charging, and answers only after the commit.

No Accounting-Response unless the record is durable (RFC 2866 section 4.1): while the store cannot commit, accounting
gets silence, so that the client repeats, and a question gets a refusal. Refusals and silences are values.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_network

import structlog

from daemon.authorize.catalog import Catalog, Status
from daemon.authorize.decision import Decision, Denied
from daemon.authorize.denial import Denial
from daemon.authorize.emergency import emergency
from daemon.authorize.identify import identify
from daemon.charging.call import Call, CallState, SettledBy
from daemon.charging.configuration import NasSpec
from daemon.charging.event import CallReport, Conflict, Decided, Outcome, Replay, Reported
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Book, Counters, Exceptional, Message, Outside, Reads, Store, StoreError
from daemon.kernel.instant import Instant
from daemon.radius import reply
from daemon.radius.packet import Packet
from daemon.radius.profile import profile
from daemon.radius.question import Question, read_question
from daemon.radius.record import Act, Record, read_record

WRONG_PASSWORD_DELAY_SECONDS = 1.0  # seconds; a guesser's pace. Other refusals are told at once: a caller waits
REBOOT_BATCH = 64  # calls settled together after a reboot; they share commits

_log = structlog.get_logger("tollway.radius")


@dataclass(frozen=True, slots=True)
class Answer:
    """Octets to send, after a delay."""

    data: bytes
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer at all; ``reason`` is what is counted."""

    reason: str


class RadiusService:
    """Serves authentic, well-formed requests of known clients."""

    def __init__(self, charging: OnlineCharging, store: Store, outside: Outside, counters: Counters) -> None:
        """Bind the ports."""
        self._counters = counters
        self._charging = charging
        self._store = store
        self._outside = outside

    async def access(self, packet: Packet, nas: NasSpec, source: tuple[str, int]) -> Answer | Silence:
        """Answer an Access-Request: decide, reserve, and reply with the octets that were kept with the decision."""
        secret, catalog = nas.secret.encode(), self._charging.catalog()
        question = read_question(packet, nas, source, secret, catalog)

        def encoded(decision: Decision) -> bytes:
            interim = self._charging.settings.interim_seconds
            return reply.access_reply(packet, decision, profile(nas.profile), interim, secret)

        if question.registers:
            refusal = _registration(question, catalog, self._outside.now())
            return self._told(refusal, encoded(refusal) if refusal is not None else reply.accept(packet, secret))
        if question.broken and emergency(catalog, question.attempt, self._outside.now()) is None:
            refusal = Denied(Denial.CREDENTIAL_WRONG, "the request's credentials contradict the protocol")
            self._charging.refuse(question.attempt, refusal)
            return self._told(refusal, encoded(refusal))
        return await self._asked(question, encoded)

    async def _asked(self, question: Question, encoded: Callable[[Decision], bytes]) -> Answer | Silence:
        try:
            result = await self._charging.authorize(question.attempt, message=question.message, encode=encoded)
        except StoreError as error:
            _log.error("question refused: the store cannot commit", call_id=question.attempt.call_id, error=str(error))
            refusal = Denied(Denial.STORE_UNAVAILABLE, "the store cannot commit")
            return self._told(refusal, encoded(refusal))
        match result:
            case Decided(decision, data, _):
                return self._told(decision, data)
            case Replay(data):
                return Answer(data)
            case Conflict():
                return Silence("conflict")

    def _told(self, decision: Decision | None, data: bytes) -> Answer:
        """Count a decision (None: a user was authenticated) and return its octets; a guesser has to wait for them."""
        code = decision.denial.value if isinstance(decision, Denied) else "granted"
        self._counters.count("tollway_decisions_total", road="radius", code=code)
        wrong = code == Denial.CREDENTIAL_WRONG.value
        return Answer(data, WRONG_PASSWORD_DELAY_SECONDS if wrong else 0.0)

    async def accounting(self, packet: Packet, nas: NasSpec, source: tuple[str, int]) -> Answer | Silence:
        """Record an Accounting-Request and acknowledge it; silence says that it is not on record."""
        record = read_record(packet, nas, source[0], self._charging.catalog(), self._outside.now())
        try:
            await self._recorded(record, packet, nas)
        except StoreError as error:
            _log.error("record not acknowledged: the store cannot commit", nas=nas.id, error=str(error))
            return Silence("store_unavailable")
        self._counters.count("tollway_reports_total", road="radius", kind=record.act.value)
        return Answer(reply.accounting_response(packet, nas.secret.encode()))

    async def status(self, packet: Packet, nas: NasSpec, *, accounting: bool) -> Answer | Silence:
        """Answer Status-Server where the store can commit (RFC 5997 section 4.2); else say nothing."""
        try:
            await self._store.transact(Reads(), lambda _book: None)
        except StoreError:
            return Silence("store_unavailable")
        secret = nas.secret.encode()
        return Answer(reply.accounting_response(packet, secret) if accounting else reply.accept(packet, secret))

    async def _recorded(self, record: Record, packet: Packet, nas: NasSpec) -> None:
        report = record.report
        match record.act:
            case Act.ANSWERED:
                await self._charging.answered(report)
            case Act.ALIVE:
                await self._charging.alive(report)
            case Act.ENDED:
                await self._ended(record)
            case Act.ATTEMPT:
                await self._charging.attempted(report)
            case Act.KEPT:
                await self._kept(record)
            case Act.REBOOT:
                await self._rebooted(report, nas)
            case Act.INVALID:
                await self._quarantined(record, packet)

    async def _ended(self, record: Record) -> None:
        outcome = await self._charging.ended(record.report)
        if record.unmeasured and _is_unpaid(outcome):
            detail = "a call ended of which nobody reported the answer, and its end tells no duration"
            await self._listed("duration_unknown", record, detail)

    async def _kept(self, record: Record) -> None:
        """Put a record on file that charges nothing, unless the call that it names was granted under its own id."""
        report, now = record.report, self._outside.now()
        attempt = report.attempt
        reads = Reads(
            calls=((attempt.id_domain, attempt.call_id),), messages=(record.message.key,),
            aliases=tuple((attempt.id_domain, alias) for alias in report.aliases),
        )  # fmt: skip

        def work(book: Book) -> bool:
            own = bool(book.calls(attempt.id_domain, attempt.call_id))
            if own and record.ends:
                return True
            if book.message(record.message.key) is None:
                book.save_message(Message(record.message.key, record.message.body, b"", now))
            if record.listed and not any(_is_charged(book.aliased(attempt.id_domain, a)) for a in report.aliases):
                detail = f"{record.why}, and no leg of this call is charged"
                book.append_exception(_exceptional("leg_without_call", record, detail, now))
            return False

        if await self._store.transact(reads, work):
            await self._charging.ended(report)

    async def _rebooted(self, report: CallReport, nas: NasSpec) -> None:
        """Settle every call of a client that began before it said On or Off, at its last proof of life."""
        if ip_network(nas.address, strict=False).num_addresses > 1:
            _log.warning("a client of a whole network said On or Off; its calls are left alone", nas=nas.id)
            return
        open_calls = [call for call in await self._store.open_calls() if _lost(call, nas, report.at)]
        for start in range(0, len(open_calls), REBOOT_BATCH):
            batch = open_calls[start : start + REBOOT_BATCH]
            await asyncio.gather(*(self._settled(call.grant_id) for call in batch))

    def _settled(self, grant_id: str) -> Awaitable[Outcome]:
        return self._charging.recover(grant_id, SettledBy.NAS_REBOOT)

    async def _quarantined(self, record: Record, packet: Packet) -> None:
        """Keep a record that cannot be charged, whole, for a person: then it may be acknowledged."""
        await self._listed("invalid_record", record, f"{record.why}; the packet: {packet.data.hex()}")

    async def _listed(self, kind: str, record: Record, detail: str) -> None:
        item = _exceptional(kind, record, detail, self._outside.now())
        await self._store.transact(Reads(), lambda book: book.append_exception(item))


def _registration(question: Question, catalog: Catalog, now: Instant) -> Denied | None:
    """Return why a REGISTER is refused; it came with a digest, so that no other kind of endpoint can let it pass."""
    if not question.attempt.identity.sip_user:
        return Denied(Denial.ACCOUNT_UNKNOWN, "a REGISTER without a User-Name")
    found = identify(catalog, question.attempt, now)
    if isinstance(found, Denied):
        return found
    if found.status is Status.SUSPENDED:
        return Denied(Denial.ACCOUNT_SUSPENDED, "the account is suspended", found.key)
    if found.status is Status.CLOSED:
        return Denied(Denial.ACCOUNT_CLOSED, "the account is closed", found.key)
    return None


def _is_unpaid(outcome: Reported) -> bool:
    return isinstance(outcome, Outcome) and (outcome.call is None or outcome.call.state is CallState.VOIDED)


def _is_charged(call: Call | None) -> bool:
    return call is not None and call.state in (CallState.GRANTED, CallState.ANSWERED, CallState.SETTLED)


def _lost(call: Call, nas: NasSpec, at: Instant) -> bool:
    return call.switch == nas.id and call.tenant == nas.tenant and call.source == "radius" and call.requested_at < at


def _exceptional(kind: str, record: Record, detail: str, now: Instant) -> Exceptional:
    attempt = record.report.attempt
    return Exceptional(
        kind, attempt.tenant, attempt.source, attempt.switch, attempt.call_id, detail, now,
        key=f"{kind}:{record.message.key}:{record.message.body.hex()}",
    )  # fmt: skip
