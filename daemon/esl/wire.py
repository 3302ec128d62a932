"""The event socket without a socket: bytes in, frozen messages out; commands in, bytes out.

A message is a header block, an empty line and, where Content-Length says so, a body (mod_event_socket).
Everything is bounded, and an error says whose fault it is: RemoteWireError the switch's, LocalWireError ours.
No value can become a second command: what holds a control character, or cannot be escaped, is refused.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

HEADER_SIZE_MAX = 65_536  # octets of one header block; an outbound connect's, the largest captured, has 5,700
EVENT_SIZE_MAX = 1_048_576  # octets of one event; the largest captured, a CHANNEL_HANGUP_COMPLETE, has 12,556
REPLY_SIZE_MAX = 67_108_864  # octets of one reply; "show channels as json" has about 1,000 for each channel
COMMAND_SIZE_MAX = 65_536  # octets; ours: sixteen dial strings of 2,000 octets and the rest fit
VARIABLES_MAX = 64  # variables in one uuid_setvar_multi: the size of the array that it splits into


class WireError(Exception):
    """What cannot be said or understood on the event socket; raise one of its children."""


class RemoteWireError(WireError):
    """The switch sent what is no event socket protocol, or more than is bounded: close the link."""


class LocalWireError(WireError):
    """We were asked to send what cannot be sent safely; nothing was sent."""


@dataclass(frozen=True, slots=True)
class AuthRequest:
    """The switch asks for the password."""


@dataclass(frozen=True, slots=True)
class CommandReply:
    """The answer to a command of the socket itself; ``text`` is its Reply-Text."""

    text: str


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """The answer to ``api``: the body as it is."""

    body: bytes


class Encoding(Enum):
    """How the body of an event is written."""

    JSON = "text/event-json"
    PLAIN = "text/event-plain"


@dataclass(frozen=True, slots=True)
class EventBody:
    """An event, not yet decoded."""

    encoding: Encoding
    body: bytes


@dataclass(frozen=True, slots=True)
class DisconnectNotice:
    """The switch closes the link; ``lingers`` where it says that it will stay for a while."""

    text: str
    lingers: bool


@dataclass(frozen=True, slots=True)
class RudeRejection:
    """The switch's access list refuses our address."""

    text: str


@dataclass(frozen=True, slots=True)
class OtherMessage:
    """A content type that nobody asked for; it is counted, not understood."""

    content_type: str


Message = AuthRequest | CommandReply | ApiResponse | EventBody | DisconnectNotice | RudeRejection | OtherMessage

_EVENTS = {encoding.value: encoding for encoding in Encoding}
_FRAMING = frozenset({"Content-Length", "Content-Type"})  # what a second one of would be another message
_LENGTH = re.compile(r"[0-9]{1,9}")


class EslConnection:
    """The reading side of one link. After an error it must be thrown away."""

    def __init__(self) -> None:
        """Start in the middle of nothing."""
        self._buffer = bytearray()
        self._at = 0  # what lies before was read
        self._scanned = 0  # no empty line ends before here
        self._headers: dict[str, str] | None = None
        self._body_size = 0
        self.fault: RemoteWireError | None = None  # what ended it

    @property
    def is_within_message(self) -> bool:
        """Tell whether a message has begun and its end was not received."""
        return self._headers is not None or bool(self._buffer.strip(b"\n"))

    def receive_data(self, data: bytes) -> list[Message]:
        """Return the messages that these octets complete. Raises RemoteWireError.

        How octets come in pieces changes nothing: what was complete before a fault is returned, and the fault is
        raised by the next call; ``fault`` tells it at once.
        """
        if self.fault is not None:
            raise self.fault
        self._buffer += data
        messages: list[Message] = []
        try:
            while (message := self._next()) is not None:
                messages.append(message)
        except RemoteWireError as error:
            self.fault = error
            if not messages:
                raise
            return messages
        del self._buffer[: self._at]
        self._scanned = max(0, self._scanned - self._at)
        self._at = 0
        return messages

    def _next(self) -> Message | None:
        if self._headers is None and not self._read_headers():
            return None
        assert self._headers is not None
        end = self._at + self._body_size
        if len(self._buffer) < end:
            return None
        body = bytes(memoryview(self._buffer)[self._at : end])
        self._at = end
        headers, self._headers = self._headers, None
        return _message(headers, body)

    def _read_headers(self) -> bool:
        while self._buffer.startswith(b"\n", self._at):  # empty lines between messages mean nothing
            self._at += 1
        end = self._buffer.find(b"\n\n", max(self._at, self._scanned - 1))
        size = (end if end >= 0 else len(self._buffer)) - self._at
        if size > HEADER_SIZE_MAX:
            raise RemoteWireError(f"a header block of more than {HEADER_SIZE_MAX} octets")
        if end < 0:
            self._scanned = len(self._buffer)
            return False
        self._headers = _headers(bytes(self._buffer[self._at : end]))
        self._at = end + 2
        self._body_size = _body_size(self._headers)
        return True


def _headers(block: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in block.split(b"\n"):
        name, colon, value = line.partition(b":")
        if not colon:
            raise RemoteWireError(f"a header line without a colon: {line[:80]!r}")
        # Header values of the socket itself are not URL-encoded; only those inside a plain event are.
        text = name.decode("utf-8", "replace")
        if text in headers and text in _FRAMING:
            raise RemoteWireError(f"{text} is stated twice")
        headers[text] = value.strip().decode("utf-8", "replace")
    return headers


def _body_size(headers: dict[str, str]) -> int:
    length = headers.get("Content-Length", "0")
    if _LENGTH.fullmatch(length) is None:
        raise RemoteWireError(f"Content-Length is {length[:40]!r}")
    limit = EVENT_SIZE_MAX if headers.get("Content-Type") in _EVENTS else REPLY_SIZE_MAX
    if int(length) > limit:
        raise RemoteWireError(f"a body of {length} octets, at most {limit} are taken")
    return int(length)


def _message(headers: dict[str, str], body: bytes) -> Message:
    kind = headers.get("Content-Type", "")
    encoding = _EVENTS.get(kind)
    if encoding is not None:
        return EventBody(encoding, body)
    if kind == "command/reply":
        return CommandReply(headers.get("Reply-Text", ""))
    if kind == "api/response":
        return ApiResponse(body)
    if kind == "auth/request":
        return AuthRequest()
    text = body.decode("utf-8", "replace").strip()
    if kind == "text/disconnect-notice":
        return DisconnectNotice(text, headers.get("Content-Disposition") == "linger")
    return RudeRejection(text) if kind == "text/rude-rejection" else OtherMessage(kind)


_UUID = re.compile(r"[0-9A-Za-z._@-]{1,253}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_PLAYED = re.compile(r"[!-~]{1,256}")
_WORD = re.compile(r"[0-9A-Za-z*#+._~:@][0-9A-Za-z*#+._~:@-]{0,252}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
# switch_separate_string takes the quote, the backslash, the delimiter and outer blanks as its own.
_ESCAPED = str.maketrans({"\\": "\\\\", "'": "\\'", ";": "\\;", '"': '\\"'})


def command(text: str) -> bytes:
    """Return the octets of one command of the socket. Raises LocalWireError."""
    if _CONTROL.search(text) is not None:
        raise LocalWireError("a command holds a control character")
    octets = text.encode("utf-8", "surrogatepass") if text.isascii() else _utf8(text)
    if not octets or len(octets) > COMMAND_SIZE_MAX:
        raise LocalWireError(f"a command of {len(octets)} octets, 1 to {COMMAND_SIZE_MAX} can be sent")
    return octets + b"\n\n"


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise LocalWireError("a command is no text that UTF-8 can carry") from None


def auth(password: str) -> bytes:
    """Return the command that proves who we are."""
    return command(f"auth {password}")


def subscribe(names: Iterable[str]) -> bytes:
    """Return the command that asks for these events, as JSON."""
    return command("event json " + " ".join(word(name) for name in names))


def api(*words: str) -> bytes:
    """Return an ``api`` command of words that were checked or escaped."""
    return command("api " + " ".join(words))


def is_uuid(text: str) -> bool:
    """Tell whether a text can be a channel's id."""
    return _UUID.fullmatch(text) is not None and not text.startswith("-")


def uuid(text: str) -> str:
    """Return a channel's id unchanged. Raises LocalWireError where it is none."""
    if not is_uuid(text):
        raise LocalWireError("a channel id holds what no channel id holds")
    return text


def word(text: str) -> str:
    """Return a destination, dialplan, context or cause that is one word and no option. Raises LocalWireError."""
    if _WORD.fullmatch(text) is None:
        raise LocalWireError(f"{text[:80]!r} is not one plain word")
    return text


def played(text: str) -> str:
    """Return a file or a tone that is one word, whatever it holds beside blanks. Raises LocalWireError."""
    if _PLAYED.fullmatch(text) is None:
        raise LocalWireError(f"{text[:80]!r} is not one word that a switch can play")
    return text


def setvar_multi(channel: str, variables: Iterable[tuple[str, str]]) -> bytes:
    """Return ``uuid_setvar_multi`` with every value escaped; an empty value clears. Raises LocalWireError."""
    pairs = [f"{_name(name)}={escaped(value)}" for name, value in variables]
    if not 1 <= len(pairs) <= VARIABLES_MAX:
        raise LocalWireError(f"{len(pairs)} variables, 1 to {VARIABLES_MAX} can be set at once")
    return api("uuid_setvar_multi", uuid(channel), ";".join(pairs))


def _name(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise LocalWireError(f"{text[:80]!r} is no name of a variable")
    return text


def escaped(value: str) -> str:
    """Return a value that uuid_setvar_multi takes as it stands. Raises LocalWireError for what it would not keep.

    The switch refuses values in which it sees a variable (``${``, ``$${``), so they are refused here, aloud.
    """
    if _CONTROL.search(value) is not None:
        raise LocalWireError("a variable's value holds a control character")
    if "${" in value:
        raise LocalWireError("a variable's value names a variable: the switch would drop it")
    body = value.strip(" ")
    before, after = len(value) - len(value.lstrip(" ")), len(value) - len(value.rstrip(" "))
    if not body:
        return "\\s" * len(value)
    return "\\s" * before + body.translate(_ESCAPED) + "\\s" * after
