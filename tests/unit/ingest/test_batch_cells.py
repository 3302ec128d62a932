"""The array forms of cells are of the same opinion as the parsers that they are faster than."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemon.ingest.batch_cells import UNITS_MAX, cells_of, durations_of, instants_of, parse_duration
from daemon.ingest.batch_text import format_counts, format_nanos
from daemon.kernel.instant import InstantError, format_rfc3339, parse_rfc3339
from daemon.kernel.money import NANO_MAX, Rounding, divide, format_nano

NEAR_TIMES = st.from_regex(
    r"(19[67][0-9]|2[0-9]{3}|9999|0000)-(0[0-9]|1[0-3])-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]"
    r"(\.[0-9]{1,9})?([Zz]|[+-][0-2][0-9]:[0-6][0-9]|)",
    fullmatch=True,
)
TIMES = st.one_of(
    NEAR_TIMES,
    st.integers(0, 4_102_444_800_000_000).map(format_rfc3339),
    st.builds(lambda text, at, sign: text[:at] + sign + text[at + 1 :], NEAR_TIMES, st.integers(0, 25),
              st.sampled_from("x:-+ .T9\u0663")),
    st.text(max_size=40).filter(lambda text: "\0" not in text),
)  # fmt: skip
DURATIONS = st.one_of(
    st.from_regex(r"[0-9]{1,8}(\.[0-9]{1,11})?", fullmatch=True),
    st.from_regex(r"[-+0-9.eE,_ ]{0,20}", fullmatch=True),
    st.integers(0, 2 * UNITS_MAX).map(str),
    st.text(max_size=30).filter(lambda text: "\0" not in text),
)


@given(st.lists(TIMES, min_size=1, max_size=30))
@example(["2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2000-02-29T23:59:59.999999+14:00"])
@example(["1970-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "2026-12-31T23:59:60Z", "2026-01-01T24:00:00Z"])
@example(["2026-01-01T00:00:00+23:59", "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00.5-23:59", "x" * 60, "x" * 70])
def test_instants_are_those_of_the_kernel(texts: list[str]) -> None:
    instants, faults = instants_of(cells_of([text.encode() for text in texts]))
    for place, text in enumerate(texts):
        try:
            assert instants[place] == parse_rfc3339(text)
            assert place not in faults
        except InstantError:
            assert faults[place]


@given(st.lists(DURATIONS, min_size=1, max_size=30))
@example(["0.4999999999", "0.5000000001", "0.0000000001", "0.9999999999", "1.", ".5", "00000000012", "1e3", "\u0661"])
def test_durations_are_exact_to_the_rounding(texts: list[str]) -> None:
    seconds, fractions, faults = durations_of(cells_of([text.encode() for text in texts]))
    for place, text in enumerate(texts):
        try:
            expected = parse_duration(text)
        except ValueError:
            assert faults[place]
            continue
        assert (seconds[place], fractions[place]) == expected
        assert place not in faults
        exact = Fraction(text)
        for rounding in Rounding:
            found = divide(expected[0] * 10**9 + expected[1], 10**9, rounding)
            assert found == divide(exact.numerator, exact.denominator, rounding), (text, rounding)


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1e3", "1.", ".1", " 1", "1 ", "nan", "inf", "0x1", "1_0", "\u0663", "1,5"]
)
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="plain decimal"):
        parse_duration(text)


def test_a_duration_above_the_limit_is_refused_whatever_its_length() -> None:
    assert parse_duration(f"000000{UNITS_MAX}.000") == (UNITS_MAX, 0)
    for text in (str(UNITS_MAX + 1), "9" * 4_000):
        with pytest.raises(ValueError, match="above the limit"):
            parse_duration(text)


@given(st.lists(st.one_of(st.integers(0, NANO_MAX), st.integers(0, 10**10)), max_size=30))
@example([0, 1, 10**9, 10**9 - 1, 10**18, NANO_MAX])
def test_amounts_are_written_as_the_kernel_writes_them(amounts: list[int]) -> None:
    values = np.array(amounts, np.int64)
    assert format_nanos(values) == [format_nano(amount).encode() for amount in amounts]
    assert format_counts(values) == [str(amount).encode() for amount in amounts]
