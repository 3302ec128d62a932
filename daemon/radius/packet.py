"""RADIUS packets as bytes and values (RFC 2865 section 3): one strict pass, no socket, no clock, no meaning.

A packet is whole or it is refused: lengths must fill it exactly, and nothing is guessed. Vendor-Specific attributes
of the recommended layout (RFC 2865 section 5.26) are taken apart; any other layout stays raw under type 26.
An attribute's key is its type, or ``vendor << 8 | vendor type``. Errors say whose fault they are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

PACKET_SIZE_MIN, PACKET_SIZE_MAX = 20, 4096  # octets, RFC 2865 section 3
VALUE_SIZE_MAX = 253  # octets of one attribute's value, RFC 2865 section 5
VENDOR_VALUE_SIZE_MAX = 247  # octets: 253 less vendor id, vendor type and vendor length
VENDOR_SPECIFIC = 26
MESSAGE_AUTHENTICATOR = 80
STANDARD_TYPE_MAX = 255


class Code(IntEnum):
    """Packet codes: RFC 2865, 2866, 5997 (Status-Server), 5176 (Disconnect, CoA)."""

    ACCESS_REQUEST = 1
    ACCESS_ACCEPT = 2
    ACCESS_REJECT = 3
    ACCOUNTING_REQUEST = 4
    ACCOUNTING_RESPONSE = 5
    ACCESS_CHALLENGE = 11
    STATUS_SERVER = 12
    DISCONNECT_REQUEST = 40
    DISCONNECT_ACK = 41
    DISCONNECT_NAK = 42
    COA_REQUEST = 43
    COA_ACK = 44
    COA_NAK = 45


class RadiusError(Exception):
    """A packet that cannot be; the subclass says whose fault it is."""


class RemotePacketError(RadiusError):
    """The peer broke a rule of the protocol: discard silently and count (RFC 2865 section 3)."""


class LocalPacketError(RadiusError):
    """We were asked to build what no packet can hold."""


Attribute = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Packet:
    """A well-formed packet. ``data`` is all of it without padding; ``signed_at`` are offsets of attributes 80."""

    code: int
    identifier: int
    authenticator: bytes
    attributes: tuple[Attribute, ...]
    data: bytes
    signed_at: tuple[int, ...] = ()

    def first(self, key: int) -> bytes | None:
        """Return the first value of an attribute, or None."""
        return next((value for known, value in self.attributes if known == key), None)

    def values(self, key: int) -> list[bytes]:
        """Return every value of an attribute, in order."""
        return [value for known, value in self.attributes if known == key]


def vendor_key(vendor: int, number: int) -> int:
    """Return the key of a vendor's attribute."""
    return vendor << 8 | number


def declared_length(data: bytes) -> int:
    """Return the Length field after checking it against the datagram. Raises RemotePacketError."""
    if len(data) < PACKET_SIZE_MIN:
        raise RemotePacketError("datagram shorter than a header")
    length = data[2] << 8 | data[3]
    if length > PACKET_SIZE_MAX:
        raise RemotePacketError("Length field above 4096")
    if length < PACKET_SIZE_MIN:
        raise RemotePacketError("Length field below 20")
    if length > len(data):
        raise RemotePacketError("datagram shorter than its Length field")
    return length


def decode(data: bytes) -> Packet:
    """Return the packet in a datagram; octets after Length are padding. Raises RemotePacketError."""
    length = declared_length(data)
    data = data[:length]
    attributes: list[Attribute] = []
    signed_at: list[int] = []
    at = PACKET_SIZE_MIN
    while at < length:
        if at + 2 > length:
            raise RemotePacketError("attribute overflows packet")
        kind, size = data[at], data[at + 1]
        end = at + size
        if size < 2:
            raise RemotePacketError("attribute length below 2")
        if end > length:
            raise RemotePacketError("attribute overflows packet")
        if kind == VENDOR_SPECIFIC:
            _unfold(data, at + 2, end, attributes)
        elif kind == 0:
            raise RemotePacketError("attribute type 0")
        else:
            attributes.append((kind, data[at + 2 : end]))
            if kind == MESSAGE_AUTHENTICATOR:
                signed_at.append(at)
        at = end
    return Packet(data[0], data[1], data[4:20], tuple(attributes), data, tuple(signed_at))


def _unfold(data: bytes, start: int, end: int, attributes: list[Attribute]) -> None:
    """Append a Vendor-Specific attribute's own attributes, or the whole of it where its layout is another."""
    vendor = int.from_bytes(data[start : start + 4], "big")
    at, known = start + 4, len(attributes)
    while at + 2 <= end and data[at + 1] >= 2 and at + data[at + 1] <= end:
        size = data[at + 1]
        attributes.append((vendor << 8 | data[at], data[at + 2 : at + size]))
        at += size
    if at != end or len(attributes) == known or vendor == 0:
        del attributes[known:]
        attributes.append((VENDOR_SPECIFIC, data[start:end]))


def encode_attribute(key: int, value: bytes) -> bytes:
    """Return an attribute's octets. Raises LocalPacketError where it cannot hold the value."""
    if not 0 < key < 1 << 40:
        raise LocalPacketError(f"there is no attribute {key}")
    if key <= STANDARD_TYPE_MAX:
        if len(value) > VALUE_SIZE_MAX:
            raise LocalPacketError(f"attribute {key} cannot hold {len(value)} octets")
        return bytes((key, len(value) + 2)) + value
    if len(value) > VENDOR_VALUE_SIZE_MAX:
        raise LocalPacketError(f"attribute {key & 255} of vendor {key >> 8} cannot hold {len(value)} octets")
    head = bytes((VENDOR_SPECIFIC, len(value) + 8))
    return head + (key >> 8).to_bytes(4, "big") + bytes((key & 255, len(value) + 2)) + value


def encode(code: int, identifier: int, authenticator: bytes, attributes: Iterable[Attribute]) -> bytes:
    """Return a packet's octets with the authenticator as given. Raises LocalPacketError."""
    if not (0 < code <= 255 and 0 <= identifier <= 255 and len(authenticator) == 16):
        raise LocalPacketError("a header holds a code, an identifier of one octet and 16 octets of authenticator")
    body = b"".join(encode_attribute(key, value) for key, value in attributes)
    length = PACKET_SIZE_MIN + len(body)
    if length > PACKET_SIZE_MAX:
        raise LocalPacketError(f"a packet of {length} octets is above {PACKET_SIZE_MAX}")
    return bytes((code, identifier)) + length.to_bytes(2, "big") + authenticator + body


def read_tlvs(data: bytes) -> list[Attribute] | None:
    """Return the (type, value) pairs that fill ``data`` exactly, or None where they do not."""
    found: list[Attribute] = []
    at = 0
    while at < len(data):
        size = data[at + 1] if at + 2 <= len(data) else 0
        if size < 2 or at + size > len(data):
            return None
        found.append((data[at], data[at + 2 : at + size]))
        at += size
    return found
