"""What loads the store is done one at a time; few wait, and one more is told to come again."""

import asyncio

import pytest

from daemon.http_api.calls import Turns
from daemon.http_api.refusal import RequestRefused


async def test_one_is_at_work_few_wait_and_one_more_is_refused() -> None:
    turns, at_work, most = Turns(3), 0, 0
    go = asyncio.Event()

    async def work() -> None:
        nonlocal at_work, most
        async with turns.taken():
            at_work += 1
            most = max(most, at_work)
            await go.wait()
            at_work -= 1

    tasks = [asyncio.create_task(work()) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(RequestRefused) as refused:
        await work()
    assert (refused.value.status, refused.value.error) == (503, "overloaded")
    tasks[2].cancel()  # one who waits goes away, and leaves his place
    await asyncio.gather(tasks[2], return_exceptions=True)
    waiting = asyncio.create_task(work())
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*tasks[:2], waiting)
    assert most == 1
