"""The time that a command goes by: never before what its store holds, within a bound."""

from daemon.app_command_clock import BEHIND_MAX, TOLD_MIN, CommandClock
from daemon.kernel.instant import SECOND

NOW = 1_790_000_000 * SECOND


def test_the_machine_s_clock_is_gone_by_where_it_is_right() -> None:
    clock = CommandClock(lambda: NOW)
    assert clock() == NOW
    assert (clock.not_before(NOW - SECOND), clock()) == ("", NOW)


def test_no_entry_is_dated_before_the_newest() -> None:
    clock = CommandClock(lambda: NOW)
    assert (clock.not_before(NOW + TOLD_MIN), clock()) == ("", NOW + TOLD_MIN)
    assert "stands 300 s before the newest entry" in clock.not_before(NOW + 300 * SECOND)
    assert clock() == NOW + 300 * SECOND


def test_what_lies_days_ahead_is_told_and_not_gone_by() -> None:
    clock = CommandClock(lambda: NOW)
    assert "are dated by the clock" in clock.not_before(NOW + BEHIND_MAX + 1)
    assert clock() == NOW
