"""An instant is an integer of microseconds since 1970-01-01T00:00:00Z; it is always an argument.

Nothing here reads a clock. Text in is RFC 3339 with an offset, and text out is UTC with microseconds.
Local days and clocks are computed from a named zone of the tz database (the tzdata package), never from the machine's.
"""

import re
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Instant: TypeAlias = int  # microseconds since the epoch, UTC
SECOND: Final = 1_000_000  # microseconds
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 86_400 * SECOND
INSTANT_MAX: Final = 253_402_300_799 * SECOND  # 9999-12-31T23:59:59Z, the last that RFC 3339 can write
NEVER: Final[Instant] = 1 << 62  # an instant behind every page of a calendar too, and sums with it fit 64 bits
WALL_CLOCK_END: Final = 4_102_444_800 * SECOND  # 2100-01-01; zones rarely keep one rule half as long

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WEEK = 7 * DAY
_LOCAL_MAX = INSTANT_MAX - DAY  # a calendar has no year 10000, which a clock ahead of UTC would show a day later
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


def decimal_seconds(duration_us: int) -> str:
    """Return microseconds, 0 or more, as a plain decimal of seconds, without trailing zeros."""
    seconds, fraction = divmod(duration_us, SECOND)
    return f"{seconds}.{fraction:06d}".rstrip("0").rstrip(".")


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
    """Return the proleptic ordinal of the local calendar day that holds the instant; days end before year 10000."""
    return _day_of_second(min(instant, _LOCAL_MAX) // SECOND, where)


@lru_cache(maxsize=256)  # seconds by zones; thousands of calls are decided in one, and clocks change at whole seconds
def _day_of_second(second: int, where: ZoneInfo) -> int:
    return (_EPOCH + timedelta(seconds=second)).astimezone(where).toordinal()


class WallClock:
    """What the clock on the wall of a zone shows, from transitions found once: a look-up is one bisect.

    ``transitions`` are the instants at which the offset changes and ``offsets`` (microseconds east of UTC) those in
    force from them on; the first offset is in force before the first transition. Two changes of one week that undo
    each other would be missed; the shortest time between two in the tz database since 1970 is longer.
    """

    __slots__ = ("offsets", "transitions", "zone")

    def __init__(self, where: ZoneInfo) -> None:
        """Find the zone's transitions from 1970 to WALL_CLOCK_END; later instants keep the last offset."""
        self.zone = where
        self.transitions: list[Instant] = []
        self.offsets = [_offset(0, where)]
        for probe in range(_WEEK, WALL_CLOCK_END, _WEEK):
            if _offset(probe, where) != self.offsets[-1]:
                at = _transition(probe - _WEEK, probe, where)
                self.transitions.append(at)
                self.offsets.append(_offset(at, where))

    def stretch(self, instant: Instant) -> tuple[int, Instant]:
        """Return the offset in force at an instant, and the instant at which the next one does: NEVER for the last."""
        place = bisect_right(self.transitions, instant)
        end = self.transitions[place] if place < len(self.transitions) else NEVER
        return self.offsets[place], end


def _offset(instant: Instant, where: ZoneInfo) -> int:
    offset = (_EPOCH + timedelta(microseconds=instant)).astimezone(where).utcoffset()
    assert offset is not None, where
    return offset // _MICROSECOND


def _transition(before: Instant, after: Instant, where: ZoneInfo) -> Instant:
    """Return the first whole second with the offset of ``after``, which differs from that of ``before``."""
    later = _offset(after, where)
    while after - before > SECOND:
        middle = (before + after) // (2 * SECOND) * SECOND
        before, after = (before, middle) if _offset(middle, where) == later else (middle, after)
    return after


@lru_cache(maxsize=64)  # zones; a daemon's rate tables are in a handful
def wall_clock(name: str) -> WallClock:
    """Return the wall clock of a zone's name; the same one each time. Raises InstantError."""
    return WallClock(zone(name))
