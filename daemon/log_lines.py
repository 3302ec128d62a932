"""What others ask of the log: journald, whose stream standard error may be, and libraries that log by their own means.

journald notes the time, the unit and the process by itself, and takes the severity from a number in front, ``<4>``
(sd-daemon(3)): ``journalctl -p warning`` then finds what it should. Libraries that log by the standard library's means
come out as lines of the same form as ours (``app_log``).
"""

import logging
import os
from collections.abc import Mapping
from typing import Final

import structlog

# syslog(3) has eight severities; these are the ones that we use, and anything else is informational.
PREFIXES: Final[Mapping[str, str]] = {
    "critical": "<2>", "error": "<3>", "exception": "<3>", "warning": "<4>", "info": "<6>", "debug": "<7>",
}  # fmt: skip


def is_journal(environment: Mapping[str, str], descriptor: int) -> bool:
    """Tell whether a descriptor is the journal's stream that ``JOURNAL_STREAM`` names (``device:inode``)."""
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


class _Forwarded(logging.Handler):
    """Writes what libraries log as our own lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; ``library`` says whose it is."""
        severity = min(record.levelno // 10 * 10, logging.CRITICAL)  # libraries have severities of their own between
        named = structlog.get_logger("tollway.library")
        named.log(severity, record.getMessage(), library=record.name, exc_info=record.exc_info)


def forward_libraries() -> None:
    """Let what libraries log come out among our own lines, from warnings on."""
    if not any(isinstance(each, _Forwarded) for each in logging.root.handlers):
        logging.root.addHandler(_Forwarded(logging.WARNING))
