"""An independent client reads /schema and holds the running daemon to it: every endpoint, every role, hostile input.

It makes its requests of the document alone: valid ones, broken ones, and chains of them. Where it finds a status, a
type of content or a body that the document does not promise, a request without a token that is answered, or a failure
of ours, the daemon breaks its contract.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.daemon_process import START_SECONDS_MAX, DaemonProcess
from tests.e2e.scenario import SCENARIO

EXAMPLES = 15  # requests made of each endpoint by chance, after those made of every rule of its schema
SECONDS_MAX = 240  # of one role's run on a busy machine
# A time that the schema allows may be too far from our clock, and then the request is refused: a rule of ours that no
# schema can say. Everything else that the client knows is held against the daemon.
EXCLUDED = "positive_data_acceptance"
KNOWN = """
[parameters]
"path.account" = "rich"
"path.tenant" = "main"
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    made = DaemonProcess(tmp_path_factory.mktemp("contract"), SCENARIO)
    made.apply()
    made.start()
    yield made
    made.stop()


def _await_token(daemon: DaemonProcess, token: str) -> None:
    """Wait until the daemon follows the new token; it answers 401 until then."""
    address, headers = f"http://127.0.0.1:{daemon.http_port}/v1/calls", {"Authorization": f"Bearer {token}"}
    ends = time.monotonic() + START_SECONDS_MAX
    while httpx.get(address, headers=headers).status_code == 401:
        assert time.monotonic() < ends, daemon.log()
        time.sleep(0.05)


@pytest.mark.parametrize("to", ["442071231234", "999000111"])
def test_a_command_explains_in_the_words_of_the_interface(daemon: DaemonProcess, to: str) -> None:
    made = daemon.json("token", "create", "main", "--role", "switch")
    assert isinstance(made, dict)
    _await_token(daemon, str(made["token"]))
    asked = {"call_id": "same", "account": "rich", "from": "1", "to": to, "direction": "outbound"}
    headers = {"Authorization": f"Bearer {made['token']}"}
    address = f"http://127.0.0.1:{daemon.http_port}/v1/authorize?explain=true"
    over_http = httpx.post(address, json=asked, headers=headers).json()
    told = daemon.json("call", "explain", "--as", "main", "--account", "rich", "--to", to)
    assert isinstance(told, dict)
    assert told["rules"] == over_http["rules"]
    for name in ("result", "reason", "quota_seconds", "reserved", "currency", "routes"):
        assert told[name] == over_http[name]


@pytest.mark.timeout(SECONDS_MAX + 60)
@pytest.mark.parametrize("role", ["switch", "billing", "read"])
def test_the_daemon_keeps_what_its_schema_promises(daemon: DaemonProcess, role: str, tmp_path: Path) -> None:
    made = daemon.json("token", "create", "main", "--role", role)
    assert isinstance(made, dict)
    _await_token(daemon, str(made["token"]))
    (tmp_path / "schemathesis.toml").write_text(KNOWN)
    document = f"http://127.0.0.1:{daemon.http_port}/schema/openapi.json"
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run",
        document, "--header", f"Authorization: Bearer {made['token']}",
        "--checks", "all", "--exclude-checks", EXCLUDED, "--max-examples", str(EXAMPLES), "--seed", "1", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "15 selected / 15 total" in done.stdout, "the document names every endpoint"
    assert "Traceback" not in daemon.log()
