"""Two lanes to one server: while one batch is written and committed, the next is decided and made ready.

Batches form, lock names and commit one after the other. The next decides on accounts as the one before leaves them,
which is a guess: it then locks and loads them, after that commit, and where they are not what it took them for (another
process came between, or the commit failed) it decides anew on what is there. Nobody is answered before his own commit.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

from daemon.charging.ports import Reads
from daemon.ledger.account import Standing
from daemon.rating.bundle import Meter
from daemon.store.book import MeterKey, Working
from daemon.store.commit import Engine, Job, Result, Writer, decided
from daemon.store.postgres_batch import Held, Named, Packed, packed

T = TypeVar("T")
GUESSES_MAX: Final = 20_000  # accounts, and meters, that are remembered for a guess: some ten megabytes
MISSED_PAUSE: Final = 16  # batches after a wrong guess that make none: another process works on the same accounts


WHOLE_MAX: Final = 16  # transactions that one batch takes alone; more are shared with the lane that comes after


class LaneEngine(Engine, Protocol):
    """What lanes need of their engine; each thread has a connection of its own."""

    def load_named(self, reads: Sequence[Reads]) -> Named:
        """Lock and load all but accounts and meters."""

    def load_held(self, named: Named) -> Held:
        """Lock and load the accounts and meters."""

    def write_packed(self, working: Working, made: Packed) -> None:
        """Write what was made ready before."""


class Way(threading.local):
    """Where a lane is: in front, where batches form and are decided, or at the back, where they are committed.

    One batch is in each. Whoever goes on to the back leaves the front only then, so that nobody overtakes. Whoever is
    at the back waits for no lock of a lane in front: that one has locked names and calls, and no account.
    """

    def __init__(self, front: threading.Lock, back: threading.Lock) -> None:
        """Take the places, which all lanes share."""
        self._front, self._back = front, back
        self.in_front = self.at_back = False

    def enter(self) -> None:
        """Go to the front, where the lane is not there yet."""
        if not self.in_front:
            self._front.acquire()
            self.in_front = True

    def go_on(self) -> None:
        """Go from the front to the back, when the batch before has been committed."""
        self._back.acquire()
        self.at_back = True
        self.in_front = False
        self._front.release()

    def leave(self) -> None:
        """Leave whatever place the lane has."""
        if self.in_front:
            self.in_front = False
            self._front.release()
        if self.at_back:
            self.at_back = False
            self._back.release()


class Foresight:
    """Accounts and meters as the last batches left them: what the next will find, unless somebody else was there."""

    def __init__(self) -> None:
        """Know nothing."""
        self._standings: dict[int, Standing] = {}
        self._meters: dict[MeterKey, Meter | None] = {}
        self._pause = 0

    def guess(self, named: Named) -> Held | None:
        """Return what a batch will find; None where that is not known, or not worth a guess."""
        if self._pause:
            self._pause -= 1
            return None
        try:
            standings = {number: self._standings[number] for number in named.accounts}
            meters = {key: self._meters[key] for key in named.meters}
        except KeyError:
            return None
        return Held(standings, {key: meter for key, meter in meters.items() if meter is not None})

    def forget(self) -> None:
        """Know nothing any more: what a batch was taken to leave behind was not committed."""
        self._standings.clear()
        self._meters.clear()

    def missed(self) -> None:
        """Take a guess for wrong."""
        self._pause = MISSED_PAUSE

    def learn(self, named: Named, working: Working) -> None:
        """Take what a batch leaves behind when it is committed."""
        if len(self._standings) > GUESSES_MAX:
            self._standings.clear()
        if len(self._meters) > GUESSES_MAX:
            self._meters.clear()
        self._standings.update(working.standings)
        self._meters.update((key, working.meters.get(key)) for key in named.meters)
        self._meters.update(working.meters)


class Made(NamedTuple):
    """A batch that was decided: what it leaves behind, what it answers, and what it writes."""

    working: Working
    results: list[Result]
    rows: Packed | None  # None where nothing changed


class LanedWriter(Writer):
    """A writer of two threads."""

    def __init__(self, engine: LaneEngine, batch_max: int, queue_max: int) -> None:
        """Start the threads; each connects when it first begins."""
        self._lanes = engine
        self._way = Way(threading.Lock(), threading.Lock())
        self._foresight = Foresight()
        self._is_sure = threading.Event()  # that the batch at the back has decided on what is really there
        self._is_sure.set()
        self._at_back = 0  # transactions of the batch that is written and committed
        super().__init__(engine, batch_max, queue_max)
        self._second = threading.Thread(target=self._run, name="tollway-store-lane", daemon=True)
        self._second.start()

    def errand(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """Take none: administrative work has a writer and a connection of its own here."""
        raise AssertionError(f"{work} was given to the lanes of calls")

    def close(self) -> None:
        """Finish what is queued and end the threads; blocks until they have ended."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._thread.join()
        self._second.join()

    def _run(self) -> None:
        while self._waited():
            self._way.enter()
            try:
                jobs = self._formed()
                if jobs:
                    self._run_batch(jobs)
            finally:
                self._way.leave()
        self._engine.close()

    def _formed(self) -> list[Job[object]]:
        """Take what forms the next batch: half of all that is under way, so that both lanes have as much to do."""
        with self._wake:
            queued = len(self._queue)
            share = max(WHOLE_MAX, (queued + self._at_back + 1) // 2)
            return [self._queue.popleft() for _ in range(min(queued, share, self._batch_max))]

    def _waited(self) -> bool:
        """Wait until there is something to do. False where nothing will come any more."""
        with self._wake:
            while not (self._queue or self._closing):
                self._wake.wait()
            return bool(self._queue)

    def _transaction(self, jobs: list[Job[object]]) -> list[Result]:
        self._way.enter()
        try:
            self._engine.begin()
            named = self._lanes.load_named([job.reads for job in jobs])
            self._is_sure.wait()
            guess = self._foresight.guess(named)
            made = None if guess is None else _made(jobs, named, guess)
            self._way.go_on()
            self._at_back = len(jobs)
            self._is_sure.clear()
            made = self._confirmed(jobs, named, guess, made)
            self._committed(made, len(jobs))
        except Exception:
            self._foresight.forget()
            raise
        else:
            return made.results
        finally:
            if self._way.at_back:
                self._at_back = 0
                self._is_sure.set()
            self._way.leave()

    def _confirmed(self, jobs: list[Job[object]], named: Named, guess: Held | None, made: Made | None) -> Made:
        """Lock and load the accounts, and return the batch as it is decided on what they are."""
        held = self._lanes.load_held(named)
        if made is None or held != guess:
            if guess is not None:
                self._foresight.missed()
            made = _made(jobs, named, held)
        self._foresight.learn(named, made.working)
        self._is_sure.set()
        return made

    def _committed(self, made: Made, count: int) -> None:
        if made.rows is not None:
            self._lanes.write_packed(made.working, made.rows)
        began = time.perf_counter()
        self._engine.commit()
        self.commits += 1
        self.batched += count
        if self.on_commit is not None:
            self.on_commit(count, time.perf_counter() - began)


def _made(jobs: list[Job[object]], named: Named, held: Held) -> Made:
    working = named.working(held)
    results = [decided(working, job) for job in jobs]
    return Made(working, results, packed(working) if working.is_changed else None)
