"""Price the 500 captured calls with the standard library alone: what the daemon's replay is held against.

It shares no code with the daemon: the capture is read with gzip and json, the deck with csv, amounts are Decimals.
A call is an inbound leg and the leg that it called; it lasts from the called leg's answer to the caller's hang-up, by
the switch's microseconds, rounded up to a second. The dialplan's first digit is not part of the number.
Three totals that a wrong biller would come to stand beside the right one: by the switch's own count of seconds, with
the called legs charged as well, and by the number with the dialplan's digit.
"""

import csv
import gzip
import json
import sys
from collections.abc import Callable, Iterator
from decimal import ROUND_UP, Decimal
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent / "tests"
CAPTURE = TESTS / "vectors" / "freeswitch" / "load-500-calls.json.bin.gz"
DECK = TESTS / "tables" / "freeswitch" / "load-500-calls-deck.csv"
PLACES = Decimal("0.0001")
Leg = dict[str, Any]
Seconds = Callable[[Leg, Leg], int]


def events(path: Path) -> Iterator[Leg]:
    """Yield the events of a capture: headers, an empty line, a body of Content-Length octets."""
    with gzip.open(path) as stream:
        while line := stream.readline():
            size = 0
            while line.strip():
                name, _, value = line.partition(b":")
                size = int(value) if name == b"Content-Length" else size
                line = stream.readline()
            body = stream.read(size)
            if body.startswith(b'{"Event-Name"'):
                yield json.loads(body)


def calls(path: Path) -> list[tuple[Leg, Leg]]:
    """Return caller and called leg of each call, as they were when they had hung up."""
    legs = {leg["Unique-ID"]: leg for leg in events(path) if leg["Event-Name"] == "CHANNEL_HANGUP_COMPLETE"}
    called = [leg for leg in legs.values() if "variable_originator" in leg]
    return [(legs[leg["variable_originator"]], leg) for leg in called]


def row_of(deck: list[dict[str, str]], number: str) -> dict[str, str] | None:
    """Return the row of the longest prefix that a number begins with."""
    rows = [row for row in deck if number.startswith(row["prefix"])]
    return max(rows, key=lambda row: len(row["prefix"]), default=None)


def price(deck: list[dict[str, str]], number: str, seconds: int) -> Decimal:
    """Return what a number costs for some seconds; 0 where the deck has no rate for it."""
    row = row_of(deck, number)
    if row is None or seconds == 0:
        return Decimal(0)
    first, step = int(row["first_seconds"]), int(row["next_seconds"])
    billed = first + max(0, -(-(seconds - first) // step)) * step
    amount = Decimal(row["connect_fee"]) + Decimal(row["rate"]) * billed / 60
    return amount.quantize(PLACES, rounding=ROUND_UP)


def measured(caller: Leg, called: Leg) -> int:
    """Return the seconds from the called leg's answer to the caller's hang-up, rounded up."""
    lasted = int(caller["Caller-Channel-Hangup-Time"]) - int(called["Caller-Channel-Answered-Time"])
    return -(-lasted // 1_000_000)


def totals() -> dict[str, str]:
    """Return the right total and the three wrong ones."""
    with DECK.open(newline="") as stream:
        deck = list(csv.DictReader(stream))
    pairs = calls(CAPTURE)
    assert all(row_of(deck, caller["Caller-Destination-Number"][1:]) for caller, _ in pairs), "a number has no rate"

    def total(number: Callable[[str], str], seconds: Seconds) -> Decimal:
        return sum(
            (price(deck, number(a["Caller-Destination-Number"]), seconds(a, b)) for a, b in pairs), start=Decimal(0)
        )

    def own(caller: Leg, called: Leg) -> int:
        return int(caller["variable_billsec"])

    right = total(lambda dialled: dialled[1:], measured)
    called_too = sum((price(deck, b["Caller-Destination-Number"], measured(b, b)) for _, b in pairs), start=Decimal(0))
    return {
        "calls": str(len(pairs)), "total": str(right), "by_billsec": str(total(lambda dialled: dialled[1:], own)),
        "with_called_legs": str(right + called_too), "with_the_digit": str(total(lambda dialled: dialled, measured)),
    }  # fmt: skip


if __name__ == "__main__":
    json.dump(totals(), sys.stdout, indent=2)
    sys.stdout.write("\n")
