"""Windows of fraud rules: which minutes count, what is forgotten, and that no count is ever negative."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.ledger.window import MINUTE, SPAN_MAX, Counted, Window, counted, held, window_of, with_window

NOW = 1_000_000 * MINUTE


def test_a_minute_counts_while_it_lies_within_the_span_and_is_forgotten_behind_the_longest() -> None:
    window = counted(Window("r"), NOW, NOW, 1, 5)
    assert (window.calls(NOW + 10 * MINUTE, 10), window.calls(NOW + 11 * MINUTE, 10)) == (1, 0)
    assert (window.spent(NOW + 10 * MINUTE, 10), window.spent(NOW + 11 * MINUTE, 10)) == (5, 0)
    later = NOW + (SPAN_MAX + 1) * MINUTE
    assert counted(window, later, later, 1, 0).minutes == (Counted(later // MINUTE, 1, 0),)


def test_what_is_taken_back_leaves_no_empty_minute_and_no_negative_count() -> None:
    window = counted(Window("r"), NOW, NOW, 1, 5)
    assert counted(window, NOW, NOW, -1, -5) == Window("r")
    assert counted(window, NOW, NOW, -3, -9) == Window("r")
    assert held(Window("r", held=5), -9).held == 0


def test_windows_keep_the_order_in_which_rules_began_to_count() -> None:
    one, two = Window("one"), Window("two")
    windows = with_window(with_window((), one), two)
    assert with_window(windows, one._replace(held=7)) == (Window("one", held=7), two)
    assert window_of(windows, "two") is two
    assert window_of(windows, "three") == Window("three")


EVENTS = st.lists(st.tuples(st.integers(0, 3 * SPAN_MAX), st.integers(0, 3), st.integers(0, 10)), max_size=40)


@given(events=EVENTS, span=st.integers(1, SPAN_MAX))
def test_a_window_says_what_a_list_of_all_events_says(events: list[tuple[int, int, int]], span: int) -> None:
    window, now = Window("r"), NOW
    for minute, calls, charged in sorted(events):
        now = NOW + minute * MINUTE
        window = counted(window, now, now, calls, charged)
    there = [each for each in events if NOW + each[0] * MINUTE >= now - span * MINUTE]
    assert window.calls(now, span) == sum(calls for _, calls, _ in there)
    assert window.spent(now, span) == sum(charged for _, _, charged in there)
    assert len(window.minutes) <= SPAN_MAX + 1
    assert list(window.minutes) == sorted(window.minutes)
