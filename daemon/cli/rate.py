"""``tollway rate``: decks in, whole or not at all, and one price with every step as if written on paper."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from daemon.app_commands import (
    BatchStatus,
    BatchSummary,
    DeckDifference,
    FileRefused,
    Opened,
    Priced,
    PricedCall,
    Tariff,
    clock,
    price_file,
)
from daemon.cli.command import Chosen, as_json, chosen
from daemon.cli.difference import deck_value, print_deck
from daemon.cli.failure import Interrupted, Refused
from daemon.cli.output import counting, print_json, print_pairs, printable, working
from daemon.cli.parameters import KEY, TIME
from daemon.config_files.deck_files import Unreadable, read_deck_file
from daemon.kernel.instant import Instant, format_rfc3339
from daemon.kernel.money import format_nano
from daemon.rating.deck import RateRow

DURATION_SECONDS_MAX = 1_000_000  # seconds; eleven days, above every limit of a call
BATCH_ENDINGS = (".csv", ".csv.gz", ".parquet")
_DURATION = re.compile(r"[0-9]{1,7}(?:\.[0-9]{1,9})?")


@click.group()
def rate() -> None:
    """Import decks and price calls."""


@rate.command("import")
@click.argument("table", type=KEY)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--mode", type=click.Choice(["replace", "merge"]), required=True,
    help="replace closes the prefixes that FILE does not have; merge leaves them.",
)  # fmt: skip
@click.option(
    "--effective-from", type=TIME, help="Of rows that state none; RFC 3339. Default: the instant of the import."
)
@click.option("--backdate", is_flag=True, help="Allow a date in the past.")
@click.option("--dry-run", is_flag=True, help="Only print what would change.")
@click.option("--yes", is_flag=True, help="Go on above the table's limit of closed or changed rows.")
@as_json
@chosen
def import_deck(
    selected: Chosen, table: str, file: Path, mode: str, effective_from: Instant | None, backdate: bool, dry_run: bool,
    yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """Import the deck in FILE into a rate TABLE, whole or not at all, and print the difference.

    It stops without --yes above the table's limit of closed or changed rows (20 percent unless the table says other).
    A version that was in force is never altered.
    """
    with working(f"reading {file}"):
        rows = _rows(file)

    async def work(store: Opened) -> tuple[DeckDifference, int]:
        async def imported(*, dry: bool) -> DeckDifference:
            return await store.import_deck(
                table, rows, mode=mode, effective_from=effective_from, source=str(file), backdate=backdate, dry_run=dry
            )

        limit = await store.closed_limit_percent(table)
        difference = await imported(dry=True)
        stops = difference.closed_or_changed_percent > limit and not yes
        return difference if dry_run or stops else await imported(dry=False), limit

    with working(f"comparing {len(rows)} rows with {table}"):
        difference, limit = selected.perform(work)
    percent = difference.closed_or_changed_percent
    stopped = percent > limit and not yes
    applied = not dry_run and not stopped and difference.is_change
    if as_json:
        print_json({**deck_value(difference), "mode": mode, "dry_run": dry_run, "applied": applied})
    else:
        print_deck(difference)
    if stopped:
        raise Refused(
            f"{percent} percent of the rows in force would be closed or changed, above the table's limit of {limit}:"
            " nothing was changed; look at the difference, and if it is meant, say --yes"
        )


def _rows(file: Path) -> list[RateRow]:
    try:
        rows, problems = read_deck_file(file)
    except Unreadable as error:
        raise Refused(str(error)) from error
    if problems:
        raise Refused(*map(str, problems), f"{file}: the deck was not taken")
    return rows


class DurationType(click.ParamType[Decimal]):
    """Seconds with or without decimals, at their exact value."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Return the seconds."""
        if _DURATION.fullmatch(str(value)) is None or Decimal(value) > DURATION_SECONDS_MAX:
            self.fail(f"{value!r} is not a number of seconds up to {DURATION_SECONDS_MAX}", param, ctx)
        return Decimal(value)


@rate.command()
@click.option("--plan", type=KEY, required=True, help="The rate plan: ID of the owner's, or TENANT/ID.")
@click.option("--to", "called", required=True, help="The called number.")
@click.option("--seconds", type=DurationType(), required=True, help="The call's duration from answer.")
@click.option("--at", type=TIME, help="When it is answered, RFC 3339. Default: now.")
@click.option("--override", default="", help="The usage record's override value, such as VOICE.")
@as_json
@chosen
def price(
    selected: Chosen, plan: str, called: str, seconds: Decimal, at: Instant | None, override: str, as_json: bool
) -> None:  # fmt: skip
    """Price one answered call, and show every step. A number that has no price ends with status 1 and the reason."""
    answered_at = clock() if at is None else at
    found = selected.perform(lambda store: store.price(plan, called, seconds, answered_at, override))
    if as_json:
        print_json(price_value(found))
    elif found.tariff is not None and not found.priced.reason:
        _print_steps(found, found.tariff, plan, called, seconds, answered_at)
    if found.priced.reason:
        raise Refused(f"{found.priced.reason}: {printable(called)} has no price in plan {plan}{_blocking(found)}")


def _blocking(found: PricedCall) -> str:
    return f": prefix {found.priced.prefix} is blocked" if found.tariff is not None and found.tariff.blocked else ""


def price_value(found: PricedCall) -> dict[str, Any]:
    """Return a price as ``rate price --json`` promises it."""
    priced = found.priced
    return {
        "status": priced.status.value, "reason": priced.reason, "prefix": priced.prefix,
        "destination": priced.destination, "charge": format_nano(priced.charge), "currency": priced.currency,
        "billed_seconds": priced.billed_seconds, "connect_fee": format_nano(priced.connect_fee),
        "blocks": [
            {
                "from_second": block.from_second, "seconds": block.seconds, "rate": format_nano(block.rate),
                "band": block.band, "amount": format_nano(block.amount),
            }
            for block in priced.blocks
        ],
        "rounding": format_nano(priced.rounding),
    }  # fmt: skip


def _print_steps(found: PricedCall, tariff: Tariff, plan: str, called: str, duration: Decimal, at: Instant) -> None:
    priced, currency = found.priced, found.priced.currency
    increments = f"{tariff.first_seconds}/{tariff.next_seconds}"
    lines: list[tuple[str, object]] = [
        ("call", f"{duration} s to {called} by plan {plan}, answered {format_rfc3339(at)}"),
        ("rate", f"prefix {priced.prefix} ({priced.destination}) of {tariff.table}, version {tariff.deck_version}:"
                 f" {format_nano(tariff.rate)} {currency} a minute, {increments}"),
        ("duration", f"{duration} s, rounded {tariff.duration_rounding.value} = {found.seconds} s"),
        ("billed", billed_words(tariff, found.seconds, priced.billed_seconds)),
        ("connect fee", format_nano(priced.connect_fee)),
    ]  # fmt: skip
    for block in priced.blocks:
        sum_ = f"{block.seconds} s * {format_nano(block.rate)} / 60 = {format_nano(block.amount)}"
        lines.append((f"from second {block.from_second}", sum_))
    lines.append(("rounding", rounding_words(tariff, found.priced)))
    lines.append(("charge", f"{format_nano(priced.charge)} {currency}"))
    print_pairs(lines)


def billed_words(tariff: Tariff, seconds: int, billed: int) -> str:
    """Say how the billed seconds come about."""
    if seconds <= tariff.free_seconds:
        return f"0 s: a call of at most {tariff.free_seconds} s is free"
    rest = seconds - tariff.included_seconds
    given = f"{seconds} - {tariff.included_seconds} included = {rest}; " if tariff.included_seconds else ""
    first, following = tariff.first_seconds, tariff.next_seconds
    if rest <= 0:
        return f"0 s: {seconds} s lie within the {tariff.included_seconds} included"
    if rest <= first:
        return f"{billed} s: {given}{rest} s lie within the first block of {first}"
    blocks = -(-(rest - first) // following)
    rule = f"{first} + ceil(({rest} - {first}) / {following}) * {following}"
    return f"{billed} s: {given}{rule} = {first} + {blocks} * {following}"


def rounding_words(tariff: Tariff, priced: Priced) -> str:
    """Say what rounding and the minimum charge added."""
    lifted = priced.charge - priced.rounding < tariff.minimum_charge <= priced.charge
    minimum = f", lifted to the minimum charge {format_nano(tariff.minimum_charge)}" if lifted else ""
    rule = f"{tariff.rounding.value} at {tariff.decimals} places"
    return f"{format_nano(priced.rounding)} ({rule}{minimum})"


@rate.command()
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
