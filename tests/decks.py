"""Decks of Tollway's own columns as texts, for tests that are about prices: no file, no detection, no template."""

import csv
from io import StringIO

from daemon.rating.deck import COLUMNS, DeckError, DeckRow, RateRow, finish_deck


def read_deck(text: str, source: str) -> tuple[list[RateRow], list[DeckError]]:
    """Return the rows of a well-formed CSV text, and the errors of its cells. Blank rows are passed over."""
    reader = csv.DictReader(StringIO(text, newline=""), strict=True)
    assert set(reader.fieldnames or ()) <= set(COLUMNS), reader.fieldnames
    typed = [DeckRow(source, reader.line_num, *(row.get(column) or "" for column in COLUMNS)) for row in reader]
    return finish_deck(typed, source)
