"""The root of the command: its groups, each loaded when it is asked for; whatever fails ends with a status and reasons.

The settings file is chosen here and read by the command that needs it.
"""

import zoneinfo
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from daemon import __version__

# A command's name, and where it is made. Loading what one command needs, and no more, keeps each start short.
COMMANDS = {
    "run": "daemon.cli.serve:run",
    "check": "daemon.cli.scenario:check",
    "doctor": "daemon.cli.doctor:doctor",
    "apply": "daemon.cli.scenario:apply",
    "try": "daemon.cli.try_calls:try_calls",
    "account": "daemon.cli.account:account",
    "voucher": "daemon.cli.voucher:voucher",
    "token": "daemon.cli.token:token",
    "rate": "daemon.cli.rate:rate",
    "radius": "daemon.cli.radius:radius",
    "call": "daemon.cli.call:call",
    "carrier": "daemon.cli.carrier:carrier",
    "export": "daemon.cli.export:export",
    "exception": "daemon.cli.exception:exception",
    "audit": "daemon.cli.audit:audit",
    "db": "daemon.cli.db:db",
}


class Commands(click.Group):
    """A group that imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of their declaration."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        found = getattr(import_module(module), name)
        assert isinstance(found, click.Command), place
        return found


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), default="conf/tollway.toml", show_default=True,
    envvar="TOLLWAY_CONFIG", show_envvar=True, help="The settings file.",
)  # fmt: skip
@click.version_option(__version__, prog_name="tollway")
@click.pass_context
def tollway(ctx: click.Context, config: Path) -> None:
    """Authorise, charge and cut calls, and hand rated usage to invoicing.

    Exit status: 0 done; 1 refused or partly refused, the reasons on stderr; 2 usage; 69 a needed service is
    unavailable; 78 bad configuration, every fault at once.
    """
    from daemon.cli.command import Chosen  # noqa: PLC0415 - the help of `tollway` needs no store

    ctx.obj = Chosen(config)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    zoneinfo.reset_tzpath(to=[])  # zones come from the tzdata package alone, whatever the machine has
    tollway.main(args=arguments, prog_name="tollway")
    raise AssertionError("click exits by itself")
