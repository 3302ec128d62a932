"""Whose deck it is, its header says: exactly one template must claim it, Tollway's own comes first.

The header is sought in the first rows, since carriers put titles above it, and under every delimiter: the one under
which a template claims it is the file's. Where two claim it, nobody decides but the operator.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Final, NamedTuple

from daemon.ingest.cells import quoted
from daemon.ingest.deck_source import DELIMITERS, Row, csv_rows
from daemon.ingest.deck_template import Layout, Template, currency_of, read_header
from daemon.ingest.templates import BUILT_IN, NATIVE
from daemon.rating.deck import DeckError, Findings

HEADER_ROWS_MAX: Final = 20  # rows that are not blank, in which the header is sought
NAME_LENGTH_MAX: Final = 60  # characters of a header name that a message repeats
HEADER_CELLS_MAX: Final = 256  # cells of a header; the widest known has thirty


class NoHeader(Exception):
    """No template claims a row of the file, or more than one does; ``likeness`` tells how near one came."""

    def __init__(self, errors: list[DeckError], likeness: tuple[int, int] = (HEADER_CELLS_MAX, 0)) -> None:
        super().__init__(str(errors[0]))
        self.errors = errors
        self.likeness = likeness


class _Candidate(NamedTuple):
    template: Template
    row: Row
    faults: list[tuple[str, str]]


def layout_of_text(
    preamble: Sequence[str], source: str, template: Template | None, delimiter: str
) -> tuple[Layout, str]:
    """Return the layout of a text file by its first lines, and its delimiter. Raises NoHeader."""
    nearest: list[NoHeader] = []
    found: list[tuple[Layout, str]] = []
    for each in (delimiter,) if delimiter else DELIMITERS:
        rows = csv_rows(iter(preamble), each, source, Findings(source))
        try:
            found.append((layout_of_rows(rows, source, template), each))
        except NoHeader as error:
            nearest.append(error)
    if not found:
        raise max(nearest, key=attrgetter("likeness"))
    if len(found) > 1:
        names = " or ".join(DELIMITERS[each] for _, each in found)
        raise NoHeader([DeckError(source, found[0][0].line, "", f"may be delimited by {names}; state --delimiter")])
    return found[0]


def layout_of_rows(rows: Iterable[Row], source: str, template: Template | None) -> Layout:
    """Return the layout of the first row that a template claims. Raises NoHeader."""
    nearest: _Candidate | None = None
    for row in islice(map(_trimmed, rows), HEADER_ROWS_MAX):
        candidates = [_candidate(each, row) for each in ((template,) if template is not None else BUILT_IN)]
        claims = [each for each in candidates if not each.faults]
        if len(claims) > 1 and claims[0].template is not NATIVE:
            names = " and ".join(each.template.name for each in claims)
            raise NoHeader(
                [DeckError(source, row.line, "", f"the header is one of templates {names}; state --template")]
            )
        if claims:
            return _claimed(claims[0], source)
        nearest = min((*([nearest] if nearest else []), *candidates), key=_distance)
    if nearest is None:
        raise NoHeader(
            [DeckError(source, 1, "", "no row is among its first lines; a deck begins with a header")], (0, 0)
        )
    raise NoHeader(list(_faults(nearest, source, template)), (_known(nearest), len(nearest.row.cells)))


def _trimmed(row: Row) -> Row:
    """Return a row without the empty cells at its end, which spreadsheets leave there."""
    width = max(place for place, cell in enumerate(row.cells, start=1) if cell)
    return Row(row.line, row.cells[:width])


def _candidate(template: Template, row: Row) -> _Candidate:
    if len(row.cells) > HEADER_CELLS_MAX:
        return _Candidate(template, row, [("", f"the row has more than {HEADER_CELLS_MAX} cells")])
    return _Candidate(template, row, read_header(template, tuple(row.cells)).faults)


def _distance(candidate: _Candidate) -> tuple[int, int]:
    """Return how far a row is from being a template's header: what is wrong, less what is right."""
    return len(candidate.faults) - _known(candidate), candidate.row.line


def _known(candidate: _Candidate) -> int:
    if len(candidate.row.cells) > HEADER_CELLS_MAX:
        return -HEADER_CELLS_MAX
    reading = read_header(candidate.template, tuple(candidate.row.cells))
    return len(reading.places) + len(reading.ignored)


def _faults(nearest: _Candidate, source: str, template: Template | None) -> Iterator[DeckError]:
    line = nearest.row.line
    if template is None:
        known = ", ".join(each.name for each in BUILT_IN)
        reason = f"no template knows the header; nearest is {nearest.template.name} of {known}; see docs/decks.md"
        yield DeckError(source, line, "", reason)
    for name, reason in nearest.faults:
        yield DeckError(source, line, shown(name), reason)


def _claimed(claim: _Candidate, source: str) -> Layout:
    if claim.template.refusal:
        raise NoHeader([DeckError(source, claim.row.line, "", claim.template.refusal)])
    names = tuple(claim.row.cells)
    reading = read_header(claim.template, names)
    currencies = {each for each in map(currency_of, names) if each}
    if len(currencies) > 1:
        reason = f"the header names more than one currency: {', '.join(sorted(currencies))}"
        raise NoHeader([DeckError(source, claim.row.line, "", reason)])
    currency = next(iter(currencies), "") if "currency" not in reading.places else ""
    written = tuple(map(shown, names))
    return Layout(claim.template, claim.row.line, written, reading.places, reading.only, reading.ignored, currency)


def shown(name: str) -> str:
    """Return a header name on one line, without control characters, cut to NAME_LENGTH_MAX."""
    line = "".join(sign if sign.isprintable() else "?" for sign in " ".join(name.split()))
    return line if len(line) <= NAME_LENGTH_MAX else line[:NAME_LENGTH_MAX] + "…"


def notes_of(layout: Layout) -> Iterator[str]:
    """Yield what an operator should know of a layout: what is read by it, and what is not."""
    above = "; what stands above it is not read" if layout.line > 1 else ""
    yield f"template {layout.template.name}: {layout.template.title}; header on line {layout.line}{above}"
    for name, reason in layout.ignored.items():
        yield f"column {quoted(name)} is not taken: {reason}"
    if layout.currency:
        yield f"currency {layout.currency}, from the header"
