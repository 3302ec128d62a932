"""The files that a scenario names: its code lists, and the decks of its tables, each read for the table it is for.

Bad cells are always told. Whether rows contradict each other, and what destinations they mean, depends on bands, rate
types and code lists: that is told where all of these are good, so that one fault is not told as two.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from daemon.charging.configuration import (
    CodeListSpec,
    Configuration,
    RateTableSpec,
    RateTypeSpec,
    TimeBandSpec,
    code_list_of,
    policy_of,
)
from daemon.config_files.deck_files import Unreadable, problems_of, read_code_file, read_deck_file
from daemon.config_files.kinds import UNSTATED
from daemon.config_files.objects import Entry, Objects
from daemon.config_files.positions import Problem
from daemon.config_files.scenario_keys import OBJECTS
from daemon.kernel.ids import Key
from daemon.rating.code_list import Code, CodeList, expanded
from daemon.rating.deck import RateRow
from daemon.rating.rate_table import Policy, RateTable
from daemon.rating.rate_type import BUILT_IN, CALLS
from daemon.rating.tariff import SECONDS

CodeLists: TypeAlias = dict[Key, tuple[Code, ...]]
_DECK_KEYS = ("code_list", "time_band", "rate_type")  # what a deck is read with, beside its table


def read_code_lists(objects: Objects, folder: Path) -> tuple[CodeLists, list[Problem]]:
    """Return the codes of every code list that can be read, and what is wrong with the files."""
    found: CodeLists = {}
    problems: list[Problem] = []
    for each in objects.of("code_list"):
        if not each.get("file"):
            continue
        try:
            codes, more = read_code_file(folder / each.values["file"])
        except Unreadable as error:
            (each.site / "file").report(str(error))
            continue
        problems += more
        if not more:
            found[each.key] = codes
    for group in objects.of("destination_group"):
        _check_destinations(objects, group, found)
    return found, problems


def _check_destinations(objects: Objects, group: Entry, code_lists: CodeLists) -> None:
    """Report destinations of a group that the standard code list of its tenant does not name."""
    lists = [each for each in objects.of("code_list") if each.get("standard") and each.tenant == group.tenant]
    if not lists or lists[0].key not in code_lists:
        return
    standard = CodeList(lists[0].id, code_lists[lists[0].key])
    for place, name in enumerate(group.get("destinations") or ()):
        if not standard.prefixes_of(name):
            near = standard.near(name)
            mend = f"did you mean {near!r}?" if near else "write it as the list does"
            (group.site / "destinations" / place).report(f"is no destination of code list {standard.id}; {mend}")


def read_decks(objects: Objects, code_lists: CodeLists, folder: Path) -> tuple[dict[Key, list[RateRow]], list[Problem]]:
    """Return the deck of each table that states one, destinations written out, and what is wrong with the files."""
    reading = _Reading(objects, code_lists)
    for table in objects.of("rate_table"):
        if table.get("deck"):
            reading.take(table, folder / table.values["deck"])
    return reading.decks, list(dict.fromkeys(reading.problems))


class _Reading:
    """The decks of one scenario; a file that several tables name is read once."""

    def __init__(self, objects: Objects, code_lists: CodeLists) -> None:
        self._objects = objects
        self._typed: dict[Path, list[RateRow] | None] = {}
        self._made: list[tuple[Path, Policy, CodeList | None, list[RateRow]]] = []
        self._configuration = _configuration(objects, code_lists)
        self.decks: dict[Key, list[RateRow]] = {}
        self.problems: list[Problem] = []

    def take(self, table: Entry, deck: Path) -> None:
        """Read the deck of one table."""
        if deck not in self._typed:
            self._typed[deck] = self._read(table, deck)
        rows = self._typed[deck]
        if rows is not None and self._is_clear(table):
            self.decks[table.key] = self._finished(rate_table_spec(table), deck, rows)

    def _read(self, table: Entry, deck: Path) -> list[RateRow] | None:
        try:
            read = read_deck_file(deck)
        except Unreadable as error:
            (table.site / "deck").report(str(error))
            return None
        self.problems += read.problems
        return None if read.problems else read.rows

    def _is_clear(self, table: Entry) -> bool:
        """Tell whether a table and all that its deck is read with are good."""
        with_it = [each for kind in _DECK_KEYS for each in self._objects.of(kind) if each.tenant in (table.tenant, "")]
        types = (name for _, name in table.get("rate_types") or ())
        lists = {(spec.tenant, spec.id) for spec in self._configuration.code_lists}
        return (
            all(_is_whole(each) for each in (table, *with_it))
            and all(name in BUILT_IN or self._objects.find("rate_type", Key(table.tenant, name)) for name in types)
            and all(each.key in lists for each in with_it if each.kind == "code_list")
            and (not table.get("code_list") or (table.tenant, table.get("code_list")) in lists)
        )

    def _finished(self, spec: RateTableSpec, deck: Path, typed: list[RateRow]) -> list[RateRow]:
        policy = replace(policy_of(spec, 1, self._configuration), table=str(deck))
        code_list = code_list_of(spec, self._configuration)
        for place, like, codes, rows in self._made:
            if (place, like, codes) == (deck, policy, code_list):
                return rows
        rows, errors = expanded(typed, code_list)
        if not errors:
            _, errors = RateTable.of(policy, rows)
        self.problems += problems_of(errors)
        self._made.append((deck, policy, code_list, rows))
        return rows


def _is_whole(entry: Entry) -> bool:
    return all(key.name in entry.values for key in OBJECTS[entry.kind].keys)


def _configuration(objects: Objects, code_lists: CodeLists) -> Configuration:
    """Return the whole objects that decks are read with."""
    lists = [each for each in _whole(objects, "code_list") if each.key in code_lists]
    return Configuration(
        0,
        time_bands=tuple(TimeBandSpec(**each.values) for each in _whole(objects, "time_band")),
        rate_types=tuple(rate_type_spec(each) for each in _whole(objects, "rate_type")),
        code_lists=tuple(code_list_spec(each, code_lists) for each in lists),
    )


def _whole(objects: Objects, kind: str) -> Iterable[Entry]:
    return (each for each in objects.of(kind) if _is_whole(each))


def rate_table_spec(table: Entry) -> RateTableSpec:
    """Return what the store keeps of a good rate table."""
    return RateTableSpec(**{name: value for name, value in table.values.items() if name != "deck"})


def rate_type_spec(each: Entry) -> RateTypeSpec:
    """Return what the store keeps of a good rate type."""
    usual = CALLS.per if each.values["unit"] == SECONDS else 1
    return RateTypeSpec(**each.values | {"per": usual if each.values["per"] is UNSTATED else each.values["per"]})


def code_list_spec(each: Entry, code_lists: CodeLists) -> CodeListSpec:
    """Return what the store keeps of a good code list."""
    return CodeListSpec(each.tenant, each.id, code_lists[each.key], each.values["standard"])
