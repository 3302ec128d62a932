"""``tollway.toml`` to frozen settings: all faults at once; an unknown or obsolete key is an error, never ignored."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from daemon.config_files.keys import Key, Unfit, listener, listing, number, read_table, refused, text, whole, word
from daemon.config_files.positions import Document, Problem, read_document
from daemon.settings import (
    ChargingSection,
    EmergencySection,
    ExportSection,
    Listener,
    Settings,
    StoreSettings,
)

_DEFAULT = Settings()


def store_url(value: Any) -> str:
    """A URL of a store that this release can keep."""
    if not text(value).startswith("sqlite:///") or len(value) <= len("sqlite:///"):
        raise Unfit(f'{value!r} is not "sqlite:///FILE", the store of this release')
    return str(value)


def _listen(default: Listener, meaning: str) -> tuple[Key, ...]:
    return (Key("listen", listener, default, meaning + "; empty: off", "host:port"),)


_LATER = (Key("listen", refused("serve this listener", ""), "", "not served by this release", "host:port"),)
SECTIONS: dict[str, tuple[Key, ...]] = {
    "store": (
        Key("url", store_url, _DEFAULT.store.url, "where the ledger is kept, from the working directory", "URL"),
        Key("batch_max", whole(1, 4096), _DEFAULT.store.batch_max, "transactions that share one commit", "1 to 4096"),
        Key("queue_max", whole(64, 1 << 20), _DEFAULT.store.queue_max, "transactions that wait, at most", "64 up"),
    ),
    "radius_auth": _listen(_DEFAULT.radius_auth, "Access-Request, UDP"),
    "radius_acct": _listen(_DEFAULT.radius_acct, "Accounting-Request, UDP"),
    "http": _listen(_DEFAULT.http, "HTTP, TCP"),
    "fastagi": _LATER,
    "esl_outbound": _LATER,
    "charging": (
        Key("slice_seconds", whole(10, 86_400), 300, "reserved at a time where a limit can be moved", "seconds"),
        Key("block_seconds_min", whole(1, 3_600), 10, "reserved at a time while money is short, at least", "seconds"),
        Key("ring_seconds", whole(1, 600), 120, "a grant that nobody answers lapses after", "seconds"),
        Key("max_grant_seconds", whole(1, 86_400), 7_200, "granted at once where a limit cannot be moved", "seconds"),
        Key("cut_tolerance_seconds", whole(0, 10), 2, "how late a switch may carry out our cut, unbilled", "seconds"),
        Key("interim_seconds", whole(10, 3_600), 60, "interval of interim records that grants ask for", "seconds"),
    ),
    "emergency": (
        Key("numbers", listing(number), ("112", "911", "999"), "whole numbers that are always let through", "list"),
        Key("dial", text, "", "dial string that routes them; {number} becomes the number", "text"),
        Key("journal", text, _DEFAULT.emergency.journal, "file that records them", "file"),
    ),
    "export": (Key("directory", text, _DEFAULT.export.directory, "where batches are written", "folder"),),
    "log": (Key("level", word("debug", "info", "warning", "error"), "info", "least severe line logged", "word"),),
}  # fmt: skip


def read_settings(path: Path) -> tuple[Settings | None, list[Problem]]:
    """Return the settings of a file, or None with every fault of it. A file that is not there is a fault."""
    document = read_document(path)
    sections: dict[str, dict[str, Any]] = {}
    for name in document.values:
        if name not in SECTIONS:
            document.report((name,), f"unknown section; there are {', '.join(SECTIONS)}")
    if not document.problems or document.values:
        for name, keys in SECTIONS.items():
            sections[name] = read_table(document, (name,), document.values.get(name, {}), keys)
        _distinct(document, sections)
    if document.problems:
        return None, sorted(document.problems)
    return _settings(path, sections), []


def _distinct(document: Document, sections: dict[str, dict[str, Any]]) -> None:
    seen: dict[tuple[str, str, int], str] = {}
    for name, protocol in (("radius_auth", "udp"), ("radius_acct", "udp"), ("http", "tcp")):
        found = sections[name].get("listen")
        if not found:
            continue
        place = (protocol, found.host, found.port)
        if place in seen:
            document.report((name, "listen"), f"is the address of [{seen[place]}] too; give each its own port")
        seen[place] = name


def _settings(path: Path, sections: dict[str, dict[str, Any]]) -> Settings:
    return replace(
        _DEFAULT,
        path=str(path),
        store=StoreSettings(**sections["store"]),
        radius_auth=sections["radius_auth"]["listen"],
        radius_acct=sections["radius_acct"]["listen"],
        http=sections["http"]["listen"],
        charging=ChargingSection(**sections["charging"]),
        emergency=EmergencySection(**sections["emergency"]),
        export=ExportSection(**sections["export"]),
        log_level=sections["log"]["level"],
    )
