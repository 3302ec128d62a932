"""Every case of tests/tables/hostile/http against one server: counted once, for its reason, and then a good request."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.hostile_cases import Case, cases, octets
from tests.unit.http_api.http_world import HttpWorld, good, http_world, question

pytestmark = pytest.mark.virtual_time

COUNTED = re.compile(r'^tollway_discarded_total\{listener="http",reason="(\w+)"\} ([0-9.]+)$', re.MULTILINE)
WAIT_SECONDS = 40  # of the loop's clock, which jumps; the slowest limit is 15
RESET_OCTETS = 60_000  # octets; fewer are taken from the kernel in one piece
TOP_UP_ROAD = "topups"


async def test_each_is_counted_once_for_its_reason_and_a_good_request_succeeds_after_it(tmp_path: Path) -> None:
    wrong = []
    async with http_world(tmp_path) as world:
        for number, case in enumerate(cases("http")):
            before = await _counts(world)
            sent = _octets(case, f"hostile{number}")
            status = await _status(world, case, sent)
            rises = await _rises(world, before)
            # Who still sends when the connection is closed may see a reset in place of the answer.
            expected = {case["status"], 0} if len(sent) > RESET_OCTETS else {case["status"]}
            if rises != {case["reason"]: 1} or status not in expected:
                wrong.append(f"{case['name']}: {status}, {rises}; expected {case['status']}, {case['reason']}")
            answer = good(await world.ask(f"good{number}", account="rich"))
            assert answer["result"] == "granted", case["name"]
            good(await world.report("end", f"good{number}", answered=False))
    assert not wrong, "\n".join(wrong)


async def _counts(world: HttpWorld) -> dict[str, float]:
    figures = (await world.send("GET", "/metrics")).text
    return {reason: float(count) for reason, count in COUNTED.findall(figures)}


async def _rises(world: HttpWorld, before: dict[str, float]) -> dict[str, float]:
    """Return by how much each reason rose, once everything that was sent has been dealt with."""
    await asyncio.sleep(1)
    after = await _counts(world)
    return {reason: count - before.get(reason, 0) for reason, count in after.items() if count != before.get(reason, 0)}


async def _status(world: HttpWorld, case: Case, sent: bytes) -> int:
    """Send a case and return the first answer's status, 0 for a connection closed without one, -1 for one left open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
    try:
        writer.write(sent)
        if case.get("leaves"):
            await writer.drain()
            await asyncio.sleep(0.1)
            return 0
        answer = await asyncio.wait_for(_whole(reader, case), WAIT_SECONDS)
        return int(answer.split(b" ", 2)[1]) if answer else 0
    except ConnectionError:
        return 0
    except TimeoutError:
        return -1
    finally:
        writer.close()


async def _whole(reader: asyncio.StreamReader, case: Case) -> bytes:
    """Return what comes until the connection is closed, or of one that stays open, what comes first."""
    if case["reason"] in ("slow", "no_http"):
        return await reader.read()
    return await reader.read(65_536)


def _octets(case: Case, call: str) -> bytes:
    body = json.dumps(question(call, account="rich")).encode()
    names = {"call": call.encode(), "good length": b"%d" % len(body), "good": body}
    if "send" in case:
        return octets(case["send"], b"\r\n", names)
    content = octets(case["json"], b"\r\n", names)
    path, token = case.get("path", "/v1/authorize"), case.get("token", "switch")
    head = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Type: {case.get('type', 'application/json')}"]
    head += [f"Authorization: Bearer {token}"] if token else []
    key = case.get("key", call)
    head += [f"Idempotency-Key: {key}"] if key and path.endswith(TOP_UP_ROAD) else []
    head += [f"Content-Length: {len(content)}", "", ""]
    return octets("\n".join(head), b"\r\n", names) + content
