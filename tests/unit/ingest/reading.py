"""Decks of these tests: read whole, from a file or from text, as records and errors that a test can compare."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from daemon.ingest.deck_records import Stated, read_deck_records
from daemon.ingest.deck_template import RECORD_COLUMNS, Template

DECKS = Path(__file__).parents[2] / "vectors" / "decks"
_SHORT = {
    "name": "destination", "fee": "connect_fee", "first": "first_seconds", "next": "next_seconds",
    "free": "free_seconds", "included": "included_seconds", "from": "effective_from", "to": "effective_to",
    "band": "time_band", "step": "step_from_seconds",
}  # fmt: skip


class Deck(NamedTuple):
    """A deck read to its end."""

    records: list[tuple[int, dict[str, str]]]
    errors: list[str]
    notes: list[str]
    template: str


def read(path: Path, template: Template | None = None, **stated: str) -> Deck:
    """Read a file; errors are without the path in front."""
    source = read_deck_records(path, template=template, stated=Stated(**stated))
    records = []
    for line, cells in source.records:
        assert len(cells) == len(RECORD_COLUMNS)
        records.append((line, {name: cell for name, cell in zip(RECORD_COLUMNS, cells, strict=True) if cell}))
    errors = [str(error).removeprefix(f"{path}:") for error in source.errors]
    return Deck(records, errors, source.notes, source.template.name if source.template else "")


def read_text(folder: Path, text: str | bytes, template: Template | None = None, **stated: str) -> Deck:
    """Read a text as a file, which is written in a folder."""
    path = folder / "a.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, template, **stated)


def expected(text: str) -> list[tuple[int, dict[str, str]]]:
    """Return the records that lines such as ``2: 44,45 name=UK rate=0.01 from=2026-05-04`` stand for."""
    return [record for line in text.strip().splitlines() for record in _records(line)]


def _records(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    line, prefixes, *cells = shlex.split(text)
    values = {_SHORT.get(name, name): value for name, _, value in (cell.partition("=") for cell in cells)}
    for name in ("effective_from", "effective_to"):
        if name in values and "T" not in values[name]:
            values[name] += "T00:00:00Z"
    for prefix in prefixes.split(","):
        yield int(line.removesuffix(":")), {"prefix": prefix, **values}
