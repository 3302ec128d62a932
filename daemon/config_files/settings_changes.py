"""When a key of ``tollway.toml`` takes effect, and what two readings of the file differ by. Pure.

Every key is in one of three sets: a running daemon takes it when it reads the file again; it takes effect with the next
start; or only commands use it, which read the file each time. A key that waits for a start is told as such when it
changes, and the daemon goes on with what it has. Values are never told: the store's URL may hold a password.
"""

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from typing import Final, NamedTuple

from daemon.config_files.settings_file import SECTIONS
from daemon.settings import Settings


class Taken(Enum):
    """When a changed key takes effect, in the words of the reference."""

    RELOAD = "reload"
    START = "start"
    COMMAND = "next command"


class Change(NamedTuple):
    """A key whose value differs."""

    section: str
    key: str
    taken: Taken

    def __str__(self) -> str:
        """Return ``[section] key``."""
        return f"[{self.section}] {self.key}"


_RELOADED: Final = {
    "http": {"requests_per_second_token", "requests_per_second_peer", "metrics"},
    "charging": {
        "slice_seconds", "block_seconds_min", "ring_seconds", "max_grant_seconds", "cut_tolerance_seconds",
        "interim_seconds", "postpaid_without_store",
    },
    "emergency": {"numbers", "dial", "countries"},
    "log": {"level", "format", "calls"},
}  # fmt: skip
_OF_COMMANDS: Final = {"store": {"archive_keep_months"}, "export": {"directory"}}


def taken(section: str, key: str) -> Taken:
    """Return when a key takes effect. What nobody thought of waits for a start, which is always right."""
    if key in _RELOADED.get(section, ()):
        return Taken.RELOAD
    return Taken.COMMAND if key in _OF_COMMANDS.get(section, ()) else Taken.START


def changes(before: Settings, after: Settings) -> Iterator[Change]:
    """Yield the keys that differ, in the order of the reference."""
    for section, table in SECTIONS.items():
        for key in table.keys:
            if value(before, section, key.name) != value(after, section, key.name):
                yield Change(section, key.name, taken(section, key.name))


def in_force(before: Settings, after: Settings) -> Settings:
    """Return the settings of a daemon that reads the file again: what waits for a start stays as it was."""
    store = replace(before.store, archive_keep_months=after.store.archive_keep_months)
    return replace(
        after, store=store, radius_auth=before.radius_auth, radius_acct=before.radius_acct, http=before.http,
        fastagi=before.fastagi, esl_outbound=before.esl_outbound,
        charging=replace(after.charging, postpaid_journal=before.charging.postpaid_journal),
        emergency=replace(after.emergency, journal=before.emergency.journal),
    )  # fmt: skip


def value(settings: Settings, section: str, key: str) -> object:
    """Return the value of a key."""
    if key == "listen":
        return getattr(settings, section)
    return getattr(settings.http_limits if section == "http" else getattr(settings, section), key)
