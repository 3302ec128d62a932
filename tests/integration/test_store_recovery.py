"""The report of recovery from the real store, on either engine: what a start found, and what became of it meanwhile."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.app_recovery import RecoveryWatch
from daemon.charging.recovery import Fate, Recovered
from daemon.kernel.instant import DAY, SECOND
from daemon.store import recovery
from tests.integration.store_world import World, altered, findings, opened

pytestmark = pytest.mark.usefixtures("engine")


async def begun(world: World) -> list[Recovered]:
    """Begin a recovery, and return what it found."""
    start = await world.store.begin_recovery("host:1", await world.store.open_calls(), 2)
    assert (start.at, start.daemon, start.journalled) == (world.now, "host:1", 2)
    return await world.store.recovered_calls(start)


async def fates(world: World) -> dict[str, Recovered]:
    """Return the calls of the newest start by their call id."""
    (start,) = await world.store.recovery_starts(None)
    found = await world.store.recovered_calls(start)
    return {each.call.call_id if each.call is not None else "": each for each in found}


async def test_the_report_is_of_what_a_start_found_and_follows_the_calls(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        for name in ("runs", "ends", "lost", "silent"):
            await world.ask(name)
        for name in ("runs", "ends", "lost"):
            await world.answer(name)
        found = await begun(world)
        assert [each.fate for each in found] == [Fate.WAITS] * 4
        await world.ask("later")  # opened after the start: none of its calls
        world.now += SECOND
        grants = {each.call.call_id: each.found.grant_id for each in found if each.call is not None}
        await world.store.adopted([grants["runs"], grants["ends"], "nobody's"])
        await world.store.adopted([])
        await world.end("ends", 30)
        await world.ocf.recover(grants["lost"])
        world.now += 200 * SECOND
        await world.ocf.expire_due()
        told = await fates(world)
        assert {name: each.fate for name, each in told.items()} == {
            "runs": Fate.RUNS, "ends": Fate.ENDED, "lost": Fate.ESTIMATED, "silent": Fate.EXPIRED,
        }  # fmt: skip
        assert told["runs"].found.adopted_at == world.now - 200 * SECOND
        (estimated,) = await world.store.estimated_calls(world.now - DAY)
        assert estimated.found.grant_id == grants["lost"]
        world.now += 3 * DAY
        assert await world.store.estimated_calls(world.now - DAY) == []
        await world.end("lost", 90)
        corrected = (await fates(world))["lost"]
        assert (corrected.fate, corrected.told_by, corrected.seconds_us) == (Fate.CORRECTED, "test", 90 * SECOND)


async def test_starts_are_kept_in_their_order_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "STARTS_KEPT", 3)
    async with opened(tmp_path) as world:
        assert await world.store.recovery_starts(None) == []
        await world.ask("c1")
        for _ in range(5):
            world.now += SECOND
            await begun(world)
        starts = await world.store.recovery_starts(0)
        assert [start.number for start in starts] == [3, 4, 5]
        assert await world.store.recovery_starts(starts[1].at) == starts[1:]
        assert await world.store.recovery_starts(None) == starts[2:]
        assert len(await world.store.rows("SELECT grant_id FROM recovery_call")) == 3
    assert await findings(tmp_path) == []


async def test_a_row_that_cannot_be_read_is_told_with_its_reason(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await world.ask("c1")
        await begun(world)
        await altered(tmp_path, "UPDATE call SET body = '{}'")
        watch = RecoveryWatch(world.store, world.ocf)
        await world.store.open_calls()
        with capture_logs() as logged:
            await watch.note_failing(dict(world.store.unreadable))
            await watch.note_failing(dict(world.store.unreadable))
        assert [line["event"] for line in logged] == ["call cannot be resolved"]
        assert [item["kind"] for item in await world.store.exceptions()] == ["stuck_call"]
        (told,) = (await fates(world)).values()
        assert told.fate is Fate.UNREADABLE
        assert told.why.startswith("grant g")


async def test_the_log_tells_what_was_found_and_each_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.app_recovery.FIRST_SECONDS", 0)
    monkeypatch.setattr("daemon.app_recovery.LOOK_SECONDS", 0.02)
    async with opened(tmp_path) as world:
        await world.ask("c1")
        await world.answer("c1")
        watch = RecoveryWatch(world.store, world.ocf)
        with capture_logs() as logged:
            await watch.begin()
            running = asyncio.create_task(watch.run())
            await _until_counted(watch, "waits")
            await world.end("c1", 60)
            await _until_counted(watch, "ended")
            running.cancel()
        assert [(line["event"], line.get("waits"), line.get("ended")) for line in logged] == [
            ("recovery begins", None, None), ("recovery", 1, 0), ("recovery", 0, 1),
        ]  # fmt: skip
        assert (logged[0]["open_calls"], logged[0]["answered"]) == (1, 1)
        assert (logged[2]["channels_freed"], logged[2]["money_freed"]) == (1, "71.40 USD")


async def _until_counted(watch: RecoveryWatch, fate: str) -> None:
    async with asyncio.timeout(10):
        while not watch.counts.get(fate):  # noqa: ASYNC110 - it has no event to wait for
            await asyncio.sleep(0.02)
