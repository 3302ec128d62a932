"""``tollway call recovery``: what a start of the daemon found open, what became of each call, and what still waits.

Everything is read from the store when asked, so a correction that came days after the start is in it.
"""

from typing import Any

import click

from daemon.app_commands import Opened
from daemon.charging.recovery import (
    Recovered,
    RecoveryReport,
    Start,
    channels_freed,
    counted,
    money_freed,
)
from daemon.cli.command import Chosen, as_json, chosen
from daemon.cli.output import print_json, print_table, printable
from daemon.cli.parameters import TIME
from daemon.kernel.instant import format_rfc3339
from daemon.kernel.money import format_nano

_COLUMNS = (
    "call_id", "tenant", "account", "switch", "source", "state_at_start", "fate", "seconds", "charged", "currency",
    "freed", "why",
)  # fmt: skip
_MICROSECONDS = 6  # decimals of a second


@click.command("recovery")
@click.option("--since", type=TIME, help="Every start since then (RFC 3339). Default: the newest start alone.")
@as_json
@chosen
def recovery(selected: Chosen, since: int | None, as_json: bool) -> None:
    """Report what starts found open: adopted, settled, corrected later, voided, freed; and what still waits, and why.

    A call runs (its switch runs it, or a sign of life came since), waits, ended (its end was reported), was estimated
    (settled at its last proof of life), corrected (a late report took the estimate back), voided or expired.
    """

    async def read(store: Opened) -> RecoveryReport:
        return await store.recovery(since)

    report = selected.perform(read)
    if as_json:
        print_json(report_value(report))
        return
    if not report.starts:
        click.echo("no daemon has started since then")
    for start, calls in report.starts:
        _print_start(start, calls)
    if report.estimates:
        click.echo("settled by an estimate since, while the daemon ran:")
        _print_calls(report.estimates)
    _print_waiting(report)


def report_value(report: RecoveryReport) -> dict[str, Any]:
    """Return a report for ``--json``."""
    return {
        "starts": [_start_value(start, calls) for start, calls in report.starts],
        "estimates": [recovered_value(each) for each in report.estimates],
        "journalled_grants": report.journalled,
        "unreadable": [{"grant_id": grant_id, "why": why} for grant_id, why in report.unreadable],
    }


def _start_value(start: Start, calls: tuple[Recovered, ...]) -> dict[str, Any]:
    return {
        "number": start.number, "at": format_rfc3339(start.at), "daemon": start.daemon, "found": start.found,
        "journalled_grants": start.journalled, "counts": counted(calls),
        "money_freed": {currency: format_nano(nano) for currency, nano in money_freed(calls).items()},
        "channels_freed": channels_freed(calls), "calls": [recovered_value(each) for each in calls],
    }  # fmt: skip


def recovered_value(each: Recovered) -> dict[str, Any]:
    """Return one call of a report for ``--json``, as its payer sees it."""
    found, made = each.found, each.call
    adopted = format_rfc3339(found.adopted_at) if found.adopted_at else None
    return {
        "grant_id": found.grant_id, "call_id": made.call_id if made else "",
        "tenant": made.payer.tenant if made else "", "account": made.payer.id if made else "",
        "switch": made.switch if made else "", "source": made.source if made else "",
        "state_at_start": found.state, "adopted_at": adopted, "fate": each.fate.value,
        "settled_by": made.settled_by.value if made else "", "told_by": each.told_by, "seconds": _seconds(each),
        "charged": format_nano(each.charge), "currency": made.levels[0].currency if made else "",
        "reserved_at_start": format_nano(found.reserved), "freed": format_nano(each.freed), "why": _why(each),
    }  # fmt: skip


def _seconds(each: Recovered) -> str:
    whole, rest = divmod(each.seconds_us, 10**_MICROSECONDS)
    return f"{whole}.{rest:0{_MICROSECONDS}d}".rstrip("0").rstrip(".")


def _why(each: Recovered) -> str:
    return each.why or (f"told by {each.told_by}" if each.told_by else "")


def _print_start(start: Start, calls: tuple[Recovered, ...]) -> None:
    click.echo(f"start {start.number} at {format_rfc3339(start.at)} of {printable(start.daemon)}")
    told = ", ".join(f"{count} {fate}" for fate, count in counted(calls).items() if count)
    click.echo(f"  {start.found} calls were open" + (f": {told}" if told else ""))
    if start.journalled:
        click.echo(f"  {start.journalled} grants were in the journal")
    freed = ", ".join(f"{format_nano(nano)} {currency}" for currency, nano in money_freed(calls).items())
    click.echo(f"  freed: {freed or 'no money'}, {channels_freed(calls)} channels")
    if calls:
        _print_calls(calls)


def _print_calls(calls: tuple[Recovered, ...]) -> None:
    values = [recovered_value(each) for each in calls]
    rows = [[value[name] for name in _COLUMNS] for value in values]
    print_table(_COLUMNS, rows, numbers=("seconds", "charged", "freed"))


def _print_waiting(report: RecoveryReport) -> None:
    if report.journalled:
        click.echo(f"{report.journalled} grants are in the journal and wait for the store")
    for grant_id, why in report.unreadable:
        click.echo(f"grant {printable(grant_id)} cannot be read: {printable(why)}")
