"""Who sent a packet, proved with the shared secret: authenticators, Message-Authenticator, hidden passwords, CHAP.

Pure functions over bytes; every comparison takes a time that tells nothing (hmac.compare_digest).
MD5 is what the protocol has (RFC 2865 section 3); a reply to an Access-Request is signed first of all
(CVE-2024-3596), and a signature that is present is always checked.
"""

import hashlib
import hmac

from daemon.radius.packet import MESSAGE_AUTHENTICATOR, Code, Packet, encode_attribute

NO_AUTHENTICATOR = bytes(16)
PASSWORD_SIZE_MAX = 128  # octets, RFC 2865 section 5.2
CHAP_SIZE = 17  # octets: CHAP ident and 16 octets of response, RFC 2865 section 5.3
SIGNATURE_SIZE = 18  # octets of a whole Message-Authenticator attribute, RFC 2869 section 5.14

# Requests whose authenticator is a digest of their content: RFC 2866 section 3, RFC 5176 section 2.3.
DIGESTED = frozenset({Code.ACCOUNTING_REQUEST, Code.DISCONNECT_REQUEST, Code.COA_REQUEST})
_RANDOM = frozenset({Code.ACCESS_REQUEST, Code.STATUS_SERVER})


def md5(*parts: bytes) -> bytes:
    """Return the MD5 of the parts joined; the protocol's only digest."""
    return hashlib.md5(b"".join(parts), usedforsecurity=False).digest()


def digest_of_request(data: bytes, secret: bytes) -> bytes:
    """Return the Request Authenticator of an accounting or CoA request (RFC 2866 section 3)."""
    return md5(data[:4], NO_AUTHENTICATOR, data[20:], secret)


def request_is_authentic(packet: Packet, secret: bytes) -> bool:
    """Tell whether an accounting or CoA request carries the digest that the secret gives; zeros never do."""
    return hmac.compare_digest(packet.authenticator, digest_of_request(packet.data, secret))


def response_is_authentic(packet: Packet, request_authenticator: bytes, secret: bytes) -> bool:
    """Tell whether a reply belongs to the request with this authenticator (RFC 2865 section 3)."""
    return hmac.compare_digest(packet.authenticator, _response(packet.data, request_authenticator, secret))


def _response(data: bytes, request_authenticator: bytes, secret: bytes) -> bytes:
    return md5(data[:4], request_authenticator, data[20:], secret)


def signed_over(code: int, own: bytes, request_authenticator: bytes | None) -> bytes:
    """Return what stands for the authenticator while a packet's Message-Authenticator is computed."""
    if code in _RANDOM:
        return own  # RFC 3579 section 3.2: the request's own, random one
    if code in DIGESTED or request_authenticator is None:
        return NO_AUTHENTICATOR  # RFC 5176 section 3.4, and accounting alike: it is computed afterwards
    return request_authenticator


def signature(data: bytes, offset: int, over: bytes, secret: bytes) -> bytes:
    """Return the Message-Authenticator of a packet whose attribute 80 begins at ``offset`` (RFC 3579 section 3.2)."""
    blank = data[: offset + 2] + NO_AUTHENTICATOR + data[offset + SIGNATURE_SIZE :]
    return hmac.digest(secret, blank[:4] + over + blank[20:], "md5")


def signature_is_valid(packet: Packet, secret: bytes, request_authenticator: bytes | None = None) -> bool | None:
    """Tell whether the Message-Authenticator is right; None where there is none. Two of them are never right."""
    if not packet.signed_at:
        return None
    offset = packet.signed_at[0]
    if len(packet.signed_at) > 1 or packet.data[offset + 1] != SIGNATURE_SIZE:
        return False
    over = signed_over(packet.code, packet.authenticator, request_authenticator)
    carried = packet.data[offset + 2 : offset + SIGNATURE_SIZE]
    return hmac.compare_digest(carried, signature(packet.data, offset, over, secret))


BLANK_SIGNATURE = encode_attribute(MESSAGE_AUTHENTICATOR, NO_AUTHENTICATOR)


def sign_response(data: bytes, request_authenticator: bytes, secret: bytes) -> bytes:
    """Return a reply with its authenticator, and before that its Message-Authenticator where that one leads."""
    if data[20:38] == BLANK_SIGNATURE:
        over = signed_over(data[0], b"", request_authenticator)
        data = data[:22] + signature(data, 20, over, secret) + data[38:]
    return data[:4] + _response(data, request_authenticator, secret) + data[20:]


def sign_request(data: bytes, secret: bytes) -> bytes:
    """Return a request signed as its code asks: its leading Message-Authenticator, then a digest if it has one."""
    if data[20:38] == BLANK_SIGNATURE:
        over = signed_over(data[0], data[4:20], None)
        data = data[:22] + signature(data, 20, over, secret) + data[38:]
    if data[0] in DIGESTED:
        return data[:4] + digest_of_request(data, secret) + data[20:]
    return data


def hide_password(password: bytes, secret: bytes, authenticator: bytes) -> bytes:
    """Return a User-Password's value (RFC 2865 section 5.2). Raises ValueError above 128 octets."""
    if len(password) > PASSWORD_SIZE_MAX:
        raise ValueError(f"a password has at most {PASSWORD_SIZE_MAX} octets")
    blocks = max(1, -(-len(password) // 16))
    plain = password.ljust(16 * blocks, b"\0")
    hidden, previous = b"", authenticator
    for at in range(0, len(plain), 16):
        previous = _xor(plain[at : at + 16], md5(secret, previous))
        hidden += previous
    return hidden


def reveal_password(hidden: bytes, secret: bytes, authenticator: bytes) -> bytes | None:
    """Return the password less its padding, or None where the value is not 1 to 8 blocks of 16 octets."""
    if not 16 <= len(hidden) <= PASSWORD_SIZE_MAX or len(hidden) % 16:
        return None
    plain, previous = b"", authenticator
    for at in range(0, len(hidden), 16):
        block = hidden[at : at + 16]
        plain += _xor(block, md5(secret, previous))
        previous = block
    return plain.rstrip(b"\0")


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(16, "big")


def chap_response(ident: int, password: bytes, challenge: bytes) -> bytes:
    """Return a CHAP-Password's value (RFC 1994 section 4.1)."""
    head = bytes((ident,))
    return head + md5(head, password, challenge)


def chap_is_valid(value: bytes, password: bytes, challenge: bytes) -> bool:
    """Tell whether a CHAP-Password was made with this password."""
    if len(value) != CHAP_SIZE:
        return False
    return hmac.compare_digest(value, chap_response(value[0], password, challenge))
