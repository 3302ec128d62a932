"""The log: one line an event whatever a caller chose, bounded, and written beside the loop whoever reads it or not."""

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from daemon.app import configure_logging
from daemon.app_log import JSON, LINES_MAX, LOGFMT, RENDERERS, VALUE_LENGTH_MAX, LogLines
from daemon.settings import LogSection

HOSTILE = (
    "x\ntimestamp=2026-01-01T00:00:00Z level=error event=forged",
    "\x1b]0;owned\x07\x1b[2J",
    "a\u2028b\u202ec\x85d",
    'quote " backslash \\ equals = end',
    "\ud800",
    "x" * 10_000,
    "",
)


@contextmanager
def _piped(form: str = LOGFMT) -> Iterator[tuple[LogLines, int]]:
    reading, writing = os.pipe()
    lines = LogLines(writing, form)
    try:
        yield lines, reading
    finally:
        lines.close()
        os.close(writing)
        os.close(reading)


def _read(reading: int, lines: LogLines) -> list[str]:
    lines.close()
    return os.read(reading, 1 << 20).decode().splitlines(keepends=True)


@pytest.mark.parametrize("form", [LOGFMT, JSON])
@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_caller_chose_stays_one_value_of_one_line(form: str, text: str) -> None:
    with _piped(form) as (lines, reading):
        lines.put("info", (("event", "decision"), ("call_id", text), ("code", "granted")))
        (line,) = _read(reading, lines)
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    assert len(line) < 1_000
    if form == JSON:
        value = json.loads(line)
        assert (value["event"], value["code"]) == ("decision", "granted")
        assert value["call_id"] == text or len(text) > VALUE_LENGTH_MAX
    else:
        assert line.count(" event=") == line.count(" event=decision ") == 1 or '"' in line
        assert line.endswith(" code=granted\n")


@given(st.text(), st.sampled_from([LOGFMT, JSON]))
def test_no_text_ends_its_line_or_its_quotes(text: str, form: str) -> None:
    line = RENDERERS[form]((("event", "e"), ("value", text), ("after", 1)))
    assert line.isprintable()
    if form == JSON:
        assert json.loads(line)["after"] == 1
        return
    value = line.removeprefix("event=e value=").removesuffix(" after=1")
    if len(text) > VALUE_LENGTH_MAX:
        return
    assert (json.loads(value) if value.startswith('"') else value) == text


def test_a_long_value_keeps_its_ends() -> None:
    line = RENDERERS[LOGFMT]((("value", "a" * 5_000 + "b" * 5_000),))
    assert line.startswith('value="aaa')
    assert line.endswith('bbb"')
    assert f"...{10_000 - VALUE_LENGTH_MAX} more..." in line


def test_a_reader_who_stalls_stops_nobody_and_hears_of_what_it_missed() -> None:
    reading, writing = os.pipe()
    lines = LogLines(writing)
    began = time.monotonic()
    for number in range(LINES_MAX + 5_000):
        lines.put("info", (("event", "decision"), ("number", number)))
    assert time.monotonic() - began < 10
    assert 0 < lines.dropped <= 5_000
    seen = b""
    deadline = time.monotonic() + 30
    while b"log lines dropped" not in seen and time.monotonic() < deadline:
        seen += os.read(reading, 1 << 20)
    assert f'event="log lines dropped" lines={lines.dropped}\n'.encode() in seen
    lines.close()
    os.close(reading)
    os.close(writing)


def test_the_end_does_not_wait_for_a_reader_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.app_log.CLOSE_SECONDS", 0.2)
    reading, writing = os.pipe()
    lines = LogLines(writing)
    for _ in range(10_000):
        lines.put("info", (("event", "decision"), ("text", "x" * 100)))
    began = time.monotonic()
    lines.close()
    assert time.monotonic() - began < 5
    os.close(reading)
    os.close(writing)


def test_a_log_that_is_gone_stops_nobody() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    lines = LogLines(writing)
    lines.put("info", (("event", "serving"),))
    lines.close()
    assert lines.dropped == 1
    os.close(writing)


@pytest.fixture
def configured() -> Iterator[tuple[LogLines, int]]:
    with _piped() as (lines, reading):
        configure_logging(LogSection(), lines)
        yield lines, reading
    structlog.reset_defaults()


def test_every_other_event_takes_the_same_way(configured: tuple[LogLines, int]) -> None:
    lines, reading = configured
    log = structlog.get_logger("tollway")
    log.debug("not told")
    log.info("link up", switch="fs1", port=8021, up=True, nothing=None)
    log.log(logging.WARNING, "radius packet discarded", detail="a\nb\x1b[31m")
    try:
        raise ValueError("what\nfailed")
    except ValueError:
        log.exception("a request could not be served", nas="gw1")
    first, second, third = _read(reading, lines)
    assert first.split(" ", 1)[1] == 'level=info event="link up" switch=fs1 port=8021 up=true nothing=\n'
    assert second.endswith('level=warning event="radius packet discarded" detail="a\\nb\\u001b[31m"\n')
    assert 'level=error event="a request could not be served" nas=gw1 exception="Traceback' in third
    assert "ValueError: what\\nfailed" in third


def test_an_event_of_too_many_fields_says_so(configured: tuple[LogLines, int]) -> None:
    lines, reading = configured
    structlog.get_logger("tollway").info("wide", **{f"field{number}": "x" * 400 for number in range(100)})
    (line,) = _read(reading, lines)
    assert len(line) < 9_000
    assert " left_out=" in line


def test_a_prefix_stands_before_every_line() -> None:
    reading, writing = os.pipe()
    lines = LogLines(writing, prefixes={"info": "<6>"})
    lines.put("info", (("event", "decision"),))
    assert _read(reading, lines)[0].startswith("<6>level=")
    os.close(reading)
    os.close(writing)
