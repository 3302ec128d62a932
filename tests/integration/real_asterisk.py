"""A real Asterisk 22 of Debian, in a folder of its own, for tests: this machine's network, its configuration ours.

No Debian release that this machine may run has one, so it comes from the unstable one: its packages are unpacked, not
installed, into a folder beside other temporary files, once, and used again by whoever comes later. It needs root, to
run a program within that folder.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from daemon.asterisk.ami_wire import action
from tests.ports import turn

MIRROR = "http://deb.debian.org/debian"  # as the package sources of this machine, which know where it really is
SUITE = "sid"
UNPACK_SECONDS_MAX = 900  # seconds; one minute on a fast link
START_SECONDS_MAX = 60  # seconds; two on a quiet machine
CONF = Path(__file__).resolve().parents[2] / "conf" / "asterisk"
TEST_SECRET = "of the tests"
MODULES = (
    "pbx_config", "app_dial", "app_stack", "res_speech", "res_agi", "res_timing_timerfd", "bridge_simple", "func_cut",
    "func_strings", "func_timeout", "func_channel", "func_logic", "func_cdr", "func_callerid",
)  # fmt: skip
USELESS = ("var/cache/apt/archives", "usr/share/doc", "usr/share/locale", "usr/share/man")


def tree() -> Path:
    """Return the folder of an unpacked Asterisk, made where there is none."""
    place = Path(tempfile.gettempdir()) / f"tollway-asterisk-{SUITE}-{os.getuid()}"
    with turn("asterisk"):
        if not (place / "unpacked").exists():
            shutil.rmtree(place, ignore_errors=True)
            _unpack(place)
            (place / "unpacked").touch()
    return place


def _unpack(place: Path) -> None:
    # --foreign fetches and checks every package, and runs none of them.
    _run("debootstrap", "--foreign", "--variant=minbase", "--include=asterisk", SUITE, str(place), MIRROR)
    for package in sorted((place / "var/cache/apt/archives").glob("*.deb")):
        _run("dpkg-deb", "--extract", str(package), str(place))
    _run("chroot", str(place), "/sbin/ldconfig")
    for folder in USELESS:
        shutil.rmtree(place / folder, ignore_errors=True)


def _run(*command: str) -> None:
    environment = _proxied(dict(os.environ))
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=UNPACK_SECONDS_MAX, env=environment, check=False
    )
    assert done.returncode == 0, f"{command}: {(done.stdout + done.stderr)[-3000:]}"


def _proxied(environment: dict[str, str]) -> dict[str, str]:
    """Have packages fetched through the proxy by which this machine fetches its own, where it has one."""
    found = subprocess.run(
        ["apt-config", "shell", "PROXY", "Acquire::http::Proxy"], capture_output=True, text=True, check=False
    ).stdout
    if "http_proxy" not in environment and found.startswith("PROXY='"):
        environment["http_proxy"] = found.split("'")[1]
    return environment


class RealAsterisk:
    """One that runs; ``manager`` is the port on which the user tollway logs in with the secret."""

    def __init__(self, root: Path, folder: Path, manager: int) -> None:
        self._root = root
        self._folder = folder
        self.manager = manager
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, files: Mapping[str, str]) -> None:
        """Start it with these configuration files beside its own."""
        within = "/" + str(self._folder.relative_to(self._root))
        places = ("astetcdir", "astdbdir", "astspooldir", "astrundir", "astlogdir")
        directories = "".join(f"{name} => {within}\n" for name in places)
        modules = next(self._root.glob("usr/lib/*/asterisk/modules"))
        own = {
            "asterisk.conf": f"[directories]\n{directories}"
            f"astmoddir => /{modules.relative_to(self._root)}\nastvarlibdir => /var/lib/asterisk\n"
            "astkeydir => /var/lib/asterisk\nastdatadir => /usr/share/asterisk\nastagidir => /usr/share/asterisk\n"
            "[options]\nverbose = 3\n",
            "modules.conf": "[modules]\nautoload=no\n" + "".join(f"load={name}.so\n" for name in MODULES),
            "logger.conf": "[general]\n[logfiles]\nconsole => error,warning,notice,verbose(3)\n",
        }
        for name, text in {**own, **files}.items():
            (self._folder / name).write_text(text)
        with (self._folder / "console.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                "chroot", str(self._root), "asterisk", "-C", f"{within}/asterisk.conf", "-f", "-n",
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        deadline = asyncio.get_running_loop().time() + START_SECONDS_MAX
        while "Asterisk Ready" not in self.log():
            assert self._process.returncode is None, self.log()
            assert asyncio.get_running_loop().time() < deadline, self.log()
            await asyncio.sleep(0.05)

    def log(self) -> str:
        return (self._folder / "console.log").read_text(errors="replace")

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def originate(self, number: str, account: str) -> None:
        """Have a caller's channel of an account dial a number in the context tollway, and stay on it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.manager)
        login = {"Username": "tester", "Secret": TEST_SECRET, "Events": "off"}
        call = {
            "Channel": f"Local/{number}@tollway/n", "Context": "caller", "Exten": "s", "Priority": "1",
            "Account": account, "CallerID": "15551230001", "Async": "true",
        }  # fmt: skip
        writer.write(action("Login", "1", login) + action("Originate", "2", call))
        while b"Originate successfully queued" not in (line := await reader.readline()):
            assert line, self.log()
        writer.close()


@asynccontextmanager
async def real_asterisk(manager: int, files: Mapping[str, str]) -> AsyncIterator[RealAsterisk]:
    """Run an Asterisk with these configuration files, and stop it."""
    root = await asyncio.to_thread(tree)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=root))
    made = RealAsterisk(root, folder, manager)
    try:
        await made.start(files)
        yield made
    finally:
        await made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def configured(manager: int, secret: str, agi: int, more: str) -> dict[str, str]:
    """Return the files that we ship, with these ports and this secret, and ``more`` of a dialplan."""
    users = (CONF / "manager.conf").read_text().replace(";secret =", f"secret = {secret}")
    tester = f"\n[tester]\nsecret = {TEST_SECRET}\nread =\nwrite = originate\n"
    dialplan = (CONF / "extensions.conf").read_text()
    return {
        "manager.conf": users.replace("port = 5038", f"port = {manager}") + tester,
        "extensions.conf": dialplan.replace("agi://127.0.0.1:4573", f"agi://127.0.0.1:{agi}") + more,
    }
