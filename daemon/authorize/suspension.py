"""An account whose money came to its end is suspended by the rule, not by a person, until money comes.

The mark stands in the standing, so only a transaction sees it, and it refuses only while there is nothing: one that a
raised credit limit has overtaken counts no more. Units that are left may still be used: they were paid for before.
An account that never had a call settled has no mark; it is refused by its balance.
"""

from daemon.authorize.catalog import AccountTerms, Catalog, Status, WhenEmpty
from daemon.authorize.decision import Denied
from daemon.authorize.denial import Denial
from daemon.authorize.quote import Standings
from daemon.kernel.ids import Direction
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
    """Return who suspended an account: ``person``, ``balance`` (the rule), or nobody, which is empty."""
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
