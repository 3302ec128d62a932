"""Workbooks: cells come out as they were meant, and what only looks like a workbook is refused."""

import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from daemon.ingest import shared_texts, sheet_rows, workbook
from daemon.ingest.deck_source import UnreadableDeck
from daemon.ingest.templates import template_named
from tests.unit.ingest.reading import Deck, read, read_text

MAIN = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
HEADER = ["Dial Code", "Destination", "Rate", "Increments", "Effective Date"]


def saved(folder: Path, *rows: list[Any], book: Any = None) -> Path:
    """Write rows below HEADER into the active sheet of a workbook."""
    book = book or openpyxl.Workbook()
    for row in (HEADER, *rows):
        book.active.append(row)
    book.save(folder / "a.xlsx")
    return folder / "a.xlsx"


def altered(path: Path, part: str, old: bytes, new: bytes) -> Path:
    """Put other octets into a part of a workbook."""
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    assert old in parts[part]
    parts[part] = parts[part].replace(old, new)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for name, octets in parts.items():
            book.writestr(name, octets)
    return path


def rates(deck: Deck) -> list[str]:
    return [record["rate"] for _, record in deck.records]


def test_cells_are_what_was_meant(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        [442, "UK", 0.0125, "60/6", date(2026, 5, 4)],
        [],
        ["443", "UK", 0.1 + 0.2, 30, datetime(2026, 5, 4, 12, 30)],  # noqa: DTZ001 - a workbook has no offsets
        [444.0, True, 1, None, "20260504"],
        [445, 7, "0.5", None, 46146],
        [446, "UK", 5e-05, None, 46146.5],
    )
    deck = read(path)
    assert deck.errors == []
    assert [(line, record["effective_from"]) for line, record in deck.records] == [
        (2, "2026-05-04T00:00:00Z"), (4, "2026-05-04T12:30:00Z"), (5, "2026-05-04T00:00:00Z"),
        (6, "2026-05-04T00:00:00Z"), (7, "2026-05-04T12:00:00Z"),
    ]  # fmt: skip
    assert rates(deck) == ["0.0125", "0.3", "1", "0.5", "0.00005"]
    assert [record["prefix"] for _, record in deck.records] == ["442", "443", "444", "445", "446"]
    assert deck.records[2][1]["destination"] == "true"


def test_the_decimal_mark_of_a_template_is_not_for_numbers(tmp_path: Path) -> None:
    template = template_named("carrier")
    assert template is not None
    path = saved(tmp_path, [44, "UK", 0.5, None, None], [45, "DK", "0.25", None, None], [46, "SE", "0,125", None, None])
    deck = read(path, replace(template, decimal="comma"))
    assert rates(deck) == ["0.5", "0.25"]
    assert deck.errors[0].startswith("4: Rate: '0,125' has a comma where the deck writes decimals with a point")


def test_a_workbook_may_count_days_from_1904(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.epoch = CALENDAR_MAC_1904
    deck = read(saved(tmp_path, [44, "UK", 1, None, 44684], [45, "DK", 1, None, date(2026, 5, 4)], book=book))
    assert {record["effective_from"] for _, record in deck.records} == {"2026-05-04T00:00:00Z"}


@given(st.integers(0, 10**15 - 1), st.integers(0, 9))
def test_a_number_of_fifteen_digits_is_read_as_it_is_written(digits: int, places: int) -> None:
    written = f"{digits:0{places + 1}d}"
    text = f"{written[: len(written) - places]}.{written[len(written) - places :]}" if places else written
    assert Decimal(sheet_rows._number(repr(float(text)))) == Decimal(text)
    assert Decimal(sheet_rows._number(text)) == Decimal(text)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (4.4201234567890123e17, "is what a spreadsheet made of a long number"),
        (44.5, "is a number with decimals"),
        (date(2026, 1, 2), "is not 1 to 18 digits"),
        (float("1e300"), "is what a spreadsheet made of a long number"),
    ],
)
def test_a_prefix_that_a_spreadsheet_has_mangled(tmp_path: Path, cell: Any, reason: str) -> None:
    (error,) = read(saved(tmp_path, [cell, "UK", 1, None, None])).errors
    assert error.startswith("2: Dial Code: ")
    assert reason in error


def test_an_error_of_a_formula_and_a_row_too_wide(tmp_path: Path) -> None:
    path = saved(
        tmp_path, [44, "UK", "#N/A", None, None], [45, "DK", 1, *([None] * 300), "x"], [46, "SE", 1, None, None]
    )
    deck = read(path)
    assert deck.errors == ["2: a cell holds the error #N/A; mend its formula", "3: the row has more than 256 cells"]
    assert [record["prefix"] for _, record in deck.records] == ["46"]


def with_texts(path: Path, texts: bytes, cell: bytes = b't="s"><v>0</v>') -> Path:
    """Give a workbook a table of texts, and put a cell in place of that of UK."""
    kind = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    part = b'<Override PartName="/xl/sharedStrings.xml" ContentType="' + kind + b'"/></Types>'
    altered(path, "[Content_Types].xml", b"</Types>", part)
    altered(path, "xl/worksheets/sheet1.xml", b't="inlineStr"><is><t>UK</t></is>', cell)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/sharedStrings.xml", b'<sst xmlns="' + MAIN + b'">' + texts + b"</sst>")
    return path


def test_texts_may_stand_in_a_table_of_their_own(tmp_path: Path) -> None:
    path = with_texts(saved(tmp_path, [44, "UK", 1, None, None]), b"<si><t>UK mobile</t></si>")
    assert read(path).records[0][1]["destination"] == "UK mobile"
    altered(path, "xl/worksheets/sheet1.xml", b't="s"><v>0</v>', b't="s"><v>7</v>')
    assert read(path).errors == [
        "2: the sheet is broken here: a cell refers to a text that is not there; open the workbook and save it again"
    ]


@pytest.mark.parametrize(
    ("texts", "text"),
    [
        (b'<si><t xml:space="preserve"> UK </t></si>', "UK"),
        (b"<si><r><t>U</t></r><r><rPr><b/></rPr><t>K</t></r><rPh><t>no</t></rPh></si>", "UK"),
        (b"<si><t>x005F_UK</t></si>", "UK"),
        (b"<x/><si><t>" + b"K" * 4_096 + b"</t></si>", "K" * 4_096),
    ],
)
def test_every_kind_of_text(tmp_path: Path, texts: bytes, text: str) -> None:
    path = with_texts(saved(tmp_path, [44, "UK", 1, None, None]), texts)
    assert read(path).records[0][1]["destination"] == text


def test_a_shared_text_too_long_is_a_fault_of_each_cell_that_refers_to_it(tmp_path: Path) -> None:
    path = with_texts(saved(tmp_path, [44, "UK", 1], [45, "DK", 1]), b"<si><t>" + b" " * 4_097 + b"</t></si>")
    deck = read(path)
    assert deck.errors == ["2: cell B2 has more than 4096 characters; shorten it"]
    assert [record["prefix"] for _, record in deck.records] == ["45"]


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (b"<si></t></si>", "the XML of its texts ends: mismatched tag"),
        (b"<si><t>a</t></si>" * 6, "it has more than 5 texts"),
    ],
)
def test_a_table_of_texts_that_is_none(
    tmp_path: Path, texts: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_texts, "TEXTS_MAX", 5)
    with pytest.raises(UnreadableDeck, match=f"cannot be read: {reason}; open it and save it again, or save its sheet"):
        read(with_texts(saved(tmp_path, [44, "UK", 1]), texts))


def test_a_table_of_texts_may_not_declare_a_document_type(tmp_path: Path) -> None:
    path = with_texts(saved(tmp_path, [44, "UK", 1]), b"")
    altered(path, "xl/sharedStrings.xml", b"<sst ", b'<!DOCTYPE sst [<!ENTITY a "a">]><sst ')
    with pytest.raises(UnreadableDeck, match="the table of its texts declares a document type"):
        read(path)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (b't="d"><v>2026-05-04T12:00:00</v>', "2026-05-04T12:00:00"),
        (b't="str"><v> DK </v>', "DK"),
        (b't="inlineStr"><is><r><t>D</t></r><r><t>K</t></r><rPh><t>no</t></rPh></is>', "DK"),
        (b't="b"><v>0</v>', "false"),
        (b"><v>447911123412345678</v>", "447911123412345678"),
        (b"><v>0.10000000000000001</v>", "0.1"),
        (b"><v>1.0E-3</v>", "0.001"),
        (b"><v>1e-300</v>", "1E-300"),
        (b"><f>1/3</f><v>0.333333333333333</v>", "0.333333333333333"),
    ],
)
def test_every_kind_of_cell(tmp_path: Path, cell: bytes, text: str) -> None:
    path = saved(tmp_path, [44, "UK", 1, None, None])
    altered(path, "xl/worksheets/sheet1.xml", b't="inlineStr"><is><t>UK</t></is>', cell)
    assert read(path).records[0][1]["destination"] == text


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (b"><v>12x</v>", "a number is none"),
        (b"><v>" + b"9" * 500 + b"</v>", "a number is none"),
        (b't="s"><v>-1</v>', "a cell refers to a text that is not there"),
    ],
)
def test_a_cell_that_is_none(tmp_path: Path, cell: bytes, reason: str) -> None:
    path = saved(tmp_path, [44, "UK", 1, None, None])
    altered(path, "xl/worksheets/sheet1.xml", b't="inlineStr"><is><t>UK</t></is>', cell)
    assert read(path).errors == [f"2: the sheet is broken here: {reason}; open the workbook and save it again"]


def test_what_looks_like_a_day_is_no_prefix(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    path = saved(tmp_path, [442, "UK", 1, None, None], [99_999, "DK", 1, None, None], book=book)
    for cell in ("A2", "A3"):
        book.active[cell].number_format = "yyyy-mm-dd"
    book.save(path)
    assert [error.partition(" is not")[0] for error in read(path).errors] == [
        "2: Dial Code: '1901-03-17'", "3: Dial Code: 'date99999'",
    ]  # fmt: skip


def test_elements_of_other_namespaces_are_passed_over(tmp_path: Path) -> None:
    other = b'<x:row xmlns:x="urn:x" r="7"><x:c r="A7"><x:v>9</x:v></x:c></x:row></sheetData>'
    path = saved(tmp_path, [44, "UK", 1, None, None])
    altered(path, "xl/worksheets/sheet1.xml", b"</sheetData>", other)
    assert read(path).records == [(2, {"prefix": "44", "destination": "UK", "rate": "1"})]


def test_a_workbook_without_a_sheet_that_is_shown(tmp_path: Path) -> None:
    path = saved(tmp_path, [44, "UK", 1, None, None])
    altered(path, "xl/workbook.xml", b'state="visible"', b'state="hidden"')
    assert read(path).errors == ["0: the workbook has no sheet that is shown"]


def test_a_text_too_long_is_a_fault_of_its_row(tmp_path: Path) -> None:
    path = saved(tmp_path, [44, "x" * 4_097, 1], [45, "y" * 30_000, 1], [46, "z" * 4_096, 1])
    deck = read(path)
    assert deck.errors == [
        "2: cell B2 has more than 4096 characters; shorten it", "3: cell B3 has more than 4096 characters; shorten it",
    ]  # fmt: skip
    assert [record["prefix"] for _, record in deck.records] == ["46"]
    altered(path, "xl/worksheets/sheet1.xml", b"x" * 4_097, b"x" * 300_000)
    assert read(path).errors == deck.errors


def test_rows_and_cells_without_a_place_follow_each_other(tmp_path: Path) -> None:
    path = saved(tmp_path, [44, "UK", 1, None, None])
    with zipfile.ZipFile(path) as book:
        octets = book.read("xl/worksheets/sheet1.xml")
    altered(path, "xl/worksheets/sheet1.xml", octets, re.sub(rb' r="[A-Z]*[0-9]+"', b"", octets))
    assert read(path).records == [(2, {"prefix": "44", "destination": "UK", "rate": "1"})]


def test_a_formula_that_was_never_computed_is_an_empty_cell(tmp_path: Path) -> None:
    (error,) = read(saved(tmp_path, [44, "UK", "=1/8", None, None])).errors
    assert error.startswith("2: Rate: is empty")


def test_the_sheet_with_the_header_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["Rates of Example Carrier"])
    book.create_sheet("Hidden").sheet_state = "hidden"
    book["Hidden"].append(HEADER)
    book.active = book.create_sheet("Rates")
    deck = read(saved(tmp_path, [44, "UK", 1, None, None], book=book))
    assert (deck.errors, rates(deck)) == ([], ["1"])
    assert deck.notes[0] == "workbook, sheet 'Rates'; not read: Sheet"
    assert read(tmp_path / "a.xlsx", sheet="Rates").records == deck.records
    assert read(tmp_path / "a.xlsx", sheet="Prices").errors == ["0: no sheet 'Prices'; there are Sheet, Rates"]
    assert read(tmp_path / "a.xlsx", sheet="Sheet").errors[0].startswith("1: no template knows the header")


def test_two_sheets_with_a_header_are_ambiguous(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(HEADER)
    book.active = book.create_sheet("More")
    assert read(saved(tmp_path, book=book)).errors == ["0: sheets Sheet, More all have a header; state --sheet"]


# -- what only looks like a workbook


def test_a_zip_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("deck.csv", "prefix,rate\n44,1\n")
    for octets in ((tmp_path / "a.zip").read_bytes(), b"PK\x03\x04" + bytes(100)):
        with pytest.raises(UnreadableDeck, match=r"is no whole \.xlsx workbook"):
            read_text(tmp_path, octets)


def test_a_bomb_is_measured_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, *([44, "UK", 1, None, None] for _ in range(100)))
    monkeypatch.setattr(workbook, "UNPACKED_SIZE_MAX", 20_000)
    with pytest.raises(UnreadableDeck, match="has more than 20000 octets unpacked"):
        read(path)
    monkeypatch.setattr(workbook, "UNPACKED_SIZE_MAX", 256 << 20)
    monkeypatch.setattr(workbook, "PART_SIZE_MAX", 5_000)
    with pytest.raises(UnreadableDeck, match="has a part of more than 5000 octets"):
        read(path)
    monkeypatch.setattr(workbook, "PART_SIZE_MAX", 64 << 20)
    monkeypatch.setattr(workbook, "PARTS_MAX", 3)
    with pytest.raises(UnreadableDeck, match="has more than 3 parts"):
        read(path)


@pytest.mark.parametrize(
    ("styles", "reason"),
    [
        (b"<xf/>" * 1_600_000, "has more than 200000 elements or 600000 attributes"),
        (b"<xf/>" * 200_000, "has more than 200000 elements or 600000 attributes"),
        (b'<xf a="1" b="2" c="3" d="4"/>' * 150_001, "has more than 200000 elements or 600000 attributes"),
        (b"<xf/>" * 1_700_000, "has more than 8388608 octets"),
    ],
    ids=["many", "one too many", "attributes", "octets"],
)
def test_a_tree_is_counted_before_the_library_makes_it(tmp_path: Path, styles: bytes, reason: str) -> None:
    path = altered(saved(tmp_path, [44, "UK", 1]), "xl/styles.xml", b"</cellXfs>", styles + b"</cellXfs>")
    with pytest.raises(UnreadableDeck, match=rf"cannot be read: its part xl/styles\.xml {reason}; open it and save it"):
        read(path)


def test_memory_that_runs_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise MemoryError

    path = saved(tmp_path, [44, "UK", 1])
    monkeypatch.setattr(workbook, "sheet_rows", none)
    assert read(path).errors == ["1: memory ran out here; save its sheet as CSV"]
    monkeypatch.setattr(workbook, "apply_stylesheet", none)
    with pytest.raises(UnreadableDeck, match="cannot be read: memory ran out; save its sheet as CSV"):
        read(path)


@pytest.mark.parametrize("kind", ["formats", "text"])
def test_no_workbook_takes_more_than_half_a_gibibyte(tmp_path: Path, kind: str) -> None:
    path = saved(tmp_path, [44, "UK", 1])
    if kind == "formats":
        altered(path, "xl/styles.xml", b"</cellXfs>", b"<xf/>" * 190_000 + b"</cellXfs>")
    else:
        with_texts(path, b"<si><t> " + b"a" * 20_000_000 + b" </t></si>", b't="s"><v>0</v>')
        cells = b'<row r="3">' + b'<c t="s"><v>0</v></c>' * 200 + b"</row></sheetData>"
        altered(path, "xl/worksheets/sheet1.xml", b"</sheetData>", cells)
    # The process asks itself: what this one has taken before is not the workbook's.
    script = "import sys, resource; from pathlib import Path; from tests.unit.ingest.reading import read; " + (
        "deck = read(Path(sys.argv[1])); print(len(deck.records), len(deck.errors), "
        "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", script, path], check=True, capture_output=True, text=True)
    records, errors, kibibytes = map(int, done.stdout.split())
    assert (records, errors) == ((1, 0) if kind == "formats" else (0, 2))
    assert kibibytes < 512 << 10


def test_a_part_that_lies_of_its_size_is_not_unpacked_further(tmp_path: Path) -> None:
    path = saved(tmp_path, *([44, "UK", 1, None, None] for _ in range(5_000)))
    with zipfile.ZipFile(path) as book:
        real = book.getinfo("xl/worksheets/sheet1.xml").file_size
    lie = path.read_bytes().replace(real.to_bytes(4, "little"), (1_000).to_bytes(4, "little"))
    errors = read_text(tmp_path, lie).errors
    assert errors
    assert "the sheet is broken here" in errors[0]


def test_entities_are_refused(tmp_path: Path) -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    path = altered(saved(tmp_path, [44, "UK", 1]), "xl/worksheets/sheet1.xml", b"<worksheet ", bomb + b"<worksheet ")
    assert read(path).errors == [
        "1: the sheet is broken here: it declares a document type; open the workbook and save it again"
    ]
    assert openpyxl.DEFUSEDXML
    path = altered(saved(tmp_path, [44, "UK", 1]), "xl/workbook.xml", b"<workbook ", bomb + b"<workbook ")
    with pytest.raises(UnreadableDeck, match=r"its part xl/workbook\.xml declares a document type; open it and save"):
        read(path)


def test_a_sheet_that_breaks_off_is_an_error_where_it_does(tmp_path: Path) -> None:
    path = saved(tmp_path, [44, "UK", 1, None, None], [45, "DK", 1, None, None])
    altered(path, "xl/worksheets/sheet1.xml", b'<row r="3"', b'<row r="3" <<')
    deck = read(path)
    assert [record["prefix"] for _, record in deck.records] == ["44"]
    assert deck.errors == [
        "3: the sheet is broken here: its XML ends: not well-formed (invalid token); "
        "open the workbook and save it again"
    ]


@pytest.mark.parametrize("number", [b"999999999999", b"2", b"1", b"0", b"-5"])
def test_row_numbers_that_do_not_rise_or_have_no_end(tmp_path: Path, number: bytes) -> None:
    path = saved(tmp_path, [44, "UK", 1, None, None], [45, "DK", 1, None, None])
    altered(path, "xl/worksheets/sheet1.xml", b'<row r="3"', b'<row r="' + number + b'"')
    (error,) = read(path).errors
    assert error.startswith("3: the sheet is broken here: rows are 1 to 1048576, each once and in order, and here")


def test_a_cell_in_another_place_is_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path, [44, "UK", 1, None, None], [45, "DK", 1, None, None])
    altered(path, "xl/worksheets/sheet1.xml", b'r="C3"', b'r="A3"')
    deck = read(path)
    assert [record["prefix"] for _, record in deck.records] == ["44"]
    assert [error.partition(";")[0] for error in deck.errors] == [
        "3: the sheet is broken here: a cell stands in another place than it says"
    ]
    altered(path, "xl/worksheets/sheet1.xml", b'r="B2"', b'r="B7"')
    assert read(path).errors[0].startswith("2: the sheet is broken here: a cell stands in another place")
    altered(path, "xl/worksheets/sheet1.xml", b'r="B7"', b'r="B2B"')
    assert read(path).errors[0].startswith("2: the sheet is broken here: a cell stands in another place")


def test_a_sheet_that_says_that_it_is_smaller_is_read_to_its_end(tmp_path: Path) -> None:
    path = saved(tmp_path, [44, "UK", 1, None, None], [45, "DK", 1, None, None])
    altered(path, "xl/worksheets/sheet1.xml", b'<dimension ref="A1:E3"', b'<dimension ref="A1"')
    assert [record["prefix"] for _, record in read(path).records] == ["44", "45"]


def test_a_truncated_file(tmp_path: Path) -> None:
    octets = saved(tmp_path, [44, "UK", 1, None, None]).read_bytes()
    with pytest.raises(UnreadableDeck, match="is no whole"):
        read_text(tmp_path, octets[: len(octets) // 2])
