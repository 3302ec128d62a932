"""What a caller chose reaches no terminal as a command, and no table as markup."""

import pytest

from daemon.cli.output import print_json, print_pairs, print_table, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("442071231234", "442071231234"),
        ("Grüße", "Grüße"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("line\nfeed", "line\\nfeed"),
        ("\u202e4321", "\\u202e4321"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_cell_is_no_markup_and_is_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 150
    print_table(("call_id", "seconds"), [("[bold]loud[/bold]", 7), (long, 12)], numbers=("seconds",))
    printed = capsys.readouterr().out
    assert "[bold]loud[/bold]" in printed
    assert long in printed
    assert "\x1b" not in printed


def test_pairs_stand_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    print_pairs([("id", "alice"), ("available", "1.00\x07")])
    assert capsys.readouterr().out == "id         alice\navailable  1.00\\x07\n"


def test_json_is_one_document_with_money_as_it_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"balance": "0.10"})
    assert capsys.readouterr().out == '{\n  "balance": "0.10"\n}\n'
