"""Whatever is told of a call, in whatever order: its carriers' counts are those of its last state, channels too."""

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from daemon.authorize.quality import Tally
from daemon.charging import attempts
from daemon.charging.call import Call, CallState
from daemon.kernel.instant import SECOND
from tests.unit.charging.desk import ALICE, CARRIERS, Desk, key

ROUTES = st.integers(0, 3)
ACTS = st.one_of(
    st.tuples(st.just("ask"), st.just(0)),
    st.tuples(st.just("attempt"), ROUTES),
    st.tuples(st.just("answer"), ROUTES),
    st.tuples(st.just("alive"), st.just(0)),
    st.tuples(st.just("end"), ROUTES),
    st.tuples(st.just("unanswered"), ROUTES),
    st.tuples(st.just("untried"), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([1, 70, 200, 10_000])),
    st.tuples(st.just("expire"), st.just(0)),
    st.tuples(st.just("recover"), st.just(0)),
)


async def act(desk: Desk, number: int, name: str, value: int) -> None:
    """Do or tell one thing about the one call."""
    if name == "ask":
        await desk.ask("c1")
    elif name == "attempt":
        await desk.ocf.attempted(desk.report("c1", route=value, message=key(f"m{number}")))
    elif name == "answer":
        await desk.answer("c1", route=value)
    elif name == "alive":
        await desk.alive("c1")
    elif name == "end":
        await desk.end("c1", route=value, duration_us=30 * SECOND)
    elif name in ("unanswered", "untried"):
        await desk.end("c1", route=value, answered=False, tried=name == "unanswered")
    elif name == "wait":
        desk.wait(value)
    elif name == "expire":
        await desk.ocf.expire_due()
    else:
        await desk.ocf.recover("g1")


def summed(tallies: list[Tally]) -> Counter[tuple[object, ...]]:
    """Return what tallies come to, without what is nothing in the end."""
    sums: Counter[tuple[object, ...]] = Counter()
    for tally in tallies:
        for name in ("attempts", "answered", "seconds"):
            sums[*tally[:3], name] += getattr(tally, name)
    return Counter({place: count for place, count in sums.items() if count})


@given(acts=st.lists(ACTS, max_size=14))
def test_counts_are_those_of_the_calls_as_they_stand(acts: list[tuple[str, int]]) -> None:
    replaced: list[Call] = []  # by another question: its row is the new grant's, and what it tried was tried

    async def played() -> Desk:
        desk = Desk()
        desk.fund(ALICE, "1000.00")
        for number, (name, value) in enumerate([("ask", 0), *acts]):
            before = [call for call in desk.store.saved.values() if call.state is CallState.GRANTED]
            await act(desk, number, name, value)
            if name == "ask":
                replaced.extend(call for call in before if desk.store.saved[call.grant_id].is_open)
        return desk

    desk = asyncio.run(played())
    calls = list(desk.store.saved.values())
    told = [tally for call in [*calls, *replaced] for tally in attempts.told(call)]
    assert summed(desk.store.tallies) == summed(told)
    assert all(count > 0 for count in summed(told).values())
    held = Counter(call.carrier.account for call in calls if call.is_open and call.carrier is not None)
    assert {number: desk.store_standing(number).channels for number in CARRIERS.values()} == {
        number: held[number] for number in CARRIERS.values()
    }
