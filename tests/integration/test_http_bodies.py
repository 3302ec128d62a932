"""What hostile and broken clients send: garbage, too much, too slowly, too many; and a daemon that fails itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon.charging.ports import StoreError, StoreUnavailable
from daemon.http_api import routes, server
from tests.unit.http_api.http_world import HttpWorld, good, http_world, question, refused

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HttpWorld]:
    async with http_world(tmp_path) as made:
        yield made


async def _raw(world: HttpWorld, octets: bytes, *, wait: float = 5) -> bytes:
    """Send octets on a connection of their own and return all that comes until it is closed or quiet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
    try:
        writer.write(octets)
        await writer.drain()
        return await asyncio.wait_for(reader.read(), wait)
    except ConnectionError:
        return b""
    finally:
        writer.close()


PATHS = ["/v1/authorize", "/v1/calls/c1/answer", "/v1/calls/c1/update", "/v1/calls/c1/end"]
GARBAGE = [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe\x00", b'{"at": 1}', b"[" * 30_000, b'{"at":"\x00"}', b"{}"]


@pytest.mark.parametrize("path", PATHS)
async def test_garbage_is_refused_and_the_connection_lives_on(world: HttpWorld, path: str) -> None:
    for body in GARBAGE:
        assert refused(await world.send("POST", path, "switch", content=body)) == (400, "malformed"), body[:20]
    assert (await world.send("GET", "/healthz")).status_code == 200
    figures = (await world.send("GET", "/metrics")).text
    assert f'tollway_discarded_total{{listener="http",reason="malformed"}} {len(GARBAGE)}.0' in figures


async def test_unknown_fields_are_errors_everywhere(world: HttpWorld) -> None:
    good(await world.ask())
    assert refused(await world.ask("c2", surprise=1)) == (400, "malformed")
    for kind in ("answer", "update", "end"):
        assert refused(await world.report(kind, surprise=1)) == (400, "malformed")
    response = await world.post(
        "/v1/accounts/alice/topups", {"amount": "1.00", "surprise": 1}, "billing", headers={"Idempotency-Key": "k"}
    )
    assert refused(response) == (400, "malformed")


@pytest.mark.parametrize(
    "fields",
    [
        {"call_id": "a\nb"}, {"call_id": "é" * 130}, {"to": "44\x00"}, {"from": "\x7f"}, {"ip": "192.0.2.300"},
        {"ip": "localhost"}, {"password": "x"}, {"at": "yesterday"}, {"override": "o" * 65}, {"via": "v" * 65},
    ],
)  # fmt: skip
async def test_texts_that_no_promise_covers_are_refused(world: HttpWorld, fields: dict[str, Any]) -> None:
    assert refused(await world.post("/v1/authorize", {**question("c1"), **fields})) == (400, "malformed")


async def test_a_body_has_a_limit(world: HttpWorld) -> None:
    for method, path, token in (("POST", PATHS[0], "switch"), ("POST", "/v1/accounts/alice/topups", "billing")):
        for size in (70_000, 1_000_000):
            response = await world.send(method, path, token, content=b" " * size, headers={"Idempotency-Key": "k"})
            assert refused(response) == (413, "too_large")
    padded = json.dumps(question("c1")).encode().ljust(1 << 16)
    assert (await world.send("POST", PATHS[0], "switch", content=padded)).status_code == 200, "the limit itself fits"

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 4096

    assert refused(await world.send("POST", PATHS[0], "switch", content=endless())) == (413, "too_large")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/authorize", "POST"), ("PUT", "/v1/calls/c1/end", "POST"), ("GET", "/v1/calls/c1", "DELETE"),
        ("POST", "/v1/calls/c1", "DELETE"), ("POST", "/v1/calls/c1/pause", "DELETE"),
    ],
)  # fmt: skip
async def test_other_methods_are_refused(world: HttpWorld, method: str, path: str, allowed: str) -> None:
    response = await world.send(method, path, "switch", content=b"{}")
    assert refused(response) == (405, "method_not_allowed")
    assert response.headers["allow"] == allowed


async def test_other_paths_are_refused(world: HttpWorld) -> None:
    for path in ("/", "/v1", "/v1/usage", "/v1/authorize/", "/schema/../etc/passwd", "/v1/accounts/a/b/c"):
        assert (await world.send("GET", path, "read")).status_code == 404, path
    assert (await world.send("PUT", "/v1/accounts/alice", "read")).status_code == 405


@pytest.mark.parametrize("query", ["explain=yes", "explain", "explain=true&explain=true", "other=1", "&"])
async def test_a_query_is_strict_too(world: HttpWorld, query: str) -> None:
    assert refused(await world.post(f"/v1/authorize?{query}", question("c1"))) == (400, "malformed")
    assert (await world.standing()).reserved == 0


@pytest.mark.parametrize(
    "path", ["/v1/calls/%FF/answer", "/v1/calls//answer", "/v1/calls/%0A/end", "/v1/calls/%00/end"]
)
async def test_a_call_id_in_the_path_is_text(world: HttpWorld, path: str) -> None:
    assert refused(await world.post(path, {"at": world.at()})) == (400, "malformed")


async def test_what_is_no_http_is_closed(world: HttpWorld) -> None:
    for octets in (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"HELO x\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        assert (await _raw(world, octets)).startswith((b"HTTP/1.1 400", b""))
    figures = (await world.send("GET", "/metrics")).text
    assert 'reason="no_http"' in figures


async def test_a_head_has_a_limit(world: HttpWorld) -> None:
    for head in (
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 100_000,
        b"GET /" + b"x" * 100_000,
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X-Many: 1\r\n" * 5_000 + b"\r\n",
    ):
        assert b" 200 " not in await _raw(world, head)
    ok = await _raw(
        world, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: " + b"x" * 8_000 + b"\r\n\r\n"
    )
    assert ok.startswith(b"HTTP/1.1 200 ")


async def test_who_sends_too_slowly_is_closed(world: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS_MAX", 0.2)
    head = b"POST /v1/authorize HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer switch\r\nContent-Length: 100\r\n\r\n"
    for octets in (b"", b"GET /healthz HT", head, head + b"{"):
        assert b" 200 " not in await _raw(world, octets), "closed by the daemon, or the read would have timed out"
    assert good(await world.ask())["result"] == "granted"


async def test_requests_in_a_pipeline_are_answered_in_order(world: HttpWorld) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /v1/calls HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await _raw(world, one * 3 + last)
    assert answer.count(b"HTTP/1.1 200 ") == 3
    assert answer.rindex(b"HTTP/1.1 401 ") > answer.rindex(b"HTTP/1.1 200 ")


def _request(body: bytes, *headers: bytes, method: bytes = b"POST") -> bytes:
    told = (b"Host: x", b"Authorization: Bearer switch", b"Content-Length: %d" % len(body), *headers)
    return b"\r\n".join((method + b" /v1/authorize HTTP/1.1", *told, b"", body))


async def _response(reader: asyncio.StreamReader, *, has_body: bool = True) -> tuple[dict[bytes, bytes], bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    named = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    named[b"status"] = head.split(b" ")[1]
    return named, await reader.readexactly(int(named[b"content-length"])) if has_body else b""


@pytest.mark.parametrize("body", [json.dumps(question("c1")).encode(), b"{", b"x" * 70_000])
async def test_an_answer_in_one_piece_is_that_in_two(world: HttpWorld, body: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
    writer.write(_request(body))
    whole, said = await _response(reader)
    writer.write(_request(body, b"Connection: close"))
    parts, repeated = await _response(reader)
    assert parts.pop(b"connection") == b"close", "which only the plain way can say"
    assert (whole, said) == (parts | {b"date": whole[b"date"]}, repeated)
    assert await reader.read() == b""
    writer.close()


async def test_a_head_request_has_no_body_and_the_connection_goes_on(world: HttpWorld) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
    writer.write(_request(b"", method=b"HEAD"))
    assert (await _response(reader, has_body=False))[0][b"status"] == b"405"
    writer.write(_request(json.dumps(question("c1")).encode()))
    assert (await _response(reader))[0][b"status"] == b"200"
    writer.close()


async def test_a_connection_that_idles_is_closed(world: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "KEEP_ALIVE_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
    writer.write(_request(json.dumps(question("c1")).encode()))
    assert (await _response(reader))[0][b"status"] == b"200"
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


async def test_a_long_head_behind_another_request_is_refused_too(world: HttpWorld) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    long = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n"
    assert (await _raw(world, one + long)).count(b"HTTP/1.1 200 ") <= 1


async def test_a_client_that_goes_away_is_counted(world: HttpWorld) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
    writer.write(b"POST /v1/authorize HTTP/1.1\r\nAuthorization: Bearer switch\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()
    await writer.wait_closed()
    del reader
    for _ in range(100):
        figures = (await world.send("GET", "/metrics")).text
        if 'reason="client_gone"' in figures:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(figures)


@pytest.mark.parametrize("error", [StoreUnavailable("locked"), StoreError("broken")])
async def test_a_store_that_fails_is_503_and_denies(
    world: HttpWorld, monkeypatch: pytest.MonkeyPatch, error: StoreError
) -> None:
    good(await world.ask("c0"))

    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(type(world.store), "transact", fail)
    response = await world.ask()
    assert refused(response) == (503, "store_unavailable")
    assert response.headers["retry-after"] == "1"
    assert (response.json()["result"], response.json()["reason"]) == ("denied", "store_unavailable")
    for kind in ("answer", "update", "end"):
        assert refused(await world.report(kind, "c0")) == (503, "store_unavailable")
    assert refused(await world.send("GET", "/v1/accounts/alice", "read")) == (503, "store_unavailable")


async def test_a_store_that_hangs_is_503(world: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(routes, "DECIDE_SECONDS_MAX", 0.1)
    monkeypatch.setattr(type(world.store), "transact", hang)
    assert refused(await world.ask()) == (503, "store_unavailable")


async def test_too_many_in_flight_is_overloaded(world: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "IN_FLIGHT_MAX", 0)
    response = await world.ask()
    assert refused(response) == (503, "overloaded")
    assert (response.json()["result"], response.json()["reason"]) == ("denied", "overloaded")


async def test_a_fault_of_ours_is_500_without_its_details(world: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(type(world.store), "transact", fail)
    for response in (await world.ask(), await world.send("GET", "/v1/accounts/alice", "read")):
        assert refused(response) == (500, "internal")
        assert "secret" not in response.text
