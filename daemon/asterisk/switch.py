"""One Asterisk for as long as it is configured: links that come and go, and the truth after each.

After a link comes up the switch is asked what runs (``CoreShowChannels``). What ended meanwhile is settled at its last
proof of life; what was answered meanwhile is charged from the answer that the switch tells, else from when it is found;
what still runs is taken over, also by a daemon that started anew. A question that fails proves nothing.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping

import structlog

from daemon.asterisk import events
from daemon.asterisk.call_control import CallControl
from daemon.asterisk.events import Event
from daemon.asterisk.legs import Legs
from daemon.asterisk.link import ActionRefused, ChannelGone, Link, LinkLost, LoginRefused, SwitchClock
from daemon.asterisk.reports import SOURCE, Reporter
from daemon.asterisk.road import Road
from daemon.asterisk.session import persisted
from daemon.charging.call import Call
from daemon.charging.configuration import AsteriskSpec
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Counters, Outside, Store, StoreError
from daemon.charging.told_again import ToldAgain
from daemon.kernel.instant import Instant

BACK_OFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)  # waits before the next attempt to connect; the last one for ever
REFUSED_SECONDS = 30.0  # after a refused login: a switch may lock out who tries a wrong secret every second
STEADY_SECONDS = 10.0  # a link that held so long starts the back-off anew
LOOKS_MAX = 32  # channels looked at together after a link came up
CUTS_SECONDS = 1.0  # how often the store is asked which calls a person wants ended; longer with many calls
CUTS_SHARE = 0.002  # seconds more for each call: 1,000 calls are read every 3 s
LISTENER = "ami"

_log = structlog.get_logger("tollway.asterisk")


class Switch:
    """Keeps a link to one switch and runs its calls, until cancelled."""

    def __init__(
        self, spec: AsteriskSpec, ocf: OnlineCharging, store: Store, outside: Outside, counters: Counters
    ) -> None:
        """Bind the parts; ``run`` connects."""
        self.spec = spec
        self._ocf = ocf
        self._store = store
        self._outside = outside
        self._counters = counters
        self._reporter = Reporter(spec)
        self._clock = SwitchClock()
        self.legs = Legs()
        self._road = Road(outside.now, self._vanished)
        self.control = CallControl(ocf, self._reporter, self.legs, self._road, counters)

    @property
    def is_up(self) -> bool:
        """Tell whether the link is up."""
        return self._road.is_up

    async def run(self) -> None:
        """Connect for ever. When cancelled, settlements under way are finished and calls stay up."""
        works = (self._keep_linked(), self._follow_cuts())
        try:
            await _first_failure(*(asyncio.create_task(work) for work in works))
        finally:
            await self.control.stop()

    async def _keep_linked(self) -> None:
        if not self.spec.secret:  # its questions are answered, and nothing else is known of it
            await asyncio.Event().wait()
        failures, lines = 0, ToldAgain()
        while True:
            began, lost = self._outside.now(), LinkLost("")
            try:
                await self._linked()
            except LinkLost as error:
                lost = error
            refused = isinstance(lost, LoginRefused)
            if refused:
                self._counters.count("tollway_discarded_total", listener=LISTENER, reason="login_refused")
            held = (self._outside.now() - began) / 1e6 > STEADY_SECONDS
            failures = 0 if held else failures + 1
            if held:
                lines.ended()
            untold = lines.tells(str(lost), time.monotonic())
            if untold is not None:
                _log.log(40 if refused else 30, "link lost", switch=self.spec.id, error=str(lost), untold=untold)
            pause = BACK_OFF_SECONDS[min(failures, len(BACK_OFF_SECONDS) - 1)]
            await asyncio.sleep(REFUSED_SECONDS if refused else pause)

    async def _linked(self) -> None:
        """Hold one link from its connection to its loss. Raises LinkLost."""
        link = await Link.connect(self.spec, self.on_event, self._odd, self._outside.now, self._clock)
        was_up = False
        reading = asyncio.create_task(link.run())
        try:
            await link.login(self.spec.username, self.spec.secret)
            self._road.link, was_up, since = link, True, self._outside.now()
            _log.info("link up", switch=self.spec.id, host=self.spec.host, port=self.spec.port)
            pinging = asyncio.create_task(link.ping())
            looking = asyncio.create_task(self._resynchronise(link, since))
            await _first_failure(reading, pinging, looking)
        finally:
            self._road.link = None
            link.close()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            if was_up:
                await self.control.lost(link.heard_at)

    def on_event(self, event: Event, at: Instant) -> None:
        """Take one event of the link."""
        self.control.take(self.legs.on_event(event, at))

    def _odd(self, reason: str) -> None:
        self._counters.count("tollway_discarded_total", listener=LISTENER, reason=reason)
        _log.warning("an event of the switch is not believed", switch=self.spec.id, reason=reason)

    def _vanished(self, channel: str) -> None:
        self.control.take(self.legs.vanished(channel, self._outside.now()))

    async def _resynchronise(self, link: Link, since: Instant) -> None:
        """Bring what we believe to what the switch says; ``since`` then its events are heard. Raises LinkLost."""
        stored = await persisted(self._stored, "open calls", self.spec.id)
        known = self.legs.channels()  # before the list is asked for: what asks meanwhile may be missing in it
        running = {event.uniqueid: event for event in await link.channels() if event.uniqueid}
        for channel in known:
            if channel not in running:
                self._vanished(channel)
        for call in stored:
            if call.call_id not in running:
                await self._recovered(call, known)
            else:
                self._adopt(call)
        await _together(self._look_at(running, channel, since) for channel in running)
        self.control.linked()
        adopted = [call.grant_id for call in stored if call.call_id in running]
        try:
            await self._store.adopted(adopted)
        except StoreError as error:
            _log.warning("adopted calls are not noted for the report", error=str(error))
        _log.info(
            "switch resynchronised", switch=self.spec.id, channels=len(running), open_calls=len(stored),
            adopted=len(adopted), settled=len(stored) - len(adopted),
        )  # fmt: skip

    async def _stored(self) -> list[Call]:
        mine = (SOURCE, self.spec.id)
        return [call for call in await self._store.open_calls() if (call.source, call.switch) == mine]

    async def _recovered(self, call: Call, known: Iterable[str]) -> None:
        """Settle an open call of the store whose channel the switch does not have; one that we follow settles itself.

        A call that was asked for while the list was made is neither in the list nor known before: it is left alone.
        """
        if self.control.follows(call) or call.call_id in self.legs or call.call_id in known:
            return
        await persisted(lambda: self._ocf.recover(call.grant_id), "recovery", call.call_id)
        self._counters.count("tollway_reports_total", road="asterisk", kind="recovery")

    def _adopt(self, call: Call) -> None:
        """Take over a call that an earlier daemon opened; one that we follow ourselves needs nothing."""
        granted = self.legs.grant_of(call.call_id)
        if self.control.follows(call) or (granted is not None and granted.grant_id == call.grant_id):
            return
        paid = self.legs.adopt(self._reporter.stored(call), call.answered_at)
        if paid is not None:
            self.control.begin(paid, call)

    async def _look_at(self, running: Mapping[str, Event], channel: str, since: Instant) -> None:
        """Take what happened to a channel while nobody listened: it was answered, or left alone."""
        event = running[channel]
        grant = self.legs.grant_of(channel)
        if grant is None or not (event.bridge and event.state == events.UP):
            self.control.take(self.legs.found(channel, event.bridge, since, since))
            return
        try:
            told = events.instant(await self._road.answered(channel))
        except (ChannelGone, ActionRefused):
            told = 0
        now, at = self._outside.now(), told + self._clock.ahead_us
        answered_at = at if told and grant.asked_at <= at <= now else now
        self.control.take(self.legs.found(channel, event.bridge, answered_at, since))

    async def _follow_cuts(self) -> None:
        """End what a person wants ended, whichever road he took to say so, and what the store wants earlier."""
        while True:
            await asyncio.sleep(CUTS_SECONDS + CUTS_SHARE * len(self.control.sessions))
            if not self.control.sessions:
                continue
            try:
                calls = await self._store.open_calls()
            except StoreError:
                continue
            self.control.cut({call.grant_id for call in calls if call.cut})
            self.control.share(calls)


async def _first_failure(*tasks: asyncio.Task[None]) -> None:
    """Wait until one of the tasks fails, and raise what it failed of."""
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _together(works: Iterable[object]) -> None:
    """Run works a few at a time; the first failure stops the rest."""
    batch: list[object] = []
    for work in works:
        batch.append(work)
        if len(batch) == LOOKS_MAX:
            await asyncio.gather(*batch)  # type: ignore[call-overload]
            batch.clear()
    await asyncio.gather(*batch)  # type: ignore[call-overload]
