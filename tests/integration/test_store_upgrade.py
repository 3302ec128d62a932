"""A store of the first release under this one: its decks mean what they meant, and go on."""

import sqlite3
from pathlib import Path

import pytest

from daemon.kernel.instant import DAY
from daemon.rating.deck import EFFECTIVE_FOREVER
from daemon.settings import is_server
from daemon.store import migrate, postgres, postgres_upgrade
from daemon.store.deck_import import DeckChange
from daemon.store.decks import deck_digest
from daemon.store.upgrade import upgrade
from tests.integration.postgres_cluster import Cluster, in_a_thread, ran
from tests.integration.store_world import RETAIL, START, URL_FILE, deck, findings, opened, url_of

DIGEST = "fced7c54bb6068209a2357f07bd4edd0f17f79d36f7a9db48dcd5cf3ec4d49b3"
# As the first release wrote them: number, version, prefix, destination, rate, connect_fee, first, next, free, included,
# minimum, from, to, rate_type, blocked.
ROWS = (
    (1, 1, "44", "UK", 600_000_000, 0, 1, 1, 0, 0, 0, 0, EFFECTIVE_FOREVER, "", 0),
    (2, 1, "33", "France", 600_000_000, 0, 60, 60, 0, 0, 0, 0, EFFECTIVE_FOREVER, "", 0),
    (3, 1, "1900", "Premium", 0, 0, 1, 1, 0, 0, 0, 0, EFFECTIVE_FOREVER, "", 1),
    (7, 2, "44", "UK", 700_000_000, 10, 30, 6, 5, 0, 20, START - DAY, START + DAY, "", 0),
    (9, 3, "44", "UK", 900_000_000, 0, 1, 1, 0, 0, 0, START - DAY, EFFECTIVE_FOREVER, "", 0),  # of an import that died
)


def written_by_the_first_release(folder: Path, digest: str) -> None:
    """Make a store by the first migration alone, and fill its decks as that release did."""
    key = f"'{RETAIL.tenant}', '{RETAIL.id}'"
    version = "INSERT INTO deck_version (tenant, rate_table, version, at, mode, who, source, digest, is_published)"
    row = (
        "INSERT INTO deck_row (tenant, rate_table, number, version, prefix, destination, rate, connect_fee,"
        " first_seconds, next_seconds, free_seconds, included_seconds, minimum_charge, effective_from,"
        " effective_to, rate_type, blocked)"
    )
    statements = [
        *(
            f"{version} VALUES ({key}, {number}, {at}, '{mode}', 'clerk', '{source}', '{stated}', {published})"
            for number, at, mode, source, stated, published in (
                (1, START - 9 * DAY, "replace", "scenario", digest, 1),
                (2, START - 2 * DAY, "merge", "promotion.csv", "", 1),
                (3, START - DAY, "merge", "dead.csv", "", 0),
            )
        ),
        *(f"{row} VALUES ({key}, {', '.join(map(repr, values))})" for values in ROWS),
        f"INSERT INTO deck_end VALUES ({key}, 2, 2, {START - DAY})",
    ]
    url = url_of(folder)
    if is_server(url):
        in_a_thread(lambda: postgres_upgrade.upgrade(url, "0001"))
        ran(url, *statements)
        return
    path = folder / "tollway.db"
    path.touch()
    upgrade(path, "0001")
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def revision(folder: Path) -> str:
    url = url_of(folder)
    return in_a_thread(lambda: postgres.revision(url)) if is_server(url) else migrate.current(folder / "tollway.db")


@pytest.fixture(params=["sqlite", "postgresql"])
def emptied(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a folder whose store each engine is to keep, and has nothing of yet."""
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("cluster")
        (tmp_path / URL_FILE).write_text(cluster.url(cluster.empty()))
    return tmp_path


async def test_decks_of_the_first_release_keep_their_meaning(emptied: Path) -> None:
    stated = deck("prefix,destination,rate,first_seconds,next_seconds,blocked\n44,UK,0.60,1,1,\n")
    written_by_the_first_release(emptied, deck_digest(stated))
    assert revision(emptied) == "0001"
    async with opened(emptied, stated={RETAIL: stated}) as world:
        assert revision(emptied) == migrate.HEAD
        table = world.catalog().tables[RETAIL]
        assert [(row["version"], row["mode"], row["source"], row["begins"], row["rows_added"], row["rows_ended"])
                for row in await world.store.deck_versions(RETAIL)] == [
            (1, "replace", "scenario", 0, 3, 0), (2, "merge", "promotion.csv", START - DAY, 1, 1),
        ], "what the scenario states was stated before: nothing is new"  # fmt: skip
        promotion = table.match("44", START)
        assert promotion is not None
        assert (promotion.rate, promotion.connect_fee, promotion.first_seconds, promotion.next_seconds) == (
            700_000_000, 10, 30, 6,
        )  # fmt: skip
        assert (promotion.free_seconds, promotion.minimum_charge, promotion.band, promotion.tax_code) == (5, 20, "", "")
        for at in (START - 2 * DAY, START + DAY):
            usual = table.match("44", at)
            assert usual is not None
            assert usual.rate == 600_000_000
        blocked, ended = table.match("1900", START), table.match("33", START - DAY)
        assert blocked is not None
        assert blocked.blocked
        assert ended is None
        assert table.match("33", START - DAY - 1) is not None
        merged = await world.store.import_deck(
            RETAIL, deck("prefix,destination,rate\n44,UK,0.80\n"), DeckChange("merge", None, "clerk", "new.csv")
        )
        assert (merged.changed, merged.increased) == ((), ("44",))
        back = await world.store.rollback_deck(RETAIL, 1, who="clerk", reason="too dear")
        assert back.decreased == ("44",)
    assert await findings(emptied) == []


def test_the_digest_of_a_deck_is_that_of_the_first_release() -> None:
    rows = deck("prefix,destination,rate,blocked\n44,UK,0.60,true\n33,,0.5,\n")
    assert deck_digest(rows) == deck_digest(rows[::-1])
    assert deck_digest(rows) == DIGEST
    with_code = deck("prefix,destination,rate,blocked,tax_code\n44,UK,0.60,true,A\n33,,0.5,,\n")
    closing = deck("prefix,destination,rate,blocked,action\n44,UK,0.60,true,delete\n33,,0.5,,\n")
    assert len({deck_digest(rows), deck_digest(with_code), deck_digest(closing)}) == 3
