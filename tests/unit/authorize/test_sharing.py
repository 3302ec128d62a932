"""The common end of calls that share money, by hand: two calls at 0.01 a second that began ten seconds apart."""

import pytest

from daemon.authorize.decision import Level
from daemon.authorize.sharing import Share, common_end
from daemon.kernel.ids import Key
from daemon.kernel.instant import SECOND
from daemon.kernel.money import NANO
from daemon.rating.tariff import Tariff

CENT = NANO // 100
LEVEL = Level(1, Key("main", "acme"), "USD", (Tariff("t", 1, "44", "UK", "USD", 60 * CENT),))
NOW = 100 * SECOND


@pytest.mark.parametrize(
    ("money", "end"),
    [
        (29, None),  # not even what both have used by now: 20 and 10 seconds
        (30, NOW + SECOND - 1),  # to the last microsecond before either begins another second
        (31, NOW + SECOND - 1),  # a second more costs both one
        (32, NOW + 2 * SECOND - 1),
        (90, NOW + 30 * SECOND),  # as far as was asked
        (5_000, NOW + 30 * SECOND),
    ],
)
def test_both_end_at_the_last_instant_that_fits(money: int, end: int | None) -> None:
    calls = [Share(LEVEL, NOW - 20 * SECOND, 1, 600), Share(LEVEL, NOW - 10 * SECOND, 1, 600)]
    assert common_end(calls, money * CENT, NOW, NOW + 30 * SECOND) == end
