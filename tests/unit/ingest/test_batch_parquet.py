"""Parquet: typed columns are read exactly or refused, and what is written is what CSV has."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest

from daemon.ingest.batch_columns import FileRefused
from daemon.ingest.batch_run import BatchOrder, price_file
from tests.unit.ingest.batch_world import HEADER, RULES, WRITTEN, read

AT = datetime(2026, 11, 23, 9, 0, 0, 123_456, tzinfo=UTC)
PLAIN: dict[str, Any] = {
    "id": ["1", "2", None],
    "to": ["447", "+44207", "x"],
    "start": ["2026-11-23T09:00:00Z"] * 3,
    "duration_seconds": ["60", "75.5", "1"],
}


def priced(folder: Path, frame: pl.DataFrame, target: str = "out.parquet", chunk_rows: int = 2) -> Path:
    frame.write_parquet(folder / "in.parquet")
    price_file(BatchOrder(folder / "in.parquet", folder / target, RULES, chunk_rows=chunk_rows))
    return folder / target


def test_rows_keep_their_columns_and_types_and_get_their_prices(tmp_path: Path) -> None:
    frame = pl.DataFrame({**PLAIN, "more": [[1], None, []], "amount": [Decimal("1.50"), None, Decimal(2)]})
    found = pl.read_parquet(priced(tmp_path, frame))
    assert found.columns == [*frame.columns, *WRITTEN]
    assert found.select(frame.columns).equals(frame)
    assert found.schema["billed_seconds"] == pl.Int64
    assert found.select(WRITTEN).rows() == [
        ("44", "United Kingdom", 60, "0.01", "USD", "0.01", "rated", ""),
        ("4420", 'London, "city"', 78, "0.026", "USD", "0.02", "rated", ""),
        ("", "", None, None, None, None, "invalid", "destination_malformed"),
    ]


@pytest.mark.parametrize(
    ("column", "values", "charges"),
    [
        ("to", pl.Series([447, 44207, 2], dtype=pl.UInt64), ["0.01", "0.026", None]),
        ("to", pl.Series(["447", "44207", "447"], dtype=pl.Categorical), ["0.01", "0.026", "0.0002"]),
        ("start", pl.Series([AT] * 3, dtype=pl.Datetime("ns", "Europe/Paris")), ["0.01", "0.026", None]),
        ("start", pl.Series([AT] * 3, dtype=pl.Datetime("ms", "UTC")), ["0.01", "0.026", None]),
        ("start", pl.Series([None] * 3, dtype=pl.Datetime("us", "UTC")), [None, None, None]),
        ("duration_seconds", pl.Series([60, 76, 1], dtype=pl.Int16), ["0.01", "0.026", None]),
        ("duration_seconds", pl.Series([60, -76, 1], dtype=pl.Int64), ["0.01", None, None]),
        ("duration_seconds", pl.Series(["60.000", "75.500", "1.000"]).cast(pl.Decimal(20, 3)), ["0.01", "0.026", None]),
    ],
)
def test_typed_columns_are_read_as_what_they_are(
    tmp_path: Path, column: str, values: pl.Series, charges: list[str | None]
) -> None:
    found = pl.read_parquet(priced(tmp_path, pl.DataFrame({**PLAIN, column: values})))
    assert found["charge"].to_list() == charges


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("duration_seconds", pl.Series([60.0, 75.5, 1.0]), "column duration_seconds holds floats, which are not exact"),
        ("to", pl.Series([447.0, 1.0, 1.0]), "column to holds floats"),
        ("start", pl.Series([AT.replace(tzinfo=None)] * 3), "column start holds times without a zone"),
        ("start", pl.Series([1, 2, 3]), "column start holds Int64; write it as text"),
        ("duration_seconds", pl.Series([True, False, True]), "column duration_seconds holds Boolean"),
        ("to", pl.Series([[1], [2], [3]]), "column to holds List"),
    ],
)
def test_what_cannot_be_read_exactly_is_refused(tmp_path: Path, column: str, values: pl.Series, reason: str) -> None:
    with pytest.raises(FileRefused) as refusal:
        priced(tmp_path, pl.DataFrame({**PLAIN, column: values}))
    assert str(refusal.value).startswith(str(tmp_path / "in.parquet"))
    assert reason in str(refusal.value)


def test_hostile_texts_are_told_by_their_column(tmp_path: Path) -> None:
    frame = pl.DataFrame({**PLAIN, "to": ["44\0", "4" * 5_000, "447"], "note": ["a\nb", 'c"d', "\0"]})
    found = pl.read_parquet(priced(tmp_path, frame))
    assert found["reason"].to_list() == [
        "to: the cell has a NUL octet", "to: the cell has more than 4096 octets", "",
    ]  # fmt: skip
    assert found["note"].to_list() == frame["note"].to_list()


def test_no_parquet_and_half_a_parquet_are_refused_by_name(tmp_path: Path) -> None:
    source = tmp_path / "in.parquet"
    for octets in (b"", b"PAR1 and then nothing", HEADER.encode()):
        source.write_bytes(octets)
        with pytest.raises(FileRefused, match=r"in\.parquet is no Parquet file"):
            price_file(BatchOrder(source, tmp_path / "out.parquet", RULES))
    with pytest.raises(FileRefused, match="lacks the column to"):
        priced(tmp_path, pl.DataFrame(PLAIN).drop("to"))


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    frame = pl.DataFrame({**PLAIN, "start": [AT] * 3, "note": ['a"b', "c,d", ""]})
    rows = read(priced(tmp_path, frame, "out.csv").read_text())
    assert rows[1] == {
        "id": "2", "to": "+44207", "start": "2026-11-23T09:00:00.123456+00:00", "duration_seconds": "75.5",
        "note": "c,d", "prefix": "4420", "destination": 'London, "city"', "billed_seconds": "78", "charge": "0.026",
        "currency": "USD", "rate": "0.02", "status": "rated", "reason": "",
    }  # fmt: skip
    assert '""\n' not in (tmp_path / "out.csv").read_text()
    again = tmp_path / "again.csv"
    again.write_text("\n".join(_without_prices(rows)))
    price_file(BatchOrder(again, tmp_path / "again.parquet", RULES))
    found = pl.read_parquet(tmp_path / "again.parquet")
    assert found.schema["id"] == pl.String
    assert [str(row) for row in found.select(WRITTEN).rows()] == [
        str(row) for row in pl.read_parquet(priced(tmp_path, frame)).select(WRITTEN).rows()
    ]


def _without_prices(rows: list[dict[str, str]]) -> list[str]:
    names = ("id", "to", "start", "duration_seconds")
    return [",".join(names), *(",".join(row[name] for name in names) for row in rows)]


def test_nested_columns_cannot_become_csv(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match="cannot be written as CSV"):
        priced(tmp_path, pl.DataFrame({**PLAIN, "more": [[1], [2], []]}), "out.csv")


@pytest.mark.parametrize("target", ["out.csv", "out.parquet"])
def test_a_file_without_rows_has_none(tmp_path: Path, target: str) -> None:
    path = priced(tmp_path, pl.DataFrame(PLAIN).clear(), target)
    found = pl.read_parquet(path) if target == "out.parquet" else pl.read_csv(path)
    assert found.height == 0
    assert found.columns == [*PLAIN, *WRITTEN]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
@pytest.mark.parametrize("target", ["out.parquet", "out.csv"])
def test_a_time_far_outside_the_calendar_is_a_fault_of_its_row(
    tmp_path: Path, unit: Literal["ms", "us", "ns"], zone: str, target: str
) -> None:
    per = {"ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    counts = [1 << 62, -(1 << 62), (1 << 63) - 1, -(1 << 63) + 1, 1_795_424_400 * per, None, 0]
    starts = pl.Series(counts, dtype=pl.Int64).cast(pl.Datetime(unit, zone))
    frame = pl.DataFrame({"id": ["x"] * 7, "to": ["447"] * 7, "start": starts, "duration_seconds": ["60"] * 7})
    path = priced(tmp_path, frame, target, chunk_rows=3)
    found = pl.read_parquet(path) if target.endswith("parquet") else pl.read_csv(path, infer_schema=False)
    end = 253_402_300_800 * per
    expected = ["rated" if count is not None and 0 <= count < end else "invalid" for count in counts]
    assert [word if word != "unrated" else "rated" for word in found["status"].to_list()] == expected
    assert expected[:4] == (["rated", "invalid"] * 2 if unit == "ns" else ["invalid"] * 4)
    for word, reason in zip(expected, found["reason"].to_list(), strict=True):
        assert word == "rated" or reason.startswith("start: ")
    if target.endswith("csv") and unit == "ms":
        assert found["start"].to_list()[:2] == [str(1 << 62), str(-(1 << 62))]


@pytest.mark.parametrize(
    "values", [pl.Series([1 << 62]).cast(pl.Datetime("ms")), pl.Series([(1 << 31) - 1], dtype=pl.Int32).cast(pl.Date)]
)
def test_another_column_far_outside_the_calendar_cannot_be_written_as_text(tmp_path: Path, values: pl.Series) -> None:
    frame = pl.DataFrame({**{name: cells[:1] for name, cells in PLAIN.items()}, "day": values})
    assert pl.read_parquet(priced(tmp_path, frame))["status"].to_list() == ["rated"]
    with pytest.raises(FileRefused, match="column day holds a time that no text can say; write Parquet"):
        priced(tmp_path, frame, "out.csv")
