"""An event of the switch, as far as charging needs it: one typed value, from JSON or from plain text alike.

Unknown names are skipped by the decoder, so that an event of 300 headers costs some microseconds.
A plain event is split into lines before anything is URL-decoded: a value that holds %0A stays one value, and a caller's
display name can never become another header. Instants are microseconds of the switch's own clock.
"""

from collections.abc import Callable
from urllib.parse import unquote

import msgspec

from daemon.esl.wire import Encoding, EventBody, RemoteWireError
from daemon.kernel.instant import INSTANT_MAX, Instant

SECONDS_DIGITS_MAX = 9  # digits of a count of seconds; a call of thirty years

VARIABLES = (
    "uuid", "originator", "signal_bond", "bridge_uuid", "billsec", "loopback_leg", "current_application",
    "tollway_account", "tollway_tenant", "tollway_destination", "tollway_request", "tollway_direction",
    "tollway_charge_from", "tollway_override", "tollway_next", "tollway_denied", "tollway_route", "tollway_timer",
    "cgr_reqtype", "cgr_tenant", "cgr_account", "cgr_subject", "cgr_destination",
    "nibble_account", "nibble_rate", "nibble_increment", "nibble_minimum", "accountcode",
)  # fmt: skip
_HEADERS = {
    "name": "Event-Name", "timestamp": "Event-Date-Timestamp", "core": "Core-UUID",
    "channel": "Unique-ID", "direction": "Call-Direction", "channel_name": "Channel-Name", "state": "Channel-State",
    "answer_state": "Answer-State", "destination": "Caller-Destination-Number", "context": "Caller-Context",
    "dialplan": "Caller-Dialplan", "calling": "Caller-Caller-ID-Number", "network": "Caller-Network-Addr",
    "profile_index": "Caller-Profile-Index", "profile_created": "Caller-Profile-Created-Time",
    "created": "Caller-Channel-Created-Time", "answered": "Caller-Channel-Answered-Time",
    "hung_up": "Caller-Channel-Hangup-Time", "cause": "Hangup-Cause",
    "other_type": "Other-Type", "other": "Other-Leg-Unique-ID", "other_direction": "Other-Leg-Direction",
    "other_created": "Other-Leg-Channel-Created-Time", "other_answered": "Other-Leg-Channel-Answered-Time",
    "other_destination": "Other-Leg-Destination-Number",
    "bridge_b": "Bridge-B-Unique-ID",
    "task_id": "Task-ID", "task_group": "Task-Group", "task_runtime": "Task-Runtime",
}  # fmt: skip
HEADERS_OF = _HEADERS | {name: f"variable_{name}" for name in VARIABLES}


class Event(msgspec.Struct, frozen=True, gc=False, rename=HEADERS_OF.__getitem__):
    """What is empty was not there. Times are texts of microseconds; read them by ``instant``."""

    name: str = ""
    timestamp: str = ""
    core: str = ""
    channel: str = ""
    direction: str = ""
    channel_name: str = ""
    state: str = ""
    answer_state: str = ""
    destination: str = ""
    context: str = ""
    dialplan: str = ""
    calling: str = ""
    network: str = ""
    profile_index: str = ""
    profile_created: str = ""
    created: str = ""
    answered: str = ""
    hung_up: str = ""
    cause: str = ""
    other_type: str = ""
    other: str = ""
    other_direction: str = ""
    other_created: str = ""
    other_answered: str = ""
    other_destination: str = ""
    bridge_b: str = ""
    task_id: str = ""
    task_group: str = ""
    task_runtime: str = ""
    uuid: str = ""
    originator: str = ""
    signal_bond: str = ""
    bridge_uuid: str = ""
    billsec: str = ""
    loopback_leg: str = ""
    current_application: str = ""
    tollway_account: str = ""
    tollway_tenant: str = ""
    tollway_destination: str = ""
    tollway_request: str = ""
    tollway_direction: str = ""
    tollway_charge_from: str = ""
    tollway_override: str = ""
    tollway_next: str = ""
    tollway_denied: str = ""
    tollway_route: str = ""
    tollway_timer: str = ""
    cgr_reqtype: str = ""
    cgr_tenant: str = ""
    cgr_account: str = ""
    cgr_subject: str = ""
    cgr_destination: str = ""
    nibble_account: str = ""
    nibble_rate: str = ""
    nibble_increment: str = ""
    nibble_minimum: str = ""
    accountcode: str = ""

    @property
    def at(self) -> Instant:
        """The instant at which the switch made the event, 0 where it does not say."""
        return instant(self.timestamp)

    @property
    def has_variables(self) -> bool:
        """Tell whether the event carries the channel's variables, so that one which is not there is not set."""
        return bool(self.uuid)


_FIELDS = {encoded: name for name, encoded in HEADERS_OF.items()}
_decode_json = msgspec.json.Decoder(Event).decode
_decode_loosely = msgspec.json.Decoder(dict[str, object]).decode


def whole_seconds(text: str) -> int | None:
    """Return the switch's own count of seconds, None where it says none that a call can have."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= SECONDS_DIGITS_MAX else None


def instant(text: str) -> Instant:
    """Return the microseconds that a header states; 0 for nothing, for text, and for what no calendar holds."""
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        return 0
    value = int(text)
    return value if value <= INSTANT_MAX else 0


def decode(body: EventBody) -> Event:
    """Return the event of a message. Raises RemoteWireError where it is none."""
    return _DECODERS[body.encoding](body.body)


def from_json(body: bytes) -> Event:
    """Return the event of a JSON text, as ``event json`` and ``uuid_dump ID json`` write it. Raises RemoteWireError."""
    try:
        return _decode_json(body)
    except msgspec.ValidationError:
        return _from_odd_json(body)
    except RecursionError:
        raise RemoteWireError("a JSON event is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # The switch copies what a caller sent octet by octet, so a display name may be no UTF-8.
        return _from_broken_utf8(body, error)


def _from_odd_json(body: bytes) -> Event:
    """Read an event in which a name that we know is a list: the switch writes a repeated header so."""
    try:
        headers = _decode_loosely(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteWireError(f"a JSON event cannot be decoded: {error}") from None
    known = {_FIELDS[name]: _text(value) for name, value in headers.items() if name in _FIELDS}
    return Event(**known)


def _from_broken_utf8(body: bytes, error: Exception) -> Event:
    mended = body.decode("utf-8", "replace").encode()
    if mended == body:
        raise RemoteWireError(f"a JSON event cannot be decoded: {error}") from None
    return from_json(mended)


def _text(value: object) -> str:
    if isinstance(value, list):  # of texts; a list in it says nothing
        return "ARRAY::" + "|:".join(item if isinstance(item, str) else "" for item in value)
    return value if isinstance(value, str) else ""


def from_plain(body: bytes) -> Event:
    """Return the event of a plain text: first lines, then names, and only then the values are URL-decoded."""
    known: dict[str, str] = {}
    for line in body.split(b"\n"):
        if not line:
            break  # what follows the first empty line is the event's own body
        name, _, value = line.partition(b": ")
        field = _FIELDS_OCTETS.get(name)
        if field is not None:
            known[field] = unquote(value.decode("utf-8", "replace"))
    return Event(**known)


_FIELDS_OCTETS = {name.encode(): field for name, field in _FIELDS.items()}
_DECODERS: dict[Encoding, Callable[[bytes], Event]] = {Encoding.JSON: from_json, Encoding.PLAIN: from_plain}
