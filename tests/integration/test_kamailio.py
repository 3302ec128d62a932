"""conf/kamailio/tollway.cfg on a real Kamailio: it asks, limits, cuts, refuses and accounts; callers are real too."""

import asyncio
import time
from pathlib import Path

import pytest

from daemon.kernel.ids import Key
from daemon.kernel.money import NANO
from tests.integration.kamailio_world import Proxy, installed, proxy
from tests.integration.radius_world import World
from tests.integration.test_radius_inbound import DID, desk, stands, told

ACME, DESK = Key("main", "acme"), Key("main", "desk")
UK = "442071231234"
LOOK_SECONDS, RECORDED_LOOKS_MAX = 0.05, 300  # so 15 seconds from the end of a call until its record is there
SLOWNESS_SECONDS = 5  # of a busy machine, beyond what the library waits
pytestmark = pytest.mark.skipif(not installed(), reason="scripts/test-deps installs kamailio and sip-tester")


async def recorded(here: World, kamailio: Proxy, calls: int) -> None:
    """Wait for the records of so many calls: Kamailio accounts a BYE after it has passed it on."""
    for _ in range(RECORDED_LOOKS_MAX):
        if len(await here.records()) >= calls:
            return
        await asyncio.sleep(LOOK_SECONDS)
    raise AssertionError(f"not {calls} records: {here.tally.counts}; {kamailio.log()}")


async def test_calls_out_and_in_are_asked_about_accounted_and_refused(tmp_path: Path) -> None:
    async with desk(tmp_path, "kamailio", trust_user_name=False) as here, proxy(here, tmp_path / "k") as kamailio:
        await asyncio.gather(
            kamailio.call("caller", "out", UK, talk="2000"),
            kamailio.call("carrier", "in", DID, caller="15550000000", talk="2000"),
            kamailio.call("refused", "wrong", UK, password="guess"),
            kamailio.call("refused", "unrated", "15550000000"),
        )
        await recorded(here, kamailio, 2)
        by_account = {account: (direction, seconds) for account, direction, seconds, _ in await told(here)}
        assert by_account.keys() == {"acme", "desk"}
        for account, direction in (("acme", "outbound"), ("desk", "inbound")):
            assert by_account[account][0] == direction
            assert 1 <= by_account[account][1] <= 4, by_account  # its Event-Timestamps are whole seconds
        assert sorted(each.call_id for each in await here.records()) == ["in", "out"]
        assert await stands(here, ACME) == await stands(here, DESK) == (0, 0, 0)
        assert await here.exceptions() == []
        asked = {key[2:]: n for key, n in here.tally.counts.items() if key[0] == "tollway_decisions_total"}
        assert asked == {("granted",): 2, ("credential_wrong",): 1, ("destination_unrated",): 1}, kamailio.log()
        await _without_a_question(here, kamailio)


async def _without_a_question(here: World, kamailio: Proxy) -> None:
    """What has no answer is refused within five seconds, as the module knows how; an emergency number passes."""
    await here.servers.stop()
    begun = time.monotonic()
    await asyncio.gather(
        kamailio.call("refused", "away", UK),
        kamailio.call("carrier-refused", "away-in", DID, refusal="503"),
    )
    assert time.monotonic() - begun < 5 + SLOWNESS_SECONDS
    await kamailio.call("emergency", "emergency", "112", talk="200")
    assert len(await here.records()) == 2


async def test_a_call_is_cut_when_its_money_ends(tmp_path: Path) -> None:
    async with desk(tmp_path, "kamailio", trust_user_name=False) as here, proxy(here, tmp_path / "k") as kamailio:
        await _leave(here, ACME, 40_000_000)
        await kamailio.call("cut", "cut", UK, talk="3200")  # a re-INVITE then gains nothing
        await recorded(here, kamailio, 1)
        (record,) = await here.records()
        # Its clock and its timer tick in whole seconds; beyond the fourth nobody pays, and nobody talked.
        assert record.billed_seconds in (3, 4), record
        assert record.charge == record.billed_seconds * 10_000_000
        assert (await here.balance())[1:] == (0, 0)
        assert await here.exceptions() == []


async def _leave(here: World, key: Key, nano: int) -> None:
    number = here.catalog().accounts[key].number
    assert 0 <= nano < NANO
    await here.store.administer(
        lambda connection: connection.execute("UPDATE account SET balance = ? WHERE number = ?", (nano, number))
    )
