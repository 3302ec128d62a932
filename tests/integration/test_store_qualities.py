"""Carriers' counts in the real store, on either engine: added with the call by every daemon, graded alike, bounded."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from daemon.app_quality import QualityWatch
from daemon.authorize.decision import Denied
from daemon.authorize.quality import HOUR, SAMPLE_MIN, WINDOW_HOURS, Qualities, Quality, Tally, group_of, hour_of
from daemon.charging.configuration import CarrierSpec
from daemon.charging.event import CallReport, Decided, MessageKey
from daemon.charging.ports import Book, Outside, Reads, StoreUnavailable
from daemon.store import LedgerStore
from daemon.store.link import Link
from daemon.store.qualities import listed, qualities, regraded
from tests.integration.store_world import RITA, SCENARIO, START, World, decks, findings, opened

pytestmark = pytest.mark.usefixtures("engine")


async def tallies(world: World) -> list[tuple[object, ...]]:
    query = "SELECT id, prefix, hour, attempts, answered, seconds FROM carrier_tally JOIN account ON number = carrier"
    return await world.store.rows(f"{query} ORDER BY id, hour")


async def failed(world: World, call_id: str) -> None:
    await world.ask(call_id)
    await world.ocf.ended(CallReport(world.attempt(call_id), world.now, answered=False))


async def test_what_calls_of_two_daemons_tell_is_added_up_with_them(tmp_path: Path) -> None:
    async with opened(tmp_path) as world, opened(tmp_path, prefix="h") as other:
        await asyncio.gather(*(each.whole(f"{each.prefix}-{n}", 7) for each in (world, other) for n in range(5)))
        await asyncio.gather(*(failed(each, f"{each.prefix}-f{n}") for each in (world, other) for n in range(3)))
        group, hour = group_of("442071231234"), hour_of(START)
        assert await tallies(world) == [("carrier-a", group, hour, 16, 10, 70)]
        world.now += HOUR
        await failed(world, "later")
        assert (await tallies(world))[1:] == [("carrier-a", group, hour + 1, 1, 0, 0)]
    assert await findings(tmp_path) == []


async def test_a_call_that_could_not_be_written_counts_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await world.ask("c1")

        def broken(book: Book) -> None:
            book.tally(Tally(1, "442", 1, 1, 1, 1))
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await world.store.transact(Reads(), broken)
        assert await tallies(world) == []


async def test_grades_are_kept_changed_by_the_margin_and_forgotten_with_the_window(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        (carrier,) = world.catalog().carriers["main"]
        key = (carrier.number, "442")

        async def graded(attempts: int, answered: int) -> Quality:
            rows = [(carrier.number, "442", hour_of(world.now), attempts, answered, 60 * answered)]

            def work(link: Link) -> None:
                link.execute("DELETE FROM carrier_tally")
                link.insert("carrier_tally", ("carrier", "prefix", "hour", "attempts", "answered", "seconds"), rows)

            await world.store.administer(work)
            found = await regraded(world.store, world.now)
            assert found == await qualities(world.store)
            return found[key]

        assert (await graded(SAMPLE_MIN, SAMPLE_MIN // 2)).asr_grade == 5
        assert await listed(world.store, world.now) == [("main", "carrier-a", "442", SAMPLE_MIN, "50.0", 60, 5, 3)]
        assert await graded(1_000, 480) == Quality(1_000, 480, 28_800, 5, 3), "near enough"
        assert (await graded(1_000, 470)).asr_grade == 4
        assert (await graded(1_000, 520)).asr_grade == 4, "and back no sooner"
        world.now += (WINDOW_HOURS - 1) * HOUR
        assert key in await regraded(world.store, world.now)
        world.now += HOUR
        assert await regraded(world.store, world.now) == {}
        assert await tallies(world) == []
        assert await regraded(world.store, world.now) == {}


async def test_counts_below_the_sample_are_listed_without_grades(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await asyncio.gather(*(world.whole(f"c{number}", 9) for number in range(3)))
        await failed(world, "f1")
        await regraded(world.store, world.now)
        assert await listed(world.store, world.now) == [("main", "carrier-a", "442", 4, "75.0", 9, None, None)]
        assert await listed(world.store, world.now + WINDOW_HOURS * HOUR) == []


async def test_the_watch_gives_its_grades_and_outlives_a_store_that_cannot_be_asked(tmp_path: Path) -> None:
    given: list[Qualities] = []
    async with opened(tmp_path) as world:
        await world.whole("c1")
        watch = QualityWatch(world.store, Outside(lambda: world.now, lambda: "x"), given.append)
        await watch.look()
        assert given == [{}], "one call is no sample"

        class Away:
            async def rows(self, *_: object) -> list[tuple[object, ...]]:
                raise StoreUnavailable("away")

        away = cast(LedgerStore, Away())
        broken = QualityWatch(away, Outside(lambda: world.now, lambda: "x"), given.append)
        running = asyncio.create_task(broken.run())
        await asyncio.sleep(0.05)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert given == [{}]


async def test_of_questions_that_come_at_once_on_two_daemons_a_carrier_gets_as_many_as_it_takes_a_second(
    tmp_path: Path,
) -> None:
    limited = replace(next(each for each in SCENARIO if isinstance(each, CarrierSpec)), calls_per_second=4)
    async with opened(tmp_path) as world, opened(tmp_path, prefix="h") as other:
        await world.store.apply([limited], decks(), who="test")
        await world.load()
        await other.load()

        async def code(each: World, call_id: str) -> str:
            message = MessageKey(call_id, b"")
            decided = await each.ocf.authorize(each.attempt(call_id, RITA), message=message)
            assert isinstance(decided, Decided)
            return decided.decision.denial.value if isinstance(decided.decision, Denied) else "granted"

        asked = [code((world, other)[number % 2], f"c{number}") for number in range(10)]
        assert sorted(await asyncio.gather(*asked)) == ["calls_per_second"] * 6 + ["granted"] * 4
