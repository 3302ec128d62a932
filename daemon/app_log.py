"""The daemon's log: one line an event on standard error, written by a thread: a reader who stalls stops no call.

What waits to be written is bounded; a line too many is dropped and counted, and the log says so when it is read again.
Nothing that a caller chose forges a line or a terminal's command, and none floods the log: a value that is not plain
is quoted and escaped, a long one is cut in its middle. Every line, whoever makes it, leaves by ``LogLines.put``.
"""

import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from json import dumps
from typing import Any, Final

from daemon.kernel.instant import SECOND, format_rfc3339

LINES_MAX: Final = 20_000  # lines that wait; some seconds of a full load, and 80 MiB where each is as long as can be
VALUE_LENGTH_MAX: Final = 400  # characters of a value; above a call id of any road, and what errors of engines say
TRACE_LENGTH_MAX: Final = 4_000  # characters of a stack trace: it is ours, and useless when cut short
LINE_LENGTH_MAX: Final = 8_000  # characters of a line, before its values are escaped; above it fields are left out
GATHER_SECONDS: Final = 0.02  # a line waits so long for others: a busy daemon writes fifty times a second
RETRY_SECONDS: Final = 0.05  # until a full pipe that does not block is tried again
CLOSE_SECONDS: Final = 2.0  # how long the end waits for a reader who stalls
TRACE: Final = "exception"  # the name of a stack trace in a line
LOGFMT, JSON = "logfmt", "json"

WORD_MAX: Final = 128  # characters of a value that is written as it stands; a word is told without the expression
_is_plain = re.compile(r"[\w@.:+/*#,;~!$%&()<>\[\]|^?-]{1,128}", re.ASCII).fullmatch  # most values: no more is asked

Pairs = Iterable[tuple[str, object]]


def shown(value: object, longest: int = VALUE_LENGTH_MAX) -> str:
    """Return a value as text of at most ``longest`` characters, cut in its middle where it is longer."""
    text = str(value)
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}...{len(text) - 2 * half} more...{text[-half:]}"


def quoted(text: str) -> str:
    """Return text in quotes, on one line, in which nothing controls a terminal; JSON reads it back."""
    return dumps(text, ensure_ascii=not text.isprintable())


def _bare(name: str, value: object) -> str:
    if value is None or value is True or value is False:
        return "" if value is None else str(value).lower()
    text = shown(value, TRACE_LENGTH_MAX if name == TRACE else VALUE_LENGTH_MAX)
    return text if not text or _is_plain(text) else quoted(text)


def _member(name: str, value: object) -> str:
    if value is None or value is True or value is False:
        return "null" if value is None else str(value).lower()
    return quoted(shown(value, TRACE_LENGTH_MAX if name == TRACE else VALUE_LENGTH_MAX))


def logfmt(pairs: Pairs) -> str:
    """Return names and values as ``name=value``, quoted where a value is more than a word."""
    return " ".join(
        [
            f"{name}={value}"
            if type(value) is int
            or (type(value) is str and ((value.isalnum() and len(value) <= WORD_MAX) or _is_plain(value)))
            else f"{name}={_bare(name, value)}"
            for name, value in pairs
        ]
    )


def json(pairs: Pairs) -> str:
    """Return names and values as one JSON object on one line."""
    return (
        "{"
        + ", ".join(
            [
                f'"{name}": {value}' if type(value) is int else f'"{name}": {_member(name, value)}'
                for name, value in pairs
            ]
        )
        + "}"
    )


RENDERERS: Final[Mapping[str, Callable[[Pairs], str]]] = {LOGFMT: logfmt, JSON: json}


def _fitting(event: Mapping[str, object]) -> list[tuple[str, object]]:
    """Return the fields of an event up to a line's length, and say how many were left out."""
    kept: list[tuple[str, object]] = []
    length = 0
    for place, (name, value) in enumerate(event.items()):
        length += len(name) + min(len(str(value)), TRACE_LENGTH_MAX if name == TRACE else VALUE_LENGTH_MAX)
        if length > LINE_LENGTH_MAX:
            return [*kept, ("left_out", len(event) - place)]
        kept.append((name, value))
    return kept


class LogLines:
    """Takes lines from the loop and writes them from a thread of its own; ``dropped`` counts those that found no room.

    ``prefixes`` is put before a line of a level, for whoever reads the level there and notes the time by himself.
    """

    def __init__(self, descriptor: int, form: str = LOGFMT, prefixes: Mapping[str, str] | None = None) -> None:
        """Write to a file descriptor; the thread starts with the first line."""
        self.form = form
        self.dropped = 0
        self._descriptor = descriptor
        self._prefixes = dict(prefixes or {})
        self._lines: deque[str] = deque()
        self._writing = 0  # lines that the thread has taken and not yet written
        self._told = 0  # dropped lines that the log has said
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._second = (0, "")  # the second of the last line, and how it is written

    def put(self, level: str, pairs: Pairs) -> None:
        """Take the fields of one line behind its time and level; never waits. ``pairs`` begin with the event."""
        waiting = self._lines
        if len(waiting) + self._writing >= LINES_MAX:
            self.dropped += 1
            return
        waiting.append(self._line(level, pairs))
        if not self._wake.is_set():
            self._wake.set()
            if self._thread is None:
                self._start()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()

    def _stamp(self) -> str:
        second, fraction = divmod(time.time_ns() // 1000, SECOND)
        known, text = self._second
        if second != known:
            text = format_rfc3339(second * SECOND)[:-7]  # less its fraction and Z
            self._second = (second, text)
        return f"{text}{fraction:06d}Z"

    def _line(self, level: str, pairs: Pairs) -> str:
        render = RENDERERS[self.form]
        if self._prefixes:
            return f"{self._prefixes.get(level, '')}{render((('level', level), *pairs))}\n"
        return render((("timestamp", self._stamp()), ("level", level), *pairs)) + "\n"

    def close(self) -> None:
        """Write what waits, for ``CLOSE_SECONDS`` at most; what is put later is dropped."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait()
            if not self._closing:
                time.sleep(GATHER_SECONDS)
            self._wake.clear()
            self._write_all()
        self._write_all()  # what was put between the last look and the end

    def _write_all(self) -> None:
        while self._lines:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            self._writing = len(lines)
            if not self._write("".join(lines).encode("utf-8", "backslashreplace")):
                self.dropped += len(lines)
            self._writing = 0
            if self.dropped != self._told:
                told, self._told = self._told, self.dropped
                self._write(self._line("warning", (("event", "log lines dropped"), ("lines", self._told - told)))
                            .encode())  # fmt: skip

    def _write(self, octets: bytes) -> bool:
        """Write all of it, however long its reader takes; tell whether there is a reader."""
        left = memoryview(octets)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                time.sleep(RETRY_SECONDS)
            except OSError:
                return False
        return True

    def logger(self, *_names: object) -> "LineLogger":
        """Return what structlog hands its rendered events to."""
        return LineLogger(self)


class LineLogger:
    """What structlog calls by the name of a level, with the fields of an event as keywords."""

    def __init__(self, lines: LogLines) -> None:
        """Take whom the lines go to."""
        self._lines = lines

    def msg(self, level: str, event: Mapping[str, object]) -> None:
        """Take one event."""
        self._lines.put(level, _fitting(event))

    log = debug = info = warning = error = critical = exception = failure = msg


def fields_of(
    _logger: object, _method: str, event_dict: Mapping[str, Any]
) -> tuple[tuple[object, ...], dict[str, Any]]:
    """End structlog's chain: hand on the level, and the fields with the event first."""
    rest = {name: value for name, value in event_dict.items() if name not in ("event", "level")}
    return (event_dict["level"], {"event": event_dict["event"], **rest}), {}
