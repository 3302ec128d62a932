"""A process that archives in children of its own, each killed at a chosen point: before or after anything durable.

A line on its input, ``FOLDER TAB NOW TAB KEEP TAB POINT``, forks a child; how it ended is answered, and how many
points it passed. Children are forked before polars is loaded, whose threads a fork would not take along.
"""

import asyncio
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon.store import archiving, open_store
from tests.integration.store_world import settings


class Points:
    """Counts what makes something durable, and dies at one of the instants before and after."""

    def __init__(self, point: int) -> None:
        self.passed, self._point = 0, point

    def pass_one(self) -> None:
        self.passed += 1
        if self.passed == self._point:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def acted(*values: Any, **named: Any) -> Any:
            self.pass_one()
            done = act(*values, **named)
            self.pass_one()
            return done

        return acted

    def around_awaited(self, act: Callable[..., Any]) -> Callable[..., Any]:
        async def acted(*values: Any) -> Any:
            self.pass_one()
            done = await act(*values)
            self.pass_one()
            return done

        return acted


async def archive(folder: Path, now: int, keep: int, points: Points) -> None:
    """Archive once, as the command does, a few rows at a time."""
    store = await open_store(settings(folder), lambda: now)
    store.administer = points.around_awaited(store.administer)  # type: ignore[method-assign]
    os.fsync, os.rename = points.around(os.fsync), points.around(os.rename)
    archiving.STEP_MIN = archiving.STEP_MAX = archiving.STEP_MAX_CALLS = 5  # type: ignore[misc]
    try:
        await archiving.archive_months(store, keep, "", now, lambda _told: None)
    finally:
        await store.close()


def child(folder: str, now: str, keep: str, point: str) -> None:
    """Archive, and leave without looking back; say how many points there were."""
    points, status = Points(int(point)), 70
    try:
        asyncio.run(archive(Path(folder), int(now), int(keep), points))
        status = 0
        os.write(1, f"{points.passed}\n".encode())
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    """Serve until the input ends."""
    gc.freeze()
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if pid == 0:
            child(*line.rstrip("\n").split("\t"))
        _, status = os.waitpid(pid, 0)
        os.write(1, f"ended {os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main()
