"""The program as an operator installs it: a wheel in a venv outside of the repository, for a user without rights."""

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
USER = "nobody"
SOURCES = ("pyproject.toml", "README.md")


def build_wheel(folder: Path) -> Path:
    """Build the wheel from a copy of what a release has, and return it."""
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "daemon", source / "daemon", ignore=shutil.ignore_patterns("__pycache__"))
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("tollway-*.whl")
    return wheel


def as_user(*words: str) -> list[str]:
    """Return a command that another user without any right runs; the words as they are where we are no root."""
    if os.getuid() != 0:
        return list(words)
    entry = pwd.getpwnam(USER)
    return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups", "--no-new-privs", *words]


def uid() -> int:
    """Return who that user is."""
    return pwd.getpwnam(USER).pw_uid if os.getuid() == 0 else os.getuid()


def public_python() -> str:
    """Return a Python of this release's that such a user can run and make a venv with; skip where there is none."""
    for path in (f"/usr/bin/python3.{sys.version_info.minor}", os.path.realpath(sys.executable)):
        test = as_user(path, "-c", "import venv, ensurepip, sys; assert sys.version_info[:2] == (3, 11)")
        with contextlib.suppress(OSError):
            if subprocess.run(test, capture_output=True, check=False, cwd="/").returncode == 0:
                return path
    pytest.skip(f"no Python 3.11 with venv that the user {USER} can run: Debian's python3-venv is one")


@dataclass
class Installed:
    """A venv with the program, and a folder that is the user's own."""

    venv: Path
    home: Path

    def run(self, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command of the program as the user, in its folder, with a umask that hides nothing."""
        return subprocess.run(
            self.words(*words), cwd=self.home, capture_output=True, text=True, timeout=timeout, check=False,
            env=ENVIRONMENT, umask=0o022,
        )  # fmt: skip

    def words(self, *words: str) -> list[str]:
        """Return the command."""
        return as_user(str(self.venv / "bin" / "tollway"), "--config", "tollway.toml", *words)


ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent", "USER": USER}


@contextlib.contextmanager
def installed(wheel: Path) -> Iterator[Installed]:
    """Install the wheel alone into a fresh venv; what it needs is lent by the venv of the tests, which has it."""
    python = public_python()
    folder = Path(tempfile.mkdtemp(prefix="tollway-install-", dir="/tmp"))
    try:
        folder.chmod(0o755)
        venv, home = folder / "venv", folder / "home"
        ran([python, "-m", "venv", str(venv)])
        site = next(venv.glob("lib/python3*/site-packages"))
        lent = next(Path(sys.prefix).glob("lib/python3*/site-packages"))
        (site / "lent.pth").write_text(f"{lent}\n")  # a path that is named so brings none of its own .pth files
        ran([str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)])
        home.mkdir(mode=0o750)
        os.chown(home, uid(), -1)
        yield Installed(venv, home)
    finally:
        shutil.rmtree(folder)


def ran(words: Sequence[str]) -> str:
    """Run a command that has to work."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, cwd="/", env=ENVIRONMENT)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def is_up(port: int) -> bool:
    """Tell whether a daemon says that it is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
