"""conf/kamailio/tollway.cfg against phones that are not honest: no call goes on beside its charge."""

import asyncio
from pathlib import Path

import pytest

from tests.integration.kamailio_phones import ELSEWHERE, Called, Caller, Phone, cseq, plugged
from tests.integration.kamailio_world import Proxy, installed, proxy
from tests.integration.radius_world import World
from tests.integration.test_kamailio import UK, recorded
from tests.integration.test_radius_inbound import desk

RICH = 5_000  # units of money, so that a dozen calls hold two hours each
TALK_SECONDS = 1.2
BUSY, AWAY = "442071230486", "442071230503"  # the called side refuses them once
pytestmark = pytest.mark.skipif(not installed(), reason="scripts/test-deps installs kamailio and sip-tester")


async def test_each_call_is_charged_until_both_sides_heard_its_end(tmp_path: Path) -> None:
    """All of them in one Kamailio beside each other: each is a call of its own."""
    async with (
        desk(tmp_path, "kamailio", RICH, trust_user_name=False) as here,
        proxy(here, tmp_path / "k", sipp=False) as kamailio,
        plugged(Called, port=kamailio.called) as called,
        plugged(Phone) as evil,
        plugged(Phone, ELSEWHERE) as stranger,
    ):
        kept = await asyncio.gather(
            _one_call_of_a_call_id(kamailio, called),
            _a_bye_for_nobody(kamailio, called, evil),
            _a_bye_with_an_old_number(kamailio, called),
            _requests_that_lead_astray(kamailio, called, evil),
            _requests_from_elsewhere(kamailio, called, stranger),
            _the_called_side_hangs_up(kamailio, called),
            _a_made_up_tag(kamailio, called),
            _an_emergency_call_beside_it(kamailio, called),
            _numbers_without_a_next(kamailio),
            _a_refused_call_and_its_next_leg(kamailio, called),
        )
        charged = sorted(each for some in kept for each in some)
        await recorded(here, kamailio, len(charged))
        await _each_is_charged(here, charged)
        assert evil.messages == [], evil.messages


async def _each_is_charged(here: World, charged: list[str]) -> None:
    records = await here.records()
    assert sorted(each.call_id for each in records) == charged
    for each in records:
        assert each.settled_by == "hangup", each
        assert each.billed_seconds >= 1, each
        assert each.charge == each.billed_seconds * 10_000_000, each
    assert await here.exceptions() == []


async def _ended(caller: Caller, called: Called) -> None:
    """Both sides heard BYE, with a number that the called side took."""
    heard = await called.find("BYE ", caller.call_id, "BYE")
    assert cseq(heard) > caller.first + 1
    await caller.phone.find("BYE ", caller.call_id, "BYE")
    await asyncio.sleep(0.1)
    assert called.heard(caller.call_id)["BYE"] == 1


async def _one_call_of_a_call_id(kamailio: Proxy, called: Called) -> list[str]:
    """Of four at once one is granted, though it repeats itself; another number beside it is not."""
    async with plugged(Phone) as one, plugged(Phone) as two, plugged(Phone) as three, plugged(Phone) as four:
        callers = [Caller(kamailio, each, "twin", UK, f"t{n}") for n, each in enumerate((one, two, three, four))]
        answers = await asyncio.gather(*(each.dial(repeated=True) for each in callers))
        assert sorted(answers) == ["200", "482", "482", "482"], answers
        assert called.heard("twin")["INVITE"] == 1
        assert await Caller(kamailio, two, "twin", "33123456789", "other", 20).dial() == "482"
        talking = callers[answers.index("200")]
        assert await Caller(kamailio, talking.phone, "twin", UK, talking.tag, 30).dial() == "482"
        await asyncio.sleep(TALK_SECONDS)
        assert await talking.ask("BYE", 7) == "200"
        await _ended(talking, called)
        assert await talking.ask("INVITE", 8) == "481"
        return ["twin"]


async def _a_bye_for_nobody(kamailio: Proxy, called: Called, evil: Phone) -> list[str]:
    """A BYE to the caller himself, by Request-URI and Route, ends the call at the called side all the same."""
    async with plugged(Phone) as phone:
        caller = Caller(kamailio, phone, "bye-self", UK)
        assert await caller.dial() == "200"
        await asyncio.sleep(TALK_SECONDS)
        caller.routes = [*caller.routes, f"<sip:{evil.host}:{evil.port};lr>"]
        assert await caller.ask("BYE", 7, f"sip:x@{evil.host}:{evil.port}") == "200"
        await _ended(caller, called)
        return ["bye-self"]


async def _a_bye_with_an_old_number(kamailio: Proxy, called: Called) -> list[str]:
    async with plugged(Phone) as phone:
        caller = Caller(kamailio, phone, "bye-old", UK)
        assert await caller.dial() == "200"
        await asyncio.sleep(TALK_SECONDS)
        assert await caller.ask("BYE", 1) == "200"
        await _ended(caller, called)
        return ["bye-old"]


async def _requests_that_lead_astray(kamailio: Proxy, called: Called, evil: Phone) -> list[str]:
    """Neither the number nor the target of a request within the call is the sender's to choose."""
    async with plugged(Phone) as phone:
        caller = Caller(kamailio, phone, "astray", UK)
        assert await caller.dial() == "200"
        assert await caller.ask("INFO", 2) == "500"
        assert await caller.ask("INFO", 2_147_483_647) == "400"
        assert await caller.ask("INVITE", 7, f"sip:x@{evil.host}:{evil.port}") == "200"
        caller.send("ACK", 7, f"sip:x@{evil.host}:{evil.port}")
        assert await caller.ask("INFO", 8, f"sip:x@{evil.host}:{evil.port}") == "200"
        assert called.heard("astray")["INFO"] == 1
        await asyncio.sleep(TALK_SECONDS)
        assert await caller.ask("BYE", 9) == "200"
        await _ended(caller, called)
        return ["astray"]


async def _requests_from_elsewhere(kamailio: Proxy, called: Called, stranger: Phone) -> list[str]:
    """Who knows id and tags, and is at neither side, ends nothing and changes nothing."""
    async with plugged(Phone) as phone:
        caller = Caller(kamailio, phone, "elsewhere", UK)
        assert await caller.dial() == "200"
        assert await caller.ask("INVITE", 7, phone=stranger) == "403"
        assert await caller.ask("BYE", 8, phone=stranger) == "403"
        await asyncio.sleep(TALK_SECONDS)
        assert called.heard("elsewhere") == {"INVITE": 1, "ACK": 1}
        assert await caller.ask("BYE", 9) == "200"
        await _ended(caller, called)
        return ["elsewhere"]


async def _the_called_side_hangs_up(kamailio: Proxy, called: Called) -> list[str]:
    async with plugged(Phone) as phone:
        caller = Caller(kamailio, phone, "called-bye", UK)
        assert await caller.dial() == "200"
        await asyncio.sleep(TALK_SECONDS)
        invite = await called.find("INVITE ", "called-bye", "INVITE")
        called.hang_up(invite, kamailio.sip)
        await called.find("SIP/2.0 200", "called-bye", "BYE")
        await _ended(caller, called)
        return ["called-bye"]


async def _a_made_up_tag(kamailio: Proxy, called: Called) -> list[str]:
    """No To-tag of one's own opens a call, with or without a Route to the proxy, or in a call that rings."""
    async with plugged(Phone) as phone:
        caller = Caller(kamailio, phone, "made-up", UK, to=f"<sip:{UK}@tollway.test>;tag=made-up")
        assert await caller.ask("INVITE", 1) == "481"
        caller.routes = [f"<sip:127.0.0.1:{kamailio.sip};lr>"]
        assert await caller.ask("INVITE", 2, f"sip:{UK}@127.0.0.1:{kamailio.called}") == "481"
        assert await caller.ask("BYE", 3) == "481"
        assert called.heard("made-up") == {}
    async with plugged(Phone) as phone:
        caller = Caller(kamailio, phone, "ringing", UK)
        dialling = asyncio.create_task(caller.dial())
        await phone.find("SIP/2.0 180", "ringing", "INVITE")
        assert await Caller(kamailio, phone, "ringing", UK, to=f"<sip:{UK}@x>;tag=made-up").ask("INVITE", 9) == "481"
        assert await dialling == "200"
        await asyncio.sleep(TALK_SECONDS)
        assert await caller.ask("BYE", 7) == "200"
        await _ended(caller, called)
        return ["ringing"]


async def _an_emergency_call_beside_it(kamailio: Proxy, called: Called) -> list[str]:
    """An emergency call asks nobody, under whatever Call-ID, and its end does not free that of a call."""
    async with plugged(Phone) as phone, plugged(Phone) as other:
        caller = Caller(kamailio, phone, "beside", UK)
        assert await caller.dial() == "200"
        emergency = Caller(kamailio, other, "beside", "112", "112", 50)
        emergency.send("INVITE", 50)
        answer = await emergency.final("INVITE", 50)
        assert answer.startswith("SIP/2.0 200")
        emergency.take(answer, 50)
        await asyncio.sleep(TALK_SECONDS)
        assert await emergency.ask("BYE", 51) == "200"
        assert await Caller(kamailio, other, "beside", UK, "second", 60).dial() == "482"
        assert await caller.ask("BYE", 7) == "200"
        await caller.phone.find("BYE ", "beside", "BYE")
        return ["beside"]


async def _numbers_without_a_next(kamailio: Proxy) -> list[str]:
    async with plugged(Phone) as phone:
        assert await Caller(kamailio, phone, "highest", UK, first=2_147_483_647).dial() == "400"
        assert await Caller(kamailio, phone, "l" * 201, UK).dial() == "400"
        return []


async def _a_refused_call_and_its_next_leg(kamailio: Proxy, called: Called) -> list[str]:
    """A refused call frees its Call-ID; the next leg of a call that goes on needs it no second time."""
    async with plugged(Phone) as phone, plugged(Phone) as other:
        busy = Caller(kamailio, phone, "busy", BUSY)
        assert await busy.dial() == "486"
        busy.first = 7
        assert await busy.dial() == "200"
        leg = Caller(kamailio, other, "leg", AWAY)
        assert await leg.dial() == "200"
        assert called.heard("leg")["INVITE"] == 2
        await asyncio.sleep(TALK_SECONDS)
        assert set(await asyncio.gather(busy.ask("BYE", 9), leg.ask("BYE", 7))) == {"200"}
        await asyncio.gather(_ended(busy, called), _ended(leg, called))
        return ["busy", "leg"]
