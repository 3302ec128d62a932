"""Every case of tests/tables/hostile/esl on links of one daemon: counted once, for its reason, and then a good call."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.hostile_cases import Case, cases, octets
from tests.integration.esl_world import SWITCH, World, until
from tests.integration.test_esl_park import UK, running
from tests.switch_double.double import Plan, SwitchDouble

pytestmark = pytest.mark.virtual_time

WORDS = {"connect": "connect", "auth": "auth", "subscribe": "event", "show": "show", "dump": "uuid_dump"}
TABLE = b'{"row_count": 1, "rows": [{"uuid": "5b6d8a4e-0000-0000-0000-000000000001"}]}'
SECONDS = 20.0  # of the loop's clock, which jumps; a link is asked whether it lives every 10, and made anew after 5


async def test_each_is_counted_once_for_its_reason_and_a_good_call_is_charged_after_it(tmp_path: Path) -> None:
    wrong = []
    async with running(tmp_path) as (world, switch):
        for case in cases("esl"):
            before, links = _counts(world), switch.connections + ("at" in case)
            await _sent(world, switch, case)
            await asyncio.sleep(SECONDS)
            await world.linked(SECONDS)
            rises, link = _counts(world) - before, "lost" if switch.connections > links else "kept"
            if (rises, link) != (Counter({case["reason"]: 1}), case["link"]):
                wrong.append(f"{case['name']}: {dict(rises)}, {link}; expected {case['reason']}, {case['link']}")
            await _good_call(world, switch, case)
        assert not [line for line in switch.commands if "shutdown" in line], "no id became a command"
    assert not wrong, "\n".join(wrong)


def _counts(world: World) -> Counter[str]:
    return Counter(
        {key[-1]: n for key, n in world.tally.counts.items() if key[:2] == ("tollway_discarded_total", "esl")}
    )


async def _sent(world: World, switch: SwitchDouble, case: Case) -> None:
    at, said = case.get("at"), _octets(case)
    if at is None:
        switch.say(said, ends=case.get("ends", False))
        return
    if at == "dump":
        switch.instead["show"] = _headed(b"api/response", TABLE)
    switch.instead[WORDS[at]] = said
    await switch.close_links()
    await until(lambda: not world.adapter.links_up()[SWITCH.id], SECONDS)
    await switch.listen()


def _octets(case: Case) -> bytes:
    for key, kind in (("event", b"text/event-json"), ("plain", b"text/event-plain"), ("api", b"api/response")):
        if key in case:
            return _headed(kind, octets(case[key]))
    return octets(case["send"])


def _headed(kind: bytes, body: bytes) -> bytes:
    return b"Content-Type: %b\nContent-Length: %d\n\n%b" % (kind, len(body), body)


async def _good_call(world: World, switch: SwitchDouble, case: Case) -> None:
    call = switch.play(Plan("acme", UK, talk=0.5))
    await asyncio.wait_for(call.over.wait(), SECONDS)
    await world.settled()
    assert call.variables["tollway_result"] == "GRANTED", case["name"]
    assert [(each.call_id, each.duration_us) for each in await world.records()][-1] == (call.a, call.talked_us)
