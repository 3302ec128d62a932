"""Decks by version in a real store: what a dead import leaves, who comes between, and that no call waits."""

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import pytest

from daemon.charging.configuration import RateTableSpec
from daemon.charging.ports import Reads, StoreUnavailable
from daemon.kernel.ids import Key
from daemon.kernel.instant import DAY
from daemon.rating.deck import RateRow
from daemon.store.deck_import import DeckChange, DeckRefused
from daemon.store.decks import STAGE_ROWS
from daemon.store.objects import Refused
from tests.integration.store_world import DECK, RETAIL, RITA, SCENARIO, START, World, deck, decks, findings, opened

pytestmark = pytest.mark.usefixtures("engine")

T = TypeVar("T")
MERGE = DeckChange("merge", None, "clerk", "new.csv")


def rate(world: World, number: str = "447", at: int = START) -> int | None:
    tariff = world.catalog().tables[RETAIL].match(number, at)
    return None if tariff is None else tariff.rate // 10_000_000


async def versions(world: World) -> list[object]:
    return [version["version"] for version in await world.store.deck_versions(RETAIL)]


async def test_a_changed_deck_is_a_new_version_and_the_old_rate_stays_for_its_time(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        world.now = START + DAY
        changed = deck(DECK.replace("44,UK,0.60", "44,UK,0.70"))
        told = await world.store.apply(SCENARIO, decks() | {RETAIL: changed}, who="clerk", dry_run=True)
        assert await versions(world) == [1]
        assert await world.store.apply(SCENARIO, decks() | {RETAIL: changed}, who="clerk") == told
        assert [table.increased for table in told.decks if table.is_change] == [("44",)]
        assert await versions(world) == [1, 2]
        await world.load()
        assert (rate(world, at=START), rate(world, at=START + DAY - 1), rate(world, at=START + DAY)) == (60, 60, 70)
        again = await world.store.apply(SCENARIO, decks() | {RETAIL: changed}, who="clerk")
        assert again.is_empty
        assert await versions(world) == [1, 2]


async def test_the_same_scenario_does_not_take_back_what_a_person_imported(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        world.now += DAY
        difference = await world.store.import_deck(RETAIL, deck("prefix,rate\n44,0.80\n7,0.10\n"), MERGE)
        assert (difference.increased, difference.new) == (("44",), ("7",))
        assert (await world.store.apply(SCENARIO, decks(), who="clerk")).is_empty
        await world.load()
        assert (rate(world, at=world.now), rate(world, "71", world.now)) == (80, 10)
        record = (await world.store.changes_of("rate_table", RETAIL))[-1]
        assert (record["act"], record["who"], record["reason"]) == ("import", "clerk", "new.csv")


async def test_a_dry_run_and_a_refusal_write_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        revision = world.catalog().revision
        world.now += DAY
        dry = await world.store.import_deck(RETAIL, deck("prefix,rate\n44,0.80\n"), MERGE, dry_run=True)
        assert dry.increased == ("44",)
        past = deck("prefix,rate,effective_from\n44,0.8,2020-01-01T00:00:00Z\n")
        with pytest.raises(DeckRefused):
            await world.store.import_deck(RETAIL, past, MERGE)
        with pytest.raises(Refused, match="there is no rate table main/none"):
            await world.store.import_deck(Key("main", "none"), deck("prefix,rate\n44,0.80\n"), MERGE)
        assert await versions(world) == [1]
        assert not await world.store.changed(revision)


async def test_what_a_dead_import_left_aside_counts_for_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        world.now += DAY
        rows = deck("prefix,rate\n44,0.90\n")
        replacing = DeckChange("replace", None, "clerk", "new.csv")
        configuration = await world.store.load_configuration()
        version, plan = await world.store.deck_plan(
            RateTableSpec(*RETAIL, "USD"), configuration, rows, replacing, world.now
        )
        await world.store.staged(RETAIL, "", replacing, version, plan, world.now)  # and here it died
        await world.load()
        assert (rate(world, at=world.now), rate(world, "331", world.now)) == (60, 60)
        await world.store.import_deck(RETAIL, deck("prefix,rate\n44,0.70\n"), MERGE)
        await world.load()
        assert (rate(world, at=world.now), rate(world, "331", world.now)) == (70, 60)
        left = "SELECT count(*) FROM deck_row WHERE rate = 900000000"
        assert await world.store.rows(left) == [(1,)], "it might be alive still"
        world.now += DAY
        await world.store.import_deck(RETAIL, deck("prefix,rate\n44,0.50\n"), MERGE)
        assert await world.store.rows(left) == [(0,)]
        await world.load()
        assert (rate(world, at=world.now), rate(world, "331", world.now)) == (50, 60)
        assert await versions(world) == [1, 3, 4]


async def test_of_two_imports_at_once_one_is_taken_whole(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        world.now += DAY
        both = [deck("prefix,rate\n44,0.70\n33,0.70\n"), deck("prefix,rate\n44,0.80\n33,0.80\n")]
        results = await asyncio.gather(
            *(world.store.import_deck(RETAIL, rows, MERGE) for rows in both), return_exceptions=True
        )
        failed = [result for result in results if isinstance(result, BaseException)]
        # It came between, or was there already when the other was compared: what is in force is never altered.
        assert all(isinstance(error, StoreUnavailable | DeckRefused) for error in failed), failed
        assert len(failed) == 1
        await world.load()
        assert rate(world, at=world.now) == rate(world, "331", world.now)
        assert rate(world, at=world.now) in (70, 80)
    assert await findings(tmp_path) == []


@pytest.mark.alone
@pytest.mark.timeout(600)
async def test_calls_do_not_wait_for_a_large_deck(tmp_path: Path) -> None:
    rows = [RateRow(str(prefix), 100_000_000) for prefix in range(1_000_000, 1_000_000 + 12 * STAGE_ROWS)]
    async with opened(tmp_path) as world:
        world.now += DAY
        number = world.catalog().accounts[RITA].number

        async def beside(work: Awaitable[T]) -> T:
            doing, waits, since = asyncio.ensure_future(work), [0.0], time.monotonic()
            while not doing.done():
                began = time.monotonic()
                await world.store.transact(Reads(accounts=(number,)), lambda book: book.standing(number))
                waits.append(time.monotonic() - began)
                await asyncio.sleep(0.001)
            # In one transaction the deck would take a second and more; where the machine is slow, all of it is.
            assert max(waits) < max(1.0, (time.monotonic() - since) / 4), max(waits)
            return await doing

        told: list[str] = []
        importing = world.store.import_deck(RETAIL, rows, MERGE, progress=told.append)
        assert len((await beside(importing)).new) == len(rows)
        assert told[-1] == f"writing main/retail: {len(rows)} of {len(rows)} rows"
        await beside(world.load())
        assert rate(world, "10000007", world.now) == 10


async def test_a_rollback_is_a_version_of_its_own_on_record(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        world.now += DAY
        await world.store.import_deck(RETAIL, deck("prefix,rate\n44,0.80\n7,0.10\n"), MERGE)
        world.now += DAY
        before = await world.store.rows("SELECT * FROM deck_row ORDER BY number")
        told = await world.store.rollback_deck(RETAIL, 1, who="chief", reason="typing error", dry_run=True)
        assert await versions(world) == [1, 2]
        assert await world.store.rollback_deck(RETAIL, 1, who="chief", reason="typing error") == told
        assert (told.changed, told.decreased, told.closed) == ((), ("44",), ("7",))
        await world.load()
        assert [rate(world, at=START + days * DAY) for days in (0, 1, 2)] == [60, 80, 60]
        assert rate(world, "7", world.now) is None
        assert (await world.store.rows("SELECT * FROM deck_row ORDER BY number"))[: len(before)] == before
        record = (await world.store.changes_of("rate_table", RETAIL))[-1]
        assert (record["act"], record["who"], record["reason"]) == ("rollback", "chief", "typing error")
        assert record["at"] == world.now
        first, merged, back = await world.store.deck_versions(RETAIL)
        assert (first["new"], first["begins"], first["rows_added"]) == (2, 0, 2)
        assert (merged["increased"], merged["new"], merged["begins"]) == (1, 1, START + DAY)
        assert (back["mode"], back["source"], back["reason"]) == ("rollback", "version 1", "typing error")
        assert (back["decreased"], back["closed"], back["begins"], back["rows_ended"]) == (1, 1, world.now, 2)
        assert not (await world.store.rollback_deck(RETAIL, 1, who="chief", reason="again")).is_change
        assert await versions(world) == [1, 2, 3]
        assert (await world.store.apply(SCENARIO, decks(), who="clerk")).is_empty, "what a person took back stays"


async def test_going_back_to_no_version_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        with pytest.raises(DeckRefused, match="rate table main/retail has no version 7: it has 1"):
            await world.store.rollback_deck(RETAIL, 7, who="chief", reason="typing error")
        with pytest.raises(Refused, match="there is no rate table main/none"):
            await world.store.rollback_deck(Key("main", "none"), 1, who="chief", reason="typing error")


async def test_above_the_limit_nothing_is_written(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        world.now += DAY
        dearer = deck(DECK.replace("44,UK,0.60", "44,UK,0.70"))
        told = await world.store.import_deck(RETAIL, dearer, MERGE, limit_percent=49)
        assert (told.closed_or_changed_percent, await versions(world)) == (50, [1])
        await world.store.import_deck(RETAIL, dearer, MERGE, limit_percent=50)
        assert await versions(world) == [1, 2]
        world.now += DAY
        await world.store.rollback_deck(RETAIL, 1, who="chief", reason="r", limit_percent=49)
        assert await versions(world) == [1, 2]


async def test_steps_and_closings_come_back_from_the_store(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        world.now += DAY
        header = "prefix,rate,step_from_seconds,tax_code,ledger_code,action\n"
        steps = f"{header}49,0.1,,A,4711,\n49,0.2,60,A,4711,\n33,,,,,delete\n"
        difference = await world.store.import_deck(RETAIL, deck(steps), MERGE)
        assert (difference.new, difference.closed) == (("49",), ("33",))
        await world.load()
        tariff = world.catalog().tables[RETAIL].match("49", world.now)
        assert tariff is not None
        assert [step.rate for step in tariff.alternatives[0].tiers[0].steps] == [100_000_000, 200_000_000]
        assert (tariff.tax_code, tariff.ledger_code) == ("A", "4711")
        assert rate(world, "33", world.now) is None
        again = deck(steps.replace("33,,,,,delete\n", ""))
        assert not (await world.store.import_deck(RETAIL, again, MERGE)).is_change
