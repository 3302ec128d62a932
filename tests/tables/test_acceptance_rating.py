"""Acceptance vectors of the field (PITFALLS section 4) that concern one price or one quota, a row for each."""

from dataclasses import replace

import pytest

from daemon.kernel.instant import SECOND, parse_rfc3339
from daemon.kernel.money import Rounding, parse_nano
from daemon.rating.charge import charge, duration_seconds
from daemon.rating.quota import quota
from daemon.rating.tariff import Tariff

CAP = 14_400  # seconds


def tariff(rate: str, first: int, following: int, fee: str = "0") -> Tariff:
    """Return a tariff of a rate per minute and its increments."""
    row = Tariff("t", 1, "44", "UK", "USD", parse_nano(rate), first_seconds=first, next_seconds=following)
    return replace(row, connect_fee=parse_nano(fee))


A01 = tariff("0.006", 30, 6)
A02 = tariff("0.10", 60, 60)
A03 = tariff("0.60", 60, 60)
A04 = tariff("0.60", 30, 6, fee="0.10")
# A first minute at 0.12 and then 0.06 a minute is, the first block being always paid, 0.06 a minute and 0.06 more fee.
A15 = tariff("0.06", 60, 6, fee="0.08")


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
        ("A15", A15, 60, "0.14"),
        ("A15", A15, 4_920, "5"),
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
