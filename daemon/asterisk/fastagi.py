"""The FastAGI listener: one connection is one question of one channel; sizes, connections and time are bounded.

The peer is known by its address alone: the [[asterisk]] that it belongs to bounds the tenant, and a stranger is sent
away. What an earlier answer left is cleared first, and GRANTED is said last, when all the rest stands on the channel.
Whatever goes wrong leaves no GRANTED behind, and lets go of what was reserved: a dialplan then refuses the call.
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import Protocol

import structlog

from daemon.asterisk import dialplan
from daemon.asterisk import fastagi_wire as wire
from daemon.asterisk.dialplan import Variables
from daemon.asterisk.fastagi_wire import AgiConnection, HungUp, RemoteAgiError, Reply, Request
from daemon.asterisk.legs import Grant
from daemon.asterisk.switch import Switch
from daemon.authorize.decision import Granted
from daemon.authorize.denial import Denial
from daemon.charging.ports import Counters

CONNECTIONS_MAX = 4_096  # dialogues at the same time; one takes milliseconds, and each is a file
OPENING_SECONDS = 3.0  # for the opening block: Asterisk writes it at once
REPLY_SECONDS = 3.0  # for the answer to one command
TELL_SECONDS = 1.0  # between two lines of the log about one reason, at least: a stranger must not fill the disk
BACKLOG = 1_024  # connections that the kernel keeps until they are taken
READ_SIZE = 8_192  # octets taken at once; the whole dialogue of a usual question
LISTENER = "fastagi"

_log = structlog.get_logger("tollway.asterisk")


class ListensOn(Protocol):
    """Where to listen; an empty host is nowhere."""

    @property
    def host(self) -> str:
        """Return a name or an address."""

    @property
    def port(self) -> int:
        """Return the TCP port."""


class ChannelHungUp(Exception):
    """The channel that asked is gone: there is nobody to tell."""


class Dialogue:
    """One connection: commands go out one at a time, and each has its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Bind the streams."""
        self._reader = reader
        self._writer = writer
        self._wire = AgiConnection()
        self._read: list[wire.Message] = []

    async def opening(self) -> Request:
        """Return the opening block. Raises RemoteAgiError, ChannelHungUp, OSError, TimeoutError."""
        async with asyncio.timeout(OPENING_SECONDS):
            message = await self._next()
        assert isinstance(message, Request), message
        return message

    async def ask(self, command: bytes) -> str:
        """Send a command and return what its answer has in parentheses. Raises as ``opening``."""
        self._writer.write(self._wire.send(command))
        async with asyncio.timeout(REPLY_SECONDS):
            reply = await self._next()
        if not isinstance(reply, Reply) or reply.code == 511:
            raise ChannelHungUp
        if reply.code != 200 or reply.result < 0:
            raise RemoteAgiError("refused", f"the switch refuses a command: {reply.code} {reply.value[:200]}")
        return reply.value

    async def set_all(self, variables: Variables) -> None:
        """Set variables in their order. Raises as ``opening``, and LocalAgiError."""
        for name, value in variables:
            await self.ask(wire.set_variable(name, value))

    async def _next(self) -> wire.Message:
        while not self._read:
            data = await self._reader.read(READ_SIZE)
            if not data:
                raise ChannelHungUp
            self._read += self._wire.receive_data(data)
        message = self._read.pop(0)
        if isinstance(message, HungUp):
            raise ChannelHungUp
        return message


class FastAgiServer:
    """Answers questions on one listener. ``switch_of`` gives the switch of an address, None for a stranger's."""

    def __init__(self, switch_of: Callable[[str], Switch | None], ring_seconds: Callable[[], int], counters: Counters):
        """Bind the parts; opens nothing."""
        self._switch_of = switch_of
        self._ring_seconds = ring_seconds
        self._counters = counters
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._told_at: dict[str, float] = {}  # by reason, of which there is a closed list
        self.port = 0

    async def start(self, listener: ListensOn) -> None:
        """Listen and answer. Raises OSError where the port is taken."""
        if not listener.host:
            return
        self._server = await asyncio.start_server(
            self._accepted, listener.host, listener.port, limit=4 * READ_SIZE, reuse_address=True, backlog=BACKLOG
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening; dialogues under way are finished."""
        if self._server is None:
            return
        self._server.close()
        if self._open:
            await asyncio.wait(self._open, timeout=REPLY_SECONDS)
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        self._server = None

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        switch = self._switch_of(address)
        if switch is None or len(self._open) >= CONNECTIONS_MAX:
            self._discard("unknown_peer" if switch is None else "too_many", address, "closed unheard")
            writer.close()
            return
        task = asyncio.create_task(self._served(switch, Dialogue(reader, writer), writer, address))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    def _discard(self, reason: str, address: str, why: str) -> None:
        self._counters.count("tollway_discarded_total", listener=LISTENER, reason=reason)
        now = asyncio.get_running_loop().time()
        if now - self._told_at.get(reason, -TELL_SECONDS) < TELL_SECONDS:
            return  # counted all the same
        self._told_at[reason] = now
        _log.warning("FastAGI not answered", reason=reason, peer=address, error=why)

    async def _served(self, switch: Switch, dialogue: Dialogue, writer: asyncio.StreamWriter, address: str) -> None:
        try:
            await self._answered(switch, dialogue)
        except ChannelHungUp:
            _log.info("a channel hung up while it asked", switch=switch.spec.id)
        except RemoteAgiError as error:
            self._discard(error.reason, address, str(error))
        except wire.LocalAgiError as error:
            self._discard("unsayable", address, str(error))
        except TimeoutError:
            self._discard("too_slow", address, "no answer in time")
        except OSError as error:
            _log.info("a FastAGI connection broke", switch=switch.spec.id, error=str(error))
        finally:
            writer.close()

    async def _answered(self, switch: Switch, dialogue: Dialogue) -> None:
        request = await dialogue.opening()
        try:
            asked = dialplan.asked(request)
        except RemoteAgiError as error:
            if error.reason == "arguments":
                await _refused(dialogue, Denial.DESTINATION_MALFORMED)
            raise
        nonce = secrets.token_hex(8)
        told = dialplan.told(nonce, await dialogue.ask(wire.expanded(dialplan.probe(nonce))))
        await dialogue.set_all(tuple((name, "") for name in dialplan.STALE))
        decision, grant = await switch.control.ask(asked, told)
        if not isinstance(decision, Granted):
            await dialogue.set_all(dialplan.denied_variables(decision.denial))
            return
        try:
            await self._told(dialogue, decision, grant)
        except BaseException:
            if grant is not None:
                switch.control.withdraw(grant)
            raise

    async def _told(self, dialogue: Dialogue, granted: Granted, grant: Grant | None) -> None:
        """Tell a grant. The timer of the switch stands behind its ringing and its seconds until the answer moves it."""
        if granted.emergency:
            await dialogue.ask(wire.set_autohangup(0))
        elif grant is not None and grant.renewable:
            await dialogue.ask(wire.set_autohangup(self._ring_seconds() + granted.seconds + 1))
        await dialogue.set_all(dialplan.granted_variables(granted))


async def _refused(dialogue: Dialogue, denial: Denial) -> None:
    await dialogue.set_all(tuple((name, "") for name in dialplan.STALE))
    await dialogue.set_all(dialplan.denied_variables(denial))
