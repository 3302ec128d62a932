"""An operator's own template for decks: a TOML file with every fault at its line.

It says the same as the templates built in, ``daemon.ingest.templates``, which are good examples of it; docs/decks.md
has the reference. A header name may mean one thing only, and a prefix must come from somewhere.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from daemon.config_files.kinds import (
    FAULT,
    FLAG,
    IDENTIFIER,
    NON_EMPTY,
    REQUIRED,
    TEXT,
    ZONE,
    ConfigKey,
    Kind,
    Many,
    Scalar,
    Site,
    Table,
    choice,
    matching,
    words,
)
from daemon.config_files.positions import Problem, read_document
from daemon.ingest.cells import COMMA, POINT
from daemon.ingest.dates import DATE_FORMATS
from daemon.ingest.deck_source import DELIMITERS, ENCODINGS
from daemon.ingest.deck_template import ACTION_WORDS, NATIVE_NAME, TARGETS, Action, PricePer, Template, folded

HEADERS_MAX: Final = 256  # header names in one table of a template; no deck has more columns
_DEFAULT: Final = Template("", "", {})


@dataclass(frozen=True, slots=True)
class ByName:
    """A table whose keys the operator makes up, each with a value of one kind."""

    element: Kind

    @property
    def type(self) -> str:
        """Return what the reference calls it."""
        return f"table of {self.element.type}"

    def read(self, site: Site, value: object) -> Any:
        """Return the good values by name, or FAULT after every fault was reported."""
        if not isinstance(value, dict) or len(value) > HEADERS_MAX:
            site.report(f"is no table of at most {HEADERS_MAX} names; write a table")
            return FAULT
        found = {name: self.element.read(site / name, each) for name, each in value.items()}
        return FAULT if FAULT in found.values() else found


def _name(value: object) -> object:
    written = IDENTIFIER.parse(value)
    if written == NATIVE_NAME:
        raise ValueError(f'is the template of native decks; write another name than "{NATIVE_NAME}"')
    return written


_HEADERS: Final = Many(NON_EMPTY)
_COLUMNS: Final = Table(tuple(ConfigKey(target, _HEADERS, (), "header names") for target in TARGETS))
_SIGN: Final = matching("+ or digits", r"\+|[0-9]{1,6}", 'is no sign such as "+", "00" or "011"')


def _check(site: Site, found: dict[str, Any]) -> None:
    columns = found.get("columns", {})
    # A target that is not there had a fault of its own: it was stated.
    if "columns" in found and not columns.get("prefix", True) and not columns.get("country_code", True):
        (site / "columns").report("says of no header name that it is the prefix or the country_code; state one")
    for place, target in enumerate(found.get("required", ())):
        if "columns" in found and not columns.get(target, True):
            (site / "required" / place).report("is required, and columns names no header for it; add it there")
    _check_names(site, found)


def _check_names(site: Site, found: dict[str, Any]) -> None:
    """Report every header name that is given two meanings."""
    meant: dict[str, str] = {}
    for at, name, meaning in _named(site, found):
        if folded(name) in meant:
            at.report(f"means {meant[folded(name)]} already; a header name has one meaning")
        meant.setdefault(folded(name), meaning)


def _named(site: Site, found: dict[str, Any]) -> Iterator[tuple[Site, str, str]]:
    """Yield each header name of a template with its place and its meaning."""
    columns = found.get("columns", {})
    stated = site.document.value((*site.path, "columns"))
    for target in stated if isinstance(stated, dict) else ():
        for place, name in enumerate(columns.get(target, ())):
            yield site / "columns" / target / place, name, target
    for place, name in enumerate(found.get("ignored", ())):
        yield site / "ignored" / place, name, "ignored"
    for name in found.get("only", {}):
        yield site / "only" / name, name, "only"


TEMPLATE: Final = Table(
    (
        ConfigKey("name", Scalar("id", _name), "", "what it is called in messages", "the file's name"),
        ConfigKey("title", TEXT, "", "what it is for"),
        ConfigKey("columns", _COLUMNS, REQUIRED, "for each target the header names that mean it"),
        ConfigKey("required", Many(words(*TARGETS)), ("rate",), "targets that a header must have, beside a prefix"),
        ConfigKey("ignored", _HEADERS, (), "header names that are known and not taken"),
        ConfigKey("only", ByName(Many(TEXT, 1)), {}, "header names with the only cells that they may hold"),
        ConfigKey("price_per", choice(PricePer), _DEFAULT.price_per, "what the rate is the price of"),
        ConfigKey("dialled", Many(_SIGN), _DEFAULT.dialled, "signs taken off in front of a country code"),
        ConfigKey("blocked_rates", Many(matching("decimal", r"-?[0-9]+(\.[0-9]*[1-9])?", "is no decimal such as -1")),
                  (), "rates that mean that calls are refused"),
        ConfigKey("actions", ByName(choice(Action)), dict(ACTION_WORDS), "words of the action column", "see below"),
        ConfigKey("at_once", _HEADERS, (), "words for an empty begin, such as ASAP"),
        ConfigKey("forever", _HEADERS, (), "words for an empty end"),
        ConfigKey("comment", matching("sign", "[#;/!*-]{1,2}", "is no sign of a comment", optional=True), "",
                  "rows whose first cell begins with it are no rates"),
        ConfigKey("decimal", words(POINT, COMMA), "", "the decimal mark", "detected"),
        ConfigKey("encoding", words(*ENCODINGS), "", "how characters are written", "detected"),
        ConfigKey("delimiter", words(*DELIMITERS.values()), "", "what parts cells", "detected"),
        ConfigKey("date_format", words(*DATE_FORMATS), _DEFAULT.date_format, "the year, day or month first"),
        ConfigKey("timezone", ZONE, _DEFAULT.timezone, "of dates without an offset"),
        ConfigKey("end_includes_day", FLAG, False, "an end without an hour is the end of its day"),
        ConfigKey("off_peak_band", IDENTIFIER, _DEFAULT.off_peak_band, "the time band of off-peak columns"),
        ConfigKey("sheet", TEXT, "", "the sheet of a workbook", "the one with the header"),
    ),
    _check,
)  # fmt: skip


def read_template_file(path: Path) -> tuple[Template | None, list[Problem]]:
    """Return the template of a TOML file, or None and every problem."""
    document = read_document(path)
    if not document.readable:
        return None, document.problems()
    found = TEMPLATE.read(Site(document), document.values)
    if not document.is_faultless:
        return None, document.problems()
    return _template(found, path.stem), []


def _template(found: Mapping[str, Any], stem: str) -> Template:
    columns = {target: names for target, names in found["columns"].items() if names}
    return replace(
        _DEFAULT,
        **{
            **found,
            "name": found["name"] or stem,
            "columns": columns,
            "ignored": dict.fromkeys(found["ignored"], "is ignored by the template"),
            "at_once": tuple(word.casefold() for word in found["at_once"]),
            "forever": tuple(word.casefold() for word in found["forever"]),
        },
    )
