"""``tollway check`` and ``tollway apply``: files that an operator wrote, with every fault at once, or made so.

Applying is idempotent: what a file states already holds is left alone, and so is what no file names.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import click

from daemon.app_commands import Difference, Opened, StoreError, clock, operate, store_exists
from daemon.charging.configuration import ConversionSpec
from daemon.cli.command import Chosen, as_json, chosen, perform
from daemon.cli.difference import difference_value, print_difference
from daemon.cli.failure import bad_configuration
from daemon.cli.output import print_json, print_notes, working
from daemon.cli.parameters import REASON
from daemon.config_files.positions import Problem
from daemon.config_files.scenario_file import Scenario, read_scenario
from daemon.config_files.settings_file import exposed, read_settings
from daemon.settings import Settings

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("scenarios", metavar="[SCENARIO]...", nargs=-1, type=FILE)
@as_json
@chosen
def check(selected: Chosen, scenarios: tuple[Path, ...], as_json: bool) -> None:
    """Validate the settings file, and any scenario files, and exit: 78 with every fault of all of them.

    A fault is told as file:line: key: what and how to mend. Nothing is changed, and no store is needed; where there is
    one, an endpoint may name its tokens as via.
    """
    settings, found = read_settings(selected.config)
    problems: list[Problem] = list(found)
    tokens = _known(settings)[0] if settings is not None else ()
    for path in scenarios:
        problems += read_scenario(path, token_ids=tokens, now=clock())[1]
    if as_json:
        faults = [{"file": p.file, "line": p.line, "key": p.key, "message": p.message} for p in problems]
        print_json({"files": [str(selected.config), *map(str, scenarios)], "problems": faults})
    if problems:
        raise bad_configuration(problems)
    if settings is not None and (told := exposed(settings)):
        print_notes([told])
    if not as_json:
        for path in (selected.config, *scenarios):
            click.echo(f"{path}: no faults")


@click.command()
@click.argument("scenario_file", metavar="FILE", type=FILE)
@click.option("--dry-run", is_flag=True, help="Only print what would change.")
@REASON
@as_json
@chosen
def apply(selected: Chosen, scenario_file: Path, dry_run: bool, reason: str, as_json: bool) -> None:
    """Make tenants, accounts, carriers, tables and plans match a scenario FILE, and print the difference.

    Creates the store where there is none. Applying the same file again changes nothing; an opening balance is given
    once.
    """
    settings = selected.settings()
    with working(f"reading {scenario_file}"):
        tokens, rates = _known(settings)
        scenario, problems = read_scenario(scenario_file, token_ids=tokens, now=clock(), conversions=rates)
    if scenario is None:
        raise bad_configuration(problems)
    with working("comparing with the store"):
        difference = _dry_run(settings, scenario) if dry_run else _applied(settings, scenario, reason=reason)
    if as_json:
        print_json({"file": str(scenario_file), "dry_run": dry_run, **difference_value(difference)})
        return
    print_difference(difference)
    if dry_run and not difference.is_empty:
        click.echo("nothing was changed: this was a dry run")


def _known(settings: Settings) -> tuple[tuple[str, ...], list[ConversionSpec]]:
    """Return the ids of the store's tokens and its rates between currencies, none where no store can be read."""

    async def read(store: Opened) -> tuple[tuple[str, ...], list[ConversionSpec]]:
        return tuple(token.id for token in await store.tokens()), await store.conversions(None)

    if not store_exists(settings):
        return (), []
    try:
        return operate(settings, read)
    except StoreError:
        return (), []


def _applied(settings: Settings, scenario: Scenario, *, reason: str = "", dry_run: bool = False) -> Difference:
    return perform(settings, lambda store: store.apply(scenario, reason=reason, dry_run=dry_run), create=not dry_run)


def _dry_run(settings: Settings, scenario: Scenario) -> Difference:
    """Tell what would change; where there is no store, against an empty one that is thrown away."""
    if store_exists(settings):
        return _applied(settings, scenario, dry_run=True)
    with tempfile.TemporaryDirectory(prefix="tollway-") as folder:
        empty = replace(settings, store=replace(settings.store, url=f"sqlite:///{folder}/empty.db"))
        return _applied(empty, scenario)
