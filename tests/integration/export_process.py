"""A process that exports in children of its own, so that each can be killed at a chosen system call.

A line on its input, ``STORE TAB DIRECTORY TAB NOW``, forks a child, whose process id is answered. The child waits
for a second line, so that strace can be attached before it does anything; its exit status is answered at its end.
"""

import asyncio
import gc
import os
import sys
import traceback
from pathlib import Path

from daemon.billing_export.batch import ExportUnavailable
from daemon.billing_export.export import Refused, run_exports
from daemon.billing_export.source import StoreSource
from daemon.settings import StoreSettings
from daemon.store import open_store

EX_UNAVAILABLE = 69


async def export(store_path: str, directory: str, now: int) -> int:
    """Export once, as the command does; return the exit status."""
    store = await open_store(StoreSettings(url=f"sqlite:///{store_path}"), lambda: now)
    try:
        results = await run_exports(StoreSource(store), Path(directory), now)
    except ExportUnavailable:
        return EX_UNAVAILABLE
    finally:
        await store.close()
    return 1 if any(isinstance(result, Refused) for result in results) else 0


def read_line() -> str:
    """Read one line octet by octet, so that nothing of the next is taken from a child or parent."""
    octets = b""
    while not octets.endswith(b"\n"):
        octet = os.read(0, 1)
        if not octet:
            return ""
        octets += octet
    return octets.decode().rstrip("\n")


def child(store_path: str, directory: str, now: str) -> None:
    """Wait for the gate, export, and leave without looking back."""
    status = 70
    try:
        read_line()
        status = asyncio.run(export(store_path, directory, int(now)))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    """Serve until the input ends."""
    gc.freeze()
    while line := read_line():
        pid = os.fork()
        if pid == 0:
            child(*line.split("\t"))
        os.write(1, f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main()
