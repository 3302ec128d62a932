"""What a store sums for its figures, on either engine: open calls by currency and direction, carriers, exports."""

from pathlib import Path

import pytest

from daemon.charging.ports import OpenSum
from daemon.http_api.metrics import Metrics
from daemon.kernel.instant import SECOND
from tests.integration.store_world import RITA, START, opened
from tests.unit.http_api.test_metrics import figures_of

pytestmark = pytest.mark.usefixtures("engine")


async def test_open_calls_are_summed_where_they_are_kept(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        assert await world.store.sums() == ((), 0, ())
        granted = [await world.ask(f"c{number}") for number in range(3)]
        world.now += 60 * SECOND
        await world.ask("c3")
        await world.end("c0", 7)
        held = sum(each.levels[0].reserved for each in granted[1:]) + granted[0].levels[0].reserved
        sums = await world.store.sums()
        assert sums.open == (OpenSum(granted[0].currency, "outbound", 3, held, START),)
        assert sums.carrier_channels == 3
        assert held == sum(call.levels[0].reserved for call in await world.store.open_calls()) > 0


async def test_only_finished_batches_are_exports(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await world.whole("c1", 60)
        batch = await world.store.begin_stored_batch("main", world.now, "UTC")
        assert (await world.store.sums()).exports == ()
        await world.store.finish_batch("main", batch.sequence, "0" * 64)
        assert (await world.store.sums()).exports == (("main", world.now),)


async def test_the_figures_are_those_of_the_store_and_name_nobody(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await world.ask("c1")
        for tenant, at in (("main", world.now), (RITA.tenant, world.now + 100 * SECOND)):
            batch = await world.store.begin_stored_batch(tenant, at, "UTC")
            await world.store.finish_batch(tenant, batch.sequence, "0" * 64)
        metrics = Metrics(world.store, lambda: world.now + 400 * SECOND)
        metrics.watch_owner(lambda: "main")
        figures = await figures_of(metrics)
        assert figures["tollway_open_calls",] == 1
        assert figures["tollway_oldest_open_call_seconds",] == 400
        assert (figures["tollway_channels", "outbound"], figures["tollway_channels", "carrier"]) == (1, 1)
        assert figures["tollway_channels", "inbound"] == 0
        ages = {key[1]: value for key, value in figures.items() if key[0] == "tollway_export_age_seconds"}
        assert ages == {"owner": 400, "others": 300}
        assert RITA.tenant not in (await metrics.render()).decode()
