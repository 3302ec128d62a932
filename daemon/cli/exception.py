"""``tollway exception``: what could not be charged as it came, or was charged in a way that a person should see."""

import click

from daemon.cli.command import Chosen, as_json, chosen
from daemon.cli.output import print_json, print_table
from daemon.kernel.instant import format_rfc3339

COLUMNS = ("number", "at", "kind", "tenant", "source", "switch", "call_id", "detail")
LISTED_MAX = 10_000  # items of one listing; a terminal and a script both have an end


@click.group()
def exception() -> None:
    """Unauthorised calls, conflicts, ends that nobody reported, records that could not be read."""


@exception.command("list")
@click.option(
    "--limit", type=click.IntRange(1, LISTED_MAX), default=1000, show_default=True, help="The newest, at most."
)
@as_json
@chosen
def list_exceptions(selected: Chosen, limit: int, as_json: bool) -> None:
    """List the newest items, newest first."""
    found = selected.perform(lambda store: store.exceptions(limit))
    items = [{**item, "at": format_rfc3339(int(str(item["at"])))} for item in found]
    if as_json:
        print_json([{name: item[name] for name in COLUMNS} for item in items])
    else:
        print_table(COLUMNS, [[item[name] for name in COLUMNS] for item in items])
