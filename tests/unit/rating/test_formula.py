"""The formula alone: which blocks begin, in closed form and one after the other."""

from typing import NamedTuple

import pytest

from daemon.rating.formula import InForce, Scalar, Stretch, billed_at_one_rate, is_money, stretches

SCALAR = Scalar()


class Twice(NamedTuple):
    """Rate 5 in blocks of 10 before position 30, rate 3 in blocks of 4 from there on."""

    def at(self, position: int, _: int) -> InForce:
        """Return what is in force."""
        return InForce(5, 10, 30, 0) if position < 30 else InForce(3, 4, 1_000, 1)


@pytest.mark.parametrize(
    ("begins", "first", "until", "found"),
    [
        (0, 20, 0, [Stretch(0, 20, 0, 5, 0)]),
        (7, 20, 7, [Stretch(7, 20, 0, 5, 0)]),
        (0, 20, 1, [Stretch(0, 20, 1, 5, 0)]),
        (0, 20, 20, [Stretch(0, 20, 1, 5, 0)]),
        (0, 20, 21, [Stretch(0, 20, 1, 5, 0), Stretch(20, 10, 1, 5, 0)]),
        (0, 20, 30, [Stretch(0, 20, 1, 5, 0), Stretch(20, 10, 1, 5, 0)]),
        # On the edge the next rate begins.
        (0, 20, 31, [Stretch(0, 20, 1, 5, 0), Stretch(20, 10, 1, 5, 0), Stretch(30, 4, 1, 3, 1)]),
        # A block that runs over the edge is finished at its own price.
        (0, 5, 31, [Stretch(0, 5, 1, 5, 0), Stretch(5, 10, 3, 5, 0)]),
        (0, 5, 40, [Stretch(0, 5, 1, 5, 0), Stretch(5, 10, 3, 5, 0), Stretch(35, 4, 2, 3, 1)]),
        (0, 50, 40, [Stretch(0, 50, 1, 5, 0)]),
        (29, 4, 38, [Stretch(29, 4, 1, 5, 0), Stretch(33, 4, 2, 3, 1)]),
        (30, 4, 38, [Stretch(30, 4, 1, 3, 1), Stretch(34, 4, 1, 3, 1)]),
    ],
)
def test_blocks_begin_one_where_the_other_ends(begins: int, first: int, until: int, found: list[Stretch]) -> None:
    assert list(stretches(SCALAR, Twice(), begins, first, until)) == found


@pytest.mark.parametrize(
    ("rest", "first", "following", "billed"),
    [(-1, 30, 6, 0), (0, 30, 6, 0), (1, 30, 6, 30), (30, 30, 6, 30), (31, 30, 6, 36), (36, 30, 6, 36), (37, 30, 6, 42)],
)
def test_at_one_rate_the_sum_has_a_closed_form(rest: int, first: int, following: int, billed: int) -> None:
    assert billed_at_one_rate(SCALAR, rest, first, following) == billed


@pytest.mark.parametrize(
    ("seconds", "free", "begins", "units", "money"),
    [
        (10, 10, 0, 0, False),
        (11, 10, 0, 0, True),
        # Within its included seconds a call still pays fee and minimum, within a bundle it does not.
        (5, 0, 10, 0, True),
        (5, 0, 10, 10, False),
        (10, 0, 10, 10, False),
        (11, 0, 10, 10, True),
        (11, 11, 10, 10, False),
    ],
)
def test_what_costs_money(seconds: int, free: int, begins: int, units: int, money: bool) -> None:
    assert bool(is_money(seconds, free, begins, units)) is money
