"""What fraud rules count of a call, in the standings of the transaction that holds or charges it, and what they tell.

A call counts once, when it is first held, at every level whose account has a rule for its number; what it holds and was
charged counts too, and its shortness at its end. A charge that is taken back takes back what it counted. The event of
a rule is kept by the same transaction as what it saw; a suspension is in force with it, before a person can read it.
"""

from collections.abc import Iterable

from daemon.authorize.catalog import AccountTerms, Catalog
from daemon.authorize.decision import Denied, Level
from daemon.authorize.fraud import alarms, ends_calls, told
from daemon.charging.call import Call
from daemon.charging.ports import Book, Event
from daemon.kernel.instant import Instant
from daemon.ledger.account import Standing
from daemon.ledger.window import counted, held, window_of, with_window

FRAUD = "fraud"  # the kind of its events


def holding(standing: Standing, level: Level, difference: int, now: Instant, calls: int = 0) -> Standing:
    """Return a standing whose windows count what a level of a call holds more, or less, and ``calls`` that begin.

    ``calls`` is -1 for one that was counted in this transaction and does not begin after all.
    """
    for rule in level.watched:
        window = held(window_of(standing.windows, rule), difference)
        window = counted(window, now, now, calls, 0) if calls else window
        standing = standing._replace(windows=with_window(standing.windows, window))
    return standing


def uncounted(book: Book, call: Call, now: Instant) -> None:
    """Take back that a call began which was held in this transaction, and is none after all."""
    for level in call.levels:
        if level.watched:
            book.keep(holding(book.standing(level.account), level, 0, now, -1))


def charged(
    standing: Standing, terms: AccountTerms, level: Level, call: Call, amount: int, now: Instant, *, calls: int = 1
) -> Standing:
    """Return a standing whose windows count the charge of an ended call, and the call where it was short.

    ``calls`` is -1, and the amount negative, where a charge is taken back. Emergency calls never count.
    """
    if call.emergency:
        return standing
    at = call.counted_at or now
    for name in level.watched:
        window = counted(window_of(standing.windows, name), at, now, 0, amount)
        standing = standing._replace(windows=with_window(standing.windows, window))
    for rule in terms.fraud_rules:
        if rule.is_short(call.duration_us, call.direction):
            window = counted(window_of(standing.windows, rule.id), at, now, calls, 0)
            standing = standing._replace(windows=with_window(standing.windows, window))
    return standing


def watch(
    book: Book, catalog: Catalog, levels: Iterable[Level], call_id: str, now: Instant, denied: Denied | None = None
) -> None:
    """Tell what the rules of each level's account see now.

    ``denied``: the refusal of the call. It is told, and suspends, by the rule that refused, and by no other: what else
    refused it is nothing that a rule counts.
    """
    account, refused_by = (denied.by if denied is not None else None) or (None, "")
    for level in levels:
        terms, standing = catalog.by_number[level.account], book.standing(level.account)
        if not terms.fraud_rules and not standing.windows:
            continue
        after = _of_rules(standing, terms)
        for rule, window in alarms(terms, after, now, refused_by if terms.key == account else ""):
            after = after._replace(windows=with_window(after.windows, window))
            one_more = "; one more call was asked for" if (terms.key, rule.id) == (account, refused_by) else ""
            detail = f"{told(rule, window, now)}{one_more}"
            book.append_event(Event(now, FRAUD, *terms.key, rule.id, rule.act.value, call_id, detail))
        if after != standing:
            book.keep(after)


def _of_rules(standing: Standing, terms: AccountTerms) -> Standing:
    """Return a standing without the windows of rules that the account has no more, and that hold nothing."""
    rules = {rule.id for rule in terms.fraud_rules}
    return standing._replace(windows=tuple(each for each in standing.windows if each.rule in rules or each.held))


def ends(book: Book, catalog: Catalog, call: Call, now: Instant) -> bool:
    """Tell whether a call that runs gets no further slice, at any of its levels."""
    return any(
        ends_calls(catalog.by_number[level.account], book.standing(level.account), level.watched, now)
        for level in call.levels
    )
