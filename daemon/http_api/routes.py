"""The per-call endpoints as one plain ASGI function before Litestar: half of a request's time is spent elsewhere.

A body is read to its limit and no further. At most so many requests are in flight; above that the answer is overloaded.
A failure of ours is logged and told as one word; a refused question of a call carries result denied, whatever failed,
so that a dialplan which looks at nothing else still fails closed.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
import structlog

from daemon.charging.discarded import discarded
from daemon.charging.ports import Counters, StoreError
from daemon.http_api.access import SWITCH, Door, TooMany
from daemon.http_api.calls import OPERATIONS, CallDesk
from daemon.http_api.messages import BODY_SIZE_MAX
from daemon.http_api.patience import Patience
from daemon.http_api.refusal import RequestRefused, malformed, overloaded, store_unavailable

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Reply = Callable[[int, Headers, bytes], bool]

IN_FLIGHT_MAX = 1024  # requests decided at once; four batches of the store, some 50 ms of waiting
IN_FLIGHT_EMERGENCY_MAX = 256  # room above the limit for emergency numbers, which wait for no store
DECIDE_SECONDS_MAX = 10  # seconds that a request may wait for the store; dialplans wait no longer
AUTHORIZE = "/v1/authorize"
CALLS = b"/v1/calls/"
JSON_TYPE = (b"content-type", b"application/json")
# An extension of ASGI: what sends a whole response, or says that it cannot; and whether the request was counted.
REPLY, SENDS, ONCE = "tollway.reply", "sends", "once"

_log = structlog.get_logger("tollway.http")


class ClientGone(Exception):
    """The client closed the connection within its request: there is nobody to answer."""


class Once:
    """One request, or what came in place of one: why it is not taken is counted, and what follows of that is not."""

    def __init__(self) -> None:
        """Nothing was counted yet."""
        self._counted = False

    def discard(self, counters: Counters, reason: str) -> None:
        """Count a reason, unless one was."""
        if not self._counted:
            self._counted = True
            discarded(counters, "http", reason)


def discard(counters: Counters, scope: Scope, reason: str) -> None:
    """Count, once for each request, that it was not taken."""
    once: Once = scope.get("extensions", {}).get(REPLY, {}).get(ONCE) or Once()
    once.discard(counters, reason)


class PerCall:
    """An ASGI application: serves the per-call endpoints itself and hands everything else to ``beyond``."""

    def __init__(self, desk: CallDesk, door: Door, counters: Counters, beyond: Asgi) -> None:
        """Bind the parts."""
        self._desk = desk
        self._door = door
        self.counters = counters
        self._beyond = beyond
        self._in_flight = 0
        self._patience = Patience()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if not _is_per_call(scope):
            await self._beyond(scope, receive, send)
            return
        self._in_flight += 1
        try:
            status, body, headers = await self._answer(scope, receive)
        except ClientGone:  # the connection counts it: it knows what else became of it
            return
        finally:
            self._in_flight -= 1
        reply: Reply | None = scope.get("extensions", {}).get(REPLY, {}).get(SENDS)
        if reply is None or not reply(status, headers, body):
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes, Headers]:
        try:
            body = await self._decide(scope, receive)
        except RequestRefused as refused:
            discard(self.counters, scope, refused.error)
            body = refused.body if refused.status < 500 else _denied(scope, refused)
            return refused.status, body, [JSON_TYPE, _length(body), *refused.headers]
        return 200, body, [JSON_TYPE, _length(body)]

    async def _decide(self, scope: Scope, receive: Receive) -> bytes:
        try:
            if self._in_flight > IN_FLIGHT_MAX and not self._may_be_emergency(scope):
                raise overloaded()
            return await self._patience.wait(await self._work(scope, receive), DECIDE_SECONDS_MAX)
        except (StoreError, TimeoutError) as error:
            _log.warning("the store did not commit", error=repr(error), path=scope["path"])
            raise store_unavailable() from None
        except (RequestRefused, ClientGone):
            raise
        except Exception as error:
            _log.error("a per-call handler failed", path=scope["path"], exc_info=error)
            raise RequestRefused(500, "internal", "the daemon failed; its log says why") from None

    def _may_be_emergency(self, scope: Scope) -> bool:
        """Tell whether a request above the limit is read all the same: its body tells whether it is an emergency."""
        return scope["path"] == AUTHORIZE and self._in_flight <= IN_FLIGHT_MAX + IN_FLIGHT_EMERGENCY_MAX

    async def _work(self, scope: Scope, receive: Receive) -> Awaitable[bytes]:
        """Return what answers a request, once it is known who asks for what."""
        method = scope["method"]
        if scope["path"] == AUTHORIZE:
            _only(method, "POST")
            return await self._question(scope, receive)
        tail = scope["raw_path"][len(CALLS) :]
        name, slash, operation = tail.rpartition(b"/")
        act = OPERATIONS.get(operation.decode("latin-1")) if slash else None
        if act is None or method == "DELETE":
            _only(method, "DELETE")
            token = self._door.admit(scope, SWITCH)
            grant_id = _value(scope["query_string"], b"grant_id")
            return self._desk.cut(token, _call_id(tail), grant_id)
        _only(method, "POST")
        token = self._door.admit(scope, SWITCH)
        return act(self._desk, token, _call_id(name), await _body(scope, receive))

    async def _question(self, scope: Scope, receive: Receive) -> Awaitable[bytes]:
        """Return what answers a question; above the limits of requests, of one for an emergency number alone."""
        limited: TooMany | None = None
        try:
            token = self._door.admit(scope, SWITCH)
        except TooMany as over:
            limited, token = over, over.token
        explain = _flag(scope["query_string"], b"explain")
        body = await _body(scope, receive)
        crowded = self._in_flight > IN_FLIGHT_MAX
        if (limited is not None or crowded) and (explain or not self._desk.is_emergency(body)):
            raise limited or overloaded()
        return self._desk.authorize(token, body, explain=explain)


def _is_per_call(scope: Scope) -> bool:
    """Tell whether a request is one of ours; a path that looks so only unquoted is not: the call id is cut raw."""
    if scope["type"] != "http":
        return False
    return scope["path"] == AUTHORIZE or bytes(scope["raw_path"]).startswith(CALLS)


def _length(body: bytes) -> tuple[bytes, bytes]:
    return (b"content-length", str(len(body)).encode())


def _denied(scope: Scope, refused: RequestRefused) -> bytes:
    """Return the body of a failure with the refusal of a call added where a call was asked for."""
    if scope["path"] != AUTHORIZE:
        return refused.body
    reason = "overloaded" if refused.error == "overloaded" else "store_unavailable"
    return msgspec.json.encode({**msgspec.json.decode(refused.body), "result": "denied", "reason": reason})


def _only(method: str, allowed: str) -> None:
    if method != allowed:
        headers = ((b"allow", allowed.encode()),)
        raise RequestRefused(405, "method_not_allowed", f"this takes {allowed} only", headers)


def _parameters(query: bytes, known: bytes) -> list[bytes]:
    """Return the values of the one known parameter. Raises RequestRefused (400) for any other."""
    values = []
    for pair in query.split(b"&") if query else ():
        name, _, value = pair.partition(b"=")
        if name != known:
            raise malformed(f"the only parameter is {known.decode()}")
        values.append(value)
    if len(values) > 1:
        raise malformed(f"{known.decode()} is stated more than once")
    return values


def _flag(query: bytes, name: bytes) -> bool:
    values = _parameters(query, name)
    if values and values[0] not in (b"true", b"false"):
        raise malformed(f"{name.decode()} is true or false")
    return values == [b"true"]


def _value(query: bytes, name: bytes) -> str:
    values = _parameters(query, name)
    return values[0].decode("latin-1") if values else ""


def _call_id(raw: bytes) -> str:
    try:
        text = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise malformed("the call id in the path is not UTF-8") from None
    if not text:
        raise malformed("the path names no call id")
    return text


async def _body(scope: Scope, receive: Receive) -> bytes:
    """Return a request's body. Raises RequestRefused (413) above BODY_SIZE_MAX octets, ClientGone."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message["body"]
    while message.get("more_body") and len(body) <= BODY_SIZE_MAX:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message["body"]
    if len(body) > BODY_SIZE_MAX:
        raise RequestRefused(413, "too_large", f"a body has at most {BODY_SIZE_MAX} octets")
    return body
