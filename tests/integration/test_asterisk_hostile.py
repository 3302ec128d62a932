"""What strangers and callers may send to the FastAGI port and what a manager may say: nothing of it pays or stays."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.asterisk import fastagi, fastagi_wire
from daemon.asterisk.dialplan import ROUTES_SIZE_MAX, routes_text
from daemon.kernel.money import parse_nano
from tests.asterisk_double.double import AsteriskDouble, Channel
from tests.integration.asterisk_world import ASTERISK, UK, AsteriskWorld, answered, running
from tests.integration.esl_world import until

pytestmark = pytest.mark.virtual_time

HEAD = "agi_network: yes\nagi_network_script: {script}\nagi_channel: PJSIP/x\nagi_uniqueid: {id}\n"
COMMANDS = 13  # of a dialogue before its last one, which says GRANTED: the probe, seven cleared, the timer, four set
ARGUMENTS = "agi_arg_1: acme\nagi_arg_2: 442071231234\n"


async def opened(world: AsteriskWorld, switch: AsteriskDouble, more: str, script: str = "authorize") -> Channel:
    """Open a dialogue with a block that ends with these lines; return the channel after it was closed."""
    call = switch.call()
    block = HEAD.format(script=script, id=call.uniqueid) + more + "\n"
    await asyncio.wait_for(switch.dialogue(call, world.agi, block.encode()), 20)
    return call


async def holds_nothing(world: AsteriskWorld) -> bool:
    await world.settled()
    return await world.standing("acme") == (parse_nano("25.00"), 0, 0)


REQUESTS = [
    (ARGUMENTS, "authorize?account=acme", "script"),
    (ARGUMENTS, "Authorize", "script"),
    (ARGUMENTS, "", "script"),
    ("agi_arg_1: acme\n", "authorize", "arguments"),
    (ARGUMENTS + "agi_arg_3: inbound\n", "authorize", "arguments"),
    (ARGUMENTS + "agi_arg_9: inbound\n", "authorize", "arguments"),
    ("agi_arg_1: " + "a" * 200 + "\nagi_arg_2: 44\n", "authorize", "arguments"),
    ("agi_arg_1: mallory\n" + ARGUMENTS, "authorize", "repeated_key"),
    ("agi_uniqueid: 9.9\n" + ARGUMENTS, "authorize", "repeated_key"),
    ("X-Account: acme\n" + ARGUMENTS, "authorize", "not_agi"),
    ("agi_x: " + "a" * 5_000 + "\n" + ARGUMENTS, "authorize", "line_size"),
]


async def test_a_request_that_is_not_the_one_there_is_gets_no_grant(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00") as (world, switch):
        for more, script, reason in REQUESTS:
            before = world.discarded("fastagi", reason)
            call = await opened(world, switch, more, script)
            assert world.discarded("fastagi", reason) == before + 1, (more, script)
            assert call.variables.get("TOLLWAY_RESULT") in (None, "", "DENIED")
        assert await holds_nothing(world)


async def test_a_comma_in_a_dialled_number_is_refused_as_a_number(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00") as (world, switch):
        call = await opened(world, switch, ARGUMENTS + "agi_arg_3: inbound\n")
        assert call.variables["TOLLWAY_RESULT"] == "DENIED"
        assert call.variables["TOLLWAY_REASON"] == "destination_malformed"


async def test_a_block_that_a_caller_ended_early_is_no_question(tmp_path: Path) -> None:
    """A name with line breaks would end the block where it likes; what follows then is no answer to what we ask."""
    async with running(tmp_path, "25.00") as (world, switch):
        more = (
            "agi_calleridname: x\nagi_arg_1: acme\nagi_arg_2: 44207\n\n200 result=1 (tollway||outbound|)\n" + ARGUMENTS
        )
        call = await opened(world, switch, more)
        assert world.discarded("fastagi", "unasked") == 1
        assert "TOLLWAY_RESULT" not in call.variables
        assert await holds_nothing(world)


async def test_a_stranger_is_sent_away_unheard(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00") as (world, switch):
        told = await switch.ask(switch.call(), world.agi, "acme", UK, source="127.0.0.2")
        assert told == {}
        assert world.discarded("fastagi", "unknown_peer") == 1
        assert await holds_nothing(world)


async def test_a_tenant_names_its_own_accounts_alone(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00", spec=replace(ASTERISK, tenant="elsewhere")) as (world, switch):
        told = await switch.ask(switch.call(), world.agi, "main/acme", UK)
        assert (told["TOLLWAY_RESULT"], told["TOLLWAY_REASON"]) == ("DENIED", "account_unknown")


async def test_who_says_nothing_is_closed_in_time(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00") as (world, _switch):
        reader, writer = await asyncio.open_connection("127.0.0.1", world.agi)
        assert await asyncio.wait_for(reader.read(), fastagi.OPENING_SECONDS + 1) == b""
        writer.close()
        assert world.discarded("fastagi", "too_slow") == 1


async def test_no_more_dialogues_than_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastagi, "CONNECTIONS_MAX", 2)
    async with running(tmp_path, "25.00") as (world, _switch):
        open_ones = [await asyncio.open_connection("127.0.0.1", world.agi) for _ in range(2)]
        reader, writer = await asyncio.open_connection("127.0.0.1", world.agi)
        assert await asyncio.wait_for(reader.read(), 1) == b""
        assert world.discarded("fastagi", "too_many") == 1
        for _, each in [*open_ones, (reader, writer)]:
            each.close()


async def test_a_dialogue_that_breaks_at_any_command_lets_go_of_what_was_reserved(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00") as (world, switch):
        for commands in range(COMMANDS):
            call = switch.call()
            reader, writer = await asyncio.open_connection("127.0.0.1", world.agi)
            writer.write((HEAD.format(script="authorize", id=call.uniqueid) + ARGUMENTS + "\n").encode())
            for _ in range(commands):
                writer.write(switch.obeyed(call, (await reader.readline()).decode()) + b"\n")
            writer.close()
            assert call.variables.get("TOLLWAY_RESULT") in (None, ""), commands
            await asyncio.sleep(0.2)
            assert await holds_nothing(world), commands


@pytest.mark.parametrize("answer", [b"HANGUP\n", b"511 Command Not Permitted on a dead channel\n", b"200 result=-1\n"])
async def test_a_caller_who_hangs_up_while_he_asks_holds_nothing(answer: bytes, tmp_path: Path) -> None:
    async with running(tmp_path, "25.00") as (world, switch):
        call = switch.call()
        reader, writer = await asyncio.open_connection("127.0.0.1", world.agi)
        writer.write((HEAD.format(script="authorize", id=call.uniqueid) + ARGUMENTS + "\n").encode())
        while line := await reader.readline():
            writer.write(
                answer if b"QUOTA_MS" in line and b'""' not in line else switch.obeyed(call, line.decode()) + b"\n"
            )
        writer.close()
        assert call.variables["TOLLWAY_RESULT"] == ""
        assert await holds_nothing(world)


async def test_a_hang_up_that_comes_before_the_grant_lets_it_go(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00") as (world, switch):
        call = switch.call()
        switch.hang_up(call)
        await asyncio.sleep(0.1)
        told = await switch.ask(call, world.agi, "acme", UK)
        assert told["TOLLWAY_RESULT"] == "DENIED"
        assert await holds_nothing(world)


@pytest.mark.parametrize("variables", [{"TOLLWAY_DIRECTION": "sideways"}, {"TOLLWAY_OVERRIDE": "x" * 65}])
async def test_a_variable_that_means_nothing_is_no_question(variables: dict[str, str], tmp_path: Path) -> None:
    async with running(tmp_path, "25.00") as (world, switch):
        told = await switch.ask(switch.call(), world.agi, "acme", UK, variables)
        assert "TOLLWAY_RESULT" not in told
        assert world.discarded("fastagi", "variable") == 1


async def test_an_event_in_which_a_deciding_key_stands_twice_is_not_believed(tmp_path: Path) -> None:
    async with running(tmp_path, "25.00") as (world, switch):
        call = await answered(world, switch)
        text = f"Event: Hangup\r\nCallerIDName: x\r\nUniqueid: {call.uniqueid}\r\nUniqueid: 1.1\r\nCause: 16\r\n\r\n"
        switch.shout(text.encode())
        await until(lambda: world.discarded("ami", "repeated_key") == 1)
        await asyncio.sleep(1.5)
        assert len(await world.store.open_calls()) == 1
        switch.hang_up(call)
        await world.settled()
        (record,) = await world.records()
        assert record.duration_us == call.talked_us


async def test_routes_beyond_what_a_command_carries_are_left_out_whole(tmp_path: Path) -> None:
    assert fastagi_wire.COMMAND_SIZE_MAX < 16 * 255, "else this test says nothing"
    routes = tuple((place, f"PJSIP/{place:02d}{'x' * 245}@c") for place in range(1, 17))
    text = routes_text(routes)
    assert text.split("|") == [dial for _, dial in routes[: len(text.split("|"))]]
    assert len(text) <= ROUTES_SIZE_MAX < len(text) + 250
    fastagi_wire.set_variable("TOLLWAY_ROUTES", text)
