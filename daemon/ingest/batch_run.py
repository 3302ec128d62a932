"""A file of usage priced from end to end: chunk by chunk, in bounded memory, to go on where it was interrupted.

The rows of the output are those of the input in their order. After each chunk first the output is made durable, then
the state that counts it: a run that is killed between any two steps goes on to the same octets as one that was not.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from daemon.ingest.batch_columns import CHUNK_ROWS, FileRefused, RunStopped
from daemon.ingest.batch_csv import Chunk, CsvReader, quoted
from daemon.ingest.batch_output import PARTIAL, STATE, CsvOutput, Output, ParquetOutput, beside
from daemon.ingest.batch_pricing import FilePricer, PricedRows
from daemon.ingest.batch_rules import BatchRules, plan_mark
from daemon.ingest.batch_state import State, mark_of, read_state, refuse_another, write_state
from daemon.ingest.batch_summary import BatchSummary, reason_word
from daemon.kernel.money import NANO
from daemon.rating.batch import RATED, STATUSES

if TYPE_CHECKING:
    import polars as pl


CHECKPOINT_CHUNKS: Final = 1  # chunks between checkpoints: what an interruption costs at most
CHECKPOINT_VOLUMES: Final = 131_072  # volumes of tiers, some 16 MiB of state, that put a checkpoint off by a chunk
PARQUET: Final = ".parquet"

Progress = Callable[[int, int, int], None]  # rows priced, and how much of how much of the input is read
Stop = Callable[[], bool]  # whether the run is to stop after the chunk under way


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """What is to be priced by what; ``restart``: begin anew, whatever an interrupted run left."""

    source: Path
    target: Path
    rules: BatchRules
    restart: bool = False
    chunk_rows: int = CHUNK_ROWS


def price_file(
    order: BatchOrder, progress: Progress = lambda _rows, _done, _total: None, stop: Stop = lambda: False
) -> BatchSummary:
    """Price a file into another, and return what it came to. Raises FileRefused, OSError, RunStopped."""
    if not order.source.is_file():
        raise FileRefused(f"{order.source} is no regular file; an interrupted run reads it again")
    if order.source.resolve() == order.target.resolve():
        raise FileRefused(f"{order.source} is input and output; name another output")
    place = beside(order.target, STATE)
    source = mark_of(order.source)
    reader = _reader(order)
    try:
        mark = plan_mark(order.rules, with_accounts="account" in reader.columns)
        state = None if order.restart or not beside(order.target, PARTIAL).exists() else read_state(place)
        if state is not None:
            refuse_another(state, source, mark, place)
            reader.skip(state.rows)
        else:
            state = State(source, mark)
        return _run(order, reader, state, place, progress, stop)
    finally:
        reader.close()


def kept_rows(target: Path) -> int:
    """Return behind how many rows an interrupted run goes on; 0: it begins anew. Raises FileRefused, OSError."""
    state = read_state(beside(target, STATE)) if beside(target, PARTIAL).exists() else None
    return 0 if state is None else state.rows


def _run(
    order: BatchOrder, reader: "_CsvSource | _ParquetSource", state: State, place: Path, progress: Progress, stop: Stop
) -> BatchSummary:
    output = _output(order, reader, state)
    try:
        if not state.rows:
            place.unlink(missing_ok=True)
        _price_rest(order, reader, output, state, place, progress, stop)
        if mark_of(order.source) != state.source:
            raise FileRefused(f"{order.source} changed while it was read; start anew with --restart")
        output.publish()
        place.unlink(missing_ok=True)
    finally:
        output.close()
    return state.summary


def _price_rest(
    order: BatchOrder,
    reader: "_CsvSource | _ParquetSource",
    output: Output,
    state: State,
    place: Path,
    progress: Progress,
    stop: Stop,
) -> None:
    summary = state.summary
    pricer = FilePricer(order.rules, state.volumes_by_key())
    waiting = 0
    for chunk, frame in reader.chunks():
        priced = pricer.priced(chunk)
        output.write(chunk, frame, priced)
        count(summary, priced)
        progress(summary.rows, reader.done, reader.total)
        waiting += 1
        is_stopped = stop()
        if is_stopped or waiting >= CHECKPOINT_CHUNKS + len(pricer.volumes) // CHECKPOINT_VOLUMES:
            waiting = 0
            state.written = output.durable()
            state.take(summary, pricer.volumes)
            write_state(place, state)
        if is_stopped:
            raise RunStopped(state.rows)
    if not summary.rows:
        chunk, frame = reader.empty()
        output.write(chunk, frame, pricer.priced(chunk))
    state.take(summary, pricer.volumes)


def count(summary: BatchSummary, priced: PricedRows) -> None:
    """Add the rows of a chunk to a summary."""
    for place, rows in enumerate(np.bincount(priced.statuses, minlength=len(STATUSES)).tolist()):
        summary.statuses[STATUSES[place].value] += rows
    unpriced = np.flatnonzero(priced.statuses != RATED).tolist()
    summary.reasons.update(Counter(reason_word(priced.reason(row)) for row in unpriced))
    rated = np.flatnonzero(priced.statuses == RATED)
    currencies = priced.currencies[rated]
    for place in np.unique(currencies).tolist():
        charges = priced.charges[rated[currencies == place]]
        units = charges // NANO  # the sum of nano-units might not fit 64 bits, that of units does
        total = int(units.sum()) * NANO + int((charges - units * NANO).sum())
        summary.totals[priced.names[place]] += total


class _CsvSource:
    """A CSV file as chunks."""

    def __init__(self, order: BatchOrder) -> None:
        self._reader = CsvReader(order.source, chunk_rows=order.chunk_rows, every_column=order.target.suffix == PARQUET)
        self.columns, self.header, self.total = self._reader.columns, self._reader.header, self._reader.total
        self.skip, self.close = self._reader.skip, self._reader.close

    @property
    def done(self) -> int:
        return self._reader.done

    def chunks(self) -> "Iterator[tuple[Chunk, pl.DataFrame | None]]":
        return ((chunk, None) for chunk in self._reader.chunks())

    def empty(self) -> "tuple[Chunk, pl.DataFrame | None]":
        return self._reader.chunk_of([]), None


class _ParquetSource:
    """A Parquet file as chunks."""

    def __init__(self, order: BatchOrder) -> None:
        from daemon.ingest.batch_parquet import ParquetReader  # noqa: PLC0415 # loaded only where Parquet is read

        self._reader: ParquetReader = ParquetReader(order.source, chunk_rows=order.chunk_rows)
        self.columns, self.total = self._reader.columns, self._reader.total
        self.header = b",".join(quoted(name) for name in self.columns)
        self.skip, self.close = self._reader.skip, self._reader.close

    @property
    def done(self) -> int:
        return self._reader.done

    def chunks(self) -> "Iterator[tuple[Chunk, pl.DataFrame | None]]":
        return ((self._reader.chunk_of(frame), frame) for frame in self._reader.frames())

    def empty(self) -> "tuple[Chunk, pl.DataFrame | None]":
        frame = self._reader.no_rows()
        return self._reader.chunk_of(frame), frame


def _reader(order: BatchOrder) -> "_CsvSource | _ParquetSource":
    return _ParquetSource(order) if order.source.suffix == PARQUET else _CsvSource(order)


def _output(order: BatchOrder, reader: "_CsvSource | _ParquetSource", state: State) -> Output:
    if order.target.suffix == PARQUET:
        return ParquetOutput(order.target, reader.columns, state.written)
    return CsvOutput(order.target, reader.header, state.written)
