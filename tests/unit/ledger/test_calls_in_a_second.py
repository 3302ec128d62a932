"""Calls of one second are counted once, also where two daemons whose clocks differ a little count them in turn."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.ledger.account import SKEW_SECONDS_MAX, Standing

SECOND = 1_790_000_000


def test_a_new_second_begins_anew() -> None:
    busy = Standing(1).called(SECOND).called(SECOND)
    assert (busy.calls_in(SECOND), busy.calls_in(SECOND + 1)) == (2, 0)
    assert busy.called(SECOND + 1) == Standing(1, second=SECOND + 1, second_calls=1)


def test_a_clock_that_is_behind_counts_on() -> None:
    ahead = Standing(1).called(SECOND + 1)
    assert ahead.calls_in(SECOND) == 1
    assert ahead.called(SECOND) == Standing(1, second=SECOND + 1, second_calls=2)


def test_a_clock_that_was_mended_begins_anew() -> None:
    wrong = Standing(1).called(SECOND + SKEW_SECONDS_MAX + 1)
    assert wrong.calls_in(SECOND) == 0
    assert wrong.called(SECOND) == Standing(1, second=SECOND, second_calls=1)


@given(st.lists(st.integers(min_value=-SKEW_SECONDS_MAX, max_value=0), max_size=40), st.integers(1, 5))
def test_clocks_that_differ_never_grant_more_than_one_clock_would(offsets: list[int], limit: int) -> None:
    standing = Standing(1).called(SECOND)
    granted = 1
    for offset in offsets:
        if standing.calls_in(SECOND + offset) < limit:
            standing = standing.called(SECOND + offset)
            granted += 1
    assert granted <= max(limit, 1)
