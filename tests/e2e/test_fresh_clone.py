"""What a newcomer does: clone, ``make run``, the tutorial, the page of HTTP, and every line printed under "Try this".

The clone installs from the package registry into a folder of its own and listens on the ports of conf/tollway.toml.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.pages import TYPED, Terminal, blocks, typed
from tests.ports import turn

ROOT = Path(__file__).parents[2]
START_SECONDS_MAX = 400  # seconds; an installation from an empty folder is most of it
MARK = "Try this"


def _clone(folder: Path) -> Path:
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    return clone


def _lines_to_try(log: Path, process: "subprocess.Popen[bytes]") -> list[str]:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        text = log.read_text(errors="replace")
        assert process.poll() is None, text[-4000:]
        head, mark, tail = text.partition(MARK)
        lines = [line.strip() for line in tail.splitlines()[1:] if line.startswith("  ")]
        if mark and lines and text.endswith("\n"):
            assert "listener" in head.lower()
            time.sleep(0.3)
            return lines
        time.sleep(0.2)
    raise AssertionError(log.read_text(errors="replace")[-4000:])


@pytest.mark.timeout(900)
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone: there is nothing to clone from")
def test_every_printed_line_runs(tmp_path: Path) -> None:
    with turn("fresh-clone"):
        _run_and_try(_clone(tmp_path), tmp_path / "make-run.log")


def _type_pages(clone: Path, environment: dict[str, str]) -> None:
    tutorial = blocks(clone / "docs" / "tutorial.md")
    assert [block.text for block in tutorial if block.language == "sh stays"] == ["make run\n"]
    for page in (tutorial, blocks(clone / "docs" / "http.md")):
        assert any(block.language in TYPED for block in page)
        with Terminal(clone, clone.parent, environment) as terminal:
            typed(page, terminal)


def _run_and_try(clone: Path, log: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            ["make", "run"], cwd=clone, stdout=stream, stderr=stream, env=environment, start_new_session=True
        )
    try:
        lines = _lines_to_try(log, process)
        assert len(lines) >= 4, lines
        _type_pages(clone, environment)
        for line in lines:
            done = subprocess.run(
                line, shell=True, cwd=clone, env=environment, capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == 0, (line, done.stdout, done.stderr, log.read_text()[-2000:])
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
