"""An instant is an integer of microseconds since 1970-01-01T00:00:00Z; it is always an argument.

Nothing here reads a clock. Text in is RFC 3339 with an offset, and text out is UTC with microseconds.
Local days and clocks are computed from a named zone of the tz database (the tzdata package), never from the machine's.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Instant: TypeAlias = int  # microseconds since the epoch, UTC
SECOND: Final = 1_000_000  # microseconds
MINUTE: Final = 60 * SECOND
DAY: Final = 86_400 * SECOND
INSTANT_MAX: Final = 253_402_300_799 * SECOND  # 9999-12-31T23:59:59Z, the last that RFC 3339 can write

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


class InstantError(ValueError):
    """A text that is no RFC 3339 time with an offset, or a zone that the tz database does not know."""


def parse_rfc3339(text: str) -> Instant:
    """Return the instant of an RFC 3339 text; digits beyond microseconds are cut. Raises InstantError."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise InstantError(f"{text!r} is not an RFC 3339 time with an offset, such as 2026-01-01T00:00:00Z")
    day, clock, fraction, offset = match.groups()
    zone = "+00:00" if offset in "Zz" else offset
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{zone}")
    except ValueError as error:
        raise InstantError(f"{text!r}: {error}") from None
    instant = (moment - _EPOCH) // timedelta(seconds=1) * SECOND + int((fraction or "0")[:6].ljust(6, "0"))
    if not 0 <= instant <= INSTANT_MAX:
        raise InstantError(f"{text!r} lies outside 1970 to 9999")
    return instant


def format_rfc3339(instant: Instant) -> str:
    """Return the instant as UTC with microseconds: ``2026-11-24T01:02:03.000004Z``."""
    return (_EPOCH + timedelta(microseconds=instant)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_seconds(seconds: int) -> Instant:
    """Return the instant of a whole number of Unix seconds."""
    return seconds * SECOND


def zone(name: str) -> ZoneInfo:
    """Return the zone of a tz database name. Raises InstantError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InstantError(f"{name!r} is not a zone of the tz database, such as Europe/Paris") from None


def local_day(instant: Instant, where: ZoneInfo) -> int:
    """Return the proleptic ordinal of the local calendar day that holds the instant."""
    return (_EPOCH + timedelta(microseconds=instant)).astimezone(where).toordinal()
