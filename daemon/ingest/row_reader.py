"""One row of somebody's deck becomes the records that it means, or faults that name the file's own columns.

Ranges and lists become a record for each prefix; a price of the first block of its own becomes a step; prices of the
off-peak become a record of that band. What a row says that a record cannot hold is a fault, never left out.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from daemon.ingest.cells import REMEMBERED_MAX, Amounts, one_line, per_minute, quoted, remembered, seconds, yes_or_no
from daemon.ingest.dates import Dates
from daemon.ingest.deck_source import Row
from daemon.ingest.deck_template import NATIVE_NAME, RECORD_COLUMNS, Action, Layout, PricePer, Template
from daemon.ingest.prefixes import country_code, prefixes_of
from daemon.rating.deck import DeckError, Findings


class Typed(NamedTuple):
    """One record: the line of its row, and its cells in the order of RECORD_COLUMNS, canonical texts or empty."""

    line: int
    cells: tuple[str, ...]


_PREFIX_PARTS: Final = ("prefix", "country_code", "area_code")
_FEES: Final = ("first_rate", "connect_fee", "minimum_charge", "off_peak_rate", "off_peak_first_rate")
_SECONDS: Final = (
    "first_seconds", "next_seconds", "minimum_seconds", "rate_seconds", "free_seconds", "included_seconds",
    "step_from_seconds", "off_peak_first_seconds", "off_peak_next_seconds",
)  # fmt: skip
_FLAGS: Final = ("blocked", "enabled", "discontinued")
_NAMES: Final = ("destination", "country", "time_band", "rate_type", "tier_from", "tax_code", "ledger_code", "currency")
_KEPT_BY_STEP: Final = frozenset(RECORD_COLUMNS) - {
    "connect_fee", "first_seconds", "free_seconds", "included_seconds", "minimum_charge",
}  # fmt: skip
_KEPT_BY_DELETE: Final = frozenset(("prefix", "destination", "effective_from", "time_band", "rate_type"))

_Values = dict[str, str]


class _Fault(ValueError):
    """What is wrong with a row as a whole, told at one of its columns."""

    def __init__(self, target: str, reason: str) -> None:
        super().__init__(reason)
        self.target = target


class _Column(NamedTuple):
    target: str
    place: int
    read: Callable[[str], str]


class RowReader:
    """Reads the rows of one file."""

    def __init__(self, layout: Layout, source: str, findings: Findings, amounts: Amounts, dates: Dates) -> None:
        self.amounts = amounts
        self._layout = layout
        self._template = layout.template
        self._source = source
        self._findings = findings
        self._action = _words(layout.template)
        self._is_native = layout.template.name == NATIVE_NAME
        readers = self._readers(amounts, dates)
        self._columns = [
            _Column(target, place, remembered(readers[target]))
            for target, place in layout.places.items()
            if target not in _PREFIX_PARTS
        ]
        self._said = (*(column.place for column in self._columns), *layout.only)
        self._known: dict[tuple[str, ...], tuple[tuple[str, ...], ...]] = {}

    def records(self, row: Row) -> Iterator[Typed]:
        """Yield the records of a row; where anything is wrong, none, and every fault is noted."""
        count = self._findings.count
        prefixes, shapes = self._prefixes(row), self._shapes_of(row)
        if self._findings.count > count:
            return
        for prefix in prefixes:
            for shape in shapes:
                yield Typed(row.line, (prefix, *shape))

    def _shapes_of(self, row: Row) -> Sequence[tuple[str, ...]]:
        """Return what a row says of each of its prefixes; rows of one destination mostly say the same."""
        key = tuple([row.cells[place] for place in self._said])
        shapes = self._known.get(key)
        if shapes is None:
            count = self._findings.count
            values = self._values(row)
            self._check_only(row)
            shapes = self._shaped(row, values) if self._findings.count == count else ()
            if shapes and len(self._known) < REMEMBERED_MAX:
                self._known[key] = shapes
        return shapes

    def _shaped(self, row: Row, values: _Values) -> tuple[tuple[str, ...], ...]:
        try:
            return tuple(self._shapes(values))
        except _Fault as fault:
            self._fault(row, fault.target, str(fault))
            return ()

    # -- cells

    def _readers(self, amounts: Amounts, dates: Dates) -> Mapping[str, Callable[[str], str]]:
        def fee(text: str) -> str:
            read = amounts.read(text)
            if read.startswith("-"):
                raise ValueError(f"{quoted(text)} is negative; rates, fees and minimums are 0 or more")
            return read

        def rate(text: str) -> str:
            read = amounts.read(text)
            return read if _even(read) in self._template.blocked_rates else fee(text)

        return {
            **dict.fromkeys(_FEES, fee),
            "rate": rate,
            **dict.fromkeys(_SECONDS, seconds),
            **dict.fromkeys(_FLAGS, lambda text: "true" if yes_or_no(text) else "false"),
            **dict.fromkeys(_NAMES, one_line),
            "effective_from": _unless(self._template.at_once, dates.begin),
            "effective_to": _unless(self._template.forever, dates.end),
            "action": self._action,
            "blocks": _two_blocks,
        }

    def _values(self, row: Row) -> _Values:
        values: _Values = {}
        for target, place, read in self._columns:
            try:
                values[target] = read(row.cells[place])
            except ValueError as error:
                self._fault(row, target, str(error))
        return values

    def _prefixes(self, row: Row) -> Sequence[str]:
        places, dialled = self._layout.places, self._template.dialled
        target, country = "country_code", ""
        try:
            if target in places:
                country = country_code(row.cells[places[target]], dialled)
            target = next((name for name in ("prefix", "area_code") if name in places), target)
            text = row.cells[places[target]] if target != "country_code" else ""
            if not text and self._is_found_otherwise(row):
                return ("",)
            return prefixes_of(text, dialled, country)
        except ValueError as error:
            self._fault(row, target, str(error))
            return ()

    def _is_found_otherwise(self, row: Row) -> bool:
        """Tell whether a row of Tollway's own columns names a destination of the code list, or a rate type alone."""
        places = (self._layout.places.get(name) for name in ("destination", "rate_type"))
        return self._is_native and any(row.cells[place] for place in places if place is not None)

    def _check_only(self, row: Row) -> None:
        for place, allowed in self._layout.only.items():
            cell = row.cells[place]
            if not _is_harmless(cell, allowed):
                name = self._layout.names[place] or f"column {place + 1}"
                known = " or ".join(word or "empty" for word in allowed[:2])
                reason = f"{quoted(cell)} says what a deck row cannot hold; only {known} is taken"
                self._findings.add(DeckError(self._source, row.line, name, reason))

    def _fault(self, row: Row, target: str, reason: str) -> None:
        place = self._layout.places.get(target)
        name = self._layout.names[place] if place is not None else target
        self._findings.add(DeckError(self._source, row.line, name, reason))

    # -- what a row means

    def _shapes(self, values: _Values) -> Iterator[tuple[str, ...]]:
        """Yield the cells behind the prefix of every record that the row means for each of its prefixes."""
        base = self._base(values)
        if base["action"]:
            yield _cells(base, _KEPT_BY_DELETE | {"action"})
            return
        yield from self._priced(base, values, "")
        if values.get("off_peak_rate"):
            band = {**base, "time_band": self._template.off_peak_band}
            yield from self._priced(band, values, "off_peak_")
        elif any(values.get(name) for name in ("off_peak_first_rate", "off_peak_first_seconds")):
            raise _Fault("off_peak_rate", "is empty, though the row says something of the off-peak; state it")

    def _base(self, values: _Values) -> _Values:
        """Return what all records of a row share: its name, dates, band, codes, fees, and whether it is a delete."""
        base = {name: values.get(name, "") for name in RECORD_COLUMNS}
        country = values.get("country", "")
        if country and not base["destination"].casefold().startswith(country.casefold()):
            base["destination"] = f"{country} {base['destination']}".strip()
        base["currency"] = base["currency"] or self._layout.currency
        is_blocked = base["blocked"] == "true" or base["action"] == Action.BLOCK.value
        base["blocked"] = "true" if is_blocked or _even(base["rate"]) in self._template.blocked_rates else ""
        base["action"] = "delete" if _is_delete(values) else ""
        return base

    def _priced(self, base: _Values, values: _Values, which: str) -> Iterator[tuple[str, ...]]:
        """Yield the record of a price and, where its first block has a price of its own, the step behind it."""
        rate, first_rate = values.get(f"{which}rate", ""), values.get(f"{which}first_rate", "")
        if base["blocked"] and (not rate or rate.startswith("-")):
            rate, first_rate = "0", ""
        if not rate:
            raise _Fault(f"{which}rate", "is empty; a row needs it unless it is blocked or deleted")
        first, further = self._blocks(values, which)
        record = {**base, "first_seconds": first, "next_seconds": further}
        record["rate"] = self._minute(rate, values, further, f"{which}rate")
        if not first_rate or _even(first_rate) == _even(rate):
            is_step = record["step_from_seconds"] not in ("", "0") and not self._is_native
            yield _cells(record, _KEPT_BY_STEP if is_step else None)
            return
        start = int(first or 1) + int(record["included_seconds"] or 0)
        initial = self._minute(first_rate, values, further, f"{which}first_rate")
        yield _cells({**record, "rate": initial, "step_from_seconds": "0"})
        yield _cells({**record, "step_from_seconds": str(start)}, _KEPT_BY_STEP)

    def _blocks(self, values: _Values, which: str) -> tuple[str, str]:
        """Return the first block and every further one. Raises _Fault where no pair of blocks bills the same."""
        first, further = values.get(f"{which}first_seconds", ""), values.get(f"{which}next_seconds", "")
        if which and not first and not further:
            return self._blocks(values, "")
        if values.get("blocks"):
            first, further = values["blocks"].split("/")
        if "minimum_seconds" in self._layout.places:
            return self._least_and_block(int(values["minimum_seconds"] or 0), int(further or 1) or 1)
        if further == "0":
            raise _Fault(f"{which}next_seconds", "a block has at least 1 second; empty means 1")
        # A first block of no length is none: billing goes by further ones from the start.
        return (further if first == "0" or not (first or self._is_native) else first), further

    def _least_and_block(self, least: int, block: int) -> tuple[str, str]:
        """Return the blocks that bill like a minimum and blocks that are counted from second 0."""
        if least % block:
            reason = f"{least} is no multiple of the block of {block} seconds: no first and further block bill the same"
            raise _Fault("minimum_seconds", reason)
        return str(max(least, block)), str(block)

    def _minute(self, rate: str, values: _Values, further: str, target: str) -> str:
        span = self._seconds_of_rate(values, further)
        try:
            return per_minute(rate, span)
        except ValueError as error:
            raise _Fault(target, str(error)) from None

    def _seconds_of_rate(self, values: _Values, further: str) -> int:
        if "rate_seconds" in self._layout.places:
            if values["rate_seconds"] in ("", "0"):
                raise _Fault("rate_seconds", "is empty or 0; state the seconds that the rate is for")
            return int(values["rate_seconds"])
        if self._template.price_per is PricePer.BLOCK:
            return int(further or 1)
        return 1 if self._template.price_per is PricePer.SECOND else 60


def _two_blocks(text: str) -> str:
    first, _, further = text.replace("+", "/").replace(":", "/").partition("/")
    return f"{seconds(first.strip())}/{seconds((further or first).strip())}"


def _is_delete(values: _Values) -> bool:
    return (
        values.get("action") == Action.DELETE.value
        or values.get("discontinued") == "true"
        or values.get("enabled") == "false"
    )


def _cells(record: _Values, kept: frozenset[str] | None = None) -> tuple[str, ...]:
    """Return the cells behind the prefix, those not kept empty."""
    return tuple(record[name] if kept is None or name in kept else "" for name in RECORD_COLUMNS[1:])


def _words(template: Template) -> Callable[[str], str]:
    actions = {word.casefold(): action for word, action in template.actions.items()}

    def read(text: str) -> str:
        action = actions.get(" ".join(text.casefold().split()))
        if action is None:
            known = ", ".join(sorted(template.actions))
            raise ValueError(f"{quoted(text)} is no word for a change that template {template.name} knows: {known}")
        return "" if action is Action.SET else action.value

    return read


def _unless(words: Sequence[str], read: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: "" if text.casefold() in words else read(text)


def _even(amount: str) -> str:
    """Return a plain decimal without noughts at its end, so that equal amounts are equal texts."""
    return amount.rstrip("0").rstrip(".") if "." in amount else amount


def _is_harmless(cell: str, allowed: Sequence[str]) -> bool:
    return cell in allowed or ("0" in allowed and re.fullmatch("0+(?:[.,]0+)?", cell) is not None)
