"""The longest prefix by one bisect, with and without shelves."""

from random import Random

import pytest

from daemon.kernel.e164 import line_position
from daemon.rating import prefix_index
from daemon.rating.prefix_index import NO_OFFER, PrefixIndex


@pytest.mark.parametrize("shelved", [0, 1 << 30])
def test_the_best_offer_is_that_of_the_longest_prefix(monkeypatch: pytest.MonkeyPatch, shelved: int) -> None:
    monkeypatch.setattr(prefix_index, "_SHELVED_MIN", shelved)
    dice = Random(7)
    prefixes = {str(dice.randrange(10**5))[: dice.randrange(1, 6)] for _ in range(2_000)}
    ordered = sorted(prefixes - {"44"}, key=line_position)
    index = PrefixIndex(ordered)
    numbers = [str(dice.randrange(10**8)) for _ in range(2_000)] + ordered + ["0", "9" * 18, "", "44"]
    for number in numbers:
        fitting = [prefix for prefix in (number[:length] for length in range(1, 6)) if prefix in set(ordered)]
        expected = ordered.index(max(fitting, key=len)) if fitting else NO_OFFER
        assert index.best(number) == expected, number
