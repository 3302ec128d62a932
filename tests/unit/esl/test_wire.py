"""The event socket's octets: what they say, what is too much, and that no value ever becomes a second command."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.esl import wire
from daemon.esl.wire import (
    ApiResponse,
    AuthRequest,
    CommandReply,
    DisconnectNotice,
    Encoding,
    EslConnection,
    EventBody,
    LocalWireError,
    OtherMessage,
    RemoteWireError,
    RudeRejection,
)

CAPTURES = Path(__file__).resolve().parents[2] / "vectors" / "freeswitch"


def told(octets: bytes) -> list[wire.Message]:
    """Return what a new connection makes of octets that come at once."""
    return EslConnection().receive_data(octets)


def framed(kind: str, body: bytes, more: str = "") -> bytes:
    """Return a message with a body."""
    return f"Content-Type: {kind}\n{more}Content-Length: {len(body)}\n\n".encode() + body


# What the switch says


def test_a_greeting_asks_for_the_password() -> None:
    assert told(b"Content-Type: auth/request\n\n") == [AuthRequest()]


def test_a_command_reply_is_its_text() -> None:
    octets = b"Content-Type: command/reply\nReply-Text: +OK Job-UUID: 4044b694\nJob-UUID: 4044b694\n\n"
    assert told(octets) == [CommandReply("+OK Job-UUID: 4044b694")]


def test_a_command_reply_without_text_is_empty() -> None:
    assert told(b"Content-Type: command/reply\n\n") == [CommandReply("")]


@pytest.mark.parametrize("body", [b"+OK\n", b"", b"-ERR No such channel!\n", b"a\n\nContent-Type: auth/request\n\n"])
def test_an_api_response_is_its_body_whatever_it_looks_like(body: bytes) -> None:
    assert told(framed("api/response", body)) == [ApiResponse(body)]


@pytest.mark.parametrize("encoding", Encoding)
def test_an_event_is_its_body_not_yet_decoded(encoding: Encoding) -> None:
    assert told(framed(encoding.value, b"\xff\n\n{")) == [EventBody(encoding, b"\xff\n\n{")]


def test_a_disconnect_notice_says_whether_the_switch_lingers() -> None:
    body = b"Disconnected, goodbye.\n"
    assert told(framed("text/disconnect-notice", body)) == [DisconnectNotice("Disconnected, goodbye.", lingers=False)]
    lingering = framed("text/disconnect-notice", body, "Content-Disposition: linger\n")
    assert told(lingering) == [DisconnectNotice("Disconnected, goodbye.", lingers=True)]


def test_a_rude_rejection_is_the_access_lists() -> None:
    assert told(framed("text/rude-rejection", b"Access Denied, go away.\n")) == [
        RudeRejection("Access Denied, go away.")
    ]


def test_a_kind_that_nobody_asked_for_is_named_and_passed_over() -> None:
    octets = framed("log/data", b"a line\n") + b"Content-Type: auth/request\n\n"
    assert told(octets) == [OtherMessage("log/data"), AuthRequest()]


def test_empty_lines_between_messages_mean_nothing() -> None:
    assert told(b"\n\n\nContent-Type: auth/request\n\n\n\nContent-Type: command/reply\n\n") == [
        AuthRequest(),
        CommandReply(""),
    ]


def test_a_header_of_the_socket_itself_is_not_url_decoded() -> None:
    assert told(b"Content-Type: command/reply\nReply-Text: 100%25\n\n") == [CommandReply("100%25")]


def test_a_message_cut_anywhere_is_the_same_message() -> None:
    octets = framed("api/response", b"a\n\nb") + b"\nContent-Type: auth/request\n\n"
    for first in range(len(octets) + 1):
        for second in range(first, len(octets) + 1):
            connection = EslConnection()
            pieces = (octets[:first], octets[first:second], octets[second:])
            assert [one for piece in pieces for one in connection.receive_data(piece)] == [
                ApiResponse(b"a\n\nb"),
                AuthRequest(),
            ]


def test_nothing_is_told_before_it_is_complete() -> None:
    connection = EslConnection()
    octets = framed("api/response", b"four")
    assert connection.receive_data(octets[:-1]) == []
    assert connection.receive_data(octets[-1:]) == [ApiResponse(b"four")]


def test_an_outbound_socket_begins_with_a_header_block_of_its_own() -> None:
    octets = gzip.decompress((CAPTURES / "outbound-socket-1.bin.gz").read_bytes())
    first = told(octets)[0]
    assert isinstance(first, CommandReply)
    assert octets.index(b"\n\n") < wire.HEADER_SIZE_MAX / 10


# What is too much, or nonsense: the switch's fault


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 400 Bad Request\n\n",
        b"Content-Type: api/response\nContent-Length: -1\n\n",
        b"Content-Type: api/response\nContent-Length: 1e3\n\n",
        b"Content-Type: api/response\nContent-Length: \n\n",
        b"Content-Type: api/response\nContent-Length: \xd9\xa1\n\n",  # a digit, but none of ASCII's
        b"Content-Type: api/response\nContent-Length: 9999999999\n\n",
        f"Content-Type: text/event-json\nContent-Length: {wire.EVENT_SIZE_MAX + 1}\n\n".encode(),
        f"Content-Type: text/event-plain\nContent-Length: {wire.EVENT_SIZE_MAX + 1}\n\n".encode(),
        f"Content-Type: api/response\nContent-Length: {wire.REPLY_SIZE_MAX + 1}\n\n".encode(),
    ],
)
def test_nonsense_and_excess_are_refused_before_any_body_is_waited_for(octets: bytes) -> None:
    with pytest.raises(RemoteWireError):
        told(octets)


def test_a_header_block_that_never_ends_is_refused() -> None:
    connection, line = EslConnection(), b"X-Filler: 89\n"
    for _ in range(wire.HEADER_SIZE_MAX // len(line)):
        assert connection.receive_data(line) == []
    with pytest.raises(RemoteWireError):
        connection.receive_data(line)


def test_what_was_complete_before_a_fault_is_told_and_then_the_fault() -> None:
    octets = framed("api/response", b"four") + b"no header\n\n"
    connection = EslConnection()
    assert connection.receive_data(octets) == [ApiResponse(b"four")]
    assert isinstance(connection.fault, RemoteWireError)
    with pytest.raises(RemoteWireError, match="without a colon"):
        connection.receive_data(b"")


@pytest.mark.parametrize(
    "twice", [b"Content-Length: 2\nContent-Length: 2\n\n{}", b"Content-Type: a\nContent-Type: a\n\n"]
)
def test_what_frames_a_message_is_stated_once(twice: bytes) -> None:
    with pytest.raises(RemoteWireError, match="is stated twice"):
        told(twice)


def test_a_connection_tells_whether_a_message_has_begun() -> None:
    connection, whole = EslConnection(), b"\n" + framed("api/response", b"four") + b"\n"
    within = []
    for at in range(len(whole)):
        connection.receive_data(whole[at : at + 1])
        within.append(connection.is_within_message)
    assert within == [False] + [True] * (len(whole) - 3) + [False, False]


def test_a_reply_may_be_larger_than_any_event() -> None:
    body = b"a" * (wire.EVENT_SIZE_MAX + 1)
    assert told(framed("api/response", body)) == [ApiResponse(body)]


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_any_octets_are_messages_or_a_typed_error(pieces: list[bytes]) -> None:
    """Some begin as a message does, so that more than the first line is tried."""
    for start in (b"", b"Content-Type: text/event-plain\nContent-Length: ", b"Content-Type: api/response\n"):
        connection = EslConnection()
        try:
            for piece in (start, *pieces):
                assert all(isinstance(one, wire.Message) for one in connection.receive_data(piece))
        except RemoteWireError:
            continue


def test_the_largest_event_is_taken_and_limits_stand_well_above_what_was_captured() -> None:
    body = b"a" * wire.EVENT_SIZE_MAX
    assert told(framed("text/event-json", body)) == [EventBody(Encoding.JSON, body)]
    largest = 0
    for path in CAPTURES.glob("*.json.bin.gz"):
        for message in told(gzip.decompress(path.read_bytes())):
            largest = max(largest, len(message.body) if isinstance(message, EventBody) else 0)
    assert largest == 12_556  # the figure that stands beside EVENT_SIZE_MAX
    assert 50 * largest < wire.EVENT_SIZE_MAX


# What we say


def switch_splits(text: str) -> list[str]:
    """Split as switch_separate_string does at ``;`` (FreeSWITCH switch_utils.c), then clean each part as it does."""
    parts, start, at, quoted = [], 0, 0, False
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "'":
            quoted = not quoted
        elif text[at] == ";" and not quoted:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    return [switch_cleans(part) for part in [*parts, text[start:]]]


def switch_cleans(part: str) -> str:
    """Clean one part as cleanup_separated_string does: escapes, quotes, outer blanks."""
    part = part.lstrip(" ")
    kept, end, at, quoted = "", 0, 0, False
    while at < len(part):
        char, after = part[at], part[at + 1 : at + 2]
        if char == "\\" and after and after in "'\";\\nrts":
            kept += {"n": "\n", "r": "\r", "t": "\t", "s": " "}.get(after, after)
            end, at = len(kept), at + 2
            continue
        if char == "'" and (quoted or "'" in part[at + 1 :]):
            quoted = not quoted
            end = len(kept) if quoted else end
        else:
            kept += char
            end = len(kept) if char != " " or quoted else end
        at += 1
    return kept[:end]


def switch_sets(octets: bytes) -> tuple[str, list[tuple[str, str]]]:
    """Return the channel and the variables that the switch would set on this one command."""
    command = octets.decode()
    assert command.endswith("\n\n")
    assert "\n" not in command[:-2]
    word, verb, channel, pairs = command[:-2].split(" ", 3)
    assert (word, verb) == ("api", "uuid_setvar_multi")
    return channel, [(name, value) for name, _, value in (pair.partition("=") for pair in switch_splits(pairs))]


HOSTILE = [
    "a;tollway_account=victim", "a\\;b", "a\\", "\\", "'", "it's", "'quoted'", '"', "\\'", "\\s", " outer ", " ", "",
    "a=b", "\\n", "  two  ", "a;b=c", "a'b'c", 'say "x"', "café",
    "sofia/gateway/a/44;transport=tcp|sofia/gateway/b/44", "[tollway_carrier=a,tollway_route=1]sofia/x",
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_arrives_as_it_was_meant(value: str) -> None:
    pairs = [("tollway_reason", value), ("tollway_result", "DENIED")]
    assert switch_sets(wire.setvar_multi("849e87fc", pairs)) == ("849e87fc", pairs)


@given(st.lists(st.text(st.characters(blacklist_categories=["Cc", "Cs", "Zl", "Zp"])), min_size=1, max_size=4))
def test_any_values_arrive_as_they_were_meant(values: list[str]) -> None:
    pairs = [(f"v{place}", value.replace("${", "")) for place, value in enumerate(values)]
    if any("${" in value for _, value in pairs):
        return
    assert switch_sets(wire.setvar_multi("849e87fc", pairs)) == ("849e87fc", pairs)


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\x00b", "\x1b[2J", "a\x7f", "a\u2028b", "a\x85b", "${x}", "$${x}"])
def test_a_value_that_would_not_arrive_is_refused(value: str) -> None:
    with pytest.raises(LocalWireError):
        wire.setvar_multi("849e87fc", [("tollway_reason", value)])


@pytest.mark.parametrize("name", ["", "a b", "a;b", "a=b", "1a", "a\nb", "a" * 129, "ä"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(LocalWireError):
        wire.setvar_multi("849e87fc", [(name, "x")])


@pytest.mark.parametrize("channel", ["", "a b", "a\n", "a;b", "-a", "a" * 254, "é"])
def test_a_channel_id_that_is_none_is_refused(channel: str) -> None:
    with pytest.raises(LocalWireError):
        wire.setvar_multi(channel, [("a", "x")])


def test_the_switchs_array_of_variables_is_never_overrun() -> None:
    variables = [(f"v{number}", "x") for number in range(wire.VARIABLES_MAX)]
    assert len(switch_sets(wire.setvar_multi("a", variables))[1]) == wire.VARIABLES_MAX
    for wrong in ([], [*variables, ("one_more", "x")]):
        with pytest.raises(LocalWireError):
            wire.setvar_multi("a", wrong)


@pytest.mark.parametrize(
    "text", ["a\n\napi shutdown", "a\r\n", "a\x00", "", "\ud800", "a" * wire.COMMAND_SIZE_MAX + "b"]
)
def test_a_command_that_could_be_another_or_is_none_is_refused(text: str) -> None:
    with pytest.raises(LocalWireError):
        wire.command(text)


@pytest.mark.parametrize("text", ["AUTH", "+442071231234", "*98#", "user@example.org", "NORMAL_CLEARING", "a-b"])
def test_a_plain_word_is_sent_as_it_is(text: str) -> None:
    assert wire.word(text) == text


@pytest.mark.parametrize("text", ["", "-bleg", "a b", "a\nb", "a'b", "a;b", "a,b", "${x}", "a|b", "a" * 254])
def test_what_is_no_plain_word_is_refused(text: str) -> None:
    with pytest.raises(LocalWireError):
        wire.word(text)


def test_the_commands_of_a_link() -> None:
    assert wire.auth("ClueCon") == b"auth ClueCon\n\n"
    assert wire.subscribe(["CHANNEL_PARK", "HEARTBEAT"]) == b"event json CHANNEL_PARK HEARTBEAT\n\n"
    assert wire.api("uuid_kill", wire.uuid("849e87fc"), "CALL_REJECTED") == b"api uuid_kill 849e87fc CALL_REJECTED\n\n"
    with pytest.raises(LocalWireError):
        wire.auth("ClueCon\n\napi shutdown")
