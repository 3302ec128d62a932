"""A CSV deck of Tollway's own columns from a file: what is tolerated, what is an error, nothing dropped in silence."""

from pathlib import Path

import pytest

from daemon.config_files.deck_files import DeckFile, read_deck_file
from daemon.rating.deck import LINE_LENGTH_MAX


def read(folder: Path, text: str) -> DeckFile:
    """Return what becomes of a deck."""
    deck = folder / "a.csv"
    deck.write_text(text, "utf-8", newline="")
    return read_deck_file(deck)


def faults(folder: Path, text: str) -> list[tuple[int, str]]:
    """Return line and column of every fault."""
    found = read(folder, text)
    assert found.rows == [] or not found.problems
    return [(problem.line, problem.key) for problem in found.problems]


def test_mark_line_ends_quotes_and_blank_rows_are_tolerated_and_lines_counted(tmp_path: Path) -> None:
    text = '\ufeff"prefix",destination , rate\r\n\r\n44,"UK, ""mobile""",1\r\n,,\r\n  \r\n45, DK ,2\r\n'
    found = read(tmp_path, text)
    assert found.problems == []
    names = [(row.prefix, row.destination, row.line) for row in found.rows]
    assert names == [("44", 'UK, "mobile"', 3), ("45", "DK", 6)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("\n\n44,1\n", 3),
        ("prefix,rate,cost\n44,1,1\n", 1),
        ("prefix,rate,rate\n44,1,1\n", 1),
        ("prefix\n44\n", 1),
        ("rate\n1\n", 1),
    ],
)
def test_a_header_is_required_and_understood_whole(tmp_path: Path, text: str, line: int) -> None:
    assert faults(tmp_path, text)[0][0] == line


@pytest.mark.parametrize("row", ["44", "44,1,UK,more"])
def test_a_row_has_as_many_cells_as_the_header(tmp_path: Path, row: str) -> None:
    assert faults(tmp_path, f"prefix,rate,destination\n{row}\n45,1,DK\n") == [(2, "")]


def test_empty_cells_beyond_the_header_are_tolerated(tmp_path: Path) -> None:
    assert faults(tmp_path, "prefix,rate\n44,1,,\n") == []


def test_a_quote_that_is_not_closed_is_an_error_and_swallows_nothing_in_silence(tmp_path: Path) -> None:
    assert [line for line, _ in faults(tmp_path, 'prefix,rate,destination\n44,1,"UK\n45,1,DK\n')] == [2]


def test_rows_after_broken_quotes_are_still_checked(tmp_path: Path) -> None:
    assert [line for line, _ in faults(tmp_path, 'prefix,rate,destination\n44,1,"U"K\n45,x,DK\n')] == [2, 3]


def test_a_line_has_a_bound(tmp_path: Path) -> None:
    assert faults(tmp_path, "prefix,rate\n44,1" + " " * LINE_LENGTH_MAX + "\n45,1\n")[0] == (2, "")
