"""When a call is warned: by what is left of its money, and by what ends it."""

import pytest

from daemon.authorize.decision import Level
from daemon.authorize.warning import warnings
from daemon.authorize.warning_terms import NEVER_WARNED, NO_WARNING, Warnings, WarningTerms
from daemon.kernel.ids import Key
from daemon.kernel.money import NANO
from daemon.rating.tariff import Tariff

CENT = NANO // 100
LONGEST = 14_400
BY_SECOND = Tariff("t", 1, "44", "UK", "USD", 60 * CENT)
BY_MINUTE = Tariff("t", 1, "39", "Italy", "USD", 60 * CENT, first_seconds=60, next_seconds=60)


def level(*tariffs: Tariff) -> Level:
    return Level(1, Key("main", "acme"), "USD", tariffs or (BY_SECOND,))


@pytest.mark.parametrize(
    ("terms", "money", "ends", "expected"),
    [
        (NO_WARNING, 60 * CENT, 60, NEVER_WARNED),
        (WarningTerms(low_seconds=30), 100 * CENT, 100, Warnings(70, 0)),
        (WarningTerms(low_seconds=30), 20 * CENT, 20, Warnings(1, 0)),
        (WarningTerms(low_seconds=30), 1_000_000 * CENT, LONGEST, NEVER_WARNED),
        (WarningTerms(low_nano=25 * CENT), 100 * CENT, 100, Warnings(75, 0)),
        (WarningTerms(low_nano=200 * CENT), 100 * CENT, 100, Warnings(1, 0)),
        (WarningTerms(low_nano=25 * CENT), 1_000_000 * CENT, LONGEST, NEVER_WARNED),
        (WarningTerms(low_seconds=30, low_nano=25 * CENT), 100 * CENT, 100, Warnings(70, 0)),
        (WarningTerms(cutoff_seconds=10), 1_000_000 * CENT, 300, Warnings(0, 290)),
        (WarningTerms(cutoff_seconds=10), 5 * CENT, 5, Warnings(0, 1)),
        (WarningTerms(low_seconds=30, cutoff_seconds=10), 100 * CENT, 90, Warnings(70, 80)),
    ],
)
def test_when(terms: WarningTerms, money: int, ends: int, expected: Warnings) -> None:
    assert warnings(terms, level(), money, LONGEST, ends) == expected


def test_the_dearest_tariff_in_force_and_units_of_a_bundle_count() -> None:
    terms = WarningTerms(low_seconds=10)
    dear = BY_SECOND.changed(rate=120 * CENT)
    assert warnings(terms, level(BY_SECOND, dear), 100 * CENT, LONGEST, 50) == Warnings(40, 0)
    assert warnings(terms, level(BY_MINUTE), 100 * CENT, LONGEST, 60) == Warnings(50, 0)
    assert warnings(terms, level(), 100 * CENT, LONGEST, 200, units=100) == Warnings(190, 0)
