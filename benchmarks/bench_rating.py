"""What a price and a prefix lookup cost, beside the bare look-ups that anybody could write, measured in the same run.

Prints microseconds a call, the best of several passes. The bare dict is tried at each length from the longest, the
bare bisect finds the segment only: neither knows versions, validity or prices, so they are the floor, not rivals.
Goals: one price with bands and increments 15 us in all; a prefix 4 us among a million, and within twice of a thousand.
"""

import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from time import perf_counter, perf_counter_ns

from daemon.kernel.e164 import line_interval, line_position
from daemon.kernel.instant import SECOND, parse_rfc3339
from daemon.kernel.money import NANO
from daemon.rating.charge import charge
from daemon.rating.deck import RateRow, Terms
from daemon.rating.quota import quota
from daemon.rating.rate_table import Policy, RateTable, Usage
from daemon.rating.tariff import Tariff
from daemon.rating.time_band import TimeBand, parse_intervals

SIZES = (1_000, 1_000_000)  # prefixes
LOOKUPS = 50_000  # numbers a pass
PASSES = 5


def main() -> None:
    """Print the figures."""
    generator = random.Random(20_261_124)
    _report("charge", _microseconds(lambda seconds: charge(_TARIFF, int(seconds)), _durations(generator)))
    _report("quota", _microseconds(lambda money: quota(_TARIFF, int(money) * NANO, 14_400), _durations(generator)))
    _report("price split by bands", _microseconds(_split_price(generator), _durations(generator)))
    small, *_, large = (_lookups(generator, size) for size in SIZES)
    print(f"a prefix among {SIZES[-1]:,} costs {large / small:.1f} times one among {SIZES[0]:,} (goal 2)")


_TARIFF = Tariff("retail", 1, "44", "UK", "USD", 6_000_000, connect_fee=NANO, first_seconds=30, next_seconds=6)


def _durations(generator: random.Random) -> list[str]:
    return [str(generator.randrange(1, 7_200)) for _ in range(LOOKUPS)]


def _split_price(generator: random.Random) -> Callable[[str], object]:
    """Return look-up and charge of a call of so many seconds, split by bands in a zone whose clock changes."""
    bands = (
        TimeBand("peak", parse_intervals("mon-fri 08:00-20:00")),
        TimeBand("night", parse_intervals("mon-sun 22:00-06:00")),
    )
    rows = [
        RateRow(prefix, 60_000_000, terms=Terms(first_seconds=30, next_seconds=6, time_band=band))
        for prefix in _prefixes(generator, 1_000)
        for band in ("", "peak", "night")
    ]
    policy = Policy("t", 1, "USD", zone="America/New_York", split_bands=True, bands=bands)
    table, _ = RateTable.of(policy, rows)
    assert table is not None
    begin = parse_rfc3339("2026-10-31T00:00:00Z")
    calls = iter(lambda: (generator.choice(rows).prefix, begin + generator.randrange(48 * 3_600) * SECOND), None)
    asked = [next(calls) for _ in range(1_000)]

    def price(seconds: str) -> object:
        length = int(seconds)
        number, at = asked[length % 1_000]
        tariff = table.match(number, at, Usage(horizon_seconds=length + 1))
        assert tariff is not None
        return charge(tariff, length)

    return price


def _lookups(generator: random.Random, size: int) -> float:
    """Print what a deck of so many prefixes costs; return the microseconds of finding one."""
    prefixes = _prefixes(generator, size)
    numbers = [(generator.choice(prefixes) + _tail(generator, 15))[:15] for _ in range(LOOKUPS)]
    began = perf_counter()
    table, _ = RateTable.from_rows([RateRow(prefix, 1) for prefix in prefixes], table="t", version=1, currency="USD")
    built = perf_counter() - began
    assert table is not None
    print(f"{size:>9,} prefixes: built in {built:.2f} s")
    found = _microseconds(table.offers.index.best, numbers)
    _report("  prefix", found)
    _report("  RateTable.match", _microseconds(lambda number: table.match(number, 0), numbers))
    _report("  bare dict at each length", _microseconds(_by_length(prefixes), numbers))
    _report("  bare bisect", _microseconds(_by_bisect(prefixes), numbers))
    return found


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
