"""Prices through the real commands: the scenario of tests/tables/prices and the example of conf/sample, applied."""

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.commands_sample import SAMPLE
from tests.e2e.daemon_process import DaemonProcess

PRICES = Path(__file__).resolve().parents[1] / "tables" / "prices"
REFUSED = 1


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> DaemonProcess:
    made = DaemonProcess(tmp_path_factory.mktemp("prices"), (PRICES / "scenario.toml").read_text(encoding="utf-8"))
    shutil.copytree(PRICES / "decks", made.folder / "decks")
    made.configure("")
    made.apply()
    return made


@pytest.mark.parametrize(
    ("words", "charge"),
    [
        (("--plan", "by-block", "--to", "441632960000", "--seconds", "120", "--at", "2026-11-27T00:59:00Z"), "0.09"),
        (("--plan", "top", "--to", "39061234567", "--seconds", "60"), "0.5292"),
        (("--plan", "services", "--to", "441632960000", "--units", "1", "--override", "SMS", "--rate-type",
          "per_message"), "0.02"),
        (("--plan", "retail", "--account", "acme", "--to", "33142685300", "--seconds", "61"), "0.10"),
        (("--plan", "graduated", "--to", "441632960000", "--seconds", "60", "--volume", "570"), "0.045"),
        (("--plan", "types", "--rate-type", "data", "--units", "2500000"), "0.025"),
    ],
)  # fmt: skip
def test_a_call_is_priced(daemon: DaemonProcess, words: tuple[str, ...], charge: str) -> None:
    value = daemon.json("rate", "price", *words)
    assert isinstance(value, dict)
    assert (value["status"], value["charge"]) == ("rated", charge)


def test_what_stands_in_the_way_is_told_on_paper(daemon: DaemonProcess) -> None:
    words = (
        "rate",
        "price",
        "--plan",
        "by-start",
        "--to",
        "4930123456",
        "--seconds",
        "60",
        "--at",
        "2026-12-25T15:00:00Z",
    )
    done = daemon.command(*words)
    assert (done.returncode, "a holiday of night, peak: no band of prefix 49 holds this time" in done.stdout) == (
        1,
        True,
    )
    assert "destination_unrated" in done.stderr
    done = daemon.command("rate", "price", "--plan", "retail", "--to", "44", "--seconds", "1", "--account", "nobody")
    assert (done.returncode, "has no account nobody" in done.stderr) == (REFUSED, True)


def test_an_import_writes_destinations_out_by_the_tables_list(daemon: DaemonProcess) -> None:
    (daemon.folder / "new.csv").write_text("destination,prefix,rate\nFrance Mobile,,0.06\nFrance,,0.01\n")
    done = daemon.command("rate", "import", "names", "new.csv", "--mode", "merge", "--json", "--yes")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["increased"] == ["336", "337"]
    (daemon.folder / "bad.csv").write_text("destination,prefix,rate\nFrench Mobile,,0.06\n")
    done = daemon.command("rate", "import", "names", "bad.csv", "--mode", "merge")
    assert done.returncode == REFUSED
    assert "bad.csv:2: destination: " in done.stderr
    assert "did you mean 'France Mobile'?" in done.stderr


def test_a_band_that_contradicts_a_deck_changes_nothing(daemon: DaemonProcess) -> None:
    text = (daemon.folder / "scenario.toml").read_text(encoding="utf-8")
    assert text.count('["sun 01:00-03:30"]') == 1
    # Nothing in the file is wrong by itself: the deck that would contradict the bands came by an import.
    (daemon.folder / "late.csv").write_text("prefix,rate,time_band\n31,0.01,peak\n31,0.02,early\n31,0.03,\n")
    done = daemon.command("rate", "import", "by-start", "late.csv", "--mode", "merge")
    assert done.returncode == 0, done.stderr
    (daemon.folder / "edited.toml").write_text(text.replace('["sun 01:00-03:30"]', '["mon 07:00-08:30"]'))
    done = daemon.command("apply", "edited.toml")
    assert done.returncode == REFUSED
    assert "the band" in done.stderr
    assert "overlap" in done.stderr


def test_the_example_of_prices_is_applied_and_prices_its_calls(tmp_path: Path) -> None:
    example = DaemonProcess(tmp_path / "rates", (SAMPLE / "rates.toml").read_text(encoding="utf-8"))
    shutil.copytree(SAMPLE / "decks", example.folder / "decks")
    example.configure("")
    example.apply()
    words = ("--to", "442071231234", "--seconds", "120", "--at", "2026-11-27T00:59:00Z")
    retail = example.json("rate", "price", "--plan", "retail", "--account", "acme", *words)
    assert isinstance(retail, dict)
    assert [(block["band"], block["amount"]) for block in retail["blocks"]] == [("peak", "0.02"), ("", "0.01")]
    resold = example.json("rate", "price", "--plan", "resold", *words)
    assert isinstance(resold, dict)
    assert resold["charge"] == "0.035"
