"""Dictionaries: one number has one name for each kind of client and packet; a value that does not fit is shown raw."""

import pytest

from daemon.radius.dictionary import PROFILES, canonical, dictionary, read_dictionary
from daemon.radius.inspection import decode
from daemon.radius.packet import Code, LocalPacketError, vendor_key
from daemon.radius.profile import TABLE

SESSION_TIME = b"\0\0\0\5"


@pytest.mark.parametrize(
    ("profile", "code", "key", "name"),
    [
        ("generic", 1, 206, "Digest-Response"),
        ("generic", 4, 206, "raw.206"),
        ("opensips", 4, 206, "Sip-From-Tag"),
        ("opensips", 4, 204, "Sip-Method"),
        ("opensips", 1, 207, "Digest-Attributes"),
        ("kamailio", 4, 101, "Sip-Method"),
        ("kamailio", 4, 105, "Sip-From-Tag"),
        ("kamailio", 1, 103, "Digest-Response"),
        ("kamailio", 2, 225, "SIP-AVP"),
        ("generic", 4, 101, "Error-Cause"),
        ("generic", 4, vendor_key(22736, 113), "Asterisk-Duration"),
        ("generic", 4, vendor_key(27880, 24), "Freeswitch-Direction"),
        ("generic", 4, vendor_key(6618, 24), "Quintum-h323-conf-id"),
        ("audiocodes", 4, vendor_key(4923, 30), "AudioCodes-4923-h323-disconnect-cause"),
        ("generic", 4, vendor_key(311, 11), "raw.26"),
    ],
)
def test_a_number_means_what_the_client_and_the_packet_say(profile: str, code: int, key: int, name: str) -> None:
    assert dictionary(profile, code).shown(key, SESSION_TIME)[0] == name


def test_profiles_are_those_of_the_configuration() -> None:
    assert tuple(TABLE) == PROFILES
    assert canonical("sip-101") == "kamailio"
    with pytest.raises(ValueError, match="'cisko' is no profile"):
        dictionary("cisko", 1)
    with pytest.raises(ValueError, match="no profile"):
        decode("00", "cisko")


def test_values_are_shown_by_their_type_or_raw() -> None:
    book = dictionary("generic", Code.ACCESS_REQUEST)
    assert book.shown(4, bytes((192, 0, 2, 1))) == ("NAS-IP-Address", "192.0.2.1")
    assert book.shown(4, b"\1\2\3") == ("NAS-IP-Address", "0x010203")
    assert book.shown(95, bytes(15) + b"\1") == ("NAS-IPv6-Address", "::1")
    assert book.shown(46, b"\1\2\3") == ("Acct-Session-Time", "0x010203")
    assert book.shown(25, b"\1") == ("Class", "0x01")
    assert book.shown(207, b"\1\5abc\x63\3x") == ("Digest-Attributes", [["Realm", "abc"], ["raw.99", "x"]])
    assert book.shown(207, b"\1\1") == ("Digest-Attributes", "0x0101")
    assert book.shown(vendor_key(311, 11), b"\1") == ("raw.26", "0x000001370b0301")
    assert book.shown(250, b"\1") == ("raw.250", "0x01")


def test_values_are_written_by_their_type() -> None:
    book = dictionary("generic", Code.ACCOUNTING_REQUEST)
    assert book.written("acct-status-type", "Interim-Update") == (40, b"\0\0\0\3")
    assert book.written("Acct-Status-Type", "alive") == (40, b"\0\0\0\3")
    assert book.written("Acct-Session-Time", "5") == (46, SESSION_TIME)
    assert book.written("NAS-IP-Address", "192.0.2.1") == (4, bytes((192, 0, 2, 1)))
    assert book.written("NAS-IPv6-Address", "::1") == (95, bytes(15) + b"\1")
    assert book.written("Class", "0xdeadbeef") == (25, b"\xde\xad\xbe\xef")
    assert book.written("Class", "text") == (25, b"text")
    assert book.written("User-Name", "zoë") == (1, "zoë".encode())
    assert book.written("Cisco-AVPair", "a=b") == (vendor_key(9, 1), b"a=b")
    assert book.written("raw.200", "0x01") == (200, b"\1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Acct-Sessions", "x"),
        ("Acct-Session-Time", "five"),
        ("Acct-Session-Time", "4294967296"),
        ("NAS-IP-Address", "host"),
        ("NAS-IPv6-Address", "host"),
        ("Class", "0xz"),
        ("raw.0", "0x01"),
        ("raw.x", "0x01"),
    ],
)
def test_what_cannot_be_written_names_the_attribute(name: str, value: str) -> None:
    with pytest.raises(LocalPacketError, match=name):
        dictionary("generic", 4).written(name, value)


@pytest.mark.parametrize("line", ["ATTRIBUTE Name 1 unknown", "BEGIN-VENDOR Nobody", "NONSENSE", "BEGIN-TLV Nobody"])
def test_a_line_that_is_none_names_its_place(line: str) -> None:
    with pytest.raises(ValueError, match=r"^here:2: "):
        read_dictionary(["# a remark", line], "here")


def test_text_that_is_no_packet() -> None:
    assert decode("0x01 07 00 14" + "00" * 16)["well_formed"] is True
    with pytest.raises(ValueError, match="hexadecimal"):
        decode("xyz")
    broken = decode("010700")
    assert (broken["well_formed"], broken["error"], broken["attributes"]) == (
        False,
        "datagram shorter than a header",
        [],
    )
