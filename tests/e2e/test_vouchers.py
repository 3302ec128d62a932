"""Vouchers from outside: real processes that redeem one code at once, and one that is killed while it makes a batch."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.scenario import SCENARIO
from tests.e2e.test_commands import ENGINES, database

OTHER = '\n[[account]]\nid = "poor"\ntenant = "main"\nkind = "prepaid"\ncurrency = "USD"\n'
pytestmark = pytest.mark.timeout(240)
RACES = 2  # codes that two processes redeem at once


@pytest.fixture(params=ENGINES)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> DaemonProcess:
    """A store with two accounts; no daemon runs."""
    made = DaemonProcess(tmp_path / "shop", SCENARIO + OTHER, url=database(request))
    made.apply()
    return made


def started(shop: DaemonProcess, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "daemon.cli", "--config", "tollway.toml", "voucher", *words]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        command, cwd=shop.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def create(shop: DaemonProcess, count: int) -> list[str]:
    words = ("create", "--tenant", "main", "--batch", "b1", "--count", str(count), "--amount", "10.00")
    done = shop.command("voucher", *words, "--out", "codes.csv")
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE((shop.folder / "codes.csv").stat().st_mode) == 0o600
    head, *lines = (shop.folder / "codes.csv").read_text().splitlines()
    assert (head, len(lines)) == ("serial,code", count)
    codes = [line.partition(",")[2] for line in lines]
    assert not any(code in done.stdout + done.stderr for code in codes)
    return codes


def test_of_two_processes_that_redeem_one_code_at_once_one_does(shop: DaemonProcess) -> None:
    codes = create(shop, RACES)
    for number, code in enumerate(codes):
        (shop.folder / "code.txt").write_text(code + "\n")
        both = [started(shop, "redeem", account, "--file", "code.txt") for account in ("rich", "poor")]
        told = [each.communicate(timeout=120) for each in both]
        assert sorted(each.returncode for each in both) == [0, 1], (number, told)
        assert sum("not redeemed: used" in error for _, error in told) == 1
        assert code not in repr(told)
    batches: Any = shop.json("voucher", "list")
    assert [batch["redeemed"] for batch in batches] == [RACES]
    assert shop.command("db", "check").returncode == 0
    exported = shop.command("voucher", "export", "b1").stdout.splitlines()
    assert [line.split(",")[1] for line in exported[1:]] == ["redeemed"] * RACES
    one: Any = shop.json("voucher", "show", "b1", "--serial", "1")
    assert one["state"] == "redeemed"
    assert shop.command("voucher", "redeem", "rich", "no-code").returncode == 1


def test_a_batch_whose_making_is_killed_is_worth_nothing_and_is_made_again(shop: DaemonProcess) -> None:
    words = ("create", "--tenant", "main", "--batch", "b1", "--count", "60000", "--amount", "10.00")
    making = started(shop, *words, "--out", "codes.csv")
    part, deadline = shop.folder / "codes.csv.part", time.monotonic() + 120
    while not part.exists() or part.stat().st_size < 300_000:  # some 10,000 codes
        assert making.poll() is None, making.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    making.send_signal(signal.SIGKILL)
    making.communicate(timeout=60)
    assert not (shop.folder / "codes.csv").exists()
    stolen = part.read_text().splitlines()[1].partition(",")[2]
    refused = shop.command("voucher", "redeem", "rich", stolen)
    assert refused.returncode == 1
    assert "not redeemed: unknown" in refused.stderr
    assert shop.command("db", "check").returncode == 0
    codes = create(shop, 2)
    assert not part.exists()
    assert shop.command("voucher", "redeem", "rich", codes[0]).returncode == 0
    assert shop.command("voucher", "block", "b1", "--serials", "2", "--reason", "lost").returncode == 0
    assert shop.command("voucher", "redeem", "rich", codes[1]).returncode == 1
    wrong: Any = shop.json("voucher", "failures")
    assert [row["reason"] for row in wrong] == ["unknown", "blocked"]
    again = shop.command("voucher", *words[:-4], "--count", "1", "--amount", "1", "--out", "codes.csv")
    assert again.returncode == 1  # the file is there
    assert shop.command("db", "check").returncode == 0
