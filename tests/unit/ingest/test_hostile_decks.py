"""Decks that are wrong, mangled or meant ill: each is refused at its line with a reason that says how to mend it."""

import gzip
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.ingest import deck_records, deck_source, header
from daemon.ingest.deck_records import Stated, read_deck_records
from daemon.ingest.deck_source import UnreadableDeck
from daemon.ingest.templates import BUILT_IN, template_named
from tests.unit.ingest.reading import DECKS, read, read_text

CARRIER = "Dial Code;Destination;Rate;Increments;Effective Date;Status;Currency\n"
PARTS = "Country Code;Area Code;Rate\n"
A2 = "dialprefix;rateinitial;initblock;billingblock;chargea;startdate\n"
CGRATES = "#Prefix,Rate,RateUnit,RateIncrement,GroupIntervalStart\n"
PORTA = "Destination,Interval First,Interval Next,Price First,Price Next,Off-peak Price First,Off-peak Price Next\n"

# What it is, the deck, and where each error is and how it begins after the column's name.
CASES: list[tuple[str, str, list[str]]] = [
    ("an empty file", "", ["1: no row is among its first lines"]),
    ("only blank rows", "\n \n\t\n", ["1: no row is among its first lines"]),
    ("a header and nothing known", "a;b\n1;2\n",
     ["1: no template knows the header; nearest is tollway", "1: a: column 1 of the header is unknown", "1: b: column",
      "1: rate: the header lacks a column", "1: prefix: the header lacks a column"]),
    ("a slip in a header", "prefix;rate;free_secnds\n44;1;2\n",
     ["1: no template knows the header; nearest is tollway of", "1: free_secnds: column 3 of the header is unknown"]),
    ("a power of ten", CARRIER + "4.42E+11;UK;1;;;;\n", ["2: Dial Code: '4.42E+11' is what a spreadsheet made of"]),
    ("a power of ten with a comma", CARRIER + "4,42E+11;UK;1;;;;\n", ["2: Dial Code: '4,42E+11' is what a"]),
    ("a prefix with decimals", CARRIER + "44.00;UK;1;;;;\n", ["2: Dial Code: '44.00' is a number with decimals"]),
    ("letters in a prefix", CARRIER + "44x;UK;1;;;;\n", ["2: Dial Code: '44x' is not 1 to 18 digits"]),
    ("digits of another script", CARRIER + "٤٤;UK;1;;;;\n", ["2: Dial Code: '٤٤' is not 1 to 18 digits"]),
    ("no prefix", CARRIER + ";UK;1;;;;\n", ["2: Dial Code: is empty; every row needs a prefix"]),
    ("19 digits", CARRIER + "4420000000000000000;UK;1;;;;\n", ["2: Dial Code: '4420000000000000000' is not 1 to 18"]),
    ("a sign not stated", CARRIER + "01144;UK;1;;;;\n", ["2: Dial Code: '01144' begins with 0"]),
    ("a short range", CARRIER + "4478-79;UK;1;;;;\n", ["2: Dial Code: '4478-79' has ends of different length"]),
    ("a range backwards", CARRIER + "4479-4478;UK;1;;;;\n", ["2: Dial Code: '4479-4478' ends before it begins"]),
    ("an endless list", CARRIER + ",".join(map(str, range(10_000, 10_800))) + ";UK;1;;;;\n",
     ["2: the line has more than 4096 characters"]),
    ("a list with a hole", CARRIER + "44,,45;UK;1;;;;\n", ["2: Dial Code: '44,,45' has an empty place"]),
    ("a prefix twice", CARRIER + '"4420;442-442;442";UK;1;;;;\n', ["2: Dial Code: '4420;442-442;442' names a prefix"]),
    ("a country code in doubt", CARRIER + "61 38,6139;AU;1;;;;\n", ["2: Dial Code: '61 38,6139' may repeat the"]),
    ("country codes for some", CARRIER + "6138,61 39;AU;1;;;;\n", ["2: Dial Code: '6138,61 39' mixes numbers"]),
    ("no country code", PARTS + ";20;1\n", ["2: Country Code: is empty; every row needs a country code"]),
    ("a country code of letters", PARTS + "UK;20;1\n", ["2: Country Code: 'UK' is not 1 to 18 digits"]),
    ("an area code of letters", PARTS + "44;x;1\n", ["2: Area Code: '44x' is not 1 to 18 digits"]),
    ("thousands", CARRIER + "44;UK;1.234,50;;;;\n", ["2: Rate: '1.234,50' has a thousands separator"]),
    ("both marks", CARRIER + "44;UK;0,5;;;;\n45;DK;0.5;;;;\n", ["3: Rate: '0.5' has a point where the deck writes"]),
    ("commas in doubt", CARRIER + "44;UK;1,234;;;;\n45;DK;2,500;;;;\n", ["0: '1,234' and every other price with"]),
    ("a currency sign", CARRIER + "44;UK;$0.5;;;;\n", ["2: Rate: '$0.5' is no plain decimal"]),
    ("ten decimals", CARRIER + "44;UK;0.0123456789;;;;\n", ["2: Rate: '0.0123456789' has more than 9 decimals"]),
    ("a rate as a power", CARRIER + "44;UK;1.2E-05;;;;\n", ["2: Rate: '1.2E-05' is written as a power of ten"]),
    ("a negative rate", CARRIER + "44;UK;-0.5;;;;\n", ["2: Rate: '-0.5' is negative"]),
    ("a fee that would block", "prefix,rate,block_min_duration,init_block\n44,-1,1,0\n45,1,1,-1\n46,-2,1,0\n",
     ["3: init_block: '-1' is negative", "4: rate: '-2' is negative"]),
    ("a country code that is mangled", PARTS + "4.4E+10;;1\n", ["2: Country Code: '4.4E+10' is what a"]),
    ("no rate", CARRIER + "44;UK;;;;NEW;\n", ["2: Rate: is empty; a row needs it unless it is blocked or deleted"]),
    ("a word for a rate", CARRIER + "44;UK;n/a;;;;\n", ["2: Rate: 'n/a' is no plain decimal"]),
    ("a day or a month", CARRIER + "44;UK;1;;03/04/2026;;\n", ["2: Effective Date: '03/04/2026' may begin with"]),
    ("no such day", CARRIER + "44;UK;1;;2026-02-30;;\n", ["2: Effective Date: '2026-02-30' is no date: day is out of"]),
    ("a day's number", CARRIER + "44;UK;1;;46023;;\n", ["2: Effective Date: '46023' looks like a spreadsheet's"]),
    ("a year of two digits", CARRIER + "44;UK;1;;03/04/26;;\n", ["2: Effective Date: '03/04/26' is no date such as"]),
    ("a year long ago", CARRIER + "44;UK;1;;1969-12-31;;\n", ["2: Effective Date: '1969-12-31' lies outside 1970"]),
    ("a word unknown", CARRIER + "44;UK;1;;;perhaps;\n", ["2: Status: 'perhaps' is no word for a change"]),
    ("a letter of two meanings", CARRIER + "44;UK;1;;;D;\n", ["2: Status: 'D' is no word for a change"]),
    ("no seconds", CARRIER + "44;UK;1;60/0;;;\n", ["2: next_seconds: a block has at least 1 second"]),
    ("more than a day", CARRIER + "44;UK;1;86401;;;\n", ["2: Increments: '86401' is not a whole number of seconds"]),
    ("half a second", CARRIER + "44;UK;1;0.5;;;\n", ["2: Increments: '0.5' is not a whole number of seconds"]),
    ("a name of two lines", CARRIER + '44;"UK\n";1;;;;\n45;"D\nK";1;;;;\n', ["4: Destination: a name is one line"]),
    ("a quote never closed", CARRIER + '44;"UK;1;;;;\n45;DK;1;;;;\n', ["2: unexpected end of data"]),
    ("text behind a quote", CARRIER + '44;"UK"x;1;;;;\n', ["2: ';' expected after '\"'"]),
    ("too few cells", CARRIER + "44;UK\n", ["2: the row has 2 cells, the header 7"]),
    ("too many cells", CARRIER + "44;UK;1;;;;;;x\n", ["2: the row has 9 cells, the header 7"]),
    ("an octet 0", CARRIER + "44;U\0K;1;;;;\n", ["2: the line holds an octet 0"]),
    ("a column twice", "prefix,rate,rate\n44,1,1\n", ["1: no template knows", "1: rate: the header says rate twice"]),
    ("the prefix and its parts", "Dial Code,Country Code,Rate\n44,44,1\n",
     ["1: no template knows", "1: prefix: the header has the whole prefix and its parts"]),
    ("two currencies", "Dial Code,Rate (EUR),Setup Fee (USD)\n44,1,1\n", ["1: the header names more than one"]),
    ("a price we cannot hold", A2 + "44;1;30;6;0,5;\n", ["2: chargea: '0,5' says what a deck row cannot hold"]),
    ("blocks that no two bill", A2 + "44;1;60;7;0;\n", ["2: initblock: 60 is no multiple of the block of 7 seconds"]),
    ("a price per nothing", CGRATES + "44,1,0s,1s,0s\n", ["2: RateUnit: is empty or 0"]),
    ("a price of no nine places", CGRATES + "44,1,7s,1s,0s\n", ["2: Rate: 1 for 7 seconds is no price per minute"]),
    ("half an off-peak", PORTA + "44,1,1,1,1,0.5,\n", ["2: Off-peak Price Next: is empty, though the row says"]),
    ("every fault of a row", CARRIER + "4x;UK;abc;1/2/3;2026-13-01;what;\n",
     ["2: Dial Code: ", "2: Rate: ", "2: Increments: ", "2: Effective Date: ", "2: Status: "]),
    ("a bad row hides no other", CARRIER + "x;UK;1;;;;\n\n44;UK;1;;;;\ny;UK;1;;;;\n", ["2: Dial Code", "5: Dial Code"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "errors"), CASES, ids=[case[0] for case in CASES])
def test_it_is_refused_with_its_line_and_a_reason(tmp_path: Path, name: str, text: str, errors: list[str]) -> None:
    found = read_text(tmp_path, text).errors
    assert len(found) == len(errors), (name, found)
    for error, beginning in zip(found, errors, strict=True):
        assert error.startswith(f"{beginning}"), name


def test_a_bad_row_gives_no_record_and_a_good_one_does(tmp_path: Path) -> None:
    deck = read_text(tmp_path, CARRIER + "x;UK;1;;;;\n44;UK;0.5;;;;\n45;DK;;;;;\n")
    assert [line for line, _ in deck.records] == [3]
    assert [error.partition(":")[0] for error in deck.errors] == ["2", "4"]


def test_a_line_without_end_is_not_held_in_memory(tmp_path: Path) -> None:
    deck = read_text(tmp_path, CARRIER + "44;" + "x" * 3_000_000)
    assert [error.partition(";")[0] for error in deck.errors] == [
        "2: the line has more than 4096 characters, reading ends here"
    ]


def test_two_templates_may_claim_a_header_and_then_none_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kazoo = template_named("kazoo")
    assert kazoo is not None
    monkeypatch.setattr(header, "BUILT_IN", (*BUILT_IN, replace(kazoo, name="other")))
    (error,) = read_text(tmp_path, "prefix,rate_cost\n44,1\n").errors
    assert error == "1: the header is one of templates kazoo and other; state --template"


def test_a_header_under_two_delimiters_is_nobodys(tmp_path: Path) -> None:
    deck = read_text(tmp_path, "prefix,rate\nprefix;rate\n44,1\n45;1\n")
    assert deck.errors == ["1: may be delimited by comma or semicolon; state --delimiter"]
    stated = read_text(tmp_path, "prefix,rate\nprefix;rate\n44,1\n45;1\n", delimiter="semicolon")
    assert [error for error in stated.errors if "align" in error] == [
        "3: the row has 1 cells, the header 2; align them"
    ]


def test_a_message_repeats_no_control_characters(tmp_path: Path) -> None:
    hostile = 'prefix,rate,\x1b[2Jx,"a\nb",' + "y" * 100 + "\n"
    assert [error.partition(" column ")[0] for error in read_text(tmp_path, hostile).errors[1:]] == [
        "1: ?[2Jx:", "1: a b:", f"1: {'y' * 60}…:",
    ]  # fmt: skip
    errors = read_text(tmp_path, CARRIER + "\x1b[2J;\x1b;\x1b1;\x1b;\x1b;\x1b;\n").errors
    assert len(errors) == 6
    assert all(error.isprintable() for error in errors)


def test_a_header_of_two_lines_is_named_on_one(tmp_path: Path) -> None:
    deck = read_text(tmp_path, 'Dial\tCode,"Rate per\nMinute (USD)"\n44,x\n'.replace("\t", " "))
    assert deck.errors[0].startswith("3: Rate per Minute (USD): 'x' is no plain decimal")


def test_a_header_of_too_many_cells(tmp_path: Path) -> None:
    errors = read_text(tmp_path, "a," * 300 + "a\n", delimiter=",").errors
    assert [error.partition(";")[0] for error in errors] == [
        "1: no template knows the header", "1: the row has more than 256 cells",
    ]  # fmt: skip


# -- files that cannot be read at all


def test_a_file_that_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, reason in (
        (tmp_path, "is no regular file"), (tmp_path / "pipe", "is no regular file"),
        (tmp_path / "none", "cannot be read: No such file"),
    ):  # fmt: skip
        with pytest.raises(UnreadableDeck, match=reason):
            read(path)


def test_a_file_too_large(tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("wb") as file:
        file.truncate(deck_source.DECK_SIZE_MAX + 1)
    with pytest.raises(UnreadableDeck, match="has more than 268435456 octets; split it"):
        read(tmp_path / "a.csv")


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deck_source, "DECK_SIZE_MAX", 1 << 20)
    with pytest.raises(UnreadableDeck, match="has more than 1048576 octets unpacked"):
        read_text(tmp_path, gzip.compress(b"prefix,rate\n" + b"44,1\n" * (1 << 20)))


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("line", ["", "44,1", 'a"'])
def test_a_file_of_lines_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, line: str
) -> None:
    monkeypatch.setattr(deck_source, "LINES_MAX", 100)
    text = f"prefix,rate{end}44,1{end}" + f"{line}{end}" * 98
    if line == "":
        assert read_text(tmp_path, text.removesuffix(end)).errors == []
    for octets in ((text + end).encode(), gzip.compress((text + end).encode())):
        with pytest.raises(UnreadableDeck, match="has more than 100 lines; split it by prefix"):
            read_text(tmp_path, octets)


def test_a_quote_left_open_over_many_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDeck, match="has more than 10000000 lines; split it by prefix"):
        read_text(tmp_path, b'prefix,rate,destination\n44,1,"' + b"a\n" * 10_000_001)


def test_a_gzip_file_of_members_without_end_is_refused(tmp_path: Path) -> None:
    octets = gzip.compress(b"prefix,rate\n44,1\n") + gzip.compress(b"") * 9_999
    assert len(read_text(tmp_path, octets).records) == 1
    with pytest.raises(UnreadableDeck, match="has more than 10000 gzip members; pack it in one"):
        read_text(tmp_path, octets + gzip.compress(b""))


@given(st.lists(st.binary(max_size=300_000), max_size=3), st.integers(0, 3), st.integers(0, 300_000))
@settings(max_examples=30, deadline=None)
def test_members_are_unpacked_as_the_standard_library_does(pieces: list[bytes], count: int, zeros: int) -> None:
    pieces += [b"x" * 70_000, bytes(range(256)) * 1_200][:count]
    octets = b"".join(gzip.compress(piece) + bytes(zeros) for piece in pieces)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.gz"
        path.write_bytes(octets)
        with deck_source.open_bounded(path, packed=True) as file:
            assert file.read() == b"".join(pieces)


def test_what_stands_behind_a_gzip_member_is_one(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDeck, match=r"is no whole gzip file: .*incorrect header check"):
        read_text(tmp_path, gzip.compress(b"prefix,rate\n44,1\n") + b"more")


@pytest.mark.parametrize("cut", [slice(0, -9), slice(0, 12)])
def test_a_gzip_file_that_ends_too_early(tmp_path: Path, cut: slice) -> None:
    with pytest.raises(UnreadableDeck, match="is no whole gzip file"):
        read_text(tmp_path, gzip.compress(b"prefix,rate\n44,1\n")[cut])


def test_a_gzip_file_with_a_wrong_sum(tmp_path: Path) -> None:
    octets = bytearray(gzip.compress(b"prefix,rate\n44,1\n"))
    octets[-8] ^= 1
    with pytest.raises(UnreadableDeck, match=r"is no whole gzip file: .*incorrect data check"):
        read_text(tmp_path, bytes(octets))


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a workbook of the old kind"),
        (gzip.compress(b"PK\x03\x04 whatever", mtime=0), "is a packed workbook; unpack it first"),
        ("prefix,rate\n".encode("utf-32"), "is UTF-32"),
    ],
)
def test_formats_that_are_not_read(tmp_path: Path, octets: bytes, reason: str) -> None:
    with pytest.raises(UnreadableDeck, match=reason):
        read_text(tmp_path, octets)


_SAMPLES = [path.read_bytes() for path in sorted(DECKS.iterdir())]


@settings(deadline=None)  # each example is a file
@given(st.data())
def test_whatever_the_octets_are_they_are_read_or_refused(data: st.DataObject) -> None:
    octets = bytearray(data.draw(st.sampled_from(_SAMPLES) | st.binary(max_size=100)))
    for _ in range(data.draw(st.integers(0, 6)) if octets else 0):
        place = data.draw(st.integers(0, len(octets)))
        piece = data.draw(
            st.sampled_from([b'"', b";", b",", b"\n", b"\r", b"\t", b"\0", b"\xe9", b"\xff\xfe", b"-", b"E9"])
        )
        octets[place : place + data.draw(st.integers(0, 9))] = piece
    packed = data.draw(st.booleans())
    with tempfile.TemporaryDirectory() as folder:
        try:
            deck = read_text(Path(folder), gzip.compress(octets) if packed else bytes(octets))
        except UnreadableDeck:
            return
    assert deck.errors or deck.template
    assert all(line > 0 and record["prefix"].isdecimal() for line, record in deck.records)


# -- encodings


def test_windows_1252_is_taken_and_noted(tmp_path: Path) -> None:
    deck = read_text(tmp_path, "prefix,destination,rate\n225,Côte d'Ivoire,1\n".encode("cp1252"))
    assert deck.records == [(2, {"prefix": "225", "destination": "Côte d'Ivoire", "rate": "1"})]
    assert deck.notes[0] == "encoding cp1252, since it is not UTF-8; state --encoding if names look wrong"


def test_a_stated_encoding_is_obeyed(tmp_path: Path) -> None:
    octets = "prefix,destination,rate\n7,Москва,1\n".encode("cp1251")
    assert read_text(tmp_path, octets, encoding="cp1251").records[0][1]["destination"] == "Москва"
    assert read_text(tmp_path, octets, encoding="utf-8").errors == [
        "2: the line is not UTF-8; save the deck as UTF-8, or state its --encoding"
    ]


def test_utf_8_that_breaks_in_the_middle_is_not_guessed_at(tmp_path: Path) -> None:
    octets = "prefix,destination,rate\n225,Côte,1\n".encode() + b"226,\xe9,1\n"
    assert read_text(tmp_path, octets).errors == [
        "3: the line is not UTF-8; save the deck as UTF-8, or state its --encoding"
    ]


def test_octets_that_are_no_text_at_all(tmp_path: Path) -> None:
    assert read_text(tmp_path, b"prefix,rate\n44,\x81\n").errors[0].startswith("2: the line is not CP1252")
    assert (
        read_text(tmp_path, "prefix,rate\n44,1\n".encode("utf-16-le"))
        .errors[0]
        .startswith("1: the line holds an octet 0")
    )
    assert (
        read_text(tmp_path, "prefix,rate\n".encode("utf-16") + b"\x00")
        .errors[0]
        .startswith("2: the line is not UTF-16")
    )


def test_a_mark_that_contradicts_what_is_stated(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDeck, match="begins with the mark of utf-16, not of cp1252"):
        read_text(tmp_path, "prefix,rate\n".encode("utf-16"), encoding="cp1252")
    assert read_text(tmp_path, "prefix,rate\n44,1\n".encode("utf-8-sig"), encoding="utf-8").errors == []


# -- what is stated


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        (Stated(encoding="rot13"), "--encoding 'rot13' is not one of utf-8, utf-16"),
        (Stated(delimiter="x"), "--delimiter 'x' is not one of ,, ;, |, comma"),
        (Stated(decimal="dot"), "--decimal 'dot' is not one of point, comma"),
        (Stated(date_format="ymd"), "--date-format 'ymd' is not one of iso, dmy, mdy"),
        (Stated(timezone="Mars"), "--timezone: 'Mars' is not a zone of the tz database"),
    ],
)
def test_words_that_mean_nothing(tmp_path: Path, stated: Stated, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_deck_records(tmp_path / "a.csv", stated=stated)


def test_commas_in_doubt_may_be_stated(tmp_path: Path) -> None:
    deck = read_text(tmp_path, CARRIER + "44;UK;1,234;;;;\n", decimal="comma")
    assert (deck.errors, deck.records[0][1]["rate"]) == ([], "1.234")
    assert (
        read_text(tmp_path, CARRIER + "44;UK;1,234;;;;\n", decimal="point")
        .errors[0]
        .startswith("2: Rate: '1,234' has a comma")
    )


def test_the_day_may_be_stated_to_come_first(tmp_path: Path) -> None:
    text = CARRIER + "44;UK;1;;03/04/2026;;\n"
    assert read_text(tmp_path, text, date_format="dmy").records[0][1]["effective_from"] == "2026-04-03T00:00:00Z"
    assert read_text(tmp_path, text, date_format="mdy").records[0][1]["effective_from"] == "2026-03-04T00:00:00Z"


# -- long files


def test_progress_is_told_and_at_the_end_once_more(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prefix,rate\n" + "".join(f"{prefix},0.5\n" for prefix in range(100_000, 125_000)))
    told: list[int] = []
    source = read_deck_records(path, progress=told.append)
    assert (sum(1 for _ in source.records), source.rows) == (25_000, 25_000)
    assert told == [10_000, 20_000, 25_000]


def test_a_deck_is_read_lazily(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prefix,rate\n44,0.5\nx,0.5\n")
    source = read_deck_records(path)
    records: Iterator[object] = source.records
    next(records)
    assert source.errors == []
    assert list(records) == []
    assert len(source.errors) == 1


def test_a_deck_of_too_many_records_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deck_records, "RECORDS_MAX", 3)
    deck = read_text(tmp_path, CARRIER + "442-445;UK;1;;;;\n45;DK;1;;;;\n")
    assert (len(deck.records), deck.errors) == (
        3, ["2: a deck has at most 3 rows, ranges spread out; split it by prefix"],
    )  # fmt: skip


def test_a_deck_of_too_many_bad_rows_ends_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deck_records, "RECORDS_MAX", 3)
    errors = read_text(tmp_path, CARRIER + "x\n" * 5).errors
    assert errors[3:] == ["5: a deck has at most 3 rows; split it by prefix"]
    assert len(errors) == 4
