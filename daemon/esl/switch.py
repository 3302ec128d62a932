"""One switch for as long as it is configured: links that come and go, and the truth after each.

After a link comes up the switch is asked what runs: ``show channels``, each one missing confirmed by ``uuid_exists``
(the table lags), each one there looked at by ``uuid_dump``. What ended meanwhile is settled at its last proof of life;
what still runs is taken over, also by a daemon that started anew. A question that fails proves nothing.
"""

import asyncio
import time
from collections.abc import Iterable

import msgspec
import structlog

from daemon.charging.call import Call
from daemon.charging.configuration import FreeswitchSpec
from daemon.charging.discarded import discarded
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Counters, Outside, Store, StoreError
from daemon.charging.told_again import ToldAgain
from daemon.esl import wire
from daemon.esl.call_control import CallControl
from daemon.esl.events import Event
from daemon.esl.legs import Legs
from daemon.esl.link import EVENTS, Link, LinkLost
from daemon.esl.reports import SOURCE, Reporter, rules_of
from daemon.esl.road import Road
from daemon.esl.served_by import MARK_SECONDS, marked
from daemon.esl.session import persisted
from daemon.esl.spool import Spool
from daemon.kernel.instant import Instant

BACK_OFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)  # waits before the next attempt to connect; the last one for ever
STEADY_SECONDS = 10.0  # a link that held so long starts the back-off anew
LOOKS_MAX = 32  # channels looked at together after a link came up
SPOOL_SECONDS = 5.0  # how often the folder of the switch's own records is looked at
CUTS_SECONDS = 1.0  # how often the store is asked which calls a person wants ended; longer with many calls
CUTS_SHARE = 0.002  # seconds more for each call: 1,000 calls are read every 3 s

_log = structlog.get_logger("tollway.esl")


class _Row(msgspec.Struct, gc=False):
    uuid: str = ""


class _Table(msgspec.Struct):
    row_count: int = 0
    rows: list[_Row] = []


_table = msgspec.json.Decoder(_Table).decode


class Switch:
    """Keeps a link to one switch and runs its calls, until cancelled."""

    def __init__(
        self, spec: FreeswitchSpec, ocf: OnlineCharging, store: Store, outside: Outside, counters: Counters,
        store_id: str = "",
    ) -> None:  # fmt: skip
        """Bind the parts; ``run`` connects. Without a ``store_id`` the switch is not marked as served."""
        self.spec = spec
        self._store_id = store_id
        self._ocf = ocf
        self._store = store
        self._outside = outside
        self._counters = counters
        rules = rules_of(spec)
        self.legs = Legs(rules)
        self._road = Road(outside.now, self._vanished)
        self._reporter = Reporter(spec, rules, self._road.clock)
        self.control = CallControl(ocf, self._reporter, self.legs, self._road, counters)
        self._spool = Spool(ocf, store, self._reporter, counters)
        self._heard_since: Instant | None = None  # when the link came up, by the switch's clock; None while it is down

    @property
    def is_up(self) -> bool:
        """Tell whether the link is up."""
        return self._road.is_up

    async def run(self) -> None:
        """Connect for ever. When cancelled, settlements under way are finished and calls stay up.

        What follows the store and the spool belongs to it: where one of them dies, so does the whole, and is seen.
        """
        works = (self._keep_linked(), self._follow_cuts(), self._follow_spool())
        try:
            await _first_failure(*(asyncio.create_task(work) for work in works))
        finally:
            await self.control.stop()

    async def _keep_linked(self) -> None:
        failures, lines = 0, ToldAgain()
        while True:
            began, lost = self._outside.now(), LinkLost("")
            try:
                await self._linked()
            except LinkLost as error:
                lost = error
                if error.reason:
                    discarded(self._counters, "esl", error.reason)
            held = (self._outside.now() - began) / 1e6 > STEADY_SECONDS
            failures = 0 if held else failures + 1
            if held:
                lines.ended()
            untold = lines.tells(str(lost), time.monotonic())
            if untold is not None:
                _log.warning("link lost", switch=self.spec.id, error=str(lost), untold=untold)
            await asyncio.sleep(BACK_OFF_SECONDS[min(failures, len(BACK_OFF_SECONDS) - 1)])

    async def _linked(self) -> None:
        """Hold one link from its connection to its loss. Raises LinkLost."""
        link = await Link.connect(self.spec, self.on_event, self._outside.now, self._road.clock)
        was_up = False
        reading = asyncio.create_task(link.run())
        try:
            await link.login(self.spec.password)
            self._road.link, was_up = link, True
            self._heard_since = self._road.now()
            _log.info("link up", switch=self.spec.id, host=self.spec.host, port=self.spec.port)
            pinging, looking = asyncio.create_task(link.ping()), asyncio.create_task(self._resynchronise())
            await _first_failure(reading, pinging, looking, asyncio.create_task(self._mark()))
        finally:
            self._road.link = self._heard_since = None
            link.close()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            if was_up:
                await self.control.lost(link.heard_at - self._road.clock.ahead_us)

    async def _mark(self) -> None:
        """Say on the switch whom it serves, and here that another says so too. Raises LinkLost."""
        told = ToldAgain()
        while self._store_id:
            other = await marked(self._road, self._store_id)
            if other and told.tells(other, time.monotonic()) is not None:
                _log.error("another daemon serves this switch", switch=self.spec.id, store_id=other)
            await asyncio.sleep(MARK_SECONDS)

    def on_event(self, event: Event) -> None:
        """Take one event of the link."""
        if event.name == "ADD_SCHEDULE":
            self._road.timers.armed(event)
            return
        if event.name not in EVENTS or not (event.name == "HEARTBEAT" or wire.is_uuid(event.channel)):
            discarded(self._counters, "esl", "event")
            return
        self.control.take(self.legs.on_event(event))

    def _vanished(self, channel: str) -> None:
        self.control.take(self.legs.vanished(channel, self._road.now()))

    async def _resynchronise(self) -> None:
        """Bring what we believe to what the switch says. Raises LinkLost."""
        stored = await persisted(self._stored, "open calls", self.spec.id)
        running = await self._channels()
        await _together(self._missing(channel) for channel in self.legs.channels() if channel not in running)
        await _together(self._recovered(call) for call in stored if call.call_id not in running)
        open_calls: dict[str, list[Call]] = {}
        for call in stored:
            open_calls.setdefault(call.call_id, []).append(call)
        await _together(self._look_at(channel, open_calls.get(channel, [])) for channel in running)
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

    async def _channels(self) -> list[str]:
        text = await self._road.api("show", "channels", "as", "json")
        try:
            return [row.uuid for row in _table(text.encode()).rows if row.uuid]
        except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
            raise LinkLost(f"the table of channels cannot be read: {error}", "reply") from None

    async def _missing(self, channel: str) -> None:
        if await self._denied(channel):
            await self._spool.take_of(channel)
            self._vanished(channel)

    async def _recovered(self, call: Call) -> None:
        """Settle an open call of the store whose channel the switch denies; one that we follow settles itself."""
        if self.control.follows(call) or not await self._denied(call.call_id):
            return
        await self._spool.take_of(call.call_id)
        await persisted(lambda: self._ocf.recover(call.grant_id), "recovery", call.call_id)
        self._counters.count("tollway_reports_total", road="esl", kind="recovery")

    async def _denied(self, channel: str) -> bool:
        try:
            return await self._road.api("uuid_exists", wire.uuid(channel)) == "false"
        except wire.LocalWireError:
            return False

    async def _look_at(self, channel: str, calls: list[Call]) -> None:
        """Take what the switch says of one channel, and the calls that the store has open on it."""
        event = await self.control.snapshot(channel)
        if event is None:
            await _together(self._recovered(call) for call in calls)
            return
        for call in calls:
            self._adopt(call, event)
        self.control.take(self.legs.on_event(event))
        parked = event.current_application == "park"
        if parked and self._reporter.rules.asks(event) and channel in self.legs:
            self.control.ask(event)

    def _adopt(self, call: Call, event: Event) -> None:
        """Take over a call that an earlier daemon opened; one that we follow ourselves needs nothing."""
        paid = self._reporter.stored(call)
        granted = self.legs.grant_of(call.call_id)
        if self.control.follows(call) or (granted is not None and granted.grant_id == call.grant_id):
            return
        self.legs.adopt(paid, answered=call.answered_at is not None)
        self.control.remember_timer(call.call_id, event.tollway_timer)
        if call.answered_at is not None:
            self.control.begin(paid, call)

    async def _follow_spool(self) -> None:
        """Charge by the switch's own records what ended while nobody listened."""
        while True:
            await asyncio.sleep(SPOOL_SECONDS)
            try:
                await self._spool.take_all(self._heard_since, time.time())
            except StoreError as error:
                _log.error("a record of the switch is left where it is", switch=self.spec.id, error=str(error))

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
