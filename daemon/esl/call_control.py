"""Decides parked calls and runs the charges of one switch; what a switch is told is reserved already.

A parked call is never answered here: it is told its result by variables, gets a timer, and goes to ``tollway_next``.
A refused one goes to ``tollway_denied`` or is ended with the mapped cause. A store that cannot commit refuses.
Every charge is a task of its own, so that a slow one delays nobody; there are never more than the switch has calls.
"""

import asyncio
import re
from collections.abc import Coroutine, Iterable

import structlog

from daemon.authorize.decision import Denied, Granted
from daemon.authorize.denial import Q850, Denial
from daemon.charging.call import Call
from daemon.charging.event import Decided
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Counters, StoreError
from daemon.esl import dialplan, wire
from daemon.esl.events import Event, from_json
from daemon.esl.legs import (
    Asked,
    Began,
    Closed,
    Ended,
    Grant,
    Intent,
    Legs,
    Paid,
    Tried,
    Unanswered,
    Unclear,
    Unpaid,
    Vanished,
)
from daemon.esl.link import LinkLost
from daemon.esl.reports import Reporter
from daemon.esl.road import Road
from daemon.esl.session import ChargingSession, persisted
from daemon.esl.timers import ChannelGone, CommandRefused, checked
from daemon.kernel.instant import SECOND, Instant

QUESTIONS_MAX = 1_000  # questions in flight; a switch that parks more at once is told that we are overloaded
UNCLEAR_SECONDS = 1.0  # how long a caller's own event may take after the called side answered; 20 ms as captured
DRAIN_SECONDS = 5.0  # how long a stopping daemon waits for settlements that are under way
_WORDS = re.compile(r" +")

_log = structlog.get_logger("tollway.esl")


class CallControl:
    """One switch's calls. It outlives the links to the switch."""

    def __init__(self, ocf: OnlineCharging, reporter: Reporter, legs: Legs, road: Road, counters: Counters) -> None:
        """Start with no call."""
        self._ocf = ocf
        self._reporter = reporter
        self._legs = legs
        self._road = road
        self._counters = counters
        self._sessions: dict[Paid, ChargingSession] = {}
        self._timers: dict[str, str] = {}
        self._asking: set[str] = set()
        self._unclear: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._settling: set[asyncio.Task[None]] = set()
        self._charging: dict[asyncio.Task[None], ChargingSession] = {}
        self._nibble_said = False

    @property
    def sessions(self) -> list[ChargingSession]:
        """The charges that are running or being settled."""
        return list(self._sessions.values())

    @property
    def outstanding(self) -> int:
        """How many charges, settlements and questions are under way."""
        return len(self._settling) + len(self._tasks)

    def take(self, intents: list[Intent]) -> None:
        """Carry out what events meant."""
        for intent in intents:
            match intent:
                case Asked(event):
                    self.ask(event)
                case Began(paid):
                    self.begin(paid)
                case Ended(paid) | Vanished(paid):
                    self._end(paid, intent)
                case Unanswered():
                    self._settled(self._void(intent))
                case Tried():
                    self._settled(self._tried(intent))
                case Unpaid():
                    self._settled(self._unpaid(intent))
                case Unclear(channel):
                    self._watch(channel)
                case Closed(channel):
                    self._timers.pop(channel, None)

    def follows(self, call: Call) -> bool:
        """Tell whether a charge of the store is running here."""
        return any(call.grant_id in session.grant_ids for session in self.sessions)

    def begin(self, paid: Paid, call: Call | None = None) -> None:
        """Run a charge; ``call`` where the store has it open already."""
        if paid in self._sessions:
            return
        timer = self._timers.pop(paid.channel, "")
        session = ChargingSession(self._ocf, self._reporter, self._road, paid, timer)
        self._sessions[paid] = session
        self._counters.count("tollway_reports_total", road="esl", kind="answer" if call is None else "adopted")
        self._charging[self._settled(self._charged(session, call))] = session

    def remember_timer(self, channel: str, timer: str) -> None:
        """Take over the timer that an earlier daemon left on a channel."""
        if timer:
            self._timers[channel] = timer

    def ask(self, event: Event) -> None:
        """Decide a parked call, once."""
        if event.channel in self._asking:
            return
        if self._reporter.rules.prices_itself(event) and not self._nibble_said:
            self._nibble_said = True
            _log.warning("prices of the dialplan are not used", variables=dialplan.NIBBLE_PRICES)
        self._asking.add(event.channel)
        self._started(self._asked(event))

    async def lost(self, at: Instant) -> None:
        """The link is gone: record that every running call was up when it was last heard."""
        await asyncio.gather(*(session.prove_life(at) for session in self.sessions))

    def cut(self, grant_ids: set[str]) -> None:
        """End the calls of these grants: a person wants it."""
        for session in self.sessions:
            if session.call is not None and session.call.grant_id in grant_ids:
                session.cut()

    def share(self, calls: Iterable[Call]) -> None:
        """Tell what the store has of running calls: it may have come from another daemon."""
        by_grant = {call.grant_id: call for call in calls}
        for session in self.sessions:
            stored = by_grant.get(session.call.grant_id) if session.call is not None else None
            if stored is not None:
                session.share(stored)

    async def stop(self) -> None:
        """Let settlements that are under way finish; leave the calls themselves up."""
        ending = [task for task in self._settling if self._is_ending(task)]
        if ending:
            await asyncio.wait(ending, timeout=DRAIN_SECONDS)
        tasks = [*self._tasks, *self._settling]
        for task in tasks:
            task.cancel()
        for handle in self._unclear.values():
            handle.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _is_ending(self, task: asyncio.Task[None]) -> bool:
        session = self._charging.get(task)
        return session is None or session.is_over

    def _started(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _settled(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._settling.discard(task)
        self._charging.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            _log.error("a call's task died", error=repr(task.exception()), exc_info=task.exception())

    async def _charged(self, session: ChargingSession, call: Call | None) -> None:
        try:
            await session.run(call)
        finally:
            self._sessions.pop(session.paid, None)

    def _end(self, paid: Paid, how: Ended | Vanished) -> None:
        session = self._sessions.get(paid)
        if session is not None:
            session.end(how)
            self._counters.count("tollway_reports_total", road="esl", kind="end")
        if isinstance(how, Ended) and how.alive:
            self._started(self._cleared(paid.channel))

    async def _cleared(self, channel: str) -> None:
        """Take the grant off a leg that lives on: it was good for one call."""
        told = dialplan.cleared_variables(aliases=self._reporter.rules.cgr_aliases)
        try:
            await self._road.ask(wire.setvar_multi(channel, told))
        except (LinkLost, wire.LocalWireError):
            return

    async def _void(self, gone: Unanswered) -> None:
        self._timers.pop(gone.channel, None)
        if gone.vanished:
            await persisted(lambda: self._ocf.recover(gone.grant.grant_id), "recovery", gone.channel)
            return
        report = self._reporter.unanswered(gone)
        await persisted(lambda: self._ocf.ended(report), "void", gone.channel)

    async def _tried(self, leg: Tried) -> None:
        report = self._reporter.tried(leg)
        await persisted(lambda: self._ocf.attempted(report), "attempt", leg.channel)

    async def _unpaid(self, leg: Unpaid) -> None:
        report = self._reporter.unpaid(leg)
        self._counters.count("tollway_reports_total", road="esl", kind="unpaid")
        await persisted(lambda: self._ocf.ended(report), "exception", leg.channel)

    def _watch(self, channel: str) -> None:
        if channel not in self._unclear:
            loop = asyncio.get_running_loop()
            self._unclear[channel] = loop.call_later(UNCLEAR_SECONDS, self._look_at, channel)

    def _look_at(self, channel: str) -> None:
        self._unclear.pop(channel, None)
        if self._legs.is_unclear(channel):
            self._started(self._looked_at(channel))

    async def _looked_at(self, channel: str) -> None:
        try:
            event = await self.snapshot(channel)
        except LinkLost:
            return  # the next link begins with a look at every channel
        if event is not None:
            self.take(self._legs.on_event(event))

    async def snapshot(self, channel: str) -> Event | None:
        """Ask for a channel's state, None where there is no such channel. Raises LinkLost."""
        try:
            text = await self._road.api("uuid_dump", wire.uuid(channel), "json")
            return from_json(text.encode()) if text.startswith("{") else None
        except wire.WireError as error:
            _log.error("a channel's state cannot be read", call_id=channel[:80], error=str(error))
            return None

    async def _asked(self, event: Event) -> None:
        try:
            decision, call = await self._decided(event)
            code = decision.denial.value if isinstance(decision, Denied) else "granted"
            self._counters.count("tollway_decisions_total", road="esl", code=code)
            if isinstance(decision, Granted):
                await self._grant(event, decision, call)
            else:
                await self._refuse(event, decision.denial)
        except LinkLost as error:
            _log.warning("a parked call waits for the link", call_id=event.channel, error=str(error))
        except ChannelGone:
            _log.info("a parked call hung up before it was told", call_id=event.channel)
        finally:
            self._asking.discard(event.channel)

    async def _decided(self, event: Event) -> tuple[Granted | Denied, Call | None]:
        question = self._reporter.question(event)
        if len(self._asking) > QUESTIONS_MAX and not self._ocf.is_emergency(question.called):
            refusal = Denied(Denial.OVERLOADED, "too many questions at once")
            self._ocf.refuse(question, refusal)
            return refusal, None
        try:
            answer = await self._ocf.authorize(question)
        except StoreError as error:
            _log.error("question refused: the store cannot commit", call_id=event.channel, error=str(error))
            return Denied(Denial.STORE_UNAVAILABLE, "the store cannot commit"), None
        assert isinstance(answer, Decided), answer  # a question of the event socket has no message key
        return answer.decision, answer.call

    async def _grant(self, event: Event, granted: Granted, call: Call | None) -> None:
        grant = Grant(call.grant_id, call.part, granted.called, call.route) if call is not None else None
        try:
            if grant is not None and not self._legs.granted(event.channel, grant):
                raise ChannelGone("hung up while we decided")
            await self._told_granted(event, granted)
        except ChannelGone:
            if grant is not None and event.channel not in self._legs:
                await self._void(Unanswered(event.channel, grant, self._road.now(), ""))
            raise
        except (CommandRefused, wire.LocalWireError) as error:
            # Fail closed: what could not be told in full is no grant. The hang-up that follows voids it.
            _log.error("a granted call could not be told", call_id=event.channel, error=str(error))
            await self._killed(event.channel, Denial.STORE_UNAVAILABLE)

    async def _told_granted(self, event: Event, granted: Granted) -> None:
        onward = self._onward(event)
        told = dialplan.granted_variables(granted, aliases=self._reporter.rules.cgr_aliases)
        checked(await self._road.ask(wire.setvar_multi(event.channel, told)))
        if not granted.emergency:
            ring = self._ocf.settings.ring_seconds
            belt = self._road.now() + (ring + granted.seconds) * SECOND
            timer = await self._road.move_timer(event.channel, belt, self._timers.pop(event.channel, ""))
            self.remember_timer(event.channel, timer)
        checked(await self._road.api("uuid_transfer", wire.uuid(event.channel), *onward))

    def _onward(self, event: Event) -> list[str]:
        """Return where a granted call goes: what the dialplan says, else the dialled number in its own context."""
        if event.tollway_next:
            return _destination(event.tollway_next)
        own = "XML" if event.dialplan in ("", "inline") else event.dialplan
        return [wire.word(event.destination), wire.word(own), wire.word(event.context or "default")]

    async def _refuse(self, event: Event, denial: Denial) -> None:
        told = dialplan.denied_variables(denial, aliases=self._reporter.rules.cgr_aliases)
        try:
            checked(await self._road.ask(wire.setvar_multi(event.channel, told)))
            if event.tollway_denied:
                onward = _destination(event.tollway_denied)
                checked(await self._road.api("uuid_transfer", wire.uuid(event.channel), *onward))
                return
        except (CommandRefused, wire.LocalWireError) as error:
            _log.warning("a refused call is ended instead", call_id=event.channel, error=str(error))
        await self._killed(event.channel, denial)

    async def _killed(self, channel: str, denial: Denial) -> None:
        """End a call with a refusal's cause. Raises LinkLost, ChannelGone; a link that comes back finds it parked."""
        try:
            checked(await self._road.api("uuid_kill", wire.uuid(channel), dialplan.CAUSE_NAMES[Q850[denial]]))
        except (CommandRefused, wire.LocalWireError) as error:
            _log.error("a refused call could not be ended", call_id=channel, error=str(error))


def _destination(text: str) -> list[str]:
    """Return the words of ``EXTENSION [DIALPLAN [CONTEXT]]``. Raises LocalWireError for anything else."""
    words = _WORDS.split(text.strip(" "))
    if not 1 <= len(words) <= 3 or (len(words) > 1 and words[1] == "inline"):
        raise wire.LocalWireError(f"{text[:80]!r} is not EXTENSION, DIALPLAN and CONTEXT")
    return [wire.word(word) for word in words]
