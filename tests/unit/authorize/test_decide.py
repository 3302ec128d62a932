"""Rules on standings: each refusal, its place in the order, and what a grant reserves."""

from dataclasses import replace

import pytest

from daemon.authorize.catalog import Catalog, DatedPlan, Emergency, Status
from daemon.authorize.decide import decide, prepare
from daemon.authorize.decision import Decision, Denied, Granted
from daemon.authorize.emergency import emergency, is_emergency_number
from daemon.authorize.quote import Limits, Quote, Trace
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import SECOND
from daemon.kernel.money import NANO, NANO_MAX, parse_nano
from daemon.ledger.account import Standing
from daemon.rating.rate_plan import RatePlan
from tests.unit.charging.desk import ALICE, CARRIERS, RETAIL, START, Desk, catalog, table, with_account


def outcome(
    found: Catalog,
    *,
    to: str = "442071231234",
    limits: Limits | None = None,
    trace: Trace | None = None,
    **changes: object,
) -> Decision:
    """Decide about alice's call on a standing that ``changes`` describe."""
    chosen = limits if limits is not None else Limits()
    direction = changes.pop("direction", Direction.OUTBOUND)
    quote = prepare(found, Desk().attempt("c1", to, direction=direction), START, chosen, trace)
    if isinstance(quote, Denied):
        return quote
    alice = Standing(1, balance=changes.pop("balance", 2 * NANO))._replace(**changes)  # type: ignore[arg-type]
    standings = {1: alice}
    return decide(quote, lambda number: standings.get(number, Standing(number)), chosen, START, "g1", trace)


def code(decision: Decision) -> str:
    """Return the refusal's code, or granted."""
    return decision.denial.value if isinstance(decision, Denied) else "granted"


ALICE_TERMS: list[tuple[dict[str, object], dict[str, object], str]] = [
    ({}, {}, "granted"),
    ({"status": Status.SUSPENDED}, {}, "account_suspended"),
    ({"status": Status.CLOSED}, {}, "account_closed"),
    ({}, {"to": "1900555"}, "destination_blocked"),
    ({}, {"to": "999000111"}, "destination_unrated"),
    ({"plans": ()}, {}, "destination_unrated"),
    ({"plans": (DatedPlan(START + 1, RETAIL),)}, {}, "destination_unrated"),
    ({"calls_per_second": 2}, {"second": START // SECOND, "second_calls": 2}, "calls_per_second"),
    ({"calls_per_second": 2}, {"second": START // SECOND - 1, "second_calls": 2}, "granted"),
    ({"channels_total": 2}, {"channels_in": 1, "channels_out": 1}, "channels"),
    ({"channels_out": 1}, {"channels_out": 1}, "channels"),
    ({"channels_out": 1}, {"channels_in": 1}, "granted"),
    ({"channels_in": 1}, {"channels_in": 1, "direction": Direction.INBOUND}, "channels"),
    ({"max_call_charge": parse_nano("0.005")}, {}, "call_too_dear"),
    ({"max_call_charge": parse_nano("0.01")}, {}, "granted"),
    ({"margin_floor_percent": 90 * NANO}, {}, "margin_below_floor"),
    ({"margin_floor_percent": None, "margin_floor_per_minute": NANO}, {}, "margin_below_floor"),
    ({"daily_spend": parse_nano("0.005")}, {}, "daily_spend"),
    ({"daily_spend": parse_nano("1")}, {"day": 739_880, "day_spent": NANO}, "daily_spend"),
    ({"daily_spend": parse_nano("1")}, {"day": 739_879, "day_spent": NANO}, "granted"),
    ({"daily_spend": parse_nano("1")}, {"reserved": parse_nano("0.999")}, "daily_spend"),
    ({"daily_spend": parse_nano("1"), "credit_limit": None}, {"reserved": parse_nano("0.999")}, "daily_spend"),
    ({}, {"balance": 0}, "balance_insufficient"),
    ({}, {"reserved": 2 * NANO}, "balance_insufficient"),
    ({}, {"uncollected": 2 * NANO}, "balance_insufficient"),
    ({"credit_limit": NANO}, {"balance": 0}, "granted"),
    ({"max_call_seconds": 0}, {}, "balance_insufficient"),
    ({"credit_limit": None}, {"balance": -NANO_MAX}, "balance_insufficient"),
    ({"credit_limit": None}, {"balance": NANO_MAX, "reserved": NANO_MAX}, "balance_insufficient"),
    (
        {"calls_per_second": 1, "channels_total": 1},
        {"second": START // SECOND, "second_calls": 1, "channels_in": 1},
        "calls_per_second",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("terms", "standing", "expected"), ALICE_TERMS)
def test_each_rule(terms: dict[str, object], standing: dict[str, object], expected: str) -> None:
    assert code(outcome(with_account(catalog(), ALICE, **terms), **standing)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("terms", "standing", "seconds"),
    [
        ({}, {}, 200),
        ({"max_call_seconds": 30}, {}, 30),
        ({"max_call_charge": parse_nano("0.50")}, {}, 50),
        ({"daily_spend": parse_nano("0.70")}, {}, 70),
        ({"credit_limit": None}, {}, 7200),
        ({"credit_limit": None, "max_call_charge": parse_nano("1")}, {}, 100),
        ({"credit_limit": None, "daily_spend": parse_nano("1")}, {}, 100),
        ({}, {"reserved": NANO}, 100),
        ({"credit_limit": None}, {"balance": NANO - NANO_MAX}, 100),
        ({"credit_limit": 2 * NANO_MAX}, {"balance": NANO - NANO_MAX}, 100),
    ],
)
def test_caps_shorten_the_grant(terms: dict[str, object], standing: dict[str, object], seconds: int) -> None:
    granted = outcome(with_account(catalog(), ALICE, **terms), **standing)  # type: ignore[arg-type]
    assert isinstance(granted, Granted)
    assert granted.seconds == seconds


def test_an_account_with_no_plan_that_takes_over_later_is_still_priced_by_the_present_one() -> None:
    dear = table(RETAIL, "prefix,rate\n44,1.20\n")
    plans = {**catalog().plans, Key("main", "next"): RatePlan("next", (dear,))}
    dated = (DatedPlan(0, RETAIL), DatedPlan(START + 30 * SECOND, Key("main", "next")))
    found = with_account(replace(catalog(), plans=plans), ALICE, plans=dated)
    granted = outcome(found)
    assert isinstance(granted, Granted)
    assert len(granted.levels[0].tariffs) == 2
    # The dearest of the rows in force until the grant lapses is what is granted and held.
    assert granted.seconds == 100
    assert granted.levels[0].reserved == parse_nano("2.00")


def test_no_channel_of_a_carrier_is_left() -> None:
    quote = prepare(catalog(), Desk().attempt("c1"), START, Limits())
    assert isinstance(quote, Quote)
    full = {number: Standing(number, channels_out=2) for number in CARRIERS.values()}
    carriers = tuple(replace(carrier, channels=2) for carrier in quote.carriers)
    standings = {1: Standing(1, balance=NANO), **full}
    answer = decide(replace(quote, carriers=carriers), standings.__getitem__, Limits(), START, "g")
    assert code(answer) == "channels"


def test_the_floor_holds_for_the_granted_duration_too() -> None:
    buy = table(Key("main", "buy"), "prefix,rate,first_seconds,next_seconds\n44,0.50,1,60\n")
    found = replace(catalog(), tables={**catalog().tables, Key("main", "buy"): buy})
    carriers = {"main": catalog().carriers["main"][:1]}
    found = with_account(replace(found, carriers=carriers), ALICE, max_call_seconds=2)
    assert code(outcome(found)) == "margin_below_floor"


def test_a_carrier_without_a_table_or_suspended_takes_no_call() -> None:
    carriers = catalog().carriers["main"]
    lost = replace(carriers[0], table=Key("main", "gone"))
    suspended = replace(carriers[1], status=Status.SUSPENDED)
    found = replace(catalog(), carriers={"main": (lost, suspended)})
    assert code(outcome(found)) == "no_carrier"


def test_emergency_numbers_are_whole_numbers() -> None:
    found = replace(catalog(), emergency=Emergency(dial="sofia/gateway/sos/{number}"))
    granted = emergency(found, Desk().attempt("c1", "911"), START)
    assert granted is not None
    assert granted.routes[0].dial == "sofia/gateway/sos/911"
    assert emergency(found, Desk().attempt("c1", "1120"), START) is None
    assert is_emergency_number(found, "+911")
    assert not is_emergency_number(found, "9111")
    assert emergency(found, Desk().attempt("c1", "112", direction=Direction.INBOUND), START) is None


@pytest.mark.parametrize("balance", [0, NANO // 1_000, 2 * NANO])
@pytest.mark.parametrize(
    "terms", [{}, {"calls_per_second": 0}, {"max_call_charge": 1}, {"daily_spend": 1}, {"credit_limit": None}]
)
def test_a_decision_is_the_same_whether_anybody_asks_for_its_explanation(terms: dict[str, int], balance: int) -> None:
    found = with_account(catalog(), ALICE, **terms)
    assert outcome(found, balance=balance, trace=[]) == outcome(found, balance=balance)


def test_the_explanation_names_every_rule_that_took_part() -> None:
    trace: Trace = []
    terms = {"calls_per_second": 5, "max_call_charge": NANO, "daily_spend": NANO}
    outcome(with_account(catalog(), ALICE, **terms), trace=trace)
    assert [rule.name for rule in trace] == [
        "account", "status", "destination", "rate", *["carrier"] * 3, "calls_per_second", "channels",
        "max_call_charge", "margin", "daily_spend", "balance", "grant",
    ]  # fmt: skip
    assert all(rule.passed for rule in trace)
