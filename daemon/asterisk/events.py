"""What the daemon reads of an event of the manager interface: a few fields, typed; the rest is not looked at.

Every instant is by the switch's clock, 0 where the switch does not state it (``timestampevents`` is off).
Nothing of a caller's own text decides anything: names and numbers of callers are not read here at all.
"""

from typing import NamedTuple

from daemon.asterisk.ami_wire import AmiMessage
from daemon.kernel.instant import SECOND, Instant

SECONDS_DIGITS_MAX = 11  # digits of the seconds of an instant: up to the year 5138
CALLED_ANSWERED = "ANSWER"
UP = "6"  # ChannelState of an answered channel (AST_STATE_UP)
HOLDING = "holding"  # the BridgeType of a parking lot: nobody talks in it


class Event(NamedTuple):
    """What is empty was not there."""

    name: str
    at: Instant = 0
    channel: str = ""
    uniqueid: str = ""
    state: str = ""
    called: str = ""
    called_channel: str = ""
    dial_string: str = ""
    dial_status: str = ""
    cause: str = ""
    bridge: str = ""
    bridge_type: str = ""
    application: str = ""


def decode(message: AmiMessage) -> Event:
    """Return the event of a message."""
    get = message.get
    return Event(
        get("Event"), instant(get("Timestamp")), get("Channel"), get("Uniqueid"), get("ChannelState"),
        get("DestUniqueid"), get("DestChannel"), get("DialString"), get("DialStatus"), get("Cause"),
        get("BridgeUniqueid") or get("BridgeId"), get("BridgeType"), get("Application"),
    )  # fmt: skip


def instant(text: str) -> Instant:
    """Return the microseconds of ``1795457649.123456``; 0 for nothing, and for what is no such text."""
    seconds, point, fraction = text.partition(".")
    if not (seconds.isascii() and seconds.isdigit()) or len(seconds) > SECONDS_DIGITS_MAX:
        return 0
    if point and not (fraction.isascii() and fraction.isdigit()):
        return 0
    return int(seconds) * SECOND + int(fraction[:6].ljust(6, "0"))
