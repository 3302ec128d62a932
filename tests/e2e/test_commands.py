"""The commands as a person and a script call them: real processes, a store made by the sample, real exit statuses."""

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands_sample import sample_daemon
from tests.e2e.daemon_process import DaemonProcess, tollway
from tests.integration.postgres_cluster import Cluster, ran

DONE, REFUSED, USAGE, UNAVAILABLE, BAD_CONFIGURATION = 0, 1, 2, 69, 78
LONDON = "442071231234"
ACCOUNT_KEYS = {
    "id", "tenant", "kind", "status", "currency", "balance", "reserved", "available", "credit_limit", "rate_plan",
    "channels",
}  # fmt: skip
REQUEST = (
    "010000380f403f9473978057bd83d5cb98f4227a01066e656d6f02120dbe708d93d413ce3196e43f782a0aee0406c0a80110050600000003"
)


ENGINES = ("sqlite", "postgresql")


def database(request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty database where the engine is a server, else nothing: a file will do."""
    if request.param == "sqlite":
        return ""
    cluster: Cluster = request.getfixturevalue("cluster")
    return cluster.url(cluster.empty())


@pytest.fixture(scope="module", params=ENGINES)
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DaemonProcess:
    """The sample, applied once for all tests that only add to it."""
    daemon = sample_daemon(tmp_path_factory.mktemp("sample"), database(request))
    daemon.apply()
    return daemon


@pytest.fixture(params=ENGINES)
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> DaemonProcess:
    """The sample's files without a store."""
    return sample_daemon(tmp_path / "fresh", database(request))


def copy_of(daemon: DaemonProcess) -> bytes:
    """Return all that a store holds, as its own tool reads a backup of it."""
    copy = daemon.folder / "copy"
    copy.unlink(missing_ok=True)
    works(daemon.command("db", "backup", copy.name))
    if not daemon.url:
        return copy.read_bytes()
    return subprocess.run(["pg_restore", "--file=-", copy], check=True, capture_output=True).stdout


def has_store(daemon: DaemonProcess) -> bool:
    if not daemon.url:
        return daemon.store.exists()
    return bool(ran(daemon.url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")[0][0])


def fails(done: subprocess.CompletedProcess[str], status: int, *reasons: str) -> None:
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    for reason in reasons:
        assert reason in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def works(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == DONE, (done.returncode, done.stdout, done.stderr)
    return done.stdout


# -- no store, no daemon, bad files


@pytest.mark.parametrize(
    "words",
    [
        ("account", "list"),
        ("export", "run"),
        ("try", "--fast"),
        ("radius", "send", "status"),
    ],
    ids=" ".join,
)
def test_without_a_store_the_status_is_69_and_the_path_is_named(fresh: DaemonProcess, words: tuple[str, ...]) -> None:
    fails(fresh.command(*words), UNAVAILABLE, fresh.store_name, "tollway db upgrade")
    assert not has_store(fresh)


def test_a_relative_store_is_named_by_its_absolute_path(tmp_path: Path) -> None:
    (tmp_path / "tollway.toml").write_text('[store]\nurl = "sqlite:///some/where.db"\n')
    fails(tollway("account", "list", folder=tmp_path), UNAVAILABLE, str(tmp_path / "some" / "where.db"))


def test_a_dry_run_of_apply_makes_no_store(fresh: DaemonProcess) -> None:
    done = json.loads(works(fresh.command("apply", "scenario.toml", "--dry-run", "--json")))
    assert {"act": "create", "kind": "account", "id": "main/alice", "detail": ""} in done["objects"]
    assert done["dry_run"] is True
    assert not has_store(fresh)


def test_db_upgrade_makes_a_store_that_holds(fresh: DaemonProcess) -> None:
    upgraded = fresh.json("db", "upgrade")
    assert upgraded == {"store": fresh.store_name, "upgraded": True}
    assert fresh.url or fresh.store.stat().st_mode & 0o777 == 0o600
    assert fresh.json("db", "check") == {"holds": True, "findings": []}
    assert fresh.json("account", "list") == []
    fails(fresh.command("account", "show", "alice"), REFUSED, "no tenant yet")


def test_bad_settings_are_all_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "tollway.toml").write_text('[store]\nurl = 5\nbatch_max = "many"\n[unknown]\n')
    for words in (("check",), ("account", "list"), ("run",)):
        done = tollway(*words, folder=tmp_path)
        fails(done, BAD_CONFIGURATION)
        lines = done.stderr.splitlines()
        assert [line.split(": ")[0] for line in lines] == ["tollway.toml:2", "tollway.toml:3", "tollway.toml:4"]


def test_check_lists_the_faults_of_every_file(fresh: DaemonProcess) -> None:
    assert "no faults" in works(fresh.command("check", "scenario.toml"))
    scenario = (fresh.folder / "scenario.toml").read_text()
    (fresh.folder / "bad.toml").write_text(scenario.replace('balance = "25.00"', "balance = 25.00"))
    (fresh.folder / "tollway.toml").write_text("[charging]\nslice_seconds = 0\n")
    done = fresh.command("check", "bad.toml", "--json")
    fails(done, BAD_CONFIGURATION, "tollway.toml:2: charging.slice_seconds", "bad.toml:", "balance")
    assert json.loads(done.stdout)["problems"][0]["line"] == 2
    fails(fresh.command("check", "absent.toml"), USAGE)


def test_one_check_lists_every_fault_of_settings_and_scenario_by_line() -> None:
    folder = Path(__file__).parents[1] / "tables" / "bad_settings"
    expected = [
        line.split()[:2]
        for name in ("tollway", "scenario")
        for line in (folder / f"{name}.expected").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    ]
    done = tollway("check", "scenario.toml", folder=folder)
    fails(done, BAD_CONFIGURATION)
    assert [line.split(":")[:2] for line in done.stderr.splitlines()] == expected
    assert len(expected) >= 24


def test_a_settings_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    fails(tollway("account", "list", folder=tmp_path), BAD_CONFIGURATION, "tollway.toml")


def test_a_faulty_scenario_changes_nothing(fresh: DaemonProcess) -> None:
    (fresh.folder / "scenario.toml").write_text('[[tenant]]\nid = "a b"\ncurrency = "USD"\n')
    fails(fresh.command("apply", "scenario.toml"), BAD_CONFIGURATION, "scenario.toml:2: ")
    assert not has_store(fresh)


def test_usage_errors_have_status_2(sample: DaemonProcess) -> None:
    for words in (("nothing",), ("account", "show"), ("account", "topup", "alice", "1,00", "--key", "k")):
        done = sample.command(*words)
        assert done.returncode == USAGE, (done.stdout, done.stderr)
        assert "Usage: tollway" in done.stderr


def test_under_python_o_nothing_runs(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-O", "-m", "daemon.cli", "--help"],
        cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=60, check=False,
    )  # fmt: skip
    fails(done, REFUSED, "assertions disabled")


# -- the scenario and the accounts


def test_apply_is_idempotent(sample: DaemonProcess) -> None:
    assert works(sample.command("apply", "scenario.toml")) == "nothing differs\n"
    again = sample.json("apply", "scenario.toml")
    assert isinstance(again, dict)
    assert again["objects"] == []


def test_an_account_is_shown_as_promised(sample: DaemonProcess) -> None:
    account = sample.json("account", "show", "bob")
    assert isinstance(account, dict)
    assert account.keys() >= ACCOUNT_KEYS
    assert (account["kind"], account["credit_limit"], account["available"]) == ("postpaid", "100.00", "100.00")
    assert account["channels"] == {"inbound": 0, "outbound": 0, "total": 0}
    erin = sample.json("account", "show", "reseller1/erin")
    assert isinstance(erin, dict)
    assert (erin["tenant"], erin["rate_plan"]) == ("reseller1", "retail")
    listed = sample.json("account", "list", "--tenant", "main")
    assert isinstance(listed, list)
    assert [row["id"] for row in listed] == ["alice", "bob", "carol", "dave", "reseller1-trunk"]
    fails(sample.command("account", "show", "nobody"), REFUSED, "there is no account main/nobody")


def test_money_moves_once_for_each_key(sample: DaemonProcess) -> None:
    made = sample.json("account", "create", "moved", "--kind", "prepaid", "--balance", "1.00", "--rate-plan", "retail")
    assert isinstance(made, dict)
    assert (made["balance"], made["currency"]) == ("1.00", "USD")
    for repeated in (False, True):
        done = sample.json("account", "topup", "moved", "25.00", "--key", "K")
        assert isinstance(done, dict)
        assert (done["balance"], done["amount"], done["repeated"]) == ("26.00", "25.00", repeated)
    fails(sample.command("account", "topup", "moved", "25.01", "--key", "K"), REFUSED, "K")
    adjusted = sample.json("account", "adjust", "moved", "-0.50", "--reason", "goodwill taken back")
    assert isinstance(adjusted, dict)
    assert adjusted["balance"] == "25.50"
    history = sample.json("account", "history", "moved")
    assert isinstance(history, dict)
    assert [(row["kind"], row["amount"]) for row in history["entries"]] == [
        ("top_up", "1.00"), ("top_up", "25.00"), ("adjust", "-0.50"),
    ]  # fmt: skip
    assert history["entries"][-1]["reason"] == "goodwill taken back"
    assert history["entries"][-1]["who"]
    assert sum(Decimal(row["amount"]) for row in history["entries"]) == Decimal("25.50")


def test_buckets_transfers_and_assertions(sample: DaemonProcess) -> None:
    for name in ("giver", "taker"):
        works(sample.command("account", "create", name, "--kind", "prepaid", "--balance", "10.00"))
    until, promo = "2099-01-01T00:00:00.000000Z", ("--bucket", "promo", "--kind", "promotional", "--priority", "3")
    for repeated in (False, True):
        done = sample.json("account", "topup", "giver", "2.50", "--key", "P", *promo, "--expires", until)
        assert isinstance(done, dict)
        assert (done["repeated"], done["balance"], done["main"]) == (repeated, "12.50", "10.00")
    done = sample.json("account", "show", "giver")
    assert isinstance(done, dict)
    assert done["buckets"] == [
        {"id": "promo", "kind": "promotional", "priority": 3, "expires_at": until, "amount": "2.50", "expired": False}
    ]
    fails(sample.command("account", "topup", "giver", "1.00", "--key", "Q", "--bucket", "promo", "--priority", "4"),
          REFUSED, "promo is there with other terms")  # fmt: skip
    fails(sample.command("account", "topup", "giver", "1.00", "--key", "Q", "--bucket", "old",
                         "--expires", "2020-01-01T00:00:00Z"), REFUSED, "would have expired already")  # fmt: skip
    adjusted = sample.json("account", "adjust", "giver", "-0.50", "--bucket", "promo", "--reason", "too much")
    assert isinstance(adjusted, dict)
    assert adjusted["balance"] == "12.00"
    moved = sample.json("account", "transfer", "giver", "taker", "4.00", "--key", "T", "--reason", "rent")
    assert isinstance(moved, dict)
    assert (moved["from"]["balance"], moved["to"]["balance"], moved["repeated"]) == ("8.00", "14.00", False)
    fails(sample.command("account", "transfer", "giver", "taker", "6.01", "--key", "U"), REFUSED, "can give 6.00 USD")
    said = sample.json("account", "assert", "taker", "14.00", "--reason", "statement 7")
    assert isinstance(said, dict)
    assert (said["holds"], said["difference"]) == (True, "0.00")
    fails(sample.command("account", "assert", "taker", "15.00", "--reason", "statement 8"), REFUSED, "exception list")
    listed = sample.json("exception", "list")
    assert isinstance(listed, list)
    assert any(row["kind"] == "balance_assertion" and "main/taker" in row["detail"] for row in listed)
    history = sample.json("account", "history", "giver")
    assert isinstance(history, dict)
    assert [(row["kind"], row["amount"], row["bucket"]) for row in history["entries"][1:]] == [
        ("top_up", "2.50", "promo"), ("adjust", "-0.50", "promo"), ("transfer", "-4.00", ""),
    ]  # fmt: skip
    shown = sample.command("account", "show", "giver")
    assert "promotional" in shown.stdout
    for words in (
        ("topup", "giver", "1.00", "--key", "k", "--kind", "money"), ("topup", "giver", "--key", "k"),
        ("topup", "giver", "1.00", "--key", "k", "--units", "5", "--bundle", "b"),
        ("topup", "giver", "--key", "k", "--units", "5"), ("transfer", "giver", "taker", "-1", "--key", "k"),
    ):  # fmt: skip
        assert sample.command("account", *words).returncode == USAGE, words


def test_units_are_given_once_and_shown(sample: DaemonProcess) -> None:
    file = sample.folder / "extra.toml"
    file.write_text(sample.scenario + '\n[[bundle]]\nid = "extra"\naccount = "alice"\nperiod = "once"\n')
    works(sample.command("apply", str(file)))
    for repeated in (False, True):
        given = sample.json("account", "topup", "alice", "--units", "3600", "--bundle", "extra", "--key", "K")
        assert isinstance(given, dict)
        assert (given["units"], given["repeated"]) == (3600, repeated)
    shown = sample.json("account", "show", "alice")
    assert isinstance(shown, dict)
    assert [each for each in shown["bundles"] if each["id"] == "extra"] == [
        {"id": "extra", "unit": "second", "period": "once", "left": 3600, "used": 0, "held": 0, "carried": 3600,
         "expires_at": None},
    ]  # fmt: skip
    history = sample.json("account", "history", "alice")
    assert isinstance(history, dict)
    assert [(row["bundle"], row["units"], row["expires_at"]) for row in history["units"]] == [("extra", 3600, None)]
    works(sample.command("db", "check"))


def test_a_status_changes_with_a_reason_on_record(sample: DaemonProcess) -> None:
    account = sample.json("account", "create", "held", "--kind", "postpaid", "--credit-limit", "unlimited")
    assert isinstance(account, dict)
    assert account["available"] == "unlimited"
    for word, status in (("suspend", "suspended"), ("resume", "active")):
        account = sample.json("account", word, "held", "--reason", f"because {word}")
        assert isinstance(account, dict)
        assert account["status"] == status
    history = sample.json("account", "history", "held")
    assert isinstance(history, dict)
    assert [row["reason"] for row in history["changes"]][1:] == ["because suspend", "because resume"]


def test_a_correction_below_the_credit_limit_says_so(sample: DaemonProcess) -> None:
    sample.json("account", "create", "low", "--kind", "prepaid")
    done = sample.command("account", "adjust", "low", "-1", "--reason", "a chargeback")
    assert (done.returncode, "lies below the credit limit 0.00" in done.stderr) == (0, True)
    done = sample.command("account", "adjust", "low", "2", "--reason", "paid")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_account_that_could_not_work_is_refused(sample: DaemonProcess) -> None:
    prepaid = ("--kind", "prepaid")
    fails(sample.command("account", "create", "alice", *prepaid), REFUSED, "main/alice")
    fails(sample.command("account", "create", "nowhere/x", *prepaid), REFUSED, "no tenant nowhere")
    fails(sample.command("account", "create", "x", *prepaid, "--rate-plan", "gold"), REFUSED, "gold")
    fails(sample.command("account", "create", "x", *prepaid, "--currency", "EUR"), REFUSED, "USD")
    fails(sample.command("account", "create", "x", *prepaid, "--sip-user", "alice"), REFUSED, "alice")


def test_a_token_is_printed_once_and_no_secret_ever(sample: DaemonProcess) -> None:
    made = sample.json("token", "create", "main", "--role", "billing", "--name", "books")
    assert isinstance(made, dict)
    assert made["token"].startswith("tw_")
    fails(sample.command("token", "create", "main", "--role", "read", "--name", "books"), REFUSED, "books")
    fails(sample.command("token", "create", "nobody", "--role", "read"), REFUSED, "nobody")
    listed = sample.command("token", "list", "--json")
    assert made["token"] not in works(listed)
    assert made["token"].encode() not in copy_of(sample)
    works(sample.command("token", "revoke", "main/books"))
    rows = {row["id"]: row for row in json.loads(works(sample.command("token", "list", "--json")))}
    assert rows["books"]["revoked"] is True
    fails(sample.command("token", "revoke", "nothing"), REFUSED, "nothing")
    sample.json("token", "create", "main", "--role", "read", "--name", "guest", "--expires", "2100-01-01T00:00:00Z")
    believed = sample.json("token", "create", "main", "--role", "switch", "--name", "proxy", "--trust-user-name")
    assert isinstance(believed, dict)
    assert believed["trust_user_name"] is True
    assert trusting(sample) == ["proxy"]
    no_switch = ("token", "create", "main", "--role", "read", "--trust-user-name")
    fails(sample.command(*no_switch), USAGE, "--role switch")
    past = ("token", "create", "main", "--role", "read", "--name", "late", "--expires", "2020-01-01T00:00:00Z")
    fails(sample.command(*past), REFUSED, "time to come")
    (guest,) = (line for line in works(sample.command("token", "list")).splitlines() if "guest" in line)
    assert "in force" in guest
    assert "2100-01-01T00:00:00" in guest
    works(
        sample.command("account", "create", "quiet", "--kind", "prepaid", "--sip-user", "q", "--password", "sEcr3t-x")
    )
    shown = [
        sample.command(*words, *json_too)
        for words in (("account", "show", "quiet"), ("account", "history", "quiet"), ("account", "list"))
        for json_too in ((), ("--json",))
    ]
    assert not any("sEcr3t-x" in done.stdout + done.stderr for done in shown)


# -- rates


def test_a_price_is_explained_as_promised(sample: DaemonProcess) -> None:
    words = ("rate", "price", "--plan", "retail", "--to", LONDON, "--at", "2030-06-01T00:00:00Z")
    assert sample.json(*words, "--seconds", "75.2") == {
        "status": "rated", "reason": "", "prefix": "4420", "destination": "United Kingdom, London", "charge": "0.0127",
        "currency": "USD", "billed_seconds": 76, "connect_fee": "0.00",
        "blocks": [{"from_second": 0, "seconds": 76, "rate": "0.01", "band": "", "amount": "0.012666666"}],
        "rounding": "0.000033334",
    }  # fmt: skip
    paper = works(sample.command(*words, "--seconds", "75.2"))
    assert "76 s * 0.01 / 60 = 0.012666666" in paper
    assert "0.0127 USD" in paper
    assert sample.json(*words[:3], "reseller1/retail", *words[4:], "--seconds", "0") is not None


@pytest.mark.parametrize(
    ("called", "status", "reason"),
    [
        ("19005551234", "blocked", "destination_blocked"),
        ("5", "unrated", "destination_unrated"),
        ("44x", "invalid", "destination_malformed"),
    ],
)
def test_what_has_no_price_says_why(sample: DaemonProcess, called: str, status: str, reason: str) -> None:
    done = sample.command("rate", "price", "--plan", "retail", "--to", called, "--seconds", "0", "--json")
    fails(done, REFUSED, reason)
    assert (json.loads(done.stdout)["status"], json.loads(done.stdout)["reason"]) == (status, reason)


def test_a_plan_that_is_not_there_is_refused(sample: DaemonProcess) -> None:
    words = ("rate", "price", "--plan", "gold", "--to", LONDON, "--seconds", "1")
    fails(sample.command(*words), REFUSED, "main/gold")


def import_deck(daemon: DaemonProcess, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    (daemon.folder / "new.csv").write_text(text)
    return daemon.command("rate", "import", "reseller1/retail-voice", "new.csv", *words)


def test_a_deck_is_imported_whole_or_not_at_all(fresh: DaemonProcess) -> None:
    fresh.apply()
    deck = (fresh.folder / "decks" / "reseller1.csv").read_text()
    dearer = deck.replace("33,France,", '33,"France",').replace('33,"France",0.0175', '33,"France",0.0200')
    assert dearer != deck
    tried = json.loads(works(import_deck(fresh, dearer, "--mode", "merge", "--dry-run", "--json")))
    assert (tried["increased"], tried["applied"]) == (["33"], False)
    assert _price_to_paris(fresh) == "0.0175"
    done = json.loads(works(import_deck(fresh, dearer, "--mode", "merge", "--json")))
    assert (done["increased"], done["closed"], done["applied"]) == (["33"], [], True)
    assert _price_to_paris(fresh) == "0.02"
    bad = "prefix,rate\n33,cheap\n,0.01\n34,0.01\n"
    fails(import_deck(fresh, bad, "--mode", "merge"), REFUSED, "new.csv:2: rate", "new.csv:3: prefix", "not taken")
    assert _price_to_paris(fresh) == "0.02"
    few = "prefix,destination,rate\n33,France,0.0200\n1,USA,0.0075\n"
    stopped = import_deck(fresh, few, "--mode", "replace", "--json")
    fails(stopped, REFUSED, "--yes")
    assert json.loads(stopped.stdout)["applied"] is False
    assert {"prefix": "1212", "to": "1"} in json.loads(stopped.stdout)["falls"]
    assert json.loads(works(import_deck(fresh, few, "--mode", "replace", "--yes", "--json")))["applied"] is True
    past = few.replace("0.0200", "0.0300")
    fails(
        import_deck(fresh, past, "--mode", "merge", "--effective-from", "2020-01-01T00:00:00Z"), REFUSED, "--backdate"
    )
    fails(fresh.command("rate", "import", "nothing", "new.csv", "--mode", "merge"), REFUSED, "main/nothing")


def _price_to_paris(daemon: DaemonProcess) -> str:
    words = ("rate", "price", "--plan", "reseller1/retail", "--to", "33142685300", "--seconds", "60")
    value = daemon.json(*words)
    assert isinstance(value, dict)
    return str(value["blocks"][0]["rate"])


def trusting(daemon: DaemonProcess) -> list[str]:
    listed: Any = daemon.json("token", "list")
    return [token["id"] for token in listed if token["trust_user_name"]]


# -- calls, packets, exports, the store


def explained(daemon: DaemonProcess, *words: str) -> dict[str, Any]:
    value = daemon.json("call", "explain", *words)
    assert isinstance(value, dict)
    return value


def test_a_decision_is_explained_without_effect(sample: DaemonProcess) -> None:
    before = sample.json("account", "list")
    granted = explained(sample, "--sip-user", "carol", "--to", LONDON)
    assert (granted["result"], granted["quota_seconds"], granted["reserved"]) == ("granted", 6, "0.001")
    assert granted["routes"][0]["carrier"] == "carrier-a"
    taken = [rule["rule"] for rule in granted["rules"] if rule["outcome"] != "not_applicable"]
    assert taken[:4] == ["account", "status", "destination", "rate"]
    assert not [rule for rule in granted["rules"] if rule["outcome"] == "refused"]
    denied = explained(sample, "--account", "dave", "--to", LONDON)
    assert (denied["result"], denied["reason"]) == ("denied", "account_suspended")
    assert denied["rules"][-1]["passed"] is False
    by_caller = explained(sample, "--caller", "15551230001", "--via", "gw1", "--to", "19005551234")
    assert (by_caller["account"], by_caller["reason"]) == ("main/bob", "destination_blocked")
    wrong = explained(sample, "--sip-user", "alice", "--password", "guess", "--to", LONDON)
    assert wrong["reason"] == "credential_wrong"
    inbound = explained(sample, "--direction", "inbound", "--to", "442079460000")
    assert (inbound["account"], inbound["result"]) == ("main/alice", "granted")
    sibling = explained(sample, "--tenant", "reseller1", "--account", "main/alice", "--to", LONDON)
    assert sibling["reason"] == "account_unknown"
    emergency = explained(sample, "--account", "dave", "--to", "112")
    assert (emergency["result"], emergency["quota_seconds"]) == ("granted", 86_400)
    assert "granted: 6 seconds" in works(sample.command("call", "explain", "--account", "carol", "--to", LONDON))
    mine = explained(sample, "--as", "reseller1", "--account", "reseller1/erin", "--to", LONDON)
    assert mine["account"] == "reseller1/erin"
    assert not [route for route in mine["routes"] if route["carrier"]]
    assert not [rule for rule in mine["rules"] if "carrier-a" in rule["detail"]]
    words = ("call", "explain", "--to", LONDON, "--as")
    fails(
        sample.command(*words, "reseller1", "--account", "carol"), REFUSED, "sees nothing of this call: main/carol pays"
    )
    fails(sample.command(*words, "nobody", "--account", "carol"), REFUSED, "there is no tenant nobody")
    assert sample.json("account", "list") == before
    assert sample.json("call", "list") == []


def test_what_carriers_did_is_listed(fresh: DaemonProcess) -> None:
    fresh.apply()
    assert fresh.json("carrier", "quality") == []
    graded = (
        "INSERT INTO carrier_quality (carrier, prefix, attempts, answered, seconds, asr_grade, acd_grade)"
        " SELECT number, '442', 200, 125, 12500, 6, 3 FROM account WHERE role = 'carrier'"
    )
    if fresh.url:
        ran(fresh.url, graded)
    else:
        with sqlite3.connect(fresh.store) as connection:
            connection.execute(graded)
        connection.close()
    assert fresh.json("carrier", "quality") == [
        {
            "tenant": "main", "carrier": "carrier-a", "prefix": "442", "attempts": 200, "asr_percent": "62.5",
            "acd_seconds": 100, "asr_grade": 6, "acd_grade": 3,
        }
    ]  # fmt: skip
    assert "62.5" in works(fresh.command("carrier", "quality"))
    told = works(fresh.command("call", "explain", "--account", "carol", "--to", LONDON))
    assert "1. carrier-a: " in told
    assert "ASR 62.5 % of 200 (grade 6), ACD 100 s (grade 3), weight 1" in told


def test_a_call_that_is_not_there_cannot_be_ended(sample: DaemonProcess) -> None:
    fails(sample.command("call", "end", "nothing"), REFUSED, "nothing")
    fails(sample.command("call", "show", "nothing"), REFUSED, "nothing")


def test_a_packet_is_decoded(tmp_path: Path) -> None:
    done = tollway("radius", "decode", REQUEST, "--secret", "xyzzy5461", "--json", folder=tmp_path)
    packet = json.loads(works(done))
    assert (packet["well_formed"], packet["code"], packet["id"], packet["length"]) == (True, 1, 0, 56)
    assert packet["attributes"][:2] == [["User-Name", "nemo"], ["User-Password", "arctangent"]]
    assert "NAS-Port = 3" in works(tollway("radius", "decode", REQUEST, folder=tmp_path))
    broken = tollway("radius", "decode", "0100", "--json", folder=tmp_path)
    fails(broken, REFUSED, "not well formed")
    assert json.loads(broken.stdout)["well_formed"] is False


def test_nobody_answers_a_packet(sample: DaemonProcess) -> None:
    words = ("radius", "send", "status", "--timeout", "0.1", "--retries", "0")
    fails(sample.command(*words), UNAVAILABLE, f"127.0.0.1:{sample.auth_port}")


def test_exports_are_run_listed_and_verified(fresh: DaemonProcess) -> None:
    fresh.apply()
    done = fresh.json("export", "run")
    assert isinstance(done, list)
    assert [(row["tenant"], row["sequence"], row["result"]) for row in done] == [
        ("main", 1, "exported"), ("reseller1", 1, "exported"),
    ]  # fmt: skip
    listed = fresh.json("export", "list", "--tenant", "reseller1")
    assert isinstance(listed, list)
    assert [(row["sequence"], row["state"]) for row in listed] == [(1, "finished")]
    assert fresh.json("export", "verify") == []
    usage = Path(done[0]["directory"]) / "usage.csv"
    octets = usage.read_bytes()
    usage.write_bytes(octets.swapcase())
    found = fresh.command("export", "verify", "--json")
    fails(found, REFUSED, "main/main-00000001/usage.csv: file_altered")
    assert json.loads(found.stdout)[0]["fault"] == "file_altered"
    works(fresh.command("export", "run", "--again", "main-00000001"))
    assert usage.read_bytes() == octets
    fails(fresh.command("export", "run", "--again", "main-00000009"), REFUSED, "9")
    fails(fresh.command("export", "verify", "--tenant", "nobody"), REFUSED, "nobody")


def test_a_ledger_that_does_not_add_up_is_found(fresh: DaemonProcess) -> None:
    fresh.apply()
    assert works(fresh.command("db", "check")) == "every invariant of the ledger holds\n"
    altered = "UPDATE account SET balance = balance + 1 WHERE id = 'alice'"
    if fresh.url:
        ran(fresh.url, altered)
    else:
        with sqlite3.connect(fresh.store) as connection:
            connection.execute(altered)
        connection.close()
    done = fresh.command("db", "check", "--json")
    fails(done, REFUSED, "alice")
    assert json.loads(done.stdout)["holds"] is False


def test_a_misspelt_name_is_refused_and_no_empty_table(fresh: DaemonProcess) -> None:
    fresh.apply()
    fails(fresh.command("call", "list", "--account", "nobody"), REFUSED, "there is no account main/nobody")
    fails(fresh.command("call", "list", "--watch", "--account", "nobody"), REFUSED, "there is no account main/nobody")
    fails(fresh.command("account", "list", "--tenant", "nope"), REFUSED, "there is no tenant nope")
    fails(fresh.command("call", "list", "--interval", "5"), USAGE, "--interval belongs to --watch")


def test_nightly_copies_are_named_by_their_time_and_only_they_are_pruned(fresh: DaemonProcess) -> None:
    fresh.apply()
    folder = fresh.folder / "nights"
    fails(fresh.command("db", "backup", "--into", "nights"), REFUSED, "nights is no folder", "make it")
    folder.mkdir()
    first: Any = fresh.json("db", "backup", "--into", "nights", "--keep", "2")
    made = fresh.folder / first["file"]
    stem, ending = made.name.rpartition("-")[0], made.suffix
    assert re.fullmatch(r"\d{8}T\d{6}Z", made.stem.removeprefix(f"{stem}-"))
    assert made.stat().st_mode & 0o777 == 0o600
    own = [folder / f"{stem}-2020010{day}T000000Z{ending}" for day in (1, 2, 3)]
    others = [
        folder / name for name in (f"{stem}-before{ending}", f"x{own[0].name}", f"{own[0].name}.kept", "night.db")
    ]
    for path in (*own, *others):
        path.write_text("")
    time.sleep(1.1)  # the name has whole seconds
    second: Any = fresh.json("db", "backup", "--into", "nights", "--keep", "2")
    assert second["pruned"] == 3
    assert {path.name for path in folder.iterdir()} == {
        path.name for path in (made, Path(second["file"]), *others)
    }  # fmt: skip
    for words in ((), ("copy", "--into", "nights"), ("copy", "--keep", "2")):
        fails(fresh.command("db", "backup", *words), USAGE)


def test_a_backup_is_a_whole_store_of_its_own(fresh: DaemonProcess) -> None:
    fails(fresh.command("db", "backup", "copy"), UNAVAILABLE)
    assert not (fresh.folder / "copy").exists()
    fresh.apply()
    assert works(fresh.command("db", "backup", "copy")) == "copy is a copy of the store\n"
    copy = fresh.folder / "copy"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert not list(fresh.folder.glob("copy.part*"))
    fails(fresh.command("db", "backup", "copy"), REFUSED, "copy is there already")
    fails(fresh.command("db", "backup", "no/where"), REFUSED, "no/where")
    before = fresh.json("account", "list")
    works(fresh.command("account", "topup", "alice", "5.00", "--key", "after"))
    assert fresh.json("account", "list") != before
    if fresh.url:
        ran(fresh.url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
        restored = ["pg_restore", "--no-owner", f"--dbname={fresh.url}", str(copy)]
        subprocess.run(restored, check=True, capture_output=True)
    else:
        for part in fresh.folder.glob("tollway.db*"):
            part.unlink()
        copy.rename(fresh.store)
    assert fresh.json("account", "list") == before
    assert fresh.json("db", "check") == {"holds": True, "findings": []}
