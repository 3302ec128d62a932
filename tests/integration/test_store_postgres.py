"""A store on a server that goes away, gets in the way, or is not fit: what was answered is there, nothing else is."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from daemon.charging.ports import Book, Exceptional, Message, Reads, StoreError, StoreUnavailable
from daemon.kernel.money import NANO
from daemon.ledger.account import Standing
from daemon.settings import StoreSettings
from daemon.store import open_store, postgres_link
from daemon.store.schema import metadata
from tests.integration.esl_world import until
from tests.integration.postgres_cluster import Cluster
from tests.integration.store_world import OPENING, RITA, START, URL_FILE, World, findings, opened
from tests.integration.test_store_batches import CALLERS, number, spend

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """Give a server that tests stop and crash."""
    made = Cluster()
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def on_own(own: Cluster, tmp_path: Path) -> Cluster:
    (tmp_path / URL_FILE).write_text(own.database())
    return own


def in_a_thread(work: Callable[[], object]) -> Awaitable[object]:
    return asyncio.to_thread(work)


async def repeated(work: Callable[[], Awaitable[object]]) -> None:
    """Do something again until the store takes it, as a switch repeats what nobody acknowledged."""
    while True:
        try:
            await work()
        except StoreUnavailable:
            await asyncio.sleep(0.05)
        else:
            return


@pytest.mark.usefixtures("on_postgres")
async def test_64_callers_make_at_most_8_commits(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        account = number(world, RITA)
        before = world.store.writer.commits
        results = await asyncio.gather(
            *(world.store.transact(Reads(accounts=(account,)), spend(account)) for _ in range(CALLERS))
        )
        assert world.store.writer.commits - before <= 8
        assert sorted(standing.balance for standing in results) == [OPENING - n * NANO for n in range(CALLERS, 0, -1)]
        before = world.store.writer.commits
        await asyncio.gather(*(world.whole(f"c{n}") for n in range(CALLERS)))
        assert world.store.writer.commits - before <= 3 * 8
    assert await findings(tmp_path) == []


async def test_a_server_that_is_away_refuses_and_later_works(tmp_path: Path, on_own: Cluster) -> None:
    async with opened(tmp_path) as world:
        account = number(world, RITA)
        await in_a_thread(on_own.stop)
        waiting = [world.store.transact(Reads(accounts=(account,)), spend(account)) for _ in range(8)]
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(result) for result in results} == {StoreUnavailable}
        assert "cannot be reached" in str(results[0])
        assert on_own.password not in str(results[0])
        for asked in (world.store.ping, world.store.open_calls, world.load):
            with pytest.raises(StoreUnavailable):
                await asked()
        await in_a_thread(on_own.start)
        assert (await world.store.transact(Reads(accounts=(account,)), spend(account))).balance == OPENING - NANO
        await world.store.ping()
        assert await world.balance(RITA) == OPENING - NANO
        await in_a_thread(on_own.stop)
        await in_a_thread(on_own.start)
        # The connection broke while nobody asked: nobody notices.
        assert (await world.store.transact(Reads(accounts=(account,)), spend(account))).balance == OPENING - 2 * NANO
    assert await findings(tmp_path) == []


async def test_what_was_acknowledged_before_a_server_crashed_is_there_once(tmp_path: Path, on_own: Cluster) -> None:
    async with opened(tmp_path) as world:
        acknowledged: list[str] = []
        stopping = asyncio.Event()

        async def play(lane: int) -> None:
            place = 0
            while not stopping.is_set():
                place += 1
                name = f"c{lane}-{place}"
                await repeated(lambda name=name: world.ask(name))  # type: ignore[misc]
                await repeated(lambda name=name: world.answer(name))  # type: ignore[misc]
                await repeated(lambda name=name: world.end(name, 10))  # type: ignore[misc]
                acknowledged.append(name)

        lanes = [asyncio.create_task(play(lane)) for lane in range(16)]
        for crash in (1, 2):
            await until(lambda crash=crash: len(acknowledged) > 50 * crash, 60)  # type: ignore[misc]
            await in_a_thread(lambda: on_own.stop("immediate"))
            await in_a_thread(on_own.start)
        await until(lambda: len(acknowledged) > 120, 60)
        stopping.set()
        await asyncio.gather(*lanes)
        assert len(acknowledged) > 100
        charged = [call.call_id for call in await _settled_calls(world)]
        assert sorted(charged) == sorted(acknowledged)
        assert await world.balance(RITA) == OPENING - 100_000_000 * len(acknowledged)
    assert await findings(tmp_path) == []


async def _settled_calls(world: World) -> list[Any]:
    return [record async for _seq, record in world.store.records("ray", 0, 1 << 60)]


async def test_a_connection_cut_before_the_commit_is_not_noticed(
    tmp_path: Path, cluster: Cluster, on_postgres: str
) -> None:
    async with opened(tmp_path) as world:
        account = number(world, RITA)
        name, runs = on_postgres.rpartition("/")[2], 0

        def cut_once(book: Book) -> Standing:
            nonlocal runs
            runs += 1
            if runs == 1:
                cluster.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
            return spend(account)(book)

        assert (await world.store.transact(Reads(accounts=(account,)), cut_once)).balance == OPENING - NANO
        assert runs == 2
        assert await world.balance(RITA) == OPENING - NANO
    assert await findings(tmp_path) == []


@pytest.mark.parametrize("is_sent", [True, False])
@pytest.mark.usefixtures("on_postgres")
async def test_a_commit_whose_answer_is_lost_is_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_sent: bool
) -> None:
    told = postgres_link.Session.simply
    cut: list[str] = []

    def cutting(self: postgres_link.Session, command: str) -> str:
        if command != "COMMIT" or not cut:
            return told(self, command)
        cut.clear()
        if is_sent:
            told(self, command)
        self.drop()
        raise ConnectionResetError("cut")

    async with opened(tmp_path) as world:
        account = number(world, RITA)
        monkeypatch.setattr(postgres_link.Session, "simply", cutting)
        cut.append("COMMIT")
        waiting = [world.store.transact(Reads(accounts=(account,)), spend(account)) for _ in range(4)]
        results = await asyncio.gather(*waiting, return_exceptions=True)
        if is_sent:
            assert [result.balance for result in results if isinstance(result, Standing)] == [
                OPENING - n * NANO for n in (1, 2, 3, 4)
            ]
        else:
            assert {type(result) for result in results} == {StoreUnavailable}
        assert await world.balance(RITA) == OPENING - (4 * NANO if is_sent else 0)
        await world.store.transact(Reads(accounts=(account,)), spend(account))
    assert await findings(tmp_path) == []


async def test_what_another_holds_is_waited_for_and_then_refused(
    tmp_path: Path, on_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgres_link.CHARGING, "lock_timeout", "2000")
    async with opened(tmp_path) as world:
        account = number(world, RITA)
        other = await asyncpg.connect(on_postgres)
        await other.execute("BEGIN")
        await other.fetch("SELECT 1 FROM account WHERE number = $1 FOR UPDATE", account)
        with pytest.raises(StoreUnavailable, match="another process has held a lock"):
            await world.store.transact(Reads(accounts=(account,)), spend(account))
        waiting = asyncio.create_task(world.store.transact(Reads(accounts=(account,)), spend(account)))
        await asyncio.sleep(0.1)
        await other.execute("ROLLBACK")
        assert (await waiting).balance == OPENING - NANO
        await other.close()


async def test_whoever_locks_in_another_order_is_outlived(tmp_path: Path, on_postgres: str) -> None:
    async with opened(tmp_path) as world:
        accounts = sorted(terms.number for terms in world.catalog().accounts.values())
        first, last = accounts[0], accounts[-1]
        other = await asyncpg.connect(on_postgres)
        await other.execute("BEGIN")
        await other.fetch("SELECT 1 FROM account WHERE number = $1 FOR UPDATE", last)
        waiting = asyncio.create_task(world.store.transact(Reads(accounts=(first, last)), spend(last)))
        await asyncio.sleep(0.2)
        # Now each waits for the other; ours has waited longer, so the server gives it up, and it is run again.
        await other.fetch("SELECT 1 FROM account WHERE number = $1 FOR UPDATE", first)
        assert not waiting.done()
        await other.execute("COMMIT")
        await other.close()
        assert isinstance(await waiting, Standing)
    assert await findings(tmp_path) == []


@pytest.mark.usefixtures("on_postgres")
async def test_a_value_that_no_text_can_hold_fails_its_caller_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:

        def kept(name: str) -> "asyncio.Future[str]":
            def decide(book: Book) -> str:
                book.save_message(Message(name, b"", b"", START))
                return name

            return asyncio.ensure_future(world.store.transact(Reads(messages=(name,)), decide))

        names = ["nul\0", *(f"m{place}" for place in range(16))]
        results = await asyncio.gather(*map(kept, names), return_exceptions=True)
        assert isinstance(results[0], StoreError)
        assert results[1:] == names[1:]


@pytest.mark.usefixtures("on_postgres")
async def test_words_that_hold_what_parts_words_stay_whole(tmp_path: Path) -> None:
    strange = [
        "",
        "\x01",
        "a\x01",
        "\x01\x01b",
        "{1,2}",
        '"\\',
        "NULL",
        "\x02\x03",
        "ünï\U0001f4de",
        "'; --",
        "{",
        "\n",
    ]
    async with opened(tmp_path) as world:

        def kept(name: str) -> "asyncio.Future[None]":
            item = Exceptional("test", name, name, name, name, name, START)
            message = Message(f"m{name}", name.encode(), name.encode(), START, name)

            def decide(book: Book) -> None:
                book.append_exception(item)
                book.save_message(message)

            return asyncio.ensure_future(world.store.transact(Reads(messages=(message.key,)), decide))

        await asyncio.gather(*map(kept, strange))
        listed = await world.store.exceptions()
        columns = ("tenant", "source", "switch", "call_id", "detail")
        assert sorted(tuple(row[name] for name in columns) for row in listed) == sorted((name,) * 5 for name in strange)
        names = tuple(f"m{name}" for name in strange)
        found = await world.store.transact(
            Reads(messages=names), lambda book: [getattr(book.message(name), "grant_id", None) for name in names]
        )
        assert found == strange


@pytest.mark.usefixtures("on_postgres")
async def test_a_function_that_is_slow_holds_the_queue_and_not_the_loop(tmp_path: Path) -> None:
    async with opened(tmp_path, queue_max=4, batch_max=2) as world:
        account = number(world, RITA)
        held, reached = threading.Event(), threading.Event()

        def slow(book: Book) -> Standing:
            reached.set()
            held.wait(60)
            return spend(account)(book)

        first = asyncio.create_task(world.store.transact(Reads(accounts=(account,)), slow))
        await asyncio.to_thread(reached.wait)
        rest = [asyncio.create_task(world.store.transact(Reads(accounts=(account,)), spend(account))) for _ in range(6)]
        await until(lambda: sum(task.done() for task in rest) >= 2)
        assert [type(task.exception()) for task in rest if task.done()] == [StoreUnavailable] * 2
        await world.store.ping()
        assert await world.balance(RITA) == OPENING, "administration and reading go on meanwhile"
        held.set()
        await asyncio.gather(first, *rest, return_exceptions=True)
        assert await world.balance(RITA) == OPENING - 5 * NANO


async def test_the_migrations_make_the_schema(on_postgres: str) -> None:
    async def connect() -> Any:
        return await asyncpg.connect(on_postgres)

    def compared(connection: Connection) -> list[Any]:
        found = compare_metadata(MigrationContext.configure(connection), metadata)
        return [(each[0], each[1].parent.name) if each[0] == "add_fk" else each for each in found]

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.connect() as connection:
        left_out = [("add_fk", table) for table in ("call", "entry", "record")]  # each row of a call would ask anew
        assert sorted(await connection.run_sync(compared)) == left_out
    await engine.dispose()
    server = await asyncpg.connect(on_postgres)
    numbers = await server.fetch(
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'public' AND column_name IN ('number', 'seq', 'account', 'payer')"
    )
    sorted_otherwise = await server.fetch(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        " AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'"
    )
    await server.close()
    ids = [("event", "account")]  # is the id of one, for whoever reads it
    assert {row[2] for row in numbers if tuple(row[:2]) not in ids} == {"bigint"}
    assert sorted_otherwise == [], "decks are read in the order of their octets"


async def test_a_database_of_no_use_is_refused_with_the_way_out(cluster: Cluster) -> None:
    async def refused(url: str, *, create: bool = True) -> str:
        with pytest.raises(StoreError) as error:
            await open_store(StoreSettings(url), lambda: START, create=create)
        assert cluster.password not in str(error.value)
        assert "secret-word" not in str(error.value)
        return str(error.value)

    empty = cluster.url(await asyncio.to_thread(cluster.empty))
    assert "is empty: 'tollway apply FILE' or 'tollway db upgrade' makes its tables" in await refused(
        empty, create=False
    )
    foreign = await asyncio.to_thread(cluster.empty)
    await asyncio.to_thread(lambda: cluster.sql("CREATE TABLE invoices (number INT)", database=foreign))
    assert "something else (tables invoices" in await refused(cluster.url(foreign))
    assert "make it with createdb" in await refused(cluster.url("nowhere"))
    wrong = f"postgresql://tollway:secret-word@127.0.0.1:{cluster.port}/{foreign}"
    assert "look at the user and password" in await refused(wrong)
    assert "cannot be reached" in await refused("postgresql://tollway:secret-word@127.0.0.1:1/x")
    ascii_only = "TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C'"
    latin = cluster.url(await asyncio.to_thread(cluster.empty, ascii_only))
    assert "make one with ENCODING 'UTF8'" in await refused(latin)


async def test_an_empty_database_becomes_a_store(tmp_path: Path, cluster: Cluster) -> None:
    url = cluster.url(await asyncio.to_thread(cluster.empty))
    (tmp_path / URL_FILE).write_text(url)
    stores = await asyncio.gather(*(open_store(StoreSettings(url), lambda: START, create=True) for _ in range(3)))
    for store in stores:
        await store.ping()
        assert store.name == f"postgresql://tollway@127.0.0.1:{cluster.port}/{url.rpartition('/')[2]}"
        await store.close()
    assert await findings(tmp_path) == []
