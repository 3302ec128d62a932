"""``tollway db``: the schema of the store, a copy of it, what may leave it, and every invariant of its ledger."""

from pathlib import Path
from typing import Any

import click

from daemon.app_commands import (
    COPIES_MAX,
    Archived,
    StoreError,
    StoreUnavailable,
    backed_up,
    backed_up_into,
    checked,
    is_month,
    restored,
    upgraded,
)
from daemon.cli.command import Chosen, as_json, chosen
from daemon.cli.failure import Refused, Unavailable
from daemon.cli.output import print_json, working


@click.group()
def db() -> None:
    """Upgrade, back up, archive and check the store."""


@db.command()
@click.option(
    "--backup", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Copy the store into this new file before; without the copy nothing is upgraded.",
)  # fmt: skip
@as_json
@chosen
def upgrade(selected: Chosen, backup: Path | None, as_json: bool) -> None:
    """Bring the store to this release's schema; create it where there is none. Stop the daemon before."""
    try:
        if backup is not None:
            backed_up(selected.settings(), backup)
        name = upgraded(selected.settings())
    except StoreUnavailable as error:
        raise Unavailable(str(error)) from error
    except StoreError as error:
        raise Refused(str(error)) from error
    if as_json:
        copied = {"backup": str(backup)} if backup is not None else {}
        print_json({"store": name, "upgraded": True, **copied})
        return
    click.echo(f"{name} has this release's schema")


@db.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--into", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
    help="Instead of FILE: into this folder, under the store's name and the time in UTC.",
)  # fmt: skip
@click.option(
    "--keep", type=click.IntRange(1, COPIES_MAX), metavar="N",
    help="With --into: after the copy, take away all but the newest N of that naming. Default: none.",
)  # fmt: skip
@as_json
@chosen
def backup(selected: Chosen, file: Path | None, into: Path | None, keep: int | None, as_json: bool) -> None:
    """Copy the store into a new FILE while the daemon charges: a file of SQLite, or what pg_restore reads."""
    if (file is None) == (into is None):
        raise click.UsageError("name a new FILE, or a folder with --into")
    if keep is not None and into is None:
        raise click.UsageError("--keep belongs to --into")
    try:
        made, gone = _backed_up(selected, file, into, keep)
    except StoreUnavailable as error:
        raise Unavailable(str(error)) from error
    except StoreError as error:
        raise Refused(str(error)) from error
    if as_json:
        pruned = {"pruned": gone} if into is not None else {}
        print_json({"file": str(made), "octets": made.stat().st_size, **pruned})
        return
    click.echo(f"{made} is a copy of the store{f'; {gone} older taken away' if gone else ''}")


def _backed_up(selected: Chosen, file: Path | None, into: Path | None, keep: int | None) -> tuple[Path, int]:
    if into is not None:
        return backed_up_into(selected.settings(), into, keep)
    assert file is not None
    backed_up(selected.settings(), file)
    return file, 0


@db.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@as_json
@chosen
def restore(selected: Chosen, file: Path, as_json: bool) -> None:
    """Make a FILE of db backup the store that the settings name, where there is none; nothing is ever replaced."""
    try:
        name = restored(selected.settings(), file)
    except StoreUnavailable as error:
        raise Unavailable(str(error)) from error
    except StoreError as error:
        raise Refused(str(error)) from error
    if as_json:
        print_json({"store": name, "restored": True})
        return
    click.echo(f"{name} is what {file} holds: run 'tollway db check', and 'tollway db upgrade' where it asks for that")


def _month(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if value and not is_month(value):
        raise click.BadParameter(f"{value!r} is no month such as 2026-01")
    return value


@db.command()
@click.option("--before", metavar="YYYY-MM", default="", callback=_month, help="Only the months before this one.")
@click.option(
    "--keep", type=click.IntRange(1, 120), metavar="MONTHS",
    help="Whole months before the current one that stay. Default: [store] archive_keep_months.",
)  # fmt: skip
@as_json
@chosen
def archive(selected: Chosen, before: str, keep: int | None, as_json: bool) -> None:
    """Move closed months of entries, calls and records into files, while the daemon charges; finish an interrupted one.

    They are still found by call show, account history, export run --again and db check.
    """
    with working("archiving") as show:
        done = selected.perform(lambda store: store.archive(keep, before, show))
    if as_json:
        print_json([{**_archived(month), "directory": str(month.directory)} for month in done])
        return
    for month in done:
        told = f"{month.entries} entries, {month.calls} calls, {month.records} records, {month.octets} octets"
        kept = f"; {month.kept} calls changed meanwhile and stay" if month.kept else ""
        click.echo(f"{month.directory}: {told}{' (resumed)' if month.resumed else ''}{kept}")
    if not done:
        click.echo("no month is to be archived")


def _archived(month: Archived) -> dict[str, Any]:
    return {
        "month": month.month, "entries": month.entries, "calls": month.calls, "records": month.records,
        "kept": month.kept, "octets": month.octets, "manifest_sha256": month.manifest_sha256,
        "resumed": month.resumed,
    }  # fmt: skip


@db.command()
@as_json
@chosen
def check(selected: Chosen, as_json: bool) -> None:
    """Add every entry of the ledger up, archived ones too, and name what does not hold; beside the daemon or not."""
    try:
        found = checked(selected.settings())
    except StoreUnavailable as error:
        raise Unavailable(str(error)) from error
    findings = [str(finding) for finding in found]
    mends = {finding.invariant: finding.mend for finding in found}
    if as_json:
        told = {"broken": [{**finding._asdict(), "mend": finding.mend} for finding in found]} if found else {}
        print_json({"holds": not findings, "findings": findings, **told})
    elif not findings:
        click.echo("every invariant of the ledger holds")
    if findings:
        raise Refused(*findings, *(f"what to do about {name}: {mend}" for name, mend in mends.items()))
