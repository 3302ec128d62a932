"""The reference of every key in Markdown, made of the declarations that the readers use: it cannot drift from them."""

from collections.abc import Iterable, Iterator
from enum import Enum

from daemon.config_files.kinds import REQUIRED, ConfigKey, Either, Kind, Many, Table
from daemon.config_files.scenario_keys import OBJECTS, REFUSED_OBJECTS
from daemon.config_files.settings_changes import taken
from daemon.config_files.settings_file import SECTIONS
from daemon.kernel.money import format_nano
from daemon.settings import Listener

_HEAD = "| key | holds | default | meaning |\n| --- | --- | --- | --- |"
_HEAD_TAKEN = "| key | holds | default | changed by | meaning |\n| --- | --- | --- | --- | --- |"
_TAKEN = """\
An unknown key is an error. An absent key has its default. *Changed by* says when another value takes effect: with a
*reload* (`SIGHUP`, `systemctl reload tollway`) for the next call; with the next *start* of the daemon, whose log names
such a key where a reload finds it changed; with the *next command*, since the daemon does not use it.
"""


def reference() -> str:
    """Return the whole reference."""
    return settings_reference() + "\n" + scenario_reference()


def settings_reference() -> str:
    """Return the sections of ``tollway.toml``, each key with what it holds, its default and its meaning."""
    parts = ["# Settings: `tollway.toml`\n", _TAKEN]
    for name, table in SECTIONS.items():
        rows = (_row(key, taken(name, key.name).value) for key in table.keys)
        parts.append("\n".join([f"## `[{name}]`\n", _HEAD_TAKEN, *rows, ""]))
    return "\n".join(parts)


def scenario_reference() -> str:
    """Return the tables of a scenario file and the tables inside them."""
    parts = [
        "# Scenario file\n",
        'Money is a text such as `"25.00"`, times are RFC 3339. An unknown key is an error, and so is, until a later\n'
        "release, anything but a default in a key that holds *not in this release*.\n",
    ]
    for name, table in OBJECTS.items():
        parts.append(f"## `[[{name}]]`\n\n{_rows(table.keys)}\n")
        parts += [f"### `{key}` of `[[{name}]]`\n\n{_rows(inner.keys)}\n" for key, inner in _inner_tables(table)]
    if REFUSED_OBJECTS:
        parts.append("## Not in this release\n")
        parts.append("\n".join(f"- `[[{name}]]`: this release {why}" for name, why in REFUSED_OBJECTS.items()) + "\n")
    return "\n".join(parts)


def _inner_tables(table: Table) -> Iterator[tuple[str, Table]]:
    for key in table.keys:
        for inner in _tables_of(key.kind):
            yield key.name, inner


def _tables_of(kind: Kind) -> Iterator[Table]:
    if isinstance(kind, Table):
        yield kind
    elif isinstance(kind, Many):
        yield from _tables_of(kind.element)
    elif isinstance(kind, Either):
        yield from _tables_of(kind.several)


def _rows(keys: Iterable[ConfigKey]) -> str:
    return "\n".join([_HEAD, *(_row(key) for key in keys)])


def _row(key: ConfigKey, *more: str) -> str:
    """Return a key's row; ``more`` are cells before its meaning."""
    cells = (_cell(key.kind.type), _cell(default_text(key)), *more, _cell(key.meaning))
    return f"| `{key.name}` | {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def default_text(key: ConfigKey) -> str:
    """Return the default of a key as the reference writes it: as TOML, or as a rule."""
    if key.default_text:
        return key.default_text
    return "required" if key.default is REQUIRED else f"`{toml_text(key.default, money='money' in key.kind.type)}`"


def toml_text(value: object, *, money: bool = False) -> str:
    """Return a finished default as it would stand in the file."""
    if isinstance(value, Listener):
        return f'"{value.host}:{value.port}"' if value else '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_text(each) for each in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml_text(each)}" for name, each in value.items()) + "}"
    if isinstance(value, int):
        return f'"{format_nano(value)}"' if money else str(value)
    return f'"{value.value if isinstance(value, Enum) else value}"'
