"""A template says how the columns of somebody's deck are named and meant; it is data, and a header is its or not.

A header belongs to a template when every column of it is known there and every required one is present. Names are
compared without regard to case, blanks, underscores and hyphens; a currency in brackets after a name is the row's.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

RECORD_COLUMNS: Final = (
    "prefix", "destination", "connect_fee", "rate", "first_seconds", "next_seconds", "free_seconds", "included_seconds",
    "minimum_charge", "effective_from", "effective_to", "time_band", "rate_type", "blocked", "step_from_seconds",
    "tier_from", "tax_code", "ledger_code", "currency", "action",
)  # fmt: skip

NATIVE_NAME: Final = "tollway"  # its cells are canonical: an empty first block is of 1 second there

# What a column may be beside one of RECORD_COLUMNS.
SPECIAL_TARGETS: Final[Mapping[str, str]] = {
    "country_code": "the country code, joined with area_code to a prefix",
    "area_code": "what follows the country code: empty, a code, a list or a range",
    "country": "the name of a country, put before the destination",
    "first_rate": "the price per minute within the first block; rate is then that of every further one",
    "rate_seconds": "the number of seconds that the rate is for",
    "blocks": "the first block and every further one in a cell: 30/6; one number is both",
    "minimum_seconds": "a call is billed for at least this long; blocks are counted from second 0",
    "off_peak_rate": "the rate of the band off_peak: a second record",
    "off_peak_first_rate": "its price per minute within the first block",
    "off_peak_first_seconds": "its first block",
    "off_peak_next_seconds": "its further blocks",
    "enabled": "no: the row is a delete",
    "discontinued": "yes: the row is a delete",
}
TARGETS: Final = (*RECORD_COLUMNS, *SPECIAL_TARGETS)


class PricePer(Enum):
    """What the rate column of a deck is the price of."""

    MINUTE = "minute"
    SECOND = "second"
    BLOCK = "block"  # one of next_seconds


class Action(Enum):
    """What a word in the column of changes makes of a row."""

    SET = "set"
    DELETE = "delete"
    BLOCK = "block"


# No letters: a D is a delete to one carrier and a decrease to the next.
ACTION_WORDS: Final[Mapping[str, Action]] = {
    **dict.fromkeys(
        ("new", "add", "added", "change", "changed", "update", "updated", "increase", "increased", "decrease",
         "decreased", "current", "unchanged", "no change", "same", "active", "open"),
        Action.SET,
    ),
    **dict.fromkeys(
        ("delete", "deleted", "remove", "removed", "close", "closed", "discontinued", "terminated", "expired"),
        Action.DELETE,
    ),
    **dict.fromkeys(("block", "blocked", "forbidden", "barred"), Action.BLOCK),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Template:
    """How one layout is read.

    ``columns`` maps each target to the header names that mean it; ``required`` are targets, beside a prefix;
    ``ignored`` are header names not taken, with the reason; ``only`` are header names with the only cells that they
    may hold; ``at_once`` and ``forever`` are words for an empty begin and end. Where ``decimal``,
    ``encoding`` and ``delimiter`` are empty, they are detected.
    """

    name: str
    title: str
    columns: Mapping[str, tuple[str, ...]]
    required: tuple[str, ...] = ("rate",)
    ignored: Mapping[str, str] = field(default_factory=dict)
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    price_per: PricePer = PricePer.MINUTE
    dialled: tuple[str, ...] = ("+",)
    blocked_rates: tuple[str, ...] = ()
    actions: Mapping[str, Action] = field(default_factory=lambda: ACTION_WORDS)
    at_once: tuple[str, ...] = ()
    forever: tuple[str, ...] = ()
    comment: str = ""
    decimal: str = ""
    encoding: str = ""
    delimiter: str = ""
    date_format: str = "iso"
    timezone: str = "UTC"
    end_includes_day: bool = False
    off_peak_band: str = "off_peak"
    sheet: str = ""
    refusal: str = ""  # why decks of this header cannot be taken


class Layout(NamedTuple):
    """A header that belongs to a template: where it stands, and what is where."""

    template: Template
    line: int
    names: tuple[str, ...]
    places: Mapping[str, int]
    only: Mapping[int, tuple[str, ...]]
    ignored: Mapping[str, str]
    currency: str


_CURRENCY = re.compile(r"\s*\(([A-Z]{3})\)$")


@lru_cache(maxsize=4_096)  # names: those of all templates several times over
def folded(name: str) -> str:
    """Return a header name without what writers vary: case, blanks, underscores, hyphens, a currency in brackets."""
    return re.sub(r"[\s_\-]+", " ", _CURRENCY.sub("", name.strip().lstrip("#"))).strip().casefold()


def currency_of(name: str) -> str:
    """Return the currency in brackets at the end of a header name, or an empty text."""
    match = _CURRENCY.search(name.strip())
    return match[1] if match is not None else ""


class Reading(NamedTuple):
    """What one template makes of one header; without faults the header is its."""

    places: dict[str, int]
    only: dict[int, tuple[str, ...]]
    ignored: dict[str, str]
    faults: list[tuple[str, str]]


def read_header(template: Template, names: tuple[str, ...]) -> Reading:
    """Return what a template makes of a header; each fault is a column name and a reason."""
    reading = Reading({}, {}, {}, [])
    known = {folded(name): target for target, synonyms in template.columns.items() for name in synonyms}
    only = {folded(name): cells for name, cells in template.only.items()}
    ignored = {folded(name): reason for name, reason in template.ignored.items()}
    for place, name in enumerate(names):
        written = folded(name)
        if written in known:
            _place(reading, names, known[written], place)
        elif written in only:
            reading.only[place] = only[written]
        elif written in ignored:
            reading.ignored[name] = ignored[written]
        elif written:
            reading.faults.append((name, f"column {place + 1} of the header is unknown to template {template.name}"))
        else:
            reading.only[place] = ("",)
    reading.faults.extend(_missing(template, reading.places))
    return reading


def _place(reading: Reading, names: tuple[str, ...], target: str, place: int) -> None:
    if target in reading.places:
        earlier = names[reading.places[target]]
        reading.faults.append((names[place], f"the header says {target} twice, first as {earlier!r}; take one away"))
    else:
        reading.places[target] = place


def _missing(template: Template, places: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    for target in template.required:
        if target not in places:
            yield target, f"the header lacks a column for it: {' or '.join(template.columns.get(target, (target,)))}"
    if "prefix" in places and ("country_code" in places or "area_code" in places):
        yield "prefix", "the header has the whole prefix and its parts; ignore one in a template of your own"
    elif "prefix" not in places and "country_code" not in places and not template.refusal:
        yield "prefix", f"the header lacks a column for it: {' or '.join(template.columns.get('prefix', ('prefix',)))}"
