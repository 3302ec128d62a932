"""A code list writes destinations out into prefixes, and gives prefixes their names; what it does not know is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.rating import code_list
from daemon.rating.code_list import Code, CodeList, expanded, read_codes
from daemon.rating.deck import RateRow, Terms
from tests.decks import read_deck

LIST = CodeList(
    "world", (Code("33", "France"), Code("336", "France Mobile"), Code("337", "France Mobile"), Code("49", "Germany"))
)


def rows(text: str) -> list[RateRow]:
    found, errors = read_deck(text, "deck.csv")
    assert not errors, errors
    return found


def test_a_destination_becomes_a_row_for_each_prefix() -> None:
    made, errors = expanded(rows("destination,prefix,rate,connect_fee\nFrance Mobile,,0.05,0.1\nFrance,,0.01,\n"), LIST)
    assert errors == []
    assert [(row.prefix, row.destination, row.rate, row.line) for row in made] == [
        ("336", "France Mobile", 50_000_000, 2),
        ("337", "France Mobile", 50_000_000, 2),
        ("33", "France", 10_000_000, 3),
    ]
    assert made[0].terms == made[1].terms == Terms(connect_fee=100_000_000)


def test_a_row_that_closes_a_destination_closes_each_prefix() -> None:
    made, _ = expanded(rows("destination,prefix,rate,action\nFrance Mobile,,,delete\n"), LIST)
    assert [(row.prefix, row.closes) for row in made] == [("336", True), ("337", True)]


def test_a_prefix_without_a_name_takes_that_of_the_longest() -> None:
    made, _ = expanded(rows("destination,prefix,rate\n,33612,1\n,331,1\nMine,336,1\n,44,1\n"), LIST)
    assert [row.destination for row in made] == ["France Mobile", "France", "Mine", ""]


def test_a_rate_type_needs_neither() -> None:
    given_rows = rows("destination,prefix,rate,rate_type\nSeat,,1,per_unit\n,,1,per_message\n")
    assert expanded(given_rows, LIST) == expanded(given_rows, None) == (given_rows, [])


def test_without_a_list_prefixes_stay_as_they_are() -> None:
    given_rows = rows("destination,prefix,rate\n,33,1\nUK,44,1\n")
    assert expanded(given_rows, None) == (given_rows, [])


def test_every_unknown_destination_is_told_with_its_line() -> None:
    given_rows = rows("destination,prefix,rate\nFrence,,1\n,33,1\nAtlantis,,1\n")
    made, errors = expanded(given_rows, LIST)
    assert made == []
    assert [(error.source, error.line, error.column) for error in errors] == [
        ("deck.csv", 2, "destination"), ("deck.csv", 4, "destination"),
    ]  # fmt: skip
    assert "did you mean 'France'?" in errors[0].reason
    assert "is no destination of code list world" in errors[1].reason
    assert "the table has no code list" in expanded(given_rows, None)[1][0].reason


def test_a_deck_stays_bounded_when_it_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_list, "ROWS_MAX", 2)
    made, [error] = expanded(rows("destination,prefix,rate\nFrance Mobile,,1\nFrance,,1\nGermany,,1\n"), LIST)
    assert (made, error.line) == ([], 3)
    assert "more than 2 rows" in error.reason


def test_a_list_is_read_in_either_order_of_columns() -> None:
    codes, errors = read_codes('\ufeffdestination,prefix\r\nFrance,+33\r\n\r\n"Germany, all",49\r\n', "codes.csv")
    assert (codes, errors) == ((Code("33", "France"), Code("49", "Germany, all")), [])


def test_a_list_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "x" * 5_000
    [error] = read_codes(f"prefix,destination\n33,France\n49,{long}\n", "codes.csv")[1]
    assert "more than 4096 characters" in error.reason
    [error] = read_codes(f"{long},destination\n", "codes.csv")[1]
    assert "more than 4096 characters" in error.reason
    [error] = read_codes(f"prefix,destination\n33,{'x' * 129}\n", "codes.csv")[1]
    assert (error.line, error.column) == (2, "destination")
    monkeypatch.setattr(code_list, "CODES_MAX", 1)
    [error] = read_codes("prefix,destination\n33,France\n49,Germany\n", "codes.csv")[1]
    assert (error.line, error.reason) == (3, "a code list has at most 1 prefixes; shorten it")


def test_both_faults_of_a_row_are_told() -> None:
    codes, errors = read_codes("prefix,destination\nx,\n", "codes.csv")
    assert (codes, [error.column for error in errors]) == ((), ["prefix", "destination"])


NAMES = st.sampled_from(["France", "France Mobile", "Germany"])


@given(st.dictionaries(st.text("0123456789", min_size=1, max_size=4), NAMES, min_size=1))
def test_writing_out_keeps_every_prefix_of_a_name_and_no_other(codes: dict[str, str]) -> None:
    made = CodeList("any", tuple(Code(prefix, name) for prefix, name in codes.items()))
    for name in set(codes.values()):
        found, errors = expanded([RateRow("", 1, name)], made)
        assert errors == []
        assert {row.prefix for row in found} == {prefix for prefix, known in codes.items() if known == name}
        assert {made.name_of(row.prefix) for row in found} == {name}
