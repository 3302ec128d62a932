"""How long a probe is waited for, and how: what blocks for ever in a thread keeps neither the others nor the end."""

import asyncio
import threading
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")
PROBE_SECONDS: Final = 10.0  # that one probe may take; a switch has 5 s to be reached and 5 s to answer


class TooSlow(Exception):
    """A probe did not answer in its time."""


async def bounded(work: Callable[[], T], seconds: float = PROBE_SECONDS) -> T:
    """Run what may block in a thread that nobody waits for at the end. Raises TooSlow, and what ``work`` raises."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def answer(value: T | None, error: BaseException | None) -> None:
        if not future.done():
            future.set_result(value) if error is None else future.set_exception(error)  # type: ignore[arg-type]

    def run() -> None:
        value, failed = None, None
        try:
            value = work()
        except Exception as error:  # it belongs to whoever waits
            failed = error
        try:
            loop.call_soon_threadsafe(answer, value, failed)
        except RuntimeError:
            return  # too late: the loop is closed

    threading.Thread(target=run, daemon=True, name="doctor").start()
    try:
        return await asyncio.wait_for(future, seconds)
    except TimeoutError:
        raise TooSlow(f"no answer within {seconds:g} s") from None
