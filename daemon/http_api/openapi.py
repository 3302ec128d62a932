"""The OpenAPI document at /schema: Litestar's own endpoints, and the per-call ones with the same msgspec types.

The per-call endpoints are served beside Litestar for speed; what they take and give is declared here from the very
types that decode and encode them, so that the document cannot drift from the bytes.
"""

from typing import Any

import msgspec
from litestar import Request
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

import daemon
from daemon.http_api.messages import (
    AnswerRequest,
    AuthorizeReply,
    AuthorizeRequest,
    CallReply,
    CutReply,
    EndReply,
    EndRequest,
    UpdateRequest,
)
from daemon.http_api.refusal import Refusal

TYPES = (
    AuthorizeRequest, AuthorizeReply, AnswerRequest, UpdateRequest, EndRequest, CallReply, EndReply, CutReply, Refusal,
)  # fmt: skip
STATUSES = {
    "400": "The request breaks the contract", "401": "No token in force", "403": "Not with this role",
    "413": "The body is too large", "429": "Too many requests in this second",
    "503": "The store cannot commit, or too much is in flight; repeat",
}  # fmt: skip
OPEN = frozenset({"/healthz", "/readyz", "/metrics"})  # a supervisor's, and what it sees is decided by where it is
CALL_STATUSES = {
    **STATUSES,
    "404": "No such call within the token's tenant",
    "409": "The same report came before with another body",
}


def openapi_config() -> OpenAPIConfig:
    """Return Litestar's configuration of the document; it loads nothing from elsewhere."""
    return OpenAPIConfig(
        title="Tollway",
        version=getattr(daemon, "__version__", "0.1.0"),
        description="Real-time rating and charging for telephone switches. Money is a decimal text, a time RFC 3339.",
        path="/schema",
        render_plugins=[WholeDocument(path=["/", "/openapi.json"], media_type=_JSON)],
        components=Components(security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"bearer": []}],
    )


_JSON: Any = "application/json"


class WholeDocument(JsonRenderPlugin):
    """Renders Litestar's document with the per-call endpoints added."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the document as JSON."""
        return self.render_json(request, whole(openapi_schema))


def whole(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document with the per-call endpoints and their types added."""
    components = dict(document.get("components", {}))
    components["schemas"] = {**components.get("schemas", {}), **_schemas()}
    paths = {path: _open(item) if path in OPEN else item for path, item in document["paths"].items()}
    return {**document, "paths": {**paths, **_paths()}, "components": components}


def _open(item: dict[str, Any]) -> dict[str, Any]:
    """Return a path that needs no token: Litestar leaves an empty list of securities out, which would ask for one."""
    return {method: {**operation, "security": []} for method, operation in item.items()}


def _schemas() -> dict[str, Any]:
    return msgspec.json.schema_components(TYPES, ref_template="#/components/schemas/{name}")[1]


def _content(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _operation(
    summary: str, request: str, reply: str, statuses: dict[str, str], parameters: list[dict[str, Any]]
) -> dict[str, Any]:
    refusals = {
        status: {"description": text, "content": _content(Refusal.__name__)} for status, text in statuses.items()
    }
    operation = {
        "summary": summary, "tags": ["calls"], "operationId": "".join(summary.title().split()),
        "parameters": parameters,
        "responses": {"200": {"description": "Answered", "content": _content(reply)}, **refusals},
    }  # fmt: skip
    if request:
        operation["requestBody"] = {"required": True, "content": _content(request)}
    return operation


def _paths() -> dict[str, Any]:
    call_id = {"name": "call_id", "in": "path", "required": True, "schema": {"type": "string", "maxLength": 253}}
    explain = {"name": "explain", "in": "query", "required": False, "schema": {"type": "boolean", "default": False}}
    grant = {"name": "grant_id", "in": "query", "required": False, "schema": {"type": "string"}}
    reports = (
        ("answer", "Report an answer", "AnswerRequest", "CallReply"),
        ("update", "Report a sign of life and renew", "UpdateRequest", "CallReply"),
        ("end", "Report an end", "EndRequest", "EndReply"),
    )
    paths: dict[str, Any] = {
        "/v1/authorize": {
            "post": _operation("Ask whether a call may proceed", "AuthorizeRequest", "AuthorizeReply",
                               {**STATUSES, "409": "The same question came before with another body"}, [explain])
        },
        "/v1/calls/{call_id}": {
            "delete": _operation("Cut a call", "", "CutReply", CALL_STATUSES, [call_id, grant])
        },
    }  # fmt: skip
    for name, summary, request, reply in reports:
        operation = _operation(summary, request, reply, CALL_STATUSES, [call_id])
        paths[f"/v1/calls/{{call_id}}/{name}"] = {"post": operation}
    return paths
