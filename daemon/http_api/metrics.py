"""What an operator watches, as Prometheus reads it: counters that adapters name, gauges that are read when asked.

Names and labels are declared in ``figures``; a label's values come from closed lists, and a name has a bound of them.
Nothing here decides anything: a figure that cannot be read is NaN, never 0.
"""

import asyncio
import platform
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from importlib.metadata import version
from typing import Final, Protocol, runtime_checkable

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from daemon.charging.ports import StoreError
from daemon.http_api.births import BORN, CURRENCIES_MAX, MEASURED, MONEY
from daemon.http_api.figures import COUNTERS, HISTOGRAMS
from daemon.http_api.measured import Counted, Measured
from daemon.http_api.store_figures import UNKNOWN, FigureStore, StoreFigures
from daemon.kernel.instant import Instant

PING_SECONDS: Final = 5.0  # that a commit may take before a scrape tells the store as not writable; scrapes wait 10 s


class WatchedWriter(Protocol):
    """What writes the store: how much waits for it, and whom to tell of each commit (transactions, seconds)."""

    on_commit: Callable[[int, float], None] | None

    @property
    def waiting(self) -> int:
        """Transactions that wait for the next commit."""


@runtime_checkable
class WatchedStore(Protocol):
    """A store that lets its writer be watched."""

    writer: WatchedWriter


def _clock() -> Instant:
    return time.time_ns() // 1000


class Metrics:
    """Implements charging.ports.Counters. One registry for one daemon; ``store`` is asked for what it sums."""

    content_type = CONTENT_TYPE_LATEST.partition("; charset")[0]  # Litestar adds the charset itself

    def __init__(self, store: FigureStore, now: Callable[[], Instant] = _clock) -> None:
        """Declare every figure; ages are counted from ``now``."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each one, which nobody asks for
        self._registry = CollectorRegistry()
        self._counters = {name: Counted(name, *each) for name, each in COUNTERS.items()}
        self._measured = {name: Measured(name, *each) for name, each in HISTOGRAMS.items()}
        declared: list[Collector] = [*self._counters.values(), *self._measured.values()]
        for collector in declared:
            self._registry.register(collector)
        self._begin()
        self._of_store = StoreFigures(store, self._registry, now)
        self._queue = self._gauge("tollway_store_queue_depth", "Transactions that wait for the next commit")
        self._queue.set(UNKNOWN)
        self._writable = self._gauge("tollway_store_writable", "1 where the store commits, as /readyz tells, else 0")
        self._writable.set(UNKNOWN)
        self._ping: Callable[[], Awaitable[None]] | None = None
        self._links = self._gauge("tollway_esl_links_up", "1 where the link to the switch is up, else 0", "switch")
        self._manager_links = self._gauge(
            "tollway_ami_links_up", "1 where the link to the manager of an Asterisk is up, else 0", "switch"
        )
        self._recovered = self._gauge(
            "tollway_recovery_calls", "Calls that were open at the last start, by what became of them", "fate"
        )
        self._journalled = self._gauge("tollway_journalled_grants", "Grants in the journal that wait for the store")
        self._stuck = self._gauge("tollway_stuck_calls", "Open calls that cannot be resolved; see the log")
        self._dropped: Callable[[], int] = int
        self._told = 0  # dropped lines that the counter has
        built = self._gauge("tollway_build_info", "1, with the release and what runs it", "version", "python")
        built.labels(version("tollway"), platform.python_version()).set(1)
        self._fates: Callable[[], Mapping[str, int]] = dict
        self._currencies: Callable[[], Iterable[str]] = tuple
        self._links_up: Callable[[], Mapping[str, bool]] = dict
        self._manager_links_up: Callable[[], Mapping[str, bool]] = dict
        ProcessCollector(registry=self._registry)
        if isinstance(store, WatchedStore):
            self._watch(store.writer)

    def _begin(self) -> None:
        """Show at 0 what alerts read before it happens for the first time."""
        for name, keys in BORN.items():
            for key in keys:
                self._counters[name].begin(key)
        for name, keys in MEASURED.items():
            for key in keys:
                self._measured[name].begin(key)

    def _watch(self, writer: WatchedWriter) -> None:
        writer.on_commit = self._committed
        self._queue.set_function(lambda: float(writer.waiting))

    def _committed(self, transactions: int, seconds: float) -> None:
        self.observe("tollway_store_batch_size", transactions)
        self.observe("tollway_store_commit_seconds", seconds)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry)

    def count(self, name: str, **labels: str) -> None:
        """Add one to a counter. Raises KeyError for a name or labels that are not declared."""
        self._counters[name].add(1, labels)

    def add(self, name: str, amount: int, **labels: str) -> None:
        """Add to a counter. Raises KeyError for a name or labels that are not declared."""
        self._counters[name].add(amount, labels)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Put a measured value into a histogram. Raises KeyError for a name or labels that are not declared."""
        self._measured[name].observe(value, labels)

    def watch_links(self, links_up: Callable[[], Mapping[str, bool]]) -> None:
        """Read the state of the links to switches from here on."""
        self._links_up = links_up

    def watch_manager_links(self, links_up: Callable[[], Mapping[str, bool]]) -> None:
        """Read the state of the links to managers of Asterisk from here on."""
        self._manager_links_up = links_up

    def watch_recovery(
        self, fates: Callable[[], Mapping[str, int]], journalled: Callable[[], int], stuck: Callable[[], int]
    ) -> None:
        """Read what became of the calls of the last start, and what still waits, from here on."""
        self._fates = fates
        self._journalled.set_function(lambda: float(journalled()))
        self._stuck.set_function(lambda: float(stuck()))

    def watch_log(self, dropped: Callable[[], int]) -> None:
        """Read how many lines of the log were dropped from here on."""
        self._dropped = dropped

    def watch_owner(self, owner: Callable[[], str]) -> None:
        """Take who tells the id of the uppermost tenant, whose exports have a figure of their own."""
        self._of_store.watch_owner(owner)

    def watch_store(self, ping: Callable[[], Awaitable[None]]) -> None:
        """Take what commits something to the store, or raises StoreError; each scrape tries it."""
        self._ping = ping

    async def _try_store(self) -> None:
        if self._ping is None:
            return
        try:
            await asyncio.wait_for(self._ping(), PING_SECONDS)
        except (StoreError, TimeoutError):
            self._writable.set(0)
        else:
            self._writable.set(1)

    def watch_currencies(self, currencies: Callable[[], Iterable[str]]) -> None:
        """Take who tells the currencies that money is charged in, some perhaps twice."""
        self._currencies = currencies

    async def render(self) -> bytes:
        """Return every figure in Prometheus' text format."""
        await self._try_store()
        await self._of_store.read()
        dropped = self._dropped()
        self.add("tollway_log_dropped_total", dropped - self._told)
        self._told = dropped
        for currency in sorted(set(self._currencies()))[:CURRENCIES_MAX]:
            for name in MONEY:
                self._counters[name].begin((currency,))
        self._links.clear()
        for switch, is_up in self._links_up().items():
            self._links.labels(switch).set(1 if is_up else 0)
        self._manager_links.clear()
        for switch, is_up in self._manager_links_up().items():
            self._manager_links.labels(switch).set(1 if is_up else 0)
        self._recovered.clear()
        for fate, calls in self._fates().items():
            self._recovered.labels(fate).set(calls)
        return generate_latest(self._registry)
