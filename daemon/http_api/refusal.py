"""A request that could not be understood, allowed or stored: an HTTP status, one word of ours, and how to mend it.

A refused call is none of these: it is an answer like any other, with status 200. Whose fault it is stands in the
status: 4xx the client's, 5xx ours, and then with the seconds after which trying again may help.
"""

import msgspec

RETRY_AFTER_SECONDS = 1  # seconds; a batch of the store takes milliseconds, so whoever waits longer waits in vain

Headers = tuple[tuple[bytes, bytes], ...]
RETRY: Headers = ((b"retry-after", str(RETRY_AFTER_SECONDS).encode()),)
CHALLENGE: Headers = ((b"www-authenticate", b'Bearer realm="tollway"'),)  # RFC 6750 section 3


class Refusal(msgspec.Struct, frozen=True):
    """The body of every 4xx and 5xx. ``error`` is a word for programs, ``detail`` a sentence for people."""

    error: str
    detail: str


class RequestRefused(Exception):
    """Ends the handling of a request with a status, and is never a refusal of a call."""

    def __init__(self, status: int, error: str, detail: str, headers: Headers = ()) -> None:
        """Keep what the client is to be told."""
        super().__init__(f"{status} {error}: {detail}")
        self.status = status
        self.body = msgspec.json.encode(Refusal(error, detail))
        self.error = error
        self.headers = headers


def malformed(detail: str) -> RequestRefused:
    """Return the refusal of a request that breaks the contract."""
    return RequestRefused(400, "malformed", detail)


def unknown(what: str) -> RequestRefused:
    """Return the refusal that does not tell a foreign thing from one that does not exist."""
    return RequestRefused(404, "unknown", f"there is no such {what} within the token's tenant")


def conflict(detail: str) -> RequestRefused:
    """Return the refusal of a key that was answered before with another body."""
    return RequestRefused(409, "conflict", detail)


def store_unavailable() -> RequestRefused:
    """Return the refusal of what could not be committed; nothing of it happened, or a repeat will tell what did."""
    return RequestRefused(503, "store_unavailable", "the store cannot commit now; repeat the same request", RETRY)


def overloaded() -> RequestRefused:
    """Return the refusal of a request above the limit of those in flight."""
    return RequestRefused(503, "overloaded", "too many requests are in flight; repeat the same request", RETRY)
