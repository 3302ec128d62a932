"""Records: the order of rows and columns does not matter, native decks pass unchanged, every row is told of."""

import csv
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.ingest.deck_records import read_deck_records
from daemon.ingest.deck_source import UnreadableDeck
from daemon.ingest.deck_template import RECORD_COLUMNS
from daemon.ingest.templates import NATIVE
from tests.unit.ingest.reading import DECKS, read, read_text

_MONEY = st.one_of(st.just(""), st.decimals(0, 1000, places=4).map(str))
_ROW = st.fixed_dictionaries(
    {
        "prefix": st.from_regex(r"[1-9][0-9]{0,14}", fullmatch=True),
        "destination": st.text("abc ,;\"'é|", max_size=8).map(str.strip),
        "connect_fee": _MONEY,
        "rate": st.one_of(st.decimals(0, 1000, places=4).map(str), st.just("1")),
        "first_seconds": st.sampled_from(["", "1", "60"]),
        "next_seconds": st.sampled_from(["", "1", "6"]),
        "free_seconds": st.just(""),
        "included_seconds": st.sampled_from(["", "5"]),
        "minimum_charge": _MONEY,
        "effective_from": st.sampled_from(["", "2026-01-01T00:00:00Z"]),
        "effective_to": st.sampled_from(["", "2027-01-01T00:00:00Z"]),
        "time_band": st.sampled_from(["", "night"]),
        "rate_type": st.sampled_from(["", "per_minute"]),
        "blocked": st.sampled_from(["", "true"]),
        "step_from_seconds": st.sampled_from(["", "0", "60"]),
        "tier_from": st.just(""),
        "tax_code": st.sampled_from(["", "VAT"]),
        "ledger_code": st.just(""),
        "currency": st.sampled_from(["", "EUR"]),
        "action": st.just(""),
    }
)
_ROWS = st.lists(_ROW, max_size=8, unique_by=lambda row: row["prefix"])


def native(rows: list[dict[str, str]], columns: list[str], delimiter: str) -> str:
    """Write a native deck."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def cells(text: str) -> list[tuple[str, ...]]:
    """Return the cells of all records of a native deck without faults."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        path.write_text(text, newline="")
        source = read_deck_records(path)
        found = [record.cells for record in source.records]
        assert source.errors == []
        assert source.template is NATIVE
    return found


@settings(deadline=None, max_examples=50)  # each example is a file
@given(_ROWS, st.permutations(RECORD_COLUMNS), st.sampled_from(",;\t|"))
def test_a_native_deck_passes_unchanged(rows: list[dict[str, str]], columns: list[str], delimiter: str) -> None:
    assert cells(native(rows, columns, delimiter)) == [tuple(row[column] for column in RECORD_COLUMNS) for row in rows]


@settings(deadline=None, max_examples=25)
@given(_ROWS.flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows))), st.permutations(RECORD_COLUMNS))
def test_the_order_of_rows_and_columns_does_not_matter(
    drawn: tuple[list[dict[str, str]], list[dict[str, str]]], columns: list[str]
) -> None:
    rows, shuffled = drawn
    assert sorted(cells(native(rows, list(RECORD_COLUMNS), ","))) == sorted(cells(native(shuffled, columns, ",")))


@settings(deadline=None, max_examples=25)
@given(st.permutations((DECKS / "sippy.csv").read_text().splitlines()[1:]), st.permutations(range(13)))
def test_the_order_does_not_matter_to_other_layouts(lines: list[str], order: list[int]) -> None:
    header = (DECKS / "sippy.csv").read_text().splitlines()[0]
    text = "".join(",".join(line.split(",")[place] for place in order) + "\n" for line in (header, *lines))
    with tempfile.TemporaryDirectory() as folder:
        found = read_text(Path(folder), text)
    records = [record for _, record in read(DECKS / "sippy.csv").records]
    assert found.errors == []
    assert sorted(map(str, (record for _, record in found.records))) == sorted(map(str, records))


def test_a_native_deck_with_marks_of_its_region(tmp_path: Path) -> None:
    deck = read_text(
        tmp_path, "prefix;rate;effective_from\n+44;0,012;2026-01-01T01:00:00+01:00\n4420-4429;1;\n33;,5;\n"
    )
    assert deck.records == [
        (2, {"prefix": "44", "rate": "0.012", "effective_from": "2026-01-01T00:00:00Z"}),
        (3, {"prefix": "442", "rate": "1"}),
        (4, {"prefix": "33", "rate": "0.5"}),
    ]
    assert "decimals with a comma" in deck.notes


def test_a_native_deck_with_dates_of_its_region(tmp_path: Path) -> None:
    text = (
        "prefix,rate,effective_from\n43,0.1,2026-01-01T00:00:00Z\n44,0.1,2026-01-01T00:00:00+01:00\n45,0.1,2026-07-01\n"
    )
    deck = read_text(tmp_path, text, timezone="Europe/Paris")
    assert [record["effective_from"] for _, record in deck.records] == [
        "2026-01-01T00:00:00Z", "2025-12-31T23:00:00Z", "2026-06-30T22:00:00Z",
    ]  # fmt: skip


def test_a_native_deck_with_a_currency_in_its_header(tmp_path: Path) -> None:
    deck = read_text(tmp_path, "prefix,rate (EUR)\n44,0.1\n45,0.2\n")
    assert [record["currency"] for _, record in deck.records] == ["EUR", "EUR"]


def test_a_native_deck_with_two_marks_is_refused(tmp_path: Path) -> None:
    comma_first = read_text(tmp_path, "prefix;rate\n44;0,012\n45;1.234\n").errors
    assert [error.partition(" where")[0] for error in comma_first] == ["3: rate: '1.234' has a point"]
    point_first = read_text(tmp_path, "prefix;rate\n44;0.012\n45;1,234\n").errors
    assert [error.partition(" where")[0] for error in point_first] == ["3: rate: '1,234' has a comma"]


def test_words_of_a_native_deck_for_a_change(tmp_path: Path) -> None:
    deck = read_text(tmp_path, "prefix,rate,action\n44,0.1,NEW\n45,0.1,\n46,,DELETE\n47,0.1,delete\n48,0.1,what\n")
    assert [record.get("action", "") for _, record in deck.records] == ["", "", "delete", "delete"]
    assert deck.errors[0].startswith("6: action: 'what' is no word for a change")


def test_letters_that_a_layout_gives_a_meaning(tmp_path: Path) -> None:
    header = "Action,Prefix,Interval 1,Interval N,Price 1,Price N\n"
    deck = read_text(tmp_path, header + "A,44,1,1,0.1,0.1\nu,45,1,1,0.1,0.1\nD,46,1,1,,\n")
    assert [record.get("action", "") for _, record in deck.records] == ["", "", "delete"]


def test_blank_rows_end_nothing_and_lines_are_those_of_the_file(tmp_path: Path) -> None:
    deck = read_text(
        tmp_path, '\n\nprefix,destination,rate\n\n44,"a ""b""",0.5\n , ,\n45,"two\nlines",0.5\n\n46,x,0.5\n'
    )
    assert [line for line, _ in deck.records] == [5, 7, 10]
    assert deck.errors == []  # what the name of a native deck may hold, its own reader says


def test_cells_at_the_end_of_a_header_may_be_empty(tmp_path: Path) -> None:
    deck = read_text(tmp_path, "prefix;rate;;\n44;0.5\n45;0.5;;\n46;0.5;;x\n")
    assert [record["prefix"] for _, record in deck.records] == ["44", "45"]
    assert deck.errors == ["4: the row has 4 cells, the header 2; align them"]


def rewritten(path: Path) -> None:
    path.write_text(path.read_text().replace("0.5", "0.9"))
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))  # two writings may fall into one tick of the disk's clock


def replaced(path: Path) -> None:
    octets, modified = path.read_bytes(), path.stat().st_mtime_ns
    other = path.with_suffix(".new")
    other.write_bytes(octets.replace(b"0.5", b"0.9"))
    os.utime(other, ns=(0, modified))
    other.replace(path)


def lengthened(path: Path) -> None:
    modified = path.stat().st_mtime_ns
    path.write_text(path.read_text() + "46,0.9\n")
    os.utime(path, ns=(0, modified))


@pytest.mark.parametrize("change", [rewritten, replaced, lengthened, Path.unlink])
@pytest.mark.parametrize("rows_before", [0, 1])
def test_a_deck_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, change: Callable[[Path], None], rows_before: int
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prefix,rate\n44,0.5\n45,0.5\n")
    records = read_deck_records(path).records
    for _ in range(rows_before):
        next(records)
    change(path)
    with pytest.raises(UnreadableDeck, match=r"a\.csv (has changed while it was read; import it again|cannot be read)"):
        list(records)


def test_a_deck_whose_name_or_time_of_access_changes_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prefix,rate\n44,0.5\n45,0.5\n")
    records = read_deck_records(path).records
    os.utime(path, ns=(0, path.stat().st_mtime_ns))
    path.chmod(0o600)
    assert len(list(records)) == 2
