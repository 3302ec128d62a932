"""What each kind of switch means by what it sends: which number to trust, which leg pays, what its replies need.

Attributes of time and duration lie, differently for each switch; a profile is one row of that knowledge, with the
function that reads the row's end of a call. Nothing here decides money: it only says what was measured.
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from daemon.kernel.instant import SECOND, Instant
from daemon.radius.dictionary import ACCESS, canonical
from daemon.radius.fields import Fields, plausible

CANCEL = 2  # Sip-Method's bit, alike in Kamailio and OpenSIPS (core/parser/msg_parser.h), where many others differ
ROUTE_DIGITS_MAX = 4  # of a route's number; a grant has 16 routes at most
DIFFERENCE_SECONDS_MAX = 2  # seconds by which a written connect and disconnect may differ from the counted ones


@dataclass(frozen=True, slots=True)
class Measured:
    """An end as the switch measured it; None: it did not say. ``seconds`` is the switch's own count."""

    answered: bool
    duration_us: int | None = None
    answered_at: Instant | None = None
    ended_at: Instant | None = None
    seconds: int | None = None


Measure = Callable[[Fields, Instant, Instant], Measured]  # the fields, the event's instant, the arrival


def by_session_time(fields: Fields, at: Instant, arrival: Instant) -> Measured:
    """Acct-Session-Time; else h323-disconnect-time less h323-connect-time. Zero is a call that nobody answered."""
    seconds = fields.number("Acct-Session-Time")
    connect = plausible(fields.clock("h323-connect-time", "Freeswitch-Callanswerdate"), arrival)
    disconnect = plausible(fields.clock("h323-disconnect-time", "Freeswitch-Callenddate"), arrival)
    if seconds is None and connect is not None and disconnect is not None:
        return _counted(max(0, disconnect - connect), connect, None)
    if seconds is None:
        return Measured(True, None, None, at)
    if connect is not None and not _agree(connect, disconnect, seconds, at):
        connect = None
    return _counted(seconds * SECOND, connect if connect is not None else at - seconds * SECOND, seconds)


def _agree(connect: Instant, disconnect: Instant | None, seconds: int, at: Instant) -> bool:
    """Tell whether the written times bear the counted seconds out; without a disconnect, the event's own instant."""
    lasted = (disconnect if disconnect is not None else at) - connect
    return abs(lasted - seconds * SECOND) <= DIFFERENCE_SECONDS_MAX * SECOND


def _counted(duration_us: int, answered_at: Instant, seconds: int | None) -> Measured:
    if duration_us == 0:
        return Measured(False, 0, None, None, seconds)
    return Measured(True, duration_us, answered_at, answered_at + duration_us, seconds)


def by_event_timestamps(fields: Fields, at: Instant, arrival: Instant) -> Measured:
    """Kamailio: no duration at all; the Stop's own time ends the call, and a CANCEL was never answered."""
    seconds = fields.number("Acct-Session-Time")
    if seconds is not None:
        return by_session_time(fields, at, arrival)
    return Measured(fields.number("Sip-Method") != CANCEL, None, None, at)


def by_milliseconds(fields: Fields, at: Instant, arrival: Instant) -> Measured:
    """OpenSIPS: a CDR's Event-Timestamp is the call's start, Sip-Call-Duration is rounded up; else as Kamailio."""
    milliseconds, seconds = fields.number("Sip-Call-MSDuration"), fields.number("Sip-Call-Duration")
    if milliseconds is None and seconds is None:
        return by_event_timestamps(fields, at, arrival)
    duration_us = milliseconds * 1000 if milliseconds is not None else (seconds or 0) * SECOND
    stamped = plausible(fields.event_timestamp(), arrival)
    answered_at = stamped if stamped is not None else at - duration_us
    return _counted(duration_us, answered_at, seconds)


def by_bill_sec(fields: Fields, at: Instant, arrival: Instant) -> Measured:
    """Asterisk: Bill-Sec from Answer-Time, which is the epoch in an unanswered call."""
    seconds = fields.number("Asterisk-Bill-Sec")
    if seconds is None:
        return by_session_time(fields, at, arrival)
    answered_at = plausible(fields.clock("Asterisk-Answer-Time"), arrival)
    return _counted(seconds * SECOND, answered_at if answered_at is not None else at - seconds * SECOND, seconds)


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of switch.

    ``start_answers``: a Start says that the call was answered (``setup_starts``: not where it tells a setup time and no
    connect time). ``reports_answer``: an unanswered grant may lapse after the ring time. ``other_leg``: the leg that
    never pays. ``prefixed``: replies carry ``name=`` before a Cisco value. ``peer_address``: which attributes name the
    address that the switch saw; ``context``: which the dialplan context by which a call came. ``sip_avps``: replies
    carry SIP-AVP. ``routing``: replies carry Routing lines. ``callers_ids``: its call ids are SIP Call-IDs, which the
    caller chooses.
    """

    name: str
    measure: Measure = by_session_time
    start_answers: bool = True
    setup_starts: bool = False
    reports_answer: bool = True
    delay_is_delay: bool = True
    hexadecimal_cause: bool = True
    other_leg: str = ""
    other_leg_is_common: bool = False
    prefixed: bool = False
    peer_address: tuple[str, ...] = ()
    user: tuple[str, ...] = ("User-Name",)
    called: tuple[str, ...] = ("Called-Station-Id",)
    calling: tuple[str, ...] = ("Calling-Station-Id",)
    session: tuple[str, ...] = ("Acct-Session-Id",)
    context: tuple[str, ...] = ()
    sip_avps: bool = False
    routing: bool = False
    callers_ids: bool = False


TABLE = {
    "generic": Profile("generic"),
    "cisco": Profile(
        "cisco", setup_starts=True, reports_answer=False, other_leg="originate", prefixed=True,
        peer_address=("h323-remote-address",),
    ),
    "kamailio": Profile("kamailio", measure=by_event_timestamps, sip_avps=True, callers_ids=True),
    "opensips": Profile(
        "opensips", measure=by_milliseconds, reports_answer=False, sip_avps=True, callers_ids=True
    ),
    "freeswitch": Profile(
        "freeswitch", start_answers=False, reports_answer=False, other_leg="outbound", other_leg_is_common=True,
        peer_address=("src-gw-ip",), called=("Freeswitch-Dst", "Called-Station-Id"),
        calling=("Freeswitch-Src", "Calling-Station-Id"), context=("Freeswitch-Context",),
    ),
    "asterisk": Profile(
        "asterisk", measure=by_bill_sec, start_answers=False, reports_answer=False,
        user=("Asterisk-Chan", "User-Name"), called=("Asterisk-Dst", "Called-Station-Id"),
        calling=("Asterisk-Src", "Calling-Station-Id"), context=("Asterisk-Dst-Ctx",),
    ),
    "sippy": Profile(
        "sippy", setup_starts=True, delay_is_delay=False, peer_address=("h323-remote-address",), routing=True
    ),
    "audiocodes": Profile(
        "audiocodes", setup_starts=True, reports_answer=False, hexadecimal_cause=False, other_leg="originate",
    ),
}  # fmt: skip
assert TABLE.keys() == ACCESS.keys()


def profile(name: str) -> Profile:
    """Return a profile by its name. Raises ValueError."""
    return TABLE[canonical(name)]


def leg(fields: Fields) -> str:
    """Return which leg of its call a record is about: answer or originate (inbound or outbound in FreeSWITCH)."""
    direction = fields.text("Freeswitch-Direction")
    origin = fields.voip("h323-call-origin")
    return direction or {"originate": "originate", "answer": "answer"}.get(origin, "")


def stated(fields: Fields, name: str) -> str:
    """Return what a client itself writes as ``name=value``, or nothing.

    It stands in an AVPair of any vendor, of mod_radius_cdr too, in a SIP proxy's SIP-AVP, or in Asterisk's user field.
    """
    written = fields.voip(name)
    for attribute in ("Freeswitch-AVPair", "SIP-AVP", "Asterisk-User-Field"):
        written = written or fields.member(attribute, name)
    return written


def route(fields: Fields) -> int:
    """Return the number of the carrier's route that a record names as ``tollway_route=N``, 0 where it names none."""
    written = stated(fields, "tollway_route")
    return int(written) if written.isascii() and written.isdigit() and len(written) <= ROUTE_DIGITS_MAX else 0


def is_address(written: str) -> bool:
    """Tell whether a text is an IPv4 or IPv6 address."""
    try:
        ip_address(written)
    except ValueError:
        return False
    return True


def seen_address(fields: Fields, switch: Profile) -> str:
    """Return the address that a switch says a call came from, or nothing: Sippy names it as the user too."""
    user = fields.text(*switch.user) if switch.routing else ""
    return next((one for one in (user, fields.voip(*switch.peer_address)) if is_address(one)), "")


def cause(fields: Fields, switch: Profile) -> str:
    """Return the Q.850 cause in decimal, where the switch tells one."""
    written = fields.voip("h323-disconnect-cause").split(" ")[0]
    if written:
        return _q850(written, 16 if switch.hexadecimal_cause else 10)
    number = fields.number("Freeswitch-Hangupcause")
    if number is not None:
        return str(number)
    return fields.text("Asterisk-Disposition")


def _q850(written: str, base: int) -> str:
    try:
        number = int(written, base)
    except ValueError:
        return ""
    return str(number) if 0 <= number <= 127 else ""
