"""A page of docs/ as a person types it: its blocks of shell in their order, in one shell, and what they have to show.

A fence says by its words what it is: ```sh is typed; ```sh stays is typed in a terminal of its own, which the test
stands for; any other is not typed. ```text after typed blocks is what they show: each of its lines, in this order, …
standing for anything. A page whose blocks nobody reads proves nothing, so each must have some of them.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
ANYTHING = "…"
_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: what its fence says, its text without the indentation of a list, and its line in the page."""

    kind: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in their order."""
    text = page.read_text()
    found = []
    for fence in _FENCE.finditer(text):
        indent, kind, body = fence.groups()
        stripped = "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))
        found.append(Block(kind.strip(), stripped, text.count("\n", 0, fence.start()) + 1))
    assert found, f"{page} has no blocks"
    return found


def script(page: list[Block]) -> str:
    """Return the typed blocks as one script that stops at the first line which fails, and says where it is."""
    parts = ["set -eu -o pipefail", "exec 2>&1"]
    for block in page:
        if block.kind == "sh":
            parts += [f"printf '\\n== line {block.line}\\n'", block.text]
    return "\n".join(parts)


def type_page(page: list[Block], folder: Path, environment: dict[str, str], seconds_max: float) -> str:
    """Type a page in a folder; return what was shown. Fails where a line does, or where something else is shown."""
    done = subprocess.run(
        ["bash", "-c", script(page)], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=seconds_max, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
    compare(page, done.stdout)
    return done.stdout


def compare(page: list[Block], shown: str) -> None:
    """Hold what was shown against every ```text of the page."""
    parts = {int(head): text for head, text in re.findall(r"^== line (\d+)\n(.*?)(?=^== line |\Z)", shown, re.M | re.S)}
    before: list[str] = []
    for block in page:
        if block.kind == "sh":
            before = parts[block.line].splitlines()
        elif block.kind == "text":
            _compare_lines(block, before)


def _compare_lines(block: Block, shown: list[str]) -> None:
    left = iter(shown)
    for wanted in block.text.splitlines():
        pattern = re.compile(".*".join(re.escape(part) for part in wanted.rstrip().split(ANYTHING)))
        found = any(pattern.fullmatch(line.rstrip()) for line in left)
        assert found, f"line {block.line}: {wanted!r} was not shown; this was:\n" + "\n".join(shown)
