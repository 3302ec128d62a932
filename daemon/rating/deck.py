"""A deck is a price list as somebody typed it: it becomes finished rate rows or errors with source and line.

Texts (``DeckRow``) and finished values (``RateRow``) are different types; what is not understood exactly is an error.
A bad row never hides the next one and a blank row never ends the deck: all are read, all faults are collected.
Whether the deck is taken is decided whole, from the list of errors (SPEC section 2, INTERFACES "Deck columns").
"""

import re
import sys
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeVar

from daemon.kernel.e164 import DIGITS_MAX, digits
from daemon.kernel.instant import INSTANT_MAX, Instant, parse_rfc3339
from daemon.kernel.money import currency_code, parse_nano

ROWS_MAX: Final = 2_000_000  # rows of a deck; ours: twice the largest deck of PITFALLS section 3, case 14
LINE_LENGTH_MAX: Final = 4_096  # characters of a line; fifteen columns fill a tenth of it
ERRORS_MAX: Final = 1_000  # errors kept word by word; the rest is counted
SECONDS_MAX: Final = 86_400  # seconds of any length in a row of calls: no call is longer than a day
UNITS_IN_ROW_MAX: Final = 1_000_000_000_000  # units of any length in another row: a terabyte by the byte
CODE_LENGTH_MAX: Final = 64  # characters of a tax or ledger code, and of the names of bands and rate types
KNOWN_MAX: Final = 65_536  # parsed cells of one kind that are kept while a deck is read; decks repeat hundreds
EFFECTIVE_ALWAYS: Final[Instant] = 0  # an empty effective_from
EFFECTIVE_FOREVER: Final[Instant] = INSTANT_MAX + 1  # an empty effective_to

_DIGITS = re.compile(rf"[0-9]{{1,{DIGITS_MAX}}}")
_BY_THE_SECOND = frozenset(("", "per_minute"))  # rate types that need no declaration and count seconds
_UNITS = re.compile(r"[0-9]{1,13}")
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_Value = TypeVar("_Value")


class DeckError(NamedTuple):
    """One thing wrong with a deck; ``column`` is empty where the whole line is meant."""

    source: str
    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        """Return ``source:line: column: what is wrong and how to mend it``."""
        column = f"{self.column}: " if self.column else ""
        return f"{self.source}:{self.line}: {column}{self.reason}"


class Findings:
    """The errors of one deck: the first ``ERRORS_MAX`` are kept, the others counted."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._kept: list[DeckError] = []
        self.count = 0

    def add(self, error: DeckError) -> None:
        """Take note of one error."""
        self.count += 1
        if self.count <= ERRORS_MAX:
            self._kept.append(error)

    def report(self) -> list[DeckError]:
        """Return the errors kept and, where some were not, one last that says how many (its line is 0)."""
        beyond = self.count - len(self._kept)
        if beyond == 0:
            return self._kept
        return [*self._kept, DeckError(self._source, 0, "", f"{beyond} more errors; mend those above first")]


class Terms(NamedTuple):
    """All of a row but number, name and rate; few distinct ones serve a whole deck.

    Amounts are nano-units, lengths seconds (or the units of the rate type), and the row is in force for
    ``effective_from <= start < effective_to``. It is the step that begins at ``step_from_second`` of a call, of the
    tier that begins at ``tier_from`` units of a period. An empty currency is the table's.
    """

    connect_fee: int = 0
    first_seconds: int = 1
    next_seconds: int = 1
    free_seconds: int = 0
    included_seconds: int = 0
    minimum_charge: int = 0
    effective_from: Instant = EFFECTIVE_ALWAYS
    effective_to: Instant = EFFECTIVE_FOREVER
    rate_type: str = ""
    blocked: bool = False
    time_band: str = ""
    step_from_second: int = 0
    tier_from: int = 0
    tax_code: str = ""
    ledger_code: str = ""
    currency: str = ""


class RateRow(NamedTuple):
    """A finished row: ``rate`` in nano-units for what its rate type counts, ``source`` and ``line`` where it was read.

    A row that ``closes`` has no price: it says that its prefix ends at its ``effective_from``.
    """

    prefix: str
    rate: int
    destination: str = ""
    terms: Terms = Terms()
    source: str = ""
    line: int = 0
    closes: bool = False


class DeckRow(NamedTuple):
    """A row as typed, blanks around its cells gone; a column that the deck does not have is an empty cell."""

    source: str
    line: int
    prefix: str
    destination: str
    rate: str
    connect_fee: str
    first_seconds: str
    next_seconds: str
    free_seconds: str
    included_seconds: str
    minimum_charge: str
    effective_from: str
    effective_to: str
    time_band: str
    rate_type: str
    blocked: str
    step_from_seconds: str
    tier_from: str
    tax_code: str
    ledger_code: str
    currency: str
    action: str


COLUMNS: Final = DeckRow._fields[2:]
CLOSING: Final = "delete"  # the action of a row that closes its prefix
_TERMS_FROM: Final = DeckRow._fields.index("connect_fee")


def finish_deck(typed: Iterable[DeckRow], source: str) -> tuple[list[RateRow], list[DeckError]]:
    """Return the good rows of typed ones in their order, and every error; take the rows only if there is none."""
    findings = Findings(source)
    return _finished(typed, findings), findings.report()


def _finished(typed: Iterable[DeckRow], findings: Findings) -> list[RateRow]:
    finisher = _Finisher(findings)
    rows: list[RateRow] = []
    for row in typed:
        if len(rows) == ROWS_MAX:
            fault = f"a deck has at most {ROWS_MAX} rows; split it by prefix"
            findings.add(DeckError(row.source, row.line, "", fault))
            break
        finished = finisher.finish(row)
        if finished is not None:
            rows.append(finished)
    return rows


class _Finisher:
    """Makes finished rows of typed ones; terms typed alike become one object, and what was parsed once is known."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._known_terms: dict[tuple[object, ...], tuple[Terms, bool]] = {}  # by cells: with whether the row closes
        self._known_rates: dict[str, int] = {}
        self._known_names: dict[str, str] = {}

    def finish(self, row: DeckRow) -> RateRow | None:
        """Return the finished row, or None after the fault of every bad cell has been noted."""
        known = self._known_terms.get(row[_TERMS_FROM:])
        rate = self._known_rates.get(row.rate)
        name = self._known_names.get(row.destination)
        # Most rows differ from one seen before in their prefix alone.
        if known is None or rate is None or name is None or _DIGITS.fullmatch(row.prefix) is None:
            return self._finish_anew(row)
        return RateRow(row.prefix, rate, name, known[0], row.source, row.line, known[1])

    def _finish_anew(self, row: DeckRow) -> RateRow | None:
        count = self._findings.count
        closes = self._cell(row, "action", _closes, False)
        prefix = self._cell(row, "prefix", _prefix, "")
        if not (row.prefix or row.destination or row.rate_type):
            self._fault(row, "prefix", "is empty; a row needs a prefix, a destination of the code list or a rate type")
        rate = self._cell(row, "rate", _amount, 0) if closes else self._required(row, "rate", _amount, 0)
        destination = self._cell(row, "destination", _name, "")
        known = self._known_terms.get(row[_TERMS_FROM:])
        terms = known[0] if known is not None else self._finish_terms(row)
        if self._findings.count > count:
            return None
        self._know(row, rate, destination, terms, closes)
        return RateRow(prefix, rate, destination, terms, row.source, row.line, closes)

    def _know(self, row: DeckRow, rate: int, destination: str, terms: Terms, closes: bool) -> None:
        for known in (self._known_terms, self._known_rates, self._known_names):
            if len(known) >= KNOWN_MAX:
                known.clear()
        self._known_terms[row[_TERMS_FROM:]] = (terms, closes)
        if row.rate:
            self._known_rates[row.rate] = rate
        self._known_names[row.destination] = destination

    def _finish_terms(self, row: DeckRow) -> Terms:
        length, block = (_seconds, _block_seconds) if row.rate_type in _BY_THE_SECOND else (_units, _block_units)
        terms = Terms(
            connect_fee=self._cell(row, "connect_fee", _amount, 0),
            first_seconds=self._cell(row, "first_seconds", block, 1),
            next_seconds=self._cell(row, "next_seconds", block, 1),
            free_seconds=self._cell(row, "free_seconds", length, 0),
            included_seconds=self._cell(row, "included_seconds", length, 0),
            minimum_charge=self._cell(row, "minimum_charge", _amount, 0),
            effective_from=self._cell(row, "effective_from", parse_rfc3339, EFFECTIVE_ALWAYS),
            effective_to=self._cell(row, "effective_to", parse_rfc3339, EFFECTIVE_FOREVER),
            rate_type=self._cell(row, "rate_type", _code, ""),
            blocked=self._cell(row, "blocked", _boolean, False),
            time_band=self._cell(row, "time_band", _code, ""),
            step_from_second=self._cell(row, "step_from_seconds", length, 0),
            tier_from=self._cell(row, "tier_from", _units, 0),
            tax_code=self._cell(row, "tax_code", _code, ""),
            ledger_code=self._cell(row, "ledger_code", _code, ""),
            currency=self._cell(row, "currency", currency_code, ""),
        )
        if terms.effective_to <= terms.effective_from:
            self._fault(row, "effective_to", "is not after effective_from; empty means for ever")
        return terms

    def _required(self, row: DeckRow, column: str, parse: Callable[[str], _Value], default: _Value) -> _Value:
        if not getattr(row, column):
            self._fault(row, column, "is empty; every row needs it")
        return self._cell(row, column, parse, default)

    def _cell(self, row: DeckRow, column: str, parse: Callable[[str], _Value], default: _Value) -> _Value:
        text: str = getattr(row, column)
        try:
            return parse(text) if text else default
        except ValueError as error:
            self._fault(row, column, str(error))
            return default

    def _fault(self, row: DeckRow, column: str, reason: str) -> None:
        self._findings.add(DeckError(row.source, row.line, column, reason))


def _prefix(text: str) -> str:
    prefix = digits(text)
    if prefix is None:
        raise ValueError(f"{text!r} is not 1 to {DIGITS_MAX} digits after an optional +")
    return prefix


def _name(text: str) -> str:
    # A line break inside a name is nearly always a quote that was closed rows later.
    if "\n" in text or "\r" in text:
        raise ValueError("a name is one line; close the quote on the line where it opens")
    return sys.intern(text)


def _amount(text: str) -> int:
    nano = parse_nano(text)
    if nano < 0:
        raise ValueError(f"{text!r} is negative; rates, fees and minimums are 0 or more")
    return nano


def _seconds(text: str) -> int:
    return _whole(text, SECONDS_MAX, "seconds")


def _units(text: str) -> int:
    # Whether a declared rate type counts seconds, its table knows, and holds them to a day.
    return _whole(text, UNITS_IN_ROW_MAX, "units")


def _whole(text: str, most: int, what: str) -> int:
    if _UNITS.fullmatch(text) is None or int(text) > most:
        raise ValueError(f"{text!r} is not a whole number of {what} from 0 to {most}")
    return int(text)


def _block_seconds(text: str) -> int:
    return _block(_seconds(text), "second")


def _block_units(text: str) -> int:
    return _block(_units(text), "unit")


def _block(units: int, what: str) -> int:
    if units < 1:
        raise ValueError(f"a block has at least 1 {what}; empty means 1")
    return units


def _code(text: str) -> str:
    if len(text) > CODE_LENGTH_MAX or not text.isprintable():
        raise ValueError(f"has more than {CODE_LENGTH_MAX} characters, or one that cannot be printed")
    return sys.intern(text)


def _closes(text: str) -> bool:
    if text not in (CLOSING, "new", "change"):
        raise ValueError(f"{text!r} is not one of new, change, {CLOSING}")
    return text == CLOSING


def _boolean(text: str) -> bool:
    answer = _BOOLEANS.get(text.lower())
    if answer is None:
        raise ValueError(f"{text!r} is not one of true, false, yes, no, 1, 0")
    return answer
