"""The composition root: preflight, wiring, reload, expiry, ordered shutdown; the only place that wires.

It starts only when it can work, and exits non-zero when a part of it dies: a supervisor then starts it anew.
On SIGTERM nothing new is taken, what is in flight is committed and answered, and live calls stay up.
What changes in the store is followed within a second; a bad settings file changes nothing. The supervisor is told.
"""

import asyncio
import contextlib
import gc
import logging
import os
import secrets
import signal
import sys
import time
import zoneinfo
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import structlog
import uvloop

from daemon import sd_notify
from daemon.app_claims import Claims
from daemon.app_clock import ClockWatch, clock
from daemon.app_listening import cannot_listen
from daemon.app_log import LogLines, fields_of
from daemon.app_quality import QualityWatch
from daemon.app_recovery import RecoveryWatch
from daemon.app_supervision import Supervision
from daemon.app_suspension import SuspensionWatch
from daemon.app_watch import CallWatch
from daemon.asterisk.adapter import AsteriskAdapter
from daemon.authorize.catalog import Catalog, Emergency
from daemon.authorize.quality import Qualities
from daemon.charging.configuration import Configuration, TokenSpec
from daemon.charging.discarded import discarded
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Outside, StoreError
from daemon.charging.session import ChargingSettings
from daemon.charging.without_store import ANSWERED_MAX, WithoutStore
from daemon.config_files.positions import Problem
from daemon.config_files.settings_changes import Taken, changes, in_force
from daemon.config_files.settings_file import read_settings
from daemon.esl.adapter import EslAdapter
from daemon.http_api.births import currencies_of
from daemon.http_api.metrics import Metrics
from daemon.http_api.server import HttpServer
from daemon.journal import EmergencyJournal, PostpaidJournal
from daemon.kernel.instant import format_rfc3339
from daemon.log_lines import PREFIXES, forward_libraries, is_journal
from daemon.radius.server import RadiusServers
from daemon.settings import Listener, LogSection, Settings, shown
from daemon.store import LedgerStore, open_store
from daemon.store.health import newest_instant
from daemon.store.identity import drawn_identity
from daemon.store.qualities import qualities

EX_UNAVAILABLE = 69  # sysexits.h: a service that is needed is not there
EX_CONFIG = 78  # sysexits.h: what the supervisor states cannot be used
CLOSE_SECONDS_MAX = 4.0  # that a stop waits for the store, after at most 5 s for those who are answered
PROBLEMS_TOLD_MAX = 20  # faults of a settings file in one reload's log; `tollway check` has them all
FOLLOW_SECONDS = 0.25  # how often the store is asked whether its configuration changed
REPEAT_SECONDS_MAX = 60.0  # between two lines that say that the store still cannot be followed
EXPIRE_SECONDS = 0.5  # how often lapsed grants and calls without an end are sought
LEARN_SECONDS = 10.0  # how old the standings may be by which postpaid calls are granted without the store
# Objects made and not given up after which young ones are looked through, and how often older ones are with them. At
# the interpreter's own 700 a twentieth of the time goes there, and what calls make is given up without that.
GC_THRESHOLDS = 20_000, 20, 20
RANDOM_OCTETS, RANDOM_PAGE = 10, 4000  # of one id, and drawn at a time
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _CROCKFORD for low in _CROCKFORD]  # ten bits of an id
# What one account or call can raise that makes no sense: it is looked at again in the next round, with all others.
_NOT_OURS_TO_DIE_OF = (ArithmeticError, AssertionError, KeyError)

_log = structlog.get_logger("tollway")


def _base32(number: int, shift: int) -> str:
    """Return a number in pairs of characters of five bits each, from the ten bits at ``shift`` down to the last."""
    return "".join([_PAIRS[(number >> place) & 1023] for place in range(shift, -1, -10)])


class GrantIds:
    """Gives 26 characters that sort by their millisecond and are otherwise random (the ULID layout).

    Randomness is drawn from the kernel in pages: a system call for every report would let the other thread in.
    """

    def __init__(self) -> None:
        """Draw nothing yet."""
        self._page, self._drawn = b"", RANDOM_PAGE
        self._millisecond, self._began = -1, ""

    def __call__(self) -> str:
        """Return the next id."""
        if self._drawn >= RANDOM_PAGE:
            self._page, self._drawn = secrets.token_bytes(RANDOM_PAGE), 0
        begins = self._drawn
        middle = begins + RANDOM_OCTETS // 2
        ends = self._drawn = begins + RANDOM_OCTETS
        millisecond = time.time_ns() // 1_000_000
        if millisecond != self._millisecond:
            self._millisecond, self._began = millisecond, _base32(millisecond, 40)
        one, other = self._page[begins:middle], self._page[middle:ends]
        return self._began + _base32(int.from_bytes(one, "big"), 30) + _base32(int.from_bytes(other, "big"), 30)


OUTSIDE = Outside(now=clock, new_id=GrantIds(), held_back=lambda: clock.held_back)


def charging_settings(settings: Settings) -> ChargingSettings:
    """Return what charging needs of the settings file."""
    section = settings.charging
    return ChargingSettings(
        section.slice_seconds, section.block_seconds_min, section.ring_seconds, section.max_grant_seconds,
        section.cut_tolerance_seconds, section.interim_seconds, section.postpaid_without_store == "grant",
    )  # fmt: skip


def emergency_of(settings: Settings) -> Emergency:
    """Return the emergency numbers of the settings file."""
    countries = {code: frozenset(numbers) for code, numbers in settings.emergency.countries.items()}
    return Emergency(frozenset(settings.emergency.numbers), settings.emergency.dial, countries)


@dataclass
class Backoff:
    """When to say again that something fails: at once, then at intervals that double up to ``REPEAT_SECONDS_MAX``."""

    _due: float = 0.0
    _pause: float = 0.0

    def is_due(self, now: float) -> bool:
        """Tell whether it is time, at ``now`` seconds of a clock that never goes back, and count it as said."""
        if self._pause and now < self._due:
            return False
        self._pause = min(2 * self._pause or 1.0, REPEAT_SECONDS_MAX)
        self._due = now + self._pause
        return True

    def ended(self) -> None:
        """Take that it works again: the next failure is told at once."""
        self._pause = 0.0


@dataclass
class Following:
    """The configuration in force: implements charging.ports.Directory and follows the store.

    ``configuration`` holds everything but the accounts, which the catalog alone knows.
    """

    store: LedgerStore
    emergency: Emergency
    configuration: Configuration = field(default_factory=lambda: Configuration(0))
    _catalog: Catalog | None = None
    _tokens: dict[str, TokenSpec] = field(default_factory=dict)

    def catalog(self) -> Catalog:
        """Return the catalog in force."""
        assert self._catalog is not None, "load() comes first"
        return self._catalog

    def tokens(self) -> dict[str, TokenSpec]:
        """Return the tokens that are not revoked, by the SHA-256 of their text."""
        return self._tokens

    async def load(self) -> None:
        """Read the configuration: all of it at first, and later what changed since."""
        configuration, catalog = await self.store.followed(self.emergency)
        # Read last: what was reloaded while the store was read stands.
        found = await qualities(self.store)
        self._catalog = replace(catalog, quality=found, emergency=self.emergency)
        self.configuration = configuration
        self._tokens = {token.sha256: token for token in configuration.tokens if not token.revoked}

    def take_emergency(self, emergency: Emergency) -> None:
        """Know these emergency numbers from now on."""
        self.emergency = emergency
        self._catalog = replace(self.catalog(), emergency=emergency)

    def take_qualities(self, found: Qualities) -> None:
        """Order routes by these grades from now on."""
        self._catalog = replace(self.catalog(), quality=found)

    async def follow(self) -> None:
        """Load anew whenever another process changed the configuration, for ever."""
        untold = Backoff()
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            try:
                if await self.store.changed(self.configuration.revision):
                    await self.load()
                    _log.info("configuration followed", revision=self.configuration.revision)
                untold.ended()
            except StoreError as error:
                if untold.is_due(time.monotonic()):
                    _log.warning("configuration not followed", error=str(error))


@dataclass
class Daemon:
    """The parts of one running daemon."""

    settings: Settings
    store: LedgerStore
    directory: Following
    ocf: OnlineCharging
    radius: RadiusServers
    http: HttpServer
    esl: EslAdapter
    asterisk: AsteriskAdapter
    metrics: Metrics
    recovery: RecoveryWatch
    suspensions: SuspensionWatch
    quality: QualityWatch
    lines: LogLines
    watch: CallWatch
    supervision: Supervision
    clock: ClockWatch
    _reloading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _is_stopping: bool = False

    async def serve(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Listen until ``stop`` is set. A part that dies takes the daemon down with its exception."""
        await self.clock.begin()
        await self.recovery.look()
        await self._listen()
        try:
            await self._work(stop, ready)
        finally:
            await self._drain()

    async def _work(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        # Only a start that listens begins a report: one that finds its port taken leaves the report of the last.
        await self.recovery.begin()
        ready()
        self.supervision.ready("serving")
        parts = {
            "configuration": self.directory.follow(),
            "expiry": self._expire(),
            "standings": self._learn(),
            "esl": self.esl.run(),
            "asterisk": self.asterisk.run(),
            "recovery": self.recovery.run(),
            "suspensions": self.suspensions.run(),
            "quality": self.quality.run(),
            "clock": self.clock.run(),
            "sharing": self.ocf.sharer.run(),
            "supervisor": self.supervision.run(self.store.writer_answers),
        }
        await _until(stop, parts, self._drain)

    async def _drain(self) -> None:
        """Take nothing more, and answer what is in flight; all listeners at once, so that a stop is short."""
        if not self._is_stopping:
            self._is_stopping = True
            self.supervision.stopping("answering what is in flight")
        await asyncio.gather(self.radius.stop(), self.asterisk.stop(), self.http.stop())

    async def _listen(self) -> None:
        """Open every listener, HTTP last: its /readyz says that everything listens. Raises OSError with the way out."""
        settings, nowhere = self.settings, Listener()
        for section, listener, start in (
            ("radius_auth", settings.radius_auth, partial(self.radius.start, settings.radius_auth, nowhere)),
            ("radius_acct", settings.radius_acct, partial(self.radius.start, nowhere, settings.radius_acct)),
            ("fastagi", settings.fastagi, partial(self.asterisk.start, settings.fastagi)),
            ("http", settings.http, partial(self.http.start, settings.http)),
        ):
            try:
                await start()
            except OSError as error:
                raise OSError(cannot_listen(section, listener, error, settings.path)) from error
        _log.info("serving", pid=os.getpid(), store=shown(self.settings.store.url))

    async def _expire(self) -> None:
        told: set[tuple[int, str]] = set()
        while True:
            await asyncio.sleep(EXPIRE_SECONDS)
            try:
                resolved = await self.ocf.expire_due()
                for event in await self.ocf.tell_events():
                    self.metrics.count("tollway_events_total", kind=event.kind, act=event.act)
                    _log.warning("rule", **{**event._asdict(), "at": format_rfc3339(event.at)})
                await self.recovery.note_failing({**self.store.unreadable, **self.ocf.stuck})
                for call in resolved:
                    _log.info("call resolved", call_id=call.call_id, account=str(call.payer), state=call.state.value)
                for number, why in self.ocf.stuck_accounts.items() - told:
                    _log.error("buckets that have expired cannot be closed", account=number, error=why)
                told = set(self.ocf.stuck_accounts.items())
            except StoreError as error:
                _log.warning("expiry waits for the store", error=str(error))
            except _NOT_OURS_TO_DIE_OF as error:
                _log.error("a round of expiry failed", error=repr(error))

    async def _learn(self) -> None:
        while True:
            await asyncio.sleep(LEARN_SECONDS)
            try:
                await self.ocf.learn()
            except StoreError as error:
                waiting = self.ocf.journalled
                _log.warning("the store cannot commit", error=str(error), grants_in_the_journal=waiting)
            except _NOT_OURS_TO_DIE_OF as error:
                _log.error("standings not learned", error=repr(error))

    async def reload(self) -> None:
        """Read the settings file again and keep the old settings where it has faults. One after the other."""
        async with self._reloading:
            self.supervision.reloading()
            told = "serving with the settings of before"
            try:
                settings, problems = await asyncio.to_thread(read_settings, Path(self.settings.path))
                told = self._refused(problems) if settings is None or problems else self._taken(settings)
            finally:
                self.supervision.ready(told)

    def _refused(self, problems: Sequence[Problem]) -> str:
        """Log why a file is not taken, by its lines; return the same for the supervisor."""
        for problem in problems[:PROBLEMS_TOLD_MAX]:
            _log.error("settings not reloaded", problem=str(problem))
        more = len(problems) - PROBLEMS_TOLD_MAX
        if more > 0:
            _log.error("settings not reloaded", more_problems=more, hint="tollway check lists them all")
        # What cannot be read at all has one problem, which is of no key.
        unreadable = len(problems) == 1 and not problems[0].key
        discarded(self.metrics, "settings", "unreadable" if unreadable else "faults")
        return f"serving with the settings of before: {problems[0]}"

    def _taken(self, settings: Settings) -> str:
        """Put what changed in force, at once for all that is asked from now on; return what was done."""
        found = list(changes(self.settings, settings))
        waiting = [str(change) for change in found if change.taken is Taken.START]
        now = [str(change) for change in found if change.taken is Taken.RELOAD]
        self.settings = in_force(self.settings, settings)
        self.ocf.settings = charging_settings(self.settings)
        self.http.limit(self.settings.http_limits)
        self.directory.take_emergency(emergency_of(self.settings))
        configure_logging(self.settings.log, self.lines)
        self.watch.tells = self.settings.log.tells_calls
        for key in waiting:
            _log.warning("a changed setting waits for a restart", key=key, file=settings.path)
        _log.info("settings reloaded", file=settings.path, changed=", ".join(now) or "nothing")
        return f"serving; {', '.join(waiting)} waits for a restart" if waiting else "serving"


async def _until(
    stop: asyncio.Event, parts: dict[str, Coroutine[object, object, None]], drain: Callable[[], Awaitable[None]]
) -> None:
    tasks = [asyncio.create_task(part, name=name) for name, part in parts.items()]
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopping}:
            task.result()  # raises what the part died of
            raise RuntimeError(f"part {task.get_name()} ended by itself")
    finally:
        for task in [stopping, *tasks]:
            task.cancel()
        await asyncio.gather(drain(), stopping, *tasks, return_exceptions=True)


async def build(settings: Settings, lines: LogLines, supervision: Supervision) -> Daemon:
    """Open the store and wire everything; raises StoreError where the store cannot be used."""
    store = await open_store(settings.store, clock, create=True)
    directory = Following(store, emergency_of(settings))
    await directory.load()
    journal = EmergencyJournal(Path(settings.emergency.journal))
    without_store = WithoutStore(PostpaidJournal(Path(settings.charging.postpaid_journal)))
    for message in await store.recent_messages(ANSWERED_MAX):
        without_store.remember(message)
    await without_store.load()
    metrics = Metrics(store)
    metrics.watch_log(lambda: lines.dropped)
    metrics.watch_owner(lambda: directory.configuration.owner)
    metrics.watch_currencies(lambda: currencies_of(directory.configuration))
    watch = CallWatch(lines, metrics, tells=settings.log.tells_calls)
    ocf = OnlineCharging(store, directory, journal, OUTSIDE, charging_settings(settings), without_store, watch)
    await ocf.learn()
    claims = Claims(store.claimed)
    store_id = await drawn_identity(store, settings.store.url)
    esl = EslAdapter(
        ocf, store, lambda: directory.configuration.freeswitch, OUTSIDE, metrics, claims.of("esl"), store_id
    )
    asterisk = AsteriskAdapter(
        ocf, store, claims.of("asterisk"), lambda: directory.configuration.asterisk, OUTSIDE, metrics
    )
    metrics.watch_manager_links(asterisk.links_up)
    radius = RadiusServers(ocf, store, lambda: directory.configuration.nas, OUTSIDE, metrics)
    http = HttpServer(
        ocf, store, directory.tokens, metrics, OUTSIDE, lambda: {**asterisk.links_up(), **esl.links_up()},
        settings.http_limits, store_id,
    )  # fmt: skip
    recovery = RecoveryWatch(store, ocf)
    suspensions = SuspensionWatch(store, metrics)
    metrics.watch_recovery(lambda: recovery.counts, lambda: ocf.journalled, lambda: len(recovery.failing))
    quality = QualityWatch(store, OUTSIDE, directory.take_qualities)
    clock_watch = ClockWatch(clock, lambda: store.reading(newest_instant))
    return Daemon(
        settings, store, directory, ocf, radius, http, esl, asterisk, metrics, recovery, suspensions, quality, lines,
        watch, supervision, clock_watch,
    )  # fmt: skip


def configure_logging(section: LogSection, lines: LogLines) -> None:
    """Log one line an event; journald adds the unit. ``lines`` writes the time, the level and the fields."""
    lines.form = section.format
    threshold = logging.getLevelNamesMapping()[section.level.upper()]
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.format_exc_info, fields_of],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lines.logger,
    )


def run(settings: Settings, announce: Callable[[Settings], None] = lambda _settings: None) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit status. ``announce`` is called when all listeners answer."""
    zoneinfo.reset_tzpath(to=[])  # zones come from the tzdata package alone, whatever the machine has
    standard_error = sys.stderr.fileno()
    lines = LogLines(standard_error, prefixes=PREFIXES if is_journal(os.environ, standard_error) else None)
    configure_logging(settings.log, lines)
    forward_libraries()
    try:
        return _supervised(settings, announce, lines)
    finally:
        lines.close()


def _supervised(settings: Settings, announce: Callable[[Settings], None], lines: LogLines) -> int:
    try:
        supervision = Supervision(sd_notify.supervisor_of(os.environ, os.getpid()))
    except sd_notify.Unusable as error:
        _log.error("cannot be supervised", error=str(error))
        return EX_CONFIG
    try:
        return uvloop.run(_run(settings, announce, lines, supervision))
    except (StoreError, OSError) as error:
        _log.error("cannot serve", error=str(error))
        supervision.status(f"cannot serve: {error}")
        return EX_UNAVAILABLE
    finally:
        supervision.close()


@dataclass
class _Signals:
    """What signals ask for: the stop, at once while the start still loads, and a reload, which then waits for it."""

    lines: LogLines
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    _daemon: Daemon | None = None
    _is_reload_due: bool = False
    _reloads: set[asyncio.Task[None]] = field(default_factory=set)

    def watch(self) -> None:
        """Take the signals from the running loop on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def loaded(self, daemon: Daemon) -> None:
        """Take the daemon whom signals mean from now on."""
        self._daemon = daemon
        if self._is_reload_due:
            self._reload()

    def _stop(self) -> None:
        if self._daemon is None:
            _log.info("stopped while it loaded")
            _leave(0, self.lines)
        self.stop.set()

    def _reload(self) -> None:
        if self._daemon is None:
            self._is_reload_due = True
            return
        if len(self._reloads) > 1:
            return  # one waits for its turn already, and will read the file as it is then
        task = asyncio.create_task(self._daemon.reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)


def _leave(status: int, lines: LogLines) -> NoReturn:
    """End the process where a thread may work on: what it has begun in the store is undone there, as after a crash."""
    lines.close()
    os._exit(status)


async def _run(
    settings: Settings, announce: Callable[[Settings], None], lines: LogLines, supervision: Supervision
) -> int:
    signals = _Signals(lines)
    signals.watch()
    gc.disable()  # what is loaded is no garbage: to look for some in ever more of it took twice as long as to load it
    async with supervision.starting("loading the store"):
        daemon = await build(settings, lines, supervision)
    gc.freeze()  # what was just loaded stays: no collection need walk through it, and keep a call waiting, ever again
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()
    signals.loaded(daemon)
    try:
        await daemon.serve(signals.stop, lambda: announce(settings))
    finally:
        await _close(daemon)
    _log.info("stopped")
    return 0


async def _close(daemon: Daemon) -> None:
    """Close the store, where nobody waits for an answer any more."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS_MAX):
            with contextlib.suppress(StoreError):
                await daemon.store.close()
    except TimeoutError:
        _log.error("the store's writer hangs; what it held was answered to nobody")
        _leave(EX_UNAVAILABLE, daemon.lines)
