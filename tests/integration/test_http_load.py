"""The load generator, as a process of its own against a real socket: what it reports is what the ledger says."""

import asyncio
import json
import sys
import time
from pathlib import Path

from daemon.kernel.money import NANO
from tests.unit.http_api.http_world import http_world

ROOT = Path(__file__).parents[2]


async def _generated(port: int, *words: str) -> tuple[int, dict[str, object]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.load_http", "--address", f"127.0.0.1:{port}", *words,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    found: dict[str, object] = json.loads(out)
    assert process.returncode is not None
    return process.returncode, found


async def test_every_call_of_the_generator_is_charged_once(tmp_path: Path) -> None:
    async with http_world(tmp_path) as world:
        world.around.now = time.time_ns() // 1000  # the generator has only the machine's clock
        words = ("--token", "switch", "--account", "rich", "--calls", "150", "--in-flight", "16", "--seconds", "30")
        status, result = await _generated(world.server.port, *words)
        assert (status, result["calls"], result["failed"], result["first_failure"]) == (0, 150, 0, "")
        standing = await world.standing("rich")
        assert standing.balance == 1_000_000 * NANO - 150 * 30 * NANO // 100
        assert (standing.reserved, standing.channels) == (0, 0)
        assert set(result) >= {"calls_per_second", "seconds", "p50_ms", "p99_ms", "generator_cpu_share"}


async def test_a_run_that_is_refused_fails(tmp_path: Path) -> None:
    async with http_world(tmp_path) as world:
        words = ("--token", "switch", "--account", "poor", "--calls", "20", "--in-flight", "4")
        status, result = await _generated(world.server.port, *words)
        assert (status, result["calls"], result["failed"]) == (1, 0, 20)
        assert "balance_insufficient" in str(result["first_failure"])
