"""Meters in the real store: written with their call or not at all, seen by the next of a batch, checked."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.authorize.catalog import Catalog
from daemon.authorize.decision import Denied
from daemon.charging.configuration import BundleSpec, RateTableSpec
from daemon.charging.event import Decided
from daemon.charging.ports import Book, Reads, StoreError
from daemon.kernel.ids import Key
from daemon.kernel.instant import DAY
from daemon.kernel.money import parse_nano
from daemon.rating.bundle import Bundle, Meter, period_number
from daemon.store import migrate, open_store
from tests.integration.store_world import (
    LATER,
    RAYS,
    RITA,
    START,
    TRUNK,
    WITHOUT_BUCKETS,
    World,
    altered,
    deck,
    findings,
    opened,
    settings,
)
from tests.integration.test_store_check import broken

pytestmark = pytest.mark.usefixtures("engine")

ROOT = Path(__file__).parents[2]
UK = Bundle("uk", 60, prefixes=frozenset({"44"}))
HUGE = replace(UK, units=10**15)
PERIOD = period_number(START, "month", "UTC")
# Plays calls on one bundle, 32 at once, and prints a line as each is settled.
LOAD = """
import asyncio, os, sys
from pathlib import Path
from tests.integration.store_world import opened
from tests.integration.test_store_meters import HUGE, sold

async def main(folder: Path, prefix: str) -> None:
    async with opened(folder, prefix=prefix) as world:
        sold(world, HUGE)
        await world.ask(f"{prefix}-open")  # whenever it is killed, this call is open
        async def play(lane: int) -> None:
            for number in range(100_000):
                await world.whole(f"{prefix}-{lane}-{number}", 10)
                os.write(1, b"settled\\n")
        await asyncio.gather(*(play(lane) for lane in range(32)))

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


def sold(world: World, *bundles: Bundle, payers: tuple[Key, ...] = (RITA,), **terms: object) -> Catalog:
    """Give accounts bundles; return the catalog."""
    found = world.catalog()
    accounts = dict(found.accounts)
    for key in payers:
        accounts[key] = replace(accounts[key], bundles=bundles, **terms)  # type: ignore[arg-type]
    made = replace(found, accounts=accounts, by_number={terms.number: terms for terms in accounts.values()})
    world.loaded.append(made)
    return made


async def meters(world: World, name: str = UK.meter) -> dict[str, tuple[int, int, int, int]]:
    """Return period, used, held and carried of a meter, by account."""
    query = "SELECT id, period, used, held, carried FROM meter JOIN account ON number = account WHERE name = ?"
    return {row[0]: row[1:] for row in await world.store.rows(query, (name,))}


async def test_units_are_held_used_and_kept_at_both_levels(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        sold(world, replace(UK, units=8_000), payers=(RITA, TRUNK))
        await world.ask("c1")
        assert await meters(world) == {"rita": (PERIOD, 0, 7_200, 0), "ray-trunk": (PERIOD, 0, 7_200, 0)}
        await world.answer("c1")
        call = await world.end("c1", 100)
        assert [posted.charge for posted in call.posted] == [0, 0]
        assert await meters(world) == {"rita": (PERIOD, 100, 0, 0), "ray-trunk": (PERIOD, 100, 0, 0)}
    assert await findings(tmp_path) == []
    async with opened(tmp_path, prefix="after") as world:
        sold(world, replace(UK, units=150), payers=(RITA, TRUNK), max_call_seconds=60)
        assert [units.units for units in (await world.ask("c2")).levels[0].units] == [50]


async def test_fifty_at_once_in_shared_batches_never_use_a_unit_twice(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        sold(world, replace(UK, units=100), credit_limit=-(10**18), max_call_seconds=7)
        asked = [world.ocf.authorize(world.attempt(f"c{number}")) for number in range(50)]
        decided = [each for each in await asyncio.gather(*asked) if isinstance(each, Decided)]
        granted = [each.decision for each in decided if not isinstance(each.decision, Denied)]
        assert sorted(grant.seconds for grant in granted) == [2] + [7] * 14
        assert len(decided) == 50
        assert (await meters(world))["rita"] == (PERIOD, 0, 100, 0)
    assert await findings(tmp_path) == []


async def test_a_scenarios_bundle_and_tiers_are_those_of_live_calls(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        rows = deck("prefix,destination,rate,tier_from\n44,UK,0.60,\n44,UK,0.45,100\n")
        stated = (
            BundleSpec("ray", "uk", "rita", 60, period="day", rollover=True, prefixes=("44",)),
            RateTableSpec("ray", "retail", "USD", tiers="graduated", tier_period="week"),
        )
        await world.store.apply(stated, {RAYS: rows}, who="test")
        await world.load()
        calls = [await world.whole(f"c{number}", seconds) for number, seconds in enumerate((40, 100, 60))]
        # 20 units are left for the second call; its other 80 seconds are the volume before the third.
        assert [call.posted[0].charge for call in calls] == [
            0, parse_nano("0.80"), parse_nano("0.20") + parse_nano("0.30"),
        ]  # fmt: skip
        assert (await meters(world, "bundle:uk:day"))["rita"][1:] == (60, 0, 0)
        assert (await meters(world, "volume:retail:week"))["rita"][1:] == (140, 0, 0)
        world.now += DAY
        assert (await world.ask("c9")).levels[0].units[0].units == 60
    assert await findings(tmp_path) == []


async def test_only_what_was_named_can_be_read(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        number = sold(world, UK).accounts[RITA].number

        def read(book: Book) -> Meter:
            return book.meter(number, UK.meter)

        with pytest.raises(KeyError, match="bundle:uk:month"):
            await world.store.transact(Reads(accounts=(number,)), read)
        named = Reads(meters=((number, UK.meter),))
        assert await world.store.transact(named, read) == Meter(number, UK.meter)
        await world.ask("c1")
        assert (await world.store.transact(Reads(grants=("g1",)), read)).held == 60


async def test_one_that_raises_counts_nothing_and_one_that_lies_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        number = sold(world, UK).accounts[RITA].number
        reads = Reads(meters=((number, UK.meter),))

        def broken_off(book: Book) -> None:
            book.save_meter(Meter(number, UK.meter, PERIOD, 5))
            raise ValueError("broken off")

        with pytest.raises(ValueError, match="broken off"):
            await world.store.transact(reads, broken_off)
        with pytest.raises(StoreError):
            await world.store.transact(reads, lambda book: book.save_meter(Meter(number, UK.meter, PERIOD, -1)))
        await world.store.transact(reads, lambda book: book.save_meter(Meter(number, UK.meter, PERIOD, 0, 0, 7)))
        assert await meters(world) == {"rita": (PERIOD, 0, 0, 7)}


@pytest.fixture
async def metered(tmp_path: Path) -> Path:
    """Return the folder of a store with a call that used units and one that holds some."""
    async with opened(tmp_path) as world:
        sold(world, UK, max_call_seconds=20)
        await world.whole("c1", 15)
        await world.ask("c2")
        assert await meters(world) == {"rita": (PERIOD, 15, 20, 0)}
    assert await findings(tmp_path) == []
    return tmp_path


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE meter SET used = used + 1", "used is 16 in period {period}, its records say 15"),
        ("UPDATE meter SET held = held - 1", "held is 19 in period {period}, its open calls say 20"),
        ("DELETE FROM meter", "calls count units in period {period}, which it has not reached"),
        ("UPDATE meter SET period = period - 1, used = 0, held = 0", "calls count units in period {period}, which"),
        ("UPDATE record SET body = replace(body, 'uk:month\",15,', 'uk:month\",14,') WHERE tenant = 'ray'",
         "used is 15 in period {period}, its records say 14"),
        ("UPDATE call SET body = replace(body, 'uk:month\",20,', 'uk:month\",5,') WHERE is_open = 1",
         "held is 20 in period {period}, its open calls say 5"),
    ],
)  # fmt: skip
async def test_a_meter_that_does_not_say_what_calls_say_is_named(metered: Path, statement: str, says: str) -> None:
    found = await broken(metered, statement)
    assert {invariant for invariant, _ in found} == {"meters"}
    assert says.format(period=PERIOD) in "\n".join(finding.detail for finding in await findings(metered))


async def test_a_fraction_of_a_unit_is_named_where_a_column_takes_it(metered: Path, engine: str) -> None:
    found = await broken(metered, "UPDATE meter SET carried = 0.5")
    assert found == ([("whole numbers", f"meter {UK.meter}")] if engine == "sqlite" else [])


def _killed_at_work(folder: Path, prefix: str, after_seconds: float) -> None:
    """Start a process that plays calls and kill it once forty are settled."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", LOAD, str(folder), prefix], stdout=subprocess.PIPE, env=environment, cwd=ROOT
    )
    assert process.stdout is not None
    for _ in range(40):
        assert process.stdout.readline() == b"settled\n"
    time.sleep(after_seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()


async def test_a_process_that_dies_leaves_no_unit_held_for_ever(tmp_path: Path) -> None:
    for life in range(2):
        _killed_at_work(tmp_path, f"p{life}", 0.05 * life)
        assert await findings(tmp_path) == []
    async with opened(tmp_path, prefix="after") as world:
        sold(world, HUGE)
        held = (await meters(world))["rita"][2]
        assert held > 0, "calls were open when it died"
        world.now += 10 * DAY
        while await world.ocf.expire_due():
            pass
        assert (await meters(world))["rita"][2] == 0
    assert await findings(tmp_path) == []


async def test_a_store_of_the_release_before_gets_its_meters(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await world.whole("c1")
    undone = (*LATER, *WITHOUT_BUCKETS[:-1], "DROP TABLE meter")
    await altered(tmp_path, *undone, "UPDATE alembic_version SET version_num = '0002'")
    with pytest.raises(StoreError, match="has schema 0002: run 'tollway db upgrade' first"):
        await open_store(settings(tmp_path), lambda: START)
    async with opened(tmp_path, prefix="after") as world:
        assert await world.store.rows("SELECT version_num FROM alembic_version") == [(migrate.HEAD,)]
        assert await meters(world) == {}
        await world.whole("c2")
    assert await findings(tmp_path) == []
