"""FastAGI without a socket: octets in, frozen messages out; commands in, octets out.

Asterisk opens the dialogue with a block of ``agi_`` lines; after it, it only answers, one line for each command, and
may say HANGUP at any time. Whatever else comes unasked ends the dialogue: a line that a caller smuggled into a value
must never be taken for an answer. Everything is bounded, and no value can become a second command.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

LINE_SIZE_MAX = 4_096  # octets of one line; Asterisk itself reads and writes 2,048
LINES_MAX = 160  # lines of the opening block; Asterisk writes some 25, and one for each argument, at most 128
BLOCK_SIZE_MAX = 32_768  # octets of the opening block; the largest captured has 700
USAGE_LINES_MAX = 64  # lines of the usage text that answers a malformed command
COMMAND_SIZE_MAX = 2_000  # octets; Asterisk reads a command into 2,048 (AGI_BUF_LEN)
HUNG_UP = "HANGUP"

_KEY = re.compile(r"agi_[a-z0-9_]{1,64}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,79}")
_REPLY = re.compile(r"200 result=(-?[0-9]{1,10})(?: \((.*)\))?(?: endpos=[0-9]+)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


class AgiError(Exception):
    """What cannot be said or understood in a dialogue; raise one of its children."""


class RemoteAgiError(AgiError):
    """The peer sent what is no FastAGI, or more than is bounded; ``reason`` is a word to count it by."""

    def __init__(self, reason: str, text: str) -> None:
        """Take the word and the sentence."""
        super().__init__(text)
        self.reason = reason


class LocalAgiError(AgiError):
    """We were asked to send what cannot be sent safely; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Request:
    """The opening block: each key once."""

    fields: Mapping[str, str]

    def arguments(self) -> list[str]:
        """Return the arguments that the dialplan gave, in their order; one that is left out ends them."""
        found: list[str] = []
        while (value := self.fields.get(f"agi_arg_{len(found) + 1}")) is not None:
            found.append(value)
        return found


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a command: ``code`` 200 for done, else why not; ``result`` and what stood in parentheses."""

    code: int
    result: int
    value: str


@dataclass(frozen=True, slots=True)
class HungUp:
    """The channel has hung up; the dialogue goes on until it is closed."""


Message = Request | Reply | HungUp


class AgiConnection:
    """The reading side of one dialogue. After an error it must be thrown away."""

    def __init__(self) -> None:
        """Wait for the opening block."""
        self._buffer = bytearray()
        self._fields: dict[str, str] | None = {}
        self._lines = self._octets = 0
        self._awaiting = False
        self._usage = 0  # lines of a usage text that were read, 0 outside of one

    def send(self, command: bytes) -> bytes:
        """Note that a command goes out; its one answer may come now."""
        assert not self._awaiting, "one command at a time"
        self._awaiting = True
        return command

    def receive_data(self, data: bytes) -> list[Message]:
        """Return the messages that these octets complete. Raises RemoteAgiError."""
        self._buffer += data
        messages: list[Message] = []
        while (end := self._buffer.find(b"\n")) >= 0:
            if end > LINE_SIZE_MAX:
                break
            line = self._buffer[:end].decode("utf-8", "replace").rstrip("\r")
            del self._buffer[: end + 1]
            message = self._opening(line) if self._fields is not None else self._answer(line)
            if message is not None:
                messages.append(message)
        if len(self._buffer) > LINE_SIZE_MAX:
            raise RemoteAgiError("line_size", f"a line of more than {LINE_SIZE_MAX} octets")
        return messages

    def _opening(self, line: str) -> Request | None:
        assert self._fields is not None
        if not line:
            request, self._fields = Request(self._fields), None
            return request
        self._lines, self._octets = self._lines + 1, self._octets + len(line)
        if self._lines > LINES_MAX or self._octets > BLOCK_SIZE_MAX:
            raise RemoteAgiError("block_size", f"more than {LINES_MAX} lines or {BLOCK_SIZE_MAX} octets before the end")
        key, colon, value = line.partition(":")
        if not colon or _KEY.fullmatch(key) is None:
            raise RemoteAgiError("not_agi", f"a line that is no agi_ line: {line[:80]!r}")
        if key in self._fields:
            raise RemoteAgiError("repeated_key", f"{key} stands twice; nobody can tell which one the dialplan wrote")
        self._fields[key] = value.removeprefix(" ")
        return None

    def _answer(self, line: str) -> Reply | HungUp | None:
        if line == HUNG_UP:
            return HungUp()
        if not self._awaiting:
            raise RemoteAgiError("unasked", f"a line that nobody asked for: {line[:80]!r}")
        if line.startswith("520-") or self._usage:
            return self._usage_line(line)
        self._awaiting = False
        found = _REPLY.fullmatch(line)
        if found is not None:
            return Reply(200, int(found[1]), found[2] or "")
        if line[:4] in ("510 ", "511 ", "520 "):
            return Reply(int(line[:3]), -1, line[4:])
        raise RemoteAgiError("not_agi", f"an answer that is none: {line[:80]!r}")

    def _usage_line(self, line: str) -> Reply | None:
        self._usage += 1
        if self._usage > USAGE_LINES_MAX:
            raise RemoteAgiError("block_size", f"a usage text of more than {USAGE_LINES_MAX} lines")
        if not line.startswith("520 "):
            return None
        self._usage, self._awaiting = 0, False
        return Reply(520, -1, line[4:])


def quoted(value: str) -> str:
    """Return a value as one word of a command, whatever it holds. Raises LocalAgiError for a control character."""
    if _CONTROL.search(value) is not None:
        raise LocalAgiError("a value holds a control character")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _command(*words: str) -> bytes:
    try:
        octets = " ".join(words).encode("utf-8")
    except UnicodeEncodeError:
        raise LocalAgiError("a command is no text that UTF-8 can carry") from None
    if len(octets) > COMMAND_SIZE_MAX:
        raise LocalAgiError(f"a command of {len(octets)} octets, at most {COMMAND_SIZE_MAX} can be sent")
    return octets + b"\n"


def set_variable(name: str, value: str) -> bytes:
    """Return the command that sets a variable of the channel; an empty value clears it. Raises LocalAgiError."""
    if _NAME.fullmatch(name) is None:
        raise LocalAgiError(f"{name[:80]!r} is no name of a variable")
    return _command("SET VARIABLE", name, quoted(value))


def expanded(template: str) -> bytes:
    """Return the command that has the switch expand a text of ours and answer it. Raises LocalAgiError."""
    return _command("GET FULL VARIABLE", quoted(template))


def set_autohangup(seconds: int) -> bytes:
    """Return the command that ends the channel after so many seconds from now, 0: that forgets such an end."""
    return _command("SET AUTOHANGUP", str(seconds))
