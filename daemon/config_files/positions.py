"""TOML with positions: values by the standard library, the line of every key and element by the grammar of TOML.

A problem says file, line, key, what is wrong and how to mend it; readers collect problems and go on.
Files are bounded, and so are the problems that are kept. Lines are sought only once there is a problem to report.
No value is ever quoted here, since it may be a secret.
"""

import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

from daemon.kernel.ids import is_id

FILE_SIZE_MAX: Final = 32 << 20  # octets: 170,000 accounts, read in 700 MB; what a hand writes is far smaller
DEPTH_MAX: Final = 32  # nested tables and arrays whose lines are kept; the deepest scenario has five
KEY_PARTS_MAX: Final = 128  # names of a dotted key; the standard library's time grows by their square
PROBLEMS_MAX: Final = 1_000  # problems kept word by word; the rest is counted

KeyPath: TypeAlias = tuple[str | int, ...]
_NAME: Final = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_DOTTED: Final = re.compile(rf"{_NAME}(?:[ \t]*+\.[ \t]*+{_NAME})*+")
_LANGUAGE: Final = Language(tree_sitter_toml.language())


class Problem(NamedTuple):
    """One fault of a file; ``line`` counts from 1 and is 0 where no line can be told. ``key`` may be empty."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        """Return ``file:line: key: what is wrong and how to mend it``."""
        key = f"{self.key}: " if self.key else ""
        return f"{self.file}:{self.line}: {key}{self.message}"


@dataclass
class Document:
    """A file as values, with the line of each, and the problems found so far."""

    file: str
    text: str = ""
    values: dict[str, object] = field(default_factory=dict)
    readable: bool = True
    _problems: list[Problem] = field(default_factory=list)
    _count: int = 0

    @cached_property
    def lines(self) -> Mapping[KeyPath, int]:
        """The line (from 1) of every table, key and array element."""
        source = self.text.replace("\r\n", "\n").encode()
        return dict(_Lines(Parser(_LANGUAGE).parse(source).root_node).found)

    def line_of(self, path: KeyPath) -> int:
        """Return the line of a path, or of the nearest thing around it: a missing key has the line of its table."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def value(self, path: KeyPath) -> object:
        """Return the value as it stands in the file, or None where there is none."""
        value: object = self.values
        for part in path:
            value = _inner(value, part)
        return value

    def report(self, path: KeyPath, message: str) -> None:
        """Note a problem at a path."""
        self._count += 1
        if self._count <= PROBLEMS_MAX:
            self._problems.append(Problem(self.file, self.line_of(path), self.shown(path), message))

    def refuse(self, line: int, message: str) -> None:
        """Note that the file cannot be read as TOML at all."""
        self.readable = False
        self._count += 1
        self._problems.append(Problem(self.file, line, "", message))

    @property
    def is_faultless(self) -> bool:
        """Tell whether no problem was found."""
        return self._count == 0

    def problems(self) -> list[Problem]:
        """Return the problems by line and, where some were not kept, one last that says how many."""
        beyond = self._count - len(self._problems)
        rest = [Problem(self.file, 0, "", f"{beyond} more problems; mend those above first")] if beyond else []
        return sorted(self._problems) + rest

    def shown(self, path: KeyPath) -> str:
        """Return a path as people write it, an object by its id: ``account[acme].channels.total``."""
        written = ""
        value: object = self.values
        for part in path:
            value = _inner(value, part)
            if isinstance(part, int):
                written += f"[{_id_of(value) or part}]"
            else:
                written += f".{part}" if written else part
        return written


def _inner(value: object, part: str | int) -> object:
    if isinstance(value, dict):
        return value.get(part)
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return value[part]
    return None


def _id_of(value: object) -> str:
    name = value.get("id") if isinstance(value, dict) else None
    return name if isinstance(name, str) and is_id(name) else ""


def read_document(path: Path, mend: str = "") -> Document:
    """Read a TOML file. One that cannot be read at all is a document without values and with one problem.

    ``mend`` is what else its message says where there is no such file, or none that may be read.
    """
    document = Document(str(path))
    try:
        document.text = _text(path)
        if line := _endless_key(document.text):
            document.refuse(line, f"a key has more than {KEY_PARTS_MAX} names; nest no tables that deep")
            return document
        document.values = tomllib.loads(document.text)
    except OSError as error:
        document.refuse(0, f"the file cannot be read: {_cause(error)}{mend}")
    except UnicodeDecodeError as error:
        document.refuse(0, f"the file cannot be read: {_cause(error)}")
    except (ValueError, RecursionError) as error:
        # Besides TOMLDecodeError: ValueError for a number of thousands of digits, RecursionError for deep nesting.
        document.refuse(_error_line(str(error), document.text), f"the file is not TOML: {_cause(error)}")
    return document


def _text(path: Path) -> str:
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is no regular file")  # a pipe would be opened for ever
    with path.open("rb") as file:
        octets = file.read(FILE_SIZE_MAX + 1)
    if len(octets) > FILE_SIZE_MAX:
        raise OSError(f"it has more than {FILE_SIZE_MAX} octets; split it and apply the parts one after the other")
    return octets.decode("utf-8-sig")  # editors of one system put a byte order mark in front


def _endless_key(text: str) -> int:
    """Return the line of a key of more than KEY_PARTS_MAX names, 0 where there is none.

    A text that looks like such a key is taken for one: no name of a host has as many parts.
    """
    for line, written in enumerate(text.split("\n"), start=1):
        if written.count(".") >= KEY_PARTS_MAX:
            for chain in _DOTTED.finditer(written):
                if chain[0].count(".") >= KEY_PARTS_MAX and len(re.findall(_NAME, chain[0])) > KEY_PARTS_MAX:
                    return line
    return 0


def _cause(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"octet {error.start} is not UTF-8; save it as UTF-8"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, RecursionError):
        return "tables or arrays are nested too deeply"
    return str(error).partition(";")[0]


def _error_line(message: str, text: str) -> int:
    _, _, place = message.partition("(at line ")
    number = place.partition(",")[0]
    return int(number) if number.isdigit() else text.rstrip().count("\n") + 1


class _Lines:
    """Walks the syntax tree of one document, which the standard library has found to be good TOML."""

    def __init__(self, root: Node) -> None:
        self.found: dict[KeyPath, int] = {}
        self._newest: dict[KeyPath, int] = {}  # arrays of tables: the index of the newest element
        for node in root.named_children:
            if node.type == "pair":
                self._pair(node, (), 0)
            elif node.type in ("table", "table_array_element"):
                self._table(node)

    def _table(self, node: Node) -> None:
        header, *rest = (child for child in node.named_children if child.type != "comment")
        path = self._resolved(_names(header), appended=node.type == "table_array_element")
        self._note(path, node)
        for pair in rest:
            self._pair(pair, path, 0)

    def _resolved(self, names: tuple[str, ...], *, appended: bool) -> KeyPath:
        """Return the path of a header; a name on it that is an array of tables means its newest element."""
        path: KeyPath = ()
        for place, name in enumerate(names, start=1):
            path = (*path, name)
            if appended and place == len(names):
                self._newest[path] = self._newest.get(path, -1) + 1
            if path in self._newest:
                path = (*path, self._newest[path])
        return path

    def _pair(self, node: Node, around: KeyPath, depth: int) -> None:
        key, value = [child for child in node.named_children if child.type != "comment"][:2]
        path: KeyPath = (*around, *_names(key))
        self._note(path, node)
        self._value(value, path, depth + 1)

    def _value(self, node: Node, path: KeyPath, depth: int) -> None:
        if depth > DEPTH_MAX:
            return
        if node.type == "inline_table":
            for child in node.named_children:
                if child.type == "pair":
                    self._pair(child, path, depth)
        elif node.type == "array":
            for place, child in enumerate(_elements(node)):
                self._note((*path, place), child)
                self._value(child, (*path, place), depth + 1)

    def _note(self, path: KeyPath, node: Node) -> None:
        """Keep the line of a path, and of the tables around it that have no line of their own."""
        self.found[path] = node.start_point[0] + 1
        for length in range(len(path) - 1, 0, -1):
            if path[:length] in self.found:
                break
            self.found[path[:length]] = node.start_point[0] + 1


def _elements(node: Node) -> Iterator[Node]:
    return (child for child in node.named_children if child.type != "comment")


def _names(node: Node) -> tuple[str, ...]:
    """Return the names of a bare, quoted or dotted key."""
    if node.type == "dotted_key":
        return tuple(name for child in _elements(node) for name in _names(child))
    written = (node.text or b"").decode()
    return tuple(tomllib.loads(f"{written} = 0")) if node.type == "quoted_key" else (written,)
