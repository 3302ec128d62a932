"""Whatever order, loss or repetition UDP makes of a call's records, it is charged once, for its own seconds."""

import itertools
from pathlib import Path

import pytest

from daemon.charging.call import CallState
from daemon.kernel.instant import SECOND
from daemon.kernel.money import NANO
from tests.integration.radius_world import START, Pairs, World, access, accounting, read, socket, world

pytestmark = pytest.mark.virtual_time

CALL = [("User-Name", "alice"), ("Called-Station-Id", "442079460000")]
QUESTION = [*CALL, ("User-Password", "hello"), ("Acct-Session-Id", "s-1")]
CHARGE = 900_000_000  # 90 seconds at 0.60 a minute


def _generic(kind: str) -> Pairs:
    session = [("Acct-Status-Type", kind), *CALL, ("Acct-Session-Id", "s-1")]
    stamp = {"Start": 10, "Interim-Update": 70, "Stop": 100}[kind]
    seconds = {"Start": [], "Interim-Update": [("Acct-Session-Time", "60")], "Stop": [("Acct-Session-Time", "90")]}
    return [*session, ("Event-Timestamp", str(START // SECOND + stamp)), *seconds[kind]]


def _kamailio(kind: str) -> Pairs:
    method = {"Start": "1", "Interim-Update": "1", "Stop": "8"}[kind]
    stamp = {"Start": 10, "Interim-Update": 70, "Stop": 100}[kind]
    return [
        ("Acct-Status-Type", kind),
        *CALL,
        ("Acct-Session-Id", "s-1"),
        ("Sip-Method", method),
        ("Event-Timestamp", str(START // SECOND + stamp)),
    ]


async def _told(here: World, records: list[bytes]) -> None:
    async with socket() as switch:
        for record in records:
            assert read(await switch.ask(record, here.port("acct"))).code == 5


@pytest.mark.parametrize("asked", [True, False], ids=["granted", "unasked"])
@pytest.mark.parametrize("order", list(itertools.permutations(("Start", "Interim-Update", "Stop"))), ids="-".join)
async def test_any_order_charges_the_call_once(tmp_path: Path, order: tuple[str, ...], asked: bool) -> None:
    async with world(tmp_path) as here:
        if asked:
            async with socket() as switch:
                assert read(await switch.ask(access(QUESTION), here.port("auth"))).code == 2
        here.wait(100)
        packets = [accounting(_generic(kind), number) for number, kind in enumerate(order)]
        await _told(here, packets)
        here.wait(60)
        await _told(here, packets)
        assert [record.charge for record in await here.records()] == [CHARGE]
        assert await here.balance() == (25 * NANO - CHARGE, 0, 0)
        call = await here.only_call()
        assert call.state is CallState.SETTLED
        assert call.authorised is asked
        assert await here.exceptions() == ([] if asked else ["unauthorised"])


@pytest.mark.parametrize("order", [("Start", "Stop"), ("Stop", "Start"), ("Start", "Stop", "Start")], ids="-".join)
async def test_a_proxy_without_durations_is_charged_by_its_own_clock(tmp_path: Path, order: tuple[str, ...]) -> None:
    async with world(tmp_path, "kamailio") as here:
        async with socket() as switch:
            await switch.ask(access(QUESTION, profile="kamailio"), here.port("auth"))
        here.wait(100)
        await _told(here, [accounting(_kamailio(kind), n, "kamailio") for n, kind in enumerate(order)])
        (record,) = await here.records()
        assert (record.charge, record.duration_us) == (CHARGE, 90 * SECOND)
        assert (record.answered_at, record.ended_at) == (START + 10 * SECOND, START + 100 * SECOND)
        assert await here.balance() == (25 * NANO - CHARGE, 0, 0)


async def test_an_end_whose_answer_never_came_is_listed(tmp_path: Path) -> None:
    async with world(tmp_path, "kamailio") as here:
        async with socket() as switch:
            await switch.ask(access(QUESTION, profile="kamailio"), here.port("auth"))
        here.wait(100)
        await _told(here, [accounting(_kamailio("Stop"), 1, "kamailio")])
        assert await here.exceptions() == ["duration_unknown"]
        assert await here.balance() == (25 * NANO, 0, 0)


async def test_a_cancel_ends_a_call_that_nobody_answered(tmp_path: Path) -> None:
    async with world(tmp_path, "kamailio") as here:
        async with socket() as switch:
            await switch.ask(access(QUESTION, profile="kamailio"), here.port("auth"))
        cancel = [pair if pair[0] != "Sip-Method" else ("Sip-Method", "2") for pair in _kamailio("Stop")]
        await _told(here, [accounting(cancel, 1, "kamailio")])
        assert (await here.only_call()).state is CallState.VOIDED
        assert await here.balance() == (25 * NANO, 0, 0)
        assert await here.exceptions() == []


async def test_a_failed_call_frees_its_money_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        async with socket() as switch:
            await switch.ask(access(QUESTION), here.port("auth"))
        assert await here.balance() == (25 * NANO, 25 * NANO, 1)
        failed = [("Acct-Status-Type", "Failed"), *CALL, ("Acct-Session-Id", "s-1")]
        await _told(here, [accounting(failed)])
        assert await here.balance() == (25 * NANO, 0, 0)
        assert await here.records() == []


async def test_a_stop_of_zero_seconds_was_never_answered(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        async with socket() as switch:
            await switch.ask(access(QUESTION), here.port("auth"))
        stop = [("Acct-Status-Type", "Stop"), *CALL, ("Acct-Session-Id", "s-1"), ("Acct-Session-Time", "0")]
        await _told(here, [accounting(stop)])
        assert await here.balance() == (25 * NANO, 0, 0)
        assert (await here.only_call()).state is CallState.VOIDED


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ([("h323-conf-id", "h323-conf-id=8c1f1e9a 3A524D0B 9F1A2A4B D2D9B4F7")],
         [("Acct-Session-Id", "0000004F"), ("Cisco-AVPair", "h323-conf-id=8C1F1E9A 3A524D0B 9F1A2A4B D2D9B4F7")]),
        ([("Cisco-AVPair", "call-id=abc@host")], [("Acct-Session-Id", "77"), ("call-id", "abc@host")]),
        ([("Cisco-AVPair", "call-id=abc@host")], [("Acct-Session-Id", "abc@host")]),
        ([], [("Acct-Session-Id", "77"), ("Class", "")]),
        ([], [("Acct-Session-Id", "77"), ("Calling-Station-Id", "18005551212")]),
        ([("Calling-Station-Id", "18005551212")], [("Acct-Session-Id", "77"), ("Calling-Station-Id", "18005551212")]),
    ],
    ids=["conf-id", "call-id", "call-id is the session", "class", "parties but the caller", "parties"],
)  # fmt: skip
async def test_a_record_finds_its_grant(tmp_path: Path, asked: Pairs, told: Pairs) -> None:
    async with world(tmp_path) as here:
        async with socket() as switch:
            grant = read(await switch.ask(access([*QUESTION[:-1], *asked]), here.port("auth"))).first(25)
        assert grant is not None
        described = [("Class", "0x" + grant.hex()) if pair[0] == "Class" else pair for pair in told]
        parties = [] if ("Class", "") in told else CALL
        begin = [("Acct-Status-Type", "Start"), *parties, *described]
        here.wait(5)
        await _told(here, [accounting(begin, 1)])
        call = await here.only_call()
        assert (call.state, call.grant_id) == (CallState.ANSWERED, grant.decode())
        here.wait(90)
        end = [("Acct-Status-Type", "Stop"), *parties, *described, ("Acct-Session-Time", "90")]
        await _told(here, [accounting(end, 2)])
        assert [record.charge for record in await here.records()] == [CHARGE]
        assert await here.exceptions() == []


async def test_a_second_call_of_the_same_parties_is_never_taken_for_the_first(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        async with socket() as switch:
            await switch.ask(access(QUESTION[:-1]), here.port("auth"))
        for number in (1, 2):
            here.wait(100)
            stop = [("Acct-Status-Type", "Stop"), *CALL, ("Acct-Session-Id", f"c{number}"), ("Acct-Session-Time", "90")]
            await _told(here, [accounting(stop, number)])
        assert [record.charge for record in await here.records()] == [CHARGE, CHARGE]
        assert await here.exceptions() == ["unauthorised"]


async def test_a_class_of_another_tenants_grant_is_not_believed(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        async with socket() as switch:
            grant = read(await switch.ask(access(QUESTION), here.port("auth"))).first(25)
        assert grant is not None
        here.clients = [*here.clients]
        here.clients[0] = type(here.clients[0])("gw9", "elsewhere", "127.0.0.1", "loopback-secret")
        stop = [("Acct-Status-Type", "Stop"), ("Acct-Session-Id", "x"), ("Acct-Session-Time", "90"),
                ("Called-Station-Id", "442079460000"), ("Class", "0x" + grant.hex())]  # fmt: skip
        await _told(here, [accounting(stop)])
        assert await here.records() == []
        assert await here.exceptions() == ["no_account"]


async def test_a_reboot_settles_what_began_before_it_at_its_last_proof_of_life(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        async with socket() as switch:
            for name in ("ringing", "talking", "started"):
                asked = [*CALL, ("User-Password", "hello"), ("Acct-Session-Id", name)]
                here.clients = [*here.clients]
                await switch.ask(access(asked), here.port("auth"))
                if name != "ringing":
                    begin = [("Acct-Status-Type", "Start"), *CALL, ("Acct-Session-Id", name)]
                    await switch.ask(accounting(begin), here.port("acct"))
                await _let_go_of_half(here, name)
            here.wait(60)
            alive = [("Acct-Status-Type", "Interim-Update"), *CALL, ("Acct-Session-Id", "talking")]
            await switch.ask(accounting([*alive, ("Acct-Session-Time", "60")]), here.port("acct"))
            here.wait(30)
            boot = accounting([("Acct-Status-Type", "Accounting-On"), ("NAS-Identifier", "gw1")], 9)
            acknowledged = await switch.ask(boot, here.port("acct"))
            here.wait(20)
            assert await switch.ask(boot, here.port("acct")) == acknowledged
        records = {record.call_id: record for record in await here.records()}
        assert {name: (r.billed_seconds, r.settled_by) for name, r in records.items()} == {
            "talking": (60, "nas_reboot"),
            "started": (1, "nas_reboot"),
        }
        assert (await here.balance())[1:] == (0, 0)
        stop = [("Acct-Status-Type", "Stop"), *CALL, ("Acct-Session-Id", "talking"), ("Acct-Session-Time", "75")]
        await _told(here, [accounting(stop, 11)])  # a late Stop charges right, by reversing the estimate
        assert await here.charged() == 750_000_000 + 10_000_000


async def _let_go_of_half(here: World, name: str) -> None:
    """Give the account more money, since a grant on this road holds all there is."""
    number = here.catalog().accounts[next(iter(here.catalog().accounts))].number
    await here.store.administer(
        lambda connection: connection.execute(
            "UPDATE account SET balance = balance + 25000000000 WHERE number = ?", (number,)
        )
    )


async def test_a_call_that_began_after_the_reboot_stays(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.wait(60)
        async with socket() as switch:
            await switch.ask(access(QUESTION), here.port("auth"))
            on = [("Acct-Status-Type", "Accounting-On"), ("Event-Timestamp", str(START // SECOND + 30))]
            await switch.ask(accounting(on), here.port("acct"))
            assert (await here.only_call()).state is CallState.GRANTED
            off = [("Acct-Status-Type", "Accounting-Off"), ("Acct-Delay-Time", "30")]
            here.wait(10)
            await switch.ask(accounting(off), here.port("acct"))
            assert (await here.only_call()).state is CallState.GRANTED
            here.wait(30)
            await switch.ask(accounting(off, 2), here.port("acct"))
            assert (await here.only_call()).state is CallState.VOIDED


async def test_one_gateway_of_a_network_speaks_for_itself_alone(tmp_path: Path) -> None:
    async with world(tmp_path, address="127.0.0.0/8") as here, socket() as switch:
        await switch.ask(access(QUESTION), here.port("auth"))
        here.wait(60)
        boot = accounting([("Acct-Status-Type", "Accounting-On"), ("NAS-Identifier", "another")])
        assert read(await switch.ask(boot, here.port("acct"))).code == 5
        assert (await here.only_call()).state is CallState.GRANTED
