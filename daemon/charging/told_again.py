"""When to say again that a switch cannot be reached: at once where why is new, else ever more seldom, with a count.

A link is tried every few seconds for ever. A line for each attempt would be 17,000 a day of a switch that is gone, and
would bury what else is told.
"""

from typing import Final

FIRST_SECONDS: Final = 60.0  # from the first line to the second
REPEAT_SECONDS_MAX: Final = 3600.0  # between two lines at most: whoever looks at an hour of the log sees it
REASONS_MAX: Final = 8  # that are known as told; some failures name what changes each time


class ToldAgain:
    """Keeps what was told of one switch. Seconds are those of a clock that never goes back."""

    def __init__(self) -> None:
        """Nothing was told."""
        self._reasons: set[str] = set()
        self._due, self._pause, self._untold = 0.0, FIRST_SECONDS, 0

    def tells(self, reason: str, now: float) -> int | None:
        """Return how many failures before this one were not told, None where this is not to be told either."""
        is_new = reason not in self._reasons and len(self._reasons) < REASONS_MAX
        if not is_new and now < self._due:
            self._untold += 1
            return None
        if is_new:
            self._reasons.add(reason)
            self._pause = FIRST_SECONDS
        else:
            self._pause = min(2 * self._pause, REPEAT_SECONDS_MAX)
        self._due = now + self._pause
        untold, self._untold = self._untold, 0
        return untold

    def ended(self) -> None:
        """Take that the link held: the next failure is told at once."""
        self._reasons.clear()
        self._due, self._pause, self._untold = 0.0, FIRST_SECONDS, 0
