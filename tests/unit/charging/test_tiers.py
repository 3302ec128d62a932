"""Tiers on live calls: chosen by the volume of the account's period, graduated and whole, counted and taken back."""

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from daemon.authorize.decision import Granted
from daemon.billing_export.usage import COLUMNS, UsageLine
from daemon.charging.call import Call
from daemon.charging.event import Outcome
from daemon.kernel.instant import SECOND, parse_rfc3339
from daemon.kernel.money import parse_nano
from daemon.rating.bundle import Bundle, volume_meter
from daemon.rating.deck import RateRow, Terms
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import Policy, RateTable
from daemon.rating.rate_type import RateType
from tests.unit.charging.desk import ALICE, RENEWABLE, RETAIL, Desk, catalog, with_account

# 0.60 a minute for the first 100 seconds of a period, 0.30 from there on.
ROWS = (
    RateRow("44", parse_nano("0.60"), "UK", Terms()),
    RateRow("44", parse_nano("0.30"), "UK", Terms(tier_from=100)),
)


def desk_of(rule: str, period: str = "month", **terms: object) -> Desk:
    """Return a desk on which alice's table has tiers."""
    made, errors = RateTable.of(Policy("retail", 1, "USD", tiers=rule, tier_period=period), ROWS)
    assert made is not None, errors
    found = with_account(catalog(), ALICE, margin_floor_percent=None, **terms)
    found = replace(found, plans={**found.plans, RETAIL: RatePlan("retail", (made,))})
    desk = Desk(found)
    desk.fund(ALICE, "100.00")
    return desk


def charge(outcome: Outcome) -> int:
    assert outcome.call is not None
    return outcome.call.posted[0].charge


def volume(desk: Desk, period: str = "month") -> int:
    return desk.store.meters[1, volume_meter("retail", period)].used


async def call(desk: Desk, name: str, seconds: int) -> int:
    """Return the charge of one whole call."""
    await desk.ask(name)
    await desk.answer(name)
    desk.wait(seconds)
    return charge(await desk.end(name, duration_us=seconds * SECOND))


class TestBoundaries:
    async def test_graduated_each_second_has_the_rate_of_its_tier(self) -> None:
        desk = desk_of("graduated")
        assert await call(desk, "c1", 80) == parse_nano("0.80")
        assert await call(desk, "c2", 60) == parse_nano("0.20") + parse_nano("0.20")
        assert await call(desk, "c3", 60) == parse_nano("0.30")
        assert volume(desk) == 200
        assert [(record.tier, record.volume) for record in desk.store.written] == [(0, 0), (0, 80), (100, 140)]

    async def test_whole_a_call_has_the_tier_that_the_volume_before_it_reached(self) -> None:
        desk = desk_of("whole")
        assert await call(desk, "c1", 80) == parse_nano("0.80")
        assert await call(desk, "c2", 60) == parse_nano("0.60")
        assert await call(desk, "c3", 60) == parse_nano("0.30")
        assert sum(record.charge for record in desk.store.written) == parse_nano("1.70")  # nothing is priced again

    @pytest.mark.parametrize("rule", ["graduated", "whole"])
    async def test_what_is_reserved_is_what_is_charged(self, rule: str) -> None:
        desk = desk_of(rule)
        await call(desk, "c1", 90)
        await desk.ask("c2", renewable=True)
        await desk.answer("c2", road=RENEWABLE)
        held = (await desk.alive("c2", renew=True, road=RENEWABLE)).call
        assert held is not None
        reserved, seconds = held.levels[0].reserved, held.granted_seconds
        assert charge(await desk.end("c2", duration_us=seconds * SECOND, road=RENEWABLE)) == reserved

    async def test_a_call_that_crosses_into_the_cheaper_tier_is_granted_for_as_long(self) -> None:
        desk = desk_of("graduated")
        desk.fund(ALICE, "-98.50")
        decided = await desk.ask("c1")
        assert isinstance(decided.decision, Granted)
        assert decided.decision.seconds == 100 + 100


class TestPeriods:
    async def test_each_period_counts_from_nothing_in_the_accounts_zone(self) -> None:
        desk = desk_of("whole", "day", zone=ZoneInfo("America/New_York"))
        desk.now = parse_rfc3339("2026-06-01T03:00:00Z")  # still the last of May there
        await call(desk, "c1", 120)
        assert await call(desk, "c2", 60) == parse_nano("0.30")
        desk.now = parse_rfc3339("2026-06-01T04:00:00Z")
        assert await call(desk, "c3", 60) == parse_nano("0.60")
        assert volume(desk, "day") == 60

    async def test_the_answer_decides_and_not_the_question(self) -> None:
        desk = desk_of("whole", "day")
        desk.now = parse_rfc3339("2026-06-01T23:00:00Z")
        await call(desk, "c1", 120)
        desk.now = parse_rfc3339("2026-06-01T23:59:50Z")
        assert _tier((await desk.ask("c2")).call) == 100
        desk.wait(20)
        assert _tier((await desk.answer("c2")).call) == 0

    async def test_a_late_answer_of_a_closed_period_keeps_the_tier_of_its_question(self) -> None:
        desk = desk_of("whole", "day")
        desk.now = parse_rfc3339("2026-06-01T23:00:00Z")
        await call(desk, "c1", 120)
        desk.now = parse_rfc3339("2026-06-01T23:59:40Z")
        await desk.ask("c2")
        desk.wait(5)
        answered_at = desk.now
        desk.wait(60)
        await call(desk, "c3", 10)
        assert _tier((await desk.answer("c2", answered_at=answered_at)).call) == 100
        await desk.end("c2", duration_us=30 * SECOND)
        assert volume(desk, "day") == 10


def _tier(found: Call | None) -> int:
    assert found is not None
    return found.levels[0].tariffs[0].tier


class TestCounting:
    async def test_seconds_that_a_bundle_paid_do_not_count(self) -> None:
        desk = desk_of("whole", bundles=(Bundle("b", 50),))
        assert await call(desk, "c1", 80) == parse_nano("0.30")
        assert volume(desk) == 30

    async def test_a_reversal_takes_the_volume_off_and_the_true_end_adds_its_own(self) -> None:
        desk = desk_of("whole")
        await desk.ask("c1")
        await desk.answer("c1")
        desk.wait(10)
        await desk.alive("c1")
        desk.wait(8_000)
        await desk.ocf.expire_due()
        assert volume(desk) == 10
        assert charge(await desk.end("c1", duration_us=120 * SECOND)) == parse_nano("1.20")
        assert volume(desk) == 120
        assert [sum(units.units for units in record.metered) for record in desk.store.written] == [10, -10, 120]

    async def test_a_call_that_nobody_asked_about_is_priced_by_the_volume_too(self) -> None:
        desk = desk_of("whole")
        await call(desk, "c1", 120)
        answered = await desk.answer("c2")
        assert _tier(answered.call) == 100
        assert charge(await desk.end("c3", duration_us=60 * SECOND)) == parse_nano("0.30")
        assert volume(desk) == 180

    async def test_a_record_carries_what_its_rate_says(self) -> None:
        terms = Terms(tax_code="T1", ledger_code="4000", rate_type="local")
        local = RateType("local", "second", 60)
        made, errors = RateTable.of(
            Policy("retail", 3, "USD", rate_types={"local": local}), (RateRow("44", parse_nano("0.60"), "UK", terms),)
        )
        assert made is not None, errors
        desk = desk_of("whole", bundles=(Bundle("b", 50),))
        plans = {**desk.catalog_value.plans, RETAIL: RatePlan("retail", (made,))}
        desk.catalog_value = replace(desk.catalog_value, plans=plans)
        await call(desk, "c1", 80)
        line = UsageLine(desk.store.written[0], late=False)
        names = ("tax_code", "ledger_code", "rate_type", "unit", "units", "bundle_units", "billed_seconds", "charge")
        assert [COLUMNS[name](line) for name in names] == ["T1", "4000", "local", "second", 30, 50, 30, "0.30"]

    async def test_the_explanation_tells_the_tier(self) -> None:
        desk = desk_of("whole")
        await call(desk, "c1", 120)
        reads = desk.ocf.quote_reads(desk.attempt("x"))
        assert reads.meters == ((1, volume_meter("retail", "month")),)
        _, trace = desk.ocf.explain(desk.attempt("x"), desk.store_standing, meters=lambda *key: desk.store.meters[key])
        (told,) = [rule.detail for rule in trace if rule.name == "tier"]
        assert told.startswith("120 of the period before reach the tier from 100: prefix 44 of retail version 1: 0.30 ")
