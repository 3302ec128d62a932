"""The endpoints that are not asked for each call, as Litestar handlers: lists, accounts, health, metrics.

Health needs no token: it tells a supervisor that the daemon works. Figures, and the links that are reported beside
readiness and decide nothing, are those of the whole daemon: its operator sees them, and no tenant. Ready means that
the store can write.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Protocol

import msgspec
import structlog
from litestar import Litestar, Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, JSONBody
from litestar.types import Guard
from msgspec import UNSET, UnsetType

from daemon.charging.ports import Counters, Store, StoreError
from daemon.charging.voucher import RedeemsVouchers
from daemon.http_api.access import BILLING, READ, SWITCH, Door
from daemon.http_api.accounts import AccountDesk
from daemon.http_api.calls import CallDesk
from daemon.http_api.messages import (
    BODY_SIZE_MAX,
    AccountReply,
    LiveCall,
    TopUpReply,
    TopUpRequest,
    VoucherReply,
    VoucherRequest,
    no_name_twice,
)
from daemon.http_api.metrics import Metrics
from daemon.http_api.openapi import openapi_config
from daemon.http_api.refusal import Refusal, RequestRefused, malformed, store_unavailable
from daemon.http_api.routes import discard
from daemon.http_api.vouchers import VoucherDesk
from daemon.kernel.instant import SECOND

_log = structlog.get_logger("tollway.http")

Links = Callable[[], Mapping[str, bool]]
Refused = tuple[str, Response[bytes]]  # why, for whoever counts, and what the client is told
AnyRequest = Request[Any, Any, Any]
AnyConnection = ASGIConnection[Any, Any, Any, Any]
OnException = Callable[[AnyRequest, Any], Response[Any]]
JSON = "application/json"
REFUSALS = {
    status: ResponseSpec(Refusal, description=text)
    for status, text in {
        400: "The request breaks the contract", 401: "No token in force", 403: "Not with this role",
        404: "Nothing of that name within the token's tenant", 429: "Too many requests in this second",
        503: "The store cannot commit; repeat",
    }.items()
}  # fmt: skip

FIGURES_REFUSED = {status: REFUSALS[status] for status in (401, 403, 429)}

TOP_UP_ANSWERS = {
    **REFUSALS,
    200: ResponseSpec(TopUpReply, description="Money arrived; repeated: the same answer"),
    409: ResponseSpec(Refusal, description="The key was used with another body"),
}
VOUCHER_ANSWERS = {
    **REFUSALS,
    409: ResponseSpec(Refusal, description="The account cannot take what the voucher is worth"),
    422: ResponseSpec(Refusal, description="The code cannot be redeemed for this account"),
    429: ResponseSpec(Refusal, description="Too many wrong codes were tried; wait"),
}
IdempotencyKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key")]


class Health(msgspec.Struct, frozen=True):
    """The daemon's loop turns."""

    alive: bool


class Readiness(msgspec.Struct, frozen=True):
    """``store`` is writable, or why not; ``links`` tells of each switch whether its link is up.

    ``journalled`` postpaid grants were given without the store and wait for it; ``store_id`` tells whether two daemons
    have the same one. ``clock_behind_seconds`` is there while the machine's clock is not followed: how far it stands
    behind, negative: ahead. All are told to the operator alone.
    """

    ready: bool
    store: str
    links: dict[str, bool] | UnsetType = UNSET
    journalled: int | UnsetType = UNSET
    store_id: str | UnsetType = UNSET
    clock_behind_seconds: int | UnsetType = UNSET


class StoreWithPing(Store, Protocol):
    """The store, and whether it can write."""

    async def ping(self) -> None:
        """Write something and commit it. Raises StoreError."""


def application(
    calls: CallDesk, accounts: AccountDesk, door: Door, metrics: Metrics, store: StoreWithPing, links: Links,
    store_id: str,
) -> Litestar:  # fmt: skip
    """Return the Litestar application of all endpoints but the per-call ones, whose schema it serves too."""
    handlers = [
        *_call_handlers(calls, door),
        *_account_handlers(accounts, door),
        *_voucher_handlers(accounts, door, store, metrics),
        *_health_handlers(metrics, store, links, calls, door, store_id),
    ]
    return Litestar(
        route_handlers=handlers,
        openapi_config=openapi_config(),
        exception_handlers=_exception_handlers(metrics),
        request_max_body_size=BODY_SIZE_MAX,
        logging_config=None,
        debug=False,
    )  # fmt: skip


def _asks_for(door: Door, *roles: str) -> Guard:
    """Return what looks at the token before anything else of a request is read; handlers find it in the state."""

    def guard(connection: AnyConnection, _handler: BaseRouteHandler) -> None:
        connection.state.token = door.admit(connection.scope, *roles)

    return guard


def _call_handlers(calls: CallDesk, door: Door) -> list[HTTPRouteHandler]:
    guard = _asks_for(door, SWITCH, READ)

    @get("/v1/calls", guards=[guard], responses=REFUSALS, summary="Live calls", tags=["calls"])
    async def live_calls(request: AnyRequest) -> list[LiveCall]:
        """List the open calls in which the token's tenant sells."""
        return await calls.live(request.state.token)

    return [live_calls]


def _account_handlers(accounts: AccountDesk, door: Door) -> list[HTTPRouteHandler]:
    shows, tops_up = _asks_for(door, BILLING, READ), _asks_for(door, BILLING)

    async def credited(
        request: AnyRequest, tenant: str, account: str, key: str | None, data: TopUpRequest
    ) -> Response[bytes]:
        no_name_twice(await request.body())
        reply = await accounts.top_up(request.state.token, tenant, account, key, data)
        return Response(reply, media_type=JSON)

    @get("/v1/accounts/{account:str}", guards=[shows], responses=REFUSALS, summary="One account", tags=["accounts"])
    async def show(request: AnyRequest, account: FromPath[str]) -> AccountReply:
        """Balance, reserved, available and channels in use."""
        return await accounts.show(request.state.token, "", account)

    @get(
        "/v1/accounts/{tenant:str}/{account:str}",
        guards=[shows], responses=REFUSALS, summary="One account by tenant", tags=["accounts"],
    )  # fmt: skip
    async def show_named(request: AnyRequest, tenant: FromPath[str], account: FromPath[str]) -> AccountReply:
        """Show an account of the token's tenant, named in full."""
        return await accounts.show(request.state.token, tenant, account)

    @post(
        "/v1/accounts/{account:str}/topups",
        guards=[tops_up], responses=TOP_UP_ANSWERS, status_code=200, summary="Top up", tags=["accounts"],
    )  # fmt: skip
    async def top_up(
        request: AnyRequest, data: JSONBody[TopUpRequest], account: FromPath[str], key: IdempotencyKey = None
    ) -> Response[bytes]:
        """Add money, once for each Idempotency-Key."""
        return await credited(request, "", account, key, data)

    @post(
        "/v1/accounts/{tenant:str}/{account:str}/topups",
        guards=[tops_up], responses=TOP_UP_ANSWERS, status_code=200, summary="Top up by tenant", tags=["accounts"],
    )  # fmt: skip
    async def top_up_named(
        request: AnyRequest, data: JSONBody[TopUpRequest], tenant: FromPath[str], account: FromPath[str],
        key: IdempotencyKey = None,
    ) -> Response[bytes]:  # fmt: skip
        """Add money to an account of the token's tenant, named in full."""
        return await credited(request, tenant, account, key, data)

    return [show, show_named, top_up, top_up_named]


def _voucher_handlers(
    accounts: AccountDesk, door: Door, store: StoreWithPing, metrics: Metrics
) -> list[HTTPRouteHandler]:
    if not isinstance(store, RedeemsVouchers):
        return []
    desk, redeems = VoucherDesk(store, metrics), _asks_for(door, BILLING)

    @post(
        "/v1/accounts/{account:str}/vouchers",
        guards=[redeems], responses=VOUCHER_ANSWERS, status_code=200, summary="Redeem a voucher", tags=["accounts"],
    )  # fmt: skip
    async def redeem(request: AnyRequest, data: JSONBody[VoucherRequest], account: FromPath[str]) -> VoucherReply:
        """Redeem a code, once; the same account again gets the same answer."""
        no_name_twice(await request.body())
        token = request.state.token
        return await desk.redeem(token, accounts.terms(token, "", account), data)

    @post(
        "/v1/accounts/{tenant:str}/{account:str}/vouchers",
        guards=[redeems], responses=VOUCHER_ANSWERS, status_code=200, summary="Redeem a voucher by tenant",
        tags=["accounts"],
    )  # fmt: skip
    async def redeem_named(
        request: AnyRequest, data: JSONBody[VoucherRequest], tenant: FromPath[str], account: FromPath[str]
    ) -> VoucherReply:
        """Redeem a code for an account of the token's tenant, named in full."""
        no_name_twice(await request.body())
        token = request.state.token
        return await desk.redeem(token, accounts.terms(token, tenant, account), data)

    return [redeem, redeem_named]


def _health_handlers(
    metrics: Metrics, store: StoreWithPing, links: Links, calls: CallDesk, door: Door, store_id: str
) -> list[HTTPRouteHandler]:
    def guard(connection: AnyConnection, _handler: BaseRouteHandler) -> None:
        door.admit_operator(connection.scope)

    @get("/healthz", summary="Liveness", tags=["health"])
    async def healthz() -> Health:
        """Tell that the daemon answers."""
        return Health(alive=True)

    @get("/readyz", summary="Readiness", tags=["health"])
    async def readyz(request: AnyRequest) -> Response[Readiness]:
        """Tell whether the store can write, and the operator how switches are linked and what waits."""
        own = door.is_operator(request.scope)
        seen, journalled = (dict(links()), calls.ocf.journalled) if own else (UNSET, UNSET)
        known = store_id if own and store_id else UNSET
        held = calls.outside.held_back() if own else 0
        behind = held // SECOND if held else UNSET
        try:
            await store.ping()
        except StoreError as error:
            _log.warning("not ready", error=str(error))
            return Response(Readiness(False, "unavailable", seen, journalled, known, behind), status_code=503)
        return Response(Readiness(True, "writable", seen, journalled, known, behind))

    @get(
        "/metrics", guards=[guard], responses=FIGURES_REFUSED, summary="Prometheus", tags=["health"],
        media_type=metrics.content_type,
    )  # fmt: skip
    async def figures() -> Response[bytes]:
        """Every figure in Prometheus' text format; they are the operator's."""
        return Response(await metrics.render(), media_type=metrics.content_type)

    return [healthz, readyz, figures]


def _exception_handlers(counters: Counters) -> dict[int | type[Exception], OnException]:
    """Return what answers each kind of exception, and counts it."""

    def counted(answer: Callable[[AnyRequest, Any], Refused]) -> OnException:
        def handler(request: AnyRequest, error: Any) -> Response[bytes]:
            reason, response = answer(request, error)
            discard(counters, request.scope, reason)  # type: ignore[arg-type]  # Litestar narrows ASGI's types
            return response

        return handler

    return {
        RequestRefused: counted(_on_refused), StoreError: counted(_on_store), HTTPException: counted(_on_http),
        RecursionError: counted(_on_depth), UnicodeDecodeError: counted(_on_octets), Exception: counted(_on_fault),
    }  # fmt: skip


def _on_refused(_request: AnyRequest, refused: RequestRefused) -> Refused:
    headers = {name.decode(): value.decode() for name, value in refused.headers}
    return refused.error, Response(refused.body, status_code=refused.status, headers=headers, media_type=JSON)


def _on_store(request: AnyRequest, error: StoreError) -> Refused:
    _log.warning("the store did not commit", error=str(error), path=request.url.path)
    return _on_refused(request, store_unavailable())


def _on_http(request: AnyRequest, error: HTTPException) -> Refused:
    word = {404: "unknown", 405: "method_not_allowed", 413: "too_large"}.get(error.status_code, "malformed")
    extra = getattr(error, "extra", None)
    detail = f"{error.detail}: {extra}" if extra else error.detail
    refused = RequestRefused(error.status_code, word, detail)
    headers = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    return word, Response(refused.body, status_code=error.status_code, headers=headers, media_type=JSON)


def _on_depth(request: AnyRequest, _error: RecursionError) -> Refused:
    """Answer a body whose decoder gave up: nothing of ours is nested, so that no code of ours recurses."""
    return _on_refused(request, malformed("the body is nested too deeply"))


def _on_octets(request: AnyRequest, error: UnicodeDecodeError) -> Refused:
    """Answer a body that is no text: we decode nothing else that comes from outside."""
    return _on_refused(request, malformed(f"the body is not UTF-8: {error.reason} at octet {error.start}"))


def _on_fault(request: AnyRequest, error: Exception) -> Refused:
    _log.error("a handler failed", path=request.url.path, exc_info=error)
    return _on_refused(request, RequestRefused(500, "internal", "the daemon failed; its log says why"))
