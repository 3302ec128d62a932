"""``tollway db``: the schema of the store, a copy of it, and every invariant of its ledger."""

from pathlib import Path

import click

from daemon.app_commands import StoreError, StoreUnavailable, backed_up, checked, upgraded
from daemon.cli.command import Chosen, as_json, chosen
from daemon.cli.failure import Refused, Unavailable
from daemon.cli.output import print_json


@click.group()
def db() -> None:
    """Upgrade, back up and check the store."""


@db.command()
@as_json
@chosen
def upgrade(selected: Chosen, as_json: bool) -> None:
    """Bring the store to this release's schema; create it where there is none."""
    try:
        name = upgraded(selected.settings())
    except StoreUnavailable as error:
        raise Unavailable(str(error)) from error
    if as_json:
        print_json({"store": name, "upgraded": True})
        return
    click.echo(f"{name} has this release's schema")


@db.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@as_json
@chosen
def backup(selected: Chosen, file: Path, as_json: bool) -> None:
    """Copy the store into a new FILE while the daemon charges: a file of SQLite, or what pg_restore reads."""
    try:
        backed_up(selected.settings(), file)
    except StoreUnavailable as error:
        raise Unavailable(str(error)) from error
    except StoreError as error:
        raise Refused(str(error)) from error
    if as_json:
        print_json({"file": str(file), "octets": file.stat().st_size})
        return
    click.echo(f"{file} is a copy of the store")


@db.command()
@as_json
@chosen
def check(selected: Chosen, as_json: bool) -> None:
    """Add every entry of the ledger up and name what does not hold; it may run beside the daemon."""
    try:
        findings = [str(finding) for finding in checked(selected.settings())]
    except StoreUnavailable as error:
        raise Unavailable(str(error)) from error
    if as_json:
        print_json({"holds": not findings, "findings": findings})
    elif not findings:
        click.echo("every invariant of the ledger holds")
    if findings:
        raise Refused(*findings)
