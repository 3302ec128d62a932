"""What the supervisor hears of the daemon, and when: a start that goes on, ready, a reload, a sign of life, the stop.

A sign of life is sent only where the loop runs and the store's writer has answered since the last one: a daemon that
listens and can charge nothing any more is killed and started anew. A store that fails is no such daemon: its writer
answers, calls get what is said of them while the store cannot commit, and a new start would mend nothing.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import structlog

from daemon.charging.ports import StoreError
from daemon.sd_notify import Notifier, Supervisor, alive, extended, ready, reloading, status, stopping

EXTEND_SECONDS: Final = 5.0  # between two signs that the start goes on
EXTENDED_SECONDS: Final = 30.0  # that each of them asks for: six of them may be lost
FLUSH_SECONDS: Final = 1.0  # between two looks for what the socket did not take, where no sign of life takes it along
START_SECONDS_MAX: Final = 4 * 3600.0  # for which it goes on at most: an upgrade of the largest store takes less

_log = structlog.get_logger("tollway")


class Supervision:
    """Tells one supervisor, where there is one; ``writer_answers`` of the store is what a sign of life waits for."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Open the socket; nothing is told yet."""
        self._notifier = Notifier(supervisor.address)
        self._alive_seconds = supervisor.alive_seconds

    @contextlib.asynccontextmanager
    async def starting(self, what: str) -> AsyncIterator[None]:
        """Ask for time, again and again, while the start goes on within the context; but not for ever."""
        asking = asyncio.create_task(self._ask_for_time(what), name="supervisor")
        try:
            yield
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _ask_for_time(self, what: str) -> None:
        ends = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < ends:
            self._notifier.tell(extended(EXTENDED_SECONDS, what))
            await asyncio.sleep(EXTEND_SECONDS)

    def ready(self, text: str) -> None:
        """Tell that every listener answers, or that a reload is over, and what is the case now."""
        self._notifier.tell(ready(text))

    def status(self, text: str) -> None:
        """Tell people what is the case now."""
        self._notifier.tell(status(text))

    def reloading(self) -> None:
        """Tell that settings are read anew; ``ready`` follows."""
        self._notifier.tell(reloading(time.monotonic()))

    def stopping(self, text: str) -> None:
        """Tell that the daemon ends: from here on no sign of life is waited for."""
        self._notifier.tell(stopping(text))

    async def run(self, writer_answers: Callable[[], Awaitable[None]]) -> None:
        """Send signs of life, for ever: none before the store's writer has answered, however long that takes."""
        while not self._alive_seconds:
            await asyncio.sleep(FLUSH_SECONDS)
            self._notifier.flush()
        while True:
            try:
                await self._answered(writer_answers)
                self._notifier.tell(alive())
            except StoreError as error:
                _log.error("no sign of life for the supervisor", error=str(error))
            await asyncio.sleep(self._alive_seconds)

    async def _answered(self, writer_answers: Callable[[], Awaitable[None]]) -> None:
        waiting = asyncio.ensure_future(writer_answers())
        try:
            done, _ = await asyncio.wait([waiting], timeout=self._alive_seconds)
            if not done:
                silent = f"{self._alive_seconds:g}"
                _log.error("no sign of life for the supervisor: the store's writer does not answer", seconds=silent)
            await waiting
        finally:
            waiting.cancel()

    def close(self) -> None:
        """Tell nothing more."""
        self._notifier.close()
