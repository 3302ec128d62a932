"""A report that comes when its call may have left the store: listed once, charged never; all other reports as ever."""

import pytest

from daemon.charging.archived import began_at
from daemon.kernel.instant import DAY, SECOND
from tests.unit.charging.desk import ALICE, Desk


@pytest.fixture
def desk() -> Desk:
    """Return a desk whose store has archived all that began more than a day ago."""
    desk = Desk()
    desk.fund(ALICE, "10.00")
    desk.store.archived = desk.now - DAY
    return desk


@pytest.mark.parametrize("how", ["answer", "alive", "end"])
async def test_a_call_of_archived_time_that_the_store_does_not_have_is_listed_once(desk: Desk, how: str) -> None:
    told = {"at": desk.now - DAY + 20 * SECOND, "answered_at": desk.now - DAY - 10 * SECOND, "duration_us": 30 * SECOND}
    for _ in range(2):
        outcome = await getattr(desk, how)("old", **told)
        assert (outcome.call, outcome.changed) == (None, False)
    assert desk.store.saved == {}
    assert desk.store.written == []
    (item,) = {item.key: item for item in desk.store.exceptions}.values()
    assert (item.kind, item.call_id) == ("archived", "old")
    assert item.detail.startswith("30 seconds from ")
    assert "it is not charged; see 'tollway call show'" in item.detail


async def test_a_call_that_began_since_is_charged_though_nobody_asked(desk: Desk) -> None:
    outcome = await desk.end("new", at=desk.now, duration_us=30 * SECOND)
    assert outcome.call is not None
    assert [item.kind for item in desk.store.exceptions] == ["unauthorised"]


async def test_a_call_that_the_store_has_is_ended_whatever_its_end_tells(desk: Desk) -> None:
    await desk.ask("here")
    await desk.answer("here")
    outcome = await desk.end("here", at=desk.now - 2 * DAY, duration_us=5 * SECOND)
    assert outcome.call is not None
    assert outcome.call.posted


def test_the_beginning_is_the_answer_or_the_duration_before_the_report(desk: Desk) -> None:
    assert began_at(desk.report("c", at=100 * SECOND, answered_at=7 * SECOND, duration_us=1)) == 7 * SECOND
    assert began_at(desk.report("c", at=100 * SECOND, duration_us=30 * SECOND)) == 70 * SECOND
    assert began_at(desk.report("c", at=100 * SECOND)) == 100 * SECOND
