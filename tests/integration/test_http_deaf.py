"""Whoever reads no answer is cut, however little else he does: by the real clock, as nothing of his ever settles."""

import asyncio
import socket
from pathlib import Path

import pytest

from daemon.http_api import server
from tests.unit.http_api.http_world import HttpWorld, good, http_world


async def test_who_reads_no_answer_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS_MAX", 0.5)
    async with http_world(tmp_path) as world:
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.connect(("127.0.0.1", world.server.port))
        await asyncio.sleep(0.1)
        (connection,) = _connections(world)
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        deaf.sendall(b"GET /schema/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 30)
        async with asyncio.timeout(30):
            while _connections(world):  # noqa: ASYNC110 - it has no event to wait for
                await asyncio.sleep(0.1)
        deaf.close()
        assert good(await world.ask())["result"] == "granted"
        assert (
            'tollway_discarded_total{listener="http",reason="unread"} 1.0' in (await world.send("GET", "/metrics")).text
        )


def _connections(world: HttpWorld) -> list[server.BoundedProtocol]:
    serving = world.server._server
    assert serving is not None
    return [each for each in serving.server_state.connections if isinstance(each, server.BoundedProtocol)]
