"""A page of docs/ as an operator uses it: each command that it shows is typed into one shell, beside a daemon.

A fenced block without a language holds shell lines, one marked ``sh`` what is typed as a whole: lines that go on, and
texts for files. ``sh stays`` is typed in a terminal of its own: by a test itself. One marked ``toml`` is added to
a file of the reader's. One marked ``text`` is what the block before it prints: each of its lines has to be among what
was printed, in order; ``…`` stands for anything. What ends with a status other than 0 fails, unless its comment says
``# status N``.
"""

import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.daemon_process import DaemonProcess

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^( *)```([a-z ]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
TYPED = ("", "sh")
_STATUS = re.compile(r"# status (\d+)\b")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: what its fence says (nothing: shell lines), its text, its page and the line where it begins."""

    language: str
    text: str
    page: str
    line: int

    @property
    def commands(self) -> tuple[str, ...]:
        """What is typed, one after the other; a line that ends with a backslash goes on in the next."""
        if self.language == "sh":
            return (f"set -e -o pipefail\n{self.text}set +e +o pipefail",)
        joined = self.text.replace("\\\n", " ")
        return tuple(line for line in joined.splitlines() if line.strip())


def blocks(page: Path) -> tuple[Block, ...]:
    """Return the fenced blocks of a page, in order, each without the indentation of its list."""
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in _FENCE.finditer(text):
        indent, language, body = fence.groups()
        stripped = re.sub(f"^{indent}", "", body, flags=re.MULTILINE)
        found.append(Block(language, stripped, page.name, 1 + text.count("\n", 0, fence.start())))
    return tuple(found)


def missing(expected: str, printed: str) -> str:
    """Return the first line of an expected output that was not printed in its turn, or nothing."""
    left = [line.strip() for line in printed.splitlines()]
    for line in (line.strip() for line in expected.splitlines() if line.strip() not in ("", "…")):
        wanted = re.compile(".*".join(re.escape(part) for part in line.split("…")))
        place = next((place for place, each in enumerate(left) if wanted.fullmatch(each)), None)
        if place is None:
            return line
        del left[: place + 1]
    return ""


@dataclass
class Terminal:
    """One shell in a folder: what a line exports, later lines see. ``home`` is what ``~`` means.

    It finds the programs and the code that are tested, or those of another environment where one is stated.
    """

    folder: Path
    home: Path
    environment: Mapping[str, str] | None = None
    process: "subprocess.Popen[str] | None" = field(default=None, repr=False)

    def __enter__(self) -> "Terminal":
        tested = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        found = os.environ | tested if self.environment is None else dict(self.environment)
        environment = found | {"HOME": str(self.home), "COLUMNS": "160"}
        self.process = subprocess.Popen(
            ["bash", "--norc"], cwd=self.folder, env=environment, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def types(self, line: str) -> str:
        """Type one line and return what it printed. Raises AssertionError where its status is another than stated."""
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        mark = uuid.uuid4().hex
        # A time limit of the shell's own would need a process for each line: the test's limit ends one that hangs.
        self.process.stdin.write(f"{line}\n" + f'printf "\\n%s %s\\n" {mark} $?\n')
        self.process.stdin.flush()
        printed: list[str] = []
        for told in self.process.stdout:
            if told.startswith(mark):
                break
            printed.append(told)
        else:
            raise AssertionError(f"the shell is gone after {line!r}:\n{''.join(printed)}")
        stated = _STATUS.search(line)
        status, expected = int(told.split()[1]), int(stated[1]) if stated is not None else 0
        assert status == expected, f"status {status} of {line!r}:\n{''.join(printed)}"
        return "".join(printed)


@contextmanager
def sample(folder: Path) -> Iterator[DaemonProcess]:
    """Run a daemon in a folder as ``make run`` does in a checkout: its sample, .venv and conf/tollway.toml are there.

    Its listeners have ports of their own, which the commands find in the settings.
    """
    shutil.copytree(ROOT / "conf", folder / "conf")
    (folder / ".venv").symlink_to(sys.prefix)
    daemon = DaemonProcess(folder, (ROOT / "conf" / "sample" / "scenario.toml").read_text(encoding="utf-8"))
    shutil.copytree(ROOT / "conf" / "sample" / "decks", folder / "decks")
    shutil.copy(folder / "tollway.toml", folder / "conf" / "tollway.toml")
    daemon.apply()
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


def _no_file(block: Block) -> Path:
    raise AssertionError(f"{block.page}:{block.line}: nobody knows the file of this block")


def typed(page: Sequence[Block], terminal: Terminal, toml: Callable[[Block], Path] = _no_file) -> list[str]:
    """Type blocks from the first to the last; ``toml`` says which file a block of that kind is added to.

    Return all that was typed. Raises AssertionError with the page's line where it does not hold.
    """
    lines: list[str] = []
    printed = ""
    for block in page:
        where = f"{block.page}:{block.line}"
        if block.language in TYPED:
            printed = ""
            for line in block.commands:
                printed += _typed(terminal, line, where)
                lines.append(line)
        elif block.language == "toml":
            with toml(block).open("a", encoding="utf-8") as stream:
                stream.write(f"\n{block.text}")
        elif block.language == "text":
            lacks = missing(block.text, printed)
            assert not lacks, f"{where}: {lacks!r} is not printed; this is:\n{printed}"
    return lines


def _typed(terminal: Terminal, line: str, where: str) -> str:
    try:
        return terminal.types(line)
    except AssertionError as error:
        raise AssertionError(f"{where}: {error}") from error
