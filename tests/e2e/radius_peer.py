"""A RADIUS client of its own for tests from outside: forty lines of RFC 2865 and 2866, sharing no code with the daemon.

A packet is built once and sent as often as wanted: a repeat is the same bytes, as a NAS sends it (RFC 5080, 2.2.1).
"""

import hashlib
import hmac
import os
import struct
from dataclasses import dataclass

USER_NAME, USER_PASSWORD, CALLED, CALLING, CLASS, SESSION_TIMEOUT = 1, 2, 30, 31, 25, 27
STATUS_TYPE, DELAY_TIME, SESSION_ID, SESSION_TIME, MESSAGE_AUTHENTICATOR = 40, 41, 44, 46, 80
START, STOP, INTERIM, ACCOUNTING_ON = 1, 2, 3, 7
ACCESS_REQUEST, ACCESS_ACCEPT, ACCESS_REJECT, ACCOUNTING_REQUEST, ACCOUNTING_RESPONSE = 1, 2, 3, 4, 5


def attribute(kind: int, value: bytes | str | int) -> bytes:
    """Return one attribute: a number takes four octets."""
    octets = struct.pack("!I", value) if isinstance(value, int) else value.encode() if isinstance(value, str) else value
    return bytes((kind, len(octets) + 2)) + octets


def access_request(
    secret: bytes, identifier: int, user: str, password: str, called: str, session: str, calling: str = "15551230001"
) -> bytes:
    """Return an Access-Request with PAP and a Message-Authenticator."""
    authenticator = os.urandom(16)
    padded = password.encode().ljust(16, b"\0")
    assert len(padded) == 16
    mask = hashlib.md5(secret + authenticator).digest()
    hidden = bytes(a ^ b for a, b in zip(padded, mask, strict=True))
    body = (
        attribute(MESSAGE_AUTHENTICATOR, bytes(16)) + attribute(USER_NAME, user) + attribute(USER_PASSWORD, hidden)
        + attribute(CALLED, called) + attribute(CALLING, calling) + attribute(SESSION_ID, session)
    )  # fmt: skip
    head = struct.pack("!BBH", ACCESS_REQUEST, identifier, 20 + len(body)) + authenticator
    mac = hmac.new(secret, head + body, "md5").digest()
    return head + body[:2] + mac + body[18:]


def accounting_request(
    secret: bytes, identifier: int, status: int, session: str, user: str, called: str, seconds: int | None = None,
    delay: int | None = None, calling: str = "15551230001",
) -> bytes:  # fmt: skip
    """Return an Accounting-Request with its authenticator."""
    body = attribute(STATUS_TYPE, status) + attribute(SESSION_ID, session) + attribute(USER_NAME, user)
    body += attribute(CALLED, called) + attribute(CALLING, calling)
    if seconds is not None:
        body += attribute(SESSION_TIME, seconds)
    if delay is not None:
        body += attribute(DELAY_TIME, delay)
    head = struct.pack("!BBH", ACCOUNTING_REQUEST, identifier, 20 + len(body))
    return head + hashlib.md5(head + bytes(16) + body + secret).digest() + body


@dataclass(frozen=True)
class Reply:
    """A reply whose authenticator was right."""

    code: int
    attributes: dict[int, bytes]

    @property
    def session_timeout(self) -> int:
        """The granted seconds."""
        return int.from_bytes(self.attributes[SESSION_TIMEOUT], "big")


def reply(secret: bytes, request: bytes, datagram: bytes) -> Reply:
    """Return what a datagram says. Asserts that it answers this request and was made with the secret."""
    code, identifier, length = struct.unpack("!BBH", datagram[:4])
    assert (identifier, length) == (request[1], len(datagram))
    expected = hashlib.md5(datagram[:4] + request[4:20] + datagram[20:] + secret).digest()
    assert datagram[4:20] == expected, "wrong response authenticator"
    attributes: dict[int, bytes] = {}
    position = 20
    while position < length:
        kind, size = datagram[position], datagram[position + 1]
        attributes[kind] = datagram[position + 2 : position + size]
        position += size
    return Reply(code, attributes)
