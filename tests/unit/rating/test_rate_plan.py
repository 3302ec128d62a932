"""A plan: the longest prefix among its tables, their order for ties, never the cheapest."""

import pytest

from daemon.kernel.money import NANO
from daemon.rating.account_rates import AccountRates, ClassOfService
from daemon.rating.deck import RateRow, Terms
from daemon.rating.markup import Markup
from daemon.rating.rate_plan import DEPTH_MAX, OVERRIDE_LENGTH_MAX, OVERRIDES_KEPT_MAX, RatePlan, fits
from daemon.rating.rate_table import A_CALL, Policy, RateTable, Usage
from daemon.rating.tariff import Gap
from daemon.rating.time_band import TimeBand, parse_intervals


def table(table_id: str, *rows: RateRow, override: str = "", name: str = "") -> RateTable:
    """Return a table of good rows."""
    built, _ = RateTable.from_rows(rows, table=table_id, version=1, currency="USD", override=override, name=name)
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


@pytest.mark.parametrize(
    ("pattern", "value", "fitting"),
    [
        ("", "", True),
        ("", "SMS", True),
        ("^SMS$", "SMS", True),
        ("^SMS$", "MMS", False),
        ("MS$", "MMS", True),
        ("SMS", "S" * OVERRIDE_LENGTH_MAX, False),
        ("S", "S" * OVERRIDE_LENGTH_MAX, True),
        ("S", "S" * (OVERRIDE_LENGTH_MAX + 1), False),
    ],
)
def test_a_pattern_is_held_against_an_override_value(pattern: str, value: str, fitting: bool) -> None:
    assert fits(pattern, value) is fitting


def rates(plan: RatePlan, usage: Usage = A_CALL, number: str = "441") -> list[int]:
    """Return the rates that a plan asks at the beginning."""
    return [tariff.rate for tariff in plan.tariffs(number, 0, 0, usage)]


def test_of_the_tables_of_one_name_the_first_whose_pattern_fits_takes_part() -> None:
    texts = table("texts", RateRow("44", 3), override="^SMS$", name="retail")
    voice = table("voice", RateRow("44", 4), override="^VOICE$", name="retail")
    rest = table("rest", RateRow("441", 5), name="retail")
    other = table("other", RateRow("44", 6))
    plan = RatePlan("p", (texts, voice, rest, other))
    assert [rates(plan, Usage(value)) for value in ("SMS", "VOICE", "MMS")] == [[3], [4], [5]]
    assert rates(plan) == [4], "a call that states nothing is VOICE"
    assert rates(plan, Usage("MMS"), "442") == [6]


def test_the_tables_of_few_override_values_are_kept() -> None:
    plan = RatePlan("p", (FIRST,))
    kept = plan.taking_part("VOICE")
    assert plan.taking_part("VOICE") is kept
    for number in range(OVERRIDES_KEPT_MAX):
        plan.taking_part(str(number))
    assert plan.taking_part("VOICE") == kept
    assert plan.taking_part("VOICE") is not kept


def test_a_pattern_that_is_none_makes_no_plan() -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        RatePlan("p", (table("bad", override="("),))
    with pytest.raises(ValueError, match="no regular expression"):
        RatePlan("p", (), on_net=(table("bad", override="("),))


def test_an_inherited_plan_comes_behind_its_own_tables_and_is_marked_up_by_every_plan_between() -> None:
    base = RatePlan("base", (table("base", RateRow("44", 1_000), RateRow("33", 1_000)),))
    reseller = RatePlan("reseller", (table("own", RateRow("44", 7)),), base, Markup(percent=10 * NANO))
    same = RatePlan("same", (), reseller)
    retail = RatePlan("retail", (), same, Markup(per_minute=5))
    assert [rates(plan) for plan in (base, reseller, same, retail)] == [[1_000], [7], [7], [12]]
    assert [rates(plan, number="33") for plan in (base, reseller, same, retail)] == [[1_000], [1_100], [1_100], [1_105]]
    assert rates(retail, number="55") == []
    assert retail.depth == 4


def test_plans_inherit_each_other_to_a_depth() -> None:
    plan = RatePlan("p", ())
    for _ in range(DEPTH_MAX - 1):
        plan = RatePlan("p", (), plan)
    with pytest.raises(ValueError, match="inherits through more than"):
        RatePlan("p", (), plan)


def test_tables_of_calls_between_own_numbers_are_asked_first_and_decide() -> None:
    own = table("own", RateRow("4", 2, terms=Terms(effective_to=100)), override="^VOICE$")
    plan = RatePlan("p", (FIRST,), on_net=(own,))
    assert rates(plan, Usage(on_net=True)) == [2]
    assert rates(plan, Usage(on_net=False)) == [50]
    assert rates(plan, Usage("SMS", on_net=True)) == [50], "its pattern does not fit"
    assert [tariff.rate for tariff in plan.tariffs("441", 0, 100, Usage(on_net=True))] == [2, 50]
    assert rates(RatePlan("p", (FIRST,)), Usage(on_net=True)) == [50]


def test_an_account_is_asked_its_own_price() -> None:
    account = AccountRates(Policy("retail", 1, "USD"), {"44": 9}, ClassOfService("c", block=frozenset(("33",))))
    ours, theirs = PLAN.match("441", 0, account=account), PLAN.match("441", 0)
    assert (ours is not None and ours.rate, theirs is not None and theirs.rate) == (9, 50)
    stopped = PLAN.match("33", 0, account=account)
    assert stopped is not None
    assert stopped.blocked


def test_a_gap_of_the_longest_prefix_is_unrated_whatever_a_shorter_one_says() -> None:
    band = TimeBand("day", parse_intervals("mon-sun 08:00-20:00"))
    row = RateRow("441", 3, terms=Terms(time_band="day"))
    built, errors = RateTable.of(Policy("bands", 1, "USD", bands=(band,)), [row])
    assert built is not None, errors
    plan = RatePlan("p", (FIRST, built))
    assert plan.find("441", 0) == Gap("bands", "441", "")
    assert plan.match("441", 0) is None
    marked = RatePlan("q", (), plan, Markup(per_minute=1))
    assert marked.find("441", 0) == Gap("bands", "441", "")
