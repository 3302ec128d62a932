"""The common end of calls that share money: what they hold together fits, and an instant more would not.

Held against the plain sum of ``charge``, for prices of one rate and for those that change by step, tier and time band.
"""

from hypothesis import assume, given
from hypothesis import strategies as st

from daemon.authorize.decision import Level
from daemon.authorize.sharing import Share, common_end, kept, newcomer, paid_until
from daemon.kernel.ids import Key
from daemon.kernel.instant import SECOND
from daemon.rating.charge import charge, first_paid_second
from daemon.rating.tariff import Tariff
from tests.property.test_bands_properties import changing_tariffs
from tests.property.test_rating_properties import TARIFFS

NOW = 1_000 * SECOND
HORIZON = NOW + 300 * SECOND
ANY_TARIFF = st.one_of(TARIFFS, changing_tariffs())


def level_of(*tariffs: Tariff) -> Level:
    return Level(1, Key("main", "acme"), "USD", tariffs)


@st.composite
def shares(draw: st.DrawFn) -> Share:
    """Return the share of a call that was answered up to five minutes before now, at any microsecond."""
    level = level_of(*draw(st.lists(ANY_TARIFF, min_size=1, max_size=2)))
    begins = NOW - draw(st.integers(0, 300 * SECOND))
    granted = draw(st.integers(1, 600))
    least = kept(level, -(-(NOW - begins) // SECOND), granted)
    return Share(level, begins, least, least + draw(st.integers(0, 600)))


def cost(share: Share, seconds: int) -> int:
    return max(charge(tariff, seconds).amount for tariff in share.level.tariffs)


@given(st.lists(shares(), min_size=1, max_size=5), st.integers(0, 400), st.integers(-2, 2))
def test_the_sum_at_the_common_end_fits_and_an_instant_more_does_not(
    calls: list[Share], seconds: int, mark: int
) -> None:
    money = sum(share.held(NOW + seconds * SECOND) for share in calls) + mark
    end = common_end(calls, money, NOW, HORIZON)
    if end is None:
        assert sum(share.held(NOW) for share in calls) > money
        return
    held = [share.granted(end) for share in calls]
    assert sum(cost(share, granted) for share, granted in zip(calls, held, strict=True)) <= money
    assert NOW <= end <= HORIZON
    assert end == HORIZON or sum(share.held(end + 1) for share in calls) > money
    assert end == HORIZON or sum(share.held(end + SECOND) for share in calls) > money


@given(st.lists(shares(), min_size=1, max_size=5), st.integers(0, 300 * SECOND))
def test_each_keeps_what_it_has_begun_and_none_is_given_more_than_its_own_limits(
    calls: list[Share], later: int
) -> None:
    for share in calls:
        granted = share.granted(NOW + later)
        assert share.least <= granted <= share.most
        assert cost(share, granted) == share.held(NOW + later), "to the end of its block, for no more money"


@given(st.lists(shares(), min_size=2, max_size=5), st.integers(0, 300))
def test_all_end_within_a_second_where_neither_limits_nor_blocks_keep_them(calls: list[Share], later: int) -> None:
    end = NOW + later * SECOND
    ends = [
        share.begins + share.seconds(end) * SECOND
        for share in calls
        if share.least < (end - share.begins) // SECOND < share.most
    ]
    assume(len(ends) > 1)
    assert max(ends) - min(ends) < SECOND


@given(st.lists(ANY_TARIFF, min_size=1, max_size=2), st.integers(1, 600))
def test_a_block_that_is_paid_is_given_whole(tariffs: list[Tariff], seconds: int) -> None:
    level = level_of(*tariffs)
    until = paid_until(level, seconds)
    assert until >= seconds
    assert [charge(each, until) for each in tariffs] == [charge(each, seconds) for each in tariffs]
    if len(tariffs) == 1:
        assert charge(tariffs[0], until + 1).billed_seconds >= charge(tariffs[0], seconds).billed_seconds


@given(ANY_TARIFF, st.integers(0, 600), st.integers(1, 600), st.integers(0, 100))
def test_a_call_keeps_no_more_than_it_has(tariff: Tariff, used: int, granted: int, units: int) -> None:
    least = kept(level_of(tariff), used, granted, units)
    assert min(used, granted) <= least <= granted
    if units:
        assert least >= min(granted, tariff.included_seconds + units), "what units pay is nobody else's"


@given(st.lists(ANY_TARIFF, min_size=1, max_size=2), st.integers(1, 60))
def test_one_that_asks_gets_its_first_paid_block_at_least(tariffs: list[Tariff], block: int) -> None:
    share = newcomer(level_of(*tariffs), NOW, block)
    assert all(share.least >= first_paid_second(tariff) for tariff in tariffs)
    assert share.most >= max(share.least, block)
    assert share.granted(NOW) >= share.least


def test_a_call_that_has_nothing_holds_nothing() -> None:
    level = level_of(Tariff("t", 1, "44", "UK", "USD", 600_000_000))
    assert Share(level, NOW, 0, 0).granted(HORIZON) == 0
