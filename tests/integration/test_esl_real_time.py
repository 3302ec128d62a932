"""The cuts of ``test_esl_cut`` by the machine's clock: the loop, the sockets and the store are as late as they are."""

from pathlib import Path

import pytest

from daemon.charging.call import SettledBy
from daemon.kernel.instant import SECOND
from tests.integration.test_esl_cut import FAST_DECK, GERMANY, ITALY, LATE, QUICK, TWO, cases, talking
from tests.integration.test_esl_park import UK, ended


@pytest.mark.alone
async def test_each_cut_falls_within_two_seconds_of_the_money(tmp_path: Path) -> None:
    wanted = cases((UK, "0.03", 3), (GERMANY, "0.30", 3), (ITALY, "0.60", 3), (TWO, "0.05", 4))
    async with talking(tmp_path, wanted, QUICK, FAST_DECK) as (world, _, calls):
        for call in calls:
            await ended(call)
        await world.settled()
        assert {record.settled_by for record in await world.records()} == {SettledBy.OWN_LIMIT.value}
        for call, case in zip(calls, wanted, strict=True):
            assert case.limit * SECOND <= call.talked_us <= case.limit * SECOND + LATE, case
            assert call.cause == "ALLOTTED_TIMEOUT", case
