"""What `tollway run` prints to try is only what runs there."""

import shutil
import sys
from pathlib import Path

import pytest

from daemon.cli import serve
from daemon.settings import Listener, Settings

DEFAULT = Path(serve.DEFAULT_CONFIG)


def lines(settings: Settings, monkeypatch: pytest.MonkeyPatch, *, sample: bool, found: set[str]) -> list[str]:
    monkeypatch.setattr(shutil, "which", lambda name: name if name in found else None)
    monkeypatch.setattr(sys, "argv", [".venv/bin/tollway", "run"])
    return list(serve.try_lines(settings, DEFAULT, sample=sample))


def test_the_sample_is_named_only_where_the_store_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with_sample = lines(Settings(), monkeypatch, sample=True, found=set())
    without = lines(Settings(), monkeypatch, sample=False, found=set())
    assert ".venv/bin/tollway try --fast" in with_sample
    assert any("alice" in line for line in with_sample)
    assert not any("alice" in line or "try" in line for line in without)


def test_programs_that_are_not_there_are_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any("curl" in line for line in lines(Settings(), monkeypatch, sample=True, found=set()))
    assert any(line.startswith("curl ") for line in lines(Settings(), monkeypatch, sample=True, found={"curl"}))


def test_a_listener_that_is_off_is_neither_listed_nor_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(radius_auth=Listener(), http=Listener())
    assert [name for name, _, _ in serve.listeners(settings)] == ["radius_acct"]
    shown = lines(settings, monkeypatch, sample=True, found={"curl"})
    assert not any("curl" in line or " try" in line or "radius send" in line for line in shown)


def test_another_settings_file_is_named_in_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["/usr/lib/python/daemon/cli/__main__.py", "run"])
    shown = list(serve.try_lines(Settings(), Path("other dir/t.toml"), sample=True))
    assert all(line.startswith(f"{sys.executable} -m daemon.cli --config 'other dir/t.toml' ") for line in shown)
