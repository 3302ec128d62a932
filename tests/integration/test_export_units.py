"""The systemd units: systemd itself reads them without a complaint, and they are as closed as they say."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[2] / "systemd"
NAMES = (
    "tollway.service", "tollway-export.service", "tollway-archive.service", "tollway-backup.service",
    "tollway-export.timer", "tollway-archive.timer", "tollway-backup.timer",
)  # fmt: skip
PROGRAM = "/opt/tollway/.venv/bin/tollway"
EXPOSURE_MAX = 15  # tenths of systemd's exposure level, 0 (closed) to 100; "OK" ends at 44

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not installed here; on a machine with systemd this test runs",
)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return the units with a program that exists in the place of ours: systemd looks for it."""
    for name in NAMES:
        (tmp_path / name).write_text((UNITS / name).read_text().replace(PROGRAM, "/bin/true"))
    return tmp_path


def analyze(*arguments: str) -> str:
    """Run systemd-analyze and return all that it says; it must succeed."""
    done = subprocess.run(
        ["systemd-analyze", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@needs_systemd
@pytest.mark.parametrize("name", NAMES)
def test_systemd_reads_each_unit_without_a_complaint(installed: Path, name: str) -> None:
    assert name not in analyze("verify", "--man=no", str(installed / name))


@needs_systemd
def test_a_misspelt_unit_would_be_complained_about(installed: Path) -> None:
    unit = installed / "tollway.service"
    unit.write_text(unit.read_text().replace("ProtectHome=", "ProtectHouse="))
    assert "ProtectHouse" in analyze("verify", "--man=no", str(unit))


@needs_systemd
@pytest.mark.parametrize("name", NAMES[:4])
def test_the_services_are_closed(installed: Path, name: str) -> None:
    said = analyze("security", "--offline=yes", "--no-pager", f"--threshold={EXPOSURE_MAX}", str(installed / name))
    assert "Overall exposure level" in said


@needs_systemd
@pytest.mark.parametrize(("name", "hour"), [("export", "04:10:00"), ("backup", "04:40:00")])
def test_the_timer_names_an_hour_that_systemd_understands(name: str, hour: str) -> None:
    (calendar,) = re.findall(r"^OnCalendar=(.+)$", (UNITS / f"tollway-{name}.timer").read_text(), re.MULTILINE)
    assert f"Normalized form: *-*-* {hour}" in analyze("calendar", calendar)


@pytest.mark.parametrize(
    ("name", "command"), [
        (NAMES[0], "run"), (NAMES[1], "export run"), (NAMES[3], "db backup --into /srv/backup --keep 14"),
    ],
)  # fmt: skip
def test_each_service_starts_the_program_as_its_own_user(name: str, command: str) -> None:
    unit = (UNITS / name).read_text()
    assert re.search(rf"^ExecStart={re.escape(PROGRAM)} --config \S+ {command}$", unit, re.MULTILINE)
    assert re.search(r"^User=tollway$", unit, re.MULTILINE)
    assert re.search(r"^RestartPreventExitStatus=.*\b78\b", unit, re.MULTILINE)
