"""The real daemon as a process, in a folder of its own with free ports, for tests from outside.

None of the daemon's code runs in the test's process: it is configured by files, asked over sockets, killed by signals.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from daemon.settings import shown
from tests.e2e.scenario import write_deck
from tests.ports import free_port

START_SECONDS_MAX = 120  # seconds a start may take on a busy machine


def tollway(*words: str, folder: Path, timeout: float = 180) -> subprocess.CompletedProcess[str]:
    """Run one command of the command line in a folder, and return what it printed."""
    command = [sys.executable, "-m", "daemon.cli", "--config", "tollway.toml", *words]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=timeout, env=environment, check=False
    )


@dataclass
class DaemonProcess:
    """One configured daemon; ``extra`` is appended to its tollway.toml, ``wrapper`` is put before its command."""

    folder: Path
    scenario: str
    extra: str = ""
    wrapper: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    await_ready: bool = True
    start_seconds_max: float = START_SECONDS_MAX
    url: str = ""  # of a database, where the store is not a file in the folder
    environment: dict[str, str] = field(default_factory=dict)  # beside that of the tests

    def __post_init__(self) -> None:
        self.auth_port, self.acct_port, self.http_port = free_port(), free_port(), free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "scenario.toml").write_text(self.scenario)
        write_deck(self.folder)
        self.configure(self.extra)

    @property
    def store(self) -> Path:
        """The SQLite file, where there is no URL."""
        return self.folder / "tollway.db"

    @property
    def store_name(self) -> str:
        """What messages call the store."""
        return shown(self.url) if self.url else str(self.store)

    def configure(self, extra: str) -> None:
        """Write the settings file."""
        (self.folder / "tollway.toml").write_text(
            f'[store]\nurl = "{self.url or f"sqlite:///{self.store}"}"\n'
            f'[radius_auth]\nlisten = "127.0.0.1:{self.auth_port}"\n'
            f'[radius_acct]\nlisten = "127.0.0.1:{self.acct_port}"\n'
            f'[http]\nlisten = "127.0.0.1:{self.http_port}"\n{extra}\n'
        )

    def command(self, *words: str, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        """Run one command beside the daemon."""
        return tollway(*words, folder=self.folder, timeout=timeout)

    def apply(self, timeout: float = 60) -> None:
        """Load the scenario."""
        done = self.command("apply", "scenario.toml", timeout=timeout)
        assert done.returncode == 0, done.stderr + done.stdout

    def start(self) -> None:
        """Start it and wait until it is ready, or where ``await_ready`` is off, until it listens."""
        self.start_quietly()
        try:
            if self.await_ready:
                self._wait_ready()
            else:
                self._wait_listening()
        except BaseException:
            self.kill()  # whoever waits for it in vain does not know that it runs
            raise

    def start_quietly(self) -> None:
        """Start it and wait for nothing."""
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **self.environment}
        command = [*self.wrapper, sys.executable, "-m", "daemon.cli", "--config", "tollway.toml", "run"]
        with (self.folder / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def _wait_listening(self) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                self.get("/healthz")
                return
            time.sleep(0.02)
        raise AssertionError(f"the daemon did not listen in time:\n{self.log()}")

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + self.start_seconds_max
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon exited with {self.process.returncode}:\n{self.log()}")
            with contextlib.suppress(OSError):
                if self.get("/readyz")[0] == 200:
                    return
            time.sleep(0.02)
        raise AssertionError(f"the daemon was not ready in time:\n{self.log()}")

    def log(self) -> str:
        """Return the end of what the daemon wrote, without the lines of each decision and charge."""
        lines = (self.folder / "daemon.log").read_text(errors="replace").splitlines(keepends=True)
        return "".join(line for line in lines if " event=decision " not in line and " event=charge " not in line)[
            -20_000:
        ]

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask its HTTP listener without a token."""
        url = f"http://127.0.0.1:{self.http_port}{path}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read()

    def kill(self) -> None:
        """Send SIGKILL to it and all that it started."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def json(self, *words: str) -> object:
        """Return what a command with --json prints."""
        done = self.command(*words, "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)
