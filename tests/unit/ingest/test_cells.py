"""Prices, seconds and dates: exact, or an error; never rounded, never guessed."""

from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.ingest.cells import Amounts, per_minute, seconds, yes_or_no
from daemon.ingest.dates import DAY_FIRST, ISO, MONTH_FIRST, Dates
from daemon.kernel.money import format_nano, parse_nano


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("0.0125", "0.0125"), ("0,0125", "0.0125"), (".5", "0.5"), (",5", "0.5"), ("7", "7"), ("-1", "-1"),
        ("0.01234567800", "0.012345678"), ("1.50", "1.50"), ("-0,5", "-0.5"),
    ],
)  # fmt: skip
def test_a_price(text: str, read: str) -> None:
    assert Amounts().read(text) == read


@given(st.integers(0, 10**15), st.sampled_from(".,"))
def test_a_price_is_what_it_was(nano: int, mark: str) -> None:
    assert parse_nano(Amounts().read(format_nano(nano).replace(".", mark))) == nano


@given(st.integers(0, 10**15), st.integers(1, 86_400))
def test_a_price_per_minute_is_exact_or_refused(nano: int, span: int) -> None:
    try:
        minute = per_minute(format_nano(nano), span)
    except ValueError:
        assert nano * 60 % span
    else:
        assert Decimal(minute) * span == Decimal(nano).scaleb(-9) * 60


def test_one_cell_with_other_than_three_decimals_ends_the_doubt() -> None:
    amounts = Amounts()
    amounts.read("1,234")
    assert amounts.doubt().startswith("'1,234' and every other price with a comma may")
    amounts.read("0,123")
    assert amounts.doubt() == ""
    amounts.read("2,345")
    assert amounts.doubt() == ""


@pytest.mark.parametrize(
    "text", ["", "1.2.3", "1,2,3", "1e3", "٣", "0x1", "1_000", "+1", " 1", "--1", "1.", "1,", "inf"]
)
def test_no_price(text: str) -> None:
    with pytest.raises(ValueError, match=r"plain decimal|power of ten"):
        Amounts().read(text)


@pytest.mark.parametrize("text", ["1,234.50", "1.234,50", "1 234", "1'234.5", "1,234,567"])
def test_thousands(text: str) -> None:
    with pytest.raises(ValueError, match="thousands separator"):
        Amounts().read(text)


@pytest.mark.parametrize(
    ("text", "read"), [("30", "30"), ("30s", "30"), ("30 sec", "30"), ("30.0", "30"), ("007", "7")]
)
def test_seconds(text: str, read: str) -> None:
    assert seconds(text) == read


@pytest.mark.parametrize(("text", "read"), [("Yes", True), ("t", True), ("1", True), ("OFF", False), ("N", False)])
def test_yes_or_no(text: str, read: bool) -> None:
    assert yes_or_no(text) is read
    with pytest.raises(ValueError, match="is not one of true"):
        yes_or_no("maybe")


UTC, PARIS = ZoneInfo("UTC"), ZoneInfo("Europe/Paris")
DATES = [
    ("2026-01-31", ISO, "2026-01-31T00:00:00Z"),
    ("2026/01/31", ISO, "2026-01-31T00:00:00Z"),
    ("20260131", ISO, "2026-01-31T00:00:00Z"),
    ("20260131 13:05", ISO, "2026-01-31T13:05:00Z"),
    ("2026-01-31 13:05:09", ISO, "2026-01-31T13:05:09Z"),
    ("2026-01-31T13:05:09", ISO, "2026-01-31T13:05:09Z"),
    ("2026-01-31T13:05:09Z", ISO, "2026-01-31T13:05:09Z"),
    ("2026-01-31T13:05:09.25+02:00", ISO, "2026-01-31T11:05:09.250000Z"),
    ("31-Jan-2026", ISO, "2026-01-31T00:00:00Z"),
    ("1 January 2026 08:00", ISO, "2026-01-01T08:00:00Z"),
    ("31/01/2026", DAY_FIRST, "2026-01-31T00:00:00Z"),
    ("31.1.2026", DAY_FIRST, "2026-01-31T00:00:00Z"),
    ("31-01-2026 00:30", DAY_FIRST, "2026-01-31T00:30:00Z"),
    ("01/31/2026", MONTH_FIRST, "2026-01-31T00:00:00Z"),
    ("2026-01-31", MONTH_FIRST, "2026-01-31T00:00:00Z"),
]


@pytest.mark.parametrize(("text", "order", "read"), DATES)
def test_a_date(text: str, order: str, read: str) -> None:
    assert Dates(UTC, order).begin(text) == read


@pytest.mark.parametrize(
    ("text", "order", "reason"),
    [
        ("31/01/2026", ISO, "say which: --date-format dmy or mdy"),
        ("31/01/2026", MONTH_FIRST, "month must be in 1..12"),
        ("31/01-2026", DAY_FIRST, "is no date such as"),
        ("2026-01-31T25:00:00", ISO, "hour must be in 0..23"),
        ("2026-01-31T13:05:09+2", ISO, "is no date such as"),
        ("1 Foo 2026", ISO, "is no date"),
        ("2026-13-01T00:00:00Z", ISO, "month must be in"),
        ("0001-01-01", ISO, "lies outside 1970 to 9998"),
        ("46023", ISO, "looks like a spreadsheet's number"),
        ("tomorrow", ISO, "is no date such as"),
    ],
)
def test_no_date(text: str, order: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Dates(UTC, order).begin(text)


def test_a_date_is_of_the_zone_stated() -> None:
    paris = Dates(PARIS, ISO)
    assert [paris.begin(day) for day in ("2026-01-01", "2026-07-01")] == [
        "2025-12-31T23:00:00Z",
        "2026-06-30T22:00:00Z",
    ]
    assert paris.begin("2026-07-01T00:00:00Z") == "2026-07-01T00:00:00Z"


@pytest.mark.parametrize("text", ["2026-03-29 02:30", "2026-10-25 02:30"])
def test_an_hour_that_is_skipped_or_repeated_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is skipped or repeated by the clock of Europe/Paris"):
        Dates(PARIS, ISO).begin(text)


def test_the_last_day_may_be_included() -> None:
    dates = Dates(PARIS, ISO, end_includes_day=True)
    assert dates.end("2026-03-29") == "2026-03-29T22:00:00Z"  # a day of 23 hours
    assert dates.end("2026-03-29 12:00") == "2026-03-29T10:00:00Z"
    assert dates.begin("2026-03-29") == "2026-03-28T23:00:00Z"
    assert Dates(PARIS, ISO).end("2026-03-29") == "2026-03-28T23:00:00Z"
