"""Every vector is read as it says: names, values, order, signatures; or refused for the reason that it says."""

from typing import Any

import pytest

from daemon.authorize.attempt import PlainPassword
from daemon.radius import digest
from daemon.radius.authenticator import chap_is_valid, reveal_password
from daemon.radius.inspection import decode
from daemon.radius.packet import decode as decode_packet
from daemon.radius.packet import encode
from daemon.radius.question import read_credential
from tests.unit.radius.vectors import BY_ID, DIGESTS, PACKETS, VECTORS, octets

READ = ("well_formed", "code", "id", "length", "authenticator", "attributes")
JUDGED = ("request_authenticator_valid", "response_authenticator_valid", "message_authenticator_valid")


def test_there_are_all_of_them() -> None:
    assert (len(VECTORS), len(PACKETS), len(DIGESTS)) == (64, 60, 4)


@pytest.mark.parametrize("vector", PACKETS, ids=lambda vector: str(vector["id"]))
def test_a_packet_is_read_as_expected(vector: dict[str, Any]) -> None:
    expect = vector["expect"]
    profile = vector.get("dictionary_profile", "generic")
    got = decode(vector["hex"], profile, vector["secret"], vector.get("request_authenticator", ""))
    names = [name for name in READ + JUDGED if name in expect]
    assert {name: got.get(name) for name in names} == {name: expect[name] for name in names}
    assert got["error"] == expect.get("error")


@pytest.mark.parametrize("vector", [v for v in PACKETS if v["expect"]["well_formed"]], ids=lambda v: str(v["id"]))
def test_a_packet_written_again_is_the_same(vector: dict[str, Any]) -> None:
    packet = decode_packet(bytes.fromhex(vector["hex"]))
    assert encode(packet.code, packet.identifier, packet.authenticator, packet.attributes) == packet.data


@pytest.mark.parametrize("vector", DIGESTS, ids=lambda vector: str(vector["id"]))
def test_a_digest_is_computed_and_proves_its_password(vector: dict[str, Any]) -> None:
    given, response = vector["input"], vector["expect"]["response"]
    made = digest.Digest(
        response, user=given["user"], realm=given["realm"], nonce=given["nonce"], method=given["method"],
        uri=given["uri"], qop=given["qop"] or "", algorithm=given["algorithm"], cnonce=given["cnonce"] or "",
        body_digest=given["body_digest"] or "", nonce_count=given["nc"] or "",
    )  # fmt: skip
    assert digest.response(given["ha1"], made) == response
    assert made.proves(given["password"], "")
    assert made.proves("", given["ha1"])
    assert not made.proves("zanzibaR", "")
    assert not made.proves("", "")


@pytest.mark.parametrize(("name", "password"), [("rfc5090-6-req2", "secret"), ("radclient-digest_sterman", "zanzibar")])
def test_a_digest_in_a_packet_proves_its_password(name: str, password: str) -> None:
    vector = BY_ID[name]
    credential = read_credential(decode_packet(octets(name)), vector["secret"].encode())
    assert isinstance(credential, digest.Digest)
    assert credential.proves(password, "")
    assert not credential.proves(password + "x", "")


@pytest.mark.parametrize("algorithm", ["SHA-256", "AKAv1-MD5"])
def test_an_unknown_algorithm_proves_nothing(algorithm: str) -> None:
    made = digest.Digest("0" * 32, "bob", "r", "n", "INVITE", "sip:x", algorithm=algorithm)
    assert digest.response("0" * 32, made) is None
    assert not made.proves("p", "")


def test_passwords_are_revealed() -> None:
    plain = {v["id"]: v["expect"]["password_plain"] for v in PACKETS if "password_plain" in v["expect"] and v["secret"]}
    assert len(plain) >= 3
    for name, password in plain.items():
        packet = decode_packet(octets(name))
        hidden = packet.first(2)
        assert hidden is not None
        assert reveal_password(hidden, BY_ID[name]["secret"].encode(), packet.authenticator) == password.encode()


def test_chap_is_checked_against_the_request_authenticator() -> None:
    packet = decode_packet(octets("radclient-chap"))
    value = packet.first(3)
    assert value is not None
    assert chap_is_valid(value, b"hello", packet.authenticator)
    credential = read_credential(packet, b"testing123")
    assert credential is not None
    assert credential.proves("hello", "")
    assert not credential.proves("hell0", "")
    assert not credential.proves("", "5d41402abc4b2a76b9719d911017c592")


def test_pap_and_a_wrong_length_are_no_credential() -> None:
    for name in ("neg-auth-pap-and-chap", "neg-auth-password-15"):
        credential = read_credential(decode_packet(octets(name)), b"testing123")
        assert credential is not None
        assert not isinstance(credential, PlainPassword)
        assert not credential.proves("", "")
        assert not credential.proves("hello", "")
