"""A file is priced to the nano-unit as one call after the other, whatever its chunks, order and interruptions."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.ingest import batch_run
from daemon.ingest.batch_rules import BatchRules
from daemon.ingest.batch_run import BatchOrder, price_file
from daemon.kernel.instant import format_rfc3339
from tests.unit.ingest.batch_world import (
    HEADER,
    RULES,
    RULES_ON_NET,
    RULES_WITH_TIERS,
    WRITTEN,
    priced_by_hand,
    read,
)

NUMBERS = st.one_of(
    st.builds(
        lambda plus, prefix, rest: plus + prefix + rest, st.sampled_from(("", "+")),
        st.sampled_from(("44", "4420", "33", "49", "1900", "1900555", "39", "7", "61", "8", "9", "2")),
        st.from_regex("[0-9]{0,10}", fullmatch=True),
    ),
    st.sampled_from(("", "+", "44x", "4" * 19, "44205", "+44205", "81", "335")),
)  # fmt: skip
STARTS = st.integers(1_767_225_600, 1_782_864_000).map(lambda second: format_rfc3339(second * 1_000_000))
DURATIONS = st.one_of(
    st.integers(0, 4_000).map(str), st.from_regex(r"[0-9]{1,3}\.[0-9]{1,12}", fullmatch=True), st.just("999999.5")
)
PAYERS = ("", "", "plain", "own", "euro", "euro", "dollar")
ROWS = st.lists(
    st.tuples(
        st.just("id"), NUMBERS, STARTS, DURATIONS, st.sampled_from(("", "", "per_minute", "per_message")),
        st.sampled_from(("", "", "VOICE", "SMS", "MMS", "FAX")), st.sampled_from(PAYERS),
    ),
    max_size=60,
)  # fmt: skip


def file_of(rows: Sequence[Sequence[str]]) -> bytes:
    """Return rows as a CSV file."""
    return "\n".join([HEADER, *(",".join(row) for row in rows)]).encode() + b"\n"


def written(text: str) -> list[tuple[str, ...]]:
    """Return what was written beside the rows."""
    return [tuple(row[name] for name in WRITTEN) for row in read(text)]


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    rows=ROWS,
    chunk_rows=st.integers(1, 40),
    rules=st.sampled_from((RULES, RULES_WITH_TIERS, RULES_ON_NET)),
    seed=st.integers(),
)
def test_a_file_is_priced_as_one_call_after_the_other(
    rows: list[tuple[str, ...]], chunk_rows: int, rules: BatchRules, seed: int
) -> None:
    Random(seed).shuffle(rows)
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name, "in.csv"), Path(name, "out.csv")
        source.write_bytes(file_of(rows))
        summary = price_file(BatchOrder(source, target, rules, chunk_rows=chunk_rows))
        text = target.read_bytes().decode()
    assert written(text) == priced_by_hand(rows, rules)
    assert summary.rows == len(rows)


class Killed(Exception):
    """Ends a run as a kill does: nothing is tidied away."""


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    rows=ROWS, chunk_rows=st.integers(1, 9), kills=st.lists(st.integers(1, 12), max_size=4),
    ending=st.sampled_from((".csv", ".csv.gz", ".parquet")), checkpoint=st.integers(1, 3),
)  # fmt: skip
def test_an_interrupted_run_goes_on_to_the_same_octets(
    rows: list[tuple[str, ...]], chunk_rows: int, kills: list[int], ending: str, checkpoint: int
) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_run, "CHECKPOINT_CHUNKS", checkpoint)
        source = Path(name, "in.csv")
        source.write_bytes(file_of(rows))
        whole = BatchOrder(source, Path(name, "whole" + ending), RULES_WITH_TIERS, chunk_rows=chunk_rows)
        cut = BatchOrder(source, Path(name, "cut" + ending), RULES_WITH_TIERS, chunk_rows=chunk_rows)
        expected = price_file(whole)
        for chunks in kills:
            try:
                price_file(cut, _killing(chunks))
            except Killed:
                continue
            break
        assert price_file(cut) == expected
        assert cut.target.read_bytes() == whole.target.read_bytes()
        assert {path.name for path in Path(name).iterdir()} == {"in.csv", whole.target.name, cut.target.name}


def _killing(chunks: int) -> batch_run.Progress:
    left = [chunks]

    def progress(_rows: int, _done: int, _total: int) -> None:
        left[0] -= 1
        if not left[0]:
            raise Killed

    return progress


def test_the_volume_of_tiers_goes_on_with_an_interrupted_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_run, "CHECKPOINT_CHUNKS", 1)
    rows = [("id", "81", "2026-03-01T00:00:00Z", "250", "", "", "plain")] * 6
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_bytes(file_of(rows))
    order = BatchOrder(source, target, RULES_WITH_TIERS, chunk_rows=1)
    with pytest.raises(Killed):
        price_file(order, _killing(4))
    assert not target.exists()
    shutil.copy(tmp_path / "out.csv.state", tmp_path / "seen")
    price_file(order)
    charges = [row["charge"] for row in read(target.read_text())]
    assert charges == ["0.0834", "0.0834", "0.0584", "0.0417", "0.0417", "0.0417"]
    assert b'["plain","tiered",' in (tmp_path / "seen").read_bytes()
