"""How long requests may wait, with one timer for all of them: a timer for each costs a twentieth of a question.

All wait as long, so that whoever began first is late first; the timer is that of the first who still waits.
Whoever is late is cancelled and told TimeoutError, as by ``asyncio.timeout``; a cancellation by somebody else passes.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

T = TypeVar("T")


class Patience:
    """The tasks that wait, as many as are in flight, each with the instant of the loop's clock at which it is late."""

    def __init__(self) -> None:
        """Wait for nobody yet."""
        self._waiting: dict[asyncio.Task[Any], float] = {}  # the first to be late first
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, work: Awaitable[T], seconds: float) -> T:
        """Return what ``work`` does. Raises TimeoutError where that takes longer than ``seconds``, alike for all."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None, "only a task waits"
        cancelled = task.cancelling()
        self._waiting[task] = late_at = loop.time() + seconds
        if self._timer is None:
            self._timer = loop.call_at(late_at, self._look)
        try:
            return await work
        except asyncio.CancelledError:
            if task in self._late and task.uncancel() <= cancelled:
                raise TimeoutError from None
            raise
        finally:
            del self._waiting[task]
            self._late.discard(task)

    def _look(self) -> None:
        """Cancel whoever is late, and look again when the next one is."""
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for task, late_at in self._waiting.items():
            if late_at > now:
                self._timer = loop.call_at(late_at, self._look)
                return
            if task not in self._late:
                self._late.add(task)
                task.cancel()
