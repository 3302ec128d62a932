"""Vouchers in the real store, on both engines: made, redeemed once, refused and counted, blocked, and checked."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from daemon.authorize.catalog import Status
from daemon.charging.voucher import (
    ACCOUNT_FAILURES_MAX,
    BATCH_SIZE_MAX,
    TOKEN_FAILURES_MAX,
    Fault,
    NotRedeemed,
    Redeemed,
    VoucherTerms,
)
from daemon.kernel.ids import Key
from daemon.kernel.instant import DAY
from daemon.kernel.money import NANO
from daemon.ledger.bucket import BucketKind
from daemon.ledger.voucher_code import code_of, typed
from daemon.store import vouchers
from daemon.store.check import check_store
from daemon.store.objects import Refused
from tests.integration.store_world import ACME, RITA, START, World, opened
from tests.integration.test_store_buckets import BOBBY, HOUR, ONCE, amounts, neighbour
from tests.integration.test_store_check import broken

pytestmark = pytest.mark.usefixtures("engine")
BATCH = Key("main", "b1")
TEN = VoucherTerms(10 * NANO, "USD")


class Kept:
    """Keeps the codes in memory; ``fails`` is raised when all of them are written."""

    def __init__(self, fails: OSError | None = None) -> None:
        self.codes: list[str] = []
        self.fails = fails

    def write(self, codes: Sequence[str]) -> None:
        self.codes += codes

    def finish(self) -> None:
        if self.fails is not None:
            raise self.fails


async def made(world: World, terms: VoucherTerms = TEN, size: int = 3, batch: Key = BATCH) -> list[str]:
    kept = Kept()
    await world.store.create_vouchers(batch, size, terms, kept, who="w", reason="r", progress=lambda _done: None)
    assert [typed(code) for code in kept.codes] == kept.codes
    return kept.codes


async def redeemed(world: World, code: str, account: Key = ACME, token: str = "") -> Redeemed | NotRedeemed:
    return await world.store.redeem_voucher(account, code, token=token, who="w")


async def fault(world: World, code: str, account: Key = ACME, token: str = "") -> Fault | None:
    result = await redeemed(world, code, account, token)
    return result.fault if isinstance(result, NotRedeemed) else None


async def test_a_voucher_is_redeemed_once_and_the_same_account_hears_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await neighbour(world)
        codes = await made(world)
        first = await redeemed(world, codes[1])
        assert first == Redeemed(ACME, "b1", 2, TEN, START, repeated=False)
        world.now += HOUR
        assert await redeemed(world, codes[1]) == Redeemed(ACME, "b1", 2, TEN, START, repeated=True)
        assert await redeemed(world, codes[1], BOBBY) == NotRedeemed(Fault.USED, "b1", 2)
        assert (await amounts(world))[""] == 35 * NANO
        entry = (await world.store.entries(ACME))[-1]
        assert (entry["kind"], entry["key"], entry["reason"]) == ("voucher", "voucher:b1:2", "voucher b1, serial 2")
        assert await check_store(world.store) == []


async def test_no_code_is_anywhere_in_the_store(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        codes = await made(world)
        await redeemed(world, codes[0])
        for table in ("voucher", "voucher_batch", "voucher_failure", "entry", "audit"):
            text = repr(await world.store.rows(f"SELECT * FROM {table}"))
            assert not any(code in text for code in codes)


async def test_each_reason_is_for_the_operator(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await neighbour(world)
        codes = await made(world, VoucherTerms(10 * NANO, "USD", expires_at=START + HOUR))
        euros = await made(world, VoucherTerms(10 * NANO, "EUR"), 1, Key("main", "b2"))
        assert await fault(world, code_of(7)) is Fault.UNKNOWN
        assert await fault(world, codes[0], RITA) is Fault.TENANT
        assert await fault(world, euros[0]) is Fault.CURRENCY
        assert await world.store.block_vouchers(BATCH, (1, 1), who="w", reason="lost") == 1
        assert await fault(world, codes[0]) is Fault.BLOCKED
        world.now += HOUR
        assert await fault(world, codes[1]) is Fault.EXPIRED
        assert await world.store.block_vouchers(BATCH, None, who="w", reason="stolen") == 2
        assert await world.store.block_vouchers(BATCH, None, who="w", reason="stolen") == 0
        assert await fault(world, codes[1]) is Fault.BLOCKED
        reasons = [(row["reason"], row["batch"], row["serial"]) for row in await world.store.voucher_failures(99)]
        assert reasons == [
            ("unknown", "", 0), ("tenant", "b1", 1), ("currency", "b2", 1), ("blocked", "b1", 1), ("expired", "b1", 2),
            ("blocked", "b1", 2),
        ]  # fmt: skip
        acts = [change["act"] for change in await world.store.changes_of("voucher_batch", BATCH)]
        assert acts == ["create", "block", "block"]
        assert (await world.store.voucher_batches(BATCH))[0]["blocked"] == 1
        with pytest.raises(Refused, match="no batch"):
            await world.store.block_vouchers(Key("ray", "b1"), None, who="w", reason="r")


async def test_whoever_tries_too_many_waits_an_hour(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await neighbour(world)
        codes = await made(world)
        for number in range(ACCOUNT_FAILURES_MAX):
            assert await fault(world, code_of(number), token="main/shop") is Fault.UNKNOWN
        assert await fault(world, codes[0], token="main/other") is Fault.LIMITED
        assert await fault(world, codes[0], BOBBY, token="main/shop") is None
        assert await fault(world, codes[1]) is None  # a person at the terminal is not limited
        world.now += HOUR
        assert await fault(world, codes[2], token="main/shop") is None


async def test_a_token_is_counted_whatever_the_account(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        codes = await made(world)
        rows = f"({START}, {{account}}, 'main/shop', 'unknown', '', 0)"
        view = await world.store.account_view(RITA)
        assert view is not None
        many = ", ".join([rows.format(account=view.standing.account)] * TOKEN_FAILURES_MAX)
        insert = f"INSERT INTO voucher_failure (at, account, token, reason, batch, serial) VALUES {many}"
        await world.store.administer(lambda link: link.execute(insert).rowcount)
        assert await fault(world, codes[0], token="main/shop") is Fault.LIMITED
        assert await fault(world, codes[0], token="main/other") is None
        world.now += 31 * DAY
        assert await fault(world, code_of(3)) is Fault.UNKNOWN  # and two old ones leave
        assert len(await world.store.voucher_failures(999)) == TOKEN_FAILURES_MAX + 1 - 2


async def test_money_goes_into_a_bucket_named_after_its_last_day(tmp_path: Path) -> None:
    terms = VoucherTerms(NANO, "USD", bucket="promo", bucket_kind=BucketKind.PROMOTIONAL, bucket_days=30)
    async with opened(tmp_path) as world:
        codes = await made(world, terms)
        await redeemed(world, codes[0])
        await redeemed(world, codes[1])
        world.now += DAY
        await redeemed(world, codes[2])
        view = await world.store.account_view(ACME)
        assert view is not None
        told = [(each.id, each.kind, each.expires_at, each.amount) for each in view.standing.buckets]
        ends = (START // DAY + 31) * DAY
        assert told == [
            ("promo-20261021", BucketKind.PROMOTIONAL, ends, 2 * NANO),
            ("promo-20261022", BucketKind.PROMOTIONAL, ends + DAY, NANO),
        ]
        assert await check_store(world.store) == []


async def test_units_go_to_the_bundle_and_an_account_without_it_keeps_the_voucher(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await neighbour(world)
        with pytest.raises(Refused, match="no bundle"):
            await made(world, VoucherTerms(units=60, bundle="extra"))
        await world.store.create_object(ONCE, who="w", reason="r")
        codes = await made(world, VoucherTerms(units=60, bundle="extra"))
        assert await redeemed(world, codes[0], BOBBY) == NotRedeemed(
            Fault.ACCOUNT, detail="account main/bobby has no bundle extra"
        )
        assert isinstance(await redeemed(world, codes[0]), Redeemed)
        view = await world.store.account_view(ACME)
        assert view is not None
        assert [units.left for units in await world.store.units_of(view)] == [60]
        taken: dict[str, str] = {"key": "voucher:b1:2", "who": "w", "reason": "r"}
        assert not await world.store.give_units(ACME, "extra", 60, None, **taken)
        assert await fault(world, codes[1]) is Fault.ACCOUNT, "its name was used by a person: it stays good"
        assert [units.left for units in await world.store.units_of(view)] == [120]
        assert await check_store(world.store) == []


async def test_a_closed_account_and_a_name_that_was_used_get_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        codes = await made(world)
        with pytest.raises(Refused, match="already"):
            await made(world)
        with pytest.raises(Refused, match="no tenant"):
            await made(world, batch=Key("nobody", "b"))
        assert await fault(world, codes[0], Key("main", "nobody")) is Fault.ACCOUNT
        await world.store.set_status(ACME, Status.CLOSED, who="w", reason="r")
        assert await fault(world, codes[0]) is Fault.ACCOUNT
        assert (await world.store.voucher_batches())[0]["redeemed"] == 0


@pytest.mark.parametrize(
    ("size", "terms"),
    [
        (0, TEN), (BATCH_SIZE_MAX + 1, TEN), (1, VoucherTerms()), (1, VoucherTerms(-1, "USD")),
        (1, VoucherTerms(1, "USD", units=1, bundle="b")), (1, VoucherTerms(1, "USD", bucket_days=1)),
        (1, VoucherTerms(1, "USD", bucket="b" * 60)), (1, VoucherTerms(1, "USD", expires_at=START)),
    ],
)  # fmt: skip
async def test_terms_that_make_no_sense_are_refused(tmp_path: Path, size: int, terms: VoucherTerms) -> None:
    async with opened(tmp_path) as world:
        with pytest.raises(Refused):
            await made(world, terms, size)
        assert await world.store.voucher_batches() == []


async def test_what_an_interrupted_run_left_is_worthless_and_gives_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vouchers, "PIECE", 2)
    async with opened(tmp_path) as world:
        kept = Kept(OSError("the disk is full"))
        with pytest.raises(OSError, match="full"):
            await world.store.create_vouchers(BATCH, 5, TEN, kept, who="w", reason="r", progress=lambda _done: None)
        assert len(kept.codes) == 5
        assert await fault(world, kept.codes[0]) is Fault.UNKNOWN
        assert (await world.store.voucher_batches())[0]["is_published"] == 0
        codes = await made(world, size=5)
        assert await fault(world, kept.codes[0]) is Fault.UNKNOWN
        assert await fault(world, codes[4]) is None
        assert await check_store(world.store) == []


async def test_of_two_that_make_one_batch_at_once_one_is_void(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        for name in (f"race-{number}" for number in range(12)):  # each time they meet elsewhere
            batch = Key("main", name)
            both = await asyncio.gather(
                made(world, batch=batch), made(world, batch=batch), return_exceptions=True,
            )  # fmt: skip
            codes = [each for each in both if isinstance(each, list)]
            assert len(codes) == 1, both
            assert await fault(world, codes[0][0]) is None
        assert await check_store(world.store) == []


async def test_a_batch_is_told_a_page_at_a_time(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        codes = await made(world)
        await redeemed(world, codes[2])
        rows: list[Any] = []
        await world.store.voucher_rows(BATCH, rows.extend)
        assert [tuple(row) for row in rows] == [
            (1, 0, 0, None, None), (2, 0, 0, None, None), (3, 0, START, "main", "acme"),
        ]  # fmt: skip
        assert await world.store.voucher(BATCH, 4) is None
        one = await world.store.voucher(BATCH, 3)
        assert one is not None
        assert one["account"] == "acme"


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE voucher SET account = NULL, redeemed_at = 0 WHERE serial = 1", ["account {acme}"]),
        ("DELETE FROM entry WHERE kind = 'voucher'", ["main/b1 serial 1"]),
        ("UPDATE entry SET key = 'voucher:b1:3' WHERE kind = 'voucher'", ["main/b1 serial 1", "account {acme}"]),
        ("DELETE FROM unit_grant WHERE key = 'voucher:b2:1'", ["main/b2 serial 1"]),
        ("DELETE FROM voucher WHERE serial = 3", ["main/b1"]),
        ("UPDATE voucher_batch SET is_published = 0 WHERE id = 'b1'", ["main/b1"]),
    ],
)
async def test_each_invariant_of_vouchers_is_looked_at(tmp_path: Path, statement: str, found: list[str]) -> None:
    async with opened(tmp_path) as world:
        await world.store.create_object(ONCE, who="w", reason="r")
        await redeemed(world, (await made(world))[0])
        units = VoucherTerms(units=60, bundle="extra")
        await redeemed(world, (await made(world, units, 1, Key("main", "b2")))[0])
        view = await world.store.account_view(ACME)
        assert view is not None
        acme = view.standing.account
    named = [subject for invariant, subject in await broken(tmp_path, statement) if invariant == "vouchers"]
    assert named == [each.format(acme=acme) for each in found]
