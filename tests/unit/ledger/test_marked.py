"""When the rule suspends an account, and when it resumes it: by what was settled, never by what calls hold."""

import pytest

from daemon.ledger import posting
from daemon.ledger.account import EntryKind, Standing, is_spent


@pytest.mark.parametrize(
    ("standing", "limit", "spent"),
    [
        (Standing(1), 0, True),
        (Standing(1, balance=1), 0, False),
        (Standing(1, balance=1, reserved=1), 0, False),
        (Standing(1, balance=1, uncollected=1), 0, True),
        (Standing(1, balance=-5), 5, True),
        (Standing(1, balance=-5), 6, False),
    ],
)
def test_money_is_spent_where_the_settled_balance_reaches_the_limit(
    standing: Standing, limit: int, spent: bool
) -> None:
    assert is_spent(standing, limit) == spent
    assert [entry.kind for _, entry in posting.marked(standing, limit, 7)] == ([EntryKind.SUSPEND] if spent else [])


def test_a_mark_is_set_once_and_taken_away_once_and_moves_nothing() -> None:
    ((after, entry),) = posting.marked(Standing(1, reserved=3), 0, 7)
    assert (after.suspended_at, entry.at, entry.who) == (7, 7, posting.RULE)
    assert (entry.amount, entry.pending, entry.uncollected, entry.reserved_after) == (0, 0, 0, 3)
    assert posting.marked(after, 0, 8) == []
    ((resumed, entry),) = posting.marked(after._replace(balance=1), 0, 9)
    assert (resumed.suspended_at, entry.kind) == (0, EntryKind.RESUME)
    assert posting.marked(resumed, 0, 10) == []


def test_an_account_that_the_rule_knows_no_more_is_only_ever_resumed() -> None:
    assert posting.marked(Standing(1), None, 7) == []
    assert [entry.kind for _, entry in posting.marked(Standing(1, suspended_at=5), None, 7)] == [EntryKind.RESUME]
