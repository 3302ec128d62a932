"""What an Access-Request asks, and what it proves: nothing is read that the client does not vouch for."""

from dataclasses import replace

import pytest

from daemon.authorize.attempt import PlainPassword
from daemon.authorize.catalog import Endpoints, SipUser
from daemon.radius.digest import Digest
from daemon.radius.packet import decode
from daemon.radius.question import Chap, Unreadable, number, read_credential
from tests.unit.charging.desk import ALICE, catalog
from tests.unit.radius.build import SECRET, Pairs, nas, question, request

CALL = [("User-Name", "alice"), ("Called-Station-Id", "442079460000"), ("Calling-Station-Id", "18005551212")]


def test_the_fields_of_a_plain_question() -> None:
    asked = question([*CALL, ("User-Password", "wonder"), ("Acct-Session-Id", "s1")], nas(trust_user_name=True))
    attempt, identity = asked.attempt, asked.attempt.identity
    assert (attempt.id_domain, attempt.call_id, attempt.tenant) == ("gw1", "s1", "main")
    assert (attempt.source, attempt.switch, attempt.called, attempt.calling) == (
        "radius", "gw1", "442079460000", "18005551212",
    )  # fmt: skip
    assert (attempt.renewable, attempt.reports_answer, attempt.routed) == (False, True, True)
    assert (identity.sip_user, identity.ip, identity.caller, identity.via) == (
        "alice", "192.0.2.20", "18005551212", "gw1",
    )  # fmt: skip
    assert identity.credential == PlainPassword("wonder")
    assert (identity.trusted, identity.account, identity.did) == (True, "", "")
    assert not asked.registers
    assert not asked.broken


def test_the_id_domain_is_the_configured_one() -> None:
    assert question(CALL, nas(id_domain="site1")).attempt.id_domain == "site1"


@pytest.mark.parametrize(
    ("pairs", "call_id", "joint"),
    [
        ([("Acct-Session-Id", "s1"), ("h323-conf-id", "a b")], "s1", ("conf:A B",)),
        ([("Cisco-AVPair", "call-id=x@y"), ("h323-conf-id", "a b")], "A B", ("conf:A B", "call:x@y")),
        ([("Cisco-AVPair", "h323-call-id=x")], "x", ("call:x",)),
        ([("h323-conf-id", "h323-conf-id=a b")], "A B", ("conf:A B",)),
    ],
)
def test_the_call_id_and_what_legs_share(pairs: Pairs, call_id: str, joint: tuple[str, ...]) -> None:
    attempt = question([*CALL, *pairs]).attempt
    assert attempt.call_id == call_id
    assert attempt.aliases == (*joint, "stations:alice\t442079460000\t18005551212")


def test_without_any_id_the_packet_is_one() -> None:
    first, second = question(CALL), question(CALL)
    assert first.attempt.call_id.startswith("packet:")
    assert first.attempt.call_id != second.attempt.call_id
    assert first.message.key != second.message.key


def test_a_call_id_longer_than_a_key_may_be_is_told_by_its_digest() -> None:
    long = question([*CALL, ("Acct-Session-Id", "\x01" * 100)]).attempt.call_id
    assert long.startswith("sha256:")
    assert len(long) == 71


@pytest.mark.parametrize(
    ("pairs", "kind"),
    [
        ([], type(None)),
        ([("User-Password", "x")], PlainPassword),
        ([("CHAP-Password", "x")], Chap),
        ([("raw.206", "x"), ("raw.207", "0x010361")], Digest),
        ([("User-Password", "x"), ("CHAP-Password", "x")], Unreadable),
        ([("User-Password", "x"), ("raw.103", "x")], Unreadable),
        ([("EAP-Message", "0x0200")], Unreadable),
        ([("User-Password", "x"), ("EAP-Message", "0x0200")], Unreadable),
        ([("raw.109", "sip:x")], Unreadable),
        ([("raw.2", "0x00")], Unreadable),
    ],
    ids=[
        "none",
        "pap",
        "chap",
        "digest",
        "pap and chap",
        "pap and digest",
        "eap",
        "pap and eap",
        "unanswered challenge",
        "one octet",
    ],
)
def test_one_credential_or_none(pairs: Pairs, kind: type) -> None:
    packet = decode(request(1, [*CALL, *[p for p in pairs if p[0] != "raw.2"]]).data)
    if any(name == "raw.2" for name, _ in pairs):
        packet = replace(packet, attributes=(*packet.attributes, (2, b"\0")))
    assert isinstance(read_credential(packet, SECRET.encode()), kind)


def test_a_password_that_is_no_text_matches_none() -> None:
    packet = request(1, [("User-Password", "x")])
    credential = read_credential(packet, b"another secret that reveals noise")
    assert credential is not None
    assert not credential.proves("x", "")


def test_a_digest_whose_members_do_not_fit_proves_nothing() -> None:
    credential = read_credential(request(1, [("raw.206", "x"), ("raw.207", "0x0101")]), b"s")
    assert credential == Digest("")
    assert credential is not None
    assert not credential.proves("x", "")


def test_a_realm_is_taken_off_only_where_no_account_has_it() -> None:
    assert question([("User-Name", "alice@example.com")]).attempt.identity.sip_user == "alice"
    assert question([("User-Name", "@x")]).attempt.identity.sip_user == "@x"
    known = catalog(endpoints=Endpoints(sip_users={"alice@example.com": (SipUser(ALICE, "p"),)}))
    assert question([("User-Name", "alice@example.com")], known=known).attempt.identity.sip_user == "alice@example.com"


@pytest.mark.parametrize(
    ("profile", "pairs", "address", "user"),
    [
        ("generic", [("h323-remote-address", "198.51.100.7"), ("Cisco-AVPair", "src-gw-ip=198.51.100.7")],
         "192.0.2.20", ""),
        ("freeswitch", [("Cisco-AVPair", "src-gw-ip=198.51.100.7")], "198.51.100.7", ""),
        ("freeswitch", [("Cisco-AVPair", "src-gw-ip=nonsense")], "192.0.2.20", ""),
        ("cisco", [("h323-remote-address", "h323-remote-address=198.51.100.7")], "198.51.100.7", ""),
        ("sippy", [("User-Name", "198.51.100.9"), ("User-Password", "cisco")], "198.51.100.9", ""),
        ("sippy", [("User-Name", "alice"), ("User-Password", "x")], "192.0.2.20", "alice"),
        ("asterisk", [("User-Name", "PJSIP/100-00000001")], "192.0.2.20", "100"),
    ],
)  # fmt: skip
def test_what_the_profile_vouches_for(profile: str, pairs: Pairs, address: str, user: str) -> None:
    identity = question(pairs, nas(profile)).attempt.identity
    assert (identity.ip, identity.sip_user) == (address, user)
    assert (identity.credential is None) is (user != "alice")


@pytest.mark.parametrize(
    ("written", "expected"),
    [("sip:442079460000@host;user=phone", "442079460000"), ("tel:+4420;phone-context=x", "+4420"), ("SIPS:1@x", "1"),
     ("442079460000", "442079460000"), ("44 20", "44 20"), ("", "")],
)  # fmt: skip
def test_the_number_in_a_station(written: str, expected: str) -> None:
    assert number(written) == expected


@pytest.mark.parametrize(
    ("profile", "pairs", "registers"),
    [
        ("generic", [("raw.206", "0" * 32), ("raw.207", "0x030a" + b"REGISTER".hex())], True),
        ("generic", [("raw.206", "0" * 32), ("raw.207", "0x0308" + b"INVITE".hex())], False),
        ("generic", [("raw.103", "0" * 32), ("raw.108", "REGISTER")], True),
        ("generic", [], False),
    ],
)
def test_a_register_is_told(profile: str, pairs: Pairs, registers: bool) -> None:
    assert question([*CALL, *pairs], nas(profile)).registers is registers
