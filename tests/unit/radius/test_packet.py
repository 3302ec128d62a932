"""The codec: what is written is read again, and what breaks a rule is refused with the rule's name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.radius.packet import (
    PACKET_SIZE_MAX,
    LocalPacketError,
    RemotePacketError,
    decode,
    encode,
    encode_attribute,
    read_tlvs,
    vendor_key,
)

AUTHENTICATOR = bytes(range(16))
_standard = st.tuples(st.integers(1, 255).filter(lambda key: key != 26), st.binary(max_size=253))
_vendors = st.tuples(st.builds(vendor_key, st.integers(1, (1 << 32) - 1), st.integers(0, 255)), st.binary(max_size=247))
_attributes = st.lists(_standard | _vendors, max_size=12)


def _packet(body: bytes, length: int | None = None) -> bytes:
    size = 20 + len(body) if length is None else length
    return bytes((1, 7)) + size.to_bytes(2, "big") + AUTHENTICATOR + body


@given(st.integers(1, 255), st.integers(0, 255), _attributes, st.binary(max_size=40))
def test_what_is_written_is_read_again(
    code: int, identifier: int, attributes: list[tuple[int, bytes]], padding: bytes
) -> None:
    data = encode(code, identifier, AUTHENTICATOR, attributes)
    packet = decode(data + padding)
    assert (packet.code, packet.identifier, packet.authenticator) == (code, identifier, AUTHENTICATOR)
    assert list(packet.attributes) == attributes
    assert packet.data == data


@given(st.binary(max_size=300))
def test_any_octets_are_read_whole_or_refused(data: bytes) -> None:
    try:
        packet = decode(data)
    except RemotePacketError:
        return
    assert encode(packet.code, packet.identifier, packet.authenticator, packet.attributes) if packet.code else True
    assert packet.data == data[: len(packet.data)]


@given(_attributes, st.integers(0, 20), st.integers(0, 255))
def test_one_octet_changed_never_crashes_and_never_loses_octets(
    attributes: list[tuple[int, bytes]], place: int, value: int
) -> None:
    data = bytearray(encode(1, 1, AUTHENTICATOR, attributes))
    at = 20 + place
    if at >= len(data):
        return
    data[at] = value
    try:
        packet = decode(bytes(data))
    except RemotePacketError:
        return
    carried = sum(len(encode_attribute(key, octets)) for key, octets in packet.attributes)
    folded = sum(6 for key, _ in packet.attributes if key > 255)
    assert carried - folded <= len(data) - 20 <= carried


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "datagram shorter than a header"),
        (_packet(b"")[:19], "datagram shorter than a header"),
        (_packet(b"", 19), "Length field below 20"),
        (_packet(b"", 4097), "Length field above 4096"),
        (_packet(b"", 21), "datagram shorter than its Length field"),
        (_packet(b"\x00\x02"), "attribute type 0"),
        (_packet(b"\x01\x01"), "attribute length below 2"),
        (_packet(b"\x01\x00"), "attribute length below 2"),
        (_packet(b"\x01\x03"), "attribute overflows packet"),
        (_packet(b"\x01\x02\x01"), "attribute overflows packet"),
    ],
)
def test_a_broken_packet_says_which_rule_it_breaks(data: bytes, why: str) -> None:
    with pytest.raises(RemotePacketError, match=f"^{why}$"):
        decode(data)


@pytest.mark.parametrize(
    "inner",
    [
        b"",
        b"\x00\x00\x00",
        b"\x00\x00\x00\x09",
        b"\x00\x00\x00\x09\x01",
        b"\x00\x00\x00\x09\x01\x01",
        b"\x00\x00\x00\x09\x01\x05ab",
        b"\x00\x00\x00\x09\x01\x03ab",
        b"\x00\x00\x00\x00\x01\x03a",
    ],
)
def test_another_vendor_layout_stays_raw(inner: bytes) -> None:
    packet = decode(_packet(bytes((26, len(inner) + 2)) + inner))
    assert packet.attributes == ((26, inner),)


def test_several_vendor_attributes_in_one_are_taken_apart() -> None:
    inner = b"\x00\x00\x00\x09" + b"\x01\x03a" + b"\x66\x02" + b"\x18\x05xyz"
    packet = decode(_packet(bytes((26, len(inner) + 2)) + inner))
    assert packet.attributes == (
        (vendor_key(9, 1), b"a"),
        (vendor_key(9, 102), b""),
        (vendor_key(9, 24), b"xyz"),
    )
    assert packet.first(vendor_key(9, 24)) == b"xyz"
    assert packet.first(vendor_key(9, 25)) is None


@pytest.mark.parametrize(
    ("key", "value"), [(0, b""), (1, bytes(254)), (vendor_key(9, 1), bytes(248)), (1 << 40, b""), (-1, b"")]
)
def test_what_no_attribute_can_hold_is_our_fault(key: int, value: bytes) -> None:
    with pytest.raises(LocalPacketError):
        encode(1, 1, AUTHENTICATOR, [(key, value)])


def test_what_no_packet_can_hold_is_our_fault() -> None:
    assert len(encode(1, 1, AUTHENTICATOR, [(1, bytes(252))] * 15 + [(1, bytes(254 - 2 - 10))])) <= PACKET_SIZE_MAX
    with pytest.raises(LocalPacketError, match="above 4096"):
        encode(1, 1, AUTHENTICATOR, [(1, bytes(253))] * 16)
    for code, identifier, authenticator in ((0, 1, AUTHENTICATOR), (1, 256, AUTHENTICATOR), (1, 1, b"short")):
        with pytest.raises(LocalPacketError):
            encode(code, identifier, authenticator, [])


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=20)), max_size=5))
def test_tlvs_fill_their_octets_or_are_none(members: list[tuple[int, bytes]]) -> None:
    data = b"".join(bytes((kind, len(value) + 2)) + value for kind, value in members)
    assert read_tlvs(data) == members
    assert read_tlvs(data + b"\x01") is None
    assert read_tlvs(data + b"\x01\x01") is None
