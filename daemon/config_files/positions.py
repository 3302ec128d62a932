"""TOML with positions: values by the standard library, the line of every key and element by the grammar of TOML.

A problem says file, line, key, what is wrong and how to mend it; readers collect problems and go on.
Files are bounded: what an operator writes by hand is never larger.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

FILE_SIZE_MAX = 16 << 20  # octets; a hundred thousand accounts fit
DEPTH_MAX = 32  # nested tables and arrays; the deepest scenario has four

Path_ = tuple[str | int, ...]
_LANGUAGE = Language(tree_sitter_toml.language())


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One fault of a file. ``str()`` is the line that the operator reads."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        """Return ``file:line: key: what and how to mend``."""
        key = f"{self.key}: " if self.key else ""
        return f"{self.file}:{self.line}: {key}{self.message}"


@dataclass
class Document:
    """A parsed file: its values, where each stands, and the problems found so far."""

    file: str
    values: dict[str, object] = field(default_factory=dict)
    lines: dict[Path_, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line_of(self, path: Path_) -> int:
        """Return the line of a path, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def report(self, path: Path_, message: str) -> None:
        """Note a problem at a path."""
        self.problems.append(Problem(self.file, self.line_of(path), shown(path), message))


def shown(path: Path_) -> str:
    """Return a path as people write it: ``account[2].credit_limit``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def read_document(path: Path) -> Document:
    """Read a file. What cannot be read at all is a document without values and with one problem."""
    document = Document(str(path))
    try:
        if path.stat().st_size > FILE_SIZE_MAX:
            document.report((), f"the file is larger than {FILE_SIZE_MAX} octets")
            return document
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        document.report((), f"cannot be read: {error}")
        return document
    try:
        document.values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        document.problems.append(Problem(str(path), _error_line(str(error), text), "", f"is not TOML: {error}"))
        return document
    document.lines.update(_lines(Parser(_LANGUAGE).parse(text.encode()).root_node))
    return document


def _error_line(message: str, text: str) -> int:
    _, _, rest = message.partition("at line ")
    digits = rest.split(",")[0]
    return int(digits) if digits.isdigit() else text.count("\n") + 1


def _lines(root: Node) -> dict[Path_, int]:
    lines: dict[Path_, int] = {}
    counts: dict[Path_, int] = {}
    for node in root.named_children:
        if node.type == "pair":
            _pair(node, (), lines, 0)
        elif node.type in ("table", "table_array_element"):
            _table(node, lines, counts)
    return lines


def _table(node: Node, lines: dict[Path_, int], counts: dict[Path_, int]) -> None:
    header, *pairs = node.named_children
    path = _resolved(_names(header), counts, appended=node.type == "table_array_element")
    lines[path] = node.start_point[0] + 1
    for pair in pairs:
        if pair.type == "pair":
            _pair(pair, path, lines, 0)


def _resolved(names: tuple[str, ...], counts: dict[Path_, int], *, appended: bool) -> Path_:
    """Return the path of a header: a name that is an array of tables means its newest element."""
    path: Path_ = ()
    for place, name in enumerate(names):
        path = (*path, name)
        if appended and place == len(names) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _names(node: Node) -> tuple[str, ...]:
    if node.type == "dotted_key":
        return tuple(name for child in node.named_children for name in _names(child))
    text = (node.text or b"").decode()
    if node.type == "quoted_key":
        return tuple(tomllib.loads(f"{text} = 0"))
    return (text,)


def _pair(node: Node, around: Path_, lines: dict[Path_, int], depth: int) -> None:
    key, value = [child for child in node.named_children if child.type != "comment"][:2]
    path: Path_ = (*around, *_names(key))
    lines[path] = node.start_point[0] + 1
    _value(value, path, lines, depth + 1)


def _value(node: Node, path: Path_, lines: dict[Path_, int], depth: int) -> None:
    if depth > DEPTH_MAX:
        return
    if node.type == "inline_table":
        for child in node.named_children:
            if child.type == "pair":
                _pair(child, path, lines, depth)
    elif node.type == "array":
        for place, child in enumerate(_elements(node)):
            lines[(*path, place)] = child.start_point[0] + 1
            _value(child, (*path, place), lines, depth + 1)


def _elements(node: Node) -> Iterator[Node]:
    return (child for child in node.named_children if child.type != "comment")
