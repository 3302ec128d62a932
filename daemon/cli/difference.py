"""How a difference of decks and objects is shown: what is new, dearer, cheaper, otherwise changed, closed."""

from typing import Any

import click

from daemon.app_commands import DeckDifference, Difference
from daemon.cli.output import printable

NAMES_SHOWN = 20  # prefixes of one kind that a person reads; --json has more
_KINDS = ("new", "increased", "decreased", "changed", "closed")


def deck_value(deck: DeckDifference) -> dict[str, Any]:
    """Return a deck's difference for ``--json``: prefixes of each kind, and those that would fall to a shorter one."""
    return {
        "table": deck.table,
        **{kind: list(getattr(deck, kind)) for kind in _KINDS},
        "falls": [{"prefix": prefix, "to": shorter} for prefix, shorter in deck.falls],
        "unchanged": deck.unchanged,
        "in_force": deck.in_force,
        "closed_or_changed_percent": deck.closed_or_changed_percent,
    }


def print_deck(deck: DeckDifference) -> None:
    """Print a deck's difference."""
    counts = ", ".join(f"{len(getattr(deck, kind))} {kind}" for kind in _KINDS)
    click.echo(f"rate table {deck.table}: {counts}, {deck.unchanged} unchanged")
    for kind in _KINDS:
        names = getattr(deck, kind)
        if names:
            more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
            click.echo(f"  {kind}: {', '.join(names[:NAMES_SHOWN])}{more}")
    for prefix, shorter in deck.falls[:NAMES_SHOWN]:
        click.echo(f"  calls to {prefix} would fall to {shorter}")


def difference_value(difference: Difference) -> dict[str, Any]:
    """Return a whole difference for ``--json``."""
    return {
        "objects": [
            {"act": change.act, "kind": change.kind, "id": change.key, "detail": change.detail}
            for change in difference.objects
        ],
        "decks": [deck_value(deck) for deck in difference.decks],
        "unchanged": difference.unchanged,
    }


def print_difference(difference: Difference) -> None:
    """Print a whole difference."""
    for change in difference.objects:
        detail = f": {printable(change.detail)}" if change.detail else ""
        click.echo(f"{change.act} {change.kind} {change.key}{detail}")
    for deck in difference.decks:
        if deck.is_change:
            print_deck(deck)
    if difference.is_empty:
        click.echo("nothing differs")
