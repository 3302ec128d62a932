"""Whatever happens to switch, network, clock, store and process: what was acknowledged is there once, exact, not held.

A seed is a whole world (see ``crash_world``). ``make test`` plays as many as fit its bound; ``make simulate`` as many
as are asked for, goes on after a seed that fails, prints the command that plays that one alone, and totals at the end.
"""

import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from daemon.charging import without_store
from daemon.store import sqlite
from daemon.store.check import check_file
from tests.simulation.crash_model import held_against_the_model
from tests.simulation.crash_store import FAULTS
from tests.simulation.crash_world import crash_world, template

FIRST = int(os.environ.get("TOLLWAY_SEED", "1"))
SEEDS = int(os.environ.get("TOLLWAY_SEEDS", "160"))
FAILURES_MAX = 20  # seeds that may fail before a long run stops: by then it is one fault
COMMAND = "TOLLWAY_SEED={} TOLLWAY_SEEDS=1 .venv/bin/python -m pytest tests/simulation/test_crashes.py"
KINDS = {  # what an assertion of the model says, and what it means; anything else is a difference of the ledger
    "lost": ("never charged", "acknowledged and not in the store"),
    "doubled": ("charged twice", "two calls of one id", "charged and never made", "answered with the same bytes"),
    "stuck": ("held for ever", "ocf.stuck", "is_open = 1"),
}


@dataclass
class Totals:
    """What a run of seeds met, and what failed."""

    met: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    charged: int = 0
    journalled: int = 0

    def fails(self, seed: int, error: AssertionError) -> None:
        """Note a seed that fails."""
        text = str(error)
        self.failed[seed] = text
        told = next((kind for kind, words in KINDS.items() if any(word in text for word in words)), "differences")
        self.kinds[told] += 1
        print(f"\nseed {seed} fails ({told}): {text[:600]}\nalone: {COMMAND.format(seed)}")

    def __str__(self) -> str:
        """Return the line that ends a run."""
        return ", ".join(f"{kind} {self.kinds[kind]}" for kind in (*KINDS, "differences"))


async def _played(seed: int, made: Path, folder: Path, totals: Totals) -> None:
    async with crash_world(seed, made, folder) as world:
        totals.charged += await held_against_the_model(world)
        found = check_file(world.disk.path)
        assert found == [], found
        totals.met.update(world.met)
        totals.journalled += world.journalled


@pytest.mark.slow
@pytest.mark.timeout(300 + 5 * SEEDS)
async def test_the_ledger_is_exact_after_every_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(without_store, "RETRY_SECONDS", 0)  # by the machine's clock, which no seed knows
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.002)  # a lock that is held is held for the whole step
    made = tmp_path / "made"
    made.mkdir()
    await template(made)
    totals, began = Totals(), time.monotonic()
    for seed in range(FIRST, FIRST + SEEDS):
        folder = tmp_path / f"seed-{seed}"
        folder.mkdir()
        try:
            await _played(seed, made, folder, totals)
        except AssertionError as error:
            totals.fails(seed, error)
            if len(totals.failed) == min(FAILURES_MAX, SEEDS):
                break
        except BaseException:
            print(f"\nseed {seed} breaks; alone: {COMMAND.format(seed)}")
            raise
    took = time.monotonic() - began
    print(
        f"\n{SEEDS} seeds from {FIRST} in {took:.1f} s ({SEEDS / took:.1f} a second);"
        f" {totals.journalled} grants journalled; {dict(totals.met)}\ntotals: {totals}"
    )
    assert totals.failed == {}
    assert totals.charged > 0
    if SEEDS >= 100:
        assert totals.journalled >= SEEDS // 20, "grants have to be given without the store"
        assert all(totals.met[fault] >= SEEDS // 20 for fault in FAULTS), totals.met
