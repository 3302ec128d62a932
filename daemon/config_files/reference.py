"""The reference of every key, written from the declarations that the readers use: it cannot drift from them."""

from collections.abc import Iterator
from enum import Enum
from typing import Any

from daemon.config_files.keys import REQUIRED, Key
from daemon.config_files.scenario_file import IDENTITY, TABLES
from daemon.config_files.settings_file import SECTIONS
from daemon.settings import Listener

_HEAD = "| key | holds | default | meaning |\n| --- | --- | --- | --- |"


def reference() -> str:
    """Return the Markdown page of all settings and scenario keys."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "# Settings and scenario files\n"
    yield "Written from the code by `make docs`. Money is always a text, times are RFC 3339, unknown keys are errors.\n"
    yield "## `tollway.toml`\n"
    for section, keys in SECTIONS.items():
        yield f"### `[{section}]`\n"
        yield from _table(keys)
    yield "## A scenario file\n"
    for name, keys in TABLES.items():
        yield f"### `[[{name}]]`\n"
        yield from _table(keys)
    yield "### One of an account's `identities`\n"
    yield from _table(IDENTITY)


def _table(keys: tuple[Key, ...]) -> Iterator[str]:
    yield _HEAD
    for key in keys:
        yield f"| `{key.name}` | {key.kind} | {_default(key.default)} | {key.meaning} |"
    yield ""


def _default(value: Any) -> str:
    if value is REQUIRED:
        return "required"
    if isinstance(value, Listener):
        return f"`{value.host}:{value.port}`"
    if isinstance(value, Enum):
        return f"`{value.value}`"
    if value in ("", None, (), [], {}):
        return "none"
    if isinstance(value, tuple):
        return ", ".join(f"`{part}`" for part in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
