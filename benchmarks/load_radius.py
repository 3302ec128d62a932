"""A load generator for RADIUS: whole prepaid calls (Access-Request with PAP, Start, Stop) against a running daemon.

Its own process and its own encoder: no code of the daemon, and cheaper than what it measures. Each call in flight has
two sockets of its own, so that identifiers never meet; a lost answer is asked for again with the same bytes, as a NAS
does. Prints one JSON object, as benchmarks.load_http does.

    python -m benchmarks.load_radius --secret testing123 --user acme --password secret --to 442071231234
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import uvloop

from benchmarks.load_http import Tally, summary, unstalled

ACCESS_REQUEST, ACCESS_ACCEPT, ACCOUNTING_REQUEST, ACCOUNTING_RESPONSE = 1, 2, 4, 5
USER_NAME, USER_PASSWORD, CALLED, CALLING, SESSION_ID = 1, 2, 30, 31, 44
STATUS_TYPE, SESSION_TIME, MESSAGE_AUTHENTICATOR = 40, 46, 80
START, STOP = 1, 2
REPEAT_SECONDS = 3.0  # seconds until the same bytes are sent again
REPEATS_MAX = 5  # repeats before a request counts as failed


def _attribute(kind: int, value: bytes | str | int) -> bytes:
    octets = struct.pack("!I", value) if isinstance(value, int) else value.encode() if isinstance(value, str) else value
    return bytes((kind, len(octets) + 2)) + octets


@dataclass(frozen=True)
class Plan:
    """Every packet but its identifier and the call's session id."""

    secret: bytes
    user: str
    password: bytes
    to: str
    seconds: int
    run: str

    def access(self, identifier: int, session: str) -> bytes:
        """Return an Access-Request with PAP and a Message-Authenticator (RFC 2865 section 5.2, RFC 2869 5.14)."""
        authenticator = os.urandom(16)
        hidden, last = b"", authenticator
        padded = self.password.ljust(-(-len(self.password) // 16) * 16, b"\0")
        for place in range(0, len(padded), 16):
            mask = hashlib.md5(self.secret + last).digest()
            last = bytes(a ^ b for a, b in zip(padded[place : place + 16], mask, strict=True))
            hidden += last
        body = (
            _attribute(MESSAGE_AUTHENTICATOR, bytes(16)) + _attribute(USER_NAME, self.user)
            + _attribute(USER_PASSWORD, hidden) + _attribute(CALLED, self.to) + _attribute(CALLING, "15551230001")
            + _attribute(SESSION_ID, session)
        )  # fmt: skip
        head = struct.pack("!BBH", ACCESS_REQUEST, identifier, 20 + len(body)) + authenticator
        mac = hmac.digest(self.secret, head + body, "md5")
        return head + body[:2] + mac + body[18:]

    def accounting(self, identifier: int, session: str, status: int) -> bytes:
        """Return an Accounting-Request (RFC 2866 section 3)."""
        body = (
            _attribute(STATUS_TYPE, status) + _attribute(SESSION_ID, session) + _attribute(USER_NAME, self.user)
            + _attribute(CALLED, self.to) + _attribute(CALLING, "15551230001")
        )  # fmt: skip
        if status == STOP:
            body += _attribute(SESSION_TIME, self.seconds)
        head = struct.pack("!BBH", ACCOUNTING_REQUEST, identifier, 20 + len(body))
        return head + hashlib.md5(head + bytes(16) + body + self.secret).digest() + body


class Socket(asyncio.DatagramProtocol):
    """Hands each datagram on."""

    def __init__(self, received: Callable[[bytes], None]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, _address: object) -> None:
        self._received(data)

    def error_received(self, error: Exception) -> None:
        del error  # an ICMP refusal: the repeat or the stall will tell


class Caller:
    """One call after another, one packet at a time."""

    def __init__(self, plan: Plan, tally: Tally, finished: "asyncio.Future[None]") -> None:
        self._plan = plan
        self._tally = tally
        self._finished = finished
        self._identifier = 0
        self._step = 0
        self._session = ""
        self._packet = b""
        self._repeats = 0
        self._timer: asyncio.TimerHandle | None = None
        self._began = self._call_began = 0
        self._auth: asyncio.DatagramTransport
        self._acct: asyncio.DatagramTransport

    async def open(self, host: str, auth_port: int, acct_port: int) -> None:
        """Open both sockets and begin."""
        loop = asyncio.get_running_loop()
        self._auth, _ = await loop.create_datagram_endpoint(
            lambda: Socket(self._received), remote_addr=(host, auth_port)
        )
        self._acct, _ = await loop.create_datagram_endpoint(
            lambda: Socket(self._received), remote_addr=(host, acct_port)
        )
        self._next_call()

    def _next_call(self) -> None:
        if self._tally.began >= self._tally.wanted:
            self._auth.close()
            self._acct.close()
            if not self._finished.done():
                self._finished.set_result(None)
            return
        self._session = f"{self._plan.run}-{self._tally.began}"
        self._tally.began += 1
        self._step = 0
        self._call_began = time.perf_counter_ns()
        self._next_packet()

    def _next_packet(self) -> None:
        self._identifier = (self._identifier + 1) % 256
        if self._step == 0:
            self._packet = self._plan.access(self._identifier, self._session)
        else:
            self._packet = self._plan.accounting(self._identifier, self._session, START if self._step == 1 else STOP)
        self._repeats = 0
        self._began = time.perf_counter_ns()
        self._send()

    def _send(self) -> None:
        (self._auth if self._step == 0 else self._acct).sendto(self._packet)
        self._timer = asyncio.get_running_loop().call_later(REPEAT_SECONDS, self._again)

    def _again(self) -> None:
        self._repeats += 1
        if self._repeats > REPEATS_MAX:
            self._fail(f"no answer to packet {self._step} of {self._session}")
            return
        self._tally.repeats += 1
        self._send()

    def _fail(self, why: str) -> None:
        self._tally.failed += 1
        self._tally.first_failure = self._tally.first_failure or why
        self._next_call()

    def _received(self, data: bytes) -> None:
        if len(data) < 20 or data[1] != self._identifier:
            return  # the answer to a repeat, late
        if self._timer is not None:
            self._timer.cancel()
        now = time.perf_counter_ns()
        self._tally.answers += 1
        self._tally.requests_us.append((now - self._began) // 1000)
        if data[0] != (ACCESS_ACCEPT if self._step == 0 else ACCOUNTING_RESPONSE):
            self._fail(f"packet {self._step} of {self._session} was answered with code {data[0]}")
            return
        self._step += 1
        if self._step < 3:
            self._next_packet()
            return
        self._tally.done += 1
        self._tally.calls_us.append((now - self._call_began) // 1000)
        self._next_call()


async def run(plan: Plan, host: str, ports: tuple[int, int], calls: int, in_flight: int) -> dict[str, object]:
    """Make so many calls, so many at a time, and return the summary."""
    loop = asyncio.get_running_loop()
    tally = Tally(calls)
    began, cpu_began = time.perf_counter(), time.process_time()
    finished: list[asyncio.Future[None]] = []
    for _ in range(in_flight):
        finished.append(loop.create_future())
        await Caller(plan, tally, finished[-1]).open(host, *ports)
    await unstalled(asyncio.gather(*finished), tally)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    return {**summary(tally, seconds, cpu_seconds, in_flight), "repeats": tally.repeats}


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--auth-port", type=int, default=1812)
    parser.add_argument("--acct-port", type=int, default=1813)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--to", default="442071231234", help="the dialled number")
    parser.add_argument("--seconds", type=int, default=30, help="duration of each call")
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, default=64)
    chosen = parser.parse_args(arguments)
    plan = Plan(
        chosen.secret.encode(), chosen.user, chosen.password.encode(), chosen.to, chosen.seconds,
        f"load-{os.getpid()}-{time.time_ns()}",
    )  # fmt: skip
    ports = (chosen.auth_port, chosen.acct_port)
    result = uvloop.run(run(plan, chosen.host, ports, chosen.calls, chosen.in_flight))
    print(json.dumps(result))
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
