"""Questions and reports of calls over HTTP, from decoded bytes to bytes; nothing here knows a socket.

The message key is tenant, operation and call id: a repeat is answered with the same bytes for as long as it means the
same call. What a tenant's own token says of times is held against our own clock; an end may be told late, and
then never takes back what was told before.
A grant that a report names must be one of this call id: a foreign one does not exist.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from operator import attrgetter
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from daemon.authorize.attempt import CallAttempt, Identity, PlainPassword
from daemon.authorize.decision import Decision, Denied
from daemon.charging.call import ESTIMATES, Call, CallState
from daemon.charging.configuration import TokenSpec
from daemon.charging.event import CallReport, Conflict, Decided, MessageKey, Outcome, Reported
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Book, Counters, Outside, RecordsActs, Store
from daemon.http_api.messages import (
    ID_OCTETS_MAX,
    AnswerRequest,
    AuthorizeRequest,
    CutReply,
    EndRequest,
    LiveCall,
    UpdateRequest,
    checked,
    decoded,
    duration_us,
    instant,
)
from daemon.http_api.refusal import conflict, malformed, overloaded, unknown
from daemon.http_api.replies import (
    EMPTY,
    call_reply,
    decision_reply,
    encode,
    end_reply,
    explained,
    level_of,
    live_call,
)
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import SECOND, Instant, format_rfc3339
from daemon.ledger.account import Standing
from daemon.ledger.posting import current
from daemon.rating.bundle import Meter

CLOCK_TOLERANCE_SECONDS = 60  # seconds; how far a client's clock and counts may be from ours (SPEC section 4)
CLOCK_TOLERANCE_US = CLOCK_TOLERANCE_SECONDS * SECOND
LISTINGS_MAX = 4  # lists of live calls that are made or waited for at once; one more is refused, and tried again
LISTED_MAX = 10_000  # calls in one list; newest last, and what is beyond is not shown
DIGEST_OCTETS = 16  # octets of a body's digest

_authorize = msgspec.json.Decoder(AuthorizeRequest)
_answer = msgspec.json.Decoder(AnswerRequest)
_update = msgspec.json.Decoder(UpdateRequest)
_end = msgspec.json.Decoder(EndRequest)


class Said(NamedTuple):
    """What a report's body says, whatever its operation."""

    at: Instant
    grant_id: str
    cause: str
    route: int = 0
    duration_us: int | None = None
    answered: bool | None = None  # None: not stated


class Turns:
    """Lets one at a time do what loads the store, and few wait for it."""

    def __init__(self, at_once_max: int) -> None:
        """Take how many may be there, the one at work included."""
        self._left = at_once_max
        self._turn = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Wait for a turn. Raises RequestRefused (503) where too many wait."""
        if not self._left:
            raise overloaded()
        self._left -= 1
        try:
            async with self._turn:
                yield
        finally:
            self._left += 1


@dataclass(frozen=True, slots=True)
class CallDesk:
    """Answers what switches ask and report. Raises RequestRefused and StoreError."""

    ocf: OnlineCharging
    store: Store
    outside: Outside
    counters: Counters
    lists: Turns = field(default_factory=lambda: Turns(LISTINGS_MAX))

    async def authorize(self, token: TokenSpec, body: bytes, *, explain: bool) -> bytes:
        """Answer one question; with ``explain`` nothing happens but the answer."""
        request = decoded(_authorize, body)
        # Where no carrier is configured at all, every switch routes by itself.
        attempt = _attempt(token, request, routed=token.routing and bool(self.ocf.catalog().carriers))
        if request.at is not UNSET:
            self._near(self._told_at(request.at))
        if explain:
            return await self._explained(token, attempt)
        message = _message(token, f"authorize:{attempt.direction.value}", attempt.call_id, "", body)
        result = await self.ocf.authorize(attempt, message=message, encode=self._decision_bytes(token))
        if isinstance(result, Conflict):
            raise conflict("this question was answered before with another body")
        if isinstance(result, Decided):
            code = result.decision.denial.value if isinstance(result.decision, Denied) else "granted"
            self.counters.count("tollway_decisions_total", road="http", code=code)
        return result.reply

    def is_emergency(self, body: bytes) -> bool:
        """Tell whether a question is about an emergency number: decided from memory, it passes the limit in flight."""
        try:
            request = _authorize.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False  # no question at all: refused as overloaded, and told what is wrong when there is time
        return self.ocf.is_emergency(request.called)

    def _decision_bytes(self, token: TokenSpec) -> Callable[[Decision], bytes]:
        settings = self.ocf.settings
        return lambda decision: encode(decision_reply(decision, settings, token.tenant))

    async def _explained(self, token: TokenSpec, attempt: CallAttempt) -> bytes:
        reads, now = self.ocf.quote_reads(attempt), self.outside.now()

        def read(book: Book) -> tuple[dict[int, Standing], dict[tuple[int, str], Meter]]:
            standings = {number: current(book.standing(number), now) for number in reads.accounts}
            return standings, {key: book.meter(*key) for key in reads.meters}

        standings, meters = await self.store.transact(reads, read) if reads.accounts else ({}, {})
        # A configuration that changed between the two looks may name an account that was not read: it holds nothing.
        decision, rules = self.ocf.tell(
            attempt,
            lambda number: standings.get(number, Standing(number)),
            token.tenant,
            lambda *key: meters.get(key, Meter(*key)),
        )
        return encode(explained(decision_reply(decision, self.ocf.settings, token.tenant), rules))

    def _told_at(self, written: str) -> Instant:
        """Return an instant by the daemon's clock.

        While that is held, an instant by the machine's clock is brought to it: no client is refused for our clock. One
        that is nearer as it was written is of a client whose clock goes with ours, and so is one that would be to come.
        """
        at, held, now = instant(written), self.outside.held_back(), self.outside.now()
        brought = at + held
        return brought if abs(brought - now) < abs(at - now) and brought <= now + CLOCK_TOLERANCE_US else at

    def _near(self, at: Instant) -> None:
        if abs(at - self.outside.now()) > CLOCK_TOLERANCE_US:
            raise malformed(f"at is more than {CLOCK_TOLERANCE_SECONDS} seconds from this machine's clock")

    async def answer(self, token: TokenSpec, call_id: str, body: bytes) -> bytes:
        """Start charging a call."""
        request = decoded(_answer, body)
        said = Said(self._told_at(request.at), request.grant_id, checked(request.cause, "cause"), request.route)
        report = _report(token, call_id, said, "answer", body)
        settings = self.ocf.settings
        encoding = _encoding(lambda call: call_reply(call, 0, settings, token.tenant))
        return self._told("answer", await self.ocf.answered(report, encode=encoding, check=self._check(report)))

    async def update(self, token: TokenSpec, call_id: str, body: bytes) -> bytes:
        """Take a sign of life, and renew the quota where the call was asked for with ``updates``."""
        request = decoded(_update, body)
        used = duration_us(request.duration_seconds)
        said = Said(self._told_at(request.at), request.grant_id, checked(request.cause, "cause"), duration_us=used)
        report = _report(token, call_id, said, "update", body)
        settings = self.ocf.settings
        encoding = _encoding(lambda call: call_reply(call, _used_us(call, said), settings, token.tenant))
        return self._told(
            "update",
            await self.ocf.alive(report, renew=True, paced=True, encode=encoding, check=self._check(report)),
        )

    async def end(self, token: TokenSpec, call_id: str, body: bytes) -> bytes:
        """Charge a call, or let it go where it was never answered."""
        request = decoded(_end, body)
        measured = duration_us(request.duration_seconds)
        answered = request.answered if isinstance(request.answered, bool) else None
        if answered is False and measured:
            raise malformed("a call that was never answered has no duration_seconds")
        at = self._told_at(request.at)
        said = Said(at, request.grant_id, checked(request.cause, "cause"), request.route, measured, answered)
        report = _report(token, call_id, said, "end", body)
        check = self._check(report, is_end=True, must_be_answered=answered is True)
        encoding = _encoding(lambda call: end_reply(call, token.tenant))
        return self._told("end", await self.ocf.ended(report, encode=encoding, check=check))

    def _check(
        self, report: CallReport, *, is_end: bool = False, must_be_answered: bool = False
    ) -> Callable[[Call | None], None]:
        """Return what looks at the call that a report means, before anything happens; repeats never come here."""

        def check(call: Call | None) -> None:
            now = self.outside.now()
            is_late = is_end and report.at < now - CLOCK_TOLERANCE_US and _awaits_end(call)
            if not is_late:
                self._near(report.at)
            if call is None:
                if report.grant_id:
                    raise unknown("call")
                return
            if not _own(self.ocf, call, report):
                raise unknown("call")
            if is_late:
                _late_plausible(call, report)
            else:
                _plausible(call, report, now)
            if must_be_answered and call.answered_at is None and report.duration_us is None:
                raise malformed("an answered call whose answer was not reported needs duration_seconds")

        return check

    def _told(self, kind: str, reported: Reported) -> bytes:
        if isinstance(reported, Conflict):
            raise conflict(f"an {kind} of this call was reported before with another body")
        if isinstance(reported, Outcome):
            self.counters.count("tollway_reports_total", road="http", kind=kind)
        if reported.reply == EMPTY:
            raise unknown("call")
        return reported.reply

    async def live(self, token: TokenSpec) -> list[LiveCall]:
        """Return the newest open calls in which the token's tenant sells, oldest first. Raises RequestRefused (503).

        One list is made at a time: each reads every open call, and many at once would keep those who ask waiting.
        """
        async with self.lists.taken():
            now = self.outside.now()
            seen = [(call, level_of(call, token.tenant)) for call in await self.store.open_calls()]
            own = [(call, place) for call, place in seen if place is not None]
            return [live_call(call, place, now) for call, place in own[-LISTED_MAX:]]

    async def cut(self, token: TokenSpec, call_id: str, grant_id: str) -> bytes:
        """Cut the open call of a call id, all its parts. Raises RequestRefused (404, or 409 where it is not one)."""
        found = [
            call
            for call in await self.store.open_calls()
            if call.call_id == call_id and level_of(call, token.tenant) is not None and grant_id in ("", call.grant_id)
        ]
        if not found:
            raise unknown("open call")
        if len({call.id_domain for call in found}) > 1:
            raise conflict("several switches have a call of this id: name one as ?grant_id=")
        outcomes = [await self.ocf.cut(call.grant_id) for call in found]
        self.counters.count("tollway_reports_total", road="http", kind="cut")
        changed = tuple(done.call.grant_id for done in outcomes if done.changed and done.call is not None)
        if isinstance(self.store, RecordsActs):
            for call in (call for call in found if call.grant_id in changed):
                key, who = Key(call.tenant, call.grant_id), f"token {token.id}"
                await self.store.record_act("call", key, "end", call_id, who=who, reason="DELETE /v1/calls")
        return encode(CutReply(call_id, changed))


Operation = Callable[[CallDesk, TokenSpec, str, bytes], Awaitable[bytes]]
OPERATIONS: dict[str, Operation] = {"answer": CallDesk.answer, "update": CallDesk.update, "end": CallDesk.end}


def domain_of(token: TokenSpec) -> str:
    """Return the id domain of a token's calls: its own where configured, else one for all tokens of its tenant."""
    return token.id_domain or f"http:{token.tenant}"


def _attempt(token: TokenSpec, request: AuthorizeRequest, *, routed: bool) -> CallAttempt:
    _check_texts(request)
    return CallAttempt(
        id_domain=domain_of(token), call_id=request.call_id, tenant=token.tenant, source="http", switch=token.id,
        identity=_identity(token, request), called=request.called, calling=request.calling,
        direction=request.direction, override=request.override, renewable=request.updates, reports_answer=True,
        hears_answer=True, routed=routed, both_sides=request.both_sides,
    )  # fmt: skip


_TEXTS = ("call_id", "calling", "called", "account", "sip_user", "pin", "caller", "via", "override")
_texts_of = attrgetter(*_TEXTS)


def _check_texts(request: AuthorizeRequest) -> None:
    """Check each text of a question; nearly always they are sound together, and are not looked at one by one."""
    texts = _texts_of(request)
    together = "".join(texts)
    if not together.isprintable() or len(together) > ID_OCTETS_MAX or not together.isascii():
        for name, text in zip(_TEXTS, texts, strict=True):
            checked(text, name)


def _identity(token: TokenSpec, request: AuthorizeRequest) -> Identity:
    if request.password is not None and not request.sip_user:
        raise malformed("a password belongs to a sip_user")
    if request.ip:
        try:
            ip_address(request.ip)
        except ValueError:
            raise malformed("ip is no IPv4 or IPv6 address") from None
    return Identity(
        account=request.account, pin=request.pin, sip_user=request.sip_user,
        credential=PlainPassword(request.password) if request.password is not None else None,
        trusted=token.trust_user_name, ip=request.ip, caller=request.caller, via=request.via or token.id,
        did=request.called if request.direction is Direction.INBOUND else "",
    )  # fmt: skip


def _message(token: TokenSpec, operation: str, call_id: str, grant_id: str, body: bytes) -> MessageKey:
    """Return the message key: no part but the last, the call id, may hold a colon."""
    digest = hashlib.blake2b(body, digest_size=DIGEST_OCTETS)
    # Updates of one call differ by nature: each body is a message of its own, and never a conflict.
    part = f"{operation}.{digest.hexdigest()}" if operation == "update" else operation
    return MessageKey(f"http:{token.tenant}:{part}:{grant_id}:{call_id}", digest.digest(), of_call=True)


def _report(token: TokenSpec, call_id: str, said: Said, operation: str, body: bytes) -> CallReport:
    checked(call_id, "call_id")
    if said.grant_id and not said.grant_id.isalnum():
        raise unknown("call")
    attempt = CallAttempt(
        id_domain=domain_of(token), call_id=call_id, tenant=token.tenant, source="http", switch=token.id,
        identity=Identity(), called="", renewable=operation == "update", hears_answer=True, routed=token.routing,
    )  # fmt: skip
    answered_at = said.at - said.duration_us if said.duration_us is not None else None
    return CallReport(
        attempt=attempt, at=said.at, grant_id=said.grant_id, answered_at=answered_at,
        answered=said.answered is not False, duration_us=said.duration_us, cause=said.cause, route=said.route,
        message=_message(token, operation, call_id, said.grant_id, body), exact=True,
        own_token=True,
    )  # fmt: skip


def _own(ocf: OnlineCharging, call: Call, report: CallReport) -> bool:
    """Tell whether a call is of the report's call id, and its payer within the token's tenant."""
    attempt = report.attempt
    same = (call.id_domain, call.call_id) == (attempt.id_domain, attempt.call_id)
    return same and ocf.catalog().descends(call.payer.tenant, attempt.tenant)


def _awaits_end(call: Call | None) -> bool:
    """Tell whether the end of a call is still to be told: it runs, it lapsed, or an estimate stands in for its end."""
    return call is not None and (call.state is not CallState.SETTLED or call.settled_by in ESTIMATES)


def _plausible(call: Call, report: CallReport, now: Instant) -> None:
    """Hold a stated duration against our own clock, from the answer as it was told. Raises RequestRefused (400).

    The instant that the report itself states is not used: one tolerance then holds for the whole call.
    """
    if report.duration_us is None:
        return
    if call.answered_at is not None:
        wrong = abs(report.duration_us - (now - call.answered_at)) > CLOCK_TOLERANCE_US
    else:
        wrong = report.duration_us > now - call.requested_at + CLOCK_TOLERANCE_US
    if wrong:
        raise malformed(
            f"duration_seconds is more than {CLOCK_TOLERANCE_SECONDS} seconds from what this machine's clock says;"
            " the end of a call that was over before is told with its own at"
        )


def _late_plausible(call: Call, report: CallReport) -> None:
    """Hold an end that is told late against what is known of the call. Raises RequestRefused (400).

    Nobody reported anything since the last sign of life, so the end's own instant is believed back to that, as a call
    that nobody ends is settled there. It never takes back what the client itself reported before.
    """
    begins = call.answered_at if call.answered_at is not None else call.requested_at
    proved = call.last_seen_at if call.answered_at is not None else begins
    if report.at < proved - CLOCK_TOLERANCE_US:
        what = "last sign of life" if call.answered_at is not None else "question"
        raise malformed(
            f"at is more than {CLOCK_TOLERANCE_SECONDS} seconds before the {what} of this call,"
            f" {format_rfc3339(proved)}"
        )
    if report.duration_us is None:
        return
    longest = report.at - begins + CLOCK_TOLERANCE_US
    shortest = max(report.at, proved) - begins - CLOCK_TOLERANCE_US if call.answered_at is not None else 0
    if not shortest <= report.duration_us <= longest:
        since = "answer" if call.answered_at is not None else "question"
        raise malformed(
            f"duration_seconds is more than {CLOCK_TOLERANCE_SECONDS} seconds from what at and the {since} of this"
            f" call, {format_rfc3339(begins)}, make"
        )


def _used_us(call: Call, said: Said) -> int:
    if said.duration_us is not None:
        return said.duration_us
    return max(0, said.at - call.answered_at) if call.answered_at is not None else 0


def _encoding(of_call: Callable[[Call], bytes]) -> Callable[[Outcome], bytes]:
    return lambda outcome: of_call(outcome.call) if outcome.call is not None else EMPTY
