"""Timers inside the switch: the second belt, which ends a call even where this daemon is gone.

``sched_hangup`` adds a task and never replaces one; its reply does not name it: the id is learned from ADD_SCHEDULE.
A new timer is armed before the old one is deleted, and by its id: ``sched_del UUID`` would take the dialplan's own.
They fall on whole seconds, looked at every half second: one armed for the ceiling of a limit is never early.
"""

import asyncio
from collections import deque

from daemon.esl import dialplan, wire
from daemon.esl.events import Event
from daemon.esl.link import Link
from daemon.kernel.instant import SECOND, Instant

LEARN_SECONDS = 2.0  # ADD_SCHEDULE comes with the reply; without it the timer stands, but cannot be moved
NO_CHANNEL = "-ERR No such channel"  # how replies begin where a channel is gone; some write it in capitals


class ChannelGone(Exception):
    """The switch says that it knows no such channel."""


class CommandRefused(Exception):
    """The switch refused a command for another reason."""


def checked(reply: str) -> str:
    """Return a reply that says +OK. Raises ChannelGone or CommandRefused."""
    if reply.startswith("+OK"):
        return reply
    if reply.casefold().startswith((NO_CHANNEL.casefold(), "-err no such session", "-err cannot locate")):
        raise ChannelGone(reply)
    raise CommandRefused(reply[:200])


def whole_second(limit: Instant) -> int:
    """Return the first whole second that is not before an instant."""
    return -(-limit // SECOND)


class SwitchTimers:
    """The timers of ours on one switch. ``armed`` takes every ADD_SCHEDULE."""

    def __init__(self) -> None:
        """Start with no timer."""
        self._expected: dict[tuple[str, str], deque[asyncio.Future[str]]] = {}

    def armed(self, event: Event) -> None:
        """Learn the id of a timer that somebody armed; those of others are not expected by anyone."""
        waiting = self._expected.get((event.task_group, event.task_runtime))
        while waiting:
            learned = waiting.popleft()
            if not learned.done():
                learned.set_result(event.task_id)
                return

    async def move(self, link: Link, channel: str, limit: Instant, earlier: str) -> str:
        """Arm a timer for a limit by the switch's clock, then delete the earlier one; return the new one's id.

        The id is also left on the channel, for a daemon that starts anew. Empty where it could not be learned.
        Raises LinkLost, ChannelGone, CommandRefused.
        """
        task = await self._arm(link, channel, whole_second(limit))
        if task:
            await link.ask(wire.setvar_multi(channel, [("tollway_timer", task)]))
        if earlier and earlier != task:
            await link.api("sched_del", wire.word(earlier))
        return task

    async def _arm(self, link: Link, channel: str, runtime: int) -> str:
        learned: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        waiting = self._expected.setdefault((channel, str(runtime)), deque())
        waiting.append(learned)
        try:
            checked(await link.api("sched_hangup", str(runtime), wire.uuid(channel), dialplan.OUT_OF_MONEY))
            return await asyncio.wait_for(learned, LEARN_SECONDS)
        except TimeoutError:
            return ""
        finally:
            learned.cancel()
            if learned in waiting:
                waiting.remove(learned)
            if not waiting:
                self._expected.pop((channel, str(runtime)), None)
