"""What an operator watches, as Prometheus reads it: counters that adapters name, gauges that are read when asked.

Every name and its labels are declared here; a label's values come from closed lists, and a name has a bound of them.
Nothing here decides anything: a figure that cannot be read is NaN, never 0.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol, runtime_checkable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from daemon.charging.ports import Store, StoreError

SERIES_MAX = 256  # label sets of one counter; above it they are counted as other (a scrape must stay small)
OTHER = "other"
UNKNOWN: Final = float("nan")  # a figure that could not be read

COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "tollway_decisions_total": ("Questions decided, by road and by code (granted, or why not)", ("road", "code")),
    "tollway_reports_total": ("Reports of calls taken, by road and kind", ("road", "kind")),
    "tollway_tokens_refused_total": ("Requests without a token in force, or not with its role, by reason", ("reason",)),
    "tollway_suspensions_total": (
        "Accounts suspended because their money came to its end, and resumed, by the ledger",
        ("act",),
    ),
    "tollway_vouchers_total": ("Codes of vouchers over HTTP, by outcome (redeemed, or why not)", ("outcome",)),
    "tollway_events_total": ("What rules saw of accounts, by kind and by what they ask for", ("kind", "act")),
    "tollway_discarded_total": ("What was not taken at all, by listener and reason", ("listener", "reason")),
}
HISTOGRAMS: dict[str, tuple[str, tuple[float, ...]]] = {
    "tollway_store_batch_size": ("Transactions in one commit", (1, 2, 4, 8, 16, 32, 64, 128, 256)),
    "tollway_store_commit_seconds": ("Seconds of one commit", (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5)),
}


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


class Metrics:
    """Implements charging.ports.Counters. One registry for one daemon; ``store`` is asked for its open calls."""

    content_type = CONTENT_TYPE_LATEST.partition("; charset")[0]  # Litestar adds the charset itself

    def __init__(self, store: Store) -> None:
        """Declare every figure."""
        self._store = store
        self._registry = CollectorRegistry()
        self._counters = {
            name: Counter(name, text, labels, registry=self._registry) for name, (text, labels) in COUNTERS.items()
        }
        self._series: dict[tuple[str, ...], Counter] = {}
        self._histograms = {
            name: Histogram(name, text, buckets=buckets, registry=self._registry)
            for name, (text, buckets) in HISTOGRAMS.items()
        }
        self._queue = self._gauge("tollway_store_queue_depth", "Transactions that wait for the next commit")
        self._queue.set(UNKNOWN)
        self._open = self._gauge("tollway_open_calls", "Calls that hold money or channels")
        self._reserved = self._gauge("tollway_reserved_nano", "Money held by open calls, nano-units", "currency")
        self._links = self._gauge("tollway_esl_links_up", "1 where the link to the switch is up, else 0", "switch")
        self._manager_links = self._gauge(
            "tollway_ami_links_up", "1 where the link to the manager of an Asterisk is up, else 0", "switch"
        )
        self._recovered = self._gauge(
            "tollway_recovery_calls", "Calls that were open at the last start, by what became of them", "fate"
        )
        self._journalled = self._gauge("tollway_journalled_grants", "Grants in the journal that wait for the store")
        self._stuck = self._gauge("tollway_stuck_calls", "Open calls that cannot be resolved; see the log")
        self._fates: Callable[[], Mapping[str, int]] = dict
        self._links_up: Callable[[], Mapping[str, bool]] = dict
        self._manager_links_up: Callable[[], Mapping[str, bool]] = dict
        ProcessCollector(registry=self._registry)
        if isinstance(store, WatchedStore):
            self._watch(store.writer)

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
        names = COUNTERS[name][1]
        if len(labels) != len(names):
            raise KeyError(f"{name} has the labels {names}")
        series = (name, *(labels[label] for label in names))
        found = self._series.get(series)
        if found is None:
            found = self._new_series(series)
        found.inc()

    def _new_series(self, series: tuple[str, ...]) -> Counter:
        name = series[0]
        if sum(1 for known in self._series if known[0] == name) >= SERIES_MAX:
            return self._counters[name].labels(*([OTHER] * (len(series) - 1)))
        made: Counter = self._counters[name].labels(*series[1:])
        self._series[series] = made
        return made

    def observe(self, name: str, value: float) -> None:
        """Put a measured value into a histogram. Raises KeyError for a name that is not declared."""
        self._histograms[name].observe(value)

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

    async def render(self) -> bytes:
        """Return every figure in Prometheus' text format."""
        await self._read_calls()
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

    async def _read_calls(self) -> None:
        self._reserved.clear()
        try:
            calls = await self._store.open_calls()
        except StoreError:
            self._open.set(UNKNOWN)
            return
        self._open.set(len(calls))
        held: dict[str, int] = {}
        for call in calls:
            for level in call.levels[:1]:
                held[level.currency] = held.get(level.currency, 0) + level.reserved
        for currency, nano in held.items():
            self._reserved.labels(currency).set(nano)
