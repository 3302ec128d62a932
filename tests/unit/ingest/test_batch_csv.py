"""CSV as it comes: whatever ends a line, quotes, marks, compression; extra columns stay as they are."""

import gzip
from pathlib import Path

import pytest

from daemon.ingest.batch_columns import COLUMNS_MAX, FileRefused
from daemon.ingest.batch_csv import CsvReader
from daemon.ingest.batch_rules import BatchRules
from daemon.ingest.batch_run import BatchOrder, price_file
from daemon.kernel.money import NANO
from daemon.rating.rate_plan import RatePlan
from tests.unit.ingest.batch_world import HEADER, RULES, read, row, run, table_of

LINES = [
    "duration_seconds,note,to,id,start",
    '75,"a ""note"", quoted",+44207,1,2026-11-23T09:00:00Z',
    '"60",\u00e9t\u00e9,447,2,2026-11-23T09:00:00+01:00',
    "10.5,,33,3,2026-11-23 09:00:00.123456z",
    '0,"",1900,4,2026-11-23T09:00:00Z',
    "5,x,49,5,2026-11-22T09:00:00Z",
]
EXPECTED = [
    '75,"a ""note"", quoted",+44207,1,2026-11-23T09:00:00Z,4420,"London, ""city""",78,0.026,USD,0.02,rated,',
    '"60",\u00e9t\u00e9,447,2,2026-11-23T09:00:00+01:00,44,United Kingdom,60,0.01,USD,0.01,rated,',
    "10.5,,33,3,2026-11-23 09:00:00.123456z,33,to 33,11,0.0555,USD,0.03,rated,",
    '0,"",1900,4,2026-11-23T09:00:00Z,1900,Premium,,,,,blocked,destination_blocked',
    "5,x,49,5,2026-11-22T09:00:00Z,49,to 49,,,,,unrated,destination_unrated",
]
WHOLE = (
    LINES[0] + ",prefix,destination,billed_seconds,charge,currency,rate,status,reason\n" + "\n".join(EXPECTED) + "\n"
)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("last", [True, False], ids=["ended", "not ended"])
def test_the_same_rows_come_out_whatever_ends_a_line(tmp_path: Path, end: str, mark: str, last: bool) -> None:
    text = mark + end.join(LINES) + (end if last else "")
    summary, written = run(tmp_path, text.encode())
    assert written == WHOLE
    assert summary.statuses == {"rated": 3, "blocked": 1, "unrated": 1, "invalid": 0}
    assert summary.totals == {"USD": 26_000_000 + 10_000_000 + 55_500_000}
    assert not summary.is_all_rated


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_line_may_end_anywhere_in_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, end: str
) -> None:
    monkeypatch.setattr("daemon.ingest.batch_csv.BLOCK_SIZE", block)
    assert run(tmp_path, end.join(LINES).encode())[1] == WHOLE


def test_empty_lines_are_no_rows(tmp_path: Path) -> None:
    assert run(tmp_path, ("\n\n" + "\n\r\n\n".join(LINES) + "\n\n\n").encode())[1] == WHOLE


def test_compressed_files_are_read_and_written(tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv.gz", tmp_path / "out.csv.gz"
    source.write_bytes(gzip.compress("\n".join(LINES).encode()))
    price_file(BatchOrder(source, target, RULES, chunk_rows=2))
    assert gzip.decompress(target.read_bytes()).decode() == WHOLE


def test_a_file_that_ends_too_early_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in.csv.gz"
    source.write_bytes(gzip.compress(("\n".join(LINES) * 50).encode())[:-20])
    with pytest.raises(FileRefused, match=r"in\.csv\.gz is not whole"):
        price_file(BatchOrder(source, tmp_path / "out.csv", RULES))
    source.write_bytes(b"no gzip at all")
    with pytest.raises(FileRefused, match=r"in\.csv\.gz is not whole"):
        price_file(BatchOrder(source, tmp_path / "out.csv", RULES))


def test_a_file_of_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    summary, text = run(tmp_path, HEADER.encode())
    assert summary.rows == 0
    assert summary.is_all_rated
    assert read(text) == []
    assert text.startswith(HEADER + ",prefix,")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "is empty; its first line names the columns"),
        ("\n\n", "is empty; its first line names the columns"),
        ("id,to,start", "lacks the column duration_seconds"),
        ("number,seconds", "lacks the column id, to, start, duration_seconds"),
        (
            "id,to,start,duration_seconds,charge,reason",
            "has the column charge, reason, which the prices are written to",
        ),
        ("id,to,start,duration_seconds,to", "has the column 'to' twice"),
        ('id,to,start,"duration_seconds', "does not name the columns"),
        ("id,to,start,duration_seconds" + ",x" * COLUMNS_MAX, f"has more than {COLUMNS_MAX} columns"),
        ("id;to;start;duration_seconds", "lacks the column"),
        ("\u0000\u00ff", "lacks the column"),
    ],
)
def test_a_file_without_its_columns_is_refused_by_name(tmp_path: Path, header: str, reason: str) -> None:
    with pytest.raises(FileRefused) as refusal:
        run(tmp_path, header.encode())
    assert str(refusal.value).startswith(f"{tmp_path / 'in.csv'}")
    assert reason in str(refusal.value)
    assert not (tmp_path / "out.csv").exists()


def test_a_header_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match="does not name the columns"):
        run(tmp_path, b"\xff\xfei\0d\0")


def test_an_output_that_is_the_input_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("\n".join(LINES))
    with pytest.raises(FileRefused, match="is input and output"):
        price_file(BatchOrder(source, tmp_path / "." / "in.csv", RULES))
    assert source.read_text() == "\n".join(LINES)


def test_chunks_of_long_lines_hold_fewer_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.ingest.batch_csv.CHUNK_OCTETS", 1_000)
    monkeypatch.setattr("daemon.ingest.batch_csv.BLOCK_SIZE", 500)
    source = tmp_path / "in.csv"
    source.write_text(LINES[0] + "\n" + (LINES[2] + "\n") * 500, encoding="utf-8")
    reader = CsvReader(source)
    chunks = [chunk.rows for chunk in reader.chunks()]
    reader.close()
    assert sum(chunks) == 500
    assert max(chunks) < 50


def test_voice_messages_and_pictures_of_one_customer_have_each_their_own_rate(tmp_path: Path) -> None:
    at = "2026-11-23T09:00:00Z"
    lines = [
        HEADER, f"1,447,{at},60,,VOICE,plain", f"2,447,{at},1,per_message,SMS,plain",
        f"3,447,{at},2,per_message,MMS,plain",
        f"4,,{at},1,per_message,SMS,plain", f"5,,{at},1,,VOICE,plain", f"6,447,{at},1,per_message,FAX,plain",
    ]  # fmt: skip
    rows = read(run(tmp_path, "\n".join(lines).encode())[1])
    assert [(each["status"], each["charge"]) for each in rows] == [
        ("rated", "0.01"), ("rated", "0.04"), ("rated", "0.18"), ("rated", "0.05"), ("invalid", ""), ("unrated", ""),
    ]  # fmt: skip
    assert rows[4]["reason"] == "destination_malformed"


def test_an_amount_that_no_store_could_hold_is_told_by_its_row(tmp_path: Path) -> None:
    plan = RatePlan("dear", (table_of("dear", row("44", 1_000_000_000 * NANO), row("45", NANO)),))
    at = "2026-11-23T09:00:00Z"
    lines = [
        "id,to,start,duration_seconds",
        f"1,44,{at},999999",
        f"2,45,{at},60",
        f"3,44,{at},60",
        f"4,45,{at},1000000",
    ]
    rows = read(run(tmp_path, "\n".join(lines).encode(), BatchRules(plan, {}))[1])
    assert [each["status"] for each in rows] == ["invalid", "rated", "rated", "rated"]
    assert rows[0]["reason"].startswith("duration_seconds: the charge is above the limit")
    assert rows[2]["charge"] == "1000000000.00"
    assert rows[3]["charge"] == "16666.6667"
