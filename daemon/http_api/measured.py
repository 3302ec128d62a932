"""Counters and histograms that cost a decision half a microsecond each: additions, made by one thread alone.

The library's own take a lock for every value, which would be some hundredths of all the time that a question takes.
What is shown is the same. A counter is a whole number however large it is, so that money in it loses nothing here.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Any, Final

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

SERIES_MAX: Final = 256  # label sets of one name; above it they are counted as other (a scrape must stay small)
OTHER: Final = "other"
_ABOVE: Final = float("inf")


class Counted(Collector):
    """A collector of prometheus_client: a counter for each set of labels. The name ends in ``_total``."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...]) -> None:
        """Declare it; without labels it is shown from the start."""
        self._name, self._text, self._labels = name, text, labels
        self._series: dict[tuple[str, ...], int] = {} if labels else {(): 0}

    def add(self, amount: int, labels: Mapping[str, str]) -> None:
        """Add an amount, 0 or more. Raises KeyError for labels that are not declared."""
        if len(labels) != len(self._labels):
            raise KeyError(f"{self._name} has the labels {self._labels}")
        key = tuple([labels[label] for label in self._labels])
        if key not in self._series and len(self._series) >= SERIES_MAX:
            key = (OTHER,) * len(key)
        self._series[key] = self._series.get(key, 0) + amount

    def begin(self, key: tuple[str, ...]) -> None:
        """Show a set of labels, in the order of their declaration, at 0 from now on, unless it is shown."""
        assert len(key) == len(self._labels), key
        if len(self._series) < SERIES_MAX:
            self._series.setdefault(key, 0)

    def describe(self) -> list[Any]:
        """Return the empty family, so that a registry knows the names without collecting."""
        return [CounterMetricFamily(self._name, self._text, labels=self._labels)]

    def collect(self) -> Iterator[Any]:
        """Yield the family with its samples, as the library asks for it."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for key, amount in list(self._series.items()):
            family.add_metric(key, amount)
        yield family


class _Series:
    """What was measured under one set of labels: a count for each bucket and one above the last, and their sum."""

    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * (buckets + 1)
        self.total = 0.0


class Measured(Collector):
    """A collector of prometheus_client. ``bounds`` are the upper ends of its buckets, ascending."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...], bounds: tuple[float, ...]) -> None:
        """Declare it; without labels it is shown from the start."""
        self._name, self._text, self._labels = name, text, labels
        self._bounds = tuple(float(bound) for bound in bounds)
        self._series: dict[tuple[str, ...], _Series] = {} if labels else {(): _Series(len(bounds))}

    def observe(self, value: float, labels: Mapping[str, str]) -> None:
        """Count a value. Raises KeyError for labels that are not declared."""
        if len(labels) != len(self._labels):
            raise KeyError(f"{self._name} has the labels {self._labels}")
        key = tuple([labels[label] for label in self._labels])
        series = self._series.get(key)
        if series is None:
            series = self._new_series(key)
        series.counts[bisect_left(self._bounds, value)] += 1
        series.total += value

    def begin(self, key: tuple[str, ...]) -> None:
        """Show a set of labels, in the order of their declaration, without a value from now on, unless it is shown."""
        assert len(key) == len(self._labels), key
        if len(self._series) < SERIES_MAX:
            self._series.setdefault(key, _Series(len(self._bounds)))

    def _new_series(self, key: tuple[str, ...]) -> _Series:
        if len(self._series) >= SERIES_MAX:
            key = (OTHER,) * len(key)
        return self._series.setdefault(key, _Series(len(self._bounds)))

    def describe(self) -> list[Any]:
        """Return the empty family, so that a registry knows the names without collecting."""
        return [HistogramMetricFamily(self._name, self._text, labels=self._labels)]

    def collect(self) -> Iterator[Any]:
        """Yield the family with its samples, as the library asks for it."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for key, series in list(self._series.items()):
            seen, buckets = 0, []
            for bound, count in zip((*self._bounds, _ABOVE), list(series.counts), strict=True):
                seen += count
                buckets.append(("+Inf" if bound == _ABOVE else str(bound), seen))
            family.add_metric(key, buckets, series.total)
        yield family
