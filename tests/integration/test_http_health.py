"""Liveness, readiness, figures and the OpenAPI document; starting and stopping the listener."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon.charging.ports import StoreUnavailable
from daemon.settings import Listener
from tests.unit.http_api.http_world import HttpWorld, good, http_world

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HttpWorld]:
    async with http_world(tmp_path) as made:
        yield made


async def test_ready_means_that_the_store_writes(world: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    assert good(await world.send("GET", "/healthz")) == {"alive": True}
    ready = good(await world.send("GET", "/readyz"))
    assert "store_id" not in ready, "nobody drew one"
    links = {"fs1": True, "fs2": False}
    assert ready == {"ready": True, "store": "writable", "links": links, "journalled": 0}

    async def fail(_self: object) -> None:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(type(world.store), "ping", fail)
    response = await world.send("GET", "/readyz")
    assert (response.status_code, response.json()["ready"], response.json()["store"]) == (503, False, "unavailable")
    assert (await world.send("GET", "/healthz")).status_code == 200, "alive all the same"


async def test_figures_are_those_of_the_store(world: HttpWorld) -> None:
    good(await world.ask(account="rich"))
    good(await world.report("answer"))
    response = await world.send("GET", "/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    for line in (
        'tollway_decisions_total{code="granted",road="http"} 1.0',
        'tollway_reports_total{kind="answer",road="http"} 1.0',
        "tollway_open_calls 1.0", 'tollway_esl_links_up{switch="fs1"} 1.0', 'tollway_esl_links_up{switch="fs2"} 0.0',
        "tollway_store_queue_depth 0.0", "tollway_store_batch_size_bucket", "tollway_store_commit_seconds_bucket",
    ):  # fmt: skip
        assert line in response.text, line
    reserved = (await world.standing("rich")).reserved
    (shown,) = re.findall(r'^tollway_reserved_nano\{currency="USD"\} (\S+)$', response.text, re.MULTILINE)
    assert float(shown) == reserved


def _references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(_references(inner) for inner in value.values()))
    if isinstance(value, list):
        return set().union(*(_references(inner) for inner in value))
    return set()


async def test_the_document_declares_every_endpoint(world: HttpWorld) -> None:
    document = good(await world.send("GET", "/schema"))
    methods = {(path, method) for path, operations in document["paths"].items() for method in operations}
    assert methods == {
        ("/v1/authorize", "post"), ("/v1/calls", "get"), ("/v1/calls/{call_id}", "delete"),
        ("/v1/calls/{call_id}/answer", "post"), ("/v1/calls/{call_id}/update", "post"),
        ("/v1/calls/{call_id}/end", "post"), ("/v1/accounts/{account}", "get"),
        ("/v1/accounts/{tenant}/{account}", "get"), ("/v1/accounts/{account}/topups", "post"),
        ("/v1/accounts/{tenant}/{account}/topups", "post"), ("/v1/accounts/{account}/vouchers", "post"),
        ("/v1/accounts/{tenant}/{account}/vouchers", "post"), ("/healthz", "get"), ("/readyz", "get"),
        ("/metrics", "get"),
    }  # fmt: skip
    schemas = document["components"]["schemas"]
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas, reference
    question = schemas["AuthorizeRequest"]
    assert question["additionalProperties"] is False
    assert set(question["required"]) == {"call_id", "from", "to", "direction"}
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    assert document == good(await world.send("GET", "/schema/openapi.json"))


async def test_a_stop_answers_what_is_in_flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with http_world(tmp_path) as world:
        original = type(world.store).transact

        async def slowly(*arguments: Any) -> Any:
            await asyncio.sleep(0.3)
            return await original(*arguments)

        monkeypatch.setattr(type(world.store), "transact", slowly)
        asking = asyncio.create_task(world.ask())
        await asyncio.sleep(0.1)
        await world.server.stop()
        assert good(await asking)["result"] == "granted"
        with pytest.raises(httpx.ConnectError):
            await world.ask("c2")
        await world.server.stop()


async def test_a_port_that_is_taken_is_told_at_once(world: HttpWorld) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        await world.server.stop()
        with pytest.raises(OSError, match="in use"):
            await world.server.start(Listener("127.0.0.1", taken.getsockname()[1]))


async def test_an_empty_listener_is_off(world: HttpWorld) -> None:
    await world.server.stop()
    await world.server.start(Listener())
    with pytest.raises(httpx.ConnectError):
        await world.ask()
