"""Every seed of every fuzz target passes, and so does what some seconds make of them; ``make fuzz`` takes longer."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.minimise import minimised
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

FUZZ_SECONDS = 15  # of each of the four targets: a minute in all
START_SECONDS = 90  # that a target may take beside it on a busy machine: it instruments what it imports
EXECUTED = re.compile(r"stat::number_of_executed_units: (\d+)")


@pytest.mark.parametrize("target", TARGETS)
def test_every_seed_passes(target: str) -> None:
    found = list(seeds(target))
    for seed in found:
        TARGETS[target](seed)
    assert len(found) >= 30


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has wheels for Linux on x86_64 alone")
@pytest.mark.parametrize("target", TARGETS)
def test_a_while_of_fuzzing_finds_only_documented_errors(target: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", target, str(FUZZ_SECONDS)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, capture_output=True, text=True,
        errors="replace", timeout=FUZZ_SECONDS + START_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    executed = EXECUTED.search(done.stderr)
    assert executed is not None
    assert int(executed[1]) > len(list(seeds(target))), "it went on from its seeds"


def test_what_makes_a_target_fall_is_minimised_to_what_it_falls_of() -> None:
    def target(data: bytes) -> None:
        assert b"a" not in data or b"z" not in data
        if data[:1] == b"k":
            raise KeyError

    assert minimised(target, b"bcda" * 50 + b"xyz" * 50) == b"az"
    assert minimised(target, b"kilo") == b"k"
    with pytest.raises(ValueError, match="nothing to minimise"):
        minimised(target, b"good")
