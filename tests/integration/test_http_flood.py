"""Whoever sends more than anybody needs is closed, and those who are connected hear nothing of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.http_api import server
from tests.unit.http_api.http_world import HttpWorld, good, http_world, question

pytestmark = pytest.mark.virtual_time

ONE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
CHUNKED = (
    b"POST /v1/authorize HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer switch\r\nTransfer-Encoding: chunked\r\n"
    b"Connection: close\r\n\r\n"
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HttpWorld]:
    async with http_world(tmp_path) as made:
        yield made


async def _sent(world: HttpWorld, *pieces: bytes) -> bytes:
    """Send pieces one after the other on a connection of their own, and return all that came until it was closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
    answers = asyncio.create_task(reader.read())
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass
    try:
        return await asyncio.wait_for(answers, 10)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_requests_ahead_of_their_answers_are_bounded(world: HttpWorld) -> None:
    answer = await _sent(world, ONE * (server.PIPELINE_MAX - 2) + LAST)
    assert answer.count(b"HTTP/1.1 200 ") == server.PIPELINE_MAX - 1
    flood = await _sent(world, *[ONE * 2_000] * 20)
    assert flood.count(b"HTTP/1.1 200 ") <= 2 * server.PIPELINE_MAX
    assert 'reason="no_http"' in (await world.send("GET", "/metrics")).text


async def test_what_is_no_body_of_a_body_is_bounded(world: HttpWorld) -> None:
    body = json.dumps(question("c1")).encode()
    single = b"".join(b"1\r\n%c\r\n" % octet for octet in body)
    answer = await _sent(world, CHUNKED, single + b"0\r\nX-Sum: 1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 "), "the smallest chunks and a trailer are allowed"
    trailers = b"".join(b"a%d: %s\r\n" % (number, b"x" * 20) for number in range(4_000))
    for start, more in ((b"0\r\n", trailers), (b"0\r\na: ", b"x" * 100_000), (b"1;", b"x" * 100_000)):
        assert b" 200 " not in await _sent(world, CHUNKED + start, *[more] * 12)
    assert good(await world.ask("c2", account="rich"))["result"] == "granted"


async def test_a_body_is_never_read_as_another_request(world: HttpWorld) -> None:
    inner = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    offers = b"Connection: upgrade\r\nUpgrade: h2c\r\n"
    outer = b"GET /healthz HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n"
    answer = await _sent(world, outer % (offers, len(inner)), inner)
    assert (answer.count(b"HTTP/1.1 "), b" 400 " in answer) == (1, True)
    assert b"tollway_" not in answer
    assert (await _sent(world, outer % (b"", len(inner)), inner + LAST)).count(b"HTTP/1.1 200 ") == 2


@pytest.mark.parametrize("limit", ["CONNECTIONS_MAX", "PEER_CONNECTIONS_MAX"])
async def test_the_newest_connection_gives_way(world: HttpWorld, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
    writer.write(ONE)
    assert b" 200 " in await reader.readuntil(b"\r\n")
    monkeypatch.setattr(server, limit, 3)
    others = [await asyncio.open_connection("127.0.0.1", world.server.port) for _ in range(9)]
    assert [await asyncio.wait_for(each.read(), 10) for each, _ in others[2:]] == [b""] * 7
    await reader.readexactly(1)
    writer.write(ONE)
    assert b" 200 " in await asyncio.wait_for(reader.readuntil(b" 200 "), 10), "who is there is answered"
    for _, each in (*others, (reader, writer)):
        each.close()
        await each.wait_closed()
    await asyncio.sleep(0.1)
    answer = await world.send("GET", "/metrics")
    assert 'tollway_discarded_total{listener="http",reason="connections"} 7.0' in answer.text
