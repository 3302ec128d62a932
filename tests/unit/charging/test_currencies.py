"""Calls whose chain crosses currencies: a table in euro, carriers in pounds and euro, a reseller who is paid in euro.

Rates are stated from START - DAY on. Alice is kept in dollars and sold at 0.60 EUR a minute; rita pays ray in euro, and
ray pays the owner in dollars.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from daemon.authorize.catalog import Catalog
from daemon.authorize.decision import Denied, Granted
from daemon.authorize.quote import Trace
from daemon.charging.cdr import RatedCdr
from daemon.kernel.ids import Key
from daemon.kernel.instant import DAY, NEVER, SECOND, Instant, format_rfc3339
from daemon.kernel.money import NANO, Rounding, parse_nano
from daemon.ledger.account import Standing
from daemon.rating.conversion import Conversions, StatedRate
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import RateTable
from tests.decks import read_deck
from tests.unit.charging.desk import (
    ALICE,
    BUY,
    RAY,
    RENEWABLE,
    RETAIL,
    START,
    TRUNK,
    TRUNK_ACCOUNT,
    Desk,
    catalog,
    with_account,
)

RETAIL_DECK = "prefix,rate,first_seconds,next_seconds,blocked\n44,0.60,1,1,\n1900,9.00,1,1,true\n"
RAYS = Key("ray", "retail")
BEGAN: Instant = START - DAY


def table(key: Key, text: str, currency: str) -> RateTable:
    rows, errors = read_deck(text, f"{key.id}.csv")
    made, errors = RateTable.from_rows(rows, table=key.id, version=1, currency=currency, rounding=Rounding.UP)
    assert made is not None, errors
    return made


def stated(
    source: str, target: str, rate: str, begins: Instant = BEGAN, ends: Instant = NEVER, tenant: str = "main"
) -> StatedRate:
    return StatedRate(tenant, source, target, parse_nano(rate), begins, ends)


RATES = (stated("EUR", "USD", "1.10"), stated("GBP", "USD", "1.25"), stated("USD", "EUR", "0.95"))


def world(*rates: StatedRate, **changes: object) -> Desk:
    """Return a desk whose rates are RATES, but for the pairs that are stated."""
    pairs = {(each.source, each.target) for each in rates}
    found = [*rates, *(each for each in RATES if (each.source, each.target) not in pairs)]
    desk = Desk(crossing(Conversions(found, {"ray": "main"}), **changes))
    desk.fund(ALICE, "6.60")
    desk.fund(RAY, "5.00")
    return desk


def crossing(conversions: Conversions, **changes: object) -> Catalog:
    retail, buy = table(RETAIL, RETAIL_DECK, "EUR"), table(BUY, "prefix,rate\n44,0.10\n", "GBP")
    base = catalog(conversions=conversions)
    base = replace(
        base,
        tables={**base.tables, RETAIL: retail, BUY: buy},
        plans={**base.plans, RETAIL: RatePlan("retail", (retail,)), RAYS: RatePlan("retail", (retail,))},
    )
    return with_account(with_account(base, RAY, currency="EUR"), ALICE, **changes)


async def talked(desk: Desk, name: str, seconds: int, payer: Key = ALICE) -> list[RatedCdr]:
    """Return the records of one whole call."""
    granted = (await desk.ask(name, payer=payer)).decision
    assert isinstance(granted, Granted), granted
    await desk.answer(name, payer=payer)
    desk.wait(seconds)
    await desk.end(name, payer=payer, duration_us=seconds * SECOND)
    return [record for record in desk.store.written if record.call_id == name]


def exceptions(desk: Desk) -> list[tuple[str, str]]:
    return [(item.kind, item.detail) for item in desk.store.exceptions]


class TestOneLevel:
    async def test_a_call_is_charged_in_the_accounts_currency_and_says_how(self) -> None:
        desk = world()
        (record,) = await talked(desk, "c1", 60)
        assert (record.charge, record.currency) == (parse_nano("0.66"), "USD")
        assert (record.rate, record.rate_currency) == (parse_nano("0.60"), "EUR")
        date = format_rfc3339(BEGAN)
        assert record.rounding == f"4 up after EUR to USD at 1.10 of {date}, duration up"
        assert desk.standing(ALICE).balance == parse_nano("5.94")

    async def test_the_carriers_cost_is_kept_in_its_currency_and_in_ours(self) -> None:
        (record,) = await talked(world(), "c1", 60)
        assert (record.carrier, record.supplier_cost, record.supplier_currency) == ("cheap", parse_nano("0.10"), "GBP")
        assert (record.cost, record.margin) == (parse_nano("0.125"), parse_nano("0.535"))
        assert record.cost_conversion is not None
        assert record.cost_conversion.rate == parse_nano("1.25")

    async def test_a_cost_is_never_converted_to_less_than_is_owed(self) -> None:
        (record,) = await talked(world(stated("GBP", "USD", "1.000000003")), "c1", 7)
        # 7 s at 0.10 GBP are 0.0117 of the carrier's rounding: 0.0117000000351 USD.
        assert (record.supplier_cost, record.cost) == (parse_nano("0.0117"), parse_nano("0.011700001"))

    async def test_the_money_lasts_to_the_second(self) -> None:
        granted = (await world().ask("c1")).decision
        assert isinstance(granted, Granted)
        assert (granted.seconds, granted.reserved, granted.currency) == (600, parse_nano("6.60"), "USD")

    async def test_limits_bear_on_the_accounts_currency(self) -> None:
        for limit in ("daily_spend", "max_call_charge"):
            granted = (await world(**{limit: parse_nano("0.33")}).ask("c1")).decision
            assert isinstance(granted, Granted)
            assert granted.seconds == 30

    async def test_carriers_are_ordered_by_what_they_cost_in_one_currency(self) -> None:
        # The other carrier's table is 0.60 EUR: at 0.10 USD for 1 EUR it is the cheaper one.
        desk = world(stated("EUR", "USD", "0.10"), margin_floor_percent=None)
        granted = (await desk.ask("c1")).decision
        assert isinstance(granted, Granted)
        assert [route.carrier.id for route in granted.routes] == ["dear", "cheap"]

    async def test_a_slice_that_is_renewed_is_held_at_the_rate_of_the_answer(self) -> None:
        desk = world(stated("EUR", "USD", "1.10"), stated("EUR", "USD", "1.20", START + 400 * SECOND))
        await desk.ask("c1", renewable=True)
        await desk.answer("c1", road=RENEWABLE)
        desk.wait(500)
        outcome = await desk.alive("c1", renew=True, road=RENEWABLE)
        assert outcome.call is not None
        assert outcome.call.levels[0].reserved == outcome.call.granted_seconds * parse_nano("0.011")


class TestDates:
    async def test_a_grant_is_held_at_the_dearest_rate_until_its_answer_tells_which(self) -> None:
        dear = stated("EUR", "USD", "1.20", START + 30 * SECOND)
        desk = world(stated("EUR", "USD", "1.10"), dear)
        granted = (await desk.ask("c1", hears_answer=True)).decision
        assert isinstance(granted, Granted)
        assert (granted.seconds, granted.reserved) == (550, parse_nano("6.60"))  # 0.012 a second
        desk.wait(29)
        call = (await desk.answer("c1")).call
        assert call is not None
        assert call.levels[0].reserved == parse_nano("6.05")
        desk.wait(60)
        await desk.end("c1", duration_us=60 * SECOND)
        assert [record.charge for record in desk.store.written] == [parse_nano("0.66")]

    async def test_a_call_answered_after_it_took_over_is_charged_by_it(self) -> None:
        desk = world(stated("EUR", "USD", "1.10"), stated("EUR", "USD", "1.20", START + 30 * SECOND))
        await desk.ask("c1")
        desk.wait(30)
        await desk.answer("c1")
        desk.wait(60)
        await desk.end("c1", duration_us=60 * SECOND)
        assert [record.charge for record in desk.store.written] == [parse_nano("0.72")]
        assert exceptions(desk) == []

    async def test_a_running_call_goes_on_at_the_rate_of_its_answer(self) -> None:
        desk = world(stated("EUR", "USD", "1.10"), stated("EUR", "USD", "9.99", START + 30 * SECOND))
        (record,) = await talked(desk, "c1", 60)
        assert record.charge == parse_nano("0.66")

    async def test_a_margin_is_compared_at_one_instant(self) -> None:
        # Sold and bought in euro at 0.60 and 0.59: whatever a euro is worth, the same at both ends.
        change = START + 30 * SECOND
        desk = world(stated("EUR", "USD", "1.10"), stated("EUR", "USD", "1.00", change), margin_floor_percent=NANO)
        bought = table(BUY, "prefix,rate\n44,0.59\n", "EUR")
        found = replace(desk.catalog_value, tables={**desk.catalog_value.tables, BUY: bought})
        desk.catalog_value = found
        granted = (await desk.ask("c1")).decision
        assert isinstance(granted, Granted)
        assert [route.carrier.id for route in granted.routes] == ["cheap"]


class TestWithoutARate:
    async def test_a_table_in_another_currency_is_unrated(self) -> None:
        desk = world(stated("EUR", "USD", "1.10", BEGAN, START))
        denied = (await desk.ask("c1")).decision
        assert isinstance(denied, Denied)
        assert denied.denial.value == "destination_unrated"
        assert denied.reason == (
            "prefix 44 of retail is priced in EUR: no conversion from EUR to USD is in force, the last of main has "
            "ended; add a [[conversion]]"
        )

    async def test_one_that_is_still_to_come_serves_no_call(self) -> None:
        denied = (await world(stated("EUR", "USD", "1.10", START + 1)).ask("c1")).decision
        assert isinstance(denied, Denied)
        assert "that of main begins later" in denied.reason

    async def test_a_blocked_number_is_blocked_all_the_same(self) -> None:
        denied = (await world(stated("EUR", "USD", "1.10", BEGAN, START)).ask("c1", "1900555")).decision
        assert isinstance(denied, Denied)
        assert denied.denial.value == "destination_blocked"

    async def test_carriers_are_left_out(self) -> None:
        desk = world(stated("GBP", "USD", "1.25", BEGAN, START))
        granted = (await desk.ask("c1")).decision
        assert isinstance(granted, Granted)
        assert [route.carrier.id for route in granted.routes] == ["dear"]
        desk.catalog_value = replace(desk.catalog_value, carriers={"main": desk.catalog_value.carriers["main"][:1]})
        denied = (await desk.ask("c2")).decision
        assert isinstance(denied, Denied)
        assert denied.denial.value == "no_carrier"
        assert "no conversion from GBP to USD is in force" in denied.reason

    async def test_a_call_answered_when_it_has_ended_is_charged_by_the_last_and_listed_once(self) -> None:
        desk = world(stated("EUR", "USD", "1.10", BEGAN, START + 30 * SECOND))
        await desk.ask("c1")
        desk.wait(31)
        await desk.answer("c1")
        desk.wait(60)
        await desk.end("c1", duration_us=60 * SECOND)
        assert [record.charge for record in desk.store.written] == [parse_nano("0.66")]
        [(kind, detail)] = exceptions(desk)
        assert kind == "conversion_lapsed"
        assert detail.startswith("charged by EUR to USD at 1.10 of ")
        assert "was no longer in force at the answer" in detail

    async def test_a_carriers_cost_at_a_rate_that_ended_is_listed_too(self) -> None:
        desk = world(stated("GBP", "USD", "1.25", BEGAN, START + 30 * SECOND))
        await desk.ask("c1")
        desk.wait(31)
        await desk.answer("c1")
        desk.wait(60)
        await desk.end("c1", duration_us=60 * SECOND)
        assert [record.cost for record in desk.store.written] == [parse_nano("0.125")]
        assert [kind for kind, _ in exceptions(desk)] == ["conversion_lapsed"]

    @pytest.mark.parametrize(
        ("rate", "charge", "told"),
        [
            (stated("EUR", "USD", "1.10", BEGAN, START), "0.66", "was no longer in force"),
            (stated("EUR", "USD", "1.20", START + DAY), "0.72", "is not yet in force"),
        ],
    )
    async def test_a_call_that_nobody_asked_about_is_never_free(self, rate: StatedRate, charge: str, told: str) -> None:
        desk = world(rate)
        await desk.answer("c1")
        desk.wait(60)
        await desk.end("c1", duration_us=60 * SECOND)
        assert [record.charge for record in desk.store.written] == [parse_nano(charge)]
        assert [kind for kind, _ in exceptions(desk)] == ["unauthorised", "conversion_lapsed"]
        assert told in exceptions(desk)[1][1]

    async def test_where_nobody_states_the_pair_such_a_call_is_listed_as_unrated(self) -> None:
        desk = world()
        desk.catalog_value = crossing(Conversions())
        await desk.end("c1", duration_us=60 * SECOND, answered_at=START)
        assert desk.store.written == []
        assert [kind for kind, _ in exceptions(desk)] == ["unrated"]

    async def test_a_blocked_call_that_happened_is_charged_in_the_right_currency_or_not_at_all(self) -> None:
        desk = world(stated("EUR", "USD", "1.10", BEGAN, START))
        await desk.end("c1", to="1900555", duration_us=60 * SECOND, answered_at=START)
        assert [(record.charge, record.currency) for record in desk.store.written] == [(parse_nano("9.90"), "USD")]
        desk.catalog_value = crossing(Conversions())
        await desk.end("c2", to="1900555", duration_us=60 * SECOND, answered_at=START)
        assert len(desk.store.written) == 1


class TestAChain:
    async def test_each_level_is_charged_in_its_own_currency_and_margins_meet(self) -> None:
        desk = world()
        low, high = await talked(desk, "c1", 60, RAY)
        assert (low.charge, low.currency, low.cost) == (parse_nano("0.60"), "EUR", parse_nano("0.285"))
        assert (low.supplier_cost, low.supplier_currency) == (parse_nano("0.30"), "USD")
        assert low.margin == parse_nano("0.315")
        assert (high.charge, high.currency) == (parse_nano("0.30"), "USD")
        assert (high.cost, high.supplier_cost) == (parse_nano("0.125"), parse_nano("0.10"))
        assert desk.standing(RAY).balance == parse_nano("4.40")
        assert desk.standing(TRUNK_ACCOUNT).balance == -parse_nano("0.30")

    async def test_a_reseller_that_states_the_pair_has_its_own_rate(self) -> None:
        low, _ = await talked(world(*RATES, stated("USD", "EUR", "0.80", tenant="ray")), "c1", 60, RAY)
        assert low.cost == parse_nano("0.24")

    @pytest.mark.parametrize(("rate", "result"), [("1.99", "granted"), ("2.01", "margin_below_floor")])
    async def test_a_floor_holds_across_currencies(self, rate: str, result: str) -> None:
        decision = (await world(stated("USD", "EUR", rate)).ask("c1", payer=RAY)).decision
        assert (decision.denial.value if isinstance(decision, Denied) else "granted") == result

    async def test_where_the_cost_is_unknown_no_margin_holds(self) -> None:
        desk = world(stated("USD", "EUR", "0.95", BEGAN, START))
        decision, trace = desk.ocf.explain(desk.attempt("c1", payer=RAY), _rich)
        assert isinstance(decision, Denied)
        assert decision.denial.value == "margin_below_floor"
        assert "no conversion from USD to EUR is in force" in decision.reason
        assert next(_failed(trace)).startswith("ray/rita: no conversion from USD to EUR")

    async def test_a_switch_that_routes_itself_is_served_and_the_cost_listed(self) -> None:
        desk = world(stated("USD", "EUR", "0.95", BEGAN, START))
        await desk.ask("c1", payer=RAY, routed=False)
        await desk.answer("c1", payer=RAY)
        desk.wait(60)
        await desk.end("c1", payer=RAY, duration_us=60 * SECOND)
        assert [record.cost for record in desk.store.written] == [parse_nano("0.285"), 0]
        assert [kind for kind, _ in exceptions(desk)] == ["conversion_lapsed"]

    async def test_a_level_above_without_a_rate_refuses_and_what_happened_is_charged(self) -> None:
        desk = world(stated("EUR", "USD", "1.10", BEGAN, START))
        found = desk.catalog_value
        upper = RatePlan("trunk", (table(TRUNK, "prefix,rate\n44,0.30\n", "EUR"),))
        desk.catalog_value = replace(found, plans={**found.plans, TRUNK: upper})
        denied = (await desk.ask("c1", payer=RAY)).decision
        assert isinstance(denied, Denied)
        assert denied.denial.value == "upstream_refused"
        await desk.answer("c2", payer=RAY)
        desk.wait(60)
        await desk.end("c2", payer=RAY, duration_us=60 * SECOND)
        assert [(record.charge, record.currency) for record in desk.store.written] == [
            (parse_nano("0.60"), "EUR"), (parse_nano("0.33"), "USD"),
        ]  # fmt: skip
        assert [kind for kind, _ in exceptions(desk)] == ["unauthorised", "conversion_lapsed"]

    async def test_an_unasked_call_that_the_level_above_cannot_price_is_listed_and_breaks_nothing(self) -> None:
        desk = world()
        found = desk.catalog_value
        desk.catalog_value = replace(found, plans={**found.plans, TRUNK: RatePlan("trunk", ())})
        await desk.answer("c1", payer=RAY)
        assert desk.store.written == []
        assert [kind for kind, _ in exceptions(desk)] == ["unrated"]

    async def test_a_correction_takes_back_what_the_supplier_was_owed(self) -> None:
        desk = world()
        await desk.ask("c1", payer=RAY)
        await desk.answer("c1", payer=RAY)
        desk.wait(10_000)
        await desk.ocf.expire_due()
        await desk.end("c1", payer=RAY, duration_us=60 * SECOND)
        lows = [record for record in desk.store.written if record.tenant == "ray"]
        assert [record.status for record in lows] == ["rated", "reversal", "rated"]
        assert sum(record.supplier_cost for record in lows) == parse_nano("0.30")
        assert sum(record.cost for record in lows) == parse_nano("0.285")


def _rich(number: int) -> Standing:
    return Standing(number, balance=100 * NANO)


def _failed(trace: Trace) -> Iterator[str]:
    return (rule.detail for rule in trace if not rule.passed)


def test_an_explanation_says_the_rates_it_compared_at() -> None:
    desk = world()
    _, trace = desk.ocf.explain(desk.attempt("c1", payer=RAY), _rich)
    told = {rule.name: rule.detail for rule in trace}
    assert "USD to EUR at 0.95" in told["margin"]
    assert "GBP to USD at 1.25" in told["margin"]
    _, trace = desk.ocf.explain(desk.attempt("c1"), _rich)
    assert ", EUR to USD at 1.10 of " in {rule.name: rule.detail for rule in trace}["rate"]
