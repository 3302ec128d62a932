"""Group commit: one writer thread; what arrives while a commit is under way forms the next batch.

A batch is one transaction. It loads what its functions read, set-wise; runs each on an overlay of the batch's working
copies; writes set-wise; commits; then answers all at once. A function that raises leaves nothing and fails alone.
If the batch cannot be committed nobody is answered with a value: everybody gets the StoreError.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from daemon.charging.call import Call
from daemon.charging.cdr import RatedCdr
from daemon.charging.ports import Book, Exceptional, Message, Reads, StoreError, StoreUnavailable
from daemon.ledger.account import Entry, Standing

T = TypeVar("T")
CallKey = tuple[str, str]


@dataclass
class Job(Generic[T]):
    """One piece of work and whoever waits for it."""

    reads: Reads
    decide: Callable[[Book], T]
    future: "asyncio.Future[T]"


@dataclass
class Working:
    """The working copies of one batch, and what has to be written."""

    standings: dict[int, Standing] = field(default_factory=dict)
    by_call: dict[CallKey, dict[str, Call]] = field(default_factory=dict)
    by_grant: dict[str, Call] = field(default_factory=dict)
    by_alias: dict[CallKey, dict[str, Call]] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    records: dict[str, list[RatedCdr]] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)
    entries: list[Entry] = field(default_factory=list)
    saved: dict[str, Call] = field(default_factory=dict)
    answered: dict[str, Message] = field(default_factory=dict)
    appended: list[RatedCdr] = field(default_factory=list)
    exceptions: list[Exceptional] = field(default_factory=list)

    def place(self, call: Call) -> None:
        """Index a call where it was loaded or saved; its call id may have changed."""
        earlier = self.by_grant.get(call.grant_id)
        if earlier is not None and (earlier.id_domain, earlier.call_id) != (call.id_domain, call.call_id):
            self.by_call.get((earlier.id_domain, earlier.call_id), {}).pop(call.grant_id, None)
        self.by_grant[call.grant_id] = call
        self.by_call.setdefault((call.id_domain, call.call_id), {})[call.grant_id] = call
        for alias in call.aliases:
            self.by_alias.setdefault((call.id_domain, alias), {})[call.grant_id] = call


class Overlay:
    """Implements charging.ports.Book for one function; ``merge`` makes what it did visible to those after it."""

    def __init__(self, working: Working) -> None:
        """Lie over a batch's working copies."""
        self._under = working
        self._standings: dict[int, Standing] = {}
        self._entries: list[Entry] = []
        self._calls: dict[str, Call] = {}
        self._messages: dict[str, Message] = {}
        self._records: list[RatedCdr] = []
        self._exceptions: list[Exceptional] = []

    def standing(self, account: int) -> Standing:
        """Return the standing of an account."""
        found = self._standings.get(account)
        return found if found is not None else self._under.standings[account]

    def post(self, posting: tuple[Standing, Entry]) -> None:
        """Keep an entry and the standing after it."""
        standing, entry = posting
        self._standings[standing.account] = standing
        self._entries.append(entry)

    def calls(self, id_domain: str, call_id: str) -> Sequence[Call]:
        """Return the calls of a call id, oldest first."""
        found = {**self._under.by_call.get((id_domain, call_id), {}), **self._mine(id_domain, call_id)}
        return sorted(found.values(), key=lambda call: (call.attempt, call.part, call.requested_at))

    def _mine(self, id_domain: str, call_id: str) -> dict[str, Call]:
        if not self._calls:
            return {}
        return {
            grant_id: call
            for grant_id, call in self._calls.items()
            if (call.id_domain, call.call_id) == (id_domain, call_id)
        }

    def call(self, grant_id: str) -> Call | None:
        """Return the call of a grant."""
        return self._calls.get(grant_id) or self._under.by_grant.get(grant_id)

    def aliased(self, id_domain: str, alias: str) -> Call | None:
        """Return the newest call of an alias that no accounting has joined yet, or the newest that one has."""
        found = list(self._under.by_alias.get((id_domain, alias), {}).values())
        found.sort(key=lambda call: (not call.joined, call.requested_at))
        return found[-1] if found else None

    def save_call(self, call: Call) -> None:
        """Keep a call."""
        self._calls[call.grant_id] = call

    def message(self, key: str) -> Message | None:
        """Return an answered message."""
        return self._messages.get(key) or self._under.messages.get(key)

    def save_message(self, message: Message) -> None:
        """Keep an answered message."""
        self._messages[message.key] = message

    def records(self, grant_id: str) -> Sequence[RatedCdr]:
        """Return the records of a call."""
        mine = [record for record in self._records if record.grant_id == grant_id]
        return [*self._under.records.get(grant_id, ()), *mine]

    def append_record(self, record: RatedCdr) -> None:
        """Keep a record."""
        self._records.append(record)

    def append_exception(self, item: Exceptional) -> None:
        """Keep an exception."""
        self._exceptions.append(item)

    def merge(self) -> None:
        """Make everything done here part of the batch."""
        under = self._under
        under.standings.update(self._standings)
        under.touched.update(self._standings)
        under.entries += self._entries
        for call in self._calls.values():
            under.place(call)
            under.saved[call.grant_id] = call
        under.messages.update(self._messages)
        under.answered.update(self._messages)
        for record in self._records:
            under.records.setdefault(record.grant_id, []).append(record)
        under.appended += self._records
        under.exceptions += self._exceptions


class Engine(Protocol):
    """What the writer needs of a database; all of it runs in the writer's thread."""

    def begin(self) -> None:
        """Begin a transaction that may write."""

    def load(self, reads: Sequence[Reads]) -> Working:
        """Load the union of what a batch reads."""

    def write(self, working: Working) -> None:
        """Write what a batch changed. Raises ``IntegrityFault`` where two of its rows cannot both be."""

    def commit(self) -> None:
        """Make it durable; returning means that it is."""

    def rollback(self) -> None:
        """Forget the transaction; never raises."""

    def failure(self, error: BaseException) -> StoreError:
        """Return the typed error of a database error."""

    def close(self) -> None:
        """Close the connection."""


class IntegrityFault(Exception):
    """A constraint of the schema refused a row of the batch."""


class Writer:
    """The one thread that writes. ``batch_max`` jobs share a commit, ``queue_max`` wait for one."""

    def __init__(self, engine: Callable[[], Engine], batch_max: int, queue_max: int) -> None:
        """Start the thread; the engine is made in it, because a connection belongs to its thread."""
        self._make_engine = engine
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._queue: deque[Job[object]] = deque()
        self._errands: deque[tuple[Callable[[Engine], object], asyncio.Future[object]]] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self.commits = 0
        self.batched = 0
        self._thread = threading.Thread(target=self._run, name="tollway-store-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Jobs that wait for a batch."""
        return len(self._queue)

    def submit(self, job: Job[T]) -> None:
        """Queue a job. Raises StoreUnavailable where the queue is full or the store is closing."""
        with self._wake:
            if self._closing or len(self._queue) >= self._queue_max:
                raise StoreUnavailable(f"{len(self._queue)} transactions wait for the store, its limit")
            self._queue.append(job)  # type: ignore[arg-type]
            self._wake.notify()

    def errand(self, work: Callable[[Engine], T]) -> "asyncio.Future[T]":
        """Run administrative work in the writer's thread, in a transaction of its own."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._wake:
            if self._closing:
                raise StoreUnavailable("the store is closing")
            self._errands.append((work, future))  # type: ignore[arg-type]
            self._wake.notify()
        return future

    def close(self) -> None:
        """Finish what is queued and end the thread; blocks until it has ended."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        engine = self._make_engine()
        while True:
            with self._wake:
                while not (self._queue or self._errands or self._closing):
                    self._wake.wait()
                if not (self._queue or self._errands):
                    break
                errand = self._errands.popleft() if self._errands else None
                jobs = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_max))]
            if errand is not None:
                self._run_errand(engine, *errand)
            if jobs:
                self._run_batch(engine, jobs)
        engine.close()

    def _run_errand(self, engine: Engine, work: Callable[[Engine], object], future: "asyncio.Future[object]") -> None:
        try:
            engine.begin()
            value = work(engine)
            engine.commit()
            self.commits += 1
        except Exception as error:
            engine.rollback()
            _settle(future, None, error if not _of_database(error) else engine.failure(error))
        else:
            _settle(future, value, None)

    def _run_batch(self, engine: Engine, jobs: list[Job[object]]) -> None:
        try:
            results = self._transaction(engine, jobs)
        except IntegrityFault as error:
            engine.rollback()
            self._one_by_one(engine, jobs, error)
            return
        except Exception as error:
            engine.rollback()
            failure = engine.failure(error)
            _answer([(job, None, failure) for job in jobs])
            return
        _answer(results)

    def _one_by_one(self, engine: Engine, jobs: list[Job[object]], error: Exception) -> None:
        """One row of the batch was refused: give each its own transaction, so that only the culprit fails."""
        if len(jobs) == 1:
            _answer([(jobs[0], None, StoreError(f"the schema refused a row: {error}"))])
            return
        for job in jobs:
            self._run_batch(engine, [job])

    def _transaction(self, engine: Engine, jobs: list[Job[object]]) -> "list[Result]":
        engine.begin()
        working = engine.load([job.reads for job in jobs])
        results: list[Result] = []
        for job in jobs:
            book = Overlay(working)
            try:
                value = job.decide(book)
            except Exception as error:
                results.append((job, None, error))
                continue
            book.merge()
            results.append((job, value, None))
        engine.write(working)
        engine.commit()
        self.commits += 1
        self.batched += len(jobs)
        return results


Result = tuple[Job[object], object, BaseException | None]


def _of_database(error: BaseException) -> bool:
    return type(error).__module__ in {"sqlite3", "_sqlite3"}


def _settle(future: "asyncio.Future[object]", value: object, error: BaseException | None) -> None:
    def tell() -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)

    _in_loop(future.get_loop(), tell)


def _answer(results: "list[Result]") -> None:
    """Answer a batch with one wake-up of the loop."""

    def tell() -> None:
        for job, value, error in results:
            if job.future.cancelled():
                continue
            if error is not None:
                job.future.set_exception(error)
            else:
                job.future.set_result(value)

    _in_loop(results[0][0].future.get_loop(), tell)


def _in_loop(loop: asyncio.AbstractEventLoop, tell: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(tell)
