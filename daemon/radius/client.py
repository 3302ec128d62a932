"""A RADIUS client for one request at a time: as a switch would ask, and as radclient prints.

Names and values are those of a profile's dictionary. An Access-Request is signed first of all (CVE-2024-3596); a
retransmission is the same octets. A reply is believed only when it is authentic.
"""

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from daemon.radius import authenticator
from daemon.radius.dictionary import Shown, dictionary
from daemon.radius.inspection import shown_attributes
from daemon.radius.packet import (
    MESSAGE_AUTHENTICATOR,
    Attribute,
    Code,
    LocalPacketError,
    Packet,
    RadiusError,
    RemotePacketError,
    decode,
    encode,
)

USER_PASSWORD, CHAP_PASSWORD, CHAP_CHALLENGE = 2, 3, 60
_SIGNED = frozenset({Code.ACCESS_REQUEST, Code.STATUS_SERVER})
_SAMPLE_IDENTIFIERS = 256


class NoReply(RadiusError):
    """Nobody answered in time, or only packets that are not authentic came."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An authentic reply; ``attributes`` are ``[name, value]`` in order."""

    packet: Packet
    attributes: list[list[Shown]]

    @property
    def code(self) -> int:
        """The packet's code."""
        return self.packet.code

    def values(self, name: str) -> list[Shown]:
        """Return the values of an attribute by its name."""
        return [value for known, value in self.attributes if known == name]


def parse_pairs(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs in ``Name = value`` lines, as radclient reads them: quotes are optional, ``#`` begins a remark.

    Raises LocalPacketError for a line that is no pair.
    """
    pairs = []
    for line in lines:
        written = line.strip().rstrip(",")
        if not written or written.startswith("#"):
            continue
        name, equals, value = written.partition("=")
        if not equals or not name.strip():
            raise LocalPacketError(f"{written!r} is not Name = value")
        value = value.strip()
        pairs.append((name.strip(), value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value))
    return pairs


def build(
    code: int, attributes: Iterable[tuple[str, str]], secret: bytes, identifier: int | None = None,
    profile: str = "generic", request_authenticator: bytes | None = None,
) -> bytes:  # fmt: skip
    """Return a signed request. Raises LocalPacketError for an unknown name or a value that does not fit."""
    number = secrets.randbelow(_SAMPLE_IDENTIFIERS) if identifier is None else identifier
    random = request_authenticator if request_authenticator is not None else secrets.token_bytes(16)
    over = authenticator.NO_AUTHENTICATOR if code in authenticator.DIGESTED else random
    book = dictionary(profile, code)
    written = [book.written(name, value) for name, value in attributes]
    body = [_sealed(key, value, written, secret, over) for key, value in written if key != MESSAGE_AUTHENTICATOR]
    if code in _SIGNED or any(key == MESSAGE_AUTHENTICATOR for key, _ in written):
        body.insert(0, (MESSAGE_AUTHENTICATOR, authenticator.NO_AUTHENTICATOR))
    return authenticator.sign_request(encode(code, number, over, body), secret)


def _sealed(key: int, value: bytes, written: list[Attribute], secret: bytes, over: bytes) -> Attribute:
    if key == USER_PASSWORD:
        try:
            return key, authenticator.hide_password(value, secret, over)
        except ValueError as error:
            raise LocalPacketError(f"User-Password: {error}") from None
    if key == CHAP_PASSWORD and len(value) != authenticator.CHAP_SIZE:
        challenge = next((stated for known, stated in written if known == CHAP_CHALLENGE), over)
        return key, authenticator.chap_response(secrets.randbelow(_SAMPLE_IDENTIFIERS), value, challenge)
    return key, value


class _Waiting(asyncio.DatagramProtocol):
    """Waits for the one reply that answers the request."""

    def __init__(self, request: bytes, secret: bytes) -> None:
        self.request = request
        self.secret = secret
        self.answered: asyncio.Future[Packet] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            packet = decode(data)
        except RemotePacketError:
            return
        if not self.answered.done() and packet.identifier == self.request[1] and self._is_authentic(packet):
            self.answered.set_result(packet)

    def _is_authentic(self, packet: Packet) -> bool:
        asked = self.request[4:20]
        signed = authenticator.signature_is_valid(packet, self.secret, asked)
        return signed is not False and authenticator.response_is_authentic(packet, asked, self.secret)

    def error_received(self, exc: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(NoReply(f"nobody listens there: {exc}"))


async def send(
    server: tuple[str, int], secret: str, code: int, attributes: Iterable[tuple[str, str]],
    timeout: float = 3.0,  # noqa: ASYNC109 - of each sending, not of the whole
    retries: int = 3, identifier: int | None = None, profile: str = "generic",
) -> Reply:  # fmt: skip
    """Send one request and return its reply; ``timeout`` is in seconds for each of ``retries`` + 1 sendings.

    Raises LocalPacketError for a request that cannot be built, NoReply, and OSError for an address that cannot be used.
    """
    key = secret.encode()
    request = build(code, attributes, key, identifier, profile)
    packet = await exchange(server, request, key, timeout, retries)
    return Reply(packet, shown_attributes(packet, profile, None))


async def exchange(
    server: tuple[str, int], request: bytes, secret: bytes,
    timeout: float = 3.0,  # noqa: ASYNC109 - of each sending, not of the whole
    retries: int = 3,
) -> Packet:  # fmt: skip
    """Send a request's octets as they are, again after each ``timeout`` seconds, and return the authentic reply."""
    loop = asyncio.get_running_loop()
    transport, waiting = await loop.create_datagram_endpoint(lambda: _Waiting(request, secret), remote_addr=server)
    try:
        for _ in range(retries + 1):
            transport.sendto(request)
            done, _pending = await asyncio.wait([waiting.answered], timeout=timeout)
            if done:
                return waiting.answered.result()
        raise NoReply(f"no reply from {server[0]}:{server[1]} within {timeout * (retries + 1):g} s")
    finally:
        waiting.answered.cancel()
        transport.close()
