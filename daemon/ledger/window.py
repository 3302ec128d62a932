"""What a fraud rule counts of one account: calls and money by the minute, and what calls that run hold.

A window over ``span`` minutes looks at the minute that runs and at the ``span`` before it: no call of the last ``span``
minutes is ever missed, one of the minute before them may count still. What is older is forgotten, so that a window
holds at most ``SPAN_MAX + 1`` minutes. What is taken back never makes a count negative. Pure values of a standing.
"""

from typing import Final, NamedTuple

from daemon.kernel.instant import SECOND, Instant
from daemon.kernel.money import NANO_MAX

MINUTE: Final = 60 * SECOND  # microseconds
SPAN_MAX: Final = 60  # minutes that a rule may look back: a window is part of its account's row, at most some 2 KiB
WINDOWS_MAX: Final = 8  # fraud rules of one account, for the same reason


class Counted(NamedTuple):
    """One minute, by its number since 1970: calls, and nano-units that were charged."""

    minute: int
    calls: int = 0
    charged: int = 0


class Window(NamedTuple):
    """What one rule counts; ``told_at`` and ``tripped_at`` are 0 where nothing was told, or nothing suspended."""

    rule: str
    held: int = 0  # nano-units that calls which run have reserved
    minutes: tuple[Counted, ...] = ()  # oldest first
    told_at: Instant = 0
    tripped_at: Instant = 0

    def calls(self, now: Instant, span: int) -> int:
        """Return the calls of the last ``span`` minutes; a clock that is ahead is believed."""
        return sum(each.calls for each in self.minutes if each.minute >= now // MINUTE - span)

    def charged(self, now: Instant, span: int) -> int:
        """Return what was charged in the last ``span`` minutes, in nano-units."""
        return sum(each.charged for each in self.minutes if each.minute >= now // MINUTE - span)

    def spent(self, now: Instant, span: int) -> int:
        """Return what was charged in the last ``span`` minutes and what is held, in nano-units."""
        return self.held + self.charged(now, span)


Windows = tuple[Window, ...]


def window_of(windows: Windows, rule: str) -> Window:
    """Return the window of a rule, empty where nothing was counted."""
    return next((each for each in windows if each.rule == rule), Window(rule))


def with_window(windows: Windows, window: Window) -> Windows:
    """Return windows with one set, in the order in which rules began to count."""
    if all(each.rule != window.rule for each in windows):
        return (*windows, window)
    return tuple(window if each.rule == window.rule else each for each in windows)


def counted(window: Window, at: Instant, now: Instant, calls: int, charged: int) -> Window:
    """Return a window with more, or fewer, calls and nano-units in the minute of ``at``; what is old is forgotten."""
    minute, oldest = at // MINUTE, now // MINUTE - SPAN_MAX
    there = next((each for each in window.minutes if each.minute == minute), Counted(minute))
    after = Counted(minute, max(0, there.calls + calls), min(max(0, there.charged + charged), NANO_MAX))
    others = [each for each in window.minutes if each.minute != minute]
    kept = sorted(each for each in (*others, after) if each.minute >= oldest and (each.calls or each.charged))
    return window._replace(minutes=tuple(kept))


def held(window: Window, difference: int) -> Window:
    """Return a window whose calls hold more, or less; a window that began while a call ran never falls below 0."""
    return window._replace(held=min(max(0, window.held + difference), NANO_MAX))
