"""Who asks: a bearer token names a tenant and a role; it may name that tenant and its descendants, and nothing else.

Tokens are known by the SHA-256 of their text alone. The text never meets a comparison that stops at a difference.
A foreign thing is answered like one that does not exist.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping

from daemon.charging.configuration import TokenSpec
from daemon.http_api.refusal import CHALLENGE, RequestRefused

TOKEN_LENGTH_MAX = 256  # octets of a token's text; ours are shorter, and nothing longer is hashed
SWITCH, BILLING, READ = "switch", "billing", "read"

Tokens = Callable[[], Mapping[str, TokenSpec]]  # by the SHA-256 of the text, in hexadecimal
RawHeaders = Iterable[tuple[bytes, bytes]]


def authenticate(tokens: Tokens, headers: RawHeaders) -> TokenSpec:
    """Return the token of a request. Raises RequestRefused (401) where there is none, or one that is not in force."""
    presented = [value for name, value in headers if name == b"authorization"]
    if len(presented) != 1:
        raise RequestRefused(401, "unauthenticated", "state one header Authorization: Bearer TOKEN", CHALLENGE)
    scheme, _, text = presented[0].partition(b" ")
    text = text.strip()
    if scheme.lower() != b"bearer" or not 0 < len(text) <= TOKEN_LENGTH_MAX:
        raise RequestRefused(401, "unauthenticated", "the header is not Authorization: Bearer TOKEN", CHALLENGE)
    digest = hashlib.sha256(text).hexdigest()
    found = tokens().get(digest)
    if found is None or not hmac.compare_digest(found.sha256, digest) or found.revoked:
        raise RequestRefused(401, "unauthenticated", "no token in force has this text", CHALLENGE)
    return found


def permit(token: TokenSpec, *roles: str) -> TokenSpec:
    """Return the token where its role is one of ``roles``. Raises RequestRefused (403)."""
    if token.role not in roles:
        asked = " or ".join(roles)
        raise RequestRefused(403, "forbidden", f"this needs a token of role {asked}; the role is {token.role}")
    return token
