"""The settings file: what is absent has its default, what is stated is taken, what is wrong is told with its line."""

from dataclasses import replace
from pathlib import Path

import pytest

from daemon.app import emergency_of
from daemon.config_files.settings_file import read_settings
from daemon.settings import (
    ChargingSection,
    EmergencySection,
    ExportSection,
    Listener,
    LogSection,
    Settings,
    StoreSettings,
)

EVERYTHING = """
[store]
url = "sqlite:////srv/tollway/ledger.db"
batch_max = 64
queue_max = 1024
[radius_auth]
listen = "0.0.0.0:1645"
[radius_acct]
listen = "[::1]:1646"
[http]
listen = "billing.example:8080"
[fastagi]
listen = "192.0.2.1:4573"
[esl_outbound]
listen = ""
[charging]
slice_seconds = 60
block_seconds_min = 6
ring_seconds = 90
max_grant_seconds = 3_600
cut_tolerance_seconds = 0
interim_seconds = 300
[emergency]
numbers = ["112", "+110"]
dial = "sofia/gateway/emergency/{number}"
journal = "/var/log/tollway/emergency.jsonl"
[export]
directory = "/srv/exports"
[log]
level = "debug"
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "tollway.toml"
    file.write_text(text)
    return file


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    file = written(tmp_path, "")
    assert read_settings(file) == (replace(Settings(), path=str(file)), [])


def test_every_key_is_taken(tmp_path: Path) -> None:
    file = written(tmp_path, EVERYTHING)
    settings, problems = read_settings(file)
    assert problems == []
    assert settings == Settings(
        path=str(file),
        store=StoreSettings("sqlite:////srv/tollway/ledger.db", 64, 1024),
        radius_auth=Listener("0.0.0.0", 1645),
        radius_acct=Listener("::1", 1646),
        http=Listener("billing.example", 8080),
        fastagi=Listener("192.0.2.1", 4573),
        charging=ChargingSection(60, 6, 90, 3600, 0, 300),
        emergency=EmergencySection(
            ("112", "110"), "sofia/gateway/emergency/{number}", "/var/log/tollway/emergency.jsonl"
        ),
        export=ExportSection("/srv/exports"),
        log=LogSection(level="debug"),
    )


def test_an_empty_listen_is_off(tmp_path: Path) -> None:
    settings, problems = read_settings(written(tmp_path, '[radius_auth]\nlisten = ""\n[radius_acct]\nlisten = ""\n'))
    assert problems == []
    assert settings is not None
    assert (bool(settings.radius_auth), bool(settings.radius_acct), bool(settings.http)) == (False, False, True)


# text, line, key, a piece of the message
FAULTS = [
    ("[http]\nlisten = 8090\n", 2, "http.listen", "write a text in quotes"),
    ('[http]\nlisten = ":8090"\n', 2, "http.listen", "host:port"),
    ('[http]\nlisten = "::1:8090"\n', 2, "http.listen", "host:port"),
    ('[http]\nlisten = "127.0.0.1:0"\n', 2, "http.listen", "host:port"),
    ('[http]\nlisten = "127.0.0.1:65536"\n', 2, "http.listen", "host:port"),
    ('[http]\nlisten = "127.0.0.300:80"\n', 2, "http.listen", "host:port"),
    ('[http]\nlisten = "127.0.0.1:\u0661"\n', 2, "http.listen", "host:port"),
    ('[fastagi]\nlisten = "4573"\n', 2, "fastagi.listen", "host:port"),
    ("[fastagi]\nlisten = false\n", 2, "fastagi.listen", "write a text in quotes"),
    ('[fastagi]\nlisten = "127.0.0.1:8090"\n', 2, "fastagi.listen", "takes the address of [http]"),
    ('[esl_outbound]\nlisten = "127.0.0.1:8084"\n', 2, "esl_outbound.listen", "serves no outbound event socket"),
    ('[store]\nurl = "mysql://db/tollway"\n', 2, "store.url", "names neither engine"),
    ("[store]\nurl = 5\n", 2, "store.url", "write a URL in quotes"),
    ('[store]\nurl = "postgresql://u:p@db"\n', 2, "store.url", "names no database"),
    ('[store]\nurl = "postgresql://u:p@db/a/b"\n', 2, "store.url", "names no database"),
    ('[store]\nurl = "postgresql:///tollway"\n', 2, "store.url", "?host=/run/postgresql"),
    ('[store]\nurl = "postgresql://u:p/w@db/tollway"\n', 2, "store.url", "quote / : @ %"),
    ('[store]\nurl = "postgresql://u:p@db:99999/tollway"\n', 2, "store.url", "quote / : @ %"),
    ('[store]\nurl = "postgresql://u@db/tollway?fsync=off"\n', 2, "store.url", "fsync cannot stand in the URL"),
    ('[store]\nurl = "sqlite:///"\n', 2, "store.url", "names no file"),
    ('[store]\nurl = "sqlite:///:memory:"\n', 2, "store.url", "names no file"),
    ('[store]\nurl = "sqlite:///a.db?mode=ro"\n', 2, "store.url", "names no file"),
    ("[store]\nbatch_max = 0\n", 2, "store.batch_max", "from 1 to 4096"),
    ("[store]\nbatch_max = 1e2\n", 2, "store.batch_max", "from 1 to 4096 without quotes"),
    ("store = 1\n", 1, "store", "write a table"),
    ("[[store]]\n", 1, "store", "write a table"),
    ("[charging]\nslice_secs = 300\n", 2, "charging.slice_secs", "did you mean slice_seconds?"),
    ("[charging]\ninterim_seconds = 9\n", 2, "charging.interim_seconds", "from 10 to 3600"),
    ("charging.ring_seconds = '90'\n", 1, "charging.ring_seconds", "without quotes"),
    ('[emergency]\nnumbers = "112"\n', 2, "emergency.numbers", "list in square brackets"),
    ('[emergency]\nnumbers = [\n"112",\n"11 2"]\n', 4, "emergency.numbers[1]", "1 to 18 digits"),
    ('[emergency]\ndial = "sofia/x|sofia/y"\n', 2, "emergency.dial", "a dial string is"),
    ('[emergency]\ncountries = { ZZ = ["112"] }\n', 2, "emergency.countries.ZZ", "is no ISO 3166"),
    ('[emergency]\ncountries = { GB = [] }\n', 2, "emergency.countries.GB", "has 0 elements"),
    ('[emergency]\ncountries = { GB = ["11-2"] }\n', 2, "emergency.countries.GB[0]", "only a did"),
    ('[export]\ndirectory = ""\n', 2, "export.directory", "is empty"),
    ('[export]\ndirectory = "a\\nb"\n', 2, "export.directory", "control character"),
    ('[log]\nlevel = "trace"\n', 2, "log.level", "debug, info, warning, error"),
    ("[logging]\n", 1, "logging", "unknown section"),
    ('[radius]\nauth = "x"\n', 1, "radius", "unknown section"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "key", "message"), FAULTS)
def test_one_fault(tmp_path: Path, text: str, line: int, key: str, message: str) -> None:
    settings, problems = read_settings(written(tmp_path, text))
    assert settings is None
    assert [(problem.line, problem.key) for problem in problems] == [(line, key)]
    assert message in problems[0].message


COLLISIONS = [
    ("127.0.0.1:1812", "127.0.0.1:1812", True),
    ("127.0.0.1:1812", "localhost:1812", True),
    ("127.0.0.1:1812", "0.0.0.0:1812", True),
    ("[::]:1812", "127.0.0.1:1812", True),
    ("127.0.0.1:1812", "127.0.0.2:1812", False),
    ("127.0.0.1:1812", "127.0.0.1:1813", False),
]


@pytest.mark.parametrize(("auth", "acct", "collide"), COLLISIONS)
def test_two_listeners_of_one_address(tmp_path: Path, auth: str, acct: str, collide: bool) -> None:
    text = f'[radius_auth]\nlisten = "{auth}"\n[radius_acct]\nlisten = "{acct}"\n'
    problems = read_settings(written(tmp_path, text))[1]
    assert [(problem.line, problem.key) for problem in problems] == ([(4, "radius_acct.listen")] if collide else [])


def test_udp_and_tcp_may_share_a_port(tmp_path: Path) -> None:
    assert read_settings(written(tmp_path, '[http]\nlisten = "127.0.0.1:1812"\n'))[1] == []


def test_emergency_numbers_of_countries_are_read(tmp_path: Path) -> None:
    settings, problems = read_settings(written(tmp_path, '[emergency]\ncountries = { GB = ["112", "999"] }\n'))
    assert problems == []
    assert settings is not None
    emergency = emergency_of(settings)
    assert (emergency.of("GB"), emergency.of("US")) == (frozenset({"112", "999"}), frozenset({"112", "911", "999"}))


def test_an_absent_file_is_a_problem(tmp_path: Path) -> None:
    settings, problems = read_settings(tmp_path / "absent.toml")
    assert settings is None
    assert "No such file" in str(problems[0])


def test_an_absent_file_is_named_from_the_root_with_the_ways_to_name_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (problem,) = read_settings(Path("conf/tollway.toml"))[1]
    assert f"looked for at {tmp_path}/conf/tollway.toml: name it with --config or TOLLWAY_CONFIG" in str(problem)


def test_a_file_that_is_no_toml_is_one_problem(tmp_path: Path) -> None:
    problems = read_settings(written(tmp_path, "[store\n"))[1]
    assert [problem.line for problem in problems] == [1]
