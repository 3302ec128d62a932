"""Group commit on a real file: who shares a commit, who is answered when, and who is left out."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest

from benchmarks.bench_store import call_of, filled, reserve, settle
from daemon.charging.call import Call
from daemon.charging.ports import Book, Exceptional, Message, Reads, StoreError, StoreUnavailable
from daemon.kernel.ids import Key
from daemon.kernel.money import NANO
from daemon.ledger import posting
from daemon.ledger.account import EntryKind, Standing
from daemon.store import open_store
from daemon.store.sqlite import connect
from tests.integration.esl_world import until
from tests.integration.store_world import ACME, OPENING, RITA, START, World, findings, opened, settings

CALLERS = 64


class Traced:
    """Opens connections whose statements the driver itself reports."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def __call__(self, path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.set_trace_callback(self.statements.append)
        return connection

    def commits(self) -> int:
        return sum(statement.upper().startswith("COMMIT") for statement in self.statements)


class Faulty(sqlite3.Connection):
    """A connection whose COMMIT waits or fails where a test says so."""

    delay_seconds = 0.0
    failures: list[sqlite3.Error] = []  # noqa: RUF012 - a test fills it, and empties it again
    committed_at: list[float] = []  # noqa: RUF012 - the same
    held: threading.Event | None = None
    reached = threading.Event()  # one waits in its COMMIT

    def execute(self, statement: str, parameters: object = ()) -> sqlite3.Cursor:
        if statement != "COMMIT":
            return super().execute(statement, parameters)  # type: ignore[arg-type]
        time.sleep(self.delay_seconds)
        if self.held is not None:
            self.reached.set()
            self.held.wait(60)
        if self.failures:
            raise self.failures.pop(0)
        done = super().execute(statement)
        self.committed_at.append(time.monotonic())
        return done


def faulty(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Faulty, timeout=0)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


@pytest.fixture(autouse=True)
def _sound() -> object:
    yield
    Faulty.delay_seconds, Faulty.held = 0.0, None
    Faulty.reached.clear()
    Faulty.failures.clear()
    Faulty.committed_at.clear()


def number(world: World, key: Key) -> int:
    return world.catalog().accounts[key].number


def spend(account: int, amount: int = NANO) -> Callable[[Book], Standing]:
    """Take money, in the shape of an adjustment."""

    def decide(book: Book) -> Standing:
        standing = book.standing(account)
        for posted in posting.credit(standing, EntryKind.ADJUST, -amount, START, key="", who="test", reason="test"):
            book.post(posted)
        return book.standing(account)

    return decide


async def test_64_callers_make_at_most_8_commits_counted_in_the_driver(tmp_path: Path) -> None:
    traced = Traced()
    async with opened(tmp_path, traced) as world:
        account = number(world, RITA)
        before = traced.commits()
        results = await asyncio.gather(
            *(world.store.transact(Reads(accounts=(account,)), spend(account)) for _ in range(CALLERS))
        )
        assert traced.commits() - before <= 8
        # Each saw what those before it did: the balances are 64 different ones.
        assert sorted(standing.balance for standing in results) == [OPENING - n * NANO for n in range(CALLERS, 0, -1)]
        assert await world.balance(RITA) == OPENING - CALLERS * NANO


async def test_64_whole_calls_at_two_levels_share_their_commits(tmp_path: Path) -> None:
    traced = Traced()
    async with opened(tmp_path, traced) as world:
        before = traced.commits()
        await asyncio.gather(*(world.whole(f"c{n}") for n in range(CALLERS)))
        assert traced.commits() - before <= 3 * 8
        assert await world.balance(RITA) == OPENING - CALLERS * 600_000_000
        hot = [text for text in traced.statements if text.startswith("UPDATE account SET") and "VALUES" in text]
        assert len(hot) <= 3 * 8 * 2, "a hot account is written once a batch"
    assert await findings(tmp_path) == []


async def test_no_reply_precedes_its_commit(tmp_path: Path) -> None:
    async with opened(tmp_path, faulty) as world:
        account = number(world, RITA)
        Faulty.delay_seconds = 0.05
        answered: list[float] = []

        async def one() -> None:
            began, commits = time.monotonic(), len(Faulty.committed_at)
            await world.store.transact(Reads(accounts=(account,)), spend(account))
            answered.append(time.monotonic() - began)
            assert len(Faulty.committed_at) > commits, "answered before any commit since the question"

        for _ in range(3):
            await asyncio.gather(*(one() for _ in range(8)))
        assert min(answered) >= 0.05


async def test_what_arrives_during_a_commit_forms_the_next_batch(tmp_path: Path) -> None:
    async with opened(tmp_path, faulty) as world:
        account = number(world, RITA)
        Faulty.held = threading.Event()
        first = asyncio.create_task(world.store.transact(Reads(accounts=(account,)), spend(account)))
        await asyncio.to_thread(Faulty.reached.wait)
        rest = [
            asyncio.create_task(world.store.transact(Reads(accounts=(account,)), spend(account))) for _ in range(63)
        ]
        await until(lambda: world.store.writer.waiting == 63)
        assert not first.done()
        commits = world.store.writer.commits
        Faulty.held.set()
        await asyncio.gather(first, *rest)
        assert world.store.writer.commits - commits == 2


@pytest.mark.usefixtures("engine")
async def test_one_that_raises_is_left_out_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        account = number(world, RITA)

        def fails(book: Book) -> None:
            spend(account)(book)
            book.append_exception(Exceptional("test", "main", "test", "gw1", "c", "never seen", START, key="never"))
            book.save_message(Message("never", b"b", b"r", START))
            raise ZeroDivisionError("mine alone")

        tasks = [
            world.store.transact(Reads(accounts=(account,)), fails if n == 31 else spend(account))
            for n in range(CALLERS)
        ]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        failed = [result for result in results if isinstance(result, BaseException)]
        assert [type(error) for error in failed] == [ZeroDivisionError]
        assert isinstance(results[31], ZeroDivisionError)
        assert await world.balance(RITA) == OPENING - 63 * NANO
        assert await world.store.exceptions() == []
        found = await world.store.transact(Reads(messages=("never",)), lambda book: book.message("never"))
        assert found is None


@pytest.mark.usefixtures("engine")
async def test_a_row_that_the_schema_refuses_fails_its_caller_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await world.ask("c1")
        call = (await world.store.open_calls())[0]
        account = number(world, RITA)

        def doubles(book: Book) -> None:
            book.save_call(call.changed(grant_id="another"))

        tasks = [
            world.store.transact(Reads(accounts=(account,)), doubles if n == 5 else spend(account)) for n in range(16)
        ]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [n for n, result in enumerate(results) if isinstance(result, BaseException)] == [5]
        assert isinstance(results[5], StoreError)
        assert not results[5].transient
        assert len(await world.store.open_calls()) == 1
        held = await world.store.account_view(RITA)
        assert held is not None
        assert held.standing.balance == OPENING - 15 * NANO
    assert await findings(tmp_path) == []


async def test_a_full_queue_refuses_and_later_works(tmp_path: Path) -> None:
    async with opened(tmp_path, faulty, queue_max=4, batch_max=2) as world:
        account = number(world, RITA)
        Faulty.held = threading.Event()
        first = asyncio.create_task(world.store.transact(Reads(accounts=(account,)), spend(account)))
        await asyncio.to_thread(Faulty.reached.wait)
        rest = [asyncio.create_task(world.store.transact(Reads(accounts=(account,)), spend(account))) for _ in range(6)]
        await until(lambda: sum(task.done() for task in rest) >= 2)
        refused = [task for task in rest if task.done()]
        assert world.store.writer.waiting == 4
        assert [type(task.exception()) for task in refused] == [StoreUnavailable, StoreUnavailable]
        Faulty.held.set()
        await first
        await asyncio.gather(*(task for task in rest if task not in refused))
        assert await world.balance(RITA) == OPENING - 5 * NANO


@pytest.mark.parametrize(
    "error",
    [sqlite3.OperationalError("disk I/O error"), sqlite3.OperationalError("database or disk is full")],
)
async def test_a_commit_that_fails_acknowledges_nobody_and_the_next_works(tmp_path: Path, error: sqlite3.Error) -> None:
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
    async with opened(tmp_path, faulty) as world:
        account = number(world, RITA)
        Faulty.failures.append(error)
        results = await asyncio.gather(
            *(world.store.transact(Reads(accounts=(account,)), spend(account)) for _ in range(8)),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [StoreUnavailable] * 8
        assert "disk reported an error" in str(results[0])
        assert str(tmp_path) in str(results[0])
        assert await world.balance(RITA) == OPENING
        await world.store.transact(Reads(accounts=(account,)), spend(account))
        assert await world.balance(RITA) == OPENING - NANO
    assert await findings(tmp_path) == []


async def _one_after_the_other(works: Iterable[Awaitable[object]]) -> None:
    for work in works:
        await work


async def test_a_full_disk_acknowledges_nobody_and_room_heals_it(tmp_path: Path) -> None:
    limit: list[int] = []

    def bounded(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        if limit:
            connection.execute(f"PRAGMA max_page_count = {limit[0]}")
        return connection

    async with opened(tmp_path, bounded) as world:
        limit.append(1)  # SQLite sets it to what the file has
        await world.store.administer(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchone())
        calls = (world.whole(f"full-{n}", 1) for n in range(400))
        with pytest.raises(StoreUnavailable, match="is full"):
            await _one_after_the_other(calls)
        limit.clear()
        await world.store.administer(
            lambda connection: connection.execute("PRAGMA max_page_count = 1000000").fetchone()
        )
        await world.whole("after", 60)
    assert await findings(tmp_path) == []


async def test_a_locked_store_is_waited_for_and_then_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.store.sqlite.BUSY_SECONDS", 2.0)
    async with opened(tmp_path) as world:
        account = number(world, RITA)
        other = sqlite3.connect(tmp_path / "tollway.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="another process has held its lock"):
            await world.store.transact(Reads(accounts=(account,)), spend(account))
        waiting = asyncio.create_task(world.store.transact(Reads(accounts=(account,)), spend(account)))
        await asyncio.sleep(0.1)
        other.execute("ROLLBACK")
        other.close()
        assert (await waiting).balance == OPENING - NANO


async def test_a_store_removed_or_replaced_under_the_daemon_is_never_written(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        account = number(world, RITA)
        (tmp_path / "tollway.db").rename(tmp_path / "moved.db")
        with pytest.raises(StoreUnavailable, match="gone"):
            await world.store.transact(Reads(accounts=(account,)), spend(account))
        (tmp_path / "tollway.db").write_bytes(b"")
        with pytest.raises(StoreUnavailable, match="replaced"):
            await world.store.ping()


@pytest.mark.usefixtures("engine")
async def test_a_function_reads_only_what_it_named(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        mine, other = number(world, RITA), number(world, ACME)

        def reaches(book: Book) -> Standing:
            return book.standing(other)

        results = await asyncio.gather(
            world.store.transact(Reads(accounts=(mine, other)), lambda book: book.standing(other)),
            world.store.transact(Reads(accounts=(mine,)), reaches),
            world.store.transact(Reads(), lambda book: book.calls("gw1", "c")),
            world.store.transact(Reads(), lambda book: book.call("g")),
            world.store.transact(Reads(), lambda book: book.aliased("gw1", "a")),
            world.store.transact(Reads(), lambda book: book.message("m")),
            return_exceptions=True,
        )
        assert isinstance(results[0], Standing)
        assert [type(result) for result in results[1:]] == [KeyError] * 5


async def test_a_caller_that_gave_up_does_not_disturb_the_batch(tmp_path: Path) -> None:
    async with opened(tmp_path, faulty) as world:
        account = number(world, RITA)
        Faulty.held = threading.Event()
        tasks = [
            asyncio.create_task(world.store.transact(Reads(accounts=(account,)), spend(account))) for _ in range(3)
        ]
        await asyncio.to_thread(Faulty.reached.wait)
        tasks[0].cancel()
        Faulty.held.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert await world.balance(RITA) == OPENING - 3 * NANO


@pytest.mark.usefixtures("engine")
async def test_closing_commits_what_is_queued_and_refuses_what_comes_after(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        account = number(world, RITA)
        queued = [
            asyncio.create_task(world.store.transact(Reads(accounts=(account,)), spend(account))) for _ in range(9)
        ]
        await asyncio.sleep(0)
        await world.store.close()
        assert len(await asyncio.gather(*queued)) == 9
        with pytest.raises(StoreUnavailable):
            await world.store.transact(Reads(), lambda _book: None)
        with pytest.raises(StoreUnavailable):
            await world.store.ping()


@pytest.mark.usefixtures("engine")
async def test_old_messages_go_in_small_steps(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        day = 86_400_000_000

        async def keep(names: range, at: int) -> None:
            await asyncio.gather(
                *(
                    world.store.transact(
                        Reads(),
                        lambda book, n=n: book.save_message(Message(f"m{n}", b"b", b"r", at)),  # type: ignore[misc]
                    )
                    for n in names
                )
            )

        async def count() -> int:
            found: int = (await world.store.rows("SELECT count(*) FROM message"))[0][0]
            return found

        await keep(range(200), START)
        await keep(range(200, 210), START + day)
        assert await count() == 210
        await keep(range(300, 310), START + 3 * day)
        assert await count() == 220 - 20, "two old ones go for each that comes"
        for n in range(10):
            await keep(range(400 + 10 * n, 410 + 10 * n), START + 3 * day)
        left = await world.store.rows("SELECT count(*) FROM message WHERE at = ?", (START,))
        assert left[0][0] == 0
        kept = await world.store.rows("SELECT count(*) FROM message WHERE at > ?", (START,))
        assert kept[0][0] == 120


@pytest.mark.usefixtures("engine")
async def test_a_message_kept_again_takes_the_place_of_the_earlier(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        for reply in (b"one", b"two"):
            await world.store.transact(
                Reads(),
                lambda book, reply=reply: book.save_message(Message("k", b"b", reply, START, "g")),  # type: ignore[misc]
            )
        found = await world.store.transact(Reads(messages=("k",)), lambda book: book.message("k"))
        assert found == Message("k", b"b", b"two", START, "g")


@pytest.mark.usefixtures("engine")
async def test_a_call_id_that_comes_again_for_ever_loads_only_its_newest(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        for _ in range(40):
            await world.whole("1", 1)
        found = await world.store.transact(Reads(calls=(("gw1", "1"),)), lambda book: list(book.calls("gw1", "1")))
        assert [call.attempt for call in found] == list(range(9, 41))
    assert await findings(tmp_path) == []


@pytest.mark.usefixtures("engine")
async def test_what_one_part_of_a_batch_wrote_another_changes(tmp_path: Path) -> None:
    store = await filled(await open_store(settings(tmp_path), lambda: START, create=True))
    calls = [call_of(number) for number in range(90)]

    def played(what: str, call: Call, act: Callable[[Call, Book], str]) -> Awaitable[str]:
        reads = Reads((1, 2), ((call.id_domain, call.call_id),), messages=(f"{what}:{call.call_id}", "again"))

        def decide(book: Book) -> str:
            found = book.message("again")
            count = len(found.reply) if found is not None else 0
            book.save_message(Message("again", b"", bytes(count + 1), START))
            return act(call, book)

        return store.transact(reads, decide)

    try:
        before = store.writer.commits
        asked = [played("ask", call, reserve) for call in calls]
        await asyncio.gather(*asked, *(played("stop", call, settle) for call in calls))
        assert store.writer.commits - before <= 3
        assert await store.rows("SELECT state, count(*) FROM call GROUP BY state") == [("settled", 90)]
        assert await store.rows("SELECT count(*) FROM record") == [(180,)]
        assert await store.rows("SELECT count(*), max(length(reply)) FROM message") == [(181, 180)]
        assert await store.rows("SELECT reserved, channels_out FROM account") == [(0, 0), (0, 0)]
    finally:
        await store.close()


@pytest.mark.usefixtures("engine")
async def test_a_value_beyond_a_column_fails_alone_in_any_part_of_a_batch(tmp_path: Path) -> None:
    store = await open_store(settings(tmp_path), lambda: START, create=True)

    def kept(number: int) -> Awaitable[None]:
        message = Message(f"m{number}", b"", b"", 1 << 70 if number in (5, 70, 99) else START)
        return store.transact(Reads(messages=(message.key,)), lambda book: book.save_message(message))

    results = await asyncio.gather(*(kept(number) for number in range(100)), return_exceptions=True)
    found = await store.rows("SELECT count(*) FROM message")
    await store.close()
    assert [number for number, result in enumerate(results) if result is not None] == [5, 70, 99]
    assert found == [(97,)]
