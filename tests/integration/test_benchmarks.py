"""``make bench`` starts: every bench is there, and those that read a store run to their end, with a few rows."""

import importlib
import sys

import pytest

from benchmarks import bench_accounts, bench_start
from benchmarks.__main__ import BENCHES

ROWS = 300


@pytest.mark.parametrize("name", BENCHES)
def test_a_bench_can_be_started(name: str) -> None:
    assert callable(importlib.import_module(f"benchmarks.{name}").main)


def test_the_bench_of_decks_runs_to_its_end(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.bench_decks"])
    importlib.import_module("benchmarks.bench_decks").main(ROWS)
    printed = capfd.readouterr().out
    for figure in (f"import of {ROWS} rows", "the same deck again", f"load of {ROWS} rows", "the bare driver"):
        assert figure in printed


def test_the_bench_of_growth_runs_to_its_end(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.bench_growth"])
    importlib.import_module("benchmarks.bench_growth").main(ROWS, 0.1)
    printed = capfd.readouterr().out
    for figure in ("a year of 300 calls", "the year in it", "11 months", "while archiving", "after archiving"):
        assert figure in printed


def test_the_bench_of_accounts_runs_to_its_end(capfd: pytest.CaptureFixture[str]) -> None:
    assert bench_accounts.main(["40", "--questions", "20"]) == 0
    printed = capfd.readouterr().out
    for figure in ("40 accounts: ready in", "followed in", "40 accounts: tollway db check: "):
        assert figure in printed
    assert "(status " not in printed, "each command does what it is asked"


def test_the_bench_of_starts_runs_to_its_end(capfd: pytest.CaptureFixture[str]) -> None:
    assert bench_start.main(["--accounts", "40", "--rates", "40"]) == 0
    printed = capfd.readouterr().out
    for figure in ("40 accounts, 40 rates: READY after", "10 reloads: ", "an account suspended: ", "imported: "):
        assert figure in printed


def test_the_bench_of_decisions_decides(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.bench_decide", "--small"])
    bench = importlib.import_module("benchmarks.bench_decide")
    monkeypatch.setattr(bench, "DECISIONS", 50)
    bench.main()
    assert "goal: 60 us" in capfd.readouterr().out
