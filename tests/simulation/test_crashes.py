"""Whatever happens to switch, network, clock, store and process: what was acknowledged is there once, exact, not held.

A seed is a whole world (see ``crash_world``). ``make test`` plays as many as fit its bound; ``make simulate`` as many
as are asked for. A seed that fails is printed with the command that plays it alone.
"""

import os
import time
from collections import Counter
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
COMMAND = "TOLLWAY_SEED={} TOLLWAY_SEEDS=1 .venv/bin/python -m pytest tests/simulation/test_crashes.py"


@pytest.mark.slow
@pytest.mark.timeout(300 + 5 * SEEDS)
async def test_the_ledger_is_exact_after_every_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(without_store, "RETRY_SECONDS", 0)  # by the machine's clock, which no seed knows
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.002)  # a lock that is held is held for the whole step
    made = tmp_path / "made"
    made.mkdir()
    await template(made)
    met: Counter[str] = Counter()
    charged, journalled, began = 0, 0, time.monotonic()
    for seed in range(FIRST, FIRST + SEEDS):
        folder = tmp_path / f"seed-{seed}"
        folder.mkdir()
        try:
            async with crash_world(seed, made, folder) as world:
                charged += await held_against_the_model(world)
                assert check_file(world.disk.path) == []
                met.update(world.met)
                journalled += world.journalled
        except BaseException:
            print(f"\nseed {seed} fails; alone: {COMMAND.format(seed)}")
            raise
    print(
        f"\n{SEEDS} seeds from {FIRST} in {time.monotonic() - began:.1f} s; {journalled} grants journalled; {dict(met)}"
    )
    assert charged > 0
    if SEEDS >= 100:
        assert journalled >= SEEDS // 20, "grants have to be given without the store"
        assert all(met[fault] >= SEEDS // 20 for fault in FAULTS), met
