"""``rate batch`` as a person and a script call it: a file in, the same rows priced out, whatever interrupts."""

import contextlib
import csv
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from daemon.ingest.batch_columns import CHUNK_ROWS
from tests.e2e.commands_sample import sample_daemon
from tests.e2e.daemon_process import DaemonProcess

DONE, REFUSED, USAGE, UNAVAILABLE, INTERRUPTED = 0, 1, 2, 69, 130
ROWS = 2_000_000
GROWTH_MAX = 192 << 10  # KiB of memory that a file of any size may take beyond one of a few rows
HEADER = "id,to,start,duration_seconds\n"
GOOD = "1,442071231234,2026-01-01T00:00:00Z,75\n2,+12125551234,2026-01-01T00:00:00+01:00,10.5\n"
BAD = (
    "3,999999999,2026-01-01T00:00:00Z,5\n4,19005551234,2026-01-01T00:00:00Z,5\n"
    "5,44x,2026-01-01T00:00:00Z,5\n6,44,today,5\n"
)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> DaemonProcess:
    """The sample, applied once."""
    daemon = sample_daemon(tmp_path_factory.mktemp("sample"))
    daemon.apply()
    return daemon


@pytest.fixture(scope="module")
def large(sample: DaemonProcess) -> Path:
    """A file of two million calls, a thousand different ones."""
    generator = Random(7)
    numbers = ("44207", "1212", "33", "1416", "1900", "999")
    calls = "".join(
        f"call,{generator.choice(numbers)}{generator.randrange(10**6):06d},2026-0{generator.randrange(1, 10)}-1"
        f"{generator.randrange(10)}T1{generator.randrange(10)}:00:07Z,{generator.randrange(900)}.{generator.randrange(10)}\n"
        for _ in range(1_000)
    )
    path = sample.folder / "large.csv"
    with path.open("w") as file:
        file.write(HEADER)
        for _ in range(ROWS // 1_000):
            file.write(calls)
    return path


def batch(sample: DaemonProcess, *words: str) -> subprocess.CompletedProcess[str]:
    return sample.command("rate", "batch", "--plan", "retail", *words, timeout=200)


def test_every_row_priced_is_status_0(sample: DaemonProcess) -> None:
    (sample.folder / "good.csv").write_text(HEADER + GOOD)
    done = batch(sample, "good.csv", "priced.csv", "--json")
    assert (done.returncode, done.stderr) == (DONE, "")
    assert json.loads(done.stdout) == {
        "rows": 2, "statuses": {"rated": 2, "unrated": 0, "blocked": 0, "invalid": 0}, "reasons": {},
        "totals": [{"currency": "USD", "charge": "0.0135"}],
    }  # fmt: skip
    assert (sample.folder / "priced.csv").read_text().splitlines()[1:] == [
        '1,442071231234,2026-01-01T00:00:00Z,75,4420,"United Kingdom, London",75,0.0125,USD,0.01,rated,',
        '2,+12125551234,2026-01-01T00:00:00+01:00,10.5,1212,"USA, New York City",12,0.001,USD,0.005,rated,',
    ]
    one = json.loads(sample.command("rate", "price", "--plan", "retail", "--to", "442071231234", "--seconds", "75",
                                    "--at", "2026-01-01T00:00:00Z", "--json").stdout)  # fmt: skip
    assert one["charge"] == "0.0125"


def test_rows_without_a_price_are_counted_and_end_with_status_1(sample: DaemonProcess) -> None:
    (sample.folder / "mixed.csv").write_text(HEADER + GOOD + BAD)
    done = batch(sample, "mixed.csv", "mixed.out.csv")
    assert done.returncode == REFUSED
    assert done.stderr.splitlines() == [
        "1 row: destination_blocked", "1 row: destination_malformed", "1 row: destination_unrated", "1 row: start",
    ]  # fmt: skip
    assert [line.split() for line in done.stdout.splitlines()[1:]] == [
        ["rows", "6"], ["rated", "2"], ["unrated", "1"], ["blocked", "1"], ["invalid", "2"],
        ["charged", "0.0135", "USD"],
    ]  # fmt: skip
    assert "\x1b" not in done.stdout + done.stderr
    statuses = [line.split(",")[-2] for line in (sample.folder / "mixed.out.csv").read_text().splitlines()[1:5]]
    assert statuses == ["rated", "rated", "unrated", "blocked"]


SCENARIO = """
[[tenant]]
id = "main"
currency = "USD"
[[rate_table]]
id = "voice"
tenant = "main"
currency = "USD"
deck = "deck.csv"
[[rate_table]]
id = "colleagues"
tenant = "main"
currency = "USD"
deck = "colleagues.csv"
[[rate_plan]]
id = "retail"
tenant = "main"
tables = ["voice"]
on_net = ["colleagues"]
[[class_of_service]]
id = "no-france"
tenant = "main"
block = ["33"]
[[account]]
id = "plain"
tenant = "main"
kind = "prepaid"
currency = "USD"
rate_plan = "retail"
identities = [{ did = "442071234567" }]
[[account]]
id = "own"
tenant = "main"
kind = "prepaid"
currency = "USD"
rate_plan = "retail"
class_of_service = "no-france"
overrides = [{ prefix = "4420", rate = "0.30" }]
"""


def test_an_account_is_asked_its_own_prices_as_rate_price_says(tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path, SCENARIO)
    (tmp_path / "colleagues.csv").write_text("prefix,destination,rate\n44207,Colleagues,0\n")
    daemon.apply()
    calls = [(to, account) for to in ("442079", "442071234567", "331", "441") for account in ("", "plain", "own")]
    rows = [f"{place},{to},2026-01-01T00:00:00Z,61.5,{account}" for place, (to, account) in enumerate(calls)]
    (tmp_path / "in.csv").write_text(
        HEADER.strip() + ",account\n" + "\n".join([*rows, "12,44,2026-01-01T00:00:00Z,1,x"])
    )
    assert batch(daemon, "in.csv", "out.csv").returncode == REFUSED
    found = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert found[-1]["reason"] == "account: there is no account 'x'"
    for (to, account), row in zip(calls, found, strict=False):
        words = ("--account", account) if account else ()
        one = json.loads(
            daemon.command("rate", "price", "--plan", "retail", "--to", to, "--seconds", "61.5", "--at",
                           "2026-01-01T00:00:00Z", *words, "--json").stdout
        )  # fmt: skip
        assert [row[name] for name in ("status", "reason", "prefix", "destination")] == [
            one[name] for name in ("status", "reason", "prefix", "destination")
        ]
        assert row["charge"] == (one["charge"] if row["status"] == "rated" else "")
    assert len({row["charge"] for row in found}) >= 4


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_shown_on_a_terminal_alone(sample: DaemonProcess, is_terminal: bool) -> None:
    (sample.folder / "many.csv").write_text(HEADER + GOOD * 50_000)
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "daemon.cli", "--config", "tollway.toml",
               "rate", "batch", "--plan", "retail", "many.csv", "many.out.csv"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "xterm", "COLUMNS": "160"}
    process = subprocess.Popen(
        command, cwd=sample.folder, env=environment, stdout=terminal if is_terminal else subprocess.PIPE,
        stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # what a terminal says when nobody holds its other end
        while octets := os.read(controller, 4_096):
            shown += octets
    os.close(controller)
    written, _ = process.communicate()
    assert process.returncode == DONE
    if is_terminal:
        assert b"pricing many.csv" in shown
        assert b"100,000 rows" in shown
        assert b"a second" in shown
    else:
        assert shown == b""
        assert b"\x1b" not in written


@pytest.mark.parametrize("ending", [".csv.gz", ".parquet"])
def test_a_format_is_chosen_by_its_ending_and_read_again(sample: DaemonProcess, ending: str) -> None:
    (sample.folder / "good.csv").write_text(HEADER + GOOD)
    assert batch(sample, "good.csv", f"made{ending}").returncode == DONE
    done = batch(sample, f"made{ending}", "again.csv")
    assert done.returncode == REFUSED
    assert f"made{ending} has the column prefix, destination" in done.stderr


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (("absent.csv", "out.csv"), USAGE, "absent.csv"),
        (("good.csv", "out.xlsx"), USAGE, "'out.xlsx' ends in none of .csv, .csv.gz, .parquet"),
        (("tollway.toml", "out.csv"), USAGE, "'tollway.toml' ends in none of"),
        (("good.csv",), USAGE, "OUT"),
        (("good.csv", "no/such/folder.csv"), REFUSED, "no/such/folder.csv"),
        (("few.csv", "out.csv"), REFUSED, "few.csv lacks the column start, duration_seconds"),
        (("good.csv", "good.csv"), REFUSED, "good.csv is input and output"),
    ],
)
def test_what_cannot_be_done_is_told(sample: DaemonProcess, words: tuple[str, ...], status: int, reason: str) -> None:
    (sample.folder / "good.csv").write_text(HEADER + GOOD)
    (sample.folder / "few.csv").write_text("id,to\n1,44\n")
    done = batch(sample, *words)
    assert done.returncode == status, done
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plan_or_a_store_that_is_not_there(sample: DaemonProcess, tmp_path: Path) -> None:
    (sample.folder / "good.csv").write_text(HEADER + GOOD)
    done = sample.command("rate", "batch", "--plan", "nothing", "good.csv", "out.csv")
    assert (done.returncode, "there is no rate plan main/nothing" in done.stderr) == (REFUSED, True)
    fresh = sample_daemon(tmp_path / "fresh")
    (fresh.folder / "good.csv").write_text(HEADER + GOOD)
    assert batch(fresh, "good.csv", "out.csv").returncode == UNAVAILABLE


def started(sample: DaemonProcess, source: str, target: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "daemon.cli", "--config", "tollway.toml",
               "rate", "batch", "--plan", "retail", source, target]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        command, cwd=sample.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def ended(process: subprocess.Popen[bytes]) -> tuple[int, int]:
    """Return the exit status of a process, and the most memory it took in KiB."""
    assert process.stderr is not None
    process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    return process.returncode, usage.ru_maxrss


def octets_of(path: Path) -> bytes:
    """Return what a file holds, nothing where it is not there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file_and_a_kill_changes_no_octet(sample: DaemonProcess, large: Path) -> None:
    (sample.folder / "good.csv").write_text(HEADER + GOOD)
    _, small_rss = ended(started(sample, "good.csv", "small.csv"))
    status, large_rss = ended(started(sample, large.name, "whole.csv"))
    assert status == REFUSED
    assert large_rss - small_rss < GROWTH_MAX, (small_rss, large_rss)

    generator, state = Random(11), sample.folder / "cut.csv.state"
    signals = [signal.SIGKILL, generator.choice((signal.SIGINT, signal.SIGTERM)), signal.SIGKILL]
    seen: list[bytes] = []
    for number in signals:
        process = started(sample, large.name, "cut.csv")
        before = octets_of(state)
        while octets_of(state) == before and not (sample.folder / "cut.csv").exists():
            time.sleep(0.01)
        time.sleep(generator.random() / 4)
        process.send_signal(number)
        status, _ = ended(process)
        if status == REFUSED:  # it was whole before the signal came
            break
        assert status in (-number, INTERRUPTED), status
        assert not (sample.folder / "cut.csv").exists()
        seen.append(octets_of(state))
    assert len(set(seen)) >= 2, "a run that was killed went on"
    assert batch(sample, large.name, "cut.csv").returncode == REFUSED
    assert (sample.folder / "cut.csv").read_bytes() == (sample.folder / "whole.csv").read_bytes()
    assert not list(sample.folder.glob("cut.csv.*"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_from_which_row_it_goes_on(
    sample: DaemonProcess, large: Path, number: signal.Signals
) -> None:
    state, target = sample.folder / "told.csv.state", sample.folder / "told.csv"
    process = started(sample, large.name, target.name)
    while not octets_of(state):
        time.sleep(0.001)
    process.send_signal(number)
    _, told = process.communicate()
    rows = json.loads(octets_of(state))["rows"]
    assert (process.returncode, rows % CHUNK_ROWS) == (INTERRUPTED, 0)
    assert 0 < rows < ROWS
    assert (
        told.decode()
        == f"interrupted: {target.name} is not written yet; the same command goes on from row {rows + 1}\n"
    )
    for path in sample.folder.glob("told.csv.*"):
        path.unlink()
