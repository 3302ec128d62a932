"""Each invariant of the closed list is broken by hand in a store that has all that can break, and the check names it.

One store for each engine; every break is in a transaction that leaves nothing, so that none hides another.
"""

import re
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.authorize.catalog import AccountKind
from daemon.charging.configuration import AccountSpec, BundleSpec, PlanFrom
from daemon.kernel.ids import Key
from daemon.kernel.instant import DAY
from daemon.kernel.money import NANO
from daemon.ledger.account import EntryKind
from daemon.ledger.bucket import BucketKind
from daemon.ledger.bucket import Wanted as WantedBucket
from daemon.store import check
from daemon.store.check import check_file, check_store, findings
from daemon.store.finding import Finding
from daemon.store.invariants import INVARIANTS
from daemon.store.link import Link
from tests.integration.archive_world import archive_folder, archived, exported, lived
from tests.integration.esl_world import until
from tests.integration.postgres_cluster import Cluster, ran
from tests.integration.store_world import ACME, URL_FILE, World, opened
from tests.integration.test_store_vouchers import made, redeemed

DOC = Path(__file__).resolve().parents[2] / "docs" / "operations" / "check.md"
BOBBY = Key("main", "bobby")
_ACME = "(SELECT number FROM account WHERE id = 'acme')"
_ADDED = (
    "INSERT INTO entry (account, kind, at, grant_id, amount, pending, uncollected, channels_in, channels_out,"
    " balance_after, reserved_after, key, who, reason, bucket)"
)
# What breaks it, by the name of the invariant; the first statements first. Each alone has to be found.
BREAKS: dict[str, list[list[str]]] = {
    "schema": [["UPDATE alembic_version SET version_num = '0001'"], ["DROP INDEX entry_by_account"],
               ["CREATE VIEW seen AS SELECT * FROM account"], ["INSERT INTO alembic_version VALUES ('0001')"]],
    "whole numbers": [["UPDATE record SET cost = 0.5"]],
    "standings": [
        [f"UPDATE account SET {name} = {name} + 7 WHERE id = 'acme'"] for name in ("balance", "uncollected", "reserved")
    ],
    "running balances": [
        [f"UPDATE entry SET {name} = {name} + 1 WHERE number = (SELECT max(number) FROM entry)"]
        for name in ("balance_after", "reserved_after")
    ],
    "entries": [
        [f"UPDATE entry SET {change} WHERE kind = '{kind}'"] for change, kind in (
            ("kind = 'adjust'", "debit"), ("kind = 'gift'", "top_up"), ("kind = 'debit'", "refund"),
            ("at = at + 1", "debit"), ("who = 'clerk'", "debit"), ("who = ''", "top_up"),
            ("who = 'clerk'", "suspend"), ("grant_id = 'g1'", "top_up"),
        )
    ],
    "open calls": [["UPDATE account SET channels_out = channels_out + 1 WHERE id = 'carrier-a'"],
                   ["DELETE FROM call WHERE is_open = 1"]],
    "held by calls": [["UPDATE entry SET grant_id = 'other' WHERE kind = 'reserve' AND number ="
                       " (SELECT max(number) FROM entry WHERE kind = 'reserve')"]],
    "calls": [["UPDATE call SET due_at = due_at + 1"], ["UPDATE call SET body = '{}' WHERE is_open = 0"],
              ["UPDATE call SET switch = 'other' WHERE is_open = 1"]],
    "records": [["UPDATE record SET charge = charge + 1"], ["DELETE FROM record WHERE status = 'rated'"],
                ["UPDATE record SET currency = 'EUR'"], ["UPDATE record SET body = 'no JSON'"]],
    "meters": [["UPDATE meter SET held = held + 1"], ["UPDATE meter SET used = used + 1"]],
    "buckets": [["UPDATE account SET bucket_due = 5 WHERE id = 'acme'"],
                ["UPDATE account SET buckets = 'no JSON' WHERE id = 'acme'"],
                ["UPDATE account SET buckets = NULL WHERE id = 'acme'"]],
    "transfers": [["UPDATE entry SET amount = amount + 1 WHERE kind = 'transfer' AND amount > 0"],
                  ["DELETE FROM entry WHERE kind = 'transfer' AND amount > 0"]],
    "assertions": [["UPDATE assertion SET found = found + 1"], ["DELETE FROM assertion"]],
    "units": [["UPDATE unit_grant SET units = units + 1"], ["UPDATE meter SET carried = carried + 1"],
              ["UPDATE meter SET used = carried + 1"]],
    "vouchers": [["UPDATE voucher SET account = NULL, redeemed_at = 0"],
                 ["UPDATE voucher_batch SET amount = amount + 1"], ["DELETE FROM voucher WHERE account IS NULL"],
                 ["UPDATE voucher_batch SET is_published = 0"]],
    "suspensions": [["UPDATE account SET suspended_at = 0"]],
    "unique keys": [["DROP INDEX entry_by_key", f"{_ADDED} SELECT account, kind, at, grant_id, amount, pending,"
                     " uncollected, channels_in, channels_out, balance_after, reserved_after, key, who, reason, bucket"
                     " FROM entry WHERE number = (SELECT max(number) FROM entry WHERE key IS NOT NULL)"]],
    "references": [["INSERT INTO config_object (kind, tenant, id, body) SELECT kind, tenant, 'nobody', body FROM"
                    " config_object WHERE kind = 'account' AND id = 'acme'"]],
    "export batches": [["UPDATE export_batch SET after_seq = after_seq - 1 WHERE sequence = 2"],
                       ["UPDATE export_batch SET previous_manifest_sha256 = 'ab'"]],
    "archives": [["UPDATE archive SET token = 'x' WHERE month = '2026-01'"], ["DELETE FROM archive"]],
    "openings": [["UPDATE opening SET balance = balance + 1"], ["UPDATE opening SET number = number + 1"]],
    "spent keys": [["DELETE FROM spent_key"], ["UPDATE spent_key SET amount = 1"]],
}  # fmt: skip
ON_ONE_ENGINE = {"whole numbers": "sqlite"}  # a column of PostgreSQL's holds no fraction
BY_THEMSELVES = {"file", "server"}  # broken below: no statement does


class _RolledBackError(Exception):
    """Carries what was found out of a transaction that leaves nothing."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the store of an engine is."""
    folder = tmp_path_factory.mktemp("invariants")
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("cluster")
        (folder / URL_FILE).write_text(cluster.database())
    return folder


@pytest.fixture
async def world(kept: Path) -> AsyncIterator[World]:
    """The store, filled where it is new."""
    async with opened(kept) as found:
        if not await found.store.rows("SELECT 1 FROM archive"):
            await _filled(found, kept)
        assert await check_store(found.store) == []
        yield found


async def _filled(world: World, folder: Path) -> None:
    store, act = world.store, {"who": "clerk", "reason": "why"}
    await lived(world)
    await exported(world, folder)
    await archived(world)
    bobby = AccountSpec("main", "bobby", AccountKind.PREPAID, "USD", balance=NANO, rate_plan=(PlanFrom("retail"),))
    await store.create_object(bobby, **act)
    await store.create_object(BundleSpec("main", "minutes", "acme", 0, period="once", prefixes=("44",)), **act)
    await world.load()
    await store.give_units(ACME, "minutes", 90, None, key="units", **act)
    gift = WantedBucket("gift", BucketKind.PROMOTIONAL, None, world.now + 90 * DAY)
    await store.credit(ACME, EntryKind.TOP_UP, 2 * NANO, key="gift", bucket=gift, **act)
    await store.transfer(BOBBY, ACME, NANO, key="moved", **act)
    await store.assert_balance(ACME, 5, None, **act)
    codes = await made(world)
    await redeemed(world, codes[0])
    await world.ask("open")
    await world.whole("whole", 60, ACME)
    await world.ask("estimated")
    await world.answer("estimated")
    world.now += 3 * DAY
    await world.ocf.expire_due()
    await world.end("estimated", 100)
    await world.ask("runs", ACME)
    await exported(world, folder)


@pytest.mark.parametrize("name", BREAKS)
async def test_an_invariant_that_is_broken_is_named(world: World, kept: Path, name: str) -> None:
    dialects: set[str] = set()
    for statements in BREAKS[name]:

        def work(link: Link, statements: list[str] = statements) -> None:
            dialects.add(link.dialect)
            if ON_ONE_ENGINE.get(name, link.dialect) != link.dialect:
                raise _RolledBackError([])
            for statement in statements:
                touched = link.execute(statement).rowcount
                assert touched or statement.startswith(("DROP", "CREATE")), statement
            raise _RolledBackError(findings(link, archive_folder(kept)))

        with pytest.raises(_RolledBackError) as broken:
            await world.store.administer(work)
        found: list[Finding] = [each for each in broken.value.args[0] if each.invariant == name]
        if ON_ONE_ENGINE.get(name) in (None, *dialects):
            assert found, (statements, broken.value.args[0])
            assert all(each.subject and each.detail and each.mend for each in found)
            assert str(found[0]).startswith(f"{name}: {found[0].subject}: ")


async def test_a_file_that_is_not_whole(world: World, kept: Path, tmp_path: Path) -> None:
    if (kept / URL_FILE).exists():
        return  # a server has no file of ours
    await world.store.administer(lambda link: link.execute("UPDATE meta SET value = value") and None)
    path = tmp_path / "tollway.db"
    with sqlite3.connect(kept / "tollway.db") as source, sqlite3.connect(path) as copy:
        source.backup(copy)
        root = copy.execute("SELECT rootpage FROM sqlite_master WHERE name = 'entry_by_account'").fetchone()[0]
        size = copy.execute("PRAGMA page_size").fetchone()[0]
        copy.execute("PRAGMA journal_mode = DELETE")
    source.close()
    copy.close()
    shutil.copytree(archive_folder(kept), tmp_path / "tollway.archive")
    assert check_file(path) == []
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    found = check_file(path)
    assert ("file", "database") in [(each.invariant, each.subject) for each in found]
    assert "backup" in found[0].mend


async def test_a_server_that_may_forget(world: World, request: pytest.FixtureRequest, kept: Path) -> None:
    if not (kept / URL_FILE).exists():
        return  # a file has no server
    cluster: Cluster = request.getfixturevalue("cluster")
    try:
        cluster.sql("ALTER SYSTEM SET full_page_writes = off", "SELECT pg_reload_conf()")
        await _until_it_says(kept, "off")
        found = await check_store(world.store)
        assert [(each.invariant, each.subject) for each in found] == [("server", "full_page_writes")]
    finally:
        cluster.sql("ALTER SYSTEM RESET full_page_writes", "SELECT pg_reload_conf()")
        await _until_it_says(kept, "on")


async def _until_it_says(kept: Path, wanted: str) -> None:
    url = (kept / URL_FILE).read_text()
    await until(lambda: ran(url, "SHOW full_page_writes") == [(wanted,)], 30)


def test_the_list_is_closed_and_every_one_of_it_is_broken_here() -> None:
    assert BREAKS.keys() | BY_THEMSELVES == INVARIANTS.keys()
    named = set()
    for path in (Path(check.__file__).parent).glob("*check*.py"):
        named |= set(re.findall(r'(?:Finding\(|yield |_INVARIANT: Final = )"([a-z ]+)"', path.read_text()))
    assert named == INVARIANTS.keys()


def test_the_page_tells_every_invariant_as_the_code_does() -> None:
    rows = re.findall(r"^\| `([a-z ]+)` \| (.*?) \| (.*?) \|$", DOC.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name: (law, mend) for name, law, mend in rows} == {name: tuple(each) for name, each in INVARIANTS.items()}
