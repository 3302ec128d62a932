"""Fraud rules: what an account's windows may count before its calls are refused, or it is suspended.

A rule looks at all calls of an account, whichever direction, attempt or call id they have: short calls once they ended,
calls to a group of numbers and their money from the question on, what is held counted. ``throttle`` refuses until the
window has passed; ``suspend`` refuses the call that would go over, and every later one until a person resumes the
account; ``warn`` refuses nothing. Rules count at every level of the chain whose account has some. Pure.
"""

from collections.abc import Iterator

from daemon.authorize.catalog import AccountTerms
from daemon.authorize.decision import Denied, Rule
from daemon.authorize.denial import Denial
from daemon.authorize.fraud_rule import FraudAct, FraudKind, FraudRule
from daemon.authorize.quote import Trace, refused
from daemon.kernel.instant import Instant, format_rfc3339
from daemon.kernel.money import format_nano
from daemon.ledger.account import Standing
from daemon.ledger.window import MINUTE, Window, window_of


def watching(terms: AccountTerms, called: str) -> tuple[str, ...]:
    """Return the ids of an account's rules that count a call to a number from its question on."""
    return tuple(rule.id for rule in terms.fraud_rules if rule.watches(called))


def suspicion(terms: AccountTerms, standing: Standing, called: str, now: Instant, notes: Trace | None) -> Denied | None:
    """Return why an account may not make a call to a number now: a rule suspended it, or throttles its calls."""
    for rule in terms.fraud_rules:
        window = window_of(standing.windows, rule.id)
        if rule.act is FraudAct.SUSPEND and window.tripped_at:
            when = format_rfc3339(window.tripped_at)
            detail = f"fraud rule {rule.id} suspended account {terms.key} at {when}"
            return refused(notes, "fraud", Denied(Denial.ACCOUNT_SUSPENDED, detail, terms.key))
        if is_refused(rule, window, called, now):
            denial = Denial.ACCOUNT_SUSPENDED if rule.act is FraudAct.SUSPEND else Denial.FRAUD_SUSPECTED
            return refused(
                notes, "fraud", Denied(denial, f"fraud rule {rule.id}: {told(rule, window, now)}", terms.key)
            )
        if notes is not None:
            notes.append(Rule("fraud", True, f"{rule.id}: {told(rule, window, now)}"))
    return None


def is_refused(rule: FraudRule, window: Window, called: str, now: Instant) -> bool:
    """Tell whether a rule refuses a call to a number: one that would be more than it allows, or any after that."""
    if rule.act is FraudAct.WARN:
        return False
    if rule.kind is FraudKind.SHORT_CALLS:
        return is_over(rule, window, now)
    calls_left = rule.calls is None or window.calls(now, rule.minutes) < rule.calls
    money_left = rule.spend is None or window.spent(now, rule.minutes) < rule.spend
    return rule.watches(called) and not (calls_left and money_left)


def is_over(rule: FraudRule, window: Window, now: Instant) -> bool:
    """Tell whether a window holds more than its rule allows."""
    if rule.calls is not None and window.calls(now, rule.minutes) > rule.calls:
        return True
    return rule.spend is not None and window.spent(now, rule.minutes) > rule.spend


def told(rule: FraudRule, window: Window, now: Instant) -> str:
    """Return what a window holds beside what its rule allows, in words."""
    parts = []
    if rule.calls is not None:
        what = f" shorter than {rule.seconds} seconds" if rule.kind is FraudKind.SHORT_CALLS else ""
        parts.append(f"{window.calls(now, rule.minutes)} calls{what}, at most {rule.calls}")
    if rule.spend is not None:
        parts.append(f"{format_nano(window.spent(now, rule.minutes))} spent, at most {format_nano(rule.spend)}")
    return f"{' and '.join(parts)}, in {rule.minutes} minutes"


def ends_calls(terms: AccountTerms, standing: Standing, watched: tuple[str, ...], now: Instant) -> bool:
    """Tell whether a call that runs gets no further slice: its account is suspended, or its group's money is spent."""
    for rule in terms.fraud_rules:
        window = window_of(standing.windows, rule.id)
        if rule.act is FraudAct.SUSPEND and window.tripped_at:
            return True
        stops = rule.act is FraudAct.THROTTLE and rule.id in watched and rule.spend is not None
        if stops and window.spent(now, rule.minutes) > (rule.spend or 0):
            return True
    return False


def alarms(
    terms: AccountTerms, standing: Standing, called: str, now: Instant, *, refuses: bool
) -> Iterator[tuple[FraudRule, Window]]:
    """Yield the rules that have something to tell now, each with its window as it stands afterwards.

    A rule tells once in the time of its window. ``refuses``: a call to ``called`` was refused, which a rule may have
    done before more was counted than it allows.
    """
    for rule in terms.fraud_rules:
        window = window_of(standing.windows, rule.id)
        if not is_over(rule, window, now) and not (refuses and is_refused(rule, window, called, now)):
            continue
        tripped = window.tripped_at or (now if rule.act is FraudAct.SUSPEND else 0)
        if window.told_at and now - window.told_at < rule.minutes * MINUTE and tripped == window.tripped_at:
            continue
        yield rule, window._replace(told_at=now, tripped_at=tripped)
