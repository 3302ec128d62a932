"""An account whose money came to its end is suspended by the rule, not by a person, until money comes.

The mark stands in the standing, so only a transaction sees it, and it refuses only while there is nothing: one that a
raised credit limit has overtaken counts no more. Units that are left may still be used: they were paid for before.
An account that never had a call settled has no mark; it is refused by its balance. One that a fraud rule suspended is
suspended by its status too, until a person resumes it; its windows say by which rule.
"""

from dataclasses import replace

from daemon.authorize.catalog import AccountTerms, Catalog, Status, WhenEmpty
from daemon.authorize.decision import Denied
from daemon.authorize.denial import Denial
from daemon.authorize.quote import Standings
from daemon.kernel.ids import Direction
from daemon.kernel.instant import format_rfc3339
from daemon.ledger.account import Standing, is_spent

_ORDER = {denial: place for place, denial in enumerate(Denial)}


def emptied(terms: AccountTerms, standing: Standing, direction: Direction, *, is_paid: bool = False) -> Denied | None:
    """Return the refusal of a call of an account that the rule suspended; ``is_paid``: by units that are left."""
    limit = terms.empty_limit
    if not standing.suspended_at or limit is None or is_paid or not is_spent(standing, limit):
        return None
    if direction is Direction.INBOUND and terms.when_empty is not WhenEmpty.ALL:
        return None
    reason = f"account {terms.key} is suspended until money comes: its balance has reached the credit limit"
    return Denied(Denial.ACCOUNT_SUSPENDED, reason, terms.key)


def suspended_by(status: Status, standing: Standing, limit: int | None) -> str:
    """Return what suspended an account: ``fraud_rule``, ``person``, ``balance`` (its own rule), or nothing, empty."""
    if any(window.tripped_at for window in standing.windows):
        return "fraud_rule"
    if status is Status.SUSPENDED:
        return "person"
    return "balance" if standing.suspended_at and limit is not None and is_spent(standing, limit) else ""


def told_first(catalog: Catalog, denied: Denied, direction: Direction) -> AccountTerms | None:
    """Return the terms of an account that, were it suspended by the rule, would hear that first: before ``denied``."""
    if denied.account is None or _ORDER[denied.denial] <= _ORDER[Denial.ACCOUNT_CLOSED]:
        return None
    terms = catalog.accounts.get(denied.account)
    terms = terms.facing(direction) if terms is not None else None
    return terms if terms is not None and terms.empty_limit is not None else None


def in_order(catalog: Catalog, denied: Denied, direction: Direction, standings: Standings) -> Denied:
    """Return the first refusal of a call that the configuration refuses: that, or the one of the rule."""
    terms = told_first(catalog, denied, direction)
    return denied if terms is None else emptied(terms, standings(terms.number), direction) or denied


def suspended_account(catalog: Catalog, denied: Denied) -> AccountTerms | None:
    """Return the terms of the account that a refusal by the configuration found suspended, None where there is none."""
    if denied.denial is not Denial.ACCOUNT_SUSPENDED or denied.account is None:
        return None
    return catalog.accounts.get(denied.account)


def with_rule(catalog: Catalog, denied: Denied, standings: Standings) -> Denied:
    """Return a refusal by a status saying which fraud rule brought it about; one that a person did is as it was."""
    terms = suspended_account(catalog, denied)
    windows = standings(terms.number).windows if terms is not None else ()
    tripped = next((window for window in windows if window.tripped_at), None)
    if tripped is None:
        return denied
    since = format_rfc3339(tripped.tripped_at)
    reason = (
        f"account {denied.account} is suspended by fraud rule {tripped.rule} since {since}, until a person resumes it"
    )
    return replace(denied, reason=reason)
