"""What a plan adds to the prices of the plan that it inherits: percent, so much a unit of the rate, at least so much.

The percentage applies to rate, connect fee and minimum charge; what is added a minute to the rate alone.
A price is marked up to a whole nano-unit, the fraction upwards: a plan never sells for less than was stated.
A blocked row stays blocked, and a row sold at 0 is marked up like any other.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from daemon.kernel.money import NANO, UNITS_MAX, Rounding, divide
from daemon.rating.tariff import Rates, Step, Tariff, Tier

_PERCENT: Final = 100 * NANO


@dataclass(frozen=True, slots=True)
class Markup:
    """``percent`` in nano-percent; ``per_minute`` and ``minimum`` in nano-units a minute (or what the rate is for)."""

    percent: int = 0
    per_minute: int = 0
    minimum: int = 0

    def __post_init__(self) -> None:
        """Refuse what would take away: no settings file can state it."""
        assert min(self.percent, self.per_minute, self.minimum) >= 0, self

    def rate(self, rate: int) -> int:
        """Return a rate with the mark-up, at most what a rate can be."""
        added = divide(rate * self.percent, _PERCENT, Rounding.UP) + self.per_minute
        return min(rate + max(added, self.minimum), UNITS_MAX * NANO)

    def amount(self, amount: int) -> int:
        """Return a fee or a minimum charge with the percentage."""
        return min(amount + divide(amount * self.percent, _PERCENT, Rounding.UP), UNITS_MAX * NANO)

    def applied(self, tariff: Tariff) -> Tariff:
        """Return a tariff with the mark-up on all its rates."""
        return with_rates(tariff, self.rate).changed(
            connect_fee=self.amount(tariff.connect_fee),
            minimum_charge=self.amount(tariff.minimum_charge),
        )


NO_MARKUP: Final = Markup()


def with_rates(tariff: Tariff, price: Callable[[int], int]) -> Tariff:
    """Return a tariff in which every rate is what ``price`` makes of it, and nothing else is changed."""
    alternatives = tuple(
        Rates(rates.band, tuple(Tier(tier.from_unit, tuple(_stepped(tier, price))) for tier in rates.tiers))
        for rates in tariff.alternatives
    )
    return tariff.changed(rate=price(tariff.rate), alternatives=alternatives)


def _stepped(tier: Tier, price: Callable[[int], int]) -> Iterator[Step]:
    for step in tier.steps:
        yield step._replace(rate=price(step.rate))
