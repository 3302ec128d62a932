"""What one account alone is asked: overrides and classes of service compete by the length of their prefix."""

import pytest

from daemon.kernel.money import Rounding
from daemon.rating.account_rates import CLASS, OVERRIDE, AccountRates, ClassOfService
from daemon.rating.rate_table import A_CALL, Found, Policy, Usage
from daemon.rating.tariff import Gap, Rates, Step, Tariff, Tier

POLICY = Policy("retail", 1, "USD", decimals=6, rounding=Rounding.HALF_UP, duration_rounding=Rounding.DOWN)
ROW = Tariff("retail", 1, "44", "UK", "USD", rate=10, connect_fee=5, first_seconds=60, next_seconds=60)
BLOCKED = ROW.changed(blocked=True)
GAP = Gap("retail", "44", "UK")
NUMBER = "44207"

Answer = tuple[str, str, int, bool] | None


def answer(found: Found) -> Answer:
    """Return what an answer is of: its table, prefix, rate and whether it blocks; rate -1 is a gap."""
    if found is None:
        return None
    return (found.table, found.prefix, -1, False) if isinstance(found, Gap) else (
        found.table, found.prefix, found.rate, found.blocked,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "overrides", "expected"),
    [
        (ROW, {}, ("retail", "44", 10, False)),
        (ROW, {"4": 7}, ("retail", "44", 10, False)),
        (ROW, {"": 7}, ("retail", "44", 10, False)),
        (ROW, {"33": 7}, ("retail", "44", 10, False)),
        (ROW, {"44": 7}, ("retail", "44", 7, False)),
        (ROW, {"44": 7, "442": 8}, ("retail", "442", 8, False)),
        (ROW, {"44207": 0}, ("retail", "44207", 0, False)),
        (BLOCKED, {"4": 7}, ("retail", "44", 10, True)),
        (BLOCKED, {"44": 7}, ("retail", "44", 7, False)),
        (GAP, {"4": 7}, ("retail", "44", -1, False)),
        (GAP, {"44": 7}, (OVERRIDE, "44", 7, False)),
        (None, {"33": 7}, None),
        (None, {"44": 7}, (OVERRIDE, "44", 7, False)),
        (None, {"": 7}, (OVERRIDE, "", 7, False)),
        (ROW.changed(prefix=""), {"": 7}, ("retail", "", 7, False)),
    ],
)
def test_an_override_competes_by_its_length_and_wins_ties(
    found: Found, overrides: dict[str, int], expected: Answer
) -> None:
    assert answer(AccountRates(POLICY, overrides).settled(found, NUMBER, A_CALL)) == expected


@pytest.mark.parametrize(
    ("found", "allow", "block", "expected"),
    [
        (ROW, (), (), ("retail", "44", 10, False)),
        (ROW, (), ("4",), ("retail", "44", 10, False)),
        (ROW, (), ("",), ("retail", "", 10, True)),  # every number that is not allowed
        (ROW, ("4",), ("",), ("retail", "44", 10, False)),
        (ROW, (), ("33",), ("retail", "44", 10, False)),
        (ROW, (), ("44",), ("retail", "44", 10, True)),
        (ROW, (), ("442",), ("retail", "442", 10, True)),
        (ROW, ("4420",), ("442",), ("retail", "44", 10, False)),
        (ROW, ("442",), ("442",), ("retail", "442", 10, True)),
        (ROW, ("44",), ("442",), ("retail", "442", 10, True)),
        (BLOCKED, (), (), ("retail", "44", 10, True)),
        (BLOCKED, ("4",), (), ("retail", "44", 10, True)),
        (BLOCKED, ("44",), (), ("retail", "44", 10, False)),
        (BLOCKED, ("442",), ("44",), ("retail", "442", 10, False)),
        (GAP, ("44",), (), ("retail", "44", -1, False)),
        (GAP, (), ("4",), ("retail", "44", -1, False)),
        (GAP, (), ("44",), (CLASS, "44", 0, True)),
        (None, ("44",), (), None),
        (None, (), ("",), (CLASS, "", 0, True)),
        (None, (), ("442",), (CLASS, "442", 0, True)),
        (None, ("4",), ("",), None),
    ],
)
def test_a_class_of_service_blocks_and_allows_where_it_is_the_longest(
    found: Found, allow: tuple[str, ...], block: tuple[str, ...], expected: Answer
) -> None:
    service = ClassOfService("c", frozenset(allow), frozenset(block))
    assert answer(AccountRates(POLICY, service=service).settled(found, NUMBER, A_CALL)) == expected


@pytest.mark.parametrize(
    ("overrides", "block", "expected"),
    [
        ({"4420": 7}, "442", ("retail", "4420", 7, False)),
        ({"442": 7}, "442", ("retail", "442", 7, True)),
        ({"442": 7}, "4420", ("retail", "4420", 7, True)),
    ],
)
def test_an_override_and_a_class_compete_too(overrides: dict[str, int], block: str, expected: Answer) -> None:
    rates = AccountRates(POLICY, overrides, ClassOfService("c", block=frozenset((block,))))
    assert answer(rates.settled(ROW, NUMBER, A_CALL)) == expected


def test_an_override_changes_every_rate_and_nothing_else_of_the_row() -> None:
    steps = (Tier(0, (Step(0, 10, 60), Step(60, 5, 6))),)
    row = ROW.changed(alternatives=(Rates("peak", steps), Rates("", steps)))
    same = (Tier(0, (Step(0, 7, 60), Step(60, 7, 6))),)
    settled = AccountRates(POLICY, {"44": 7}).settled(row, NUMBER, A_CALL)
    assert settled == row.changed(rate=7, alternatives=(Rates("peak", same), Rates("", same)))


def test_a_price_that_beats_no_row_is_a_row_of_its_own_by_the_second() -> None:
    assert AccountRates(POLICY, {"44": 7}).settled(None, NUMBER, A_CALL) == Tariff(
        OVERRIDE, 0, "44", "", "USD", 7, decimals=6, rounding=Rounding.HALF_UP, duration_rounding=Rounding.DOWN
    )


def test_a_blocked_row_at_0_has_no_price_at_which_a_call_could_be_allowed() -> None:
    rates = AccountRates(POLICY, service=ClassOfService("c", allow=frozenset(("4420",))))
    assert answer(rates.settled(BLOCKED.changed(rate=0, connect_fee=0), NUMBER, A_CALL)) == ("retail", "44", 0, True)
    assert answer(rates.settled(BLOCKED.changed(rate=0, connect_fee=1), NUMBER, A_CALL)) == ("retail", "4420", 0, False)


@pytest.mark.parametrize("rate_type", ["per_message", "per_unit", "energy"])
def test_a_price_of_calls_is_none_of_other_usage(rate_type: str) -> None:
    rates, message = AccountRates(POLICY, {"4420": 7}), ROW.changed(unit="message", per=1)
    assert answer(rates.settled(message, NUMBER, Usage(rate_type=rate_type))) == ("retail", "44", 10, False)
    assert rates.settled(None, NUMBER, Usage(rate_type=rate_type)) is None
