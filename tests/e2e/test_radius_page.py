"""docs/radius.md is typed line by line beside a running daemon, and prints what it says."""

from pathlib import Path

import pytest

from tests.e2e.pages import ROOT, Terminal, blocks, missing, sample, typed

PAGE = ROOT / "docs" / "radius.md"
LINES_MIN = 15


def test_every_line_of_the_page_runs_and_prints_what_the_page_says(tmp_path: Path) -> None:
    folder, home = tmp_path / "checkout", tmp_path / "home"
    home.mkdir()
    folder.mkdir()
    with sample(folder), Terminal(folder, home) as terminal:
        lines = typed(blocks(PAGE), terminal, lambda _block: home / "tollway" / "scenario.toml")
    assert len(lines) >= LINES_MIN, lines


def test_what_is_printed_is_held_to_the_page_in_order() -> None:
    printed = "a = 1\nb = 0x12\n\nc d\n"
    assert missing("a = 1\nb = 0x…\n…\nc d\n", printed) == ""
    assert missing("b = …\na = 1\n", printed) == "a = 1"
    assert missing("a =\n", printed) == "a ="
    assert missing("c x\n", printed) == "c x"


def test_a_line_that_fails_fails_and_what_it_exports_stays(tmp_path: Path) -> None:
    with Terminal(tmp_path, tmp_path) as terminal:
        terminal.types("export WORD=kept; cd /")
        assert terminal.types("echo $WORD ~ $PWD").split() == ["kept", str(tmp_path), "/"]
        assert terminal.types("sh -c 'echo said; exit 3'   # status 3").split() == ["said"]
        for line, told in (("false", "status 1 of 'false'"), ("true   # status 1", "status 0"), ("exit", "is gone")):
            with pytest.raises(AssertionError, match=told):
                terminal.types(line)


def test_blocks_know_their_place() -> None:
    found = blocks(PAGE)
    text = PAGE.read_text(encoding="utf-8").splitlines()
    assert {block.language for block in found} == {"", "toml", "text"}
    assert all(text[block.line - 1] == f"```{block.language}" for block in found)
