"""Vouchers over HTTP: a code becomes money once, the outside hears one answer, and whoever guesses has to wait."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from daemon.authorize.catalog import Status
from daemon.charging.voucher import ACCOUNT_FAILURES_MAX, VoucherTerms
from daemon.kernel.ids import Key
from daemon.kernel.money import NANO
from daemon.ledger.voucher_code import code_of, printed
from tests.integration.test_store_vouchers import BATCH, Kept
from tests.unit.http_api.http_world import HttpWorld, good, http_world, refused

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HttpWorld]:
    async with http_world(tmp_path) as made:
        yield made


async def codes(world: HttpWorld, amount: str = "USD", batch: Key = BATCH) -> list[str]:
    kept, terms = Kept(), VoucherTerms(10 * NANO, amount)
    await world.store.create_vouchers(batch, 3, terms, kept, who="w", reason="r", progress=lambda _done: None)
    return kept.codes


async def redeem(world: HttpWorld, code: Any, account: str = "alice", token: str = "billing") -> httpx.Response:
    return await world.post(f"/v1/accounts/{account}/vouchers", {"code": code}, token)


async def test_a_code_brings_its_money_once_and_the_same_answer_again(world: HttpWorld) -> None:
    made, before = await codes(world), (await world.standing()).balance
    first = await redeem(world, printed(made[1]).lower())
    assert {**good(first), "redeemed_at": ""} == {
        "account": "alice", "tenant": "main", "batch": "b1", "serial": 2, "amount": "10.00", "currency": "USD",
        "units": 0, "bundle": "", "redeemed_at": "",
    }  # fmt: skip
    world.wait(60)
    assert (await redeem(world, made[1])).content == first.content
    assert (await world.standing()).balance == before + 10 * NANO


async def test_every_wrong_code_gets_one_answer_and_the_log_has_the_reason(world: HttpWorld) -> None:
    made, foreign = await codes(world), await codes(world, batch=Key("ray", "b1"))
    euros = await codes(world, "EUR", Key("main", "b2"))
    good(await redeem(world, made[0], "rich"))
    await world.store.block_vouchers(BATCH, (2, 2), who="w", reason="lost")
    with structlog.testing.capture_logs() as logs:
        answers = [await redeem(world, each) for each in (code_of(5), made[0], made[1], foreign[0], euros[0])]
    assert {(answer.status_code, answer.content) for answer in answers} == {(422, answers[0].content)}
    assert refused(answers[0]) == (422, "voucher_refused")
    assert [line["reason"] for line in logs] == ["unknown", "used", "blocked", "tenant", "currency"]
    told = repr(logs)
    assert not any(code in told for code in (code_of(5), *made, *foreign, *euros))
    figures = (await world.send("GET", "/metrics")).text
    assert 'tollway_vouchers_total{outcome="unknown"} 1.0' in figures


async def test_whoever_tries_too_many_codes_is_told_to_wait(world: HttpWorld) -> None:
    made = await codes(world)
    for number in range(ACCOUNT_FAILURES_MAX):
        assert (await redeem(world, code_of(number))).status_code == 422
    answer = await redeem(world, made[0])
    assert refused(answer) == (429, "too_many_codes")
    assert answer.headers["retry-after"] == "3600"
    world.wait(3600)
    good(await redeem(world, made[0]))


async def test_who_may_redeem_and_for_whom(world: HttpWorld) -> None:
    made = await codes(world, batch=Key("ray", "b1"))
    for token in ("switch", "read"):
        assert refused(await redeem(world, made[0], token=token)) == (403, "forbidden")
    assert refused(await redeem(world, made[0], "nobody")) == (404, "unknown")
    assert refused(await redeem(world, made[0], "alice", "ray-billing")) == (404, "unknown")
    assert refused(await redeem(world, made[0], "ray/rita")) == (404, "unknown"), "another tenant's customer"
    assert good(await redeem(world, made[0], "ray/rita", "ray-billing"))["tenant"] == "ray"
    assert good(await redeem(world, made[1], "rita", "ray-billing"))["serial"] == 2


@pytest.mark.parametrize("code", ["", "2" * 65, "2" * 19, "3" * 20, 5, None])
async def test_what_is_no_code_is_malformed_and_never_repeated_back(world: HttpWorld, code: Any) -> None:
    answer = await redeem(world, code)
    assert refused(answer) == (400, "malformed")
    assert "222" not in answer.text
    assert "333" not in answer.text


async def test_an_account_that_cannot_take_it_is_a_conflict_and_keeps_the_voucher(world: HttpWorld) -> None:
    made = await codes(world)
    await world.store.set_status(Key("main", "alice"), Status.CLOSED, who="w", reason="r")
    assert refused(await redeem(world, made[0])) == (409, "conflict")
    good(await redeem(world, made[0], "rich"))


async def test_an_account_shows_who_suspended_it(world: HttpWorld) -> None:
    shown = good(await world.send("GET", "/v1/accounts/alice", "read"))
    assert shown["suspended_by"] == ""
