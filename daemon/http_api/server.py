"""The listener: uvicorn inside our own loop, without its signals and its logs, with limits that it has not.

A head is bounded in octets and, like a body, in seconds: who sends one byte a minute, or reads none, is closed. What a
connection may send ahead of its answers is bounded, and so is what of a body is no body. Nobody who is connected is
refused because others came: it is the newest connection that is closed, and one address never has them all.
A stop closes the listener first, lets what is in flight be answered, and then closes the connections.
"""

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Protocol

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Outside
from daemon.http_api.access import Door, Tokens
from daemon.http_api.accounts import AccountDesk
from daemon.http_api.administration import Links, StoreWithPing, application
from daemon.http_api.calls import CallDesk
from daemon.http_api.metrics import Metrics
from daemon.http_api.routes import ONCE, REPLY, SENDS, Headers, Once, PerCall

HEAD_SIZE_MAX = 1 << 14  # octets of a request line and headers; nginx and h11 allow as much
FRAMING_MAX = 1 << 19  # octets of chunk sizes and trailers of one request: the longest body in chunks of one octet
PIPELINE_MAX = 32  # requests of a connection that wait for an answer before theirs; some 2 kB each
REQUEST_SECONDS_MAX = 15  # seconds from a request's first byte (or a connection) to its last, and for a reader to read
KEEP_ALIVE_SECONDS = 75  # seconds that an idle connection stays; a switch's pool keeps them
CONNECTIONS_MAX = 2048  # connections at once; above it a new one is closed, and nobody else hears of it
PEER_CONNECTIONS_MAX = CONNECTIONS_MAX // 2  # of them of one address: the rest is for the others
BACKLOG = 512  # connections that wait for accept
GRACE_SECONDS = 5  # seconds that a stop waits for what is in flight
SWEEP_SECONDS = 1.0  # how often slow requests are looked for

_log = structlog.get_logger("tollway.http")


class ListensOn(Protocol):
    """``host:port`` of a settings section."""

    @property
    def host(self) -> str:
        """Address or name; empty: off."""

    @property
    def port(self) -> int:
        """0: any that is free."""


class HttpLimits(Protocol):
    """``[http]`` beside the address: requests a second (0: no limit), and who sees figures without a token."""

    @property
    def requests_per_second_token(self) -> int: ...
    @property
    def requests_per_second_peer(self) -> int: ...
    @property
    def metrics(self) -> str: ...


def _owner(ocf: OnlineCharging) -> str:
    """Return the uppermost tenant."""
    return next(name for name, tenant in ocf.catalog().tenants.items() if not tenant.parent)


class _State(ServerState):
    """What the connections of a server share: how many there are of each address."""

    def __init__(self) -> None:
        super().__init__()
        self.peers: Counter[str] = Counter()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol with limits, and the instants since which it waits for a request, or for a reader."""

    server_state: _State
    waiting_since: float | None = None
    idle_since: float | None = None
    blocked_since: float | None = None
    _head_octets = 0
    _head_octets_most = 0  # those of a head that ends in the octets being read
    _in_body = False
    _begun = False  # octets of a request came, and it is not whole
    _is_last = False  # a request that closes the connection is whole: nothing may follow it
    _body_octets = 0  # of the octets being read, those of a body
    _framing_octets = 0  # of a request beside its body, since its head ended

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first request."""
        self.waiting_since = self.loop.time()
        self._once = Once()
        self.parser.set_dangerous_leniencies(lenient_data_after_close=False)
        super().connection_made(transport)
        peers, host = self.server_state.peers, self._host
        peers[host] += 1
        if len(self.connections) > CONNECTIONS_MAX or peers[host] > PEER_CONNECTIONS_MAX:
            self._discarded("connections")
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the address down, and a request that its client did not finish and that nobody has answered."""
        if self._begun and self._is_unanswered:
            self._discarded("client_gone")
        peers = self.server_state.peers
        peers[self._host] -= 1
        if not peers[self._host]:
            del peers[self._host]
        super().connection_lost(exc)

    @property
    def _is_unanswered(self) -> bool:
        """Tell whether the request that is arriving has no answer yet."""
        return not (self._in_body and self.cycle.response_complete)

    @property
    def _host(self) -> str:
        return self.client[0] if self.client else ""

    def pause_writing(self) -> None:
        """Note since when nobody reads what was answered."""
        self.blocked_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Somebody reads on."""
        self.blocked_since = None
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and refuse a head that does not end."""
        if self.waiting_since is None:
            self.waiting_since = self.loop.time()
        self.idle_since = None
        self._begun = True
        self._head_octets_most = self._head_octets + len(data)
        if not self._in_body:
            self._head_octets = self._head_octets_most
        was_in_body, self._body_octets = self._in_body, 0
        super().data_received(data)
        if was_in_body and self._in_body:
            self._framing_octets += len(data) - self._body_octets
            if self._framing_octets > FRAMING_MAX and not self.transport.is_closing():
                self.send_400_response("The request's chunks or trailers are too large.")
        if not self._in_body and self._head_octets > HEAD_SIZE_MAX and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")

    def on_message_begin(self) -> None:
        """Wait for the rest of a request, also of one that came with the end of another."""
        self._begun = True
        if self.waiting_since is None:
            self.waiting_since = self.loop.time()
        super().on_message_begin()

    def send_400_response(self, msg: str) -> None:
        """Count what is no HTTP, and close; what follows a last request is counted only, as that one has its answer."""
        self._discarded("no_http")
        if self._is_last:
            return
        self.idle_since = self.loop.time()
        super().send_400_response(msg)

    def _discarded(self, reason: str) -> None:
        if isinstance(self.app, PerCall):
            self._once.discard(self.app.counters, reason)

    def on_headers_complete(self) -> None:
        """Refuse a head above the limit even where it came in one piece, and one request too many ahead of answers.

        What follows a request that would be upgraded is not read as its body, so it is refused: else the body would be
        taken for another request, which a proxy before us never saw as one (RFC 9110 section 7.8).
        """
        if self.parser.should_upgrade():
            raise ValueError("the connection stays HTTP/1.1")
        if len(self.pipeline) >= PIPELINE_MAX:
            raise ValueError("too many requests ahead of their answers")
        if self._head_octets_most > HEAD_SIZE_MAX and self._head_size() > HEAD_SIZE_MAX:
            raise ValueError("the request's head is too large")
        self.scope["extensions"] = {REPLY: {SENDS: self.reply, ONCE: self._once}}
        super().on_headers_complete()
        self._in_body, self._framing_octets = True, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, but none behind a body: nothing reads trailers (RFC 9110 section 6.5.1 lets us)."""
        if not self._in_body:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Count what is body, as the rest has a limit of its own."""
        self._body_octets += len(body)
        super().on_body(body)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def reply(self, status: int, headers: Headers, body: bytes) -> bool:
        """Send the response to the request under way in one piece, as uvicorn does in two; False where it has to.

        It has to where the request is not the newest, the connection does not stay, or the client reads too slowly.
        """
        cycle = self.cycle
        whole = cycle.keep_alive and not cycle.disconnected and cycle.scope["method"] != "HEAD"
        if not whole or self.pipeline or self.flow.write_paused:
            return False
        named = [b"%b: %b\r\n" % header for header in (*self.server_state.default_headers, *headers)]
        self.transport.write(b"".join((STATUS_LINE[status], *named, b"\r\n", body)))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        cycle.on_response()
        return True

    def on_response_complete(self) -> None:
        """Begin the next request, or note since when there is none: a sweep looks at all, where uvicorn has timers."""
        self.server_state.total_requests += 1
        if self.pipeline and not self.transport.is_closing():
            self._start_asgi_task(*self.pipeline.pop())
            return
        self.idle_since = self.loop.time()
        if not self.transport.is_closing():
            self.flow.resume_reading()  # not before: each answer would let as much more in

    def is_over(self, now: float) -> bool:
        """Tell whether a request takes longer to arrive, or an answer to be read, than it may, or it idled too long."""
        waiting, idle, blocked = self.waiting_since, self.idle_since, self.blocked_since
        is_slow = waiting is not None and waiting < now - REQUEST_SECONDS_MAX
        is_blocked = blocked is not None and blocked < now - REQUEST_SECONDS_MAX
        return is_slow or is_blocked or (idle is not None and idle < now - KEEP_ALIVE_SECONDS)

    def end(self) -> None:
        """Close the connection; one that cannot close, since nobody reads what was answered, is cut."""
        if self.blocked_since is not None:
            self._discarded("unread")
        elif self.waiting_since is not None and self._is_unanswered:
            self._discarded("slow")
        if self.blocked_since is not None or self.transport.is_closing():
            self.transport.abort()
        else:
            self.transport.close()

    def on_message_complete(self) -> None:
        """Wait for nothing more. What follows is another request, and is counted for itself."""
        self.waiting_since, self._once, self._begun = None, Once(), False
        self._is_last = not self.parser.should_keep_alive()
        self._in_body = False
        self._head_octets = 0
        super().on_message_complete()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the daemon has its own."""

    def __init__(self, config: uvicorn.Config) -> None:
        """Count connections by address."""
        super().__init__(config)
        self.server_state = _State()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves the HTTP interface on one listener."""

    def __init__(
        self,
        ocf: OnlineCharging,
        store: StoreWithPing,
        tokens: Tokens,
        metrics: Metrics,
        outside: Outside,
        links: Links,
        limits: HttpLimits,
        store_id: str = "",
    ) -> None:
        """Bind the parts; opens nothing. ``links`` tells of each switch whether its link is up.

        ``store_id`` is told to the operator by /readyz; empty: it is not known.
        """
        metrics.watch_links(links)
        metrics.watch_store(store.ping)
        desk = CallDesk(ocf, store, outside, metrics)
        accounts = AccountDesk(ocf, store, outside)
        self._door = Door(tokens, outside.now, metrics, lambda: _owner(ocf))
        self.limit(limits)
        beyond = application(desk, accounts, self._door, metrics, store, links, store_id)
        self.app = PerCall(desk, self._door, metrics, beyond)  # type: ignore[arg-type]  # Litestar narrows ASGI's types
        self._server: _Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.port = 0

    def limit(self, limits: HttpLimits) -> None:
        """Hold these limits from the next request on."""
        self._door.limit(limits.requests_per_second_token, limits.requests_per_second_peer, limits.metrics)

    async def start(self, listener: ListensOn) -> None:
        """Listen and serve; returns when connections are accepted. Raises OSError where the port is taken."""
        if not listener.host:
            return
        listening = await _bound(listener)
        self.port = listening.getsockname()[1]
        self._server = _Server(_config(self.app))
        serving = asyncio.create_task(self._server.serve(sockets=[listening]), name="http")
        self._tasks = [serving, asyncio.create_task(self._sweep(self._server), name="http sweep")]
        while not self._server.started:
            if serving.done():
                serving.result()
                raise RuntimeError("the HTTP server ended before it served")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Stop listening, answer what is in flight, close."""
        if self._server is None:
            return
        self._server.should_exit = True
        serving, sweeping = self._tasks
        await serving
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        self._server = None

    async def _sweep(self, server: uvicorn.Server) -> None:
        """Close connections that are over, for ever."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = asyncio.get_running_loop().time()
            for connection in list(server.server_state.connections):
                if isinstance(connection, BoundedProtocol) and connection.is_over(now):
                    connection.end()


async def _bound(listener: ListensOn) -> socket.socket:
    found = await asyncio.get_running_loop().getaddrinfo(listener.host, listener.port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


def _config(app: PerCall) -> uvicorn.Config:
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # what it warns of is counted as discarded
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        loop="none",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
