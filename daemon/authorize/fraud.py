"""Fraud rules: what an account's windows may count before its calls are refused, or it is suspended.

A rule looks at all calls of an account of its direction, whichever attempt or call id they have: short calls once they
ended, calls to a group of numbers and their money from the question on. What such calls hold never is more than the
rule's money allows; ``throttle`` refuses until the window has passed; ``suspend`` refuses the call that would go over,
and every later one until a person resumes the account; ``warn`` refuses nothing. A rule acts on what it counted or
refused itself, at its own level of the chain, and on no other refusal. Pure.
"""

from collections.abc import Iterator

from daemon.authorize.catalog import AccountTerms
from daemon.authorize.decision import Denied, Level, Rule
from daemon.authorize.denial import Denial
from daemon.authorize.fraud_rule import FraudAct, FraudKind, FraudRule
from daemon.authorize.quote import Trace, refused
from daemon.kernel.ids import Direction
from daemon.kernel.instant import Instant, format_rfc3339
from daemon.kernel.money import format_nano
from daemon.ledger.account import Standing
from daemon.ledger.window import MINUTE, Window, window_of

DENIALS = {FraudAct.THROTTLE: Denial.FRAUD_SUSPECTED, FraudAct.SUSPEND: Denial.ACCOUNT_SUSPENDED}  # warn has none


def watching(terms: AccountTerms, called: str, direction: Direction) -> tuple[str, ...]:
    """Return the ids of an account's rules that count a call to a number from its question on."""
    return tuple(rule.id for rule in terms.fraud_rules if rule.watches(called, direction))


def suspicion(
    terms: AccountTerms, standing: Standing, level: Level, direction: Direction, least: int, now: Instant,
    notes: Trace | None,
) -> Denied | None:  # fmt: skip
    """Return why an account may not make a call now: a rule suspended it, or refuses this one.

    ``least`` is the money without which the call does not begin, in nano-units: its first block, where no units pay it.
    """
    for rule in terms.fraud_rules:
        tripped_at = window_of(standing.windows, rule.id).tripped_at
        if rule.act is FraudAct.SUSPEND and tripped_at:
            detail = f"fraud rule {rule.id} suspended account {terms.key} at {format_rfc3339(tripped_at)}"
            return refused(notes, "fraud", Denied(Denial.ACCOUNT_SUSPENDED, detail, terms.key))
    for rule in terms.fraud_rules:
        if not _bears_on(rule, level, direction):
            continue
        window = window_of(standing.windows, rule.id)
        if is_refused(rule, window, least, now):
            asks = f"; the call needs {format_nano(least)} to begin" if rule.spend is not None else ""
            detail = f"fraud rule {rule.id}: {told(rule, window, now)}{asks}"
            if rule.act is FraudAct.SUSPEND and not is_refused(rule, window._replace(held=0), least, now):
                # Calls that run hold the rest and may give it back: a call that only rings must not suspend anybody.
                return refused(notes, "fraud", Denied(Denial.FRAUD_SUSPECTED, detail, terms.key))
            return refused(notes, "fraud", Denied(DENIALS[rule.act], detail, terms.key, by=(terms.key, rule.id)))
        if notes is not None:
            notes.append(Rule("fraud", True, f"{rule.id}: {told(rule, window, now)}"))
    return None


def _bears_on(rule: FraudRule, level: Level, direction: Direction) -> bool:
    return rule.id in level.watched if rule.kind is FraudKind.GROUP_RATE else rule.direction.takes(direction)


def is_refused(rule: FraudRule, window: Window, least: int, now: Instant) -> bool:
    """Tell whether a rule refuses a call that it bears on: one that would be more than it allows, or any after that."""
    if rule.act is FraudAct.WARN:
        return False
    if rule.kind is FraudKind.SHORT_CALLS:
        return is_over(rule, window, now)
    if rule.calls is not None and window.calls(now, rule.minutes) >= rule.calls:
        return True
    return rule.spend is not None and rule.spend - window.spent(now, rule.minutes) < max(1, least)


def money_left(
    terms: AccountTerms, standing: Standing, watched: tuple[str, ...], now: Instant
) -> Iterator[tuple[FraudRule, int]]:
    """Yield the rules that bound the money of a call which they watch, each with what is left of it in nano-units."""
    for rule in terms.fraud_rules:
        if rule.id in watched and rule.spend is not None and rule.act in DENIALS:
            yield rule, rule.spend - window_of(standing.windows, rule.id).spent(now, rule.minutes)


def is_over(rule: FraudRule, window: Window, now: Instant) -> bool:
    """Tell whether a window holds what its rule acts on by itself.

    What calls hold may come back: only ``warn`` tells of it. The other acts wait for what was charged, and since no
    call is granted beyond the rule's money, they act when that is reached.
    """
    if rule.calls is not None and window.calls(now, rule.minutes) > rule.calls:
        return True
    if rule.spend is None:
        return False
    if rule.act is FraudAct.WARN:
        return window.spent(now, rule.minutes) > rule.spend
    return window.charged(now, rule.minutes) >= rule.spend


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
    terms: AccountTerms, standing: Standing, now: Instant, refused_by: str = ""
) -> Iterator[tuple[FraudRule, Window]]:
    """Yield the rules that have something to tell now, each with its window as it stands afterwards.

    A rule tells once in the time of its window. ``refused_by``: the rule of this account that refused a call, which it
    does before more was counted than it allows.
    """
    for rule in terms.fraud_rules:
        window = window_of(standing.windows, rule.id)
        if not is_over(rule, window, now) and rule.id != refused_by:
            continue
        tripped = window.tripped_at or (now if rule.act is FraudAct.SUSPEND else 0)
        if window.told_at and now - window.told_at < rule.minutes * MINUTE and tripped == window.tripped_at:
            continue
        yield rule, window._replace(told_at=now, tripped_at=tripped)
