"""Figures are there at 0 before the first event, so that an alert sees the first one rise."""

import re

import pytest

from daemon.charging.configuration import Configuration, ConversionSpec, RateTableSpec, TenantSpec
from daemon.http_api.births import BORN, CURRENCIES_MAX, MEASURED, ROADS, currencies_of
from daemon.http_api.figures import COUNTERS, HISTOGRAMS
from daemon.http_api.measured import SERIES_MAX
from daemon.http_api.metrics import Metrics
from tests.unit.charging.memory_store import MemoryStore
from tests.unit.http_api.test_metrics import figures_of
from tests.unit.test_seeing import RULES

SELECTOR = re.compile(r"\b(tollway_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|!=|=)"([^"]*)"')


def fresh() -> Metrics:
    """Return the figures of a daemon that has one currency and one switch of each kind, and did nothing yet."""
    metrics = Metrics(MemoryStore())
    metrics.watch_currencies(lambda: ["USD"])
    metrics.watch_links(lambda: {"fs1": True})
    metrics.watch_manager_links(lambda: {"pbx": True})
    return metrics


def _matches(labels: dict[str, str], matchers: list[tuple[str, str, str]]) -> bool:
    def holds(has: str, operator: str, value: str) -> bool:
        return re.fullmatch(value, has) is not None if operator == "=~" else (has == value) == (operator == "=")

    return all(holds(labels.get(label, ""), operator, value) for label, operator, value in matchers)


def _shown(text: str) -> list[tuple[str, dict[str, str]]]:
    lines = re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", text, re.MULTILINE)
    return [(name, dict(re.findall(r'(\w+)="([^"]*)"', labels))) for name, labels in lines]


@pytest.mark.parametrize("rule", RULES, ids=[rule.partition("\n")[0] for rule in RULES])
async def test_every_series_that_an_alert_reads_is_there_from_the_start(rule: str) -> None:
    shown = _shown((await fresh().render()).decode())
    for name, inner in SELECTOR.findall(rule.partition("expr:")[2].partition("for:")[0]):
        matchers = MATCHER.findall(inner.replace('job="tollway"', ""))
        found = [labels for series, labels in shown if series == name and _matches(labels, matchers)]
        assert found, (name, inner)
        for label, operator, value in matchers:
            for word in value.split("|") if operator == "=~" else ():
                assert any(labels[label] == word for labels in found), (name, label, word)


async def test_they_begin_at_nothing_by_each_road() -> None:
    figures = await figures_of(fresh())
    for road in ROADS:
        assert figures["tollway_decisions_total", "store_unavailable", road] == 0
        assert figures["tollway_charges_total", "rated", road, "end_unknown"] == 0
        assert figures["tollway_decision_seconds_count", road] == 0
    assert figures["tollway_uncollected_nano_total", "USD"] == 0
    assert figures["tollway_events_total", "suspend", "fraud"] == 0


async def test_a_figure_that_was_counted_is_not_begun_again() -> None:
    metrics = fresh()
    metrics.add("tollway_charged_nano_total", 7, currency="USD")
    await metrics.render()
    assert (await figures_of(metrics))["tollway_charged_nano_total", "USD"] == 7


def test_what_begins_is_declared_and_leaves_room() -> None:
    for name, keys in BORN.items():
        assert len(set(keys)) == len(keys) < SERIES_MAX // 2
        assert {len(key) for key in keys} == {len(COUNTERS[name][1])}
    for name, keys in MEASURED.items():
        assert {len(key) for key in keys} == {len(HISTOGRAMS[name][1])}


async def test_currencies_that_begin_are_bounded() -> None:
    metrics = Metrics(MemoryStore())
    metrics.watch_currencies(lambda: [f"X{number:02}" for number in range(CURRENCIES_MAX + 9)])
    figures = await figures_of(metrics)
    assert sum(key[0] == "tollway_charged_nano_total" for key in figures) == CURRENCIES_MAX


def test_currencies_are_those_of_tenants_tables_and_stated_rates() -> None:
    configuration = Configuration(
        1,
        tenants=(TenantSpec("main", "USD"),),
        rate_tables=(RateTableSpec("main", "eu", "EUR"),),
        conversions=(ConversionSpec("main", "EUR", "GBP", 1, 0),),
    )
    assert set(currencies_of(configuration)) == {"USD", "EUR", "GBP"}
