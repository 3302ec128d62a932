"""Routes: the order and its words, carriers' calls a second, tables by override value."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from daemon.authorize.carrier_rates import carrier_tariffs
from daemon.authorize.catalog import Carrier, Catalog
from daemon.authorize.decide import decide, prepare
from daemon.authorize.decision import Denied, Granted
from daemon.authorize.quality import Quality
from daemon.authorize.quote import Limits, Quote, Trace
from daemon.authorize.route_order import Candidate, ordered
from daemon.kernel.ids import Key
from daemon.kernel.instant import SECOND
from daemon.kernel.money import NANO, Rounding
from daemon.ledger.account import Standing
from daemon.rating.rate_table import RateTable
from tests.decks import read_deck
from tests.unit.charging.desk import BUY, CARRIERS, START, Desk, catalog

GOOD, FAIR, SHORT = Quality(100, 95, 9_500, 9, 3), Quality(100, 40, 4_000, 4, 3), Quality(100, 95, 950, 9, 0)


def candidate(name: str, cost: int = 1, quality: Quality | None = None, weight: int = 1) -> Candidate:
    carrier = Carrier(len(name), Key("main", name), BUY, "{number}", weight=weight)
    return Candidate(cost, carrier, (), (), quality)


def order(*found: Candidate, call: str = "c1") -> list[str]:
    return [each.carrier.key.id for each in ordered(found, call)]


def test_cost_comes_first_then_asr_then_acd_and_the_unknown_have_the_benefit_of_the_doubt() -> None:
    found = [
        candidate("dear", 2, GOOD), candidate("fair", 1, FAIR), candidate("short", 1, SHORT),
        candidate("good", 1, GOOD), candidate("new", 1),
    ]  # fmt: skip
    assert order(*found) == ["new", "good", "short", "fair", "dear"]
    assert order() == []
    assert order(found[0]) == ["dear"]


def test_where_the_costs_differ_nothing_else_is_asked() -> None:
    assert order(candidate("dear", 2, GOOD), candidate("cheap", 1, FAIR)) == ["cheap", "dear"]


def test_weight_draws_among_those_that_are_alike_and_the_call_id_is_the_draw() -> None:
    heavy, light = candidate("heavy", weight=3), candidate("light")
    firsts = Counter(order(heavy, light, call=f"call-{number}")[0] for number in range(4_000))
    assert 2_850 < firsts["heavy"] < 3_150, firsts
    assert order(heavy, light, call="x") == order(light, heavy, call="x")


def world(**carriers: object) -> Catalog:
    """Return a catalog whose two carriers buy alike and are changed."""
    cheap, dear = catalog().carriers["main"]
    return replace(catalog(), carriers={"main": (replace(cheap, **carriers), replace(dear, table=BUY, **carriers))})  # type: ignore[arg-type]


def asked(found: Catalog, call: str = "c1", trace: Trace | None = None, **standing: object) -> Granted | Denied:
    quote = prepare(found, Desk().attempt(call), START, Limits(), trace)
    assert isinstance(quote, Quote)
    standings = {number: Standing(number, **standing) for number in CARRIERS.values()}  # type: ignore[arg-type]
    return decide(quote, {1: Standing(1, balance=NANO), **standings}.__getitem__, Limits(), START, "g", trace)


def routes(decision: Granted | Denied) -> list[str]:
    assert isinstance(decision, Granted)
    return [route.carrier.id for route in decision.routes]


def test_the_order_is_by_the_grades_of_the_numbers_group_and_told() -> None:
    found = replace(world(), quality={(CARRIERS["cheap"], "442"): FAIR, (CARRIERS["dear"], "442"): GOOD})
    trace: Trace = []
    assert routes(asked(found, trace=trace)) == ["dear", "cheap"]
    told = [rule for rule in trace if rule.name == "carrier"]
    assert [rule.detail for rule in told] == [
        "carriers with a valid rate: 2",
        "1. dear: 0.10 USD for the first minute, ASR 95.0 % of 100 (grade 9), ACD 100 s (grade 3), weight 1",
        "2. cheap: 0.10 USD for the first minute, ASR 40.0 % of 100 (grade 4), ACD 100 s (grade 3), weight 1",
    ]
    assert {rule.level for rule in told} == {Key("main", "alice")}
    other = replace(found, quality={(CARRIERS["cheap"], "49"): FAIR})
    firsts = {routes(asked(other, f"c{number}"))[0] for number in range(20)}
    assert firsts == {"cheap", "dear"}, "what it does for other numbers is not asked"


def test_a_carrier_at_its_calls_a_second_is_left_out_and_the_last_one_refuses() -> None:
    second = START // SECOND
    trace: Trace = []
    full: dict[str, Any] = {"second": second, "second_calls": 3}
    denied = asked(world(calls_per_second=3), trace=trace, **full)
    assert isinstance(denied, Denied)
    assert denied.denial.value == "calls_per_second"
    assert [rule.detail for rule in trace if rule.name == "carrier_calls_per_second" and not rule.passed][:2] == [
        f"{name}: 3 calls in this second, at most 3" for name in routes(asked(world(), **full))
    ]
    assert len(routes(asked(world(calls_per_second=4), **full))) == 2
    assert len(routes(asked(world(calls_per_second=3), second=second - 1, second_calls=3))) == 2


def test_a_carrier_without_a_channel_is_told_and_the_rule_that_takes_the_last_one_refuses() -> None:
    cheap, dear = world().carriers["main"]
    busy = replace(world(), carriers={"main": (replace(cheap, calls_per_second=1), replace(dear, channels=2))})
    trace: Trace = []
    denied = asked(busy, trace=trace, second=START // SECOND, second_calls=1, channels_out=2)
    assert isinstance(denied, Denied)
    assert denied.denial.value == "channels"
    left = [rule.detail for rule in trace if rule.name.startswith("carrier_") and not rule.passed]
    assert set(left[:2]) == {"cheap: 1 calls in this second, at most 1", "dear: 2 in use, at most 2"}
    assert routes(asked(busy, second=START // SECOND, second_calls=1, channels_out=1)) == ["dear"]


def named(key: Key, rate: str, override: str) -> RateTable:
    rows, errors = read_deck(f"prefix,rate\n44,{rate}\n", f"{key.id}.csv")
    made, faults = RateTable.from_rows(
        rows, table=key.id, version=1, currency="USD", decimals=4, rounding=Rounding.UP,
        duration_rounding=Rounding.UP, override=override,
    )  # fmt: skip
    assert made is not None, (errors, faults)
    return made


@pytest.mark.parametrize(("override", "rate"), [("", 1), ("VOICE", 1), ("SMS", 2), ("FAX", None)])
def test_a_carriers_table_is_asked_with_the_override_value(override: str, rate: int | None) -> None:
    voice, sms, gone = Key("main", "voice"), Key("main", "sms"), Key("main", "gone")
    tables = {voice: named(voice, "1", "^VOICE$"), sms: named(sms, "2", "^SMS$")}
    found = replace(catalog(), tables=tables)
    carrier = Carrier(1, Key("main", "a"), voice, "{number}", beside=(gone, sms))
    tariffs = carrier_tariffs(found, carrier, "442071231234", START, START, override)
    assert [tariff.rate for tariff in tariffs] == ([rate * NANO] if rate is not None else [])
