"""Which way a call goes, by profile: what tells it, what does not, and that nothing of a caller's names the payer."""

from typing import Any

import pytest

from daemon.config_files import nas_keys
from daemon.kernel.ids import Direction
from daemon.radius.direction import is_network
from daemon.radius.profile import TABLE
from tests.unit.radius.build import Pairs, nas, question, record

OUT, IN = Direction.OUTBOUND, Direction.INBOUND
CALL = [("User-Name", "alice"), ("Called-Station-Id", "442079460000"), ("Calling-Station-Id", "18005551212")]
START = [*CALL, ("Acct-Session-Id", "s1"), ("Acct-Status-Type", "Start")]
DIGEST = [("raw.206", "0" * 32), ("raw.207", "0x0308" + b"INVITE".hex())]
REGISTER = [("raw.206", "0" * 32), ("raw.207", "0x030a" + b"REGISTER".hex())]


@pytest.mark.parametrize("profile", sorted(TABLE))
@pytest.mark.parametrize("stated", [OUT, IN])
def test_the_nas_tells_it_where_nothing_else_does(profile: str, stated: Direction) -> None:
    client = nas(profile, direction=stated)
    assert question(CALL, client).attempt.direction is stated
    assert record(START, client=client).report.attempt.direction is stated


@pytest.mark.parametrize("profile", sorted(TABLE))
def test_the_leg_of_a_switch_is_no_direction(profile: str) -> None:
    for leg in ("answer", "originate"):
        assert question([*CALL, ("h323-call-origin", leg)], nas(profile)).attempt.direction is OUT
    for leg in ("inbound", "outbound"):
        assert question([*CALL, ("Freeswitch-Direction", leg)], nas(profile)).attempt.direction is OUT


@pytest.mark.parametrize(
    ("profile", "told", "expected"),
    [
        ("cisco", ("Cisco-AVPair", "tollway_direction=inbound"), IN),
        ("generic", ("Quintum-AVPair", "tollway_direction=INBOUND"), IN),
        ("freeswitch", ("Freeswitch-AVPair", "tollway_direction=inbound"), IN),
        ("kamailio", ("SIP-AVP", "tollway_direction:inbound"), IN),
        ("opensips", ("SIP-AVP", "tollway_direction#inbound"), IN),
        ("asterisk", ("Asterisk-User-Field", "tollway_direction=inbound"), IN),
        ("cisco", ("Cisco-AVPair", "tollway_direction=outbound"), OUT),
        ("cisco", ("Cisco-AVPair", "tollway_direction=sideways"), None),
        ("cisco", ("Cisco-AVPair", "x=tollway_direction=inbound"), None),
        ("cisco", ("User-Name", "tollway_direction=inbound"), None),
        ("cisco", ("Called-Station-Id", "tollway_direction=inbound"), None),
    ],
)
def test_its_own_word_goes_first(profile: str, told: tuple[str, str], expected: Direction | None) -> None:
    for stated in (OUT, IN):
        client = nas(profile, direction=stated)
        assert question([told, *CALL], client).attempt.direction is (expected or stated)
        assert record([told, *START], client=client).report.attempt.direction is (expected or stated)


@pytest.mark.parametrize(
    ("profile", "pairs", "expected"),
    [
        ("kamailio", [("Service-Type", "31")], IN),
        ("kamailio", [("Service-Type", "30")], OUT),
        ("opensips", [("Service-Type", "31")], IN),
        ("generic", [("Service-Type", "31")], None),
        ("kamailio", [("Service-Type", "15")], None),
        ("kamailio", [("Service-Type", "31"), *DIGEST], OUT),
        ("generic", DIGEST, OUT),
        ("generic", REGISTER, OUT),
        ("generic", [("User-Password", "cisco")], None),
        ("generic", [("CHAP-Password", "cisco")], None),
    ],
)
def test_what_only_one_side_can_have_sent(profile: str, pairs: Pairs, expected: Direction | None) -> None:
    for stated in (OUT, IN):
        asked = question([*CALL, *pairs], nas(profile, direction=stated))
        assert asked.attempt.direction is (expected or stated)


@pytest.mark.parametrize(
    ("profile", "origins", "pairs", "expected"),
    [
        ("cisco", ("telephony",), [("h323-call-type", "h323-call-type=Telephony")], IN),
        ("cisco", ("telephony",), [("h323-call-type", "VoIP")], OUT),
        ("audiocodes", ("voip",), [("h323-call-origin", "answer"), ("h323-call-type", "VoIP")], IN),
        ("audiocodes", ("voip",), [("h323-call-origin", "originate"), ("h323-call-type", "VoIP")], None),
        ("cisco", ("telephony",), [], None),
        ("freeswitch", ("public", "from-sbc"), [("Freeswitch-Context", "public")], IN),
        ("freeswitch", ("public",), [("Freeswitch-Context", "default")], OUT),
        ("asterisk", ("from-trunk",), [("Asterisk-Dst-Ctx", "from-trunk")], IN),
        ("generic", ("from-trunk",), [("Asterisk-Dst-Ctx", "from-trunk")], None),
        ("sippy", ("198.51.100.0/24",), [("User-Name", "198.51.100.9")], IN),
        ("sippy", ("198.51.100.0/24",), [("User-Name", "203.0.113.9")], OUT),
        ("cisco", ("198.51.100.9",), [("h323-remote-address", "198.51.100.9")], IN),
        ("cisco", ("2001:db8::/32",), [("h323-remote-address", "198.51.100.9")], OUT),
        ("cisco", ("2001:db8::/32",), [("h323-remote-address", "nonsense")], None),
        ("cisco", ("198.51.100.9",), [("h323-call-type", "Telephony")], None),
        ("cisco", ("198.51.100.9", "telephony"),
         [("h323-remote-address", "203.0.113.1"), ("h323-call-type", "Telephony")], IN),
        ("cisco", (), [("h323-call-type", "Telephony")], None),
    ],
)  # fmt: skip
def test_where_a_call_came_from(
    profile: str, origins: tuple[str, ...], pairs: Pairs, expected: Direction | None
) -> None:
    for stated in (OUT, IN):
        client = nas(profile, direction=stated, inbound_from=origins)
        assert question([*pairs, *CALL], client).attempt.direction is (expected or stated)
        assert record([*pairs, *START], client=client).report.attempt.direction is (expected or stated)


@pytest.mark.parametrize("profile", sorted(TABLE))
def test_nothing_of_the_callers_names_who_pays_a_call_in(profile: str) -> None:
    pairs = [
        ("User-Password", "wonder"), ("h323-remote-address", "198.51.100.7"),
        ("Cisco-AVPair", "src-gw-ip=198.51.100.7"), ("Cisco-AVPair", "tollway_account=bob"), *CALL,
    ]  # fmt: skip
    identity = question(pairs, nas(profile, direction=IN)).attempt.identity
    assert (identity.did, identity.via) == ("442079460000", "gw1")
    assert (identity.account, identity.sip_user, identity.ip, identity.caller, identity.credential) == (
        "", "", "", "", None,
    )  # fmt: skip


def test_a_trusted_client_names_the_account_of_a_call_in() -> None:
    pairs = [*CALL, ("Cisco-AVPair", "tollway_account=main/bob")]
    assert question(pairs, nas(direction=IN, trust_user_name=True)).attempt.identity.account == "main/bob"
    assert question(pairs, nas(trust_user_name=True)).attempt.identity.account == ""
    assert question(CALL, nas(direction=IN, trust_user_name=True)).attempt.identity.account == ""
    coded = [*START, ("Asterisk-Acc-Code", "desk")]
    assert record(coded, client=nas("asterisk", direction=IN)).report.attempt.identity.account == "desk"
    assert record(coded, client=nas("cisco", direction=IN)).report.attempt.identity.account == ""


def test_a_did_is_read_as_the_client_writes_numbers() -> None:
    national = nas(direction=IN, numbers="national", country="GB")
    attempt = question([("Called-Station-Id", "sip:02079460000@x")], national).attempt
    assert (attempt.called, attempt.identity.did) == ("02079460000", "442079460000")
    assert question([("Called-Station-Id", "x")], national).attempt.identity.did == "x"
    assert question([("Called-Station-Id", "+442079460000")], nas(direction=IN)).attempt.identity.did == "+442079460000"


@pytest.mark.parametrize(
    ("told", "changes", "asks"),
    [("true", {}, True), ("1", {}, True), ("false", {}, False), ("yes", {}, False), ("", {}, False),
     ("", {"both_sides": True}, True), ("false", {"both_sides": True}, True),
     ("true", {"direction": IN}, False), ("", {"both_sides": True, "direction": IN}, False)],
)  # fmt: skip
def test_both_sides_are_asked_for_by_an_outbound_question(told: str, changes: dict[str, Any], asks: bool) -> None:
    pairs = [*CALL, ("Cisco-AVPair", f"tollway_both_sides={told}")]
    assert question(pairs, nas(**changes)).attempt.both_sides is asks


def test_the_records_of_both_sides_of_one_session_are_two() -> None:
    stop = [*CALL, ("Acct-Session-Id", "s1"), ("Acct-Status-Type", "Stop"), ("Acct-Session-Time", "7")]
    outward, inward = record(stop), record([*stop, ("Cisco-AVPair", "tollway_direction=inbound")])
    assert outward.message.key == "radius-acct:main/gw1:2:7s::s1"
    assert inward.message.key == "radius-acct:main/gw1:2:7s:.inbound:s1"


def test_the_file_takes_a_list_only_where_the_profile_tells_something() -> None:
    assert {each.name for each in TABLE.values() if each.sip_avps} == nas_keys.TELLING_NOTHING
    seeing = {each.name for each in TABLE.values() if each.peer_address}
    assert seeing == nas_keys.SEEING_ADDRESSES


@pytest.mark.parametrize("written", ["telephony", "from-trunk", "198.51.100.7", "198.51.100.0/24", "2001:db8::/32"])
def test_a_network_is_told_from_a_word_alike_by_the_file_and_by_the_question(written: str) -> None:
    assert nas_keys.is_network(written) is is_network(written)
