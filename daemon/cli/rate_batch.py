"""``tollway rate batch``: a file of usage in, the same rows with their prices out."""

from pathlib import Path

import click

from daemon.app_commands import BatchStatus, BatchSummary, FileRefused, price_file
from daemon.cli.command import Chosen, as_json, chosen
from daemon.cli.failure import Interrupted, Refused
from daemon.cli.output import counting, print_json, print_pairs
from daemon.cli.parameters import KEY
from daemon.kernel.money import format_nano

BATCH_ENDINGS = (".csv", ".csv.gz", ".parquet")


@click.command()
@click.option("--plan", type=KEY, required=True, help="The rate plan: ID of the owner's, or TENANT/ID.")
@click.option("--restart", is_flag=True, help="Begin anew, whatever an interrupted run left.")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path, dir_okay=False))
@as_json
@chosen
def batch(selected: Chosen, plan: str, restart: bool, source: Path, target: Path, as_json: bool) -> None:
    """Price the usage in IN, a row each, and write the same rows with their prices to OUT; .csv, .csv.gz or .parquet.

    A row that has no price says why in its place, and ends the command with status 1. A run that was interrupted goes
    on where it was when the same command is given again.
    """
    for file, hint in ((source, "IN"), (target, "OUT")):
        if not file.name.endswith(BATCH_ENDINGS):
            raise click.BadParameter(f"{str(file)!r} ends in none of {', '.join(BATCH_ENDINGS)}", param_hint=hint)
    rules = selected.perform(lambda store: store.batch_rules(plan))
    try:
        with counting(f"pricing {source.name}") as progress:
            summary = price_file(source, target, rules, restart=restart, progress=progress)
    except FileRefused as error:
        raise Refused(str(error)) from error
    except OSError as error:
        raise Refused(
            f"{error.filename or target}: {error.strerror or error}; mend it and give the command again"
        ) from error
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted: {target} is not there yet; the same command goes on where it was") from None
    if as_json:
        print_json(summary.value())
    else:
        _print_summary(summary, target)
    if not summary.is_all_rated:
        counted = sorted(summary.reasons.items())
        raise Refused(*(f"{rows} {'row' if rows == 1 else 'rows'}: {reason}" for reason, rows in counted))


def _print_summary(summary: BatchSummary, target: Path) -> None:
    lines: list[tuple[str, object]] = [("written to", target), ("rows", summary.rows)]
    lines += [(status.value, summary.statuses[status.value]) for status in BatchStatus]
    lines += [("charged", f"{format_nano(nano)} {currency}") for currency, nano in sorted(summary.totals.items())]
    print_pairs(lines)
