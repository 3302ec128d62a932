"""Three simultaneous callers over RADIUS on money for exactly two minutes: the whole grant goes to the first who asks.

The gateway carries the limit out up to a second late; the balance ends at the named figure, read from the store.
"""

from pathlib import Path

import pytest

from daemon.kernel.money import parse_nano
from daemon.ledger.account import EntryKind
from tests.e2e import radius_peer as peer
from tests.integration.radius_world import ACME, SECRET, Socket, World, socket, world

MONEY = "1.20"  # two minutes at 0.60


async def _asked(link: Socket, made: World, packet: bytes, port: str) -> peer.Reply:
    return peer.reply(SECRET.encode(), packet, await link.ask(packet, made.port(port)))


@pytest.mark.parametrize("number", ["442071231234", "33142685300"])  # 1/1 and 60/60
@pytest.mark.parametrize("late", [0, 1])
async def test_three_calls_on_money_for_two_minutes(tmp_path: Path, number: str, late: int) -> None:
    async with world(tmp_path, balance=0) as made, socket() as link:
        await made.store.credit(ACME, EntryKind.TOP_UP, parse_nano(MONEY), key="k", who="test", reason="")
        granted: dict[str, int] = {}
        for call in range(3):
            session = f"s{call}"
            packet = peer.access_request(SECRET.encode(), call, "alice", "hello", number, session)
            answer = await _asked(link, made, packet, "auth")
            if answer.code == peer.ACCESS_ACCEPT:
                granted[session] = answer.session_timeout
        assert granted == {"s0": 120}
        start = peer.accounting_request(SECRET.encode(), 9, peer.START, "s0", "alice", number)
        assert (await _asked(link, made, start, "acct")).code == peer.ACCOUNTING_RESPONSE
        made.wait(120 + late)
        stop = peer.accounting_request(SECRET.encode(), 10, peer.STOP, "s0", "alice", number, 120 + late)
        assert (await _asked(link, made, stop, "acct")).code == peer.ACCOUNTING_RESPONSE
        assert await made.balance() == (0, 0, 0)
        assert (await made.records())[0].settled_by == "own_limit"
