"""Bad rows of every kind: each stays in its place and says what is wrong with it, and no other row is touched."""

from pathlib import Path

import pytest

from daemon.ingest.batch_columns import CELL_LENGTH_MAX, LINE_LENGTH_MAX
from tests.unit.ingest.batch_world import HEADER, read, run

GOOD = b"good,447,2026-11-23T09:00:00Z,60,,,"
AT = b"2026-11-23T09:00:00Z"
MALFORMED = "destination_malformed"
BAD: list[tuple[bytes, str]] = [
    (b"a,," + AT + b",1,,,", MALFORMED),
    (b"a,44x," + AT + b",1,,,", MALFORMED),
    (b"a,4 4," + AT + b",1,,,", MALFORMED),
    (b"a, 44," + AT + b",1,,,", MALFORMED),
    (b"a,++44," + AT + b",1,,,", MALFORMED),
    (b"a,+," + AT + b",1,,,", MALFORMED),
    (b"a,4.42E+11," + AT + b",1,,,", MALFORMED),
    (b"a," + b"4" * 19 + b"," + AT + b",1,,,", MALFORMED),
    (b"a,+" + b"4" * 19 + b"," + AT + b",1,,,", MALFORMED),
    (b"a," + b"4" * 3_000 + b"," + AT + b",1,,,", MALFORMED),
    ("a,\u0664\u0664," .encode() + AT + b",1,,,", MALFORMED),
    ("a,\uff14\uff14,".encode() + AT + b",1,,,", MALFORMED),
    (b"a,44,,1,,,", "start: is empty; every row needs it"),
    (b"a,44,2026-11-23T25:00:00Z,1,,,", "start: '2026-11-23T25:00:00Z': hour must be in 0..23"),
    (b"a,44,2026-11-23T23:59:60Z,1,,,", "start: '2026-11-23T23:59:60Z': second must be in 0..59"),
    (b"a,44,2026-02-29T00:00:00Z,1,,,", "start: '2026-02-29T00:00:00Z': day "),
    (b"a,44,2026-11-23T09:00:00,1,,,", "start: '2026-11-23T09:00:00' is not an RFC 3339 time with an offset"),
    (b"a,44,2026-11-23,1,,,", "start: '2026-11-23' is not an RFC 3339 time with an offset"),
    (b"a,44,1763888400,1,,,", "start: '1763888400' is not an RFC 3339 time with an offset"),
    (b"a,44,1969-12-31T23:59:59Z,1,,,", "start: '1969-12-31T23:59:59Z' lies outside 1970 to 9999"),
    (b"a,44,2026-11-23T09:00:00+25:00,1,,,", "start: '2026-11-23T09:00:00+25:00'"),
    (b"a,44," + b"2" * 1_000 + b",1,,,", "start: a text of 1000 octets is not an RFC 3339 time"),
    ("a,44,\u0662026-11-23T09:00:00Z,1,,,".encode(), "start: "),
    (b"a,44," + AT + b",,,,", "duration_seconds: is empty; every row needs it"),
    (b"a,44," + AT + b",-1,,,", "duration_seconds: '-1' is not a plain decimal"),
    (b"a,44," + AT + b",+1,,,", "duration_seconds: '+1' is not a plain decimal"),
    (b"a,44," + AT + b",1e3,,,", "duration_seconds: '1e3' is not a plain decimal"),
    (b"a,44," + AT + b",1.,,,", "duration_seconds: '1.' is not a plain decimal"),
    (b"a,44," + AT + b",nan,,,", "duration_seconds: 'nan' is not a plain decimal"),
    (b"a,44," + AT + b",0x10,,,", "duration_seconds: '0x10' is not a plain decimal"),
    (b'a,44,' + AT + b',"1,5",,,', "duration_seconds: '1,5' is not a plain decimal"),
    (b"a,44," + AT + ",\u0661\u0662,,,".encode(), "duration_seconds: '\u0661\u0662' is not a plain decimal"),
    (b"a,44," + AT + b",1000001,,,", "duration_seconds: is above the limit of 1000000"),
    (b"a,44," + AT + b",1000000.1,,,", "duration_seconds: is above the limit of 1000000"),
    (b"a,44," + AT + b"," + b"9" * 4_000 + b",,,", "duration_seconds: a text of 4000 octets is not a plain decimal"),
    (b"a,44," + AT + b",1,fax,,", "rate_type: 'fax' is declared by no table of the plan"),
    (b"a,44," + AT + b",1," + b"x" * 65 + b",,", "rate_type: the cell has more than 64 octets"),
    (b"a,44," + AT + b",1,," + b"x" * 65 + b",", "override: the cell has more than 64 octets"),
    (b"a,44," + AT + b",1,,,nobody", "account: there is no account 'nobody'"),
    (b"a,44\0," + AT + b",1,,,", "row: the line has a NUL octet"),
    (b"a,44," + AT + b",1,,,\0", "row: the line has a NUL octet"),
    (b"a\xff,44," + AT + b",1,,,", "row: the line is not UTF-8"),
    (b'"a,44,' + AT + b",1,,,", "row: the quotes are not balanced on the line"),
    (b'a,44,' + AT + b',1,,,"', "row: the quotes are not balanced on the line"),
    (b'"a"b,44,' + AT + b",1,,,", "row: the quotes are not balanced on the line"),
    (b"a,44", "row: the line has 2 cells where the header has 7"),
    (b"a", "row: the line has 1 cells where the header has 7"),
    (b"a,44," + AT + b",1,,,,,,", "row: the line has 10 cells where the header has 7"),
    (b"," * 500, "row: the line has 501 cells where the header has 7"),
    (b"a,44," + AT + b",1,,," + b"x" * (CELL_LENGTH_MAX + 1), f"account: the cell has more than {CELL_LENGTH_MAX}"),
    (b"a,44," + AT + b",1,,," + b"x" * (3 * LINE_LENGTH_MAX), f"row: the line has more than {LINE_LENGTH_MAX} octets"),
    (b"a,44," + AT + b",1,,," + b"x" * (3 << 20), f"row: the line has more than {LINE_LENGTH_MAX} octets"),
]  # fmt: skip


@pytest.mark.parametrize("chunk_rows", [1, 7, 1_000])
def test_each_bad_row_stays_in_its_place_and_says_why(tmp_path: Path, chunk_rows: int) -> None:
    lines = [HEADER.encode()]
    for line, _ in BAD:
        lines += [line, GOOD]
    summary, text = run(tmp_path, b"\n".join(lines) + b"\n", chunk_rows=chunk_rows)
    rows = read(text)
    assert len(rows) == 2 * len(BAD)
    for place, (line, reason) in enumerate(BAD):
        found = rows[2 * place]
        assert found["status"] == "invalid", line[:80]
        assert found["reason"].startswith(reason), (line[:80], found["reason"])
        assert not any(
            found[name] for name in ("prefix", "destination", "billed_seconds", "charge", "currency", "rate")
        )
        good = rows[2 * place + 1]
        assert (good["id"], good["status"], good["charge"]) == ("good", "rated", "0.01")
    assert (summary.statuses["rated"], summary.statuses["invalid"]) == (len(BAD), len(BAD))
    assert summary.reasons.total() == len(BAD)
    assert set(summary.reasons) == {reason.partition(":")[0] for _, reason in BAD}


@pytest.mark.parametrize("line", [b"a,44", b'"a,44,', b"a,44,x,1,,,,,,", b"a\xff,44," + AT + b",1,,,"])
def test_of_a_bad_row_its_first_cells_stay(tmp_path: Path, line: bytes) -> None:
    _, text = run(tmp_path, HEADER.encode() + b"\n" + line + b"\n")
    found = read(text)[0]
    assert found["id"].lstrip('"').startswith("a")
    assert found["to"] == "44"


def test_a_quote_that_is_never_closed_costs_one_row(tmp_path: Path) -> None:
    text = run(tmp_path, HEADER.encode() + b'\n"open,44,' + AT + b",1,,,\n" + (GOOD + b"\n") * 50)[1]
    assert [row["status"] for row in read(text)] == ["invalid"] + ["rated"] * 50
