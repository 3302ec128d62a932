"""What an import writes: rows in force stay as they are, ends lie not before now, the difference says it in words."""

import pytest

from daemon.kernel.ids import Key
from daemon.kernel.instant import DAY, SECOND, Instant, format_rfc3339
from daemon.rating.deck import EFFECTIVE_ALWAYS, EFFECTIVE_FOREVER, RateRow
from daemon.rating.rate_table import Policy
from daemon.store.deck_import import DeckChange, DeckPlan, DeckRefused, Ending, planned
from daemon.store.deck_versions import StoredRow
from tests.decks import read_deck

NOW: Instant = 1_790_000_000 * SECOND
KEY = Key("main", "retail")
POLICY = Policy("retail", 1, "USD")
HEADER = "prefix,rate,destination,effective_from,effective_to\n"


def rows(*lines: str) -> list[RateRow]:
    """Return rows of ``prefix,rate,destination,effective_from,effective_to``; later cells may be left out."""
    padded = (line + "," * (4 - line.count(",")) for line in lines)
    found, errors = read_deck(HEADER + "\n".join(padded), "deck.csv")
    assert not errors, errors
    return found


def at(offset: int) -> str:
    return format_rfc3339(NOW + offset)


def plan_of(stored: "list[StoredRow]", stated: "list[RateRow]", change: DeckChange, now: Instant) -> DeckPlan:
    return planned(KEY, stored, stated, change, now, is_first=not stored, policy=POLICY)


def replace(stored: "list[StoredRow]", *lines: str, now: Instant = NOW) -> DeckPlan:
    return plan_of(stored, rows(*lines), DeckChange("replace", None, "clerk", "deck.csv"), now)


def merge(stored: "list[StoredRow]", *lines: str, dated: Instant | None = None, backdate: bool = False) -> DeckPlan:
    return plan_of(stored, rows(*lines), DeckChange("merge", dated, "clerk", "deck.csv", backdate), NOW)


def after(stored: "list[StoredRow]", plan: DeckPlan) -> list[StoredRow]:
    """Return what is there when a plan was written, as the store reads it: by prefix, without what was withdrawn."""
    ends = {ending.number: ending.at for ending in plan.endings}
    there = [
        (number, row._replace(terms=row.terms._replace(effective_to=min(ends.get(number, to), to))))
        for number, row in stored
        for to in (row.terms.effective_to,)
    ]
    numbers = max((number for number, _ in stored), default=0)
    there += [(numbers + place, row) for place, row in enumerate(plan.fresh, start=1)]
    found = [StoredRow(number, row) for number, row in there if row.terms.effective_to > row.terms.effective_from]
    return sorted(found, key=lambda stored: (stored.row.prefix, stored.number))


def first(*lines: str) -> list[StoredRow]:
    return after([], replace([], *lines, now=NOW - 10 * DAY))


def spans(stored: "list[StoredRow]", prefix: str) -> list[tuple[int, Instant, Instant]]:
    """Return rate in cents, begin and end of a prefix's rows, seen from NOW."""
    found = sorted((row for _, row in stored if row.prefix == prefix), key=lambda row: row.terms.effective_from)
    return [(row.rate // 10_000_000, row.terms.effective_from - NOW, row.terms.effective_to - NOW) for row in found]


ALWAYS, FOREVER = EFFECTIVE_ALWAYS - NOW, EFFECTIVE_FOREVER - NOW


def test_the_first_deck_is_valid_always() -> None:
    plan = replace([], "44,0.10", "33,0.20")
    assert plan.difference.new == ("33", "44")
    assert plan.difference.closed_or_changed_percent == 0
    assert spans(after([], plan), "44") == [(10, ALWAYS, FOREVER)]


def test_the_same_deck_again_writes_nothing() -> None:
    stored = first("44,0.10,UK", "33,0.20", f"49,0.30,,{at(DAY)}", f"48,0.30,,,{at(DAY)}")
    plan = replace(stored, "33,0.20", "44,0.10,UK", f"49,0.30,,{at(DAY)}", f"48,0.30,,,{at(DAY)}")
    assert not plan.is_change
    assert plan.difference.unchanged == 4
    assert not plan.difference.is_change


def test_a_changed_price_begins_at_the_commit_and_ends_the_one_before() -> None:
    stored = first("44,0.10", "33,0.20", "49,0.30,Germany")
    plan = replace(stored, "44,0.11", "33,0.19", "49,0.30,Deutschland")
    difference = plan.difference
    assert (difference.increased, difference.decreased, difference.changed) == (("44",), ("33",), ("49",))
    assert (difference.new, difference.closed, difference.in_force) == ((), (), 3)
    assert difference.closed_or_changed_percent == 100
    assert spans(after(stored, plan), "44") == [(10, ALWAYS, 0), (11, 0, FOREVER)]


def test_replace_closes_what_the_file_lacks_and_tells_where_its_numbers_fall() -> None:
    stored = first("44,0.10", "4420,0.05", "1900,9,,,", "7,0.40")
    plan = replace(stored, "44,0.10")
    assert plan.difference.closed == ("1900", "4420", "7")
    assert plan.difference.falls == (("4420", "44"),)
    assert plan.difference.closed_or_changed_percent == 75
    assert spans(after(stored, plan), "4420") == [(5, ALWAYS, 0)]


def test_merge_leaves_what_the_file_lacks() -> None:
    stored = first("44,0.10", "33,0.20")
    plan = merge(stored, "44,0.12", "7,0.40")
    assert (plan.difference.increased, plan.difference.new, plan.endings) == (("44",), ("7",), ())
    assert spans(after(stored, plan), "33") == [(20, ALWAYS, FOREVER)]


def test_a_promotion_ends_and_the_price_before_applies_again() -> None:
    stored = first("44,0.10")
    plan = merge(stored, f"44,0.01,,{at(DAY)},{at(2 * DAY)}")
    assert spans(after(stored, plan), "44") == [(10, ALWAYS, FOREVER), (1, DAY, 2 * DAY)]


def test_a_replacing_deck_from_a_date_leaves_today_alone() -> None:
    stored = first("44,0.10", "33,0.20")
    plan = plan_of(stored, rows("44,0.12"), DeckChange("replace", NOW + DAY, "clerk", "deck.csv"), NOW)
    there = after(stored, plan)
    assert spans(there, "44") == [(10, ALWAYS, DAY), (12, DAY, FOREVER)]
    assert spans(there, "33") == [(20, ALWAYS, DAY)]


def test_a_row_that_is_not_yet_in_force_may_be_replaced_or_withdrawn() -> None:
    stored = first("44,0.10", f"44,0.20,,{at(DAY)}", "33,0.10", f"33,0.20,,{at(DAY)}")
    plan = replace(stored, "44,0.10", f"44,0.30,,{at(DAY)}", "33,0.10")
    there = after(stored, plan)
    assert spans(there, "44") == [(10, ALWAYS, FOREVER), (30, DAY, FOREVER)]
    assert spans(there, "33") == [(10, ALWAYS, FOREVER)]
    assert (plan.difference.increased, plan.difference.decreased) == (("44",), ("33",))


def test_an_end_may_be_set_to_a_row_in_force_but_not_before_now() -> None:
    stored = first(f"44,0.10,,{at(-2 * DAY)}")
    plan = merge(stored, f"44,0.10,,{at(-2 * DAY)},{at(DAY)}")
    assert plan.endings == (Ending(1, NOW + DAY),)
    assert plan.difference.changed == ("44",)
    with pytest.raises(DeckRefused, match="never altered"):
        merge(stored, f"44,0.10,,{at(-2 * DAY)},{at(-DAY)}")


def test_a_row_in_force_is_never_altered_not_even_backdated() -> None:
    stored = first(f"44,0.10,,{at(-2 * DAY)}")
    for backdate in (False, True):
        with pytest.raises(
            DeckRefused, match=r"deck\.csv:2: prefix 44: a rate that has been in force is never altered"
        ):
            merge(stored, f"44,0.11,,{at(-2 * DAY)}", backdate=backdate)


def test_a_date_in_the_past_wants_to_be_said() -> None:
    stored = first("44,0.10")
    with pytest.raises(DeckRefused, match=r"deck\.csv:2: prefix 33 .* --backdate"):
        merge(stored, f"33,0.11,,{at(-DAY)}")
    with pytest.raises(DeckRefused, match="--backdate"):
        merge(stored, "33,0.11", dated=NOW - 1)
    assert spans(after(stored, merge(stored, f"33,0.11,,{at(-DAY)}", backdate=True)), "33") == [(11, -DAY, FOREVER)]
    assert merge(stored, "33,0.11", dated=NOW).is_change


def test_rows_that_contradict_what_is_there_are_refused() -> None:
    with pytest.raises(DeckRefused, match="two rows for second 0"):
        replace([], "44,0.10", "44,0.20")


def test_a_price_that_returns_after_it_was_closed_is_new() -> None:
    stored = first("44,0.10", "33,0.20")
    closed = after(stored, replace(stored, "44,0.10"))
    plan = replace(closed, "44,0.10", "33,0.20", now=NOW + DAY)
    assert plan.difference.new == ("33",)
    assert spans(after(closed, plan), "33") == [(20, ALWAYS, 0), (20, DAY, FOREVER)]
