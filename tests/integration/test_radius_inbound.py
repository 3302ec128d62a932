"""Calls in over RADIUS, by Debian's radclient: the called DID pays by its inbound plan, with and without a question."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from daemon.authorize.catalog import AccountKind
from daemon.charging.configuration import AccountSpec, EndpointSpec, PlanFrom, RatePlanSpec, RateTableSpec
from daemon.kernel.ids import Direction, Key
from daemon.kernel.money import NANO
from tests.decks import read_deck
from tests.integration.radius_world import World, radclient, world

DESK = Key("main", "desk")
DID, CALLER = "442079460001", "15550000000"
INWARD = "prefix,destination,rate,first_seconds,next_seconds\n442,DIDs,0.30,1,1\n"
PARTIES = {"Called-Station-Id": DID, "Calling-Station-Id": CALLER}
WORD = 'Cisco-AVPair = "tollway_direction=inbound"\n'


@asynccontextmanager
async def desk(folder: Path, profile: str = "generic", balance: int = 25, **changes: Any) -> AsyncIterator[World]:
    """Give a world with an account of a DID that pays for calls in, half of what a call out costs."""
    async with world(folder, profile, balance, **changes) as here:
        rows, errors = read_deck(INWARD, "inward.csv")
        assert not errors
        account = AccountSpec(
            "main", "desk", AccountKind.PREPAID, "USD", balance=balance * NANO, rate_plan=(PlanFrom("retail"),),
            inbound_rate_plan=(PlanFrom("inward"),), identities=(EndpointSpec(did=DID),),
        )  # fmt: skip
        specs: list[RateTableSpec | RatePlanSpec | AccountSpec] = [
            RateTableSpec("main", "inward", "USD"),
            RatePlanSpec("main", "inward", ("inward",)),
            account,
        ]
        await here.store.apply(specs, {Key("main", "inward"): rows}, who="test")
        await here.reload()
        yield here


def lines(call_id: str, *more: tuple[str, str | int], **parties: str) -> str:
    """Return the lines of a request of a call."""
    pairs = [("Acct-Session-Id", call_id), *(PARTIES | parties).items(), *more]
    return "".join(
        f'{name} = "{value}"\n' if isinstance(value, str) else f"{name} = {value}\n" for name, value in pairs
    )


async def ask(here: World, text: str) -> tuple[int, str]:
    return await radclient(here.port("auth"), "auth", text)


async def account(here: World, kind: str, text: str) -> None:
    status, printed = await radclient(here.port("acct"), "acct", f"Acct-Status-Type = {kind}\n{text}")
    assert status == 0, printed


async def told(here: World) -> Sequence[tuple[str, str, int, int]]:
    """Return payer, direction, seconds and charge in thousandths of each record."""
    records = await here.records()
    return sorted(
        (each.account, each.direction.value, each.billed_seconds or 0, each.charge // 1_000_000) for each in records
    )


async def stands(here: World, key: Key) -> tuple[int, int, int]:
    """Return the money held by an account in thousandths, and its channels in and out."""
    number = here.catalog().accounts[key].number
    rows = await here.store.rows("SELECT reserved, channels_in, channels_out FROM account WHERE number = ?", (number,))
    reserved, inward, outward = rows[0]
    return int(reserved) // 1_000_000, int(inward), int(outward)


@pytest.mark.parametrize(
    ("profile", "changes", "more"),
    [
        ("generic", {"direction": Direction.INBOUND}, ""),
        ("generic", {}, WORD),
        ("cisco", {"inbound_from": ("telephony",)},
         'h323-call-origin = "h323-call-origin=answer"\nh323-call-type = "h323-call-type=Telephony"\n'),
        ("audiocodes", {"inbound_from": ("voip",)}, 'h323-call-origin = "answer"\nh323-call-type = "VoIP"\n'),
    ],
)  # fmt: skip
async def test_a_whole_call_in(tmp_path: Path, profile: str, changes: dict[str, Any], more: str) -> None:
    async with desk(tmp_path, profile, balance=1, **changes) as here:
        status, printed = await ask(here, lines("in-1") + more)
        assert status == 0, printed
        assert "Session-Timeout = 200" in printed
        assert await stands(here, DESK) == (1_000, 1, 0)
        await account(here, "Start", lines("in-1") + more)
        here.wait(60)
        await account(here, "Interim-Update", lines("in-1", ("Acct-Session-Time", 60)) + more)
        here.wait(40)
        for _ in range(2):
            await account(here, "Stop", lines("in-1", ("Acct-Session-Time", 100)) + more)
        assert await told(here) == [("desk", "inbound", 100, 500)]
        assert await stands(here, DESK) == (0, 0, 0)
        assert await here.exceptions() == []


async def test_records_that_do_not_tell_the_direction_join_the_call_in(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        assert (await ask(here, lines("in-2") + WORD))[0] == 0
        await account(here, "Start", lines("in-2"))
        here.wait(30)
        await account(here, "Stop", lines("in-2", ("Acct-Session-Time", 30)))
        assert await told(here) == [("desk", "inbound", 30, 150)]
        assert await here.exceptions() == []


async def test_a_call_in_that_nobody_asked_about_is_charged_to_its_did_and_listed(tmp_path: Path) -> None:
    async with desk(tmp_path, direction=Direction.INBOUND) as here:
        await account(here, "Start", lines("in-3"))
        here.wait(20)
        await account(here, "Stop", lines("in-3", ("Acct-Session-Time", 20)))
        await account(here, "Stop", lines("in-4", ("Acct-Session-Time", 10)))
        assert await told(here) == [("desk", "inbound", 10, 50), ("desk", "inbound", 20, 100)]
        assert await here.exceptions() == ["unauthorised", "unauthorised"]
        stray = lines("in-5", ("Acct-Session-Time", 10), **{"Called-Station-Id": "442079469999", "User-Name": "alice"})
        await account(here, "Stop", stray)
        (item,) = [each for each in await here.store.exceptions() if each["kind"] == "no_account"]
        assert "state the called number as a did of an account" in str(item["detail"])


async def test_the_end_of_asterisk_alone_is_charged_by_its_context(tmp_path: Path) -> None:
    async with desk(tmp_path, "asterisk", inbound_from=("from-trunk",)) as here:
        text = 'Acct-Session-Id = "1700000000.1"\nAsterisk-Src = "15550000000"\nUser-Name = "PJSIP/carrier-00000001"\n'
        text += f'Asterisk-Dst = "{DID}"\nAsterisk-Bill-Sec = 12\n'
        await account(here, "Stop", text + 'Asterisk-Dst-Ctx = "From-Trunk"\n')
        assert await told(here) == [("desk", "inbound", 12, 60)]
        await account(here, "Stop", text.replace("0.1", "0.2") + 'Asterisk-Dst-Ctx = "from-internal"\n')
        assert await told(here) == [("desk", "inbound", 12, 60)]  # nobody has that channel's name
        assert await here.exceptions() == ["no_account", "unauthorised"]


async def test_refusals_of_calls_in(tmp_path: Path) -> None:
    async with desk(tmp_path, balance=0, direction=Direction.INBOUND) as here:
        for number, word in ((DID, "balance_insufficient"), ("442079469999", "account_unknown")):
            status, printed = await ask(here, lines("in-6", **{"Called-Station-Id": number}))
            assert (status, f'Reply-Message = "{word}"' in printed) == (1, True), printed
        assert await stands(here, DESK) == (0, 0, 0)


@pytest.mark.parametrize(("changes", "more"), [({"both_sides": True}, ""), ({}, "tollway_both_sides=true")])
async def test_one_question_of_a_call_on_net_holds_and_charges_both(
    tmp_path: Path, changes: dict[str, Any], more: str
) -> None:
    async with desk(tmp_path, balance=1, **changes) as here:
        asked = lines("on-net", ("User-Name", "alice"), ("User-Password", "hello"))
        status, printed = await ask(here, asked + (f'Cisco-AVPair = "{more}"\n' if more else ""))
        assert status == 0, printed
        assert "Session-Timeout = 100" in printed  # what alice can pay; the called side could pay 200
        assert await stands(here, Key("main", "acme")) == (1_000, 0, 1)
        assert await stands(here, DESK) == (500, 1, 0)
        await account(here, "Start", lines("on-net"))
        here.wait(40)
        for _ in range(2):
            await account(here, "Stop", lines("on-net", ("Acct-Session-Time", 40)))
        assert await told(here) == [("acme", "outbound", 40, 400), ("desk", "inbound", 40, 200)]
        assert await stands(here, DESK) == await stands(here, Key("main", "acme")) == (0, 0, 0)
        assert await here.exceptions() == []


async def test_a_called_side_that_cannot_pay_refuses_both(tmp_path: Path) -> None:
    async with desk(tmp_path, balance=1, both_sides=True) as here:
        number = here.catalog().accounts[DESK].number
        await here.store.administer(
            lambda connection: connection.execute("UPDATE account SET balance = 0 WHERE number = ?", (number,))
        )
        status, printed = await ask(here, lines("on-net", ("User-Name", "alice"), ("User-Password", "hello")))
        assert (status, 'Reply-Message = "balance_insufficient"' in printed) == (1, True), printed
        assert await stands(here, DESK) == await stands(here, Key("main", "acme")) == (0, 0, 0)


async def test_legs_that_each_ask_charge_each_their_own_side(tmp_path: Path) -> None:
    async with desk(tmp_path, balance=1) as here:
        assert (await ask(here, lines("one-id", ("User-Name", "alice"), ("User-Password", "hello"))))[0] == 0
        assert (await ask(here, lines("one-id") + WORD))[0] == 0
        for kind, more in (("Start", ()), ("Stop", (("Acct-Session-Time", 20),))):
            await account(here, kind, lines("one-id", *more))
            await account(here, kind, lines("one-id", *more) + WORD)
            here.wait(20)
        assert await told(here) == [("acme", "outbound", 20, 200), ("desk", "inbound", 20, 100)]
        assert await here.exceptions() == []
