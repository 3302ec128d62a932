"""A plan: the longest prefix among its tables, their order for ties, never the cheapest."""

import pytest

from daemon.kernel.money import NANO
from daemon.rating.account_rates import AccountRates
from daemon.rating.deck import RateRow, Terms
from daemon.rating.markup import Markup
from daemon.rating.rate_plan import DEPTH_MAX, RatePlan
from daemon.rating.rate_table import Policy, RateTable, Usage
from daemon.rating.tariff import Gap
from daemon.rating.time_band import TimeBand, parse_intervals


def table(name: str, *rows: RateRow) -> RateTable:
    """Return a table of good rows."""
    built, _ = RateTable.from_rows(rows, table=name, version=1, currency="USD")
    assert built is not None
    return built


FIRST = table("first", RateRow("44", 50), RateRow("4420", 70, terms=Terms(effective_to=100)))
SECOND = table(
    "second",
    RateRow("44", 1),
    RateRow("442", 60, terms=Terms(blocked=True)),
    RateRow("44207", 80, terms=Terms(effective_from=50)),
)
PLAN = RatePlan("retail", (FIRST, SECOND))


@pytest.mark.parametrize(
    ("number", "at", "found"),
    [
        ("441", 0, ("first", "44")),
        ("442", 0, ("second", "442")),
        ("44207", 0, ("first", "4420")),
        ("44207", 50, ("second", "44207")),
        ("44208", 100, ("second", "442")),
    ],
)
def test_the_longest_valid_prefix_wins_and_order_breaks_ties(number: str, at: int, found: tuple[str, str]) -> None:
    tariff = PLAN.match(number, at)
    assert tariff is not None
    assert (tariff.table, tariff.prefix) == found


def test_order_breaks_a_tie_whatever_the_price() -> None:
    (tariff,) = RatePlan("other", (SECOND, FIRST)).tariffs("441", 0, 10)
    assert tariff.table == "second"


def test_a_number_that_no_table_has_is_unrated() -> None:
    assert PLAN.match("33", 0) is None
    assert PLAN.tariffs("33", 0, 1_000) == ()
    assert RatePlan("empty", ()).tariffs("44", 0, 1) == ()


def test_what_comes_into_force_in_any_table_is_told() -> None:
    assert [tariff.rate for tariff in PLAN.tariffs("44207", 0, 49)] == [70]
    assert [tariff.rate for tariff in PLAN.tariffs("44207", 0, 100)] == [70, 80]
    assert [tariff.rate for tariff in PLAN.tariffs("44208", 0, 100)] == [70, 60]
    assert [tariff.blocked for tariff in PLAN.tariffs("44208", 0, 100)] == [False, True]


def override(name: str, pattern: str, rate: int, group: str = "retail") -> RateTable:
    """Return a table of one name that an override pattern chooses."""
    policy = Policy(name, 1, "USD", name=group, override=pattern)
    built, _ = RateTable.of(policy, [RateRow("44", rate)])
    assert built is not None
    return built


SERVICES = RatePlan("services", (override("voice", "^VOICE$", 1), override("sms", "^S?MS$", 2), override("any", "", 3)))


@pytest.mark.parametrize(
    ("value", "rate"), [("VOICE", 1), ("SMS", 2), ("MS", 2), ("MMS", 3), ("", 1), ("VOICE2", 3), ("x" * 65, 3)]
)
def test_of_one_name_the_first_table_whose_pattern_matches_takes_part(value: str, rate: int) -> None:
    (tariff,) = SERVICES.tariffs("44", 0, 0, Usage(value))
    assert tariff.rate == rate


def test_what_is_classified_as_no_call_is_not_taken_for_voice() -> None:
    assert Usage(rate_type="per_message").override_value == ""
    assert Usage(rate_type="per_minute").override_value == "VOICE"


def test_a_value_that_no_pattern_matches_is_unrated() -> None:
    assert RatePlan("p", (override("sms", "^SMS$", 2),)).match("44", 0) is None


def test_a_pattern_that_is_none_makes_no_plan() -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        RatePlan("p", (override("sms", "(", 2),))


def test_which_tables_take_part_is_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.rating.rate_plan.OVERRIDES_KEPT_MAX", 1)
    plan = RatePlan("p", SERVICES.tables)
    assert [plan.match("44", 0, Usage(value)) is None for value in ("VOICE", "SMS", "VOICE")] == [False] * 3


TEN_PERCENT = Markup(percent=10 * NANO)
BASE = RatePlan("base", (table("base", RateRow("44", 100, terms=Terms(blocked=True)), RateRow("4420", 200)),))
RESOLD = RatePlan("resold", (table("own", RateRow("44", 7), RateRow("45", 8)),), BASE, TEN_PERCENT)
TWICE = RatePlan("twice", (), RESOLD, Markup(per_minute=5))


@pytest.mark.parametrize(
    ("plan", "number", "rate"),
    [
        (RESOLD, "44", 7),
        (RESOLD, "4420", 220),
        (TWICE, "44", 12),
        (TWICE, "4420", 225),
        (TWICE, "45", 13),
        (RatePlan("same", (), BASE), "4420", 200),
    ],
)
def test_what_is_inherited_is_marked_up_at_every_plan(plan: RatePlan, number: str, rate: int) -> None:
    tariff = plan.match(number, 0)
    assert tariff is not None
    assert tariff.rate == rate


def test_a_gap_is_inherited_as_it_is() -> None:
    policy = Policy("t", 1, "USD", bands=(TimeBand("peak", parse_intervals("mon 00:00-01:00")),))
    built, _ = RateTable.of(policy, [RateRow("44", 1, terms=Terms(time_band="peak"))])
    assert built is not None
    assert RatePlan("p", (), RatePlan("q", (built,)), TEN_PERCENT).find("44", 0) == Gap("t", "44", "")


def test_plans_are_nested_up_to_a_bound() -> None:
    plan = BASE
    for depth in range(DEPTH_MAX - 1):
        plan = RatePlan(str(depth), (), plan)
    assert plan.depth == DEPTH_MAX
    with pytest.raises(ValueError, match="more than 16 plans"):
        RatePlan("deeper", (), plan)


ON_NET = RatePlan("on-net", (table("all", RateRow("4420", 9)),), on_net=(table("net", RateRow("44", 1)),))


def test_a_call_within_the_net_is_asked_by_the_tables_of_the_net_first() -> None:
    own = Usage(on_net=True)
    assert [tariff.rate for tariff in ON_NET.tariffs("4420", 0, 1, own)] == [1]
    assert [tariff.rate for tariff in ON_NET.tariffs("4420", 0, 1)] == [9]
    assert ON_NET.find("55", 0, own) is None
    assert [tariff.rate for tariff in FIRST_ON_NET.tariffs("4420", 0, 1, own)] == [70]


FIRST_ON_NET = RatePlan("first", (FIRST,), on_net=(table("net", RateRow("55", 1)),))


def test_an_account_settles_what_its_plan_found() -> None:
    account = AccountRates(Policy("x", 1, "USD"), {"44": 3})
    assert [tariff.rate for tariff in PLAN.tariffs("441", 0, 1, account=account)] == [3]
