"""Override patterns: what a service needs is taken, what could run for ever is refused before it ever runs."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.rating.override_pattern import OVERRIDE_LENGTH_MAX, pattern_fault
from daemon.rating.rate_plan import fits


@pytest.mark.parametrize(
    ("pattern", "value", "fit"),
    [
        ("", "", True),
        ("", "x" * 200, True),
        ("^VOICE$", "VOICE", True),
        ("^VOICE$", "VOICE2", False),
        ("^(?:SMS|MMS)", "MMS-HD", True),
        (r"^DATA [0-9]{1,3}$", "DATA 42", True),
        (r"^A\*B\(c\)$", "A*B(c)", True),
        ("^[^]()*+?{}]+$", "plain", True),
        (".*", "x" * (OVERRIDE_LENGTH_MAX + 1), False),
    ],
)
def test_a_pattern_that_is_taken(pattern: str, value: str, fit: bool) -> None:
    assert pattern_fault(pattern) == ""
    assert fits(pattern, value) is fit


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "is no regular expression"),
        ("a{99999999999}", "is no regular expression"),
        ("(a+)+$", "repeats a group"),
        ("(?:a|a)*$", "repeats a group"),
        ("(a)?", "repeats a group"),
        ("(ab){2,9}", "repeats a group"),
        ("a*a*a*a*$", "has 4 repetitions"),
        ("a?a?a?a?aaaa", "has 4 repetitions"),
        ("(a|a)(a|a)(a|a)(a|a)(a|a)", "has 5 groups"),
        (r"(a)\1", "refers back"),
        ("(?=a)a", "looks around"),
        ("(?P<n>a)", "looks around"),
        ("x" * 129, "write at most 128"),
    ],
)
def test_a_pattern_that_is_refused(pattern: str, message: str) -> None:
    assert message in pattern_fault(pattern)


@given(st.text("aA|()*+?.[]^$\\b{}1,", max_size=24))
@settings(max_examples=200, deadline=None)
def test_what_is_taken_is_quick(pattern: str) -> None:
    try:
        fault = pattern_fault(pattern)
    except FutureWarning:  # a set within a set: Python only warns of it
        return
    if not fault:
        begun = time.perf_counter()
        re.compile(pattern).search("a" * OVERRIDE_LENGTH_MAX)
        assert time.perf_counter() - begun < 1
