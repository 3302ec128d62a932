"""One TCP link to one Asterisk's manager: connects, proves itself by MD5 challenge, reads events, matches answers.

An answer is known by its ActionID; one that misses its deadline closes the link, so that nothing is waited for that
may never come. A link that is lost says nothing about calls: nothing is ended, freed or taken for gone because of it.
Events are dated by the switch's own stamps brought to our clock: the least distance seen is what the clocks differ by.
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping

from daemon.asterisk import ami_wire
from daemon.asterisk.ami_wire import AmiMessage, Greeting
from daemon.asterisk.events import Event, decode
from daemon.charging.configuration import AsteriskSpec
from daemon.kernel.instant import SECOND, Instant

CONNECT_SECONDS = 5.0  # a connection and its greeting; on a LAN both take milliseconds
REPLY_SECONDS = 5.0  # seconds within which the switch answers an action; a list is an answer too
PING_SECONDS = 10.0  # how often a silent link is asked whether it still lives
PENDING_MAX = 256  # actions in flight; more wait. The switch runs them one at a time in any case
LIST_MAX = 200_000  # channels in one list; far above what one Asterisk carries
READ_SIZE = 65_536  # octets taken at once; some hundred events
CLOCK_WINDOW = 60 * SECOND  # microseconds; how long the least distance of the clocks is believed
NO_CHANNEL = "no such channel"  # what Asterisk answers where a channel is gone


class LinkLost(Exception):
    """The link is gone, or never came up; what was asked may or may not have happened."""


class LoginRefused(LinkLost):
    """The switch does not take the user or the secret."""


class ChannelGone(Exception):
    """The switch says that it knows no such channel."""


class ActionRefused(Exception):
    """The switch refused an action for another reason."""


class SwitchClock:
    """How far our clock is ahead of the switch's, in microseconds: the least of the last one or two minutes."""

    def __init__(self) -> None:
        """Know nothing until something is heard."""
        self._since: Instant = 0
        self._least: int | None = None
        self._before: int | None = None

    @property
    def ahead_us(self) -> int:
        """Return ours less theirs, 0 while nothing is known."""
        known = [least for least in (self._least, self._before) if least is not None]
        return min(known, default=0)

    def ours(self, theirs: Instant, heard: Instant) -> Instant:
        """Return by our clock the instant that an event states, which came at ``heard``; 0: it states none."""
        if not theirs:
            return heard
        if heard - self._since > CLOCK_WINDOW or heard < self._since:
            self._since, self._before, self._least = heard, self._least, None
        ahead = heard - theirs
        self._least = ahead if self._least is None else min(self._least, ahead)
        return min(heard, theirs + self.ahead_us)


class Link:
    """An open link. ``run`` reads until it is lost. ``on_odd`` is told of each message that is not to be believed."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, on_event: Callable[[Event, Instant], None],
        on_odd: Callable[[str], None], now: Callable[[], Instant], clock: SwitchClock,
    ) -> None:  # fmt: skip
        """Bind the streams; ``login`` comes next."""
        self._reader = reader
        self._writer = writer
        self._on_event = on_event
        self._on_odd = on_odd
        self._now = now
        self._clock = clock
        self._wire = ami_wire.AmiConnection()
        self._ids = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[AmiMessage]] = {}
        self._lists: dict[str, list[Event]] = {}
        self._room = asyncio.Semaphore(PENDING_MAX)
        self._greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lost: LinkLost | None = None
        self.heard_at: Instant = now()

    @classmethod
    async def connect(
        cls, spec: AsteriskSpec, on_event: Callable[[Event, Instant], None], on_odd: Callable[[str], None],
        now: Callable[[], Instant], clock: SwitchClock,
    ) -> "Link":  # fmt: skip
        """Open the connection. Raises LinkLost."""
        try:
            reader, writer = await asyncio.wait_for(
                asyncio.open_connection(spec.host, spec.port, limit=4 * READ_SIZE), CONNECT_SECONDS
            )
        except (OSError, TimeoutError) as error:
            raise LinkLost(f"no connection to {spec.host}:{spec.port}: {error or 'timed out'}") from None
        return cls(reader, writer, on_event, on_odd, now, clock)

    @property
    def is_lost(self) -> bool:
        """Tell whether nothing can be asked any more."""
        return self._lost is not None

    async def login(self, username: str, secret: str) -> None:
        """Prove who we are without sending the secret; ``run`` must be reading. Raises LinkLost."""
        try:
            await asyncio.wait_for(asyncio.shield(self._greeted), CONNECT_SECONDS)
        except TimeoutError:
            raise self._fail(LinkLost("nobody greeted us: is this the manager's port?")) from None
        challenged = await self.act("Challenge", {"AuthType": "MD5"})
        challenge = challenged.get("Challenge")
        if not challenge:
            raise self._refused(f"no challenge: {challenged.get('Message') or 'no reason given'}")
        proof = {"AuthType": "MD5", "Username": username, "Key": ami_wire.login_key(challenge, secret)}
        answer = await self.act("Login", {**proof, "Events": "call"})
        if answer.get("Response") != "Success":
            raise self._refused(
                f"the manager refuses user {username}: {answer.get('Message') or 'no reason given'}; see username and"
                " secret of this [[asterisk]] and its section of manager.conf"
            )

    async def run(self) -> None:
        """Read and hand out events until the link is lost. Always raises LinkLost, unless cancelled."""
        try:
            while True:
                data = await self._reader.read(READ_SIZE)
                if not data:
                    raise LinkLost("the switch closed the link")
                self.heard_at = self._now()
                for message in self._wire.receive_data(data):
                    self._take(message)
                await asyncio.sleep(0)  # a stream that never ends must not starve the calls that it is about
        except LinkLost as error:
            raise self._fail(error) from None
        except (OSError, ami_wire.AmiError) as error:
            raise self._fail(LinkLost(str(error))) from None
        finally:
            self.close()

    async def ping(self) -> None:
        """Ask a silent link whether it lives, for ever. Raises LinkLost where it does not."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            await self.act("Ping", {})

    async def channels(self) -> list[Event]:
        """Return every channel that is up. Raises LinkLost."""
        name = self._new_id()
        self._lists[name] = []
        try:
            answer = await self._sent("CoreShowChannels", name, {})
            if answer.get("EventList") != "Complete":
                raise self._refused(
                    f"CoreShowChannels is refused: {answer.get('Message')}; see write of the user's section of"
                    " manager.conf"
                )
            return self._lists[name]
        finally:
            self._lists.pop(name, None)

    async def told(self, name: str, fields: Mapping[str, str]) -> AmiMessage:
        """Run an action that must succeed. Raises LinkLost, ChannelGone, ActionRefused, LocalAmiError."""
        answer = await self.act(name, fields)
        if answer.get("Response") == "Success":
            return answer
        message = answer.get("Message")
        if message.casefold().startswith(NO_CHANNEL):
            raise ChannelGone(message)
        raise ActionRefused(f"{name}: {message[:200] or 'no reason given'}")

    async def act(self, name: str, fields: Mapping[str, str]) -> AmiMessage:
        """Send one action and return its answer. Raises LinkLost, also where it is late, and LocalAmiError."""
        return await self._sent(name, self._new_id(), fields)

    def close(self) -> None:
        """Close the connection; whoever waits for an answer is told."""
        self._fail(LinkLost("the link was closed"))

    def _new_id(self) -> str:
        return f"tollway-{next(self._ids)}"

    async def _sent(self, name: str, action_id: str, fields: Mapping[str, str]) -> AmiMessage:
        octets = ami_wire.action(name, action_id, fields)
        async with self._room:
            if self._lost is not None:
                raise self._lost
            answer: asyncio.Future[AmiMessage] = asyncio.get_running_loop().create_future()
            self._waiting[action_id] = answer
            self._writer.write(octets)
            try:
                return await asyncio.wait_for(asyncio.shield(answer), REPLY_SECONDS)
            except TimeoutError:
                raise self._fail(LinkLost(f"the answer to {name} missed its deadline")) from None
            finally:
                self._waiting.pop(action_id, None)

    def _take(self, message: Greeting | AmiMessage) -> None:
        if isinstance(message, Greeting):
            if not self._greeted.done():
                self._greeted.set_result(None)
            return
        if message.repeated:
            self._on_odd("repeated_key")
            return
        action_id = message.get("ActionID")
        if message.get("Event") and action_id in self._lists:
            self._listed(action_id, message)
        elif message.get("Event"):
            event = decode(message)
            self._on_event(event, self._clock.ours(event.at, self.heard_at))
        elif action_id not in self._lists or message.get("Response") != "Success":
            self._answer(action_id, message)

    def _listed(self, action_id: str, message: AmiMessage) -> None:
        if message.get("EventList") == "Complete":
            self._answer(action_id, message)
        elif len(self._lists[action_id]) >= LIST_MAX:
            raise LinkLost(f"a list of more than {LIST_MAX} channels")
        else:
            self._lists[action_id].append(decode(message))

    def _answer(self, action_id: str, message: AmiMessage) -> None:
        waiting = self._waiting.get(action_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    def _refused(self, reason: str) -> LoginRefused:
        """Close the link and return why, although the switch may have closed it first."""
        refused = LoginRefused(reason)
        self._fail(refused)
        return refused

    def _fail(self, reason: LinkLost) -> LinkLost:
        if self._lost is None:
            self._lost = reason
            self._writer.close()
            pending: list[asyncio.Future[AmiMessage] | asyncio.Future[None]] = [
                *self._waiting.values(), self._greeted
            ]  # fmt: skip
            for waiting in pending:
                if not waiting.done():
                    waiting.set_exception(reason)
                    waiting.exception()  # seen: nobody may be waiting any more
        return self._lost
