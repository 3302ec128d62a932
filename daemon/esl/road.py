"""What a charge needs of its switch, whether the link is up or not: commands, the switch's time, timers, certainty.

While the link is down every command raises LinkLost; the switch's time goes on by our clock and the distance known.
"""

from collections.abc import Callable

from daemon.esl.link import Link, LinkLost, SwitchClock
from daemon.esl.timers import SwitchTimers
from daemon.kernel.instant import Instant


class Road:
    """The way to one switch. ``confirm`` is called with a channel that the switch says it does not know."""

    def __init__(self, now: Callable[[], Instant], confirm: Callable[[str], None]) -> None:
        """Start without a link."""
        self._now = now
        self._confirm = confirm
        self.clock = SwitchClock()
        self.timers = SwitchTimers()
        self.link: Link | None = None

    @property
    def is_up(self) -> bool:
        """Tell whether commands can be sent; a link that has failed is down before whoever holds it has seen it."""
        return self.link is not None and not self.link.is_lost

    def now(self) -> Instant:
        """Return the time by the switch's clock."""
        return self._now() - self.clock.ahead_us

    async def ask(self, octets: bytes) -> str:
        """Send a command and return its reply. Raises LinkLost."""
        return await self._open().ask(octets)

    async def api(self, *words: str) -> str:
        """Run an API command and return what it answers. Raises LinkLost."""
        return await self._open().api(*words)

    async def move_timer(self, channel: str, limit: Instant, earlier: str) -> str:
        """Move the timer inside the switch to a limit; return its id. Raises LinkLost, ChannelGone, CommandRefused."""
        return await self.timers.move(self._open(), channel, limit, earlier)

    async def confirm(self, channel: str) -> None:
        """Ask whether a channel exists; where the switch answers that it does not, it vanished. Unknown is not gone."""
        try:
            exists = await self.api("uuid_exists", channel)
        except LinkLost:
            return
        if exists == "false":
            self._confirm(channel)

    def _open(self) -> Link:
        if self.link is None:
            raise LinkLost("the link is down")
        return self.link
