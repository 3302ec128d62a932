"""What was dialled: digits or malformed, and its place on the number line."""

import pytest

from daemon.kernel.e164 import DIGITS_MAX, digits, line_interval, line_position


@pytest.mark.parametrize(("text", "number"), [("+442079460000", "442079460000"), ("0", "0"), ("9" * 18, "9" * 18)])
def test_digits_are_taken_as_dialled(text: str, number: str) -> None:
    assert digits(text) == number


@pytest.mark.parametrize("text", ["", "+", "++1", "44 20", "44a", "9" * 19, "\u0661\u0662", "44\n", "44&account=x"])
def test_anything_else_is_malformed(text: str) -> None:
    assert digits(text) is None


def test_a_number_shorter_than_a_prefix_never_falls_inside_it() -> None:
    start, end = line_interval("440")
    assert line_position("44") < start
    assert start <= line_position("440") < line_position("4409") < end <= line_position("441")


def test_the_line_fits_a_signed_64_bit_integer() -> None:
    assert line_interval("9")[1] == 11**DIGITS_MAX < 2**63
    assert line_interval("9" * 18) == (line_position("9" * 18), line_position("9" * 18) + 1)
