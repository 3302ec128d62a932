"""HTTP digest as SIP switches hand it on: RFC 5090 attributes, and the sub-attributes of draft-sterman-aaa-sip-00.

Pure: the response is computed again from a stored password or HA1 and compared (RFC 2617 section 3.2.2, RFC 2069
where there is no qop). The switch issues and checks the nonce; an algorithm or qop that we do not know proves nothing.
"""

import hmac
from dataclasses import dataclass

from daemon.radius.authenticator import md5
from daemon.radius.packet import Packet, read_tlvs

STERMAN_RESPONSE, STERMAN_ATTRIBUTES, RFC5090_RESPONSE = 206, 207, 103
_STERMAN = ("", "realm", "nonce", "method", "uri", "qop", "algorithm", "body_digest", "cnonce", "nonce_count", "user")
_RFC5090 = {
    104: "realm", 105: "nonce", 108: "method", 109: "uri", 110: "qop", 111: "algorithm", 112: "body_digest",
    113: "cnonce", 114: "nonce_count", 115: "user",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Digest:
    """What a caller answered to a challenge; empty: not stated. A Credential of daemon.authorize.attempt."""

    response: str
    user: str = ""
    realm: str = ""
    nonce: str = ""
    method: str = ""
    uri: str = ""
    qop: str = ""
    algorithm: str = ""
    body_digest: str = ""
    cnonce: str = ""
    nonce_count: str = ""

    def proves(self, password: str, ha1: str) -> bool:
        """Tell whether the response was made with this password or, where it is empty, this HA1."""
        if not password and not ha1:
            return False
        first = _hex(self.user, self.realm, password) if password else ha1.lower()
        expected = response(first, self)
        return expected is not None and hmac.compare_digest(expected.encode(), self.response.lower().encode())


def _hex(*parts: str) -> str:
    return md5(":".join(parts).encode()).hex()


def response(ha1: str, digest: Digest) -> str | None:
    """Return the response that an HA1 gives, in hexadecimal; None for an algorithm or qop that is not known."""
    algorithm, qop = digest.algorithm.lower() or "md5", digest.qop.lower()
    if algorithm not in ("md5", "md5-sess") or qop not in ("", "auth", "auth-int"):
        return None
    if algorithm == "md5-sess":
        ha1 = _hex(ha1, digest.nonce, digest.cnonce)
    parts = [digest.method, digest.uri]
    if qop == "auth-int":
        parts.append(digest.body_digest)
    ha2 = _hex(*parts)
    if not qop:
        return _hex(ha1, digest.nonce, ha2)
    return _hex(ha1, digest.nonce, digest.nonce_count, digest.cnonce, digest.qop, ha2)


def from_packet(packet: Packet) -> Digest | None:
    """Return the digest that an Access-Request carries, or None. One that cannot be read proves nothing."""
    sterman, rfc5090 = packet.first(STERMAN_RESPONSE), packet.first(RFC5090_RESPONSE)
    if sterman is not None:
        return _sterman(packet, _text(sterman))
    if rfc5090 is not None:
        stated = {_RFC5090[key]: _text(value) for key, value in packet.attributes if key in _RFC5090}
        return Digest(_text(rfc5090), **stated)
    return None


def _sterman(packet: Packet, answer: str) -> Digest:
    members = read_tlvs(b"".join(packet.values(STERMAN_ATTRIBUTES)))
    if members is None:
        return Digest("")
    return Digest(answer, **{_STERMAN[kind]: _text(value) for kind, value in members if 0 < kind < len(_STERMAN)})


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
