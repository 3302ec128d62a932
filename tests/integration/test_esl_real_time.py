"""The cuts of ``test_esl_cut`` by the machine's clock: the loop, the sockets and the store are as late as they are."""

from pathlib import Path

import pytest

from daemon.charging.call import SettledBy
from daemon.charging.session import ChargingSettings
from daemon.kernel.instant import SECOND
from daemon.kernel.money import parse_nano
from tests.integration.test_esl_cut import FAST_DECK, GERMANY, ITALY, LATE, QUICK, TWO, cases, talking
from tests.integration.test_esl_park import UK, ended, running
from tests.switch_double.double import Plan


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


@pytest.mark.alone
async def test_calls_that_share_end_together(tmp_path: Path) -> None:
    async with running(tmp_path, "0.30", ChargingSettings(ring_seconds=5), FAST_DECK) as (world, switch):
        calls = [switch.play(Plan("acme", UK, answer_at_ms=200)) for _ in range(3)]
        for call in calls:
            await ended(call, 30)
        ends = [call.hung_up for call in calls]
        assert max(ends) - min(ends) <= LATE
        await world.settled()
        balance, reserved, channels = await world.standing("acme")
        assert (reserved, channels) == (0, 0)
        assert 0 <= balance < parse_nano("0.03")
        assert all(record.uncollected == 0 for record in await world.records())
