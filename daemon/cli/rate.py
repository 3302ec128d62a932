"""``tollway rate``: decks in, whole or not at all, and one price with every step as if written on paper."""

import contextlib
import gc
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from daemon.app_commands import KINDS, DeckDifference, clock
from daemon.app_prices import PricedCall, Question
from daemon.charging.configuration import ConversionSpec, stated_rate
from daemon.cli.command import Chosen, as_json, chosen
from daemon.cli.difference import CLOSED_SHOWN, NAMES_SHOWN, deck_value, print_deck
from daemon.cli.failure import Refused
from daemon.cli.output import dated, print_json, print_notes, print_pairs, print_table, printable, working
from daemon.cli.parameters import ID, KEY, REASON, TIME
from daemon.cli.price_steps import price_lines
from daemon.cli.rate_batch import batch
from daemon.config_files.deck_files import DeckFile, Stated, Unreadable, find_template, read_deck_file
from daemon.kernel.instant import Instant, format_rfc3339
from daemon.kernel.money import format_nano
from daemon.rating.conversion import Conversion, Conversions
from daemon.rating.deck import UNITS_IN_ROW_MAX

DURATION_SECONDS_MAX = 1_000_000  # seconds; eleven days, above every limit of a call
UNITS = click.IntRange(0, UNITS_IN_ROW_MAX)  # as many as a row of a deck can speak of
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
@click.option("--template", default="", help="Of docs/decks.md, or a TOML file of your own. Default: by the header.")
@click.option("--encoding", default="", help="Such as cp1252. Default: UTF-8, or by the byte order mark.")
@click.option("--delimiter", default="", help="comma, semicolon, tab or pipe. Default: detected.")
@click.option("--decimal", default="", help="point or comma. Default: by the first price that tells.")
@click.option("--date-format", default="", help="iso, dmy or mdy. Default: the template's.")
@click.option("--timezone", default="", help="Of dates without an offset. Default: the template's, else UTC.")
@click.option("--sheet", default="", help="Of a workbook. Default: the one that has a header.")
@click.option("--backdate", is_flag=True, help="Allow a date in the past.")
@click.option("--dry-run", is_flag=True, help="Only print what would change.")
@click.option("--yes", is_flag=True, help="Go on above the table's limit of closed or changed prefixes.")
@REASON
@as_json
@chosen
def import_deck(
    selected: Chosen, table: str, file: Path, mode: str, effective_from: Instant | None, template: str, encoding: str,
    delimiter: str, decimal: str, date_format: str, timezone: str, sheet: str, backdate: bool, dry_run: bool,
    yes: bool, reason: str, as_json: bool,
) -> None:  # fmt: skip
    """Import the deck in FILE into a rate TABLE, whole or not at all, and print the difference in prefixes.

    What is dearer, cheaper, changed or closed is shown with the price before and after (none: it has none then).
    It stops without --yes above the table's limit of closed or changed prefixes: 20 percent of those in force or
    scheduled, unless the table says other. A version that was in force is never altered.
    """
    deck = _read(file, template, Stated(encoding, delimiter, decimal, date_format, timezone, sheet))
    if not as_json:
        print_notes(deck.notes)
    rows = deck.rows
    with uncollected(), working(f"comparing {len(rows)} rows with {table}") as say:
        difference, limit = selected.perform(
            lambda store: store.import_deck(
                table, rows, mode=mode, effective_from=effective_from, source=str(file), backdate=backdate,
                dry_run=dry_run, yes=yes, reason=reason, progress=say,
            )
        )  # fmt: skip
    _tell(difference, limit, mode, dry_run=dry_run, yes=yes, as_json=as_json)


def _tell(difference: DeckDifference, limit: int, mode: str, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Print what changed or would change. Raises Refused where nothing did, because it is above the table's limit."""
    percent = difference.closed_or_changed_percent
    stopped = percent > limit and not yes
    applied = not dry_run and not stopped and difference.is_change
    if as_json:
        print_json({**deck_value(difference), "mode": mode, "dry_run": dry_run, "applied": applied})
    else:
        # A deck that replaces another may close thousands: more than a screen of them hides what is dearer.
        print_deck(difference, closed_shown=NAMES_SHOWN if mode == "replace" else CLOSED_SHOWN)
    if stopped:
        raise Refused(
            f"{percent} percent of the prefixes in force or scheduled would be closed or changed, above the table's"
            f" limit of {limit}: nothing was changed; look at the difference, and if it is meant, say --yes"
        )


@rate.command()
@click.argument("table", type=KEY)
@as_json
@chosen
def history(selected: Chosen, table: str, as_json: bool) -> None:
    """Show the versions of a rate TABLE's deck, oldest first: who made each, when and why, and what it did.

    A version is in force from the first instant at which it changes a price.
    """
    versions = selected.perform(lambda store: store.deck_versions(table))
    if as_json:
        print_json([_version_value(version) for version in versions])
    else:
        columns = ("version", "at", "mode", "who", "source", "added", "ended", "difference", "in force from", "reason")
        print_table(columns, map(_version_cells, versions), numbers=("version", "added", "ended"))


def _version_value(version: dict[str, Any]) -> dict[str, Any]:
    begins = version.pop("begins")
    return {**dated(version), "in_force_from": format_rfc3339(begins) if begins else None}


def _version_cells(version: dict[str, Any]) -> tuple[object, ...]:
    counts = ", ".join(f"{version[kind]} {kind}" for kind in KINDS if version[kind])
    begins = format_rfc3339(version["begins"]) if version["begins"] else "always"
    return (
        version["version"], format_rfc3339(version["at"]), version["mode"], version["who"], version["source"],
        version["rows_added"], version["rows_ended"], counts, begins, version["reason"],
    )  # fmt: skip


@rate.command()
@click.argument("table", type=KEY)
@click.option("--to", "version", type=click.IntRange(min=1), required=True, help="The version, as in rate history.")
@click.option("--reason", required=True, help="Why; kept with the version and whoever made it.")
@click.option("--dry-run", is_flag=True, help="Only print what would change.")
@click.option("--yes", is_flag=True, help="Go on above the table's limit of closed or changed prefixes.")
@as_json
@chosen
def rollback(
    selected: Chosen, table: str, version: int, reason: str, dry_run: bool, yes: bool, as_json: bool
) -> None:  # fmt: skip
    """Make the prices of a rate TABLE from now on those of one of its versions, by a new version.

    What was in force until now stays on record as it was. It stops without --yes above the table's limit.
    """
    if not reason.strip():
        raise click.BadParameter("say why", param_hint="--reason")
    with uncollected(), working(f"comparing {table} with its version {version}") as say:
        difference, limit = selected.perform(
            lambda store: store.rollback_deck(table, version, reason=reason, dry_run=dry_run, yes=yes, progress=say)
        )
    _tell(difference, limit, "rollback", dry_run=dry_run, yes=yes, as_json=as_json)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Look for no cycles meanwhile: a million rows hold none, and each collection would look at all of them again."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _read(file: Path, template: str, stated: Stated) -> DeckFile:
    """Return a deck that has no fault. Raises Refused with every one."""
    if faults := list(stated.faults()):
        raise Refused(*faults)
    found, problems = find_template(template) if template else (None, [])
    if problems:
        raise Refused(*map(str, problems))
    try:
        with working(f"reading {file}") as say, uncollected():
            deck = read_deck_file(file, found, stated, lambda rows: say(f"reading {file}: {rows:,} rows"))
    except Unreadable as error:
        raise Refused(str(error)) from error
    if deck.problems:
        raise Refused(*map(str, deck.problems), f"{file}: the deck was not taken")
    return deck


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
@click.option("--to", "called", default="", help="The called number. Usage that is found by its rate type needs none.")
@click.option("--seconds", type=DurationType(), help="The call's duration from answer.")
@click.option("--units", type=UNITS, help="In place of seconds: units of another rate type, such as messages.")
@click.option("--at", type=TIME, help="When it is answered, RFC 3339. Default: now.")
@click.option("--override", default="", help="The usage record's override value, such as VOICE.")
@click.option("--rate-type", default="", help="The usage record's rate type, such as per_message. Default: a call.")
@click.option("--account", type=KEY, help="Whose overrides and class of service apply: ID or TENANT/ID.")
@click.option("--volume", type=UNITS, default=0, help="Units used in the period before.")
@as_json
@chosen
def price(
    selected: Chosen, plan: str, called: str, seconds: Decimal | None, units: int | None, at: Instant | None,
    override: str, rate_type: str, account: str | None, volume: int, as_json: bool,
) -> None:  # fmt: skip
    """Price one answered call, and show every step. A number that has no price ends with status 1 and the reason."""
    if (seconds is None) == (units is None):
        raise click.UsageError("state --seconds of a call, or --units of another rate type")
    quantity = seconds if seconds is not None else Decimal(units or 0)
    answered_at = clock() if at is None else at
    question = Question(plan, called, quantity, answered_at, override, rate_type, account or "", volume)
    found = selected.perform(lambda store: store.price(question))
    if as_json:
        print_json(price_value(found))
    else:
        print_pairs(price_lines(found, question))
    if found.priced.reason:
        raise Refused(f"{found.priced.reason}: {printable(called)} has no price in plan {plan}{_hindrance(found)}")


def _hindrance(found: PricedCall) -> str:
    """Say what stands in the way of a price."""
    if found.lacking:
        return f": {found.lacking}"
    if found.tariff is not None:
        return f": {f'prefix {found.priced.prefix}' if found.priced.prefix else 'every number'} is blocked"
    return f": no band of prefix {found.priced.prefix} holds this time" if found.priced.prefix else ""


def price_value(found: PricedCall) -> dict[str, Any]:
    """Return a price as ``rate price --json`` promises it."""
    priced = found.priced
    value = {
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
    return value if priced.conversion is None else {**value, "conversion": _conversion_value(priced.conversion)}


def _conversion_value(conversion: Conversion) -> dict[str, str]:
    return {
        "tenant": conversion.tenant, "from": conversion.source, "to": conversion.target,
        "rate": format_nano(conversion.rate), "effective_from": format_rfc3339(conversion.begins),
    }  # fmt: skip


@rate.command()
@click.option("--tenant", type=ID, help="Only those that this tenant states. Default: all.")
@click.option("--at", type=TIME, help="Which are in force at this time, RFC 3339. Default: now.")
@as_json
@chosen
def conversions(selected: Chosen, tenant: str | None, at: Instant | None, as_json: bool) -> None:
    """Show the dated rates between currencies, the earliest of each pair first, and which are in force.

    They are stated in a scenario file and come with apply. A tenant that states no rate of a pair has those of the
    nearest tenant above it that does.
    """
    stated = selected.perform(lambda store: store.conversions(tenant))
    values = conversion_values(stated, clock() if at is None else at)
    if as_json:
        print_json(values)
        return
    columns = ("tenant", "from", "to", "rate", "effective_from", "effective_to")
    rows = [[*(_blank(value[name]) for name in columns), "yes" if value["in_force"] else ""] for value in values]
    print_table((*columns, "in force"), rows, numbers=("rate",))


def _blank(value: object) -> object:
    return "" if value is None else value


def conversion_values(stated: Sequence[ConversionSpec], at: Instant) -> list[dict[str, Any]]:
    """Return rates between currencies as ``rate conversions --json`` promises them."""
    own = Conversions(map(stated_rate, stated))  # without tenants above: each pair by itself
    values = []
    for spec in stated:
        timeline = own.timeline(spec.tenant, spec.source, spec.target)
        found = timeline.at(at) if timeline is not None else None
        values.append({
            "tenant": spec.tenant, "from": spec.source, "to": spec.target, "rate": format_nano(spec.rate),
            "effective_from": format_rfc3339(spec.begins),
            "effective_to": format_rfc3339(spec.ends) if spec.ends is not None else None,
            "in_force": found is not None and found.begins == spec.begins,
        })  # fmt: skip
    return values


rate.add_command(batch)
