"""Lines of text for machines: RFC 4180 with LF, and JSON Lines; UTF-8; the same values give the same bytes.

A text that a spreadsheet would run gets a leading apostrophe in CSV, and only there; a number never does.
A plain decimal is a ``Number``: written as it is in CSV, and as a JSON string, so that no reader makes it binary.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

from daemon.kernel.instant import SECOND
from daemon.kernel.money import format_nano

# What Excel, LibreOffice and Google Sheets take for a formula: OWASP "CSV Injection", with its full-width forms.
# Apostrophes before it are counted in, so that one apostrophe more can always be taken away again.
_RUNS = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # noqa: RUF001
_GUARDED = re.compile(r"'+[=+\-@\t\r\n＝＋－＠]")  # noqa: RUF001
_QUOTED = re.compile(r'[",\r\n]')  # RFC 4180 section 2, rule 6


class Number(str):
    """A plain decimal as text: an amount, a rate, a duration."""

    __slots__ = ()


Value = str | int | bool | None
_JSON = msgspec.json.Encoder(enc_hook=str)  # the hook is asked for a Number alone: msgspec knows no subclass of str


def money(nano: int) -> Number:
    """Return nano-units as a plain decimal of at least two places."""
    return Number(format_nano(nano))


def seconds(duration_us: int) -> Number:
    """Return microseconds as seconds with six places."""
    whole, fraction = divmod(abs(duration_us), SECOND)
    return Number(f"{'-' if duration_us < 0 else ''}{whole}.{fraction:06d}")


def csv_line(values: Iterable[Value]) -> bytes:
    """Return one line with its LF; None is an empty cell, a bool ``true`` or ``false``."""
    return (",".join(map(_cell, values)) + "\n").encode()


def _cell(value: Value) -> str:
    if isinstance(value, Number):
        return value
    if isinstance(value, str):
        return _quoted(f"'{value}" if _RUNS.match(value) else value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _quoted(text: str) -> str:
    if _QUOTED.search(text) is None:
        return text
    return '"' + text.replace('"', '""') + '"'


def unguarded(cell: str) -> str:
    """Return the text that a cell's guard protects: a reader's way back."""
    return cell[1:] if _GUARDED.match(cell) else cell


def json_line(values: Mapping[str, Value]) -> bytes:
    """Return one JSON object with its LF, keys in the order given."""
    return _JSON.encode(values) + b"\n"
