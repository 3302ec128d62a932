"""``tollway doctor``: what is wrong with the store, the machine, the peers and the prices, and what to do about each.

It changes nothing. The exit status says how it stands: a script may run it before a daemon is started, or each night.
"""

import asyncio
import sys
from typing import Any

import click

from daemon.cli.command import Chosen, as_json, chosen
from daemon.cli.failure import BAD_CONFIGURATION
from daemon.cli.output import print_json, printable, working
from daemon.config_files.settings_file import read_settings
from daemon.doctor import Examination, Finding, State, ill, status_of
from daemon.settings import Settings

_MARKS = {State.OK: "ok", State.SKIPPED: "--", State.WARN: "warn", State.FAIL: "FAIL"}


@click.command()
@click.option("--all", "tell_all", is_flag=True, help="Tell what is well and what was skipped, too.")
@as_json
@chosen
def doctor(selected: Chosen, tell_all: bool, as_json: bool) -> None:
    """Probe store, disks, clock, ports, switches, secrets, decks and accounts, and say what to do about each.

    Nothing is changed, and no secret is printed. Exit status: 0 where nothing failed, warnings or not; 1 where a probe
    failed; 69 without a store that can be used; 78 with a bad settings file, each fault of it told.
    """
    settings, problems = read_settings(selected.config)
    if settings is None:
        findings, status = [ill("settings", "faults", str(problem)) for problem in problems], BAD_CONFIGURATION
    else:
        findings = _found(settings)
        status = status_of(findings)
    if as_json:
        print_json([_value(finding) for finding in findings])
    else:
        _print(findings, tell_all=tell_all)
    sys.exit(status)


def _found(settings: Settings) -> list[Finding]:
    async def look(show: Any) -> list[Finding]:
        found = []
        async for finding in Examination(settings).findings():
            found.append(finding)
            show(f"after {finding.name}")
        return found

    with working("looking") as show:
        return asyncio.run(look(show))


def _value(finding: Finding) -> dict[str, str]:
    return {**finding._asdict(), "state": finding.state.value}


def _print(findings: list[Finding], *, tell_all: bool) -> None:
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        if tell_all or finding.fault:
            click.echo(f"{_MARKS[finding.state].ljust(4)}  {finding.name.ljust(width)}  {printable(finding.seen)}")
        if finding.to_do:
            click.echo(f"{' ' * (width + 8)}-> {finding.to_do}")
    counts = {state: sum(finding.state is state for finding in findings) for state in State}
    click.echo(
        f"{counts[State.OK]} well, {counts[State.WARN]} warnings, {counts[State.FAIL]} failed,"
        f" {counts[State.SKIPPED]} skipped"
    )
