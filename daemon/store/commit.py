"""Group commit: one writer thread; what arrives while a commit is under way forms the next batch.

A batch is one transaction. It loads what its functions read, set-wise; runs each on an overlay of the batch's working
copies; writes set-wise; commits; then answers all at once. A function that raises leaves nothing and fails alone.
If the batch cannot be committed nobody is answered with a value: everybody gets the StoreError. A function may be run
a second time, where a row of somebody else's was refused or another process came between; so it must be pure.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from daemon.charging.ports import Book, Reads, StoreConflict, StoreError, StoreUnavailable
from daemon.store.book import Overlay, Working

T = TypeVar("T")
RUNS_MAX = 4  # times that the same work is run where others are in the way each time
AHEAD = 32  # transactions after whose decision a database may begin to write: each part is a way to the server
ERRANDS_MAX = 256  # pieces of administrative work that wait; people and timers do not make more


@dataclass(slots=True)
class Job(Generic[T]):
    """One transaction and whoever waits for it."""

    reads: Reads
    decide: Callable[[Book], T]
    future: "asyncio.Future[T]"


class Engine(Protocol):
    """What the writer needs of a database; all of it runs in the writer's thread, and may raise anything."""

    def begin(self) -> None:
        """Begin a transaction that may write, on a new connection where the old one is not to be trusted."""

    def load(self, reads: Sequence[Reads]) -> Working:
        """Load the union of what a batch reads."""

    def write_ahead(self, working: Working) -> None:
        """Begin to write what was decided so far, where the rest can be decided meanwhile; ``write`` follows."""

    def write(self, working: Working) -> None:
        """Write what a batch changed. Raises ``IntegrityFault`` where two of its rows cannot both be."""

    def commit(self) -> None:
        """Make it durable; returning means that it is."""

    def rollback(self) -> None:
        """Forget the transaction; never raises."""

    def is_passing(self, error: Exception) -> bool:
        """Tell whether others were in the way and nothing was committed: the same work may then run again."""

    def failure(self, error: Exception) -> StoreError | None:
        """Return the typed error of a database error and trust the connection no more; None for any other error."""

    def close(self) -> None:
        """Close the connection."""


class IntegrityFault(Exception):
    """A constraint of the schema refused a row of the batch."""


class Writer:
    """The one thread that writes. ``batch_max`` transactions share a commit, ``queue_max`` wait for one."""

    def __init__(self, engine: Engine, batch_max: int, queue_max: int) -> None:
        """Start the thread; the engine connects when it first begins."""
        self._engine = engine
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._queue: deque[Job[object]] = deque()
        self._errands: deque[tuple[Callable[[], object], asyncio.Future[object]]] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self.commits = 0  # transactions of the database that were committed
        self.batched = 0  # transactions of callers in them
        self.on_commit: Callable[[int, float], None] | None = None  # told transactions and seconds of each batch
        self._thread = threading.Thread(target=self._run, name="tollway-store-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Transactions that wait for a batch."""
        return len(self._queue)

    def submit(self, job: Job[T]) -> None:
        """Queue a transaction. Raises StoreUnavailable where the queue is full or the store is closing."""
        with self._wake:
            if self._closing:
                raise StoreUnavailable("the store is closing")
            if len(self._queue) >= self._queue_max:
                raise StoreUnavailable(f"{self._queue_max} transactions wait for the store, which is its limit")
            self._queue.append(job)  # type: ignore[arg-type]  # a job of any value is a job
            self._wake.notify()

    def errand(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """Run administrative work in the writer's thread, in a transaction of its own. Raises StoreUnavailable.

        It may be run a second time, as a batch's functions may.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._wake:
            if self._closing or len(self._errands) >= ERRANDS_MAX:
                raise StoreUnavailable("the store is closing, or too much administrative work waits for it")
            self._errands.append((work, future))  # type: ignore[arg-type]  # the same
            self._wake.notify()
        return future

    def close(self) -> None:
        """Finish what is queued and end the thread; blocks until it has ended."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._queue or self._errands or self._closing):
                    self._wake.wait()
                if not (self._queue or self._errands):
                    break
                errand = self._errands.popleft() if self._errands else None
                jobs = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_max))]
            if errand is not None:
                self._run_errand(*errand)
            if jobs:
                self._run_batch(jobs)
        self._engine.close()

    def _run_errand(self, work: Callable[[], object], future: "asyncio.Future[object]", run: int = 1) -> None:
        value: object = None
        failed: Exception | None = None
        try:
            self._engine.begin()
            value = work()
            self._engine.commit()
            self.commits += 1
        except Exception as error:  # whatever it was belongs to whoever waits for the errand
            self._engine.rollback()
            if self._again(error, run):
                self._run_errand(work, future, run + 1)
                return
            failed = self._engine.failure(error) or error
        _answer([(future, value, failed)])

    def _again(self, error: Exception, run: int) -> bool:
        return run < RUNS_MAX and self._engine.is_passing(error)

    def _run_batch(self, jobs: list[Job[object]], run: int = 1) -> None:
        try:
            results = self._transaction(jobs)
        except IntegrityFault as error:
            self._engine.rollback()
            if self._again(error, run):
                self._run_batch(jobs, run + 1)
                return
            if len(jobs) > 1:
                # A row of one of them was refused: each gets its own transaction, so that only the culprit fails.
                for job in jobs:
                    self._run_batch([job])
                return
            results = [(jobs[0].future, None, StoreConflict(f"the schema refused a row: {error}"))]
        except Exception as error:  # nothing was committed: nobody may be answered with a value
            self._engine.rollback()
            if self._again(error, run):
                self._run_batch(jobs, run + 1)
                return
            failure = self._engine.failure(error)
            if failure is None and len(jobs) > 1:
                # Not the database's fault but a value's of one of them (it does not fit a column): find the culprit.
                for job in jobs:
                    self._run_batch([job])
                return
            failure = failure or _internal(error)
            results = [(job.future, None, failure) for job in jobs]
        _answer(results)

    def _transaction(self, jobs: list[Job[object]]) -> "list[Result]":
        self._engine.begin()
        working = self._engine.load([job.reads for job in jobs])
        results = [_decided(working, job) for job in jobs[:AHEAD]]
        for start in range(AHEAD, len(jobs), AHEAD):
            self._engine.write_ahead(working)
            results += [_decided(working, job) for job in jobs[start : start + AHEAD]]
        if working.is_changed or len(jobs) > AHEAD:
            self._engine.write(working)
        began = time.perf_counter()
        self._engine.commit()
        self.commits += 1
        self.batched += len(jobs)
        if self.on_commit is not None:
            self.on_commit(len(jobs), time.perf_counter() - began)
        return results


Result = tuple["asyncio.Future[object]", object, Exception | None]


def _decided(working: Working, job: Job[object]) -> Result:
    book = Overlay(working, job.reads)
    try:
        value = job.decide(book)
    except Exception as error:  # left out alone; its caller gets it
        return job.future, None, error
    book.merge()
    return job.future, value, None


def _internal(error: Exception) -> StoreError:
    return error if isinstance(error, StoreError) else StoreError(f"the store failed: {type(error).__name__}: {error}")


def _answer(results: list[Result]) -> None:
    """Answer everybody with one wake-up of the loop; nobody waits any more where the loop has gone."""
    loop = results[0][0].get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(_tell, results)


def _tell(results: list[Result]) -> None:
    for future, value, error in results:
        if future.done():
            continue  # its caller was cancelled meanwhile; what it asked for is committed all the same
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)
