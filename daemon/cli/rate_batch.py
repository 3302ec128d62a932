"""``tollway rate batch``: a file of usage in, the same rows with their prices out."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from daemon.app_commands import BatchStatus, BatchSummary, FileRefused, RunStopped, price_file
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

    A row that has no price says why in its place, and ends the command with status 1. A run that is interrupted or
    terminated ends after the rows under way (65,536 at most), and says from which row the same command goes on, to the
    same OUT as that of a run that was never interrupted. A second signal ends it at once; those rows are priced again.
    """
    for file, hint in ((source, "IN"), (target, "OUT")):
        if not file.name.endswith(BATCH_ENDINGS):
            raise click.BadParameter(f"{str(file)!r} ends in none of {', '.join(BATCH_ENDINGS)}", param_hint=hint)
    rules = selected.perform(lambda store: store.batch_rules(plan))
    try:
        with stoppable() as stop, counting(f"pricing {source.name}") as progress:
            summary = price_file(source, target, rules, restart=restart, progress=progress, stop=stop)
    except FileRefused as error:
        raise Refused(str(error)) from error
    except OSError as error:
        raise Refused(
            f"{error.filename or target}: {error.strerror or error}; mend it and give the command again"
        ) from error
    except RunStopped as stopped:
        raise Interrupted(going_on(target, stopped.rows, restart=restart)) from None
    if as_json:
        print_json(summary.value())
    else:
        _print_summary(summary, target)
    if not summary.is_all_rated:
        counted = sorted(summary.reasons.items())
        raise Refused(*(f"{rows} {'row' if rows == 1 else 'rows'}: {reason}" for reason, rows in counted))


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Take SIGINT and SIGTERM as the wish to stop after the rows under way; give what tells of it. A second ends it."""
    asked: list[int] = []

    def ask(number: int, _frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    taken = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in taken:
        signal.signal(number, ask)
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)


def going_on(target: Path, rows: int, *, restart: bool) -> str:
    """Say what the same command does after an interruption behind so many rows."""
    if not rows:
        return f"interrupted: {target} is not written yet, and no row was kept; the same command begins anew"
    command = "the same command without --restart" if restart else "the same command"
    return f"interrupted: {target} is not written yet; {command} goes on from row {rows + 1}"


def _print_summary(summary: BatchSummary, target: Path) -> None:
    lines: list[tuple[str, object]] = [("written to", target), ("rows", summary.rows)]
    lines += [(status.value, summary.statuses[status.value]) for status in BatchStatus]
    lines += [("charged", f"{format_nano(nano)} {currency}") for currency, nano in sorted(summary.totals.items())]
    print_pairs(lines)
