"""Lines: what a csv or JSON reader reads back is what was meant, and no spreadsheet runs it."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.billing_export.lines import Number, Value, csv_line, json_line, money, seconds, unguarded

FORMULA_STARTS = "=+-@\t\r\n"
texts = st.text(max_size=40) | st.text("=+-@'\t\r\n\", ;a1", max_size=8)
decimals = st.integers(-(2**63), 2**63).map(money)


def read_csv(octets: bytes) -> list[str]:
    """Return the one row that a strict RFC 4180 reader finds."""
    (row,) = csv.reader(io.StringIO(octets.decode(), newline=""), strict=True)
    return row


@given(st.lists(texts, min_size=2, max_size=6))
def test_texts_come_back_from_csv_as_they_were_meant(cells: list[str]) -> None:
    assert [unguarded(cell) for cell in read_csv(csv_line(cells))] == cells


@given(st.lists(texts, min_size=2, max_size=6))
def test_no_text_cell_begins_with_what_a_spreadsheet_runs(cells: list[str]) -> None:
    assert not any(cell.startswith(tuple(FORMULA_STARTS)) for cell in read_csv(csv_line(cells)))


@given(st.lists(decimals | st.integers(), min_size=2, max_size=6))
def test_numbers_are_never_guarded(numbers: list[Value]) -> None:
    assert read_csv(csv_line(numbers)) == [str(number) for number in numbers]


@given(st.dictionaries(texts, texts | decimals | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.none()))
def test_json_lines_hold_the_values_unguarded_and_one_line(values: dict[str, Value]) -> None:
    octets = json_line(values)
    assert octets.count(b"\n") == 1
    assert json.loads(octets) == values


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("acme", "acme"),
        ("", ""),
        ("=1+1", "'=1+1"),
        ("+15551230001", "'+15551230001"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", '"\'\r=1"'),
        ("\n=1", '"\'\n=1"'),
        ("\uff1d1", "'\uff1d1"),
        ("'=1", "''=1"),
        ("'quoted", "'quoted"),
        ("O'Hara", "O'Hara"),
        ('say "hi"', '"say ""hi"""'),
        ("a,b", '"a,b"'),
        ("two\nlines", '"two\nlines"'),
        ("Zürich", "Zürich"),
        (Number("-0.30"), "-0.30"),
        (-7, "-7"),
        (None, ""),
        (True, "true"),
        (False, "false"),
    ],
)
def test_a_cell_is_written_so(value: Value, cell: str) -> None:
    assert csv_line([value]) == f"{cell}\n".encode()


def test_decimals_are_plain() -> None:
    assert [money(0), money(-300_000_000), money(12_345_678_901)] == ["0.00", "-0.30", "12.345678901"]
    assert [seconds(0), seconds(62_800_000), seconds(1), seconds(-1_500_000)] == [
        "0.000000", "62.800000", "0.000001", "-1.500000",
    ]  # fmt: skip
