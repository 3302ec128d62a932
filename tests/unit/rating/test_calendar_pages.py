"""A calendar's pages: nothing changes where one ends, few are kept, and intervals of one band may hold each other."""

import pytest

from daemon.kernel.instant import DAY, MINUTE, wall_clock
from daemon.rating import time_band
from daemon.rating.time_band import NO_BAND, PAGE, Calendar, TimeBand, parse_intervals

UTC = wall_clock("UTC")


def calendar(*intervals: str) -> Calendar:
    parsed = tuple(interval for text in intervals for interval in parse_intervals(text))
    return Calendar(UTC, [TimeBand("band", parsed)])


def test_the_end_of_a_page_is_no_change() -> None:
    always = calendar("mon-sun 00:00-24:00")
    assert always.changes(PAGE - DAY, 3 * PAGE) == ([PAGE - DAY], [0])


def test_pages_that_were_let_go_are_laid_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_band, "PAGES_MAX", 1)
    mornings = calendar("mon-sun 08:00-09:00")
    before = [mornings.active(page * PAGE + 8 * 60 * MINUTE) for page in (0, 1, 2, 0)]
    assert before == [0, 0, 0, 0]
    assert mornings.active(PAGE) == NO_BAND


def test_an_interval_within_another_changes_nothing() -> None:
    thursday = calendar("thu 08:00-12:00", "thu 09:00-10:00")
    edges = thursday.changes(0, DAY)
    assert edges == ([0, 8 * 60 * MINUTE, 12 * 60 * MINUTE], [NO_BAND, 0, NO_BAND])
