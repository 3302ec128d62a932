"""A seeded world of switch, network, clock and store over the real charging function and a real SQLite file.

Events are lost, doubled, reordered and late; the daemon's clock steps back an hour and forward a day; the store fails
in every way of ``crash_store``; the process is killed at any statement and a new one goes on from its files. A sender
repeats what was not acknowledged, the same message each time, and sometimes gives up. Everything follows from the seed:
even a batch of several transactions is formed behind a gate, not by luck.
"""

import asyncio
import contextlib
import heapq
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from daemon.authorize.attempt import CallAttempt, Identity
from daemon.authorize.catalog import Catalog, Emergency
from daemon.authorize.decision import Decision, Granted
from daemon.charging.event import CallReport, Conflict, MessageKey, Outcome, Replay
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Outside, Reads, StoreError
from daemon.charging.session import ChargingSettings
from daemon.charging.without_store import ANSWERED_MAX, WithoutStore
from daemon.journal import PostpaidJournal
from daemon.kernel.ids import Key
from daemon.kernel.instant import DAY, SECOND, Instant, parse_rfc3339
from daemon.settings import StoreSettings
from daemon.store import LedgerStore, open_store
from tests.decks import read_deck
from tests.simulation.crash_scenario import CHAINS, CORP, SCENARIO, decks
from tests.simulation.crash_store import FAULTS, JOURNAL, OUTAGES, Disk

BEGINS = parse_rfc3339("2026-09-30T23:50:00Z")  # minutes before a day ends: meters turn while calls run
CALLS = 12
NUMBERS = ("442071231234", "442071231234", "33123456789", "4930123456")
TRIES_MAX = 5  # times a sender sends one message before it drops it
FAULTY = 0.15  # of the steps meet a fault
AFTERWARDS = 0.2  # of the faults are followed by the death of the process
BURST = 0.3  # of the steps send several messages into one batch
BURST_MAX = 6
ROUNDS_MAX = 40  # looks for what lapsed after the last event, two hours apart: past a day's step and every limit
READS_NOTHING = Reads()


@dataclass(frozen=True)
class Plan:
    """What a call truly did, by the switch's clock, which is right."""

    name: str
    payer: Key
    number: str
    renewable: bool
    reports_answer: bool
    asks: bool
    asked_at: Instant
    answered_at: Instant
    duration_us: int

    @property
    def ended_at(self) -> Instant:
        return self.answered_at + self.duration_us


@dataclass(frozen=True, order=True)
class Event:
    """One message, the instant it is next sent, and how often it was."""

    at: Instant
    number: int
    kind: str = field(compare=False)
    plan: Plan = field(compare=False)
    report: CallReport = field(compare=False)
    tries: int = field(compare=False, default=0)


@dataclass
class Seen:
    """What the sender of a call's messages knows: ``log`` holds (kind, the event's instant, the daemon's clock)."""

    log: list[tuple[str, Instant, Instant]] = field(default_factory=list)
    sent: list[tuple[str, Instant, Instant]] = field(default_factory=list)
    refused: bool = False
    troubled: bool = False
    told_seconds: int = 0

    @property
    def ended(self) -> bool:
        return any(kind == "end" for kind, _, _ in self.log)


@dataclass
class CrashWorld:
    """One seed. ``replies`` holds what was acknowledged, by message key."""

    dice: random.Random
    disk: Disk
    store: LedgerStore
    configuration: Catalog
    grants_postpaid: bool = False
    lasting: int = 0
    journalled: int = 0
    true: Instant = BEGINS
    offset: int = 0
    seen: dict[str, Seen] = field(default_factory=dict)
    plans: dict[str, Plan] = field(default_factory=dict)
    replies: dict[str, bytes] = field(default_factory=dict)
    met: dict[str, int] = field(default_factory=dict)
    queue: list[Event] = field(default_factory=list)
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self._charging()

    def _charging(self) -> None:
        outside = Outside(now=lambda: self.now, new_id=lambda: f"g{next(self.numbers)}")
        self.memory = WithoutStore(PostpaidJournal(self.disk.folder / JOURNAL))
        settings = ChargingSettings(grants_postpaid=self.grants_postpaid)
        self.ocf = OnlineCharging(self.store, self, self, outside, settings, self.memory)

    @property
    def now(self) -> Instant:
        """The daemon's clock."""
        return self.true + self.offset

    def catalog(self) -> Catalog:
        return self.configuration

    async def append(self, record: dict[str, str]) -> None:
        raise AssertionError(f"no emergency here: {record}")

    # -- what is planned

    def plan(self) -> None:
        """Make the calls, and the messages that the network will carry."""
        for place in range(CALLS):
            plan = self._call(f"call-{place}")
            self.plans[plan.name], self.seen[plan.name] = plan, Seen()
            for event in self._disturbed(self._events(plan)):
                heapq.heappush(self.queue, event)

    def _call(self, name: str) -> Plan:
        dice = self.dice
        asked_at = BEGINS + dice.randrange(600) * SECOND
        return Plan(
            name, dice.choice([*CHAINS, CORP, CORP]), dice.choice(NUMBERS),
            dice.random() < 0.5, dice.random() < 0.8, dice.random() < 0.9, asked_at,
            asked_at + dice.randrange(1, 150) * SECOND, dice.randrange(1, 400) * SECOND + dice.randrange(SECOND),
        )  # fmt: skip

    def _events(self, plan: Plan) -> list[Event]:
        base = CallReport(attempt(plan), plan.ended_at)
        events = [("ask", plan.asked_at, base)] if plan.asks else []
        if self.dice.random() < 0.85:
            events.append(
                ("answer", plan.answered_at, replace(base, at=plan.answered_at, answered_at=plan.answered_at))
            )
        beats = range(plan.answered_at + 60 * SECOND, plan.ended_at, 60 * SECOND)
        events += [("alive", beat, replace(base, at=beat)) for beat in beats if self.dice.random() < 0.9]
        if self.dice.random() < 0.85:
            end = replace(base, duration_us=plan.duration_us, answered_at=plan.answered_at)
            events.append(("end", plan.ended_at, end))
        return [
            Event(at, next(self.numbers), kind, plan, keyed(report, f"{plan.name}:{kind}:{place}"))
            for place, (kind, at, report) in enumerate(events)
        ]

    def _disturbed(self, events: list[Event]) -> list[Event]:
        """Delay some messages, repeat some as they are, and let another source tell some again under its own key."""
        dice, made = self.dice, []
        for event in events:
            late = dice.randrange(600) * SECOND if event.kind != "ask" and dice.random() < 0.2 else 0
            made.append(replace(event, at=event.at + late))
            if dice.random() < 0.25:
                made.append(self._again(event, event.report, dice.randrange(300)))
            if event.kind != "ask" and dice.random() < 0.15:
                other = keyed(event.report, f"{event.plan.name}:{event.kind}:other:{event.number}")
                made.append(self._again(event, other, dice.randrange(900)))
        return made

    def _again(self, event: Event, report: CallReport, seconds: int) -> Event:
        return replace(event, at=event.at + seconds * SECOND, number=next(self.numbers), report=report)

    # -- what happens

    async def run(self) -> None:
        """Play every message, then wait until nothing can be held any more."""
        while self.queue:
            await self.step()
        self.disk.disarm()
        self.lasting = 0
        await self._expire()
        await self.kept()
        self.offset = max(self.offset, 0)
        for _ in range(ROUNDS_MAX):
            self.true += 7_400 * SECOND
            await self._expire()
            assert not self.ocf.stuck, self.ocf.stuck

    async def step(self) -> None:
        """Deliver one message or several at once, under a fault or under none."""
        self._step_clock()
        first = heapq.heappop(self.queue)
        self.true = max(self.true, first.at)
        events = [found for event in (first, *self._burst(first)) if (found := self._limited(event)) is not None]
        if not events:
            return
        fault = self._fault()
        if not fault or len(events) == 1:
            await self._expire()
        results = await self._delivered(events)
        self.journalled += len(self.memory.grants)
        if fault == "kill":
            self.disk.kill()  # no statement was left for it: between two transactions
        if fault and (self.disk.hit or results is None or None in results):
            self.met[fault] = self.met.get(fault, 0) + 1
        if not self.lasting:
            self.disk.disarm()
            if fault and self.dice.random() < AFTERWARDS:  # dies of its outage, before or after it has answered
                self.disk.kill()
                results = None if self.dice.random() < 0.5 else results
        for event, result in zip(events, results or [None] * len(events), strict=True):
            self._told(event, result)
        await self.restart_if_killed()

    def _fault(self) -> str:
        """Return the fault of a step: the one that lasts, a new one, or none."""
        if self.lasting:
            self.lasting -= 1
            return self.disk.fault
        fault = self.dice.choice(FAULTS) if self.dice.random() < FAULTY else ""
        if fault:
            self.disk.arm(fault, self.dice.randrange(1, 26))
        if fault in OUTAGES:
            self.lasting = self.dice.randrange(5)
        return fault

    def _step_clock(self) -> None:
        if self.dice.random() < 0.04:
            self.offset = self.dice.choice([0, 0, -3_600 * SECOND, DAY])

    def _limited(self, event: Event) -> Event | None:
        """The switch ends a call within two seconds of the limit that it was last told; no sign of life follows."""
        plan, told_us = self.plans[event.plan.name], self.seen[event.plan.name].told_seconds * SECOND
        if event.kind == "end" and told_us and plan.duration_us > told_us + 2 * SECOND:
            plan = replace(plan, duration_us=told_us + self.dice.randrange(2 * SECOND))
            self.plans[plan.name] = plan
        if event.kind == "end":
            report = replace(event.report, at=plan.ended_at, duration_us=plan.duration_us)
            return replace(event, plan=plan, report=report)
        over = told_us and event.kind == "alive" and event.report.at > plan.answered_at + told_us
        return None if over else event

    def _burst(self, first: Event) -> list[Event]:
        events: list[Event] = []
        if self.dice.random() < BURST:
            while self.queue and len(events) < BURST_MAX and self.queue[0].at <= first.at + 30 * SECOND:
                if self.queue[0].plan.name in {event.plan.name for event in (first, *events)}:
                    break
                events.append(heapq.heappop(self.queue))
                self.true = max(self.true, events[-1].at)
        return events

    async def _expire(self) -> None:
        with contextlib.suppress(StoreError):
            await self.ocf.expire_due()
            await self.ocf.learn()

    async def _delivered(self, events: list[Event]) -> "list[bytes | None] | None":
        """Return the bytes that acknowledged each message, None where nothing did, and None for all after a kill."""
        for event in events:
            self.seen[event.plan.name].sent.append((event.kind, event.report.at, self.now))
        if len(events) == 1:
            found = [await self._sent(events[0])]
        else:
            found = await self._together([self._sent(event) for event in events])
        return None if self.disk.killed else found

    async def _together(self, sendings: list[Coroutine[Any, Any, "bytes | None"]]) -> "list[bytes | None]":
        """Send all while the writer is held in a batch before theirs, so that theirs is one."""
        self.disk.reached.clear()
        self.disk.gate.clear()
        fault, self.disk.fault = self.disk.fault, ""
        first = asyncio.ensure_future(self.store.transact(READS_NOTHING, lambda _book: None))
        failed = False
        await asyncio.to_thread(self.disk.wait_reached)
        tasks = [asyncio.ensure_future(sending) for sending in sendings]
        for _ in range(3):
            await asyncio.sleep(0)
        self.disk.fault = fault
        self.disk.gate.set()
        try:
            await first
        except StoreError:
            failed = True
        assert not failed or fault, "nothing failed but by a fault"
        return list(await asyncio.gather(*tasks))

    async def _sent(self, event: Event) -> bytes | None:
        report, seen = event.report, self.seen[event.plan.name]
        if seen.refused:
            return b""
        try:
            if event.kind == "ask":
                answer = await self.ocf.authorize(report.attempt, message=report.message, encode=_decision)
                assert not isinstance(answer, Conflict), answer
                return answer.reply
            result = await self._reported(event)
            assert not isinstance(result, Conflict), result
        except StoreError:
            return None
        return result.reply

    async def _reported(self, event: Event) -> Outcome | Replay | Conflict:
        if event.kind == "answer":
            return await self.ocf.answered(event.report, encode=_outcome)
        if event.kind == "alive":
            return await self.ocf.alive(event.report, renew=event.plan.renewable, encode=_outcome)
        return await self.ocf.ended(event.report, encode=_outcome)

    def _told(self, event: Event, reply: bytes | None) -> None:
        """Note what the sender learns; what was not acknowledged it sends again, or drops."""
        seen = self.seen[event.plan.name]
        if seen.refused:
            return
        assert event.report.message is not None
        key = event.report.message.key
        if key in self.replies:
            assert reply in (None, self.replies[key]), ("a repeat is answered with the same bytes", key)
        elif reply is None:
            self._unanswered(event, seen)
        else:
            self.replies[key] = reply
            seen.log.append((event.kind, event.report.at, self.now))
            seen.refused = reply.startswith(b"denied")
            if reply.startswith(b"seconds"):
                seen.told_seconds = int(reply.split()[1])

    def _unanswered(self, event: Event, seen: Seen) -> None:
        """Send a message again, or drop it. A dialplan that waits too long for its grant refuses the call."""
        seen.troubled = True
        again = self.true + self.dice.randrange(1, 6) * SECOND
        if event.kind == "ask" and (again >= event.plan.answered_at or self.dice.random() < 0.3):
            seen.refused = True  # what may be reserved lapses
        elif event.tries + 1 < TRIES_MAX:
            heapq.heappush(self.queue, replace(event, at=again, tries=event.tries + 1))
        elif event.kind == "ask":
            seen.refused = True

    # -- kills

    async def restart_if_killed(self) -> None:
        """Begin a new life from the files that the old one left."""
        if not self.disk.killed:
            return
        await self.store.close()
        self.disk = Disk(self.disk.aside)
        self.store = await opened_store(self.disk, lambda: self.now)
        self.configuration = await self.store.load_catalog(Emergency())
        self._charging()
        for message in await self.store.recent_messages(ANSWERED_MAX):
            self.memory.remember(message)
        await self.memory.load()
        await self.ocf.learn()
        await self.ocf.expire_due()
        await self.kept()

    async def kept(self) -> None:
        """What was acknowledged is in the store."""
        rows = await self.store.rows("SELECT key, reply FROM message")
        stored = dict(rows)
        missing = {key for key, reply in self.replies.items() if stored.get(key) != reply}
        assert not missing, ("acknowledged and not in the store", missing)


def _decision(decision: Decision) -> bytes:
    if isinstance(decision, Granted):
        return f"seconds {decision.seconds}".encode()
    return f"denied {decision.denial.value}".encode()


def _outcome(outcome: Outcome) -> bytes:
    return b"none" if outcome.call is None else f"seconds {outcome.call.granted_seconds}".encode()


def attempt(plan: Plan) -> CallAttempt:
    """Return the question of a call."""
    return CallAttempt(
        "gw1", plan.name, "main", "test", "gw1", Identity(account=str(plan.payer)), plan.number,
        renewable=plan.renewable, reports_answer=plan.reports_answer,
    )  # fmt: skip


def keyed(report: CallReport, name: str) -> CallReport:
    """Return a report with its message key."""
    return replace(report, message=MessageKey(name, b"body"))


async def opened_store(disk: Disk, now: Callable[[], Instant]) -> LedgerStore:
    """Open the store of a disk."""
    return await open_store(StoreSettings(f"sqlite:///{disk.path}"), now, create=True, connection=disk.connect)


async def template(folder: Path) -> None:
    """Make a store with the scenario in an empty folder, which every seed begins with a copy of."""
    store = await opened_store(Disk(folder), lambda: BEGINS - DAY)
    try:
        rows = {}
        for key, text in decks().items():
            rows[key], errors = read_deck(text, f"{key.id}.csv")
            assert not errors, errors
        await store.apply(SCENARIO, rows, who="test")
    finally:
        await store.close()
    with contextlib.closing(sqlite3.connect(folder / "tollway.db", isolation_level=None)) as connection:
        connection.execute("VACUUM")  # no free page is left: the next that is needed meets a full disk


@contextlib.asynccontextmanager
async def crash_world(seed: int, made: Path, folder: Path) -> AsyncIterator[CrashWorld]:
    """Play one seed in an empty folder of its own and give the world as it stands at the end."""
    shutil.copyfile(made / "tollway.db", folder / "tollway.db")
    disk = Disk(folder)
    store = await opened_store(disk, lambda: BEGINS)
    catalog = await store.load_catalog(Emergency())
    world = CrashWorld(random.Random(seed), disk, store, catalog, grants_postpaid=bool(seed % 2))
    try:
        world.plan()
        await world.ocf.learn()
        await world.run()
        yield world
    finally:
        world.disk.gate.set()
        await world.store.close()
        shutil.rmtree(folder)
