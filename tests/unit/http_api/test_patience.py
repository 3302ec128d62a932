"""Many wait, each as long as it may, with one timer; who is late is told so, and a cancellation is no lateness."""

import asyncio

import pytest

from daemon.http_api.patience import Patience

pytestmark = pytest.mark.virtual_time


async def after(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


async def timed(patience: Patience, work: float, seconds: float = 10) -> tuple[str, float]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        return f"done {await patience.wait(after(work), seconds):g}", round(loop.time() - began, 3)
    except TimeoutError:
        return "late", round(loop.time() - began, 3)


async def test_who_is_done_in_time_has_its_value_and_who_is_late_is_told_at_the_instant() -> None:
    patience = Patience()
    asked = [asyncio.create_task(timed(patience, 2)), asyncio.create_task(timed(patience, 60))]
    await asyncio.sleep(4)
    asked += [asyncio.create_task(timed(patience, 60)), asyncio.create_task(timed(patience, 9))]
    assert await asyncio.gather(*asked) == [("done 2", 2), ("late", 10), ("late", 10), ("done 9", 9)]


async def test_after_a_pause_others_may_wait_again() -> None:
    patience = Patience()
    assert await timed(patience, 1) == ("done 1", 1)
    await asyncio.sleep(30)
    assert await timed(patience, 60) == ("late", 10)


async def test_a_cancellation_by_somebody_else_is_one() -> None:
    patience = Patience()
    task = asyncio.create_task(patience.wait(after(60), 10))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await timed(patience, 60) == ("late", 10)


async def test_an_error_of_the_work_passes() -> None:
    async def failing() -> None:
        raise KeyError("gone")

    with pytest.raises(KeyError):
        await Patience().wait(failing(), 10)
