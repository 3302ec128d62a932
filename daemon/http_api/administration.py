"""The endpoints that are not asked for each call, as Litestar handlers: lists, accounts, health, metrics.

Health and metrics need no token: they tell a supervisor that the daemon works, and nothing of a tenant.
Ready means that the store can write; links to switches are reported beside it and decide nothing.
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

from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Store, StoreError
from daemon.charging.voucher import RedeemsVouchers
from daemon.http_api.access import BILLING, READ, SWITCH, Tokens, authenticate, permit
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
)
from daemon.http_api.metrics import Metrics
from daemon.http_api.openapi import openapi_config
from daemon.http_api.refusal import Refusal, RequestRefused, store_unavailable
from daemon.http_api.vouchers import VoucherDesk

_log = structlog.get_logger("tollway.http")

Links = Callable[[], Mapping[str, bool]]
AnyRequest = Request[Any, Any, Any]
AnyConnection = ASGIConnection[Any, Any, Any, Any]
JSON = "application/json"
REFUSALS = {
    status: ResponseSpec(Refusal, description=text)
    for status, text in {
        400: "The request breaks the contract", 401: "No token in force", 403: "Not with this role",
        404: "Nothing of that name within the token's tenant", 503: "The store cannot commit; repeat",
    }.items()
}  # fmt: skip


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

    ``journalled`` postpaid grants were given without the store and wait for it.
    """

    ready: bool
    store: str
    links: dict[str, bool]
    journalled: int = 0


class StoreWithPing(Store, Protocol):
    """The store, and whether it can write."""

    async def ping(self) -> None:
        """Write something and commit it. Raises StoreError."""


def application(
    calls: CallDesk, accounts: AccountDesk, tokens: Tokens, metrics: Metrics, store: StoreWithPing, links: Links
) -> Litestar:
    """Return the Litestar application of all endpoints but the per-call ones, whose schema it serves too."""
    handlers = [
        *_call_handlers(calls, tokens),
        *_account_handlers(accounts, tokens),
        *_voucher_handlers(accounts, tokens, store, metrics),
        *_health_handlers(metrics, store, links, calls.ocf),
    ]
    return Litestar(
        route_handlers=handlers,
        openapi_config=openapi_config(),
        exception_handlers={
            RequestRefused: _on_refused, StoreError: _on_store, HTTPException: _on_http, Exception: _on_fault,
        },
        request_max_body_size=BODY_SIZE_MAX,
        logging_config=None,
        debug=False,
    )  # fmt: skip


def _asks_for(tokens: Tokens, *roles: str) -> Guard:
    """Return what looks at the token before anything else of a request is read; handlers find it in the state."""

    def guard(connection: AnyConnection, _handler: BaseRouteHandler) -> None:
        connection.state.token = permit(authenticate(tokens, connection.scope["headers"]), *roles)

    return guard


def _call_handlers(calls: CallDesk, tokens: Tokens) -> list[HTTPRouteHandler]:
    guard = _asks_for(tokens, SWITCH, READ)

    @get("/v1/calls", guards=[guard], responses=REFUSALS, summary="Live calls", tags=["calls"])
    async def live_calls(request: AnyRequest) -> list[LiveCall]:
        """List the open calls in which the token's tenant sells."""
        return await calls.live(request.state.token)

    return [live_calls]


def _account_handlers(accounts: AccountDesk, tokens: Tokens) -> list[HTTPRouteHandler]:
    shows, tops_up = _asks_for(tokens, BILLING, READ), _asks_for(tokens, BILLING)

    async def credited(
        request: AnyRequest, tenant: str, account: str, key: str | None, data: TopUpRequest
    ) -> Response[bytes]:
        reply = await accounts.top_up(request.state.token, tenant, account, key, data)
        return Response(reply, media_type=JSON)

    @get("/v1/accounts/{account:str}", guards=[shows], responses=REFUSALS, summary="One account", tags=["accounts"])
    async def show(request: AnyRequest, account: FromPath[str]) -> AccountReply:
        """Balance, reserved, available and channels in use."""
        return await accounts.show(request.state.token, "", account)

    @get(
        "/v1/accounts/{tenant:str}/{account:str}",
        guards=[shows], responses=REFUSALS, summary="One account below", tags=["accounts"],
    )  # fmt: skip
    async def show_below(request: AnyRequest, tenant: FromPath[str], account: FromPath[str]) -> AccountReply:
        """Show an account of a tenant below."""
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
        guards=[tops_up], responses=TOP_UP_ANSWERS, status_code=200, summary="Top up below", tags=["accounts"],
    )  # fmt: skip
    async def top_up_below(
        request: AnyRequest, data: JSONBody[TopUpRequest], tenant: FromPath[str], account: FromPath[str],
        key: IdempotencyKey = None,
    ) -> Response[bytes]:  # fmt: skip
        """Add money to an account of a tenant below."""
        return await credited(request, tenant, account, key, data)

    return [show, show_below, top_up, top_up_below]


def _voucher_handlers(
    accounts: AccountDesk, tokens: Tokens, store: StoreWithPing, metrics: Metrics
) -> list[HTTPRouteHandler]:
    if not isinstance(store, RedeemsVouchers):
        return []
    desk, redeems = VoucherDesk(store, metrics), _asks_for(tokens, BILLING)

    @post(
        "/v1/accounts/{account:str}/vouchers",
        guards=[redeems], responses=VOUCHER_ANSWERS, status_code=200, summary="Redeem a voucher", tags=["accounts"],
    )  # fmt: skip
    async def redeem(request: AnyRequest, data: JSONBody[VoucherRequest], account: FromPath[str]) -> VoucherReply:
        """Redeem a code, once; the same account again gets the same answer."""
        token = request.state.token
        return await desk.redeem(token, accounts.terms(token, "", account), data)

    @post(
        "/v1/accounts/{tenant:str}/{account:str}/vouchers",
        guards=[redeems], responses=VOUCHER_ANSWERS, status_code=200, summary="Redeem a voucher below",
        tags=["accounts"],
    )  # fmt: skip
    async def redeem_below(
        request: AnyRequest, data: JSONBody[VoucherRequest], tenant: FromPath[str], account: FromPath[str]
    ) -> VoucherReply:
        """Redeem a code for an account of a tenant below."""
        token = request.state.token
        return await desk.redeem(token, accounts.terms(token, tenant, account), data)

    return [redeem, redeem_below]


def _health_handlers(
    metrics: Metrics, store: StoreWithPing, links: Links, ocf: OnlineCharging
) -> list[HTTPRouteHandler]:
    @get("/healthz", summary="Liveness", tags=["health"])
    async def healthz() -> Health:
        """Tell that the daemon answers."""
        return Health(alive=True)

    @get("/readyz", summary="Readiness", tags=["health"])
    async def readyz() -> Response[Readiness]:
        """Tell whether the store can write."""
        try:
            await store.ping()
        except StoreError as error:
            _log.warning("not ready", error=str(error))
            return Response(Readiness(False, "unavailable", dict(links()), ocf.journalled), status_code=503)
        return Response(Readiness(True, "writable", dict(links()), ocf.journalled))

    @get("/metrics", summary="Prometheus", tags=["health"], media_type=metrics.content_type)
    async def figures() -> Response[bytes]:
        """Every figure in Prometheus' text format."""
        return Response(await metrics.render(), media_type=metrics.content_type)

    return [healthz, readyz, figures]


def _on_refused(_request: AnyRequest, refused: RequestRefused) -> Response[bytes]:
    headers = {name.decode(): value.decode() for name, value in refused.headers}
    return Response(refused.body, status_code=refused.status, headers=headers, media_type=JSON)


def _on_store(request: AnyRequest, error: StoreError) -> Response[bytes]:
    _log.warning("the store did not commit", error=str(error), path=request.url.path)
    return _on_refused(request, store_unavailable())


def _on_http(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    word = {404: "unknown", 405: "method_not_allowed", 413: "too_large"}.get(error.status_code, "malformed")
    extra = getattr(error, "extra", None)
    detail = f"{error.detail}: {extra}" if extra else error.detail
    refused = RequestRefused(error.status_code, word, detail)
    headers = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    return Response(refused.body, status_code=error.status_code, headers=headers, media_type=JSON)


def _on_fault(request: AnyRequest, error: Exception) -> Response[bytes]:
    _log.error("a handler failed", path=request.url.path, exc_info=error)
    return _on_refused(request, RequestRefused(500, "internal", "the daemon failed; its log says why"))
