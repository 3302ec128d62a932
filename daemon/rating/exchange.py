"""A tariff in one currency, charged in another: the rate that is in force goes into the tariff.

The price stays exact in the table's currency until its one rounding, which the conversion comes before: ``charge`` and
``quota`` know the tariff's ratio and nothing of dates. What has no rate in force at an instant has no price then.
"""

from typing import NamedTuple

from daemon.kernel.instant import Instant
from daemon.rating.conversion import NO_CONVERSIONS, Conversion, Conversions, Timeline
from daemon.rating.tariff import Tariff


class Exchange(NamedTuple):
    """The rates into one currency as one tenant has them."""

    tenant: str
    target: str
    conversions: Conversions = NO_CONVERSIONS

    def timeline(self, source: str) -> Timeline | None:
        """Return the dated rates from a currency, None where nobody from the tenant upwards states any."""
        return self.conversions.timeline(self.tenant, source, self.target)

    def rates(self, source: str, start: Instant, end: Instant, *, lapsed: bool = False) -> tuple[Conversion, ...]:
        """Return the rate in force at ``start``, then each that takes over until ``end``; empty where none is then.

        ``lapsed``: where none is in force, the last that was, else the first to come: what happened is charged.
        """
        timeline = self.timeline(source)
        if timeline is None:
            return ()
        found = timeline.between(start, end)
        if found and found[0].holds(start):
            return found
        return (timeline.last(start),) if lapsed else ()

    def sold(self, tariff: Tariff, start: Instant, end: Instant, *, lapsed: bool = False) -> tuple[Tariff, ...]:
        """Return a tariff by each rate of ``rates``, as it is where it is in this currency, empty without a rate."""
        if tariff.currency == self.target:
            return (tariff,)
        return tuple(
            tariff.changed(conversion=found) for found in self.rates(tariff.currency, start, end, lapsed=lapsed)
        )

    def taking_over(self, tariff: Tariff, start: Instant, end: Instant) -> tuple[Tariff, ...]:
        """Return a tariff that comes into force at ``start`` by each rate that it may be charged by until ``end``.

        That is each rate in force meanwhile, and where none is at first, the last or the next: what happens is charged.
        Empty where nobody states any.
        """
        timeline = self.timeline(tariff.currency) if tariff.currency != self.target else None
        if timeline is None:
            return (tariff,) if tariff.currency == self.target else ()
        rates = dict.fromkeys((timeline.last(start), *timeline.between(start, end)))
        return tuple(tariff.changed(conversion=found) for found in rates)

    def lacking(self, source: str, at: Instant) -> str:
        """Say what conversion is missing at an instant, and how to mend it."""
        pair, timeline = f"{source} to {self.target}", self.timeline(source)
        if timeline is None:
            return f"no conversion from {pair} is stated; add a [[conversion]]"
        last = timeline.last(at)
        where = f"that of {last.tenant} begins later" if last.begins > at else f"the last of {last.tenant} has ended"
        return f"no conversion from {pair} is in force, {where}; add a [[conversion]]"
