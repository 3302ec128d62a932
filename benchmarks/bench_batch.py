"""What pricing in bulk costs on one core, beside the bare arithmetic and the look-up alone, measured in the same run.

Prints calls (or rows) a second of processor time, the best of several passes; ratios are what to trust. The bare
arithmetic is the price formula on arrays that were gathered before: no look-up, no validity, no rounding by policy.
"""

import os
import random
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import process_time_ns
from typing import Any

import numpy as np

from benchmarks.bench_rating import _prefixes, _tail
from daemon.ingest.batch_columns import CHUNK_ROWS
from daemon.ingest.batch_rules import BatchRules
from daemon.ingest.batch_run import BatchOrder, price_file
from daemon.kernel.instant import SECOND, format_rfc3339, parse_rfc3339
from daemon.rating.batch import NUMBER_WIDTH, BatchPricer, Calls, line_positions
from daemon.rating.charge import charge
from daemon.rating.deck import RateRow, Terms
from daemon.rating.rate_plan import MarkedTable, RatePlan
from daemon.rating.rate_table import Policy, RateTable, Usage
from daemon.rating.table_arrays import TableArrays
from daemon.rating.time_band import TimeBand, parse_intervals

DECK_SIZE = 500_000  # prefixes
SIZES = (1_000, 10_000, 100_000, 1_000_000)  # prefixes of the look-ups
CALLS = CHUNK_ROWS  # calls a pass: what ``rate batch`` prices at once
SCALAR_CALLS = 20_000
FILE_ROWS = 500_000
PASSES = 7
CLOCKS_BACK = parse_rfc3339("2026-11-01T06:00:00Z")  # New York puts its clocks back in that hour
INCREMENTS = ((1, 1), (6, 6), (30, 6), (60, 60), (60, 1))
PEAK = TimeBand("peak", parse_intervals("mon-fri 08:00-20:00"))


def main() -> None:
    """Print the figures."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    generator = random.Random(20_261_125)
    prefixes = _prefixes(generator, DECK_SIZE)
    plain = _table(prefixes, banded=False)
    print(f"{DECK_SIZE:,} prefixes of mixed increments, {CALLS:,} calls a pass")
    numbers = _numbers(generator, prefixes, CALLS)
    calls = _calls(generator, numbers)
    bare = _second("  bare arithmetic, no look-up", _bare_arithmetic(plain, calls), CALLS)
    arrays = TableArrays(MarkedTable(plain))
    _second("  look-up alone", lambda: arrays.picks(calls.positions, calls.starts, ""), CALLS, bare)
    _priced("  plain", plain, calls, bare)
    _priced("  bands by start", _table(prefixes, banded=True), calls, bare)
    _priced("  split by bands", _table(prefixes, banded=True, split=True), calls, bare)
    _files(generator, plain, numbers, bare)
    _sizes(generator)


def _table(prefixes: Sequence[str], *, banded: bool, split: bool = False) -> RateTable:
    policy = Policy("t", 1, "USD", zone="America/New_York", bands=(PEAK,), split_bands=split)
    found, errors = RateTable.of(policy, list(_rows(prefixes, banded=banded)))
    assert found is not None, errors
    return found


def _rows(prefixes: Sequence[str], *, banded: bool) -> Any:
    for place, prefix in enumerate(prefixes):
        first, following = INCREMENTS[place % len(INCREMENTS)]
        terms = Terms(first_seconds=first, next_seconds=following)
        yield RateRow(prefix, 1_000_000 + place * 17 % 90_000_000, f"to {place % 2_000}", terms)
        if banded:
            yield RateRow(prefix, 2_000_000 + place * 13 % 90_000_000, f"to {place % 2_000}",
                          terms._replace(time_band="peak"))  # fmt: skip


def _numbers(generator: random.Random, prefixes: Sequence[str], count: int) -> list[str]:
    return [(generator.choice(prefixes) + _tail(generator, 15))[:15] for _ in range(count)]


def _calls(generator: random.Random, numbers: Sequence[str]) -> Calls:
    starts = [CLOCKS_BACK + generator.randrange(-3 * 86_400, 3 * 86_400) * SECOND for _ in numbers]
    seconds = [generator.randrange(1, 7_200) for _ in numbers]
    positions = line_positions(np.array(numbers, f"S{NUMBER_WIDTH}"))
    return Calls(positions, np.array(starts), np.array(seconds), np.zeros(len(numbers), np.int64))


def _bare_arithmetic(table: RateTable, calls: Calls) -> Callable[[], object]:
    prices = BatchPricer(RatePlan("p", (table,))).price(Usage(), calls)
    terms = [table.heads.terms(max(head, 0)) for head in prices.heads.tolist()]
    first = np.array([each.first_seconds for each in terms])
    following = np.array([each.next_seconds for each in terms])
    rates, seconds = prices.rates, calls.seconds

    def price() -> object:
        billed = first + np.maximum(-((first - seconds) // following), 0) * following
        return -(-(billed * rates) // (60 * 100_000)) * 100_000

    return price


def _priced(what: str, table: RateTable, calls: Calls, bare: float) -> None:
    pricer = BatchPricer(RatePlan("p", (table,)))
    _second(what, lambda: pricer.price(Usage(), calls), CALLS, bare)


def _files(generator: random.Random, table: RateTable, numbers: Sequence[str], bare: float) -> None:
    rules = BatchRules(RatePlan("p", (table,)), {})
    pricer = BatchPricer(rules.plan)
    calls = _calls(generator, numbers)
    alone = _second("  BatchPricer alone, again", lambda: pricer.price(Usage(), calls), CALLS, bare)
    print(f"{FILE_ROWS:,} rows from file to file, durable; the ratio is to BatchPricer alone")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder / "in.csv", generator, numbers)
        for source, target in (("in.csv", "out.csv"), ("in.csv", "made.parquet"), ("in.parquet", "out.parquet"),
                               ("in.csv", "out.csv.gz")):  # fmt: skip
            order = BatchOrder(folder / source, folder / target, rules)
            _second(f"  {source} to {Path(target).name}", partial(price_file, order), FILE_ROWS, alone, 2)
            if target == "made.parquet":
                _without_prices(folder / target, folder / "in.parquet")


def _write(path: Path, generator: random.Random, numbers: Sequence[str]) -> None:
    with path.open("w") as file:
        file.write("id,to,start,duration_seconds\n")
        for row in range(FILE_ROWS):
            start = format_rfc3339(CLOCKS_BACK + generator.randrange(-3 * 86_400, 3 * 86_400) * SECOND)
            number = numbers[row % len(numbers)]
            file.write(f"call-{row},{number},{start},{generator.randrange(7_200)}.{generator.randrange(1_000):03d}\n")


def _without_prices(path: Path, target: Path) -> None:
    import polars as pl

    pl.read_parquet(path).select("id", "to", "start", "duration_seconds").write_parquet(target)


def _sizes(generator: random.Random) -> None:
    print("a call of a deck of any size")
    for size in SIZES:
        _size(generator, size)


def _size(generator: random.Random, size: int) -> None:
    prefixes = _prefixes(generator, size)
    table = _table(prefixes, banded=False)
    numbers = _numbers(generator, prefixes, CALLS)
    calls = _calls(generator, numbers)
    arrays, pricer = TableArrays(MarkedTable(table)), BatchPricer(RatePlan("p", (table,)))
    looked = _best(lambda: arrays.picks(calls.positions, calls.starts, "")) / CALLS
    priced = _best(lambda: pricer.price(Usage(), calls)) / CALLS
    single = _best(lambda: _one_by_one(table, numbers[:SCALAR_CALLS])) / SCALAR_CALLS
    print(
        f"{size:>10,} prefixes: in bulk look-up {looked / 1_000:.3f} us, price {priced / 1_000:.3f} us;"
        f" one by one match and charge {single / 1_000:.2f} us"
    )


def _one_by_one(table: RateTable, numbers: Sequence[str]) -> None:
    for number in numbers:
        tariff = table.match(number, CLOCKS_BACK)
        assert tariff is not None
        charge(tariff, 754)


def _second(what: str, work: Callable[[], object], count: int, peer: float = 0, passes: int = PASSES) -> float:
    """Print how many a second, and what part of a peer's that is."""
    pace = count * 1_000_000_000 / _best(work, passes)
    ratio = f"{pace / peer:>7.2f} of it" if peer else ""
    print(f"{what:<34}{pace:>14,.0f} a second{ratio}")
    return pace


def _best(work: Callable[[], object], passes: int = PASSES) -> int:
    return min(_pass(work) for _ in range(passes))


def _pass(work: Callable[[], object]) -> int:
    began = process_time_ns()
    work()
    return max(process_time_ns() - began, 1)


if __name__ == "__main__":
    main()
