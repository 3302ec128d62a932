"""``tollway run``: the daemon in the foreground; once it listens, one table of listeners and what to try next.

Every line under "try this" runs as it stands: with this settings file, on what this store holds, with programs that
are found on this machine.
"""

import asyncio
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from daemon import app
from daemon.app_commands import Opened, StoreError, opened
from daemon.cli.command import Chosen, as_json, chosen
from daemon.cli.output import print_json, print_notes, print_table
from daemon.config_files.settings_file import exposed
from daemon.settings import Settings

SAMPLE_ACCOUNT, SAMPLE_PLAN, SAMPLE_NUMBER = "alice", "retail", "442071231234"
DEFAULT_CONFIG = "conf/tollway.toml"


@click.command()
@as_json
@chosen
def run(selected: Chosen, as_json: bool) -> None:
    """Serve until SIGTERM or SIGINT; create the store where there is none. SIGHUP reads the settings again.

    Prints its listeners when all of them answer; logs go to standard error.
    """
    settings = selected.settings()
    if told := exposed(settings):
        print_notes([told])
    sample = _has_sample(settings)

    def announce(serving: Settings) -> None:
        if as_json:
            print_json({"listeners": [{"name": n, "listen": place} for n, place, _ in listeners(serving)]})
        else:
            _print_announcement(serving, selected.config, sample=sample)
        sys.stdout.flush()

    sys.exit(app.run(settings, announce))


def _has_sample(settings: Settings) -> bool:
    async def look() -> bool:
        async with opened(settings) as store:
            return await _holds_sample(store)

    try:
        return asyncio.run(look())
    except StoreError:
        return False


async def _holds_sample(store: Opened) -> bool:
    configuration = await store.configuration()
    plans = {spec.id for spec in configuration.rate_plans if spec.tenant == configuration.owner}
    return SAMPLE_PLAN in plans and await store.account(SAMPLE_ACCOUNT) is not None


def listeners(settings: Settings) -> list[tuple[str, str, str]]:
    """Return name, address and purpose of each listener that is on."""
    known = (
        ("radius_auth", settings.radius_auth, "udp", "Access-Request: may this call proceed"),
        ("radius_acct", settings.radius_acct, "udp", "Accounting-Request: answered, alive, ended"),
        ("http", settings.http, "tcp", "authorise, calls, accounts, /healthz, /readyz, /metrics, /schema"),
        ("fastagi", settings.fastagi, "tcp", "Asterisk: agi://HOST:PORT/authorize,ACCOUNT,DESTINATION"),
    )
    return [(name, f"{place.host}:{place.port}/{kind}", purpose) for name, place, kind, purpose in known if place]


def _print_announcement(settings: Settings, config: Path, *, sample: bool) -> None:
    click.echo("Tollway is up. Listeners:")
    print_table(("section", "address", "answers"), listeners(settings))
    lines = (f"  {line}" for line in try_lines(settings, config, sample=sample))
    click.echo("\n".join(("Try this in another terminal:", *lines)))


def try_lines(settings: Settings, config: Path, *, sample: bool) -> Iterator[str]:
    """Yield lines for a shell that do something here and now."""
    command = _invocation(config)
    if sample and settings.radius_auth and settings.radius_acct and settings.http:
        yield f"{command} try --fast"
    if sample:
        yield f"{command} account show {SAMPLE_ACCOUNT}"
        yield f"{command} rate price --plan {SAMPLE_PLAN} --to {SAMPLE_NUMBER} --seconds 75"
        yield f"{command} call explain --account {SAMPLE_ACCOUNT} --to {SAMPLE_NUMBER}"
    else:
        yield f"{command} account list"
    if sample and settings.radius_auth:
        yield f"{command} radius send status"
    yield f"{command} call list"
    if settings.http and shutil.which("curl"):
        yield f"curl -fsS http://{settings.http.host}:{settings.http.port}/readyz"


def _invocation(config: Path) -> str:
    """Return how this command was called, as a shell can call it again from here."""
    program = Path(sys.argv[0])
    if program.name == "tollway":
        found = shutil.which("tollway")
        words = ["tollway" if found is not None and Path(found).resolve() == program.resolve() else str(program)]
    else:
        words = [sys.executable, "-m", "daemon.cli"]
    if str(config) != DEFAULT_CONFIG:
        words += ["--config", str(config)]
    return shlex.join(words)
