"""A deck of any layout known becomes records of canonical texts, lazily, with every fault of every row.

``Typed.cells`` are in the order of RECORD_COLUMNS, an absent column is an empty text. Whether the deck is taken is
decided whole, from ``errors``, once ``records`` has been read to its end. What was detected is noted for the operator.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from daemon.ingest.cells import COMMA, POINT, Amounts
from daemon.ingest.dates import DATE_FORMATS, Dates
from daemon.ingest.deck_source import (
    DELIMITERS,
    ENCODINGS,
    BadOctets,
    Magic,
    Row,
    TextDeck,
    UnreadableDeck,
    Version,
    magic,
    refuse_changed,
    text_deck,
)
from daemon.ingest.deck_template import RECORD_COLUMNS, Layout, Template
from daemon.ingest.header import NoHeader, layout_of_rows, layout_of_text, notes_of
from daemon.ingest.row_reader import RowReader, Typed
from daemon.ingest.templates import NATIVE
from daemon.kernel.instant import zone
from daemon.rating.deck import ROWS_MAX, DeckError, Findings

if TYPE_CHECKING:
    from daemon.ingest.workbook import WorkbookDeck

_NATIVE_ACTIONS: Final = ("", "delete")
PROGRESS_ROWS: Final = 10_000  # rows between two reports of progress
RECORDS_MAX: Final = ROWS_MAX  # records of a deck, counted after ranges and lists are spread out


@dataclass(frozen=True, slots=True)
class Stated:
    """What the operator says of a file, before what the template says; an empty text says nothing."""

    encoding: str = ""
    delimiter: str = ""
    decimal: str = ""
    date_format: str = ""
    timezone: str = ""
    sheet: str = ""

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with the words themselves."""
        for name, value, known in (
            ("encoding", self.encoding, ENCODINGS),
            ("delimiter", self.delimiter, (*DELIMITERS, *DELIMITERS.values())),
            ("decimal", self.decimal, (POINT, COMMA)),
            ("date-format", self.date_format, DATE_FORMATS),
        ):
            if value and value not in known:
                yield f"--{name} {value!r} is not one of {', '.join(word for word in known if word.isprintable())}"
        if self.timezone:
            try:
                zone(self.timezone)
            except ValueError as error:
                yield f"--timezone: {error}"


@dataclass(slots=True)
class DeckSource:
    """A deck as it is read: ``errors`` and ``notes`` are complete once ``records`` is exhausted."""

    records: Iterator[Typed]
    notes: list[str]
    _findings: Findings
    template: Template | None = None
    rows: int = 0  # of the file, below its header and not blank; counted once records is exhausted

    @property
    def errors(self) -> list[DeckError]:
        """Return the errors found so far."""
        return self._findings.report()


class _File(NamedTuple):
    """A file whose layout is known, and how to read its rows again."""

    layout: Layout
    rows: Callable[[Findings], Iterator[Row]]
    days_from: datetime | None


def read_deck_records(
    path: Path,
    *,
    template: Template | None = None,
    stated: Stated | None = None,
    progress: Callable[[int], None] | None = None,
) -> DeckSource:
    """Return the records of a deck file, to be read lazily.

    Without a template it is detected by the header. ``progress`` is told the number of rows read, each PROGRESS_ROWS
    and at the end. Raises UnreadableDeck where the file cannot be read at all, also while ``records`` is read, and
    ValueError for a word of ``stated`` that means nothing.
    """
    words = stated or Stated()
    for fault in words.faults():
        raise ValueError(fault)
    source = str(path)
    findings = Findings(source)
    deck = DeckSource(iter(()), [], findings)
    kind = magic(path)
    try:
        file = _opened(path, kind, template, words, deck.notes)
    except NoHeader as error:
        for each in error.errors:
            findings.add(each)
        return deck
    except BadOctets as error:
        findings.add(DeckError(source, error.line, "", error.reason))
        return deck
    deck.template = file.layout.template
    deck.notes.extend(notes_of(file.layout))
    deck.records = _unchanged(_records(deck, file, source, words, progress), path, kind.version)
    return deck


def _unchanged(records: Iterator[Typed], path: Path, version: Version) -> Iterator[Typed]:
    yield from records
    refuse_changed(path, version)


# -- the file and its layout


def _opened(path: Path, kind: Magic, template: Template | None, stated: Stated, notes: list[str]) -> _File:
    if kind.is_workbook:
        from daemon.ingest.workbook import workbook_deck  # noqa: PLC0415 - few decks are workbooks, and its library is large

        return _opened_workbook(workbook_deck(path), template, stated, notes)
    deck, encoding = text_deck(path, kind.is_packed, stated.encoding or (template.encoding if template else ""))
    notes.append(f"encoding {encoding}" + (", unpacked by gzip" if kind.is_packed else ""))
    return _opened_text(deck, template, stated, notes)


def _opened_text(deck: TextDeck, template: Template | None, stated: Stated, notes: list[str]) -> _File:
    delimiter = _sign(stated.delimiter or (template.delimiter if template else ""))
    layout, delimiter = layout_of_text(deck.preamble(), str(deck.path), template, delimiter)
    notes.append(f"delimiter {DELIMITERS[delimiter]}")
    return _File(layout, lambda findings: deck.rows(delimiter, findings), None)


def _sign(delimiter: str) -> str:
    """Return the character of a delimiter that may be written as a word."""
    return next((sign for sign, word in DELIMITERS.items() if word == delimiter), delimiter)


def _opened_workbook(deck: "WorkbookDeck", template: Template | None, stated: Stated, notes: list[str]) -> _File:
    source = str(deck.path)
    wanted = stated.sheet or (template.sheet if template else "")
    if wanted and wanted not in deck.sheets:
        raise NoHeader([DeckError(source, 0, "", f"no sheet {wanted!r}; there are {', '.join(deck.sheets)}")])
    found: dict[str, Layout] = {}
    faults: list[DeckError] = []
    for sheet in (wanted,) if wanted else deck.sheets:
        broken = Findings(source)
        try:
            found[sheet] = layout_of_rows(deck.rows(sheet, broken), source, template)
        except NoHeader as error:
            faults = faults or broken.report() or error.errors
    if not found:
        raise NoHeader(faults or [DeckError(source, 0, "", "the workbook has no sheet that is shown")])
    if len(found) > 1:
        raise NoHeader([DeckError(source, 0, "", f"sheets {', '.join(found)} all have a header; state --sheet")])
    (sheet, layout), *_ = found.items()
    others = [name for name in deck.sheets if name != sheet]
    notes.append(f"workbook, sheet {sheet!r}" + (f"; not read: {', '.join(others)}" if others else ""))
    return _File(layout, lambda findings: deck.rows(sheet, findings), deck.context.days_from)


# -- records


def _records(
    deck: DeckSource, file: _File, source: str, stated: Stated, progress: Callable[[int], None] | None
) -> Iterator[Typed]:
    template, findings = file.layout.template, deck._findings
    where = stated.timezone or template.timezone
    dates = Dates(
        zone(where), stated.date_format or template.date_format, file.days_from,
        end_includes_day=template.end_includes_day,
        needs_offset=template is NATIVE and file.days_from is None and not (stated.date_format or stated.timezone),
    )  # fmt: skip
    # A workbook's numbers have no mark, so that a template's is one for its text files.
    amounts = Amounts(stated.decimal or (template.decimal if file.days_from is None else ""))
    reader = RowReader(file.layout, source, findings, amounts, dates)
    convert = _native(file.layout, reader) if template is NATIVE else reader.records
    count = 0
    try:
        for row in _body(deck, file, source, progress):
            for record in convert(row):
                count += 1
                if count > RECORDS_MAX:
                    reason = f"a deck has at most {RECORDS_MAX} rows, ranges spread out; split it by prefix"
                    findings.add(DeckError(source, row.line, "", reason))
                    return
                yield record
    except UnicodeDecodeError:
        raise UnreadableDeck(f"{source} has changed while it was read; import it again") from None
    _conclude(deck, source, amounts, where if dates.took_zone else "")


def _body(deck: DeckSource, file: _File, source: str, progress: Callable[[int], None] | None) -> Iterator[Row]:
    """Yield the rows below the header that are as wide as it."""
    layout, findings = file.layout, deck._findings
    width, comment = len(layout.names), layout.template.comment
    rows = comments = 0
    for row in file.rows(findings):
        if row.line <= layout.line:
            continue
        rows += 1
        if rows > RECORDS_MAX:  # bad rows cost time as well
            reason = f"a deck has at most {RECORDS_MAX} rows; split it by prefix"
            findings.add(DeckError(source, row.line, "", reason))
            break
        if progress is not None and rows % PROGRESS_ROWS == 0:
            progress(rows)
        cells = row.cells
        if comment and cells[0].startswith(comment):
            comments += 1
        elif len(cells) == width:
            yield row
        else:
            aligned = _aligned(row, width, file.days_from is not None)
            if aligned is not None:
                yield aligned
            else:
                reason = f"the row has {len(cells)} cells, the header {width}; align them"
                findings.add(DeckError(source, row.line, "", reason))
    deck.rows = rows
    if comments:
        deck.notes.append(f"comments, rows that begin with {comment}: {comments}")
    if progress is not None:
        progress(rows)


def _aligned(row: Row, width: int, is_workbook: bool) -> Row | None:
    """Return a row as wide as the header: empty cells beyond it go, a workbook leaves out empty ones at the end."""
    if len(row.cells) > width:
        return None if any(row.cells[width:]) else Row(row.line, row.cells[:width])
    return Row(row.line, row.cells + [""] * (width - len(row.cells))) if is_workbook else None


def _conclude(deck: DeckSource, source: str, amounts: Amounts, where: str) -> None:
    if doubt := amounts.doubt():
        deck._findings.add(DeckError(source, 0, "", doubt))
    if amounts.mark:
        deck.notes.append(f"decimals with a {amounts.mark}")
    if where:
        deck.notes.append(f"dates without an offset are of {where}")


def _native(layout: Layout, reader: RowReader) -> Callable[[Row], Iterator[Typed] | tuple[Typed, ...]]:
    """Return the short way of Tollway's own columns, whose cells are canonical unless a sign tells otherwise."""
    if layout.currency:
        return reader.records
    absent = len(layout.names)
    pick = itemgetter(*(layout.places.get(column, absent) for column in RECORD_COLUMNS))
    priced = [layout.places[name] for name in ("rate", "connect_fee", "minimum_charge") if name in layout.places]
    dated = [layout.places[name] for name in ("effective_from", "effective_to") if name in layout.places]
    prefix, amounts = layout.places["prefix"], reader.amounts
    action = layout.places.get("action", absent)

    def convert(row: Row) -> Iterator[Typed] | tuple[Typed, ...]:
        line, cells = row
        code = cells[prefix]
        if amounts.mark != POINT or not (code.isdigit() and code.isascii()):
            return reader.records(row)  # until a first price tells the decimal mark, and wherever a prefix is not plain
        if action != absent and cells[action] not in _NATIVE_ACTIONS:
            return reader.records(row)
        for place in priced:
            if "," in cells[place]:
                return reader.records(row)
        for place in dated:
            if (date := cells[place]) and not date.endswith("Z"):
                return reader.records(row)
        return (Typed(line, pick([*cells, ""])),)

    return convert
