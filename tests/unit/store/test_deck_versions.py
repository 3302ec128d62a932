"""SPEC section 2, Match, sentence by sentence: versions by band, steps and tiers whole, ends, closings, going back."""

import pytest

from daemon.kernel.instant import DAY, MINUTE
from daemon.rating.deck import EFFECTIVE_ALWAYS, EFFECTIVE_FOREVER, RateRow
from daemon.store.deck_difference import KINDS, PRICES_MAX
from daemon.store.deck_import import DeckPlan, DeckRefused
from daemon.store.deck_versions import prefix_count
from tests.unit.store.shelf import NIGHT, NOW, POLICY, Shelf, at, deck

BANDS = "prefix,rate,time_band,effective_from,effective_to,action\n"
STEPS = "prefix,rate,step_from_seconds,tier_from,effective_from,effective_to,action\n"
TYPES = "prefix,rate,rate_type,action\n"
LATER = NOW + DAY


def shelf(text: str) -> Shelf:
    """Return a shelf with a first deck of ten days ago."""
    made = Shelf()
    made.take(text, "replace", NOW - 10 * DAY)
    return made


# -- bands


def test_a_new_version_of_one_band_closes_no_other_band() -> None:
    there = shelf(BANDS + "44,0.10\n44,0.20,peak\n44,0.05,weekend")
    for mode in ("merge", "replace"):
        rest = "" if mode == "merge" else "\n44,0.10\n44,0.05,weekend"
        made = Shelf(list(there.rows), list(there.ends), there.version)
        plan = made.take(BANDS + f"44,0.30,peak{rest}", mode)
        assert [row.terms.time_band for row in plan.fresh] == ["peak"]
        assert {number for number, _ in plan.endings} <= {2}
        assert (made.cents("44", NOW - 1), made.cents("44", NOW), made.cents("44", NIGHT)) == (20, 30, 10)
        assert plan.difference.increased == ("44",)


def test_replace_closes_a_band_that_the_file_lacks_and_no_other() -> None:
    there = shelf(BANDS + "44,0.10\n44,0.20,peak\n33,0.10\n33,0.20,peak")
    plan = there.take(BANDS + "44,0.10\n33,0.10\n33,0.20,peak", "replace")
    assert [(ending.number, ending.at) for ending in plan.endings] == [(4, NOW)]
    assert (there.cents("44", NOW - 1), there.cents("44", NOW), there.cents("33", NOW)) == (20, 10, 20)
    assert (plan.difference.changed, plan.difference.closed) == (("44",), ())


def test_when_every_band_is_closed_the_prefix_is_and_its_numbers_fall() -> None:
    there = shelf(BANDS + "44,0.10\n4420,0.20,peak\n4420,0.05")
    plan = there.take(BANDS + "44,0.10", "replace")
    assert (plan.difference.closed, plan.difference.falls) == (("4420",), (("4420", "44"),))


def test_a_band_added_to_a_prefix_changes_it() -> None:
    there = shelf(BANDS + "44,0.10")
    plan = there.take(BANDS + "44,0.20,peak", "merge")
    assert (plan.difference.changed, plan.difference.new, plan.endings) == (("44",), (), ())
    assert (there.cents("44", NOW), there.cents("44", NIGHT)) == (20, 10)


def test_bands_that_moved_in_different_ways_are_changed() -> None:
    there = shelf(BANDS + "44,0.10\n44,0.20,peak")
    assert there.take(BANDS + "44,0.11\n44,0.19,peak", "replace").difference.changed == ("44",)


def test_bands_that_overlap_while_both_are_valid_are_refused() -> None:
    there = shelf(BANDS + "44,0.10,peak")
    with pytest.raises(DeckRefused, match=r"bands? .*overlap"):
        there.take(BANDS + "44,0.20,daytime", "merge")
    there.take(BANDS + "44,0.20,daytime", "replace")  # which closes the band peak
    assert there.cents("44", NOW) == 20


def test_a_band_that_nobody_declared_is_refused() -> None:
    with pytest.raises(DeckRefused, match="time band 'night' is not declared"):
        shelf(BANDS + "44,0.10,night")


# -- when a version ends


@pytest.mark.parametrize("band", ["", "peak"])
def test_when_a_version_ends_an_earlier_one_still_open_applies_again(band: str) -> None:
    there = shelf(BANDS + f"44,0.10,{band}")
    plan = there.take(BANDS + f"44,0.01,{band},{at(0)},{at(DAY)}", "merge")
    assert plan.endings == ()
    assert [there.cents("44", NOW + offset) for offset in (-1, 0, DAY - 1, DAY)] == [10, 1, 1, 10]


def test_the_same_deck_during_its_own_promotion_changes_nothing() -> None:
    text = BANDS + f"44,0.10\n44,0.01,,{at(0)},{at(2 * DAY)}\n48,0.30,,,{at(DAY)}"
    for mode in ("merge", "replace"):
        there = shelf(text)
        for now in (NOW - DAY, NOW, LATER, NOW + 3 * DAY):
            assert not there.take(text, mode, now).is_change, (mode, now)


def test_replace_ends_an_earlier_version_that_would_come_back_and_no_hidden_one() -> None:
    there = shelf(BANDS + "44,0.10\n33,0.10")
    there.take(BANDS + f"44,0.20,,{at(0)},{at(2 * DAY)}\n33,0.20,,{at(0)}", "merge")
    plan = there.take(BANDS + f"44,0.20,,{at(0)},{at(2 * DAY)}\n33,0.20,,{at(0)}", "replace", LATER)
    assert [number for number, _ in plan.endings] == [2]
    assert (there.cents("44", LATER), there.cents("44", NOW + 2 * DAY)) == (20, None)


def test_rows_of_one_version_with_different_ends_are_refused_even_where_the_first_says_what_is_there() -> None:
    there = shelf(STEPS + "44,0.10,0\n44,0.05,60")
    with pytest.raises(DeckRefused, match="different effective_to"):
        there.take(STEPS + f"44,0.10,0\n44,0.05,60,,,{at(DAY)}", "merge")


# -- steps and tiers


def test_a_change_of_one_step_is_a_new_version_with_all_its_rows() -> None:
    there = shelf(STEPS + "44,0.10,0\n44,0.05,60")
    plan = there.take(STEPS + "44,0.10,0\n44,0.04,60", "replace")
    assert [(row.rate, row.terms.step_from_second) for row in plan.fresh] == [(100_000_000, 0), (40_000_000, 60)]
    assert {(ending.number, ending.at) for ending in plan.endings} == {(1, NOW), (2, NOW)}
    assert plan.difference.decreased == ("44",)
    assert not there.take(STEPS + "44,0.04,60\n44,0.10,0", "replace", LATER).is_change


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("44,0.10,0\n44,0.05,60", "44,0.10,0\n44,0.06,60", "increased"),
        ("44,0.10,0\n44,0.05,60", "44,0.11,0\n44,0.04,60", "changed"),
        ("44,0.10,0\n44,0.05,60", "44,0.05,0", "decreased"),
        ("44,0.10,0\n44,0.05,60", "44,0.07,0", "changed"),
        ("44,0.10,0", "44,0.10,0\n44,0.20,30", "increased"),
        ("44,0.10,0\n44,0.05,60", "44,0.10,0\n44,0.05,90", "increased"),
        ("44,0.10,0,0\n44,0.05,0,6000", "44,0.10,0,0\n44,0.05,0,3000", "decreased"),
        ("44,0.10,0,0\n44,0.05,0,6000", "44,0.10,0,0\n44,0.10,0,6000", "increased"),
        ("44,0.10,0,0\n44,0.09,60,0\n44,0.05,0,6000", "44,0.10,0,0\n44,0.09,60,0\n44,0.05,0,6000\n44,0.06,60,6000",
         "increased"),
    ],
)  # fmt: skip
def test_steps_and_tiers_are_compared_at_every_place(before: str, after: str, kind: str) -> None:
    difference = shelf(STEPS + before).take(STEPS + after, "replace").difference
    assert getattr(difference, kind) == ("44",)


def test_a_version_without_second_0_is_refused_and_never_completed_by_what_is_there() -> None:
    there = shelf(STEPS + "44,0.10,0\n44,0.05,60")
    with pytest.raises(DeckRefused, match=r"deck\.csv:2: .*no row for second 0"):
        there.take(STEPS + "44,0.04,60", "merge")


# -- what is no call


def test_what_is_no_call_has_rates_of_its_own() -> None:
    there = shelf(TYPES + "44,0.10\n44,0.03,per_message\n,0.20,kwh")
    plan = there.take(TYPES + "44,0.11\n44,0.02,per_message\n,0.21,kwh", "replace")
    assert plan.difference.increased == ("44", "kwh")
    assert plan.difference.decreased == ("44 per_message",)
    plan = there.take(TYPES + ",,kwh,delete", "merge", LATER)
    assert (plan.difference.closed, plan.difference.falls) == (("kwh",), ())


# -- rows that close


def test_a_closing_row_ends_its_prefix_and_its_numbers_fall() -> None:
    there = shelf(BANDS + "44,0.10\n4420,0.20\n4420,0.30,peak")
    plan = there.take(BANDS + "4420,,,,,delete", "merge")
    assert (plan.fresh, {ending.at for ending in plan.endings}) == ((), {NOW})
    assert (plan.difference.closed, plan.difference.falls) == (("4420",), (("4420", "44"),))
    assert (there.cents("4420", NOW - 1), there.cents("4420", NOW)) == (30, 10)


def test_a_closing_row_with_a_band_ends_that_band_and_one_with_a_date_ends_then() -> None:
    there = shelf(BANDS + "44,0.10\n44,0.20,peak")
    there.take(BANDS + f"44,,peak,{at(DAY)},,delete", "merge")
    assert [there.cents("44", NOW + offset) for offset in (0, DAY - MINUTE, DAY)] == [20, 20, 10]


@pytest.mark.parametrize("mode", ["merge", "replace"])
def test_closing_rows_count_in_both_modes(mode: str) -> None:
    there = shelf(BANDS + "44,0.10\n33,0.20")
    there.take(BANDS + f"44,0.10\n33,,,{at(DAY)},,delete", mode)
    assert [there.cents("33", NOW + offset) for offset in (0, DAY - 1, DAY)] == [20, 20, None]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("7,,,,,delete", "deck.csv:2: prefix 7 has nothing in force that this row could close"),
        ("44,,weekend,,,delete", "nothing in force"),
        (f"44,,,{at(-1)},,delete", "an end is never set before now"),
        ("44,,,,,delete\n44,0.10", "has a price in the same deck"),
        (f"44,0.12\n44,,,{at(DAY)},,delete", "deck.csv:3: prefix 44 is closed here and has a price"),
    ],
)
def test_a_closing_row_that_makes_no_sense_is_refused_with_its_line(line: str, reason: str) -> None:
    with pytest.raises(DeckRefused) as refused:
        shelf(BANDS + "44,0.10\n44,0.20,peak").take(BANDS + line, "merge")
    assert reason in str(refused.value)


def test_a_closing_row_makes_way_for_a_price_from_the_same_instant() -> None:
    there = shelf(BANDS + "44,0.10\n44,0.20,peak")
    there.take(BANDS + f"44,,,{at(DAY)},,delete\n44,0.30,,{at(DAY)}", "merge")
    assert [there.cents("44", NOW + offset) for offset in (0, DAY)] == [20, 30]


def test_a_scheduled_version_is_withdrawn_by_a_closing_row() -> None:
    there = shelf(BANDS + f"44,0.10\n44,0.20,,{at(DAY)}")
    there.take(BANDS + f"44,,,{at(DAY)},,delete", "merge")
    assert (there.cents("44", NOW), there.cents("44", LATER)) == (10, None)


def test_the_first_deck_has_nothing_to_close() -> None:
    with pytest.raises(DeckRefused, match="nothing in force"):
        Shelf().take(BANDS + "44,,,,,delete", "replace")


# -- never altered


def test_what_was_in_force_is_never_altered_row_for_row() -> None:
    there = shelf(BANDS + "44,0.10\n44,0.20,peak\n33,0.10\n49,0.10")
    written = [there.rows[:]]
    for text, mode in (
        ("44,0.30,peak\n33,,,,,delete", "merge"),
        ("44,0.12\n1,0.01", "replace"),
        (f"44,0.15,,{at(3 * DAY)}", "merge"),
    ):
        there.take(BANDS + text, mode, NOW + len(written) * DAY)
        written.append(there.rows[:])
    there.rollback(1, NOW + 5 * DAY)
    for earlier in written:
        assert there.rows[: len(earlier)] == earlier
    assert all(at >= NOW for _, _, at in there.ends)


# -- going back


def test_going_back_ends_what_came_later() -> None:
    there = shelf(BANDS + "44,0.10\n33,0.10")
    there.take(BANDS + "44,0.20\n7,0.50", "merge")
    plan = there.rollback(1, LATER)
    assert (plan.fresh, {ending.at for ending in plan.endings}) == ((), {LATER})
    assert (plan.difference.decreased, plan.difference.closed, plan.difference.unchanged) == (("44",), ("7",), 1)
    assert [there.cents("44", when) for when in (NOW - 1, NOW, LATER - 1, LATER)] == [10, 20, 20, 10]


def test_going_back_writes_anew_what_was_ended_since() -> None:
    there = shelf(BANDS + f"44,0.10\n44,0.01,,{at(-DAY)},{at(3 * DAY)}\n44,0.40,,{at(9 * DAY)}\n33,0.10\n33,0.20,peak")
    there.take(BANDS + "44,0.20\n33,0.10", "replace")
    plan = there.rollback(1, LATER)
    assert [there.cents("44", NOW + days * DAY) for days in (0, 1, 2, 3, 8, 9)] == [20, 1, 1, 10, 10, 40]
    assert there.cents("33", LATER) == 20
    assert plan.difference.changed == ("33", "44")
    assert not there.rollback(1, LATER + 1).is_change
    back = there.rollback(2, LATER + DAY)
    assert [there.cents("44", NOW + days * DAY) for days in (2, 9)] == [20, 20]
    assert back.difference.increased == ("44",)


def test_going_back_to_the_newest_version_changes_nothing() -> None:
    there = shelf(BANDS + "44,0.10\n44,0.20,peak")
    there.take(BANDS + "44,0.30,peak", "merge")
    assert not there.rollback(2, LATER).is_change


def test_going_back_to_bands_that_are_gone_is_refused() -> None:
    there = shelf(BANDS + "44,0.10,peak\n33,0.10")
    there.take(BANDS + "44,0.10\n33,0.10", "replace")
    there.policy = there.policy.__class__("retail", 1, "USD")
    with pytest.raises(DeckRefused, match="time band 'peak' is not declared"):
        there.rollback(1, LATER)


def test_the_order_of_a_first_deck_is_its_beginning() -> None:
    plan = Shelf().plan([RateRow("44", 1), RateRow("4", 1)], "merge")
    assert [row.prefix for row in plan.fresh] == ["4", "44"]
    assert (plan.begins, plan.fresh[0].terms.effective_to) == (EFFECTIVE_ALWAYS, EFFECTIVE_FOREVER)
    assert deck("prefix,rate\n44,0.1")[0].line == 2


# -- bounds


def test_what_is_told_is_bounded_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.store.deck_difference.FALLS_MAX", 2)
    monkeypatch.setattr("daemon.store.deck_import.REFUSALS_KEPT", 30)
    there = shelf(BANDS + "1,0.10\n" + "\n".join(f"{prefix},0.20" for prefix in range(100, 140)))
    plan = there.plan(deck(BANDS + "1,0.10"), "replace")
    assert (len(plan.difference.closed), plan.difference.falls_beyond) == (40, 38)
    assert plan.difference.falls == (("100", "1"), ("101", "1"))
    with pytest.raises(DeckRefused, match=r"deck\.csv:2: .*; and 20 more$") as refusal:
        there.plan(deck(BANDS + "\n".join(f"{prefix},,,,,delete" for prefix in range(200, 240))), "merge")
    assert len(refusal.value.faults) == 21
    assert refusal.value.faults[1].startswith("deck.csv:3: prefix 201 has nothing in force")


def test_terms_that_are_known_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.store.deck_changes.KNOWN_MAX", 1)
    there = shelf(BANDS + "44,0.10")
    there.take(BANDS + f"44,0.20\n33,0.20,,,{at(DAY)}\n32,0.20,,,{at(DAY)}", "merge")
    assert [there.cents(prefix, NOW) for prefix in ("44", "33", "32")] == [20, 20, 20]


# -- what is counted


def counts(plan: DeckPlan) -> tuple[int, ...]:
    """Return how many prefixes are new, dearer, cheaper, changed, closed and unchanged."""
    found = plan.difference
    return (*(len(getattr(found, kind)) for kind in KINDS), found.unchanged)


def test_prefixes_are_counted_and_not_their_rows() -> None:
    rows = BANDS + "".join(f"{prefix},0.10\n" for prefix in (1, 33, 39, 44, 48, 49, 7))
    banded = "44,0.20,peak\n49,0.20,peak\n7,0.20,weekend"
    there = shelf(rows + banded)
    assert counts(there.take(rows + banded.replace("44,0.20", "44,0.30"), "replace")) == (0, 1, 0, 0, 0, 6)
    assert counts(there.rollback(1, LATER)) == (0, 0, 1, 0, 0, 6)
    assert counts(there.rollback(1, LATER + DAY)) == (0, 0, 0, 0, 0, 7)
    assert counts(there.take(BANDS + "33,0.10", "merge", LATER + DAY)) == (0, 0, 0, 0, 0, 7)


def test_what_a_rollback_wrote_anew_is_counted_by_the_next() -> None:
    there = shelf(BANDS + "446,0.10\n447,0.06\n448,0.10")
    there.take(BANDS + "447,0.07", "merge")
    there.take(BANDS + "446,0.10\n448,0.10", "replace", NOW + 1)
    assert counts(there.rollback(1, LATER)) == (1, 0, 0, 0, 0, 2)
    assert counts(there.rollback(1, LATER + DAY)) == (0, 0, 0, 0, 0, 3)


def test_what_is_long_closed_is_not_counted() -> None:
    there = shelf(BANDS + "44,0.10\n33,0.10")
    there.take(BANDS + "44,0.10", "replace")
    assert counts(there.take(BANDS + "44,0.10", "replace", LATER)) == (0, 0, 0, 0, 0, 1)


def test_what_is_scheduled_counts_in_the_limit() -> None:
    rows = "".join(f"{prefix},0.10,,{at(30 * DAY)}\n" for prefix in (1, 33, 44, 49))
    there = shelf(BANDS + rows)
    closing = there.plan(deck(BANDS + rows.replace("44,0.10", "46,0.10")), "replace", NOW).difference
    assert (closing.in_force, closing.scheduled, closing.closed) == (0, 4, ("44",))
    assert closing.closed_or_changed_percent == 25
    dearer = there.plan(deck(BANDS + rows.replace("0.10", "0.20")), "merge", NOW).difference
    assert (len(dearer.increased), dearer.closed_or_changed_percent) == (4, 100)
    later = there.plan(deck(BANDS + "7,0.10"), "merge", NOW + 31 * DAY).difference
    assert (later.in_force, later.scheduled, later.closed_or_changed_percent) == (4, 0, 0)


def test_a_deck_states_prefixes_by_bands_and_closes_others() -> None:
    rows = deck(BANDS + "44,0.10\n44,0.20,peak\n33,0.10\n39,,,,,delete")
    assert prefix_count(rows, POLICY) == 2


# -- prices that are told


def cents(plan: DeckPlan) -> dict[str, tuple[int | None, ...]]:
    """Return what each prefix asked and will ask in cents."""
    prices = plan.difference.prices
    return {name: tuple(rate and rate // 10_000_000 for rate in pair[:2]) for name, pair in prices.items()}


def test_prices_of_what_is_dearer_cheaper_changed_and_closed_are_told() -> None:
    there = shelf(BANDS + "1,0.10\n33,0.10\n44,0.10\n447,0.06\n49,0.10")
    plan = there.take(BANDS + f"1,0.10\n33,0.05\n39,0.10\n447,0.07\n49,0.10,,,{at(DAY)}", "replace")
    assert cents(plan) == {"33": (10, 5), "44": (10, None), "447": (6, 7), "49": (10, 10)}
    assert cents(there.rollback(1, NOW + 1)) == {"33": (5, 10), "39": (10, None), "447": (7, 6)}


def test_the_price_told_is_of_the_first_band_and_step_that_move() -> None:
    there = shelf(BANDS + "44,0.10\n44,0.20,peak\n44,0.30,weekend\n33,0.10\n33,0.20,peak")
    plan = there.take(BANDS + "44,0.10\n44,0.25,peak\n44,0.35,weekend\n33,0.11\n33,0.21,peak", "replace")
    assert cents(plan) == {"33": (10, 11), "44": (20, 25)}
    steps = "prefix,rate,step_from_seconds\n"
    there = shelf(steps + "44,0.10,0\n44,0.20,60")
    assert cents(there.take(steps + "44,0.10,0\n44,0.15,60", "replace")) == {"44": (20, 15)}


def test_a_price_that_is_scheduled_is_told_from_when_it_moves() -> None:
    there = shelf(BANDS + f"44,0.10\n33,0.10\n33,0.20,,{at(5 * DAY)}")
    plan = there.take(BANDS + f"44,0.12,,{at(3 * DAY)}\n33,0.30,,{at(5 * DAY)}", "merge")
    assert cents(plan) == {"33": (20, 30), "44": (10, 12)}


def test_a_rate_that_lies_wholly_in_the_past_is_told_too() -> None:
    there = shelf(BANDS + "44,0.20,peak")
    stated = deck(BANDS + f"44,0.10,,{at(-3 * DAY)},{at(-2 * DAY)}\n44,0.30,peak")
    assert cents(there.plan(stated, "merge", backdate=True)) == {"44": (None, 10)}


def test_prices_are_bounded_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PRICES_MAX == 10_000
    monkeypatch.setattr("daemon.store.deck_difference.PRICES_MAX", 2)
    there = shelf(BANDS + "1,0.10\n33,0.10\n44,0.10\n49,0.10\n7,0.10")
    plan = there.take(BANDS + "1,0.20\n33,0.20\n44,0.20\n49,0.20", "replace")
    assert (cents(plan), plan.difference.prices_beyond) == ({"1": (10, 20), "33": (10, 20), "7": (10, None)}, 2)


def test_what_changed_beside_the_rate_is_named() -> None:
    there = shelf("prefix,rate,destination,first_seconds\n44,0.10,UK,1\n49,0.10,,1")
    plan = there.plan(deck("prefix,rate,destination,first_seconds\n44,0.10,Britain,60\n49,0.20,,60"), "merge")
    told = {name: prices.what for name, prices in plan.difference.prices.items()}
    assert told == {"44": "destination UK -> Britain, first_seconds 1 -> 60", "49": ""}
