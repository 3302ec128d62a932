"""No daemon outlives its test, whichever way that ends."""

from collections.abc import Iterator
from subprocess import Popen

import pytest

from tests.e2e.daemon_process import DaemonProcess


@pytest.fixture(autouse=True)
def _no_daemon_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    started: list[Popen[bytes]] = []
    begin = DaemonProcess.start_quietly

    def noted(daemon: DaemonProcess) -> None:
        begin(daemon)
        assert daemon.process is not None
        started.append(daemon.process)

    monkeypatch.setattr(DaemonProcess, "start_quietly", noted)
    yield
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait(10)
