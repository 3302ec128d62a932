"""One TCP link to one switch: connects, proves itself, subscribes; replies are matched in order, with a deadline.

A reply that misses its deadline closes the link: no late reply can ever go to the next command.
A link that is lost says nothing about calls: nothing is ended, freed or taken for gone because of it.
It keeps the distance of the switch's clock from ours, the least that was seen: what is above it is delay.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum

from daemon.charging.configuration import FreeswitchSpec
from daemon.esl import events, wire
from daemon.esl.events import Event
from daemon.kernel.instant import SECOND, Instant

CONNECT_SECONDS = 5.0  # a connection and its login; on a LAN both take milliseconds
REPLY_SECONDS = 5.0  # seconds within which the switch answers a command; it answers them in its own order
PING_SECONDS = 10.0  # how often a silent link is asked whether it still lives
PENDING_MAX = 256  # commands in flight; more wait. The switch runs them one at a time in any case
READ_SIZE = 65_536  # octets taken at once; some eight of the largest events
_UNPROVEN = (
    "the switch refuses the password: write that of its event_socket.conf.xml in [[freeswitch]] and apply the file"
)
_REFUSED_ADVICE = "add this machine to apply-inbound-acl of its event_socket.conf.xml"
CLOCK_WINDOW = 60 * SECOND  # microseconds; how long the least distance of the clocks is believed
EVENTS = (
    "CHANNEL_CREATE", "CHANNEL_ORIGINATE", "CHANNEL_PARK", "CHANNEL_ANSWER", "CHANNEL_BRIDGE", "CHANNEL_UNBRIDGE",
    "CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE", "CHANNEL_DESTROY", "CALL_UPDATE", "ADD_SCHEDULE", "HEARTBEAT",
)  # fmt: skip


class Fault(Enum):
    """Why a link is gone, as far as an operator mends it by himself; OTHER is all else."""

    UNREACHABLE = "unreachable"
    PASSWORD = "password"  # noqa: S105 - the name of a fault
    ACL = "acl"
    OTHER = "other"


class LinkLost(Exception):
    """The link is gone, or never came up; what was asked may or may not have happened.

    ``reason`` is that of what the switch sent and we did not take, empty where it only went away.
    """

    def __init__(self, text: str, reason: str = "", fault: Fault = Fault.OTHER) -> None:
        """Take what is logged, what is counted, and what an operator mends."""
        super().__init__(text)
        self.reason = reason
        self.fault = fault


class SwitchClock:
    """How far our clock is ahead of the switch's, in microseconds: the least of the last one or two minutes."""

    def __init__(self) -> None:
        """Believe both clocks equal until something is heard."""
        self._since: Instant = 0
        self._least: int | None = None
        self._before: int | None = None

    def heard(self, theirs: Instant, ours: Instant) -> None:
        """Take the instant that an event states and the one at which it came."""
        if ours - self._since > CLOCK_WINDOW or ours < self._since:
            self._since, self._before, self._least = ours, self._least, None
        ahead = ours - theirs
        self._least = ahead if self._least is None else min(self._least, ahead)

    @property
    def ahead_us(self) -> int:
        """Return ours less theirs."""
        known = [least for least in (self._least, self._before) if least is not None]
        return min(known, default=0)


class Link:
    """An open link. ``run`` reads until it is lost."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, on_event: Callable[[Event], None],
        now: Callable[[], Instant], clock: SwitchClock,
    ) -> None:  # fmt: skip
        """Bind the streams; ``login`` comes next."""
        self._reader = reader
        self._writer = writer
        self._on_event = on_event
        self._now = now
        self._clock = clock
        self._wire = wire.EslConnection()
        self._waiting: deque[asyncio.Future[str]] = deque()
        self._room = asyncio.Semaphore(PENDING_MAX)
        self._challenged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lost: tuple[str, str, Fault] | None = None  # why, the reason that is counted, and whose fault
        self.heard_at: Instant = now()

    @classmethod
    async def connect(
        cls, spec: FreeswitchSpec, on_event: Callable[[Event], None], now: Callable[[], Instant], clock: SwitchClock
    ) -> "Link":
        """Open the connection. Raises LinkLost."""
        try:
            reader, writer = await asyncio.wait_for(
                asyncio.open_connection(spec.host, spec.port, limit=4 * READ_SIZE), CONNECT_SECONDS
            )
        except (OSError, TimeoutError) as error:
            told = str(error) or f"no answer within {CONNECT_SECONDS:g} s"
            raise LinkLost(
                f"no connection to {spec.host}:{spec.port}: {told}; see that the switch runs, and host and port of its"
                " [[freeswitch]]", "", Fault.UNREACHABLE,
            ) from None  # fmt: skip
        return cls(reader, writer, on_event, now, clock)

    @property
    def is_lost(self) -> bool:
        """Tell whether nothing can be asked any more."""
        return self._lost is not None

    async def prove(self, password: str) -> None:
        """Prove who we are; ``run`` must be reading. Raises LinkLost."""
        try:
            await asyncio.wait_for(asyncio.shield(self._challenged), CONNECT_SECONDS)
        except TimeoutError:
            raise self._fail("the switch did not ask for a password", "late") from None
        accepted = await self.ask(wire.auth(password))
        if not accepted.startswith("+OK"):
            raise self._fail(_UNPROVEN, "login", Fault.PASSWORD)

    async def login(self, password: str) -> None:
        """Prove who we are and subscribe; ``run`` must be reading. Raises LinkLost."""
        await self.prove(password)
        subscribed = await self.ask(wire.subscribe(EVENTS))
        if not subscribed.startswith("+OK"):
            raise self._fail("the switch refuses the subscription", "login")

    async def run(self) -> None:
        """Read and hand out events until the link is lost. Always raises LinkLost, unless cancelled."""
        try:
            while True:
                data = await self._reader.read(READ_SIZE)
                if not data:
                    raise LinkLost("the switch closed the link", "truncated" if self._wire.is_within_message else "")
                self.heard_at = self._now()
                for message in self._wire.receive_data(data):
                    self._take(message)
                if self._wire.fault is not None:
                    raise self._wire.fault
                await asyncio.sleep(0)  # a stream that never ends must not starve the calls that it is about
        except wire.WireError as error:
            raise self._fail(str(error), "not_esl") from None
        except OSError as error:
            raise self._fail(str(error)) from None
        except LinkLost as error:
            raise self._fail(str(error), error.reason, error.fault) from None
        finally:
            self.close()

    async def ping(self) -> None:
        """Ask a silent link whether it lives, for ever. Raises LinkLost where it does not."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            await self.api("uptime")

    async def api(self, *words: str) -> str:
        """Run an API command and return what it answers, stripped. Raises LinkLost."""
        return await self.ask(wire.api(*words))

    async def ask(self, octets: bytes) -> str:
        """Send one command and return its reply, stripped. Raises LinkLost, also where the reply is late."""
        async with self._room:
            if self._lost is not None:
                raise LinkLost(*self._lost)
            reply: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            self._waiting.append(reply)
            self._writer.write(octets)
            try:
                return await asyncio.wait_for(asyncio.shield(reply), REPLY_SECONDS)
            except TimeoutError:
                raise self._fail("a reply missed its deadline", "late") from None

    def close(self) -> None:
        """Close the connection; whoever waits for a reply is told."""
        self._fail("the link was closed")

    def _take(self, message: wire.Message) -> None:
        match message:
            case wire.EventBody():
                self._heard(message)
            case wire.CommandReply(text):
                self._answered(text)
            case wire.ApiResponse(body):
                self._answered(body.decode("utf-8", "replace").strip())
            case wire.AuthRequest():
                if self._challenged.done():
                    raise LinkLost("the switch asks for the password again", "unasked")
                self._challenged.set_result(None)
            case wire.DisconnectNotice(text, lingers):
                if not lingers:
                    raise LinkLost(text)
            case wire.RudeRejection(text):
                raise LinkLost(f"the switch's access list refuses us: {text}; {_REFUSED_ADVICE}", "login", Fault.ACL)
            case wire.OtherMessage(kind):
                raise LinkLost(f"the switch sent {kind[:80]!r}, which nobody asked for", "unasked")

    def _heard(self, message: wire.EventBody) -> None:
        try:
            event = events.decode(message)
        except wire.RemoteWireError as error:
            raise LinkLost(str(error), "event") from None
        if event.at:
            self._clock.heard(event.at, self.heard_at)
        self._on_event(event)

    def _answered(self, text: str) -> None:
        if not self._waiting:
            raise LinkLost("a reply to nothing", "unasked")
        reply = self._waiting.popleft()
        if not reply.done():
            reply.set_result(text)

    def _fail(self, text: str, reason: str = "", fault: Fault = Fault.OTHER) -> LinkLost:
        if self._lost is None:
            self._lost = text, reason, fault
            self._writer.close()
            pending: list[asyncio.Future[str] | asyncio.Future[None]] = [*self._waiting, self._challenged]
            for waiting in pending:
                if not waiting.done():
                    waiting.set_exception(LinkLost(text, reason, fault))
                    waiting.exception()  # seen: nobody may be waiting any more
            self._waiting.clear()
        return LinkLost(*self._lost)
