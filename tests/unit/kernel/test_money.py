"""Money: exact or refused, and each rounding where it says."""

from typing import cast

import pytest

from daemon.kernel.money import (
    NANO,
    UNITS_MAX,
    Money,
    MoneyError,
    Rounding,
    currency_code,
    divide,
    format_nano,
    parse_nano,
    round_nano,
)


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("0", 0),
        ("-0", 0),
        ("25.00", 25 * NANO),
        ("0.000000001", 1),
        ("-1.5", -1_500_000_000),
        ("007", 7 * NANO),
        ("1000000000", UNITS_MAX * NANO),
        ("-1000000000.000000000", -UNITS_MAX * NANO),
    ],
)
def test_a_plain_decimal_is_read_exactly(text: str, nano: int) -> None:
    assert parse_nano(text) == nano


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+1",
        "1.",
        ".5",
        "1e3",
        "1,5",
        " 1",
        "1\n",
        "0.0000000001",
        "1000000001",
        "1000000000.000000001",
        "\u0661",
        "nan",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(MoneyError):
        parse_nano(text)


def test_a_number_that_is_no_text_is_refused() -> None:
    with pytest.raises(MoneyError, match="not float"):
        parse_nano(cast(str, 1.5))


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0.00"), (1, "0.000000001"), (-12_950_000_000, "-12.95"), (5 * NANO, "5.00"), (1_234 * NANO, "1234.00")],
)
def test_an_amount_is_written_plainly(nano: int, text: str) -> None:
    assert format_nano(nano) == text


def test_money_at_the_border_shows_its_currency() -> None:
    assert str(Money(12_950_000_000, "EUR")) == "12.95 EUR"


def test_a_currency_is_three_capitals() -> None:
    assert currency_code("USD") == "USD"
    with pytest.raises(MoneyError, match="ISO 4217"):
        currency_code("usd")


@pytest.mark.parametrize(
    ("numerator", "up", "down", "half_up", "half_even"),
    [
        (20, 2, 2, 2, 2),
        (21, 3, 2, 2, 2),
        (25, 3, 2, 3, 2),
        (35, 4, 3, 4, 4),
        (26, 3, 2, 3, 3),
        (-25, -3, -2, -3, -2),
        (0, 0, 0, 0, 0),
    ],
)
def test_each_rounding_of_tenths(numerator: int, up: int, down: int, half_up: int, half_even: int) -> None:
    found = [divide(numerator, 10, rule) for rule in (Rounding.UP, Rounding.DOWN, Rounding.HALF_UP, Rounding.HALF_EVEN)]
    assert found == [up, down, half_up, half_even]


@pytest.mark.parametrize("denominator", [0, -1])
def test_a_denominator_is_positive(denominator: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        divide(1, denominator, Rounding.UP)


def test_rounding_to_places_happens_once() -> None:
    assert round_nano(1_000_000_001, 3, 4, Rounding.UP) == 333_400_000
    assert round_nano(1_000_000_001, 3, 9, Rounding.DOWN) == 333_333_333


@pytest.mark.parametrize("decimals", [-1, 10])
def test_decimals_have_bounds(decimals: int) -> None:
    with pytest.raises(ValueError, match="decimals are 0 to 9"):
        round_nano(1, 1, decimals, Rounding.UP)
