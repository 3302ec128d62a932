"""The reference names every key that the readers know, and nothing that they do not."""

import re

import pytest

from daemon.config_files.kinds import ConfigKey, Table
from daemon.config_files.reference import default_text, reference, scenario_reference, settings_reference
from daemon.config_files.scenario_keys import IDENTITY, OBJECTS, REFUSED_OBJECTS
from daemon.config_files.settings_changes import taken
from daemon.config_files.settings_file import SECTIONS


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading."""
    part = text.split(f"{heading}\n\n", 1)[1].split("\n\n", 1)[0]
    return [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in part.splitlines()[2:]]


@pytest.mark.parametrize(
    ("text", "heading", "table"),
    [(settings_reference(), f"## `[{name}]`", table) for name, table in SECTIONS.items()]
    + [(scenario_reference(), f"## `[[{name}]]`", table) for name, table in OBJECTS.items()]
    + [(scenario_reference(), "### `identities` of `[[account]]`", IDENTITY)],
)
def test_every_key_has_its_row(text: str, heading: str, table: Table) -> None:
    found = rows(text, heading)
    assert [cells[0] for cells in found] == [f"`{key.name}`" for key in table.keys]
    for cells in found:
        assert len(cells) == (5 if heading.startswith("## `[") and not heading.startswith("## `[[") else 4)
        assert all(cells), cells


@pytest.mark.parametrize("name", SECTIONS)
def test_every_setting_says_when_another_value_takes_effect(name: str) -> None:
    for cells in rows(settings_reference(), f"## `[{name}]`"):
        assert cells[3] == taken(name, cells[0].strip("`")).value


def test_what_is_not_in_this_release_says_so() -> None:
    text = scenario_reference()
    for name in REFUSED_OBJECTS:
        assert f"- `[[{name}]]`: this release" in text
    assert "| `coa` | not in this release |" in text


@pytest.mark.parametrize(
    ("section", "name", "text"),
    [
        ("store", "url", '`"sqlite:///var/tollway.db"`'),
        ("radius_auth", "listen", '`"127.0.0.1:1812"`'),
        ("fastagi", "listen", '`""`'),
        ("charging", "slice_seconds", "`300`"),
        ("emergency", "numbers", '`["112", "911", "999"]`'),
    ],
)
def test_a_default_stands_as_toml(section: str, name: str, text: str) -> None:
    assert default_text(key(SECTIONS[section], name)) == text


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        ("account", "id", "required"),
        ("account", "balance", '`"0.00"`'),
        ("account", "daily_spend", "no limit"),
        ("account", "status", '`"active"`'),
        ("nas", "trust_user_name", "`false`"),
        ("rate_table", "rounding", '`"up"`'),
    ],
)
def test_a_default_of_an_object_stands_as_toml_or_as_a_rule(kind: str, name: str, text: str) -> None:
    assert default_text(key(OBJECTS[kind], name)) == text


def key(table: Table, name: str) -> ConfigKey:
    return next(each for each in table.keys if each.name == name)


def test_it_is_one_page() -> None:
    assert reference().startswith("# Settings")
    assert reference().count("\n# ") == 1
    assert reference().endswith("\n")
