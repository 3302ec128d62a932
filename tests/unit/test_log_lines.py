"""Lines for journald carry their severity in front; a traceback stays in its line."""

import os
from pathlib import Path

import pytest
import structlog

from daemon.log_lines import ForJournal, is_journal


@pytest.mark.parametrize(
    ("level", "number"),
    [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("critical", 2), ("", 6)],
)
def test_a_line_for_journald_has_its_severity_in_front(level: str, number: int) -> None:
    line = ForJournal()(None, "", {"event": "link lost", "level": level, "switch": "fs1"})
    assert line == f'<{number}>level={level} event="link lost" switch=fs1'


def test_a_line_is_one_line() -> None:
    try:
        raise ValueError("one\ntwo")
    except ValueError:
        told = structlog.processors.format_exc_info(None, "", {"event": "x", "level": "error", "exc_info": True})
    line = ForJournal()(None, "", told)
    assert "\n" not in line
    assert "ValueError" in line


def test_the_journal_is_known_by_device_and_inode(tmp_path: Path) -> None:
    with (tmp_path / "stream").open("w") as stream:
        found = os.fstat(stream.fileno())
        named = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert is_journal(named, stream.fileno())
        assert not is_journal({"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"}, stream.fileno())
        assert not is_journal({}, stream.fileno())
    assert not is_journal(named, 10_000), "a descriptor that is not open"
