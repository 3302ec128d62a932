"""A real Asterisk with the configuration that we ship: refused, answered, cut when the money ends, charged once."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from daemon.charging.call import SettledBy
from daemon.charging.configuration import CarrierSpec
from daemon.kernel.instant import SECOND
from daemon.kernel.money import parse_nano
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.scenario import SCENARIO
from tests.integration.asterisk_world import ASTERISK, QUICK, UK, AsteriskWorld
from tests.integration.esl_world import until
from tests.integration.real_asterisk import RealAsterisk, configured, real_asterisk, tree
from tests.ports import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program within another root folder"),
]

CENT = parse_nano("0.01")  # a second to 44 costs it
BUSY = "442079999999"
PARTIES = """
[caller]
exten => s,1,Wait(60)
[carrier-a]
exten => _X.,1,Hangup(34)
[carrier-b]
exten => 442079999999,1,Hangup(17)
exten => 442070000005,1,Answer()
 same => n,Wait(2)
 same => n,Hangup()
exten => _X.,1,Wait(0.2)
 same => n,Answer()
 same => n,Wait(60)
"""
SHORT = "442070000005"  # answers, which takes half a second, and hangs up after two more
BALANCES = {"acme": "25.00", "poor": "0.04", "empty": "0.00"}
CARRIERS = [
    CarrierSpec("main", "carrier-a", "buy", "Local/{number}@carrier-a/n"),
    CarrierSpec("main", "carrier-b", "buy-b", "Local/{number}@carrier-b/n"),
]


@asynccontextmanager
async def switched(folder: Path) -> AsyncIterator[tuple[AsteriskWorld, RealAsterisk]]:
    """Serve a real Asterisk."""
    await asyncio.to_thread(tree)
    manager = free_port()
    world = AsteriskWorld(folder, QUICK, asterisk=replace(ASTERISK, routing=True, secret="a secret of this test"))
    await world.open(BALANCES)
    await world.store.apply(CARRIERS, {}, who="test")
    await world.reload()
    world.start(manager)
    try:
        await until(lambda: world.agi > 0 and world.road.serves("127.0.0.1"))
        files = configured(manager, world.asterisk.secret, world.agi, PARTIES)
        async with real_asterisk(manager, files) as switch:
            await world.linked(20)
            yield world, switch
    finally:
        await world.close()


async def decided(world: AsteriskWorld, switch: RealAsterisk, number: str, account: str) -> str:
    """Have an account dial a number; return the code of the decision."""
    before = dict(world.tally.counts)
    await switch.originate(number, account)

    def codes() -> list[str]:
        return [
            key[2] for key, count in world.tally.counts.items()
            if key[:2] == ("tollway_decisions_total", "asterisk") and count > before.get(key, 0)
        ]  # fmt: skip

    await until(lambda: bool(codes()))
    return codes()[0]


async def test_calls_of_a_real_switch(tmp_path: Path) -> None:
    async with switched(tmp_path) as (world, switch):
        # Refused: nothing is dialled.
        assert await decided(world, switch, UK, "empty") == "balance_insufficient"
        assert await decided(world, switch, UK, "") == "account_unknown"
        assert await decided(world, switch, "00&account=acme", "acme") == "destination_malformed"
        await asyncio.sleep(0.3)
        assert "Called Local/" not in switch.log(), switch.log()
        assert "Executing [s@tollway-ask:9]" in switch.log()

        # The money of four seconds: the second carrier takes the call, and it ends when the money does.
        began = asyncio.get_running_loop().time()
        assert await decided(world, switch, UK, "poor") == "granted"
        assert await decided(world, switch, SHORT, "acme") == "granted"
        assert await decided(world, switch, BUSY, "acme") == "granted"
        await asyncio.sleep(2)
        await world.settled(20)
        assert asyncio.get_running_loop().time() - began < 15
        records = {record.called: record for record in await world.records()}
        assert records.keys() == {UK, SHORT}, "one record for each answered call"

        cut = records[UK]
        assert 4 * SECOND <= cut.duration_us < 5 * SECOND
        assert (cut.settled_by, cut.cause, cut.charge) == (SettledBy.OWN_LIMIT.value, "102", 4 * CENT)
        assert cut.carrier is not None
        assert "carrier-b" in str(cut.carrier), "the carrier that answered"
        assert await world.standing("poor") == (0, 0, 0)

        ended = records[SHORT]
        assert 2.4 * SECOND < ended.duration_us < 3.5 * SECOND, "two, and half a one of Answer itself"
        assert (ended.settled_by, ended.charge) == (SettledBy.HANGUP.value, -(-ended.duration_us // SECOND) * CENT)
        assert await world.standing("acme") == (parse_nano("25.00") - ended.charge, 0, 0)
        assert await world.exceptions() == []


async def test_a_daemon_that_is_away_is_a_refusal_and_the_switch_itself_cuts(tmp_path: Path) -> None:
    async with switched(tmp_path) as (world, switch):
        assert await decided(world, switch, UK, "poor") == "granted"
        await until(lambda: world.tally.counts["tollway_reports_total", "asterisk", "answer"] == 1)
        await asyncio.sleep(0.5)
        await world.stop()
        await switch.originate("442071111111", "acme")
        await until(lambda: "Executing [s@tollway-ask:19]" in switch.log() or "tollway-ask:20" in switch.log(), 20)
        assert "442071111111@carrier" not in switch.log()
        await until(lambda: switch.log().count("Spawn extension (tollway-ask, s, ") >= 2, 20)
        world.start(switch.manager)
        await world.linked(20)
        await world.settled(20)
        (record,) = await world.records()
        assert (record.settled_by, record.called) == (SettledBy.RECOVERY.value, UK)
        assert 0 < record.charge <= 4 * CENT
        assert [item["kind"] for item in await world.exceptions()] == ["recovery"]


MORE = """
[[account]]
id = "frank"
tenant = "main"
kind = "prepaid"
currency = "USD"
balance = "0.05"
rate_plan = "retail"

[[carrier]]
id = "carrier-b"
tenant = "main"
rate_table = "retail"
dial = "Local/{number}@carrier-b/n"

[[asterisk]]
id = "ast1"
tenant = "main"
port = %d
secret = "a secret of this test"
"""


async def test_a_daemon_that_is_killed_in_a_call_charges_it_once(tmp_path: Path) -> None:
    """The whole of it: the command line, the configuration as files, a real switch, and SIGKILL."""
    await asyncio.to_thread(tree)
    manager, agi = free_port(), free_port()
    daemon = DaemonProcess(
        tmp_path / "daemon", SCENARIO + MORE % manager,
        f'[fastagi]\nlisten = "127.0.0.1:{agi}"\n[charging]\nslice_seconds = 10\nblock_seconds_min = 1\n',
    )  # fmt: skip
    daemon.apply()
    daemon.start()
    try:
        async with real_asterisk(manager, configured(manager, "a secret of this test", agi, PARTIES)) as switch:
            await until(lambda: b'"ast1":true' in daemon.get("/readyz")[1].replace(b" ", b""))
            await switch.originate(UK, "frank")
            await switch.originate(UK, "rich")
            began = asyncio.get_running_loop().time()
            await until(lambda: _figure(daemon, 'tollway_reports_total{kind="answer",road="asterisk"}') == 2)
            daemon.kill()
            daemon.start()
            await until(lambda: _figure(daemon, 'tollway_ami_links_up{switch="ast1"}') == 1)
            await until(lambda: _figure(daemon, "tollway_open_calls") == 1, 40)  # frank had five seconds
            (rich,) = _open(daemon)
            assert daemon.command("call", "end", rich).returncode == 0
            await until(lambda: _figure(daemon, "tollway_open_calls") == 0, 40)
            lasted = asyncio.get_running_loop().time() - began
        whole = daemon.json("account", "show", "rich")
        assert isinstance(whole, dict)
        assert Decimal(whole["reserved"]) == 0
        charged = Decimal(1_000_000) - Decimal(whole["balance"])
        assert Decimal("0.01") < charged <= Decimal(int(lasted) + 1) / 100
        checked = daemon.command("db", "check")
        assert checked.returncode == 0, checked.stdout + checked.stderr
        listed = daemon.json("exception", "list")
        assert isinstance(listed, list)
        assert rich not in [item["call_id"] for item in listed], "it was taken over, and its end was heard"
    finally:
        daemon.kill()


def _open(daemon: DaemonProcess) -> list[str]:
    calls = daemon.json("call", "list")
    assert isinstance(calls, list)
    return [call["call_id"] for call in calls]


def _figure(daemon: DaemonProcess, name: str) -> float:
    """Return a figure of /metrics, 0 where it is not there yet."""
    lines = daemon.get("/metrics")[1].decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), 0.0)
