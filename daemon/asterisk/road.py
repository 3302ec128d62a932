"""What a charge needs of its Asterisk, whether the link is up or not: the cut, the timer, variables, certainty.

While the link is down every command raises LinkLost. A channel is named by its Uniqueid, which outlives a rename.
AbsoluteTimeout counts from the instant at which it is set, and replaces the one before: it is moved, never added to.
"""

from collections.abc import Callable

from daemon.asterisk.link import ActionRefused, ChannelGone, Link, LinkLost
from daemon.kernel.instant import SECOND, Instant

CUT_CAUSE = "102"  # Q.850 recovery on timer expiry: what a call that our limit ended is told apart by
BELT_US = SECOND // 2  # microseconds by which the timer in the switch stands behind our own cut
TIMER_MILLISECONDS_MIN = 100  # the least that is armed; 0 would take the timer away
CLEARED = ("TOLLWAY_RESULT", "TOLLWAY_QUOTA_SECONDS", "TOLLWAY_QUOTA_MS", "TOLLWAY_LIMIT", "TOLLWAY_ROUTES")


class Road:
    """The way to one switch. ``confirm`` is called with a channel that the switch says it does not know."""

    def __init__(self, now: Callable[[], Instant], confirm: Callable[[str], None]) -> None:
        """Start without a link."""
        self.now = now
        self._confirm = confirm
        self.link: Link | None = None

    @property
    def is_up(self) -> bool:
        """Tell whether commands can be sent; a link that has failed is down before whoever holds it has seen it."""
        return self.link is not None and not self.link.is_lost

    async def hang_up(self, channel: str) -> None:
        """End a channel. Raises LinkLost, ChannelGone, ActionRefused."""
        await self._open().told("Hangup", {"Channel": channel, "Cause": CUT_CAUSE})

    async def move_timer(self, channel: str, limit: Instant) -> None:
        """Have the switch end a channel just after a limit. Raises LinkLost, ChannelGone, ActionRefused."""
        left = max((limit + BELT_US - self.now()) // 1000, TIMER_MILLISECONDS_MIN)
        seconds = f"{left // 1000}.{left % 1000:03d}"
        await self._open().told("AbsoluteTimeout", {"Channel": channel, "Timeout": seconds})

    async def clear(self, channel: str) -> None:
        """Take a grant off a channel that lives on, and its timer. Raises LinkLost, ChannelGone, ActionRefused."""
        link = self._open()
        for name in CLEARED:
            await link.told("Setvar", {"Channel": channel, "Variable": name, "Value": ""})
        await link.told("Setvar", {"Channel": channel, "Variable": "TIMEOUT(absolute)", "Value": "0"})

    async def answered(self, channel: str) -> str:
        """Return when the switch says that a channel was answered, its own text. Raises as ``clear``."""
        answer = await self._open().told("Getvar", {"Channel": channel, "Variable": "CDR(answer,u)"})
        return answer.get("Value")

    async def confirm(self, channel: str) -> None:
        """Ask whether a channel exists; where the switch answers that it does not, it vanished. Unknown is not gone."""
        try:
            await self._open().told("Getvar", {"Channel": channel, "Variable": "CHANNEL(state)"})
        except ChannelGone:
            self._confirm(channel)
        except (LinkLost, ActionRefused):
            return

    def _open(self) -> Link:
        if self.link is None:
            raise LinkLost("the link is down")
        return self.link
