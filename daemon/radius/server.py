"""The two UDP listeners: length and code, client by source, signature, duplicates; then the service; then the reply.

What is not from a known client with its secret gets silence and is counted. A repeat gets the octets of its first
answer. Work in flight is bounded: under overload questions are refused, and Starts and Interims are left for the
client to repeat before any Stop is (RFC 5080 section 2.2.3).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from socket import SO_RCVBUF, SOL_SOCKET
from typing import cast

import structlog

from daemon.authorize.decision import Denied
from daemon.authorize.denial import Denial
from daemon.charging.configuration import NasSpec
from daemon.charging.discarded import discarded
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Counters, Outside, Store
from daemon.radius import reply
from daemon.radius.authenticator import request_is_authentic, signature_is_valid
from daemon.radius.dedup import DuplicateCache, Key
from daemon.radius.packet import Code, Packet, RemotePacketError, declared_length, decode
from daemon.radius.peers import Peers
from daemon.radius.profile import profile
from daemon.radius.question import EAP_MESSAGE, body_digest
from daemon.radius.record import STOP
from daemon.radius.service import Answer, RadiusService, Silence
from daemon.settings import Listener

IN_FLIGHT_MAX = 2048  # requests of one listener being worked on; with a commit of 20 ms that is 100,000 a second
IN_FLIGHT_BEGINNINGS_MAX = 1536  # above this Starts and Interims wait, so that Stops still find room
DELAYED_MAX = 1024  # refusals of wrong passwords waiting to be told; above this they are told at once
DRAIN_SECONDS = 5.0  # seconds that a shutdown waits for work in flight
RECEIVE_BUFFER = 4 << 20  # octets asked of the kernel: some 10,000 records arriving in one burst
NOTED_MAX = 1024  # reasons and sources whose discards are told apart in the log
IN_FLIGHT_EMERGENCY_MAX = 256  # room above the limit for emergency numbers, which wait for no store
CALLED_STATION_ID, ACCT_STATUS_TYPE = 30, 40

_CODES = {
    "auth": frozenset({Code.ACCESS_REQUEST, Code.STATUS_SERVER}),
    "acct": frozenset({Code.ACCOUNTING_REQUEST, Code.STATUS_SERVER}),
}
Source = tuple[str, int]

_log = structlog.get_logger("tollway.radius")


class _Link(asyncio.DatagramProtocol):
    """One listener's socket."""

    def __init__(self, name: str, received: Callable[["_Link", bytes, Source], None]) -> None:
        self.name = name
        self.cache = DuplicateCache()
        self.in_flight: set[asyncio.Task[None]] = set()
        self.transport: asyncio.DatagramTransport | None = None
        self._received = received

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)  # the selector loop's own is no subclass of it
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._received(self, data, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        _log.debug("a reply could not be delivered", listener=self.name, error=str(exc))

    def send(self, data: bytes, source: Source) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.sendto(data, source)


@dataclass(frozen=True, slots=True)
class _Request:
    """An authentic request, new to the duplicate cache."""

    link: _Link
    packet: Packet
    nas: NasSpec
    source: Source
    key: Key
    digest: bytes
    padded: bool


@dataclass(slots=True)
class _Notes:
    """Tells the log of a discard when its count is a power of two, so that a flood fills no disk."""

    counts: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def is_due(self, listener: str, reason: str, address: str) -> int:
        """Return how often this was seen where it should be told now, else 0."""
        key = (listener, reason, address)
        if key not in self.counts and len(self.counts) >= NOTED_MAX:
            key = (listener, reason, "others")
        count = self.counts[key] = self.counts.get(key, 0) + 1
        return count if count & (count - 1) == 0 else 0


class RadiusServers:
    """Serves RADIUS on two ports. ``peers`` gives the clients in force each time, so that a reload needs nothing."""

    def __init__(
        self, charging: OnlineCharging, store: Store, peers: Callable[[], Sequence[NasSpec]], outside: Outside,
        counters: Counters,
    ) -> None:  # fmt: skip
        """Bind the ports; opens nothing."""
        self._service = RadiusService(charging, store, outside, counters)
        self._charging = charging
        self._peers_now = peers
        self._peers = Peers(peers())
        self._now = outside.now
        self._counters = counters
        self._notes = _Notes()
        self._links: list[_Link] = []
        self._delayed: dict[int, tuple[asyncio.TimerHandle, _Request, bytes]] = {}
        self._delays = 0
        self._stopping = False

    async def start(self, auth: Listener, acct: Listener) -> None:
        """Listen where the settings say; an empty listener is off. Raises OSError where a port is taken."""
        self._stopping = False
        for name, listener in (("auth", auth), ("acct", acct)):
            if listener:
                await self._listen(name, listener)

    async def _listen(self, name: str, listener: Listener) -> None:
        link = _Link(name, self._received)
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: link, local_addr=(listener.host, listener.port))
        self._links.append(link)

    def address(self, name: str) -> Source:
        """Return host and port on which ``auth`` or ``acct`` listens. Raises KeyError where it is off."""
        for link in self._links:
            if link.name == name and link.transport is not None:
                host, port = link.transport.get_extra_info("sockname")[:2]
                return host, port
        raise KeyError(name)

    async def stop(self) -> None:
        """Take no more; let what is in flight commit and answer; close."""
        self._stopping = True
        running = [task for link in self._links for task in link.in_flight]
        if running:
            await asyncio.wait(running, timeout=DRAIN_SECONDS)
        for number in list(self._delayed):
            timer, request, data = self._delayed.pop(number)
            timer.cancel()
            request.link.send(data, request.source)
        for link in self._links:
            if link.transport is not None:
                link.transport.close()
        self._links.clear()

    def _received(self, link: _Link, data: bytes, source: Source) -> None:
        if self._stopping:
            return None
        try:
            declared_length(data)
            if data[0] not in _CODES[link.name]:
                return self._discard(link, "code", source)
            nas = self._client(source[0])
            if nas is None:
                return self._discard(link, "unknown_client", source)
            packet = decode(data)
        except RemotePacketError as error:
            return self._discard(link, "malformed", source, str(error))
        reason = _untrue(packet, nas)
        if reason:
            return self._discard(link, reason, source)
        return self._authentic(link, packet, nas, source, padded=len(data) > len(packet.data))

    def _client(self, address: str) -> NasSpec | None:
        specs = self._peers_now()
        if specs is not self._peers.specs:
            self._peers = Peers(specs)
        return self._peers.find(address)

    def _authentic(self, link: _Link, packet: Packet, nas: NasSpec, source: Source, *, padded: bool) -> None:
        key, digest = (*source, packet.code, packet.identifier), body_digest(packet.data)
        request = _Request(link, packet, nas, source, key, digest, padded)
        if packet.code != Code.STATUS_SERVER:
            known = link.cache.seen(key, digest, self._now())
            if known is not None:
                return self._repeated(request, known.reply)
        if _is_too_much(link, packet) and not self._is_emergency(link, packet):
            return self._shed(request)
        task = asyncio.get_running_loop().create_task(self._served(request))
        link.in_flight.add(task)
        task.add_done_callback(link.in_flight.discard)
        return None

    def _repeated(self, request: _Request, answered: bytes | None) -> None:
        if answered is None:
            return self._discard(request.link, "duplicate_in_progress", request.source)
        self._count(request.link, "duplicate")  # the request was not taken again; its first answer is sent
        return request.link.send(answered, request.source)

    def _is_emergency(self, link: _Link, packet: Packet) -> bool:
        """Tell whether a question is about an emergency number: decided from memory, it passes the limit."""
        called = packet.first(CALLED_STATION_ID)
        if packet.code != Code.ACCESS_REQUEST or called is None:
            return False
        number = called.decode("ascii", "replace")
        room = len(link.in_flight) < IN_FLIGHT_MAX + IN_FLIGHT_EMERGENCY_MAX
        return room and self._charging.is_emergency(number)

    def _shed(self, request: _Request) -> None:
        if request.packet.code != Code.ACCESS_REQUEST:
            request.link.cache.dropped(request.key, request.digest)
            return self._discard(request.link, "overloaded", request.source)
        denied = Denied(Denial.OVERLOADED, "too many requests are in flight")
        self._counters.count("tollway_decisions_total", road="radius", code=denied.denial.value)
        interim, switch = self._charging.settings.interim_seconds, profile(request.nas.profile)
        data = reply.access_reply(request.packet, denied, switch, interim, request.nas.secret.encode())
        return self._reply(request, Answer(data))

    async def _served(self, request: _Request) -> None:
        try:
            answer = await self._answered(request)
        except Exception:
            _log.exception("a request could not be served", listener=request.link.name, nas=request.nas.id)
            answer = Silence("internal_error")
        self._reply(request, answer)

    async def _answered(self, request: _Request) -> Answer | Silence:
        packet, nas = request.packet, request.nas
        if packet.code == Code.STATUS_SERVER:
            return await self._service.status(packet, nas, accounting=request.link.name == "acct")
        if packet.code == Code.ACCESS_REQUEST:
            return await self._service.access(packet, nas, request.source)
        return await self._service.accounting(packet, nas, request.source)

    def _reply(self, request: _Request, answer: Answer | Silence) -> None:
        cache = request.link.cache
        if isinstance(answer, Silence):
            cache.dropped(request.key, request.digest)
            return self._discard(request.link, answer.reason, request.source)
        if not cache.answered(request.key, request.digest, answer.data):
            return self._discard(request.link, "superseded", request.source)
        if reason := answer.discarded or ("padding" if request.padded else ""):
            self._discard(request.link, reason, request.source)
        if answer.delay_seconds and not self._stopping and len(self._delayed) < DELAYED_MAX:
            return self._send_later(request, answer)
        return request.link.send(answer.data, request.source)

    def _send_later(self, request: _Request, answer: Answer) -> None:
        self._delays += 1
        number = self._delays

        def due() -> None:
            del self._delayed[number]
            request.link.send(answer.data, request.source)

        timer = asyncio.get_running_loop().call_later(answer.delay_seconds, due)
        self._delayed[number] = (timer, request, answer.data)

    def _count(self, link: _Link, reason: str) -> None:
        discarded(self._counters, f"radius_{link.name}", reason)

    def _discard(self, link: _Link, reason: str, source: Source, detail: str = "") -> None:
        self._count(link, reason)
        count = self._notes.is_due(link.name, reason, source[0])
        if count:
            _log.warning(
                "radius packet discarded", listener=link.name, reason=reason, source=source[0], count=count,
                detail=detail,
            )  # fmt: skip


def _untrue(packet: Packet, nas: NasSpec) -> str:
    """Return why a packet is not believed to be from its client, or nothing."""
    secret = nas.secret.encode()
    if packet.code == Code.ACCOUNTING_REQUEST and not request_is_authentic(packet, secret):
        return "authenticator"
    signed = signature_is_valid(packet, secret)
    if signed is False:
        return "message_authenticator"
    if signed is None and _must_be_signed(packet, nas):
        return "message_authenticator_missing"
    return "" if reply.proxy_states(packet) is not None else "proxy_state"


def _must_be_signed(packet: Packet, nas: NasSpec) -> bool:
    """RFC 5997 section 3 and RFC 3579 section 3.1 ask for it always; CVE-2024-3596 where the operator says so."""
    if packet.code == Code.STATUS_SERVER or packet.first(EAP_MESSAGE) is not None:
        return True
    return packet.code == Code.ACCESS_REQUEST and nas.require_message_authenticator


def _is_too_much(link: _Link, packet: Packet) -> bool:
    if packet.code == Code.ACCOUNTING_REQUEST and packet.first(ACCT_STATUS_TYPE) != STOP.to_bytes(4, "big"):
        return len(link.in_flight) >= IN_FLIGHT_BEGINNINGS_MAX
    return len(link.in_flight) >= IN_FLIGHT_MAX
