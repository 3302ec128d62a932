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


def test_a_deck_in_another_currency_is_charged_in_the_accounts(tmp_path: Path) -> None:
    example = DaemonProcess(tmp_path / "rates", (SAMPLE / "rates.toml").read_text(encoding="utf-8"))
    shutil.copytree(SAMPLE / "decks", example.folder / "decks")
    example.configure("")
    example.apply()
    asked = ("rate", "price", "--plan", "euro", "--account", "transatlantic", "--to", "33123", "--seconds", "7", "--at")
    found = example.json(*asked, "2026-06-01T12:00:00Z")
    assert isinstance(found, dict)
    # (0.01 + 7 * 0.05 / 60) EUR * 1.0853 are 0.01718… USD
    assert (found["charge"], found["currency"], found["connect_fee"]) == ("0.0172", "USD", "0.010853")
    assert found["conversion"] == {
        "tenant": "main", "from": "EUR", "to": "USD", "rate": "1.0853", "effective_from": "2026-01-01T00:00:00.000000Z",
    }  # fmt: skip
    steps = example.command(*asked, "2026-06-01T12:00:00Z").stdout
    assert "EUR to USD at 1.0853 of 2026-01-01T00:00:00.000000Z, stated by main; rounded only after it" in steps
    assert "0.01 * 1.0853 = 0.010853" in steps
    assert "7 s * 0.05 / 60 * 1.0853 = 0.006330916" in steps
    before = example.command(*asked, "2025-06-01T12:00:00Z")
    assert before.returncode == REFUSED
    assert "no conversion from EUR to USD is in force, that of main begins later; add a [[conversion]]" in before.stderr
    assert example.json("rate", "conversions") == [
        {
            "tenant": "main", "from": "EUR", "to": "USD", "rate": "1.0853",
            "effective_from": "2026-01-01T00:00:00.000000Z", "effective_to": None, "in_force": True,
        },
    ]  # fmt: skip
    assert example.json("rate", "conversions", "--tenant", "other") == []
    table = example.command("rate", "conversions", "--at", "2025-06-01T12:00:00Z").stdout
    assert "1.0853" in table
    assert "yes" not in table
    text = (SAMPLE / "rates.toml").read_text(encoding="utf-8")
    (example.folder / "edited.toml").write_text(text.replace('rate = "1.0853"', 'rate = "1.09"'))
    altered = example.command("apply", "edited.toml")
    assert altered.returncode == REFUSED
    assert "its rate has been in force, and cannot be changed" in altered.stderr
    (example.folder / "ended.toml").write_text(
        text.replace('effective_from = "2026-01-01T00:00:00Z"', 'effective_from = "2999-01-01T00:00:00Z"')
    )
    early = example.command("check", "ended.toml")
    assert early.returncode == 78
    assert "no rate from EUR to USD is in force now" in early.stderr
