"""One small deck of each layout, and the records that it means, written by hand from what its columns mean there."""

import csv
import gzip
from pathlib import Path

import openpyxl
import pytest

from daemon.ingest.deck_template import RECORD_COLUMNS, SPECIAL_TARGETS, Template, folded, read_header
from daemon.ingest.templates import BUILT_IN, NATIVE, template_named
from tests.unit.ingest.reading import DECKS, expected, read, read_text

DATE_FORMATS = {"carrier.csv": "dmy"}
EXPECTED = {
    "a2billing.csv": """
        2: 447 name='UK cellular' fee=0.02 rate=0.0720 first=30 next=6 from=2026-06-01
        3: 33 name=France fee=0 rate=0.0095 first=1 next=1 to=2027-01-01
    """,
    "astpp.csv": """
        2: 44 name='United Kingdom' fee=0 rate=0.0098 first=1 next=1 included=0 currency=USD
        3: 4474 name='United Kingdom mobile' fee=0.0100 rate=0.0412 first=30 next=6 included=5 currency=USD
        5: 252 name=Somalia fee=0 rate=0.61000 first=60 next=60 included=0 currency=USD
    """,
    "carrier.csv": """
        5: 61 name='Australia Proper' rate=0.0180 first=1 next=1 from=2026-05-04 currency=EUR
        6: 6138,6139 name='Australia Brisbane' rate=0.0150 first=1 next=1 from=2026-05-04 currency=EUR
      7: 6140,6141,6142,6143,6144,6145 name="Australia Mobile" rate=0.0450 first=60 next=6 from=2026-05-04 currency=EUR
        8: 61190 name='Australia Premium' rate=0 from=2026-05-04 blocked=true currency=EUR
        9: 6116 name='Australia Pager' from=2026-05-31 action=delete
    """,
    "cgrates.csv": """
        3: 49 name=DST_DE fee=0.02 rate=0.012 first=60 next=60 step=0
        4: 49 name=DST_DE rate=0.006 next=1 step=60
        5: 4915 name=DST_DE_MOBILE fee=0 rate=0.2 first=30 next=30 step=0
    """,
    "jerasoft.tsv": """
        2: 49 name=Germany rate=0.0061 first=1 next=1 from=2026-05-04
        3: 4915,4916,4917 name='Germany mobile' fee=0.001 rate=0.0184 first=6 next=6 from=2026-05-04 to=2027-01-01
        4: 4918 name='Germany special' rate=0.12 first=60 next=60 from=2026-05-04 band=weekend
    """,
    "kazoo.csv": """
        2: 1415 name='San Francisco' fee=0 rate=0.009 first=60 next=60 free=0
        3: 1 name=USA fee=0.01 rate=0.012 first=6 next=6 free=5
    """,
    "mod_lcr.csv": """
        2: 1212 rate=0.00450 from=1970-01-01 to=2030-12-31
        3: 1907 rate=0.02100 from=2026-01-01 to=2030-12-31
        4: 1900 from=2026-01-01 action=delete
    """,
    "portaone.csv": """
        2: 420 name='Czech Republic Proper' rate=0.0300 first=60 next=1 from=2026-07-01 step=0
        2: 420 name='Czech Republic Proper' rate=0.0150 next=1 from=2026-07-01 step=60
        2: 420 name='Czech Republic Proper' rate=0.0100 first=60 next=60 from=2026-07-01 band=off_peak
        3: 420601 name='Czech Republic Mobile' rate=0.0800 first=30 next=6
        4: 420900 name='Czech Republic Premium' rate=0 first=1 next=1 from=2026-07-01 blocked=true
        5: 420840 name='Czech Republic Shared cost' from=2026-08-01 action=delete
    """,
    "pyfreebilling.csv": """
        2: 33 name=France fee=0.00000 rate=0.01500 first=1 next=1
        3: 336 name='France mobile' fee=0.01000 rate=0.04500 first=30 next=6
        4: 881 name=Satellite fee=0.00000 rate=0 first=1 next=1 blocked=true
    """,
    "pyfreebilling_cost.csv": """
        2: 34 name=Spain fee=0 rate=0.00410 first=1 next=1
        3: 346 name='Spain mobile' fee=0.00200 rate=0.01900 first=60 next=60
    """,
    "sippy.csv": """
        2: 5511 name='Brazil Sao Paulo' rate=0.0098 first=30 next=6 free=0 from=2026-09-01
        3: 55119 name='Brazil Mobile' rate=0.0700 first=60 next=6 free=3 from=2026-09-01 to=2027-09-01 step=0
        3: 55119 name='Brazil Mobile' rate=0.0500 next=6 from=2026-09-01 to=2027-09-01 step=60
        4: 5521 name='Brazil Rio' from=2026-09-01 action=delete
    """,
    "tcxc.csv": """
        2: 23324 name='Ghana Mobile' rate=0.2100 first=1 next=1
        3: 23330 rate=0.1800 first=60 next=1 from=2026-10-01
        4: 23340 from=2026-10-01 action=delete
    """,
    "tollway.csv": """
        2: 44 name='United Kingdom' rate=0.0120 first=1 next=1
        3: 447 name='UK mobile' fee=0.01 rate=0.0600 first=30 next=6 from=2026-01-01
        4: 1900 name=Premium rate=0 blocked=true
        5: 4470 name='UK personal' from=2026-06-01 action=delete
    """,
    "yeti.csv": """
        2: 380 fee=0 rate=0.0900 first=60 next=1 from=2026-02-28T22:00:00Z
        3: 38044 fee=0.0050 rate=0.1200 first=60 next=30 from=2026-02-28T22:00:00Z step=0
        3: 38044 rate=0.0600 next=30 from=2026-02-28T22:00:00Z step=60
        4: 380900 fee=0 rate=0 first=1 next=1 blocked=true
        5: 380911 from=2026-04-01 action=delete
    """,
}
DELIMITERS = {"a2billing.csv": ";", "carrier.csv": ";", "jerasoft.tsv": "\t", "mod_lcr.csv": "|"}


def header_of(name: str) -> tuple[str, ...]:
    """Return the header of a sample deck, which is its widest row."""
    with (DECKS / name).open(newline="") as file:
        return tuple(
            max(csv.reader(file, delimiter=DELIMITERS.get(name, ",")), key=lambda row: len(list(filter(None, row))))
        )


@pytest.mark.parametrize("name", EXPECTED)
def test_a_deck_of_each_layout(name: str) -> None:
    deck = read(DECKS / name, date_format=DATE_FORMATS.get(name, ""))
    assert deck.errors == []
    assert deck.records == expected(EXPECTED[name])
    assert deck.template == name.partition(".")[0].removesuffix("_cost")


def test_there_is_a_deck_of_each_layout_that_is_taken() -> None:
    taken = {template.name for template in BUILT_IN if not template.refusal}
    assert {path.name.partition(".")[0].removesuffix("_cost") for path in DECKS.iterdir()} == taken
    assert {path.name for path in DECKS.iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_no_other_template_claims_its_header(name: str) -> None:
    claims = [template.name for template in BUILT_IN if not read_header(template, header_of(name)).faults]
    assert claims == [name.partition(".")[0].removesuffix("_cost")]


@pytest.mark.parametrize("name", EXPECTED)
def test_gzipped_or_written_in_utf_16_it_is_the_same(tmp_path: Path, name: str) -> None:
    octets = (DECKS / name).read_bytes()
    order = DATE_FORMATS.get(name, "")
    assert read_text(tmp_path, gzip.compress(octets), date_format=order).records == expected(EXPECTED[name])
    wide = read_text(tmp_path, octets.decode().encode("utf-16"), date_format=order)
    assert (wide.records, wide.notes[0]) == (expected(EXPECTED[name]), "encoding utf-16")
    marked = read_text(
        tmp_path, octets.decode().replace("\r", "").replace("\n", "\r\n").encode("utf-8-sig"), date_format=order
    )
    assert marked.records == expected(EXPECTED[name])


@pytest.mark.parametrize("name", EXPECTED)
def test_in_a_workbook_it_is_the_same(tmp_path: Path, name: str) -> None:
    book = openpyxl.Workbook()
    with (DECKS / name).open(newline="") as file:
        for row in csv.reader(file, delimiter=DELIMITERS.get(name, ",")):
            book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    deck = read(tmp_path / "a.xlsx", date_format=DATE_FORMATS.get(name, ""))
    assert (deck.errors, deck.records) == ([], expected(EXPECTED[name]))


def test_what_is_not_taken_is_noted() -> None:
    notes = read(DECKS / "astpp.csv").notes
    assert "column 'Strip' is not taken: a matter of routing, not of prices" in notes
    assert "currency USD, from the header" in notes
    assert "decimals with a point" in notes
    above = read(DECKS / "carrier.csv", date_format="dmy", timezone="Australia/Perth").notes
    assert any(note.endswith("header on line 4; what stands above it is not read") for note in above)
    assert "dates without an offset are of Australia/Perth" in above
    assert "comments, rows that begin with #: 1" in read(DECKS / "cgrates.csv").notes


@pytest.mark.parametrize("template", BUILT_IN, ids=lambda template: template.name)
def test_a_template_is_sound(template: Template) -> None:
    names = [name for synonyms in template.columns.values() for name in synonyms]
    names += [*template.ignored, *template.only]
    assert len({folded(name) for name in names}) == len(names)
    assert set(template.columns) <= {*RECORD_COLUMNS, *SPECIAL_TARGETS}
    assert set(template.required) <= set(template.columns)
    assert all(word == word.casefold() for word in (*template.at_once, *template.forever))
    assert template_named(template.name) is template


def test_a_native_header_is_native_though_others_know_its_names(tmp_path: Path) -> None:
    carrier = read_text(tmp_path, "destination,rate,prefix,currency\nUK,1,44,EUR\n")
    assert (carrier.template, carrier.errors) == (NATIVE.name, [])


def test_rates_of_cgrates_alone_say_what_is_lacking(tmp_path: Path) -> None:
    text = "#Tag,ConnectFee,Rate,RateUnit,RateIncrement,GroupIntervalStart\nRT_1,0,1,60s,60s,0s\n"
    (error,) = read_text(tmp_path, text).errors
    assert error.startswith("1: Rates.csv of CGRateS has no prefixes; join it with")


def test_a_template_that_is_stated_is_the_only_one_tried(tmp_path: Path) -> None:
    errors = read_text(tmp_path, "prefix,rate\n44,1\n", template_named("yeti")).errors
    assert errors == [
        "1: rate: column 2 of the header is unknown to template yeti",
        "1: rate: the header lacks a column for it: next_rate",
        "1: first_rate: the header lacks a column for it: initial_rate",
        "1: connect_fee: the header lacks a column for it: connect_fee",
    ]
