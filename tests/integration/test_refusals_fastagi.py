"""The table of refusals over FastAGI: each question that an account asks and nothing happened before."""

import asyncio
from pathlib import Path

import pytest

from daemon.asterisk.adapter import AsteriskAdapter
from daemon.authorize.catalog import Emergency
from daemon.authorize.denial import Q850, Denial
from daemon.charging.configuration import AsteriskSpec
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Outside
from daemon.charging.session import ChargingSettings
from daemon.config_files.scenario_file import read_scenario
from daemon.settings import Listener, StoreSettings
from daemon.store import open_store
from tests.asterisk_double.double import AsteriskDouble
from tests.integration.esl_world import Tally, until
from tests.tables.refusals_world import SCENARIO, Row, rows
from tests.tables.test_refusals import START
from tests.unit.http_api.http_world import Surroundings

pytestmark = pytest.mark.virtual_time

ASKED = [row for row in rows() if not row.before and not row.question.identity and row.question.account]
ROWS_MIN = 15


async def test_each_question_is_answered_with_its_word_and_its_cause(tmp_path: Path) -> None:
    around = Surroundings(now=START)
    scenario, problems = read_scenario(SCENARIO, token_ids=("switch",))
    assert scenario is not None, problems
    settings = StoreSettings(f"sqlite:///{tmp_path / 'tollway.db'}")
    store = await open_store(settings, lambda: around.now, create=True)
    await store.apply(scenario.objects, scenario.decks, who="test")
    around.found = await store.load_catalog(Emergency())
    outside = Outside(now=lambda: around.now, new_id=around.new_id)
    ocf = OnlineCharging(store, around, around, outside, ChargingSettings())
    specs = [AsteriskSpec("ast1", "main")]
    road = AsteriskAdapter(ocf, store, store.claimed, lambda: specs, outside, Tally())
    await road.start(Listener("127.0.0.1", 0))
    running = asyncio.create_task(road.run())
    switch = AsteriskDouble()
    try:
        await until(lambda: road.serves("127.0.0.1"))
        wrong = {}
        for row in ASKED:
            found = await answered(switch, road.server.port, row)
            if found != expected(row):
                wrong[str(row)] = found
            around.now += 60_000_000  # another second: what a row asks of calls a second is its own
        assert not wrong
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await road.stop()
        await store.close()


async def answered(switch: AsteriskDouble, port: int, row: Row) -> tuple[str, str]:
    """Return the code of a row's question and the cause that came with it."""
    question = row.question
    variables = {"TOLLWAY_DIRECTION": question.direction}
    told = await switch.ask(switch.call(), port, question.account, question.to, variables)
    return (told["TOLLWAY_REASON"] or told["TOLLWAY_RESULT"].lower(), told["TOLLWAY_CAUSE"])


def expected(row: Row) -> tuple[str, str]:
    return (row.code, "" if row.code == "granted" else str(Q850[Denial(row.code)]))


def test_the_table_asks_enough_here() -> None:
    assert len({row.code for row in ASKED if row.code != "granted"}) >= ROWS_MIN - 5
    assert len(ASKED) >= ROWS_MIN
