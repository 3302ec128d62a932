"""Decks: what is tolerated, what is an error, and that nothing is dropped in silence."""

import pytest

from daemon.kernel.instant import parse_rfc3339
from daemon.kernel.money import NANO
from daemon.rating import deck
from daemon.rating.deck import (
    COLUMNS,
    EFFECTIVE_FOREVER,
    DeckError,
    DeckRow,
    RateRow,
    Terms,
    finish_deck,
)
from tests.decks import read_deck


def errors_of(text: str) -> list[str]:
    """Return the errors of a deck named a.csv as texts."""
    return [str(error) for error in read_deck(text, "a.csv")[1]]


def error_of(column: str, cell: str) -> str:
    """Return the one error of a deck with one more column and one row."""
    (error,) = errors_of(f'prefix,rate,{column}\n44,1,"{cell}"\n')
    assert error.startswith(f"a.csv:2: {column}: ")
    return error


def test_only_prefix_and_rate_are_needed() -> None:
    assert read_deck("rate,prefix\n0.01,+44\n", "a.csv") == ([RateRow("44", 10_000_000, source="a.csv", line=2)], [])


def test_every_column_is_read() -> None:
    text = ",".join(COLUMNS) + (
        "\n44,UK,0.006,0.1,30,6,5,10,0.02,2026-01-01T00:00:00Z,2026-02-01T00:00:00+01:00,peak,per_minute,yes,60,100,"
        "VAT20,4000,USD,new\n"
    )
    rows, errors = read_deck(text, "a.csv")
    january, february = parse_rfc3339("2026-01-01T00:00:00Z"), parse_rfc3339("2026-01-31T23:00:00Z")
    terms = Terms(
        100_000_000, 30, 6, 5, 10, 20_000_000, january, february, "per_minute", True, "peak", 60, 100, "VAT20", "4000",
        "USD",
    )  # fmt: skip
    assert (rows, errors) == ([RateRow("44", 6_000_000, "UK", terms, "a.csv", 2)], [])


def test_an_empty_cell_is_the_default() -> None:
    text = ",".join(COLUMNS) + "\n44,,1" + "," * (len(COLUMNS) - 3) + "\n"
    (row,), errors = read_deck(text, "a.csv")
    assert errors == []
    assert row.terms == Terms()
    assert row.terms.effective_to == EFFECTIVE_FOREVER


def test_rows_typed_alike_share_terms_and_names() -> None:
    (one, other), _ = read_deck("prefix,rate,destination,first_seconds\n44,1,UK,60\n441,2,UK,60\n", "a.csv")
    assert one.terms is other.terms
    assert one.destination is other.destination


@pytest.mark.parametrize("cell", ["4a", "++44", "4" * 19, "4.42E+11", "44-45", "+"])
def test_a_prefix_is_digits(cell: str) -> None:
    (error,) = errors_of(f"prefix,rate\n{cell},1\n")
    assert error.startswith("a.csv:2: prefix: ")


def test_a_row_needs_a_rate_and_something_to_be_found_by() -> None:
    assert errors_of("prefix,rate,destination,rate_type\n,1,,\n44,,UK,\n,1,UK,\n,1,,SMS\n") == [
        "a.csv:2: prefix: is empty; a row needs a prefix, a destination of the code list or a rate type",
        "a.csv:3: rate: is empty; every row needs it",
    ]


def test_a_row_that_closes_its_prefix_needs_no_rate() -> None:
    rows, errors = read_deck("prefix,rate,action\n44,,delete\n45,,delete\n46,1,change\n44,1,new\n", "a.csv")
    assert errors == []
    assert [(row.prefix, row.closes) for row in rows] == [("44", True), ("45", True), ("46", False), ("44", False)]


@pytest.mark.parametrize("column", ["connect_fee", "minimum_charge"])
@pytest.mark.parametrize("cell", ["-0.01", "1,5", "0.0000000001", "1e-3", "9999999999", "x"])
def test_an_amount_is_a_plain_decimal_of_0_or_more(column: str, cell: str) -> None:
    error_of(column, cell)


def test_a_negative_rate_is_an_error() -> None:
    assert errors_of("prefix,rate\n44,-1\n") == [
        "a.csv:2: rate: '-1' is negative; rates, fees and minimums are 0 or more"
    ]


@pytest.mark.parametrize("column", ["first_seconds", "next_seconds", "free_seconds", "included_seconds"])
@pytest.mark.parametrize("cell", ["-1", "1.5", "86401", "999999", "x"])
def test_a_length_is_whole_seconds_up_to_a_day(column: str, cell: str) -> None:
    error_of(column, cell)


@pytest.mark.parametrize("column", ["first_seconds", "next_seconds"])
def test_a_block_has_a_second(column: str) -> None:
    assert "at least 1 second" in error_of(column, "0")


def test_the_longest_lengths_are_taken() -> None:
    assert errors_of("prefix,rate,first_seconds,free_seconds\n44,1,86400,86400\n") == []


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("effective_from", "2026-01-01"),
        ("effective_to", "soon"),
        ("effective_to", "1970-01-01T00:00:00Z"),
        ("blocked", "maybe"),
    ],
)
def test_other_bad_cells(column: str, cell: str) -> None:
    error_of(column, cell)


@pytest.mark.parametrize(("cell", "blocked"), [("True", True), ("YES", True), ("1", True), ("No", False), ("0", False)])
def test_blocked_is_written_in_several_ways(cell: str, blocked: bool) -> None:
    (row,), _ = read_deck(f"prefix,rate,blocked\n44,1,{cell}\n", "a.csv")
    assert row.terms.blocked is blocked


@pytest.mark.parametrize("column", ["first_seconds", "next_seconds", "free_seconds", "included_seconds", "tier_from"])
def test_units_of_a_declared_rate_type_may_be_many(column: str) -> None:
    good, bad = 1_000_000_000_000, 1_000_000_000_001
    assert errors_of(f"prefix,rate,rate_type,{column}\n44,1,byte,{good}\n") == []
    (error,) = errors_of(f"prefix,rate,rate_type,{column}\n44,1,byte,{bad}\n")
    assert error.startswith(f"a.csv:2: {column}: '{bad}' is not a whole number of units")


def test_a_block_of_units_has_one() -> None:
    assert "at least 1 unit" in errors_of("prefix,rate,rate_type,first_seconds\n44,1,byte,0\n")[0]


@pytest.mark.parametrize("column", ["time_band", "rate_type", "tax_code", "ledger_code"])
@pytest.mark.parametrize("cell", ["x" * 65, "a\tb"])
def test_a_code_is_short_and_printable(column: str, cell: str) -> None:
    assert "more than 64 characters" in error_of(column, cell)


@pytest.mark.parametrize(
    ("column", "cell"), [("currency", "usd"), ("action", "remove"), ("step_from_seconds", "86401")]
)
def test_other_words_are_refused(column: str, cell: str) -> None:
    error_of(column, cell)


def test_what_is_known_of_a_deck_is_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deck, "KNOWN_MAX", 1)
    rows, errors = read_deck("prefix,rate,destination\n44,1,UK\n45,2,DK\n46,1,UK\n", "a.csv")
    assert errors == []
    assert [(row.rate, row.destination) for row in rows] == [(NANO, "UK"), (2 * NANO, "DK"), (NANO, "UK")]


def test_every_bad_cell_of_every_bad_row_is_reported() -> None:
    text = "prefix,rate,first_seconds\nx,y,0\n44,1,60\n45,-1,0\n"
    assert [error[:15] for error in errors_of(text)] == [
        "a.csv:2: prefix",
        "a.csv:2: rate: ",
        "a.csv:2: first_",
        "a.csv:4: rate: ",
        "a.csv:4: first_",
    ]


def test_a_deck_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deck, "ROWS_MAX", 2)
    assert errors_of("prefix,rate\n1,1\n2,1\n") == []
    assert errors_of("prefix,rate\n1,1\n2,1\n3,x\n") == ["a.csv:4: a deck has at most 2 rows; split it by prefix"]


def test_errors_beyond_the_first_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deck, "ERRORS_MAX", 3)
    _, errors = read_deck("prefix,rate\n" + "x,1\n" * 10, "a.csv")
    assert len(errors) == 4
    assert errors[-1] == DeckError("a.csv", 0, "", "7 more errors; mend those above first")


def test_what_is_known_of_cells_is_bounded_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{prefix},{prefix % 5}.5,name {prefix % 3},{1 + prefix % 4}\n" for prefix in range(10, 60)]
    text = "prefix,rate,destination,next_seconds\n" + "".join([*lines, *lines])
    expected = read_deck(text, "deck.csv")
    monkeypatch.setattr("daemon.rating.deck.KNOWN_MAX", 1)
    assert read_deck(text, "deck.csv") == expected
    assert [row.prefix for row in expected[0]] == [line[:2] for line in lines] * 2
    assert all(row.rate == 10**9 * (int(row.prefix) % 5) + 10**9 // 2 for row in expected[0])


@pytest.mark.parametrize("name", ["United\nKingdom", "United\rKingdom"])
def test_a_name_is_one_line(name: str) -> None:
    cells = dict.fromkeys(COLUMNS, "") | {"prefix": "44", "rate": "1", "destination": name}
    rows, (error,) = finish_deck([DeckRow("a.csv", 2, *cells.values())], "a.csv")
    assert rows == []
    assert str(error).startswith("a.csv:2: destination: a name is one line")
