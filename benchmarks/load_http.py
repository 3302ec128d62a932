"""A load generator for the HTTP interface: whole prepaid calls (authorize, answer, end) against a running daemon.

Its own process, its own sockets, one keep-alive connection for each call in flight, no HTTP library: it has to be
cheaper than what it measures. Prints one JSON object. A request that is not answered as it should be is counted as
failed, and a run with any failure exits with 1; a run whose share of its core is above 0.9 measured the generator.
With ``--questions`` nothing but questions is asked, of ``--accounts`` accounts and numbers taken at random; with
``--a-second`` they come at instants that do not wait for answers, and a time is counted from the instant.

    python -m benchmarks.load_http --address 127.0.0.1:8090 --token T --account acme --to 442071231234
"""

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import uvloop

BUFFER_MAX = 1 << 20  # octets of one response; ours are below 4 KiB
STALL_SECONDS = 30  # seconds without a single answer, after which the run is given up


@dataclass
class Tally:
    """What all connections have done."""

    wanted: int
    began: int = 0
    done: int = 0
    failed: int = 0
    first_failure: str = ""
    requests_us: list[int] = field(default_factory=list)
    calls_us: list[int] = field(default_factory=list)
    answers: int = 0
    repeats: int = 0


@dataclass(frozen=True)
class Plan:
    """Every request but the call's own id and the time."""

    host: str
    token: str
    account: str
    to: str
    seconds: int
    run: str
    questions: bool = False  # and no answers and ends
    accounts: int = 0  # above 0: one of so many, whose name is that of ``bench_accounts``
    dice: random.Random = field(default_factory=lambda: random.Random(3))

    def _request(self, path: str, body: str) -> bytes:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self.host}\r\nAuthorization: Bearer {self.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return (head + body).encode()

    def requests(self, number: int) -> tuple[Callable[[], bytes], ...]:
        """Return what makes the three requests of one call."""
        name = f"{self.run}-{number}"
        account = f"a{self.dice.randrange(self.accounts):07d}" if self.accounts else self.account
        to = str(self.dice.randrange(10**10, 10**11)) if self.questions else self.to
        question = (
            f'{{"call_id":"{name}","account":"{account}","from":"15551230001","to":"{to}","direction":"outbound"}}'
        )
        if self.questions:
            return (lambda: self._request("/v1/authorize", question),)
        return (
            lambda: self._request("/v1/authorize", question),
            lambda: self._request(f"/v1/calls/{name}/answer", f'{{"at":"{_now()}"}}'),
            lambda: self._request(f"/v1/calls/{name}/end", f'{{"at":"{_now()}","duration_seconds":{self.seconds}}}'),
        )


EXPECTED = (b'"result":"granted"', b'"state":"answered"', b'"state":"settled"')


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Caller(asyncio.Protocol):
    """One connection: one call after another, one request at a time."""

    def __init__(self, plan: Plan, tally: Tally, finished: "asyncio.Future[None]", pace: "Pace | None" = None) -> None:
        self._plan = plan
        self._pace = pace
        self._tally = tally
        self._finished = finished
        self._buffer = b""
        self._step = 0
        self._requests: tuple[Callable[[], bytes], ...] = ()
        self._call_began = self._request_began = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # what a stream has
        self._transport = transport
        self._next_call()

    def _next_call(self) -> None:
        if self._pace is not None:
            self._pace.free(self)
        else:
            self.begin(time.perf_counter_ns())

    def begin(self, began: int) -> None:
        """Make the next call, whose time counts from an instant; close where all have been made."""
        if self._tally.began >= self._tally.wanted:
            self._transport.close()
            return
        self._requests = self._plan.requests(self._tally.began)
        self._tally.began += 1
        self._step = 0
        self._call_began = began
        self._send(began)

    def _send(self, began: int) -> None:
        self._request_began = began
        self._transport.write(self._requests[self._step]())

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            assert len(self._buffer) < BUFFER_MAX, "a response without an end"
            return
        self._buffer = b""
        now = time.perf_counter_ns()
        self._tally.answers += 1
        self._tally.requests_us.append((now - self._request_began) // 1000)
        if not head.startswith(b"HTTP/1.1 200 ") or EXPECTED[self._step] not in body:
            self._tally.failed += 1
            self._tally.first_failure = self._tally.first_failure or (head + b" " + body).decode(errors="replace")[:500]
            self._requests = ()
            self._next_call()
            return
        self._step += 1
        if self._step < len(self._requests):
            self._send(time.perf_counter_ns())
            return
        self._tally.done += 1
        self._tally.calls_us.append((now - self._call_began) // 1000)
        self._requests = ()
        self._next_call()

    def connection_lost(self, _error: Exception | None) -> None:
        if self._requests:
            self._tally.first_failure = self._tally.first_failure or "the connection was closed within a call"
            self._tally.failed += 1
        if not self._finished.done():
            self._finished.set_result(None)


class Pace:
    """Calls begin at even instants on whichever connection is free; one that finds none waits, and its time runs."""

    def __init__(self, a_second: int, wanted: int) -> None:
        self._gap_ns = 1_000_000_000 // a_second
        self._wanted = wanted
        self._free: deque[Caller] = deque()
        self._due: deque[int] = deque()
        self._ended = False

    def free(self, caller: Caller) -> None:
        """Take a connection that waits for a call."""
        if self._due:
            caller.begin(self._due.popleft())
        elif self._ended:
            caller.begin(0)  # all were made: it closes
        else:
            self._free.append(caller)

    async def run(self) -> None:
        """Begin all calls, then let the connections close."""
        began = time.perf_counter_ns()
        for number in range(self._wanted):
            at = began + number * self._gap_ns
            wait = at - time.perf_counter_ns()
            if wait > 0:
                await asyncio.sleep(wait / 1e9)
            self._due.append(at)
            if self._free:
                self._free.popleft().begin(self._due.popleft())
        self._ended = True
        for caller in self._free:
            caller.begin(0)


def _content_length(head: bytes) -> int:
    lower = head.lower()
    place = lower.index(b"content-length:") + 15
    end = lower.find(b"\r\n", place)
    return int(lower[place : end if end >= 0 else None])


def percentile(values: list[int], percent: int) -> float:
    """Return the nearest-rank percentile of microseconds, in milliseconds."""
    ordered = sorted(values)
    rank = max(0, -(-len(ordered) * percent // 100) - 1)
    return ordered[rank] / 1000 if ordered else 0.0


def summary(tally: Tally, seconds: float, cpu_seconds: float, in_flight: int) -> dict[str, object]:
    """Return what a run is reported as. ``p50_ms`` and ``p99_ms`` are of one request, ``call_…`` of a whole call."""
    return {
        "calls": tally.done, "seconds": round(seconds, 3), "calls_per_second": round(tally.done / seconds, 1),
        "p50_ms": percentile(tally.requests_us, 50), "p99_ms": percentile(tally.requests_us, 99),
        "call_p50_ms": percentile(tally.calls_us, 50), "call_p99_ms": percentile(tally.calls_us, 99),
        "generator_cpu_share": round(cpu_seconds / seconds, 3), "in_flight": in_flight, "failed": tally.failed,
        "first_failure": tally.first_failure,
    }  # fmt: skip


async def run(plan: Plan, port: int, calls: int, in_flight: int, a_second: int = 0) -> dict[str, object]:
    """Make so many calls, so many at a time, or so many a second, and return the summary."""
    loop = asyncio.get_running_loop()
    tally = Tally(calls)
    began, cpu_began = time.perf_counter(), time.process_time()
    finished: list[asyncio.Future[None]] = []
    pace = Pace(a_second, calls) if a_second else None
    for _ in range(in_flight):
        future: asyncio.Future[None] = loop.create_future()
        finished.append(future)
        await loop.create_connection(lambda future=future: Caller(plan, tally, future, pace), plan.host, port)  # type: ignore[misc]
    if pace is not None:
        await pace.run()
    await unstalled(asyncio.gather(*finished), tally)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    return summary(tally, seconds, cpu_seconds, in_flight)


async def unstalled(work: "asyncio.Future[list[None]]", tally: Tally) -> None:
    """Wait for all connections, and give up when nothing is answered for long."""
    seen = -1
    while not work.done():
        if seen == tally.answers:
            tally.failed += 1
            tally.first_failure = tally.first_failure or f"no answer within {STALL_SECONDS} seconds"
            work.cancel()
            return
        seen = tally.answers
        await asyncio.wait([work], timeout=STALL_SECONDS)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="127.0.0.1:8090", help="host:port of the HTTP listener")
    parser.add_argument("--token", required=True, help="text of a token of role switch")
    parser.add_argument("--account", required=True, help="the account that pays")
    parser.add_argument("--to", default="442071231234", help="the dialled number")
    parser.add_argument("--seconds", type=int, default=30, help="duration of each call, below 60")
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--questions", action="store_true", help="ask, and neither answer nor end")
    parser.add_argument("--accounts", type=int, default=0, help="take one of so many accounts for each call")
    parser.add_argument("--a-second", type=int, default=0, help="calls that begin in a second; 0: as many as can")
    chosen = parser.parse_args(arguments)
    host, _, port = chosen.address.rpartition(":")
    name = f"load-{os.getpid()}-{time.time_ns()}"
    plan = Plan(host, chosen.token, chosen.account, chosen.to, chosen.seconds, name, chosen.questions, chosen.accounts)
    result = uvloop.run(run(plan, int(port), chosen.calls, chosen.in_flight, chosen.a_second))
    print(json.dumps(result))
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
