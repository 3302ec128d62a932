"""Buckets, transfers, assertions and units given once in the real store, on both engines; each invariant is broken."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.authorize.catalog import AccountKind, Status
from daemon.charging.configuration import AccountSpec, BundleSpec, PlanFrom
from daemon.charging.event import CallReport, Outcome
from daemon.kernel.ids import Key
from daemon.kernel.instant import DAY, MINUTE, SECOND
from daemon.kernel.money import NANO, NANO_MAX
from daemon.ledger.account import EntryKind
from daemon.ledger.bucket import BucketKind, Wanted
from daemon.store.account_acts import UNITS_GIVEN_MAX, KeyConflict
from daemon.store.administration import UnitsView
from daemon.store.check import check_store
from daemon.store.objects import Refused
from tests.integration.store_world import (
    ACME,
    LATER,
    RITA,
    START,
    TRUNK,
    WITHOUT_BUCKETS,
    World,
    altered,
    findings,
    opened,
)
from tests.integration.test_store_check import broken

pytestmark = pytest.mark.usefixtures("engine")

HOUR = 60 * MINUTE
BOBBY = Key("main", "bobby")
PROMO = Wanted("promo", BucketKind.PROMOTIONAL, 1, START + HOUR)
KEPT = Wanted("kept", priority=2)
ONCE = BundleSpec("main", "extra", "acme", 0, period="once", prefixes=("44",))
MONTHLY = BundleSpec("main", "uk", "acme", 60, prefixes=("44",), priority=5)


async def top_up(world: World, amount: int, wanted: Wanted | None, key: str, account: Key = ACME) -> None:
    await world.store.credit(account, EntryKind.TOP_UP, amount, key=key, who="w", reason="r", bucket=wanted)


async def amounts(world: World, account: Key = ACME) -> dict[str, int]:
    view = await world.store.account_view(account)
    assert view is not None
    return {each.id: each.amount for each in view.standing.buckets} | {"": view.standing.main}


async def neighbour(world: World, **terms: object) -> None:
    spec = AccountSpec("main", "bobby", AccountKind.PREPAID, "USD", rate_plan=(PlanFrom("retail"),), **terms)  # type: ignore[arg-type]
    await world.store.create_object(spec, who="w", reason="r")


async def lived_in(folder: Path) -> None:
    """Leave a store with a bucket, one that expired and a call holds, a transfer, an assertion and units."""
    async with opened(folder) as world:
        await neighbour(world)
        await world.store.create_object(ONCE, who="w", reason="r")
        await top_up(world, 2 * NANO, PROMO, "k1")
        await top_up(world, 3 * NANO, KEPT, "k2")
        await world.store.transfer(ACME, BOBBY, NANO, key="t", who="w", reason="r")
        await world.store.assert_balance(ACME, 29 * NANO, None, who="w", reason="r")
        await world.ask("c1", ACME)
        world.now += 2 * HOUR
        await world.store.credit(ACME, EntryKind.ADJUST, 1, key="", who="w", reason="r")
        await world.store.give_units(ACME, "extra", 60, None, key="u", who="w", reason="r")
        assert await check_store(world.store) == []


class TestMoney:
    async def test_a_call_is_paid_by_buckets_in_their_order(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world:
            await top_up(world, NANO // 2, KEPT, "k1")
            await top_up(world, NANO // 5, PROMO, "k2")
            call = await world.whole("c1", 60, ACME)
            assert await amounts(world) == {"promo": 0, "kept": NANO // 10, "": 25 * NANO}
            assert [(each.id, each.amount) for each in call.posted[0].buckets] == [
                ("promo", NANO // 5), ("kept", 2 * NANO // 5),
            ]  # fmt: skip
            entries = await world.store.entries(ACME)
            assert [(row["bucket"], row["amount"]) for row in entries if row["kind"] == "debit"] == [
                ("", 0), ("promo", -NANO // 5), ("kept", -2 * NANO // 5),
            ]  # fmt: skip
        assert await findings(tmp_path) == []

    async def test_a_call_spends_what_it_reserved_before_the_expiry(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world:
            await top_up(world, 2 * NANO, PROMO, "k")
            world.now = START + HOUR - SECOND
            await world.ask("c1", ACME)
            await world.answer("c1", ACME)
            world.now += 60 * SECOND
            await world.ocf.expire_due()
            held = await amounts(world)
            assert 0 < held["promo"] <= 2 * NANO
            await world.end("c1", 60, ACME)
            assert await amounts(world) == {"": 25 * NANO}
            entries = await world.store.entries(ACME)
            moved = [(row["kind"], row["amount"]) for row in entries if row["bucket"] == "promo"]
            assert ("debit", -6 * NANO // 10) in moved
            assert sum(amount for _, amount in moved if isinstance(amount, int)) == 0
        assert await findings(tmp_path) == []

    async def test_the_sweep_takes_what_nobody_asks_about(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world:
            await top_up(world, 2 * NANO, PROMO, "k")
            assert await world.store.expired_accounts(START + HOUR - 1, 10) == []
            assert len(await world.store.expired_accounts(START + HOUR, 10)) == 1
            world.now = START + 2 * HOUR
            await world.ocf.expire_due()
            assert await world.store.expired_accounts(world.now, 10) == []
            entries = await world.store.entries(ACME)
            assert [(row["kind"], row["amount"], row["bucket"]) for row in entries[-1:]] == [
                ("expire", -2 * NANO, "promo")
            ]
        assert await findings(tmp_path) == []

    async def test_a_view_holds_nothing_that_has_expired(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world:
            await top_up(world, 2 * NANO, PROMO, "k")
            world.now = START + HOUR
            view = await world.store.account_view(ACME)
            assert view is not None
            assert (view.available, view.standing.buckets) == (25 * NANO, ())

    async def test_a_late_end_gives_back_to_the_bucket_that_paid(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world:
            await top_up(world, 2 * NANO, KEPT, "k")
            await world.ask("c1", ACME)
            await world.answer("c1", ACME)
            world.now += 3 * DAY
            await world.ocf.expire_due()
            estimated = (await amounts(world))["kept"]
            await world.end("c1", 100, ACME)
            assert await amounts(world) == {"kept": NANO, "": 25 * NANO}
            assert estimated != NANO
        assert await findings(tmp_path) == []

    @pytest.mark.parametrize(
        ("amount", "wanted", "why"),
        [
            (NANO, Wanted("late", expires_at=START), "expired already"),
            (NANO, Wanted("promo", priority=9), "other terms"),
            (-NANO, None, "more than 0"),
            (0, None, "more than 0"),
            (NANO_MAX, Wanted("kept"), "64 bits"),
        ],
    )
    async def test_refusals_of_a_top_up(self, tmp_path: Path, amount: int, wanted: Wanted | None, why: str) -> None:
        async with opened(tmp_path) as world:
            await top_up(world, 2 * NANO, PROMO, "k")
            before = await world.store.entries(ACME)
            with pytest.raises(Refused, match=why):
                await top_up(world, amount, wanted, "k3")
            assert await world.store.entries(ACME) == before

    async def test_a_key_means_one_bucket(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world:
            await top_up(world, 2 * NANO, PROMO, "k")
            await top_up(world, 2 * NANO, PROMO, "k")
            assert (await amounts(world))["promo"] == 2 * NANO
            with pytest.raises(KeyConflict):
                await top_up(world, 2 * NANO, KEPT, "k")

    async def test_an_adjustment_of_a_bucket(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world:
            await top_up(world, 2 * NANO, PROMO, "k")
            for amount, name in ((-NANO, "promo"), (-NANO, "none"), (-2 * NANO, "promo")):
                done = world.store.credit(
                    ACME, EntryKind.ADJUST, amount, key="", who="w", reason="r", bucket=Wanted(name)
                )
                if (amount, name) == (-NANO, "promo"):
                    await done
                else:
                    with pytest.raises(Refused):
                        await done
            assert (await amounts(world))["promo"] == NANO

    async def test_a_closed_account_takes_a_correction_and_nothing_else(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world:
            await neighbour(world)
            await world.store.create_object(ONCE, who="w", reason="r")
            await world.store.set_status(ACME, Status.CLOSED, who="w", reason="r")
            for act in (
                top_up(world, NANO, None, "k"),
                world.store.transfer(ACME, BOBBY, NANO, key="t", who="w", reason="r"),
                world.store.transfer(BOBBY, ACME, NANO, key="t", who="w", reason="r"),
                world.store.give_units(ACME, "extra", 60, None, key="u", who="w", reason="r"),
            ):
                with pytest.raises(Refused, match="is closed"):
                    await act
            await world.store.credit(ACME, EntryKind.ADJUST, -25 * NANO, key="", who="w", reason="paid out")
            assert await world.balance(ACME) == 0


class TestTransfers:
    async def test_once_for_a_key(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world:
            await neighbour(world)
            for repeated in (False, True):
                moved = await world.store.transfer(ACME, BOBBY, 5 * NANO, key="t", who="w", reason="rent")
                assert (moved.giver.standing.balance, moved.taker.standing.balance) == (20 * NANO, 5 * NANO)
                assert moved.repeated is repeated
            (entry,) = await world.store.entries(BOBBY)
            assert (entry["kind"], entry["reason"]) == ("transfer", "main/acme to main/bobby: rent")
            for taker, amount in ((BOBBY, 6 * NANO), (TRUNK, 5 * NANO)):
                with pytest.raises(KeyConflict):
                    await world.store.transfer(ACME, taker, amount, key="t", who="w", reason="r")
        assert await findings(tmp_path) == []

    @pytest.mark.parametrize(
        ("giver", "taker", "amount", "why"),
        [
            (ACME, BOBBY, 26 * NANO, "can give 25.00 USD away, not 26.00"),
            (ACME, ACME, NANO, "two accounts"),
            (ACME, RITA, NANO, "two tenants"),
            (ACME, Key("main", "nobody"), NANO, "there is no account main/nobody"),
            (ACME, BOBBY, -NANO, "more than 0"),
            (TRUNK, ACME, NANO, "can give 0.00"),
        ],
    )
    async def test_refusals(self, tmp_path: Path, giver: Key, taker: Key, amount: int, why: str) -> None:
        async with opened(tmp_path) as world:
            await neighbour(world)
            with pytest.raises(Refused, match=why):
                await world.store.transfer(giver, taker, amount, key="t", who="w", reason="r")
            assert await world.store.entries(BOBBY) == []

    async def test_two_ways_at_once_never_wait_for_one_another(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world, opened(tmp_path, prefix="h") as other:
            await neighbour(world, balance=25 * NANO)
            acts = [
                each.store.transfer(giver, taker, NANO, key=f"{giver}{number}", who="w", reason="r")
                for number in range(10)
                for each, giver, taker in ((world, ACME, BOBBY), (other, BOBBY, ACME))
            ]
            await asyncio.gather(*acts)
            assert await world.balance(ACME) == await world.balance(BOBBY) == 25 * NANO
        assert await findings(tmp_path) == []


class TestAssertions:
    async def test_a_difference_is_listed_and_nothing_moves(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world:
            said = await world.store.assert_balance(ACME, 25 * NANO, None, who="w", reason="statement")
            assert said.holds
            assert await world.store.exceptions() == []
            world.now += SECOND
            await top_up(world, NANO, None, "k")
            then = await world.store.assert_balance(ACME, 25 * NANO, START, who="w", reason="statement")
            assert then.holds
            now = await world.store.assert_balance(ACME, 25 * NANO, None, who="w", reason="statement")
            assert (now.holds, now.found) == (False, 26 * NANO)
            (listed,) = await world.store.exceptions()
            assert listed["kind"] == "balance_assertion"
            assert "w states a balance of 25.00 at" in str(listed["detail"])
            with pytest.raises(Refused, match="has been"):
                await world.store.assert_balance(ACME, 0, world.now + 1, who="w", reason="r")
            assert await world.balance(ACME) == 26 * NANO
        assert await findings(tmp_path) == []


class TestBeyond64Bits:
    async def test_one_account_keeps_no_other_from_its_expiry(self, tmp_path: Path) -> None:
        """An older release let a bucket hide that the main balance was beyond what the store holds."""
        async with opened(tmp_path) as world:
            await neighbour(world)
            await top_up(world, NANO, Wanted("bad", BucketKind.PROMOTIONAL, 0, START + HOUR), "k1")
            await world.store.credit(
                BOBBY, EntryKind.TOP_UP, NANO, key="k2", who="w", reason="r",
                bucket=Wanted("good", BucketKind.PROMOTIONAL, 0, START + HOUR + SECOND),
            )  # fmt: skip
            await altered(tmp_path, f"UPDATE account SET balance = {-NANO_MAX} WHERE id = 'acme'")
            world.now = START + 2 * HOUR
            for _ in range(2):
                await world.ocf.expire_due()
                assert len(world.ocf.stuck_accounts) == 1
            (listed,) = await world.store.exceptions()
            assert (listed["kind"], listed["tenant"]) == ("stuck_account", "main")
            assert "main/acme" in str(listed["detail"])
            assert await world.balance(BOBBY) == 0
            view = await world.store.account_view(ACME)
            assert view is not None
            assert view.standing.balance == -NANO_MAX - NANO
            with pytest.raises(Refused, match="adjust the main balance first"):
                await top_up(world, NANO, None, "k3")
            with pytest.raises(Refused, match="adjust the main balance first"):
                await world.store.transfer(BOBBY, ACME, NANO, key="k4", who="w", reason="r")
            with pytest.raises(Refused, match="adjust the main balance first"):
                await world.store.assert_balance(ACME, 0, None, who="w", reason="r")
            await world.store.credit(ACME, EntryKind.ADJUST, 2 * NANO, key="k5", who="w", reason="r")
            await world.ocf.expire_due()
            assert not world.ocf.stuck_accounts
            assert await world.balance(ACME) == NANO - NANO_MAX


class TestUnits:
    async def test_given_once_used_before_money_and_gone_at_their_expiry(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world:
            await world.store.create_object(ONCE, who="w", reason="r")
            await world.store.create_object(MONTHLY, who="w", reason="r")
            for repeated in (False, True):
                done = await self.give(world, 90, START + HOUR)
                assert done is repeated
            await world.load()
            call = await world.whole("c1", 100, ACME)
            assert call.posted[0].charge == 0
            assert [(units.meter, units.units) for units in call.posted[0].units] == [
                ("bundle:extra:once", 90), ("bundle:uk:month", 10),
            ]  # fmt: skip
            await self.give(world, 30, START + HOUR, key="u2")
            view = await world.store.account_view(ACME)
            assert view is not None
            assert await world.store.units_of(view) == [
                UnitsView("extra", "second", "once", 30, 90, 0, 120, START + HOUR),
                UnitsView("uk", "second", "month", 50, 10, 0, 0, None),
            ]
            world.now = START + HOUR
            late = await world.whole("c2", 60, ACME)
            assert [units.meter for units in late.posted[0].units] == ["bundle:uk:month"]
            await self.give(world, 5, None, key="u3")
            view = await world.store.account_view(ACME)
            assert view is not None
            extra, _ = await world.store.units_of(view)
            assert (extra.left, extra.used, extra.carried, extra.expires_at) == (5, 0, 5, None)
        assert await findings(tmp_path) == []

    @pytest.mark.parametrize(("seen", "given_at"), [(500, 590), (490, 700)])
    async def test_units_given_back_when_they_had_expired_do_not_live_again(
        self, tmp_path: Path, seen: int, given_at: int
    ) -> None:
        """Also where others were given before that expiry, because none were left."""
        async with opened(tmp_path) as world:
            await neighbour(world)
            await world.store.create_object(replace(ONCE, account="bobby"), who="w", reason="r")

            async def give(key: str, units: int, expires_at: int) -> None:
                await world.store.give_units(BOBBY, "extra", units, expires_at, key=key, who="w", reason="r")

            await give("u1", 500, START + 600 * SECOND)
            await world.load()
            assert (await world.ask("c1", BOBBY)).seconds == 500
            await world.answer("c1", BOBBY)
            world.now = START + seen * SECOND
            await world.ocf.alive(CallReport(world.attempt("c1", BOBBY), world.now))
            world.now = START + given_at * SECOND
            assert [call.posted[0].units[0].units for call in await world.ocf.expire_due()] == [seen]
            await give("u2", 1, START + 24 * HOUR)
            world.now = START + 760 * SECOND
            report = CallReport(world.attempt("c1", BOBBY), world.now, duration_us=10 * SECOND, cause="16")
            outcome = await world.ocf.ended(report)
            assert isinstance(outcome, Outcome)
            assert outcome.call is not None
            assert [units.units for units in outcome.call.posted[0].units] == [10]
            view = await world.store.account_view(BOBBY)
            assert view is not None
            (extra,) = await world.store.units_of(view)
            assert (extra.left, extra.used, extra.carried) == (1, 0, 1)
        assert await findings(tmp_path) == []

    async def give(self, world: World, units: int, expires_at: int | None, key: str = "u1", of: str = "extra") -> bool:
        return await world.store.give_units(ACME, of, units, expires_at, key=key, who="w", reason="r")

    async def test_refusals(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as world:
            await world.store.create_object(ONCE, who="w", reason="r")
            await world.store.create_object(MONTHLY, who="w", reason="r")
            await self.give(world, 60, START + HOUR)
            await world.load()
            await world.ask("c1", ACME)
            for units, expires_at, of, why in (
                (60, None, "extra", "units of extra are left that expire"),
                (60, START, "extra", "expired already"),
                (60, None, "uk", "units of each month"),
                (60, None, "none", "has no bundle none"),
                (0, None, "extra", "more than 0"),
                (UNITS_GIVEN_MAX, START + HOUR, "extra", "at most"),
            ):
                with pytest.raises(Refused, match=why):
                    await self.give(world, units, expires_at, key="other", of=of)
            with pytest.raises(KeyConflict):
                await self.give(world, 61, START + HOUR)
            world.now = START + HOUR
            with pytest.raises(Refused, match="calls hold units of extra that have expired"):
                await self.give(world, 60, None, key="other")
        assert await findings(tmp_path) == []


NOTHING = "(SELECT number FROM account WHERE id = 'acme')"


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE account SET buckets = replace(buckets, '\"kept\",\"money\"', '\"kept\",\"promotional\"')"
         " WHERE id = 'acme'", set()),
        ("UPDATE account SET buckets = replace(buckets, '3000000000', '3000000001') WHERE id = 'acme'", {"buckets"}),
        ("UPDATE account SET buckets = replace(buckets, '3000000000', '-3000000000') WHERE id = 'acme'", {"buckets"}),
        ("UPDATE account SET buckets = NULL WHERE id = 'acme'", {"buckets"}),
        ("UPDATE account SET buckets = 'no JSON' WHERE id = 'acme'", {"buckets"}),
        ("UPDATE account SET buckets = replace(buckets, '\"kept\",\"money\",2', '\"kept\",\"money\",0')"
         " WHERE id = 'acme'", {"buckets"}),
        ("UPDATE account SET bucket_due = 5 WHERE id = 'acme'", {"buckets"}),
        ("UPDATE entry SET bucket = 'promo' WHERE bucket = 'kept'", {"buckets"}),
        ("UPDATE call SET is_open = 0", {"buckets", "open calls", "held by calls", "calls"}),
        ("DELETE FROM entry WHERE kind = 'transfer' AND amount > 0", {"standings", "transfers"}),
        ("UPDATE entry SET amount = 2, balance_after = 2 WHERE kind = 'transfer' AND amount > 0",
         {"standings", "transfers"}),
        ("UPDATE assertion SET found = found + 1", {"assertions"}),
        ("DELETE FROM assertion", {"assertions"}),
        ("UPDATE entry SET kind = 'adjust' WHERE kind = 'balance_assertion'", {"assertions", "entries"}),
        ("UPDATE unit_grant SET units = units + 1", {"units"}),
        ("DELETE FROM meter WHERE name = 'bundle:extra:once'", {"units"}),
        ("UPDATE meter SET used = 61 WHERE name = 'bundle:extra:once'", {"units", "meters"}),
    ],
)  # fmt: skip
async def test_each_invariant_is_looked_at(tmp_path: Path, statement: str, found: set[str]) -> None:
    await lived_in(tmp_path)
    assert {invariant for invariant, _subject in await broken(tmp_path, statement)} == found


async def test_a_store_of_the_release_before_gets_its_buckets(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await world.whole("c1", 60, ACME)
    await altered(tmp_path, *LATER, *WITHOUT_BUCKETS, "UPDATE alembic_version SET version_num = '0003'")
    async with opened(tmp_path, prefix="after") as world:
        await top_up(world, NANO, PROMO, "k")
        await world.whole("c2", 60, ACME)
        assert (await amounts(world))["promo"] == 4 * NANO // 10
    assert await findings(tmp_path) == []


@pytest.mark.usefixtures("engine")
async def test_what_persons_did_is_told_beside_the_entries(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        store = world.store
        said = await store.assert_balance(ACME, 3 * NANO, None, who="ann", reason="paper")
        numbers = [int(str(row["number"])) for row in await store.history(ACME) if row["kind"] == "balance_assertion"]
        assert await store.assertions(numbers) == {numbers[0]: said}
        assert (said.holds, await store.assertions([])) == (False, {})
        assert await store.units_given(ACME) == []


@pytest.mark.usefixtures("engine")
async def test_a_closed_account_is_not_resumed(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await world.store.set_status(ACME, Status.CLOSED, who="ann", reason="gone")
        for status in (Status.ACTIVE, Status.SUSPENDED):
            with pytest.raises(Refused, match="is closed, and nothing but its scenario file opens it again"):
                await world.store.set_status(ACME, status, who="bob", reason="back")


@pytest.mark.usefixtures("engine")
async def test_a_key_that_was_used_tells_for_what(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        wanted = Wanted("spring", BucketKind.MONEY, 0, None)
        await world.store.credit(ACME, EntryKind.TOP_UP, NANO, key="k", who="a", reason="", bucket=wanted)
        with pytest.raises(KeyConflict, match=r"for a top up of 1\.00 in bucket spring"):
            await world.store.credit(ACME, EntryKind.TOP_UP, NANO, key="k", who="a", reason="")
