"""A plan with something of everything, rows of usage, and their prices as one call after the other is priced."""

import csv
import io
from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import ceil
from pathlib import Path

from daemon.ingest.batch_rules import AccountRule, BatchRules
from daemon.ingest.batch_run import BatchOrder, price_file
from daemon.ingest.batch_summary import BatchSummary
from daemon.kernel.e164 import digits
from daemon.kernel.instant import parse_rfc3339
from daemon.kernel.money import NANO, Rounding, format_nano
from daemon.rating.account_rates import AccountRates, ClassOfService
from daemon.rating.bundle import period_number
from daemon.rating.charge import charge
from daemon.rating.conversion import Conversions, StatedRate
from daemon.rating.deck import RateRow, Terms
from daemon.rating.exchange import Exchange
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import Policy, RateTable, Usage
from daemon.rating.tariff import Gap
from daemon.rating.time_band import TimeBand, parse_intervals

WRITTEN = ("prefix", "destination", "billed_seconds", "charge", "currency", "rate", "status", "reason")
HEADER = "id,to,start,duration_seconds,rate_type,override,account"
PEAK = TimeBand("peak", parse_intervals("mon-fri 08:00-20:00"))
CENT = NANO // 100


def row(prefix: str, rate: int, name: str = "", **terms: object) -> RateRow:
    """Return a row of a deck."""
    return RateRow(prefix, rate, name or f"to {prefix}", Terms(**terms))  # type: ignore[arg-type]


def table_of(table_id: str, *rows: RateRow, **changes: object) -> RateTable:
    """Return the table of good rows."""
    policy = Policy(table_id, 1, "USD", bands=(PEAK,), **changes)  # type: ignore[arg-type]
    table, errors = RateTable.of(policy, rows)
    assert errors == []
    assert table is not None
    return table


VOICE = table_of(
    "voice", row("44", CENT, "United Kingdom"),
    row("4420", 2 * CENT, 'London, "city"', first_seconds=30, next_seconds=6),
    row("33", 3 * CENT, connect_fee=5 * CENT),
    row("49", CENT, time_band="peak"), row("1900", 0, "Premium", blocked=True), row("39", CENT),
    row("39", 2 * CENT, step_from_second=60, next_seconds=30), row("7", 123_456_789, minimum_charge=CENT),
    name="retail", override="^VOICE$", duration_rounding=Rounding.UP,
)  # fmt: skip
SMS = table_of(
    "sms", row("", 5 * CENT, "any text", rate_type="per_message"), row("44", 4 * CENT, rate_type="per_message"),
    name="retail", override="^SMS$",
)  # fmt: skip
MMS = table_of("mms", row("44", 9 * CENT, rate_type="per_message"), name="retail", override="^MMS$")
TIERED = table_of("tiered", row("8", 2 * CENT), row("8", CENT, tier_from=600), tiers="graduated")
WHOLE = table_of("whole", row("9", 2 * CENT), row("9", CENT, tier_from=600), tiers="whole")

ON_NET = table_of("on-net", row("4420", 0, "colleagues"), row("81", CENT, "colleagues"))
PLAN = RatePlan("retail", (VOICE, SMS, MMS))
PLAN_WITH_TIERS = RatePlan("retail", (VOICE, SMS, MMS, TIERED, WHOLE))
# None before February, and none in May.
MAY = parse_rfc3339("2026-05-01T00:00:00Z")
EUROS = Conversions([
    StatedRate("main", "USD", "EUR", 920_000_000, parse_rfc3339("2026-02-01T00:00:00Z"), MAY),
    StatedRate("main", "USD", "EUR", 951_234_567, parse_rfc3339("2026-04-01T00:00:00Z"), MAY),
    StatedRate("main", "USD", "EUR", 950_000_000, parse_rfc3339("2026-06-01T00:00:00Z")),
])  # fmt: skip
ACCOUNTS = {
    "plain": AccountRule(), "dollar": AccountRule(exchange=Exchange("main", "USD", EUROS)),
    "euro": AccountRule(exchange=Exchange("main", "EUR", EUROS)),
    "own": AccountRule(
        AccountRates(
            VOICE.policy, {"4420": 7 * CENT, "61": CENT},
            ClassOfService("c", frozenset({"1900555"}), frozenset({"33"})),
        ), "America/New_York",
    ),
}  # fmt: skip
RULES = BatchRules(PLAN, ACCOUNTS)
RULES_ON_NET = BatchRules(
    RatePlan("retail", (VOICE, SMS, MMS), on_net=(ON_NET,)), ACCOUNTS, frozenset({"44205", "81", "335"})
)
RULES_WITH_TIERS = BatchRules(PLAN_WITH_TIERS, ACCOUNTS)


def run(
    folder: Path, octets: bytes, rules: BatchRules = RULES, *, chunk_rows: int = 7, name: str = "in.csv"
) -> tuple[BatchSummary, str]:
    """Price a file, and return what it came to and the output."""
    source, target = folder / name, folder / "out.csv"
    source.write_bytes(octets)
    summary = price_file(BatchOrder(source, target, rules, chunk_rows=chunk_rows, restart=True))
    return summary, target.read_bytes().decode()


def read(text: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file; none of them has a cell too many or too few."""
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert all(None not in each and None not in each.values() for each in rows)
    return rows


def priced_by_hand(rows: Iterable[Sequence[str]], rules: BatchRules) -> list[tuple[str, ...]]:
    """Return what is written beside good rows, each asked of the plan by itself."""
    volumes: dict[tuple[str, str, int], int] = {}
    return [_by_hand(each, rules, volumes) for each in rows]


def _by_hand(cells: Sequence[str], rules: BatchRules, volumes: dict[tuple[str, str, int], int]) -> tuple[str, ...]:
    _, to, start, duration, rate_type, override, account = cells
    number = digits(to) if to else ""
    if number is None or (not number and rate_type in ("", "per_minute")):
        return ("", "", "", "", "", "", "invalid", "destination_malformed")
    rule = rules.accounts[account] if account else AccountRule()
    at, exact = parse_rfc3339(start), Fraction(duration)
    period = period_number(at, "month", rule.zone)
    known = {name: volumes.get((account, name, period), 0) for name in ("tiered", "whole")}
    found = rules.plan.find(number, at, Usage(override, rate_type, number in rules.own_numbers, known), rule.rates)
    if found is None:
        return ("", "", "", "", "", "", "unrated", "destination_unrated")
    if isinstance(found, Gap):
        return (found.prefix, found.destination, "", "", "", "", "unrated", "destination_unrated")
    if found.blocked:
        return (found.prefix, found.destination, "", "", "", "", "blocked", "destination_blocked")
    assert found.duration_rounding is Rounding.UP
    if rule.exchange is not None:
        sold = rule.exchange.sold(found, at, at)
        if not sold:
            return (found.prefix, found.destination, "", "", "", "", "unrated", "destination_unrated")
        found = sold[0]
    amount, billed = charge(found, ceil(exact))
    if found.meter:
        volumes[account, found.meter, period] = known[found.meter] + billed
    price = (str(billed), format_nano(amount), found.charged_in, format_nano(found.rate))
    return (found.prefix, found.destination, *price, "rated", "")
