"""Mark-ups: percent, so much a minute, at least so much; the fraction upwards."""

import pytest

from daemon.kernel.money import NANO, UNITS_MAX
from daemon.rating.markup import NO_MARKUP, Markup, with_rates
from daemon.rating.tariff import Rates, Step, Tariff, Tier

TARIFF = Tariff("t", 1, "44", "UK", "USD", rate=1_000, connect_fee=500, minimum_charge=300)


@pytest.mark.parametrize(
    ("markup", "rate", "marked"),
    [
        (NO_MARKUP, 1_000, 1_000),
        (Markup(percent=10 * NANO), 1_000, 1_100),
        (Markup(percent=10 * NANO), 1_001, 1_102),
        (Markup(percent=1), 1_000, 1_001),
        (Markup(percent=1), 0, 0),
        (Markup(per_minute=5), 0, 5),
        (Markup(percent=10 * NANO, per_minute=5), 1_000, 1_105),
        (Markup(percent=10 * NANO, minimum=200), 1_000, 1_200),
        (Markup(percent=10 * NANO, minimum=100), 1_000, 1_100),
        (Markup(minimum=7), 0, 7),
        (Markup(percent=10 * NANO), UNITS_MAX * NANO, UNITS_MAX * NANO),
    ],
)
def test_a_rate_is_marked_up(markup: Markup, rate: int, marked: int) -> None:
    assert markup.rate(rate) == marked


@pytest.mark.parametrize(
    ("amount", "marked"), [(0, 0), (1, 2), (1_000, 1_125), (1_001, 1_127), (UNITS_MAX * NANO, UNITS_MAX * NANO)]
)
def test_a_fee_takes_the_percentage_alone(amount: int, marked: int) -> None:
    assert Markup(12_500_000_000, per_minute=7, minimum=9).amount(amount) == marked


def test_a_tariff_is_marked_up_in_all_its_rates_and_amounts_and_nothing_else() -> None:
    steps = (Step(0, 1_000, 60), Step(60, 2_000, 6))
    changing = TARIFF.changed(
        alternatives=(Rates("a", (Tier(0, steps), Tier(9, steps))), Rates("b", (Tier(0, steps),)))
    )
    marked = (Step(0, 1_100, 60), Step(60, 2_200, 6))
    assert Markup(percent=10 * NANO).applied(changing) == TARIFF.changed(
        rate=1_100,
        connect_fee=550,
        minimum_charge=330,
        alternatives=(Rates("a", (Tier(0, marked), Tier(9, marked))), Rates("b", (Tier(0, marked),))),
    )


def test_a_blocked_row_stays_blocked() -> None:
    assert Markup(percent=NANO).applied(TARIFF.changed(blocked=True)).blocked


def test_other_rates_change_nothing_but_rates() -> None:
    assert with_rates(TARIFF, lambda rate: rate + 1) == TARIFF.changed(rate=1_001)


@pytest.mark.parametrize("markup", [{"percent": -1}, {"per_minute": -1}, {"minimum": -1}])
def test_a_mark_up_never_takes_away(markup: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        Markup(**markup)
