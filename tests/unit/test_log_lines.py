"""Lines for journald carry their severity in front; a traceback stays in its line."""

import os
from pathlib import Path

import pytest
import structlog

from daemon.app import configure_logging
from daemon.app_log import LogLines
from daemon.log_lines import PREFIXES, is_journal
from daemon.settings import LogSection


def written(tmp_path: Path, form: str = "logfmt") -> tuple[LogLines, Path]:
    """Return lines for journald, and the file that stands for its stream."""
    file = tmp_path / "stream"
    return LogLines(os.open(file, os.O_WRONLY | os.O_CREAT), form, PREFIXES), file


@pytest.mark.parametrize(
    ("level", "prefix"),
    [("debug", "<7>"), ("info", "<6>"), ("warning", "<4>"), ("error", "<3>"), ("critical", "<2>")],
)
def test_a_line_for_journald_has_its_severity_in_front_and_no_time(level: str, prefix: str, tmp_path: Path) -> None:
    lines, file = written(tmp_path)
    lines.put(level, (("event", "link lost"), ("switch", "fs1")))
    lines.close()
    assert file.read_text() == f'{prefix}level={level} event="link lost" switch=fs1\n'


def test_a_traceback_stays_in_its_line(tmp_path: Path) -> None:
    lines, file = written(tmp_path, "json")
    configure_logging(LogSection(format="json"), lines)
    try:
        raise ValueError("one\ntwo")
    except ValueError:
        structlog.get_logger("tollway").exception("x")
    finally:
        lines.close()
        structlog.reset_defaults()
    told = file.read_text()
    assert told.count("\n") == 1
    assert told.startswith("<3>")
    assert "ValueError" in told


def test_the_journal_is_known_by_device_and_inode(tmp_path: Path) -> None:
    with (tmp_path / "stream").open("w") as stream:
        found = os.fstat(stream.fileno())
        named = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert is_journal(named, stream.fileno())
        assert not is_journal({"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"}, stream.fileno())
        assert not is_journal({}, stream.fileno())
    assert not is_journal(named, 10_000), "a descriptor that is not open"
