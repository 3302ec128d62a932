"""How a command ends that did not do all it was asked: the reasons go to stderr, a line each, and a status tells which.

Statuses 69 and 78 are those of sysexits.h, which systemd and scripts know by name.
"""

from collections.abc import Iterable
from typing import IO, Any

import click

REFUSED, USAGE, UNAVAILABLE, BAD_CONFIGURATION = 1, 2, 69, 78
INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it


class CommandFailed(click.ClickException):
    """Ends a command with ``exit_code`` after its reasons were told."""

    def __init__(self, *reasons: str) -> None:
        """Take at least one reason; each is a line."""
        super().__init__("\n".join(reasons))
        self.reasons = reasons

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the reasons to standard error."""
        for reason in self.reasons:
            click.echo(reason, file=file, err=file is None)


class Refused(CommandFailed):
    """What was asked was understood and not, or not wholly, done."""

    exit_code = REFUSED


class Interrupted(CommandFailed):
    """A person stopped it; what it did so far is kept."""

    exit_code = INTERRUPTED


class Unavailable(CommandFailed):
    """A service that the command needs is not there: the store, the daemon, a listener, a directory."""

    exit_code = UNAVAILABLE


class BadConfiguration(CommandFailed):
    """A file that the operator wrote has faults; each is ``file:line: key: what and how to mend``."""

    exit_code = BAD_CONFIGURATION


def bad_configuration(problems: Iterable[object]) -> BadConfiguration:
    """Return the end of a command whose files have these problems, in their order."""
    return BadConfiguration(*map(str, problems))
