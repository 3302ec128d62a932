"""The manager interface without a socket: octets in, frozen messages out; actions in, octets out.

After its greeting Asterisk sends messages: lines ``Key: Value`` and an empty one. Answers carry the ActionID of their
action, events come unasked. Everything is bounded. No value can become a second line: what holds a control character
is refused. A message in which a key that decides stands twice is told as such: one of the two is somebody's own text.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

LINE_SIZE_MAX = 65_536  # octets of one line; the longest captured has 91, a variable's value may have some 8,000
LINES_MAX = 1_024  # lines of one message; the longest captured has 37
GREETING_SIZE_MAX = 256  # octets; "Asterisk Call Manager/11.0.0" has 28
ACTION_LINE_SIZE_MAX = 1_000  # octets of one line of ours; Asterisk reads 1,024
ACTION_LINES_MAX = 32  # lines of one action; Asterisk takes 128
GREETING = "Asterisk Call Manager/"

# A second one of these in one message was never written by the switch itself.
DECISIVE = frozenset({
    "Event", "Response", "ActionID", "Uniqueid", "Linkedid", "DestUniqueid", "DialStatus", "ChannelState", "Cause",
    "BridgeUniqueid", "Timestamp", "Challenge",
})  # fmt: skip

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


class AmiError(Exception):
    """What cannot be said or understood on the manager interface; raise one of its children."""


class RemoteAmiError(AmiError):
    """The switch sent what is no manager interface, or more than is bounded: close the link."""


class LocalAmiError(AmiError):
    """We were asked to send what cannot be sent safely; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """The first line, with the version of the protocol."""

    version: str


@dataclass(frozen=True, slots=True)
class AmiMessage:
    """An answer or an event. Of a key that stands twice the first is kept; ``repeated`` names those that decide."""

    fields: Mapping[str, str]
    repeated: frozenset[str] = frozenset()

    def get(self, key: str) -> str:
        """Return a value, empty where it is not there."""
        return self.fields.get(key, "")


class AmiConnection:
    """The reading side of one link. After an error it must be thrown away."""

    def __init__(self) -> None:
        """Wait for the greeting."""
        self._buffer = bytearray()
        self._scanned = 0
        self._greeted = False
        self._fields: dict[str, str] = {}
        self._repeated: set[str] = set()
        self._lines = 0

    def receive_data(self, data: bytes) -> list[Greeting | AmiMessage]:
        """Return the messages that these octets complete. Raises RemoteAmiError."""
        self._buffer += data
        messages: list[Greeting | AmiMessage] = []
        begins = 0
        while (end := self._buffer.find(b"\n", max(begins, self._scanned))) >= 0:
            if end - begins > LINE_SIZE_MAX:
                break
            line = self._buffer[begins:end].decode("utf-8", "replace").rstrip("\r")
            begins = end + 1
            message = self._line(line)
            if message is not None:
                messages.append(message)
        del self._buffer[:begins]
        self._scanned = len(self._buffer)
        limit = LINE_SIZE_MAX if self._greeted else GREETING_SIZE_MAX
        if len(self._buffer) > limit:
            raise RemoteAmiError(f"a line of more than {limit} octets")
        return messages

    def _line(self, line: str) -> Greeting | AmiMessage | None:
        if not self._greeted:
            if not line.startswith(GREETING):
                raise RemoteAmiError(f"the greeting is {line[:80]!r}, not {GREETING}…: is this the manager's port?")
            self._greeted = True
            return Greeting(line.removeprefix(GREETING).strip())
        if not line:
            return self._completed()
        self._lines += 1
        if self._lines > LINES_MAX:
            raise RemoteAmiError(f"a message of more than {LINES_MAX} lines")
        key, colon, value = line.partition(":")
        if not colon:
            return None  # the rest of a value that itself held a line break: text, and never a key
        if key not in self._fields:
            self._fields[key] = value.strip(" ")
        elif key in DECISIVE:
            self._repeated.add(key)
        return None

    def _completed(self) -> AmiMessage | None:
        if not self._fields:
            self._lines = 0
            return None
        message = AmiMessage(self._fields, frozenset(self._repeated))
        self._fields, self._repeated, self._lines = {}, set(), 0
        return message


def action(name: str, action_id: str, fields: Mapping[str, str]) -> bytes:
    """Return the octets of one action. Raises LocalAmiError for what could become another line."""
    lines = [("Action", name), ("ActionID", action_id), *fields.items()]
    if len(lines) > ACTION_LINES_MAX:
        raise LocalAmiError(f"an action of {len(lines)} lines, at most {ACTION_LINES_MAX} can be sent")
    return b"".join(_action_line(key, value) for key, value in lines) + b"\r\n"


def _action_line(key: str, value: str) -> bytes:
    if _KEY.fullmatch(key) is None:
        raise LocalAmiError(f"{key[:80]!r} is no key of an action")
    if _CONTROL.search(value) is not None:
        raise LocalAmiError(f"{key} holds a control character")
    try:
        octets = f"{key}: {value}".encode()
    except UnicodeEncodeError:
        raise LocalAmiError(f"{key} is no text that UTF-8 can carry") from None
    if len(octets) > ACTION_LINE_SIZE_MAX:
        raise LocalAmiError(f"{key} has {len(octets)} octets, at most {ACTION_LINE_SIZE_MAX} can be sent")
    return octets + b"\r\n"


def login_key(challenge: str, secret: str) -> str:
    """Return what proves a secret to who sent this challenge, without sending it (AuthType MD5)."""
    return hashlib.md5(f"{challenge}{secret}".encode(), usedforsecurity=False).hexdigest()
