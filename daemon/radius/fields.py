"""A request's attributes by name, as text, numbers and instants; the writings of gateways, read with suspicion.

A value with or without its ``name=`` prefix is the same value; a name may be an attribute or a member of an AVPair.
A time without a zone that we can tell, or marked by the gateway as not synchronised, is no time. A number of the
wrong length is no number; whether it was there at all can still be asked.
"""

import re
from datetime import UTC, datetime, timedelta, timezone

from daemon.kernel.instant import INSTANT_MAX, SECOND, Instant
from daemon.radius.dictionary import dictionary
from daemon.radius.packet import Packet

EVENT_AGE_SECONDS_MAX = 366 * 86_400  # seconds; an older event's time is a clock that was never set, and ignored
DELAY_SECONDS_MAX = 86_400  # seconds; a longer Acct-Delay-Time is no delay (one switch sends its clock there)
NOT_AN_ANSWER = 86_400 * SECOND  # microseconds; Asterisk writes the epoch where a call was not answered

_VENDORS = ("", "Quintum-", "AudioCodes-", "AudioCodes-4923-")
_AVPAIRS = ("Cisco-AVPair", "Quintum-AVPair", "AudioCodes-AVPair", "AudioCodes-4923-AVPair")
_NTP = re.compile(
    r"([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,6}))? ([A-Z]{1,4}) "
    r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) +([0-9]{1,2}) ([0-9]{4})"
)
_ISO = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,6}))? ?([+-][0-9]{2})(.{1,2})"
)
_UNIVERSAL = frozenset({"UTC", "GMT", "Z", "UT"})
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# mod_radius_cdr prints the seconds of a half-hour zone into two places: +05:30 comes as +0518, +05:45 as +0527.
_ZONE_MINUTES = {"00": 0, "0": 0, "18": 30, "30": 30, "27": 45, "45": 45, "90": 15, "15": 15}


def text(value: bytes) -> str:
    """Return octets as text that shows itself whole: what is not UTF-8 or not printable is escaped."""
    shown = value.decode("utf-8", "backslashreplace")
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)


class Fields:
    """The attributes of one request by the names of its profile's dictionary."""

    __slots__ = ("_pairs", "_values")

    def __init__(self, packet: Packet, profile: str) -> None:
        """Sort a packet's attributes. Unknown ones are not needed here; they stay in the packet."""
        by_key = dictionary(profile, packet.code).by_key
        self._values: dict[str, list[bytes]] = {}
        for key, value in packet.attributes:
            definition = by_key.get(key)
            if definition is not None:
                self._values.setdefault(definition.name, []).append(value)
        self._pairs: dict[str, str] = {}
        for name in _AVPAIRS:
            for value in self._values.get(name, ()):
                pair, equals, rest = text(value).partition("=")
                if equals:
                    self._pairs.setdefault(pair.strip(), rest)

    def has(self, name: str) -> bool:
        """Tell whether an attribute is there, whatever its value."""
        return name in self._values

    def text(self, *names: str) -> str:
        """Return the first of these attributes that is not empty, or nothing."""
        for name in names:
            for value in self._values.get(name, ()):
                if value:
                    return text(value)
        return ""

    def number(self, name: str) -> int | None:
        """Return an integer of four octets, or None."""
        values = self._values.get(name)
        return int.from_bytes(values[0], "big") if values and len(values[0]) == 4 else None

    def is_malformed(self, name: str) -> bool:
        """Tell whether an integer attribute is there with another length than four octets."""
        return any(len(value) != 4 for value in self._values.get(name, ()))

    def voip(self, *names: str) -> str:
        """Return a VoIP attribute of any vendor, or the AVPair member of its name, less a ``name=`` prefix."""
        for name in names:
            for vendor in _VENDORS:
                found = self.text(vendor + name)
                if found:
                    return found.removeprefix(f"{name}=").strip()
            if self._pairs.get(name):
                return self._pairs[name].strip()
        return ""

    def member(self, attribute: str, name: str) -> str:
        """Return what follows ``name=``, ``name:`` or ``name#`` in the values of an attribute, or nothing."""
        for value in self._values.get(attribute, ()):
            written = text(value)
            if written.startswith(name) and written[len(name) : len(name) + 1] in ("=", ":", "#"):
                return written[len(name) + 1 :].strip()
        return ""

    def clock(self, *names: str) -> Instant | None:
        """Return the instant that a VoIP or text attribute tells, or None where it cannot be believed."""
        written = self.voip(*names)
        return read_time(written) if written else None

    def event_timestamp(self) -> Instant | None:
        """Return Event-Timestamp: seconds of RFC 2869 section 5.3, or Kamailio's text ``1445590624.377372``."""
        seconds = self.number("Event-Timestamp")
        if seconds is not None:
            return seconds * SECOND
        written = self.text("Event-Timestamp")
        whole, point, fraction = written.partition(".")
        if point and len(written) <= 17 and (whole + fraction).isascii() and (whole + fraction).isdigit():
            return int(whole or "0") * SECOND + int(fraction[:6].ljust(6, "0"))
        return None


def plausible(at: Instant | None, arrival: Instant) -> Instant | None:
    """Return an event's instant, never later than its arrival, or None where it is too old to be true."""
    if at is None or at < arrival - EVENT_AGE_SECONDS_MAX * SECOND:
        return None
    return min(at, arrival)


def happened_at(fields: Fields, arrival: Instant, *, delay_is_delay: bool) -> Instant:
    """Return when an event happened: Event-Timestamp if plausible, else the arrival less Acct-Delay-Time."""
    stamped = plausible(fields.event_timestamp(), arrival)
    if stamped is not None:
        return stamped
    delay = fields.number("Acct-Delay-Time") if delay_is_delay else None
    if delay is None or delay > DELAY_SECONDS_MAX:
        return arrival
    return arrival - delay * SECOND


def read_time(written: str) -> Instant | None:
    """Return the instant of a gateway's text: NTP style, or ISO with an offset. Asterisk's epoch is none."""
    if written.startswith(("*", ".")):
        return None  # Cisco: not authoritative, or not synchronised
    instant = _read_ntp(written) or _read_iso(written)
    return instant if instant is not None and NOT_AN_ANSWER < instant <= INSTANT_MAX else None


def _read_ntp(written: str) -> Instant | None:
    match = _NTP.fullmatch(written)
    if match is None or match[3] not in _UNIVERSAL or match[4] not in _MONTHS:
        return None
    day = f"{match[6]}-{_MONTHS.index(match[4]) + 1:02d}-{int(match[5]):02d}"
    return _instant(day, match[1], match[2], 0)


def _read_iso(written: str) -> Instant | None:
    match = _ISO.fullmatch(written)
    if match is None or match[5] not in _ZONE_MINUTES:
        return None
    minutes = int(match[4]) * 60
    minutes += -_ZONE_MINUTES[match[5]] if match[4].startswith("-") else _ZONE_MINUTES[match[5]]
    return _instant(match[1], match[2], match[3], minutes)


def _instant(day: str, clock: str, fraction: str | None, offset_minutes: int) -> Instant | None:
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
        seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None
    return seconds * SECOND + int((fraction or "0").ljust(6, "0"))
