"""Warnings before a call ends: heard once, at their second, by whom the account says, with the operator's own sound."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from daemon.authorize.catalog import AccountKind
from daemon.authorize.warning_terms import Hears
from daemon.charging.configuration import CUTOFF_TONE, LOW_BALANCE_TONE, AccountSpec, PlanFrom, TenantSpec
from daemon.charging.session import ChargingSettings
from daemon.kernel.instant import SECOND
from daemon.kernel.money import parse_nano
from daemon.store.administration import Spec
from tests.integration.esl_world import World, until
from tests.integration.test_esl_park import ended, running
from tests.integration.test_esl_sharing import DECK, UK, top_up
from tests.switch_double.double import Call, Plan, SwitchDouble

pytestmark = pytest.mark.virtual_time

SETTINGS = ChargingSettings(ring_seconds=5)
CLOSE = SECOND  # microseconds by which a warning may be late


@asynccontextmanager
async def warned(
    folder: Path, balance: str, tenant: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **terms: Any
) -> AsyncIterator[tuple[World, SwitchDouble]]:
    """Run a world whose account is warned as stated."""
    async with running(folder, balance, SETTINGS, DECK, **(spec or {})) as (world, switch):
        plans = (PlanFrom("retail"),)
        account = AccountSpec(
            "main", "acme", AccountKind.PREPAID, "USD", rate_plan=plans, inbound_rate_plan=plans, **terms
        )
        objects: list[Spec] = [TenantSpec("main", "USD", **(tenant or {})), account]
        await world.store.apply(objects, {}, who="test")
        await world.reload()
        yield world, switch


def heard(switch: SwitchDouble, call: Call) -> list[tuple[str, str, int]]:
    """Return what was played to whom on a call's leg, and at which second of it."""
    assert {channel for channel, *_ in switch.broadcasts} <= {call.a}
    return [(tone, leg, (at - call.b_answered) // SECOND) for _, tone, leg, at in switch.broadcasts]


async def test_a_call_is_warned_before_its_money_and_before_its_end(tmp_path: Path) -> None:
    async with warned(tmp_path, "0.60", low_balance_warning_seconds=30, cutoff_warning_seconds=10) as (_, switch):
        call = await ended(switch.play(Plan("acme", UK)), 100)
        assert heard(switch, call) == [(LOW_BALANCE_TONE, "aleg", 30), (CUTOFF_TONE, "aleg", 50)]
        for *_, at in switch.broadcasts:
            assert (at - call.b_answered) % SECOND <= CLOSE


@pytest.mark.parametrize(("hears", "leg"), [(Hears.CALLEE, "bleg"), (Hears.BOTH, "both")])
async def test_who_hears_it_is_the_accounts_to_say(tmp_path: Path, hears: Hears, leg: str) -> None:
    async with warned(tmp_path, "0.30", cutoff_warning_seconds=10, warn=hears) as (_, switch):
        call = await ended(switch.play(Plan("acme", UK)), 100)
        assert heard(switch, call) == [(CUTOFF_TONE, leg, 20)]


async def test_less_than_an_amount_left_is_warned_of(tmp_path: Path) -> None:
    async with warned(tmp_path, "0.60", low_balance_warning=parse_nano("0.25")) as (_, switch):
        call = await ended(switch.play(Plan("acme", UK)), 100)
        assert heard(switch, call) == [(LOW_BALANCE_TONE, "aleg", 35)]


async def test_the_tenants_terms_are_those_of_accounts_that_state_none(tmp_path: Path) -> None:
    stated = {"cutoff_warning_seconds": 12, "warn": Hears.BOTH}
    async with warned(tmp_path, "0.30", tenant=stated) as (_, switch):
        call = await ended(switch.play(Plan("acme", UK)), 100)
        assert heard(switch, call) == [(CUTOFF_TONE, "both", 18)]
    async with warned(tmp_path / "off", "0.30", tenant=stated, cutoff_warning_seconds=0) as (_, switch):
        await ended(switch.play(Plan("acme", UK)), 100)
        assert switch.broadcasts == []


async def test_the_longest_call_is_an_end_and_no_lack_of_money(tmp_path: Path) -> None:
    async with warned(
        tmp_path, "25.00", low_balance_warning_seconds=30, cutoff_warning_seconds=10, max_call_seconds=40
    ) as (_, switch):
        call = await ended(switch.play(Plan("acme", UK)), 100)
        assert heard(switch, call) == [(CUTOFF_TONE, "aleg", 30)]


async def test_money_that_comes_moves_the_warning_and_it_is_heard_again_when_that_ends(tmp_path: Path) -> None:
    async with warned(tmp_path, "0.60", low_balance_warning_seconds=30) as (world, switch):
        call = switch.play(Plan("acme", UK))
        await until(lambda: bool(switch.broadcasts), 100)
        await top_up(world, "0.60")
        await ended(call, 200)
        assert [second for *_, second in heard(switch, call)] == [30, 90]


async def test_what_is_played_is_the_switchs_and_nothing_is_silence(tmp_path: Path) -> None:
    spec = {"low_balance_tone": "", "cutoff_tone": "ivr/ivr-hangup.wav"}
    async with warned(tmp_path, "0.30", spec=spec, low_balance_warning_seconds=20, cutoff_warning_seconds=10) as (
        _,
        switch,
    ):
        call = await ended(switch.play(Plan("acme", UK, variables={"tollway_warn": "evil.wav"})), 100)
        assert heard(switch, call) == [("ivr/ivr-hangup.wav", "aleg", 20)]


async def test_calls_that_share_are_warned_of_their_common_end(tmp_path: Path) -> None:
    async with warned(tmp_path, "1.20", low_balance_warning_seconds=20) as (_, switch):
        calls = [switch.play(Plan("acme", UK)) for _ in range(3)]
        for call in calls:
            await ended(call, 100)
        ends = {call.a: call.hung_up for call in calls}
        assert len(switch.broadcasts) == 3
        for channel, _, _, at in switch.broadcasts:
            assert abs(ends[channel] - at - 20 * SECOND) <= 2 * SECOND


async def test_a_switch_that_refuses_to_play_goes_on_with_the_call(tmp_path: Path) -> None:
    async with warned(tmp_path, "0.30", cutoff_warning_seconds=10) as (world, switch):
        body = b"-ERR no such file\n"
        answer = b"Content-Type: api/response\nContent-Length: %d\n\n%s" % (len(body), body)
        switch.apis["uuid_broadcast"] = lambda _words, _text: answer
        call = await ended(switch.play(Plan("acme", UK)), 100)
        assert 30 * SECOND <= call.talked_us <= 32 * SECOND
        await world.settled()


async def test_a_daemon_that_comes_back_says_nothing_late_and_what_is_to_come(tmp_path: Path) -> None:
    async with warned(tmp_path, "0.60", low_balance_warning_seconds=50, cutoff_warning_seconds=10) as (world, switch):
        call = switch.play(Plan("acme", UK))
        await until(lambda: bool(switch.broadcasts), 100)
        await asyncio.sleep(6)
        await world.restart(switch.port)
        await ended(call, 100)
        assert [tone for tone, *_ in heard(switch, call)] == [LOW_BALANCE_TONE, CUTOFF_TONE]
