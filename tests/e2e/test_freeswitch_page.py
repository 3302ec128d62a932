"""docs/freeswitch.md as an operator follows it: typed line by line, beside a switch that has the dialplan shipped here.

The switch is the double on the port that the page names; its callers go through conf/freeswitch/dialplan as the file
stands. The daemon and the commands are processes with the settings of conf/tollway.toml.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.daemon_process import START_SECONDS_MAX
from tests.e2e.pages import ROOT, TYPED, Block, Terminal, blocks, typed
from tests.integration.esl_world import until
from tests.ports import turn
from tests.switch_double.dialplan import Dialplan
from tests.switch_double.double import Call, Plan, SwitchDouble

PAGE = blocks(ROOT / "docs" / "freeswitch.md")
SWITCH_PORT = 8021  # the page's, and the switch's own default
MONEY_SECONDS = 12  # what the page's caller has money for
NUMBER = "442071231234"


def environment(home: Path) -> dict[str, str]:
    """Return where commands find the programs, the code and the reader's home."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(home), "PYTHONPATH": str(ROOT)}


@asynccontextmanager
async def daemon(folder: Path) -> AsyncIterator[None]:
    """Run what ``make run`` runs, without its installation."""
    told = environment(folder)
    shutil.copytree(ROOT / "conf", folder / "conf")
    (folder / "var").mkdir()
    applied = await asyncio.create_subprocess_exec(
        "tollway", "apply", "conf/sample/scenario.toml", cwd=folder, env=told, stdout=asyncio.subprocess.DEVNULL
    )
    assert await applied.wait() == 0
    with (folder / "daemon.log").open("wb") as log:
        running = await asyncio.create_subprocess_exec("tollway", "run", cwd=folder, env=told, stdout=log, stderr=log)
    try:
        yield
    finally:
        running.terminate()
        assert await asyncio.wait_for(running.wait(), 30) == 0


async def type_step(page: list[Block], folder: Path) -> None:
    """Type blocks while the double goes on."""
    with Terminal(folder, folder) as terminal:
        await asyncio.to_thread(typed, page, terminal)


def calls(switch: SwitchDouble, dialplan: Dialplan) -> Call:
    """Let a user of the context ``tollway`` dial: what his call carries when the dialplan parks it."""
    asked = dialplan.run("tollway", NUMBER, {"accountcode": "fiona", "tollway_result": "GRANTED"})
    assert (asked.application, "tollway_result" in asked.variables) == ("park", False)
    return switch.play(Plan("fiona", NUMBER, context="tollway", variables=asked.variables))


async def test_each_line_does_what_the_page_says(tmp_path: Path) -> None:
    dialplan = Dialplan(ROOT / "conf" / "freeswitch" / "dialplan" / "tollway.xml")
    steps = _steps()
    with turn("fresh-clone"):  # whoever listens on the ports of conf/tollway.toml
        switch = SwitchDouble()
        switch.port = SWITCH_PORT
        async with switch, daemon(tmp_path):
            await _until_ready(tmp_path)
            await type_step(steps["named"], tmp_path)
            await type_step(steps["paid"], tmp_path)
            await asyncio.sleep(1)
            call = calls(switch, dialplan)
            await asyncio.sleep(2)
            await type_step(steps["talking"], tmp_path)
            await asyncio.wait_for(call.over.wait(), MONEY_SECONDS + 10)
            assert call.cause in {"OUTGOING_CALL_BARRED", "ALLOTTED_TIMEOUT"}
            assert MONEY_SECONDS <= call.talked_us / 1e6 <= MONEY_SECONDS + 2
            _was_sent_on(dialplan, call)
            await asyncio.sleep(1)
            await type_step(steps["over"], tmp_path)
            refused = calls(switch, dialplan)
            await asyncio.wait_for(refused.over.wait(), 10)
            assert (refused.variables["tollway_reason"], refused.cause) == ("account_suspended", "CALL_REJECTED")
            await type_step(steps["spool"], tmp_path)


def _steps() -> dict[str, list[Block]]:
    """Return the typed blocks of each step, each with what it shows."""
    names = iter(("named", "paid", "talking", "over", "spool"))
    steps: dict[str, list[Block]] = {}
    for block in PAGE:
        if block.language in TYPED:
            steps[next(names)] = [block]
        elif block.language == "text":
            steps[list(steps)[-1]].append(block)
    assert len(steps) == 5
    return steps


def _was_sent_on(dialplan: Dialplan, call: Call) -> None:
    """The granted call goes to the context that the page names, and is bridged to the routes that it was told."""
    number, kind, context = call.transferred
    assert (number, kind) == ("GRANTED", "XML")
    told = {"tollway_result": "GRANTED", "tollway_quota_seconds": "12"} | call.variables
    stop = dialplan.run(context, number, told)
    assert (stop.application, stop.data) == ("bridge", told["tollway_routes"])
    for lost in ("tollway_result", "tollway_quota_seconds", "tollway_routes"):
        assert dialplan.run(context, number, told | {lost: ""}).application == "hangup", lost


async def _until_ready(folder: Path) -> None:
    await until(lambda: "Tollway is up" in (folder / "daemon.log").read_text(), START_SECONDS_MAX)


@pytest.mark.parametrize("number", ["112", "911", "999"])
def test_an_emergency_number_asks_nobody(number: str) -> None:
    stop = Dialplan(ROOT / "conf" / "freeswitch" / "dialplan" / "tollway.xml").run("tollway", number, {})
    assert (stop.application, stop.data) == ("bridge", f"sofia/gateway/emergency/{number}")
