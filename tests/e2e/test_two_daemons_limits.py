"""Two real daemons on one PostgreSQL: a limit is one limit, and what one of them leaves open the other settles.

A thousand questions at once go half to each. Then one is killed with calls of a switch and of RADIUS under way, and the
other, which follows the same switch and answers the same client, charges each of them once.
"""

import asyncio
import contextlib
import csv
import itertools
import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import radius_peer as peer
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.radius_load import Peer
from tests.e2e.scenario import SCENARIO, SECRET
from tests.integration.postgres_cluster import Cluster
from tests.switch_double.double import Plan, SwitchDouble

pytestmark = pytest.mark.timeout(240)
ATTEMPTS = 1_000
SOCKETS = 50  # of the client; each asks twenty questions at once
LINES = 10
CENT = Decimal("0.01")  # a second costs
CHARGING = "[charging]\nring_seconds = 120\nmax_grant_seconds = 3600\n"
SHORT = "[charging]\nring_seconds = 3\nslice_seconds = 10\n"
ACCOUNTS = """
[[account]]
id = "euro"
tenant = "main"
kind = "prepaid"
currency = "USD"
balance = "1.00"
rate_plan = "retail"
max_call_seconds = 7
identities = [{ sip_user = "euro", password = "euro-password" }]

[[account]]
id = "lines"
tenant = "main"
kind = "prepaid"
currency = "USD"
balance = "1000.00"
rate_plan = "retail"
channels = { total = 10 }
identities = [{ sip_user = "lines", password = "lines-password" }]
"""
SWITCH = """
[[freeswitch]]
id = "fs1"
tenant = "main"
port = %d
strip_digits = 1
"""
Links = list[tuple[asyncio.DatagramTransport, Peer]]


@contextlib.asynccontextmanager
async def both(folder: Path, cluster: Cluster, scenario: str, charging: str) -> AsyncIterator[list[DaemonProcess]]:
    """Give two daemons that have begun, on one new database."""
    url = cluster.url(await asyncio.to_thread(cluster.empty))
    pair = [DaemonProcess(folder / name, scenario, charging, url=url) for name in ("one", "two")]
    await asyncio.to_thread(pair[0].apply)
    try:
        await asyncio.gather(*(asyncio.to_thread(each.start) for each in pair))
        yield pair
    finally:
        for each in pair:
            if each.process is not None and each.process.poll() is None:
                each.kill()


async def linked(ports: list[int], count: int) -> Links:
    """Return sockets that send to the ports in turn."""
    loop = asyncio.get_running_loop()
    to = itertools.cycle(ports)
    return [await loop.create_datagram_endpoint(Peer, remote_addr=("127.0.0.1", next(to))) for _ in range(count)]


async def answered(link: tuple[asyncio.DatagramTransport, Peer], packet: bytes) -> peer.Reply:
    """Send the same bytes until they are answered."""
    transport, protocol = link
    future: asyncio.Future[peer.Reply] = asyncio.get_running_loop().create_future()
    protocol.waiting[packet[1]] = (packet, future)
    while True:
        transport.sendto(packet)
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(asyncio.shield(future), 2)


async def asked_at_once(pair: list[DaemonProcess], user: str) -> list[int]:
    """Ask a thousand times at once, half of each daemon; return the seconds of each grant."""
    links = await linked([daemon.auth_port for daemon in pair], SOCKETS)

    async def one(number: int) -> int:
        packet = peer.access_request(
            SECRET, number // SOCKETS, user, f"{user}-password", "442071231234", f"{user}-{number}"
        )
        reply = await answered(links[number % SOCKETS], packet)
        assert reply.code in (peer.ACCESS_ACCEPT, peer.ACCESS_REJECT)
        return reply.session_timeout if reply.code == peer.ACCESS_ACCEPT else 0

    try:
        found = await asyncio.gather(*(one(number) for number in range(ATTEMPTS)))
    finally:
        for transport, _protocol in links:
            transport.close()
    return [seconds for seconds in found if seconds]


def account(daemon: DaemonProcess, name: str) -> dict[str, Any]:
    """Return what a command shows of an account."""
    shown = daemon.json("account", "show", name)
    assert isinstance(shown, dict)
    return shown


def clean(daemon: DaemonProcess) -> None:
    """Assert that the ledger adds up."""
    done = daemon.command("db", "check", "--json")
    assert done.returncode == 0, done.stdout + done.stderr


async def test_of_a_thousand_questions_at_once_exactly_what_fits_is_granted(tmp_path: Path, cluster: Cluster) -> None:
    async with both(tmp_path, cluster, SCENARIO + ACCOUNTS, CHARGING) as pair:
        # A dollar is a hundred seconds at 0.60 a minute: fourteen calls of seven, and one of two.
        assert sorted(await asked_at_once(pair, "euro")) == [2] + [7] * 14
        assert len(await asked_at_once(pair, "lines")) == LINES
        euro, lines = [await asyncio.to_thread(account, pair[1], name) for name in ("euro", "lines")]
        assert (Decimal(euro["balance"]), Decimal(euro["reserved"])) == (Decimal(1), Decimal(1))
        assert lines["channels"]["total"] == LINES
        await asyncio.to_thread(clean, pair[0])


async def until(condition: Callable[[], object], seconds: float) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.2)


def open_ids(daemon: DaemonProcess) -> set[str]:
    """Return the call ids that are open."""
    listed = daemon.json("call", "list")
    assert isinstance(listed, list)
    return {call["call_id"] for call in listed}


async def test_calls_of_a_switch_and_of_radius_outlive_the_daemon_that_granted_them(
    tmp_path: Path, cluster: Cluster
) -> None:
    async with SwitchDouble() as switch:
        scenario = SCENARIO + SWITCH % switch.port
        async with both(tmp_path, cluster, scenario, SHORT) as pair:
            await until(lambda: switch.logins == 1, 20)
            await asyncio.sleep(2)  # the other has tried meanwhile
            one, two = sorted(pair, key=lambda daemon: '"link up"' not in daemon.log())
            auth, acct = await linked([one.auth_port], 1), await linked([one.acct_port], 1)
            for number, session in enumerate(("reported", "unanswered")):
                asked = peer.access_request(SECRET, number, "rich", "rich-password", "442071231234", session)
                assert (await answered(auth[0], asked)).code == peer.ACCESS_ACCEPT
            start = peer.accounting_request(SECRET, 2, peer.START, "reported", "rich", "442071231234")
            await answered(acct[0], start)
            calls = [switch.play(Plan("rich", "9442071231234")) for _ in range(4)]
            short = switch.play(Plan("rich", "9442071231234", talk=0.5))
            await asyncio.wait_for(short.over.wait(), 20)
            await until(lambda: all(call.answered for call in calls), 20)
            await until(lambda: {call.a for call in calls} <= open_ids(two), 20)
            assert switch.logins == 1, "one daemon has the link"
            await asyncio.to_thread(one.kill)
            switch.hang_up(calls[0], "NORMAL_CLEARING")
            to_two = await linked([two.acct_port], 1)
            stop = peer.accounting_request(SECRET, 9, peer.STOP, "reported", "rich", "442071231234", 30)
            assert (await answered(to_two[0], stop)).code == peer.ACCOUNTING_RESPONSE
            await asyncio.sleep(12)  # beyond a slice: the calls that run are renewed by the daemon that lives
            assert not any(call.over.is_set() for call in calls[1:]), "nobody's call was cut"
            for call in calls[1:]:
                switch.hang_up(call, "NORMAL_CLEARING")
            await until(lambda: not open_ids(two), 30)
            for transport, _protocol in (*auth, *acct, *to_two):
                transport.close()
            done = await asyncio.to_thread(two.command, "export", "run")
            assert done.returncode == 0, done.stderr
            charged = await asyncio.to_thread(usage, two)
            assert charged["reported"] == [Decimal("0.30")]
            for call in (short, *calls[1:]):
                seconds = -(-call.talked_us // 1_000_000)
                assert charged[call.a] == [CENT * seconds], (call.a, charged[call.a], seconds)
            # Nobody saw the end of this one: it is charged up to its last proof of life.
            whole = CENT * -(-calls[0].talked_us // 1_000_000)
            assert [CENT <= charge <= whole for charge in charged[calls[0].a]] == [True]
            assert len(charged) == 1 + 1 + len(calls)
            shown = await asyncio.to_thread(account, two, "rich")
            assert (Decimal(shown["reserved"]), shown["channels"]["total"]) == (Decimal(0), 0)
            await asyncio.to_thread(clean, two)


def usage(daemon: DaemonProcess) -> dict[str, list[Decimal]]:
    """Return the charges of an export, by call id."""
    charged: dict[str, list[Decimal]] = {}
    for path in daemon.folder.glob("**/usage.csv"):
        with path.open(newline="") as stream:
            for line in csv.DictReader(stream):
                charged.setdefault(line["call_id"], []).append(Decimal(line["charge"]))
    return charged
