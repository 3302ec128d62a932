"""Override patterns: what a service needs is taken, what could run for ever is refused before it ever runs."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.rating.override_pattern import OVERRIDE_LENGTH_MAX, pattern_fault
from daemon.rating.rate_plan import fits

TWELVE = "(" + "|".join("a" * 12) + ")"


@pytest.mark.parametrize(
    ("pattern", "value", "fit"),
    [
        ("", "", True),
        ("", "x" * 200, True),
        ("^VOICE$", "VOICE", True),
        ("^VOICE$", "VOICE2", False),
        ("^(?:SMS|MMS)", "MMS-HD", True),
        (".*V.*I.*E", "VOICE", True),
        ("^(?:S|M)MS.*-(?:HD|SD).*-(?:A|B).*$", "MMS-HD-B", True),
        (f"^(?:{'|'.join('ABCDEFGHIJKLMNOPQRST')})$", "T", True),
        ("(a|b)(c|d)|(e|f)(g|h)", "eh", True),
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
        (TWELVE * 4 + ".*.*.*!", "may take 16887087360 tries at one value, above 1000000; write fewer alternatives"),
        ("(|" + "|" * 30 + ")" + TWELVE * 3, "may take 3594240 tries"),
        (".*.*(a|b).*!", "or begin it with ^"),
        ("^.*.*.*!|b", "may take 1628770 tries"),
        ("((a|b)|c)(d|e).*.*.*", "may take 6515080 tries"),
        ("[[a]", "within a set"),
        ("x" * 129, "write at most 128"),
    ],
)
def test_a_pattern_that_is_refused(pattern: str, message: str) -> None:
    assert message in pattern_fault(pattern)


PIECES = st.sampled_from(
    (".*", ".*?", "a*", "a?", "a{0,64}", "[ab]+", "(a|a|a)", TWELVE, "(|||||||)", "(?:a|aa|)", "((a|)|a)", "(", ")",
     "|", "^", "$", r"\b", "a", "a" * 20, "[ab]", "[^a]", "!", ".")
)  # fmt: skip
VALUES = ("a" * OVERRIDE_LENGTH_MAX, "ab" * (OVERRIDE_LENGTH_MAX // 2), "\U00010400" * OVERRIDE_LENGTH_MAX)


@given(st.one_of(st.text("aA|()*+?.[]^$\\b{}1,", max_size=24), st.lists(PIECES, max_size=12).map("".join)))
@settings(max_examples=600, deadline=None)
def test_what_is_taken_is_quick(pattern: str) -> None:
    if not pattern_fault(pattern):
        compiled = re.compile(pattern)
        begun = time.thread_time()
        for value in VALUES:
            compiled.search(value)
        assert time.thread_time() - begun < 0.2 * len(VALUES)


@pytest.mark.parametrize(
    "pattern",
    [
        ".*.*.*" + "a" * 60 + "!",
        "[ab]*.*a*" + "[ab]" * 20 + "!",
        ".*.*.*[" + "".join(chr(0x10000 + 3 * place) for place in range(100)) + "]",
        "^(?:" + "|" * 19 + ").*.*.*" + "." * 30 + "!",
        "(?:" + "|" * 11 + ")(?:" + "|" * 11 + ")(?:" + "|" * 11 + ")(?:" + "|" * 7 + ")!",
    ],
)
def test_the_slowest_that_are_taken_are_quick(pattern: str) -> None:
    test_what_is_taken_is_quick.hypothesis.inner_test(pattern)  # type: ignore[attr-defined]
    assert pattern_fault(pattern) == ""
