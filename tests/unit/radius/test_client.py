"""The client: lines as radclient reads them, requests signed as a switch should, only authentic replies believed."""

import asyncio

import pytest

from daemon.radius.authenticator import chap_is_valid, request_is_authentic, reveal_password, signature_is_valid
from daemon.radius.client import NoReply, build, exchange, parse_pairs, send
from daemon.radius.packet import LocalPacketError, decode
from daemon.radius.reply import accept, accounting_response

pytestmark = pytest.mark.virtual_time

KEY = b"testing123"


def test_lines_become_pairs() -> None:
    lines = [
        'User-Name = "a = b"',
        "",
        "# a remark",
        "Acct-Session-Time=5,",
        'Cisco-AVPair = "h323-call-id=1"',
        'X = "',
    ]
    assert parse_pairs(lines) == [
        ("User-Name", "a = b"), ("Acct-Session-Time", "5"), ("Cisco-AVPair", "h323-call-id=1"), ("X", '"'),
    ]  # fmt: skip
    for line in ("User-Name", "= x"):
        with pytest.raises(LocalPacketError, match="is not Name = value"):
            parse_pairs([line])


def test_a_question_is_signed_first_and_hides_its_password() -> None:
    packet = decode(build(1, [("User-Name", "alice"), ("User-Password", "pässword of two blocks")], KEY, 7))
    assert packet.attributes[0][0] == 80
    assert signature_is_valid(packet, KEY)
    hidden = packet.first(2)
    assert hidden is not None
    assert reveal_password(hidden, KEY, packet.authenticator) == "pässword of two blocks".encode()
    with pytest.raises(LocalPacketError, match="128 octets"):
        build(1, [("User-Password", "x" * 129)], KEY)


def test_chap_is_made_from_the_clear_password() -> None:
    for more, challenge in (([], None), ([("CHAP-Challenge", "0x0102")], b"\1\2")):
        packet = decode(build(1, [("CHAP-Password", "hello"), *more], KEY))
        value = packet.first(3)
        assert value is not None
        assert chap_is_valid(value, b"hello", challenge or packet.authenticator)
    whole = "0x" + "0b" * 17
    assert decode(build(1, [("CHAP-Password", whole)], KEY)).first(3) == bytes.fromhex("0b" * 17)


def test_a_record_carries_its_digest_and_a_signature_where_asked() -> None:
    packet = decode(build(4, [("Acct-Status-Type", "Start")], KEY))
    assert request_is_authentic(packet, KEY)
    assert packet.signed_at == ()
    signed = decode(build(4, [("Acct-Status-Type", "Start"), ("Message-Authenticator", "0x00")], KEY))
    assert request_is_authentic(signed, KEY)
    assert signature_is_valid(signed, KEY)


class _Answering(asyncio.DatagramProtocol):
    """A server that first sends what must not be believed."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.seen: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.seen.append(data)
        if len(self.seen) == 1:
            return  # the first one is lost
        request = decode(data)
        good = accept(request, KEY) if self.code == 2 else accounting_response(request, KEY)
        transport: asyncio.DatagramTransport = self.transport  # type: ignore[assignment]
        wrong_signature = good[:22] + bytes(16) + good[38:] if self.code == 2 else good[:-1]
        for octets in (b"noise", good[:4] + bytes(16) + good[20:], wrong_signature,
                       bytes((good[0], good[1] ^ 1)) + good[2:], good, good):  # fmt: skip
            transport.sendto(octets, addr)


@pytest.mark.parametrize("code", [2, 5])
async def test_it_repeats_the_same_octets_and_believes_only_the_authentic_reply(code: int) -> None:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: _Answering(code), local_addr=("127.0.0.1", 0))
    try:
        address = transport.get_extra_info("sockname")
        request = 1 if code == 2 else 4
        reply = await send(address, KEY.decode(), request, [("User-Name", "x")], timeout=0.2, retries=3, identifier=9)
        assert (reply.code, reply.packet.identifier) == (code, 9)
        assert len(server.seen) == 2
        assert server.seen[0] == server.seen[1]
    finally:
        transport.close()


async def test_nobody_answers() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    address = transport.get_extra_info("sockname")
    with pytest.raises(NoReply, match=r"within 0\.1 s"):
        await exchange(address, build(12, [], KEY), KEY, timeout=0.05, retries=1)
    transport.close()
    await asyncio.sleep(0)
    with pytest.raises(NoReply, match="nobody listens there"):
        await exchange(address, build(12, [], KEY), KEY, timeout=0.5, retries=1)
