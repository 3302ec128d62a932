"""How a difference of decks and objects is shown: what is new, dearer, cheaper, otherwise changed, closed."""

from typing import Any

import click

from daemon.app_commands import KINDS, DeckDifference, Difference
from daemon.cli.output import printable
from daemon.kernel.money import format_nano

NAMES_SHOWN = 20  # prefixes of one kind that a person reads; --json has more
CLOSED_SHOWN = 200  # closed prefixes, and those whose numbers would fall elsewhere: each may be a mistake that costs


def deck_value(deck: DeckDifference) -> dict[str, Any]:
    """Return a deck's difference for ``--json``: prefixes of each kind, and those that would fall to a shorter one.

    Every count is of prefixes; ``prices`` has none of new ones.
    """
    return {
        "table": deck.table,
        **{kind: list(getattr(deck, kind)) for kind in KINDS},
        "prices": {
            name: {"before": _price(prices.before), "after": _price(prices.after), "what": prices.what}
            for name, prices in deck.prices.items()
        },
        "prices_beyond": deck.prices_beyond,
        "falls": [{"prefix": prefix, "to": shorter} for prefix, shorter in deck.falls],
        "falls_beyond": deck.falls_beyond,
        "unchanged": deck.unchanged,
        "in_force": deck.in_force,
        "scheduled": deck.scheduled,
        "closed_or_changed_percent": deck.closed_or_changed_percent,
    }


def _price(rate: int | None) -> str | None:
    return None if rate is None else format_nano(rate)


def _priced(deck: DeckDifference, name: str) -> str:
    """Return a prefix with what it asked and will ask, where that is known."""
    prices = deck.prices.get(name)
    if prices is None:
        return printable(name)
    if prices.what:
        return f"{printable(name)} {_price(prices.after) or 'none'} ({printable(prices.what)})"
    return f"{printable(name)} {_price(prices.before) or 'none'} -> {_price(prices.after) or 'none'}"


def print_deck(deck: DeckDifference, *, closed_shown: int = CLOSED_SHOWN) -> None:
    """Print a deck's difference; of closed prefixes, and those whose numbers fall, ``closed_shown`` at most."""
    counts = ", ".join(f"{len(getattr(deck, kind))} {kind}" for kind in KINDS)
    click.echo(f"rate table {deck.table}, prefixes: {counts}, {deck.unchanged} unchanged")
    for kind in KINDS:
        names, most = getattr(deck, kind), closed_shown if kind == "closed" else NAMES_SHOWN
        if names:
            more = f" and {len(names) - most} more" if len(names) > most else ""
            click.echo(f"  {kind}: {', '.join(_priced(deck, name) for name in names[:most])}{more}")
    for prefix, shorter in deck.falls[:closed_shown]:
        click.echo(f"  calls to {prefix} would fall to {shorter}")
    beyond = max(len(deck.falls) - closed_shown, 0) + deck.falls_beyond
    if beyond:
        click.echo(f"  calls to {beyond} more would fall to a shorter prefix")


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
