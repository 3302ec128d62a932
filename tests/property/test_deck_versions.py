"""Laws of versions: order never matters, the same again changes nothing, back means the same prices as then."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from daemon.kernel.instant import DAY, Instant
from daemon.rating.deck import EFFECTIVE_ALWAYS, EFFECTIVE_FOREVER, RateRow, Terms
from daemon.rating.rate_table import RateTable
from daemon.store.deck_import import DeckRefused
from daemon.store.deck_rollback import windows
from daemon.store.deck_versions import Version, in_force
from tests.unit.store.shelf import NOW, POLICY, Shelf

PREFIXES = ("4", "44", "442", "45")
BANDS = ("", "peak", "weekend")
DATES = tuple(NOW + days * DAY for days in range(12))
PERIODS = st.one_of(
    st.just((EFFECTIVE_ALWAYS, EFFECTIVE_FOREVER)),
    st.sampled_from(DATES).map(lambda begins: (begins, EFFECTIVE_FOREVER)),
    st.tuples(st.sampled_from(DATES[:6]), st.sampled_from(DATES[6:])),
)
SHAPES = st.sampled_from((((0, 0),), ((0, 0), (0, 60)), ((0, 0), (6_000, 0)), ((0, 0), (0, 60), (6_000, 0))))
NUMBERS = st.sampled_from(("4", "44", "441", "4421", "45", "46"))


@st.composite
def versions(draw: st.DrawFn) -> tuple[tuple[str, str, Instant], list[RateRow]]:
    """Return one version of one rate, under what tells it apart."""
    prefix, band = draw(st.sampled_from(PREFIXES)), draw(st.sampled_from(BANDS))
    begins, ends = draw(PERIODS)
    rates = st.integers(1, 4)
    rows = [
        RateRow(
            prefix, 10_000_000 * draw(rates),
            terms=Terms(
                effective_from=begins, effective_to=ends, time_band=band, tier_from=tier, step_from_second=step
            ),
        )
        for tier, step in draw(SHAPES)
    ]  # fmt: skip
    return (prefix, band, begins), rows


DECKS = st.lists(versions(), min_size=1, max_size=8).map(
    lambda found: [row for rows in dict(found).values() for row in rows]
)
MODES = st.sampled_from(("merge", "replace"))
INSTANTS = st.lists(st.integers(NOW, NOW + 14 * DAY), min_size=1, max_size=12)


def taken(shelf: Shelf, deck: list[RateRow], mode: str, now: Instant) -> bool:
    """Import a deck, and tell whether it was taken: what alters the past is refused."""
    try:
        shelf.write(shelf.plan(deck, mode, now))
    except DeckRefused:
        return False
    return True


@given(first=DECKS, second=DECKS, mode=MODES, now=st.sampled_from(DATES), data=st.data())
def test_the_order_of_rows_never_matters(
    first: list[RateRow], second: list[RateRow], mode: str, now: Instant, data: st.DataObject
) -> None:
    one = Shelf()
    assert taken(one, first, "replace", NOW - DAY)
    other = replace(one, rows=one.rows[:], ends=one.ends[:])
    shuffled = data.draw(st.permutations(second))
    assert taken(one, second, mode, now) == taken(other, shuffled, mode, now)
    assert sorted(one.ends) == sorted(other.ends)
    assert sorted(row for _, _, row in one.rows) == sorted(row for _, _, row in other.rows)


@given(first=DECKS, second=DECKS, now=st.sampled_from(DATES), later=st.integers(0, 20 * DAY))
def test_merging_a_deck_twice_changes_nothing(
    first: list[RateRow], second: list[RateRow], now: Instant, later: Instant
) -> None:
    # What comes into force meanwhile and the deck does not name, it takes back: undated rows say what holds now.
    assume(not any(now < row.terms.effective_from <= now + later for row in first))
    shelf = Shelf()
    assert taken(shelf, first, "replace", NOW - DAY)
    if taken(shelf, second, "merge", now):
        again = shelf.plan(second, "merge", now + later)
        assert not again.is_change, again
        assert again.difference.unchanged == len(second)


@given(deck=DECKS, mode=MODES, later=st.integers(0, 20 * DAY))
def test_the_deck_of_a_table_again_changes_nothing(deck: list[RateRow], mode: str, later: Instant) -> None:
    shelf = Shelf()
    assert taken(shelf, deck, mode, NOW - DAY)
    assert not shelf.plan(deck, mode, NOW - DAY + later).is_change


@given(first=DECKS, second=DECKS, mode=MODES, now=st.sampled_from(DATES), dated=st.sampled_from((None, *DATES)))
def test_the_usual_cases_are_told_as_all_others(
    first: list[RateRow], second: list[RateRow], mode: str, now: Instant, dated: Instant | None
) -> None:
    shelf = Shelf()
    assert taken(shelf, first, "replace", NOW - DAY)
    quickly = outcome(shelf, second, mode, now, dated)
    with pytest.MonkeyPatch.context() as patch:
        for usual in ("_is_untouched", "_begins_plainly", "_moves_plainly"):
            patch.setattr(f"daemon.store.deck_import._Import.{usual}", lambda *_: False)
        assert outcome(shelf, second, mode, now, dated) == quickly


def outcome(shelf: Shelf, deck: list[RateRow], mode: str, now: Instant, dated: Instant | None) -> object:
    try:
        plan = shelf.plan(deck, mode, now, dated)
    except DeckRefused as refused:
        return str(refused)
    return plan.difference, sorted(plan.fresh), sorted(plan.endings)


@settings(deadline=None)
@given(
    decks=st.lists(st.tuples(DECKS, MODES), min_size=1, max_size=4), data=st.data(), number=NUMBERS, instants=INSTANTS
)
def test_going_back_gives_the_prices_of_then_and_alters_nothing_before(
    decks: list[tuple[list[RateRow], str]], data: st.DataObject, number: str, instants: list[Instant]
) -> None:
    shelf = Shelf()
    now = NOW
    for deck, mode in decks:
        taken(shelf, deck, mode, now)
        now += DAY + 1
    to = data.draw(st.integers(1, shelf.version))
    wanted, before, rows = shelf.as_of(to), shelf.as_of(shelf.version), shelf.rows[:]
    shelf.rollback(to, now)
    for at in instants:
        assert shelf.price(number, at) == (before if at < now else wanted).price(number, at), (at - NOW) / DAY
    assert shelf.rows[: len(rows)] == rows
    assert not shelf.rollback(to, now).is_change


@given(
    spans=st.lists(
        st.tuples(st.integers(0, 9), st.integers(1, 10), st.integers(1, 2)), max_size=5, unique_by=lambda span: span[0]
    ),
    at=st.integers(0, 20),
)  # fmt: skip
def test_windows_say_what_versions_say(spans: list[tuple[int, int, int]], at: int) -> None:
    there = [Version((RateRow("4", rate),), begins, begins + length) for begins, length, rate in spans]
    found = windows(there, 3)
    said = next((window.version.rows for window in found if window.begins <= at < window.ends), None)
    meant = in_force(there, at) if at >= 3 else None
    assert said == (None if meant is None else meant.rows)
    assert all(one.ends <= other.begins for one, other in pairwise(found))


@given(
    spans=st.lists(st.tuples(st.sampled_from(("4", "44")), st.integers(0, 9), st.integers(1, 10)), max_size=6),
    number=st.sampled_from(("4", "44", "45")), at=st.integers(0, 20),
)  # fmt: skip
def test_plain_rows_make_the_offers_that_all_others_make(
    spans: list[tuple[str, int, int]], number: str, at: Instant
) -> None:
    rows = [
        RateRow(prefix, place, terms=Terms(effective_from=begins, effective_to=begins + length))
        for place, (prefix, begins, length) in enumerate(spans)
    ]
    quickly, errors = RateTable.of(POLICY, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("daemon.rating.rate_table._Gate.plain", lambda *_: None)
        expected, same_errors = RateTable.of(POLICY, rows)
    assert errors == same_errors
    assert (quickly is None) == (expected is None) == bool(errors)
    if quickly is not None and expected is not None:
        assert quickly.find(number, at) == expected.find(number, at)
        assert quickly.changes(number, 0, 30) == expected.changes(number, 0, 30)
