"""An event is the same value from JSON and from plain text, and nobody's text can become a header of it."""

import json
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.esl import events
from daemon.esl.events import HEADERS_OF, Event, from_json, from_plain, instant
from daemon.esl.wire import Encoding, EventBody, RemoteWireError

ANSWER = {
    "Event-Name": "CHANNEL_ANSWER", "Event-Date-Timestamp": "1795456980362470", "Unique-ID": "849e87fc",
    "Call-Direction": "inbound", "Caller-Destination-Number": "2442071231234", "variable_uuid": "849e87fc",
    "variable_tollway_account": "acme", "Channel-Read-Codec-Name": "PCMU",
}  # fmt: skip
MEANT = Event(
    name="CHANNEL_ANSWER", timestamp="1795456980362470", channel="849e87fc", direction="inbound",
    destination="2442071231234", uuid="849e87fc", tollway_account="acme",
)  # fmt: skip


def plain(headers: dict[str, str]) -> bytes:
    """Write headers as ``event plain`` does: each value URL-encoded."""
    return "".join(f"{name}: {quote(value)}\n" for name, value in headers.items()).encode() + b"\n"


def test_both_forms_give_the_same_event() -> None:
    assert from_json(json.dumps(ANSWER).encode()) == from_plain(plain(ANSWER)) == MEANT


def test_a_body_is_decoded_by_how_it_is_written() -> None:
    assert events.decode(EventBody(Encoding.JSON, json.dumps(ANSWER).encode())) == MEANT
    assert events.decode(EventBody(Encoding.PLAIN, plain(ANSWER))) == MEANT


@given(
    st.dictionaries(st.sampled_from(sorted(HEADERS_OF.values())), st.text(st.characters(blacklist_categories=["Cs"])))
)
def test_any_values_give_the_same_event_in_both_forms(headers: dict[str, str]) -> None:
    fields = {encoded: name for name, encoded in HEADERS_OF.items()}
    event = Event(**{fields[header]: value for header, value in headers.items()})
    assert from_json(json.dumps(headers).encode()) == event
    assert from_json(json.dumps(headers, ensure_ascii=False).encode()) == event
    assert from_plain(plain(headers)) == event


def test_each_name_is_read_from_one_header() -> None:
    assert len(set(HEADERS_OF.values())) == len(HEADERS_OF)
    assert set(HEADERS_OF) == {field.name for field in msgspec.structs.fields(Event)}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n", "\r", "\u2028", "\x0b", "\x85"])
def test_a_value_never_becomes_a_header(ending: str) -> None:
    name = f"x{ending}variable_tollway_account: victim{ending}Unique-ID: other{ending}"
    headers = {"Caller-Caller-ID-Name": name, **ANSWER, "variable_caller_id": name}
    assert from_plain(plain(headers)) == MEANT
    assert from_json(json.dumps(headers).encode()) == MEANT
    number = {**ANSWER, "Caller-Caller-ID-Number": name}
    assert from_plain(plain(number)) == msgspec.structs.replace(MEANT, calling=name)


def test_what_follows_a_plain_events_headers_is_its_own_body() -> None:
    octets = plain({"Event-Name": "BACKGROUND_JOB", "Content-Length": "40"})
    assert from_plain(octets + b"variable_tollway_account: victim\n\n") == Event(name="BACKGROUND_JOB")


@given(st.binary(max_size=400))
def test_any_plain_octets_are_an_event(octets: bytes) -> None:
    for body in (octets, b"Event-Name: CHANNEL_ANSWER\nUnique-ID: " + octets, octets.replace(b"\x00", b"%")):
        assert isinstance(from_plain(body), Event)


@given(st.binary(max_size=100))
def test_any_octets_are_a_json_event_or_a_typed_error(octets: bytes) -> None:
    for body in (octets, b'{"Unique-ID":"' + octets + b'"}', b'{"Unique-ID":' + octets + b"}"):
        try:
            assert isinstance(from_json(body), Event)
        except RemoteWireError:
            continue


@given(st.binary(max_size=100))
def test_no_octets_of_a_caller_hide_a_call(octets: bytes) -> None:
    """The switch escapes what JSON must have escaped, and copies every other octet."""
    copied = bytes(octet for octet in octets if octet >= 32 and octet not in b'"\\')
    assert from_json(b'{"Caller-Caller-ID-Number":"' + copied + b'","Unique-ID":"849e87fc"}').channel == "849e87fc"


def test_a_percent_sign_that_encodes_nothing_stays() -> None:
    assert from_plain(b"Caller-Caller-ID-Number: 100%zz%\n\n").calling == "100%zz%"


@pytest.mark.parametrize("name", [b"\xff\xfe", b"\xed\xa0\x80", b"caf\xe9", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\x80"])
def test_a_display_name_that_is_no_utf8_breaks_neither_form(name: bytes) -> None:
    """The switch copies what a caller sent; a caller must not be able to close our link by his name."""
    octets = json.dumps({**ANSWER, "Caller-Caller-ID-Name": "#", "Caller-Caller-ID-Number": "15551230001"}).encode()
    assert from_json(octets.replace(b'"#"', b'"' + name + b'"')) == msgspec.structs.replace(
        MEANT, calling="15551230001"
    )
    in_what_we_read = json.dumps({**ANSWER, "Caller-Caller-ID-Number": "#"}).encode()
    event = from_json(in_what_we_read.replace(b'"#"', b'"' + name + b'"'))
    assert "\ufffd" in event.calling
    assert event.tollway_account == "acme"
    spelled = b"Caller-Caller-ID-Number: " + quote(name).encode() + b"\n" + plain(ANSWER)
    assert from_plain(spelled).calling.startswith(event.calling[:3])
    assert from_plain(b"Caller-Caller-ID-Number: " + name + b"\n" + plain(ANSWER)).tollway_account == "acme"


def test_a_repeated_header_is_no_account_of_anybody() -> None:
    octets = json.dumps({**ANSWER, "variable_tollway_account": ["acme", "victim"]}).encode()
    assert from_json(octets) == msgspec.structs.replace(MEANT, tollway_account="ARRAY::acme|:victim")


def test_a_list_in_such_a_list_says_nothing() -> None:
    octets = json.dumps({**ANSWER, "variable_tollway_account": ["acme", ["victim"], 5]}).encode()
    assert from_json(octets) == msgspec.structs.replace(MEANT, tollway_account="ARRAY::acme|:|:")


@pytest.mark.parametrize("value", [None, 1, True, {"a": "b"}, 1.5])
def test_a_value_that_is_no_text_was_not_there(value: object) -> None:
    assert from_json(json.dumps({**ANSWER, "Hangup-Cause": value}).encode()) == MEANT


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b'{"Event-Name":"x"',
        b"\xff",
        b"{}x",
        b"[[[",
        b'{"x":' + b"[" * 200_000,
        b'{"Event-Name":' + b'{"a":' * 100_000,
    ],
)
def test_what_is_no_json_object_is_the_switchs_fault(octets: bytes) -> None:
    with pytest.raises(RemoteWireError):
        from_json(octets)


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1795456980362470", 1_795_456_980_362_470), ("0", 0), ("", 0), ("-1", 0), ("1e9", 0), ("soon", 0),
        ("9" * 18, 0), ("9" * 40, 0), ("١٢", 0), (" 1", 0),
    ],
)  # fmt: skip
def test_an_instant_is_one_that_a_calendar_holds_or_none(text: str, microseconds: int) -> None:
    assert instant(text) == microseconds
    assert Event(timestamp=text).at == microseconds


def test_an_event_tells_whether_it_carries_the_channels_variables() -> None:
    assert MEANT.has_variables
    assert not Event(name="CHANNEL_OUTGOING", channel="849e87fc").has_variables
