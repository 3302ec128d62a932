"""A tariff is frozen with its call, and its defaults are those of the deck."""

from dataclasses import FrozenInstanceError

import pytest

from daemon.kernel.money import Rounding
from daemon.rating.deck import Terms
from daemon.rating.tariff import Tariff

TARIFF = Tariff("retail", 1, "44", "UK", "USD", rate=1)


def test_a_tariff_cannot_be_altered() -> None:
    with pytest.raises(FrozenInstanceError):
        TARIFF.rate = 2  # type: ignore[misc]


def test_defaults_are_those_of_an_empty_cell_and_of_a_table() -> None:
    terms = Terms()
    assert (TARIFF.first_seconds, TARIFF.next_seconds) == (terms.first_seconds, terms.next_seconds) == (1, 1)
    assert (TARIFF.decimals, TARIFF.rounding, TARIFF.duration_rounding) == (4, Rounding.UP, Rounding.UP)
