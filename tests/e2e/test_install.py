"""The wheel holds all that the program needs, and works outside of the repository for a user without any right."""

import os
import shutil
import signal
import stat
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.installed import ENVIRONMENT, ROOT, Installed, build_wheel, installed, is_up, uid
from tests.ports import free_port

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("install")]
START_SECONDS_MAX = 120


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def program(wheel: Path) -> Iterator[Installed]:
    with installed(wheel) as found:
        yield found


@pytest.fixture
def home(program: Installed) -> Installed:
    """The user's own folder, with settings and the sample in it."""
    for path in program.home.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    ports = [free_port() for _ in range(3)]
    (program.home / "tollway.toml").write_text(
        '[store]\nurl = "sqlite:///data/tollway.db"\n[export]\ndirectory = "data/exports"\n'
        '[charging]\npostpaid_journal = "data/postpaid.jsonl"\n[emergency]\njournal = "data/emergency.jsonl"\n'
        + "".join(
            f'[{name}]\nlisten = "127.0.0.1:{port}"\n'
            for name, port in zip(("radius_auth", "radius_acct", "http"), ports, strict=True)
        )
    )
    shutil.copy(ROOT / "conf" / "sample" / "scenario.toml", program.home)
    shutil.copytree(ROOT / "conf" / "sample" / "decks", program.home / "decks")
    return program


def test_the_wheel_holds_every_file_of_the_program_and_no_other(wheel: Path) -> None:
    there = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    needed = {
        str(path.relative_to(ROOT)) for path in (ROOT / "daemon").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }  # fmt: skip
    assert there == needed
    for part in ("daemon/radius/dictionaries/dictionary.rfc2866", "daemon/store/migrations/env.py"):
        assert part in there
    assert any(name.startswith("daemon/store/migrations/versions/0001") for name in there)


def test_a_user_without_rights_runs_all_of_it(home: Installed) -> None:
    assert home.run("--version").stdout.startswith("tollway, version ")
    place = subprocess.run(
        [str(home.venv / "bin" / "python"), "-c", "import daemon; print(daemon.__file__)"], capture_output=True,
        text=True, check=True, cwd="/", env=ENVIRONMENT,
    ).stdout  # fmt: skip
    assert place.startswith(str(home.venv)), "not that of the repository"
    for words in (
        ("check", "scenario.toml"),
        ("apply", "scenario.toml"),
        ("db", "check"),
        ("radius", "decode", "0101"),
    ):
        done = home.run(*words)
        assert (done.returncode == 0) == (words[0] != "radius"), (words, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
    _serves(home)
    for words in (("export", "run"), ("db", "backup", "data/copy"), ("account", "list")):
        done = home.run(*words)
        assert done.returncode == 0, (words, done.stderr)
    _owned_and_hidden(home.home / "data")


def _serves(home: Installed) -> None:
    port = int((home.home / "tollway.toml").read_text().rpartition(":")[2].rstrip('"\n'))
    with (home.home / "log").open("wb") as log:
        daemon = subprocess.Popen(
            home.words("run"), cwd=home.home, stdout=log, stderr=log, env=ENVIRONMENT, umask=0o022
        )
    try:
        ends = time.monotonic() + START_SECONDS_MAX
        while not is_up(port):
            assert daemon.poll() is None, (home.home / "log").read_text()[-3000:]
            assert time.monotonic() < ends, (home.home / "log").read_text()[-3000:]
            time.sleep(0.1)
        status = Path(f"/proc/{daemon.pid}/status").read_text()
        assert f"Uid:\t{uid()}\t{uid()}" in status
        done = home.run("try", "--fast")
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60) == 0


def _owned_and_hidden(data: Path) -> None:
    """Whatever the umask: nobody but the user, and where it is meant its group, reads what the program writes."""
    assert stat.S_IMODE(data.stat().st_mode) == 0o750
    seen = set()
    for path in data.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        seen.add(path.name)
        assert path.stat().st_uid == uid(), path
        assert not mode & 0o027, (path, oct(mode))
        if path.name in ("copy", "postpaid.jsonl", "emergency.jsonl") or path.name.startswith("tollway.db"):
            assert mode == 0o600, (path, oct(mode))
    assert {"tollway.db", "copy", "usage.csv", "manifest.json"} <= seen


def test_what_the_user_may_not_read_or_write_is_named(home: Installed) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a file to somebody else")
    settings = home.home / "tollway.toml"
    settings.chmod(0o600)
    done = home.run("check")
    assert done.returncode == 2
    assert "'tollway.toml' is not readable" in done.stderr
    settings.chmod(0o644)
    (home.home / "data").mkdir(mode=0o755)
    done = home.run("apply", "scenario.toml")
    assert done.returncode == 69, done.stderr
    assert str(home.home / "data") in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_with_a_password_that_everybody_can_read_are_told(home: Installed) -> None:
    settings = home.home / "tollway.toml"
    settings.write_text('[store]\nurl = "postgresql://tollway:a-secret@127.0.0.1:1/tollway"\n')
    settings.chmod(0o644)
    done = home.run("check")
    assert done.returncode == 0
    assert "every user of this machine can read" in done.stderr
    assert "a-secret" not in done.stderr + done.stdout
    settings.chmod(0o640)
    os.chown(settings, uid(), -1)
    assert home.run("check").stderr == ""
