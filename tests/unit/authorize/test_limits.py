"""Limits on standings: channels with packages and surcharges, the month's spend, and what fraud rules let pass."""

from zoneinfo import ZoneInfo

import pytest

from daemon.authorize.catalog import AccountTerms, ChannelPackage, OverChannels
from daemon.authorize.decision import Granted
from daemon.authorize.fraud import alarms, ends_calls, told
from daemon.authorize.fraud_rule import FraudAct, FraudKind, FraudRule
from daemon.authorize.limits import month_of
from daemon.authorize.quote import Trace
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
    ({"fraud_rules": (rule(FraudAct.THROTTLE, spend=9),)}, {"windows": counted(3, 8)}, "granted"),
    ({"fraud_rules": (rule(FraudAct.THROTTLE, spend=9),)}, {"windows": counted(3, 4, held=5)}, "fraud_suspected"),
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
        return [window for _, window in alarms(terms, standing, "", START, refuses=False)]

    assert [each.told_at for each in tells(FraudAct.WARN)] == [START]
    assert tells(FraudAct.WARN, told_at=START - 1) == []
    assert tells(FraudAct.WARN, told_at=START - DAY) != []
    assert [each.tripped_at for each in tells(FraudAct.SUSPEND, told_at=START - 1)] == [START]
    assert tells(FraudAct.SUSPEND, told_at=START - 1, tripped_at=START - 1) == []


def test_what_a_window_holds_is_told_beside_what_is_allowed() -> None:
    both = rule(FraudAct.WARN, calls=2, spend=NANO)
    assert told(both, counted(3, NANO)[0], START) == "3 calls, at most 2 and 1.00 spent, at most 1.00, in 60 minutes"
    assert told(SHORT, counted(3)[0], START) == "3 calls shorter than 6 seconds, at most 2, in 10 minutes"
