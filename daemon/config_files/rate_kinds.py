"""The kinds of value that only prices need: prefixes, intervals of a week, holidays, patterns, words of a deck.

What a value means is the rating core's to say: each reader asks it, and keeps the value as it is written.
"""

import re
from datetime import date, datetime
from typing import Final

from daemon.charging.configuration import EVERY_NUMBER
from daemon.config_files.kinds import TEXT, Scalar, Unfit, matching, quoted
from daemon.kernel.e164 import DIGITS_MAX, digits
from daemon.rating.override_pattern import PATTERN_LENGTH_MAX, pattern_fault
from daemon.rating.time_band import parse_intervals

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_YEAR_MIN: Final = 1970  # instants begin there


def _prefix(value: object) -> str:
    written = str(TEXT.parse(value))
    found = digits(written)
    if found is None:
        raise Unfit(f"{quoted(written)} is not 1 to {DIGITS_MAX} digits after an optional +")
    return found


PREFIX: Final = Scalar(f"prefix of 1 to {DIGITS_MAX} digits", _prefix)
PREFIX_OR_EVERY: Final = Scalar(
    'prefix, or "*" for every number', lambda value: EVERY_NUMBER if value == EVERY_NUMBER else _prefix(value)
)


def _interval(value: object) -> str:
    written = str(TEXT.parse(value))
    try:
        parse_intervals(written)
    except ValueError as error:
        raise Unfit(f"{quoted(written)} {error}") from None
    return written


INTERVAL: Final = Scalar('interval such as "mon-fri 08:00-20:00"', _interval)


def _holiday(value: object) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        return _placed(value)  # TOML's own local date
    written = str(TEXT.parse(value))
    if _DATE.fullmatch(written) is None:
        raise Unfit(f"{quoted(written)} is no day such as 2026-12-25")
    try:
        day = date.fromisoformat(written)
    except ValueError:
        raise Unfit(f"{quoted(written)} is no day of the calendar") from None
    return _placed(day)


def _placed(day: date) -> str:
    if day.year < _YEAR_MIN:
        raise Unfit(f"lies before {_YEAR_MIN}; write a day such as 2026-12-25")
    return day.isoformat()


HOLIDAY: Final = Scalar("day such as 2026-12-25", _holiday)


def _pattern(value: object) -> str:
    written = str(TEXT.parse(value))
    if fault := pattern_fault(written):
        raise Unfit(fault)
    return written


PATTERN: Final = Scalar(f"regular expression of at most {PATTERN_LENGTH_MAX} characters", _pattern)
UNIT: Final = matching(
    "word", r"[a-z][a-z0-9_-]{0,31}", "is no unit; write a word of 1 to 32 lower-case letters, digits, - and _"
)
