"""What a store refuses of currencies: a meeting without a stated pair, and every change of a rate that was in force."""

from dataclasses import replace

import pytest

from daemon.authorize.catalog import AccountKind
from daemon.charging.configuration import (
    AccountSpec,
    CarrierSpec,
    Configuration,
    ConversionSpec,
    OverrideSpec,
    PlanFrom,
    RatePlanSpec,
    RateTableSpec,
    TenantSpec,
)
from daemon.kernel.instant import Instant
from daemon.kernel.money import NANO, parse_nano
from daemon.store import currency_faults as faults
from daemon.store.currency_faults import alterations, currency_faults

NOW: Instant = 1_000


def conversion(source: str, target: str, **changes: object) -> ConversionSpec:
    return replace(ConversionSpec("main", source, target, NANO, 0), **changes)  # type: ignore[arg-type]


def account(tenant: str, name: str, currency: str, plan: str, **changes: object) -> AccountSpec:
    made = AccountSpec(tenant, name, AccountKind.PREPAID, currency, rate_plan=(PlanFrom(plan),))
    return replace(made, **changes)  # type: ignore[arg-type]


WHOLE = Configuration(
    1,
    tenants=(TenantSpec("main", "USD"), TenantSpec("ray", "EUR", parent="main", account="trunk")),
    rate_tables=(
        RateTableSpec("main", "retail", "EUR"), RateTableSpec("main", "buy", "GBP"), RateTableSpec("ray", "rays", "EUR")
    ),
    rate_plans=(RatePlanSpec("main", "retail", ("retail",)), RatePlanSpec("ray", "rays", ("rays",))),
    carriers=(CarrierSpec("main", "cheap", "buy", "{number}"),),
    accounts=(account("main", "trunk", "USD", "retail"), account("ray", "rita", "EUR", "rays")),
    conversions=(conversion("EUR", "USD"), conversion("USD", "EUR"), conversion("GBP", "USD")),
)  # fmt: skip


def changed(**changes: object) -> list[str]:
    return list(currency_faults(replace(WHOLE, **changes)))  # type: ignore[arg-type]


def test_every_pair_that_is_met_is_stated() -> None:
    assert changed() == []


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("EUR", "account main/trunk is in USD, its plan retail is priced in EUR: no conversion from EUR to USD"),
        ("USD", "tenant ray has accounts in EUR, its account with its parent is in USD: no conversion from USD to EUR"),
        ("GBP", "carrier main/cheap is paid in GBP, accounts are in USD: no conversion from GBP to USD"),
    ],
)
def test_a_pair_that_is_not_stated(source: str, told: str) -> None:
    [fault] = changed(conversions=tuple(each for each in WHOLE.conversions if each.source != source))
    assert fault.startswith(told)


def test_a_pair_of_the_tenant_itself_serves_it_and_no_tenant_above() -> None:
    own = tuple(replace(each, tenant="ray") if each.source == "USD" else each for each in WHOLE.conversions)
    assert changed(conversions=own) == []
    assert len(changed(conversions=tuple(replace(each, tenant="ray") for each in WHOLE.conversions))) == 2


def test_a_circle_of_tenants_ends() -> None:
    tenants = (TenantSpec("main", "USD"), TenantSpec("ray", "EUR", parent="ray", account="trunk"))
    assert changed(tenants=tenants, conversions=WHOLE.conversions[::2]) == []


def test_names_of_nothing() -> None:
    assert "carrier main/cheap: there is no rate table gone" in changed(
        carriers=(CarrierSpec("main", "cheap", "gone", "{number}"),)
    )
    lost = account("main", "trunk", "USD", "gone")
    assert changed(accounts=(lost, WHOLE.accounts[1])) == ["account main/trunk: there is no rate plan gone"]


def test_amounts_need_prices_in_one_currency() -> None:
    dollars = RateTableSpec("main", "dollars", "USD")
    plans = (
        RatePlanSpec("main", "retail", ("retail", "dollars")), WHOLE.rate_plans[1],
        RatePlanSpec("main", "more", inherits="retail", markup_percent=NANO),
    )  # fmt: skip
    mixed = {"rate_tables": (*WHOLE.rate_tables, dollars), "rate_plans": plans}
    assert changed(**mixed) == []
    dearer = replace(plans[2], markup_per_minute=1)
    [fault] = changed(**{**mixed, "rate_plans": (*plans[:2], dearer)})
    assert fault == "rate_plan main/more adds an amount to prices in EUR, USD"
    own = account("main", "trunk", "USD", "retail", overrides=(OverrideSpec("44", 1),))
    [fault] = changed(**mixed, accounts=(own, WHOLE.accounts[1]))
    assert fault == "account main/trunk has overrides, and plans that are priced in EUR, USD"
    assert changed(accounts=(own, WHOLE.accounts[1])) == []


def test_a_pair_has_so_many_rates_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "PAIR_RATES_MAX", 1)
    [fault] = changed(conversions=(*WHOLE.conversions, conversion("EUR", "USD", begins=5)))
    assert fault == "tenant main has more than 1 rates from EUR to USD"


PAST = conversion("EUR", "USD", begins=100)
ENDED = conversion("EUR", "USD", begins=100, ends=500)
COMING = conversion("EUR", "USD", begins=2_000)


@pytest.mark.parametrize(
    ("before", "wanted", "told"),
    [
        ((), (PAST, replace(PAST, begins=200)), ""),  # the first rates of a pair may lie in the past
        ((PAST,), (PAST,), ""),
        ((PAST,), (replace(PAST, rate=2),), "cannot be changed"),
        ((COMING,), (replace(COMING, rate=2),), ""),
        ((PAST,), (replace(PAST, ends=NOW),), ""),
        ((PAST,), (replace(PAST, ends=NOW - 1),), "not before now"),
        ((ENDED,), (replace(ENDED, ends=None),), "it has ended"),
        ((replace(PAST, ends=NOW + 1),), (replace(PAST, ends=None),), ""),
        ((PAST,), (replace(PAST, begins=NOW),), ""),
        ((PAST,), (replace(PAST, begins=NOW - 1),), "has been in force since then"),
        ((PAST,), (replace(PAST, begins=50),), "has been in force since then"),
        ((PAST,), (replace(PAST, begins=50, ends=100),), ""),
        ((ENDED,), (replace(PAST, begins=500),), ""),  # nothing was in force since
        ((ENDED,), (replace(PAST, begins=499),), "has been in force since then"),
        ((COMING,), (replace(PAST, begins=50),), ""),
        ((PAST,), (conversion("GBP", "USD", begins=100),), ""),
        ((PAST,), (replace(PAST, tenant="ray", begins=200),), ""),
    ],
)  # fmt: skip
def test_what_has_been_in_force_is_never_altered(
    before: tuple[ConversionSpec, ...], wanted: tuple[ConversionSpec, ...], told: str
) -> None:
    found = list(alterations(before, wanted, NOW))
    assert bool(found) is bool(told)
    assert all(told in each and each.startswith("conversion main/EUR-USD-1970-01-01T00:00:00.0") for each in found)


def test_a_rate_is_an_exact_ratio() -> None:
    assert conversion("EUR", "USD", rate=parse_nano("0.000000001")).rate == 1
