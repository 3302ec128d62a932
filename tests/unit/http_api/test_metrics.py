"""Figures: declared names only, a bound of series, and NaN where a figure cannot be read."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from daemon.charging.ports import StoreSums, StoreUnavailable
from daemon.http_api.measured import SERIES_MAX, Counted, Measured
from daemon.http_api.metrics import Metrics
from tests.unit.charging.desk import ALICE, Desk
from tests.unit.charging.memory_store import MemoryStore


async def figures_of(metrics: Metrics) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families((await metrics.render()).decode())
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


async def test_what_is_counted_is_shown() -> None:
    metrics = Metrics(MemoryStore())
    for _ in range(3):
        metrics.count("tollway_decisions_total", road="http", code="granted")
    metrics.count("tollway_discarded_total", listener="http", reason="malformed")
    metrics.observe("tollway_store_batch_size", 64)
    metrics.watch_links(lambda: {"fs1": True, "fs2": False})
    figures = await figures_of(metrics)
    assert figures["tollway_decisions_total", "granted", "http"] == 3
    assert figures["tollway_discarded_total", "http", "malformed"] == 1
    assert figures["tollway_store_batch_size_count",] == 1
    assert figures["tollway_store_queue_depth",] != figures["tollway_store_queue_depth",], "NaN: nobody told it"
    assert (figures["tollway_esl_links_up", "fs1"], figures["tollway_esl_links_up", "fs2"]) == (1, 0)


async def test_what_is_not_declared_is_refused() -> None:
    metrics = Metrics(MemoryStore())
    for name, labels in (
        ("tollway_decisions", {"road": "http", "code": "x"}),
        ("tollway_decisions_total", {"road": "http"}),
        ("tollway_decisions_total", {"road": "http", "kind": "x"}),
    ):
        with pytest.raises(KeyError):
            metrics.count(name, **labels)
    with pytest.raises(KeyError):
        metrics.observe("tollway_seconds", 1)


async def test_series_are_bounded() -> None:
    metrics = Metrics(MemoryStore())
    for number in range(SERIES_MAX + 50):
        metrics.count("tollway_reports_total", road="http", kind=f"k{number}")
    figures = await figures_of(metrics)
    series = [key for key in figures if key[0] == "tollway_reports_total"]
    assert len(series) == SERIES_MAX + 1
    assert figures["tollway_reports_total", "other", "other"] == 50


async def test_open_calls_and_what_they_hold_are_read_from_the_store() -> None:
    desk = Desk()
    desk.fund(ALICE, "1.00")
    await desk.ask("c1")
    figures = await figures_of(Metrics(desk.store))
    assert figures["tollway_open_calls",] == 1
    assert figures["tollway_reserved_nano", "USD"] == desk.standing(ALICE).reserved > 0


async def test_a_store_that_fails_is_not_taken_for_empty() -> None:
    class Gone(MemoryStore):
        async def sums(self) -> StoreSums:
            raise StoreUnavailable("gone")

    figures = await figures_of(Metrics(Gone()))
    assert figures["tollway_open_calls",] != figures["tollway_open_calls",], "NaN"
    assert not [key for key in figures if key[0] == "tollway_reserved_nano"]


async def test_a_scrape_tells_whether_the_store_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.http_api.metrics.PING_SECONDS", 0.05)
    metrics, told = Metrics(MemoryStore()), []

    async def refuses() -> None:
        raise StoreUnavailable("full")

    async def hangs() -> None:
        await asyncio.Event().wait()

    async def commits() -> None:
        return

    assert (await figures_of(metrics))["tollway_store_writable",] != 1
    for ping in (commits, refuses, commits, hangs):
        metrics.watch_store(ping)
        told.append((await figures_of(metrics))["tollway_store_writable",])
    assert told == [1, 0, 1, 0]


async def test_a_sum_that_takes_its_time_is_made_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("daemon.http_api.store_figures.time.monotonic", lambda: clock[0])

    class Slow(MemoryStore):
        sums_made = 0

        async def sums(self) -> StoreSums:
            self.sums_made += 1
            clock[0] += 2
            return await super().sums()

    store = Slow()
    metrics = Metrics(store)
    for _ in range(30):
        await metrics.render()
        clock[0] += 1
    assert store.sums_made == 2, "of 30 seconds, 4 at most"


async def test_a_histogram_is_what_the_library_shows_of_the_same_values() -> None:
    registry = CollectorRegistry()
    theirs = Histogram("h_seconds", "text", ["road"], buckets=(0.1, 1, 5), registry=registry)
    ours = Measured("h_seconds", "text", ("road",), (0.1, 1, 5))
    own = CollectorRegistry()
    own.register(ours)
    for value in (0, 0.05, 0.1, 0.100001, 0.7, 1, 4, 5, 5.1, 100):
        theirs.labels("http").observe(value)
        ours.observe(value, {"road": "http"})
    assert generate_latest(own) == generate_latest(registry)


async def test_money_counted_is_exact() -> None:
    counted = Counted("money_total", "text", ("currency",))
    for amount in (2**62, 1):
        counted.add(amount, {"currency": "USD"})
    (family,) = counted.collect()
    assert family.samples[0].value == 2**62 + 1
