"""Dates of somebody else's deck become RFC 3339 in UTC: an order of day and month is stated, never guessed.

A date without an offset belongs to the zone that the template or the operator states (UTC where none does). An hour
that the zone's clock skips or repeats is refused. Serial numbers of days are taken from workbooks only.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from daemon.ingest.cells import quoted
from daemon.ingest.sheet_rows import moment_of
from daemon.kernel.instant import format_rfc3339, parse_rfc3339

ISO: Final = "iso"  # the year first, or RFC 3339
DAY_FIRST: Final = "dmy"
MONTH_FIRST: Final = "mdy"
DATE_FORMATS: Final = (ISO, DAY_FIRST, MONTH_FIRST)

_CLOCK = r"(?:[ T]+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:\.0+)?)?)?"
_YEAR_FIRST = re.compile(r"([0-9]{4})([-/.]?)([0-9]{2})\2([0-9]{2})" + _CLOCK)
_YEAR_LAST = re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})" + _CLOCK)
_NAMED = re.compile(r"([0-9]{1,2})[- ]([A-Za-z]{3})[a-z]*[- ]([0-9]{4})" + _CLOCK)
_SERIAL = re.compile(r"[0-9]{5}(?:\.[0-9]{1,17})?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class Dates:
    """Reads the dates of one file.

    ``order`` is one of DATE_FORMATS; ``serial_from`` is the day that serial numbers count from, None where there are
    none; ``end_includes_day``: a last day without an hour is in force until its end; ``needs_offset``: RFC 3339 alone.
    """

    def __init__(
        self, zone: ZoneInfo, order: str, serial_from: datetime | None = None, *, end_includes_day: bool = False,
        needs_offset: bool = False,
    ) -> None:  # fmt: skip
        self._zone = zone
        self._order = order
        self._serial_from = serial_from
        self._end_includes_day = end_includes_day
        self._needs_offset = needs_offset
        self.took_zone = False  # whether a date without an offset was read

    def begin(self, text: str) -> str:
        """Return the instant at which something begins. Raises ValueError with the mend."""
        return self._read(text, end=False)

    def end(self, text: str) -> str:
        """Return the instant before which something ends. Raises ValueError with the mend."""
        return self._read(text, end=True)

    def _read(self, text: str, *, end: bool) -> str:
        if "T" in text.upper() and (text[-1] in "Zz" or re.search(r"[+-][0-9]{2}:[0-9]{2}$", text)):
            return _written(format_rfc3339(parse_rfc3339(text)))
        if self._needs_offset:
            reason = "is not an RFC 3339 time with an offset, such as 2026-01-01T00:00:00Z"
            raise ValueError(f"{quoted(text)} {reason}; or state --date-format or --timezone")
        moment, has_clock = self._local(text)
        if end and self._end_includes_day and not has_clock:
            moment += timedelta(days=1)
        self.took_zone = True
        return self._in_utc(text, moment)

    def _local(self, text: str) -> tuple[datetime, bool]:
        """Return the moment on the zone's clock, and whether the text states an hour."""
        try:
            if match := _YEAR_FIRST.fullmatch(text):
                year, _, month, day, *clock = match.groups()
            elif match := _NAMED.fullmatch(text):
                day, name, year, *clock = match.groups()
                month = str(_MONTHS.index(name.lower()) + 1)
            elif match := _YEAR_LAST.fullmatch(text):
                first, _, second, year, *clock = match.groups()
                day, month = self._ordered(text, first, second)
            else:
                return self._of_serial(text)
            hour, minute, second_ = (int(part or 0) for part in clock)
            return datetime(int(year), int(month), int(day), hour, minute, second_), clock[0] is not None  # noqa: DTZ001
        except _Unreadable:
            raise
        except ValueError as error:
            raise ValueError(f"{quoted(text)} is no date: {error}") from None

    def _ordered(self, text: str, first: str, second: str) -> tuple[str, str]:
        if self._order == ISO:
            raise _Unreadable(
                f"{quoted(text)} may begin with the day or the month; say which: --date-format dmy or mdy"
            )
        return (first, second) if self._order == DAY_FIRST else (second, first)

    def _of_serial(self, text: str) -> tuple[datetime, bool]:
        if _SERIAL.fullmatch(text) is None:
            raise _Unreadable(f"{quoted(text)} is no date such as 2026-01-31, 20260131 or 2026-01-31T00:00:00Z")
        if self._serial_from is None:
            raise _Unreadable(f"{quoted(text)} looks like a spreadsheet's number of a day; export it as 2026-01-31")
        moment = moment_of(text, self._serial_from)
        if moment is None:
            raise _Unreadable(f"{quoted(text)} is no number of a day before the year 2119")
        return moment, "." in text

    def _in_utc(self, text: str, moment: datetime) -> str:
        early, late = (moment.replace(tzinfo=self._zone, fold=fold).utcoffset() for fold in (0, 1))
        if early != late:
            raise ValueError(
                f"{quoted(text)} is skipped or repeated by the clock of {self._zone.key}; write its offset"
            )
        instant = moment.replace(tzinfo=self._zone).astimezone(UTC)
        if not 1970 <= instant.year <= 9998:
            raise ValueError(f"{quoted(text)} lies outside 1970 to 9998")
        return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


class _Unreadable(ValueError):
    """A text that is no date for a reason of its own."""


def _written(text: str) -> str:
    """Return an RFC 3339 time in UTC without microseconds that are 0."""
    return text.replace(".000000Z", "Z")
