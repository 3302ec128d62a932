"""Decides what channels ask and runs the charges of one switch; what a switch is told is reserved already.

A channel that asks over FastAGI is told its result by variables; it is never answered and never dialled here.
A store that cannot commit refuses. What could not be told in full is no grant, and is let go of.
Every charge is a task of its own, so that a slow one delays nobody; there are never more than the switch has calls.
"""

import asyncio
from collections.abc import Coroutine, Iterable

import structlog

from daemon.asterisk.ami_wire import LocalAmiError
from daemon.asterisk.dialplan import Asked, Told, dials
from daemon.asterisk.legs import (
    Alone,
    Began,
    Closed,
    Ended,
    Grant,
    Intent,
    Legs,
    Paid,
    Tried,
    Unanswered,
    Vanished,
)
from daemon.asterisk.link import ActionRefused, ChannelGone, LinkLost
from daemon.asterisk.reports import Reporter
from daemon.asterisk.road import Road
from daemon.asterisk.session import ChargingSession, persisted
from daemon.authorize.attempt import CallAttempt
from daemon.authorize.decision import Denied, Granted
from daemon.authorize.denial import Denial
from daemon.charging.call import Call
from daemon.charging.event import Decided
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Counters, StoreError

QUESTIONS_MAX = 1_000  # questions in flight; a switch that asks more at once is told that we are overloaded
ALONE_SECONDS = 0.5  # how long a caller takes to hang up after the called side did; 1 ms as captured
DRAIN_SECONDS = 5.0  # how long a stopping daemon waits for settlements that are under way

_log = structlog.get_logger("tollway.asterisk")


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
        self._asking = 0
        self._alone: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._settling: set[asyncio.Task[None]] = set()
        self._charging: dict[asyncio.Task[None], ChargingSession] = {}

    @property
    def sessions(self) -> list[ChargingSession]:
        """The charges that are running or being settled."""
        return list(self._sessions.values())

    @property
    def outstanding(self) -> int:
        """How many charges and settlements are under way."""
        return len(self._settling) + len(self._tasks)

    async def ask(self, asked: Asked, told: Told) -> tuple[Granted | Denied, Grant | None]:
        """Decide what a channel asks; the grant is what has to be let go of where it cannot be told."""
        question = self._question(asked, told)
        decision, call = await self._decided(question)
        code = decision.denial.value if isinstance(decision, Denied) else "granted"
        self._counters.count("tollway_decisions_total", road="asterisk", code=code)
        if isinstance(decision, Denied):
            return decision, None
        grant = Grant(
            question, call.grant_id if call is not None else "", call.part if call is not None else 1,
            dials(decision), decision.renewable, self._road.now(),
        )  # fmt: skip
        if not self._reporter.spec.secret:
            return decision, grant  # nobody will ever tell here what becomes of it
        intents = self._legs.granted(grant, up=told.up, at=self._road.now())
        if intents is None:
            self._settled(self._void(Unanswered(grant, self._road.now(), "")))
            return Denied(Denial.OVERLOADED, "hung up while we decided"), None
        self.take(intents)
        return decision, grant

    def withdraw(self, grant: Grant) -> None:
        """Let go of a grant that could not be told."""
        if self._legs.withdrawn(grant.channel) or not self._reporter.spec.secret:
            self._settled(self._void(Unanswered(grant, self._road.now(), "")))

    def take(self, intents: list[Intent]) -> None:
        """Carry out what events meant."""
        for intent in intents:
            match intent:
                case Began(paid):
                    self.begin(paid)
                case Ended(paid) | Vanished(paid):
                    self._end(paid, intent)
                case Unanswered():
                    self._settled(self._void(intent))
                case Tried():
                    self._settled(self._tried(intent))
                case Alone(channel):
                    self._watch(channel)
                case Closed(channel):
                    self._unwatch(channel)

    def follows(self, call: Call) -> bool:
        """Tell whether a charge of the store is running here."""
        return any(call.grant_id in session.grant_ids for session in self.sessions)

    def begin(self, paid: Paid, call: Call | None = None) -> None:
        """Run a charge; ``call`` where the store has it open already."""
        if paid in self._sessions:
            return
        session = ChargingSession(self._ocf, self._reporter, self._road, paid)
        self._sessions[paid] = session
        self._counters.count("tollway_reports_total", road="asterisk", kind="answer" if call is None else "adopted")
        self._charging[self._settled(self._charged(session, call))] = session

    async def lost(self, at: int) -> None:
        """The link is gone: record that every running call was up when it was last heard."""
        await asyncio.gather(*(session.prove_life(at) for session in self.sessions))

    def linked(self) -> None:
        """The link is back: every timer is set anew."""
        for session in self.sessions:
            session.linked()

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
        for handle in self._alone.values():
            handle.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _question(self, asked: Asked, told: Told) -> CallAttempt:
        routed = bool(self._ocf.catalog().carriers)  # where no carrier is configured every switch routes by itself
        return self._reporter.question(asked, told, linked=self._road.is_up, routed=routed)

    async def _decided(self, question: CallAttempt) -> tuple[Granted | Denied, Call | None]:
        if self._asking >= QUESTIONS_MAX and not self._ocf.is_emergency(question.called):
            refusal = Denied(Denial.OVERLOADED, "too many questions at once")
            self._ocf.refuse(question, refusal)
            return refusal, None
        self._asking += 1
        try:
            answer = await self._ocf.authorize(question)
        except StoreError as error:
            _log.error("question refused: the store cannot commit", call_id=question.call_id, error=str(error))
            return Denied(Denial.STORE_UNAVAILABLE, "the store cannot commit"), None
        finally:
            self._asking -= 1
        assert isinstance(answer, Decided), answer  # a question of a dialplan has no message key
        return answer.decision, answer.call

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
            self._counters.count("tollway_reports_total", road="asterisk", kind="end")
        if isinstance(how, Ended) and how.alive and self._legs.grant_of(paid.channel) is None:
            self._started(self._cleared(paid.channel))

    async def _cleared(self, channel: str) -> None:
        """Take the grant off a channel that lives on: it was good for one call."""
        try:
            await self._road.clear(channel)
        except (LinkLost, ChannelGone):
            return
        except (ActionRefused, LocalAmiError) as error:
            _log.error("a grant that was used is not cleared", call_id=channel, error=str(error))

    async def _void(self, gone: Unanswered) -> None:
        grant = gone.grant
        if not grant.grant_id:
            return  # an emergency call holds nothing
        if gone.vanished:
            await persisted(lambda: self._ocf.recover(grant.grant_id), "recovery", grant.channel)
            return
        report = self._reporter.unanswered(gone)
        await persisted(lambda: self._ocf.ended(report), "void", grant.channel)

    async def _tried(self, leg: Tried) -> None:
        report = self._reporter.tried(leg)
        await persisted(lambda: self._ocf.attempted(report), "attempt", leg.grant.channel)

    def _watch(self, channel: str) -> None:
        if channel not in self._alone:
            loop = asyncio.get_running_loop()
            self._alone[channel] = loop.call_later(ALONE_SECONDS, self._left_alone, channel)

    def _unwatch(self, channel: str) -> None:
        handle = self._alone.pop(channel, None)
        if handle is not None:
            handle.cancel()

    def _left_alone(self, channel: str) -> None:
        self._alone.pop(channel, None)
        self.take(self._legs.left_alone(channel))
