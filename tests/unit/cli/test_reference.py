"""The command line is documented whole: every command and option has its words, and the page is the code's."""

import re
from pathlib import Path

import click
import pytest

from daemon.cli.reference import commands, commands_page, old_pages
from daemon.cli.root import tollway

PAGE = Path(__file__).resolve().parents[3] / "docs" / "cli.md"
ALL = list(commands(tollway, click.Context(tollway, info_name="tollway"), "tollway"))
LEAVES = [(words, command) for words, command in ALL if not isinstance(command, click.Group)]
# INTERFACES, "The command tollway", as far as this release goes.
PROMISED = {
    "run", "check", "doctor", "try", "apply", "account list", "account show", "account create", "account topup",
    "account adjust", "account assert", "account transfer",
    "account suspend", "account resume", "account history", "account events", "token create", "token list",
    "token revoke", "rate import", "rate price", "rate batch", "rate history", "rate rollback",
    "rate conversions", "radius send",
    "radius decode", "call list", "call recovery", "call show", "call explain", "call end", "export run", "export list",
    "voucher create", "voucher redeem", "voucher list", "voucher show", "voucher block", "voucher export",
    "voucher failures",
    "carrier quality",
    "export verify", "exception list", "audit list", "db upgrade", "db backup", "db restore", "db archive", "db check",
}  # fmt: skip


def test_every_promised_command_is_there() -> None:
    assert {words.removeprefix("tollway ") for words, _ in LEAVES} == PROMISED


@pytest.mark.parametrize(("words", "command"), ALL, ids=[words for words, _ in ALL])
def test_every_command_and_option_says_what_it_does(words: str, command: click.Command) -> None:
    assert command.help
    assert command.help.strip().endswith(".")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, (words, parameter.name)


@pytest.mark.parametrize(("words", "command"), LEAVES, ids=[words for words, _ in LEAVES])
def test_every_command_takes_json(words: str, command: click.Command) -> None:
    assert any("--json" in parameter.opts for parameter in command.params), words


def test_the_generated_pages_are_up_to_date() -> None:
    assert old_pages() == [], "run: make docs"


def test_every_command_has_its_section_in_the_committed_page() -> None:
    headings = set(re.findall(r"^#{2,3} `(tollway .*)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert headings == {words for words, _ in ALL}


def test_a_changed_option_makes_the_page_old(monkeypatch: pytest.MonkeyPatch) -> None:
    before = commands_page()
    command = dict(LEAVES)["tollway db check"]
    monkeypatch.setattr(command, "help", "Do something else.")
    assert commands_page() != before
    assert PAGE in old_pages()
