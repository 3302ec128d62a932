"""The settings of one daemon, ``tollway.toml``: frozen, complete, each key with its unit and default.

The reader keeps positions and collects every error; an unknown or obsolete key is an error, never ignored.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

SERVER_SCHEME: Final = "postgresql://"


def is_server(url: str) -> bool:
    """Tell whether a store's URL names a server and not a file."""
    return url.startswith(SERVER_SCHEME)


def shown(url: str) -> str:
    """Return a store's URL without its password, as logs and messages may say it."""
    place = url.rpartition("@")[2]
    user = re.match(r"(\w+://)([^:/@]*)", url)
    return url if "@" not in url or user is None else f"{user[1]}{user[2]}@{place}"


@dataclass(frozen=True, slots=True)
class Listener:
    """``host:port`` of a section's ``listen``; an empty host is off."""

    host: str = ""
    port: int = 0

    def __bool__(self) -> bool:
        """Tell whether the listener is on."""
        return bool(self.host)


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """``[store]``. ``batch_max`` transactions share a commit; ``queue_max`` wait for one at most.

    ``archive`` is the folder of archived months, empty: beside the file. So many months before this one stay.
    """

    url: str = "sqlite:///var/tollway.db"
    batch_max: int = 256
    queue_max: int = 4096
    archive: str = ""
    archive_keep_months: int = 3


@dataclass(frozen=True, slots=True)
class ChargingSection:
    """``[charging]``; in seconds, and what postpaid calls get while the store cannot commit."""

    slice_seconds: int = 300
    block_seconds_min: int = 10
    ring_seconds: int = 120
    max_grant_seconds: int = 7200
    cut_tolerance_seconds: int = 2
    interim_seconds: int = 60
    postpaid_without_store: str = "refuse"
    postpaid_journal: str = "var/postpaid.jsonl"


@dataclass(frozen=True, slots=True)
class EmergencySection:
    """``[emergency]``: whole numbers, the dial string, the journal, and the numbers of countries in their place."""

    numbers: tuple[str, ...] = ("112", "911", "999")
    dial: str = ""
    journal: str = "var/emergency.jsonl"
    countries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExportSection:
    """``[export]``."""

    directory: str = "var/exports"


@dataclass(frozen=True, slots=True)
class HttpSection:
    """``[http]`` beside ``listen``: requests a second of one token and of one address, and who sees the figures."""

    requests_per_second_token: int = 10_000
    requests_per_second_peer: int = 20_000
    metrics: str = "loopback"


@dataclass(frozen=True, slots=True)
class LogSection:
    """``[log]``: the least severe line, how a line is written, and whether each decision and charge has one."""

    level: str = "info"
    format: str = "logfmt"
    calls: str = "all"

    @property
    def tells_calls(self) -> bool:
        """Tell whether decisions and charges are logged, which are lines of level info."""
        return self.calls == "all" and self.level in ("debug", "info")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything ``tollway.toml`` says. ``path`` is the file it was read from, empty for the defaults."""

    path: str = ""
    store: StoreSettings = StoreSettings()
    radius_auth: Listener = Listener("127.0.0.1", 1812)
    radius_acct: Listener = Listener("127.0.0.1", 1813)
    http: Listener = Listener("127.0.0.1", 8090)
    http_limits: HttpSection = HttpSection()
    fastagi: Listener = field(default_factory=Listener)
    esl_outbound: Listener = field(default_factory=Listener)
    charging: ChargingSection = ChargingSection()
    emergency: EmergencySection = EmergencySection()
    export: ExportSection = ExportSection()
    log: LogSection = LogSection()
