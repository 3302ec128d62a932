"""What docs/operations tells an operator to type is typed: install, back up, restore, upgrade, on folders of a test.

Paths lie below the test's folder, and three commands are stand-ins: runuser runs its words as they are, systemctl and
useradd do nothing. What needs those for true (units, ownership) is what this does not try.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.installed import ROOT
from tests.ports import free_port

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]
OPERATIONS = ROOT / "docs" / "operations"
STAND_INS = {"runuser": 'shift 3\nexec "$@"\n', "systemctl": "exit 0\n", "useradd": "exit 0\n"}
LEFT_OUT = ("__pycache__", ".git", ".venv", "var", "build", "dist", "*.egg-info", ".*_cache", ".hypothesis", "tests")


def blocks(page: str, language: str = "") -> list[str]:
    """Return the blocks of a page in a language, in their order; those without one are for a shell."""
    text = (OPERATIONS / page).read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for named, block in found if named == language]


class Machine:
    """A folder that stands for the root of a machine."""

    def __init__(self, folder: Path) -> None:
        self.root, self.programs, self.release = folder / "root", folder / "programs", folder / "release"
        for name in ("opt", "etc/systemd/system", "var/lib", "srv"):
            (self.root / name).mkdir(parents=True)
        self.programs.mkdir()
        for name, text in STAND_INS.items():
            (self.programs / name).write_text(f"#!/bin/sh\n{text}")
            (self.programs / name).chmod(0o755)
        (self.programs / "python3.11").symlink_to(Path(sys.base_prefix) / "bin" / "python3.11")
        shutil.copytree(ROOT, self.release, ignore=shutil.ignore_patterns(*LEFT_OUT))
        lent = next(Path(sys.prefix).glob("lib/python3*/site-packages"))
        # What the program needs is lent by the venv of the tests, which has it; only the program itself is installed.
        self.environment = {**os.environ, "PIP_NO_DEPS": "1", "PYTHONPATH": str(lent), "PATH": self._path()}
        self.environment.pop("VIRTUAL_ENV", None)

    def _path(self) -> str:
        return f"{self.programs}:/usr/sbin:/usr/bin:/sbin:/bin"

    def type(self, block: str) -> str:
        """Type a block, from the folder of the release; each command has to work."""
        text = re.sub(r" (?:-o|-g) tollway", "", block)
        text = re.sub(r"(?<![\w.])/(opt|etc|var/lib|srv)\b", rf"{self.root}/\1", text)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], cwd=self.release, env=self.environment, capture_output=True,
            text=True, timeout=400, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (text, done.stdout, done.stderr)
        return done.stdout

    def settings(self) -> None:
        """Write the paths that running.md names into the settings, and listeners that are free."""
        (toml,) = blocks("running.md", "toml")
        listeners = "".join(
            f'[{name}]\nlisten = "127.0.0.1:{free_port()}"\n' for name in ("radius_auth", "radius_acct", "http")
        )
        text = toml.replace("/var/lib", f"{self.root}/var/lib")
        (self.root / "etc/tollway/tollway.toml").write_text(text + listeners)


def test_install_back_up_restore_and_upgrade_as_the_pages_say(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    install, load = blocks("running.md")[:2]
    machine.type(install)
    assert not (machine.root / "opt/tollway/.venv/bin/tollway").is_symlink()
    machine.settings()
    machine.type(load)
    data = machine.root / "var/lib/tollway"
    assert (data / "tollway.db").exists()
    backup, restore = blocks("backup.md")
    machine.type(backup)
    (copy,) = (machine.root / "srv/backup").glob("tollway-*T*Z.db")
    assert copy.stat().st_mode & 0o777 == 0o600
    before = machine.type(f"{_TOLLWAY} account list")
    machine.type(f"{_TOLLWAY} account topup alice 5.00 --key later")
    assert machine.type(f"{_TOLLWAY} account list") != before
    (data / "postpaid.jsonl").write_text("of the store that is lost\n")
    told = machine.type(restore)
    assert "every invariant of the ledger holds" in told
    assert machine.type(f"{_TOLLWAY} account list") == before
    assert {path.name for path in (data / "lost").iterdir()} >= {"tollway.db", "postpaid.jsonl"}
    (upgrade,) = blocks("upgrade.md")
    told = machine.type(upgrade)
    assert "has this release's schema" in told
    assert "every invariant of the ledger holds" in told
    assert machine.type(f"{_TOLLWAY} account list") == before
    assert list((machine.root / "srv/backup").glob("before-upgrade-*.db"))
    assert {path.name for path in (machine.root / "etc/systemd/system").iterdir()} == {
        path.name for path in (ROOT / "systemd").iterdir()
    }  # fmt: skip


def test_an_install_takes_what_it_needs_and_nothing_of_a_sample_run_even_twice(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (machine.release / "var").mkdir()
    (machine.release / "var/tollway.db").write_text("the sample's")
    install = blocks("running.md")[0]
    placed = install[: install.index("install -d -m 0750")]
    machine.type(placed)
    machine.type(placed)
    assert {path.name for path in (machine.root / "opt/tollway").iterdir()} - {"build", "tollway.egg-info"} == {
        "daemon", "docs", "conf", "systemd", "pyproject.toml", "README.md", "CHANGELOG.md", ".venv",
    }  # fmt: skip


_CONFIG = "export TOLLWAY_CONFIG=/etc/tollway/tollway.toml\n"
_TOLLWAY = f"{_CONFIG}/opt/tollway/.venv/bin/tollway"
