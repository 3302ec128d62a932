"""What one account is asked: each plan for its own part of a window, on-net by DID, own prices for outbound calls."""

from dataclasses import replace

import pytest

from daemon.authorize.catalog import AccountKind, AccountTerms, Catalog, DatedPlan, Endpoints, Tenant
from daemon.authorize.pricing import Service, found_for, tariffs_for, unrated_reason
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import DAY, SECOND, Instant, parse_rfc3339, zone
from daemon.rating.account_rates import AccountRates, ClassOfService
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import Policy, RateTable
from daemon.rating.tariff import Gap
from daemon.rating.time_band import TimeBand, parse_intervals
from tests.decks import read_deck

NOON = parse_rfc3339("2026-11-26T12:00:00Z")  # a Thursday
PEAK = TimeBand("peak", parse_intervals("mon-fri 08:00-20:00"))
OUT, IN = Direction.OUTBOUND, Direction.INBOUND
UK, DID, NORWAY = "442071231234", "442079460000", "4721234567"


def table(name: str, text: str) -> RateTable:
    rows, errors = read_deck(text, name)
    assert not errors, errors
    made, errors = RateTable.of(Policy(name, 1, "USD", bands=(PEAK,)), rows)
    assert made is not None, errors
    return made


NOW = table("now", "prefix,rate,time_band\n44,0.06,\n49,0.06,peak\n")
NEXT = table("next", "prefix,rate,time_band\n44,0.12,\n47,0.05,\n")
ON_NET = table("on-net", "prefix,rate\n44,0.01\n")
PLANS = {
    Key("main", "now"): RatePlan("now", (NOW,), on_net=(ON_NET,)), Key("main", "next"): RatePlan("next", (NEXT,)),
}  # fmt: skip
ACME = AccountTerms(
    1, Key("main", "acme"), AccountKind.PREPAID, "USD", zone("UTC"),
    plans=(DatedPlan(0, Key("main", "now")), DatedPlan(NOON + 60 * SECOND, Key("main", "next"))),
    inbound_plans=(DatedPlan(0, Key("main", "now")),),
    rates=AccountRates(Policy("override", 0, "USD"), {"4420": 5}, ClassOfService("c", block=frozenset({"441"}))),
)  # fmt: skip
CATALOG = Catalog(
    1, {"main": Tenant("main", "USD", zone("UTC"))}, {ACME.key: ACME}, {1: ACME}, PLANS, {}, {},
    Endpoints(dids={DID: (ACME.key,)}),
)  # fmt: skip
PLAIN = replace(ACME, rates=None)


def rates(account: AccountTerms, called: str, start: Instant, end: Instant, direction: Direction = OUT) -> list[int]:
    return [tariff.rate for tariff in tariffs_for(CATALOG, account, direction, called, start, end)]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, 59 * SECOND, [60]),
        (0, 60 * SECOND - 1, [60]),
        (0, 60 * SECOND, [60, 120]),
        (60 * SECOND, 60 * SECOND, [120]),
        (60 * SECOND, 120 * SECOND, [120]),
    ],
)
def test_a_plan_is_asked_for_its_own_time(start: int, end: int, expected: list[int]) -> None:
    assert rates(PLAIN, UK, NOON + start, NOON + end) == [rate * 1_000_000 for rate in expected]


def test_what_only_the_later_plan_knows_is_unrated_now() -> None:
    assert rates(PLAIN, NORWAY, NOON, NOON + 90 * SECOND) == []
    assert rates(PLAIN, NORWAY, NOON + 60 * SECOND, NOON + 90 * SECOND) == [50_000_000]


def test_what_the_later_plan_does_not_know_stays_at_the_earlier() -> None:
    assert rates(PLAIN, "4930123456", NOON, NOON + 90 * SECOND) == [60_000_000]


def test_the_tenants_own_numbers_are_on_net_for_outbound_calls() -> None:
    assert rates(PLAIN, DID, NOON, NOON) == [10_000_000]
    assert rates(PLAIN, DID, NOON, NOON, IN) == [60_000_000]
    other = replace(PLAIN, key=Key("ray", "acme"))
    assert rates(other, DID, NOON, NOON) == [60_000_000], "it is no number of that tenant"


def test_own_prices_and_class_count_for_outbound_calls() -> None:
    assert rates(ACME, UK, NOON, NOON) == [5]
    assert rates(ACME, UK, NOON, NOON, IN) == [60_000_000]
    [blocked] = tariffs_for(CATALOG, ACME, OUT, "441612345678", NOON, NOON)
    assert (blocked.blocked, blocked.prefix) == (True, "441")


def test_a_time_without_a_band_is_named() -> None:
    saturday = NOON + 2 * DAY - 60 * SECOND
    early = replace(PLAIN, plans=PLAIN.plans[:1])
    assert found_for(CATALOG, early, OUT, "4930123456", saturday) == Gap("now", "49", "")
    assert "prefix 49 of now is priced by time" in unrated_reason(CATALOG, early, OUT, "4930123456", saturday)
    assert "no rate" in unrated_reason(CATALOG, early, OUT, "8612345678", saturday)


def test_without_a_plan_nothing_is_rated() -> None:
    none = replace(PLAIN, plans=())
    assert found_for(CATALOG, none, OUT, UK, NOON) is None
    assert rates(none, UK, NOON, NOON + SECOND) == []
    missing = replace(PLAIN, plans=(DatedPlan(0, Key("main", "gone")),))
    assert rates(missing, UK, NOON, NOON) == []


def test_the_service_is_what_a_record_says() -> None:
    assert tariffs_for(CATALOG, PLAIN, OUT, UK, NOON, NOON, Service(rate_type="per_message")) == ()
