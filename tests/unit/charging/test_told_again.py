"""A switch that is gone is told of at once, and then ever more seldom."""

import itertools

from daemon.charging.told_again import REASONS_MAX, REPEAT_SECONDS_MAX, ToldAgain

DAY = 86_400
TRIES = 5  # seconds between two attempts


def test_a_day_of_a_switch_that_is_gone_is_some_thirty_lines_that_count_every_attempt() -> None:
    lines = ToldAgain()
    told = [(now, lines.tells("refused", now)) for now in range(0, DAY, TRIES)]
    kept = [(now, untold) for now, untold in told if untold is not None]
    assert [now for now, _ in kept[:5]] == [0, 60, 180, 420, 900]
    assert len(kept) < 35
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(kept)]
    assert max(gaps) == REPEAT_SECONDS_MAX
    assert sum(untold + 1 for _, untold in kept) == kept[-1][0] // TRIES + 1


def test_another_reason_is_told_at_once_and_begins_anew() -> None:
    lines = ToldAgain()
    assert lines.tells("refused", 0) == 0
    assert lines.tells("refused", 5) is None
    assert lines.tells("password", 10) == 1
    assert lines.tells("refused", 15) is None, "it was told; two reasons that take turns are no news"
    assert lines.tells("password", 70) == 1


def test_reasons_that_are_always_new_are_no_way_around_it() -> None:
    lines = ToldAgain()
    told = [lines.tells(f"reason {number}", number) for number in range(REASONS_MAX + 10)]
    assert [untold is not None for untold in told] == [True] * REASONS_MAX + [False] * 10


def test_a_link_that_held_makes_the_next_failure_news() -> None:
    lines = ToldAgain()
    lines.tells("refused", 0)
    lines.ended()
    assert lines.tells("refused", 1) == 0
