"""A decision becomes a reply: the same request and decision always give the same octets. Pure.

Message-Authenticator leads every reply to an Access-Request or Status-Server (CVE-2024-3596); Proxy-State is copied
whole and in order, last (RFC 2865 section 5.33). No switch reads all of the limits, so a grant carries each form that
its client may understand: Session-Timeout, h323-credit-time, SIP-AVP, Routing.
"""

from daemon.authorize.decision import Decision, Denied, Granted
from daemon.authorize.denial import H323_RETURN_CODE, H323_ZERO_BALANCE, Denial
from daemon.radius.authenticator import NO_AUTHENTICATOR, sign_response
from daemon.radius.packet import (
    MESSAGE_AUTHENTICATOR,
    PACKET_SIZE_MAX,
    VENDOR_VALUE_SIZE_MAX,
    Attribute,
    Code,
    Packet,
    encode,
    vendor_key,
)
from daemon.radius.profile import Profile

REPLY_MESSAGE, CLASS, SESSION_TIMEOUT, PROXY_STATE, ACCT_INTERIM_INTERVAL, SIP_AVP = 18, 25, 27, 33, 85, 225
AVPAIR, CREDIT_TIME, RETURN_CODE = vendor_key(9, 1), vendor_key(9, 102), vendor_key(9, 103)
PROXY_STATE_SIZE_MAX = 2048  # octets copied into one reply; half a packet, so that the rest always fits
ROUTES_SIZE_MAX = 1536  # octets of Routing lines in one reply; the cheapest carriers come first


def proxy_states(request: Packet) -> list[Attribute] | None:
    """Return the Proxy-State attributes to copy, or None where they would fill the reply."""
    states = [(key, value) for key, value in request.attributes if key == PROXY_STATE]
    return states if sum(len(value) + 2 for _, value in states) <= PROXY_STATE_SIZE_MAX else None


def access_reply(request: Packet, decision: Decision, switch: Profile, interim_seconds: int, secret: bytes) -> bytes:
    """Return the Access-Accept of a grant, or the Access-Reject of a refusal."""
    if isinstance(decision, Denied):
        return _signed(request, Code.ACCESS_REJECT, _refusal(decision, switch), secret)
    return _signed(request, Code.ACCESS_ACCEPT, _grant(decision, switch, interim_seconds), secret)


def accept(request: Packet, secret: bytes) -> bytes:
    """Return an Access-Accept that grants nothing: a REGISTER was authenticated, or Status-Server asks."""
    return _signed(request, Code.ACCESS_ACCEPT, [], secret)


def accounting_response(request: Packet, secret: bytes) -> bytes:
    """Return the acknowledgement of a record (RFC 2866 section 4.2)."""
    data = encode(Code.ACCOUNTING_RESPONSE, request.identifier, NO_AUTHENTICATOR, proxy_states(request) or [])
    return sign_response(data, request.authenticator, secret)


def _signed(request: Packet, code: Code, attributes: list[Attribute], secret: bytes) -> bytes:
    first: Attribute = (MESSAGE_AUTHENTICATOR, NO_AUTHENTICATOR)
    whole = [first, *attributes, *(proxy_states(request) or [])]
    return sign_response(encode(code, request.identifier, NO_AUTHENTICATOR, whole), request.authenticator, secret)


def _integer(key: int, value: int) -> Attribute:
    return key, value.to_bytes(4, "big")


def _cisco(key: int, name: str, value: int, switch: Profile) -> Attribute:
    return key, (f"{name}={value}" if switch.prefixed else str(value)).encode()


def _grant(granted: Granted, switch: Profile, interim_seconds: int) -> list[Attribute]:
    attributes = [_integer(SESSION_TIMEOUT, granted.seconds), _integer(ACCT_INTERIM_INTERVAL, interim_seconds)]
    if granted.grant_id:
        attributes.append((CLASS, granted.grant_id.encode()))
    attributes.append(_cisco(CREDIT_TIME, "h323-credit-time", granted.seconds, switch))
    attributes.append(_cisco(RETURN_CODE, "h323-return-code", 0, switch))
    if switch.sip_avps:
        attributes.append((SIP_AVP, f"tollway_quota_seconds#{granted.seconds}".encode()))
    if switch.routing:
        attributes += _routings(granted)
    return attributes


def _routings(granted: Granted) -> list[Attribute]:
    """Return one Routing line for each carrier that fits, its dial string less the marks that a bridge needs."""
    lines: list[Attribute] = []
    left = ROUTES_SIZE_MAX
    for route in granted.routes:
        target = route.dial.rpartition("]")[2]
        value = f"h323-ivr-in=Routing:{target};credit-time={granted.seconds}".encode()
        left -= len(value) + 8
        if len(value) <= VENDOR_VALUE_SIZE_MAX and left >= 0:
            lines.append((AVPAIR, value))
    return lines


def return_code(denied: Denied) -> int:
    """Return the h323-return-code of a refusal: no balance at all is another code than not enough of it."""
    spent = denied.available is not None and denied.available <= 0
    if denied.denial is Denial.BALANCE_INSUFFICIENT and spent:
        return H323_ZERO_BALANCE
    return H323_RETURN_CODE[denied.denial]


def _refusal(denied: Denied, switch: Profile) -> list[Attribute]:
    word = denied.denial.value
    attributes: list[Attribute] = [(REPLY_MESSAGE, word.encode())]
    attributes.append(_cisco(RETURN_CODE, "h323-return-code", return_code(denied), switch))
    if switch.sip_avps:
        attributes.append((SIP_AVP, f"tollway_reason:{word}".encode()))
    return attributes


assert PROXY_STATE_SIZE_MAX + ROUTES_SIZE_MAX + 512 <= PACKET_SIZE_MAX
