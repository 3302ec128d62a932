"""FastAGI's octets: what they say, what is too much, and that no value ever becomes a second command."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.asterisk import fastagi_wire as wire
from daemon.asterisk.fastagi_wire import AgiConnection, HungUp, LocalAgiError, Message, RemoteAgiError, Reply, Request

CAPTURES = sorted((Path(__file__).resolve().parents[2] / "vectors" / "asterisk").glob("*.agi"))
BLOCK = b"agi_network: yes\nagi_network_script: authorize\nagi_uniqueid: 1.2\nagi_arg_1: alice\nagi_arg_2: 44\n\n"


def opened() -> AgiConnection:
    connection = AgiConnection()
    assert len(connection.receive_data(BLOCK)) == 1
    return connection


def answered(octets: bytes) -> list[Message]:
    """Return what a connection that has asked makes of an answer."""
    connection = opened()
    connection.send(wire.expanded("x"))
    return connection.receive_data(octets)


def reason(connection: AgiConnection, octets: bytes) -> str:
    with pytest.raises(RemoteAgiError) as raised:
        connection.receive_data(octets)
    return raised.value.reason


def sides(path: Path) -> tuple[list[bytes], list[bytes]]:
    """Return the lines of a captured dialogue: those of Asterisk and ours."""
    lines = path.read_bytes().splitlines(keepends=True)
    theirs = [line[2:] if len(line) > 2 else b"\n" for line in lines if line.startswith(b"<")]
    return theirs, [line[2:] for line in lines if line.startswith(b"> ")]


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_a_captured_dialogue_is_understood(path: Path) -> None:
    theirs, ours = sides(path)
    opening = theirs.index(b"\n")
    connection = AgiConnection()
    [request] = connection.receive_data(b"".join(theirs[: opening + 1]))
    assert isinstance(request, Request)
    assert request.fields["agi_channel"].startswith("PJSIP/sipp-")
    assert request.arguments() == []
    replies = []
    for command, answer in zip(ours, theirs[opening + 1 :], strict=True):
        connection.send(command)
        replies += connection.receive_data(answer)
    assert [reply.value for reply in replies[:1] if isinstance(reply, Reply)] == ["acme"]
    assert Reply(510, -1, "Invalid or unknown command") in replies
    assert replies[-1] == Reply(200, 4, "")


def test_arguments_are_those_of_the_dialplan_in_their_order() -> None:
    [request] = AgiConnection().receive_data(BLOCK)
    assert isinstance(request, Request)
    assert request.arguments() == ["alice", "44"]


@given(st.lists(st.integers(1, len(BLOCK) - 1), max_size=8))
def test_however_the_octets_are_split_the_block_is_the_same(places: list[int]) -> None:
    connection, read, begins = AgiConnection(), [], 0
    for place in [*sorted(places), len(BLOCK)]:
        read += connection.receive_data(BLOCK[begins:place])
        begins = place
    assert read == AgiConnection().receive_data(BLOCK)


def test_a_repeated_key_is_refused_whoever_wrote_it_first() -> None:
    assert reason(AgiConnection(), b"agi_arg_1: mallory\nagi_uniqueid: 1.2\nagi_arg_1: alice\n") == "repeated_key"


@pytest.mark.parametrize("line", [b"Agi_arg_1: x\n", b"nonsense\n", b"agi_: x\n", b"variable_account: x\n", b"200 r\n"])
def test_a_line_that_is_none_of_agi_is_refused(line: bytes) -> None:
    assert reason(AgiConnection(), line) == "not_agi"


def test_every_size_has_a_bound() -> None:
    assert reason(AgiConnection(), b"agi_x: " + b"a" * wire.LINE_SIZE_MAX + b"\n") == "line_size"
    assert reason(AgiConnection(), b"agi_x: " + b"a" * wire.LINE_SIZE_MAX) == "line_size"
    many = b"".join(b"agi_arg_%d: x\n" % place for place in range(wire.LINES_MAX + 1))
    assert reason(AgiConnection(), many) == "block_size"
    wide = b"".join(b"agi_arg_%d: %s\n" % (place, b"a" * 4000) for place in range(9))
    assert reason(AgiConnection(), wide) == "block_size"
    connection = opened()
    connection.send(b"x\n")
    assert reason(connection, b"520-Usage\n" + b"more\n" * wire.USAGE_LINES_MAX) == "block_size"


def test_what_comes_unasked_is_not_an_answer() -> None:
    assert reason(AgiConnection(), BLOCK + b"200 result=1 (tollway)\n") == "unasked"


def test_a_hang_up_may_come_at_any_time() -> None:
    assert opened().receive_data(b"HANGUP\n") == [HungUp()]
    assert answered(b"HANGUP\n200 result=1\n") == [HungUp(), Reply(200, 1, "")]


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        (b"200 result=0\n", Reply(200, 0, "")),
        (b"200 result=-1\r\n", Reply(200, -1, "")),
        (b"200 result=1 (a (b) c)\n", Reply(200, 1, "a (b) c")),
        (b"200 result=1 ()\n", Reply(200, 1, "")),
        (b"511 Command Not Permitted on a dead channel\n", Reply(511, -1, "Command Not Permitted on a dead channel")),
        (b"520-Invalid command syntax.\nUsage\n520 End of proper usage.\n", Reply(520, -1, "End of proper usage.")),
    ],
)
def test_an_answer_is_its_code_and_its_value(octets: bytes, reply: Reply) -> None:
    assert answered(octets) == [reply]


@pytest.mark.parametrize("octets", [b"\n", b"200 result=\n", b"200 OK\n", b"agi_arg_1: x\n", b"500 no\n"])
def test_an_answer_that_is_none_ends_the_dialogue(octets: bytes) -> None:
    connection = opened()
    connection.send(b"x\n")
    assert reason(connection, octets) == "not_agi"


def read_by_asterisk(command: bytes) -> list[str]:
    """Return the words of a command as Asterisk's parse_args takes them."""
    words: list[str] = []
    word, quoted, escaped, inside = "", False, False, False
    for character in command.decode().rstrip("\n"):
        if escaped:
            word, escaped, inside = word + character, False, True
        elif character == "\\":
            escaped = True
        elif character == '"':
            quoted, inside = not quoted, True
        elif character in " \t" and not quoted:
            words, word, inside = ([*words, word] if inside else words), "", False
        else:
            word, inside = word + character, True
    return [*words, word] if inside else words


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\x85\u2028\u2029"), max_size=200))
def test_a_value_is_one_word_whatever_it_holds(value: str) -> None:
    command = wire.set_variable("TOLLWAY_ROUTES", value)
    assert command.count(b"\n") == 1
    assert read_by_asterisk(command) == ["SET", "VARIABLE", "TOLLWAY_ROUTES", value]


@pytest.mark.parametrize("value", ["a\nHANGUP", "a\r", "\0", "\x85", "\u2028", "\ud800"])
def test_a_value_that_could_be_a_second_line_is_not_sent(value: str) -> None:
    with pytest.raises(LocalAgiError):
        wire.set_variable("TOLLWAY_REASON", value)


def test_a_name_is_a_name_and_a_command_fits_asterisks_buffer() -> None:
    with pytest.raises(LocalAgiError):
        wire.set_variable("CHANNEL(accountcode)", "x")
    with pytest.raises(LocalAgiError):
        wire.set_variable("X", "a" * wire.COMMAND_SIZE_MAX)
    assert wire.set_autohangup(130) == b"SET AUTOHANGUP 130\n"


@given(st.binary(max_size=400))
def test_whatever_comes_is_messages_or_the_peers_fault(octets: bytes) -> None:
    for connection in (AgiConnection(), opened()):
        try:
            connection.receive_data(octets)
        except RemoteAgiError:
            continue
