"""Whatever cannot be meant ends with status 2, and a store that is not there with 69, before anything is done."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from daemon.cli.root import tollway

LONDON = "442071231234"


def status(folder: Path, *words: str) -> int:
    (folder / "t.toml").write_text(f'[store]\nurl = "sqlite:///{folder}/none.db"\n')
    result = CliRunner().invoke(tollway, ["--config", str(folder / "t.toml"), *words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code


@pytest.mark.parametrize(
    "words",
    [
        ("account", "show", "a b"),
        ("account", "topup", "alice", "1.00"),
        ("account", "topup", "alice", "-1.00", "--key", "k"),
        ("account", "topup", "alice", "1.00", "--key", ""),
        ("account", "topup", "alice", "1.00", "--key", "x" * 201),
        ("account", "adjust", "alice", "1.00"),
        ("account", "adjust", "alice", "0", "--reason", "none"),
        ("account", "adjust", "alice", "1.00", "--reason", " "),
        ("account", "create", "x"),
        ("account", "create", "x", "--kind", "postpaid"),
        ("account", "create", "x", "--kind", "prepaid", "--credit-limit", "unlimited"),
        ("account", "create", "x", "--kind", "prepaid", "--credit-limit", "-1"),
        ("account", "create", "x", "--kind", "prepaid", "--password", "p"),
        ("token", "create", "main"),
        ("token", "create", "main", "--role", "root"),
        ("rate", "price", "--plan", "retail", "--to", LONDON, "--seconds", "-1"),
        ("rate", "price", "--plan", "retail", "--to", LONDON),
        ("rate", "price", "--plan", "retail", "--to", LONDON, "--seconds", "1", "--units", "1"),
        ("rate", "price", "--plan", "retail", "--rate-type", "data", "--units", "-1"),
        ("rate", "price", "--plan", "retail", "--to", LONDON, "--seconds", "1", "--at", "now"),
        ("rate", "import", "retail-voice", "t.toml"),
        ("rate", "import", "retail-voice", "absent.csv", "--mode", "merge"),
        ("call", "explain", "--to", LONDON),
        ("call", "explain", "--pin", "1", "--to", LONDON),
        ("call", "explain", "--account", "alice"),
        ("radius", "decode", "xyz"),
        ("radius", "decode", "00", "--profile", "nothing"),
        ("radius", "send", "auth", "no pair"),
        ("radius", "send", "auth", "User-Nome=x", "--secret", "s"),
        ("radius", "send", "auth", "User-Name=x", "--server", "192.0.2.1:1812"),
        ("radius", "send", "ping"),
        ("export", "run", "--directory", "elsewhere"),
        ("export", "run", "--again", "main"),
        ("apply", "absent.toml"),
    ],
    ids=" ".join,
)
def test_a_usage_error_is_status_2(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert status(tmp_path, *words) == 2
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("account", "list"),
        ("account", "show", "alice"),
        ("account", "topup", "alice", "1.00", "--key", "k"),
        ("account", "create", "x", "--kind", "prepaid"),
        ("account", "suspend", "alice"),
        ("account", "history", "alice"),
        ("token", "create", "main", "--role", "read"),
        ("token", "list"),
        ("token", "revoke", "x"),
        ("rate", "price", "--plan", "retail", "--to", LONDON, "--seconds", "1"),
        ("call", "list"),
        ("call", "show", "x"),
        ("call", "end", "x"),
        ("call", "explain", "--account", "alice", "--to", LONDON),
        ("radius", "send", "status"),
        ("export", "run"),
        ("export", "list"),
        ("export", "verify"),
        ("db", "check"),
        ("try",),
    ],
    ids=" ".join,
)
def test_no_command_but_three_makes_a_store(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert status(tmp_path, *words) == 69
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("words", [(), ("account",), ("rate", "price", "--help")], ids=" ".join)
def test_help_needs_no_settings(tmp_path: Path, words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(tollway, ["--config", str(tmp_path / "absent.toml"), *words])
    assert "Usage:" in result.output
    assert "Traceback" not in result.output
