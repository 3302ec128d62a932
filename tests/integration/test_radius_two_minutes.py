"""Three simultaneous callers over RADIUS on money for exactly two minutes: the whole grant goes to the first who asks.

The gateway carries the limit out up to a second late; the balance ends at the named figure, read from the store.
"""

from pathlib import Path

import pytest

from daemon.charging.session import ChargingSettings
from daemon.kernel.money import parse_nano
from daemon.ledger.account import EntryKind
from tests.e2e import radius_peer as peer
from tests.integration.radius_world import ACME, SECRET, Socket, World, socket, world

pytestmark = pytest.mark.virtual_time

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


async def test_a_re_used_call_id_with_the_same_duration_is_charged_again(tmp_path: Path) -> None:
    """In SIP the caller chooses the Call-ID: nothing is free because he says the same one and talks as long again."""
    async with world(tmp_path) as made, socket() as link:
        for identifier in (0, 10):
            asked = peer.access_request(SECRET.encode(), identifier, "alice", "hello", "442071231234", "call-A")
            assert (await _asked(link, made, asked, "auth")).code == peer.ACCESS_ACCEPT
            start = peer.accounting_request(
                SECRET.encode(), identifier + 1, peer.START, "call-A", "alice", "442071231234"
            )
            await _asked(link, made, start, "acct")
            made.wait(600)
            stop = peer.accounting_request(
                SECRET.encode(), identifier + 2, peer.STOP, "call-A", "alice", "442071231234", 600
            )
            await _asked(link, made, stop, "acct")
        assert await made.charged() == parse_nano("12.00")
        assert await made.balance() == (parse_nano("13.00"), 0, 0)


async def test_a_call_that_authenticates_again_is_one_call(tmp_path: Path) -> None:
    """A re-INVITE asks again for the same number: no second charge, no channel that stays held."""
    async with world(tmp_path, settings=ChargingSettings(max_grant_seconds=60)) as made, socket() as link:
        for identifier in (0, 1):
            asked = peer.access_request(SECRET.encode(), identifier, "alice", "hello", "33142685300", "call-B")
            assert (await _asked(link, made, asked, "auth")).code == peer.ACCESS_ACCEPT
            start = peer.accounting_request(SECRET.encode(), 9, peer.START, "call-B", "alice", "33142685300")
            await _asked(link, made, start, "acct")
            made.wait(1)
        stop = peer.accounting_request(SECRET.encode(), 10, peer.STOP, "call-B", "alice", "33142685300", 2)
        await _asked(link, made, stop, "acct")
        assert await made.charged() == parse_nano("0.60")
        made.wait(121)
        await made.ocf.expire_due()
        assert (await made.balance())[1:] == (0, 0)
