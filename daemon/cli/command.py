"""What every command shares: the settings file that was chosen, ``--json``, the store and its errors as statuses."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from daemon.app_commands import Opened, StoreError, StoreUnavailable, operate
from daemon.cli.failure import Refused, Unavailable, bad_configuration
from daemon.config_files.settings_file import read_settings
from daemon.settings import Settings

T = TypeVar("T")

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document; money is decimal text.")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The settings file of this invocation; it is read when a command needs it."""

    config: Path

    def settings(self) -> Settings:
        """Return what the file says. Raises BadConfiguration with every fault of it."""
        settings, problems = read_settings(self.config)
        if settings is None:
            raise bad_configuration(problems)
        return settings

    def perform(self, work: Callable[[Opened], Awaitable[T]], *, create: bool = False) -> T:
        """Do one piece of work on the store; a refusal ends with status 1, a store that is not there with 69."""
        return perform(self.settings(), work, create=create)


def perform(settings: Settings, work: Callable[[Opened], Awaitable[T]], *, create: bool = False) -> T:
    """Do one piece of work on the store of known settings; every fault of a refusal is a line."""
    try:
        return operate(settings, work, create=create)
    except StoreUnavailable as error:
        raise Unavailable(str(error)) from error
    except StoreError as error:
        raise Refused(*error.faults) from error


chosen = click.make_pass_decorator(Chosen)
