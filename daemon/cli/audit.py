"""``tollway audit``: every change of money, limits, rates or status by a person: what, when, who and why."""

import click

from daemon.app_commands import AUDITED_KINDS, CHANGES_LISTED_MAX, ChangesWanted, Opened
from daemon.cli.command import Chosen, as_json, chosen
from daemon.cli.failure import Refused
from daemon.cli.output import dated, print_json, print_table
from daemon.cli.parameters import KEY, TIME

COLUMNS = ("at", "kind", "tenant", "id", "act", "detail", "who", "reason")


@click.group()
def audit() -> None:
    """Who changed what, when and why."""


@audit.command("list")
@click.option("--kind", type=click.Choice(AUDITED_KINDS), help="Only of this kind.")
@click.option("--object", "named", type=KEY, help="Only of this object: ID of the owner's, or TENANT/ID.")
@click.option("--who", default="", help="Only by whom: a login name, or 'token ID' for one over HTTP.")
@click.option("--since", type=TIME, default=0, help="Only from this time on, RFC 3339.")
@click.option(
    "--limit", type=click.IntRange(1, CHANGES_LISTED_MAX), default=1000, show_default=True, help="The newest, at most."
)
@as_json
@chosen
def list_changes(
    selected: Chosen, kind: str | None, named: str | None, who: str, since: int, limit: int, as_json: bool
) -> None:  # fmt: skip
    """List changes by persons, oldest first: of objects, of money and units, of live calls, hand-offs and archives.

    Money that left with db archive is told by account history, which reads the archives. What the daemon did by a rule
    is told by account history and account events.
    """

    async def read(store: Opened) -> list[dict[str, object]]:
        key = await store.key(named) if named is not None else None
        changes = await store.changes(ChangesWanted(kind or "", key, who, since, limit))
        if key is not None and not changes and not await store.changes(ChangesWanted(key=key, limit=1)):
            raise Refused(f"nothing is on record of {key}: another tenant's object is named TENANT/ID")
        return changes

    found = [dated(change) for change in selected.perform(read)]
    if as_json:
        print_json(found)
    else:
        print_table(COLUMNS, [[change[name] for name in COLUMNS] for change in found])
