"""Limits on standings: channels with packages and surcharges, the month's spend, and what fraud rules let pass."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.authorize.catalog import AccountTerms, ChannelPackage, OverChannels
from daemon.authorize.decision import Denied, Granted
from daemon.authorize.denial import Denial
from daemon.authorize.fraud import DENIALS, alarms, ends_calls, told
from daemon.authorize.fraud_rule import FraudAct, FraudDirection, FraudKind, FraudRule
from daemon.authorize.limits import month_of, spend_caps, with_spent
from daemon.authorize.quote import Limits, Trace
from daemon.kernel.ids import Direction
from daemon.kernel.instant import DAY, NEVER, parse_rfc3339
from daemon.kernel.money import NANO, parse_nano
from daemon.ledger.account import Standing
from daemon.ledger.window import Counted, Window
from tests.unit.authorize.test_decide import code, outcome
from tests.unit.charging.desk import ALICE, START, account, catalog, with_account

MONTH = month_of(account(ALICE, ALICE), START)
MINUTE = START // 60_000_000
TWO_MORE = ChannelPackage(START, START + 1, channels_total=2, channels_out=1)


def rule(act: FraudAct, **changes: object) -> FraudRule:
    return FraudRule("uk", FraudKind.GROUP_RATE, act, 60, prefixes=frozenset({"44"}), **changes)  # type: ignore[arg-type]


def counted(calls: int = 0, charged: int = 0, **changes: object) -> tuple[Window, ...]:
    return (Window("uk", minutes=(Counted(MINUTE, calls, charged),), **changes),)  # type: ignore[arg-type]


SHORT = FraudRule("uk", FraudKind.SHORT_CALLS, FraudAct.THROTTLE, 10, calls=2, seconds=6)
CASES: list[tuple[dict[str, object], dict[str, object], str]] = [
    ({"monthly_spend": NANO}, {"month": MONTH, "month_spent": NANO}, "monthly_spend"),
    ({"monthly_spend": NANO}, {"month": MONTH - 1, "month_spent": NANO}, "granted"),
    ({"monthly_spend": NANO}, {"reserved": parse_nano("0.999")}, "monthly_spend"),
    ({"monthly_spend": NANO, "daily_spend": 0}, {"month": MONTH, "month_spent": NANO}, "daily_spend"),
    ({"channels_total": 1, "packages": (TWO_MORE,)}, {"channels_out": 2}, "granted"),
    ({"channels_total": 1, "packages": (TWO_MORE,)}, {"channels_out": 3}, "channels"),
    ({"channels_out": 1, "packages": (TWO_MORE,)}, {"channels_out": 2}, "channels"),
    ({"channels_in": 1, "packages": (TWO_MORE,)}, {"channels_in": 1, "direction": Direction.INBOUND}, "channels"),
    ({"channels_total": 1, "packages": (ChannelPackage(START + 1, NEVER, 2),)}, {"channels_out": 1}, "channels"),
    ({"channels_total": 1, "packages": (ChannelPackage(0, START, 2),)}, {"channels_out": 1}, "channels"),
    ({"packages": (TWO_MORE,)}, {"channels_out": 9}, "granted"),
    ({"channels_total": 0, "over_channels": OverChannels.SURCHARGE}, {}, "granted"),
    ({"channels_out": 0, "over_channels": OverChannels.SURCHARGE}, {}, "granted"),
    (
        {"channels_total": 0, "over_channels": OverChannels.SURCHARGE, "channel_surcharge": 3 * NANO},
        {},
        "balance_insufficient",
    ),
    ({"fraud_rules": (rule(FraudAct.THROTTLE, calls=2),)}, {"windows": counted(1)}, "granted"),
    ({"fraud_rules": (rule(FraudAct.THROTTLE, calls=2),)}, {"windows": counted(2)}, "fraud_suspected"),
    ({"fraud_rules": (rule(FraudAct.WARN, calls=2),)}, {"windows": counted(9)}, "granted"),
    ({"fraud_rules": (rule(FraudAct.THROTTLE, spend=NANO),)}, {"windows": counted(3, 990_000_000)}, "granted"),
    ({"fraud_rules": (rule(FraudAct.THROTTLE, spend=NANO),)}, {"windows": counted(3, 990_000_001)}, "fraud_suspected"),
    ({"fraud_rules": (rule(FraudAct.SUSPEND, spend=NANO),)}, {"windows": counted(3, 990_000_001)}, "account_suspended"),
    ({"fraud_rules": (rule(FraudAct.WARN, spend=NANO),)}, {"windows": counted(3, NANO)}, "granted"),
    ({"fraud_rules": (rule(FraudAct.THROTTLE, spend=9),)}, {"windows": counted(3, 4, held=5)}, "fraud_suspected"),
    ({"fraud_rules": (rule(FraudAct.THROTTLE, calls=2), rule(FraudAct.SUSPEND, calls=9))},
     {"windows": counted(2, tripped_at=1)}, "account_suspended"),
    ({"fraud_rules": (rule(FraudAct.THROTTLE, calls=2),), "channels_total": 0}, {"windows": counted(2)},
     "fraud_suspected"),
    ({"fraud_rules": (rule(FraudAct.THROTTLE, calls=2),)}, {"windows": counted(2), "direction": Direction.INBOUND},
     "granted"),
    ({"fraud_rules": (rule(FraudAct.THROTTLE, calls=2, direction=FraudDirection.ANY),)},
     {"windows": counted(2), "direction": Direction.INBOUND}, "fraud_suspected"),
    ({"fraud_rules": (rule(FraudAct.THROTTLE, calls=2, direction=FraudDirection.INBOUND),)}, {"windows": counted(2)},
     "granted"),
    ({"fraud_rules": (rule(FraudAct.SUSPEND, calls=9),)},
     {"windows": counted(tripped_at=1), "direction": Direction.INBOUND}, "account_suspended"),
    ({"fraud_rules": (SHORT,)}, {"windows": counted(3), "direction": Direction.INBOUND}, "granted"),
    ({"fraud_rules": (rule(FraudAct.SUSPEND, calls=2),)}, {"windows": counted(2)}, "account_suspended"),
    ({"fraud_rules": (rule(FraudAct.SUSPEND, calls=2),)}, {"windows": counted(tripped_at=1)}, "account_suspended"),
    ({"fraud_rules": (SHORT,)}, {"windows": counted(2)}, "granted"),
    ({"fraud_rules": (SHORT,)}, {"windows": counted(3)}, "fraud_suspected"),
    ({"fraud_rules": (SHORT,), "calls_per_second": 1, "channels_total": 0}, {"windows": counted(3)}, "fraud_suspected"),
]  # fmt: skip


@pytest.mark.parametrize(("terms", "standing", "expected"), CASES)
def test_each_rule(terms: dict[str, object], standing: dict[str, object], expected: str) -> None:
    assert code(outcome(with_account(catalog(), ALICE, **terms), **standing)) == expected  # type: ignore[arg-type]


def test_a_surcharge_is_part_of_what_is_granted_held_and_explained() -> None:
    terms = {
        "channels_total": 1, "over_channels": OverChannels.SURCHARGE, "channel_surcharge": parse_nano("0.50"),
        "channel_surcharge_per_minute": parse_nano("0.60"),
    }  # fmt: skip
    trace: Trace = []
    granted = outcome(with_account(catalog(), ALICE, **terms), channels_out=1, trace=trace)
    assert isinstance(granted, Granted)
    assert (granted.seconds, granted.reserved) == (75, 2 * NANO)  # 2.00 less 0.50, at 0.02 a second
    assert any(
        each.name == "channel_surcharge" and "0.50 USD a call and 0.60 USD a minute beside the price" in each.detail
        for each in trace
    )


def test_only_the_spend_that_binds_is_explained() -> None:
    trace: Trace = []
    roomy = with_account(catalog(), ALICE, daily_spend=5 * NANO, monthly_spend=NANO)
    granted = outcome(roomy, trace=trace)
    assert isinstance(granted, Granted)
    assert granted.seconds == 100
    assert [each.name for each in trace if each.name.endswith("_spend")] == ["monthly_spend"]


def test_a_rule_that_lets_a_call_pass_is_explained_with_what_it_counted() -> None:
    trace: Trace = []
    terms = with_account(catalog(), ALICE, fraud_rules=(rule(FraudAct.THROTTLE, calls=2),))
    assert isinstance(outcome(terms, windows=counted(1), trace=trace), Granted)
    (fraud,) = (each for each in trace if each.name == "fraud")
    assert fraud.passed
    assert fraud.detail == "uk: 1 calls, at most 2, in 60 minutes"


def test_the_month_is_that_of_the_accounts_zone() -> None:
    terms = account(ALICE, ALICE, zone=ZoneInfo("America/New_York"))
    at = parse_rfc3339("2026-11-01T03:59:59Z")
    assert month_of(terms, at) + 1 == month_of(terms, at + 1_000_000)


def watched(*rules: FraudRule) -> AccountTerms:
    return account(ALICE, ALICE, fraud_rules=rules)


def test_a_call_that_runs_goes_on_unless_its_own_group_has_cost_more() -> None:
    throttle, warn, suspend = (rule(act, spend=9) for act in (FraudAct.THROTTLE, FraudAct.WARN, FraudAct.SUSPEND))
    over = Standing(1, windows=counted(1, 10))
    assert ends_calls(watched(throttle), over, ("uk",), START)
    assert not ends_calls(watched(throttle), over, (), START)
    assert not ends_calls(watched(throttle), Standing(1, windows=counted(1, 9)), ("uk",), START)
    assert not ends_calls(watched(rule(FraudAct.THROTTLE, calls=1)), over, ("uk",), START)
    assert not ends_calls(watched(warn), over, ("uk",), START)
    assert not ends_calls(watched(suspend), over, ("uk",), START)
    assert ends_calls(watched(suspend), Standing(1, windows=counted(tripped_at=1)), (), START)


def test_a_rule_tells_again_when_its_minutes_have_passed_or_when_it_begins_to_suspend() -> None:
    def tells(act: FraudAct, told_at: int = 0, tripped_at: int = 0) -> list[Window]:
        standing = Standing(1, windows=counted(5, told_at=told_at, tripped_at=tripped_at))
        terms = watched(rule(act, calls=2))
        return [window for _, window in alarms(terms, standing, START)]

    assert [each.told_at for each in tells(FraudAct.WARN)] == [START]
    assert tells(FraudAct.WARN, told_at=START - 1) == []
    assert tells(FraudAct.WARN, told_at=START - DAY) != []
    assert [each.tripped_at for each in tells(FraudAct.SUSPEND, told_at=START - 1)] == [START]
    assert tells(FraudAct.SUSPEND, told_at=START - 1, tripped_at=START - 1) == []


def test_what_a_window_holds_is_told_beside_what_is_allowed() -> None:
    both = rule(FraudAct.WARN, calls=2, spend=NANO)
    assert told(both, counted(3, NANO)[0], START) == "3 calls, at most 2 and 1.00 spent, at most 1.00, in 60 minutes"
    assert told(SHORT, counted(3)[0], START) == "3 calls shorter than 6 seconds, at most 2, in 10 minutes"


def test_money_that_a_rule_leaves_shortens_a_grant_and_is_explained_in_words() -> None:
    trace: Trace = []
    terms = with_account(catalog(), ALICE, fraud_rules=(rule(FraudAct.SUSPEND, spend=NANO),))
    granted = outcome(terms, windows=counted(1, parse_nano("0.40"), held=parse_nano("0.10")), trace=trace)
    assert isinstance(granted, Granted)
    assert (granted.seconds, granted.reserved) == (50, parse_nano("0.50"))
    assert [each.detail for each in trace if each.name == "fraud"] == [
        "uk: 0.50 spent, at most 1.00, in 60 minutes",
        "the first block costs 0.01 USD, 0.50 USD is left of fraud rule uk in 60 minutes",
    ]


def test_a_refusal_says_what_the_call_needs_and_which_rule_of_which_account_refused_it() -> None:
    terms = with_account(catalog(), ALICE, fraud_rules=(rule(FraudAct.SUSPEND, spend=NANO),))
    denied = outcome(terms, windows=counted(1, parse_nano("0.995")))
    assert isinstance(denied, Denied)
    assert denied.by == (ALICE, "uk")
    assert denied.reason == ("fraud rule uk: 0.995 spent, at most 1.00, in 60 minutes; the call needs 0.01 to begin")
    broke = outcome(terms, windows=counted(1), balance=0)
    assert isinstance(broke, Denied)
    assert broke.by is None, "money refused it, no rule"


def test_what_calls_hold_is_told_by_warn_alone_and_what_was_charged_by_every_act() -> None:
    for act, tells in ((FraudAct.WARN, [False, True, False, True]), (FraudAct.THROTTLE, [False, False, True, True]),
                       (FraudAct.SUSPEND, [False, False, True, True])):  # fmt: skip
        windows = [(8, 1), (0, 10), (9, 0), (10, 0)]  # charged, held
        standings = [Standing(1, windows=counted(1, charged, held=held)) for charged, held in windows]
        assert [bool(list(alarms(watched(rule(act, spend=9)), each, START))) for each in standings] == tells


def test_a_day_and_a_month_that_a_clock_ahead_has_begun_go_on_for_one_behind() -> None:
    terms = account(ALICE, ALICE, daily_spend=100, monthly_spend=100)
    midnight = parse_rfc3339("2026-12-01T00:00:00Z")
    ahead, behind = midnight + 1_000_000, midnight - 1_000_000

    def left(standing: Standing, now: int) -> list[int]:
        return [cap.left for cap in spend_caps(terms, standing, (), now)]

    standing = with_spent(terms, Standing(1), 50, behind - DAY)
    standing = with_spent(terms, standing, 7, ahead)
    assert left(standing, ahead) == left(standing, behind) == [93, 93]
    standing = with_spent(terms, standing, 5, behind)
    standing = with_spent(terms, standing, 3, ahead)
    standing = with_spent(terms, standing, -1, behind)
    assert (standing.day_spent, standing.month_spent) == (14, 14)
    assert left(standing, ahead) == left(standing, behind) == [86, 86]
    assert left(standing, ahead + DAY) == [100, 86]
    assert left(standing, behind - 40 * DAY) == [100, 100], "a clock that was mended begins anew"


@given(
    st.integers(1, 2 * NANO), st.integers(0, 2 * NANO), st.integers(0, 2 * NANO), st.sampled_from(tuple(DENIALS)),
    st.sampled_from(["442071231234", "33140506070", "80012345"]), st.sampled_from([None, 7, 300]),
)  # fmt: skip
def test_what_a_grant_holds_is_within_the_rule_and_one_block_that_fits_is_granted(
    spend: int, charged: int, held: int, act: FraudAct, to: str, slice_seconds: int | None
) -> None:
    everything = FraudRule("uk", FraudKind.GROUP_RATE, act, 60, spend=spend, prefixes=frozenset({""}))
    terms = with_account(catalog(), ALICE, fraud_rules=(everything,))
    windows = counted(1, charged, held=held)
    found = outcome(terms, windows=windows, balance=9 * NANO, to=to, limits=Limits(slice_seconds=slice_seconds))
    left = spend - charged - held
    block = {"4": 10_000_000, "3": 600_000_000, "8": 0}[to[0]]
    if isinstance(found, Granted):
        assert found.reserved <= left
    else:
        for_good = act is FraudAct.THROTTLE or spend - charged < max(1, block)
        assert found.denial is (DENIALS[act] if for_good else Denial.FRAUD_SUSPECTED)
        assert found.by == ((ALICE, "uk") if for_good else None)
        assert left < max(1, block)
