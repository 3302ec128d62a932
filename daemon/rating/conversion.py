"""Rates between two currencies, dated: which is in force at an instant, and for whom.

A rate is so many units of ``target`` for one of ``source``, an exact ratio of nano-units to NANO. A pair is one
direction: its inverse is never made of it, since bid and ask differ. Of a pair the latest rate begun applies; when it
ends, an earlier one that is still open applies again, as versions of a deck do. The nearest tenant from the one asked
upwards that states a pair decides, also where it has no rate in force: a stated rate never gives way to a stranger's.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from daemon.kernel.instant import NEVER, Instant, format_rfc3339
from daemon.kernel.money import format_nano

PAIR_RATES_MAX: Final = 10_000  # dated rates of one pair of one tenant; one for each day of 27 years


class StatedRate(NamedTuple):
    """One rate as a tenant states it, in force from ``begins`` until before ``ends`` or until a later one."""

    tenant: str
    source: str
    target: str
    rate: int
    begins: Instant
    ends: Instant = NEVER


class Conversion(NamedTuple):
    """A rate in force: ``rate`` nano-units of ``target`` for one unit of ``source``.

    ``begins`` is its date; ``until`` the instant at which it ends or another takes over, as known when it was found.
    """

    source: str
    target: str
    rate: int
    begins: Instant
    until: Instant
    tenant: str

    def holds(self, at: Instant) -> bool:
        """Tell whether it is in force at an instant."""
        return self.begins <= at < self.until

    def __str__(self) -> str:
        """Return for instance ``EUR to USD at 1.085 of 2026-11-24T00:00:00.000000Z``."""
        return f"{self.source} to {self.target} at {format_nano(self.rate)} of {format_rfc3339(self.begins)}"


class Timeline:
    """The rates of one pair of one tenant, by the instant at which each comes into force; None where there is none."""

    __slots__ = ("rates", "starts")

    def __init__(self, stated: Iterable[StatedRate]) -> None:
        """Take at least one rate; no two begin at one instant."""
        waiting = sorted(stated, key=lambda each: -each.begins)
        edges = sorted({edge for each in waiting for edge in (each.begins, each.ends) if edge < NEVER})
        starts: list[Instant] = []
        holders: list[StatedRate | None] = []
        begun: list[StatedRate] = []  # the latest last
        for edge in edges:
            while waiting and waiting[-1].begins <= edge:
                begun.append(waiting.pop())
            while begun and begun[-1].ends <= edge:
                begun.pop()
            holder = begun[-1] if begun else None
            if not holders or holder is not holders[-1]:
                starts.append(edge)
                holders.append(holder)
        self.starts = tuple(starts)
        self.rates = tuple(
            None if each is None else Conversion(each.source, each.target, each.rate, each.begins, until, each.tenant)
            for each, until in zip(holders, (*starts[1:], NEVER), strict=True)
        )

    def at(self, at: Instant) -> Conversion | None:
        """Return the rate in force at an instant."""
        place = bisect_right(self.starts, at) - 1
        return self.rates[place] if place >= 0 else None

    def last(self, at: Instant) -> Conversion:
        """Return the rate in force at an instant, else the last that was, else the first to come."""
        place = max(0, bisect_right(self.starts, at) - 1)
        found = self.rates[place] or self.rates[place - 1]  # two stretches without a rate never follow each other
        assert found is not None, self.starts
        return found

    def between(self, start: Instant, end: Instant) -> tuple[Conversion, ...]:
        """Return the rate in force at ``start``, then each that comes into force until ``end``, included."""
        first = max(0, bisect_right(self.starts, start) - 1)
        found = self.rates[first : bisect_right(self.starts, end)]
        return tuple(each for each in found if each is not None)


class Conversions:
    """Every dated rate of every tenant, found from a tenant upwards."""

    __slots__ = ("_parents", "_timelines")

    def __init__(self, stated: Iterable[StatedRate] = (), parents: Mapping[str, str] = MappingProxyType({})) -> None:
        """Take the rates, and the parent of each tenant that has one; no tenant is its own ancestor."""
        pairs: dict[tuple[str, str, str], list[StatedRate]] = {}
        for each in stated:
            pairs.setdefault((each.tenant, each.source, each.target), []).append(each)
        self._timelines = {pair: Timeline(rates) for pair, rates in pairs.items()}
        self._parents = parents

    def timeline(self, tenant: str, source: str, target: str) -> Timeline | None:
        """Return the rates of a pair as a tenant has them: those of the nearest from it upwards that states any."""
        while tenant and self._timelines:
            found = self._timelines.get((tenant, source, target))
            if found is not None:
                return found
            tenant = self._parents.get(tenant, "")
        return None


NO_CONVERSIONS: Final = Conversions()


def at_one_instant(*found: Conversion | None) -> bool:
    """Tell whether rates can be in force at the same instant: none has ended where another begins."""
    known = [each for each in found if each is not None]
    return not known or max(each.begins for each in known) < min(each.until for each in known)
