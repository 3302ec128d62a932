"""Every case of tests/tables/hostile that is a file, as a command reads it: named, refused, and nothing changed."""

import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from daemon.cli.root import tollway
from tests.hostile_cases import FOLDER, Case, cases, octets

GOOD_SETTINGS = """[store]
url = "sqlite:///{folder}/tollway.db"
[radius_auth]
listen = "127.0.0.1:{auth}"
[radius_acct]
listen = ""
[http]
listen = "127.0.0.1:{http}"
"""
GOOD_DECK = "prefix,destination,rate,first_seconds,next_seconds\n44,UK,0.{cents:02},60,60\n"
REFUSED, BAD_CONFIGURATION = 1, 78


def good_settings(folder: Path, auth: int = 1812, http: int = 8090) -> str:
    """Return settings without a fault; their last section is that of HTTP."""
    return GOOD_SETTINGS.format(folder=folder, auth=auth, http=http)


class Desk:
    """A folder with settings, a store and a deck; commands run in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "deck.csv").write_text(GOOD_DECK.format(cents=60))
        self.settings = folder / "tollway.toml"
        self.settings.write_text(good_settings(folder))
        self.good = (FOLDER / "scenario" / "good.toml").read_text()
        (folder / "good.toml").write_text(self.good)
        self.run("apply", folder / "good.toml", status=0)

    def run(self, *words: object, status: int, config: Path | None = None) -> Result:
        """Run a command, which ends with a status."""
        told = ["--config", str(config or self.settings), *map(str, words)]
        done = CliRunner().invoke(tollway, told)
        assert done.exit_code == status, (done.exit_code, done.output[-2000:], done.exception)
        return done

    def kept(self) -> str:
        """Return everything that the store holds."""
        with sqlite3.connect(self.folder / "tollway.db") as store:
            return "\n".join(store.iterdump())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def _named(case: Case, file: Path, output: str) -> None:
    """Check that a command names file and line, and the reason, first."""
    where = f"{file}:{case['line']}: " if case["line"] else str(file)
    told = next(line for line in output.splitlines() if line.startswith(str(file)))
    assert told.startswith(where), (case["name"], told)
    assert case["reason"] in told, (case["name"], told)


def test_a_scenario_is_refused_with_file_line_and_reason_and_a_good_one_is_taken_after_it(desk: Desk) -> None:
    file, kept = desk.folder / "case.toml", desk.kept()
    for number, case in enumerate(cases("scenario")):
        file.write_bytes(octets(case["file"], names={"good": desk.good.encode()}))
        done = desk.run("apply", file, status=BAD_CONFIGURATION)
        _named(case, file, done.output)
        assert desk.kept() == kept, case["name"]
        limited = desk.good + f"max_call_seconds = {number + 60}\n"
        (desk.folder / "good.toml").write_text(limited)
        assert "max_call_seconds" in desk.run("apply", desk.folder / "good.toml", status=0).output, case["name"]
        kept = desk.kept()


def test_settings_are_refused_with_file_line_and_reason_and_good_ones_are_taken_after_them(desk: Desk) -> None:
    file, kept = desk.folder / "case.toml", desk.kept()
    for case in cases("settings"):
        file.write_bytes(octets(case["file"], names={"good": good_settings(desk.folder).encode()}))
        done = desk.run("check", status=BAD_CONFIGURATION, config=file)
        _named(case, file, done.output)
        desk.run("check", status=0)
    assert desk.kept() == kept


def test_a_deck_is_refused_with_file_line_and_reason_and_a_good_one_is_taken_after_it(desk: Desk) -> None:
    file, good, kept = desk.folder / "case.csv", desk.folder / "deck.csv", desk.kept()
    words = ("rate", "import", "main/retail")
    for number, case in enumerate(cases("decks")):
        file.write_bytes(octets(case["file"]))
        done = desk.run(*words, file, "--mode", "replace", status=REFUSED)
        _named(case, file, done.output)
        assert desk.kept() == kept, case["name"]
        good.write_text(GOOD_DECK.format(cents=61 + number % 30))
        desk.run(*words, good, "--mode", "replace", "--yes", status=0)
        assert desk.kept() != kept, case["name"]
        kept = desk.kept()
