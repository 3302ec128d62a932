"""A real daemon killed with calls open on a switch and on a NAS: what becomes of each, and the report that tells it.

The switch double runs outside the daemon and goes on while that is dead: it cuts by its own timers.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.e2e import radius_peer as peer
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.scenario import SCENARIO, SECRET
from tests.integration.esl_world import until
from tests.switch_double.double import SECOND, Plan, SwitchDouble

UK = "2442071231234"  # as the double's callers dial it: one digit is the dialplan's own
REST = """
[[account]]
id = "acme"
tenant = "main"
kind = "prepaid"
currency = "USD"
balance = "25.00"
rate_plan = "retail"

[[account]]
id = "poor"
tenant = "main"
kind = "prepaid"
currency = "USD"
balance = "1.00"
rate_plan = "retail"

[[freeswitch]]
id = "fs1"
tenant = "main"
strip_digits = 1
host = "127.0.0.1"
port = {port}
password = "ClueCon"
{spool}
"""
CHARGING = "[charging]\nring_seconds = 60\nslice_seconds = {}\nblock_seconds_min = 1\nmax_grant_seconds = 600\n"


@asynccontextmanager
async def killed_and_back(
    folder: Path, spool: str = "", slice_seconds: int = 300
) -> AsyncIterator[tuple[DaemonProcess, SwitchDouble]]:
    """Give a daemon that runs on a switch of its own; whatever a test did, both are gone afterwards."""
    async with SwitchDouble() as switch:
        stated = f'cdr_spool = "{folder / spool}"' if spool else ""
        scenario = SCENARIO + REST.format(port=switch.port, spool=stated)
        daemon = DaemonProcess(folder, scenario, CHARGING.format(slice_seconds))
        await asyncio.to_thread(daemon.apply)
        await asyncio.to_thread(daemon.start)
        try:
            await until(lambda: switch.logins == 1, 30)
            yield daemon, switch
        finally:
            await asyncio.to_thread(daemon.kill)


async def report(daemon: DaemonProcess, *words: str) -> dict[str, Any]:
    """Return the report of recovery."""
    found = await asyncio.to_thread(daemon.json, "call", "recovery", *words)
    assert isinstance(found, dict)
    return found


async def fates(daemon: DaemonProcess) -> dict[str, dict[str, Any]]:
    """Return the calls of the newest start by call id."""
    (start,) = (await report(daemon))["starts"]
    return {call["call_id"]: call for call in start["calls"]}


async def fate_is(daemon: DaemonProcess, wanted: dict[str, str], seconds: float = 60.0) -> dict[str, dict[str, Any]]:
    """Wait until each call has met its fate."""
    async with asyncio.timeout(seconds):
        while True:
            found = await fates(daemon)
            if {call_id: call["fate"] for call_id, call in found.items()} == wanted:
                return found
            await asyncio.sleep(0.2)


async def opened(daemon: DaemonProcess, wanted: Callable[[list[dict[str, Any]]], bool]) -> None:
    """Wait until the live calls are as wanted."""
    async with asyncio.timeout(60):
        while True:
            found = await asyncio.to_thread(daemon.json, "call", "list")
            assert isinstance(found, list)
            if wanted(found):
                return


def told(daemon: DaemonProcess, packet: bytes, port: int) -> peer.Reply:
    """Send a packet until it is answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(1)
        for _ in range(20):
            link.sendto(packet, ("127.0.0.1", port))
            try:
                return peer.reply(SECRET, packet, link.recv(4096))
            except OSError:
                continue
    raise AssertionError(f"no reply:\n{daemon.log()}")


def accounted(daemon: DaemonProcess, status: int, session: str, seconds: int | None = None) -> None:
    """Have an accounting record acknowledged."""
    packet = peer.accounting_request(SECRET, status, status, session, "rich", "442071231234", seconds)
    assert told(daemon, packet, daemon.acct_port).code == peer.ACCOUNTING_RESPONSE


def granted(daemon: DaemonProcess, session: str) -> None:
    """Have a question of the NAS granted."""
    packet = peer.access_request(SECRET, 9, "rich", "rich-password", "442071231234", session)
    assert told(daemon, packet, daemon.auth_port).code == peer.ACCESS_ACCEPT


async def test_the_report_tells_what_became_of_each_call_that_was_open(tmp_path: Path) -> None:
    async with killed_and_back(tmp_path) as (daemon, switch):
        runs, gone = switch.play(Plan("acme", UK)), switch.play(Plan("acme", UK))
        rings = switch.play(Plan("acme", UK, ring=120))
        await until(lambda: bool(runs.answered and gone.answered and rings.b_created), 30)
        for session in ("told-late", "rebooted", "silent"):
            await asyncio.to_thread(granted, daemon, session)
        for session in ("told-late", "rebooted"):
            await asyncio.to_thread(accounted, daemon, peer.START, session)
        await opened(daemon, lambda calls: len(calls) == 6)
        daemon.kill()
        await asyncio.sleep(1.2)  # long enough that neither proof of life nor first block is what the calls were
        switch.hang_up(gone, "NORMAL_CLEARING")
        switch.hang_up(rings, "ORIGINATOR_CANCEL")
        await asyncio.to_thread(daemon.start)
        await asyncio.to_thread(accounted, daemon, peer.STOP, "told-late", 5)
        await asyncio.to_thread(accounted, daemon, peer.ACCOUNTING_ON, "boot")
        found = await fate_is(daemon, {
            runs.a: "runs", gone.a: "estimated", rings.a: "voided", "told-late": "ended", "rebooted": "estimated",
            "silent": "voided",
        })  # fmt: skip
        assert found[runs.a]["adopted_at"]
        assert found[runs.a]["why"] == "fs1 runs it"
        assert (found[gone.a]["settled_by"], found[gone.a]["charged"]) == ("recovery", "0.01")
        assert found["rebooted"]["settled_by"] == "nas_reboot"
        assert (found["told-late"]["told_by"], found["told-late"]["seconds"], found["told-late"]["charged"]) == (
            "radius", "5", "0.05",
        )  # fmt: skip
        assert {found[call]["state_at_start"] for call in (rings.a, "silent")} == {"granted"}
        await asyncio.to_thread(accounted, daemon, peer.STOP, "rebooted", 2)
        (start,) = (await report(daemon))["starts"]
        (corrected,) = (call for call in start["calls"] if call["call_id"] == "rebooted")
        assert (corrected["fate"], corrected["told_by"], corrected["charged"]) == ("corrected", "radius", "0.02")
        assert start["channels_freed"] == 5
        assert start["counts"]["runs"] == 1
        assert float(start["money_freed"]["USD"]) > 0
        switch.hang_up(runs, "NORMAL_CLEARING")
        found = await fate_is(daemon, {call: each["fate"] for call, each in found.items()}
                              | {runs.a: "ended", "rebooted": "corrected"})  # fmt: skip
        assert found[runs.a]["told_by"] == "esl"
        assert round(float(found[runs.a]["seconds"]) * SECOND) == runs.talked_us
        await _told_in_log_and_metrics(daemon)
        assert daemon.command("db", "check").returncode == 0


async def _told_in_log_and_metrics(daemon: DaemonProcess) -> None:
    await until(lambda: "event=recovery start=2 found=6" in daemon.log(), 30)
    assert 'event="recovery begins" start=2 open_calls=6 answered=4 grants_in_the_journal=0' in daemon.log()
    metrics = (await asyncio.to_thread(daemon.get, "/metrics"))[1].decode()
    assert 'tollway_recovery_calls{fate="voided"} 2.0' in metrics
    assert "tollway_stuck_calls 0.0" in metrics
    assert "tollway_journalled_grants 0.0" in metrics
    text = await asyncio.to_thread(daemon.command, "call", "recovery")
    assert "start 2 at " in text.stdout
    assert "6 calls were open" in text.stdout


async def test_a_daemon_that_dies_before_the_cut_leaves_the_cut_to_the_switch(tmp_path: Path) -> None:
    async with killed_and_back(tmp_path, slice_seconds=10) as (daemon, switch):
        call = switch.play(Plan("poor", UK))
        await until(lambda: bool(call.answered), 30)
        await asyncio.sleep(1)  # the answer is committed within milliseconds
        daemon.kill()
        await asyncio.wait_for(call.over.wait(), 20)
        assert call.cause == "ALLOTTED_TIMEOUT"
        assert 10 * SECOND <= call.talked_us <= 12 * SECOND, "one slice, and a timer of whole seconds"
        await asyncio.to_thread(daemon.start)
        found = await fate_is(daemon, {call.a: "estimated"})
        assert found[call.a]["settled_by"] == "recovery"
        account = daemon.json("account", "show", "poor")
        assert isinstance(account, dict)
        assert float(account["reserved"]) == 0
        assert account["channels"]["total"] == 0
        assert float(found[call.a]["charged"]) > 0, "never silently free"
        listed = json.loads(daemon.command("exception", "list", "--json").stdout)
        assert [item["kind"] for item in listed] == ["recovery"]


async def test_what_ended_while_the_daemon_was_dead_is_charged_by_the_record_of_the_switch(tmp_path: Path) -> None:
    async with killed_and_back(tmp_path, "spool") as (daemon, switch):
        switch.spool = tmp_path / "spool"
        switch.spool.mkdir()
        talks, rings = switch.play(Plan("acme", UK)), switch.play(Plan("acme", UK, ring=3))
        unheard = Plan("acme", UK, parks=False)
        await until(lambda: bool(talks.answered and rings.b_created), 30)
        await asyncio.sleep(1)  # what was told is committed within milliseconds
        daemon.kill()
        unasked = switch.play(unheard)
        await until(lambda: bool(rings.answered and unasked.answered), 30)
        await asyncio.sleep(1.5)
        for call in (talks, rings, unasked):
            switch.hang_up(call, "NORMAL_CLEARING")
        (switch.spool / "a_broken.cdr.json").write_text("{")
        await asyncio.to_thread(daemon.start)
        found = await fate_is(daemon, {talks.a: "ended", rings.a: "ended"})
        assert {each["told_by"] for each in found.values()} == {"spool"}
        for call in (talks, rings):
            assert abs(float(found[call.a]["seconds"]) * SECOND - call.talked_us) < 50_000, "to the answer's 20 ms"
        await until(lambda: not list((tmp_path / "spool").glob("*.json")), 20)
        assert {path.name for path in (tmp_path / "spool" / "taken").iterdir()} == {
            f"a_{call.a}.cdr.json" for call in (talks, rings, unasked)
        }  # fmt: skip
        assert [path.name for path in (tmp_path / "spool" / "refused").iterdir()] == ["a_broken.cdr.json"]
        shown = await asyncio.to_thread(daemon.json, "call", "show", unasked.a)
        assert isinstance(shown, list)
        (charged,) = shown
        assert (charged["authorised"], charged["state"], charged["source"]) == (False, "settled", "spool")
        listed = json.loads((await asyncio.to_thread(daemon.command, "exception", "list", "--json")).stdout)
        assert [item["kind"] for item in listed] == ["unauthorised"]
        assert (await asyncio.to_thread(daemon.command, "db", "check")).returncode == 0


def test_a_start_that_finds_its_port_taken_leaves_the_report_of_the_last(tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path, SCENARIO)
    daemon.apply()
    with socket.create_server(("127.0.0.1", daemon.http_port)):
        daemon.start_quietly()
        assert daemon.process is not None
        assert daemon.process.wait(60) == 69
    found = daemon.json("call", "recovery")
    assert isinstance(found, dict)
    assert found["starts"] == []
