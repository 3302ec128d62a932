"""What a price and a prefix lookup cost, beside the bare look-ups that anybody could write, measured in the same run.

Prints microseconds a call, the best of several passes. The bare dict is tried at each length from the longest, the
bare bisect finds the segment only: neither knows versions, validity or prices, so they are the floor, not rivals.
"""

import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from time import perf_counter, perf_counter_ns

from daemon.kernel.e164 import line_interval, line_position
from daemon.kernel.money import NANO
from daemon.rating.charge import charge
from daemon.rating.deck import RateRow
from daemon.rating.quota import quota
from daemon.rating.rate_table import RateTable
from daemon.rating.tariff import Tariff

SIZES = (1_000, 500_000)  # prefixes
LOOKUPS = 50_000  # numbers a pass
PASSES = 5


def main() -> None:
    """Print the figures."""
    generator = random.Random(20_261_124)
    _report("charge", _microseconds(lambda seconds: charge(_TARIFF, int(seconds)), _durations(generator)))
    _report("quota", _microseconds(lambda money: quota(_TARIFF, int(money) * NANO, 14_400), _durations(generator)))
    for size in SIZES:
        _lookups(generator, size)


_TARIFF = Tariff("retail", 1, "44", "UK", "USD", 6_000_000, connect_fee=NANO, first_seconds=30, next_seconds=6)


def _durations(generator: random.Random) -> list[str]:
    return [str(generator.randrange(1, 7_200)) for _ in range(LOOKUPS)]


def _lookups(generator: random.Random, size: int) -> None:
    prefixes = _prefixes(generator, size)
    numbers = [(generator.choice(prefixes) + _tail(generator, 15))[:15] for _ in range(LOOKUPS)]
    began = perf_counter()
    table, _ = RateTable.from_rows([RateRow(prefix, 1) for prefix in prefixes], table="t", version=1, currency="USD")
    built = perf_counter() - began
    assert table is not None
    print(f"{size:>9,} prefixes: built in {built:.2f} s")
    _report("  RateTable.match", _microseconds(lambda number: table.match(number, 0), numbers))
    _report("  bare dict at each length", _microseconds(_by_length(prefixes), numbers))
    _report("  bare bisect", _microseconds(_by_bisect(prefixes), numbers))


def _prefixes(generator: random.Random, size: int) -> list[str]:
    found: set[str] = set()
    while len(found) < size:
        found.add(_tail(generator, generator.randrange(2, 10)))
    return sorted(found)


def _tail(generator: random.Random, length: int) -> str:
    return f"{generator.randrange(10**length):0{length}d}"


def _by_length(prefixes: Sequence[str]) -> Callable[[str], object]:
    rows = {prefix: place for place, prefix in enumerate(prefixes)}
    lengths = sorted({len(prefix) for prefix in prefixes}, reverse=True)

    def find(number: str) -> int | None:
        for length in lengths:
            row = rows.get(number[:length])
            if row is not None:
                return row
        return None

    return find


def _by_bisect(prefixes: Sequence[str]) -> Callable[[str], object]:
    starts = sorted(edge for prefix in prefixes for edge in line_interval(prefix))
    return lambda number: bisect_right(starts, line_position(number))


def _microseconds(call: Callable[[str], object], arguments: Sequence[str]) -> float:
    return min(_pass(call, arguments) for _ in range(PASSES)) / (1_000 * len(arguments))


def _pass(call: Callable[[str], object], arguments: Sequence[str]) -> int:
    began = perf_counter_ns()
    for argument in arguments:
        call(argument)
    return perf_counter_ns() - began


def _report(what: str, microseconds: float) -> None:
    print(f"{what:<28}{microseconds:>8.2f} us")


if __name__ == "__main__":
    main()
