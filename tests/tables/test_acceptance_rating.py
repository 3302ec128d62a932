"""Acceptance vectors of the field (PITFALLS section 4) that concern one price or one quota, a row for each.

A10, A12 and A13 are of recurring charges and limits of lines, which nothing here prices.
"""

from dataclasses import replace

import pytest

from daemon.kernel.instant import SECOND, parse_rfc3339
from daemon.kernel.money import Rounding, parse_nano
from daemon.rating.charge import bundle_units, charge, duration_seconds, first_paid_second
from daemon.rating.quota import quota
from daemon.rating.rate_table import Policy, RateTable
from daemon.rating.tariff import Tariff
from daemon.rating.time_band import TimeBand, parse_intervals
from tests.decks import read_deck

CAP = 14_400  # seconds


def tariff(rate: str, first: int, following: int, fee: str = "0") -> Tariff:
    """Return a tariff of a rate per minute and its increments."""
    row = Tariff("t", 1, "44", "UK", "USD", parse_nano(rate), first_seconds=first, next_seconds=following)
    return replace(row, connect_fee=parse_nano(fee))


A01 = tariff("0.006", 30, 6)
A02 = tariff("0.10", 60, 60)
A03 = tariff("0.60", 60, 60)
A04 = tariff("0.60", 30, 6, fee="0.10")


def in_force(deck: str, at: str, policy: Policy) -> Tariff:
    """Return the tariff that a deck asks for a call answered at a time."""
    rows, errors = read_deck(deck, "deck.csv")
    table, more = RateTable.of(policy, rows)
    assert table is not None, (errors, more)
    found = table.match("441234", parse_rfc3339(at))
    assert found is not None
    return found


STEPS = """prefix,rate,connect_fee,first_seconds,next_seconds,step_from_seconds
44,0.12,0.02,60,60,0
44,0.06,0.02,60,6,60
"""
A15 = in_force(STEPS, "2026-01-01T00:00:00Z", Policy("yeti", 1, "USD"))


@pytest.mark.parametrize(
    ("vector", "row", "seconds", "amount"),
    [
        ("A01", A01, 1, "0.003"),
        ("A01", A01, 30, "0.003"),
        ("A01", A01, 31, "0.0036"),
        ("A01", A01, 32, "0.0036"),
        ("A01", A01, 57, "0.006"),
        ("A01", A01, 75, "0.0078"),
        ("A02", A02, 1, "0.10"),
        ("A02", A02, 61, "0.20"),
        ("A04", A04, 90, "1.00"),
        ("A04", A04, 91, "1.06"),
        ("A15", A15, 1, "0.14"),
        ("A15", A15, 60, "0.14"),
        ("A15", A15, 61, "0.146"),
        ("A15", A15, 66, "0.146"),
        ("A15", A15, 67, "0.152"),
        ("A15", A15, 4_920, "5"),
        ("A15", A15, 4_921, "5.006"),
    ],
)
def test_a_call_costs(vector: str, row: Tariff, seconds: int, amount: str) -> None:
    assert charge(row, seconds).amount == parse_nano(amount), vector


@pytest.mark.parametrize(
    ("vector", "row", "balance", "seconds"),
    [("A03", A03, "0.50", 0), ("A04", A04, "1.00", 90), ("A15", A15, "5", 4_920)],
)
def test_a_balance_lasts(vector: str, row: Tariff, balance: str, seconds: int) -> None:
    assert quota(row, parse_nano(balance), CAP) == seconds, vector


@pytest.mark.parametrize(
    ("vector", "first", "following", "seconds", "billed"),
    [("A05", 20, 6, 25, 26), ("A16", 90, 60, 91, 150), ("A16", 90, 60, 151, 210)],
)
def test_a_call_is_billed_for(vector: str, first: int, following: int, seconds: int, billed: int) -> None:
    assert charge(tariff("1", first, following), seconds).billed_seconds == billed, vector


@pytest.mark.parametrize(
    ("answer", "release", "tenths", "up", "half_up", "down"),
    [
        ("10.9", "20.1", 92, 10, 9, 9),
        ("10.1", "20.9", 108, 11, 11, 10),
        ("10.1", "10.9", 8, 1, 1, 0),
    ],
)
def test_a06_a_duration_is_measured_before_it_is_rounded(
    answer: str, release: str, tenths: int, up: int, half_up: int, down: int
) -> None:
    measured = parse_rfc3339(f"2026-01-01T00:00:{release}Z") - parse_rfc3339(f"2026-01-01T00:00:{answer}Z")
    assert measured == tenths * SECOND // 10
    rules = (Rounding.UP, Rounding.HALF_UP, Rounding.DOWN)
    assert [duration_seconds(measured, rule) for rule in rules] == [up, half_up, down]


@pytest.mark.parametrize(("decimals", "total"), [(4, "0.9999"), (2, "0.99")])
def test_a14_each_record_is_rounded_and_the_total_is_their_sum(decimals: int, total: str) -> None:
    row = replace(tariff("0.3333", 60, 60), decimals=decimals, rounding=Rounding.HALF_UP)
    assert 3 * charge(row, 60).amount == parse_nano(total)


PEAK = TimeBand("peak", parse_intervals("mon-sun 08:00-20:00"))


def two_bands(at: str, first: int, following: int, *, split: bool) -> Tariff:
    """Return the tariff of 0.10 a minute until 20:00 and 0.05 from then on."""
    blocks = f"{first},{following}\n"
    deck = f"prefix,rate,time_band,first_seconds,next_seconds\n44,0.10,peak,{blocks}44,0.05,,{blocks}"
    return in_force(deck, at, Policy("bands", 1, "USD", split_bands=split, bands=(PEAK,)))


@pytest.mark.parametrize(
    ("first", "following", "split", "amount"),
    [
        (1, 1, True, "0.225"),
        (60, 60, True, "0.25"),
        (1, 1, False, "0.30"),
        (60, 60, False, "0.30"),
    ],
)
def test_a07_a_call_over_20_00_is_split_or_priced_by_its_start(
    first: int, following: int, split: bool, amount: str
) -> None:
    found = two_bands("2026-01-05T19:58:30Z", first, following, split=split)
    assert charge(found, 180).amount == parse_nano(amount)
    assert quota(found, parse_nano(amount), 180) == 180
    assert quota(found, parse_nano(amount) - 1, 180) == 180 - following


NIGHT = "prefix,rate,time_band\n44,0.60,\n44,0.06,night\n"


@pytest.mark.parametrize(
    ("interval", "answer", "release", "seconds", "amount"),
    [
        # 02:50 summer time to 02:10 winter time: the clock shows 03:00 and again 02:00 in the middle of the call.
        ("sun 02:00-02:30", "2026-10-25T00:50:00Z", "2026-10-25T01:10:00Z", 1_200, "6.60"),
        ("sun 02:30-03:00", "2026-10-25T00:50:00Z", "2026-10-25T01:10:00Z", 1_200, "6.60"),
        ("sun 02:00-03:00", "2026-10-25T00:50:00Z", "2026-10-25T01:10:00Z", 1_200, "1.20"),
        ("sun 03:00-04:00", "2026-10-25T00:50:00Z", "2026-10-25T01:10:00Z", 1_200, "12.00"),
        # An hour that the clock shows twice is two hours of the band, and the day around it has 25.
        ("sun 02:00-03:00", "2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z", 14_400, "79.20"),
        ("sun 00:00-24:00", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 90_000, "90.00"),
        # 01:59:30 winter time to 03:00:30 summer time: an hour that the clock never shows.
        ("sun 02:00-03:00", "2026-03-29T00:59:30Z", "2026-03-29T01:00:30Z", 60, "0.60"),
        ("sun 02:00-04:00", "2026-03-29T00:59:30Z", "2026-03-29T01:00:30Z", 60, "0.33"),
        ("sun 03:00-04:00", "2026-03-29T00:59:30Z", "2026-03-29T01:00:30Z", 60, "0.33"),
        ("sun 01:00-02:00", "2026-03-29T00:59:30Z", "2026-03-29T01:00:30Z", 60, "0.33"),
        ("sun 00:00-24:00", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", 82_800, "82.80"),
    ],
)
def test_a08_the_clock_on_the_wall_chooses_the_band_and_never_the_length(
    interval: str, answer: str, release: str, seconds: int, amount: str
) -> None:
    bands = (TimeBand("night", parse_intervals(interval)),)
    found = in_force(NIGHT, answer, Policy("paris", 1, "EUR", zone="Europe/Paris", split_bands=True, bands=bands))
    measured = duration_seconds(parse_rfc3339(release) - parse_rfc3339(answer), Rounding.UP)
    assert measured == seconds
    assert charge(found, measured).amount == parse_nano(amount)


@pytest.mark.parametrize(("block", "amount", "billed"), [(60, "0.30", 180), (1, "0.25", 150)])
def test_a09_a_bundle_ends_within_a_call(block: int, amount: str, billed: int) -> None:
    row = tariff("0.10", block, block)
    assert bundle_units(row, 180, 30) == 30
    assert charge(row, 180, 30) == (parse_nano(amount), billed)
    assert charge(row, 30, 30) == (0, 0)
    assert quota(row, parse_nano(amount), CAP, 30) == 180 + (30 if block == 60 else 0)
    assert quota(row, 0, CAP, 30) == 30


@pytest.mark.parametrize(("rate", "admitted"), [("0.60", 1), ("0.30", 3)])
def test_a11_calls_are_admitted_while_what_is_not_reserved_pays_a_block(rate: str, admitted: int) -> None:
    row, available, calls = tariff(rate, 60, 60), parse_nano("1.00"), 0
    while quota(row, available, CAP) > 0:
        available -= charge(row, first_paid_second(row)).amount
        calls += 1
    assert calls == admitted
