"""Signatures: what we sign verifies, one changed octet does not, and two signatures are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.radius.authenticator import (
    BLANK_SIGNATURE,
    NO_AUTHENTICATOR,
    chap_is_valid,
    chap_response,
    hide_password,
    request_is_authentic,
    response_is_authentic,
    reveal_password,
    sign_request,
    sign_response,
    signature_is_valid,
)
from daemon.radius.packet import MESSAGE_AUTHENTICATOR, Code, decode, encode

SECRET, ASKED = b"xyzzy5461", bytes(range(16))
SIGNATURE = (MESSAGE_AUTHENTICATOR, NO_AUTHENTICATOR)


@given(st.binary(max_size=128).filter(lambda text: not text.endswith(b"\0")), st.binary(min_size=1, max_size=40))
def test_a_password_is_hidden_and_revealed(password: bytes, secret: bytes) -> None:
    hidden = hide_password(password, secret, ASKED)
    assert len(hidden) % 16 == 0
    assert 16 <= len(hidden) <= 128
    assert reveal_password(hidden, secret, ASKED) == password


def test_a_password_of_another_length_is_none() -> None:
    for size in (0, 15, 17, 129, 144):
        assert reveal_password(bytes(size), SECRET, ASKED) is None
    with pytest.raises(ValueError, match="128 octets"):
        hide_password(bytes(129), SECRET, ASKED)


@pytest.mark.parametrize("code", [Code.ACCESS_REQUEST, Code.STATUS_SERVER, Code.ACCOUNTING_REQUEST, Code.COA_REQUEST])
@pytest.mark.parametrize("place", [0, 1, 4, 19, 24, 40])
def test_a_request_we_sign_verifies_and_a_changed_one_does_not(code: int, place: int) -> None:
    own = NO_AUTHENTICATOR if code in (Code.ACCOUNTING_REQUEST, Code.COA_REQUEST) else ASKED
    data = sign_request(encode(code, 9, own, [SIGNATURE, (44, b"session")]), SECRET)
    packet = decode(data)
    assert signature_is_valid(packet, SECRET)
    assert not signature_is_valid(packet, SECRET + b"x")
    if code in (Code.ACCOUNTING_REQUEST, Code.COA_REQUEST):
        assert request_is_authentic(packet, SECRET)
    changed = bytearray(data)
    changed[place] ^= 1
    if place == 0 and changed[0] not in (Code.ACCESS_REQUEST, Code.STATUS_SERVER):
        assert not request_is_authentic(decode(bytes(changed)), SECRET)
        return
    other = decode(bytes(changed))
    verdict = signature_is_valid(other, SECRET)
    covered = code not in (Code.ACCOUNTING_REQUEST, Code.COA_REQUEST) or place not in range(4, 20)
    assert verdict is not covered or not request_is_authentic(other, SECRET)


def test_a_reply_we_sign_verifies_for_its_request_alone() -> None:
    data = sign_response(encode(2, 9, NO_AUTHENTICATOR, [SIGNATURE, (27, b"\0\0\0\7")]), ASKED, SECRET)
    packet = decode(data)
    assert data[20:22] == BLANK_SIGNATURE[:2]
    assert response_is_authentic(packet, ASKED, SECRET)
    assert signature_is_valid(packet, SECRET, ASKED)
    assert not response_is_authentic(packet, bytes(16), SECRET)
    assert not signature_is_valid(packet, SECRET, bytes(16))
    assert sign_response(encode(2, 9, NO_AUTHENTICATOR, [SIGNATURE, (27, b"\0\0\0\7")]), ASKED, SECRET) == data


def test_two_signatures_or_a_short_one_are_never_right() -> None:
    signed = sign_request(encode(1, 9, ASKED, [SIGNATURE]), SECRET)
    assert signature_is_valid(decode(signed), SECRET)
    two = encode(1, 9, ASKED, [(80, signed[22:38]), (80, signed[22:38])])
    assert signature_is_valid(decode(two), SECRET) is False
    assert signature_is_valid(decode(encode(1, 9, ASKED, [(80, bytes(15))])), SECRET) is False
    assert signature_is_valid(decode(encode(1, 9, ASKED, [(1, b"bob")])), SECRET) is None


def test_zeros_authenticate_no_accounting() -> None:
    assert not request_is_authentic(decode(encode(4, 9, NO_AUTHENTICATOR, [(44, b"x")])), SECRET)


def test_chap_of_another_length_is_wrong() -> None:
    value = chap_response(22, b"hello", ASKED)
    assert chap_is_valid(value, b"hello", ASKED)
    assert not chap_is_valid(value, b"hello", bytes(16))
    assert not chap_is_valid(value[:-1], b"hello", ASKED)
    assert not chap_is_valid(b"", b"", ASKED)
