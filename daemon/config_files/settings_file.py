"""``tollway.toml`` to frozen settings: all faults at once; an unknown or obsolete key is an error, never ignored.

Every key is declared once, in SECTIONS, with its default from ``daemon.settings``: the reference is made of the same.
"""

import stat
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from daemon.config_files.kinds import (
    FAULT,
    LISTENER,
    NON_EMPTY,
    NUMBER,
    NUMBERED_COUNTRY,
    OPTIONAL_DIAL,
    TEXT,
    ConfigKey,
    Kind,
    Many,
    Named,
    Scalar,
    Site,
    Table,
    refused,
    unknown_key,
    whole,
    words,
)
from daemon.config_files.positions import Document, Problem, read_document
from daemon.settings import (
    ChargingSection,
    EmergencySection,
    ExportSection,
    HttpSection,
    Listener,
    LogSection,
    Settings,
    StoreSettings,
    has_password,
    is_server,
)

_STORE_SCHEME: Final = "sqlite:///"
_SERVER_HINT: Final = 'write "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"'
_SERVER_QUERY: Final = frozenset(
    {"host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "passfile", "target_session_attrs"}
)
_DEFAULT: Final = Settings()


def _store_url(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError('write a URL in quotes: "sqlite:///FILE" or "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"')
    if is_server(value):
        return _server_url(value)
    if not value.startswith(_STORE_SCHEME):
        raise ValueError(
            'names neither engine; write "sqlite:///FILE", such as sqlite:///var/tollway.db, or'
            ' "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"'
        )
    file = value.removeprefix(_STORE_SCHEME)
    if not file or file == ":memory:" or set("?#%") & set(file):
        raise ValueError('names no file; write "sqlite:///FILE" without ?, # and %')
    return value


def _server_url(value: str) -> str:
    """Return the URL of a database. Raises ValueError, which never repeats it: it may hold a password."""
    try:
        parts = urlsplit(value)
        port = parts.port
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise ValueError(f"{_SERVER_HINT}; quote / : @ % of a password as %2F %3A %40 %25") from error
    named = dict(query)
    if port == 0 or parts.fragment or not (parts.hostname or named.get("host")):
        raise ValueError(f"{_SERVER_HINT}; a socket's folder is ?host=/run/postgresql")
    if not parts.path.strip("/") or "/" in parts.path[1:]:
        raise ValueError(f"names no database; {_SERVER_HINT}")
    unknown = sorted(named.keys() - _SERVER_QUERY)
    if unknown:
        raise ValueError(f"{unknown[0]} cannot stand in the URL; only {', '.join(sorted(_SERVER_QUERY))} can")
    return value


def _section(values: object, **keys: tuple[Kind, str]) -> Table:
    """Return the table of a section; the defaults are the attributes of its settings object."""
    return Table(tuple(ConfigKey(name, kind, getattr(values, name), text) for name, (kind, text) in keys.items()))


def _listener(default: Listener, meaning: str) -> Table:
    return Table((ConfigKey("listen", LISTENER, default, meaning),))


def _not_served(name: str) -> Table:
    return Table((ConfigKey("listen", refused(f"serves no {name}", ""), "", f"{name}, TCP"),))


def _seconds(least: int, most: int) -> Scalar:
    return whole(least, most, "seconds")


class _Countries(Named):
    """A table by ISO 3166 codes."""

    def read(self, site: Site, value: object) -> Any:
        """Return the numbers by code, or FAULT."""
        found = super().read(site, value)
        read = [] if found is FAULT else [NUMBERED_COUNTRY.read(site / code, code) for code, _ in found]
        return FAULT if found is FAULT or FAULT in read else dict(found)


def _requests() -> Scalar:
    return whole(0, 1_000_000, "requests a second")


SECTIONS: Final[dict[str, Table]] = {
    "store": _section(
        _DEFAULT.store,
        url=(
            Scalar("sqlite:///FILE or postgresql://…", _store_url),
            "where the ledger is kept; a file counts from the working directory, a database may serve several daemons",
        ),
        batch_max=(whole(1, 4_096, "transactions"), "share one commit at most; on PostgreSQL never more than 256"),
        queue_max=(whole(64, 1_048_576, "transactions"), "wait for a commit at most; beyond, the store is overloaded"),
        archive=(
            TEXT, "folder of archived months, relative to the working directory; empty: beside the store's"
            " file, such as var/tollway.archive; needed to archive from PostgreSQL, and the same for all who share it"
        ),
        archive_keep_months=(whole(1, 120, "months"), "before the current one stay in the store when it is archived"),
    ),
    "radius_auth": _listener(_DEFAULT.radius_auth, "RADIUS authentication, UDP"),
    "radius_acct": _listener(_DEFAULT.radius_acct, "RADIUS accounting, UDP"),
    "http": Table((
        *_listener(_DEFAULT.http, "HTTP, TCP").keys,
        *_section(
            _DEFAULT.http_limits,
            requests_per_second_token=(_requests(), "of a token; above, 429; 0: no limit; an emergency call has none"),
            requests_per_second_peer=(_requests(), "of an address, whatever its tokens; a proxy in front is one"),
            metrics=(
                words("loopback", "token", "open"),
                "who sees /metrics, and the links in /readyz, without the owner's read token: clients of this machine"
                " (not through a proxy), nobody, everybody",
            ),
        ).keys,
    )),
    "fastagi": _listener(_DEFAULT.fastagi, "FastAGI for Asterisk, TCP"),
    "esl_outbound": _not_served("outbound event socket"),
    "charging": _section(
        _DEFAULT.charging,
        slice_seconds=(_seconds(10, 86_400), "reserved at a time where the switch's limit can be moved"),
        block_seconds_min=(_seconds(1, 3_600), "reserved at a time, at least, while money for four slices is short"),
        ring_seconds=(_seconds(1, 600), "after which a grant that nobody answered lapses"),
        max_grant_seconds=(_seconds(1, 86_400), "granted at once, at most, where the switch's limit cannot be moved"),
        cut_tolerance_seconds=(_seconds(0, 10), "by which a switch may be late with our cut, unbilled"),
        interim_seconds=(_seconds(10, 3_600), "interval of the interim records that a grant asks for"),
        postpaid_without_store=(words("refuse", "grant"), "what postpaid calls get while the store cannot commit"),
        postpaid_journal=(
            NON_EMPTY, "file of such grants until the store has them; best on another disk; at most 64 MiB"
        ),
    ),
    "emergency": _section(
        _DEFAULT.emergency,
        numbers=(Many(NUMBER), "whole numbers that are granted before the account is sought"),
        dial=(OPTIONAL_DIAL, "where they are routed; {number} becomes the number; empty: the switch routes them"),
        journal=(NON_EMPTY, "file that records them; relative to the working directory"),
        countries=(
            _Countries(Many(NUMBER, least=1), 2), "those of a country, in place of `numbers`, for calls of endpoints,"
            " accounts or peers that state it"
        ),
    ),
    "export": _section(
        _DEFAULT.export,
        directory=(NON_EMPTY, "where the batches for invoicing are written; relative to the working directory"),
    ),
    "log": _section(
        _DEFAULT.log,
        level=(words("debug", "info", "warning", "error"), "least severe line logged"),
        format=(words("logfmt", "json"), "of a line: name=value, or one JSON object"),
        calls=(words("all", "none"), "whether each decision and each charge has a line, of level info"),
    ),
}  # fmt: skip


def read_settings(path: Path) -> tuple[Settings | None, list[Problem]]:
    """Return the settings of a file, or None with every problem of it, by line; an absent file is a problem."""
    document = read_document(path, f"; it was looked for at {path.absolute()}: name it with --config or TOLLWAY_CONFIG")
    if not document.readable:
        return None, document.problems()
    for name in document.values:
        if name not in SECTIONS:
            document.report((name,), unknown_key(name, SECTIONS).replace("unknown key", "unknown section"))
    sections = {name: _read_section(document, name, table) for name, table in SECTIONS.items()}
    _check_listeners(document, sections)
    if not document.is_faultless:
        return None, document.problems()
    return _settings(path, sections), []


def exposed(settings: Settings) -> str:
    """Return what to say of a file that holds a password and that everybody can read; empty where none does."""
    path = Path(settings.path)
    try:
        is_open = bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return ""
    if not is_open or not has_password(settings.store.url):
        return ""
    return (
        f"every user of this machine can read {path}, which holds the password of the store: chmod 0640 {path}, and"
        " give it to the group of the daemon's user"
    )


def _read_section(document: Document, name: str, table: Table) -> dict[str, Any]:
    values = table.read(Site(document, (name,)), document.values.get(name, {}))
    return {} if values is FAULT else values


def _check_listeners(document: Document, sections: dict[str, dict[str, Any]]) -> None:
    seen: list[tuple[str, str, Listener]] = []
    for name, protocol in (("radius_auth", "udp"), ("radius_acct", "udp"), ("http", "tcp"), ("fastagi", "tcp")):
        listener = sections[name].get("listen")
        if not listener:
            continue
        for other, other_protocol, taken in seen:
            if protocol == other_protocol and _collide(listener, taken):
                message = f"takes the address of [{other}], {taken.host}:{taken.port}; give each its own port"
                document.report((name, "listen"), message)
        seen.append((name, protocol, listener))


def _collide(one: Listener, other: Listener) -> bool:
    """Tell whether two listeners cannot both be bound: a wildcard takes a port on every address."""
    hosts = {"127.0.0.1" if host == "localhost" else host for host in (one.host, other.host)}
    return one.port == other.port and (len(hosts) == 1 or any(map(_is_wildcard, hosts)))


def _is_wildcard(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _settings(path: Path, sections: dict[str, dict[str, Any]]) -> Settings:
    return Settings(
        path=str(path),
        store=StoreSettings(**sections["store"]),
        radius_auth=sections["radius_auth"]["listen"],
        radius_acct=sections["radius_acct"]["listen"],
        http=sections["http"]["listen"],
        fastagi=sections["fastagi"]["listen"],
        http_limits=HttpSection(**{name: value for name, value in sections["http"].items() if name != "listen"}),
        charging=ChargingSection(**sections["charging"]),
        emergency=EmergencySection(**sections["emergency"]),
        export=ExportSection(**sections["export"]),
        log=LogSection(**sections["log"]),
    )
