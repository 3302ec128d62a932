"""Every table, key and element has its line, in whatever way TOML lets it be written."""

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config_files import positions
from daemon.config_files.positions import Document, KeyPath, Problem, read_document


def parsed(text: str) -> Document:
    return Document("a.toml", text, tomllib.loads(text))


CASES: list[tuple[str, str, dict[KeyPath, int]]] = [
    (
        "arrays of tables, and tables within their newest element",
        '[[a]]\nid = "x"\n\n[[a.b]]\nn = 1\n[[a.b]]\nn = 2\n[a.b.c]\nm = 3\n\n[[a]]\n[[a.b]]\nn = 4\n',
        {
            ("a", 0): 1, ("a", 0, "id"): 2, ("a", 0, "b", 0): 4, ("a", 0, "b", 0, "n"): 5, ("a", 0, "b", 1, "n"): 7,
            ("a", 0, "b", 1, "c"): 8, ("a", 0, "b", 1, "c", "m"): 9, ("a", 1): 11, ("a", 1, "b", 0, "n"): 13,
        },
    ),
    (
        "inline tables and lists over several lines",
        'x = [ # first\n  { sip = "a", "p w" = "b" },\n\n  # between\n  { ip = "c", via.id = "d" }, [1,\n2] ]\n',
        {
            ("x",): 1, ("x", 0): 2, ("x", 0, "sip"): 2, ("x", 0, "p w"): 2, ("x", 1): 5, ("x", 1, "via"): 5,
            ("x", 1, "via", "id"): 5, ("x", 2): 5, ("x", 2, 0): 5, ("x", 2, 1): 6,
        },
    ),
    (
        "dotted and quoted keys",
        'a.b."c.d" = 1\n[ t . "u v" ]\n\'w\'.x = 2\n',
        {("a",): 1, ("a", "b", "c.d"): 1, ("t",): 2, ("t", "u v"): 2, ("t", "u v", "w", "x"): 3},
    ),
    (
        "texts over several lines, which may look like tables",
        'a = """\n[[b]]\nc = 1\n"""\nb = \'\'\'\nx\'\'\'\nc = 1\n',
        {("a",): 1, ("b",): 5, ("c",): 7},
    ),
    ("lines that end as elsewhere", "a = 1\r\n\r\nb = 2\r\n", {("a",): 1, ("b",): 3}),
    ("a comment behind everything", "[t] # [u]\na = [1, # x\n2] # y\nb = 1979-05-27T07:32:00Z # z\n", {("t", "b"): 4}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "lines"), CASES, ids=[case[0] for case in CASES])
def test_lines(name: str, text: str, lines: dict[KeyPath, int]) -> None:
    assert {path: parsed(text).lines.get(path) for path in lines} == lines, name


class Writer:
    """Writes a random document and keeps the line on which it put each thing."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._names = 0
        self.text = ""
        self.expected: dict[KeyPath, int] = {}

    def document(self) -> None:
        self._pairs(())
        for _ in range(self._pick(4)):
            if self._pick(1):
                path = (self._name(),)
                self._put(f"[{self._written(path[0])}]", path)
                self._pairs(path)
            else:
                self._array_of_tables()

    def _array_of_tables(self) -> None:
        name = self._name()
        for place in range(self._pick(3)):
            self._put(f"[[{self._written(name)}]]", (name, place))
            self._pairs((name, place))
            for inner in range(self._pick(2)):
                self._put(f"[[ {self._written(name)} . inner ]]", (name, place, "inner", inner))
                self._pairs((name, place, "inner", inner))

    def _pairs(self, around: KeyPath) -> None:
        self._end_line()
        for _ in range(self._pick(3)):
            self._pair(around, 0)
            self._end_line()

    def _pair(self, around: KeyPath, depth: int) -> None:
        names = [self._name() for _ in range(1 + self._pick(2))]
        self._put(" . ".join(self._written(name) for name in names) + " = ", (*around, *names))
        self._value((*around, *names), depth)

    def _value(self, path: KeyPath, depth: int) -> None:
        kind = self._pick(6 if depth < 3 else 3)
        if kind <= 3:
            self.text += ("7", '"[[x]] # y"', '"""\n[a]\nb = 1\n"""', "'''\n\n'''")[kind]
        elif kind <= 5:
            self._list(path, depth)
        else:
            self.text += "{ "
            for place in range(self._pick(2)):
                self.text += ", " if place else ""
                self._pair(path, depth + 1)
            self.text += " }"

    def _list(self, path: KeyPath, depth: int) -> None:
        self.text += "["
        for place in range(self._pick(3)):
            self.text += ("", "\n", " # [comment], \n", "\n\n")[self._pick(3)]
            self._put("", (*path, place))
            self._value((*path, place), depth + 1)
            self.text += ","
        self.text += ("", "\n")[self._pick(1)] + "]"

    def _put(self, text: str, path: KeyPath) -> None:
        self.expected[path] = self.text.count("\n") + 1
        self.text += text

    def _end_line(self) -> None:
        self.text += ("\n", " # x = 1\n", "\n\n", "\r\n")[self._pick(3)]

    def _name(self) -> str:
        self._names += 1
        return ("n{}", "n {}", "n.{}", "n-{}")[self._pick(3)].format(self._names)

    @staticmethod
    def _written(name: str) -> str:
        return name if name.replace("-", "").isalnum() else f'"{name}"'

    def _pick(self, most: int) -> int:
        return self._draw(st.integers(0, most))


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[KeyPath, int]]:
    writer = Writer(draw)
    writer.document()
    return writer.text, writer.expected


def every_path(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    if path:
        yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from every_path(inner, (*path, name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from every_path(inner, (*path, place))


@given(documents())
def test_whatever_is_written_has_the_line_on_which_it_was_written(written: tuple[str, dict[KeyPath, int]]) -> None:
    text, expected = written
    document = parsed(text)
    assert {path: document.lines.get(path) for path in expected} == expected
    # Nothing that a reader can reach is without a line; an array of tables as a whole has that of its first.
    assert {path for path in every_path(document.values) if path not in document.lines} == set()


def test_a_missing_key_has_the_line_of_its_table() -> None:
    document = parsed('a = 1\n\n[[account]]\nid = "x"\n')
    assert document.line_of(("account", 0, "currency")) == 3
    assert document.line_of(("nowhere", 0)) == 1


def test_a_path_is_shown_with_the_ids_of_objects() -> None:
    document = parsed(
        '[[account]]\nid = "x"\nchannels = { total = 1 }\nidentities = [{ pin = "1" }]\n[[account]]\nid = 7\n'
    )
    assert document.shown(("account", 0, "channels", "total")) == "account[x].channels.total"
    assert document.shown(("account", 0, "identities", 0, "pin")) == "account[x].identities[0].pin"
    assert document.shown(("account", 1, "id")) == "account[1].id"


def test_a_problem_reads_as_promised() -> None:
    assert str(Problem("a.toml", 3, "account[x].balance", "is wrong")) == "a.toml:3: account[x].balance: is wrong"
    assert str(Problem("a.toml", 3, "", "is wrong")) == "a.toml:3: is wrong"


def test_problems_are_bounded_and_the_rest_is_counted() -> None:
    document = parsed("a = 1\n")
    for _ in range(positions.PROBLEMS_MAX + 3):
        document.report(("a",), "is wrong")
    problems = document.problems()
    assert len(problems) == positions.PROBLEMS_MAX + 1
    assert problems[-1].message == "3 more problems; mend those above first"


UNREADABLE = [
    ("no value", b"a = 1\nb =\n", 2, "not TOML"),
    ("a key twice", b"a = 1\nb = 2\na = 3\n", 3, "not TOML"),
    ("a table twice", b"[a]\n[b]\n[a]\n", 3, "not TOML"),
    ("a text without its end", b'a = 1\nb = "x\n', 2, "not TOML"),
    ("a number of thousands of digits", b"a = " + b"9" * 5000, 1, "not TOML"),
    ("nested without end", b"a = " + b"[" * 100_000, 1, "nested too deeply"),
    ("a key of names without end", b"b = 1\n" + b".".join([b"a"] * 200_000) + b" = 1", 2, "more than 128 names"),
    ("a header of names", b"[" + b" . ".join([b"a"] * 129) + b"]", 1, "more than 128 names"),
    (
        "a key of quoted names",
        b"b = {" + b".".join([b'"a.b"', b"'c'", b'"\xe2\x80\xa8"'] * 50) + b" = 1}",
        1,
        "128 names",
    ),
    ("not UTF-8", b'a = "\xff"\n', 0, "octet 5 is not UTF-8"),
    ("a zero octet", b"a = 1\n\0\n", 2, "not TOML"),
]


@pytest.mark.parametrize(("name", "octets", "line", "message"), UNREADABLE, ids=[case[0] for case in UNREADABLE])
def test_what_is_no_toml_is_one_problem(tmp_path: Path, name: str, octets: bytes, line: int, message: str) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(octets)
    document = read_document(file)
    [problem] = document.problems()
    assert not document.readable, name
    assert document.values == {}
    assert (problem.line, problem.file) == (line, str(file))
    assert message in problem.message


@pytest.mark.parametrize(
    "text",
    [
        "[" + ".".join(["a"] * 128) + "]\n" + ".".join(["b"] * 128) + " = {" + ".".join(["c"] * 128) + " = 1}\n",
        "a = '" + "x. " * 500 + "'\n" + "b = [" + "1.5, " * 500 + "]\n" + 'c = "' + "." * 500 + '"\n',
        "a = '" + ".".join(["0"] * 32) + ".ip6.arpa'\n",
        '"' + "a." * 200 + '"."b" = 1\n',
    ],
    ids=["as deep as may be", "other points", "a name of a host", "points within names"],
)
def test_points_that_make_no_endless_key_are_no_fault(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.toml"
    file.write_text(text)
    document = read_document(file)
    document.report((), "is wrong")
    assert [problem.message for problem in document.problems()] == ["is wrong"]


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(b"\xef\xbb\xbfa = 1\n")
    document = read_document(file)
    assert document.readable
    assert document.values == {"a": 1}


def test_files_that_are_not_there_no_files_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No such file" in read_document(tmp_path / "absent").problems()[0].message
    assert "regular file" in read_document(tmp_path).problems()[0].message
    monkeypatch.setattr(positions, "FILE_SIZE_MAX", 10)
    (tmp_path / "large.toml").write_text("a = 1 # eleven")
    assert "more than 10 octets" in read_document(tmp_path / "large.toml").problems()[0].message
    # One that would block its reader, such as a pipe, is told apart before it is opened.
    os.mkfifo(tmp_path / "pipe")
    assert "regular file" in read_document(tmp_path / "pipe").problems()[0].message


def test_no_problem_of_a_file_that_is_no_toml_repeats_its_secrets(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('secret = "hush-hush\npassword = hush-hush\n')
    assert "hush" not in str(read_document(file).problems())
