"""A process that dies while it writes, and processes that write side by side: the ledger adds up all the same."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from daemon.charging.ports import Reads
from daemon.kernel.money import NANO
from daemon.ledger.account import EntryKind
from tests.integration.store_world import OPENING, RITA, findings, opened

pytestmark = pytest.mark.usefixtures("engine")

ROOT = Path(__file__).parents[2]
# Plays calls, 32 at once, and prints the id of each that was settled and acknowledged.
LOAD = """
import asyncio, os, sys
from pathlib import Path
from tests.integration.store_world import opened

async def main(folder: Path, prefix: str) -> None:
    async with opened(folder, prefix=prefix) as world:
        async def play(lane: int) -> None:
            for number in range(100_000):
                name = f"{prefix}-{lane}-{number}"
                await world.whole(name, 10)
                os.write(1, f"{name}\\n".encode())
        await asyncio.gather(*(play(lane) for lane in range(32)))

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""
# Tops up rita 25 times by one unit, each under a key of its own, each twice.
TOP_UPS = """
import asyncio, sys
from pathlib import Path
from daemon.kernel.money import NANO
from daemon.ledger.account import EntryKind
from tests.integration.store_world import RITA, opened

async def main(folder: Path, name: str) -> None:
    async with opened(folder) as world:
        for number in range(25):
            for _ in range(2):
                await world.store.credit(RITA, EntryKind.TOP_UP, NANO, key=f"{name}-{number}", who=name, reason="")

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


def started(program: str, *words: str) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", program, *words], stdout=subprocess.PIPE, env=environment, cwd=ROOT)


def acknowledged(process: "subprocess.Popen[bytes]", calls: int) -> set[str]:
    """Let it work until it has acknowledged so many calls, kill it, and return all that it had acknowledged."""
    assert process.stdout is not None
    first = b"".join(process.stdout.readline() for _ in range(calls))
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read()
    process.wait(10)
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    return set((first + rest).decode().splitlines())


@pytest.mark.timeout(600)
async def test_what_a_killed_process_acknowledged_is_there_once(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    said: set[str] = set()
    for life, calls in enumerate((1, 50, 150)):
        process = started(LOAD, str(tmp_path), f"k{life}")
        said |= await asyncio.to_thread(acknowledged, process, calls)
    assert await findings(tmp_path) == []
    async with opened(tmp_path, prefix="z") as world:
        rows = await world.store.rows("SELECT body, charge FROM record WHERE tenant = 'ray'")
        charged = [msgspec.json.decode(body)["call_id"] for body, _charge in rows]
        assert len(charged) == len(set(charged))
        assert said <= set(charged)
        assert len(said) > 100
        assert {charge for _name, charge in rows} == {100_000_000}
        assert await world.balance(RITA) == OPENING - 100_000_000 * len(charged)
        world.now += 10 * 86_400_000_000
        while await world.ocf.expire_due():
            pass
        assert await world.store.open_calls() == []
        held = await world.store.rows("SELECT sum(reserved), sum(channels_in), sum(channels_out) FROM account")
        assert held == [(0, 0, 0)]
    assert await findings(tmp_path) == []


@pytest.mark.timeout(600)
async def test_two_processes_top_up_while_a_daemon_charges(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        revision = world.catalog().revision
        processes = [started(TOP_UPS, str(tmp_path), name) for name in ("one", "two")]
        calls = 0
        while any(process.poll() is None for process in processes):
            await asyncio.gather(*(world.whole(f"c{calls + lane}", 10) for lane in range(32)))
            calls += 32
        for process in processes:
            assert process.stdout is not None
            process.stdout.close()
            assert process.wait(10) == 0
        assert calls > 32
        assert await world.balance(RITA) == OPENING + 50 * NANO - calls * 100_000_000
        assert not await world.store.changed(revision), "money is no configuration"
        entries = await world.store.rows("SELECT count(*) FROM entry WHERE kind = 'top_up' AND who IN ('one', 'two')")
        assert entries == [(50,)]
        number = world.catalog().accounts[RITA].number
        seen = await world.store.transact(Reads(accounts=(number,)), lambda book: book.standing(number))
        assert seen.balance == await world.balance(RITA)
    assert await findings(tmp_path) == []


async def test_a_change_by_another_store_is_followed_by_its_revision(tmp_path: Path) -> None:
    async with opened(tmp_path) as daemon, opened(tmp_path) as command:
        revision = daemon.catalog().revision
        assert not await daemon.store.changed(revision)
        token, text = await command.store.create_token("main", "billing", who="test")
        assert await daemon.store.changed(revision)
        configuration = await daemon.store.load_configuration()
        assert [(found.id, found.role) for found in configuration.tokens] == [(token, "billing")]
        assert text not in repr(configuration)
        await command.store.credit(RITA, EntryKind.ADJUST, -NANO, key="", who="test", reason="a test")
        assert await daemon.balance(RITA) == OPENING - NANO
