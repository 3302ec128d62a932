"""A loop whose clock stands still while anything happens, and jumps to the next timer where nothing does.

What waits in it takes no time, and how busy the machine is changes nothing: work of any length takes an instant, so a
bound on time says what the timers of the daemon do. Both ends of every connection have to be in this process, and work
in threads has to be known: that of executors is, and conftest.py tells of that of the store's writer. A test that
talks to another process needs the machine's clock.
"""

import asyncio
import fcntl
import selectors
import struct
import termios
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar

import pytest

SECOND = 1_000_000
# The last seconds of a leap year's last day: what a test plays goes over midnight, and into another month and year.
BEGINS = 1_861_919_999 * SECOND  # microseconds; 2028-12-31T23:59:59Z
SETTLE_SECONDS = 0.0005  # of the machine, in which octets that were sent within it have to be there
T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    """Waits for what happens; where nothing does, it moves the loop's clock instead."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> Any:
        happened = super().select(0)
        if happened or (timeout is not None and timeout <= 0):
            return happened
        if self.loop.working or timeout is None:
            return super().select(None)  # a thread, or a signal, will wake it
        while not happened and self._under_way():
            happened = super().select(SETTLE_SECONDS)
        happened = happened or super().select(SETTLE_SECONDS)
        if not happened:
            self.loop.jumped += timeout
        return happened

    def _under_way(self) -> bool:
        """Tell whether a connection has octets that its other end does not have yet."""
        return any(_unsent(key.fd) for key in self.get_map().values())


def _unsent(number: int) -> int:
    try:
        answer = fcntl.ioctl(number, termios.TIOCOUTQ, struct.pack("i", 0))
    except OSError:  # one that listens sends nothing
        return 0
    return int(struct.unpack("i", answer)[0])


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; ``working`` counts what threads have been asked and have not answered yet."""

    def __init__(self) -> None:
        selector = _Jumping()
        selector.loop = self
        self.jumped = 0.0
        self.working = 0
        super().__init__(selector)

    def time(self) -> float:
        """Return the seconds by which the clock has jumped so far."""
        return self.jumped

    def busy_until(self, answer: "asyncio.Future[Any]") -> None:
        """Let no time pass before a thread has answered."""
        self.working += 1
        answer.add_done_callback(self._answered)

    def _answered(self, _answer: "asyncio.Future[Any]") -> None:
        self.working -= 1

    def run_in_executor(  # type: ignore[override]  # typeshed names a TypeVarTuple, which says no more here
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> "asyncio.Future[T]":
        """Run a function in a thread, and let no time pass meanwhile."""
        answer: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        self.busy_until(answer)
        return answer


def wall_us() -> int:
    """Return microseconds since 1970 of the running loop's clock, where it has one of its own, or the machine's."""
    loop = asyncio.get_running_loop()
    return BEGINS + round(loop.time() * SECOND) if isinstance(loop, VirtualLoop) else time.time_ns() // 1000


def known(answer: "asyncio.Future[Any]") -> None:
    """Let a clock that jumps stand still until a thread has answered."""
    loop = answer.get_loop()
    if isinstance(loop, VirtualLoop):
        loop.busy_until(answer)


def loops(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return the loop that a test asks for."""
    if item.get_closest_marker("virtual_time") is not None:
        return {"virtual": VirtualLoop}
    return {"real": asyncio.new_event_loop}
