"""Every command and every endpoint that changes money, limits, rates or status leaves who, when and why on record."""

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from daemon.app_actor import who
from daemon.cli.reference import commands
from daemon.cli.root import tollway
from daemon.kernel.instant import parse_rfc3339
from tests.e2e.commands_sample import sample_daemon
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.test_commands import ENGINES, database

pytestmark = pytest.mark.timeout(300)
BUNDLE = '\n[[bundle]]\nid = "minutes"\naccount = "alice"\nunits = 0\nperiod = "once"\nprefixes = ["44"]\n'
DECK = "prefix,destination,rate\n44,UK,0.70\n"
ME = who()
Left = tuple[str, str, str, str, str]
# The words of a command, and what it leaves: kind, object, act, a part of the detail, why. Where a command is told no
# reason, its own name is the reason.
CHANGES: list[tuple[str, Left]] = [
    ("call end told", ("call", "", "end", "told", "call end")),
    ("account create new --kind prepaid --rate-plan retail", ("account", "main/new", "create", "", "account create")),
    ("account topup new 5.00 --key k1 --reason paid", ("account", "main/new", "top_up", "5.00", "paid")),
    ("account topup new 1.00 --key k2 --bucket gift", ("account", "main/new", "top_up", "gift", "account topup")),
    ("account topup alice --units 60 --bundle minutes --key k3",
     ("account", "main/alice", "units", "60 of minutes", "account topup")),
    ("account adjust new -- -0.50", ("account", "main/new", "adjust", "-0.50", "typo")),
    ("account transfer alice new 2.00 --key k4 --reason moved",
     ("account", "main/new", "transfer", "2.00", "main/alice to main/new: moved")),
    ("account assert new 7.50 --reason paper", ("account", "main/new", "balance_assertion", "", "paper")),
    ("account suspend new --reason unpaid", ("account", "main/new", "change", "status", "unpaid")),
    ("account resume new", ("account", "main/new", "change", "status", "account resume")),
    ("voucher create --tenant main --batch spring --count 3 --amount 1.00 --out codes.csv",
     ("voucher_batch", "main/spring", "create", "3", "voucher create")),
    ("voucher redeem new --file code.txt", ("account", "main/new", "voucher", "1.00", "voucher spring, serial 1")),
    ("voucher block spring --reason lost", ("voucher_batch", "main/spring", "block", "", "lost")),
    ("token create main --role billing --name desk --reason shop", ("token", "main/desk", "create", "", "shop")),
    ("token revoke old", ("token", "main/old", "change", "revoked", "token revoke")),
    ("rate import retail-voice new.csv --mode merge --reason cheaper",
     ("rate_table", "main/retail-voice", "import", "version 2", "cheaper")),
    ("rate rollback retail-voice --to 1 --reason dear --yes",
     ("rate_table", "main/retail-voice", "rollback", "version 3", "dear")),
    ("apply changed.toml --reason season",
     ("account", "main/bob", "change", "credit_limit: 100.00 -> 90.00", "season")),
    ("export run", ("export_batch", "main/main-00000001", "export", "records", "export run")),
]  # fmt: skip
# Commands that change neither money nor limits, rates or status, or whose effect is none of a person's choice.
OTHERS = {
    "run", "check", "doctor", "try", "account list", "account show", "account history", "account events", "token list",
    "rate price", "rate batch", "rate history", "rate conversions", "radius send", "radius decode", "call list",
    "call recovery", "call show", "call explain", "export list", "export verify", "voucher list", "voucher show",
    "voucher export", "voucher failures", "carrier quality", "exception list", "audit list", "db upgrade", "db backup",
    "db restore", "db check",
    "db archive",  # on record too: test_archive.py
}  # fmt: skip


def test_no_command_is_forgotten() -> None:
    import click

    named = {" ".join(words.split()[:2]) if not words.startswith("apply") else "apply" for words, _ in CHANGES}
    there = {
        words.removeprefix("tollway ") for words, command in commands(tollway, click.Context(tollway), "tollway")
        if not isinstance(command, click.Group)
    }  # fmt: skip
    assert there == named | OTHERS
    assert not named & OTHERS


@pytest.fixture(params=ENGINES)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> DaemonProcess:
    daemon = sample_daemon(tmp_path / "shop", database(request))
    scenario = daemon.folder / "scenario.toml"
    scenario.write_text(scenario.read_text() + BUNDLE)
    changed = scenario.read_text().replace('credit_limit = "100.00"', 'credit_limit = "90.00"', 1)
    (daemon.folder / "changed.toml").write_text(changed)
    (daemon.folder / "new.csv").write_text(DECK)
    daemon.apply()
    return daemon


def over_http(daemon: DaemonProcess, token: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{daemon.http_port}{path}", method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Idempotency-Key": "h1"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def tokens(daemon: DaemonProcess) -> dict[str, str]:
    made = {}
    for name, role in (("sw", "switch"), ("till", "billing"), ("old", "read")):
        told: Any = daemon.json("token", "create", "main", "--role", role, "--name", name)
        made[name] = told["token"]
    return made


def changes(daemon: DaemonProcess, *words: str) -> list[dict[str, str]]:
    found: Any = daemon.json("audit", "list", *words)
    return list(found)


def asked(daemon: DaemonProcess, token: str, call_id: str) -> str:
    body = {
        "call_id": call_id, "account": "alice", "from": "15551230001", "to": "442071231234", "direction": "outbound",
    }  # fmt: skip
    granted = over_http(daemon, token, "POST", "/v1/authorize", body)
    assert granted["result"] == "granted"
    return str(granted["grant_id"])


def test_each_change_says_who_when_and_why(shop: DaemonProcess) -> None:
    made = tokens(shop)
    shop.start()
    try:
        grants = {call_id: asked(shop, made["sw"], call_id) for call_id in ("told", "cut")}
        over_http(shop, made["sw"], "DELETE", "/v1/calls/cut")
        spans = [_done(shop, words) for words, _ in CHANGES]
        topped = over_http(shop, made["till"], "POST", "/v1/accounts/alice/topups", {"amount": "3.00"})
        assert topped["amount"] == "3.00"
    finally:
        shop.stop()
    whole = changes(shop)
    for (words, left), span in zip(CHANGES, spans, strict=True):
        _left(words, left, span, whole)
    _left(
        "topups", ("account", "main/alice", "top_up", "3.00", "POST topups"), (0, time.time_ns()), whole, "token till"
    )
    _left("DELETE", ("call", f"main/{grants['cut']}", "end", "cut", "DELETE /v1/calls"), (0, time.time_ns()), whole,
          "token sw")  # fmt: skip
    assert [row["at"] for row in whole] == sorted(row["at"] for row in whole)
    assert not [row for row in whole if not row["reason"] or not row["who"]]
    assert changes(shop, "--limit", "2") == whole[-2:]
    asked_for = changes(shop, "--kind", "account", "--object", "alice", "--who", "token till")
    assert [row["act"] for row in asked_for] == ["top_up"]
    assert not changes(shop, "--since", "2100-01-01T00:00:00Z")
    assert not changes(shop, "--object", "alice", "--since", "2100-01-01T00:00:00Z")
    assert shop.command("audit", "list", "--object", "nobody").returncode == 1
    assert shop.command("audit", "list", "--kind", "acount").returncode == 2


def _done(shop: DaemonProcess, words: str) -> tuple[int, int]:
    """Run a command, and return when it began and ended."""
    if words.startswith("account adjust"):
        words = words.replace(" --", " --reason typo --", 1)
    if words.startswith("voucher redeem"):
        (shop.folder / "code.txt").write_text((shop.folder / "codes.csv").read_text().split(",")[2].split()[0])
    begins = time.time_ns() // 1000
    done = shop.command(*words.split())
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return begins, time.time_ns() // 1000


def _left(words: str, left: Left, span: tuple[int, int], whole: list[dict[str, str]], who: str = ME) -> None:
    """Find what a command left: once, by whom, when, why."""
    kind, key, act, detail, why = left
    found = [
        row for row in whole
        if (row["kind"], row["act"], row["reason"]) == (kind, act, why) and detail in row["detail"]
        and key in ("", f"{row['tenant']}/{row['id']}") and span[0] <= parse_rfc3339(row["at"]) <= span[1]
    ]  # fmt: skip
    assert [row["who"] for row in found] == [who], (words, whole)
