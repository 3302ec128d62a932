"""The files of tests/tables/bad_settings: every fault of a file at once, with its line and key, and no other."""

from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.config_files.positions import Problem
from daemon.config_files.scenario_file import read_scenario
from daemon.config_files.settings_file import read_settings

FOLDER = Path(__file__).resolve().parents[2] / "tables" / "bad_settings"
FAULTS_MIN = 12  # in each file, whose faults are all different

Reader = Callable[[Path], tuple[object, list[Problem]]]


def expected(name: str) -> list[tuple[str, int, str]]:
    """Return (file, line, key) of each line of an expected file."""
    lines = (FOLDER / f"{name}.expected").read_text().splitlines()
    parts = [line.split(" ", 2) for line in lines if not line.startswith("#")]
    return [(str(FOLDER / file), int(line), key) for file, line, key in parts]


@pytest.mark.parametrize(("name", "read"), [("tollway", read_settings), ("scenario", read_scenario)])
def test_all_faults_are_told_at_once_with_their_lines(name: str, read: Reader) -> None:
    value, problems = read(FOLDER / f"{name}.toml")
    assert value is None
    assert [(problem.file, problem.line, problem.key) for problem in problems] == expected(name)
    assert len(problems) >= FAULTS_MIN


@pytest.mark.parametrize(("name", "read"), [("tollway", read_settings), ("scenario", read_scenario)])
def test_each_says_what_and_how_to_mend_and_no_secret(name: str, read: Reader) -> None:
    for problem in read(FOLDER / f"{name}.toml")[1]:
        assert len(problem.message) > len("is wrong"), problem
        assert str(problem).startswith(f"{problem.file}:{problem.line}: {problem.key}: ")
        for secret in ("alice-password", "48213377", "testing123", "ClueCon", "a secret of its own"):
            assert secret not in str(problem)
