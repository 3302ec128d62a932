"""A real Kamailio of Debian with conf/kamailio/tollway.cfg, a called side and callers of sipp, before a real server.

Kamailio looks for whoever calls: from the carrier's port a call comes in, from any other a customer's goes out.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.radius_world import SECRET, World
from tests.ports import free_port
from tests.virtual_time import wall_us

CONF = Path(__file__).parents[2] / "conf" / "kamailio"
SCENARIOS = Path(__file__).parent / "sipp"
LIBRARY = Path("/etc/radcli/dictionary")  # of Debian's RADIUS client library, which Kamailio's modules use
MODULES = ("/usr/lib/x86_64-linux-gnu/kamailio/modules/", "/usr/lib/aarch64-linux-gnu/kamailio/modules/")
CALL_SECONDS_MAX = 40  # seconds of a call with its set-up, on a busy machine
START_SECONDS_MAX = 20  # seconds until Kamailio answers, on a busy machine
TICK_SECONDS = 0.005  # seconds; how finely the daemon's clock follows the machine's

MAIN = """#!KAMAILIO
debug=1
log_stderror=yes
children=2
disable_tcp=yes
enable_sctp=no
listen=udp:127.0.0.1:{sip}
mpath="{modules}"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
include_file "{folder}/tollway.cfg"

request_route {{
    if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
    if (has_totag()) {{
        route(TOLLWAY_WITHINDLG);
        if (loose_route()) {{
            t_relay();
        }} else if (is_method("ACK") && t_check_trans()) {{
            t_relay();
        }}
        exit;
    }}
    if (is_method("CANCEL")) {{
        if (t_check_trans()) {{ t_relay(); }}
        exit;
    }}
    t_check_trans();
    record_route();
    if ($sp == {carrier}) {{
        route(TOLLWAY_INBOUND);
    }} else {{
        route(TOLLWAY_AUTHORIZE);
    }}
    $du = "sip:127.0.0.1:{called}";
    t_on_failure("NEXT_LEG");
    t_relay();
}}

failure_route[NEXT_LEG] {{
    if (t_check_status("503")) {{
        $du = "sip:127.0.0.1:{called}";
        t_relay();
    }}
}}
"""


@dataclass
class Proxy:
    """Kamailio and the called side; what they print is in their folder."""

    here: World
    folder: Path
    sip: int = field(default_factory=free_port)
    called: int = field(default_factory=free_port)
    carrier: int = field(default_factory=free_port)
    running: list[asyncio.subprocess.Process] = field(default_factory=list)
    sipp: bool = True  # whether the called side is sipp's

    def configure(self) -> None:
        """Write what the operator writes: the files of conf/kamailio, with paths of this folder."""
        self.folder.mkdir(exist_ok=True)
        modules = next(each for each in MODULES if Path(each).is_dir())
        names = {"sip": self.sip, "called": self.called, "carrier": self.carrier, "folder": self.folder}
        shipped = (CONF / "tollway.cfg").read_text()
        assert shipped.count("/etc/radcli/radiusclient.conf") == 3
        self._write("tollway.cfg", shipped.replace("/etc/radcli", str(self.folder)))
        self._write("kamailio.cfg", MAIN.format(modules=modules, **names))
        self._write("servers", f"127.0.0.1 {SECRET}\n")
        self._write("dictionary", f"{LIBRARY.read_text()}\n$INCLUDE {CONF / 'dictionary.tollway'}\n")
        self._write(
            "radiusclient.conf",
            f"authserver 127.0.0.1:{self.here.port('auth')}\nacctserver 127.0.0.1:{self.here.port('acct')}\n"
            f"servers {self.folder}/servers\ndictionary {self.folder}/dictionary\ndefault_realm\n"
            "radius_timeout 2\nradius_retries 1\nbindaddr *\n",
        )

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    async def start(self) -> None:
        """Start both, and wait until Kamailio answers."""
        self.configure()
        await self._start("kamailio", "-f", "kamailio.cfg", "-DD", "-E", "-w", str(self.folder), "-Y", str(self.folder))
        if self.sipp:
            await self._start(
                "sipp", "-sf", str(SCENARIOS / "called.xml"), "-i", "127.0.0.1", "-p", str(self.called), "-nostdin"
            )
        async with asyncio.timeout(START_SECONDS_MAX):
            while not await self._answers():
                assert self.running[0].returncode is None, self.log()
                await asyncio.sleep(0.05)

    async def _start(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.log").open("wb") as log:
            self.running.append(
                await asyncio.create_subprocess_exec(
                    *command,
                    cwd=self.folder,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env={**os.environ, "TERM": "dumb"},
                )
            )

    async def _answers(self) -> bool:
        loop, answered = asyncio.get_running_loop(), asyncio.Event()

        class Asking(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                answered.set()

        transport, _ = await loop.create_datagram_endpoint(Asking, local_addr=("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        text = (
            f"OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{port}\r\n"
            f"From: <sip:x@x>;tag=1\r\nTo: <sip:x@x>\r\nCall-ID: {port}@x\r\nCSeq: 1 OPTIONS\r\n"
            "Content-Length: 0\r\n\r\n"
        )
        transport.sendto(text.encode(), ("127.0.0.1", self.sip))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(answered.wait(), 0.2)
        transport.close()
        return answered.is_set()

    async def call(self, scenario: str, call_id: str, called: str, password: str = "hello", **keys: str) -> None:
        """Play one caller to his end. Raises AssertionError where it is not the scenario's."""
        port = self.carrier if scenario.startswith("carrier") else free_port()
        given = {"caller": "alice", "called": called, "talk": "1000", "refusal": "403"} | keys
        text = (SCENARIOS / f"{scenario}.xml").read_text()
        for name, value in given.items():
            text = text.replace(f"[{name}]", value)
        path = self.folder / f"{call_id}.xml"
        path.write_text(text.replace("[authentication]", f"[authentication username=alice password={password}]"))
        process = await asyncio.create_subprocess_exec(
            "sipp", f"127.0.0.1:{self.sip}", "-sf", str(path), "-i", "127.0.0.1", "-p", str(port), "-m", "1",
            "-cid_str", call_id, "-nostdin", "-trace_err", cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "TERM": "dumb"}, start_new_session=True,
        )  # fmt: skip
        self.running.append(process)
        printed, _ = await asyncio.wait_for(process.communicate(), CALL_SECONDS_MAX)
        assert process.returncode == 0, (scenario, printed.decode()[-3000:], self.log())

    def log(self) -> str:
        """Return the end of what Kamailio printed."""
        return (self.folder / "kamailio.log").read_text(errors="replace")[-4000:]

    async def stop(self) -> None:
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


@asynccontextmanager
async def proxy(here: World, folder: Path, sipp: bool = True) -> AsyncIterator[Proxy]:
    """Serve a world, whose clock is the machine's, to a Kamailio; both are gone at the end."""
    made = Proxy(here, folder, sipp=sipp)
    ticking = asyncio.create_task(_ticking(here))
    try:
        await made.start()
        yield made
    finally:
        await made.stop()
        ticking.cancel()


async def _ticking(here: World) -> None:
    while True:
        here.now = wall_us()
        await asyncio.sleep(TICK_SECONDS)


def installed() -> bool:
    """Tell whether Debian's packages are there."""
    return all(shutil.which(program) for program in ("kamailio", "sipp")) and LIBRARY.exists()
