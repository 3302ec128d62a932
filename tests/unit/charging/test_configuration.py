"""What is stated becomes what is asked: policies, code lists, plans with their mark-ups, an account's own prices."""

from dataclasses import replace

import msgspec
import pytest

from daemon.authorize.catalog import AccountKind, Catalog, Emergency
from daemon.charging.configuration import (
    AccountSpec,
    BundleSpec,
    ClassOfServiceSpec,
    CodeListSpec,
    Configuration,
    DestinationGroupSpec,
    EndpointSpec,
    OverrideSpec,
    PlanFrom,
    RatePlanSpec,
    RateTableSpec,
    RateTypeSpec,
    TenantSpec,
    TimeBandSpec,
    build_catalog,
    code_list_of,
    for_plans,
    policy_of,
)
from daemon.kernel.ids import Key
from daemon.kernel.money import Rounding
from daemon.rating.bundle import Bundle
from daemon.rating.deck import RateRow
from daemon.rating.rate_table import RateTable
from daemon.rating.rate_type import BUILT_IN, RateType
from daemon.store.objects import KINDS

VOICE = RateTableSpec(
    "main", "voice", "USD", "America/New_York", 2, Rounding.DOWN, split_bands=True, name="retail", override="^VOICE$",
    tiers="whole", tier_period="week", rate_types=(("Far", "far"), ("Msg", "per_message")),
)  # fmt: skip
CONFIGURATION = Configuration(
    7,
    tenants=(TenantSpec("main", "USD"), TenantSpec("ray", "USD", "UTC", "main", "acme")),
    rate_tables=(VOICE, RateTableSpec("main", "own", "USD", code_list="small"), RateTableSpec("ray", "voice", "USD")),
    rate_plans=(
        RatePlanSpec("main", "top", (), "base", 10**10, 5, 7, ("own",)),
        RatePlanSpec("main", "base", ("voice",)),
        RatePlanSpec("ray", "top", ("voice",)),
    ),
    accounts=(
        AccountSpec(
            "main", "acme", AccountKind.PREPAID, "USD", rate_plan=(PlanFrom("top"),), class_of_service="office",
            overrides=(OverrideSpec("44", 9),), identities=(EndpointSpec(did="4420"),),
        ),
        AccountSpec("main", "plain", AccountKind.PREPAID, "USD"),
        AccountSpec("ray", "erin", AccountKind.PREPAID, "USD", overrides=(OverrideSpec("1", 2),)),
    ),
    time_bands=(
        TimeBandSpec("main", "peak", ("mon 08:00-09:00",), ("1970-01-02",)),
        TimeBandSpec("ray", "x", ("mon 08:00-09:00",)),
    ),
    rate_types=(RateTypeSpec("main", "far", "second", 1), RateTypeSpec("ray", "near")),
    code_lists=(
        CodeListSpec("main", "world", (("33", "France"), ("49", "Germany")), standard=True),
        CodeListSpec("main", "small", (("33", "France"),)),
    ),
    destination_groups=(DestinationGroupSpec("main", "far", ("1900",), ("France",)),),
    classes_of_service=(ClassOfServiceSpec("main", "office", ("44",), ("*",), ("far",), ()),),
    bundles=(
        BundleSpec("main", "uk", "acme", 60, "second", "week", True, ("44",), "far"),
        BundleSpec("main", "any", "acme", 5, "call"),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    tables = {}
    for spec in CONFIGURATION.rate_tables:
        table, errors = RateTable.of(policy_of(spec, 1, CONFIGURATION), [RateRow("44", 100)])
        assert table is not None, errors
        tables[Key(spec.tenant, spec.id)] = table
    numbers = {("customer", spec.tenant, spec.id): place for place, spec in enumerate(CONFIGURATION.accounts)}
    return build_catalog(CONFIGURATION, tables, numbers, Emergency())


def test_a_policy_is_of_the_table_and_its_tenant() -> None:
    policy = policy_of(VOICE, 3, CONFIGURATION)
    assert (policy.table, policy.version, policy.name, policy.override) == ("voice", 3, "retail", "^VOICE$")
    assert (policy.zone, policy.split_bands, policy.tiers, policy.decimals) == ("America/New_York", True, "whole", 2)
    assert [(band.id, band.holidays) for band in policy.bands] == [("peak", frozenset({1}))]
    far = RateType("far", "second", 1)
    assert dict(policy.rate_types) == {"far": far, "Far": far, "Msg": BUILT_IN["per_message"]}
    assert policy == policy_of(VOICE, 3, CONFIGURATION), "an unchanged table is not built anew"
    edited = replace(CONFIGURATION, time_bands=())
    assert policy != policy_of(VOICE, 3, edited)


def test_a_code_list_is_its_own_or_the_standard_one() -> None:
    voice, own, ray = CONFIGURATION.rate_tables
    found = [code_list_of(spec, CONFIGURATION) for spec in (voice, own, ray)]
    assert [each.id if each is not None else None for each in found] == ["world", "small", None]


def test_a_part_has_the_plans_that_are_asked_and_their_tables() -> None:
    part = for_plans(CONFIGURATION, [Key("main", "top"), Key("main", "gone")])
    assert {spec.id for spec in part.rate_plans} == {"top", "base"}
    assert {(spec.tenant, spec.id) for spec in part.rate_tables} == {("main", "voice"), ("main", "own")}
    assert part.accounts == CONFIGURATION.accounts


def test_plans_inherit_with_their_mark_ups(catalog: Catalog) -> None:
    top = catalog.plans[Key("main", "top")]
    assert top.inherits == catalog.plans[Key("main", "base")]
    assert (top.markup.percent, top.markup.per_minute, top.markup.minimum) == (10**10, 5, 7)
    assert [table.id for table in top.on_net] == ["own"]
    tariff = top.match("44123", 0)
    assert tariff is not None
    assert tariff.rate == 100 + 15, "ten percent and five"


def test_an_account_has_its_own_prices_and_bundles(catalog: Catalog) -> None:
    acme, plain = catalog.accounts[Key("main", "acme")], catalog.accounts[Key("main", "plain")]
    assert (plain.rates, plain.bundles) == (None, ())
    assert acme.rates is not None
    assert acme.rates.service is not None
    assert dict(acme.rates.overrides) == {"44": 9}
    assert acme.rates.policy.decimals == 2, "a price that beats no row is rounded as the plan's first table is"
    assert (set(acme.rates.service.allow), set(acme.rates.service.block)) == ({"44", "1900", "33"}, {""})
    assert acme.bundles == (
        Bundle("uk", 60, "second", "week", True, frozenset({"44", "1900", "33"})), Bundle("any", 5, "call"),
    )  # fmt: skip
    erin = catalog.accounts[Key("ray", "erin")]
    assert erin.rates is not None
    assert (erin.rates.policy.decimals, erin.rates.service) == (4, None)


def test_a_number_is_on_net_for_the_tenant_of_its_account(catalog: Catalog) -> None:
    assert catalog.is_on_net("main", "4420", 0)
    assert not catalog.is_on_net("ray", "4420", 0)
    assert not catalog.is_on_net("main", "44", 0)


def test_the_period_of_tiers_is_that_of_each_table_with_tiers(catalog: Catalog) -> None:
    assert catalog.tables[Key("main", "voice")].policy.tier_period == "week"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("rate_table", b'{"tenant":"main","id":"t","currency":"USD","closed_limit_percent":20}'),
        ("rate_plan", b'{"tenant":"main","id":"p","tables":["t"]}'),
        ("account", b'{"tenant":"main","id":"a","kind":"prepaid","currency":"USD","identities":[]}'),
    ],
)
def test_what_an_earlier_release_stored_is_read(kind: str, body: bytes) -> None:
    found = msgspec.json.decode(body, type=KINDS[kind])
    assert msgspec.json.decode(msgspec.json.encode(found), type=KINDS[kind]) == found
