"""Every row of the table of refusals over a live road: HTTP on a real socket, charged in a real store."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon.authorize.catalog import Emergency
from daemon.charging.configuration import TokenSpec
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Outside
from daemon.charging.session import ChargingSettings
from daemon.config_files.scenario_file import read_scenario
from daemon.http_api.metrics import Metrics
from daemon.http_api.server import HttpServer
from daemon.kernel.instant import SECOND, format_rfc3339
from daemon.settings import HttpSection, Listener, StoreSettings
from daemon.store import open_store
from tests.tables.refusals_world import SCENARIO, Player, Question, Row, rows
from tests.tables.test_refusals import START
from tests.unit.http_api.http_world import Surroundings, good

pytestmark = pytest.mark.virtual_time

TOKEN = TokenSpec("switch", "main", "switch", hashlib.sha256(b"switch").hexdigest())


class Road:
    """A switch that asks over HTTP."""

    def __init__(self, client: httpx.AsyncClient, around: Surroundings) -> None:
        self._client, self._around = client, around

    async def post(self, path: str, body: dict[str, object]) -> dict[str, Any]:
        headers = {"Authorization": "Bearer switch"}
        return good(await self._client.post(path, content=json.dumps(body), headers=headers))

    async def ask(self, call_id: str, question: Question) -> str:
        body = {"call_id": call_id, "from": "15551230001", "to": question.to, "direction": question.direction}
        who = {"account": question.account} if question.account else {}
        identity = {name: value for name, value in question.identity.items() if name != "via"}
        answer = await self.post("/v1/authorize", {**body, **who, **identity})
        return str(answer["reason"] or answer["result"])

    async def answer(self, call_id: str, _question: Question) -> None:
        await self.post(f"/v1/calls/{call_id}/answer", {"at": format_rfc3339(self._around.now)})

    async def end(self, call_id: str, _question: Question, seconds: int) -> None:
        at = format_rfc3339(self._around.now)
        await self.post(f"/v1/calls/{call_id}/end", {"at": at, "duration_seconds": seconds})

    def wait(self, seconds: int) -> None:
        self._around.now += seconds * SECOND


@asynccontextmanager
async def road(folder: Path) -> AsyncIterator[Road]:
    """Serve the table's scenario over HTTP on a free port of loopback."""
    around = Surroundings(now=START)
    scenario, problems = read_scenario(SCENARIO, token_ids=("switch",))
    assert scenario is not None, problems
    settings = StoreSettings(f"sqlite:///{folder / 'tollway.db'}")
    store = await open_store(settings, lambda: around.now, create=True)
    await store.apply(scenario.objects, scenario.decks, who="test")
    around.found = await store.load_catalog(Emergency())
    outside = Outside(now=lambda: around.now, new_id=around.new_id)
    ocf = OnlineCharging(store, around, around, outside, ChargingSettings())
    server = HttpServer(ocf, store, lambda: {TOKEN.sha256: TOKEN}, Metrics(store), outside, dict, HttpSection())
    await server.start(Listener("127.0.0.1", 0))
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=20, trust_env=False)
    try:
        async with client:
            yield Road(client, around)
    finally:
        await server.stop()
        await store.close()


async def played(found: Road, row: Row) -> str:
    return await Player(found.ask, found.answer, found.end, found.wait).code(row)


@pytest.mark.parametrize("row", [row for row in rows() if row.before], ids=str)
async def test_each_question_after_what_happened_before(row: Row, tmp_path: Path) -> None:
    async with road(tmp_path) as found:
        assert await played(found, row) == row.code


async def test_each_question_that_nothing_happened_before(tmp_path: Path) -> None:
    fresh = [row for row in rows() if not row.before and row.code != "granted"]
    async with road(tmp_path) as found:
        assert {str(row): await played(found, row) for row in fresh} == {str(row): row.code for row in fresh}
