"""The Containerfile: what it promises is read from it, and where an engine and a base image are at hand, it is built.

A build needs buildah and ``TOLLWAY_BASE_IMAGE``, the name of an image with Python 3.11 that it can get at (Debian's
packages make one without a registry: debootstrap with python3 and python3-venv, then buildah add and commit); words for
the build, such as a volume with certificates, can be given as ``TOLLWAY_BUILD_WORDS``. Without them the build is
skipped. Never tried here: another engine than buildah, the health check as an engine runs it, published ports.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.config_files.settings_file import read_settings
from tests.e2e.installed import ROOT, is_up
from tests.ports import free_port

BASE = os.environ.get("TOLLWAY_BASE_IMAGE", "")
WORDS = shlex.split(os.environ.get("TOLLWAY_BUILD_WORDS", ""))
SETTINGS = ROOT / "conf" / "container" / "tollway.toml"
DATA = "/var/lib/tollway"
BUILD_SECONDS = 900


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage, comments and continued lines taken away."""
    lines = [line for line in (ROOT / "Containerfile").read_text().splitlines() if not line.startswith("#")]
    instructions = [line.split(maxsplit=1) for line in "\n".join(lines).replace("\\\n", "").splitlines() if line]
    found: list[list[tuple[str, str]]] = [[]]
    for word, rest in instructions:
        if word == "FROM":
            found.append([])
        found[-1].append((word, " ".join(rest.split())))
    return found[1:]


def test_the_last_stage_has_a_user_without_rights_and_nothing_that_builds() -> None:
    build, last = stages()
    said = dict(last)
    assert build[0][1] == "${BASE} AS build"
    assert said["FROM"] == "${BASE}"
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", said["USER"]), "by numbers, so that an engine can see that it is no root"
    assert said["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(said["ENTRYPOINT"]) == ["tollway"]
    assert json.loads(said["CMD"]) == ["run"]
    assert json.loads(said["VOLUME"]) == [DATA]
    assert said["WORKDIR"] == DATA
    assert "/healthz" in said["HEALTHCHECK"]
    commands = " ".join(rest for word, rest in last if word in ("RUN", "COPY"))
    assert not re.search(r"\b(pip|apt-get|gcc|make|curl|wget)\b", commands)
    assert "pip uninstall --yes --quiet setuptools pip" in dict(build)["RUN"]


def test_what_is_sent_to_the_engine_is_what_is_copied() -> None:
    sent = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()
    copied = {
        source for stage in stages() for word, rest in stage if word == "COPY" and "--from" not in rest
        for source in [part for part in rest.split() if not part.startswith("--")][:-1]
    }  # fmt: skip
    for source in copied:
        assert (ROOT / source).exists()
        assert any(source == name or source.startswith(f"{name}/") for name in sent), source
    for name in sent:
        assert any(source == name or source.startswith(f"{name}/") for source in copied), name


def test_the_settings_of_the_image_are_whole_and_write_into_the_volume_alone() -> None:
    settings, problems = read_settings(SETTINGS)
    assert settings is not None, problems
    paths = (
        settings.store.url.removeprefix("sqlite:///"), settings.store.archive, settings.charging.postpaid_journal,
        settings.emergency.journal, settings.export.directory,
    )  # fmt: skip
    assert all(path.startswith(f"{DATA}/") for path in paths), paths
    exposed = dict(stages()[1])["EXPOSE"].split()
    listened = {f"{place.port}" for place in (settings.radius_auth, settings.radius_acct, settings.http)}
    assert {port.partition("/")[0] for port in exposed} == listened


@pytest.fixture(scope="module")
def container() -> Iterator[str]:
    """A container of the image, built here."""
    if shutil.which("buildah") is None:
        pytest.skip("not built: buildah is not installed")
    if not BASE:
        pytest.skip("not built: TOLLWAY_BASE_IMAGE names no image to build on")
    words = ("--format", "docker", "--layers", "--build-arg", f"BASE={BASE}", "-f", "Containerfile", *WORDS)
    engine("build", *words, "-t", "localhost/tollway:tested", ".")
    name = engine("from", "--pull-never", "localhost/tollway:tested").strip()
    yield name
    engine("rm", name)


def engine(*words: str) -> str:
    done = subprocess.run(
        ["buildah", *words], cwd=ROOT, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_an_image_that_is_built_serves(container: str, tmp_path: Path) -> None:
    settings, port = tmp_path / "tollway.toml", free_port()
    text = SETTINGS.read_text()
    for stated in ("1812", "1813"):
        text = text.replace(f":{stated}", f":{free_port()}")
    settings.write_text(text.replace(":8090", f":{port}"))
    tomllib.loads(settings.read_text())
    tmp_path.chmod(0o755)
    mounts = ("-v", f"{settings}:/etc/tollway/tollway.toml:ro", "-v", f"{ROOT}/conf/sample:/etc/tollway/sample:ro")

    def run(*words: str) -> list[str]:
        return ["buildah", "run", "--user", "10001:10001", *mounts, container, "--", *words]

    def done(*words: str) -> str:
        ended = subprocess.run(run(*words), capture_output=True, text=True, timeout=300, check=False)
        assert ended.returncode == 0, (words, ended.stdout, ended.stderr)
        return ended.stdout

    assert done("id", "-u").strip() == "10001"
    assert done("sh", "-c", "ls /opt/tollway/.venv/bin | grep -E '^(pip|gcc)' || true").strip() == ""
    assert done("tollway", "--version").startswith("tollway, version ")
    assert "no faults" in done("tollway", "check")
    done("tollway", "apply", "/etc/tollway/sample/scenario.toml")
    with (tmp_path / "log").open("wb") as log:
        daemon = subprocess.Popen(run("tollway", "run"), stdout=log, stderr=log)
        try:
            ends = time.monotonic() + 120
            while not is_up(port):
                assert daemon.poll() is None, (tmp_path / "log").read_text()[-3000:]
                assert time.monotonic() < ends, (tmp_path / "log").read_text()[-3000:]
                time.sleep(0.2)
            probe = json.loads(dict(stages()[1])["HEALTHCHECK"].partition("CMD ")[2])
            done(*[part.replace(":8090", f":{port}") for part in probe])
            assert "alice" in done("tollway", "account", "list")
        finally:
            daemon.terminate()
            daemon.wait(60)
    assert done("stat", "-c", "%a", f"{DATA}/tollway.db").strip() == "600"
