"""Who asks: a bearer token names a tenant and a role; it may name that tenant and its descendants, and nothing else.

Tokens are known by the SHA-256 of their text alone. The text never meets a comparison that stops at a difference.
A foreign thing is answered like one that does not exist. Nobody asks more often than he may, but for an emergency:
who is over his limit is told so with the token that he showed, and whoever reads the question decides.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from typing import Any

import structlog

from daemon.charging.configuration import TokenSpec
from daemon.charging.ports import Counters
from daemon.http_api.refusal import CHALLENGE, RETRY, RequestRefused
from daemon.kernel.instant import SECOND, Instant

TOKEN_LENGTH_MAX = 256  # octets of a token's text; ours are shorter, and nothing longer is hashed
NAMES_MAX = 4096  # tokens or peers told apart in one second, or in one minute's log; the others share one count
LOG_SECONDS = 60  # seconds; one line a peer in as long, however often it tries
SWITCH, BILLING, READ = "switch", "billing", "read"
LOOPBACK, TOKEN, OPEN = "loopback", "token", "open"  # who may see the operator's figures without the owner's token
FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})  # a proxy speaks for somebody else
ELSE = "\0"  # the name of all that are beyond NAMES_MAX; no token or peer has it

Tokens = Callable[[], Mapping[str, TokenSpec]]  # by the SHA-256 of the text, in hexadecimal
RawHeaders = Iterable[tuple[bytes, bytes]]
Request = Mapping[str, Any]  # an ASGI scope

_log = structlog.get_logger("tollway.http")


class Unauthenticated(RequestRefused):
    """Nobody asks (401); ``reason`` is absent, malformed, unknown or expired, for whoever counts."""

    def __init__(self, reason: str, detail: str) -> None:
        """Take the reason and what the client is told."""
        super().__init__(401, "unauthenticated", detail, CHALLENGE)
        self.reason = reason


class TooMany(RequestRefused):
    """A known token asks too often (429)."""

    def __init__(self, token: TokenSpec, whose: str, limit: int) -> None:
        """Keep the token: an emergency call is asked for all the same."""
        super().__init__(429, "too_many", f"more than {limit} requests a second of this {whose}; repeat later", RETRY)
        self.token = token


def authenticate(tokens: Tokens, headers: RawHeaders, now: Instant = 0) -> TokenSpec:
    """Return the token of a request. Raises Unauthenticated where there is none, or one that is not in force."""
    presented = [value for name, value in headers if name == b"authorization"]
    if len(presented) != 1:
        raise Unauthenticated("absent", "state one header Authorization: Bearer TOKEN")
    scheme, _, text = presented[0].partition(b" ")
    text = text.strip()
    if scheme.lower() != b"bearer" or not 0 < len(text) <= TOKEN_LENGTH_MAX:
        raise Unauthenticated("malformed", "the header is not Authorization: Bearer TOKEN")
    digest = hashlib.sha256(text).hexdigest()
    found = tokens().get(digest)
    if found is None or not hmac.compare_digest(found.sha256, digest) or found.revoked:
        raise Unauthenticated("unknown", "no token in force has this text")
    if found.expires_at is not None and found.expires_at <= now:
        raise Unauthenticated("expired", "no token in force has this text")
    return found


def permit(token: TokenSpec, *roles: str) -> TokenSpec:
    """Return the token where its role is one of ``roles``. Raises RequestRefused (403)."""
    if token.role not in roles:
        asked = " or ".join(roles)
        raise RequestRefused(403, "forbidden", f"this needs a token of role {asked}; the role is {token.role}")
    return token


class Counted:
    """How often each name came in the present period; a new period begins with nothing."""

    def __init__(self) -> None:
        """Count nothing yet."""
        self._period = -1
        self._times: dict[str, int] = {}

    def add(self, name: str, period: int) -> int:
        """Return how often a name has come in a period, this time included."""
        if period != self._period:
            self._period, self._times = period, {}
        if name not in self._times and len(self._times) >= NAMES_MAX:
            name = ELSE
        self._times[name] = times = self._times.get(name, 0) + 1
        return times


class Door:
    """Admits requests by token, role and number. The limits are requests a second; 0: none."""

    def __init__(
        self, tokens: Tokens, now: Callable[[], Instant], counters: Counters, owner: Callable[[], str],
        *, token_limit: int = 0, peer_limit: int = 0, figures: str = LOOPBACK,
    ) -> None:  # fmt: skip
        """Bind the parts; ``owner`` names the uppermost tenant, ``figures`` who sees its figures without a token."""
        self._tokens = tokens
        self._now = now
        self._counters = counters
        self._owner = owner
        self._token_limit = token_limit
        self._peer_limit = peer_limit
        self._figures = figures
        self._by_token, self._by_peer, self._refused = Counted(), Counted(), Counted()

    def limit(self, token_limit: int, peer_limit: int, figures: str) -> None:
        """Hold these limits from the next request on; what came in the present second is still counted."""
        self._token_limit, self._peer_limit, self._figures = token_limit, peer_limit, figures

    def admit(self, scope: Request, *roles: str) -> TokenSpec:
        """Return the token of a request. Raises Unauthenticated, RequestRefused (403, 429), TooMany."""
        now, peer = self._now(), _peer(scope)
        crowded = bool(self._peer_limit) and self._by_peer.add(peer, now // SECOND) > self._peer_limit
        try:
            token = permit(authenticate(self._tokens, scope["headers"], now), *roles)
        except RequestRefused as refused:
            self._note(refused, peer, now)
            if crowded:
                raise RequestRefused(429, "too_many", "too many requests of this peer; repeat later", RETRY) from None
            raise
        if crowded:
            raise TooMany(token, "peer", self._peer_limit)
        name = f"{token.tenant}/{token.id}"
        if self._token_limit and self._by_token.add(name, now // SECOND) > self._token_limit:
            raise TooMany(token, "token", self._token_limit)
        return token

    def _note(self, refused: RequestRefused, peer: str, now: Instant) -> None:
        """Count a refused token, and log it once a minute for each peer: never what was shown."""
        reason = refused.reason if isinstance(refused, Unauthenticated) else "role"
        self._counters.count("tollway_tokens_refused_total", reason=reason)
        if self._refused.add(peer, now // (LOG_SECONDS * SECOND)) == 1:
            _log.warning("a token was refused", peer=peer, reason=reason)

    def admit_operator(self, scope: Request) -> None:
        """Let whoever may see the daemon's own figures pass. Raises Unauthenticated, RequestRefused (403, 429)."""
        if self.is_operator(scope):
            return
        token = self.admit(scope, READ)
        if token.tenant != self._owner():
            raise RequestRefused(403, "forbidden", "these are figures of the whole daemon: the owner's token sees them")

    def is_operator(self, scope: Request) -> bool:
        """Tell whether a peer sees the daemon's own figures without a token."""
        if self._figures != LOOPBACK:
            return self._figures == OPEN
        forwarded = any(name in FORWARDED for name, _ in scope["headers"])
        return not forwarded and _is_loopback(_peer(scope))


def _peer(scope: Request) -> str:
    """Return the address that a request came from, empty where the listener knows none."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _is_loopback(peer: str) -> bool:
    try:
        return ip_address(peer).is_loopback
    except ValueError:
        return False
