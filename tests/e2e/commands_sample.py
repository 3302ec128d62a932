"""The shipped sample in a folder of its own, for tests of the commands: the same files that `make run` loads."""

import shutil
from pathlib import Path

from tests.e2e.daemon_process import DaemonProcess

SAMPLE = Path(__file__).resolve().parents[2] / "conf" / "sample"


def sample_daemon(folder: Path, url: str = "") -> DaemonProcess:
    """Return a configured daemon with the sample's files beside its settings; nothing is applied or started."""
    daemon = DaemonProcess(folder, (SAMPLE / "scenario.toml").read_text(encoding="utf-8"), url=url)
    shutil.copytree(SAMPLE / "decks", folder / "decks")
    daemon.configure(f'[export]\ndirectory = "{folder / "exports"}"\n')
    return daemon
