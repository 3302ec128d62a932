"""How a line of the log is written: for journald where standard error is its stream, else with the time in front.

journald notes the time, the unit and the process by itself, and takes the severity from a number in front, ``<4>``
(sd-daemon(3)): ``journalctl -p warning`` then finds what it should. What an event says is the business of whoever logs
it. Libraries that log by the standard library's means come out as lines of the same form.
"""

import logging
import os
import sys
from collections.abc import Mapping
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# syslog(3) has eight severities; these are the ones that we use, and anything else is informational.
PRIORITIES: Final = {"critical": 2, "error": 3, "exception": 3, "warning": 4, "info": 6, "debug": 7}
INFORMATIONAL: Final = 6


def is_journal(environment: Mapping[str, str], descriptor: int) -> bool:
    """Tell whether a descriptor is the journal's stream that ``JOURNAL_STREAM`` names (``device:inode``)."""
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


class ForJournal:
    """Renders an event as one line with its severity in front; journald adds the time."""

    def __init__(self) -> None:
        """Take the order of keys that lines elsewhere have."""
        self._render = structlog.processors.LogfmtRenderer(key_order=["level", "event"])

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> str:
        """Return the line."""
        return f"<{PRIORITIES.get(event.get('level', ''), INFORMATIONAL)}>{self._render(logger, name, event)}"


class _Forwarded(logging.Handler):
    """Writes what libraries log as our own lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; ``library`` says whose it is."""
        severity = min(record.levelno // 10 * 10, logging.CRITICAL)  # libraries have severities of their own between
        named = structlog.get_logger("tollway.library")
        named.log(severity, record.getMessage(), library=record.name, exc_info=record.exc_info)


def configure_logging(level: str) -> None:
    """Log to standard error from a severity on, one line an event, key=value. Called again it changes the severity."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    journal = is_journal(os.environ, sys.stderr.fileno())
    written: list[Processor] = [ForJournal()] if journal else [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
    ]  # fmt: skip
    structlog.configure(
        # A traceback stays in its line: its ends of lines are written as \n.
        processors=[structlog.processors.add_log_level, structlog.processors.format_exc_info, *written],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    if not any(isinstance(each, _Forwarded) for each in logging.root.handlers):
        logging.root.addHandler(_Forwarded(logging.WARNING))
