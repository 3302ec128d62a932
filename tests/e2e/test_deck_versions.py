"""Versions of a deck by the real command: what history says, and that going back means the prices of then."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.commands_sample import sample_daemon
from tests.e2e.daemon_process import DaemonProcess

DONE, REFUSED, USAGE, UNAVAILABLE = 0, 1, 2, 69
TABLE = "reseller1/retail-voice"
NEW = "prefix,destination,rate,step_from_seconds,action\n33,France,0.0200,,\n33,France,0.0100,60,\n9999,Nowhere,0.5,,\n"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> DaemonProcess:
    """The sample with two versions of one deck, and a third that goes back to the first."""
    made = sample_daemon(tmp_path_factory.mktemp("versions"))
    made.apply()
    return made


def rated(daemon: DaemonProcess, number: str = "33142685300") -> list[str]:
    """Return the rates of a call of two minutes, none where it has no price."""
    words = ("rate", "price", "--plan", "reseller1/retail", "--to", number, "--seconds", "120", "--json")
    done = daemon.command(*words)
    return [block["rate"] for block in json.loads(done.stdout)["blocks"]]


def imported(daemon: DaemonProcess, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    (daemon.folder / "new.csv").write_text(text)
    return daemon.command("rate", "import", TABLE, "new.csv", *words)


def history(daemon: DaemonProcess) -> list[dict[str, object]]:
    found = daemon.json("rate", "history", TABLE)
    assert isinstance(found, list)
    return found


def test_a_deck_goes_forward_and_back(daemon: DaemonProcess) -> None:
    assert rated(daemon) == ["0.0175"]
    told = json.loads(imported(daemon, NEW, "--mode", "merge", "--json").stdout)
    assert (told["increased"], told["changed"], told["new"]) == ([], ["33"], ["9999"])
    assert told["prices"] == {"33": {"before": "0.0175", "after": "0.02", "what": ""}}
    assert (rated(daemon), rated(daemon, "99991")) == (["0.02", "0.01"], ["0.50"])

    words = ("rate", "rollback", TABLE, "--to", "1", "--reason", "typing error")
    tried = daemon.command(*words, "--dry-run", "--json")
    assert tried.returncode == DONE, tried.stderr
    assert (json.loads(tried.stdout)["applied"], len(history(daemon))) == (False, 2)
    done = daemon.command(*words)
    assert done.returncode == DONE, done.stderr
    assert "1 changed, 1 closed" in done.stdout
    assert "changed: 33 0.02 -> 0.0175" in done.stdout
    assert "closed: 9999 0.50 -> none" in done.stdout
    assert (rated(daemon), rated(daemon, "99991")) == (["0.0175"], [])

    first, merged, back = history(daemon)
    assert (first["version"], first["mode"], first["source"], first["in_force_from"]) == (
        1,
        "replace",
        "scenario",
        None,
    )
    assert (merged["mode"], merged["source"], merged["rows_added"], merged["new"]) == ("merge", "new.csv", 3, 1)
    assert (back["mode"], back["source"], back["reason"]) == ("rollback", "version 1", "typing error")
    assert (back["rows_ended"], back["closed"], back["changed"]) == (3, 1, 1)
    assert re.fullmatch(r"20[0-9-]{8}T[0-9:.]+Z", str(back["in_force_from"]))
    assert back["who"] == first["who"] != ""
    paper = daemon.command("rate", "history", TABLE)
    assert paper.returncode == DONE
    assert re.search(r"1 +20.*replace.*scenario.*always", paper.stdout)
    assert re.search(r"3 +20.*rollback.*version 1.*1 changed, 1 closed.*typing error", paper.stdout)
    assert daemon.json("db", "check") == {"holds": True, "findings": []}


def test_what_cannot_be_gone_back_to_is_refused(daemon: DaemonProcess) -> None:
    words = ("rate", "rollback", TABLE, "--reason", "r", "--to")
    for found, status, reason in (
        (daemon.command(*words, "77"), REFUSED, "has no version 77"),
        (daemon.command(*words, "0"), USAGE, "--to"),
        (daemon.command("rate", "rollback", TABLE, "--to", "1"), USAGE, "--reason"),
        (daemon.command("rate", "rollback", TABLE, "--to", "1", "--reason", " "), USAGE, "say why"),
        (daemon.command("rate", "rollback", "nothing", "--to", "1", "--reason", "r"), REFUSED, "main/nothing"),
        (daemon.command("rate", "history", "nothing"), REFUSED, "main/nothing"),
    ):
        assert found.returncode == status, (found.stdout, found.stderr)
        assert reason in found.stderr
        assert "Traceback" not in found.stderr


def test_going_back_stops_above_the_tables_limit(daemon: DaemonProcess) -> None:
    assert imported(daemon, "prefix,rate\n1,0.0001\n", "--mode", "replace", "--yes").returncode == DONE
    newest = len(history(daemon))
    words = ("rate", "rollback", TABLE, "--to", "1", "--reason", "all is gone", "--json")
    stopped = daemon.command(*words)
    assert stopped.returncode == REFUSED
    assert "--yes" in stopped.stderr
    assert (json.loads(stopped.stdout)["applied"], len(history(daemon))) == (False, newest)
    assert rated(daemon) == []
    assert daemon.command(*words, "--yes").returncode == DONE
    assert rated(daemon) == ["0.0175"]


def test_each_fault_of_a_refusal_is_a_line(daemon: DaemonProcess) -> None:
    refused = imported(daemon, "prefix,rate,action\n8881,,delete\n8882,,delete\n", "--mode", "merge")
    assert refused.returncode == REFUSED
    faults = [line for line in refused.stderr.splitlines() if not line.startswith("note: ")]
    assert [fault.partition(" has nothing")[0] for fault in faults] == [
        "new.csv:2: prefix 8881", "new.csv:3: prefix 8882",
    ]  # fmt: skip


def test_a_row_that_closes_ends_its_prefix(daemon: DaemonProcess) -> None:
    closing = "prefix,rate,action\n1212,,delete\n"
    told = json.loads(imported(daemon, closing, "--mode", "merge", "--json").stdout)
    assert (told["closed"], told["falls"], told["falls_beyond"]) == (["1212"], [{"prefix": "1212", "to": "1"}], 0)
    again = imported(daemon, closing, "--mode", "merge")
    assert again.returncode == REFUSED
    assert "new.csv:2: prefix 1212 has nothing in force" in again.stderr


def test_without_a_store_there_is_no_history(tmp_path: Path) -> None:
    fresh = sample_daemon(tmp_path / "fresh")
    for words in (("history", TABLE), ("rollback", TABLE, "--to", "1", "--reason", "r")):
        done = fresh.command("rate", *words)
        assert (done.returncode, str(fresh.store) in done.stderr) == (UNAVAILABLE, True)
