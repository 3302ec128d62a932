"""Calls of several months charged by the real use cases, exported, and archived: what tests of archives begin with."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from daemon.billing_export.batch import Batch
from daemon.billing_export.export import Exported, run_exports
from daemon.billing_export.source import StoreSource
from daemon.kernel.instant import DAY, Instant, parse_rfc3339
from daemon.kernel.money import NANO
from daemon.ledger.account import EntryKind
from daemon.store.archives import Archived
from daemon.store.archiving import archive_months
from tests.integration.store_world import ACME, URL_FILE, World

JANUARY: Instant = parse_rfc3339("2026-01-10T12:00:00Z")
MONTH = 31 * DAY
NOW: Instant = parse_rfc3339("2026-06-15T12:00:00Z")
FOLDER = "archive"


def archive_folder(folder: Path) -> Path:
    """Return where the archives of a folder's store are: beside the file, or where its settings say."""
    return folder / FOLDER if (folder / URL_FILE).exists() else folder / "tollway.archive"


async def lived(world: World, months: int = 4, calls: int = 2) -> None:
    """Charge calls in the middle of each month from January on, with top-ups and calls that nobody answered."""
    for month in range(months):
        world.now = JANUARY + month * MONTH
        await world.store.credit(ACME, EntryKind.TOP_UP, 5 * NANO, key=f"top-{month}", who="test", reason="paid")
        await asyncio.gather(
            *(world.whole(f"m{month}-{number}", 30 + number) for number in range(calls)),
            _one_by_one(world, [f"a{month}-{number}" for number in range(calls)]),
            _unanswered(world, f"void-{month}"),
        )
    world.now = NOW


async def _one_by_one(world: World, call_ids: Sequence[str]) -> None:
    for call_id in call_ids:
        await world.whole(call_id, 10, ACME)  # a prepaid account, whose money one grant holds


async def _unanswered(world: World, call_id: str) -> None:
    await world.ask(call_id)
    await world.end(call_id, 0)


async def exported(world: World, folder: Path) -> list[Exported]:
    """Hand everything off, as the nightly export does."""
    results = await run_exports(StoreSource(world.store), folder / "exports", world.now)
    done = [result for result in results if isinstance(result, Exported)]
    assert len(done) == len(results), results
    return done


async def archived(world: World, keep: int = 3, before: str = "") -> list[Archived]:
    """Archive what need not be kept."""
    return await archive_months(world.store, keep, before, world.now, lambda _told: None)


async def shown(world: World) -> dict[str, object]:
    """Return all that somebody may see of the ledger, wherever it is kept."""
    return {
        "accounts": [(view.spec.id, view.standing) for view in await world.store.account_views()],
        "history": [without_place(row) for row in await world.store.history(ACME)],
        "records": [record async for record in world.store.records("ray", 0, 1 << 60)],
        "owner": [record async for record in world.store.records("main", 0, 1 << 60)],
    }


def without_place(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name != "archive"}


async def batches(world: World) -> Sequence[Batch]:
    """Return the owner's batches."""
    return await StoreSource(world.store).batches("main")
