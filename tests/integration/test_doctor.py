"""Each probe of the doctor that reads a store: what is well, what it warns of, and what has failed, on both engines."""

import os
import sqlite3
from pathlib import Path

import pytest

from daemon.authorize.catalog import AccountKind
from daemon.charging.configuration import (
    AccountSpec,
    ConversionSpec,
    EndpointSpec,
    NasSpec,
    PlanFrom,
    RatePlanSpec,
    RateTableSpec,
)
from daemon.doctor import REMEDIES, State, status_of
from daemon.doctor.nightly import LATE, OVERDUE
from daemon.doctor.prices import AHEAD
from daemon.journal import PostpaidJournal
from daemon.kernel.ids import Key
from daemon.kernel.instant import SECOND, Instant, format_rfc3339
from daemon.settings import Listener, StoreSettings
from daemon.store.identity import IDENTITY_LENGTH, drawn_identity, identity_of
from tests.integration import doctor_world
from tests.integration.doctor_world import about, examined, fault
from tests.integration.postgres_cluster import Cluster
from tests.integration.store_world import ACME, RETAIL, START, altered, deck, opened

OK, SKIPPED, WARN, FAIL = State.OK, State.SKIPPED, State.WARN, State.FAIL
DAY: Instant = 86_400 * SECOND
LONG_AGO = "2020-01-01T00:00:00Z"


def dated(*rows: str) -> str:
    """Return a deck with dates: prefix, rate, from, to."""
    return "\n".join(("prefix,rate,effective_from,effective_to", *rows, ""))


@pytest.fixture
async def sound(tmp_path: Path, engine: str) -> Path:
    """Return the folder of a store in which nothing is wrong but that two accounts are known by no endpoint."""
    del engine
    async with opened(tmp_path) as world:
        await world.whole("c1")
    return tmp_path


async def test_a_sound_store_has_no_failure(sound: Path) -> None:
    found = await examined(sound)
    assert status_of(found) == 0, [finding for finding in found if finding.state is FAIL]
    for name in ("store", "store.write", "store.whole", "clock.store", "decks", "accounts.plans", "endpoints",
                 "exports", "exceptions", "calls", "debts", "journal", "disk.rights", "conversions"):  # fmt: skip
        assert fault(found, name)[0] is OK, name
    assert fault(found, "accounts.endpoints") == (
        WARN, "none", "active, and without an endpoint: ray/rita"
    )  # fmt: skip


async def test_it_changes_nothing(sound: Path) -> None:
    async with opened(sound) as world:
        before = [await world.store.rows(f"SELECT * FROM {table}") for table in ("meta", "account", "audit")]
    files = set(os.listdir(sound))
    await examined(sound)
    async with opened(sound) as world:
        assert [await world.store.rows(f"SELECT * FROM {table}") for table in ("meta", "account", "audit")] == before
    assert set(os.listdir(sound)) <= files | {"tollway.db-wal", "tollway.db-shm"}


async def test_no_store(tmp_path: Path) -> None:
    found = await examined(tmp_path)
    assert fault(found, "store")[:2] == (FAIL, "missing")
    assert str(tmp_path / "tollway.db") in fault(found, "store")[2]
    assert fault(found, "decks") == (SKIPPED, "", "there is no store to look at")
    assert status_of(found) == 69


async def test_a_server_that_is_away(tmp_path: Path) -> None:
    away = StoreSettings("postgresql://tollway:hidden@127.0.0.1:1/none")
    found = await examined(tmp_path, store=away)
    assert fault(found, "store")[:2] == (FAIL, "unusable")
    assert "is it running" in fault(found, "store")[2]
    assert not any("hidden" in finding.seen for finding in found), "the password was told"
    assert status_of(found) == 69


async def test_a_store_of_a_newer_release(sound: Path) -> None:
    await altered(sound, "UPDATE alembic_version SET version_num = '9999'")
    found = await examined(sound)
    assert fault(found, "store")[:2] == (FAIL, "unusable")
    assert "written by a newer release (schema 9999" in fault(found, "store")[2]
    assert status_of(found) == 69


async def test_a_damaged_file(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await world.whole("c1")
    file = tmp_path / "tollway.db"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page, size = (connection.execute(text).fetchone()[0] for text in (
            "SELECT rootpage FROM sqlite_master WHERE name = 'record'", "PRAGMA page_size"))  # fmt: skip
    connection.close()
    with file.open("r+b") as stream:
        stream.seek((page - 1) * size)
        stream.write(b"\xff" * size)
    found = await examined(tmp_path)
    assert fault(found, "store.whole")[:2] == (FAIL, "damaged")
    assert status_of(found) == 1


async def test_a_server_that_forgets(tmp_path: Path, on_postgres: str, cluster: Cluster) -> None:
    async with opened(tmp_path):
        pass
    cluster.sql("ALTER SYSTEM SET full_page_writes = off", "SELECT pg_reload_conf()", "SELECT pg_sleep(0.3)")
    try:
        found = await examined(tmp_path)
    finally:
        cluster.sql("ALTER SYSTEM RESET full_page_writes", "SELECT pg_reload_conf()", "SELECT pg_sleep(0.3)")
    assert fault(found, "store.whole") == (FAIL, "forgetful", "full_page_writes is off")
    assert on_postgres not in str(found)


async def test_the_clock_of_a_server_is_compared(tmp_path: Path, on_postgres: str) -> None:
    assert on_postgres
    async with opened(tmp_path):
        pass
    found = await examined(tmp_path)  # at an instant that is months away
    assert fault(found, "clock.server")[:2] == (WARN, "apart")


async def test_a_clock_behind_the_store(sound: Path) -> None:
    state, kind, seen = fault(await examined(sound, START - 3600 * SECOND), "clock.store")
    assert (state, kind) == (FAIL, "behind")
    assert "3,600 s after what the clock says now" in seen
    assert fault(await examined(sound, START - SECOND), "clock.store")[0] is OK, "two machines differ by as much"


# -- decks


async def with_deck(folder: Path, text: str) -> None:
    async with opened(folder, stated={RETAIL: deck(text)}):
        pass


@pytest.mark.parametrize(
    ("rows", "seen"),
    [
        ([f"44,0.60,{LONG_AGO},", f"33,0.60,{LONG_AGO},"], ""),
        ([f"44,0.60,{LONG_AGO},SOON", f"33,0.60,{LONG_AGO},"], "1 rates end from SOON on"),
        ([f"44,0.60,{LONG_AGO},SOON", "44,0.70,SOON,"], ""),
        ([f"44,0.60,{LONG_AGO},SOON", "44,0.70,LATER,"], "1 rates end from SOON on"),
        ([f"44,0.60,{LONG_AGO},SOON", "44,0.70,SOON,LATER"], "1 rates end from SOON on"),
        ([f"44,0.60,{LONG_AGO},FAR", f"33,0.60,{LONG_AGO},"], ""),
    ],
)
async def test_rates_that_end_soon(tmp_path: Path, engine: str, rows: list[str], seen: str) -> None:
    assert engine
    times = {"SOON": START + 3 * DAY, "LATER": START + 9 * DAY, "FAR": START + AHEAD + DAY}

    def told(text: str) -> str:
        for word, at in times.items():
            text = text.replace(word, format_rfc3339(at))
        return text

    await with_deck(tmp_path, told(dated(*rows)))
    state, kind, said = fault(await examined(tmp_path), "decks")
    if not seen:
        assert (state, kind) == (OK, ""), said
        return
    assert (state, kind) == (WARN, "ending")
    assert said.startswith(
        f"table main/retail: {told(seen)} with none to follow (prefixes 44; used by plan main/retail"
    )


async def test_a_table_that_prices_nothing_yet_or_no_more(tmp_path: Path, engine: str) -> None:
    assert engine
    begins, ends = format_rfc3339(START + DAY), format_rfc3339(START + 30 * DAY)
    await with_deck(tmp_path, dated(f"44,0.60,{begins},{ends}"))
    found = await examined(tmp_path)
    state, kind, said = fault(found, "decks")
    assert (state, kind) == (FAIL, "empty")
    assert said == f"table main/retail has no rate in force; the first begins at {begins} (used by plan main/retail)"
    assert fault(await examined(tmp_path, START + 31 * DAY), "decks")[:2] == (FAIL, "empty")
    found = await examined(tmp_path, START + 20 * DAY)
    assert fault(found, "decks")[:2] == (WARN, "ending")
    state, kind, said = fault(found, "accounts.plans")
    assert (state, kind) == (WARN, "ending")
    assert said == f"all rates of the plan end by {ends}: main/acme"


async def test_a_rate_that_an_import_closes(tmp_path: Path, engine: str) -> None:
    assert engine
    async with opened(tmp_path) as world:
        await world.store.apply([], {RETAIL: deck("prefix,rate\n44,0.50\n")}, who="test")
    async with opened(tmp_path) as world:
        world.now += SECOND
    assert fault(await examined(tmp_path, START + DAY), "decks")[0] is OK, "what was closed is no longer sold"


# -- accounts


def account(name: str, **changed: object) -> AccountSpec:
    plan = (PlanFrom("retail"),)
    return AccountSpec("main", name, AccountKind.PREPAID, "USD", **{"rate_plan": plan, **changed})  # type: ignore[arg-type]


async def test_accounts_without_a_plan(sound: Path) -> None:
    async with opened(sound) as world:
        later = (PlanFrom("retail", START + DAY),)
        await world.store.apply([account("bare", rate_plan=()), account("early", rate_plan=later)], {}, who="test")
    state, kind, said = fault(await examined(sound), "accounts.plans")
    assert (state, kind, said) == (WARN, "none", "without a rate plan now: main/bare, main/early")
    assert fault(await examined(sound, START + 2 * DAY), "accounts.plans")[2].endswith("now: main/bare")


async def test_endpoints_that_collide(sound: Path) -> None:
    one = (
        EndpointSpec(sip_user="acme", password="other"), EndpointSpec(ip="192.0.2.0/24", tech_prefix="77"),
        EndpointSpec(pin="48213377", via="gw1"), EndpointSpec(did="442079460000", did_last="442079460099"),
    )  # fmt: skip
    other = (
        EndpointSpec(ip="192.0.2.0/24", tech_prefix="77"), EndpointSpec(pin="48213377", via="gw1"),
        EndpointSpec(did="442079460050", did_last="442079460199"), EndpointSpec(did="442079460007"),
    )  # fmt: skip
    async with opened(sound) as world:
        await world.store.apply([account("one", identities=one), account("other", identities=other)], {}, who="test")
    found = about(await examined(sound), "endpoints")
    assert {(finding.state, finding.fault) for finding in found} == {(FAIL, "claimed_twice")}
    assert [finding.seen for finding in found] == [
        "SIP user: acme (main/acme, main/one)",
        "PIN: one with gw1 (main/one, main/other)",
        "network: 192.0.2.0/24 with tech prefix 77 (main/one, main/other)",
        "DID range: 442079460000-442079460099 (main/one) and 442079460050-442079460199 (main/other),"
        " 442079460007 (main/other) and 442079460000-442079460099 (main/one)",
    ]


async def test_a_rate_between_currencies_that_ends(tmp_path: Path, engine: str) -> None:
    assert engine
    async with opened(tmp_path) as world:
        await world.store.apply(
            [
                ConversionSpec("main", "EUR", "USD", 1_100_000_000, 0, START + 3 * DAY),
                RateTableSpec("main", "euro", "EUR"), RatePlanSpec("main", "euro", ("euro",)),
                account("far", rate_plan=(PlanFrom("euro"),)),
            ],
            {Key("main", "euro"): deck("prefix,rate\n44,0.50\n")}, who="test",
        )  # fmt: skip
    state, kind, said = fault(await examined(tmp_path), "conversions")
    assert (state, kind) == (WARN, "ending")
    assert said.endswith("from EUR to USD for tenant main (such as account main/far by plan main/euro)")
    assert fault(await examined(tmp_path, START + 4 * DAY), "conversions")[:2] == (FAIL, "lacking")


# -- what waits


async def test_records_that_wait_for_a_hand_off(sound: Path) -> None:
    assert fault(await examined(sound, START + LATE - SECOND), "exports")[0] is OK
    found = about(await examined(sound, START + LATE + SECOND), "exports")
    assert [(finding.state, finding.fault) for finding in found] == [(WARN, "late")] * len(found)
    assert "there was none yet" in found[0].seen
    async with opened(sound) as world:
        for tenant in ("main", "ray"):
            batch = await world.store.begin_stored_batch(tenant, START, "UTC")
            await world.store.finish_batch(tenant, batch.sequence, "ab" * 32)
    assert fault(await examined(sound, START + 9 * DAY), "exports")[0] is OK, "nothing waits"


async def test_calls_that_nobody_resolves(tmp_path: Path, engine: str) -> None:
    assert engine
    async with opened(tmp_path) as world:
        await world.ask("c1")
    assert fault(await examined(tmp_path), "calls")[0] is OK
    state, kind, said = fault(await examined(tmp_path, START + DAY), "calls")
    assert (state, kind) == (WARN, "stuck")
    assert said == f"1 open calls were due more than {OVERDUE // SECOND // 60} minutes ago"


async def test_calls_that_are_left_alone(tmp_path: Path, engine: str) -> None:
    assert engine
    nobody = Listener("127.0.0.1", 1)  # a port that only the superuser could have, and does not
    async with opened(tmp_path) as world:
        await world.ask("c1")
        assert fault(await examined(tmp_path, http=nobody), "ready")[1] == "", "no daemon has run on this store"
        await world.store.begin_recovery("a:1", await world.store.open_calls(), 0)
    state, kind, said = fault(await examined(tmp_path, http=nobody), "ready")
    assert (state, kind) == (FAIL, "calls_alone")
    assert said.endswith("and 1 calls are open")


async def test_a_store_has_a_word_of_its_own(tmp_path: Path, engine: str) -> None:
    assert engine
    url = doctor_world.settings_of(tmp_path).store.url
    async with opened(tmp_path) as world:
        assert await world.store.reading(lambda link: identity_of(link, url)) == ""
        word = await drawn_identity(world.store, url)
        assert len(word) == IDENTITY_LENGTH
        assert await drawn_identity(world.store, url) == word, "it is drawn once"


async def test_debts_and_exceptions(sound: Path) -> None:
    await altered(
        sound, "UPDATE account SET uncollected = 1500000000 WHERE id = 'acme'",
        "INSERT INTO exceptional (key, kind, tenant, source, switch, call_id, detail, at)"
        f" VALUES ('k', 'clock_skew', 'main', 'radius', 'gw1', 'c', 'd', {START})",
    )  # fmt: skip
    found = await examined(sound)
    assert fault(found, "debts") == (WARN, "uncollected", f"1 accounts, each in its currency: {ACME} 1.50")
    assert fault(found, "exceptions") == (WARN, "waiting", "in the last 7 days: 1 clock_skew")
    assert fault(await examined(sound, START + 8 * DAY), "exceptions")[0] is OK


async def test_grants_that_wait_in_a_journal(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    (tmp_path / "postpaid.jsonl").write_text("{}\n{}\n")
    assert await PostpaidJournal(tmp_path / "postpaid.jsonl").waiting() == 2
    state, kind, said = fault(await examined(tmp_path), "journal")
    assert (state, kind) == (WARN, "waiting")
    assert said.startswith("2 grants in ")


# -- RADIUS clients


async def test_clients_that_cannot_be_relied_on(sound: Path) -> None:
    clients = [
        NasSpec("gw2", "main", "192.0.2.1", "testing123"),
        NasSpec("gw3", "main", "192.0.2.2", "sixteen-letters-", require_message_authenticator=True),
        NasSpec("gw4", "main", "192.0.2.0/28", "sixteen-letters-", require_message_authenticator=True),
    ]
    async with opened(sound) as world:
        await world.store.apply(clients, {}, who="test")
    found = await examined(sound)
    assert [finding.fault for finding in about(found, "nas.secrets")] == ["well_known", "short", "shared"]
    assert fault(found, "nas.signatures")[:2] == (WARN, "unsigned")
    assert [finding.seen for finding in about(found, "nas.networks")] == [
        "main/gw2 (192.0.2.1/32) lies in main/gw4 (192.0.2.0/28)",
        "main/gw3 (192.0.2.2/32) lies in main/gw4 (192.0.2.0/28)",
    ]
    assert not any(secret in str(found) for secret in ("testing123", "sixteen-letters-", "loopback-secret"))


def test_a_fault_that_is_not_in_the_table_cannot_be_told() -> None:
    assert all(remedy.state in (WARN, FAIL) and remedy.to_do for remedy in REMEDIES.values())
