"""Many accounts in a store: what changed is followed without reading the rest, and is what reading all would give."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.authorize.catalog import AccountKind, Catalog, Emergency, Status
from daemon.charging.configuration import (
    AccountSpec,
    BundleSpec,
    CarrierSpec,
    Configuration,
    EndpointSpec,
    NasSpec,
    OverrideSpec,
    PlanFrom,
    RatePlanSpec,
    RateTableSpec,
    TenantSpec,
)
from daemon.kernel.ids import Key
from daemon.kernel.money import NANO
from daemon.store.objects import Refused, Spec
from tests.integration.store_world import ACME, RITA, SCENARIO, World, findings, opened

MANY = 20_000  # accounts
RATIO_MAX = 4.0  # following one change among many, against among few; a look at each would cost hundreds of times
ASKED = 300  # accounts whose terms are asked for


def many(count: int) -> list[Spec]:
    """Return accounts with an endpoint each, and a balance that differs."""
    return [
        AccountSpec(
            "main", f"n{place:06d}", AccountKind.PREPAID, "USD", balance=place * NANO, rate_plan=(PlanFrom("retail"),),
            identities=(EndpointSpec(sip_user=f"user{place}", password="pw"), EndpointSpec(did=f"49{place:09d}")),
        )
        for place in range(count)
    ]  # fmt: skip


def shown(found: tuple[Configuration, Catalog]) -> list[Any]:
    """Return everything that a catalog shows, and the configuration beside it."""
    configuration, catalog = found
    ends = catalog.endpoints
    mappings: tuple[Any, ...] = (catalog.accounts, catalog.by_number, ends.sip_users, ends.dids, ends.networks.claims)
    return [
        configuration, catalog.revision, catalog.tenants, catalog.carriers, set(catalog.plans), ends.networks.shapes,
        *({key: mapping[key] for key in mapping} for mapping in mappings),
    ]  # fmt: skip


@pytest.mark.usefixtures("engine")
async def test_what_is_followed_is_what_reading_all_gives(tmp_path: Path) -> None:
    async with opened(tmp_path) as world, opened(tmp_path) as follower:
        store = world.store
        acme = next(spec for spec in SCENARIO if isinstance(spec, AccountSpec) and spec.id == "acme")
        changes: list[Callable[[], Any]] = [
            lambda: store.set_status(ACME, Status.SUSPENDED, who="clerk", reason="test"),
            lambda: store.apply(many(300), {}, who="clerk"),
            lambda: store.create_object(NasSpec("gw0", "main", "127.0.0.9", "s"), who="clerk", reason="test"),
            lambda: store.create_object(BundleSpec("ray", "b", "rita", 60), who="clerk", reason="test"),
            lambda: store.create_token("main", "read", who="clerk"),
            lambda: store.apply(
                [replace(acme, identities=(EndpointSpec(ip="10.0.0.0/8"),), overrides=(OverrideSpec("44", 1),))], {},
                who="clerk",
            ),
            lambda: store.set_status(RITA, Status.CLOSED, who="clerk", reason="test"),
        ]  # fmt: skip
        before = await follower.store.followed(Emergency())
        then = shown(before)
        for change in changes:
            await change()
            followed = await follower.store.followed(Emergency())
            async with opened(tmp_path) as fresh:
                assert shown(followed) == shown(await fresh.store.followed(Emergency()))
        assert shown(before) == then, "a decision sees the catalog as it was"
    assert await findings(tmp_path) == []


async def test_a_store_that_was_put_in_the_place_of_another_is_read_whole(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await world.store.apply(many(3), {}, who="clerk")
        known = await world.store.followed(Emergency())
        await world.store.administer(lambda link: link.execute("DELETE FROM audit WHERE id = 'n000002'"))
        assert shown(await world.store.followed(Emergency())) == shown(known)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ([AccountSpec("main", "x", AccountKind.PREPAID, "USD", rate_plan=(PlanFrom("gone"),))],
         "account main/x: there is no rate plan gone"),
        ([AccountSpec("main", "x", AccountKind.PREPAID, "EUR", rate_plan=(PlanFrom("retail"),))],
         "account main/x is in EUR, its plan retail is priced in USD"
         ": no conversion from USD to EUR is stated for main"),
        ([AccountSpec("nil", "x", AccountKind.PREPAID, "USD")], "account nil/x: there is no tenant nil"),
        ([AccountSpec("main", "x", AccountKind.PREPAID, "USD", class_of_service="gone")],
         "account main/x: there is no class of service gone"),
        ([BundleSpec("main", "b", "gone", 60)], "bundle main/b: there is no account gone"),
        ([TenantSpec("sub", "USD", "UTC", "main", "gone")],
         "tenant sub: there is no account main/gone, its own with its parent"),
        ([RateTableSpec("main", "euro", "EUR"), RatePlanSpec("main", "retail", ("euro",))],
         "account main/acme is in USD, its plan retail is priced in EUR"
         ": no conversion from EUR to USD is stated for main"),
        ([RateTableSpec("main", "euro", "EUR"), CarrierSpec("main", "supplier", "euro", "dial/{number}")],
         "carrier main/supplier is paid in EUR, accounts are in USD"
         ": no conversion from EUR to USD is stated for main"),
        ([RateTableSpec("main", "euro", "EUR"), RatePlanSpec("main", "base", ("euro",)),
          RatePlanSpec("main", "retail", (), "base")],
         "account main/acme is in USD, its plan retail is priced in EUR"
         ": no conversion from EUR to USD is stated for main"),
    ],
)  # fmt: skip
async def test_what_accounts_and_others_say_of_each_other_is_held(
    tmp_path: Path, wanted: list[Spec], said: str
) -> None:
    async with opened(tmp_path) as world:
        before = await world.store.load_configuration()
        with pytest.raises(Refused) as refused:
            await world.store.apply(wanted, {}, who="clerk")
        assert said in str(refused.value)
        assert await world.store.load_configuration() == before


@pytest.mark.usefixtures("engine")
async def test_new_accounts_are_written_as_each_would_be_by_itself(tmp_path: Path) -> None:
    wanted = many(600)
    async with opened(tmp_path) as world:
        difference = await world.store.apply(wanted, {}, who="clerk")
        assert [change.key for change in difference.objects] == [f"main/n{place:06d}" for place in range(600)]
        again = await world.store.apply(wanted, {}, who="clerk")
        assert (again.is_empty, again.unchanged) == (True, 600)
        for place in (0, 1, 599):
            key = Key("main", f"n{place:06d}")
            view = await world.store.account_view(key)
            assert view is not None
            assert (view.spec, view.standing.balance) == (wanted[place], place * NANO)
            entries = await world.store.entries(key)
            assert [entry["reason"] for entry in entries] == ["opening balance"] * bool(place)
            assert [each["act"] for each in await world.store.changes_of("account", key)] == ["create"]
        moved = [replace(spec, country="FR") for spec in wanted[:2] if isinstance(spec, AccountSpec)]
        twice = await world.store.apply([*moved, *moved], {}, who="clerk")
        assert [change.act for change in twice.objects] == ["change", "change"]
        assert [spec.id for spec in await world.store.accounts_with("did", "49000000007")] == ["n000007"]
        assert await world.store.accounts_with("did", "4900000000") == []
    assert await findings(tmp_path) == []


async def _followed_seconds(world: World) -> float:
    """Return the least CPU time of following one changed account."""
    took = []
    for status in (Status.SUSPENDED, Status.ACTIVE) * 3:
        await world.store.set_status(ACME, status, who="clerk", reason="test")
        began = time.process_time()
        _, catalog = await world.store.followed(Emergency())
        took.append(time.process_time() - began)
        assert catalog.accounts[ACME].status is status
    return min(took)


async def test_one_change_among_many_accounts_costs_what_it_costs_among_few(tmp_path: Path) -> None:
    async with opened(tmp_path / "few") as few, opened(tmp_path / "many") as world:
        await world.store.apply(many(MANY), {}, who="clerk")
        await world.load()
        assert len(world.catalog().accounts) == MANY + 3
        among_few, among_many = await _followed_seconds(few), await _followed_seconds(world)
        assert among_many < RATIO_MAX * among_few, (among_few, among_many)


async def test_an_account_among_many_is_found_as_fast_as_among_few(tmp_path: Path) -> None:
    async with opened(tmp_path / "few") as few, opened(tmp_path / "many") as world:
        await few.store.apply(many(ASKED), {}, who="clerk")
        await world.store.apply(many(MANY), {}, who="clerk")

        async def seconds(asked: World, step: int) -> float:
            return min([_asking_seconds((await asked.store.followed(Emergency()))[1], step) for _ in range(3)])

        among_few, among_many = await seconds(few, 1), await seconds(world, MANY // ASKED)
        assert among_many < RATIO_MAX * among_few, (among_few, among_many)


def _asking_seconds(catalog: Catalog, step: int) -> float:
    """Return the CPU time of finding accounts by their SIP users, in a catalog that was asked nothing yet."""
    began = time.process_time()
    for place in range(ASKED):
        (user,) = catalog.endpoints.sip_users[f"user{place * step}"]
        assert catalog.accounts[user.account].key == user.account
    return time.process_time() - began


@pytest.mark.usefixtures("engine")
async def test_who_claims_a_number_is_found_in_ranges_too(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        identities = {
            "one": EndpointSpec(did="4420"), "range": EndpointSpec(did="4410", did_last="4429"),
            "later": EndpointSpec(did="4420", begins=1 << 60), "other": EndpointSpec(did="4421", did_last="4429"),
            "longer": EndpointSpec(did="44100", did_last="44299"), "user": EndpointSpec(sip_user="4420"),
        }  # fmt: skip
        accounts = [
            AccountSpec("main", name, AccountKind.PREPAID, "USD", identities=(endpoint,))
            for name, endpoint in identities.items()
        ]
        await world.store.apply(accounts, {}, who="test")
        found = await world.store.accounts_with_did("4420")
        assert sorted(spec.id for spec in found) == ["later", "one", "range"]
        (ranged,) = (spec for spec in found if spec.id == "range")
        assert ranged.identities == (identities["range"],), "a range is stored as it was stated"
        catalog = await world.store.load_catalog(Emergency())
        assert set(catalog.endpoints.called("4420", 0)) == {Key("main", "one"), Key("main", "range")}
        assert set(catalog.endpoints.called("4425", 0)) == {Key("main", "other"), Key("main", "range")}
