"""Which keys a running daemon takes, and that every other one is told to wait for a start."""

from dataclasses import replace

import pytest

from daemon.config_files.settings_changes import Taken, changes, in_force, taken, value
from daemon.config_files.settings_file import SECTIONS
from daemon.settings import Listener, LogSection, Settings

KEYS = [(section, key.name) for section, table in SECTIONS.items() for key in table.keys]
OTHER = Settings(
    store=replace(Settings().store, url="sqlite:///other.db", archive="else", archive_keep_months=9),
    http=Listener("127.0.0.1", 9),
    http_limits=replace(Settings().http_limits, metrics="open"),
    charging=replace(Settings().charging, ring_seconds=7, postpaid_journal="else"),
    emergency=replace(Settings().emergency, numbers=("112",), journal="else"),
    log=LogSection("debug", "json", "none"),
)


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_every_key_has_a_value_and_a_time(section: str, key: str) -> None:
    value(Settings(), section, key)
    assert taken(section, key) in Taken


def test_what_differs_is_told_with_its_time_and_without_its_value() -> None:
    found = list(changes(Settings(), OTHER))
    assert [(str(change), change.taken) for change in found] == [
        ("[store] url", Taken.START),
        ("[store] archive", Taken.START),
        ("[store] archive_keep_months", Taken.COMMAND),
        ("[http] listen", Taken.START),
        ("[http] metrics", Taken.RELOAD),
        ("[charging] ring_seconds", Taken.RELOAD),
        ("[charging] postpaid_journal", Taken.START),
        ("[emergency] numbers", Taken.RELOAD),
        ("[emergency] journal", Taken.START),
        ("[log] level", Taken.RELOAD),
        ("[log] format", Taken.RELOAD),
        ("[log] calls", Taken.RELOAD),
    ]


def test_what_waits_for_a_start_is_found_again_at_every_reload() -> None:
    now = in_force(Settings(), OTHER)
    again = list(changes(now, OTHER))
    assert {change.taken for change in again} == {Taken.START}
    assert len(again) == 5
    assert not list(changes(now, now))


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_a_start_never_changes_in_a_running_daemon(key: tuple[str, str]) -> None:
    now = in_force(Settings(), OTHER)
    expected = Settings() if taken(*key) is Taken.START else OTHER
    assert value(now, *key) == value(expected, *key)
