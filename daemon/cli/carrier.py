"""``tollway carrier``: how well carriers complete calls, as their routes are ordered by."""

import click

from daemon.cli.command import Chosen, as_json, chosen
from daemon.cli.output import print_json, print_table

COLUMNS = ("tenant", "carrier", "prefix", "attempts", "asr_percent", "acd_seconds", "asr_grade", "acd_grade")


@click.group()
def carrier() -> None:
    """What calls told of carriers."""


@carrier.command("quality")
@as_json
@chosen
def quality(selected: Chosen, as_json: bool) -> None:
    """List ASR and ACD of each carrier and the first digits of the called numbers, of the last 24 hours.

    The grades are those made the last time; they are empty where there are fewer than 50 attempts (docs/routes.md).
    """
    found = selected.perform(lambda store: store.carrier_qualities())
    if as_json:
        print_json([dict(zip(COLUMNS, row, strict=True)) for row in found])
    else:
        print_table(COLUMNS, [["" if value is None else value for value in row] for row in found])
