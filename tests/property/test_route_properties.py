"""The list of routes: whole and the same however it is asked for; never one that breaks a floor at either duration."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from daemon.authorize.catalog import Carrier
from daemon.authorize.decide import decide, prepare
from daemon.authorize.decision import Granted
from daemon.authorize.quality import ACD_GRADE_MAX, ASR_GRADE_MAX, SAMPLE_MIN, Quality, graded
from daemon.authorize.quote import Limits, Quote
from daemon.authorize.route_order import Candidate, ordered
from daemon.kernel.ids import Key
from daemon.kernel.money import NANO
from daemon.ledger.account import Standing
from daemon.rating.charge import first_paid_second
from daemon.rating.margin import margin_holds
from tests.unit.charging.desk import ALICE, START, Desk, catalog, table, with_account

QUALITIES = st.none() | st.builds(
    Quality, st.just(100), st.just(50), st.just(50), st.integers(0, ASR_GRADE_MAX), st.integers(0, ACD_GRADE_MAX)
)


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    """Draw carriers, many of them alike."""
    names = draw(st.lists(st.sampled_from("abcdefghij"), unique=True, max_size=6))
    return [
        Candidate(
            draw(st.integers(0, 2)),
            Carrier(place, Key("main", name), Key("main", "buy"), "{number}", weight=draw(st.integers(1, 1_000))),
            (), (), draw(QUALITIES),
        )
        for place, name in enumerate(names)
    ]  # fmt: skip


@given(found=candidates(), call=st.text(max_size=20), shuffled=st.randoms())
def test_the_order_is_total_and_the_same_however_carriers_are_given(
    found: list[Candidate], call: str, shuffled: object
) -> None:
    placed = ordered(found, call)
    assert sorted(placed, key=lambda each: each.carrier.key) == sorted(found, key=lambda each: each.carrier.key)
    ranks = [each.rank for each in placed]
    assert ranks == sorted(ranks)
    again = list(found)
    shuffled.shuffle(again)  # type: ignore[attr-defined]
    assert ordered(again, call) == placed


@given(
    found=candidates(),
    call=st.text(max_size=20),
    gone=st.integers(0, 5),
)
def test_a_carrier_that_leaves_moves_none_of_those_that_differ(found: list[Candidate], call: str, gone: int) -> None:
    kept = [each for place, each in enumerate(found) if place != gone]
    before = [each.rank for each in ordered(found, call) if each in kept]
    assert [each.rank for each in ordered(kept, call)] == before


@given(
    counts=st.lists(st.tuples(st.integers(SAMPLE_MIN, 2_000), st.integers(0, 1_000), st.integers(0, 7_200)), min_size=1)
)
def test_grades_stay_in_range_and_a_figure_seen_again_never_changes_its_grade(
    counts: list[tuple[int, int, int]],
) -> None:
    before: Quality | None = None
    for attempts, share, acd in counts:
        answered = attempts * share // 1_000
        quality = graded(attempts, answered, answered * acd, before)
        assert quality is not None
        assert 0 <= quality.asr_grade <= ASR_GRADE_MAX
        assert 0 <= quality.acd_grade <= ACD_GRADE_MAX
        assert graded(attempts, answered, answered * acd, quality) == quality
        assert abs(quality.asr - quality.asr_grade * 100 - 50) <= 75
        before = quality


rates = st.integers(0, 200)  # hundredths of a cent a minute
blocks = st.sampled_from([1, 6, 30, 60])


@given(
    sell=st.tuples(st.integers(1, 200), blocks, blocks, st.integers(0, 20)),
    buys=st.lists(st.tuples(rates, blocks, blocks, st.integers(0, 20)), min_size=1, max_size=4),
    percent=st.none() | st.integers(-20, 99), per_minute=st.none() | st.integers(-50, 100),
    balance=st.integers(1, 500), call=st.text(max_size=5),
)  # fmt: skip
def test_no_route_is_offered_that_breaks_a_floor_at_the_first_block_or_the_granted_duration(
    sell: tuple[int, int, int, int], buys: list[tuple[int, int, int, int]], percent: int | None,
    per_minute: int | None, balance: int, call: str,
) -> None:  # fmt: skip
    def deck(rate: int, first: int, following: int, fee: int) -> str:
        head = "prefix,rate,first_seconds,next_seconds,connect_fee"
        return f"{head}\n44,0.{rate:04d},{first},{following},0.{fee:04d}\n"

    base = catalog()
    retail = table(Key("main", "retail"), deck(*sell))
    bought = {
        Key("main", f"buy{place}"): table(Key("main", f"buy{place}"), deck(*each)) for place, each in enumerate(buys)
    }
    carriers = tuple(Carrier(200 + place, key, key, "{number}") for place, key in enumerate(bought))
    plan = replace(base.plans[Key("main", "retail")], tables=(retail,))
    found = replace(base, tables=bought, carriers={"main": carriers}, plans={Key("main", "retail"): plan})
    floors = (
        None if percent is None else percent * NANO, None if per_minute is None else per_minute * NANO // 10_000
    )  # fmt: skip
    stated = {"margin_floor_percent": floors[0], "margin_floor_per_minute": floors[1]}
    quote = prepare(with_account(found, ALICE, **stated), Desk().attempt(call or "c"), START, Limits())
    assert isinstance(quote, Quote)
    standings = {1: Standing(1, balance=balance * NANO // 100)} | {
        each.number: Standing(each.number) for each in carriers
    }
    decision = decide(quote, standings.__getitem__, Limits(), START, "g")
    if isinstance(decision, Granted):
        assert decision.routes
        (sold,) = decision.levels[0].tariffs
        for route in decision.routes:
            for seconds in (first_paid_second(sold), decision.seconds):
                assert margin_holds(sold, route.tariffs[0], seconds, *floors)
