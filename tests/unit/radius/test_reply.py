"""Replies: signed first of all, Proxy-State whole and in order, always the same octets, never above a packet."""

import pytest

from daemon.authorize.decision import Denied, Granted, Route
from daemon.authorize.denial import H323_RETURN_CODE, Denial
from daemon.kernel.ids import Key
from daemon.radius.authenticator import response_is_authentic, signature_is_valid
from daemon.radius.dictionary import PROFILES
from daemon.radius.inspection import shown_attributes
from daemon.radius.packet import PACKET_SIZE_MAX, Packet, decode
from daemon.radius.profile import profile
from daemon.radius.reply import accept, access_reply, accounting_response, proxy_states, return_code
from tests.unit.radius.build import SECRET, request

KEY = SECRET.encode()


def granted(routes: int = 0, grant_id: str = "01KAAAAAAAAAAAAAAAAAAAAAAA", dial: str = "") -> Granted:
    carrier = Key("main", "c")
    made = tuple(
        Route(n, n, carrier, dial or f"[tollway_carrier=c,tollway_route={n}]4420@192.0.2.{n}:5060", ())
        for n in range(1, routes + 1)
    )
    return Granted(
        grant_id=grant_id, seconds=3600, reserved=1, currency="USD", levels=(), routes=made, called="4420",
        renewable=False, is_final=True, valid_until=0,
    )  # fmt: skip


def asked(states: int = 0) -> Packet:
    return request(1, [("User-Name", "alice"), *[("Proxy-State", f"0x{n:02x}") for n in range(states)]])


def shown(data: bytes, name: str = "generic") -> list[tuple[str, object]]:
    return [(str(key), value) for key, value in shown_attributes(decode(data), name, None)]


@pytest.mark.parametrize("name", PROFILES)
def test_every_reply_is_signed_first_and_belongs_to_its_request(name: str) -> None:
    question = asked(3)
    for decision in (granted(2), Denied(Denial.CHANNELS, "full")):
        data = access_reply(question, decision, profile(name), 60, KEY)
        packet = decode(data)
        assert packet.signed_at == (20,)
        assert response_is_authentic(packet, question.authenticator, KEY)
        assert signature_is_valid(packet, KEY, question.authenticator)
        assert packet.values(33) == [b"\0", b"\1", b"\2"]
        assert access_reply(question, decision, profile(name), 60, KEY) == data


def test_a_grant_for_a_plain_client() -> None:
    assert shown(access_reply(asked(), granted(2), profile("generic"), 60, KEY))[1:] == [
        ("Session-Timeout", 3600),
        ("Acct-Interim-Interval", 60),
        ("Class", "0x" + b"01KAAAAAAAAAAAAAAAAAAAAAAA".hex()),
        ("h323-credit-time", "3600"),
        ("h323-return-code", "0"),
    ]


def test_a_grant_for_cisco_and_for_a_proxy() -> None:
    cisco = shown(access_reply(asked(), granted(), profile("cisco"), 60, KEY))
    assert cisco[-2:] == [
        ("h323-credit-time", "h323-credit-time=3600"),
        ("h323-return-code", "h323-return-code=0"),
    ]
    proxy = shown(access_reply(asked(), granted(), profile("kamailio"), 60, KEY), "kamailio")
    assert proxy[-1] == ("SIP-AVP", "tollway_quota_seconds#3600")
    refused = shown(access_reply(asked(), Denied(Denial.CHANNELS, ""), profile("opensips"), 60, KEY), "opensips")
    assert refused[-1] == ("SIP-AVP", "tollway_reason:channels")


def test_sippy_gets_a_line_for_each_route_that_fits() -> None:
    lines = shown(access_reply(asked(), granted(2), profile("sippy"), 60, KEY))[-2:]
    assert lines == [
        ("Cisco-AVPair", "h323-ivr-in=Routing:4420@192.0.2.1:5060;credit-time=3600"),
        ("Cisco-AVPair", "h323-ivr-in=Routing:4420@192.0.2.2:5060;credit-time=3600"),
    ]
    full = access_reply(asked(), granted(16, dial="4" * 200), profile("sippy"), 60, KEY)
    assert 0 < sum(name == "Cisco-AVPair" for name, _ in shown(full)) < 16
    assert not any(name == "Cisco-AVPair" for name, _ in shown(
        access_reply(asked(), granted(1, dial="4" * 300), profile("sippy"), 60, KEY)))  # fmt: skip


def test_an_emergency_grant_names_no_class() -> None:
    assert "Class" not in [
        name for name, _ in shown(access_reply(asked(), granted(0, ""), profile("generic"), 60, KEY))
    ]


@pytest.mark.parametrize("denial", list(Denial))
def test_a_refusal_says_the_word_and_the_code(denial: Denial) -> None:
    listed = shown(access_reply(asked(), Denied(denial, "why"), profile("generic"), 60, KEY))
    assert listed[1:] == [("Reply-Message", denial.value), ("h323-return-code", str(H323_RETURN_CODE[denial]))]


@pytest.mark.parametrize(("available", "code"), [(None, 12), (-1, 4), (0, 4), (1, 12)])
def test_nothing_left_is_another_code_than_too_little(available: int | None, code: int) -> None:
    assert return_code(Denied(Denial.BALANCE_INSUFFICIENT, "", None, available)) == code
    assert return_code(Denied(Denial.CHANNELS, "", None, available)) == 3


def test_proxy_states_that_would_fill_a_reply_are_too_many() -> None:
    some = request(1, [("Proxy-State", "0x" + "ab" * 250)] * 8)
    assert proxy_states(some) is not None
    fullest = access_reply(some, granted(16, dial="4" * 150), profile("sippy"), 60, KEY)
    assert len(fullest) <= PACKET_SIZE_MAX
    assert proxy_states(request(1, [("Proxy-State", "0x" + "ab" * 250)] * 9)) is None


def test_acknowledgements_say_nothing_but_yes() -> None:
    record = request(4, [("Acct-Status-Type", "Stop"), ("Proxy-State", "0x07")])
    data = accounting_response(record, KEY)
    assert shown(data) == [("Proxy-State", "0x07")]
    assert response_is_authentic(decode(data), record.authenticator, KEY)
    assert [name for name, _ in shown(accept(asked(), KEY))] == ["Message-Authenticator"]
