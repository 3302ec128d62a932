"""The manager's octets: what they say, what is too much, and that no value ever becomes a second line."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.asterisk import ami_wire as wire
from daemon.asterisk.ami_wire import AmiConnection, AmiMessage, Greeting, LocalAmiError, RemoteAmiError

CAPTURES = sorted((Path(__file__).resolve().parents[2] / "vectors" / "asterisk").glob("*.ami.gz"))
GREETING = b"Asterisk Call Manager/11.0.0\r\n"


def told(octets: bytes) -> list[AmiMessage]:
    """Return what a greeted connection makes of octets that come at once."""
    messages = AmiConnection().receive_data(GREETING + octets)
    return [message for message in messages if isinstance(message, AmiMessage)]


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_a_captured_stream_is_understood(path: Path) -> None:
    octets = gzip.decompress(path.read_bytes())
    greeting, *messages = AmiConnection().receive_data(octets)
    assert greeting == Greeting("11.0.0")
    assert len(messages) == octets.count(b"\r\n\r\n")
    assert all(isinstance(message, AmiMessage) and not message.repeated for message in messages)
    names = [message.get("Event") for message in messages if isinstance(message, AmiMessage)]
    assert names.count("Newchannel") >= 1


@given(st.lists(st.integers(1, 1_500), max_size=12), st.sampled_from(CAPTURES))
def test_however_the_octets_are_split_the_messages_are_the_same(sizes: list[int], path: Path) -> None:
    octets = gzip.decompress(path.read_bytes())[:6_000]
    connection, read, begins = AmiConnection(), [], 0
    for size in [*sizes, len(octets)]:
        read += connection.receive_data(octets[begins : begins + size])
        begins += size
    assert read == AmiConnection().receive_data(octets)


def test_a_port_of_something_else_is_told_by_its_greeting() -> None:
    with pytest.raises(RemoteAmiError, match="is this the manager's port"):
        AmiConnection().receive_data(b"SSH-2.0-OpenSSH\r\n")
    with pytest.raises(RemoteAmiError):
        AmiConnection().receive_data(b"A" * (wire.GREETING_SIZE_MAX + 1))


def test_a_deciding_key_that_stands_twice_is_told() -> None:
    [hostile] = told(b"Event: Hangup\r\nCallerIDName: x\r\nUniqueid: victim\r\nUniqueid: 1.2\r\n\r\n")
    assert hostile.repeated == {"Uniqueid"}
    [harmless] = told(b"Event: TestEvent\r\nState: A\r\nState: B\r\n\r\n")
    assert (harmless.repeated, harmless.get("State")) == (frozenset(), "A")


def test_the_rest_of_a_value_with_a_line_break_is_no_key() -> None:
    [message] = told(b"Event: VarSet\r\nValue: first\r\nsecond\r\nUniqueid: 1.2\r\n\r\n")
    assert dict(message.fields) == {"Event": "VarSet", "Value": "first", "Uniqueid": "1.2"}


def test_empty_lines_between_messages_mean_nothing() -> None:
    assert len(told(b"\r\n\r\nEvent: A\r\n\r\n\r\nEvent: B\r\n\r\n")) == 2


def test_every_size_has_a_bound() -> None:
    with pytest.raises(RemoteAmiError, match="line"):
        told(b"Event: " + b"a" * wire.LINE_SIZE_MAX)
    with pytest.raises(RemoteAmiError, match="line"):
        told(b"Event: " + b"a" * wire.LINE_SIZE_MAX + b"\r\n")
    with pytest.raises(RemoteAmiError, match="lines"):
        told(b"".join(b"Key%d: x\r\n" % place for place in range(wire.LINES_MAX + 1)))


def test_an_action_is_its_lines() -> None:
    octets = wire.action("Hangup", "tollway-1", {"Channel": "1.2", "Cause": "102"})
    assert octets == b"Action: Hangup\r\nActionID: tollway-1\r\nChannel: 1.2\r\nCause: 102\r\n\r\n"


@pytest.mark.parametrize(
    "value", ["a\r\nAction: Originate", "a\n", "\r", "\0", "\x85", "\u2028", "\ud800", "a" * 1_000]
)
def test_a_value_that_could_be_a_second_line_is_not_sent(value: str) -> None:
    with pytest.raises(LocalAmiError):
        wire.action("Setvar", "1", {"Channel": "1.2", "Value": value})


@pytest.mark.parametrize("key", ["", "A: b", "Channel\r\n", "Ch annel"])
def test_a_key_is_a_key(key: str) -> None:
    with pytest.raises(LocalAmiError):
        wire.action("Setvar", "1", {key: "x"})


def test_an_action_has_a_bound_of_lines() -> None:
    with pytest.raises(LocalAmiError):
        wire.action("Setvar", "1", {f"Key{place}": "x" for place in range(wire.ACTION_LINES_MAX)})


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\x85\u2028\u2029"), max_size=200))
def test_what_is_sent_is_read_as_it_was_meant(value: str) -> None:
    [message] = told(wire.action("Setvar", "7", {"Channel": "1.2", "Value": value}))
    assert message.get("Value") == value.strip(" ")
    assert len(message.fields) == 4


def test_a_secret_is_proved_without_being_sent() -> None:
    assert wire.login_key("259071254", "abcdef") == "ed770282c3adff4602fc1d2b5bdd1168"


@given(st.binary(max_size=400))
def test_whatever_comes_is_messages_or_the_switchs_fault(octets: bytes) -> None:
    for before in (b"", GREETING):
        try:
            AmiConnection().receive_data(before + octets)
        except RemoteAmiError:
            continue
