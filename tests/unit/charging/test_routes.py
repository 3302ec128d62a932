"""A call among its routes: one reservation, the channel and the cost of whoever answers, attempts counted exactly."""

from collections import Counter
from dataclasses import replace

import pytest

from daemon.authorize.decision import Granted
from daemon.charging.call import CallState
from daemon.charging.event import Outcome
from daemon.kernel.instant import SECOND
from daemon.kernel.money import NANO, parse_nano
from daemon.rating.bundle import Bundle
from tests.unit.charging.desk import (
    ALICE,
    BUY,
    CARRIERS,
    RAY,
    RETAIL,
    START,
    TRUNK_ACCOUNT,
    Desk,
    catalog,
    key,
    table,
    with_account,
)


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.fund(ALICE, "10.00")
    return made


def counts(desk: Desk) -> dict[str, tuple[int, int, int]]:
    """Return attempts, answers and seconds of each carrier, as the store would add them up; zeroes are left out."""
    sums: Counter[tuple[str, str]] = Counter()
    names = {number: name for name, number in CARRIERS.items()}
    for tally in desk.store.tallies:
        assert (tally.group, tally.hour) == ("442", START // (3_600 * SECOND)), tally
        for field in ("attempts", "answered", "seconds"):
            sums[names[tally.carrier], field] += getattr(tally, field)
    told = {name: (sums[name, "attempts"], sums[name, "answered"], sums[name, "seconds"]) for name in CARRIERS}
    return {name: found for name, found in told.items() if any(found)}


def channels(desk: Desk) -> tuple[int, int]:
    return desk.carrier("cheap").channels, desk.carrier("dear").channels


async def attempted(desk: Desk, call_id: str, **changes: object) -> Outcome:
    outcome = await desk.ocf.attempted(desk.report(call_id, **changes))  # type: ignore[arg-type]
    assert isinstance(outcome, Outcome)
    return outcome


async def test_an_attempt_moves_the_channel_and_holds_no_more_money(desk: Desk) -> None:
    await desk.ask("c1")
    held = desk.standing(ALICE).reserved
    moved = await attempted(desk, "c1", route=2)
    assert moved.changed
    assert (channels(desk), desk.standing(ALICE).reserved) == ((0, 1), held)
    assert counts(desk) == {"cheap": (1, 0, 0)}
    assert desk.carrier("dear").calls_in(START // SECOND) == 1
    for late in (1, 2):
        assert not (await attempted(desk, "c1", route=late)).changed, "no carrier is gone back to"
    assert channels(desk) == (0, 1)
    answered = (await desk.answer("c1", route=2)).call
    assert answered is not None
    assert not (await attempted(desk, "c1", route=3)).changed
    desk.wait(60)
    ended = (await desk.end("c1", duration_us=60 * SECOND)).call
    assert ended is not None
    assert (ended.state, ended.route, desk.store.written[0].carrier) == (CallState.SETTLED, 2, "dear")
    assert counts(desk) == {"cheap": (1, 0, 0), "dear": (1, 1, 60)}


async def test_a_failure_without_a_number_is_that_of_the_route_in_use_and_the_last_one_stays(desk: Desk) -> None:
    await desk.ask("c1")
    assert (await attempted(desk, "c1", message=key("m1"))).changed
    await desk.ocf.attempted(desk.report("c1", message=key("m1")))
    assert counts(desk) == {"cheap": (1, 0, 0)}
    assert not (await attempted(desk, "c1", message=key("m2"))).changed
    assert not (await attempted(desk, "gone")).changed


async def test_legs_that_ring_together_are_set_right_by_the_answer(desk: Desk) -> None:
    await desk.ask("c1")
    await attempted(desk, "c1", route=2)
    await desk.answer("c1", route=1)
    assert channels(desk) == (1, 0)
    assert counts(desk) == {"cheap": (1, 1, 0)}


async def test_a_call_that_nobody_answers_counts_what_was_tried(desk: Desk) -> None:
    await desk.ask("c1")
    await desk.end("c1", answered=False, route=2)
    assert counts(desk) == {"cheap": (1, 0, 0), "dear": (1, 0, 0)}
    await desk.ask("c2")
    await desk.end("c2", answered=False, tried=False)
    assert counts(desk) == {"cheap": (1, 0, 0), "dear": (1, 0, 0)}, "given up before any carrier was asked"
    assert channels(desk) == (0, 0)


async def test_an_answer_that_comes_after_the_failure_takes_it_back(desk: Desk) -> None:
    await desk.ask("c1")
    await desk.end("c1", answered=False)
    assert counts(desk) == {"cheap": (1, 0, 0)}
    desk.wait(2)
    await desk.answer("c1", route=2)
    assert counts(desk) == {"cheap": (1, 0, 0), "dear": (1, 1, 0)}
    assert channels(desk) == (0, 1)


async def test_an_end_before_its_answer_is_counted_once(desk: Desk) -> None:
    await desk.ask("c1")
    desk.wait(30)
    await desk.end("c1")
    await desk.answer("c1", at=START, answered_at=START + 10 * SECOND)
    assert counts(desk) == {"cheap": (1, 1, 20)}


async def test_an_estimate_that_gives_way_gives_its_seconds_back(desk: Desk) -> None:
    await desk.ask("c1")
    await desk.answer("c1")
    desk.wait(100_000)
    await desk.ocf.expire_due()
    (estimate,) = counts(desk).values()
    assert estimate[:2] == (1, 1)
    await desk.end("c1", at=START + 90 * SECOND, duration_us=90 * SECOND, route=2)
    assert counts(desk) == {"cheap": (1, 0, 0), "dear": (1, 1, 90)}
    assert [record.carrier for record in desk.store.written] == ["cheap", "cheap", "dear"]
    assert sum(record.cost for record in desk.store.written) == parse_nano("0.90")
    assert channels(desk) == (0, 0)


async def test_a_call_that_runs_on_after_an_estimate_has_talked_for_no_time_yet(desk: Desk) -> None:
    await desk.ask("c1")
    await desk.answer("c1")
    desk.wait(100_000)
    await desk.ocf.expire_due()
    await desk.alive("c1", grant_id="g1")
    assert counts(desk) == {"cheap": (1, 1, 0)}


async def test_a_route_that_was_never_granted_changes_nothing_and_is_listed(desk: Desk) -> None:
    await desk.ask("c1")
    await desk.answer("c1", route=7)
    assert channels(desk) == (1, 0)
    (item,) = desk.store.exceptions
    assert (item.kind, item.detail) == (
        "route_unknown", "told on route 7, granted were 1, 2: it stays booked on route 1"
    )  # fmt: skip


async def test_an_end_does_not_move_a_call_from_the_route_that_its_answer_told(desk: Desk) -> None:
    await desk.ask("c1")
    await desk.answer("c1", route=2)
    await desk.end("c1", duration_us=60 * SECOND, route=1)
    assert [record.carrier for record in desk.store.written] == ["dear"]
    assert counts(desk) == {"cheap": (1, 0, 0), "dear": (1, 1, 60)}
    (item,) = [item for item in desk.store.exceptions if item.kind == "route_changed"]
    assert item.detail == "its answer told route 2, its end tells 1: it stays booked on route 2"
    await desk.ask("c2")
    await desk.answer("c2", route=7)  # was never granted: its answer has told nothing
    await desk.end("c2", duration_us=60 * SECOND, route=2)
    assert desk.store.written[1].carrier == "dear"


async def test_what_another_tenant_than_the_carriers_tells_counts_for_no_carrier(desk: Desk) -> None:
    desk.fund(RAY, "100.00")
    cheap, dear = catalog().carriers["main"]
    open_to_all = replace(catalog(), carriers={"main": (replace(cheap, channels=None), dear)})
    desk.catalog_value = with_account(open_to_all, TRUNK_ACCOUNT, margin_floor_percent=None)
    foreign = {"payer": RAY, "road": {"tenant": "ray", "switch": "token"}}
    for call_id in ("false", "moved", "answered", "ended"):
        asked = await desk.ask(call_id, payer=RAY, tenant="ray", renewable=True)
        assert isinstance(asked.decision, Granted)
        assert [route.carrier.id for route in asked.decision.routes] == ["cheap", "dear"]
    await desk.end("false", answered=False, route=2, **foreign)
    await attempted(desk, "moved", route=2, **foreign)
    await desk.answer("answered", route=2, **foreign)
    await desk.end("answered", duration_us=SECOND, **foreign)
    await desk.end("ended", duration_us=SECOND, route=2, **foreign)
    assert counts(desk) == {}
    assert [record.carrier for record in desk.store.written if record.tenant == "main"] == ["dear", "dear"]
    await desk.answer("moved", route=2, payer=RAY)
    assert counts(desk) == {"cheap": (1, 0, 0), "dear": (1, 1, 0)}, "the switch of the carriers' tenant knows"
    await desk.end("moved", duration_us=SECOND, **foreign)
    assert counts(desk) == {"cheap": (1, 0, 0), "dear": (1, 1, 1)}


async def test_a_call_that_the_switch_routes_counts_for_nobody(desk: Desk) -> None:
    await desk.ask("c1", routed=False)
    await desk.answer("c1", route=2)
    await desk.end("c1", duration_us=SECOND)
    assert (desk.store.tallies, desk.store.exceptions) == ([], [])


async def test_carriers_calls_a_second_are_held_with_the_call(desk: Desk) -> None:
    cheap, dear = catalog().carriers["main"]
    limited = (replace(cheap, calls_per_second=1, channels=None), replace(dear, calls_per_second=1))
    desk.catalog_value = replace(catalog(), carriers={"main": limited})
    offered = []
    for number in range(3):
        found = (await desk.ask(f"c{number}")).decision
        offered.append([each.carrier.id for each in found.routes] if isinstance(found, Granted) else found.denial.value)
        await desk.end(f"c{number}", answered=False, tried=False)
    assert offered == [["cheap", "dear"], ["dear"], "calls_per_second"]
    desk.wait(1)
    assert isinstance((await desk.ask("c9")).decision, Granted)


def sold_at_a_loss(desk: Desk) -> list[str]:
    return [item.detail for item in desk.store.exceptions if item.kind == "negative_margin"]


async def test_a_call_that_cost_more_than_it_was_sold_for_is_listed_unless_that_was_agreed(desk: Desk) -> None:
    risen = {**catalog().tables, BUY: table(BUY, "prefix,rate\n44,0.90\n800,1\n")}
    for number, (percent, per_minute) in enumerate([(0, None), (-50 * NANO, None), (None, -NANO), (None, None)]):
        terms = {"margin_floor_percent": percent, "margin_floor_per_minute": per_minute}
        desk.catalog_value = with_account(catalog(), ALICE, **terms)
        await desk.ask(f"c{number}")
        desk.catalog_value = replace(desk.catalog_value, tables=risen)  # between the grant and the answer
        await desk.answer(f"c{number}")
        await desk.end(f"c{number}", duration_us=60 * SECOND)
    assert sold_at_a_loss(desk) == ["main/alice: sold at 0.60 USD, and cheap costs 0.90 USD: -0.30 USD"] * 2


async def test_what_is_free_or_paid_in_units_is_no_loss(desk: Desk) -> None:
    """Units count at the row's own rate, 0.60 a minute; what a carrier costs more than that is a loss."""
    risen = {**catalog().tables, BUY: table(BUY, "prefix,rate\n44,0.50\n800,1\n")}
    one = replace(catalog(), carriers={"main": catalog().carriers["main"][:1]})
    desk.catalog_value = with_account(one, ALICE, bundles=(Bundle("b", 6_000, prefixes=frozenset({"44"})),))
    await desk.ask("free", to="8001234567")
    await desk.ask("units")
    desk.catalog_value = replace(desk.catalog_value, tables=risen)
    for call, number in (("free", "8001234567"), ("units", "442071231234")):
        await desk.answer(call, to=number)
        await desk.end(call, to=number, duration_us=60 * SECOND)
    assert [record.margin < 0 for record in desk.store.written] == [True, True]
    assert sold_at_a_loss(desk) == []


async def test_units_are_worth_the_rows_own_rate_and_cover_no_more(desk: Desk) -> None:
    """One second of a bundle does not make a loss none; nor do units of a whole call that costs more than its row."""
    risen = {**catalog().tables, BUY: table(BUY, "prefix,rate\n44,0.90\n800,1\n")}
    one = replace(catalog(), carriers={"main": catalog().carriers["main"][:1]})
    for call, units in (("one", 1), ("all", 6_000)):
        desk.catalog_value = with_account(one, ALICE, bundles=(Bundle(call, units, prefixes=frozenset({"44"})),))
        await desk.ask(call)
        desk.catalog_value = replace(desk.catalog_value, tables=risen)
        await desk.answer(call)
        await desk.end(call, duration_us=60 * SECOND)
    assert sold_at_a_loss(desk) == [
        "main/alice: sold at 0.59 USD and 1 units of a bundle, and cheap costs 0.90 USD: -0.31 USD",
        "main/alice: sold at 0.00 USD and 60 units of a bundle, and cheap costs 0.90 USD: -0.90 USD",
    ]


async def test_a_resellers_loss_is_told_to_him_without_the_carrier(desk: Desk) -> None:
    desk.fund(RAY, "5.00")
    await desk.ask("c1", payer=RAY)
    cheap = {**catalog().tables, RETAIL: table(RETAIL, "prefix,rate\n44,0.20\n")}
    plans = {name: replace(plan, tables=(cheap[RETAIL],)) if name.id == "retail" else plan
             for name, plan in catalog().plans.items()}  # fmt: skip
    desk.catalog_value = replace(catalog(), tables=cheap, plans=plans)
    await desk.answer("c1", payer=RAY)
    await desk.end("c1", payer=RAY, duration_us=60 * SECOND)
    (item,) = [item for item in desk.store.exceptions if item.kind == "negative_margin"]
    assert (item.tenant, item.detail) == (
        "ray", "ray/rita: sold at 0.20 USD, and ray-trunk costs 0.30 USD: -0.10 USD"
    )  # fmt: skip
