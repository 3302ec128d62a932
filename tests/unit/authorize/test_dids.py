"""DID ranges: found by bisection as by a look through all of them, each in its own time."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.authorize.dids import NO_RANGES, DidRange, DidRanges
from daemon.kernel.ids import Key

ALICE, BOB = Key("main", "alice"), Key("main", "bob")
NUMBERS = st.integers(0, 130).map(str)


def test_a_range_is_an_accounts_from_a_date() -> None:
    ranges = DidRanges.of(
        (
            DidRange("4420", "4429", 0, 100, ALICE),
            DidRange("4420", "4424", 100, 200, BOB),
            DidRange("7", "9", 0, 9, BOB),
        )
    )
    assert ranges.holding("4420", 99) == (ALICE,)
    assert ranges.holding("4424", 100) == (BOB,)
    assert ranges.holding("4425", 100) == ()
    assert ranges.holding("4429", 0) == (ALICE,)
    assert ranges.holding("4430", 0) == ()
    assert ranges.holding("44200", 0) == (), "a longer number is another number"
    assert ranges.holding("1", 0) == ()
    assert ranges.holding("", 0) == ()
    assert NO_RANGES.holding("4420", 0) == ()
    assert len(ranges.whole) == 3


made = st.builds(
    lambda ends, begins, lasts, account: DidRange(min(ends), max(ends), begins, begins + lasts, account),
    st.integers(1, 3).flatmap(lambda length: st.tuples(*[st.from_regex(f"[0-9]{{{length}}}", fullmatch=True)] * 2)),
    st.integers(0, 5), st.integers(1, 5), st.sampled_from([ALICE, BOB]),
)  # fmt: skip


@given(st.lists(made, max_size=8), NUMBERS, st.integers(0, 10))
def test_bisection_finds_what_a_look_at_every_range_does(ranges: list[DidRange], number: str, at: int) -> None:
    expected = sorted(
        each.account
        for each in set(ranges)
        if len(each.first) == len(number) and each.first <= number <= each.last and each.begins <= at < each.ends
    )
    assert sorted(DidRanges.of(ranges).holding(number, at)) == expected
    assert DidRanges.of(ranges) == DidRanges.of(reversed(ranges))
