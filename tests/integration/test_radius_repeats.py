"""The same octets give the same octets, before the first reply, after it and after a restart; and one charge in all."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from daemon.charging.ports import Book, Reads, StoreUnavailable
from daemon.kernel.money import NANO
from tests.integration.radius_world import World, access, accounting, read, socket, world

pytestmark = pytest.mark.virtual_time

T = TypeVar("T")
QUESTION = [
    ("User-Name", "alice"),
    ("User-Password", "hello"),
    ("Called-Station-Id", "442079460000"),
    ("Calling-Station-Id", "18005551212"),
    ("Acct-Session-Id", "s-1"),
    ("Proxy-State", "0x01"),
    ("Proxy-State", "0x02ff"),
]
CALL = [("User-Name", "alice"), ("Called-Station-Id", "442079460000"), ("Acct-Session-Id", "s-1")]
BEGIN = [("Acct-Status-Type", "Start"), *CALL]
END = [("Acct-Status-Type", "Stop"), *CALL, ("Acct-Session-Time", "90")]


async def test_a_question_repeated_gets_the_same_octets_and_holds_once(tmp_path: Path) -> None:
    async with world(tmp_path) as here, socket() as switch:
        request = access(QUESTION)
        first = await switch.burst(request, here.port("auth"))  # before the first reply: only one is worked on
        held = await here.balance()
        assert held[1:] == (25 * NANO, 1)
        assert await switch.ask(request, here.port("auth")) == first
        assert read(first).values(33) == [b"\x01", b"\x02\xff"]
        assert read(first).attributes[0][0] == 80
        here.wait(40)  # the cache has forgotten; the store has not
        assert await switch.ask(request, here.port("auth")) == first
        await here.restart()
        assert await switch.ask(request, here.port("auth")) == first
        assert await here.balance() == held
        assert here.tally.discarded("duplicate_in_progress") + here.tally.discarded("duplicate") >= 5


async def test_a_refusal_repeated_gets_the_same_octets(tmp_path: Path) -> None:
    async with world(tmp_path) as here, socket() as switch:
        request = access([("User-Name", "alice"), ("User-Password", "hello"), ("Called-Station-Id", "1900")])
        first = await switch.ask(request, here.port("auth"))
        assert read(first).code == 3
        assert read(first).first(18) == b"destination_unrated"
        await here.restart()
        assert await switch.ask(request, here.port("auth")) == first


@pytest.mark.parametrize("status", ["Start", "Stop"])
async def test_a_record_repeated_is_acknowledged_alike_and_charged_once(tmp_path: Path, status: str) -> None:
    async with world(tmp_path) as here, socket() as switch:
        await switch.ask(access(QUESTION), here.port("auth"))
        if status == "Stop":
            await switch.ask(accounting(BEGIN), here.port("acct"))
            here.wait(90)
        pairs = BEGIN if status == "Start" else END
        request = accounting([*pairs, ("Acct-Delay-Time", "0")], 7)
        first = await switch.burst(request, here.port("acct"))
        assert await switch.ask(request, here.port("acct")) == first
        here.wait(30)
        assert await switch.ask(request, here.port("acct")) == first
        await here.restart()
        assert await switch.ask(request, here.port("acct")) == first
        moved = accounting([*pairs, ("Acct-Delay-Time", "37")], 200)  # failover: a new Identifier, the delay raised
        answer = await switch.ask(moved, here.port("acct"))
        assert read(answer).identifier == 200
        await here.restart()
        assert await switch.ask(moved, here.port("acct")) == answer
        await switch.ask(accounting(END, 9), here.port("acct"))
        records = await here.records()
        assert [record.charge for record in records] == [900_000_000]
        assert await here.balance() == (25 * NANO - 900_000_000, 0, 0)
        assert await here.exceptions() == []


async def test_the_same_record_with_another_body_is_acknowledged_and_listed(tmp_path: Path) -> None:
    async with world(tmp_path) as here, socket() as switch:
        await switch.ask(access(QUESTION), here.port("auth"))
        await switch.ask(accounting(BEGIN), here.port("acct"))
        here.wait(90)
        await switch.ask(accounting(END, 1), here.port("acct"))
        other = accounting([*END, ("Calling-Station-Id", "another")], 2)
        assert read(await switch.ask(other, here.port("acct"))).code == 5
        assert await here.exceptions() == ["conflict"]
        assert len(await here.records()) == 1


async def test_another_password_in_the_octets_of_an_answered_question_is_silence(tmp_path: Path) -> None:
    async with world(tmp_path) as here, socket() as switch:
        request = access(QUESTION)
        await switch.ask(request, here.port("auth"))
        here.wait(40)
        from daemon.radius.authenticator import sign_request

        packet = read(request)
        at = request.index(b"s-1")
        forged = sign_request(
            request[:22] + bytes(16) + request[38:at] + b"s-2" + request[at + 3 :], b"loopback-secret"
        )
        assert read(forged).authenticator == packet.authenticator
        assert await switch.silent(forged, here.port("auth"))
        assert here.tally.discarded("conflict") == 1


class _Slow:
    """A store whose commits take a while, or fail: everything else is the store's own."""

    def __init__(self, here: World, seconds: float, *, broken: bool = False) -> None:
        self._transact = here.store.transact
        self.seconds = seconds
        self.broken = broken
        self.committed_at: list[float] = []

    async def transact(self, reads: Reads, decide: Callable[[Book], T]) -> T:
        if self.broken:
            raise StoreUnavailable("the disk is full")
        result = await self._transact(reads, decide)
        await asyncio.sleep(self.seconds)
        self.committed_at.append(asyncio.get_running_loop().time())
        return result


async def test_no_reply_precedes_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as here, socket() as switch:
        slow = _Slow(here, 0.05)
        monkeypatch.setattr(here.store, "transact", slow.transact)
        for request, port in (
            (access(QUESTION), "auth"),
            (accounting(BEGIN), "acct"),
            (accounting(END, 2), "acct"),
            (accounting([("Acct-Status-Type", "99"), ("Acct-Session-Id", "x")], 3), "acct"),
        ):
            commits = len(slow.committed_at)
            await switch.ask(request, here.port(port))
            arrived = asyncio.get_running_loop().time()
            assert len(slow.committed_at) == commits + 1
            assert slow.committed_at[-1] <= arrived


async def test_while_the_store_cannot_commit_questions_are_refused_and_records_get_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as here, socket() as switch:
        record = accounting([*END, ("NAS-Identifier", "gw1")], 3)
        status = _status()
        with monkeypatch.context() as patch:
            patch.setattr(here.store, "transact", _Slow(here, 0, broken=True).transact)
            refused = read(await switch.ask(access(QUESTION), here.port("auth")))
            assert (refused.code, refused.first(18)) == (3, b"store_unavailable")
            assert await switch.silent(record, here.port("acct"))
            assert await switch.silent(status, here.port("acct"))
            assert await switch.silent(status, here.port("auth"))
        assert read(await switch.ask(record, here.port("acct"))).code == 5  # the repeat is taken
        assert await here.charged() == 900_000_000
        assert read(await switch.ask(status, here.port("acct"))).code == 5


def _status() -> bytes:
    from daemon.radius.client import build

    return build(12, [], b"loopback-secret", 5)


async def test_a_stop_of_the_servers_answers_what_is_in_flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as here, socket() as switch:
        monkeypatch.setattr(here.store, "transact", _Slow(here, 0.2).transact)
        switch.send(accounting(END, 4), here.port("acct"))
        switch.send(access([("User-Name", "alice"), ("User-Password", "wrong")], 5), here.port("auth"))
        await asyncio.sleep(0.05)
        await here.servers.stop()
        codes = sorted([read(await asyncio.wait_for(switch.received.get(), 2)).code for _ in range(2)])
        assert codes == [3, 5]
