"""Events a second on one core: 500 captured calls taken, charged and written to a real store, beside a bare parser.

The JSON stream goes through wire, legs, call control, charging and a durable SQLite store; the peer, greenswitch, in
a process of its own on the same core, only parses the plain stream of the same calls. Best of several passes each.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

from daemon.esl import events, wire
from daemon.kernel.money import format_nano
from tests.integration.esl_captures import LOAD, TABLES, capture
from tests.integration.esl_replay import replaying

PASSES = 3
CHUNK = 65_536  # octets taken at once, as the link reads them
BALANCES = {f"acct{number:03d}": "100.00" for number in range(50)}
PEER = """
import io, sys, time
from gevent.event import AsyncResult
from greenswitch import InboundESL

data = sys.stdin.buffer.read()
best = 0.0
for _ in range(int(sys.argv[1])):
    link = InboundESL("127.0.0.1", 0, "")
    link._commands_sent = [AsyncResult(), AsyncResult()]
    link.sock_file = io.BytesIO(data)
    link.sock = link.sock_file
    began = time.perf_counter()
    link.receive_events()
    seconds = time.perf_counter() - began
    best = max(best, link._esl_event_queue.qsize() / seconds)
print(link._esl_event_queue.qsize(), best)
"""


def main() -> None:
    """Print the figures."""
    core = min(os.sched_getaffinity(0))
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        _report(core)
    finally:
        os.sched_setaffinity(0, allowed)


def _report(core: int) -> None:
    count, peer = _greenswitch()
    json_rate = _best(lambda: _parsed("json"))
    plain_rate = _best(lambda: _parsed("plain"))
    whole = [asyncio.run(_charged()) for _ in range(PASSES)]
    rate, share, total = max(whole)
    print(f"{count:,} events of 500 calls, core {core}, best of {PASSES} passes, events a second:")
    print(
        f"  {rate:>9,.0f}  taken, charged, durable (CPU {share:.0%}; total {format_nano(total)}, 500 callers once each)"
    )
    print(f"  {json_rate:>9,.0f}  JSON parsed only")
    print(f"  {plain_rate:>9,.0f}  plain parsed only")
    print(f"  {peer:>9,.0f}  plain parsed only by greenswitch in its own process")
    print(
        f"ratios to greenswitch: charged {rate / peer:.1f}, JSON {json_rate / peer:.1f}, plain {plain_rate / peer:.1f}"
    )


def _greenswitch() -> tuple[int, float]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PEER, str(PASSES)], input=capture(f"{LOAD}.plain"), check=True,
        capture_output=True,
    )  # fmt: skip
    count, rate = done.stdout.split()
    return int(count), float(rate)


def _best(measure: Callable[[], float]) -> float:
    return max(measure() for _ in range(PASSES))


def _parsed(form: str) -> float:
    """Return the events a second of wire and decoder alone."""
    data, connection, count = capture(f"{LOAD}.{form}"), wire.EslConnection(), 0
    began = perf_counter()
    for at in range(0, len(data), CHUNK):
        for message in connection.receive_data(data[at : at + CHUNK]):
            if isinstance(message, wire.EventBody):
                events.decode(message)
                count += 1
    return count / (perf_counter() - began)


async def _charged() -> tuple[float, float, int]:
    """Return events a second, the share of the core that was used, and the sum of the charges."""
    deck = (TABLES / f"{LOAD}-deck.csv").read_text()
    with tempfile.TemporaryDirectory() as folder:
        async with replaying(Path(folder), BALANCES, deck) as replay:
            data = capture(f"{LOAD}.json")
            began, used = perf_counter(), process_time()
            count = await replay.feed(data)
            seconds, used = perf_counter() - began, process_time() - used
            records = await replay.world.records()
            assert len({record.call_id for record in records}) == len(records) == 500
            return count / seconds, used / seconds, sum(record.charge for record in records)


if __name__ == "__main__":
    main()
