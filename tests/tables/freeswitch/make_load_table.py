"""Price the 500 calls of load-500-calls by hand, as it were: the standard library alone, nothing of the daemon.

Writes load-500-calls.toml beside itself and prints the right total and what three mistakes would give: charging by the
switch's ``billsec``, charging the B legs as well, and rating the number with the dialplan's own digit left on.
Run it with no argument from anywhere; ``--check`` only compares what is there.
"""

import csv
import gzip
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote

HERE = Path(__file__).resolve().parent
CAPTURE = HERE.parent.parent / "vectors" / "freeswitch" / "load-500-calls.plain.bin.gz"
TABLE = HERE / "load-500-calls.toml"
DIALPLAN_DIGITS = 1  # the dialplan's own: the first digit chooses its scenario
MICROSECONDS = 1_000_000

Headers = dict[str, str]


def bodies(octets: bytes) -> Iterator[bytes]:
    """Return the body of each plain event."""
    at = 0
    while (end := octets.find(b"\n\n", at)) >= 0:
        outer = dict(line.split(": ", 1) for line in octets[at:end].decode().strip().split("\n"))
        at = end + 2 + int(outer.get("Content-Length", "0"))
        if outer.get("Content-Type") == "text/event-plain":
            yield octets[end + 2 : at]


def headers(body: bytes) -> Headers:
    """Return the headers of a plain event: lines first, URL-decoding last."""
    split = [line.split(": ", 1) for line in body.decode().split("\n") if ": " in line]
    return {name: unquote(value) for name, value in split}


def hung_up() -> list[Headers]:
    """Return what the switch said of each leg when it was over, in its order."""
    every = (headers(body) for body in bodies(gzip.decompress(CAPTURE.read_bytes())))
    return [event for event in every if event["Event-Name"] == "CHANNEL_HANGUP_COMPLETE"]


def per_minute() -> dict[str, Decimal]:
    """Return the deck: prefix to rate."""
    with (HERE / "deck.csv").open(newline="") as deck:
        return {row["prefix"]: Decimal(row["rate"]) for row in csv.DictReader(deck)}


def price(rates: dict[str, Decimal], number: str, seconds: int) -> Decimal:
    """Return the charge: longest prefix, 1/1, rounded up to four decimals (every rate here is whole at four)."""
    prefix = max((prefix for prefix in rates if number.startswith(prefix)), key=len)
    exact = rates[prefix] * seconds / 60
    rounded = exact.quantize(Decimal("0.0001"))
    assert rounded == exact, (number, seconds)
    return rounded


def up(microseconds: int) -> int:
    """Return whole seconds, a fraction counted as one."""
    return -(-microseconds // MICROSECONDS)


def instant(leg: Headers, what: str) -> int:
    """Return one of the leg's instants in microseconds."""
    return int(leg[f"Caller-Channel-{what}-Time"])


def called_leg(leg: Headers) -> str:
    """Write a leg that another leg called."""
    name = f"carrier of {leg['variable_originator'][:8]}"
    return f'[[leg]]\nname = "{name}"\nuuid = "{leg["Unique-ID"][:8]}"\nrole = "called"\n'


def paying_leg(leg: Headers, number: str, answered_at: int, charge: Decimal) -> str:
    """Write a leg that pays, and what."""
    uuid, microseconds = leg["Unique-ID"][:8], instant(leg, "Hangup") - answered_at
    return (
        f'[[leg]]\nname = "caller {uuid}"\nuuid = "{uuid}"\nrole = "payer"\n\n[[leg.pays]]\npart = 1\n'
        f'account = "{leg["variable_tollway_account"]}"\nnumber = "{number}"\nanswered_by = "carrier of {uuid}"\n'
        f"answered_at = {answered_at}\nmicroseconds = {microseconds}\nseconds = {up(microseconds)}\n"
        f'switch_seconds = {leg["variable_billsec"]}\ncharge = "{charge}"\ncause = "{leg["Hangup-Cause"]}"\n'
    )


def main() -> int:
    """Write or check the table; print the totals."""
    rates, legs = per_minute(), hung_up()
    called = {leg["variable_originator"]: leg for leg in legs if leg["Call-Direction"] == "outbound"}
    lines: list[str] = []
    right = by_billsec = with_b_legs = with_digit = Decimal(0)
    for leg in legs:
        if leg["Call-Direction"] == "outbound":
            lines.append(called_leg(leg))
            continue
        other = called[leg["Unique-ID"]]
        dialled = leg["Caller-Destination-Number"]
        number, answered_at = dialled[DIALPLAN_DIGITS:], instant(other, "Answered")
        assert number == other["Caller-Destination-Number"], leg["Unique-ID"]
        seconds = up(instant(leg, "Hangup") - answered_at)
        charge = price(rates, number, seconds)
        lines.append(paying_leg(leg, number, answered_at, charge))
        right += charge
        by_billsec += price(rates, number, int(leg["variable_billsec"]))
        with_b_legs += charge + price(rates, number, up(instant(other, "Hangup") - answered_at))
        with_digit += price(rates, dialled, seconds)
    head = "# 500 bridged calls of 50 accounts to 12 destinations. Made by make_load_table.py.\n"
    text = "\n".join([f'{head}exceptions = []\ntotal = "{right}"\n', *lines])
    print(f"total {right}; by billsec {by_billsec}, with B legs {with_b_legs}, with the digit {with_digit}")
    if "--check" in sys.argv[1:]:
        return 0 if TABLE.read_text() == text else 1
    TABLE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
